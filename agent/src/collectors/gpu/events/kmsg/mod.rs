//! Reads the kernel's log for what NVIDIA's drivers write into it: some errors come no other way.
//!
//! A thread of its own sleeps until there is a message. Messages from before it started are left
//! alone: what they told of was then, and the agent before this one has told it. Messages are
//! read at a bounded rate; a log that fills faster is overwritten by the kernel, which the
//! messages' numbers show, and what is missing is counted. Without the right to read the log
//! there are only NVML's events; that is said, and tried again.

mod record;

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};

use self::record::{Message, Parser};
use super::nvrm::{self, Line};
use super::queue::{Queue, Seen, What};
use crate::clock::now_ms;
use crate::collectors::pods::{Attribution, Process};

/// Lines read in a second; a burst waits in the kernel's buffer.
const LINES_PER_SECOND: u64 = 2_000;
/// A log that cannot be opened or read is tried again so often.
const RETRY: Duration = Duration::from_secs(30);
/// A plain file or a pipe without a writer is looked at so often.
const TAIL: Duration = Duration::from_millis(200);
/// A stamp counts if it is no older than this: the log's clock is not set by NTP and drifts.
const OLDEST_STAMP_MS: i64 = 2_000;
/// A process number means the same process for so long.
const SAME_PROCESS: Duration = Duration::from_secs(5);
/// More than the longest message; a shorter read fails.
const BUFFER: usize = 16 << 10;
const STACK_BYTES: usize = 256 << 10;

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Kmsg {
    state: Arc<State>,
    /// Its end is what the thread waits for beside messages.
    _stop: PipeWriter,
}

#[derive(Debug, Default)]
struct State {
    lost: AtomicU64,
    problem: Mutex<Option<&'static str>>,
}

impl Kmsg {
    /// Starts to read `path`. Says whose the processes are that messages name.
    ///
    /// # Errors
    /// When the system gives no pipe or no thread.
    pub(super) fn start(
        path: PathBuf,
        queue: &Arc<Queue>,
        attribution: &Arc<Attribution>,
    ) -> io::Result<Self> {
        let (stopped, stop) = io::pipe()?;
        let state = Arc::new(State::default());
        let reader = Reader {
            path,
            stopped,
            state: Arc::clone(&state),
            queue: Arc::clone(queue),
            attribution: Arc::clone(attribution),
            process: None,
        };
        let thread = std::thread::Builder::new().name("gpu-kmsg".to_owned());
        thread.stack_size(STACK_BYTES).spawn(move || reader.run())?;
        Ok(Self { state, _stop: stop })
    }

    /// Messages that were not read.
    pub(super) fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }

    /// Why the log cannot be read; none while it can.
    pub(super) fn problem(&self) -> Option<&'static str> {
        *self.state.problem.lock()
    }
}

/// The collector is gone.
struct Stopped;

struct Reader {
    path: PathBuf,
    stopped: PipeReader,
    state: Arc<State>,
    queue: Arc<Queue>,
    attribution: Arc<Attribution>,
    /// The last process found, and when: an error is often told in several messages.
    process: Option<(u32, Instant, Box<Process>)>,
}

impl Reader {
    fn run(mut self) {
        loop {
            let failed = match open(&self.path) {
                Ok(log) => {
                    self.set_problem(None);
                    match self.read(log) {
                        Ok(Stopped) => return,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            self.set_problem(Some(&failed));
            if self.pause(RETRY).is_err() {
                return;
            }
        }
    }

    fn set_problem(&self, error: Option<&io::Error>) {
        let reason = error.map(reason);
        let before = std::mem::replace(&mut *self.state.problem.lock(), reason);
        let path = self.path.display();
        match (before, error) {
            (None, Some(error)) => {
                tracing::warn!(%path, %error, "the kernel's log cannot be read");
            }
            (Some(_), None) => tracing::info!(%path, "the kernel's log can be read again"),
            _ => {}
        }
    }

    /// Reads until the log fails or the collector is gone.
    fn read(&mut self, mut log: impl Read + AsFd) -> io::Result<Stopped> {
        let mut buffer = vec![0; BUFFER];
        let mut parser = Parser::default();
        let mut budget = Budget::new(Instant::now());
        loop {
            if let Some(pause) = budget.exceeded(parser.take_lines(), Instant::now())
                && self.pause(pause).is_err()
            {
                return Ok(Stopped);
            }
            match log.read(&mut buffer) {
                Ok(0) => {
                    if self.pause(TAIL).is_err() {
                        return Ok(Stopped);
                    }
                }
                Ok(length) => {
                    parser.feed(&buffer[..length], &mut |message| self.found(&message));
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    Some(libc::EPIPE) => parser.overwritten(),
                    Some(libc::EAGAIN) => {
                        if self.wait(log.as_fd()).is_err() {
                            return Ok(Stopped);
                        }
                    }
                    _ => return Err(error),
                },
            }
            let lost = parser.take_lost();
            if lost > 0 {
                self.state.lost.fetch_add(lost, Ordering::Relaxed);
            }
        }
    }

    fn found(&mut self, message: &Message) {
        let Some(line) = nvrm::parse(&message.text) else { return };
        let pid = if let Line::Xid(xid) = &line { xid.pid } else { None };
        // Asked for at once: the process is about to be killed.
        let process = pid.and_then(|pid| self.process_of(pid));
        let time_ms = time_of(message.micros, monotonic_micros(), now_ms());
        let what = What::Kernel { line, process };
        self.queue.push(Seen { at: Instant::now(), time_ms, what });
    }

    fn process_of(&mut self, pid: u32) -> Option<Box<Process>> {
        if let Some((known, since, process)) = &self.process
            && *known == pid
            && since.elapsed() < SAME_PROCESS
        {
            return Some(process.clone());
        }
        let process = Box::new(self.attribution.process(pid)?);
        self.process = Some((pid, Instant::now(), process.clone()));
        Some(process)
    }

    /// Waits until there is something to read.
    fn wait(&self, log: BorrowedFd<'_>) -> Result<(), Stopped> {
        let mut files = [
            PollFd::new(&self.stopped, PollFlags::IN),
            PollFd::from_borrowed_fd(log, PollFlags::IN),
        ];
        self.poll(&mut files, None)
    }

    fn pause(&self, time: Duration) -> Result<(), Stopped> {
        self.poll(&mut [PollFd::new(&self.stopped, PollFlags::IN)], Some(time))
    }

    /// `files` begins with the pipe whose end means that the collector is gone.
    fn poll(&self, files: &mut [PollFd<'_>], time: Option<Duration>) -> Result<(), Stopped> {
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        // A failure (a signal, no memory) is as good as a short wait: the caller tries again.
        let woken = poll(files, time.as_ref()).is_ok_and(|ready| ready > 0);
        if woken && !files[0].revents().is_empty() { Err(Stopped) } else { Ok(()) }
    }
}

/// Opens the log at its end. What cannot seek has no past to skip.
fn open(path: &Path) -> io::Result<File> {
    let mut log = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if log.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    match log.seek(SeekFrom::End(0)) {
        Err(error) if error.kind() != io::ErrorKind::NotSeekable => Err(error),
        _ => Ok(log),
    }
}

fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "not_found",
        io::ErrorKind::PermissionDenied => "permission_denied",
        _ => "read_failed",
    }
}

/// When a message was written: by its stamp where that can be, else now.
fn time_of(micros: Option<u64>, since_boot_micros: u64, now_ms: i64) -> i64 {
    let age = micros.and_then(|micros| since_boot_micros.checked_sub(micros));
    let age_ms = age.and_then(|age| i64::try_from(age / 1_000).ok());
    age_ms.filter(|age_ms| *age_ms <= OLDEST_STAMP_MS).map_or(now_ms, |age_ms| now_ms - age_ms)
}

fn monotonic_micros() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let [seconds, nanos] = [now.tv_sec, now.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    seconds * 1_000_000 + nanos / 1_000
}

/// Lines allowed in each second.
struct Budget {
    since: Instant,
    lines: u64,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self { since: now, lines: 0 }
    }

    /// Counts lines; tells how long to wait when there were too many.
    fn exceeded(&mut self, lines: u64, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.since);
        if passed >= Duration::from_secs(1) {
            *self = Self::new(now);
            self.lines = lines;
            return None;
        }
        self.lines += lines;
        (self.lines >= LINES_PER_SECOND).then(|| Duration::from_secs(1).saturating_sub(passed))
    }
}

#[cfg(test)]
mod tests;
