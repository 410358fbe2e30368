//! GPUs through NVML, the kernel's log and the PCI bus.

mod events;
pub mod metrics;
mod nvml;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pods::Attribution;
use super::{CollectError, Collector, Paths};
use crate::sample::{Batch, Metric};

/// The `[collectors.gpu]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpuConfig {
    pub enabled: bool,
    /// Utilization, clocks, power, temperature, throttling.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Memory, ECC, links, GPM.
    #[serde(with = "humantime_serde")]
    pub medium_interval: Duration,
    /// Processes, limits, details.
    #[serde(with = "humantime_serde")]
    pub slow_interval: Duration,
    /// The list of graphics processes, which drivers take milliseconds for.
    pub graphics_processes: bool,
    /// Utilization per process.
    pub process_utilization: bool,
    /// While this file exists, no GPU is held: a reset or a driver unload can go ahead.
    pub release_file: PathBuf,
}

impl Default for GpuConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(1),
            medium_interval: Duration::from_secs(10),
            slow_interval: Duration::from_secs(60),
            graphics_processes: false,
            process_utilization: false,
            release_file: "/run/sextant/release-gpus".into(),
        }
    }
}

/// Reads GPUs.
pub struct Gpu {
    config: GpuConfig,
}

impl Gpu {
    #[must_use]
    pub fn new(config: &GpuConfig, _paths: &Paths, _pods: &Arc<Attribution>) -> Self {
        Self { config: config.clone() }
    }
}

impl Collector for Gpu {
    fn name(&self) -> &'static str {
        "gpu"
    }

    fn metrics(&self) -> &'static [&'static Metric] {
        metrics::ALL
    }

    fn tiers(&self) -> Vec<Duration> {
        vec![self.config.interval, self.config.medium_interval, self.config.slow_interval]
    }

    fn collect(&mut self, _tier: usize, _batch: &mut Batch) -> Result<(), CollectError> {
        Err(CollectError::Absent("NVML".into()))
    }
}
