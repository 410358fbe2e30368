//! The one thread that writes to the store: groups what the shards hand over into one
//! transaction at least every [`WriterConfig::commit_interval`], then tells the sessions what
//! is on disk.
//!
//! A transaction that fails (a full disk) is tried again until it works: nothing is dropped,
//! nothing is acknowledged, `/ready` says why, and the bounded queues before it fill up until
//! the agents stop sending and spool.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sextant_proto::chain::chain;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, info_span};

use crate::catalog::Live;
use crate::health::Health;
use crate::nodes::Spool;
use crate::stats::Stats;
use crate::storage::{Change, Chunk, Cutoff, Store, StoreError};

/// Messages between shards and writer. Full: the shards wait, and the agents behind them.
const QUEUE: usize = 1024;
/// Changes of one transaction.
const MAX_CHANGES: usize = 20_000;
/// Bytes of frames of one transaction.
const MAX_BYTES: usize = 16 << 20;
/// Chunks that are sealed together.
const MAX_CHUNKS: usize = 512;
/// Pause before a failed transaction is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The `[store]` section's part for the writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WriterConfig {
    /// Longest time that a frame waits for its transaction.
    #[serde(with = "humantime_serde")]
    pub commit_interval: Duration,
}

impl Default for WriterConfig {
    fn default() -> Self {
        Self { commit_interval: Duration::from_millis(50) }
    }
}

/// What the writer is asked to do, in order.
#[derive(Debug)]
pub enum Write {
    /// Written together; `spool` is told when they are on disk.
    Changes {
        changes: Vec<Change>,
        spool: Option<(Arc<Spool>, u64)>,
    },
    /// Everything of the chunk was handed over before.
    Seal(Arc<Live>, Arc<Chunk>),
    Prune(Cutoff),
}

/// The way to the writer; it ends when the last clone of this goes.
#[derive(Debug, Clone)]
pub struct WriterHandle {
    queue: SyncSender<Write>,
    stats: Arc<Stats>,
}

impl WriterHandle {
    /// Hands something over; blocks while the queue is full.
    pub fn send(&self, write: Write) {
        self.stats.writer_queue.add(1);
        if self.queue.send(write).is_err() {
            // It only ends before its senders when a stop was forced; nothing is acknowledged.
            self.stats.writer_queue.add(-1);
        }
    }
}

/// Starts the writer. `abandon` makes it give up a transaction that keeps failing.
///
/// # Panics
/// When no thread can be started.
pub fn start(
    config: &WriterConfig,
    store: Arc<dyn Store>,
    stats: Arc<Stats>,
    health: Arc<Health>,
    abandon: CancellationToken,
) -> (WriterHandle, JoinHandle<()>) {
    let (queue, receiver) = sync_channel(QUEUE);
    let handle = WriterHandle { queue, stats: Arc::clone(&stats) };
    let writer = Writer { store, stats, health, abandon, interval: config.commit_interval };
    let thread = std::thread::Builder::new()
        .name("writer".into())
        .spawn(move || writer.run(&receiver))
        .expect("a thread at start");
    (handle, thread)
}

struct Writer {
    store: Arc<dyn Store>,
    stats: Arc<Stats>,
    health: Arc<Health>,
    abandon: CancellationToken,
    interval: Duration,
}

#[derive(Default)]
struct Group {
    changes: Vec<Change>,
    spools: Vec<(Arc<Spool>, u64)>,
    seals: Vec<(Arc<Live>, Arc<Chunk>)>,
    prune: Option<Cutoff>,
    messages: i64,
    bytes: usize,
}

impl Group {
    fn add(&mut self, write: Write) {
        self.messages += 1;
        match write {
            Write::Changes { changes, spool } => {
                for change in &changes {
                    if let Change::Frame(frame) = change {
                        self.bytes += frame.payload.len() + frame.key.len();
                    }
                }
                self.changes.extend(changes);
                self.spools.extend(spool);
            }
            Write::Seal(live, chunk) => self.seals.push((live, chunk)),
            Write::Prune(cutoff) => self.prune = Some(cutoff),
        }
    }

    fn is_full(&self) -> bool {
        self.changes.len() >= MAX_CHANGES
            || self.bytes >= MAX_BYTES
            || self.seals.len() >= MAX_CHUNKS
    }
}

impl Writer {
    fn run(&self, queue: &Receiver<Write>) {
        while let Ok(first) = queue.recv() {
            let deadline = Instant::now() + self.interval;
            let mut group = Group::default();
            group.add(first);
            while !group.is_full() {
                let left = deadline.saturating_duration_since(Instant::now());
                match queue.recv_timeout(left) {
                    Ok(write) => group.add(write),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
            }
            let messages = group.messages;
            self.write(group);
            self.stats.writer_queue.add(-messages);
        }
    }

    fn write(&self, group: Group) {
        let (changes, seals) = (group.changes.len(), group.seals.len());
        let _span = info_span!("commit", changes, bytes = group.bytes, seals).entered();
        if !group.changes.is_empty() {
            let start = Instant::now();
            if !self.insist("commit", || self.store.commit(&group.changes)) {
                return;
            }
            let spent = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.stats.commit_nanoseconds.add(spent);
            self.stats.commits.add(1);
            for (spool, seq) in &group.spools {
                spool.commit(*seq);
            }
        }
        if !group.seals.is_empty() {
            let chunks: Vec<Chunk> = group.seals.iter().map(|(_, c)| Chunk::clone(c)).collect();
            if !self.insist("seal", || self.store.seal(&chunks)) {
                return;
            }
            self.stats.seals.add(chunks.len() as u64);
            for (live, chunk) in &group.seals {
                live.head.lock().sealed(chunk);
            }
        }
        if let Some(cutoff) = group.prune {
            match self.store.prune(cutoff) {
                Ok(pruned) => self.stats.pruned.add(pruned.deleted),
                Err(error) => error!(error = %chain(&error), "retention failed"),
            }
        }
    }

    /// Does it until it works. False: it was abandoned.
    fn insist(
        &self,
        what: &'static str,
        mut attempt: impl FnMut() -> Result<(), StoreError>,
    ) -> bool {
        loop {
            let Err(failure) = attempt() else {
                if self.health.recover("store") {
                    info!(what, "store works again");
                }
                return true;
            };
            // What the store can never take is a bug of the pipeline: going on would acknowledge
            // what is not stored.
            assert!(!matches!(failure, StoreError::Invalid(_)), "{what}: {failure}");
            self.stats.commit_failures.add(1);
            let text = chain(&failure);
            if self.health.fail("store", format!("{what}: {text}")) {
                error!(what, error = text, "store failed, nothing is acknowledged until it works");
            }
            if self.abandon.is_cancelled() {
                error!(
                    what,
                    "stopping with frames that are not stored; the agents still have them"
                );
                return false;
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "a thread of its own, nothing else to do"
            )]
            std::thread::sleep(RETRY);
        }
    }
}
