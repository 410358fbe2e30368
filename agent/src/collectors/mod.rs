//! Collectors: what reads the node. Each is a folder here and one line in [`enabled`].
//!
//! A collector only reads: `/proc`, `/sys`, ioctls, netlink and local sockets. It starts no
//! program, writes nothing and needs no network.

pub mod agent;
pub mod host;
pub mod runner;

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
}

impl Default for Paths {
    fn default() -> Self {
        let [proc, sys, run, root] = ["/proc", "/sys", "/run", "/"].map(PathBuf::from);
        Self { proc, sys, run, root }
    }
}

/// The `[collectors]` section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CollectorsConfig {
    pub host: host::HostConfig,
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
    if config.agent.enabled {
        list.push(Box::new(agent::Agent::new(&config.agent, stats)));
    }
    list
}
