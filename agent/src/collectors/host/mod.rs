//! The host: CPU, memory, disks, network and the rest, with node_exporter's metric names.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CollectError, Collector, Paths};
use crate::sample::{Batch, Metric};

/// The `[collectors.host]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostConfig {
    pub enabled: bool,
    /// CPU, memory, load, pressure.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Everything else.
    #[serde(with = "humantime_serde")]
    pub slow_interval: Duration,
}

impl Default for HostConfig {
    fn default() -> Self {
        let [interval, slow_interval] = [1, 10].map(Duration::from_secs);
        Self { enabled: true, interval, slow_interval }
    }
}

/// Reads the host.
pub struct Host {
    tiers: Vec<Duration>,
}

impl Host {
    #[must_use]
    pub fn new(config: &HostConfig, _paths: &Paths) -> Self {
        Self { tiers: vec![config.interval, config.slow_interval] }
    }
}

impl Collector for Host {
    fn name(&self) -> &'static str {
        "host"
    }

    fn metrics(&self) -> &'static [&'static Metric] {
        &[]
    }

    fn tiers(&self) -> Vec<Duration> {
        self.tiers.clone()
    }

    fn collect(&mut self, _tier: usize, _batch: &mut Batch) -> Result<(), CollectError> {
        Ok(())
    }
}
