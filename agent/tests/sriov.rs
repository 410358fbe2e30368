//! The SR-IOV collector on trees of sysfs that change, with a kernel that answers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod sriov_support;

use fake_node::kernel::{BuiltPf, BuiltVf, FULL, FakeKernel, gone_message, link_message};
use fake_node::tree::{Tree, vf_address};
use sextant_agent::collectors::sriov::SriovConfig;
use sriov_support::{sriov, sriov_with, tick};

const PCI: &str = "0000:3b:00.0";
const INDEX: u32 = 4;
const DOWN: u8 = 2;
const UP: u8 = 6;

/// A node with a physical function of `ice` that has so many virtual ones.
fn node(vfs: u32) -> (Tree, FakeKernel) {
    let tree = Tree::new();
    tree.pf(PCI, "ice", ("ens1", INDEX), 128);
    tree.vfs(PCI, vfs, "iavf");
    let kernel = FakeKernel::default();
    tell(&kernel, (0..vfs).map(BuiltVf::counting).collect(), 1);
    (tree, kernel)
}

fn tell(kernel: &FakeKernel, vfs: Vec<BuiltVf>, packets: u64) {
    kernel.set(&BuiltPf { index: INDEX, name: "ens1".into(), pci: PCI.into(), packets, vfs });
}

fn vf(metric: &str, number: u32) -> String {
    let pci = vf_address(number);
    format!("sriov_vf_{metric}{{pci=\"{pci}\",pf=\"ens1\",vf=\"{number}\"}}")
}

fn pf(metric: &str) -> String {
    format!("sriov_pf_{metric}{{pci=\"{PCI}\",pf=\"ens1\"}}")
}

#[test]
fn node_without_a_device_is_absent_until_one_comes() {
    let tree = Tree::new();
    let kernel = FakeKernel::default();
    let mut collector = sriov(tree.root(), &kernel);
    assert!(tick(&mut collector, 0).absent && tick(&mut collector, 1).absent);
    assert!(kernel.state().listeners.is_empty(), "no socket is opened for nothing");
    tree.pf(PCI, "ice", ("ens1", INDEX), 8);
    let first = tick(&mut collector, 0);
    assert_eq!(first.told(), [format!("sriov.pf_added pf=ens1 pci={PCI}")]);
    assert_eq!(first.value(&pf("up")), Some(1.0));
    tree.remove(PCI);
    let last = tick(&mut collector, 1);
    assert!(last.absent);
    assert_eq!(last.told(), [format!("sriov.pf_removed pf=ens1 pci={PCI} vfs=0")]);
}

#[test]
fn counters_and_configuration_of_virtual_functions_are_told() {
    let (tree, kernel) = node(128);
    let mut collector = sriov(tree.root(), &kernel);
    let slow = tick(&mut collector, 1);
    assert_eq!(slow.failures, Vec::<String>::new());
    assert_eq!(slow.value(&vf("receive_packets_total", 0)), Some(10.0));
    assert_eq!(slow.value(&vf("transmit_dropped_total", 127)), Some(512.0));
    assert_eq!(slow.value(&vf("max_transmit_rate_bytes_per_second", 5)), Some(1.25e9));
    assert_eq!(slow.value(&vf("rss_query", 5)), None, "the driver does not say");
    assert_eq!(slow.value(&vf("mac_set", 5)), Some(1.0));
    assert_eq!(slow.value(&pf("vf_stats_supported")), Some(1.0));
    assert_eq!(slow.value(&pf("vfs")), Some(128.0));
    assert_eq!(kernel.state().asked, [(INDEX, FULL)]);
}

#[test]
fn driver_that_says_zero_has_no_counters() {
    let (tree, kernel) = node(2);
    let zero: Vec<BuiltVf> = (0..2).map(BuiltVf::igb_like).collect();
    let mut collector = sriov(tree.root(), &kernel);
    let mut supported = Vec::new();
    for packets in 1..6 {
        tell(&kernel, zero.clone(), packets);
        let slow = tick(&mut collector, 1);
        supported.push(slow.value(&pf("vf_stats_supported")));
        assert_eq!(slow.value(&vf("receive_packets_total", 0)), None);
        assert_eq!(slow.value(&vf("spoof_check", 0)), Some(1.0));
    }
    assert_eq!(supported, [None, None, None, Some(0.0), Some(0.0)]);
}

#[test]
fn virtual_functions_that_come_and_go_are_seen_and_told() {
    let (tree, kernel) = node(4);
    let mut collector = sriov(tree.root(), &kernel);
    tick(&mut collector, 1);
    tree.remove_vfs(PCI, 4);
    tell(&kernel, vec![], 2);
    let slow = tick(&mut collector, 1);
    assert_eq!(slow.told(), [format!("sriov.numvfs_changed pf=ens1 pci={PCI} from=4 to=0")]);
    assert!(!slow.samples.keys().any(|series| series.starts_with("sriov_vf_")));
    assert_eq!(slow.value(&pf("vfs_configured")), None, "not read while they go");
    assert_eq!(tick(&mut collector, 1).value(&pf("vfs_configured")), Some(0.0));
    tree.vfs(PCI, 8, "iavf");
    // The kernel was asked before all of them were there.
    tell(&kernel, (0..6).map(BuiltVf::counting).collect(), 3);
    let slow = tick(&mut collector, 1);
    assert_eq!(slow.told(), [format!("sriov.numvfs_changed pf=ens1 pci={PCI} from=0 to=8")]);
    assert_eq!(slow.value(&vf("receive_packets_total", 5)), Some(60.0));
    assert_eq!(slow.value(&vf("receive_packets_total", 6)), None);
    assert_eq!(slow.value(&vf("driver_bound", 7)), Some(1.0));
}

#[test]
fn functions_that_sysfs_does_not_show_yet_are_left_out() {
    let (tree, kernel) = node(2);
    tell(&kernel, (0..4).map(BuiltVf::counting).collect(), 1);
    let slow = tick(&mut sriov(tree.root(), &kernel), 1);
    assert_eq!(slow.value(&vf("trust", 1)), Some(1.0));
    assert!(!slow.samples.keys().any(|series| series.contains("vf=\"2\"")));
}

#[test]
fn change_of_a_driver_is_told_and_an_unbound_function_keeps_its_counters() {
    let (tree, kernel) = node(3);
    let mut collector = sriov(tree.root(), &kernel);
    tick(&mut collector, 1);
    tree.bind(&vf_address(0), "vfio-pci");
    tree.bind(&vf_address(2), "");
    let slow = tick(&mut collector, 1);
    let told = |number: u32, to: &str| {
        let pci = vf_address(number);
        format!("sriov.vf_driver_changed pf=ens1 vf={number} pci={pci} from=iavf to={to}")
    };
    assert_eq!(slow.told(), [told(0, "vfio-pci"), told(2, "none")]);
    assert_eq!(slow.value(&vf("driver_bound", 0)), Some(1.0));
    assert_eq!(slow.value(&vf("driver_bound", 2)), Some(0.0));
    assert_eq!(slow.value(&vf("receive_packets_total", 2)), Some(30.0));
}

#[test]
fn short_loss_of_the_link_between_two_ticks_is_told() {
    let (tree, kernel) = node(0);
    let mut collector = sriov(tree.root(), &kernel);
    assert_eq!(tick(&mut collector, 0).told(), Vec::<String>::new());
    for state in [DOWN, DOWN, UP] {
        kernel.say(&link_message(INDEX, "ens1", state));
    }
    kernel.say(&link_message(999, "veth1", DOWN));
    let down = format!("sriov.link_down pf=ens1 pci={PCI}");
    let up = format!("sriov.link_up pf=ens1 pci={PCI}");
    assert_eq!(tick(&mut collector, 0).told(), [down, up]);
    assert_eq!(tick(&mut collector, 0).told(), Vec::<String>::new());
}

#[test]
fn link_that_goes_down_is_told_once_though_seen_twice() {
    let (tree, kernel) = node(1);
    tree.netdev(&vf_address(0), ("ens1v0", 9));
    let mut collector = sriov(tree.root(), &kernel);
    tick(&mut collector, 0);
    tree.write(&tree.function(PCI).join("net/ens1/operstate"), "down\n");
    let seen = tick(&mut collector, 0);
    assert_eq!(seen.told(), [format!("sriov.link_down pf=ens1 pci={PCI}")]);
    assert_eq!(seen.value(&pf("up")), Some(0.0));
    kernel.say(&link_message(INDEX, "ens1", DOWN));
    // A virtual function's own link: its first state is no change.
    kernel.say(&link_message(9, "ens1v0", UP));
    kernel.say(&link_message(9, "ens1v0", DOWN));
    let pci = vf_address(0);
    let told = tick(&mut collector, 0).told();
    assert_eq!(told, [format!("sriov.link_down pf=ens1 vf=0 pci={pci}")]);
}

#[test]
fn device_that_is_gone_or_renamed_is_looked_for_at_once() {
    let (tree, kernel) = node(0);
    tree.pf("0000:5e:00.0", "ice", ("ens2", 5), 8);
    let mut collector = sriov(tree.root(), &kernel);
    tick(&mut collector, 0);
    tree.remove("0000:5e:00.0");
    kernel.say(&gone_message(5));
    let told = tick(&mut collector, 0).told();
    assert_eq!(told, ["sriov.pf_removed pf=ens2 pci=0000:5e:00.0 vfs=0"]);

    let net = tree.function(PCI).join("net");
    std::fs::rename(net.join("ens1"), net.join("fronthaul")).unwrap();
    kernel.say(&link_message(INDEX, "fronthaul", UP));
    tick(&mut collector, 0);
    let renamed = tick(&mut collector, 0);
    assert_eq!(renamed.value(&format!("sriov_pf_up{{pci=\"{PCI}\",pf=\"fronthaul\"}}")), Some(1.0));
    assert_eq!(renamed.value(&pf("up")), None);
}

#[test]
fn garbage_from_the_kernel_is_a_failure_and_the_rest_is_read() {
    let (tree, kernel) = node(1);
    let mut collector = sriov(tree.root(), &kernel);
    tick(&mut collector, 0);
    kernel.say(&[1, 2, 3]);
    let fast = tick(&mut collector, 0);
    assert!(fast.failures.len() == 1 && fast.failures[0].starts_with("link_events: "), "{fast:?}");
    assert_eq!(fast.value(&pf("up")), Some(1.0));
    assert_eq!(tick(&mut collector, 0).failures, Vec::<String>::new(), "it listens again");

    let short =
        BuiltPf { index: INDEX, name: "x".into(), pci: "x".into(), packets: 0, vfs: vec![] };
    kernel.set(&short);
    let slow = tick(&mut collector, 1);
    assert!(slow.failures.len() == 1 && slow.failures[0].starts_with("vf_info: "), "{slow:?}");
    assert_eq!(slow.value(&pf("vfs")), Some(1.0));
}

#[test]
fn device_without_a_network_device_is_named_by_its_address() {
    let tree = Tree::new();
    let dir = tree.pci("0000:04:00.0", "0x020700");
    tree.write(&dir.join("sriov_totalvfs"), "16\n");
    tree.write(&dir.join("sriov_numvfs"), "0\n");
    let kernel = FakeKernel::default();
    let mut collector = sriov(tree.root(), &kernel);
    assert_eq!(tick(&mut collector, 0).failures, Vec::<String>::new());
    let slow = tick(&mut collector, 1);
    let labels = "pci=\"0000:04:00.0\",pf=\"0000:04:00.0\"";
    assert_eq!(slow.value(&format!("sriov_pf_vfs_max{{{labels}}}")), Some(16.0));
    assert!(kernel.state().asked.is_empty());
}

#[test]
fn applications_are_left_alone_if_so_configured() {
    let (tree, kernel) = node(0);
    let socket = tree.root().join("run/dpdk/rte/dpdk_telemetry.v2");
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    // Not of the right kind, so that asking fails.
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let failures = |dpdk| {
        let config = SriovConfig { dpdk, ..SriovConfig::default() };
        tick(&mut sriov_with(&config, tree.root(), &kernel), 1).failures.len()
    };
    assert_eq!((failures(true), failures(false)), (1, 0));
}

#[test]
fn functions_are_looked_for_every_15_s_or_when_the_kernel_tells_of_another_number() {
    let (tree, kernel) = node(2);
    let config =
        SriovConfig { vf_interval: std::time::Duration::from_secs(5), ..SriovConfig::default() };
    let mut collector = sriov_with(&config, tree.root(), &kernel);
    tick(&mut collector, 1);
    tree.bind(&vf_address(0), "vfio-pci");
    let told: Vec<_> = (0..4).map(|_| tick(&mut collector, 1).told().len()).collect();
    assert_eq!(told, [0, 0, 1, 0]);
    tree.vf(PCI, 2, &vf_address(2), "iavf");
    tell(&kernel, (0..3).map(BuiltVf::counting).collect(), 2);
    assert_eq!(tick(&mut collector, 1).told(), Vec::<String>::new());
    let changed = format!("sriov.numvfs_changed pf=ens1 pci={PCI} from=2 to=3");
    assert_eq!(tick(&mut collector, 1).told(), [changed]);
}
