//! How often the collectors' fast tick allocates: counted in a process that does nothing else,
//! with the configuration and on the made-up node of the measurement.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use sextant_agent::clock::{Stop, now_ms};
use sextant_agent::collectors::{self, Collector};
use sextant_agent::config::Config;
use sextant_agent::sample::Batch;
use sextant_agent::spool::Spool;
use sextant_agent::stats::Stats;

use super::telco::stand_in;
use crate::process::Child;

/// The subcommand that counts.
pub(crate) const COUNT: &str = "count-allocations";
/// Ticks that are counted.
const TICKS: usize = 200;
/// Rounds of all tiers before, in which shapes and buffers come to be.
const WARM_UP: usize = 20;
/// Between two ticks, so that the made-up node goes on.
const PAUSE_MS: i64 = 20;
/// More than counting takes anywhere.
const PATIENCE: Duration = Duration::from_secs(120);
const SAYS: &str = "allocations in the median tick: ";

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

/// Bytes that this process has allocated and not freed.
pub(crate) fn live_bytes() -> i64 {
    LIVE_BYTES.load(Ordering::Relaxed)
}

#[expect(unsafe_code, reason = "an allocator is unsafe to implement")]
// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        LIVE_BYTES.fetch_add(layout.size().cast_signed() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size().cast_signed() as i64, Ordering::Relaxed);
        // SAFETY: the block came from `alloc` above, which is System's.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the benchmark says.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The agent's.
    #[arg(long)]
    config: PathBuf,
    /// Where the made-up kernel's sockets are to be had.
    #[arg(long)]
    kernel: Option<PathBuf>,
}

/// Counts in this process and prints the median.
///
/// # Errors
/// When the configuration is wrong.
#[expect(clippy::print_stdout, reason = "what the benchmark reads")]
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut config = Config::load(Some(&arguments.config))?;
    config.collectors.agent.enabled = false;
    let mut list: Vec<Box<dyn Collector>> = match &arguments.kernel {
        Some(kernel) => stand_in::collectors(&mut config, kernel),
        None => Vec::new(),
    };
    let stats = Arc::new(Stats::new(Arc::new(Spool::memory(1 << 20)?)));
    list.extend(collectors::enabled(&config.collectors, &config.paths, &stats));
    let stop = Stop::default();
    for _ in 0..WARM_UP {
        for collector in &mut list {
            for tier in 0..collector.tiers().len() {
                let mut batch = Batch::default();
                batch.begin();
                collector.collect(tier, &mut batch).context(collector.name())?;
            }
        }
        stop.sleep_until(now_ms() + PAUSE_MS);
    }
    let mut batches: Vec<Batch> = list.iter().map(|_| Batch::default()).collect();
    let mut counts = Vec::with_capacity(TICKS);
    for _ in 0..TICKS {
        stop.sleep_until(now_ms() + PAUSE_MS);
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for (collector, batch) in list.iter_mut().zip(&mut batches) {
            batch.begin();
            collector.collect(0, batch).context(collector.name())?;
            batch.finish(collector.name(), 1000);
        }
        counts.push(ALLOCATIONS.load(Ordering::Relaxed) - before);
    }
    counts.sort_unstable();
    println!("{SAYS}{}", counts[TICKS / 2]);
    // The benchmark ends this process when it has read that.
    let patience_ms = i64::try_from(PATIENCE.as_millis()).unwrap_or(i64::MAX);
    stop.sleep_until(now_ms() + patience_ms);
    Ok(())
}

/// Has a process of its own count.
///
/// # Errors
/// When it does not come to a number.
pub(super) async fn count(
    dir: &Path,
    kernel: Option<&Path>,
    environment: &[(&str, &std::ffi::OsStr)],
) -> anyhow::Result<u64> {
    let program = std::env::current_exe().context("this program's path")?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut arguments = vec![COUNT.into(), "--config".into(), text(&dir.join("agent.toml"))];
    arguments.extend(kernel.iter().flat_map(|path| ["--kernel".to_owned(), text(path)]));
    let mut child = Child::start_with(&program, &arguments, environment, dir)?;
    // It ends with this scope.
    child.says(PATIENCE, |line| line.strip_prefix(SAYS)?.parse().ok()).await
}
