//! Collectors: what reads the node. Each is a folder here and one line in [`enabled`].
//!
//! A collector only reads: `/proc`, `/sys`, ioctls, netlink and local sockets. It starts no
//! program, writes nothing and needs no network.

/// A collector's metrics: one `static` each, and `ALL` of them.
macro_rules! metrics {
    ($($(#[$meta:meta])* $name:ident = $kind:ident($metric:literal, $unit:literal, $help:literal);)*) => {
        $($(#[$meta])* pub(crate) static $name: crate::sample::Metric =
            crate::sample::Metric::$kind($metric, $unit, $help);)*
        pub(crate) static ALL: &[&crate::sample::Metric] = &[$(&$name),*];
    };
}

pub mod agent;
pub mod gpu;
pub mod host;
pub mod pods;
pub mod ptp;
pub mod runner;
pub mod sriov;

use std::error::Error as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sample::{Batch, Metric};
use crate::stats::Stats;

const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
const LONGEST_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Something that can be read every so often. It runs on a thread of its own, so `collect` may
/// block; the runner owns time, deadline, success and the batch's way out.
pub trait Collector: Send {
    /// A stable name: the label `collector`.
    fn name(&self) -> &'static str;
    /// Every metric that it can produce.
    fn metrics(&self) -> &'static [&'static Metric];
    /// The intervals it wants to be called at; `collect` gets the index of the one that is due.
    fn tiers(&self) -> Vec<Duration>;
    /// Reads one tier into the batch. A source that fails while others can be read is told by
    /// [`Batch::fail`].
    ///
    /// # Errors
    /// Only when nothing could be read.
    fn collect(&mut self, tier: usize, batch: &mut Batch) -> Result<(), CollectError>;
}

/// Why a collector produced nothing.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// What it reads is not on this node. Quiet; tried again slowly.
    #[error("{0} is not here")]
    Absent(String),
    /// It is here and could not be read. Counted; tried again at the next tick.
    #[error("read {what}: {source}")]
    Read { what: String, source: std::io::Error },
}

/// Where the node's file systems are: mounts in a container, fixtures in a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    pub proc: PathBuf,
    pub sys: PathBuf,
    pub run: PathBuf,
    /// The node's root file system: mount points are looked up below it.
    pub root: PathBuf,
    /// Device files: the kernel's log, PTP hardware clocks.
    pub dev: PathBuf,
    /// NVML: a path, or a name that the dynamic linker finds.
    pub nvml: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        let [proc, sys, run, root, dev] = ["/proc", "/sys", "/run", "/", "/dev"].map(PathBuf::from);
        Self { proc, sys, run, root, dev, nvml: "libnvidia-ml.so.1".into() }
    }
}

/// The `[collectors]` section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CollectorsConfig {
    pub host: host::HostConfig,
    pub gpu: gpu::GpuConfig,
    pub ptp: ptp::PtpConfig,
    pub sriov: sriov::SriovConfig,
    pub pods: pods::PodsConfig,
    pub agent: agent::AgentConfig,
}

impl CollectorsConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        check_interval("collectors.host.interval", self.host.interval)?;
        check_interval("collectors.host.slow_interval", self.host.slow_interval)?;
        self.host.check().map_err(|error| match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })?;
        check_interval("collectors.gpu.interval", self.gpu.interval)?;
        check_interval("collectors.gpu.medium_interval", self.gpu.medium_interval)?;
        check_interval("collectors.gpu.slow_interval", self.gpu.slow_interval)?;
        self.ptp.check()?;
        check_interval("collectors.sriov.interval", self.sriov.interval)?;
        check_interval("collectors.sriov.vf_interval", self.sriov.vf_interval)?;
        check_interval("collectors.pods.interval", self.pods.interval)?;
        check_interval("collectors.agent.interval", self.agent.interval)
    }
}

/// Checks that a tick can come so often.
///
/// # Errors
/// The key and what is wrong with it.
pub fn check_interval(key: &str, interval: Duration) -> Result<(), String> {
    if interval < SHORTEST_INTERVAL || interval > LONGEST_INTERVAL {
        return Err(format!(
            "{key} {interval:?} is not between {SHORTEST_INTERVAL:?} and {LONGEST_INTERVAL:?}"
        ));
    }
    if !interval.subsec_nanos().is_multiple_of(1_000_000) {
        return Err(format!("{key} {interval:?} is not in whole milliseconds"));
    }
    Ok(())
}

/// The collectors that the configuration asks for.
#[must_use]
pub fn enabled(
    config: &CollectorsConfig,
    paths: &Paths,
    stats: &Arc<Stats>,
) -> Vec<Box<dyn Collector>> {
    let mut list: Vec<Box<dyn Collector>> = Vec::new();
    if config.host.enabled {
        list.push(Box::new(host::Host::new(&config.host, paths)));
    }
    let attribution = Arc::new(pods::Attribution::new(paths.proc.clone()));
    if config.pods.enabled {
        list.push(Box::new(pods::Pods::new(&config.pods, paths, &attribution)));
    }
    if config.gpu.enabled {
        list.push(Box::new(gpu::Gpu::new(&config.gpu, paths, &attribution)));
    }
    if config.ptp.enabled {
        list.push(Box::new(ptp::Ptp::new(&config.ptp, paths)));
    }
    if config.sriov.enabled {
        list.push(Box::new(sriov::Sriov::new(&config.sriov, paths, &attribution)));
    }
    if config.agent.enabled {
        list.push(Box::new(agent::Agent::new(&config.agent, stats)));
    }
    list
}
