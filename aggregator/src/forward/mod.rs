//! Everything that nodes measure, sent on to services that take Prometheus' remote write.
//!
//! There is no queue: what a target has not taken yet is read from heads and blocks by time, from
//! a cursor for each layout. So an outage loses nothing that retention still has, and costs
//! nothing while it lasts. A node's samples go in the order of their time, one request after the
//! other; nodes are spread over [`LANES`] lanes, and a round of a lane has one window of each of
//! its nodes, so that a node with a long past does not hold up the others.
//!
//! Delivery is at least once: what a target took right before a crash is sent again.

mod config;
mod cursor;
mod encode;
pub mod messages;
mod read;
mod send;
mod stats;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use parking_lot::Mutex;
use sextant_proto::chain::chain;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

pub use self::config::{ForwardConfig, ForwardError, Protocol, check};
pub use self::cursor::CursorError;
pub(crate) use self::encode::compress;
pub use self::stats::{ForwardStats, TargetStats};

use self::cursor::Cursors;
use self::encode::{MAX_SAMPLES, Run, Version, samples};
use self::read::NodeReader;
use self::send::{Sender, Stopped};
use crate::catalog::Live;
use crate::clock;
use crate::query::Queries;
use crate::selector::Selector;
use crate::series::NodeId;

/// Connections to a target.
const LANES: u32 = 4;
/// How often positions are kept and the backlog is measured.
const KEEP: Duration = Duration::from_secs(3);
/// Between tellings of what is known of metrics; after one that failed.
const METADATA: Duration = Duration::from_secs(3_600);
const METADATA_AGAIN: Duration = Duration::from_secs(60);

/// A service that is forwarded to.
struct Target {
    config: ForwardConfig,
    selectors: Vec<Selector>,
    queries: Queries,
    stats: Arc<TargetStats>,
    cursors: Mutex<Cursors>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the service has taken a request in.
    agreed: Option<Version>,
    /// It does not understand 2.0.
    only_one: bool,
    failing: bool,
    refused: bool,
}

/// Why forwarding cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ForwardError),
    #[error(transparent)]
    Cursor(#[from] CursorError),
}

/// Starts forwarding to each target, until `stop`.
///
/// # Errors
/// When a section or a kept position cannot be used; nothing was started then.
pub fn start(
    sections: &[ForwardConfig],
    directory: &Path,
    queries: &Queries,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), StartError> {
    let mut ready = Vec::new();
    for config in sections {
        let mut clients = Vec::new();
        for _ in 0..LANES {
            clients.push(config.client()?);
        }
        let target = Arc::new(Target {
            selectors: config.selectors()?,
            queries: queries.clone(),
            stats: queries.stats.forwards.add(&config.name),
            cursors: Mutex::new(Cursors::open(directory, &config.name, clock::now_ms())?),
            state: Mutex::default(),
            config: config.clone(),
        });
        ready.push((target, clients));
    }
    for (target, clients) in ready {
        let mut lanes = Vec::new();
        for (number, client) in (0..).zip(clients) {
            let sender = Sender { client, target: Arc::clone(&target), stop: stop.clone() };
            lanes.push(tasks.spawn(run_lane(sender, number)));
        }
        let stop = stop.clone();
        tasks.spawn(async move {
            while !stop.is_cancelled() {
                tokio::select! {
                    () = tokio::time::sleep(KEEP) => {}
                    () = stop.cancelled() => {}
                }
                target.keep().await;
            }
            for lane in lanes {
                if lane.await.is_err() {
                    warn!(target_name = target.config.name, "a lane of forwarding panicked");
                }
            }
            target.keep().await;
        });
    }
    Ok(())
}

impl Target {
    fn version(&self) -> Version {
        match self.config.protocol {
            Protocol::One => Version::One,
            Protocol::Two => Version::Two,
            Protocol::Auto if self.state.lock().only_one => Version::One,
            Protocol::Auto => Version::Two,
        }
    }

    fn speak_one(&self) {
        self.state.lock().only_one = true;
    }

    /// Keeps the positions and measures the backlog.
    async fn keep(self: &Arc<Self>) {
        let target = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || target.keep_now());
        if done.await.is_err() {
            warn!(target_name = self.config.name, "keeping the position panicked");
        }
    }

    fn keep_now(&self) {
        self.measure();
        let taken = {
            let mut cursors = self.cursors.lock();
            cursors.retain(|id| self.queries.catalog.layout(id).is_some());
            cursors.take()
        };
        let Some((path, bytes)) = taken else { return };
        if let Err(error) = cursor::write(&path, &bytes) {
            self.cursors.lock().untake();
            warn!(error = chain(&error), "the position of forwarding is not kept");
        }
    }

    fn measure(&self) {
        let (mut behind_ms, mut behind) = (0, 0.0);
        for live in self.queries.catalog.layouts() {
            let newest = live.head.lock().latest().map(|(tick, _)| tick);
            let Some(newest) = newest else { continue };
            let wanted = |series| {
                self.selectors.is_empty() || self.selectors.iter().any(|s| read::matches(s, series))
            };
            let (cursor, _) = self.cursors.lock().of(&live.layout);
            let lag = newest.saturating_sub(cursor).max(0);
            if lag == 0 {
                continue;
            }
            let columns = live.layout.columns.iter().filter(|series| wanted(series)).count();
            if columns > 0 {
                behind_ms = lag.max(behind_ms);
                let ticks = lag as f64 / f64::from(live.layout.interval_ms);
                behind += ticks * columns as f64;
            }
        }
        self.stats.backlog_ms.store(behind_ms, Relaxed);
        #[expect(clippy::cast_possible_truncation, reason = "a float's cast saturates")]
        self.stats.backlog_samples.store(behind as i64, Relaxed);
    }
}

/// The nodes of a lane.
struct Lane {
    target: Arc<Target>,
    number: u32,
    nodes: BTreeMap<NodeId, NodeReader>,
    /// Those whose turn it is still in this round.
    round: VecDeque<NodeId>,
    /// A node has more than this round takes of it.
    more: bool,
    broken: bool,
}

/// What a lane sends next.
#[derive(Default)]
struct Load {
    runs: Vec<Run>,
    cursors: Vec<(Arc<Live>, i64)>,
}

impl Lane {
    fn new(target: &Arc<Target>, number: u32) -> Self {
        Self {
            target: Arc::clone(target),
            number,
            nodes: BTreeMap::new(),
            round: VecDeque::new(),
            more: false,
            broken: false,
        }
    }

    fn begin(&mut self) {
        let all = self.target.queries.nodes.all();
        let own = all.iter().map(|n| n.key.id).filter(|id| id.0 % LANES == self.number);
        self.round = own.collect();
        self.more = false;
    }

    /// Reads windows of the round's nodes, until they are a request.
    fn load(&mut self) -> Load {
        let (mut load, mut size) = (Load::default(), 0);
        let target = Arc::clone(&self.target);
        while size < MAX_SAMPLES {
            let Some(id) = self.round.pop_front() else { break };
            let node = self.nodes.entry(id).or_default();
            let cursor = |live: &Live| target.cursors.lock().of(&live.layout);
            let now = clock::now_ms();
            match node.read(&target.queries, id, &target.selectors, now, cursor) {
                Ok(window) => {
                    size += samples(&window.runs);
                    target.stats.lose("late", window.late);
                    self.more |= window.more;
                    load.runs.extend(window.runs);
                    load.cursors.extend(window.cursors);
                    self.broken = false;
                }
                Err(error) => {
                    // What was read of it may be lost to its state: begin again at the cursor.
                    self.nodes.remove(&id);
                    if !std::mem::replace(&mut self.broken, true) {
                        let (name, error) = (&target.config.name, chain(&error));
                        warn!(target_name = name, error, "forwarding cannot read a node's samples");
                    }
                }
            }
        }
        load
    }
}

async fn run_lane(sender: Sender, number: u32) {
    // Stopped is how it ends.
    drop(lane(&sender, number).await);
}

async fn lane(sender: &Sender, number: u32) -> Result<(), Stopped> {
    let target = &sender.target;
    let mut lane = Lane::new(target, number);
    let mut tell = Instant::now();
    while !sender.stop.is_cancelled() {
        let began = Instant::now();
        lane.begin();
        while !lane.round.is_empty() {
            let read = tokio::task::spawn_blocking(move || {
                let load = lane.load();
                (lane, load)
            });
            let load;
            (lane, load) = read.await.map_err(|_| Stopped)?;
            if !load.runs.is_empty() {
                sender.deliver(load.runs).await?;
            }
            let mut cursors = target.cursors.lock();
            for (live, tick) in load.cursors {
                cursors.set(&live.layout, tick);
            }
        }
        let agreed = target.state.lock().agreed;
        if number == 0 && agreed == Some(Version::One) && Instant::now() >= tell {
            let told = sender.metadata().await;
            tell = Instant::now() + if told { METADATA } else { METADATA_AGAIN };
        }
        let rest = if lane.more { Duration::ZERO } else { target.config.interval };
        tokio::select! {
            () = tokio::time::sleep_until(began + rest) => {}
            () = sender.stop.cancelled() => {}
        }
    }
    Err(Stopped)
}
