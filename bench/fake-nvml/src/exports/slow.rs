//! Processes and fans.

use std::ffi::{c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{
    nvmlFanSpeedInfo_t, nvmlProcessInfo_v2_t, nvmlProcessUtilizationSample_t,
};

use super::{device_functions, put, versioned};
use crate::call::Device;
use crate::code::Code;
use crate::number::{small, whole};
use crate::runtime;
use crate::scenario::{Process, ProcessType};

/// What NVML says of memory that it does not know.
const NOT_AVAILABLE: c_ulonglong = c_ulonglong::MAX;
const NO_INSTANCE: c_uint = c_uint::MAX;

fn processes<'a>(device: &'a Device<'_>) -> impl Iterator<Item = &'a Process> {
    let mine = |process: &&Process| match device.mig {
        Some(mig) => process.gpu_instance == Some(mig.gpu_instance),
        None => true,
    };
    device.gpu.effects.conditions.processes.iter().flatten().filter(mine)
}

/// Lists the processes of a kind: the count first, if there is too little room.
///
/// # Safety
///
/// `count` is null or may be read and written, and so many may be written to `to`.
unsafe fn list(
    device: &Device<'_>,
    kind: ProcessType,
    count: *mut c_uint,
    to: *mut nvmlProcessInfo_v2_t,
) -> Result<(), Code> {
    if count.is_null() {
        return Err(Code::INVALID_ARGUMENT);
    }
    let there = processes(device).filter(|process| process.kind == kind);
    let number = crate::number::count(there.count());
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe {
        let room = count.read();
        count.write(number);
        if room < number {
            return Err(Code::INSUFFICIENT_SIZE);
        }
        for (at, process) in processes(device).filter(|process| process.kind == kind).enumerate() {
            let mib = f64::from(1u32 << 20);
            put(
                to.add(at),
                nvmlProcessInfo_v2_t {
                    pid: process.pid,
                    usedGpuMemory: process.memory_mib.map_or(NOT_AVAILABLE, |of| whole(of * mib)),
                    gpuInstanceId: process.gpu_instance.unwrap_or(NO_INSTANCE),
                    computeInstanceId: process.compute_instance.unwrap_or(NO_INSTANCE),
                },
            )?;
        }
    }
    Ok(())
}

fn fan_speed(device: &Device<'_>, fan: c_uint) -> Result<u32, Code> {
    device.whole()?;
    if device.gpu.spec.fans == 0 {
        return Err(Code::NOT_SUPPORTED);
    }
    if fan >= device.gpu.spec.fans {
        return Err(Code::INVALID_ARGUMENT);
    }
    let temperature = device.state().physics.now.temperature;
    let usual = (30.0 + (temperature - 40.0).max(0.0) * 1.6).min(100.0);
    Ok(small(device.gpu.effects.value("fan").unwrap_or(usual)))
}

device_functions! {
    nvmlDeviceGetComputeRunningProcesses_v2(count: *mut c_uint, to: *mut nvmlProcessInfo_v2_t) |device| {
        list(device, ProcessType::Compute, count, to)
    }

    nvmlDeviceGetComputeRunningProcesses_v3(count: *mut c_uint, to: *mut nvmlProcessInfo_v2_t) |device| {
        list(device, ProcessType::Compute, count, to)
    }

    nvmlDeviceGetGraphicsRunningProcesses_v2(count: *mut c_uint, to: *mut nvmlProcessInfo_v2_t) |device| {
        list(device, ProcessType::Graphics, count, to)
    }

    nvmlDeviceGetGraphicsRunningProcesses_v3(count: *mut c_uint, to: *mut nvmlProcessInfo_v2_t) |device| {
        list(device, ProcessType::Graphics, count, to)
    }

    nvmlDeviceGetMPSComputeRunningProcesses_v2(count: *mut c_uint, to: *mut nvmlProcessInfo_v2_t) |device| {
        list(device, ProcessType::Mps, count, to)
    }

    nvmlDeviceGetMPSComputeRunningProcesses_v3(count: *mut c_uint, to: *mut nvmlProcessInfo_v2_t) |device| {
        list(device, ProcessType::Mps, count, to)
    }

    nvmlDeviceGetProcessUtilization(
        to: *mut nvmlProcessUtilizationSample_t, count: *mut c_uint, last_seen: c_ulonglong
    ) |device| {
        device.undivided()?;
        if count.is_null() {
            return Err(Code::INVALID_ARGUMENT);
        }
        let number = crate::number::count(processes(device).count());
        if to.is_null() {
            count.write(number);
            return Err(Code::INSUFFICIENT_SIZE);
        }
        // A sample a second, in microseconds as the driver counts them.
        let uptime = device.now.saturating_duration_since(runtime::start()).as_secs() + 1;
        let timestamp = uptime * 1_000_000;
        if number == 0 || timestamp <= last_seen {
            count.write(0);
            return Err(Code::NOT_FOUND);
        }
        if count.read() < number {
            count.write(number);
            return Err(Code::INSUFFICIENT_SIZE);
        }
        count.write(number);
        let state = device.state();
        let now = &state.physics.now;
        let percent = |load: f64, share: f64| small((load * share * 100.0).round());
        for (at, process) in processes(device).enumerate() {
            put(to.add(at), nvmlProcessUtilizationSample_t {
                pid: process.pid,
                timeStamp: timestamp,
                smUtil: percent(now.load, process.share),
                memUtil: percent(now.memory_activity, process.share),
                encUtil: percent(now.encoder, process.share),
                decUtil: percent(now.decoder, process.share),
            })?;
        }
        Ok(())
    }

    nvmlDeviceGetNumFans(to: *mut c_uint) |device| {
        device.whole()?;
        if device.gpu.spec.fans == 0 {
            return Err(Code::NOT_SUPPORTED);
        }
        put(to, device.gpu.spec.fans)
    }

    nvmlDeviceGetFanSpeed(to: *mut c_uint) |device| {
        put(to, fan_speed(device, 0)?)
    }

    nvmlDeviceGetFanSpeed_v2(fan: c_uint, to: *mut c_uint) |device| {
        put(to, fan_speed(device, fan)?)
    }

    nvmlDeviceGetFanSpeedRPM(to: *mut nvmlFanSpeedInfo_t) |device| {
        versioned(to, 1)?;
        (*to).speed = fan_speed(device, (*to).fan)? * 35;
        Ok(())
    }
}
