//! What the agents tell of a second: which collectors' tiers are due on a node, and what becomes of
//! them on their way.

use std::sync::Arc;

use super::super::shape::{Batch, Slot, Told};
use super::{Node, World, gpu_out};

impl World {
    pub(super) fn tell(&mut self, number: usize, now_s: i64, batch: &mut Batch) {
        let Self { nodes, layouts, physics, .. } = self;
        let node = &mut nodes[number];
        if now_s < node.silent_until_s {
            node.events.clear();
            return;
        }
        let time_ms = now_s * 1000;
        for mut event in node.events.drain(..) {
            event.time_unix_ms = time_ms;
            batch.events.push((number, event));
        }
        let node = &nodes[number];
        let tiers = &physics.tiers;
        let at = (number, &node.key);
        let first = batch.ticks.len();
        let gpu_key = gpu_out::key(&node.gpus, node.released);
        let due = |interval_s: i64| now_s % interval_s == 0;
        let slot = |collector, tier, interval_s| Slot { collector, tier, interval_s };
        let (gpus, released) = (&node.gpus, node.released);
        if due(tiers.gpu_fast) {
            layouts.tell(at, slot("gpu", 0, tiers.gpu_fast), gpu_key, time_ms, batch, |out| {
                gpu_out::fast(gpus, released, out);
            });
        }
        if due(tiers.gpu_medium) {
            layouts.tell(at, slot("gpu", 1, tiers.gpu_medium), gpu_key, time_ms, batch, |out| {
                gpu_out::medium(gpus, released, now_s, out);
            });
        }
        if due(tiers.gpu_slow) {
            layouts.tell(at, slot("gpu", 2, tiers.gpu_slow), gpu_key, time_ms, batch, |out| {
                gpu_out::slow(gpus, released, out);
            });
        }
        if due(tiers.host) {
            layouts.tell(at, slot("host", 0, tiers.host), 0, time_ms, batch, |out| {
                node.host.emit(now_s, out);
                node.pfs.iter().for_each(|pf| pf.emit_netdev(out));
            });
        }
        if due(tiers.ptp) {
            let key = node.clocks.key();
            layouts.tell(at, slot("ptp", 0, tiers.ptp), key, time_ms, batch, |out| {
                node.clocks.emit(out);
            });
        }
        if due(tiers.pf) {
            layouts.tell(at, slot("sriov", 0, tiers.pf), 0, time_ms, batch, |out| {
                node.pfs.iter().for_each(|pf| pf.emit_fast(out));
            });
        }
        if due(tiers.vf) {
            layouts.tell(at, slot("sriov", 1, tiers.vf), 0, time_ms, batch, |out| {
                node.pfs.iter().for_each(|pf| pf.emit_slow(out));
            });
        }
        if due(tiers.agent) {
            layouts.tell(at, slot("agent", 0, tiers.agent), 0, time_ms, batch, |out| {
                node.host.emit_agent(out);
            });
        }
        nodes[number].layouts = layouts.of(number);
        deliver(&mut nodes[number], number, now_s, first, batch);
    }
}

/// What an agent that is cut off or repeats itself makes of the ticks from `first` on.
fn deliver(node: &mut Node, number: usize, now_s: i64, first: usize, batch: &mut Batch) {
    if now_s < node.held_until_s {
        let held = batch.ticks.drain(first..).collect::<Vec<_>>();
        for tick in held {
            let values = batch.values[tick.from..tick.to].to_vec();
            node.held.push((tick.live, tick.time_ms, values));
        }
        return;
    }
    if !node.held.is_empty() {
        // What was held comes before what is new.
        let new = batch.ticks.split_off(first);
        for (live, time_ms, values) in node.held.drain(..) {
            let from = batch.values.len();
            batch.values.extend_from_slice(&values);
            let to = batch.values.len();
            batch.ticks.push(Told { node: number, live, time_ms, from, to });
        }
        batch.ticks.extend(new);
    }
    if now_s < node.twice_until_s {
        let again = first..batch.ticks.len();
        for index in again {
            let tick = &batch.ticks[index];
            let live = Arc::clone(&tick.live);
            let copy = Told { live, ..*tick };
            batch.ticks.push(copy);
        }
    }
}
