//! Since when a fault can be seen: where the values of its samples leave their noise.

use super::super::fault::{Component, Fault};
use super::super::spec::{Class, Physics};
use super::Node;
use super::gpu::SLOWDOWN;

/// Whether the samples of this second show the fault: where its values leave their noise.
pub(super) fn is_visible(fault: &Fault, nodes: &[Node], physics: &Physics, now_s: i64) -> bool {
    let tiers = &physics.tiers;
    let due = |interval: i64| now_s % interval == 0 && now_s > fault.begin_s;
    match (fault.class, fault.root) {
        (Class::ThermalThrottle, Component::Gpu(node, gpu)) => {
            // Four degrees from where it was are beyond the sensor's noise.
            due(tiers.gpu_fast) && nodes[node].gpus[gpu].slowness() > 1.005
                || due(tiers.gpu_fast) && nodes[node].gpus[gpu].temperature > SLOWDOWN - 3.0
        }
        (Class::PowerBrake, Component::Node(node)) => {
            due(tiers.gpu_fast) && nodes[node].gpus.iter().any(|g| g.reasons[7])
        }
        (Class::PowerCap, _) => due(tiers.gpu_slow),
        (Class::EccStorm, Component::Gpu(node, gpu)) => {
            due(tiers.gpu_medium) && nodes[node].gpus[gpu].counters.corrected > 2.0
        }
        (Class::NvlinkDegrade, Component::Gpu(node, gpu)) => {
            let errors = &nodes[node].gpus[gpu].counters.link_errors;
            due(tiers.gpu_medium) && errors.iter().any(|e| e[0] > 0.0)
        }
        (Class::PcieWidth, _) => due(tiers.gpu_medium),
        (Class::PcieGeneration, Component::Gpu(node, gpu)) => {
            due(tiers.gpu_medium) && nodes[node].gpus[gpu].load.busy > 0.0
        }
        (
            Class::Straggler3 | Class::Straggler5 | Class::Straggler10 | Class::Straggler20,
            Component::Gpu(node, gpu),
        ) => due(tiers.gpu_medium) && nodes[node].gpus[gpu].load.busy > 0.5,
        (Class::AsymmetryStep | Class::DelayJitter, _) => due(tiers.ptp),
        (Class::VfDropStorm | Class::VfStuck | Class::PfQueueExhaustion, _) => due(tiers.vf),
        (Class::Steal, _) => due(tiers.host),
        _ => false,
    }
}
