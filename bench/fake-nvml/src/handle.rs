//! Handles: numbers dressed as pointers, never followed. They carry what kind of thing they name
//! and the generation of the scenario, so that a stale one is told from a wrong one.

/// What a handle names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handle {
    Gpu { slot: usize },
    Mig { slot: usize, generation: u32, index: usize },
    EventSet(u32),
    Sample(u32),
}

const GPU: u64 = 1;
const MIG: u64 = 2;
const EVENT_SET: u64 = 3;
const SAMPLE: u64 = 4;

/// The pointer of a handle in a generation of the world.
pub(crate) fn pointer<T>(world: u32, handle: Handle) -> *mut T {
    let (kind, value) = match handle {
        Handle::Gpu { slot } => (GPU, slot as u64),
        Handle::Mig { slot, generation, index } => {
            (MIG, (u64::from(generation) & 0xffff) << 16 | (slot as u64 & 0xff) << 8 | index as u64)
        }
        Handle::EventSet(id) => (EVENT_SET, u64::from(id)),
        Handle::Sample(id) => (SAMPLE, u64::from(id)),
    };
    let bits = (u64::from(world) & 0xff) << 40 | kind << 32 | value;
    std::ptr::without_provenance_mut(usize::try_from(bits).unwrap_or(0))
}

/// What a pointer names, if it is of this generation of the world.
pub(crate) fn of<T>(world: u32, pointer: *mut T) -> Option<Handle> {
    let bits = pointer.addr() as u64;
    if bits >> 40 != u64::from(world) & 0xff {
        return None;
    }
    let value = u32::try_from(bits & 0xffff_ffff).ok()?;
    let at = usize::try_from(value).ok()?;
    match bits >> 32 & 0xff {
        GPU => Some(Handle::Gpu { slot: at }),
        MIG => {
            Some(Handle::Mig { slot: at >> 8 & 0xff, generation: value >> 16, index: at & 0xff })
        }
        EVENT_SET => Some(Handle::EventSet(value)),
        SAMPLE => Some(Handle::Sample(value)),
        _ => None,
    }
}
