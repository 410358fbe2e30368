//! The thread that keeps the store small: compaction in small steps, and retention after it, so
//! that samples are rolled up before they go. It runs at a low priority, and an idle aggregator's
//! has nothing to do.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sextant_proto::chain::chain;
use tracing::{error, info, warn};

use crate::clock;
use crate::config::RetentionConfig;
use crate::stats::Stats;
use crate::storage::{Compacted, Cutoff, Store};
use crate::writer::{Write, WriterHandle};

/// How often it looks for something to do; what was sealed since is left to the next look.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often retention is enforced.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// Its place behind everything else that wants a processor.
const NICE: i32 = 10;

/// The running thread; it ends when this goes.
#[derive(Debug)]
pub struct Maintenance {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Maintenance {
    /// Starts it.
    ///
    /// # Panics
    /// When no thread can be started.
    #[must_use]
    pub fn start(
        store: Arc<dyn Store>,
        writer: WriterHandle,
        stats: Arc<Stats>,
        retention: RetentionConfig,
    ) -> Self {
        let (stop, stopped) = channel();
        let worker = Worker { store, writer, stats, retention, failing: false, no_room: false };
        let thread = std::thread::Builder::new().name("maintenance".into());
        let thread = thread.spawn(move || worker.run(&stopped)).expect("a thread at start");
        Self { stop, thread }
    }

    /// Ends it after the step that it is at.
    ///
    /// # Errors
    /// When it panicked.
    pub fn stop(self) -> std::thread::Result<()> {
        drop(self.stop);
        self.thread.join()
    }
}

struct Worker {
    store: Arc<dyn Store>,
    writer: WriterHandle,
    stats: Arc<Stats>,
    retention: RetentionConfig,
    failing: bool,
    no_room: bool,
}

impl Worker {
    fn run(mut self, stopped: &Receiver<()>) {
        // On Linux that of the calling thread alone. Without it the thread is as good as others.
        let _same_as_others = rustix::process::setpriority_process(None, NICE);
        let mut pruned: Option<Instant> = None;
        loop {
            while self.compact() {
                if !matches!(stopped.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty)) {
                    return;
                }
            }
            if pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
                pruned = Some(Instant::now());
                self.writer.send(Write::Prune(cutoff(&self.retention, clock::now_ms())));
            }
            if stopped.recv_timeout(LOOK_EVERY) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// A step; whether there is more to do now.
    fn compact(&mut self) -> bool {
        let start = Instant::now();
        let done = match self.store.compact(clock::now_ms()) {
            Ok(done) => done,
            Err(failure) => {
                self.stats.compaction_failures.add(1);
                if !std::mem::replace(&mut self.failing, true) {
                    error!(error = %chain(&failure), "compaction failed, it is tried again");
                }
                return false;
            }
        };
        if std::mem::take(&mut self.failing) {
            info!("compaction works again");
        }
        if done.no_room != self.no_room {
            self.no_room = done.no_room;
            if done.no_room {
                warn!("compaction waits: the disk has too little room for it");
            } else {
                info!("compaction goes on: the disk has room again");
            }
        }
        if done != Compacted::default() {
            let spent = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.stats.compaction_nanoseconds.add(spent);
            self.stats.compacted_rows.add(done.merged);
            self.stats.compacted_samples.add(done.samples);
            self.stats.compacted_bytes_before.add(done.bytes_before);
            self.stats.compacted_bytes_after.add(done.bytes_after);
            self.stats.compaction_bytes_freed.add(done.bytes_freed);
        }
        done.more
    }
}

/// What retention lets go at a time.
fn cutoff(retention: &RetentionConfig, now_ms: i64) -> Cutoff {
    let before =
        |kept: Duration| now_ms.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    Cutoff {
        samples_ms: before(retention.samples),
        minutes_ms: before(retention.minutes),
        hours_ms: before(retention.hours),
        events_ms: before(retention.events),
    }
}
