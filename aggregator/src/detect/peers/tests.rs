use std::collections::BTreeSet;

use sextant_proto::frame::ABSENT;
use sextant_proto::v1::MetricKind;

use super::*;
use crate::series::LabelPair;

/// Eight GPUs of a node, a tick a second apart or more.
struct Node {
    peers: Peers,
    layout: NodeLayout,
    time_ms: i64,
    random: u64,
    /// How far each is from the others by itself.
    places: Vec<f64>,
}

const CLOCK: f64 = 1.8e9;

fn layout(id: u32, gpus: usize) -> NodeLayout {
    let node = Arc::new(NodeKey { id: NodeId(1), cluster: "c".into(), name: "n".into() });
    let mut columns = Vec::new();
    for gpu in 0..gpus {
        let entity: Vec<LabelPair> = vec![("uuid".into(), format!("GPU-{gpu}").into())];
        for (metric, clock) in [("gpu_clock_hertz", true), ("gpu_utilization_ratio", false)] {
            let mut labels = entity.clone();
            if clock {
                labels.insert(0, ("clock".into(), "sm".into()));
            }
            columns.push(Arc::new(Series {
                id: SeriesId(u32::try_from(columns.len()).expect("few")),
                node: Arc::clone(&node),
                metric: metric.into(),
                kind: MetricKind::Gauge,
                entity_type: "gpu".into(),
                entity: entity.clone(),
                labels,
            }));
        }
    }
    let collector = "gpu".into();
    NodeLayout { id: LayoutId(id), node, hash: 1, collector, interval_ms: 10_000, columns }
}

impl Node {
    fn new() -> Self {
        let mut node = Self {
            peers: Peers::default(),
            layout: layout(1, 8),
            time_ms: 1_000_000_000,
            random: 0x9e37_79b9_7f4a_7c15,
            places: Vec::new(),
        };
        node.places = (0..8).map(|_| 1.0 + 0.02 * node.normal()).collect();
        node
    }

    fn uniform(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// A tick with 1.5 % noise; `edit` changes (clock, utilization) of a GPU.
    fn tick(&mut self, edit: impl Fn(usize, &mut f64, &mut f64)) -> Vec<Edge> {
        self.time_ms += i64::from(self.layout.interval_ms);
        // What all do together.
        let common = 1.0 + 0.05 * (self.time_ms as f64 / 1e5).sin();
        let mut values = Vec::new();
        for gpu in 0..self.layout.columns.len() / 2 {
            let noise = 1.0 + 0.015 * self.normal();
            let (mut clock, mut busy) = (CLOCK * self.places[gpu] * common * noise, 0.97);
            edit(gpu, &mut clock, &mut busy);
            values.extend([clock, busy]);
        }
        let mut edges = Vec::new();
        let tick = Tick { layout: &self.layout, time_ms: self.time_ms, values: &values };
        self.peers.observe(&tick, &mut edges);
        self.peers.elapse(self.time_ms, &[], &mut edges);
        edges
    }

    #[expect(clippy::cast_possible_truncation, reason = "a few days in milliseconds")]
    fn hours(&mut self, hours: f64, edit: impl Fn(usize, &mut f64, &mut f64)) -> Vec<(i64, Edge)> {
        let end = self.time_ms + (hours * 3.6e6) as i64;
        let mut all = Vec::new();
        while self.time_ms < end {
            let edges = self.tick(&edit);
            all.extend(edges.into_iter().map(|edge| (self.time_ms, edge)));
        }
        all
    }
}

fn nothing(_: usize, _: &mut f64, _: &mut f64) {}

fn slow(which: usize, share: f64) -> impl Fn(usize, &mut f64, &mut f64) {
    move |gpu, clock, _| {
        if gpu == which {
            *clock *= 1.0 - share;
        }
    }
}

#[test]
fn node_where_all_is_well_is_quiet_for_days() {
    let mut node = Node::new();
    assert_eq!(node.hours(72.0, nothing).len(), 0);
}

#[test]
fn slow_one_is_found_by_name_and_size_and_over_when_it_is_back() {
    for (share, within_s) in [(0.03, 1_200), (0.05, 300), (0.10, 150), (0.20, 150)] {
        let mut node = Node::new();
        node.hours(3.0, nothing);
        let start = node.time_ms;
        let found = node.hours(0.5, slow(3, share));
        let [(at, Edge::Fire(finding))] = &found[..] else { panic!("{share}: {found:?}") };
        assert!(at - start <= within_s * 1_000, "{share} after {} ms", at - start);
        let Subject::Series(series) = &finding.subject else { panic!() };
        assert_eq!(series.label("uuid"), Some("GPU-3"));
        assert_eq!(&*finding.rule, "GpuSlowerThanPeers");
        let told: f64 = finding
            .summary
            .split(" %")
            .next()
            .unwrap()
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .expect("a number");
        assert!(
            (told - share * 100.0).abs() < 2.0_f64.max(share * 10.0),
            "{share}: {}",
            finding.summary
        );
        let over = node.hours(0.5, nothing);
        let [(_, Edge::Clear { reason, .. })] = &over[..] else { panic!("{share}: {over:?}") };
        assert_eq!(*reason, ClearReason::Recovered);
    }
}

#[test]
fn one_that_was_always_slower_is_in_its_place() {
    let mut node = Node::new();
    assert_eq!(node.hours(24.0, slow(3, 0.08)).len(), 0);
}

#[test]
fn half_of_a_group_that_slows_together_has_other_work() {
    let mut node = Node::new();
    node.hours(3.0, nothing);
    let half = |gpu: usize, clock: &mut f64, _: &mut f64| {
        if gpu < 4 {
            *clock *= 0.9;
        }
    };
    assert_eq!(node.hours(12.0, half).len(), 0);
}

#[test]
fn idle_ones_are_not_compared() {
    let mut node = Node::new();
    node.hours(3.0, nothing);
    let idle = |gpu: usize, clock: &mut f64, busy: &mut f64| {
        if gpu == 5 {
            (*clock, *busy) = (0.9 * CLOCK, 0.1);
        }
    };
    assert_eq!(node.hours(3.0, idle).len(), 0);
    let all = |_: usize, clock: &mut f64, busy: &mut f64| (*clock, *busy) = (3e8, 0.0);
    assert_eq!(node.hours(3.0, all).len(), 0);
    assert_eq!(node.hours(3.0, nothing).len(), 0);
}

#[test]
fn slow_one_that_stays_so_becomes_usual_after_a_day() {
    let mut node = Node::new();
    node.hours(3.0, nothing);
    let found = node.hours(26.0, slow(2, 0.1));
    let [(_, Edge::Fire(_)), (_, Edge::Clear { reason, .. })] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(*reason, ClearReason::Learned);
    assert_eq!(node.hours(12.0, slow(2, 0.1)).len(), 0);
}

#[test]
fn another_layout_keeps_what_is_known_and_one_that_goes_is_cleared() {
    let mut node = Node::new();
    node.hours(3.0, nothing);
    assert_eq!(node.hours(0.5, slow(3, 0.1)).len(), 1);
    let id = node.layout.id.0 + 1;
    node.layout = layout(id, 8);
    assert_eq!(node.hours(0.5, slow(3, 0.1)).len(), 0);
    let gone = |gpu: usize, clock: &mut f64, busy: &mut f64| {
        if gpu == 3 {
            (*clock, *busy) = (ABSENT, ABSENT);
        }
    };
    let over = node.hours(0.1, gone);
    let [(_, Edge::Clear { reason: ClearReason::Gone, .. })] = &over[..] else {
        panic!("{over:?}")
    };
}

#[test]
fn restored_one_does_not_fire_again_and_does_not_stay() {
    let mut node = Node::new();
    node.hours(3.0, nothing);
    let found = node.hours(0.5, slow(3, 0.1));
    let [(_, Edge::Fire(finding))] = &found[..] else { panic!("{found:?}") };
    let anomaly = v1::Anomaly { rule: finding.rule.to_string(), ..v1::Anomaly::default() };
    let key = Arc::clone(&node.layout.node);
    node.peers = Peers::default();
    node.peers.restore(&anomaly, &key, &finding.subject);
    let after = node.hours(2.0, slow(3, 0.1));
    let [(_, Edge::Clear { reason: ClearReason::Learned, .. })] = &after[..] else {
        panic!("{after:?}")
    };
    assert!(node.hours(1.0, nothing).iter().all(|(_, e)| matches!(e, Edge::Fire(_))));
}

#[test]
fn odd_values_and_times_are_harmless() {
    let mut node = Node::new();
    node.hours(2.0, nothing);
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, ABSENT, 0.0, -1.0, f64::MAX] {
        let wild = move |gpu: usize, clock: &mut f64, _: &mut f64| {
            if gpu.is_multiple_of(3) {
                *clock = odd;
            }
        };
        drop(node.hours(0.2, wild));
        node.time_ms -= 3_600_000;
    }
    let again = node.hours(1.0, nothing);
    let rules: BTreeSet<_> = again.iter().map(|(_, e)| matches!(e, Edge::Fire(_))).collect();
    assert!(!rules.contains(&true), "{again:?}");
    node.peers.forget(NodeId(1));
    assert!(node.peers.nodes.is_empty());
}

#[test]
fn faster_ticks_are_taken_together() {
    let mut node = Node::new();
    node.layout.interval_ms = 1_000;
    node.hours(3.0, nothing);
    let start = node.time_ms;
    let found = node.hours(0.5, slow(6, 0.05));
    let [(at, Edge::Fire(_))] = &found[..] else { panic!("{found:?}") };
    assert!((70_000..=200_000).contains(&(at - start)), "{}", at - start);
}
