//! Clocks: PTP hardware clocks, ptp4l by its management socket, DPLL, GNSS, and what disciplines
//! the system clock.

pub mod clocks;
pub mod config;
pub mod metrics;
pub mod state;

use std::time::Duration;

pub use self::config::PtpConfig;
use super::{CollectError, Collector, Paths};
use crate::sample::{Batch, Metric};

use self::clocks::{Clocks, UtcOffset};

/// Reads clocks.
pub struct Ptp {
    config: PtpConfig,
    clocks: Clocks,
}

impl Ptp {
    #[must_use]
    pub fn new(config: &PtpConfig, paths: &Paths) -> Self {
        Self { config: config.clone(), clocks: Clocks::new(paths, config) }
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
        vec![self.config.interval]
    }

    fn collect(&mut self, tier: usize, batch: &mut Batch) -> Result<(), CollectError> {
        self.clocks.collect(batch, UtcOffset::default(), tier);
        if self.clocks.any() { Ok(()) } else { Err(CollectError::Absent("a PTP clock".into())) }
    }
}
