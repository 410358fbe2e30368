//! Clocks: PTP hardware clocks, ptp4l by its management socket, DPLL, GNSS, and what disciplines
//! the system clock.
//!
//! One thread asks one ptp4l after the other, with one request in flight: see [`management`] for
//! why. The first tier reads everything; the second only looks closer at what is changing, tells
//! events and sets no series.

pub mod clocks;
pub mod config;
mod instances;
pub mod management;
pub mod metrics;
mod node;
pub mod state;

use std::time::{Duration, Instant};

use self::clocks::Clocks;
pub use self::config::PtpConfig;
use self::instances::Instances;
use self::node::Node;
use super::{CollectError, Collector, Paths};
use crate::sample::{Batch, Metric};

/// Reads clocks.
pub struct Ptp {
    config: PtpConfig,
    clocks: Clocks,
    instances: Instances,
    node: Node,
    start: Instant,
}

impl Ptp {
    #[must_use]
    pub fn new(config: &PtpConfig, paths: &Paths) -> Self {
        Self {
            clocks: Clocks::new(paths, config),
            instances: Instances::new(paths, config),
            node: Node::new(&config.os_clock),
            config: config.clone(),
            start: Instant::now(),
        }
    }

    fn read_all(&mut self, now: Duration, batch: &mut Batch) {
        self.instances.poll(now, &self.clocks);
        self.clocks.set_daemons(self.instances.daemons(&self.clocks));
        self.clocks.collect(batch, self.instances.utc_offset(), 0);
        self.instances.emit(batch, now, &self.clocks);
        if self.is_steered() {
            self.node.judge(now, &self.clocks, &self.instances);
            self.node.emit(batch);
        }
    }

    fn is_steered(&self) -> bool {
        !self.instances.is_empty() || self.clocks.are_steered()
    }
}

impl Collector for Ptp {
    fn name(&self) -> &'static str {
        "ptp"
    }

    fn metrics(&self) -> &'static [&'static Metric] {
        metrics::ALL
    }

    fn tiers(&self) -> Vec<Duration> {
        vec![self.config.interval, self.config.fast_interval]
    }

    fn collect(&mut self, tier: usize, batch: &mut Batch) -> Result<(), CollectError> {
        self.collect_at(self.start.elapsed(), tier, batch)
    }
}

impl Ptp {
    /// As [`Collector::collect`], at a time of the caller's clock, which does not jump.
    ///
    /// # Errors
    /// As [`Collector::collect`].
    pub fn collect_at(
        &mut self,
        now: Duration,
        tier: usize,
        batch: &mut Batch,
    ) -> Result<(), CollectError> {
        if tier == 0 {
            self.read_all(now, batch);
        } else {
            self.instances.poll_closely(now, &self.clocks);
            self.node.judge_instances(&self.instances);
        }
        self.instances.tell(batch);
        let steered = self.is_steered();
        if steered {
            self.node.tell(batch);
        }
        if steered || self.clocks.any() {
            return Ok(());
        }
        Err(CollectError::Absent("a ptp4l, a PTP hardware clock or a chronyd".into()))
    }
}
