//! A simulated node: the agent's own spool and uplink, and a task that ticks instead of its
//! collectors.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use sextant_agent::spool::{Spool, SpoolConfig};
use sextant_agent::uplink::{Introduction, Uplink, UplinkConfig, UplinkStats};
use sextant_proto::frame::ChainEncoder;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::plan::Plan;
use super::simulation::{COLLECTOR, Simulation};

pub(super) const CLUSTER: &str = "bench";
/// How closely acks are looked for when more than one frame is under way.
const LOOK: Duration = Duration::from_millis(1);
/// The longest time that is told apart, in microseconds.
const MAX_LATENCY_US: u64 = 600_000_000;

/// How long things took, all nodes together, in microseconds.
#[derive(Debug)]
pub(super) struct Latencies {
    /// From the push into the spool to the ack.
    pub(super) ack: Histogram<u64>,
    /// From when a tick was due to its push: what the simulation itself was late.
    pub(super) late: Histogram<u64>,
}

impl Latencies {
    pub(super) fn new() -> Self {
        let new = || Histogram::new_with_bounds(1, MAX_LATENCY_US, 3).expect("valid bounds");
        Self { ack: new(), late: new() }
    }
}

/// What a node has sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sent {
    pub(super) pushed_frames: u64,
    pub(super) acked_frames: u64,
    pub(super) bytes: u64,
    pub(super) reconnects: u64,
}

/// A node.
pub(super) struct Node {
    pub(super) index: u64,
    spool: Arc<Spool>,
    stats: Arc<UplinkStats>,
}

impl Node {
    /// The name of a node.
    pub(super) fn name(index: u64) -> String {
        format!("node-{index:05}")
    }

    /// Starts its uplink, which connects until it is cancelled.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub(super) fn start(
        index: u64,
        endpoint: &str,
        simulation: &Simulation,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let bytes = usize::try_from(SpoolConfig::default().memory_bytes)?;
        let spool = Arc::new(Spool::memory(bytes)?);
        let stats = Arc::new(UplinkStats::default());
        let config = UplinkConfig { endpoint: endpoint.into(), ..UplinkConfig::default() };
        let introduction = Introduction {
            cluster: CLUSTER.into(),
            node: Self::name(index),
            boot_id: "simulated".into(),
            capabilities: vec![COLLECTOR.into()],
            metrics: simulation.descriptors(),
        };
        let uplink = Uplink::new(config, introduction, Arc::clone(&spool), Arc::clone(&stats));
        tasks.spawn(uplink.run(cancel.clone()));
        Ok(Self { index, spool, stats })
    }

    /// Whether the aggregator has said hello.
    pub(super) fn is_connected(&self) -> bool {
        self.stats.connected.load(Relaxed)
    }

    /// Sends all ticks of a plan, each when it is due, and waits until everything is acked, for
    /// `drain` at most.
    pub(super) async fn run(
        &self,
        plan: &Plan,
        drain: Duration,
        latencies: &Mutex<Latencies>,
        progress: &ProgressBar,
    ) {
        let mut outstanding = VecDeque::new();
        let mut encoder = ChainEncoder::new();
        let mut values = vec![0.0; plan.simulation.series()];
        for tick in 0..plan.ticks {
            let due = plan.due(self.index, tick);
            loop {
                tokio::select! {
                    () = sleep_until(due) => break,
                    () = self.acked(outstanding.len()) => self.settle(&mut outstanding, latencies),
                }
            }
            for (series, value) in values.iter_mut().enumerate() {
                *value = plan.simulation.value(self.index, series, tick);
            }
            let time_ms = plan.time_ms(self.index, tick);
            let frame = encoder.encode(plan.layout.0, &[time_ms], &values, &[]);
            let now = Instant::now();
            if self.spool.push(Some(plan.layout.clone()), frame, time_ms).is_some() {
                outstanding.push_back(now);
            } else {
                encoder.forget(plan.layout.0);
            }
            record(latencies, |l| &mut l.late, now - due);
            progress.inc(1);
        }
        let deadline = Instant::now() + drain;
        while !outstanding.is_empty() {
            tokio::select! {
                () = sleep_until(deadline) => return,
                () = self.acked(outstanding.len()) => self.settle(&mut outstanding, latencies),
            }
        }
    }

    /// Returns when one of so many frames may have been acked.
    async fn acked(&self, outstanding: usize) {
        match outstanding {
            0 => std::future::pending().await,
            1 => self.spool.drained().await,
            _ => sleep(LOOK).await,
        }
    }

    /// Takes the frames that were acked out of those that are under way.
    fn settle(&self, outstanding: &mut VecDeque<Instant>, latencies: &Mutex<Latencies>) {
        let left = usize::try_from(self.spool.stats().frames).unwrap_or(usize::MAX);
        while outstanding.len() > left {
            let Some(pushed) = outstanding.pop_front() else { return };
            record(latencies, |l| &mut l.ack, pushed.elapsed());
        }
    }

    /// What came of it. A frame that was dropped or refused is not acked.
    pub(super) fn sent(&self) -> Sent {
        let spool = self.spool.stats();
        let drops = spool.drops;
        let dropped = drops.full + drops.age + drops.io + drops.corrupt + drops.too_big;
        let refused: u64 = self.stats.refused().map(|(_, count)| count).sum();
        Sent {
            pushed_frames: spool.pushed,
            acked_frames: spool.pushed.saturating_sub(spool.frames + dropped + refused),
            bytes: self.stats.sent_bytes.load(Relaxed),
            reconnects: self.stats.reconnects.load(Relaxed),
        }
    }
}

fn record(
    latencies: &Mutex<Latencies>,
    which: impl FnOnce(&mut Latencies) -> &mut Histogram<u64>,
    took: Duration,
) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let mut latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
    which(&mut latencies).saturating_record(micros.max(1));
}
