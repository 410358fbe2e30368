//! The detector as the shard runs it, on layouts of made-up series; the promise and the faults
//! have files of their own.

mod clean;
mod faults;
mod promise;

use sextant_proto::frame::ABSENT;

use self::clean::Random;
use super::*;
use crate::series::{LabelPair, LayoutId, Series as Identity};

const INTERVAL_MS: u32 = 60_000;
const PER_DAY: usize = 1440;

fn node() -> Arc<NodeKey> {
    Arc::new(NodeKey { id: NodeId(1), cluster: "c".into(), name: "n1".into() })
}

struct Bench {
    detector: Surprise,
    layout: NodeLayout,
    now: i64,
}

impl Bench {
    fn new(metrics: &[&str]) -> Self {
        let columns = (1..).zip(metrics).map(|(id, metric)| {
            let counter = metric.ends_with("_total");
            let labels: Vec<LabelPair> = vec![("dev".into(), "a".into())];
            Arc::new(Identity {
                id: SeriesId(id),
                node: node(),
                metric: (*metric).into(),
                kind: if counter { MetricKind::Counter } else { MetricKind::Gauge },
                entity_type: "node".into(),
                entity: labels.clone(),
                labels,
            })
        });
        let layout = NodeLayout {
            id: LayoutId(1),
            node: node(),
            hash: 1,
            collector: "host".into(),
            interval_ms: INTERVAL_MS,
            columns: columns.collect(),
        };
        Self { detector: Surprise::new(SurpriseConfig::default()), layout, now: 1_700_000_000_000 }
    }

    fn tick(&mut self, values: &[f64]) -> Vec<Edge> {
        self.now += i64::from(INTERVAL_MS);
        let mut edges = Vec::new();
        let tick = Tick { layout: &self.layout, time_ms: self.now, values };
        self.detector.observe(&tick, &mut edges);
        self.detector.elapse(self.now, &[], &mut edges);
        edges
    }

    /// One series for so many ticks: what happened at which tick, from 1.
    fn run(&mut self, ticks: usize, mut value: impl FnMut(usize) -> f64) -> Vec<(usize, String)> {
        let mut seen = Vec::new();
        for tick in 1..=ticks {
            for edge in self.tick(&[value(tick)]) {
                seen.push((
                    tick,
                    match edge {
                        Edge::Fire(f) => f.rule.to_string(),
                        Edge::Clear { reason, .. } => reason.to_string(),
                        Edge::Update { .. } => unreachable!("it counts nothing"),
                    },
                ));
            }
        }
        seen
    }
}

#[test]
fn shift_is_found_and_ends_when_it_is_over() {
    let mut random = Random::new(3);
    let mut bench = Bench::new(&["a"]);
    assert_eq!(bench.run(2 * PER_DAY, |_| 50.0 + random.normal()), []);
    let seen = bench.run(120, |t| if t <= 15 { 90.0 } else { 50.0 } + random.normal());
    let [(found, rule), (over, why)] = &seen[..] else { panic!("{seen:?}") };
    assert!((1..=4).contains(found), "{found}");
    assert_eq!((&**rule, &**why), ("unusually_high", "recovered"));
    assert!((20..=100).contains(over), "{over}");
}

#[test]
fn finding_tells_value_and_band_in_a_sentence() {
    let mut random = Random::new(3);
    let mut bench = Bench::new(&["node_hwmon_temp_celsius"]);
    bench.run(2 * PER_DAY, |_| 50.0 + random.normal());
    let fired = (0..5).flat_map(|_| bench.tick(&[90.0])).find_map(|edge| match edge {
        Edge::Fire(finding) => Some(finding),
        _ => None,
    });
    let finding = fired.expect("found");
    assert_eq!(finding.severity, Severity::Info);
    assert_eq!(finding.value, 90.0);
    assert!((finding.expected - 50.0).abs() < 2.0, "{}", finding.expected);
    let start = "node_hwmon_temp_celsius{dev=\"a\"} on n1 is 90, higher than usual for it: about 4";
    assert!(finding.summary.starts_with(start), "{}", finding.summary);
}

#[test]
fn small_change_by_the_meaning_of_the_metric_does_not_matter() {
    let mut random = Random::new(5);
    let mut bench = Bench::new(&["node_hwmon_temp_celsius"]);
    assert_eq!(bench.run(2 * PER_DAY, |_| 50.0 + 0.02 * random.normal()), []);
    assert_eq!(bench.run(300, |_| 50.5 + 0.02 * random.normal()), [], "half a degree");
}

#[test]
fn nothing_is_said_while_learning() {
    let mut random = Random::new(5);
    let mut bench = Bench::new(&["a"]);
    assert_eq!(bench.run(60, |_| 50.0 + random.normal()), []);
    assert_eq!(bench.run(55, |_| 5000.0 + random.normal()), []);
}

#[test]
fn what_lasts_becomes_usual() {
    let mut random = Random::new(11);
    let mut bench = Bench::new(&["a"]);
    assert_eq!(bench.run(2 * PER_DAY, |_| 50.0 + random.normal()), []);
    let seen = bench.run(PER_DAY, |_| 500.0 + random.normal());
    let [(_, rule), (over, why)] = &seen[..2] else { panic!("{seen:?}") };
    assert_eq!(rule, "unusually_high");
    assert!(why == "became usual" || why == "recovered", "{why}");
    assert!(*over <= 130, "{over}");
    assert!(seen.len() <= 4, "{seen:?}");
}

#[test]
fn series_that_ends_while_unusual_is_cleared() {
    let mut random = Random::new(13);
    let mut bench = Bench::new(&["a"]);
    bench.run(2 * PER_DAY, |_| 50.0 + random.normal());
    assert_eq!(bench.run(4, |_| 500.0).len(), 1);
    assert_eq!(bench.run(60, |_| ABSENT), [(6, "series ended".to_owned())]);
}

#[test]
fn many_series_at_once_are_a_finding_of_the_node_and_few_of_series() {
    let metrics = vec!["a"; 60];
    let mut random = Random::new(17);
    let mut bench = Bench::new(&metrics);
    let (mut of_series, mut of_node) = (0, Vec::new());
    for tick in 0..2 * PER_DAY + 30 {
        let level = if tick < 2 * PER_DAY { 50.0 } else { 500.0 };
        let row: Vec<f64> = metrics.iter().map(|_| level + random.normal()).collect();
        for edge in bench.tick(&row) {
            match edge {
                Edge::Fire(Finding { subject: Subject::Node, summary, rule, .. }) => {
                    assert_eq!(&*rule, Surprise::NODE_RULE);
                    of_node.push((tick, summary));
                }
                Edge::Fire(_) => of_series += 1,
                _ => {}
            }
        }
    }
    assert!((8..=12).contains(&of_series), "{of_series}");
    let [(at, summary)] = &of_node[..] else { panic!("{of_node:?}") };
    assert!((2 * PER_DAY..2 * PER_DAY + 12).contains(at), "{at}");
    assert!(summary.contains("of 60 series of n1 are somewhat unusual"), "{summary}");
}

#[test]
fn restored_one_ends_when_it_is_usual_again_or_after_its_time() {
    let restored = || {
        let mut bench = Bench::new(&["a"]);
        let series = Arc::clone(&bench.layout.columns[0]);
        let anomaly = v1::Anomaly {
            rule: "unusually_high".into(),
            opened_unix_ms: bench.now - 600_000,
            ..v1::Anomaly::default()
        };
        bench.detector.restore(&anomaly, &node(), &Subject::Series(series));
        bench
    };
    let mut random = Random::new(19);
    let seen = restored().run(200, |_| 52.0 + random.normal());
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].1, "recovered");
    assert_eq!(restored().run(200, |_| 52.0), [(110, "became usual".to_owned())]);
    assert_eq!(restored().run(100, |_| ABSENT), [(7, "series ended".to_owned())]);
}

#[test]
fn restored_finding_of_the_node_ends() {
    let mut bench = Bench::new(&["a"]);
    let anomaly = v1::Anomaly { rule: Surprise::NODE_RULE.into(), ..v1::Anomaly::default() };
    bench.detector.restore(&anomaly, &node(), &Subject::Node);
    let mut random = Random::new(23);
    let seen = bench.run(300, |_| 52.0 + random.normal());
    let [(over, why)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(why, "recovered");
    assert!((120..160).contains(over), "three windows after the series are known: {over}");
}

#[test]
fn restored_one_of_another_rule_is_cleared_at_once() {
    let mut bench = Bench::new(&["a"]);
    let anomaly = v1::Anomaly { rule: "older".into(), ..v1::Anomaly::default() };
    bench.detector.restore(&anomaly, &node(), &Subject::Node);
    assert_eq!(bench.run(5, |_| 1.0), [(1, "rule was removed".to_owned())]);
}

#[test]
fn identities_times_and_own_numbers_are_not_watched() {
    let check = |metric: &str, watched: bool| {
        let bench = Bench::new(&[metric]);
        let compiled = compile(&SurpriseConfig::default(), &bench.layout);
        assert_eq!(compiled.len() == 1, watched, "{metric}");
    };
    check("node_load1", true);
    check("node_cpu_seconds_total", true);
    check("node_uname_info", false);
    check("node_boot_time_seconds", false);
    check("node_time_seconds", false);
    check("process_start_timestamp_seconds", false);
    check("sextant_collector_duration_seconds", false);
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    let bad =
        SurpriseConfig { false_alarms_per_series_month: f32::NAN, ..SurpriseConfig::default() };
    let error = bad.check().expect_err("nan").to_string();
    assert!(error.contains("detect.surprise.false_alarms_per_series_month"), "{error}");
    let bad = SurpriseConfig { max_per_node_hour: 0, ..SurpriseConfig::default() };
    assert!(bad.check().expect_err("zero").to_string().contains("max_per_node_hour"));
    SurpriseConfig::default().check().expect("defaults hold");
}
