//! What a client reads every second: load, clocks, power, heat.

use std::ffi::{c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{
    nvmlClockType_t, nvmlPerfPolicyType_t, nvmlPstates_t, nvmlTemperature_t,
    nvmlTemperatureSensors_t, nvmlUtilization_t, nvmlViolationTime_t,
};

use super::{device_functions, put, versioned};
use crate::call::Device;
use crate::code::Code;
use crate::number::{signed_small, small, whole};

/// Reasons that the GPUs know: all but display clocks.
const SUPPORTED_REASONS: u64 = 0xff;

fn temperature(device: &Device<'_>) -> f64 {
    let usual = || device.state().physics.now.temperature;
    device.gpu.effects.value("temperature").unwrap_or_else(usual)
}

fn reasons(device: &Device<'_>) -> Result<u64, Code> {
    device.whole()?;
    Ok(device.state().physics.now.reasons)
}

fn clock(device: &Device<'_>, kind: nvmlClockType_t) -> Result<u32, Code> {
    let state = device.state();
    let now = &state.physics.now;
    let effects = &device.gpu.effects;
    let clock = match kind {
        0 => now.sm_clock,
        1 => effects.value("sm_clock").unwrap_or(now.sm_clock),
        2 => effects.value("memory_clock").unwrap_or(now.memory_clock),
        3 => now.video_clock,
        _ => return Err(Code::INVALID_ARGUMENT),
    };
    Ok(small(clock.round()))
}

fn highest(device: &Device<'_>, kind: nvmlClockType_t) -> Result<u32, Code> {
    let clocks = &device.gpu.profile.clocks;
    match kind {
        0 | 1 => Ok(clocks.sm_max),
        2 => Ok(clocks.memory_max),
        3 => Ok(clocks.video_max),
        _ => Err(Code::INVALID_ARGUMENT),
    }
}

fn application(device: &Device<'_>, kind: nvmlClockType_t) -> Result<u32, Code> {
    let clocks = &device.gpu.profile.clocks;
    match kind {
        0 | 1 => Ok(clocks.sm_application),
        2 => Ok(clocks.memory_max),
        3 => Err(Code::NOT_SUPPORTED),
        _ => Err(Code::INVALID_ARGUMENT),
    }
}

device_functions! {
    nvmlDeviceGetUtilizationRates(to: *mut nvmlUtilization_t) |device| {
        device.undivided()?;
        let effects = &device.gpu.effects;
        let state = device.state();
        let now = &state.physics.now;
        let gpu = effects.value("utilization").unwrap_or((now.load * 100.0).round());
        let memory =
            effects.value("memory_utilization").unwrap_or((now.memory_activity * 100.0).round());
        put(to, nvmlUtilization_t { gpu: small(gpu), memory: small(memory) })
    }

    nvmlDeviceGetClockInfo(kind: nvmlClockType_t, to: *mut c_uint) |device| {
        put(to, clock(device, kind)?)
    }

    nvmlDeviceGetMaxClockInfo(kind: nvmlClockType_t, to: *mut c_uint) |device| {
        put(to, highest(device, kind)?)
    }

    nvmlDeviceGetApplicationsClock(kind: nvmlClockType_t, to: *mut c_uint) |device| {
        device.whole()?;
        put(to, application(device, kind)?)
    }

    nvmlDeviceGetDefaultApplicationsClock(kind: nvmlClockType_t, to: *mut c_uint) |device| {
        device.whole()?;
        put(to, application(device, kind)?)
    }

    nvmlDeviceGetTemperature(sensor: nvmlTemperatureSensors_t, to: *mut c_uint) |device| {
        device.whole()?;
        if sensor != 0 {
            return Err(Code::INVALID_ARGUMENT);
        }
        put(to, small(temperature(device)))
    }

    nvmlDeviceGetTemperatureV(to: *mut nvmlTemperature_t) |device| {
        device.whole()?;
        versioned(to, 1)?;
        if (*to).sensorType != 0 {
            return Err(Code::INVALID_ARGUMENT);
        }
        (*to).temperature = signed_small(temperature(device));
        Ok(())
    }

    nvmlDeviceGetCurrentClocksThrottleReasons(to: *mut c_ulonglong) |device| {
        put(to, reasons(device)?)
    }

    nvmlDeviceGetCurrentClocksEventReasons(to: *mut c_ulonglong) |device| {
        put(to, reasons(device)?)
    }

    nvmlDeviceGetSupportedClocksThrottleReasons(to: *mut c_ulonglong) |device| {
        device.whole()?;
        put(to, SUPPORTED_REASONS)
    }

    nvmlDeviceGetSupportedClocksEventReasons(to: *mut c_ulonglong) |device| {
        device.whole()?;
        put(to, SUPPORTED_REASONS)
    }

    nvmlDeviceGetPerformanceState(to: *mut nvmlPstates_t) |device| {
        device.whole()?;
        let profile = device.gpu.profile;
        let busy = device.state().physics.now.load > 0.0;
        // Boards whose memory clock falls when idle go to P8; the others stay in P0.
        let falls = profile.clocks.memory_idle < profile.clocks.memory_max;
        let usual = if busy || !falls { 0.0 } else { 8.0 };
        put(to, small(device.gpu.effects.value("performance_state").unwrap_or(usual)))
    }

    nvmlDeviceGetPowerUsage(to: *mut c_uint) |device| {
        device.whole()?;
        let state = device.state();
        let now = &state.physics.now;
        // The mean of a second from Ampere on, but for GA100.
        let averages = device.gpu.profile.has.power_average;
        let watts = if averages { now.power_average } else { now.power };
        put(to, small(device.gpu.effects.value("power_mw").unwrap_or(watts * 1e3)))
    }

    nvmlDeviceGetTotalEnergyConsumption(to: *mut c_ulonglong) |device| {
        device.whole()?;
        let usual = device.state().physics.counters(device.time).energy * 1e3;
        put(to, whole(device.gpu.effects.value("energy_mj").unwrap_or(usual)))
    }

    nvmlDeviceGetViolationStatus(policy: nvmlPerfPolicyType_t, to: *mut nvmlViolationTime_t) |device| {
        device.whole()?;
        let index = usize::try_from(policy).unwrap_or(usize::MAX);
        let counters = device.state().physics.counters(device.time);
        let seconds = counters.violation.get(..6).and_then(|all| all.get(index));
        put(to, nvmlViolationTime_t {
            referenceTime: whole(device.time * 1e6),
            violationTime: whole(seconds.ok_or(Code::NOT_SUPPORTED)? * 1e9),
        })
    }
}
