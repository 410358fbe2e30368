use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::super::inventory::{self, Pf};
use super::super::sysfs::Reader;
use super::super::vf_reader::VfReader;
use super::super::vf_values;
use super::tree::{Tree, vf_address};
use crate::collectors::pods::{Attribution, Owner};
use crate::sample::Batch;

const PF: &str = "0000:3b:00.0";

fn owner(container: &str) -> Owner {
    Owner {
        namespace: "ran".into(),
        pod: "du-0".into(),
        container: container.into(),
        resource: "intel.com/fronthaul".into(),
        uid: None,
        shared: false,
    }
}

fn scan(tree: &Tree) -> Pf {
    inventory::scan(&tree.sys(), &[], &mut Reader::default()).remove(0)
}

/// Series of virtual function 0 by name, with the labels that are not the function's.
fn rows(pf: &Pf, owners: Option<&[Arc<[Owner]>]>) -> Vec<String> {
    let mut batch = Batch::default();
    batch.begin();
    let told = VfReader::new(Duration::from_secs(15));
    let from_sysfs = vf_values::in_sysfs(pf);
    vf_values::set(pf, &told, from_sysfs, owners, &mut batch, &mut Reader::default());
    let tick = batch.finish("sriov", 15_000);
    let layout = sextant_proto::layout::decode(tick.layout.0, &tick.layout.1).unwrap();
    let mut values = tick.values.iter();
    let mut rows = Vec::new();
    for entity in &layout.entities {
        for series in &entity.series {
            let name = &layout.metrics[series.metric as usize].name;
            let labels: Vec<_> = series.labels.iter().map(|l| l.value.as_str()).collect();
            let value = values.next().unwrap();
            if entity.labels.iter().any(|label| label.name == "vf" && label.value == "0") {
                rows.push(format!("{name} {} {value}", labels.join("/")));
            }
        }
    }
    rows
}

fn has(rows: &[String], row: &str) -> bool {
    rows.iter().any(|known| known == row)
}

#[test]
fn owner_is_told_only_where_somebody_knows() {
    let tree = Tree::new();
    tree.pf(PF, "ice", ("ens1", 4), 8);
    tree.vfs(PF, 2, "vfio-pci");
    let pf = scan(&tree);
    let nobody = Attribution::new(PathBuf::from("/nowhere"));
    assert!(vf_values::owners(&pf, &nobody).is_none());
    assert!(!rows(&pf, None).iter().any(|row| row.contains("owned")));

    let owners: [Arc<[Owner]>; 2] = [Arc::from([owner("du"), owner("sidecar")]), Arc::from([])];
    let rows = rows(&pf, Some(&owners));
    assert!(has(&rows, "sriov_vf_owned  1"), "{rows:?}");
    assert!(has(&rows, "sriov_vf_pod_info ran/du-0/du/intel.com/fronthaul 1"));
    assert!(has(&rows, "sriov_vf_pod_info ran/du-0/sidecar/intel.com/fronthaul 1"));
}

#[test]
fn representor_counts_from_the_switchs_side() {
    let tree = Tree::new();
    let dir = tree.pf(PF, "mlx5_core", ("ens1f0np0", 4), 8);
    tree.write(&dir.join("net/ens1f0np0/phys_switch_id"), "aabb\n");
    tree.write(&dir.join("net/ens1f0np0/phys_port_name"), "p0\n");
    tree.vfs(PF, 2, "mlx5_core");
    let representor = tree.netdev(PF, ("ens1f0npf0vf0", 7));
    tree.write(&representor.join("phys_port_name"), "pf0vf0\n");
    tree.write(&representor.join("operstate"), "down\n");
    tree.write(&representor.join("statistics/rx_bytes"), "100\n");
    tree.write(&representor.join("statistics/tx_bytes"), "900\n");
    let pf = scan(&tree);
    assert_eq!(pf.name, "ens1f0np0", "the representor is not the function's own");
    let again = inventory::scan(&tree.sys(), std::slice::from_ref(&pf), &mut Reader::default());
    assert_eq!(again, std::slice::from_ref(&pf));
    let rows = rows(&pf, None);
    assert!(has(&rows, "sriov_vf_representor_up  0"), "{rows:?}");
    assert!(has(&rows, "sriov_vf_receive_bytes_total  900"));
    assert!(has(&rows, "sriov_vf_transmit_bytes_total  100"));

    // It gets another name, and its function another representor.
    std::fs::rename(&representor, representor.with_file_name("other")).unwrap();
    let again = inventory::scan(&tree.sys(), &[pf], &mut Reader::default());
    let found = again[0].vfs[0].representor.as_ref().map(|netdev| netdev.name.as_str());
    assert_eq!((again[0].name.as_str(), found), ("ens1f0np0", Some("other")));
}

#[test]
fn representor_elsewhere_is_found_by_its_switch() {
    let tree = Tree::new();
    let dir = tree.pf(PF, "ice", ("ens1", 4), 8);
    tree.write(&dir.join("net/ens1/phys_switch_id"), "aabb\n");
    tree.vfs(PF, 1, "iavf");
    let class = tree.sys().join("class/net");
    std::fs::create_dir_all(&class).unwrap();
    for (name, switch, port) in
        [("eth10", "ccdd", "pf0vf0"), ("eth11", "aabb", "pf1vf0"), ("eth12", "aabb", "pf0vf0")]
    {
        let device = tree.sys().join("devices/pci0000:01").join(name);
        tree.write(&device.join("ifindex"), "20\n");
        tree.write(&device.join("phys_switch_id"), switch);
        tree.write(&device.join("phys_port_name"), port);
        let target = format!("../../devices/pci0000:01/{name}");
        std::os::unix::fs::symlink(target, class.join(name)).unwrap();
    }
    let found = scan(&tree).vfs[0].representor.clone();
    assert_eq!(found.map(|netdev| netdev.name).as_deref(), Some("eth12"));
}

#[test]
fn counters_of_the_drivers_own_files_are_read_in_both_forms() {
    let stats = |tree: &Tree| tree.function(PF).join("sriov/0/stats");
    let tree = Tree::new();
    tree.pf(PF, "ice", ("ens1", 4), 8);
    tree.vfs(PF, 1, "iavf");
    tree.write(&stats(&tree).join("rx_packets"), "11\n");
    tree.write(&stats(&tree).join("tx_errors"), "3\n");
    let rows_of_files = rows(&scan(&tree), None);
    assert!(has(&rows_of_files, "sriov_vf_receive_packets_total  11"), "{rows_of_files:?}");
    assert!(has(&rows_of_files, "sriov_vf_transmit_errors_total  3"));
    assert!(!rows_of_files.iter().any(|row| row.contains("receive_bytes")));

    let tree = Tree::new();
    tree.pf(PF, "mlx5_core", ("ens1", 4), 8);
    tree.vfs(PF, 1, "mlx5_core");
    tree.write(&stats(&tree), "tx_packets    : 5011\nrx_broadcast  : 2\nrx_dropped    : x\n");
    let rows_of_text = rows(&scan(&tree), None);
    assert!(has(&rows_of_text, "sriov_vf_transmit_packets_total  5011"), "{rows_of_text:?}");
    assert!(has(&rows_of_text, "sriov_vf_receive_broadcast_total  2"));
    assert!(!rows_of_text.iter().any(|row| row.contains("dropped")));
}

#[test]
fn devices_that_are_no_network_functions_are_passed_over() {
    let tree = Tree::new();
    let nvme = tree.pci("0000:01:00.0", "0x010802");
    tree.write(&nvme.join("sriov_totalvfs"), "2\n");
    let off = tree.pci("0000:02:00.0", "0x020000");
    tree.write(&off.join("sriov_totalvfs"), "0\n");
    tree.pci("0000:03:00.0", "0x020000");
    let infiniband = tree.pci("0000:04:00.0", "0x020700");
    tree.write(&infiniband.join("sriov_totalvfs"), "16\n");
    std::fs::create_dir_all(infiniband.join("infiniband/mlx5_0")).unwrap();
    // netdevsim has sriov_numvfs, but is on no PCI bus.
    tree.write(&tree.sys().join("bus/netdevsim/devices/netdevsim1/sriov_numvfs"), "3\n");
    let found = inventory::scan(&tree.sys(), &[], &mut Reader::default());
    let found: Vec<_> = found.iter().map(|pf| (pf.name.as_str(), &*pf.rdma_device)).collect();
    assert_eq!(found, [("0000:04:00.0", "mlx5_0")]);
}

#[test]
fn numvfs_is_not_read_while_functions_come_and_go() {
    let tree = Tree::new();
    tree.pf(PF, "ice", ("ens1", 4), 8);
    tree.vfs(PF, 2, "iavf");
    let mut reader = Reader::default();
    let mut scan = |before: &[Pf]| inventory::scan(&tree.sys(), before, &mut reader);
    let first = scan(&[]);
    assert_eq!(first[0].configured_vfs, Some(2));
    // Reading it now would wait for the kernel.
    tree.write(&tree.function(PF).join("sriov_numvfs"), "8\n");
    let same = scan(&first);
    assert_eq!(same[0].configured_vfs, Some(2), "as many links as before: nothing is read");
    for number in 2..5 {
        tree.vf(PF, number, &vf_address(number), "iavf");
    }
    let moving = scan(&same);
    assert_eq!((moving[0].configured_vfs, moving[0].vfs.len()), (None, 5));
    let resting = scan(&moving);
    assert_eq!((resting[0].configured_vfs, resting[0].vfs.len()), (Some(8), 5));
}

#[test]
fn function_in_a_pod_under_vfio_or_without_a_driver_is_still_known() {
    let tree = Tree::new();
    tree.pf(PF, "ice", ("ens1", 4), 8);
    tree.vfs(PF, 3, "iavf");
    // Its network device is in another namespace: the directory is there, and empty.
    std::fs::create_dir_all(tree.function(&vf_address(0)).join("net")).unwrap();
    tree.bind(&vf_address(1), "vfio-pci");
    let group = tree.function(&vf_address(1)).join("iommu_group");
    std::os::unix::fs::symlink("../../../kernel/iommu_groups/42", group).unwrap();
    tree.bind(&vf_address(2), "");
    std::fs::create_dir_all(tree.function(&vf_address(2)).join("infiniband/mlx5_3")).unwrap();
    let pf = scan(&tree);
    let seen: Vec<_> = pf
        .vfs
        .iter()
        .map(|vf| (vf.netdev.is_some(), &*vf.driver, &*vf.iommu_group, &*vf.rdma_device))
        .collect();
    let expected =
        [(false, "iavf", "", ""), (false, "vfio-pci", "42", ""), (false, "", "", "mlx5_3")];
    assert_eq!(seen, expected);
}
