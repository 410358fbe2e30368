//! The agent itself: its collectors, its process, its spool and its uplink.

mod metrics;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::{CollectError, Collector};
use crate::clock::now_ms;
use crate::sample::{Batch, Metric};
use crate::spool::Mode;
use crate::stats::{CollectorStats, Health, Stats};

/// The `[collectors.agent]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentConfig {
    pub enabled: bool,
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self { enabled: true, interval: Duration::from_secs(10) }
    }
}

/// Reads the agent.
pub struct Agent {
    interval: Duration,
    stats: Arc<Stats>,
    system: Option<System>,
}

impl Agent {
    #[must_use]
    pub fn new(config: &AgentConfig, stats: &Arc<Stats>) -> Self {
        Self { interval: config.interval, stats: Arc::clone(stats), system: System::new().ok() }
    }

    fn process(&mut self, batch: &mut Batch) {
        let pid = Pid::from_u32(std::process::id());
        if let Some(system) = &mut self.system {
            system.refresh_processes_specifics(
                ProcessesToUpdate::Some(&[pid]),
                false,
                ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks(),
            );
        }
        let process = self.system.as_ref().and_then(|system| system.process(pid));
        let own = procfs::process::Process::myself().ok();
        let fds = own.as_ref().and_then(|p| p.fd_count().ok()).map(|n| n as f64);
        let threads = own.and_then(|p| p.stat().ok()).map(|stat| stat.num_threads as f64);
        if process.is_none() {
            batch.fail("process", &"not found in /proc");
        }
        let mut node = batch.node();
        node.set_with(&metrics::INFO, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        if let Some(process) = process {
            node.set(&metrics::START_TIME, process.start_time() as f64)
                .set(&metrics::CPU, process.accumulated_cpu_time() as f64 / 1e3)
                .set(&metrics::RESIDENT, process.memory() as f64);
        }
        node.set_opt(&metrics::OPEN_FDS, fds).set_opt(&metrics::THREADS, threads);
    }

    fn spool(&self, batch: &mut Batch) {
        let spool = self.stats.spool.stats();
        let age = spool.oldest_ms.map_or(0, |oldest| now_ms().saturating_sub(oldest).max(0));
        let mut node = batch.node();
        node.set(&metrics::SPOOL_DISK, flag(spool.mode == Mode::Disk))
            .set(&metrics::SPOOL_BYTES, spool.bytes as f64)
            .set(&metrics::SPOOL_FRAMES, spool.frames as f64)
            .set(&metrics::SPOOL_OLDEST, age as f64 / 1e3)
            .set(&metrics::SPOOL_SEGMENTS, spool.segments as f64)
            .set(&metrics::SPOOL_DAMAGED, spool.damaged_bytes as f64)
            .set(&metrics::SPOOL_PUSHED, spool.pushed as f64);
        let drops = spool.drops;
        for (reason, count) in [
            ("full", drops.full),
            ("age", drops.age),
            ("io", drops.io),
            ("corrupt", drops.corrupt),
            ("too_big", drops.too_big),
        ] {
            node.set_with(&metrics::SPOOL_DROPPED, &[("reason", reason)], count as f64);
        }
    }

    fn uplink(&self, batch: &mut Batch) {
        let uplink = &self.stats.uplink;
        let last_ack = Some(uplink.last_ack_ms.load(Relaxed)).filter(|ms| *ms > 0);
        let mut node = batch.node();
        node.set(&metrics::UPLINK_CONNECTED, flag(uplink.connected.load(Relaxed)))
            .set(&metrics::UPLINK_RECONNECTS, uplink.reconnects.load(Relaxed) as f64)
            .set(&metrics::UPLINK_MOVES, uplink.moves.load(Relaxed) as f64)
            .set(&metrics::UPLINK_IN_DOUBT, uplink.in_doubt.load(Relaxed) as f64)
            .set(&metrics::UPLINK_SENT, uplink.sent.load(Relaxed) as f64)
            .set(&metrics::UPLINK_SENT_BYTES, uplink.sent_bytes.load(Relaxed) as f64)
            .set(&metrics::UPLINK_ACKED, uplink.acked.load(Relaxed) as f64)
            .set(&metrics::UPLINK_UNACKED, uplink.unacked.load(Relaxed) as f64)
            .set_opt(&metrics::UPLINK_LAST_ACK, last_ack.map(|ms| ms as f64 / 1e3));
        for (reason, count) in uplink.refused() {
            node.set_with(&metrics::UPLINK_REFUSED, &[("reason", reason)], count as f64);
        }
    }
}

impl Collector for Agent {
    fn name(&self) -> &'static str {
        "agent"
    }

    fn metrics(&self) -> &'static [&'static Metric] {
        metrics::ALL
    }

    fn tiers(&self) -> Vec<Duration> {
        vec![self.interval]
    }

    fn collect(&mut self, _tier: usize, batch: &mut Batch) -> Result<(), CollectError> {
        self.process(batch);
        self.spool(batch);
        self.uplink(batch);
        for collector in self.stats.collectors() {
            self::collector(&collector, batch);
        }
        Ok(())
    }
}

fn collector(stats: &CollectorStats, batch: &mut Batch) {
    let up = match stats.health() {
        Health::Unknown => None,
        health => Some(flag(health == Health::Up)),
    };
    let success = Some(stats.last_success_ms.load(Relaxed)).filter(|ms| *ms > 0);
    let mut entity = batch.entity("collector", &[("collector", stats.name)]);
    entity
        .set_opt(&metrics::COLLECTOR_UP, up)
        .set(&metrics::COLLECTOR_DURATION, stats.duration_us.load(Relaxed) as f64 / 1e6)
        .set_opt(&metrics::COLLECTOR_LAST_SUCCESS, success.map(|ms| ms as f64 / 1e3))
        .set(&metrics::COLLECTOR_MISSED, stats.missed.load(Relaxed) as f64)
        .set(&metrics::COLLECTOR_STALLED, flag(stats.stalled.load(Relaxed)))
        .set(&metrics::COLLECTOR_SERIES, stats.series.load(Relaxed) as f64)
        .set(&metrics::COLLECTOR_OVERFLOW, stats.overflow.load(Relaxed) as f64);
    for (source, count) in stats.errors() {
        entity.set_with(&metrics::COLLECTOR_ERRORS, &[("source", source)], count as f64);
    }
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use sextant_proto::layout;

    use super::*;
    use crate::spool::Spool;

    #[test]
    fn every_series_is_of_a_declared_metric_and_says_what_is() {
        let stats = Arc::new(Stats::new(Arc::new(Spool::memory(1 << 20).unwrap())));
        let host = stats.register("host");
        host.begin();
        host.error("diskstats");
        let mut agent = Agent::new(&AgentConfig::default(), &stats);
        let mut batch = Batch::default();
        batch.begin();
        agent.collect(0, &mut batch).unwrap();
        assert!(batch.failures().is_empty());
        let tick = batch.finish("agent", 10_000);
        let layout = layout::decode(tick.layout.0, &tick.layout.1).unwrap();
        let series = layout.entities.iter().flat_map(|entity| &entity.series);
        let mut values = HashMap::new();
        for (series, value) in series.zip(tick.values) {
            let metric = &layout.metrics[series.metric as usize];
            let declared = agent.metrics().iter().find(|m| m.name == metric.name);
            assert_eq!(declared.map(|m| m.kind.into()), Some(metric.kind), "{}", metric.name);
            values.insert(metric.name.clone(), *value);
        }
        let unset: Vec<_> =
            agent.metrics().iter().filter(|m| !values.contains_key(m.name)).collect();
        assert!(unset.is_empty(), "declared and never set: {unset:?}");
        assert!(values["sextant_agent_resident_memory_bytes"] > 1e6);
        assert!(values["sextant_agent_threads"] >= 1.0);
        assert!(values["sextant_agent_start_time_seconds"] > 1.6e9);
        assert_eq!(values["sextant_collector_errors_total"], 1.0);
        assert!(sextant_proto::frame::is_absent(values["sextant_collector_up"]));
    }
}
