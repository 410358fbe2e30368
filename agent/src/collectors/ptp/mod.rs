//! Clocks: PTP hardware clocks, ptp4l by its management socket, DPLL, GNSS, and what disciplines
//! the system clock.

pub mod clocks;
pub mod config;
pub mod management;
pub mod metrics;
pub mod state;

use std::time::Duration;

pub use self::config::PtpConfig;
use super::{CollectError, Collector, Paths};
use crate::sample::{Batch, Metric};

/// Reads clocks.
pub struct Ptp {
    config: PtpConfig,
}

impl Ptp {
    #[must_use]
    pub fn new(config: &PtpConfig, _paths: &Paths) -> Self {
        Self { config: config.clone() }
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

    fn collect(&mut self, _tier: usize, _batch: &mut Batch) -> Result<(), CollectError> {
        Err(CollectError::Absent("a PTP clock".into()))
    }
}
