//! Memory: how much, and what is wrong with it.

#![allow(unsafe_code, reason = "NVML is a C library")]

use nvml_wrapper_sys::bindings as sys;

use super::abi::version;
use super::library::call;
use super::{Code, Handle, Library};

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collectors::gpu) struct Memory {
    pub(in crate::collectors::gpu) total: u64,
    pub(in crate::collectors::gpu) used: u64,
    pub(in crate::collectors::gpu) free: u64,
    /// `None` where the driver (before 510) counts it as used.
    pub(in crate::collectors::gpu) reserved: Option<u64>,
}

/// Bytes of the window through which the CPU sees the GPU's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collectors::gpu) struct Bar1 {
    pub(in crate::collectors::gpu) total: u64,
    pub(in crate::collectors::gpu) used: u64,
    pub(in crate::collectors::gpu) free: u64,
}

/// Memory banks by the spare rows that they have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collectors::gpu) struct RemapHistogram {
    pub(in crate::collectors::gpu) max: u32,
    pub(in crate::collectors::gpu) high: u32,
    pub(in crate::collectors::gpu) partial: u32,
    pub(in crate::collectors::gpu) low: u32,
    pub(in crate::collectors::gpu) none: u32,
}

/// SRAM errors: since the driver was loaded, and of the GPU's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collectors::gpu) struct Sram {
    pub(in crate::collectors::gpu) volatile: SramCounts,
    pub(in crate::collectors::gpu) aggregate: SramCounts,
    /// Beyond what the vendor accepts.
    pub(in crate::collectors::gpu) exceeded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collectors::gpu) struct SramCounts {
    pub(in crate::collectors::gpu) corrected: u64,
    pub(in crate::collectors::gpu) parity: u64,
    pub(in crate::collectors::gpu) secded: u64,
}

impl Library {
    /// Memory of a GPU or a MIG device.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn memory(&self, device: Handle) -> Result<Memory, Code> {
        let device = self.device(device);
        let version = version::<sys::nvmlMemory_v2_t>(2);
        let mut new = sys::nvmlMemory_v2_t { version, total: 0, reserved: 0, free: 0, used: 0 };
        match call!(self, nvmlDeviceGetMemoryInfo_v2(device, &raw mut new)) {
            Err(Code::FUNCTION_NOT_FOUND | Code::ARGUMENT_VERSION_MISMATCH) => {}
            outcome => {
                outcome?;
                let sys::nvmlMemory_v2_t { total, used, free, reserved, .. } = new;
                return Ok(Memory { total, used, free, reserved: Some(reserved) });
            }
        }
        let mut old = sys::nvmlMemory_t { total: 0, free: 0, used: 0 };
        call!(self, nvmlDeviceGetMemoryInfo(device, &raw mut old))?;
        Ok(Memory { total: old.total, used: old.used, free: old.free, reserved: None })
    }

    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn bar1(&self, device: Handle) -> Result<Bar1, Code> {
        let mut info = sys::nvmlBAR1Memory_t { bar1Total: 0, bar1Free: 0, bar1Used: 0 };
        call!(self, nvmlDeviceGetBAR1MemoryInfo(self.device(device), &raw mut info))?;
        Ok(Bar1 { total: info.bar1Total, used: info.bar1Used, free: info.bar1Free })
    }

    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn remap_histogram(
        &self,
        device: Handle,
    ) -> Result<RemapHistogram, Code> {
        let mut banks =
            sys::nvmlRowRemapperHistogramValues_t { max: 0, high: 0, partial: 0, low: 0, none: 0 };
        call!(self, nvmlDeviceGetRowRemapperHistogram(self.device(device), &raw mut banks))?;
        let sys::nvmlRowRemapperHistogramValues_t { max, high, partial, low, none } = banks;
        Ok(RemapHistogram { max, high, partial, low, none })
    }

    /// Ampere and later; drivers want root for it.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn sram(&self, device: Handle) -> Result<Sram, Code> {
        // SAFETY: plain numbers, for which all zeroes is a value.
        let mut status: sys::nvmlEccSramErrorStatus_t = unsafe { std::mem::zeroed() };
        status.version = version::<sys::nvmlEccSramErrorStatus_v1_t>(1);
        call!(self, nvmlDeviceGetSramEccErrorStatus(self.device(device), &raw mut status))?;
        Ok(Sram {
            volatile: SramCounts {
                corrected: status.volatileCor,
                parity: status.volatileUncParity,
                secded: status.volatileUncSecDed,
            },
            aggregate: SramCounts {
                corrected: status.aggregateCor,
                parity: status.aggregateUncParity,
                secded: status.aggregateUncSecDed,
            },
            exceeded: status.bThresholdExceeded != 0,
        })
    }
}
