//! What is connected with what, on a made-up node.

use std::sync::Arc;

use sextant_proto::v1::Label;

use super::{Fact, FixedTopology, Place, Relation, Topology};

fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    pairs.iter().map(|(n, v)| Label { name: (*n).into(), value: (*v).into() }).collect()
}

/// PF eth0 with VF and PHC, PTP port on it behind a grandmaster; eth1 on the same card; GPUs 0
/// and 1 behind a switch, a MIG instance of GPU 0; a disk with a file system.
fn facts(clock: &str, gm: &str) -> Vec<Fact> {
    let pf = |name, pci| [("pf", name), ("pci", pci)];
    let vf = [("pf", "eth0"), ("vf", "0"), ("pci", "0000:3b:02.0")];
    let port = [("instance", "ptp4l"), ("port", "1"), ("iface", "eth0")];
    let gpu = |uuid| [("uuid", uuid)];
    let link = [("link", "0"), ("remote_pci_bus_id", "0000:c0:00.0")];
    let owner = [("namespace", "ml"), ("pod", "train-0"), ("container", "m")];
    vec![
        Fact::new("pf", &pf("eth0", "0000:3b:00.0"), "sriov_pf_info", &[("phc", "ptp0")]),
        Fact::new("pf", &pf("eth1", "0000:3b:00.1"), "sriov_pf_info", &[("phc", "ptp1")]),
        Fact::new("vf", &vf, "sriov_vf_info", &[("netdev", "")]),
        Fact::new("phc", &[("phc", "ptp0")], "ptp_phc_info", &[("netdevs", "eth0")]),
        Fact::new(
            "ptp_instance",
            &[("instance", "ptp4l")],
            "ptp_instance_info",
            &[("clock_id", clock)],
        ),
        Fact::new(
            "ptp_instance",
            &[("instance", "ptp4l")],
            "ptp_grandmaster_info",
            &[("grandmaster", gm)],
        ),
        Fact::new("ptp_port", &port, "ptp_port_info", &[("phc", "ptp0")]),
        Fact::new("gpu", &gpu("GPU-0"), "gpu_info", &[("pci_bus_id", "0000:01:00.0")]),
        Fact::new("gpu", &gpu("GPU-0"), "gpu_nvlink_info", &link),
        Fact::new("gpu", &gpu("GPU-0"), "gpu_pod_info", &owner),
        Fact::new("gpu", &gpu("GPU-1"), "gpu_nvlink_info", &link),
        Fact::new("mig", &gpu("MIG-0"), "gpu_mig_info", &[("gpu_uuid", "GPU-0")]),
        Fact::new("disk", &[("device", "nvme0n1")], "", &[]),
        Fact::new("filesystem", &[("device", "/dev/nvme0n1p2"), ("mountpoint", "/")], "", &[]),
        Fact::new("node", &[], "node_rack_info", &[("rack", "r1")]),
    ]
}

fn topology() -> Topology {
    let mut source = FixedTopology::default();
    source.set("c", "a", facts("clock-a", "gm-1"));
    source.set("c", "b", facts("clock-b", "gm-1"));
    source.set("c", "g", facts("gm-1", "gm-1"));
    source.set("c", "x", facts("clock-x", "gm-2"));
    Topology::new(Box::new(source))
}

fn at(topology: &mut Topology, node: &str, kind: &str, entity: &[(&str, &str)]) -> Arc<Place> {
    topology.place("c", node, kind, &labels(entity))
}

#[test]
fn devices_are_related_by_what_they_are_part_of_and_linked_with() {
    let mut t = topology();
    let mut place = |kind: &str, entity: &[(&str, &str)]| at(&mut t, "a", kind, entity);
    let pf = place("pf", &[("pf", "eth0"), ("pci", "0000:3b:00.0")]);
    let other = place("pf", &[("pf", "eth1"), ("pci", "0000:3b:00.1")]);
    let vf = place("vf", &[("pf", "eth0"), ("vf", "0"), ("pci", "0000:3b:02.0")]);
    let netdev = place("netdev", &[("device", "eth0")]);
    let port = place("ptp_port", &[("instance", "ptp4l"), ("port", "1"), ("iface", "eth0")]);
    let reporter = place("devlink_reporter", &[("pci", "0000:3b:00.0"), ("reporter", "fw")]);
    let (gpu, peer) = (place("gpu", &[("uuid", "GPU-0")]), place("gpu", &[("uuid", "GPU-1")]));
    let mig = place("mig", &[("uuid", "MIG-0")]);
    let pci = place("pci", &[("pci_bus_id", "0000:01:00.0")]);
    let disk = place("disk", &[("device", "nvme0n1")]);
    let files = place("filesystem", &[("device", "/dev/nvme0n1p2"), ("mountpoint", "/")]);
    let node = place("node", &[]);
    let f = |a: &Place, b: &Place, relation: Relation, want: bool| {
        let text = format!("{} and {}", a.component.describe(), b.component.describe());
        assert_eq!(a.relation(b).meets(relation), want, "{text}");
        assert_eq!(b.relation(a).meets(relation), want, "{text}");
    };
    f(&pf, &vf, Relation::LINEAGE, true);
    f(&pf, &netdev, Relation::SAME, true);
    f(&pf, &reporter, Relation::SAME, true);
    f(&pf, &port, Relation::DEVICE, true);
    f(&vf, &port, Relation::DEVICE, true);
    f(&pf, &port, Relation::LINEAGE, false);
    f(&pf, &other, Relation::LINEAGE, false);
    f(&pf, &other, Relation::DEVICE, true);
    f(&gpu, &mig, Relation::LINEAGE, true);
    f(&gpu, &pci, Relation::SAME, true);
    f(&gpu, &peer, Relation::DEVICE, true);
    f(&gpu, &pf, Relation::DEVICE, false);
    f(&gpu, &pf, Relation::NODE, true);
    f(&disk, &files, Relation::LINEAGE, true);
    f(&node, &gpu, Relation::LINEAGE, false);
    f(&node, &gpu, Relation::NODE, true);
}

#[test]
fn nodes_share_grandmasters_workloads_and_racks() {
    let mut t = topology();
    let mut ptp = |node: &str| at(&mut t, node, "ptp_instance", &[("instance", "ptp4l")]);
    let (a, b, gm, x) = (ptp("a"), ptp("b"), ptp("g"), ptp("x"));
    assert!(a.relation(&b).meets(Relation::DOMAIN) && a.relation(&gm).meets(Relation::DOMAIN));
    assert!(!a.relation(&x).meets(Relation::DOMAIN));
    assert!(a.relation(&b).meets(Relation::RACK) && !a.relation(&b).meets(Relation::NODE));
    let mut gpu = |node: &str, uuid: &str| at(&mut t, node, "gpu", &[("uuid", uuid)]);
    assert!(gpu("a", "GPU-0").relation(&gpu("b", "GPU-0")).meets(Relation::WORKLOAD));
    assert!(!gpu("a", "GPU-1").relation(&gpu("b", "GPU-0")).meets(Relation::WORKLOAD));
    let tenants = t.tenants("c", "a");
    assert_eq!((tenants.len(), &*tenants[0].device_name), (1, "gpu GPU-0"));
    let above = |kind: &str, node: &str, name: &str| super::Component {
        kind: kind.into(),
        cluster: "c".into(),
        node: node.into(),
        name: name.into(),
    };
    assert_eq!(t.count_below(&above("node", "a", ""), "gpu"), 2);
    assert_eq!(t.count_below(&above("pf", "a", "eth0"), "vf"), 1);
    assert_eq!(t.count_below(&above("grandmaster", "", "gm-1"), "node"), 3);
    assert_eq!(t.count_below(&above("rack", "", "rack r1"), "node"), 4);
}

#[test]
fn what_no_agent_told_of_has_a_place_by_its_labels() {
    let mut t = Topology::new(Box::new(FixedTopology::default()));
    let vf = at(&mut t, "n", "vf", &[("pf", "eth0"), ("vf", "1"), ("pci", "0000:3b:02.1")]);
    let pf = at(&mut t, "n", "pf", &[("pf", "eth0"), ("pci", "0000:3b:00.0")]);
    assert!(pf.relation(&vf).meets(Relation::LINEAGE));
    let again = t.place_of("c", "n", "pf", "eth0");
    assert_eq!(again.relation(&pf), pf.relation(&pf));
}

#[test]
fn nodes_that_pass_through_are_forgotten_and_keep_their_meaning() {
    let mut t = Topology::new(Box::new(FixedTopology::default()));
    let kept = at(&mut t, "kept", "gpu", &[("uuid", "GPU-1")]);
    for n in 0..2 * super::MAX_NODES {
        t.elapse(i64::try_from(n).expect("small"));
        at(&mut t, &n.to_string(), "gpu", &[("uuid", "GPU-1")]);
    }
    assert!(t.nodes.len() <= super::MAX_NODES);
    assert!(t.names.numbers.len() < 4 * super::MAX_NODES);
    let again = at(&mut t, "kept", "gpu", &[("uuid", "GPU-1")]);
    assert!(again.relation(&kept).meets(Relation::SAME));
}
