//! Memory, engines, limits, and the PCIe link.

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings::{
    nvmlBAR1Memory_t, nvmlMarginTemperature_t, nvmlMemory_t, nvmlMemory_v2_t,
    nvmlPcieUtilCounter_t, nvmlTemperatureThresholds_t,
};

use super::{device_functions, put, version_word, versioned};
use crate::call::{Device, has};
use crate::code::Code;
use crate::number::{signed_small, small, whole};
use crate::physics::Gauges;

/// How long engines' utilization is averaged, in µs.
const ENGINE_WINDOW: c_uint = 167_000;
/// How long each direction's throughput is measured, and the caller kept.
const THROUGHPUT_WINDOW: std::time::Duration = std::time::Duration::from_millis(20);

/// Total, reserved, used without what is reserved.
fn memory(device: &Device<'_>) -> (u64, u64, u64) {
    let profile = device.gpu.profile;
    let effects = &device.gpu.effects;
    let used = effects.value("memory_used").unwrap_or(device.state().physics.now.memory_used);
    if let Some(mig) = device.mig {
        // A process is in one instance; what is known of none is spread evenly.
        #[expect(clippy::cast_precision_loss, reason = "memory is below 2^52")]
        let part = mig.memory as f64 / (profile.memory - profile.reserved) as f64;
        let own = device.gpu.effects.conditions.processes.as_ref().map(|processes| {
            let mine = processes.iter().filter(|p| p.gpu_instance == Some(mig.gpu_instance));
            mine.filter_map(|p| p.memory_mib).sum::<f64>() * f64::from(1u32 << 20)
        });
        let used = own.unwrap_or(used * part);
        return (mig.memory, mig.memory >> 9, whole(used).min(mig.memory - (mig.memory >> 9)));
    }
    let total = effects.value("memory_total").map_or(profile.memory, whole);
    (total, profile.reserved, whole(used))
}

/// # Safety
///
/// As [`put`].
unsafe fn engine(
    device: &Device<'_>,
    share: impl Fn(&Gauges) -> f64,
    to: *mut c_uint,
    period: *mut c_uint,
) -> Result<(), Code> {
    device.undivided()?;
    let percent = small((share(&device.state().physics.now) * 100.0).round());
    // SAFETY: the caller vouches for its pointers.
    unsafe {
        put(to, percent)?;
        put(period, ENGINE_WINDOW)
    }
}

fn limit(device: &Device<'_>) -> u32 {
    let conditions = &device.gpu.effects.conditions;
    small(conditions.power_limit.unwrap_or(device.gpu.profile.power.limit) * 1e3)
}

device_functions! {
    nvmlDeviceGetMemoryInfo(to: *mut nvmlMemory_t) |device| {
        let (total, reserved, used) = memory(device);
        // The first version knows no reserve and counts it as used.
        let used = used.saturating_add(reserved);
        put(to, nvmlMemory_t { total, free: total.saturating_sub(used), used })
    }

    nvmlDeviceGetMemoryInfo_v2(to: *mut nvmlMemory_v2_t) |device| {
        versioned(to, 2)?;
        let (total, reserved, used) = memory(device);
        let free = total.saturating_sub(used.saturating_add(reserved));
        put(to, nvmlMemory_v2_t { version: version_word::<nvmlMemory_v2_t>(2), total, reserved, free, used })
    }

    nvmlDeviceGetBAR1MemoryInfo(to: *mut nvmlBAR1Memory_t) |device| {
        device.whole()?;
        let total = device.gpu.profile.bar1;
        // One mebibyte of mappings, and some more while something runs.
        let busy = device.state().physics.now.load > 0.0;
        let used = if busy { 4 << 20 } else { 1 << 20 };
        put(to, nvmlBAR1Memory_t { bar1Total: total, bar1Free: total - used, bar1Used: used })
    }

    nvmlDeviceGetEncoderUtilization(to: *mut c_uint, period: *mut c_uint) |device| {
        engine(device, |now| now.encoder, to, period)
    }

    nvmlDeviceGetDecoderUtilization(to: *mut c_uint, period: *mut c_uint) |device| {
        engine(device, |now| now.decoder, to, period)
    }

    nvmlDeviceGetJpgUtilization(to: *mut c_uint, period: *mut c_uint) |device| {
        has(device.gpu.profile.has.jpeg)?;
        engine(device, |now| now.jpeg, to, period)
    }

    nvmlDeviceGetOfaUtilization(to: *mut c_uint, period: *mut c_uint) |device| {
        has(device.gpu.profile.has.optical_flow)?;
        engine(device, |now| now.optical_flow, to, period)
    }

    nvmlDeviceGetTemperatureThreshold(kind: nvmlTemperatureThresholds_t, to: *mut c_uint) |device| {
        device.whole()?;
        let profile = device.gpu.profile;
        has(profile.has.thresholds)?;
        let heat = &profile.heat;
        put(to, match kind {
            0 => heat.shutdown,
            1 => heat.slowdown,
            2 if profile.has.memory_temperature => heat.memory_max,
            3 => heat.gpu_max,
            2 | 4..=7 => return Err(Code::NOT_SUPPORTED),
            _ => return Err(Code::INVALID_ARGUMENT),
        })
    }

    nvmlDeviceGetMarginTemperature(to: *mut nvmlMarginTemperature_t) |device| {
        device.whole()?;
        versioned(to, 1)?;
        has(device.gpu.profile.has.margins)?;
        let left = || f64::from(device.gpu.profile.heat.gpu_max)
            - device.state().physics.now.temperature.floor();
        let margin = device.gpu.effects.value("margin").unwrap_or_else(left);
        (*to).marginTemperature = signed_small(margin);
        Ok(())
    }

    nvmlDeviceGetEnforcedPowerLimit(to: *mut c_uint) |device| {
        device.whole()?;
        put(to, limit(device))
    }

    nvmlDeviceGetPowerManagementLimit(to: *mut c_uint) |device| {
        device.whole()?;
        put(to, limit(device))
    }

    nvmlDeviceGetPowerManagementDefaultLimit(to: *mut c_uint) |device| {
        device.whole()?;
        put(to, small(device.gpu.profile.power.limit * 1e3))
    }

    nvmlDeviceGetPowerManagementLimitConstraints(min: *mut c_uint, max: *mut c_uint) |device| {
        device.whole()?;
        let power = &device.gpu.profile.power;
        put(min, small(power.min_limit * 1e3))?;
        put(max, small(power.max_limit * 1e3))
    }

    nvmlDeviceGetCurrPcieLinkGeneration(to: *mut c_uint) |device| {
        device.whole()?;
        put(to, device.state().physics.now.pcie_generation)
    }

    nvmlDeviceGetCurrPcieLinkWidth(to: *mut c_uint) |device| {
        device.whole()?;
        put(to, device.state().physics.now.pcie_width)
    }

    nvmlDeviceGetMaxPcieLinkGeneration(to: *mut c_uint) |device| {
        device.whole()?;
        let slot = device.gpu.effects.conditions.pcie.as_ref().and_then(|pcie| pcie.max_gen);
        put(to, slot.unwrap_or(device.gpu.profile.pcie.0))
    }

    nvmlDeviceGetGpuMaxPcieLinkGeneration(to: *mut c_uint) |device| {
        device.whole()?;
        put(to, device.gpu.profile.pcie.0)
    }

    nvmlDeviceGetMaxPcieLinkWidth(to: *mut c_uint) |device| {
        device.whole()?;
        let slot = device.gpu.effects.conditions.pcie.as_ref().and_then(|pcie| pcie.max_width);
        put(to, slot.unwrap_or(device.gpu.profile.pcie.1))
    }

    nvmlDeviceGetPcieReplayCounter(to: *mut c_uint) |device| {
        device.whole()?;
        let state = device.state();
        let grown = state.physics.counters(device.time).pcie_replays;
        put(to, small(grown).saturating_add(u32::try_from(state.tally.pcie_replays).unwrap_or(u32::MAX)))
    }

    nvmlDeviceGetPcieThroughput(counter: nvmlPcieUtilCounter_t, to: *mut c_uint) |device| {
        device.whole()?;
        let before = device.state().physics.counters(device.time);
        // The real one blocks as long; who calls it is meant to notice.
        #[expect(clippy::disallowed_methods, reason = "blocking is what this function does")]
        std::thread::sleep(THROUGHPUT_WINDOW);
        let time = device.world.time(device.now + THROUGHPUT_WINDOW);
        let after = device.gpu.at(time).physics.counters(time);
        let bytes = match counter {
            0 => after.pcie_tx - before.pcie_tx,
            1 => after.pcie_rx - before.pcie_rx,
            _ => return Err(Code::INVALID_ARGUMENT),
        };
        put(to, small(bytes / (time - device.time).max(1e-9) / 1e3))
    }
}
