//! Floods, limits and cost.

use sextant_proto::v1::Severity::{Critical, Warning};

use super::world::{World, first, on_filesystem, on_gpu, on_node, on_vf};
use crate::incident::IncidentConfig;

#[test]
fn flood_is_bounded_and_counted() {
    let config = IncidentConfig { max_open: 20, max_members: 50, ..IncidentConfig::default() };
    let mut w = World::with(400, config);
    for n in 0..10_000 {
        let node = format!("n{}", n % 400);
        let rule = ["GpuXid48", "GpuXid74", "GpuTemperatureCritical"][n % 3];
        w.rule(&node, on_gpu(&node, n % 8), rule, Critical);
        if n % 100 == 0 {
            w.pass(1);
        }
    }
    w.pass(5);
    let stats = w.engine.stats();
    assert!(stats.open <= 20 && stats.open + stats.pending <= 80, "{stats:?}");
    assert!(
        stats.dropped_anomalies > 0 && stats.unlisted_members == 0 || stats.unlisted_members > 0
    );
    let listed: usize = w.told().iter().map(|i| i.members.len()).max().expect("some");
    assert!(listed <= 50);
    w.close_all();
    w.pass(3000);
    let stats = w.engine.stats();
    assert_eq!((stats.open, stats.pending), (0, 0));
}

#[test]
fn repetition_costs_members_and_no_facets() {
    let mut w = World::new(1);
    for n in 0..500 {
        w.rule("n0", on_vf(0, n % 4), "SriovVfReceiveDrops", Warning);
    }
    w.pass(20);
    let incident = w.one();
    assert_eq!((incident.member_count, incident.members.len()), (500, 200));
    assert_eq!(w.engine.stats().unlisted_members, 300);
    w.close_all();
    w.pass(90);
    assert_eq!(w.one().open_members, 0);
}

#[test]
fn same_input_gives_the_same_answer() {
    let run = || {
        let mut w = World::new(12);
        for n in 0..300 {
            let node = format!("n{}", n * 7 % 12);
            match n % 4 {
                0 => w.rule(&node, on_gpu(&node, n % 8), "GpuThermalThrottle", Warning),
                1 => w.rule(&node, on_filesystem("/var"), "FilesystemFull", Critical),
                2 => w.unusual(&node, on_gpu(&node, n % 8), "robust_z", "gpu_power_watts"),
                _ => w.rule(&node, on_node(), "MemoryPressure", Warning),
            };
            w.pass(i64::try_from(n % 3).expect("small"));
        }
        w.pass(20);
        w.said.iter().map(|c| format!("{:?} {:?}", c.kind, c.incident)).collect::<Vec<_>>()
    };
    let once = run();
    assert_eq!(once, run());
    assert!(once.len() > 10);
}

#[test]
fn backlog_is_judged_by_its_own_time() {
    let mut w = World::new(1);
    // What happened an hour apart comes at once.
    w.rule("n0", on_gpu("n0", 0), "GpuXid48", Critical);
    w.now += 3_600_000;
    w.rule("n0", on_gpu("n0", 1), "GpuXid48", Critical);
    w.pass(10);
    assert_eq!(w.told().len(), 2);
    assert!(w.told().iter().all(|i| first(i).0 == "gpu.ecc_uncorrected"));
}

#[test]
fn overrun_engine_finds_back_to_what_is_open() {
    let mut w = World::new(2);
    let gone = w.rule("n0", on_gpu("n0", 0), "GpuXid48", Critical);
    w.pass(5);
    // One ended and one began, and nobody told.
    let mut open = w.open_anomalies();
    open.retain(|a| a.id != gone);
    let mut new = w.open_anomalies().remove(0);
    (new.id, new.node, new.rule) = (77, "n1".into(), "GpuXid79".into());
    new.opened_unix_ms = w.now;
    open.push(new);
    w.engine.resync(&open);
    w.pass(70);
    let told = w.told();
    assert_eq!(told.iter().map(|i| i.open_members).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(first(&told[1]).0, "gpu.off_bus");
    w.engine.resync(&open);
    w.pass(5);
    assert_eq!(w.told().len(), 2);
}

/// 1000 anomalies of one node's death, ranked at the end: what is measured is that the work is
/// bounded by facets, as the number of rankings.
#[test]
fn thousand_anomalies_are_one_ranking_of_bounded_size() {
    let mut w = World::new(1);
    w.rule("n0", on_node(), "node_stale", Critical);
    for n in 0..1000 {
        match n % 3 {
            0 => w.rule("n0", on_gpu("n0", n % 8), "GpuWedged", Warning),
            1 => w.rule("n0", on_vf(n % 2, n % 4), "SriovVfReceiveDrops", Warning),
            _ => w.unusual("n0", on_gpu("n0", n % 8), "robust_z", "gpu_power_watts"),
        };
    }
    w.pass(2);
    let incident = w.one();
    assert_eq!(first(&incident), ("node.gone".to_owned(), "n0".to_owned()));
    assert_eq!((incident.member_count, w.said.len()), (1001, 2));
}
