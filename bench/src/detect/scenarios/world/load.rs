//! What a GPU has to do: a part of a gang's step, or requests.

use super::super::rng::Rng;
use super::gpu::{Gpu, Load};
use super::job::{Gang, Phase};

pub(super) fn idle() -> Load {
    Load { busy: 0.0, activity: 0.0, links: 0.0, pcie: 2e6, memory_share: 0.007 }
}

pub(super) fn training(gang: &Gang, now_s: i64, gpu: &Gpu, rng: &mut Rng) -> Load {
    let noise = 1.0 + 0.008 * rng.normal();
    match gang.phase(now_s) {
        Phase::Idle => idle(),
        Phase::Starting => Load {
            busy: rng.between(0.0, 0.25),
            activity: rng.between(0.0, 0.1),
            links: 1e6,
            pcie: 4e9 * noise,
            memory_share: 0.35,
        },
        Phase::Checkpoint => Load {
            busy: rng.between(0.0, 0.08),
            activity: 0.02,
            links: 1e6,
            pcie: 6e9 * noise,
            memory_share: 0.86,
        },
        Phase::Running { intensity, collective } => {
            // Its own part of the step over the whole step; the rest it waits in a collective,
            // whose kernel keeps it busy by NVML's measure.
            let own = (gpu.slowness() / gang.pace).min(1.0);
            let by_clock = if gpu.effects.by_memory { gpu.effects.slower } else { 1.0 };
            let activity = intensity * (1.0 - collective) * own / by_clock * noise;
            Load {
                busy: (0.985 + 0.01 * rng.normal()).clamp(0.9, 1.0),
                activity: activity + 0.05 * intensity,
                links: 1.1e11 * intensity / gang.pace * noise,
                pcie: 9e8 / gang.pace * noise,
                memory_share: 0.86,
            }
        }
    }
}

pub(super) fn serving(day: f64, rng: &mut Rng) -> Load {
    let busy = ((0.45 + 0.3 * day) * (0.25 * rng.normal()).exp()).clamp(0.0, 1.0);
    Load { busy, activity: 0.6 * busy, links: 0.0, pcie: 2e8 * busy, memory_share: 0.92 }
}
