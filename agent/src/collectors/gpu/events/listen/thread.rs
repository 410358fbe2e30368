//! The thread: registers GPUs, waits, and tells what it hears.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::kinds;
use super::super::queue::{Queue, Seen, What};
use super::{Control, Device, Running};
use crate::clock::now_ms;
use crate::collectors::gpu::nvml::{Code, EventData, EventSet, Library, NO_INSTANCE};

/// One wait.
const SLICE: Duration = Duration::from_secs(1);
/// Pause after an error, doubled with each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// GPUs that could not be registered are tried again so often.
const REGISTER_AGAIN: Duration = Duration::from_secs(60);
/// More clock events than this in [`CLOCK_WINDOW`], and they are no longer asked for: each
/// wakes the driver and this thread.
pub(super) const CLOCK_EVENTS: u32 = 50;
const CLOCK_WINDOW: Duration = Duration::from_secs(10);
/// `NVML_ERROR_UNKNOWN`: after it a set has to be made anew (`nvml.h`).
const UNKNOWN: Code = Code(999);

/// Listens to GPUs until it is told to stop.
pub(super) struct Thread {
    pub(super) library: Arc<Library>,
    pub(super) gpus: Vec<Device>,
    pub(super) queue: Arc<Queue>,
    pub(super) control: Arc<Control>,
    pub(super) running: Running,
    /// Ask for clock events, too.
    pub(super) with_clock: bool,
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
    pub(super) fn run(mut self) {
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
        let Self { library, control, running, .. } = self;
        // The last reference shuts NVML down, and whoever waits wants that done.
        drop(library);
        drop(running);
        control.finish();
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
pub(super) struct Window {
    since: Option<Instant>,
    count: u32,
}

impl Window {
    pub(super) fn count(&mut self, now: Instant) -> u32 {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) > CLOCK_WINDOW) {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count += 1;
        self.count
    }
}
