//! What the threads that listen hand to the collector: bounded, and the newest is dropped and
//! counted when it is full, since the first error explains those that follow.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::address::PciAddress;
use super::nvrm::Line;
use crate::collectors::pods::Process;

/// Entries between two ticks.
const CAPACITY: usize = 2_048;

/// A GPU that NVML tells events of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gpu {
    pub(super) uuid: Arc<str>,
    /// None where NVML's address cannot be read.
    pub(super) address: Option<PciAddress>,
}

/// Something that a thread saw.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// When this process saw it: what belongs together is told by this clock.
    pub(super) at: Instant,
    /// When it happened, Unix time.
    pub(super) time_ms: i64,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    /// The kernel's log, and whose the process is that it names.
    Kernel { line: Line, process: Option<Box<Process>> },
    /// An event of the driver; instances are none for the whole GPU.
    Driver {
        gpu: Gpu,
        kind: u64,
        data: u64,
        gpu_instance: Option<u32>,
        compute_instance: Option<u32>,
    },
    /// The driver tells events of these kinds for the GPU from now on.
    Listening { gpu: Gpu, kinds: u64 },
}

/// The queue between them.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: Mutex<VecDeque<Seen>>,
    dropped: AtomicU64,
}

impl Queue {
    /// Adds an entry.
    pub(super) fn push(&self, seen: Seen) {
        let mut entries = self.entries.lock();
        if entries.len() < CAPACITY {
            entries.push_back(seen);
        } else {
            drop(entries);
            self.count_dropped(1);
        }
    }

    /// Takes what there is, leaving the empty `spare` behind.
    pub(super) fn take(&self, spare: &mut VecDeque<Seen>) {
        std::mem::swap(&mut *self.entries.lock(), spare);
    }

    /// Counts what could not be told.
    pub(super) fn count_dropped(&self, events: u64) {
        self.dropped.fetch_add(events, Ordering::Relaxed);
    }

    /// Entries dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_queue_keeps_the_first_and_counts_the_rest() {
        let queue = Queue::default();
        let gpu = Gpu { uuid: "GPU-1".into(), address: None };
        for kinds in 0..CAPACITY as u64 + 3 {
            let what = What::Listening { gpu: gpu.clone(), kinds };
            queue.push(Seen { at: Instant::now(), time_ms: 0, what });
        }
        let mut taken = VecDeque::new();
        queue.take(&mut taken);
        assert_eq!((taken.len(), queue.dropped()), (CAPACITY, 3));
        assert!(matches!(taken[0].what, What::Listening { kinds: 0, .. }));
        taken.clear();
        queue.take(&mut taken);
        assert!(taken.is_empty());
    }
}
