//! Small rules written here, run on ticks made by hand; what all tests share. The rules that ship
//! are in `shipped` and `gpu`, `ptp`, `sriov`.

mod across;
mod events;
mod format;
mod gpu;
mod measures;
mod ptp;
mod shipped;
mod sim;
mod sriov;

use sextant_proto::frame::ABSENT;
use sextant_proto::v1::MetricKind;

use super::*;
use crate::series::{LabelPair, LayoutId, NodeLayout, Series};

const INTERVAL_MS: u32 = 10_000;
const STEP: i64 = 10_000;

fn node() -> Arc<NodeKey> {
    Arc::new(NodeKey { id: NodeId(1), cluster: "c".into(), name: "n1".into() })
}

fn series(id: u32, metric: &str, labels: &[(&str, &str)]) -> Arc<Series> {
    let labels: Vec<LabelPair> = labels.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
    Arc::new(Series {
        id: SeriesId(id),
        node: node(),
        metric: metric.into(),
        kind: MetricKind::Gauge,
        entity_type: "node".into(),
        entity: labels.clone(),
        labels,
    })
}

/// A node with one layout that is fed tick by tick.
struct Bench {
    rules: Rules,
    layout: NodeLayout,
    now: i64,
}

impl Bench {
    fn new(rules: Rules, columns: Vec<Arc<Series>>) -> Self {
        let layout = NodeLayout {
            id: LayoutId(1),
            node: node(),
            hash: 1,
            collector: "host".into(),
            interval_ms: INTERVAL_MS,
            columns,
        };
        Self { rules, layout, now: 1_000_000 }
    }

    fn tick(&mut self, values: &[f64]) -> Vec<Edge> {
        self.now += STEP;
        let mut edges = Vec::new();
        let tick = Tick { layout: &self.layout, time_ms: self.now, values };
        self.rules.observe(&tick, &mut edges);
        self.rules.elapse(self.now, &[], &mut edges);
        edges
    }

    /// The edges of so many ticks, as "+" and "-" with the tick's number from 1.
    fn ticks(&mut self, count: usize, values: &[f64]) -> String {
        let mut out = Vec::new();
        for tick in 1..=count {
            out.extend(self.tick(values).iter().map(|e| format!("{}{tick}", sign(e))));
        }
        out.join(" ")
    }
}

fn sign(edge: &Edge) -> &'static str {
    match edge {
        Edge::Fire(_) => "+",
        Edge::Clear { reason: ClearReason::Recovered, .. } => "-",
        Edge::Clear { .. } => "x",
        Edge::Update { .. } => "~",
    }
}

fn rules(keys: &str) -> Rules {
    let text = format!(
        "[[rule]]\nname = \"Test\"\nmetric = \"m\"\nseverity = \"warning\"\n\
         summary = \"{{value}} over {{threshold}} on {{labels.dev}} of {{node}}\"\n\
         source = \"test\"\n{keys}"
    );
    Rules::new(spec::load(&[("own.toml".into(), text)]).expect("valid"))
}

fn bench(keys: &str) -> Bench {
    Bench::new(rules(keys), vec![series(1, "m", &[("dev", "a")])])
}

#[test]
fn fires_after_its_duration_and_clears_after_its_clear_duration() {
    let mut bench =
        bench("op = \">\"\nthreshold = 10\nfor = \"30s\"\nclear = 5\nclear_for = \"20s\"");
    assert_eq!(bench.ticks(5, &[10.0]), "");
    assert_eq!(bench.ticks(3, &[11.0]), "");
    assert_eq!(bench.ticks(1, &[9.0]), "", "a break starts the duration anew");
    assert_eq!(bench.ticks(9, &[11.0]), "+4");
    assert_eq!(bench.ticks(9, &[7.0]), "", "between the thresholds it is not over");
    assert_eq!(bench.ticks(2, &[4.0]), "");
    assert_eq!(bench.ticks(1, &[7.0]), "");
    assert_eq!(bench.ticks(9, &[4.0]), "-3");
}

#[test]
fn finding_says_what_where_and_how_far() {
    let mut bench = bench("op = \">\"\nthreshold = 10");
    let edges = bench.tick(&[25.0]);
    let [Edge::Fire(finding)] = &edges[..] else { panic!("{edges:?}") };
    assert_eq!(finding.summary, "25 over 10 on a of n1");
    assert_eq!((finding.value, finding.expected, finding.score), (25.0, 10.0, 2.5));
    assert_eq!((&*finding.rule, finding.time_ms), ("Test", bench.now));
}

#[test]
fn rate_is_per_second_and_survives_a_reset() {
    let mut bench = bench("rate = true\nop = \">\"\nthreshold = 1");
    assert_eq!(bench.ticks(1, &[1e9]), "");
    assert_eq!(bench.ticks(1, &[1e9 + 10.0]), "");
    assert_eq!(bench.ticks(1, &[5.0]), "", "a counter that began anew");
    assert_eq!(bench.ticks(1, &[16.0]), "+1");
    assert_eq!(bench.ticks(1, &[16.0]), "-1");
}

#[test]
fn ratio_without_a_divisor_has_no_value() {
    let columns = || {
        let labels = [("dev", "a")];
        vec![series(1, "m", &labels), series(2, "d", &labels), series(3, "d", &[("dev", "b")])]
    };
    let ratio = "divide_by = \"d\"\nop = \"<\"\nthreshold = 0.5";
    let mut bench = Bench::new(rules(ratio), columns());
    assert_eq!(bench.ticks(1, &[0.0, 0.0, 1.0]), "");
    assert_eq!(bench.ticks(1, &[1.0, ABSENT, 1.0]), "");
    assert_eq!(bench.ticks(1, &[1.0, 4.0, 1.0]), "+1");
    let mut bench = Bench::new(rules(&format!("rate = true\n{ratio}")), columns());
    assert_eq!(bench.ticks(2, &[5.0, 5.0, 1.0]), "+2", "nothing of nothing is nothing");
    let mut bench = Bench::new(rules(ratio), vec![series(1, "m", &[("dev", "a")])]);
    assert_eq!(bench.ticks(2, &[0.0]), "", "its divisor is not in the layout");
}

#[test]
fn gate_must_hold_and_ends_it_when_it_does_not() {
    let gated = "when = [{ metric = \"g\", op = \"==\", value = 1 }]\nop = \">\"\nthreshold = 10";
    let labels = [("dev", "a")];
    let columns = vec![series(1, "m", &labels), series(2, "g", &labels)];
    let mut bench = Bench::new(rules(gated), columns);
    assert_eq!(bench.ticks(2, &[11.0, 0.0]), "");
    assert_eq!(bench.ticks(2, &[11.0, 1.0]), "+1");
    assert_eq!(bench.ticks(2, &[11.0, 0.0]), "-1");
}

#[test]
fn change_only_leaves_out_what_was_so_from_the_start() {
    let mut bench = bench("change_only = true\nop = \"==\"\nthreshold = 1");
    assert_eq!(bench.ticks(5, &[1.0]), "");
    assert_eq!(bench.ticks(1, &[0.0]), "");
    assert_eq!(bench.ticks(5, &[1.0]), "+1");
}

#[test]
fn nan_is_not_a_sample() {
    let mut bench = bench("op = \"!=\"\nthreshold = 1");
    assert_eq!(bench.ticks(3, &[f64::NAN]), "");
}

#[test]
fn series_without_samples_is_gone_after_five_intervals() {
    let mut bench = bench("op = \">\"\nthreshold = 10\nfor = \"20s\"");
    assert_eq!(bench.ticks(3, &[11.0]), "+3");
    assert_eq!(bench.ticks(9, &[ABSENT]), "x6");
    assert_eq!(bench.ticks(3, &[11.0]), "+3", "it is back, and judged anew");
}

#[test]
fn series_that_leaves_the_layout_is_gone_and_one_that_moves_keeps_its_state() {
    let mut bench = bench("op = \">\"\nthreshold = 10\nfor = \"20s\"");
    assert_eq!(bench.ticks(2, &[11.0]), "");
    bench.layout.id = LayoutId(2);
    bench.layout.columns.insert(0, series(7, "m", &[("dev", "b")]));
    assert_eq!(bench.ticks(1, &[0.0, 11.0]), "+1", "it has held since before the change");
    bench.layout.id = LayoutId(3);
    bench.layout.columns.pop();
    assert_eq!(bench.ticks(9, &[0.0]), "x6");
}

#[test]
fn gap_does_not_count_as_holding() {
    let mut bench = bench("op = \">\"\nthreshold = 10\nfor = \"60s\"");
    assert_eq!(bench.ticks(2, &[11.0]), "");
    bench.now += 600_000;
    assert_eq!(bench.ticks(7, &[11.0]), "+7");
}

#[test]
fn clock_that_steps_back_does_not_stop_a_rule() {
    let mut bench = bench("op = \">\"\nthreshold = 10\nfor = \"20s\"");
    assert_eq!(bench.ticks(2, &[11.0]), "");
    bench.now -= 600_000;
    assert_eq!(bench.ticks(4, &[11.0]), "+3");
}

#[test]
fn restored_one_neither_fires_again_nor_stays() {
    let keys = "op = \">\"\nthreshold = 10\nfor = \"20s\"";
    let anomaly = v1::Anomaly { rule: "Test".into(), ..v1::Anomaly::default() };
    let restored = || {
        let mut bench = bench(keys);
        let series = Arc::clone(&bench.layout.columns[0]);
        bench.rules.restore(&anomaly, &node(), &Subject::Series(series));
        bench
    };
    assert_eq!(restored().ticks(9, &[11.0]), "");
    assert_eq!(restored().ticks(9, &[1.0]), "-3");

    let mut bench = restored();
    bench.layout.columns[0] = series(9, "other", &[]);
    assert_eq!(bench.ticks(60, &[1.0]), "x32", "its series is not there any more");
}

#[test]
fn restored_one_without_rule_or_series_is_cleared_at_once() {
    let mut bench = bench("op = \">\"\nthreshold = 10");
    let series = Arc::clone(&bench.layout.columns[0]);
    for rule in ["Test", "Removed"] {
        let anomaly = v1::Anomaly { rule: rule.into(), ..v1::Anomaly::default() };
        let subject = match rule {
            "Removed" => Subject::Series(Arc::clone(&series)),
            _ => Subject::Node,
        };
        bench.rules.restore(&anomaly, &node(), &subject);
    }
    let mut edges = Vec::new();
    bench.rules.elapse(5, &[], &mut edges);
    bench.rules.elapse(6, &[], &mut edges);
    let reasons = edges.iter().map(|e| match e {
        Edge::Clear { rule, reason, time_ms: 5, .. } => (rule.to_string(), *reason),
        other => panic!("{other:?}"),
    });
    let reasons = reasons.collect::<Vec<_>>();
    let want = [("Test", ClearReason::Gone), ("Removed", ClearReason::Retired)];
    assert_eq!(reasons, want.map(|(rule, reason)| (rule.to_owned(), reason)));
}

#[test]
fn forgotten_node_has_nothing_open() {
    let mut bench = bench("op = \">\"\nthreshold = 10");
    assert_eq!(bench.ticks(1, &[11.0]), "+1");
    bench.rules.forget(node().id);
    assert_eq!(bench.ticks(9, &[ABSENT]), "");
}
