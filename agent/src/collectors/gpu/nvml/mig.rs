//! MIG: whether it is on, and the devices that a GPU is divided into.

#![allow(unsafe_code, reason = "NVML is a C library")]

use nvml_wrapper_sys::bindings as sys;

use super::library::call;
use super::{Code, Handle, Library};

/// In place of an instance's id: none.
pub(in crate::collectors::gpu) const NO_INSTANCE: u32 = u32::MAX;

/// What a MIG device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collectors::gpu) struct Attributes {
    pub(in crate::collectors::gpu) multiprocessors: u32,
    /// Slices of the GPU.
    pub(in crate::collectors::gpu) gpu_slices: u32,
    /// Slices of the GPU instance.
    pub(in crate::collectors::gpu) compute_slices: u32,
    pub(in crate::collectors::gpu) memory_mib: u64,
}

impl Library {
    /// Whether MIG is on now.
    ///
    /// # Errors
    /// NVML's code; not supported where there is no MIG.
    pub(in crate::collectors::gpu) fn mig_mode(&self, device: Handle) -> Result<bool, Code> {
        let (mut current, mut pending) = (0, 0);
        let device = self.device(device);
        call!(self, nvmlDeviceGetMigMode(device, &raw mut current, &raw mut pending))?;
        Ok(current == 1)
    }

    /// A MIG device of a GPU; `None` where there is none at that index.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn mig_device(
        &self,
        parent: Handle,
        index: u32,
    ) -> Result<Option<Handle>, Code> {
        let mut device = std::ptr::null_mut();
        let parent = self.device(parent);
        match call!(self, nvmlDeviceGetMigDeviceHandleByIndex(parent, index, &raw mut device)) {
            Ok(()) => Ok(Some(self.own(device))),
            Err(Code::NOT_FOUND | Code::INVALID_ARGUMENT) => Ok(None),
            Err(code) => Err(code),
        }
    }

    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn mig_attributes(
        &self,
        device: Handle,
    ) -> Result<Attributes, Code> {
        // SAFETY: plain numbers, for which all zeroes is a value.
        let mut raw: sys::nvmlDeviceAttributes_t = unsafe { std::mem::zeroed() };
        call!(self, nvmlDeviceGetAttributes_v2(self.device(device), &raw mut raw))?;
        Ok(Attributes {
            multiprocessors: raw.multiprocessorCount,
            gpu_slices: raw.gpuInstanceSliceCount,
            compute_slices: raw.computeInstanceSliceCount,
            memory_mib: raw.memorySizeMB,
        })
    }
}
