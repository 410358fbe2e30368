//! What happens to GPUs: the driver's events, the kernel's log and the PCI bus.
//!
//! Two threads listen, one to NVML, one to the log; what they see goes through one bounded queue
//! to the collector's fast tick, which counts an Xid that both told once, writes the numbers and
//! hands over event records. Everything is counted; of a flood only the first records of a tick
//! are sent. Nothing here waits for the driver, except [`Events::wait_detached`] for as long as it
//! is told to.

mod address;
mod gpus;
mod kinds;
mod kmsg;
mod ledger;
mod listen;
mod nvrm;
mod pci;
mod queue;
mod report;
mod told;
mod xid;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) use self::pci::PciGpu;

use self::address::PciAddress;
use self::kmsg::Kmsg;
use self::listen::{Device, Listener};
use self::queue::{Gpu, Queue, Seen};
use self::told::Told;
use super::metrics::{EVENTS_DROPPED, KMSG_DROPPED};
use super::nvml::{Handle, Library};
use crate::collectors::Paths;
use crate::collectors::pods::Attribution;
use crate::sample::Batch;

/// What an event asks the reader of GPUs to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hint {
    /// The GPU at this PCI address has fallen off the bus.
    Lost(String),
    /// The recovery action of the GPU at this PCI address has changed.
    RecoveryAction(String),
    /// GPUs may have come or gone.
    Reenumerate,
}

/// The sources of events.
pub(super) struct Events {
    log: PathBuf,
    sys: PathBuf,
    attribution: Arc<Attribution>,
    queue: Arc<Queue>,
    kmsg: Option<Kmsg>,
    listener: Listener,
    told: Told,
    pci: Vec<PciGpu>,
    seen: VecDeque<Seen>,
}

impl Events {
    /// Nothing is listened to yet. Says whose the processes are that errors name.
    pub(super) fn new(paths: &Paths, attribution: &Arc<Attribution>) -> Self {
        Self {
            log: paths.dev.join("kmsg"),
            sys: paths.sys.clone(),
            attribution: Arc::clone(attribution),
            queue: Arc::default(),
            kmsg: None,
            listener: Listener::default(),
            told: Told::default(),
            pci: Vec::new(),
            seen: VecDeque::new(),
        }
    }

    /// Listens to these GPUs (UUID, PCI address, handle) and to no others. Returns at once.
    pub(super) fn attach(&mut self, library: &Arc<Library>, gpus: &[(Arc<str>, Arc<str>, Handle)]) {
        self.listen_to_log();
        let device = |(uuid, address, handle): &(Arc<str>, Arc<str>, Handle)| Device {
            gpu: Gpu { uuid: Arc::clone(uuid), address: PciAddress::parse(address) },
            handle: *handle,
        };
        let devices: Vec<_> = gpus.iter().map(device).collect();
        for device in &devices {
            self.told.gpus.of(&device.gpu);
        }
        self.listener.attach(library, devices, &self.queue);
    }

    /// Asks to stop using NVML. Returns at once; the library is referred to until the driver lets
    /// the listener go.
    pub(super) fn detach(&mut self) {
        self.listener.detach();
    }

    /// Waits until nothing listens any more, not longer than `patience`. True when that is so.
    pub(super) fn wait_detached(&self, patience: Duration) -> bool {
        self.listener.wait_detached(patience)
    }

    /// Writes what was counted, and hands over what happened since the last time.
    pub(super) fn collect(&mut self, batch: &mut Batch) {
        self.collect_at(batch, Instant::now());
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn collect_at(&mut self, batch: &mut Batch, now: Instant) {
        self.listener.start_waiting(&self.queue);
        self.queue.take(&mut self.seen);
        for seen in self.seen.drain(..) {
            self.told.take(seen);
        }
        self.told.finish(now);
        for event in self.told.events.drain(..) {
            batch.event(event);
        }
        self.told.gpus.write(batch);
        let mut node = batch.node();
        node.set(&EVENTS_DROPPED, (self.queue.dropped() + self.told.dropped) as f64);
        if let Some(kmsg) = &self.kmsg {
            node.set(&KMSG_DROPPED, kmsg.lost() as f64);
            if let Some(reason) = kmsg.problem() {
                node.unavailable(&KMSG_DROPPED, reason);
            }
        }
    }

    /// The GPUs on the PCI bus, looked at in the slow tier.
    pub(super) fn pci_gpus(&mut self) -> &[PciGpu] {
        self.pci = pci::gpus(&self.sys);
        if !self.pci.is_empty() {
            self.listen_to_log();
        }
        &self.pci
    }

    /// What happened since the last time that the reader should act on.
    pub(super) fn hints(&mut self) -> Vec<Hint> {
        std::mem::take(&mut self.told.hints)
    }

    /// Nodes without GPUs are not bothered with every message of their kernel.
    fn listen_to_log(&mut self) {
        if self.kmsg.is_none() {
            match Kmsg::start(self.log.clone(), &self.queue, &self.attribution) {
                Ok(kmsg) => self.kmsg = Some(kmsg),
                Err(error) => tracing::warn!(%error, "the kernel's log is not read"),
            }
        }
    }
}
