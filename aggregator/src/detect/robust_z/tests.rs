//! Clean series of many shapes over a month must stay quiet; faults put into the same shapes
//! must be found, and must end.

use sextant_proto::frame::ABSENT;

use super::*;
use crate::series::{LabelPair, LayoutId};

const INTERVAL_MS: u32 = 10_000;
const PER_HOUR: usize = 360;
const PER_DAY: usize = 24 * PER_HOUR;
const MONTH: usize = 30 * PER_DAY;

/// Marsaglia's xorshift64*.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        (bits as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn between(&mut self, from: u32, to: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1")]
        let offset = (self.unit() * f64::from(to - from)) as u32;
        from + offset
    }

    /// Normal, by Box and Muller.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Pareto with the given tail exponent, from 1.
    fn pareto(&mut self, exponent: f64) -> f64 {
        self.unit().powf(-1.0 / exponent)
    }
}

type Next = Box<dyn FnMut(usize, &mut Random) -> f64>;

/// A shape: the value at a tick.
struct Shape {
    name: &'static str,
    metric: &'static str,
    counter: bool,
    next: Next,
}

fn shape(
    name: &'static str,
    metric: &'static str,
    next: impl FnMut(usize, &mut Random) -> f64 + 'static,
) -> Shape {
    Shape { name, metric, counter: metric.ends_with("_total"), next: Box::new(next) }
}

/// Bursts that begin at random, about once an hour, last for minutes and differ in size.
fn bursts(mut size: impl FnMut(&mut Random) -> f64) -> impl FnMut(usize, &mut Random) -> f64 {
    let (mut left, mut level) = (0_u32, 0.0);
    move |_, random| {
        if left == 0 && random.unit() < 1.0 / PER_HOUR as f64 {
            left = random.between(6, 66);
            level = size(random);
        }
        left = left.saturating_sub(1);
        if left > 0 { level * (0.8 + 0.4 * random.unit()) } else { 0.02 * random.unit() }
    }
}

fn day(tick: usize) -> f64 {
    (tick as f64 / PER_DAY as f64 * std::f64::consts::TAU).sin()
}

fn shapes() -> Vec<Shape> {
    let mut walk = 4e9;
    let (mut packets, mut idle) = (1e12, 0.0);
    let mut lognormal = bursts(|r| (1.0 + r.normal()).exp() * 1e7);
    let mut wild = bursts(|r| r.pareto(1.5) * 1e7);
    let mut sum = [0.0, 0.0];
    let mut boot = 0.0;
    vec![
        shape("constant", "node_memory_MemTotal_bytes", |_, _| 3.3e10),
        shape("constant with settings", "a", |t, _| (t / (PER_DAY * 3)) as f64 * 100.0),
        shape("normal", "a", |_, r| 50.0 + 2.0 * r.normal()),
        shape("heavy tails", "a", |_, r| 10.0 + r.pareto(2.0)),
        shape("very heavy tails", "a", |_, r| r.pareto(1.0)),
        shape("whole degrees", "node_hwmon_temp_celsius", |t, r| {
            (45.0 + 4.0 * day(t) + r.normal()).round()
        }),
        shape("small counts", "a", |_, r| (3.0 + 0.5 * r.normal()).round().max(0.0)),
        shape("rarely one", "a", |_, r| f64::from(u8::from(r.unit() < 0.001))),
        shape("day and night", "a", |t, r| 500.0 * (1.2 + day(t)) + 20.0 * r.normal()),
        shape("working days", "a", |t, r| {
            let busy = (t / PER_DAY) % 7 < 5 && day(t) > 0.0;
            if busy { 80.0 + 5.0 * r.normal() } else { 5.0 + r.normal() }
        }),
        shape("random walk", "node_memory_Cached_bytes", move |_, r| {
            walk = (walk + 1e6 * r.normal()).clamp(1e9, 8e9);
            walk
        }),
        shape("bursts", "node_disk_written_bytes_total", move |t, r| {
            sum[0] += lognormal(t, r) * 10.0;
            sum[0]
        }),
        shape("bursts of wild size", "node_disk_read_bytes_total", move |t, r| {
            sum[1] += wild(t, r) * 10.0;
            sum[1]
        }),
        shape("steady counter", "node_network_receive_packets_total", move |_, r| {
            packets += 20_000.0 + 500.0 * r.normal();
            packets
        }),
        shape("idle time", "node_cpu_seconds_total", move |_, r| {
            idle += 10.0 * (0.95 - 0.1 * r.unit().powi(4));
            idle
        }),
        shape("counter that begins anew", "node_forks_total", move |t, r| {
            boot = if t % (5 * PER_DAY) == 0 { 0.0 } else { boot + 300.0 + 30.0 * r.unit() };
            boot
        }),
    ]
}

fn node() -> Arc<NodeKey> {
    Arc::new(NodeKey { id: NodeId(1), cluster: "c".into(), name: "n1".into() })
}

struct Bench {
    detector: RobustZ,
    layout: NodeLayout,
    now: i64,
}

impl Bench {
    fn new(config: RobustZConfig, metrics: &[&str]) -> Self {
        let columns = (1..).zip(metrics).map(|(id, metric)| {
            let counter = metric.ends_with("_total");
            let labels: Vec<LabelPair> = vec![("dev".into(), "a".into())];
            Arc::new(Series {
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
        Self { detector: RobustZ::new(config), layout, now: 1_700_000_000_000 }
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

/// A config without the limit per node: shapes are judged each by itself.
fn unlimited() -> RobustZConfig {
    RobustZConfig { max_per_node_hour: 1000, ..RobustZConfig::default() }
}

#[test]
fn clean_series_of_all_shapes_stay_below_one_finding_a_month() {
    const SEEDS: u64 = 4;
    let mut counts: Vec<(&str, usize)> = shapes().iter().map(|s| (s.name, 0)).collect();
    for seed in 1..=SEEDS {
        let mut shapes = shapes();
        let metrics: Vec<_> = shapes.iter().map(|s| s.metric).collect();
        let mut bench = Bench::new(unlimited(), &metrics);
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut row = vec![0.0; shapes.len()];
        for tick in 0..MONTH {
            for (value, shape) in row.iter_mut().zip(&mut shapes) {
                *value = (shape.next)(tick, &mut random);
            }
            for edge in bench.tick(&row) {
                if let Edge::Fire(Finding { subject: Subject::Series(series), .. }) = edge {
                    counts[series.id.0 as usize - 1].1 += 1;
                }
            }
        }
    }
    let total: usize = counts.iter().map(|(_, count)| count).sum();
    let series_months = counts.len() * usize::try_from(SEEDS).expect("small");
    assert!(2 * total <= series_months, "{total} in {series_months} series-months: {counts:?}");
    // Bursts whose size has no mean make records for ever; even they are kept to one a week.
    let worst = counts.iter().map(|(_, count)| *count).max().expect("shapes");
    assert!(worst <= 4 * usize::try_from(SEEDS).expect("small"), "{counts:?}");
}

/// A day of a shape, then the same with `fault` done to it: what is seen of it, in ticks.
fn faulted(name: &str, lasts: usize, fault: impl Fn(f64) -> f64 + Copy) -> Vec<(usize, String)> {
    let mut shape = shapes().into_iter().find(|s| s.name == name).expect("known shape");
    let mut bench = Bench::new(unlimited(), &[shape.metric]);
    let mut random = Random(7);
    let (mut clean, mut shown) = (f64::NAN, 0.0);
    let mut next = move |tick: usize, faulty: bool| {
        let value = (shape.next)(tick, &mut random);
        if !shape.counter {
            return if faulty { fault(value) } else { value };
        }
        let step = if clean.is_nan() { 0.0 } else { value - clean };
        clean = value;
        shown += if faulty { fault(step) } else { step };
        shown
    };
    let quiet = bench.run(PER_DAY, |t| next(t, false));
    assert_eq!(quiet, [], "{name}: before the fault");
    bench.run(lasts + PER_HOUR, |t| next(PER_DAY + t, t <= lasts))
}

#[test]
fn shifts_and_spikes_are_found_at_the_third_sample_and_end() {
    let check = |name: &str, fault: fn(f64) -> f64, rule: &str| {
        for lasts in [3, 4, 60] {
            let seen = faulted(name, lasts, fault);
            let [(found, fired), (over, cleared)] = &seen[..] else {
                panic!("{name} for {lasts}: {seen:?}")
            };
            assert_eq!((*found, &**fired), (3, rule), "{name} for {lasts}");
            assert_eq!(&**cleared, "recovered", "{name} for {lasts}");
            assert!((lasts + 3..=lasts + 8).contains(over), "{name} for {lasts}: over at {over}");
        }
    };
    check("normal", |x| x + 40.0, "unusually_high");
    check("normal", |x| x - 40.0, "unusually_low");
    check("whole degrees", |x| x + 40.0, "unusually_high");
    check("small counts", |x| x + 30.0, "unusually_high");
    check("day and night", |x| x + 4000.0, "unusually_high");
    check("steady counter", |x| x * 3.0, "unusually_high");
    check("steady counter", |x| x * 0.01, "unusually_low");
    check("idle time", |x| x * 0.2, "unusually_low");
}

#[test]
fn single_wild_samples_are_not_findings() {
    for name in ["normal", "heavy tails", "steady counter"] {
        assert_eq!(faulted(name, 2, |x| x * 1000.0 + 1e6), [], "{name}");
    }
}

#[test]
fn small_change_of_a_quiet_series_does_not_matter() {
    let mut bench = Bench::new(unlimited(), &["a"]);
    let noise = |t: usize| [0.0, 0.1, 0.05][t % 3];
    assert_eq!(bench.run(PER_DAY, |t| 1000.0 + noise(t)), []);
    assert_eq!(bench.run(PER_HOUR, |t| 1050.0 + noise(t)), [], "five percent");
    let mut bench = Bench::new(unlimited(), &["node_hwmon_temp_celsius"]);
    assert_eq!(bench.run(PER_DAY, |t| 20.0 + noise(t)), []);
    assert_eq!(bench.run(PER_HOUR, |t| 24.0 + noise(t)), [], "four degrees");
}

#[test]
fn change_of_a_constant_is_a_setting() {
    let mut bench = Bench::new(unlimited(), &["a"]);
    assert_eq!(bench.run(PER_DAY, |_| 8.0), []);
    assert_eq!(bench.run(PER_DAY, |_| 4000.0), []);
    assert_eq!(bench.run(PER_DAY, |_| 0.0), []);
}

#[test]
fn lasting_shift_becomes_usual_and_so_does_the_way_back() {
    let mut random = Random(3);
    let mut bench = Bench::new(unlimited(), &["a"]);
    assert_eq!(bench.run(PER_DAY, |_| 50.0 + random.normal()), []);
    let seen = bench.run(PER_DAY, |_| 1e9 + 1e6 * random.normal());
    let [(3, _), (over, why)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(why, "became usual");
    assert!((PER_HOUR / 2..PER_HOUR).contains(over), "{over}");
    assert_eq!(bench.run(PER_DAY, |_| 50.0 + random.normal()), [], "it has been there");
    let third = bench.run(100, |_| 1e12);
    assert_eq!(third.len(), 1, "still finds what is new: {third:?}");
}

#[test]
fn nothing_is_said_before_warm_up() {
    let mut random = Random(5);
    let mut bench = Bench::new(unlimited(), &["a"]);
    assert_eq!(bench.run(PER_HOUR - 30, |_| 50.0 + random.normal()), []);
    assert_eq!(bench.run(20, |_| 500.0 + random.normal()), []);

    let config =
        RobustZConfig { warm_up: Duration::ZERO, warm_up_samples: 30, ..RobustZConfig::default() };
    let mut bench = Bench::new(config, &["a"]);
    assert_eq!(bench.run(40, |_| 50.0 + random.normal()), []);
    assert_eq!(bench.run(3, |_| 500.0 + random.normal()).len(), 1);
}

#[test]
fn absent_values_gaps_and_resets_are_not_findings() {
    let mut random = Random(11);
    let mut total = 1e9;
    let mut bench = Bench::new(unlimited(), &["node_network_receive_packets_total"]);
    let mut next = move || {
        total += 50_000.0 + 100.0 * random.normal();
        total
    };
    assert_eq!(bench.run(PER_DAY, |_| next()), []);
    assert_eq!(bench.run(100, |t| if t % 3 == 0 { ABSENT } else { next() }), []);
    bench.now += 7_200_000;
    assert_eq!(bench.run(100, |_| next() + 1e12), []);
    assert_eq!(bench.run(100, |_| next() - 1e9), [], "it began anew");
    bench.now -= 1_800_000;
    assert_eq!(bench.run(100, |_| next()), [], "the clock stepped back");
}

#[test]
fn series_that_ends_while_unusual_is_cleared() {
    let mut random = Random(13);
    let mut bench = Bench::new(unlimited(), &["a"]);
    bench.run(PER_DAY, |_| 50.0 + random.normal());
    assert_eq!(bench.run(4, |_| 500.0).len(), 1);
    assert_eq!(bench.run(60, |_| ABSENT), [(6, "series ended".to_owned())]);
}

#[test]
fn node_has_only_so_many_findings_an_hour() {
    let metrics = vec!["a"; 50];
    let mut random = Random(17);
    let mut bench = Bench::new(RobustZConfig::default(), &metrics);
    let mut fires = 0;
    for tick in 0..PER_DAY + 30 {
        let level = if tick < PER_DAY { 50.0 } else { 500.0 };
        let row: Vec<f64> = metrics.iter().map(|_| level + random.normal()).collect();
        fires += bench.tick(&row).iter().filter(|e| matches!(e, Edge::Fire(_))).count();
    }
    assert_eq!(fires, 10);
}

#[test]
fn restored_one_ends_when_it_is_usual_again_or_after_its_time() {
    let restored = || {
        let mut bench = Bench::new(unlimited(), &["a"]);
        let series = Arc::clone(&bench.layout.columns[0]);
        let anomaly = v1::Anomaly {
            rule: "unusually_high".into(),
            value: 500.0,
            expected: 50.0,
            score: 90.0,
            opened_unix_ms: bench.now - 600_000,
            ..v1::Anomaly::default()
        };
        bench.detector.restore(&anomaly, &node(), &Subject::Series(series));
        bench
    };
    assert_eq!(restored().run(100, |_| 52.0), [(3, "recovered".to_owned())]);
    let seen = restored().run(PER_HOUR, |_| 500.0);
    let [(over, why)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(why, "became usual");
    assert!((90..=130).contains(over), "{over}");
    assert_eq!(restored().run(100, |_| ABSENT), [(32, "series ended".to_owned())]);
}

#[test]
fn restored_one_of_another_rule_is_cleared_at_once() {
    let mut bench = Bench::new(unlimited(), &["a"]);
    let anomaly = v1::Anomaly { rule: "older".into(), ..v1::Anomaly::default() };
    bench.detector.restore(&anomaly, &node(), &Subject::Node);
    assert_eq!(bench.run(5, |_| 1.0), [(1, "rule was removed".to_owned())]);
}

#[test]
fn identities_times_and_own_numbers_are_not_watched() {
    let check = |metric: &str, watched: bool| {
        let bench = Bench::new(unlimited(), &[metric]);
        assert_eq!(compile(&bench.layout).len() == 1, watched, "{metric}");
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
fn state_of_a_series_is_64_bytes() {
    assert_eq!(size_of::<Model>(), 64);
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    let bad = RobustZConfig { threshold: f32::NAN, ..RobustZConfig::default() };
    let error = bad.check().expect_err("nan").to_string();
    assert!(error.contains("detect.robust_z.threshold"), "{error}");
    let bad = RobustZConfig { consecutive: 0, ..RobustZConfig::default() };
    assert!(bad.check().expect_err("zero").to_string().contains("consecutive"));
    RobustZConfig::default().check().expect("defaults hold");
}
