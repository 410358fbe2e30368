//! MIG devices of a GPU, from profile names such as `3g.40gb`.

use crate::effects::Mistake;
use crate::gpu::{hash, uuid};
use crate::profiles::Profile;
use crate::scenario::Mig;

/// A MIG device: one compute instance that fills one GPU instance.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Instance {
    pub uuid: String,
    /// `3g.40gb`.
    pub profile: String,
    pub gpu_instance: u32,
    pub compute_instance: u32,
    pub slices: u32,
    pub multiprocessors: u32,
    /// Bytes.
    pub memory: u64,
}

/// The devices of a layout, which has to fit the GPU.
pub(crate) fn lay_out(
    profile: &Profile,
    parent: &str,
    layout: &[Mig],
) -> Result<Vec<Instance>, Mistake> {
    if profile.mig_instances == 0 {
        return Err(Mistake(format!("{} has no MIG", profile.key)));
    }
    let mut made = Vec::with_capacity(layout.len());
    for (at, mig) in layout.iter().enumerate() {
        let at = u32::try_from(at).map_err(|_| Mistake("too many MIG devices".into()))?;
        let (name, gpu_instance, compute_instance, given) = match mig {
            // The driver gives ids from 1 for the smaller profiles; 0 is the whole GPU's.
            Mig::Profile(name) => (name, at + 1, 0, None),
            Mig::Full { profile, gpu_instance, compute_instance, uuid } => {
                (profile, *gpu_instance, *compute_instance, uuid.clone())
            }
        };
        let (slices, gigabytes) =
            parse(name).ok_or_else(|| Mistake(format!("{name} is no MIG profile")))?;
        let seed = parent.bytes().fold(0, |seed, byte| hash(seed, u64::from(byte)));
        made.push(Instance {
            uuid: given.unwrap_or_else(|| uuid("MIG", seed, u64::from(at))),
            profile: name.clone(),
            gpu_instance,
            compute_instance,
            slices,
            multiprocessors: profile.multiprocessors / 8 * slices,
            memory: (gigabytes << 30).min(profile.memory - profile.reserved),
        });
    }
    if made.iter().map(|instance| instance.slices).sum::<u32>() > profile.mig_instances {
        return Err(Mistake(format!("{} has no room for these MIG devices", profile.key)));
    }
    Ok(made)
}

/// Compute slices and gigabytes of `3g.40gb` or `1g.10gb+me`.
fn parse(name: &str) -> Option<(u32, u64)> {
    let (slices, memory) = name.split_once("g.")?;
    let memory = memory.split_once("gb")?.0;
    Some((slices.parse().ok()?, memory.parse().ok()?))
}
