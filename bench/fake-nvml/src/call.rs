//! The way of every call: is something due, is there a session, which GPU is meant, does the
//! scenario hold it up or answer in its place. Then the function itself, and the count.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nvml_wrapper_sys::bindings::nvmlDevice_t;
use parking_lot::MutexGuard;

use crate::code::Code;
use crate::effects::Effects;
use crate::gpu::{Gpu, State};
use crate::handle::{self, Handle};
use crate::mig::Instance;
use crate::runtime::{self, EVER, SESSION_EPOCH, SESSIONS, WorldRef};
use crate::stats::{self, Misuse};
use crate::symbols::Symbol;
use crate::world::World;

/// What a device handle means, during a call.
pub(crate) struct Device<'a> {
    pub world: &'a World,
    pub slot: usize,
    pub gpu: &'a Gpu,
    /// The handle is one of a MIG device.
    pub mig: Option<&'a Instance>,
    pub now: Instant,
    /// Scenario seconds.
    pub time: f64,
}

impl Device<'_> {
    /// The GPU's state at this instant.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.gpu.at(self.time)
    }

    /// For what is about whole GPUs only.
    pub(crate) fn whole(&self) -> Result<(), Code> {
        if self.mig.is_some() { Err(Code::INVALID_ARGUMENT) } else { Ok(()) }
    }

    /// For what neither MIG devices have nor GPUs with MIG on.
    pub(crate) fn undivided(&self) -> Result<(), Code> {
        if self.mig.is_some() || self.gpu.mig.is_some() { Err(Code::NOT_SUPPORTED) } else { Ok(()) }
    }
}

/// `Ok` if the product has it.
pub(crate) fn has(supported: bool) -> Result<(), Code> {
    if supported { Ok(()) } else { Err(Code::NOT_SUPPORTED) }
}

fn answer(result: Result<(), Code>) -> u32 {
    result.err().unwrap_or(Code::SUCCESS).0
}

/// A call that is about no GPU.
pub(crate) fn system(symbol: Symbol, f: impl FnOnce(&World) -> Result<(), Code>) -> u32 {
    let began = Instant::now();
    let result = (|| {
        let world = passed(symbol, began, None)?;
        session(&world)?;
        f(&world)
    })();
    stats::record(symbol, None, began.elapsed());
    answer(result)
}

/// One that needs no session: starting and stopping.
pub(crate) fn sessionless(symbol: Symbol, f: impl FnOnce(&World) -> Result<(), Code>) -> u32 {
    let began = Instant::now();
    let result = passed(symbol, began, None).and_then(|world| f(&world));
    stats::record(symbol, None, began.elapsed());
    answer(result)
}

/// A call about a GPU or a MIG device.
pub(crate) fn device(
    symbol: Symbol,
    device: nvmlDevice_t,
    f: impl FnOnce(&Device<'_>) -> Result<(), Code>,
) -> u32 {
    let began = Instant::now();
    let mut about = None;
    let result = (|| {
        let world = runtime::world(began).ok_or(Code::UNKNOWN)?;
        session(&world)?;
        let (slot, _) = resolve(&world, device)?;
        about = Some(slot);
        let held = is_held(&world.gpus[slot].effects, symbol);
        let world = if held {
            drop(world);
            passed(symbol, began, Some(slot))?
        } else {
            answered(&world.gpus[slot].effects, symbol)?;
            world
        };
        let (slot, mig) = resolve(&world, device)?;
        let gpu = &world.gpus[slot];
        if let Some(code) = gpu.broken() {
            return Err(code);
        }
        let mig = match (mig, &gpu.mig) {
            (Some(index), Some(devices)) => devices.get(index),
            _ => None,
        };
        let time = world.time(began);
        f(&Device { world: &world, slot, gpu, mig, now: began, time })
    })();
    stats::record(symbol, about, began.elapsed());
    answer(result)
}

fn is_held(effects: &Effects, symbol: Symbol) -> bool {
    effects.hangs(symbol) || effects.delay(symbol).is_some()
}

fn answered(effects: &Effects, symbol: Symbol) -> Result<(), Code> {
    effects.code(symbol).map_or(Ok(()), Err)
}

/// Waits as long as the scenario holds the call up, then answers as it says, or gives the world.
fn passed(symbol: Symbol, began: Instant, slot: Option<usize>) -> Result<WorldRef, Code> {
    let mut until = None;
    loop {
        let now = Instant::now();
        let world = runtime::world(now).ok_or(Code::UNKNOWN)?;
        let effects = match slot {
            Some(slot) => &world.gpus.get(slot).ok_or(Code::INVALID_ARGUMENT)?.effects,
            None => &world.global,
        };
        if effects.hangs(symbol) {
            drop(world);
            runtime::wait(now, now + Duration::from_secs(1));
            continue;
        }
        // A delay is fixed when it begins.
        let until = *until.get_or_insert_with(|| {
            effects.delay(symbol).map_or(began, |delay| {
                let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(0);
                let share = crate::physics::unit(crate::gpu::hash(nanos, 0));
                began + Duration::from_secs_f64((delay.ms + delay.jitter_ms * share).max(0.0) / 1e3)
            })
        });
        if now < until {
            drop(world);
            runtime::wait(now, until);
            continue;
        }
        answered(effects, symbol)?;
        return Ok(world);
    }
}

/// There is a session, and it matches the driver.
fn session(world: &World) -> Result<(), Code> {
    if SESSIONS.load(Ordering::Acquire) == 0 {
        if EVER.load(Ordering::Acquire) != 0 {
            stats::count(Misuse::UseAfterShutdown);
        }
        return Err(Code::UNINITIALIZED);
    }
    if SESSION_EPOCH.load(Ordering::Acquire) != world.driver_epoch {
        return Err(Code::LIB_RM_VERSION_MISMATCH);
    }
    Ok(())
}

/// The GPU's place, and the MIG device's if it is one.
fn resolve(world: &World, device: nvmlDevice_t) -> Result<(usize, Option<usize>), Code> {
    match handle::of(world.generation, device) {
        Some(Handle::Gpu { slot }) if slot < world.gpus.len() => Ok((slot, None)),
        Some(Handle::Mig { slot, generation, index }) if slot < world.gpus.len() => {
            let gpu = &world.gpus[slot];
            let there = gpu.mig.as_ref().is_some_and(|devices| index < devices.len());
            if there && gpu.mig_generation & 0xffff == generation {
                Ok((slot, Some(index)))
            } else {
                stats::count(Misuse::StaleHandle);
                Err(Code::INVALID_ARGUMENT)
            }
        }
        _ => {
            stats::count(Misuse::StaleHandle);
            Err(Code::INVALID_ARGUMENT)
        }
    }
}
