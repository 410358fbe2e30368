//! What a node's line is made of. Data that a node does not send is shown as "-".

use std::collections::{BTreeMap, HashMap};

use sextant_proto::v1::{self, InstantSample, Series};

use crate::cli::format::{self, label};
use crate::cli::table::Side::{Left, Right};
use crate::cli::table::Table;

/// File systems that are full by nature.
const READ_ONLY: [&str; 4] = ["squashfs", "iso9660", "erofs", "overlay"];
/// Interfaces whose bytes another one carries as well, or that never leave the node.
const VIRTUAL: [&str; 8] = ["lo", "veth", "docker", "br-", "cni", "cali", "virbr", "flannel"];
/// Characters of a mount point that are shown.
const MOUNT_POINT: usize = 20;

/// A metric that the lines need.
pub(super) struct Metric {
    pub(super) name: &'static str,
    matcher: &'static str,
    pub(super) counter: bool,
}

const fn gauge(name: &'static str) -> Metric {
    Metric { name, matcher: "", counter: false }
}

const fn counter(name: &'static str) -> Metric {
    Metric { name, matcher: "", counter: true }
}

const CPU: &str = "node_cpu_seconds_total";
const MEMORY_TOTAL: &str = "node_memory_MemTotal_bytes";
const MEMORY_AVAILABLE: &str = "node_memory_MemAvailable_bytes";
const LOAD: &str = "node_load1";
const SIZE: &str = "node_filesystem_size_bytes";
const AVAILABLE: &str = "node_filesystem_avail_bytes";
const PRESSURE_CPU: &str = "node_pressure_cpu_waiting_seconds_total";
const PRESSURE_IO: &str = "node_pressure_io_waiting_seconds_total";
const PRESSURE_MEMORY: &str = "node_pressure_memory_waiting_seconds_total";
const RECEIVED: &str = "node_network_receive_bytes_total";
const SENT: &str = "node_network_transmit_bytes_total";
const DISK: &str = "node_disk_io_time_seconds_total";

/// All of them.
pub(super) const METRICS: [Metric; 12] = [
    Metric { name: CPU, matcher: "mode=\"idle\"", counter: true },
    gauge(MEMORY_TOTAL),
    gauge(MEMORY_AVAILABLE),
    gauge(LOAD),
    gauge(SIZE),
    gauge(AVAILABLE),
    counter(PRESSURE_CPU),
    counter(PRESSURE_IO),
    counter(PRESSURE_MEMORY),
    counter(RECEIVED),
    counter(SENT),
    counter(DISK),
];

impl Metric {
    /// Its series in a cluster, or in all.
    pub(super) fn selector(&self, cluster: &str) -> String {
        let cluster = match cluster {
            "" => String::new(),
            name => format!("cluster={}", format::quote(name)),
        };
        let matchers = [self.matcher, &cluster];
        let matchers: Vec<_> = matchers.into_iter().filter(|m| !m.is_empty()).collect();
        format!("{}{{{}}}", self.name, matchers.join(","))
    }
}

/// Turns counters into rates per second, from refresh to refresh.
#[derive(Default)]
pub(super) struct Sampler {
    metrics: HashMap<&'static str, HashMap<String, Counter>>,
}

struct Counter {
    time_ms: i64,
    value: f64,
    /// The last rate; it stands until there is a newer sample.
    rate: Option<f64>,
}

impl Sampler {
    /// Whether there is something to compare with.
    pub(super) fn knows(&self, metric: &str) -> bool {
        self.metrics.contains_key(metric)
    }

    /// Takes counters to compare with.
    pub(super) fn remember(&mut self, metric: &'static str, samples: &[InstantSample]) {
        self.rates(metric, samples.to_vec());
    }

    /// The same series with their rates; those that have none yet are left out. A counter that
    /// went down has started again at zero.
    pub(super) fn rates(
        &mut self,
        metric: &'static str,
        samples: Vec<InstantSample>,
    ) -> Vec<InstantSample> {
        let known = self.metrics.entry(metric).or_default();
        let mut counters = HashMap::with_capacity(samples.len());
        let mut rates = Vec::with_capacity(samples.len());
        for mut sample in samples {
            let key = sample.series.as_ref().map(format::series).unwrap_or_default();
            let (time_ms, value) = (sample.time_unix_ms, sample.value);
            let rate = known.get(&key).and_then(|before| {
                let seconds = (time_ms - before.time_ms) as f64 / 1000.0;
                let grown = if value < before.value { value } else { value - before.value };
                if seconds > 0.0 { Some(grown / seconds) } else { before.rate }
            });
            counters.insert(key, Counter { time_ms, value, rate });
            if let Some(rate) = rate {
                sample.value = rate;
                rates.push(sample);
            }
        }
        *known = counters;
        rates
    }
}

/// A node and how it is. Shares are of 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Node {
    cluster: String,
    name: String,
    last_seen_ms: i64,
    pub(super) connected: bool,
    pub(super) anomalies: u32,
    pub(super) cpu: Option<f64>,
    pub(super) memory: Option<f64>,
    load: Option<f64>,
    /// The resource waited for most, and the share of time in which something waited for it.
    pressure: Option<(f64, &'static str)>,
    received: Option<f64>,
    sent: Option<f64>,
    /// The busiest disk.
    disk: Option<f64>,
    /// The fullest file system and where it is mounted.
    filesystem: Option<(f64, String)>,
}

impl Node {
    pub(super) fn key(&self) -> (&str, &str) {
        (&self.cluster, &self.name)
    }
}

/// Makes the lines of all nodes from the samples of [`METRICS`], counters as rates.
pub(super) fn nodes(listed: Vec<v1::Node>, samples: &[InstantSample]) -> Vec<Node> {
    let mut by_node: HashMap<(&str, &str), Vec<(&Series, f64)>> = HashMap::new();
    for sample in samples {
        if let Some(series) = &sample.series {
            let node = (label(series, "cluster"), label(series, "node"));
            by_node.entry(node).or_default().push((series, sample.value));
        }
    }
    listed
        .into_iter()
        .map(|node| {
            let values = by_node.get(&(node.cluster.as_str(), node.name.as_str()));
            let values = Values(values.map_or(&[], Vec::as_slice));
            let share = |free: Option<f64>, all: Option<f64>| match (free, all) {
                (Some(free), Some(all)) if all > 0.0 => Some((1.0 - free / all).clamp(0.0, 1.0)),
                _ => None,
            };
            let physical = |series: &Series| {
                let device = label(series, "device");
                !VIRTUAL.iter().any(|name| device.starts_with(name))
            };
            Node {
                last_seen_ms: node.last_seen_unix_ms,
                connected: node.connected,
                anomalies: node.active_anomalies,
                cpu: values.mean(CPU).map(|idle| (1.0 - idle).clamp(0.0, 1.0)),
                memory: share(values.one(MEMORY_AVAILABLE), values.one(MEMORY_TOTAL)),
                load: values.one(LOAD),
                pressure: values.pressure(),
                received: values.sum(RECEIVED, physical),
                sent: values.sum(SENT, physical),
                disk: values.of(DISK).map(|(_, v)| v.min(1.0)).reduce(f64::max),
                filesystem: values.fullest(share),
                cluster: node.cluster,
                name: node.name,
            }
        })
        .collect()
}

/// The samples of one node.
struct Values<'a>(&'a [(&'a Series, f64)]);

impl<'a> Values<'a> {
    fn of(&self, metric: &str) -> impl Iterator<Item = (&'a Series, f64)> {
        self.0.iter().filter(move |(series, _)| series.metric == metric).copied()
    }

    fn one(&self, metric: &str) -> Option<f64> {
        self.of(metric).map(|(_, value)| value).next()
    }

    fn sum(&self, metric: &str, counts: impl Fn(&Series) -> bool) -> Option<f64> {
        self.of(metric)
            .filter(|(series, _)| counts(series))
            .map(|(_, value)| value)
            .reduce(|a, b| a + b)
    }

    fn mean(&self, metric: &str) -> Option<f64> {
        let count = self.of(metric).count();
        self.sum(metric, |_| true).map(|sum| sum / count as f64)
    }

    fn pressure(&self) -> Option<(f64, &'static str)> {
        let all = [(PRESSURE_CPU, "cpu"), (PRESSURE_IO, "io"), (PRESSURE_MEMORY, "mem")];
        let some = all.into_iter().filter_map(|(metric, name)| Some((self.one(metric)?, name)));
        some.reduce(|worst, next| if next.0 > worst.0 { next } else { worst })
    }

    fn fullest(
        &self,
        share: impl Fn(Option<f64>, Option<f64>) -> Option<f64>,
    ) -> Option<(f64, String)> {
        let place = |series: &'a Series| (label(series, "device"), label(series, "mountpoint"));
        let free: BTreeMap<_, _> = self.of(AVAILABLE).map(|(s, v)| (place(s), v)).collect();
        let writable = self.of(SIZE).filter(|(s, _)| !READ_ONLY.contains(&label(s, "fstype")));
        let used = writable.filter_map(|(series, size)| {
            let used = share(free.get(&place(series)).copied(), Some(size))?;
            Some((used, place(series).1))
        });
        let fullest = used.reduce(|worst, next| if next.0 > worst.0 { next } else { worst });
        fullest.map(|(used, at)| (used, at.to_owned()))
    }
}

/// A share as an integer that sorts.
#[expect(clippy::cast_possible_truncation, reason = "a share of 1, times 1000")]
pub(super) fn thousandths(share: f64) -> i32 {
    (share * 1000.0) as i32
}

/// The lines under their headers.
pub(super) fn table(nodes: &[Node], now_ms: i64) -> Table {
    let mut table = Table::new(&[
        ("NODE", Left),
        ("STATE", Left),
        ("CPU", Right),
        ("MEM", Right),
        ("LOAD1", Right),
        ("PRESSURE", Right),
        ("RX/s", Right),
        ("TX/s", Right),
        ("DISK", Right),
        ("FULLEST FS", Right),
        ("ANOMALIES", Right),
    ]);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    for node in nodes {
        let state = match (node.connected, node.last_seen_ms) {
            (true, _) => "ok".into(),
            (false, 0) => "gone".into(),
            (false, at) => format!("gone {}", format::age(now_ms, at)),
        };
        let fullest = node.filesystem.as_ref().map(|(used, at)| {
            format!("{} {}", format::clip(at, MOUNT_POINT), format::percent(*used))
        });
        table.row(vec![
            format::node(&node.cluster, &node.name),
            state,
            or_dash(node.cpu.map(format::percent)),
            or_dash(node.memory.map(format::percent)),
            or_dash(node.load.map(|load| format!("{load:.2}"))),
            or_dash(node.pressure.map(|(share, of)| format!("{of} {}", format::percent(share)))),
            or_dash(node.received.map(format::bytes)),
            or_dash(node.sent.map(format::bytes)),
            or_dash(node.disk.map(format::percent)),
            or_dash(fullest),
            if node.anomalies == 0 { "-".into() } else { node.anomalies.to_string() },
        ]);
    }
    table
}
