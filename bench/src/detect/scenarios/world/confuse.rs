//! What looks like a fault and is none, done to the world.

use super::super::shape::event;
use super::super::spec::Confuser;
use super::{Node, World};

const WRAP: f64 = 4_294_967_296.0;

impl World {
    /// Begins and ends what is due.
    pub(super) fn confuse(&mut self, now_s: i64) {
        while let Some(calm) = self.calm.get(self.next_calm).filter(|c| c.begin_s <= now_s) {
            let (kind, node, end_s) = (calm.kind, calm.node, calm.end_s);
            self.begin_calm(kind, node, now_s, end_s);
            self.calm_ends.push(self.next_calm);
            self.next_calm += 1;
        }
        let over: Vec<usize> =
            self.calm_ends.iter().copied().filter(|i| self.calm[*i].end_s <= now_s).collect();
        self.calm_ends.retain(|index| !over.contains(index));
        for index in over {
            let (kind, node) = (self.calm[index].kind, self.calm[index].node);
            self.end_calm(kind, node);
        }
    }

    fn begin_calm(&mut self, kind: Confuser, number: usize, now_s: i64, end_s: i64) {
        if kind == Confuser::GmSwitch {
            self.switch_grandmaster(60.0, 6.0);
            return;
        }
        let cron = self.vary.host.get("cron_cpu");
        let node = &mut self.nodes[number];
        match kind {
            Confuser::CronSpike => node.host.effects.cron = cron,
            Confuser::DriverUpgrade => {
                (node.released, node.drained_until_s) = (true, end_s + 120);
                let message = "NVML cannot be used: released".to_owned();
                let attributes = [("reason", "released")];
                node.events.push(event(
                    "gpu.driver_unavailable",
                    ("node", &[]),
                    message,
                    &attributes,
                ));
            }
            Confuser::NodeReboot => {
                (node.silent_until_s, node.away_until_s) = (end_s, end_s);
                node.drained_until_s = end_s + 120;
                node.host.reboot(now_s);
                node.gpus.iter_mut().for_each(|gpu| {
                    gpu.restart();
                    gpu.xids.clear();
                    gpu.last_xid = 0.0;
                });
                node.pfs.iter_mut().for_each(super::nic::Pf::restart);
                node.clocks.restart(end_s);
            }
            Confuser::AgentGap => node.silent_until_s = end_s,
            Confuser::LateBacklog => node.held_until_s = end_s,
            Confuser::CounterReset => {
                let pf = node.rng.below(node.pfs.len());
                node.pfs[pf].restart();
            }
            Confuser::CounterWrap => wrap(node),
            Confuser::DuplicateSamples => node.twice_until_s = end_s,
            Confuser::DstChange => {
                node.host.zone_offset_s = 10_800.0 - node.host.zone_offset_s;
                self.zone_shift_s = 3600.0 - self.zone_shift_s;
            }
            Confuser::Maintenance => node.drained_until_s = end_s,
            Confuser::GmSwitch => {}
        }
    }

    fn end_calm(&mut self, kind: Confuser, number: usize) {
        let node = &mut self.nodes[number];
        match kind {
            Confuser::CronSpike => node.host.effects.cron = 0.0,
            Confuser::DriverUpgrade => {
                node.released = false;
                node.gpus.iter_mut().for_each(super::gpu::Gpu::restart);
                let message = "NVML can be used".to_owned();
                let attributes = [("driver_version", "570.124.06")];
                node.events.push(event("gpu.driver_loaded", ("node", &[]), message, &attributes));
                for gpu in 0..node.gpus.len() {
                    super::effects::counters_restarted(node, gpu);
                }
            }
            _ => {}
        }
    }

    /// Another grandmaster is the best one now.
    pub(super) fn switch_grandmaster(&mut self, transient_ns: f64, settle_s: f64) {
        self.domain.grandmaster = 1 - self.domain.grandmaster;
        self.domain.steps = if self.domain.grandmaster == 0 { 2.0 } else { 3.0 };
        for node in &mut self.nodes {
            let sign = if node.rng.chance(0.5) { 1.0 } else { -1.0 };
            node.clocks.transient_ns = sign * node.rng.vary(transient_ns, 0.3);
            node.clocks.settle_s = settle_s;
        }
    }
}

fn wrap(node: &mut Node) {
    for vf in node.pfs.iter_mut().flat_map(|pf| &mut pf.vfs) {
        for counter in &mut vf.counters {
            *counter = counter.rem_euclid(WRAP);
        }
    }
}
