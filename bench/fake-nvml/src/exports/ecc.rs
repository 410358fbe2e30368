//! Memory errors, and what became of the memory.

use std::ffi::{c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{
    nvmlEccCounterType_t, nvmlEccSramErrorStatus_t, nvmlEnableState_t, nvmlMemoryErrorType_t,
    nvmlMemoryLocation_t, nvmlPageRetirementCause_t, nvmlRowRemapperHistogramValues_t,
};

use super::{device_functions, put, versioned};
use crate::call::{Device, has};
use crate::code::Code;

/// Errors of a kind since driver load (0) or of its life (1), by place.
fn errors(device: &Device<'_>, kind: u32, counter: u32) -> Result<[u64; 8], Code> {
    device.whole()?;
    if device.gpu.effects.conditions.ecc_mode == Some(false) {
        return Err(Code::NOT_SUPPORTED);
    }
    let kind = usize::try_from(kind).ok().filter(|kind| *kind < 2).ok_or(Code::INVALID_ARGUMENT)?;
    let state = device.state();
    let counters = state.physics.counters(device.time);
    match counter {
        0 => Ok(state.volatile_ecc(&counters)[kind]),
        1 => Ok(state.aggregate_ecc(&counters)[kind]),
        _ => Err(Code::INVALID_ARGUMENT),
    }
}

fn remapper(device: &Device<'_>) -> Result<(), Code> {
    device.whole()?;
    has(device.gpu.profile.has.row_remap)?;
    // Not with live MIG instances.
    has(device.gpu.mig.as_ref().is_none_or(Vec::is_empty))
}

/// The count of pages retired for a cause; addresses and times are made up from it.
///
/// # Safety
///
/// As [`put`], for as many as `count` says.
unsafe fn retired(
    device: &Device<'_>,
    cause: u32,
    count: *mut c_uint,
    addresses: *mut c_ulonglong,
    timestamps: *mut c_ulonglong,
) -> Result<(), Code> {
    device.whole()?;
    has(device.gpu.profile.has.page_retirement)?;
    let cause = usize::try_from(cause).ok().filter(|c| *c < 2).ok_or(Code::INVALID_ARGUMENT)?;
    let pages = device.state().lifelong.retired[cause];
    if count.is_null() {
        return Err(Code::INVALID_ARGUMENT);
    }
    // SAFETY: not null, and the caller vouches for its pointers.
    unsafe {
        let room = count.read();
        count.write(pages);
        if room < pages {
            return if room == 0 && addresses.is_null() {
                Ok(())
            } else {
                Err(Code::INSUFFICIENT_SIZE)
            };
        }
        for page in 0..pages {
            let at = usize::try_from(page).unwrap_or(0);
            put(addresses.add(at), 0x1000 * c_ulonglong::from(page + 1))?;
            if !timestamps.is_null() {
                timestamps.add(at).write(1_700_000_000 + c_ulonglong::from(page));
            }
        }
    }
    Ok(())
}

device_functions! {
    nvmlDeviceGetTotalEccErrors(
        kind: nvmlMemoryErrorType_t, counter: nvmlEccCounterType_t, to: *mut c_ulonglong
    ) |device| {
        put(to, errors(device, kind, counter)?.iter().sum())
    }

    nvmlDeviceGetMemoryErrorCounter(
        kind: nvmlMemoryErrorType_t, counter: nvmlEccCounterType_t,
        location: nvmlMemoryLocation_t, to: *mut c_ulonglong
    ) |device| {
        let errors = errors(device, kind, counter)?;
        // From Turing on, errors are told apart by DRAM (2) and SRAM (7) only.
        match location {
            2 | 7 => put(to, errors[usize::try_from(location).unwrap_or(0)]),
            0..8 => Err(Code::NOT_SUPPORTED),
            _ => Err(Code::INVALID_ARGUMENT),
        }
    }

    nvmlDeviceGetEccMode(current: *mut nvmlEnableState_t, pending: *mut nvmlEnableState_t) |device| {
        device.whole()?;
        let on = u32::from(device.gpu.effects.conditions.ecc_mode.unwrap_or(true));
        put(current, on)?;
        put(pending, on)
    }

    nvmlDeviceGetRemappedRows(
        correctable: *mut c_uint, uncorrectable: *mut c_uint,
        pending: *mut c_uint, failed: *mut c_uint
    ) |device| {
        remapper(device)?;
        let conditions = &device.gpu.effects.conditions;
        let rows = device.state().lifelong.remapped;
        put(correctable, rows[0])?;
        put(uncorrectable, rows[1])?;
        put(pending, u32::from(conditions.remap_pending == Some(true)))?;
        put(failed, u32::from(conditions.remap_failed == Some(true)))
    }

    nvmlDeviceGetRowRemapperHistogram(to: *mut nvmlRowRemapperHistogramValues_t) |device| {
        remapper(device)?;
        let banks = device.gpu.effects.conditions.remap_banks.unwrap_or([640, 0, 0, 0, 0]);
        let [max, high, partial, low, none] = banks;
        put(to, nvmlRowRemapperHistogramValues_t { max, high, partial, low, none })
    }

    nvmlDeviceGetSramEccErrorStatus(to: *mut nvmlEccSramErrorStatus_t) |device| {
        device.whole()?;
        versioned(to, 1)?;
        has(device.gpu.profile.has.sram_status)?;
        let state = device.state();
        let (now, life) = (state.tally.sram, state.lifelong.sram);
        let exceeded = device.gpu.effects.conditions.sram_threshold == Some(true);
        put(to, nvmlEccSramErrorStatus_t {
            version: (*to).version,
            aggregateUncParity: life[1],
            aggregateUncSecDed: life[2],
            aggregateCor: life[0],
            volatileUncParity: now[1],
            volatileUncSecDed: now[2],
            volatileCor: now[0],
            aggregateUncBucketL2: life[1] + life[2],
            aggregateUncBucketSm: 0,
            aggregateUncBucketPcie: 0,
            aggregateUncBucketMcu: 0,
            aggregateUncBucketOther: 0,
            bThresholdExceeded: u32::from(exceeded),
        })
    }

    nvmlDeviceGetRetiredPages(
        cause: nvmlPageRetirementCause_t, count: *mut c_uint, addresses: *mut c_ulonglong
    ) |device| {
        retired(device, cause, count, addresses, std::ptr::null_mut())
    }

    nvmlDeviceGetRetiredPages_v2(
        cause: nvmlPageRetirementCause_t, count: *mut c_uint,
        addresses: *mut c_ulonglong, timestamps: *mut c_ulonglong
    ) |device| {
        retired(device, cause, count, addresses, timestamps)
    }

    nvmlDeviceGetRetiredPagesPendingStatus(pending: *mut nvmlEnableState_t) |device| {
        device.whole()?;
        has(device.gpu.profile.has.page_retirement)?;
        put(pending, u32::from(device.gpu.effects.conditions.retired_pending == Some(true)))
    }
}
