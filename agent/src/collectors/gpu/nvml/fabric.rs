//! The NVLink fabric that a GPU registers with.

#![allow(unsafe_code, reason = "NVML is a C library")]

use nvml_wrapper_sys::bindings as sys;

use super::abi::version;
use super::library::call;
use super::{Code, Handle, Library};

/// Registration and health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collectors::gpu) struct Fabric {
    /// 0 not supported, 1 not started, 2 in progress, 3 completed.
    pub(in crate::collectors::gpu) state: u8,
    /// What the registration came to, as an NVML code; 0 is success.
    pub(in crate::collectors::gpu) status: u32,
    /// Two or more bits a condition; 0 in all where the driver does not tell.
    pub(in crate::collectors::gpu) health: u32,
}

impl Fabric {
    /// A condition of the mask by its shift: `None` where it is not told.
    pub(in crate::collectors::gpu) fn condition(self, shift: u32) -> Option<bool> {
        match self.health >> shift & 0b11 {
            1 => Some(true),
            2 => Some(false),
            _ => None,
        }
    }

    /// Whether the configuration is wrong: four bits, 1 for "none is", above it what is.
    pub(in crate::collectors::gpu) fn misconfigured(self) -> Option<bool> {
        match self.health >> sys::NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_INCORRECT_CONFIGURATION & 0xf {
            0 => None,
            1 => Some(false),
            _ => Some(true),
        }
    }
}

impl Library {
    /// The newest form that the driver takes; the oldest does not tell health.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn fabric(&self, device: Handle) -> Result<Fabric, Code> {
        let versions =
            [version::<sys::nvmlGpuFabricInfo_v3_t>(3), version::<sys::nvmlGpuFabricInfo_v2_t>(2)];
        for version in versions {
            // SAFETY: plain numbers, for which all zeroes is a value.
            let mut info: sys::nvmlGpuFabricInfoV_t = unsafe { std::mem::zeroed() };
            // Version 2 is version 3 without its last member: the same memory serves both.
            info.version = version;
            let told = call!(self, nvmlDeviceGetGpuFabricInfoV(self.device(device), &raw mut info));
            match told {
                Err(Code::ARGUMENT_VERSION_MISMATCH) => {}
                outcome => {
                    outcome?;
                    return Ok(Fabric {
                        state: info.state,
                        status: info.status,
                        health: info.healthMask,
                    });
                }
            }
        }
        Err(Code::ARGUMENT_VERSION_MISMATCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_mask_tells_three_ways() {
        let fabric = |health| Fabric { state: 3, status: 0, health };
        assert_eq!(
            [0b00, 0b01, 0b10].map(|m| fabric(m).condition(0)),
            [None, Some(true), Some(false)]
        );
        assert_eq!(fabric(0b01_00_00).condition(4), Some(true));
        assert_eq!(
            [0, 0x100, 0x500].map(|m| fabric(m).misconfigured()),
            [None, Some(false), Some(true)]
        );
    }
}
