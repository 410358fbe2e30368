//! GPM: metrics from the difference of two samples (Hopper and later).

use std::ffi::{c_char, c_uint};

use nvml_wrapper_sys::bindings::{
    nvmlGpmMetricsGet_t, nvmlGpmSample_t, nvmlGpmSupport_t, nvmlReturn_t,
};

use super::{device_functions, put};
use crate::call::{Device, has, system};
use crate::code::Code;
use crate::handle::{self, Handle, pointer};
use crate::physics::Counters;
use crate::samples::{SAMPLES, Sample};
use crate::stats::{self, Misuse};
use crate::symbols::Symbol;
use crate::world::World;

/// Version word of the GPM structures: a plain 1, not size and version.
const VERSION: u32 = 1;
const MIB: f64 = 1_048_576.0;

fn sample_of(world: &World, sample: nvmlGpmSample_t) -> Result<u32, Code> {
    match handle::of(world.generation, sample) {
        Some(Handle::Sample(id)) => Ok(id),
        _ => {
            stats::count(Misuse::StaleHandle);
            Err(Code::INVALID_ARGUMENT)
        }
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlGpmSampleAlloc(sample: *mut nvmlGpmSample_t) -> nvmlReturn_t {
    system(Symbol::nvmlGpmSampleAlloc, |world| {
        if sample.is_null() {
            return Err(Code::INVALID_ARGUMENT);
        }
        let id = SAMPLES.lock().create();
        // SAFETY: the caller vouches for its pointer.
        unsafe { put(sample, pointer(world.generation, Handle::Sample(id))) }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlGpmSampleFree(sample: nvmlGpmSample_t) -> nvmlReturn_t {
    system(Symbol::nvmlGpmSampleFree, |world| {
        let id = sample_of(world, sample)?;
        if SAMPLES.lock().free(id) { Ok(()) } else { Err(Code::INVALID_ARGUMENT) }
    })
}

fn take(device: &Device<'_>, sample: nvmlGpmSample_t, instance: Option<u32>) -> Result<(), Code> {
    has(device.gpu.profile.has.gpm)?;
    let id = sample_of(device.world, sample)?;
    let state = device.state();
    let taken = Sample {
        slot: device.slot,
        gpu_instance: instance,
        time: device.time,
        counters: state.physics.counters(device.time),
        gauges: state.physics.now.clone(),
    };
    if SAMPLES.lock().put(id, taken) { Ok(()) } else { Err(Code::INVALID_ARGUMENT) }
}

device_functions! {
    nvmlGpmQueryDeviceSupport(to: *mut nvmlGpmSupport_t) |device| {
        if to.is_null() {
            return Err(Code::INVALID_ARGUMENT);
        }
        if (*to).version != VERSION {
            return Err(Code::ARGUMENT_VERSION_MISMATCH);
        }
        (*to).isSupportedDevice = u32::from(device.gpu.profile.has.gpm);
        Ok(())
    }

    nvmlGpmSampleGet(sample: nvmlGpmSample_t) |device| {
        device.whole()?;
        take(device, sample, None)
    }

    nvmlGpmMigSampleGet(instance: c_uint, sample: nvmlGpmSample_t) |device| {
        let devices = device.gpu.mig.as_ref().ok_or(Code::NOT_SUPPORTED)?;
        if !devices.iter().any(|mig| mig.gpu_instance == instance) {
            return Err(Code::NOT_FOUND);
        }
        take(device, sample, Some(instance))
    }
}

/// A metric between two samples of the same thing.
fn metric(id: u32, from: &Sample, to: &Sample, links: usize) -> Result<f64, Code> {
    let seconds = to.time - from.time;
    if seconds <= 0.0 {
        return Err(Code::NO_DATA);
    }
    let rate = |of: fn(&Counters) -> f64| (of(&to.counters) - of(&from.counters)) / seconds;
    let percent = |share: f64| Ok((share * 100.0).clamp(0.0, 100.0));
    let busy = rate(|counters| counters.busy);
    let tensor = rate(|counters| counters.tensor_busy);
    match id {
        1 => percent(busy),
        2 => percent(busy * 0.9),
        3 => percent(busy * 0.45),
        4 => percent(tensor * 0.1),
        5 | 7 => percent(tensor),
        6 | 9 => percent(0.0),
        10 => percent(rate(|counters| counters.memory_busy)),
        11 => percent(busy * 0.02),
        12 => percent(busy * 0.25),
        13 => percent(busy * 0.1),
        // MIG instances share the links, which are counted for the GPU only.
        20.. if from.gpu_instance.is_some() => Err(Code::NOT_SUPPORTED),
        20 => Ok(rate(|counters| counters.pcie_tx) / MIB),
        21 => Ok(rate(|counters| counters.pcie_rx) / MIB),
        60 if links > 0 => Ok(rate(|counters| counters.link_rx.iter().sum()) / MIB),
        61 if links > 0 => Ok(rate(|counters| counters.link_tx.iter().sum()) / MIB),
        62..=97 => {
            let link = usize::try_from((id - 62) / 2).unwrap_or(usize::MAX);
            if link >= links {
                return Err(Code::NOT_SUPPORTED);
            }
            let (now, then) = (&to.counters, &from.counters);
            let bytes = if id.is_multiple_of(2) {
                now.link_rx[link] - then.link_rx[link]
            } else {
                now.link_tx[link] - then.link_tx[link]
            };
            Ok(bytes / seconds / MIB)
        }
        30..=37 => percent(to.gauges.decoder),
        40..=47 => percent(to.gauges.jpeg),
        50 | 51 => percent(to.gauges.optical_flow),
        _ => Err(Code::NOT_SUPPORTED),
    }
}

/// Name and unit; C has no `const` here, but nobody may write to them.
fn words(id: u32) -> (*mut c_char, *mut c_char) {
    let name = match id {
        1 => c"GRAPHICS_UTIL",
        2 => c"SM_UTIL",
        3 => c"SM_OCCUPANCY",
        4 => c"INTEGER_UTIL",
        5 => c"ANY_TENSOR_UTIL",
        6 => c"DFMA_TENSOR_UTIL",
        7 => c"HMMA_TENSOR_UTIL",
        9 => c"IMMA_TENSOR_UTIL",
        10 => c"DRAM_BW_UTIL",
        11 => c"FP64_UTIL",
        12 => c"FP32_UTIL",
        13 => c"FP16_UTIL",
        20 => c"PCIE_TX_PER_SEC",
        21 => c"PCIE_RX_PER_SEC",
        30..=51 => c"ENGINE_UTIL",
        _ => c"NVLINK_PER_SEC",
    };
    let unit = if matches!(id, 20 | 21 | 60..) { c"MiB/s" } else { c"%" };
    (name.as_ptr().cast_mut(), unit.as_ptr().cast_mut())
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlGpmMetricsGet(
    request: *mut nvmlGpmMetricsGet_t,
) -> nvmlReturn_t {
    system(Symbol::nvmlGpmMetricsGet, |world| {
        if request.is_null() {
            return Err(Code::INVALID_ARGUMENT);
        }
        // SAFETY: not null, and the caller vouches for its structure.
        let request = unsafe { &mut *request };
        if request.version != VERSION {
            return Err(Code::ARGUMENT_VERSION_MISMATCH);
        }
        let wanted = usize::try_from(request.numMetrics).map_err(|_| Code::INVALID_ARGUMENT)?;
        let metrics = request.metrics.get_mut(..wanted).ok_or(Code::INVALID_ARGUMENT)?;
        let (from, to) = (sample_of(world, request.sample1)?, sample_of(world, request.sample2)?);
        let samples = SAMPLES.lock();
        let from = samples.get(from).ok_or(Code::INVALID_ARGUMENT)?;
        let to = samples.get(to).ok_or(Code::INVALID_ARGUMENT)?;
        if (from.slot, from.gpu_instance) != (to.slot, to.gpu_instance) {
            return Err(Code::INVALID_ARGUMENT);
        }
        let links = world.gpus[from.slot].profile.nvlink.as_ref().map_or(0, |nvlink| nvlink.links);
        for wanted in metrics {
            match metric(wanted.metricId, from, to, links) {
                Ok(value) => {
                    wanted.value = value;
                    (wanted.metricInfo.shortName, wanted.metricInfo.unit) = words(wanted.metricId);
                    wanted.metricInfo.longName = wanted.metricInfo.shortName;
                    wanted.nvmlReturn = Code::SUCCESS.0;
                }
                Err(code) => wanted.nvmlReturn = code.0,
            }
        }
        Ok(())
    })
}
