//! Waits for the driver's events on a thread of its own.
//!
//! The driver can hang in any of these calls, so nobody waits for the thread longer than
//! [`DETACH`]; one that hangs is left behind and says nothing when it comes back. A wait is cut
//! into slices, which bounds how long letting go takes. Errors are answered by a new set after a
//! pause that grows; the thread never spins. A GPU that cannot be listened to does not keep the
//! others from it.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::kinds;
use super::queue::{Gpu, Queue, Seen, What};
use crate::clock::now_ms;
use crate::collectors::gpu::nvml::{Code, EventData, EventSet, Handle, Library, NO_INSTANCE};

/// One wait.
const SLICE: Duration = Duration::from_secs(1);
/// Letting go takes no longer, whatever the driver does.
const DETACH: Duration = Duration::from_secs(3);
/// Pause after an error, doubled with each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// GPUs that could not be registered are tried again so often.
const REGISTER_AGAIN: Duration = Duration::from_secs(60);
/// More clock events than this in [`CLOCK_WINDOW`], and they are no longer asked for: each
/// wakes the driver and this thread.
const CLOCK_EVENTS: u32 = 50;
const CLOCK_WINDOW: Duration = Duration::from_secs(10);
/// Threads that hang in the driver at most; no more are started.
const THREADS: usize = 4;
/// `NVML_ERROR_UNKNOWN`: after it a set has to be made anew (`nvml.h`).
const UNKNOWN: Code = Code(999);
const STACK_BYTES: usize = 512 << 10;

/// A GPU to listen to.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) gpu: Gpu,
    pub(super) handle: Handle,
}

/// The thread that listens, if there is one.
#[derive(Debug, Default)]
pub(super) struct Listener {
    control: Option<Arc<Control>>,
    threads: Arc<AtomicUsize>,
}

/// How the thread is told to stop, and tells that it has.
#[derive(Debug, Default)]
struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stop: bool,
    done: bool,
}

impl Control {
    fn is_stopped(&self) -> bool {
        self.state.lock().stop
    }

    fn stop(&self) {
        self.state.lock().stop = true;
        self.changed.notify_all();
    }

    /// Waits for so long, or until it is time to stop; tells whether it is.
    fn pause(&self, time: Duration) -> bool {
        let mut state = self.state.lock();
        self.changed.wait_while_for(&mut state, |state| !state.stop, time);
        state.stop
    }
}

impl Listener {
    /// Listens to these GPUs and to no others; what another thread still hears is not told.
    pub(super) fn attach(&mut self, library: &Arc<Library>, gpus: Vec<Device>, queue: &Arc<Queue>) {
        self.leave();
        if gpus.is_empty() {
            return;
        }
        if self.threads.load(Ordering::Relaxed) >= THREADS {
            tracing::warn!("no NVML events: too many threads hang in the driver");
            return;
        }
        let control = Arc::new(Control::default());
        let thread = Thread {
            library: Arc::clone(library),
            gpus,
            queue: Arc::clone(queue),
            control: Arc::clone(&control),
            _running: Running::new(&self.threads),
            with_clock: true,
        };
        let builder = std::thread::Builder::new().name("gpu-events".to_owned());
        match builder.stack_size(STACK_BYTES).spawn(move || thread.run()) {
            Ok(_) => self.control = Some(control),
            Err(error) => tracing::warn!(%error, "no NVML events: no thread"),
        }
    }

    /// Lets go of the set and the library. Returns when that is done, or after [`DETACH`] with
    /// false when the driver does not let the thread go.
    pub(super) fn detach(&mut self) -> bool {
        let Some(control) = self.leave() else { return true };
        let mut state = control.state.lock();
        control.changed.wait_while_for(&mut state, |state| !state.done, DETACH);
        state.done
    }

    fn leave(&mut self) -> Option<Arc<Control>> {
        let control = self.control.take()?;
        control.stop();
        Some(control)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Counts a thread while it lives.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(threads: &Arc<AtomicUsize>) -> Self {
        threads.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(threads))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Thread {
    library: Arc<Library>,
    gpus: Vec<Device>,
    queue: Arc<Queue>,
    control: Arc<Control>,
    with_clock: bool,
    _running: Running,
}

/// Why a set is no longer waited on.
enum End {
    Stopped,
    /// There are too many clock events.
    Noisy,
    Failed(Code),
}

/// A set, and the GPUs that are to be tried again.
struct Registered {
    set: EventSet,
    any: bool,
    later: Vec<usize>,
}

impl Thread {
    fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        let mut failed = None;
        loop {
            let since = Instant::now();
            match self.listen() {
                End::Stopped => break,
                End::Noisy => {
                    tracing::info!(
                        "NVML tells too many clock events; they are no longer asked for"
                    );
                    self.with_clock = false;
                }
                End::Failed(code) => {
                    if since.elapsed() > LONGEST_PAUSE {
                        (pause, failed) = (FIRST_PAUSE, None);
                    }
                    if failed.replace(code) != Some(code) {
                        tracing::warn!(%code, "NVML events failed");
                    }
                    if self.control.pause(pause) {
                        break;
                    }
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            }
        }
        let Self { library, control, .. } = self;
        // The last reference shuts NVML down, and whoever waits wants that done.
        drop(library);
        control.state.lock().done = true;
        control.changed.notify_all();
    }

    /// Listens with one set until that ends.
    fn listen(&self) -> End {
        let mut registered = match self.register_all() {
            Ok(registered) => registered,
            Err(code) if code.is_unsupported() => {
                tracing::info!(%code, "the driver has no events");
                self.wait_until_stopped();
                return End::Stopped;
            }
            Err(code) => return End::Failed(code),
        };
        if !registered.any && registered.later.is_empty() {
            tracing::info!("no GPU has events");
            self.wait_until_stopped();
            return End::Stopped;
        }
        let mut clocks = Window::default();
        let mut tried = Instant::now();
        loop {
            if self.control.is_stopped() {
                return End::Stopped;
            }
            if !registered.later.is_empty() && tried.elapsed() >= REGISTER_AGAIN {
                tried = Instant::now();
                let Registered { set, any, later } = &mut registered;
                for index in std::mem::take(later) {
                    match self.register(set, index) {
                        Ok(told) => *any |= told,
                        Err(UNKNOWN) => return End::Failed(UNKNOWN),
                        Err(_) => later.push(index),
                    }
                }
            }
            if !registered.any {
                if self.control.pause(SLICE) {
                    return End::Stopped;
                }
                continue;
            }
            let asked = Instant::now();
            let slice_ms = u32::try_from(SLICE.as_millis()).unwrap_or(u32::MAX);
            match registered.set.wait(slice_ms) {
                Ok(event) => {
                    self.tell(event);
                    if event.kind == kinds::CLOCK && clocks.count(Instant::now()) > CLOCK_EVENTS {
                        return End::Noisy;
                    }
                }
                Err(Code::TIMEOUT) => {
                    // A driver that does not wait must not be asked without end.
                    let early = SLICE.saturating_sub(asked.elapsed());
                    if early > SLICE / 2 && self.control.pause(early) {
                        return End::Stopped;
                    }
                }
                Err(code) => return End::Failed(code),
            }
        }
    }

    fn wait_until_stopped(&self) {
        while !self.control.pause(LONGEST_PAUSE) {}
    }

    /// A set with all GPUs that let themselves be registered.
    fn register_all(&self) -> Result<Registered, Code> {
        let mut left_out = Vec::new();
        'set: loop {
            let set = EventSet::new(&self.library)?;
            let (mut any, mut later) = (false, Vec::new());
            for index in (0..self.gpus.len()).filter(|index| !left_out.contains(index)) {
                match self.register(&set, index) {
                    Ok(told) => any |= told,
                    Err(UNKNOWN) => {
                        left_out.push(index);
                        continue 'set;
                    }
                    Err(_) => later.push(index),
                }
            }
            // Those that spoil the set wait for the next one.
            return Ok(Registered { set, any, later });
        }
    }

    /// Registers one GPU. False when it has no events.
    fn register(&self, set: &EventSet, index: usize) -> Result<bool, Code> {
        let Device { gpu, handle } = &self.gpus[index];
        let unwanted = kinds::PERFORMANCE_STATE | if self.with_clock { 0 } else { kinds::CLOCK };
        let registered = set.supported(*handle).and_then(|kinds| {
            let wanted = kinds & !unwanted;
            if wanted != 0 {
                set.register(*handle, wanted)?;
            }
            Ok(wanted)
        });
        match registered {
            Ok(0) => Ok(false),
            Ok(kinds) => {
                self.push(What::Listening { gpu: gpu.clone(), kinds });
                Ok(true)
            }
            Err(code) => {
                tracing::debug!(uuid = %gpu.uuid, %code, "no NVML events of the GPU");
                if code.is_unsupported() { Ok(false) } else { Err(code) }
            }
        }
    }

    fn tell(&self, event: EventData) {
        let Some(device) = self.gpus.iter().find(|device| device.handle == event.device) else {
            self.queue.count_dropped(1);
            return;
        };
        let instance = |id| (id != NO_INSTANCE).then_some(id);
        self.push(What::Driver {
            gpu: device.gpu.clone(),
            kind: event.kind,
            data: event.data,
            gpu_instance: instance(event.gpu_instance),
            compute_instance: instance(event.compute_instance),
        });
    }

    /// Nothing is told once another thread may listen.
    fn push(&self, what: What) {
        if self.control.is_stopped() {
            return;
        }
        self.queue.push(Seen { at: Instant::now(), time_ms: now_ms(), what });
    }
}

/// Counts within a window of time.
#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    count: u32,
}

impl Window {
    fn count(&mut self, now: Instant) -> u32 {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) > CLOCK_WINDOW) {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count += 1;
        self.count
    }
}
