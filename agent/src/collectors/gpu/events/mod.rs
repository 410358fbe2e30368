//! What happens to GPUs: the driver's events, the kernel's log and the PCI bus.

use std::sync::Arc;

use super::nvml::{Handle, Library};
use crate::collectors::Paths;
use crate::collectors::pods::Attribution;
use crate::sample::Batch;

/// A GPU that the PCI bus shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PciGpu {
    /// As the kernel writes it: "0000:3b:00.0".
    pub(super) bus_id: String,
    /// The bound driver's name, if any.
    pub(super) driver: Option<String>,
}

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
pub(super) struct Events {}

impl Events {
    /// Nothing is listened to yet.
    pub(super) fn new(_paths: &Paths, _attribution: &Arc<Attribution>) -> Self {
        Self {}
    }

    /// Listens to these GPUs (UUID, PCI address, handle) and to no others.
    pub(super) fn attach(
        &mut self,
        _library: &Arc<Library>,
        _gpus: &[(Arc<str>, Arc<str>, Handle)],
    ) {
    }

    /// Stops using NVML within a bounded time. False when the driver does not let go.
    pub(super) fn detach(&mut self) -> bool {
        true
    }

    /// Writes what was counted, and hands over what happened since the last time.
    pub(super) fn collect(&mut self, _batch: &mut Batch) {}

    /// The GPUs on the PCI bus, looked at in the slow tier.
    pub(super) fn pci_gpus(&mut self) -> &[PciGpu] {
        &[]
    }

    /// What happened since the last time that the reader should act on.
    pub(super) fn hints(&mut self) -> Vec<Hint> {
        Vec::new()
    }
}
