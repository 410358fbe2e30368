//! The one road that every frame takes: decode → take its seq → head and latest → detectors →
//! writer. A shard is a thread that owns its nodes' detector state; a node belongs to one shard.
//!
//! What a shard was handed it finishes; a full shard makes its sessions wait, and the agents
//! behind them.

mod shard;

use std::sync::Arc;
use std::thread::JoinHandle;

use sextant_proto::v1::{Event, Frame, Refused};
use tokio::sync::mpsc;

use crate::catalog::Catalog;
use crate::detect::Detector;
use crate::episode::Episodes;
use crate::hub::Hub;
use crate::incident::IncidentFeed;
use crate::nodes::{Node, Nodes, Spool};
use crate::series::{LayoutId, NodeId, NodeKey};
use crate::stats::Stats;
use crate::storage::{Change, FrameRecord, Inventory};
use crate::writer::WriterHandle;

pub use shard::Shard;

/// Messages that wait for a shard. Full: sessions stop reading their streams.
const QUEUE: usize = 256;

/// What a session asks of its node's shard.
#[derive(Debug)]
pub enum Job {
    /// To be stored before what follows.
    Store(Vec<Change>),
    /// Something that the aggregator itself observed of a node.
    Event(Arc<NodeKey>, Event),
    /// A frame; refusals go back to the session.
    Frame { node: Arc<Node>, spool: Arc<Spool>, frame: Frame, refusals: mpsc::Sender<Refused> },
    /// About a second went by.
    Elapse,
}

/// What all shards share.
#[derive(Clone)]
pub struct Shared {
    pub catalog: Arc<Catalog>,
    pub nodes: Arc<Nodes>,
    pub episodes: Arc<Episodes>,
    pub hub: Hub,
    pub stats: Arc<Stats>,
    pub events: Arc<EventIds>,
    pub incidents: IncidentFeed,
    pub writer: WriterHandle,
}

/// Numbers for events.
#[derive(Debug)]
pub struct EventIds(std::sync::atomic::AtomicU64);

impl EventIds {
    /// The next id follows `last`.
    #[must_use]
    pub fn after(last: u64) -> Self {
        Self(std::sync::atomic::AtomicU64::new(last))
    }

    fn next(&self) -> u64 {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
    }
}

/// The way to the shards; they end when the last clone of this goes.
#[derive(Debug, Clone)]
pub struct Shards {
    queues: Arc<[mpsc::Sender<Job>]>,
    stats: Arc<Stats>,
}

impl Shards {
    /// Hands a job to a node's shard; waits while that is full. False: it has stopped.
    pub async fn send(&self, node: NodeId, job: Job) -> bool {
        let queue = &self.queues[node.0 as usize % self.queues.len()];
        self.stats.shard_queue.add(1);
        let sent = queue.send(job).await.is_ok();
        if !sent {
            self.stats.shard_queue.add(-1);
        }
        sent
    }

    /// Lets every shard look at the clock. False when one is so busy that it will at the next
    /// call.
    pub fn elapse(&self) -> bool {
        let mut all = true;
        for queue in self.queues.iter() {
            self.stats.shard_queue.add(1);
            if queue.try_send(Job::Elapse).is_err() {
                self.stats.shard_queue.add(-1);
                all = false;
            }
        }
        all
    }
}

/// Makes the shards, each with its own detectors, and lets them know what was before.
pub fn build(
    shared: &Shared,
    inventory: &Inventory,
    detectors: Vec<Vec<Box<dyn Detector>>>,
) -> Vec<Shard> {
    let mut shards: Vec<Shard> = detectors.into_iter().map(|d| Shard::new(shared, d)).collect();
    let count = shards.len();
    for node in shared.nodes.all() {
        shards[node.key.id.0 as usize % count].know(&node, u32::MAX);
    }
    for (node, anomaly) in &inventory.open_anomalies {
        if let Some(node) = shared.nodes.get(NodeId(*node)) {
            shards[node.key.id.0 as usize % count].restore(&node.key, anomaly);
        }
    }
    shards
}

/// Replays a frame of the journal into its head, and warms the detectors by it.
pub fn replay(shards: &mut [Shard], shared: &Shared, frame: &FrameRecord) {
    let live = frame.layout.and_then(|id| shared.catalog.layout(LayoutId(id)));
    if let Some(live) = live {
        let count = shards.len();
        shards[live.layout.node.id.0 as usize % count].replay(&live, frame);
    }
}

/// Ends the replay: what the detectors now say is compared with what was stored.
pub fn replayed(shards: &mut [Shard]) {
    for shard in shards {
        shard.replayed();
    }
}

/// Starts a thread for each shard.
///
/// # Panics
/// When no thread can be started.
pub fn start(shards: Vec<Shard>, stats: &Arc<Stats>) -> (Shards, Vec<JoinHandle<()>>) {
    let mut queues = Vec::new();
    let mut threads = Vec::new();
    for (number, shard) in shards.into_iter().enumerate() {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name(format!("shard-{number}"));
        threads.push(thread.spawn(move || shard.run(receiver)).expect("a thread at start"));
        queues.push(sender);
    }
    (Shards { queues: queues.into(), stats: Arc::clone(stats) }, threads)
}
