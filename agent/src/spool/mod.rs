//! Bounded FIFO of frames between the collectors and the uplink.
//!
//! A pushed frame gets its seq, is in memory at once, and is written to a segment file by the
//! spool's own thread: a disk that hangs delays neither a collector nor the uplink. Nothing is
//! fsynced but a segment when it is closed, so the spool survives a kill of the process, and a
//! power cut except for the last minutes. Frames stay until they are acked.
//!
//! Bounds: bytes on disk and age (the oldest segment goes), and bytes in memory of what is not
//! on disk, which is all there is when the directory cannot be written (the oldest frames go).
//! Every frame that goes unacked is counted with its reason.

mod identity;
mod open;
mod read;
mod segment;
mod state;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use sextant_proto::limits;
use sextant_proto::v1::Frame;
use tokio::sync::Notify;

use self::identity::Identity;
pub use self::read::Piece;
pub use self::state::{Drops, Mode, SpoolStats};
use self::state::{Limits, State};

/// The least of `max_bytes`: room for the largest layout and frames beside it.
const MIN_BYTES: u64 = 16 << 20;
/// The least of `memory_bytes`: room for one frame of the largest size.
const MIN_MEMORY_BYTES: u64 = 2 << 20;
/// Frames on disk kept in memory as well: what the uplink reads while it keeps up.
const TAIL_BYTES: usize = 1 << 20;
const MAX_SEGMENT_BYTES: u64 = 4 << 20;
/// A segment takes no more frames after so long, so that acked ones can leave the disk.
const SEGMENT_AGE: Duration = Duration::from_secs(600);
/// How long a spool that is closed waits for its thread.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The `[spool]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpoolConfig {
    /// The directory, made if it is missing. One agent at a time uses it.
    pub dir: PathBuf,
    /// Bytes on disk.
    pub max_bytes: u64,
    /// Older frames are given up.
    #[serde(with = "humantime_serde")]
    pub max_age: Duration,
    /// Bytes in memory of what could not be written to disk.
    pub memory_bytes: u64,
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self {
            dir: "/var/lib/sextant/spool".into(),
            max_bytes: 256 << 20,
            max_age: Duration::from_secs(6 * 3600),
            memory_bytes: 8 << 20,
        }
    }
}

impl SpoolConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        if self.dir.as_os_str().is_empty() {
            return Err("spool.dir is empty".into());
        }
        if self.max_bytes < MIN_BYTES {
            let max = self.max_bytes;
            return Err(format!("spool.max_bytes {max} is below the least of {MIN_BYTES}"));
        }
        if self.memory_bytes < MIN_MEMORY_BYTES {
            let max = self.memory_bytes;
            return Err(format!(
                "spool.memory_bytes {max} is below the least of {MIN_MEMORY_BYTES}"
            ));
        }
        if self.max_age < Duration::from_secs(1) {
            return Err(format!("spool.max_age {:?} is below the least of 1 s", self.max_age));
        }
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits {
            tail_bytes: TAIL_BYTES,
            memory_bytes: usize::try_from(self.memory_bytes).unwrap_or(usize::MAX),
            disk_bytes: self.max_bytes,
            segment_bytes: MAX_SEGMENT_BYTES.min(self.max_bytes / 16),
            segment_age_ms: i64::try_from(SEGMENT_AGE.as_millis()).unwrap_or(i64::MAX),
            max_age_ms: i64::try_from(self.max_age.as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// Why a spool could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has its lock.
    #[error("spool directory {0} is in use by another agent")]
    InUse(PathBuf),
    /// It cannot be used, and that is not for want of space.
    #[error("open spool at {path}")]
    Open { path: PathBuf, source: io::Error },
}

/// A spooled frame with the layout that it follows (`None` when it has only events).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub layout: Option<(u64, Bytes)>,
    /// When it was spooled.
    pub time_ms: i64,
    pub frame: Frame,
}

/// The spool. Dropping it closes it.
pub struct Spool {
    shared: Arc<Shared>,
    cursor: Mutex<Option<read::Cursor>>,
}

/// What the spool and its thread share. The lock is never held over a system call on a file.
struct Shared {
    limits: Limits,
    state: Mutex<State>,
    /// Wakes the thread: there is something to write, to delete, or to stop for.
    work: Condvar,
    /// Wakes who waits for the thread.
    done: Condvar,
    pushed: Notify,
    acked: Notify,
    dir: Option<PathBuf>,
}

impl Spool {
    /// Opens or makes the spool of a directory and starts its thread. A directory that cannot be
    /// written for want of space or a read-only or failing disk gives a spool in memory, until
    /// the next start; what the directory holds stays there.
    ///
    /// # Errors
    /// [`SpoolError`] names the directory.
    pub fn open(config: &SpoolConfig) -> Result<Self, SpoolError> {
        Self::open_with(&config.dir, config.limits())
    }

    fn open_with(dir: &Path, limits: Limits) -> Result<Self, SpoolError> {
        let opened = match open::open(dir) {
            Ok(opened) => opened,
            Err(open::OpenError::Unwritable(source)) => {
                tracing::error!(dir = %dir.display(), error = %source, "spool runs from memory");
                let state = State::new(&Identity::random()?, Mode::Memory);
                return Ok(Self::new(Shared::new(limits, state, None)));
            }
            Err(open::OpenError::Fatal(error)) => return Err(error),
        };
        let mut state = State::new(&opened.identity, Mode::Disk);
        state.take_over(opened.segments, opened.lost, opened.damaged_bytes);
        let spool = Self::new(Shared::new(limits, state, Some(dir.to_owned())));
        let shared = Arc::clone(&spool.shared);
        let thread = std::thread::Builder::new().name("spool".into()).stack_size(256 << 10);
        let lock: File = opened.lock;
        thread
            .spawn(move || {
                writer::run(&shared, &lock);
                drop(lock);
                shared.state.lock().closed = true;
                shared.done.notify_all();
            })
            .map_err(|source| SpoolError::Open { path: dir.to_owned(), source })?;
        Ok(spool)
    }

    /// A spool of so many bytes without a directory.
    ///
    /// # Errors
    /// When the kernel gives no random bytes for its id.
    pub fn memory(max_bytes: usize) -> Result<Self, SpoolError> {
        let limits = Limits { memory_bytes: max_bytes, ..SpoolConfig::default().limits() };
        let mut state = State::new(&Identity::random()?, Mode::Memory);
        state.closed = true;
        Ok(Self::new(Shared::new(limits, state, None)))
    }

    fn new(shared: Shared) -> Self {
        if shared.dir.is_none() {
            shared.state.lock().closed = true;
        }
        Self { shared: Arc::new(shared), cursor: Mutex::new(None) }
    }

    /// Takes a frame and gives it its seq. `None` when it is larger than the protocol allows: it
    /// is dropped and counted.
    pub fn push(&self, layout: Option<(u64, Bytes)>, frame: Frame, time_ms: i64) -> Option<u64> {
        let too_big = frame.payload.len() > limits::MAX_FRAME_BYTES
            || layout.as_ref().is_some_and(|(_, l)| l.len() > limits::MAX_LAYOUT_BYTES);
        let mut state = self.shared.state.lock();
        if too_big {
            state.drops.too_big += 1;
            return None;
        }
        let seq = state.push(Record { layout, time_ms, frame }, &self.shared.limits);
        drop(state);
        self.shared.work.notify_one();
        self.shared.pushed.notify_one();
        Some(seq)
    }

    /// Everything up to and including `seq` is safe elsewhere and may go. A seq that was never
    /// given counts as the last that was.
    pub fn ack(&self, seq: u64) {
        self.shared.state.lock().ack(seq);
        self.shared.work.notify_one();
        self.shared.acked.notify_waiters();
    }

    /// The spool's id and the last seq that it gave.
    #[must_use]
    pub fn position(&self) -> (String, u64) {
        let state = self.shared.state.lock();
        (state.id.clone(), state.last)
    }

    /// The last seq that was acknowledged.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.shared.state.lock().acked
    }

    /// Takes a new id. For a spool whose directory was put back to an earlier state: its seqs
    /// have been used, and under the old id its frames would be taken for replays.
    ///
    /// # Errors
    /// When the new id cannot be put on disk; the old one stays.
    pub fn rename(&self) -> Result<(), SpoolError> {
        let mut identity = Identity::random()?;
        identity.epoch = identity::epoch_of(self.position().1);
        if let Some(dir) = &self.shared.dir {
            let written = identity.write(dir);
            written.map_err(|source| SpoolError::Open { path: dir.clone(), source })?;
        }
        self.shared.state.lock().id = identity.id;
        Ok(())
    }

    /// Returns when a frame was pushed since the last call. For one waiter.
    pub async fn notified(&self) {
        self.shared.pushed.notified().await;
    }

    /// Returns when every frame is acked.
    pub async fn drained(&self) {
        loop {
            let acked = self.shared.acked.notified();
            if self.shared.state.lock().unacked() == 0 {
                return;
            }
            acked.await;
        }
    }

    /// Writes everything to disk and fsyncs it, for so long at most. Returns whether it is there;
    /// never true of a spool in memory with frames in it. Blocks.
    #[must_use]
    pub fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.state.lock();
        let last = state.last;
        state.sync_wanted = !state.closed;
        self.shared.work.notify_one();
        while state.sync_wanted && !state.closed {
            if self.shared.done.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.synced >= last || state.unacked() == 0
    }

    /// Writes what is in memory and gives the directory back, while others may still hold the
    /// spool; what they push stays in memory. Blocks for two seconds at most.
    pub fn close(&self) {
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        let mut state = self.shared.state.lock();
        state.stopping = true;
        self.shared.work.notify_one();
        while !state.closed {
            if self.shared.done.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
    }

    /// What it holds and what it lost.
    #[must_use]
    pub fn stats(&self) -> SpoolStats {
        self.shared.state.lock().stats()
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn new(limits: Limits, state: State, dir: Option<PathBuf>) -> Self {
        Self {
            limits,
            state: Mutex::new(state),
            work: Condvar::new(),
            done: Condvar::new(),
            pushed: Notify::new(),
            acked: Notify::new(),
            dir,
        }
    }
}
