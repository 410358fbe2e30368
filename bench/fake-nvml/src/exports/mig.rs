//! MIG: mode, devices, what they have.

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlDeviceAttributes_t};

use super::{device_functions, put};
use crate::call::{Device, has};
use crate::code::Code;
use crate::handle::{Handle, pointer};

fn capable(device: &Device<'_>) -> Result<(), Code> {
    device.whole()?;
    has(device.gpu.profile.mig_instances > 0)
}

device_functions! {
    nvmlDeviceGetMigMode(current: *mut c_uint, pending: *mut c_uint) |device| {
        capable(device)?;
        let on = u32::from(device.gpu.mig.is_some());
        put(current, on)?;
        put(pending, on)
    }

    nvmlDeviceGetMaxMigDeviceCount(to: *mut c_uint) |device| {
        device.whole()?;
        put(to, device.gpu.profile.mig_instances)
    }

    nvmlDeviceGetMigDeviceHandleByIndex(index: c_uint, to: *mut nvmlDevice_t) |device| {
        capable(device)?;
        if index >= device.gpu.profile.mig_instances {
            return Err(Code::INVALID_ARGUMENT);
        }
        let index = usize::try_from(index).map_err(|_| Code::INVALID_ARGUMENT)?;
        let devices = device.gpu.mig.as_ref().ok_or(Code::NOT_FOUND)?;
        if index >= devices.len() {
            return Err(Code::NOT_FOUND);
        }
        let generation = device.gpu.mig_generation & 0xffff;
        let handle = Handle::Mig { slot: device.slot, generation, index };
        put(to, pointer(device.world.generation, handle))
    }

    nvmlDeviceIsMigDeviceHandle(to: *mut c_uint) |device| {
        put(to, u32::from(device.mig.is_some()))
    }

    nvmlDeviceGetDeviceHandleFromMigDeviceHandle(to: *mut nvmlDevice_t) |device| {
        device.mig.ok_or(Code::INVALID_ARGUMENT)?;
        put(to, pointer(device.world.generation, Handle::Gpu { slot: device.slot }))
    }

    nvmlDeviceGetGpuInstanceId(to: *mut c_uint) |device| {
        put(to, device.mig.ok_or(Code::NOT_SUPPORTED)?.gpu_instance)
    }

    nvmlDeviceGetComputeInstanceId(to: *mut c_uint) |device| {
        put(to, device.mig.ok_or(Code::NOT_SUPPORTED)?.compute_instance)
    }

    nvmlDeviceGetAttributes_v2(to: *mut nvmlDeviceAttributes_t) |device| {
        let mig = device.mig.ok_or(Code::NOT_SUPPORTED)?;
        put(to, nvmlDeviceAttributes_t {
            multiprocessorCount: mig.multiprocessors,
            sharedCopyEngineCount: mig.slices,
            sharedDecoderCount: mig.slices / 2,
            sharedEncoderCount: 0,
            sharedJpegCount: u32::from(mig.slices == device.gpu.profile.mig_instances),
            sharedOfaCount: u32::from(mig.slices == device.gpu.profile.mig_instances),
            gpuInstanceSliceCount: mig.slices,
            computeInstanceSliceCount: mig.slices,
            memorySizeMB: mig.memory >> 20,
        })
    }
}
