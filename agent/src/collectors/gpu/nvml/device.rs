//! Calls that answer one or two numbers about a GPU.

#![allow(unsafe_code, reason = "NVML is a C library")]

use nvml_wrapper_sys::bindings as sys;

use super::abi::version;
use super::library::call;
use super::{Code, Handle, Library};

/// A method for each call of the form `f(device, [argument,] *mut u32)`.
macro_rules! numbers {
    ($($(#[$meta:meta])* $name:ident($($argument:ident),*) = $function:ident;)*) => {
        impl Library {
            $($(#[$meta])*
            ///
            /// # Errors
            /// NVML's code.
            pub(in crate::collectors::gpu) fn $name(
                &self,
                device: Handle,
                $($argument: u32),*
            ) -> Result<u32, Code> {
                let mut value = 0;
                call!(self, $function(self.device(device), $($argument,)* &raw mut value))?;
                Ok(value)
            })*
        }
    };
}

numbers! {
    /// MHz; clocks: 0 graphics, 1 SM, 2 memory, 3 video.
    clock(clock) = nvmlDeviceGetClockInfo;
    /// MHz; clocks as [`Library::clock`].
    max_clock(clock) = nvmlDeviceGetMaxClockInfo;
    /// MHz that applications get; clocks as [`Library::clock`].
    application_clock(clock) = nvmlDeviceGetApplicationsClock;
    /// °C of a sensor; 0 is the GPU's, the only one.
    temperature(sensor) = nvmlDeviceGetTemperature;
    /// °C; thresholds: 0 shutdown, 1 slowdown, 2 memory maximum, 3 GPU maximum.
    temperature_threshold(threshold) = nvmlDeviceGetTemperatureThreshold;
    /// 0 to 15, 32 when not known.
    performance_state() = nvmlDeviceGetPerformanceState;
    /// mW.
    power_usage() = nvmlDeviceGetPowerUsage;
    /// mW.
    enforced_power_limit() = nvmlDeviceGetEnforcedPowerLimit;
    /// PCIe generation now.
    pcie_generation() = nvmlDeviceGetCurrPcieLinkGeneration;
    /// Lanes now.
    pcie_width() = nvmlDeviceGetCurrPcieLinkWidth;
    /// What GPU and slot can do.
    max_pcie_generation() = nvmlDeviceGetMaxPcieLinkGeneration;
    /// What GPU and slot have.
    max_pcie_width() = nvmlDeviceGetMaxPcieLinkWidth;
    /// Fans; none where the chassis cools.
    fans() = nvmlDeviceGetNumFans;
    /// % of the maximum of one fan.
    fan_speed(fan) = nvmlDeviceGetFanSpeed_v2;
    /// 0 or 1.
    persistence_mode() = nvmlDeviceGetPersistenceMode;
    /// Index of the GPU in NVML's order.
    index() = nvmlDeviceGetIndex;
    /// The number in `/dev/nvidiaN`.
    minor_number() = nvmlDeviceGetMinorNumber;
    /// The NUMA node that the GPU's memory is.
    numa_node() = nvmlDeviceGetNumaNodeId;
    /// The module's place on the baseboard.
    module_id() = nvmlDeviceGetModuleId;
    /// `nvmlBrandType_t`.
    brand() = nvmlDeviceGetBrand;
    /// `NVML_DEVICE_ARCH_*`.
    architecture() = nvmlDeviceGetArchitecture;
    /// How many MIG devices there can be.
    max_mig_devices() = nvmlDeviceGetMaxMigDeviceCount;
    /// GPU instance of a MIG device.
    gpu_instance() = nvmlDeviceGetGpuInstanceId;
    /// Compute instance of a MIG device.
    compute_instance() = nvmlDeviceGetComputeInstanceId;
}

impl Library {
    /// % of time that a kernel ran, and that memory was read or written.
    ///
    /// # Errors
    /// NVML's code; not supported on a GPU whose MIG mode is on.
    pub(in crate::collectors::gpu) fn utilization(
        &self,
        device: Handle,
    ) -> Result<(u32, u32), Code> {
        let mut rates = sys::nvmlUtilization_t { gpu: 0, memory: 0 };
        call!(self, nvmlDeviceGetUtilizationRates(self.device(device), &raw mut rates))?;
        Ok((rates.gpu, rates.memory))
    }

    /// % of time that the encoder ran.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn encoder(&self, device: Handle) -> Result<u32, Code> {
        let (mut share, mut window) = (0, 0);
        let device = self.device(device);
        call!(self, nvmlDeviceGetEncoderUtilization(device, &raw mut share, &raw mut window))?;
        Ok(share)
    }

    /// % of time that the decoder ran.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn decoder(&self, device: Handle) -> Result<u32, Code> {
        let (mut share, mut window) = (0, 0);
        let device = self.device(device);
        call!(self, nvmlDeviceGetDecoderUtilization(device, &raw mut share, &raw mut window))?;
        Ok(share)
    }

    /// % of time that the JPEG engine ran.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn jpeg(&self, device: Handle) -> Result<u32, Code> {
        let (mut share, mut window) = (0, 0);
        let device = self.device(device);
        call!(self, nvmlDeviceGetJpgUtilization(device, &raw mut share, &raw mut window))?;
        Ok(share)
    }

    /// % of time that the optical flow engine ran.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn optical_flow(&self, device: Handle) -> Result<u32, Code> {
        let (mut share, mut window) = (0, 0);
        let device = self.device(device);
        call!(self, nvmlDeviceGetOfaUtilization(device, &raw mut share, &raw mut window))?;
        Ok(share)
    }

    /// Why clocks are held, as a mask. Drivers before 535 have it by its older name only.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn clocks_event_reasons(
        &self,
        device: Handle,
    ) -> Result<u64, Code> {
        let mut mask = 0;
        let device = self.device(device);
        match call!(self, nvmlDeviceGetCurrentClocksEventReasons(device, &raw mut mask)) {
            Err(Code::FUNCTION_NOT_FOUND) => {
                call!(self, nvmlDeviceGetCurrentClocksThrottleReasons(device, &raw mut mask))?;
            }
            outcome => outcome?,
        }
        Ok(mask)
    }

    /// °C left before clocks are lowered.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn thermal_margin(&self, device: Handle) -> Result<i32, Code> {
        let mut margin = sys::nvmlMarginTemperature_t {
            version: version::<sys::nvmlMarginTemperature_v1_t>(1),
            marginTemperature: 0,
        };
        call!(self, nvmlDeviceGetMarginTemperature(self.device(device), &raw mut margin))?;
        Ok(margin.marginTemperature)
    }

    /// Revolutions per minute of one fan.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn fan_rpm(
        &self,
        device: Handle,
        fan: u32,
    ) -> Result<u32, Code> {
        let version = version::<sys::nvmlFanSpeedInfo_t>(1);
        let mut info = sys::nvmlFanSpeedInfo_t { version, fan, speed: 0 };
        call!(self, nvmlDeviceGetFanSpeedRPM(self.device(device), &raw mut info))?;
        Ok(info.speed)
    }

    /// Whether the InfoROM's checksum is right.
    ///
    /// # Errors
    /// NVML's code, other than the one that says that it is not.
    pub(in crate::collectors::gpu) fn inforom_is_valid(
        &self,
        device: Handle,
    ) -> Result<bool, Code> {
        match call!(self, nvmlDeviceValidateInforom(self.device(device))) {
            Ok(()) => Ok(true),
            Err(Code::CORRUPTED_INFOROM) => Ok(false),
            Err(code) => Err(code),
        }
    }

    /// Whether a vGPU licence is held.
    ///
    /// # Errors
    /// NVML's code; not supported on what is no vGPU.
    pub(in crate::collectors::gpu) fn is_licensed(&self, device: Handle) -> Result<bool, Code> {
        // SAFETY: plain numbers and text, for which all zeroes is a value.
        let mut features: sys::nvmlGridLicensableFeatures_t = unsafe { std::mem::zeroed() };
        let device = self.device(device);
        call!(self, nvmlDeviceGetGridLicensableFeatures_v4(device, &raw mut features))?;
        if features.isGridLicenseSupported == 0 {
            return Err(Code::NOT_SUPPORTED);
        }
        let count = usize::try_from(features.licensableFeaturesCount).unwrap_or(0);
        let known = features.gridLicensableFeatures.iter().take(count);
        Ok(known.into_iter().any(|feature| feature.featureState != 0))
    }
}
