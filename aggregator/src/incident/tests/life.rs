//! From opening to the end, over restarts and through maintenance.

use sextant_proto::v1::{self, IncidentState, Severity::Critical, Severity::Warning};

use super::world::{START, World, facts, first, fleet, on_gpu, on_node, on_pf};
use crate::incident::{AnomalyChange, ChangeKind, FixedTopology, IncidentConfig, IncidentEngine};

#[test]
fn it_opens_closes_comes_back_and_ends() {
    let mut w = World::new(1);
    let id = w.rule("n0", on_gpu("n0", 0), "GpuXid48", Critical);
    w.pass(30);
    w.close(id);
    w.pass(50);
    assert_eq!(w.one().state(), IncidentState::Open);
    w.pass(20);
    let closed = w.one();
    assert_eq!((closed.state(), closed.open_members), (IncidentState::Closed, 0));
    assert!(closed.closed_unix_ms > 0);
    // It flaps: one incident.
    for _ in 0..3 {
        let id = w.rule("n0", on_gpu("n0", 0), "GpuXid48", Critical);
        w.pass(5);
        assert_eq!(w.one().state(), IncidentState::Open);
        w.close(id);
        w.pass(120);
    }
    let incident = w.one();
    assert_eq!((incident.reopened, incident.member_count), (3, 4));
    assert_eq!(w.count(ChangeKind::Paged), 1);
    // Long after, it is another one.
    w.pass(1000);
    w.rule("n0", on_gpu("n0", 0), "GpuXid48", Critical);
    w.pass(5);
    assert_eq!(w.told().len(), 2);
    assert_eq!(w.engine.stats().open, 1);
}

#[test]
fn timeline_has_every_step_once() {
    let mut w = World::new(1);
    let id = w.rule("n0", on_gpu("n0", 0), "GpuXid48", Critical);
    w.pass(3);
    w.engine.acknowledge(1, "ann", "on it").expect("open");
    w.pass(3);
    w.close(id);
    w.pass(70);
    let kinds: Vec<_> = w.said.iter().map(|c| c.kind.name()).collect();
    assert_eq!(kinds, ["opened", "paged", "acknowledged", "updated", "closed"]);
    let incident = w.one();
    assert_eq!((&*incident.acknowledged_by, &*incident.acknowledged_note), ("ann", "on it"));
    assert!(w.engine.acknowledge(99, "ann", "").is_none());
}

#[test]
fn open_incidents_survive_a_restart() {
    let mut w = World::new(2);
    w.rule("n0", on_gpu("n0", 3), "GpuXid79", Critical);
    let lost = w.rule("n0", on_gpu("n0", 3), "GpuLost", Critical);
    w.rule("n1", on_pf(0), "SriovPfDown", Critical);
    w.pass(20);
    w.engine.acknowledge(1, "ann", "");
    w.pass(1);
    let stored = w.incidents();
    assert_eq!(stored.len(), 2);
    let mut open = w.open_anomalies();
    // One ended while nobody looked.
    open.retain(|a| a.id != lost);

    let mut engine = IncidentEngine::new(IncidentConfig::default(), fleet(2));
    engine.restore(&stored, &open, &[], 2, w.now + 60_000);
    let changes = engine.elapse(w.now + 61_000);
    assert!(changes.iter().all(|c| c.kind == ChangeKind::Updated), "{changes:#?}");
    let again = engine.incident(1).expect("open");
    assert_eq!((again.open_members, again.member_count), (1, 2));
    assert_eq!((&*again.acknowledged_by, again.paged), ("ann", true));
    assert_eq!(first(again), first(&stored[0]));
    // A late symptom joins it, and new ones get new ids.
    let mut late = open[0].clone();
    (late.id, late.rule) = (900, "GpuResetRequired".into());
    late.opened_unix_ms = w.now + 62_000;
    engine.anomaly(&late, AnomalyChange::Opened);
    let mut other = open[0].clone();
    (other.id, other.rule, other.node) = (901, "GpuXid48".into(), "n1".into());
    other.opened_unix_ms = w.now + 62_000;
    engine.anomaly(&other, AnomalyChange::Opened);
    let changes = engine.elapse(w.now + 75_000);
    assert_eq!(engine.incident(1).expect("open").member_count, 3);
    let opened = changes.iter().find(|c| c.kind == ChangeKind::Opened).expect("new");
    assert_eq!(opened.incident.id, 3);
}

#[test]
fn nothing_pages_in_maintenance_and_everything_is_recorded() {
    let window = |node: &str, kind: &str, name: &str| v1::Maintenance {
        id: 1,
        cluster: "c".into(),
        node: node.into(),
        entity_type: kind.into(),
        entity: name.into(),
        from_unix_ms: START,
        to_unix_ms: START + 600_000,
        ..v1::Maintenance::default()
    };
    let f = |window: v1::Maintenance, covered: bool| {
        let mut w = World::new(2);
        w.engine.maintain(window);
        w.rule("n0", on_gpu("n0", 3), "GpuXid79", Critical);
        w.pass(10);
        let incident = w.one();
        assert_eq!((incident.in_maintenance, incident.paged), (covered, !covered));
        assert_eq!(incident.severity(), Critical);
        w
    };
    f(window("n0", "", ""), true);
    f(window("", "", ""), true);
    f(window("n0", "gpu", "GPU-n0-3"), true);
    f(window("n0", "gpu", "GPU-n0-4"), false);
    f(window("n1", "", ""), false);
    // When it ends and the fault is still there, it pages.
    let mut w = f(window("n0", "", ""), true);
    w.pass(600);
    let incident = w.one();
    assert_eq!((incident.in_maintenance, incident.paged), (false, true));
    // Ended before its time.
    let mut w = f(window("n0", "", ""), true);
    let ended = v1::Maintenance { ended_unix_ms: w.now, ..window("n0", "", "") };
    w.engine.maintain(ended);
    w.pass(2);
    assert!(w.one().paged);
}

#[test]
fn topology_is_read_again_when_it_changes() {
    // A node whose agent has not said anything yet: two faults on one card are two.
    let mut w = World::on(FixedTopology::default(), IncidentConfig::default());
    w.rule("n0", on_node(), "ClockUnsynchronised", Warning);
    w.pass(2);
    assert_eq!(w.one().affected, []);
    let mut topology = FixedTopology::default();
    topology.set("c", "n0", facts("n0", "", "gm", "train-0"));
    let mut w = World::on(topology, IncidentConfig::default());
    w.rule("n0", on_gpu("n0", 1), "GpuXid48", Critical);
    w.pass(2);
    assert_eq!(w.one().affected.len(), 1);
}
