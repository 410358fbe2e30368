//! The SR-IOV collector on a captured node, as one text, and on a built one that has everything.
//! `UPDATE_GOLDEN=1` writes the text anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod sriov_support;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sextant_agent::collectors::Collector;
use sriov_support::fake::attribute;
use sriov_support::kernel::{BuiltPf, BuiltVf, FULL, FakeKernel, text};
use sriov_support::tree::Tree;
use sriov_support::{Samples, family, fixture, sriov, tick};

const PCI: &str = "0000:3b:00.0";

/// Both tiers; a source that fails fails the test.
fn all(collector: &mut dyn Collector) -> Samples {
    let mut samples = Samples::new();
    for tier in [0, 1] {
        let tick = tick(collector, tier);
        assert_eq!((tick.failures.as_slice(), tick.absent), (&[][..], false));
        assert_eq!(tick.told(), Vec::<String>::new(), "the first sight is no change");
        samples.extend(tick.samples);
    }
    samples
}

#[test]
fn captured_node_gives_the_golden_text() {
    let kernel = FakeKernel::default();
    let captured = std::fs::read(fixture().join("getlink_eth0_mask1.bin")).unwrap();
    kernel.set_captured(2, FULL, &captured);
    let mut collector = sriov(&fixture(), &kernel);
    let samples = all(&mut collector);
    assert_eq!(kernel.state().asked, [(2, FULL)], "a function without virtual ones is not asked");
    let mut now = String::new();
    let mut last = "";
    let mut series: Vec<_> = samples.iter().collect();
    series.sort_by_key(|(series, _)| (family(series), *series));
    for (series, value) in series {
        let name = family(series);
        if name != last {
            let metric = collector.metrics().iter().find(|m| m.name == name).unwrap();
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            writeln!(now, "# HELP {name} {}\n# TYPE {name} {kind}", metric.help).unwrap();
            last = name;
        }
        writeln!(now, "{series} {value}").unwrap();
    }
    let path = fixture().join("golden");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let golden = std::fs::read_to_string(&path).expect("run once with UPDATE_GOLDEN=1");
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (golden_lines, now_lines) = (lines(&golden), lines(&now));
    let lost: Vec<_> = golden_lines.difference(&now_lines).collect();
    let new: Vec<_> = now_lines.difference(&golden_lines).collect();
    assert!(lost.is_empty() && new.is_empty(), "lost: {lost:#?}\nnew: {new:#?}");
    assert_eq!(golden, now);
}

#[test]
fn second_read_gives_the_same_series() {
    let kernel = FakeKernel::default();
    let captured = std::fs::read(fixture().join("getlink_eth0_mask1.bin")).unwrap();
    kernel.set_captured(2, FULL, &captured);
    let mut collector = sriov(&fixture(), &kernel);
    assert_eq!(all(&mut collector), all(&mut collector));
}

/// A node with a switch in its NIC, devlink, the driver's own files, and counters.
fn everything(kernel: &FakeKernel) -> Tree {
    let tree = Tree::new();
    let dir = tree.pf(PCI, "mlx5_core", ("ens1f0np0", 4), 16);
    let own = dir.join("net/ens1f0np0");
    tree.write(&own.join("phys_switch_id"), "aabbcc\n");
    tree.write(&own.join("speed"), "25000\n");
    for (file, text) in [
        ("current_link_speed", "8.0 GT/s PCIe\n"),
        ("max_link_speed", "16.0 GT/s PCIe\n"),
        ("current_link_width", "8\n"),
        ("max_link_width", "16\n"),
        ("power_state", "D0\n"),
        ("aer_dev_fatal", "TOTAL_ERR_FATAL 1\n"),
    ] {
        tree.write(&dir.join(file), text);
    }
    tree.vfs(PCI, 2, "mlx5_core");
    let representor = tree.netdev(PCI, ("ens1f0npf0vf0", 7));
    tree.write(&representor.join("phys_port_name"), "pf0vf0\n");
    let vfs = (0..2).map(|number| BuiltVf { rss_query: 1, ..BuiltVf::counting(number) });
    let name = "ens1f0np0".to_owned();
    let vfs = vfs.collect();
    kernel.set(&BuiltPf { index: 4, name, pci: PCI.into(), packets: 9, vfs });

    // A second one, which has its virtual functions' counters in files.
    let files = "0000:5e:00.0";
    tree.pf(files, "ice", ("ens2", 5), 4);
    tree.vf(files, 0, "0000:5e:01.0", "iavf");
    tree.write(&tree.function(files).join("sriov_numvfs"), "1\n");
    tree.write(&tree.function(files).join("sriov/0/stats/tx_errors"), "3\n");
    let vfs = vec![BuiltVf::counting(0)];
    kernel.set(&BuiltPf { index: 5, name: "ens2".into(), pci: files.into(), packets: 9, vfs });

    // And one that counts, by netlink alone.
    let counts = "0000:af:00.0";
    tree.pf(counts, "ixgbe", ("ens3", 6), 4);
    tree.vf(counts, 0, "0000:af:10.0", "ixgbevf");
    tree.write(&tree.function(counts).join("sriov_numvfs"), "1\n");
    let vfs = vec![BuiltVf::counting(0)];
    kernel.set(&BuiltPf { index: 6, name: "ens3".into(), pci: counts.into(), packets: 9, vfs });

    let handle = [attribute(1, &text("pci")), attribute(2, &text(PCI))].concat();
    let half = |kind, value: u16| attribute(kind, &value.to_ne_bytes());
    let long = |kind, value: u64| attribute(kind, &value.to_ne_bytes());
    let nest =
        [attribute(115, &text("fw")), attribute(116, &[0]), long(117, 2), long(118, 1)].concat();
    let reporter = [handle.clone(), attribute(0x8000 | 114, &nest)].concat();
    let function = attribute(0x8000 | 145, &attribute(2, &[1]));
    let index = attribute(3, &1u32.to_ne_bytes());
    let port = [handle.clone(), index, half(77, 4), half(4, 2), function].concat();
    let switch = [handle, half(25, 1), attribute(26, &[0]), attribute(62, &[1])].concat();
    let mut state = kernel.state();
    for (command, answer) in [(52, reporter), (5, port), (29, switch)] {
        state.devlink.insert((command, PCI.into()), vec![answer]);
    }
    drop(state);
    tree
}

#[test]
fn every_series_has_a_metric_and_every_metric_a_series_on_a_node_with_everything() {
    let kernel = FakeKernel::default();
    let tree = everything(&kernel);
    let mut collector = sriov(tree.root(), &kernel);
    let samples = all(&mut collector);
    let found: BTreeSet<&str> = samples.keys().map(|series| family(series)).collect();
    let known: BTreeSet<&str> = collector.metrics().iter().map(|metric| metric.name).collect();
    assert_eq!(known.len(), collector.metrics().len(), "a metric is listed twice");
    assert_eq!(found.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new());
    // Whose functions are is told by the kubelet, and applications by their sockets.
    let elsewhere = |name: &&&str| {
        ["pod", "owned", "dpdk"].iter().any(|word| name.split('_').any(|part| part == *word))
    };
    let missing: Vec<_> = known.difference(&found).filter(|name| !elsewhere(name)).collect();
    assert_eq!(missing, Vec::<&&str>::new());
    for metric in collector.metrics() {
        assert!(metric.help.ends_with('.') && metric.help.len() > 5, "{metric:?}");
    }
}
