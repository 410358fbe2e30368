//! Waits for the driver's events on a thread of its own.
//!
//! The driver can hang in any of these calls, so nobody has to wait for the thread; one that
//! hangs is left behind and says nothing when it comes back. A wait is cut
//! into slices, which bounds how long letting go takes. Errors are answered by a new set after a
//! pause that grows; the thread never spins. A GPU that cannot be listened to does not keep the
//! others from it.

#[cfg(test)]
mod tests;
mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use self::thread::Thread;
use super::queue::{Gpu, Queue};
use crate::collectors::gpu::nvml::{Handle, Library};

/// Threads at most, those included that hang in the driver or have not yet let go.
const THREADS: usize = 4;
const STACK_BYTES: usize = 512 << 10;

/// A GPU to listen to.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) gpu: Gpu,
    pub(super) handle: Handle,
}

/// The thread that listens, if there is one.
#[derive(Default)]
pub(super) struct Listener {
    control: Option<Arc<Control>>,
    /// The thread that was last asked to let go.
    leaving: Option<Arc<Control>>,
    threads: Arc<AtomicUsize>,
    /// What to listen to once there is a thread to be had.
    waiting: Option<(Arc<Library>, Vec<Device>)>,
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

    fn finish(&self) {
        self.state.lock().done = true;
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
        self.detach();
        if !gpus.is_empty() {
            self.waiting = Some((Arc::clone(library), gpus));
            self.start_waiting(queue);
            if self.waiting.is_some() {
                tracing::warn!("NVML events have to wait: threads hang in the driver");
            }
        }
    }

    /// Starts what had to wait for a thread.
    pub(super) fn start_waiting(&mut self, queue: &Arc<Queue>) {
        if self.threads.load(Ordering::Relaxed) >= THREADS {
            return;
        }
        let Some((library, gpus)) = self.waiting.take() else { return };
        let control = Arc::new(Control::default());
        let thread = Thread {
            library,
            gpus,
            queue: Arc::clone(queue),
            control: Arc::clone(&control),
            running: Running::new(&self.threads),
            with_clock: true,
        };
        let builder = std::thread::Builder::new().name("gpu-events".to_owned());
        match builder.stack_size(STACK_BYTES).spawn(move || thread.run()) {
            Ok(_) => self.control = Some(control),
            Err(error) => tracing::warn!(%error, "no NVML events: no thread"),
        }
    }

    /// Asks the thread to let go of the set and the library, and returns at once.
    pub(super) fn detach(&mut self) {
        self.waiting = None;
        if let Some(control) = self.control.take() {
            control.stop();
            self.leaving = Some(control);
        }
    }

    /// Waits until the thread that was asked last has let go, not longer than `patience`. True
    /// when it has.
    pub(super) fn wait_detached(&self, patience: Duration) -> bool {
        let Some(control) = &self.leaving else { return true };
        let mut state = control.state.lock();
        control.changed.wait_while_for(&mut state, |state| !state.done, patience);
        state.done
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.detach();
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
