//! Nodes that do not exist: their series and the values of them. **This is simulation**: names,
//! labels and the mix of shapes are those of a Linux host, the values come from a hash.
//!
//! A value is a function of seed, node, series and tick, and of nothing else: whoever has to
//! check what was stored computes it again. A third of the series is constant, as on real
//! nodes; the others are counters and gauges, whole or with two decimals.

use bytes::Bytes;
use prost::Message as _;
use sextant_proto::layout;
use sextant_proto::v1::{
    Label, Layout, LayoutEntity, LayoutMetric, LayoutSeries, MetricDescriptor, MetricKind,
};

use Shape::{Amount, Events, Level, Time};

/// How a series behaves.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// A whole number that grows by about so much a tick.
    Events(f64),
    /// Seconds, to the hundredth, that grow by about so much a tick.
    Time(f64),
    /// Bytes around a level, in pages.
    Amount(f64),
    /// Anything else around a level, to the hundredth.
    Level(f64),
}

/// One kind of entity and its series.
struct Template {
    entity: &'static str,
    /// The label that tells instances apart, and what their number is put behind; none: there
    /// is one instance.
    label: Option<(&'static str, &'static str)>,
    series: &'static [Line],
}

/// Metric, label beside those of the entity, shape.
type Line = (&'static str, Option<(&'static str, &'static str)>, Shape);

const PAGE: f64 = 4096.0;

const TEMPLATES: [Template; 6] = [
    Template {
        entity: "node",
        label: None,
        series: &[
            ("node_load1", None, Level(1.5)),
            ("node_load5", None, Level(1.4)),
            ("node_load15", None, Level(1.3)),
            ("node_memory_MemTotal_bytes", None, Amount(64e9)),
            ("node_memory_MemFree_bytes", None, Amount(20e9)),
            ("node_memory_MemAvailable_bytes", None, Amount(40e9)),
            ("node_memory_Cached_bytes", None, Amount(16e9)),
            ("node_memory_Dirty_bytes", None, Amount(1e6)),
            ("node_context_switches_total", None, Events(9000.0)),
            ("node_intr_total", None, Events(6000.0)),
            ("node_forks_total", None, Events(12.0)),
            ("node_netstat_Tcp_InSegs", None, Events(700.0)),
        ],
    },
    Template {
        entity: "cpu",
        label: Some(("cpu", "")),
        series: &[
            ("node_cpu_seconds_total", Some(("mode", "steal")), Time(0.01)),
            ("node_cpu_seconds_total", Some(("mode", "idle")), Time(0.8)),
            ("node_cpu_seconds_total", Some(("mode", "user")), Time(0.1)),
            ("node_cpu_seconds_total", Some(("mode", "nice")), Time(0.01)),
            ("node_cpu_seconds_total", Some(("mode", "system")), Time(0.05)),
            ("node_cpu_seconds_total", Some(("mode", "iowait")), Time(0.02)),
            ("node_cpu_seconds_total", Some(("mode", "irq")), Time(0.01)),
            ("node_cpu_seconds_total", Some(("mode", "softirq")), Time(0.02)),
            ("node_cpu_scaling_frequency_hertz", None, Amount(3e9)),
        ],
    },
    Template {
        entity: "disk",
        label: Some(("device", "nvme")),
        series: &[
            ("node_disk_io_now", None, Amount(0.0)),
            ("node_disk_reads_completed_total", None, Events(40.0)),
            ("node_disk_writes_completed_total", None, Events(90.0)),
            ("node_disk_read_bytes_total", None, Events(2e6)),
            ("node_disk_written_bytes_total", None, Events(5e6)),
            ("node_disk_read_time_seconds_total", None, Time(0.03)),
            ("node_disk_write_time_seconds_total", None, Time(0.05)),
            ("node_disk_io_time_seconds_total", None, Time(0.04)),
        ],
    },
    Template {
        entity: "filesystem",
        label: Some(("mountpoint", "/data/")),
        series: &[
            ("node_filesystem_size_bytes", None, Amount(1e12)),
            ("node_filesystem_free_bytes", None, Amount(6e11)),
            ("node_filesystem_avail_bytes", None, Amount(5e11)),
            ("node_filesystem_files_free", None, Amount(6e7)),
        ],
    },
    Template {
        entity: "netdev",
        label: Some(("device", "eth")),
        series: &[
            ("node_network_receive_bytes_total", None, Events(4e6)),
            ("node_network_transmit_bytes_total", None, Events(3e6)),
            ("node_network_receive_packets_total", None, Events(5000.0)),
            ("node_network_transmit_packets_total", None, Events(4000.0)),
            ("node_network_receive_errs_total", None, Events(0.0)),
            ("node_network_receive_drop_total", None, Events(0.0)),
            ("node_network_transmit_errs_total", None, Events(0.0)),
            ("node_network_transmit_drop_total", None, Events(0.0)),
        ],
    },
    Template {
        entity: "hwmon",
        label: Some(("chip", "platform_coretemp_")),
        series: &[
            ("node_hwmon_temp_celsius", Some(("sensor", "temp1")), Level(45.0)),
            ("node_hwmon_temp_celsius", Some(("sensor", "temp2")), Level(50.0)),
            ("node_hwmon_temp_celsius", Some(("sensor", "temp3")), Level(55.0)),
        ],
    },
];

/// The collector that these nodes seem to have.
pub(super) const COLLECTOR: &str = "host";

/// All nodes' series and values.
#[derive(Debug)]
pub(super) struct Simulation {
    seed: u64,
    shapes: Vec<Shape>,
    layout: Layout,
}

impl Simulation {
    /// Nodes of so many series each.
    pub(super) fn new(seed: u64, series: usize) -> Self {
        let layout = Layout { collector: COLLECTOR.into(), ..Layout::default() };
        let mut new = Self { seed, shapes: Vec::with_capacity(series), layout };
        for instance in 0.. {
            let mut templates = TEMPLATES.iter().filter(|t| instance == 0 || t.label.is_some());
            if !templates.all(|template| new.add(template, instance, series)) {
                break;
            }
        }
        new
    }

    /// Adds an entity, as long as there are fewer than `limit` series. False: there are not.
    fn add(&mut self, template: &Template, instance: usize, limit: usize) -> bool {
        let room = limit - self.shapes.len();
        if room == 0 {
            return false;
        }
        let label = |(name, value): (&str, String)| Label { name: name.into(), value };
        let own = template.label.map(|(name, prefix)| (name, format!("{prefix}{instance}")));
        let mut entity = LayoutEntity {
            r#type: template.entity.into(),
            labels: own.map(label).into_iter().collect(),
            series: Vec::new(),
        };
        for (metric, extra, shape) in template.series.iter().take(room) {
            let labels = extra.map(|(name, value)| label((name, value.into())));
            let metric = self.metric(metric, *shape);
            entity.series.push(LayoutSeries { metric, labels: labels.into_iter().collect() });
            self.shapes.push(*shape);
        }
        self.layout.entities.push(entity);
        true
    }

    /// The number of a metric in the layout.
    fn metric(&mut self, name: &str, shape: Shape) -> u32 {
        let known = self.layout.metrics.iter().position(|metric| metric.name == name);
        let index = known.unwrap_or_else(|| {
            let kind = match shape {
                Events(_) | Time(_) => MetricKind::Counter,
                Amount(_) | Level(_) => MetricKind::Gauge,
            };
            self.layout.metrics.push(LayoutMetric { name: name.into(), kind: kind.into() });
            self.layout.metrics.len() - 1
        });
        u32::try_from(index).expect("there are fewer metrics than templates have lines")
    }

    /// Series of a node.
    pub(super) fn series(&self) -> usize {
        self.shapes.len()
    }

    /// The layout of every node's frames: its hash and bytes.
    pub(super) fn layout(&self, interval_ms: u32) -> (u64, Bytes) {
        let bytes = Bytes::from(Layout { interval_ms, ..self.layout.clone() }.encode_to_vec());
        (layout::hash(&bytes), bytes)
    }

    /// What a node says of its metrics.
    pub(super) fn descriptors(&self) -> Vec<MetricDescriptor> {
        let descriptor = |metric: &LayoutMetric| MetricDescriptor {
            name: metric.name.clone(),
            kind: metric.kind,
            unit: String::new(),
            help: "Simulated.".into(),
        };
        self.layout.metrics.iter().map(descriptor).collect()
    }

    /// The name of each series, by column: metric and labels, sorted by name, as [`key`] writes
    /// them.
    pub(super) fn keys(&self) -> Vec<String> {
        let of_entity = |entity: &LayoutEntity| -> Vec<String> {
            let key = |series: &LayoutSeries| {
                let metric = &self.layout.metrics[series.metric as usize].name;
                let mut labels: Vec<_> = entity.labels.iter().chain(&series.labels).collect();
                labels.sort_by_key(|label| &label.name);
                key(metric, labels.into_iter())
            };
            entity.series.iter().map(key).collect()
        };
        self.layout.entities.iter().flat_map(of_entity).collect()
    }

    /// The value of a node's series at a tick.
    pub(super) fn value(&self, node: u64, series: usize, tick: u64) -> f64 {
        let own = hash(self.seed, node, series as u64);
        let tick = if series.is_multiple_of(3) { 0 } else { tick };
        let factor = 0.5 + unit(own);
        let noise = unit(hash(own, tick, 0));
        let hundredths = |value: f64| (value * 100.0).round() / 100.0;
        // The noise of a counter is below its growth in a tick: it never goes back.
        let total =
            |rate: f64| unit(own.rotate_left(32)) * 1e6 + rate * factor * (tick as f64 + noise);
        let wave = (tick as f64 / 60.0 + factor).sin() * 0.1 + noise * 0.02;
        match self.shapes[series] {
            Events(rate) => total(rate).floor(),
            Time(rate) => hundredths(total(rate)),
            Amount(level) => (level * factor * (1.0 + wave) / PAGE).round() * PAGE,
            Level(level) => hundredths(level * factor * (1.0 + wave)),
        }
    }

    /// Where in the interval a node's ticks are.
    pub(super) fn phase_ms(&self, node: u64, interval_ms: u32) -> i64 {
        let phase = hash(self.seed, node, u64::MAX) % u64::from(interval_ms.max(1));
        i64::try_from(phase).expect("below 2^32")
    }
}

/// A series' name: metric and labels in the order given.
pub(super) fn key<'a>(metric: &str, labels: impl Iterator<Item = &'a Label>) -> String {
    labels.fold(metric.to_owned(), |key, label| format!("{key} {}={:?}", label.name, label.value))
}

/// splitmix64's way of mixing, over three numbers.
fn hash(a: u64, b: u64, c: u64) -> u64 {
    let step = |state: u64, with: u64| {
        let mut z = (state ^ with).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    step(step(step(0, a), b), c)
}

/// A hash as a number from 0 to 1, 1 excluded.
fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_depend_on_seed_node_series_and_tick_alone() {
        let all = |seed, node| -> Vec<u64> {
            let simulation = Simulation::new(seed, 60);
            let value = |i: usize| simulation.value(node, i % 60, (i / 60) as u64).to_bits();
            (0..6000).map(value).collect()
        };
        assert_eq!(all(1, 2), all(1, 2));
        assert_ne!(all(1, 2), all(2, 2));
        assert_ne!(all(1, 2), all(1, 3));
    }

    #[test]
    fn a_third_is_constant_and_counters_never_go_back() {
        let simulation = Simulation::new(7, 300);
        let mut constant = 0;
        for series in 0..300 {
            let values: Vec<_> = (0..500).map(|tick| simulation.value(3, series, tick)).collect();
            constant += usize::from(values.iter().all(|v| *v == values[0]));
            assert!(values.iter().all(|v| v.is_finite()));
            if matches!(simulation.shapes[series], Events(_) | Time(_)) {
                assert!(values.is_sorted(), "series {series}");
            }
        }
        assert!((100..150).contains(&constant), "{constant}");
    }

    #[test]
    fn layouts_are_valid_and_of_the_size_asked_for() {
        for series in [1, 11, 12, 13, 50, 500, 20_000] {
            let simulation = Simulation::new(1, series);
            let (hash, bytes) = simulation.layout(1000);
            let decoded = layout::decode(hash, &bytes).unwrap();
            assert_eq!(layout::columns(&decoded), series);
            let mut keys = simulation.keys();
            keys.sort();
            keys.dedup();
            assert_eq!((keys.len(), simulation.series()), (series, series));
        }
    }

    #[test]
    fn phases_are_spread_over_the_interval() {
        let simulation = Simulation::new(1, 1);
        let phases: Vec<_> = (0..100).map(|node| simulation.phase_ms(node, 1000)).collect();
        assert!(phases.iter().all(|phase| (0..1000).contains(phase)));
        assert!(phases.iter().any(|p| *p < 250) && phases.iter().any(|p| *p >= 750));
    }
}
