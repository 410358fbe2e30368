use std::sync::Arc;

use sextant_agent::collectors::{self, CollectorsConfig, Paths};
use sextant_agent::spool::Spool;
use sextant_agent::stats::Stats;
use sextant_proto::layout;
use sextant_proto::v1::MetricKind;

use super::*;

const START_MS: i64 = 1_700_000_000_000;

/// The values of every series over so many ticks, and their kinds.
fn history(node: u64, interval_ms: u32, ticks: usize) -> Vec<(String, MetricKind, Vec<f64>)> {
    let mut telemetry = Generated::new(1, node, START_MS, interval_ms);
    let mut all: Vec<_> = telemetry
        .shapes()
        .iter()
        .flat_map(Shape::columns)
        .map(|(name, kind, labels)| (format!("{name} {labels:?}"), kind, Vec::new()))
        .collect();
    for _ in 0..ticks {
        let mut first = 0;
        for index in 0..4 {
            let tick = telemetry.next_tick().unwrap();
            assert_eq!((tick.index, tick.values.len()), (index, tick.shape.series()));
            for (series, value) in all[first..].iter_mut().zip(tick.values) {
                series.2.push(*value);
            }
            first += tick.values.len();
        }
    }
    all
}

#[test]
fn node_has_the_series_that_are_promised_and_its_layouts_are_valid() {
    let node = Generated::new(1, 0, START_MS, 10_000);
    let series: Vec<_> = node.shapes().iter().map(Shape::series).collect();
    assert_eq!(series, [8 * gpu_series(), HOST_SERIES, PTP_SERIES, VF_SERIES]);
    assert_eq!(series, [320, 120, 12, 48]);
    assert_eq!(series.iter().sum::<usize>(), SERIES);
    for shape in node.shapes() {
        assert_eq!(layout::decode(shape.hash, &shape.bytes).unwrap(), shape.layout);
    }
}

#[test]
fn metrics_are_those_that_the_agents_collectors_declare() {
    let stats = Arc::new(Stats::new(Arc::new(Spool::memory(1 << 16).unwrap())));
    let list = collectors::enabled(&CollectorsConfig::default(), &Paths::default(), &stats);
    for shape in Generated::new(1, 0, START_MS, 10_000).shapes() {
        let collector = list.iter().find(|c| c.name() == shape.layout.collector).unwrap();
        for metric in &shape.layout.metrics {
            let declared = collector.metrics().iter().find(|known| known.name == metric.name);
            let declared = declared.unwrap_or_else(|| panic!("{} is nobody's", metric.name));
            assert_eq!(layout::kind(metric.kind), declared.kind, "{}", metric.name);
        }
    }
}

#[test]
fn values_are_the_same_for_the_same_seed_and_differ_between_nodes() {
    let bits = |node| -> Vec<u64> {
        history(node, 1000, 300).iter().flat_map(|s| &s.2).map(|v| v.to_bits()).collect()
    };
    assert_eq!(bits(3), bits(3));
    assert_ne!(bits(3), bits(4));
}

#[test]
fn values_are_finite_and_counters_never_go_back() {
    for interval_ms in [100, 1000, 10_000, 60_000] {
        for (name, kind, values) in history(2, interval_ms, 500) {
            assert!(values.iter().all(|value| value.is_finite()), "{name}");
            if kind == MetricKind::Counter {
                assert!(values.is_sorted(), "{name} at {interval_ms} ms");
            }
            if name.contains("_ratio") && name.starts_with("gpu_") {
                assert!(values.iter().all(|value| (0.0..=1.0).contains(value)), "{name}");
            }
        }
    }
}

/// Whether a value has at most nine decimals.
fn is_decimal(value: f64) -> bool {
    let parts = (value * 1e9).round();
    parts / 1e9 == value || parts.abs() > 9e15
}

#[test]
fn mix_of_a_days_series_is_that_of_real_nodes() {
    let (mut constant, mut full, mut all) = (0u32, 0, 0u32);
    for node in 0..6 {
        for (_, _, values) in history(node, 10_000, 8_640) {
            all += 1;
            let same = values.iter().all(|value| *value == values[0]);
            constant += u32::from(same);
            let odd = values.iter().filter(|value| !is_decimal(**value)).count();
            full += usize::from(odd * 2 > values.len());
        }
    }
    let constant = f64::from(constant) / f64::from(all);
    assert!((0.31..0.38).contains(&constant), "{constant}");
    assert_eq!(full, 6 * 4);
}

#[test]
fn gpus_go_through_all_phases_and_show_it() {
    let all = history(1, 10_000, 3 * 8_640);
    let (_, _, power) = all.iter().find(|(name, ..)| name.starts_with("gpu_power_watts")).unwrap();
    let share = |low: f64, high: f64| {
        let within = power.iter().filter(|watts| (low..high).contains(*watts)).count();
        within as f64 / power.len() as f64
    };
    let (idle, checkpoint, inference, train) =
        (share(0.0, 90.0), share(90.0, 180.0), share(180.0, 550.0), share(550.0, 720.0));
    assert!(idle > 0.05 && inference > 0.1 && train > 0.2, "{idle} {inference} {train}");
    assert!(checkpoint > 0.0 && checkpoint < 0.1, "{checkpoint}");
}
