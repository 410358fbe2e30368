//! The one world of a process: loading the scenario, noticing that its file changed, and keeping
//! time. Nothing runs in the background: a call looks whether something is due, and those that
//! wait (events, hangs, latency) look while they wait.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex, RwLock, RwLockReadGuard};

use crate::effects::Mistake;
use crate::events::{CHANGED, SETS};
use crate::samples::SAMPLES;
use crate::scenario::Scenario;
use crate::stats::{self, Stats};
use crate::world::World;

static WORLD: RwLock<Option<World>> = RwLock::new(None);
static WATCH: Mutex<Watch> =
    Mutex::new(Watch { path: None, seen: None, error: None, stats_due: None });
/// Real time since [`start`] at which there is something to do, in nanoseconds.
static DUE: AtomicU64 = AtomicU64::new(0);
/// Clients that have initialised.
pub(crate) static SESSIONS: AtomicU32 = AtomicU32::new(0);
/// Whether any ever did, for telling use before from use after.
pub(crate) static EVER: AtomicU32 = AtomicU32::new(0);
/// The world's driver epoch when the session began.
pub(crate) static SESSION_EPOCH: AtomicU32 = AtomicU32::new(0);
/// Those who are held up wait on it.
static HELD: Mutex<()> = Mutex::new(());
static RELEASED: Condvar = Condvar::new();

/// What a file was when it was read.
type Stamp = (SystemTime, u64, u64);

struct Watch {
    path: Option<PathBuf>,
    seen: Option<Stamp>,
    error: Option<String>,
    stats_due: Option<Instant>,
}

/// When the library was first used.
pub(crate) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn since_start(at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(start()).as_nanos()).unwrap_or(u64::MAX)
}

/// The world, brought up to date.
pub(crate) fn world(now: Instant) -> Option<WorldRef> {
    if since_start(now) >= DUE.load(Ordering::Acquire) {
        tick(now);
    }
    RwLockReadGuard::try_map(WORLD.read(), Option::as_ref).ok()
}

/// The world while it is read.
pub(crate) type WorldRef = parking_lot::MappedRwLockReadGuard<'static, World>;

/// Does what is due. Another thread that is at it already is enough, once there is a world.
fn tick(now: Instant) {
    let watch = if WORLD.read().is_some() { WATCH.try_lock() } else { Some(WATCH.lock()) };
    let Some(mut watch) = watch else { return };
    update(&mut watch, now, false);
}

/// Reads the file now, whatever it looked like before.
pub(crate) fn reload() -> Result<(), String> {
    let mut watch = WATCH.lock();
    watch.seen = None;
    update(&mut watch, Instant::now(), true);
    watch.error.clone().map_or(Ok(()), Err)
}

/// Begins anew with another scenario: handles, sessions and event sets of the old one are void.
pub(crate) fn set_scenario(path: &Path) -> Result<(), String> {
    let mut watch = WATCH.lock();
    let now = Instant::now();
    let refused = |Mistake(mistake): Mistake| {
        complain(&mistake);
        mistake
    };
    // Before reading, so that a change after it is seen.
    let seen = stamp(path).ok();
    let scenario = read(path).map_err(refused)?;
    let generation = WORLD.read().as_ref().map_or(1, |world| world.generation + 1);
    let world = World::new(scenario, generation, now).map_err(refused)?;
    if generation == 1 {
        at_exit();
    }
    watch.seen = seen;
    watch.path = Some(path.to_owned());
    watch.error = None;
    SESSIONS.store(0, Ordering::Release);
    EVER.store(0, Ordering::Release);
    *WORLD.write() = Some(world);
    SETS.lock().clear();
    SAMPLES.lock().clear();
    release();
    update(&mut watch, now, false);
    Ok(())
}

fn update(watch: &mut Watch, now: Instant, forced: bool) {
    if WORLD.read().is_none() && !first(watch, now) {
        return;
    }
    if let Some(path) = watch.path.clone() {
        let seen = stamp(&path).ok();
        if forced || (seen.is_some() && seen != watch.seen) {
            watch.seen = seen;
            let replaced = read(&path).and_then(|scenario| {
                WORLD.write().as_mut().map_or(Ok(()), |world| world.replace(scenario, now))
            });
            watch.error = replaced.err().map(|Mistake(mistake)| mistake);
            if let Some(mistake) = &watch.error {
                complain(mistake);
            }
            release();
        }
    }
    let mut stats_file = None;
    let mut changed = false;
    if let Some(world) = WORLD.write().as_mut() {
        changed = world.run_until(world.time(now));
        let poll = now + Duration::from_millis(world.scenario.poll_ms);
        let change = world.next_change().map(|at| {
            let seconds = (at - world.time(now)).max(0.0) / world.scenario.time_scale.max(1e-9);
            now + Duration::from_secs_f64(seconds.min(1e6))
        });
        let mut due = change.map_or(poll, |change| change.min(poll));
        if let Some(path) = &world.scenario.stats_file {
            if watch.stats_due.is_none_or(|at| at <= now) {
                watch.stats_due = Some(now + Duration::from_millis(world.scenario.stats_ms));
                stats_file = Some(path.clone());
            }
            due = due.min(watch.stats_due.unwrap_or(due));
        }
        DUE.store(since_start(due), Ordering::Release);
    }
    if let Some(path) = stats_file {
        write_stats(&path, watch.error.clone());
    }
    if changed {
        release();
    }
}

/// Makes the first world, from the file that the environment names or of eight idle H100.
fn first(watch: &mut Watch, now: Instant) -> bool {
    watch.path = std::env::var_os("FAKE_NVML_SCENARIO").map(PathBuf::from);
    let scenario = match &watch.path {
        Some(path) => {
            watch.seen = stamp(path).ok();
            read(path)
        }
        None => Ok(Scenario::of("h100-sxm", 8)),
    };
    match scenario.and_then(|scenario| World::new(scenario, 1, now)) {
        Ok(world) => {
            *WORLD.write() = Some(world);
            at_exit();
            true
        }
        Err(Mistake(mistake)) => {
            complain(&mistake);
            watch.error = Some(mistake);
            false
        }
    }
}

fn read(path: &Path) -> Result<Scenario, Mistake> {
    let text = fs::read_to_string(path)
        .map_err(|error| Mistake(format!("{}: {error}", path.display())))?;
    toml::from_str(&text).map_err(|error| Mistake(format!("{}: {error}", path.display())))
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.modified()?, metadata.len(), metadata.ino()))
}

/// Lets everyone who waits look again.
fn release() {
    {
        let _held = HELD.lock();
        RELEASED.notify_all();
    }
    let _sets = SETS.lock();
    CHANGED.notify_all();
}

/// When the next look at the world is due, at the latest `most` from now.
pub(crate) fn next_look(now: Instant, most: Instant) -> Instant {
    let due = DUE.load(Ordering::Acquire).saturating_sub(since_start(now));
    // Whoever does what is due needs a moment; no spinning while it does.
    most.min(now + Duration::from_nanos(due).max(Duration::from_millis(1)))
}

/// Waits until something may have changed, or until `most`.
pub(crate) fn wait(now: Instant, most: Instant) {
    let mut held = HELD.lock();
    RELEASED.wait_until(&mut held, next_look(now, most));
}

/// What clients did.
pub(crate) fn statistics() -> Stats {
    let error = WATCH.lock().error.clone();
    with_world(error)
}

fn with_world(scenario_error: Option<String>) -> Stats {
    Stats {
        initialised: u64::from(SESSIONS.load(Ordering::Acquire)),
        event_sets: SETS.lock().len(),
        samples: SAMPLES.lock().len(),
        scenario_error,
        seconds: start().elapsed().as_secs_f64(),
        ..stats::read()
    }
}

fn write_stats(path: &Path, error: Option<String>) {
    let stats = with_world(error);
    let partial = path.with_extension("partial");
    let written = serde_json::to_vec(&stats)
        .map_err(io::Error::from)
        .and_then(|bytes| fs::write(&partial, bytes))
        .and_then(|()| fs::rename(&partial, path));
    if let Err(error) = written {
        complain(&format!("{}: {error}", path.display()));
    }
}

/// Writes the statistics for the last time.
pub(crate) fn finish() {
    let path = WORLD.read().as_ref().and_then(|world| world.scenario.stats_file.clone());
    // At the process' end the directory may be gone, and nobody is there to be told.
    if let Some(path) = path.filter(|path| path.parent().is_some_and(Path::is_dir)) {
        let error = WATCH.try_lock().and_then(|watch| watch.error.clone());
        write_stats(&path, error);
    }
}

fn at_exit() {
    extern "C" fn last() {
        finish();
    }
    crate::exports::at_exit(last);
}

/// Says on standard error what is wrong with a scenario: a test library has no other place.
#[expect(clippy::print_stderr, reason = "whoever wrote the scenario has to see it")]
pub(crate) fn complain(what: &str) {
    eprintln!("fake-nvml: {what}");
}
