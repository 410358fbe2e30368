//! Between two ticks' values: the driver is moved on, workers are asked, and what they, the bus
//! and the driver's events say is acted on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::driver::{Change, Reason};
use super::events::Hint;
use super::fleet::{Happening, Known};
use super::meter::Tier;
use super::nvml::Handle;
use super::reader::Peer;
use super::worker::Worker;
use super::{Gpu, publish};
use crate::sample::Batch;

/// More GPUs than any node has: an answer beyond it is not believed.
const MOST_GPUS: u32 = 64;
/// How long one GPU may take before the next one is asked beside it. One after the other they do
/// not wait for each other at the driver's lock.
const PATIENCE: Duration = Duration::from_millis(20);
/// All GPUs are looked at anew so often.
const ENUMERATION: Duration = Duration::from_secs(300);

impl Gpu {
    /// Takes over how the GPUs are, and tells what happened to them.
    pub(super) fn refresh(&mut self, now: Duration, batch: &mut Batch) {
        let mut restarted = false;
        self.fleet.refresh(now, self.driver.is_released(), |gpu, happening| {
            restarted |= happening == Happening::Restarted;
            batch.event(publish::event(gpu, &happening));
        });
        if restarted {
            // A driver that was loaded anew may have other GPUs.
            self.probes.fill(true);
            self.driver.count();
        }
    }

    /// Looks again for GPUs that have not said who they are.
    pub(super) fn seek(&mut self) {
        for (worker, probe) in self.fleet.workers.iter().zip(&mut self.probes) {
            *probe |= worker.board().found.is_none();
        }
    }

    /// Moves the driver on, and the workers with it. Opening and counting follow each other in
    /// one tick if they are quick.
    pub(super) fn step(&mut self, now: Duration, patience: Duration) {
        let wanted = !self.config.release_file.exists();
        for _ in 0..3 {
            match self.driver.advance(now, wanted, patience) {
                Some(Change::Opened) => {}
                Some(Change::Leave) => {
                    self.attached.clear();
                    self.events.detach();
                    self.fleet.workers.iter().for_each(Worker::leave);
                    self.probes.fill(false);
                    // Later ticks see to the rest: the library is closed when all have let go.
                    self.events.wait_detached(patience);
                    return;
                }
                Some(Change::Counted(count)) => {
                    self.counted(count, now);
                    return;
                }
                None => return,
            }
        }
    }

    /// Has everybody looked at anew when there are more or fewer, or it is time.
    fn counted(&mut self, count: u32, now: Duration) {
        let count = count.min(MOST_GPUS);
        let before = self.probes.len();
        let wanted = usize::try_from(count).unwrap_or(0);
        for index in u32::try_from(self.fleet.workers.len()).unwrap_or(count)..count {
            match Worker::start(index, &self.context, &self.clock) {
                Ok(worker) => self.fleet.workers.push(worker),
                Err(error) => {
                    tracing::warn!(%error, index, "no thread to read a GPU in");
                    break;
                }
            }
        }
        // Who is beyond the count lets go; the thread waits for a GPU to come back.
        self.fleet.workers.iter().skip(wanted).for_each(Worker::leave);
        let wanted = wanted.min(self.fleet.workers.len());
        let again = now.saturating_sub(self.enumerated) >= ENUMERATION;
        self.probes.resize(wanted, true);
        if before != wanted || again || self.attached.is_empty() {
            self.enumerate(now);
        }
    }

    fn enumerate(&mut self, now: Duration) {
        self.enumerated = now;
        self.introduce = true;
        self.probes.fill(true);
    }

    /// Asks the workers, one after the other, and waits for them until `deadline`.
    pub(super) fn read(&mut self, tier: Tier, now: Duration, deadline: Instant) {
        let Some(library) = self.driver.library() else { return };
        self.begun.clear();
        for (worker, probe) in self.fleet.workers.iter().zip(&mut self.probes) {
            let library = std::mem::take(probe).then_some(library);
            let begins = worker.order(tier, library, now);
            let done = begins && worker.wait(deadline.min(Instant::now() + PATIENCE));
            self.begun.push(begins && !done);
        }
        for (worker, begun) in self.fleet.workers.iter().zip(&self.begun) {
            if *begun {
                worker.wait(deadline);
            }
        }
    }

    pub(super) fn pci_is_due(&self, now: Duration) -> bool {
        self.pci_read.is_none_or(|read| now.saturating_sub(read) >= Duration::from_secs(10))
    }

    /// Looks at the bus. A GPU there that the library does not know is a reason to open the
    /// library anew, once.
    pub(super) fn read_pci(&mut self, now: Duration) {
        self.pci_read = Some(now);
        self.pci.clear();
        self.pci.extend_from_slice(self.events.pci_gpus());
        if self.driver.library().is_none() || self.attached.is_empty() {
            return;
        }
        let unseen: Vec<String> =
            publish::unseen(&self.fleet, &self.pci).map(|gpu| gpu.bus_id.clone()).collect();
        let is_new = |bus_id: &String| !self.sought.contains(bus_id);
        if unseen.iter().any(is_new) && self.driver.reopen() {
            tracing::info!(?unseen, "NVML is opened anew for GPUs that it does not know");
        }
        self.sought = unseen;
    }

    pub(super) fn heed_hints(&mut self) {
        for hint in self.events.hints() {
            match hint {
                Hint::Lost(pci) | Hint::RecoveryAction(pci) => {
                    let gpu = self.fleet.gpus.iter().find(|gpu| *gpu.identity.pci == *pci);
                    if let Some(probe) = gpu.and_then(|gpu| self.probes.get_mut(gpu.worker)) {
                        *probe = true;
                    }
                }
                Hint::Reenumerate => {
                    self.probes.fill(true);
                    self.driver.count();
                }
            }
        }
    }

    /// Tells of GPUs that NVML counts and that do not say who they are, once for each reason.
    pub(super) fn tell_refused(&mut self, batch: &mut Batch) {
        self.refused.resize(self.fleet.workers.len(), None);
        for (index, worker) in self.fleet.workers.iter().enumerate() {
            let board = worker.board();
            let code = board.lost.filter(|_| board.found.is_none());
            drop(board);
            if let Some(code) = code.filter(|_| self.refused[index] != code) {
                tracing::warn!(index, %code, "a GPU does not say who it is");
                batch.event(publish::refused_event(index, code));
            }
            self.refused[index] = code;
        }
    }

    /// What workers found out that is not about one GPU alone.
    pub(super) fn heed_workers(&mut self) {
        for worker in &self.fleet.workers {
            if let Some(code) = worker.board().reopen.take()
                && self.driver.library().is_some()
                && self.driver.reopen()
            {
                tracing::info!(%code, "NVML is opened anew");
            }
        }
    }

    /// Tells when the driver can be used and when it no longer can.
    pub(super) fn tell_driver(&mut self, batch: &mut Batch) {
        let reason = self.driver.reason();
        let up = reason.is_none() && self.driver.library().is_some();
        if up && (!self.was_up || self.told_info != self.driver.info) {
            self.told_info = self.driver.info.clone();
            tracing::info!(versions = ?self.told_info.labels, "NVML can be used");
            batch.event(publish::driver_event(&self.driver, None));
        }
        // Nobody misses a driver where there are no GPUs.
        let known = self.was_up || !self.is_absent();
        if let Some(reason) = reason.filter(|_| known && self.reason != reason) {
            tracing::warn!(reason = reason.name(), "NVML cannot be used");
            batch.event(publish::driver_event(&self.driver, Some(reason)));
        }
        if up || reason.is_some() {
            (self.was_up, self.reason) = (up, reason);
        }
    }

    /// Tells those who ask for GPUs by other names, and listens to the events of those that are
    /// there now.
    pub(super) fn tell_inventory(&mut self) {
        if self.told != self.fleet.generation {
            self.told = self.fleet.generation;
            self.attribution.set_aliases("gpu", self.fleet.aliases());
        }
        let Some(library) = self.driver.library() else { return };
        let handles = || self.fleet.handles().map(|(_, handle)| handle);
        if self.probes.contains(&true) {
            return;
        }
        let same = handles().eq(self.attached.iter().copied());
        if std::mem::take(&mut self.introduce) || !same {
            let peer = |(gpu, handle): (&Known, Handle)| Peer {
                uuid: Arc::clone(&gpu.identity.uuid),
                handle,
            };
            let peers: Arc<[Peer]> = self.fleet.handles().map(peer).collect();
            self.fleet.workers.iter().for_each(|worker| worker.introduce(&peers));
        }
        if same {
            return;
        }
        self.attached = handles().collect();
        let listened = self.fleet.handles().map(|(gpu, handle)| {
            (Arc::clone(&gpu.identity.uuid), Arc::clone(&gpu.identity.pci), handle)
        });
        self.events.attach(library, &listened.collect::<Vec<_>>());
    }

    /// There is no NVML, and nothing that it would be missed for.
    pub(super) fn is_absent(&self) -> bool {
        let reason = self.driver.reason();
        let gone = reason.is_some_and(|r| !matches!(r, Reason::Released | Reason::Wedged));
        let expected = publish::unseen(&self.fleet, &self.pci).next().is_some();
        gone && self.fleet.gpus.is_empty() && !expected
    }
}
