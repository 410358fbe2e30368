//! Event sets. Waiting blocks to its timeout, as the real one does: a client that expects less
//! would spin on it.

use std::ffi::{c_uint, c_ulonglong};
use std::time::{Duration, Instant};

use nvml_wrapper_sys::bindings::{nvmlEventData_t, nvmlEventSet_t, nvmlReturn_t};

use super::{device_functions, put};
use crate::call::system;
use crate::code::Code;
use crate::events::{CHANGED, Event, SETS};
use crate::handle::{self, Handle, pointer};
use crate::runtime;
use crate::stats::{self, Misuse};
use crate::symbols::Symbol;
use crate::world::World;

fn set_of(world: &World, set: nvmlEventSet_t) -> Result<u32, Code> {
    match handle::of(world.generation, set) {
        Some(Handle::EventSet(id)) => Ok(id),
        _ => {
            stats::count(Misuse::StaleHandle);
            Err(Code::INVALID_ARGUMENT)
        }
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlEventSetCreate(set: *mut nvmlEventSet_t) -> nvmlReturn_t {
    system(Symbol::nvmlEventSetCreate, |world| {
        if set.is_null() {
            return Err(Code::INVALID_ARGUMENT);
        }
        let id = SETS.lock().create();
        // SAFETY: the caller vouches for its pointer.
        unsafe { put(set, pointer(world.generation, Handle::EventSet(id))) }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlEventSetFree(set: nvmlEventSet_t) -> nvmlReturn_t {
    system(Symbol::nvmlEventSetFree, |world| {
        let id = set_of(world, set)?;
        if SETS.lock().free(id) { Ok(()) } else { Err(Code::INVALID_ARGUMENT) }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlEventSetWait_v2(
    set: nvmlEventSet_t,
    data: *mut nvmlEventData_t,
    timeout_ms: c_uint,
) -> nvmlReturn_t {
    let until = Instant::now() + Duration::from_millis(u64::from(timeout_ms));
    let mut waited = Err(Code::UNKNOWN);
    // What the scenario says of the function comes first; the wait itself holds no lock on the
    // world, which changes while it lasts.
    let code = system(Symbol::nvmlEventSetWait_v2, |world| {
        waited = set_of(world, set).map(|id| (id, world.generation));
        Ok(())
    });
    if code != Code::SUCCESS.0 {
        return code;
    }
    let delivered = waited.and_then(|id| wait(id, until)).and_then(|(event, generation)| {
        let data_of = nvmlEventData_t {
            device: pointer(generation, Handle::Gpu { slot: event.slot }),
            eventType: event.bit,
            eventData: event.data,
            gpuInstanceId: event.gpu_instance,
            computeInstanceId: event.compute_instance,
        };
        // SAFETY: the caller vouches for its pointer.
        unsafe { put(data, data_of) }
    });
    delivered.err().unwrap_or(Code::SUCCESS).0
}

fn wait((id, generation): (u32, u32), until: Instant) -> Result<(Event, u32), Code> {
    loop {
        let now = Instant::now();
        // Something on the timeline may be due.
        drop(runtime::world(now));
        let mut sets = SETS.lock();
        if !sets.has(id) {
            return Err(Code::INVALID_ARGUMENT);
        }
        if let Some(event) = sets.take(id) {
            return Ok((event, generation));
        }
        if now >= until {
            return Err(Code::TIMEOUT);
        }
        CHANGED.wait_until(&mut sets, runtime::next_look(now, until));
    }
}

device_functions! {
    nvmlDeviceGetSupportedEventTypes(to: *mut c_ulonglong) |device| {
        device.whole()?;
        put(to, device.gpu.profile.events)
    }

    nvmlDeviceRegisterEvents(bits: c_ulonglong, set: nvmlEventSet_t) |device| {
        device.whole()?;
        let id = set_of(device.world, set)?;
        if bits & !device.gpu.profile.events != 0 {
            return Err(Code::NOT_SUPPORTED);
        }
        if SETS.lock().register(id, device.slot, bits) { Ok(()) } else { Err(Code::INVALID_ARGUMENT) }
    }
}
