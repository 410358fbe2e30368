//! Wires collectors, spool and uplink, and stops them in that order.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sextant_proto::v1::MetricDescriptor;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::collectors::runner::{Runner, STALL_AFTER};
use crate::collectors::{self, Collector, Paths};
use crate::config::Config;
use crate::health::Health;
use crate::sample::UNAVAILABLE;
use crate::spool::Spool;
use crate::stats::Stats;
use crate::uplink::{Introduction, Uplink};

/// How often the main loop looks after the collectors.
const SECOND: Duration = Duration::from_secs(1);
/// A collector that has not stopped by then is left behind.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// How an agent has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The aggregator has everything.
    Drained,
    /// So many frames are left, on disk if the spool is.
    Left(u64),
}

/// An agent that is ready to run: its spool is open and its address is bound.
pub struct App {
    config: Config,
    stats: Arc<Stats>,
    collectors: Vec<Box<dyn Collector>>,
    introduction: Introduction,
    health: Health,
}

impl App {
    /// Opens and binds what the configuration says.
    ///
    /// # Errors
    /// What is wrong, with its key, path or address.
    pub fn build(config: Config) -> anyhow::Result<Self> {
        Self::build_with(config, Vec::new())
    }

    /// As [`App::build`], with more collectors than the configuration's.
    ///
    /// # Errors
    /// What is wrong, with its key, path or address.
    pub fn build_with(config: Config, more: Vec<Box<dyn Collector>>) -> anyhow::Result<Self> {
        config.check()?;
        let health = Health::bind(&config.health)?;
        let spool = Spool::open(&config.spool)?;
        let stats = Arc::new(Stats::new(Arc::new(spool)));
        let mut collectors = collectors::enabled(&config.collectors, &config.paths, &stats);
        collectors.extend(more);
        let introduction = Introduction {
            cluster: config.cluster.clone(),
            node: config.node_name()?,
            boot_id: boot_id(&config.paths),
            capabilities: collectors.iter().map(|c| c.name().to_owned()).collect(),
            metrics: descriptors(&collectors),
        };
        Ok(Self { config, stats, collectors, introduction, health })
    }

    /// The agent's own numbers.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// Where `/healthz` is.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn health_address(&self) -> io::Result<SocketAddr> {
        self.health.address()
    }

    /// Runs until `shutdown`, then stops: collectors, spool, uplink.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<Stopped> {
        let Self { config, stats, collectors, introduction, health } = self;
        let node = introduction.node.clone();
        let spool = Arc::clone(&stats.spool);
        let tasks = TaskTracker::new();
        let uplink_cancel = CancellationToken::new();
        let health_cancel = CancellationToken::new();
        let _health = health_cancel.clone().drop_guard();
        let drain_timeout = config.uplink.drain_timeout;
        let uplink =
            Uplink::new(config.uplink, introduction, Arc::clone(&spool), Arc::clone(&stats.uplink));
        stats.heartbeat.beat();
        health.serve(Arc::clone(&stats), health_cancel).context("serve health")?;
        let mut runner =
            Runner::start(collectors, &stats, STALL_AFTER).context("start the collectors")?;
        tasks.spawn(uplink.run(uplink_cancel.clone()));
        tasks.close();
        tracing::info!(
            cluster = config.cluster,
            node,
            version = env!("CARGO_PKG_VERSION"),
            "agent started"
        );

        let mut seconds = tokio::time::interval(SECOND);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                _ = seconds.tick() => {
                    stats.heartbeat.beat();
                    runner.watch();
                }
            }
        }

        runner.stop();
        let stuck = runner.stopped(STOP_TIMEOUT).await;
        if !stuck.is_empty() {
            tracing::warn!(collectors = ?stuck, "collectors do not return and are left behind");
        }
        let flushing = Arc::clone(&spool);
        let on_disk = tokio::task::spawn_blocking(move || flushing.flush(FLUSH_TIMEOUT)).await;
        let on_disk = on_disk.context("flush the spool")?;
        let drained = timeout(drain_timeout, spool.drained()).await.is_ok();
        uplink_cancel.cancel();
        let ended = timeout(STOP_TIMEOUT, tasks.wait()).await;
        tracing::debug!(uplink_ended = ended.is_ok(), "uplink stopped");
        let frames = spool.stats().frames;
        let closed = tokio::task::spawn_blocking(move || spool.close()).await;
        closed.context("close the spool")?;
        if drained {
            tracing::info!("agent stopped, everything is acknowledged");
            return Ok(Stopped::Drained);
        }
        tracing::warn!(frames, on_disk, "agent stopped, frames are left in the spool");
        Ok(Stopped::Left(frames))
    }
}

/// Every metric that an agent so configured can send.
///
/// # Errors
/// When no spool can be had in memory.
pub fn metrics(config: &Config) -> anyhow::Result<Vec<MetricDescriptor>> {
    let stats = Arc::new(Stats::new(Arc::new(Spool::memory(1 << 20)?)));
    Ok(descriptors(&collectors::enabled(&config.collectors, &config.paths, &stats)))
}

/// What all collectors can produce, each metric once.
fn descriptors(collectors: &[Box<dyn Collector>]) -> Vec<MetricDescriptor> {
    let mut names = rustc_hash::FxHashSet::default();
    let all = collectors.iter().flat_map(|c| c.metrics().iter().copied());
    let once = std::iter::once(&UNAVAILABLE).chain(all).filter(|m| names.insert(m.name));
    once.map(crate::sample::Metric::descriptor).collect()
}

fn boot_id(paths: &Paths) -> String {
    let path = paths.proc.join("sys/kernel/random/boot_id");
    match std::fs::read_to_string(&path) {
        Ok(id) => id.trim().to_owned(),
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "boot id is not known");
            String::new()
        }
    }
}
