//! One fault, one incident, and the right cause first.

use sextant_proto::v1::Severity::{Critical, Info, Warning};

use super::world::{
    World, facts, first, fleet, gpu, on_filesystem, on_gpu, on_node, on_pf, on_port, on_ptp, on_vf,
};
use crate::incident::{ChangeKind, FixedTopology, IncidentConfig};

/// What is to be made of a fault.
struct Expected {
    cause: &'static str,
    /// Where, in words.
    at: String,
    paged: bool,
    members: u32,
}

#[track_caller]
fn check(world: &World, expected: &Expected) {
    let incident = world.one();
    assert_eq!(first(&incident), (expected.cause.to_owned(), expected.at.clone()), "{incident:#?}");
    assert!(!incident.undetermined, "{}: {}", incident.title, incident.confidence);
    assert_eq!((incident.paged, incident.member_count), (expected.paged, expected.members));
    assert_eq!(incident.component, incident.causes[0].component);
}

#[test]
fn lost_gpu_with_its_symptoms_is_one_incident() {
    let mut w = World::new(2);
    w.unusual("n0", on_gpu("n0", 3), "robust_z", "gpu_pcie_replay_total");
    w.pass(5);
    w.rule("n0", on_gpu("n0", 3), "GpuXid79", Critical);
    w.rule("n0", on_gpu("n0", 3), "GpuPcieWidth", Critical);
    w.pass(2);
    w.rule("n0", on_gpu("n0", 3), "GpuLost", Critical);
    w.rule("n0", on_gpu("n0", 3), "GpuResetRequired", Critical);
    w.rule("n0", on_node(), "GpuCountMismatch", Critical);
    for n in [0, 1, 2, 4] {
        w.unusual("n0", on_gpu("n0", n), "robust_z", "gpu_utilization_ratio");
    }
    w.rule("n0", on_gpu("n0", 3), "GpuWedged", Warning);
    w.pass(20);
    w.rule("n0", on_gpu("n0", 1), "GpuXid45", Info);
    w.rule("n0", on_gpu("n0", 3), "GpuXid154", Warning);
    w.pass(30);
    let at = format!("gpu {} of n0", gpu("n0", 3));
    check(&w, &Expected { cause: "gpu.off_bus", at, paged: true, members: 13 });
    let incident = w.one();
    assert!(incident.confidence > 0.7, "{}", incident.confidence);
    assert_eq!(incident.page_reason, "critical: GpuXid79");
    assert!(incident.title.contains("fell off the PCIe bus"), "{}", incident.title);
    assert_eq!(incident.actions[0], "see to GpuXid79");
    let pods: Vec<_> = incident.affected.iter().map(|p| (&*p.namespace, &*p.pod)).collect();
    assert!(pods.contains(&("ml", "train-0")), "{pods:?}");
    assert!(incident.members.iter().filter(|m| m.explained).count() >= 10, "{incident:#?}");
}

#[test]
fn lost_grandmaster_over_five_nodes_is_one_incident() {
    let mut w = World::new(5);
    for n in 0..5 {
        let node = format!("n{n}");
        w.event(&node, on_ptp(), "ptp.clock_class_changed");
        w.rule(&node, on_ptp(), "PtpClockClass7", Warning);
    }
    w.pass(3);
    for n in 0..5 {
        w.rule(&format!("n{n}"), on_ptp(), "PtpHoldover", Warning);
    }
    w.pass(30);
    for n in 0..5 {
        let node = format!("n{n}");
        w.rule(&node, on_ptp(), "PtpClockClass248", Critical);
        w.rule(&node, on_ptp(), "PtpOffsetHigh", Warning);
        w.pass(1);
    }
    w.pass(10);
    let at = "grandmaster gm".to_owned();
    check(&w, &Expected { cause: "ptp.grandmaster", at, paged: true, members: 20 });
    assert_eq!(w.one().nodes.len(), 5);
}

#[test]
fn flapping_link_takes_its_vfs_and_its_ptp_port_along() {
    let mut w = World::new(2);
    w.event("n1", on_pf(0), "sriov.link_down");
    w.rule("n1", on_pf(0), "SriovPfDown", Critical);
    w.pass(2);
    w.rule("n1", on_port(), "PtpPortNotSlave", Critical);
    w.rule("n1", on_ptp(), "PtpHoldover", Warning);
    for n in 0..4 {
        w.rule("n1", on_vf(0, n), "SriovVfSilent", Info);
    }
    w.pass(5);
    w.rule("n1", on_pf(0), "SriovPfFlapping", Warning);
    w.rule("n1", on_vf(0, 2), "SriovVfReceiveDrops", Warning);
    w.rule("n1", on_node(), "PtpNodeHoldover", Warning);
    w.pass(20);
    let at = "pf ens1f0 of n1".to_owned();
    check(&w, &Expected { cause: "sriov.pf_link", at, paged: true, members: 10 });
    let pods: Vec<_> = w.one().affected.iter().map(|p| p.pod.clone()).collect();
    assert!(pods.contains(&"du-0".to_owned()), "{pods:?}");
}

#[test]
fn unrelated_faults_at_the_same_time_stay_apart() {
    let mut w = World::new(2);
    w.rule("n0", on_gpu("n0", 1), "GpuXid48", Critical);
    w.rule("n0", on_filesystem("/var"), "FilesystemFull", Critical);
    w.rule("n1", on_pf(1), "SriovPfDown", Critical);
    w.pass(1);
    w.rule("n0", on_gpu("n0", 1), "GpuXid63", Warning);
    w.rule("n1", on_vf(1, 0), "SriovVfSilent", Info);
    w.pass(30);
    let mut causes: Vec<_> = w.told().iter().map(first).collect();
    causes.sort();
    let want = [
        ("disk.full", "filesystem /var of n0".to_owned()),
        ("gpu.ecc_uncorrected", format!("gpu {} of n0", gpu("n0", 1))),
        ("sriov.pf_link", "pf ens1f1 of n1".to_owned()),
    ];
    assert_eq!(causes, want.map(|(class, at)| (class.to_owned(), at)));
}

#[test]
fn change_just_before_gray_symptoms_is_their_cause() {
    let mut w = World::new(1);
    w.event("n0", on_node(), "change.driver");
    w.pass(180);
    w.rule("n0", on_gpu("n0", 2), "GpuSlowClock", Warning);
    w.rule("n0", on_gpu("n0", 5), "GpuSlowClock", Warning);
    w.pass(10);
    let incident = w.one();
    assert_eq!(first(&incident), ("change.driver".to_owned(), "n0".to_owned()), "{incident:#?}");
    let evidence = &incident.causes[0].evidence_for[0];
    assert_eq!((&*evidence.kind, &*evidence.text), ("change", "change.driver on n0"));
    // The same symptoms a day later have nothing to do with it.
    let mut w = World::new(1);
    w.event("n0", on_node(), "change.driver");
    w.pass(3 * 3600);
    w.rule("n0", on_gpu("n0", 2), "GpuSlowClock", Warning);
    w.pass(10);
    assert_ne!(first(&w.one()).0, "change.driver");
}

#[test]
fn dead_node_takes_everything_on_it_along() {
    let mut w = World::new(3);
    w.rule("n2", on_node(), "CollectorDown", Warning);
    w.rule("n2", on_ptp(), "PtpUnreachable", Critical);
    w.rule("n2", on_gpu("n2", 0), "GpuWedged", Warning);
    w.pass(35);
    w.event("n2", on_node(), "node.disconnected");
    w.rule("n2", on_node(), "node_stale", Critical);
    w.rule("n2", on_pf(1), "SriovPfSlow", Warning);
    w.pass(20);
    check(&w, &Expected { cause: "node.gone", at: "n2".into(), paged: true, members: 5 });
}

#[test]
fn power_brake_on_all_gpus_is_the_feed_of_the_node() {
    let mut w = World::new(1);
    for n in 0..8 {
        w.rule("n0", on_gpu("n0", n), "GpuPowerBrake", Warning);
    }
    w.pass(3);
    for n in 0..8 {
        w.rule("n0", on_gpu("n0", n), "GpuHardwareSlowdown", Critical);
        w.unusual("n0", on_gpu("n0", n), "robust_z", "gpu_power_watts");
    }
    w.pass(20);
    check(&w, &Expected { cause: "power.node_feed", at: "n0".into(), paged: true, members: 24 });
}

#[test]
fn nodes_of_a_rack_that_go_together_are_the_rack() {
    let mut w = World::new(20);
    for n in 0..6 {
        w.rule(&format!("n{n}"), on_node(), "node_stale", Critical);
        w.pass(1);
    }
    w.pass(30);
    let at = "rack rack r0".to_owned();
    check(&w, &Expected { cause: "power.rack", at, paged: true, members: 6 });
    // Two are two.
    let mut w = World::new(20);
    w.rule("n0", on_node(), "node_stale", Critical);
    w.rule("n1", on_node(), "node_stale", Critical);
    w.pass(30);
    assert_eq!(w.told().len(), 2);
}

#[test]
fn memory_goes_before_the_kill() {
    let mut w = World::new(1);
    w.rule("n0", on_node(), "MemoryAlmostExhausted", Warning);
    w.pass(60);
    w.rule("n0", on_node(), "MemoryPressure", Warning);
    w.pass(30);
    w.event("n0", on_node(), "host.oom_kill");
    w.rule("n0", on_node(), "OutOfMemoryKill", Critical);
    w.pass(10);
    check(&w, &Expected { cause: "memory.exhausted", at: "n0".into(), paged: true, members: 3 });
}

#[test]
fn remap_recorded_does_not_page_and_a_failed_one_does() {
    let mut w = World::new(1);
    w.rule("n0", on_gpu("n0", 0), "GpuXid63", Warning);
    w.unusual("n0", on_gpu("n0", 0), "robust_z", "gpu_memory_temperature_celsius");
    w.rule("n0", on_gpu("n0", 0), "GpuRowRemapPending", Warning);
    w.pass(120);
    let incident = w.one();
    assert!(!incident.paged, "{}", incident.page_reason);
    w.rule("n0", on_gpu("n0", 0), "GpuXid64", Critical);
    w.pass(5);
    let incident = w.one();
    assert!(incident.paged);
    assert_eq!(first(&incident).0, "gpu.remap_failed");
}

#[test]
fn what_was_learned_alone_is_mild_and_only_when_it_agrees() {
    let mut w = World::new(1);
    w.unusual("n0", on_gpu("n0", 0), "robust_z", "gpu_power_watts");
    w.unusual("n0", on_gpu("n0", 0), "robust_z", "gpu_utilization_ratio");
    w.pass(60);
    assert!(w.told().is_empty());
    w.unusual("n0", on_gpu("n0", 0), "robust_z", "gpu_clock_hertz");
    w.pass(5);
    let incident = w.one();
    assert_eq!((incident.severity(), incident.paged), (Info, false));
    assert_eq!(incident.page_reason, "unusual, and no rule is broken");
    // With its peers it is gray evidence, and pages.
    w.unusual("n0", on_gpu("n0", 0), "peers", "gpu_clock_hertz");
    w.pass(5);
    let incident = w.one();
    assert_eq!((incident.severity(), incident.paged), (Warning, true), "{}", incident.page_reason);
    // Information never does.
    let mut w = World::new(1);
    for n in 0..4 {
        w.rule("n0", on_vf(0, n), "SriovVfExposed", Info);
        w.rule("n0", on_gpu("n0", n), "GpuXid13", Info);
    }
    w.pass(60);
    assert!(w.told().iter().all(|i| !i.paged));
}

#[test]
fn warning_pages_only_where_something_else_agrees() {
    let mut w = World::new(1);
    w.rule("n0", on_gpu("n0", 4), "GpuSlowClock", Warning);
    w.pass(30);
    assert_eq!((w.one().paged, w.one().severity()), (false, Warning));
    w.unusual("n0", on_gpu("n0", 4), "peers", "gpu_power_watts");
    w.pass(5);
    let incident = w.one();
    assert!(incident.paged);
    assert_eq!(incident.page_reason, "GpuSlowClock and its peers (gpu_power_watts) agree");
    assert_eq!(w.count(ChangeKind::Paged), 1);
}

#[test]
fn late_cause_joins_what_it_explains() {
    let mut w = World::new(1);
    w.rule("n0", on_port(), "PtpPortNotSlave", Critical);
    w.pass(2);
    assert_eq!(first(&w.one()).0, "ptp.port_state");
    // The slower collector finds the link below it.
    w.rule("n0", on_pf(0), "SriovPfDown", Critical);
    w.pass(2);
    assert_eq!(first(&w.one()).0, "sriov.pf_link");
    assert_eq!(w.count(ChangeKind::Cause), 1);
    assert_eq!(w.one().id, 1);
}

#[test]
fn two_incidents_become_one_when_their_cause_shows() {
    let mut w = World::new(1);
    w.rule("n0", on_ptp(), "PtpOffsetHigh", Warning);
    w.pass(10);
    w.rule("n0", on_vf(0, 1), "SriovVfReceiveDropsMany", Critical);
    w.pass(10);
    assert_eq!(w.told().len(), 2);
    w.rule("n0", on_pf(0), "SriovPfFlapping", Warning);
    w.pass(5);
    let incident = w.one();
    assert_eq!((incident.id, incident.member_count, incident.paged), (1, 3, true));
    assert_eq!(first(&incident).0, "sriov.pf_link");
    let merged = w.incidents().into_iter().find(|i| i.id == 2).expect("told");
    assert_eq!(merged.merged_into, 1);
}

#[test]
fn symptom_alone_is_not_a_sure_answer_and_says_what_to_look_at() {
    let mut w = World::on(fleet(2), IncidentConfig::default());
    w.rule("n0", on_ptp(), "PtpOffsetHigh", Warning);
    w.pass(10);
    let incident = w.one();
    assert!(incident.confidence < 0.7, "{}", incident.confidence);
    assert!(!incident.discriminating_check.is_empty());
}

#[test]
fn straggler_in_a_job_is_one_incident_with_those_who_wait_for_it() {
    let mut topology = FixedTopology::default();
    for n in 0..4 {
        let node = format!("n{n}");
        topology.set("c", &node, facts(&node, "", "gm", &format!("train-{n}")));
    }
    let mut w = World::on(topology, IncidentConfig::default());
    w.rule("n2", on_gpu("n2", 5), "GpuThermalThrottle", Warning);
    w.unusual("n2", on_gpu("n2", 5), "peers", "gpu_clock_hertz");
    w.pass(30);
    for n in 0..4 {
        let node = format!("n{n}");
        w.unusual(&node, on_gpu(&node, 0), "peers", "gpu_utilization_ratio");
    }
    w.pass(20);
    let at = format!("gpu {} of n2", gpu("n2", 5));
    check(&w, &Expected { cause: "gpu.thermal", at, paged: true, members: 6 });
}

#[test]
fn nodes_that_go_at_once_without_a_rack_are_the_way_to_them() {
    let mut topology = FixedTopology::default();
    for n in 0..40 {
        let node = format!("n{n}");
        topology.set("c", &node, facts(&node, "", "gm", ""));
    }
    let mut w = World::on(topology, IncidentConfig::default());
    for n in 0..4 {
        w.rule(&format!("n{n}"), on_node(), "node_stale", Critical);
        w.pass(2);
    }
    w.pass(20);
    let incident = w.one();
    assert_eq!(first(&incident), ("node.network".to_owned(), "cluster c".to_owned()));
    let against = &incident.causes[0].evidence_against[0];
    assert_eq!(against.text, "only 4 of 40 components below it are affected");
}

#[test]
fn two_of_eight_gpus_that_brake_are_not_the_feed_of_the_node() {
    let mut w = World::new(1);
    for n in [2, 5] {
        w.rule("n0", on_gpu("n0", n), "GpuPowerBrake", Warning);
    }
    w.pass(30);
    let incident = w.one();
    assert_eq!(first(&incident).0, "gpu.power_brake");
    let feed = incident.causes.iter().find(|c| c.class == "power.node_feed").expect("a suspect");
    assert_eq!(feed.evidence_against[0].text, "only 2 of 8 components below it are affected");
}

#[test]
fn effect_that_is_seldom_missing_speaks_against_its_cause_when_it_is() {
    let mut w = World::new(1);
    w.rule("n0", on_gpu("n0", 3), "GpuXid79", Critical);
    w.pass(30);
    let sure = w.one().causes[0].score;
    assert!(w.one().causes[0].evidence_against.is_empty());
    // The GPU should have been lost by now.
    w.pass(300);
    w.rule("n0", on_gpu("n0", 3), "GpuXid45", Info);
    w.pass(20);
    let cause = &w.one().causes[0];
    assert_eq!(cause.class, "gpu.off_bus");
    assert_eq!(cause.evidence_against[0].text, "expected and not seen: gpu.lost");
    assert!(cause.score < sure + 0.5, "{} {sure}", cause.score);
}
