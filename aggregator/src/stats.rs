//! The aggregator's own numbers: plain atomics, rendered at `/metrics/self`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::forward::ForwardStats;
use crate::storage::StoreSize;
use crate::text_format::put;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub fn set(&self, n: usize) {
        self.0.store(i64::try_from(n).unwrap_or(i64::MAX), Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Counters by reason.
#[derive(Debug, Default)]
pub struct Reasons(Mutex<BTreeMap<&'static str, u64>>);

impl Reasons {
    pub fn add(&self, reason: &'static str) {
        *self.0.lock().entry(reason).or_default() += 1;
    }

    #[must_use]
    pub fn get(&self, reason: &str) -> u64 {
        self.0.lock().get(reason).copied().unwrap_or_default()
    }
}

/// Everything that is counted, each by whoever it happens to.
#[derive(Debug, Default)]
pub struct Stats {
    pub sessions: Gauge,
    pub sessions_opened: Counter,
    pub sessions_refused: Reasons,
    pub frames: Counter,
    pub samples: Counter,
    pub payload_bytes: Counter,
    /// Frames that were there already.
    pub frames_repeated: Counter,
    pub frames_refused: Reasons,
    /// Streams that ended because a frame did not continue its chain.
    pub chains_broken: Counter,
    pub layouts_refused: Counter,
    /// Frames handed to a shard and not taken by it yet.
    pub shard_queue: Gauge,
    /// Changes handed to the writer and not committed yet.
    pub writer_queue: Gauge,
    /// Bytes taken in and not written yet.
    pub in_flight_bytes: Gauge,
    pub commits: Counter,
    pub commit_nanoseconds: Counter,
    pub commit_failures: Counter,
    pub seals: Counter,
    pub pruned: Counter,
    pub compaction_failures: Counter,
    pub compaction_nanoseconds: Counter,
    /// Rows that were merged into longer ones.
    pub compacted_rows: Counter,
    pub compacted_samples: Counter,
    pub compacted_bytes_before: Counter,
    pub compacted_bytes_after: Counter,
    /// What files of past days gave back when they were written anew.
    pub compaction_bytes_freed: Counter,
    pub anomalies_opened: Counter,
    /// Fired while its shard had too many open ones.
    pub anomalies_suppressed: Counter,
    /// Events that no rule could look at, because of its limit a node.
    pub events_overlooked: Counter,
    pub incidents_open: Gauge,
    pub incidents_opened: Counter,
    pub incidents_paged: Counter,
    /// What the incident engine was not told in time; it compared itself with the episodes then.
    pub incident_drops: Counter,
    /// Anomalies that belong to no incident, because there were too many.
    pub incidents_unassigned: Gauge,
    pub subscribers: Gauge,
    /// Messages that slow subscribers did not get.
    pub subscriber_drops: Counter,
    /// By target.
    pub forwards: ForwardStats,
}

/// Sizes that are read when they are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sizes {
    pub series: usize,
    /// `None` for what cannot be told now: it has no sample then.
    pub store: Option<StoreSize>,
    pub resident_bytes: Option<u64>,
    pub cpu_seconds: Option<f64>,
}

impl Stats {
    /// Prometheus text.
    #[must_use]
    pub fn render(&self, sizes: &Sizes) -> String {
        let mut out = String::with_capacity(4096);
        let mut one = |name: &str, kind: &str, help: &str, value: Option<f64>| {
            put(&mut out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
            if let Some(value) = value {
                put(&mut out, format_args!("{name} {value}\n"));
            }
        };
        let counter = |c: &Counter| Some(c.get() as f64);
        let gauge = |g: &Gauge| Some(g.get() as f64);
        one("sextant_ingest_sessions", "gauge", "Agents connected.", gauge(&self.sessions));
        one(
            "sextant_ingest_sessions_opened_total",
            "counter",
            "Streams that agents opened.",
            counter(&self.sessions_opened),
        );
        one("sextant_ingest_frames_total", "counter", "Frames accepted.", counter(&self.frames));
        one("sextant_ingest_samples_total", "counter", "Samples accepted.", counter(&self.samples));
        one(
            "sextant_ingest_payload_bytes_total",
            "counter",
            "Bytes of accepted frames.",
            counter(&self.payload_bytes),
        );
        one(
            "sextant_ingest_frames_repeated_total",
            "counter",
            "Frames sent again that were there already.",
            counter(&self.frames_repeated),
        );
        one(
            "sextant_ingest_chains_broken_total",
            "counter",
            "Streams ended because a frame did not continue its chain.",
            counter(&self.chains_broken),
        );
        one(
            "sextant_ingest_layouts_refused_total",
            "counter",
            "Layouts refused.",
            counter(&self.layouts_refused),
        );
        one(
            "sextant_pipeline_shard_queue_frames",
            "gauge",
            "Frames waiting for their shard.",
            gauge(&self.shard_queue),
        );
        one(
            "sextant_store_writer_queue_changes",
            "gauge",
            "Changes waiting to be committed.",
            gauge(&self.writer_queue),
        );
        one(
            "sextant_ingest_in_flight_bytes",
            "gauge",
            "Bytes taken in and not written yet; sessions wait at limits.memory_bytes.",
            gauge(&self.in_flight_bytes),
        );
        one(
            "sextant_store_commits_total",
            "counter",
            "Transactions committed.",
            counter(&self.commits),
        );
        one(
            "sextant_store_commit_seconds_total",
            "counter",
            "Time spent in transactions.",
            counter(&self.commit_nanoseconds).map(|ns| ns / 1e9),
        );
        one(
            "sextant_store_commit_failures_total",
            "counter",
            "Transactions that failed and were tried again.",
            counter(&self.commit_failures),
        );
        one(
            "sextant_store_seals_total",
            "counter",
            "Chunks moved from the journal into blocks.",
            counter(&self.seals),
        );
        one(
            "sextant_store_pruned_total",
            "counter",
            "Block files and rows that retention deleted.",
            counter(&self.pruned),
        );
        for (name, help, value) in [
            (
                "sextant_store_compaction_failures_total",
                "Steps of compaction that failed and are tried again.",
                counter(&self.compaction_failures),
            ),
            (
                "sextant_store_compaction_seconds_total",
                "Time spent in compaction.",
                counter(&self.compaction_nanoseconds).map(|ns| ns / 1e9),
            ),
            (
                "sextant_store_compacted_blocks_total",
                "Blocks merged into longer ones.",
                counter(&self.compacted_rows),
            ),
            (
                "sextant_store_compacted_samples_total",
                "Samples of blocks that were merged.",
                counter(&self.compacted_samples),
            ),
            (
                "sextant_store_compaction_read_bytes_total",
                "Bytes of blocks before they were merged.",
                counter(&self.compacted_bytes_before),
            ),
            (
                "sextant_store_compaction_written_bytes_total",
                "Bytes of what they were merged into.",
                counter(&self.compacted_bytes_after),
            ),
            (
                "sextant_store_compaction_freed_bytes_total",
                "Bytes that files of past days gave back.",
                counter(&self.compaction_bytes_freed),
            ),
        ] {
            one(name, "counter", help, value);
        }
        one(
            "sextant_store_bytes",
            "gauge",
            "Bytes of the data directory.",
            sizes.store.map(|s| s.bytes as f64),
        );
        one(
            "sextant_store_journal_frames",
            "gauge",
            "Frames in the journal.",
            sizes.store.map(|s| s.journal_frames as f64),
        );
        one("sextant_store_blocks", "gauge", "Blocks.", sizes.store.map(|s| s.blocks as f64));
        one(
            "sextant_series",
            "gauge",
            "Series known, those of the past included.",
            Some(sizes.series as f64),
        );
        one(
            "sextant_anomalies_opened_total",
            "counter",
            "Anomalies opened.",
            counter(&self.anomalies_opened),
        );
        one(
            "sextant_anomalies_suppressed_total",
            "counter",
            "Findings beyond the limit of open anomalies a node.",
            counter(&self.anomalies_suppressed),
        );
        one(
            "sextant_rule_events_overlooked_total",
            "counter",
            "Events that no rule could look at, because too many others were open on their node.",
            counter(&self.events_overlooked),
        );
        one("sextant_incidents_open", "gauge", "Open incidents.", gauge(&self.incidents_open));
        one(
            "sextant_incidents_opened_total",
            "counter",
            "Incidents opened.",
            counter(&self.incidents_opened),
        );
        one(
            "sextant_incidents_paged_total",
            "counter",
            "Incidents that page.",
            counter(&self.incidents_paged),
        );
        one(
            "sextant_incident_drops_total",
            "counter",
            "Changes that the incident engine was too busy to take when they came.",
            counter(&self.incident_drops),
        );
        one(
            "sextant_incident_unassigned_anomalies_total",
            "counter",
            "Anomalies that belong to no incident, because there were too many.",
            gauge(&self.incidents_unassigned),
        );
        one("sextant_subscribers", "gauge", "Subscribers.", gauge(&self.subscribers));
        one(
            "sextant_subscriber_drops_total",
            "counter",
            "Messages that slow subscribers did not get.",
            counter(&self.subscriber_drops),
        );
        one(
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory of the aggregator.",
            sizes.resident_bytes.map(|b| b as f64),
        );
        one(
            "process_cpu_seconds_total",
            "counter",
            "CPU time of the aggregator.",
            sizes.cpu_seconds,
        );
        let mut reasons = |name: &str, help: &str, reasons: &Reasons| {
            put(&mut out, format_args!("# HELP {name} {help}\n# TYPE {name} counter\n"));
            for (reason, count) in reasons.0.lock().iter() {
                put(&mut out, format_args!("{name}{{reason=\"{reason}\"}} {count}\n"));
            }
        };
        reasons("sextant_ingest_frames_refused_total", "Frames refused.", &self.frames_refused);
        reasons(
            "sextant_ingest_sessions_refused_total",
            "Streams refused.",
            &self.sessions_refused,
        );
        self.forwards.render(&mut out);
        out
    }
}
