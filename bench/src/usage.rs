//! What another process uses: CPU time and resident memory.
//!
//! CPU time is read from the process' own clock, which the kernel keeps in nanoseconds and
//! which counts threads that have ended; `/proc/PID/stat` knows only hundredths of a second.
//! Memory is read from `/proc/PID/status` again and again while a [`Monitor`] runs.

use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often memory is read.
const EVERY: Duration = Duration::from_millis(100);

/// CPU time that this thread has used.
pub(crate) fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(time.tv_sec.unsigned_abs(), nanos)
}

/// CPU time that a process has used since its start, in user and system mode.
///
/// # Errors
/// When there is no such process.
#[expect(unsafe_code, reason = "libc has no safe wrapper for clocks of other processes")]
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let id = libc::pid_t::try_from(pid).context("process id")?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` is a valid place for the result during the call.
    let error = unsafe { libc::clock_getcpuclockid(id, &raw mut clock) };
    if error != 0 {
        let error = std::io::Error::from_raw_os_error(error);
        return Err(error).with_context(|| format!("CPU clock of process {pid}"));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result during the call.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        let error = std::io::Error::last_os_error();
        return Err(error).with_context(|| format!("CPU time of process {pid}"));
    }
    let seconds = u64::try_from(time.tv_sec).context("CPU time below zero")?;
    let nanos = u32::try_from(time.tv_nsec).context("CPU time below zero")?;
    Ok(Duration::new(seconds, nanos))
}

/// A process' resident memory at an instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Resident {
    bytes: u64,
    /// The part that belongs to no file: heap and stacks.
    anonymous_bytes: u64,
    /// The most there ever was.
    peak_bytes: u64,
}

impl Resident {
    fn read(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/status");
        let text = std::fs::read_to_string(&path).context(path)?;
        Self::parse(&text).with_context(|| format!("process {pid} has no memory any more"))
    }

    fn parse(status: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
        };
        Some(Self {
            bytes: bytes("VmRSS:")?,
            anonymous_bytes: bytes("RssAnon:")?,
            peak_bytes: bytes("VmHWM:")?,
        })
    }
}

/// A process' resident memory over a while.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) max_bytes: u64,
    pub(crate) mean_bytes: u64,
    pub(crate) max_anonymous_bytes: u64,
    /// The most there was since the process' start.
    pub(crate) peak_bytes: u64,
}

/// Reads a process' memory until it is finished.
pub(crate) struct Monitor {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<Memory>>,
}

impl Monitor {
    /// Starts reading.
    pub(crate) fn start(pid: u32, tasks: &TaskTracker) -> Self {
        let stop = CancellationToken::new();
        let task = tasks.spawn(watch(pid, stop.clone()));
        Self { stop, task }
    }

    /// What was there since the start.
    ///
    /// # Errors
    /// When the process has ended meanwhile.
    pub(crate) async fn finish(self) -> anyhow::Result<Memory> {
        self.stop.cancel();
        self.task.await.context("watch memory")?
    }
}

async fn watch(pid: u32, stop: CancellationToken) -> anyhow::Result<Memory> {
    let mut memory = Memory::default();
    let (mut sum, mut count) = (0, 0);
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        let now = Resident::read(pid)?;
        memory.max_bytes = memory.max_bytes.max(now.bytes);
        memory.max_anonymous_bytes = memory.max_anonymous_bytes.max(now.anonymous_bytes);
        memory.peak_bytes = now.peak_bytes;
        (sum, count) = (sum + now.bytes, count + 1);
        memory.mean_bytes = sum / count;
        tokio::select! {
            () = stop.cancelled() => return Ok(memory),
            _ = ticks.tick() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_text() {
        let text = "Name:\tx\nVmHWM:\t   12032 kB\nVmRSS:\t   10240 kB\nRssAnon:\t    1024 kB\n";
        let (bytes, anonymous_bytes, peak_bytes) = (10240 << 10, 1024 << 10, 12032 << 10);
        assert_eq!(Resident::parse(text), Some(Resident { bytes, anonymous_bytes, peak_bytes }));
        assert_eq!(Resident::parse("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn cpu_time_of_a_process_grows_as_it_works() {
        let before = cpu_time(std::process::id()).unwrap();
        let mut sum = 0u64;
        while cpu_time(std::process::id()).unwrap() == before {
            sum = sum.wrapping_add(1);
        }
        assert!(cpu_time(std::process::id()).unwrap() > before, "{sum}");
        // One more than the kernel ever gives.
        assert!(cpu_time((1 << 22) + 1).is_err());
    }
}
