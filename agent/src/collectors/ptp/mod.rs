//! Clocks: PTP hardware clocks, ptp4l by its management socket, DPLL, GNSS, and what disciplines
//! the system clock.

pub mod metrics;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CollectError, Collector, Paths};
use crate::sample::{Batch, Metric};

/// The `[collectors.ptp]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PtpConfig {
    pub enabled: bool,
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
}

impl Default for PtpConfig {
    fn default() -> Self {
        Self { enabled: true, interval: Duration::from_secs(1) }
    }
}

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
