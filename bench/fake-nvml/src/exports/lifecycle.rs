//! Starting, stopping, and what is known of the system.

use std::ffi::{c_char, c_int, c_uint};
use std::sync::atomic::Ordering;
use std::time::Duration;

use nvml_wrapper_sys::bindings::nvmlReturn_t;

use super::{put, put_text};
use crate::call::{sessionless, system};
use crate::code::{self, Code};
use crate::runtime::{self, EVER, SESSION_EPOCH, SESSIONS};
use crate::stats::{self, Misuse};
use crate::symbols::Symbol;
use crate::world::World;

fn begin(world: &World) -> Result<(), Code> {
    if world.scenario.init != Code::SUCCESS {
        return Err(world.scenario.init);
    }
    if SESSIONS.fetch_add(1, Ordering::AcqRel) > 0 {
        stats::count(Misuse::DoubleInit);
    } else {
        SESSION_EPOCH.store(world.driver_epoch, Ordering::Release);
    }
    EVER.store(1, Ordering::Release);
    Ok(())
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    sessionless(Symbol::nvmlInit_v2, begin)
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> nvmlReturn_t {
    sessionless(Symbol::nvmlInitWithFlags, begin)
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    let code = sessionless(Symbol::nvmlShutdown, |_| {
        let one_less = |sessions: u32| sessions.checked_sub(1);
        match SESSIONS.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less) {
            Ok(_) => Ok(()),
            Err(_) => {
                stats::count(Misuse::ExtraShutdown);
                Err(Code::UNINITIALIZED)
            }
        }
    });
    if code == Code::SUCCESS.0 {
        runtime::finish();
    }
    code
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlErrorString(result: nvmlReturn_t) -> *const c_char {
    stats::record(Symbol::nvmlErrorString, None, Duration::ZERO);
    code::text(result).as_ptr().cast()
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlSystemGetDriverVersion(
    version: *mut c_char,
    length: c_uint,
) -> nvmlReturn_t {
    system(Symbol::nvmlSystemGetDriverVersion, |world| {
        // SAFETY: the caller vouches for its buffer.
        unsafe { put_text(version, length, world.driver.as_bytes()) }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlSystemGetNVMLVersion(
    version: *mut c_char,
    length: c_uint,
) -> nvmlReturn_t {
    system(Symbol::nvmlSystemGetNVMLVersion, |world| {
        let default = || {
            let major = if world.driver_version.0 >= 580 { 13 } else { 12 };
            format!("{major}.{}", world.driver)
        };
        let text = world.scenario.nvml.clone().unwrap_or_else(default);
        // SAFETY: the caller vouches for its buffer.
        unsafe { put_text(version, length, text.as_bytes()) }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlSystemGetCudaDriverVersion(
    version: *mut c_int,
) -> nvmlReturn_t {
    system(Symbol::nvmlSystemGetCudaDriverVersion, |world| {
        // SAFETY: the caller vouches for its pointer.
        unsafe { put(version, world.scenario.cuda) }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(
    version: *mut c_int,
) -> nvmlReturn_t {
    system(Symbol::nvmlSystemGetCudaDriverVersion_v2, |world| {
        // SAFETY: the caller vouches for its pointer.
        unsafe { put(version, world.scenario.cuda) }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlSystemGetProcessName(
    pid: c_uint,
    name: *mut c_char,
    length: c_uint,
) -> nvmlReturn_t {
    system(Symbol::nvmlSystemGetProcessName, |world| {
        let found = world
            .gpus
            .iter()
            .flat_map(|gpu| gpu.effects.conditions.processes.iter().flatten())
            .find(|process| process.pid == pid)
            .ok_or(Code::NOT_FOUND)?;
        // SAFETY: the caller vouches for its buffer.
        unsafe { put_text(name, length, found.name.as_bytes()) }
    })
}
