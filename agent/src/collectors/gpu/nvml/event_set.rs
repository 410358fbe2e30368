//! Events of the driver.
//!
//! Events from before the registration are lost. A set is only of use as long as its library is
//! open, so it holds it.

#![allow(unsafe_code, reason = "NVML is a C library")]

use std::sync::Arc;

use nvml_wrapper_sys::bindings as sys;

use super::library::call;
use super::{Code, Handle, Library};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collectors::gpu) struct EventData {
    pub(in crate::collectors::gpu) device: Handle,
    /// One bit (`nvmlEventType*`); may be one that is not known here.
    pub(in crate::collectors::gpu) kind: u64,
    /// The Xid where `kind` is 8; 999 where the driver does not know it.
    pub(in crate::collectors::gpu) data: u64,
    /// [`super::NO_INSTANCE`] for the whole GPU.
    pub(in crate::collectors::gpu) gpu_instance: u32,
    pub(in crate::collectors::gpu) compute_instance: u32,
}

/// A set of registrations.
pub(in crate::collectors::gpu) struct EventSet {
    library: Arc<Library>,
    set: sys::nvmlEventSet_t,
}

// SAFETY: the set is the driver's, and used by one thread at a time: it is not `Sync`.
unsafe impl Send for EventSet {}

impl EventSet {
    /// An empty set.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn new(library: &Arc<Library>) -> Result<Self, Code> {
        let mut set = std::ptr::null_mut();
        call!(library, nvmlEventSetCreate(&raw mut set))?;
        Ok(Self { library: Arc::clone(library), set })
    }

    /// The kinds of events that a GPU can tell, as a mask.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn supported(&self, device: Handle) -> Result<u64, Code> {
        let mut kinds = 0;
        let device = self.library.device(device);
        call!(self.library, nvmlDeviceGetSupportedEventTypes(device, &raw mut kinds))?;
        Ok(kinds)
    }

    /// Adds a GPU's events.
    ///
    /// # Errors
    /// NVML's code. After 999 (unknown) the set is of no use any more (`nvml.h`).
    pub(in crate::collectors::gpu) fn register(
        &self,
        device: Handle,
        kinds: u64,
    ) -> Result<(), Code> {
        let device = self.library.device(device);
        call!(self.library, nvmlDeviceRegisterEvents(device, kinds, self.set))
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// [`Code::TIMEOUT`] when none came; NVML's code.
    pub(in crate::collectors::gpu) fn wait(&self, timeout_ms: u32) -> Result<EventData, Code> {
        let mut data = sys::nvmlEventData_t {
            device: std::ptr::null_mut(),
            eventType: 0,
            eventData: 0,
            gpuInstanceId: super::NO_INSTANCE,
            computeInstanceId: super::NO_INSTANCE,
        };
        call!(self.library, nvmlEventSetWait_v2(self.set, &raw mut data, timeout_ms))?;
        Ok(EventData {
            device: self.library.own(data.device),
            kind: data.eventType,
            data: data.eventData,
            gpu_instance: data.gpuInstanceId,
            compute_instance: data.computeInstanceId,
        })
    }
}

impl Drop for EventSet {
    fn drop(&mut self) {
        if let Err(code) = call!(self.library, nvmlEventSetFree(self.set)) {
            tracing::debug!(%code, "event set was not freed");
        }
    }
}
