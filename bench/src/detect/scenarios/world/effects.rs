//! What faults do: once when they begin, all the while, and when they end.

use super::super::fault::{Component, Fault};
use super::super::shape::event;
use super::super::spec::Class;
use super::gpu::SLOWDOWN;
use super::{Node, World, gpu, host, nic, ptp};

impl World {
    /// Begins, goes on with and ends faults.
    pub(super) fn fail(&mut self, now_s: i64) {
        while self.faults.get(self.next_fault).is_some_and(|f| f.begin_s <= now_s) {
            self.active.push(self.next_fault);
            self.begin(self.next_fault, now_s);
            self.next_fault += 1;
        }
        if self.active.is_empty() {
            return;
        }
        self.clear_effects();
        let over: Vec<usize> =
            self.active.iter().copied().filter(|i| self.faults[*i].end_s <= now_s).collect();
        self.active.retain(|index| !over.contains(index));
        for index in over {
            self.end(index);
        }
        for index in self.active.clone() {
            self.apply(index, now_s);
        }
    }

    fn clear_effects(&mut self) {
        for fault in self.active.iter().map(|index| &self.faults[*index]) {
            match fault.root {
                Component::Domain => {}
                Component::Boundary(_) => {
                    self.nodes.iter_mut().for_each(|n| n.clocks.effects = ptp::Effects::default());
                }
                root => {
                    let Some(node) = root.node() else { continue };
                    let node = &mut self.nodes[node];
                    node.gpus.iter_mut().for_each(|g| g.effects = gpu::Effects::default());
                    let cron = node.host.effects.cron;
                    node.host.effects = host::Effects { cron, ..host::Effects::default() };
                    let vfs = node.pfs.iter_mut().flat_map(|pf| &mut pf.vfs);
                    vfs.for_each(|vf| vf.effects = nic::VfEffects::default());
                }
            }
        }
    }

    fn begin(&mut self, index: usize, now_s: i64) {
        let class = self.faults[index].class;
        if let Component::Gpu(node, gpu) = self.faults[index].root {
            match class {
                Class::Xid79 => {}
                Class::Xid48 => self.uncorrectable(index, (node, gpu), 48, now_s),
                Class::Xid94 => self.uncorrectable(index, (node, gpu), 94, now_s),
                Class::Xid95 => self.uncorrectable(index, (node, gpu), 95, now_s),
                Class::Xid63 => {
                    self.xid((node, gpu), 63, "Row Remapper: New row marked for remapping", now_s);
                    self.nodes[node].gpus[gpu].remap_pending = true;
                    self.faults[index].shows(now_s);
                }
                Class::Xid64 => {
                    self.xid(
                        (node, gpu),
                        64,
                        "Row Remapper: Unable to mark row for remapping",
                        now_s,
                    );
                    self.nodes[node].gpus[gpu].remap_failed = true;
                    self.faults[index].shows(now_s);
                }
                _ => {}
            }
        }
    }

    /// An uncorrectable memory error, as the driver tells it by its Xid.
    fn uncorrectable(&mut self, index: usize, at: (usize, usize), xid: u32, now_s: i64) {
        let text = match xid {
            48 => "DBE (double bit error) ECC error",
            94 => "Contained: CE User Channel (0x9)",
            _ => "Uncontained: FBHUB error",
        };
        self.xid(at, xid, text, now_s);
        self.xid(at, 63, "Row Remapper: New row marked for remapping", now_s);
        let gpu = &mut self.nodes[at.0].gpus[at.1];
        gpu.counters.uncorrected += 1.0;
        gpu.aggregate[1] += 1.0;
        gpu.remap_pending = true;
        // 94 kills one process and leaves the GPU usable until its next drain.
        gpu.recovery_action = if xid == 94 { 4.0 } else { 1.0 };
        self.abort_job(at, now_s);
        self.faults[index].shows(now_s);
    }

    fn abort_job(&mut self, (node, gpu): (usize, usize), now_s: i64) {
        if let Some(gang) = self.owner[node][gpu] {
            self.gangs[gang].abort(now_s);
        }
    }

    fn xid(&mut self, (node, gpu): (usize, usize), xid: u32, text: &str, now_s: i64) {
        let node = &mut self.nodes[node];
        let gpu = &mut node.gpus[gpu];
        gpu.xid(xid, now_s);
        let number = xid.to_string();
        let attributes = [
            ("pci_bus_id", gpu.pci.as_str()),
            ("xid", &number),
            ("source", "both"),
            ("text", text),
        ];
        let message = format!("Xid {xid} on GPU {}: {text}", gpu.uuid);
        let entity = [("uuid", gpu.uuid.as_str())];
        node.events.push(event("gpu.xid", ("gpu", &entity), message, &attributes));
    }

    fn end(&mut self, index: usize) {
        let (class, root) = (self.faults[index].class, self.faults[index].root);
        match (class, root) {
            (
                Class::Xid79
                | Class::Xid48
                | Class::Xid94
                | Class::Xid95
                | Class::Xid63
                | Class::Xid64,
                Component::Gpu(node, gpu),
            ) => {
                let node = &mut self.nodes[node];
                if node.gpus[gpu].lost {
                    state_changed(node, gpu, "lost", "ok");
                }
                node.gpus[gpu].restart();
                counters_restarted(node, gpu);
            }
            (Class::EccStorm | Class::NvlinkDegrade, Component::Gpu(node, gpu)) => {
                // The GPU is reset, and its counters start again.
                let node = &mut self.nodes[node];
                node.gpus[gpu].restart();
                counters_restarted(node, gpu);
            }
            (Class::LinkFlap, Component::Pf(node, pf)) => self.set_link(node, pf, true),
            (Class::GmLoss, _) => {
                let grandmaster = self.domain.grandmaster;
                let steps = self.domain.steps;
                self.domain = ptp::Domain { grandmaster, steps, ..ptp::Domain::default() };
            }
            (Class::BmcaFlap, _) if self.domain.grandmaster != 0 => {
                self.switch_grandmaster(100.0, 6.0);
            }
            _ => {}
        }
    }

    fn set_link(&mut self, number: usize, pf: usize, up: bool) {
        let node = &mut self.nodes[number];
        let device = &mut node.pfs[pf];
        if device.up == up {
            return;
        }
        device.set_link(up);
        let (kind, what) = if up { ("sriov.link_up", "up") } else { ("sriov.link_down", "down") };
        let entity = [("pf", device.name.as_str()), ("pci", device.pci.as_str())];
        let message = format!("link of {} is {what}", device.name);
        node.events.push(event(kind, ("pf", &entity), message, &[]));
    }

    fn apply(&mut self, index: usize, now_s: i64) {
        let fault = self.faults[index].clone();
        match fault.root {
            Component::Gpu(node, gpu) => self.apply_gpu(index, &fault, (node, gpu), now_s),
            Component::Node(node) => self.apply_node(index, &fault, node, now_s),
            Component::Pf(node, pf) => self.apply_pf(index, &fault, (node, pf), now_s),
            Component::Vf(node, pf, vf) => {
                let effects = &mut self.nodes[node].pfs[pf].vfs[vf].effects;
                match fault.class {
                    Class::VfStuck => effects.stuck = true,
                    _ => effects.drops_per_s = fault.get("drops_per_s"),
                }
            }
            Component::Domain => self.apply_domain(index, &fault, now_s),
            Component::Boundary(boundary) => {
                let below = self.nodes.iter_mut().filter(|n| n.clocks.boundary == boundary);
                below.for_each(|node| node.clocks.effects = path(&fault, now_s));
            }
            _ => {}
        }
    }

    fn apply_gpu(&mut self, index: usize, fault: &Fault, at: (usize, usize), now_s: i64) {
        let (node, number) = at;
        if fault.class == Class::Xid79 {
            self.fall_off(index, fault, at, now_s);
            return;
        }
        if fault.class == Class::ThermalThrottle {
            self.heat(index, fault, at);
            return;
        }
        if fault.class == Class::NvlinkDegrade && fault.draw < fault.get("xid_74_share") {
            let middle = (fault.begin_s + fault.end_s) / 2;
            if now_s == middle {
                self.xid(at, 74, "NVLink: fatal error detected on link", now_s);
            }
        }
        let gpus = &mut self.nodes[node].gpus;
        let others = gpus.len() - 1;
        let effects = &mut gpus[number].effects;
        match fault.class {
            Class::PowerCap => effects.power_limit = fault.get("limit"),
            Class::EccStorm => {
                let (from, to) = (fault.get("from_per_s"), fault.get("to_per_s"));
                effects.corrected_per_s = from * (to / from).powf(fault.progress(now_s));
            }
            Class::NvlinkDegrade => {
                effects.link_errors_per_s = fault.get("errors_per_s");
                effects.slower = 1.0 + fault.get("slower");
                effects.by_memory = true;
                let link = number * 2 % gpu::LINKS;
                effects.link = link;
                // The other end counts, too.
                let peer = &mut gpus[(number + 1) % (others + 1)].effects;
                (peer.link_errors_per_s, peer.link) = (fault.get("errors_per_s") * 0.6, link);
            }
            Class::PcieWidth => {
                effects.width = if fault.draw < 0.7 { 8.0 } else { 4.0 };
                effects.replay_per_s = fault.get("replay_per_s");
            }
            Class::PcieGeneration => {
                effects.generation = if fault.draw < 0.6 { 3.0 } else { 1.0 };
                effects.replay_per_s = fault.get("replay_per_s");
            }
            Class::Straggler3 | Class::Straggler5 | Class::Straggler10 | Class::Straggler20 => {
                effects.slower = 1.0 + fault.get("slower");
                effects.by_memory = fault.draw >= fault.get("clock_share");
            }
            _ => {}
        }
    }

    /// Hot air or a weak fan: so much worse cooling that the GPU would settle beyond its slowdown
    /// temperature at the power that it draws when that begins.
    fn heat(&mut self, index: usize, fault: &Fault, (node, number): (usize, usize)) {
        let inlet = fault.get("inlet_kelvin");
        let per_watt = self.vary.gpu.get("thermal_kelvin_per_watt");
        let sibling = fault.get("sibling_kelvin");
        let gpus = &mut self.nodes[node].gpus;
        if self.faults[index].strength == 0.0 {
            let room = SLOWDOWN + fault.get("beyond_kelvin") - 24.0 - 7.0 - inlet;
            self.faults[index].strength = (room / (per_watt * gpus[number].power)).max(1.2);
        }
        let effects = &mut gpus[number].effects;
        (effects.inlet, effects.resistance) = (inlet, self.faults[index].strength);
        // The next ones in the stream of air get it warmer.
        let downstream = gpus.iter_mut().skip(number + 1).take(2);
        downstream.for_each(|gpu| gpu.effects.inlet = gpu.effects.inlet.max(sibling));
    }

    fn fall_off(&mut self, index: usize, fault: &Fault, at: (usize, usize), now_s: i64) {
        let (node, gpu) = at;
        let bursts = fault.draw < fault.get("aer_share");
        let lead = super::seconds(if bursts { fault.get("aer_lead_s") } else { 0.0 });
        if now_s < fault.begin_s + lead {
            let effects = &mut self.nodes[node].gpus[gpu].effects;
            effects.pcie_errors_per_s = fault.get("aer_rate");
            effects.replay_per_s = fault.get("aer_rate");
            return;
        }
        if self.nodes[node].gpus[gpu].lost {
            return;
        }
        self.xid(at, 79, "GPU has fallen off the bus.", now_s);
        let node = &mut self.nodes[node];
        node.gpus[gpu].lost = true;
        state_changed(node, gpu, "ok", "lost");
        self.abort_job(at, now_s);
        self.faults[index].shows(now_s);
    }

    fn apply_node(&mut self, index: usize, fault: &Fault, number: usize, now_s: i64) {
        let node = &mut self.nodes[number];
        match fault.class {
            Class::PowerBrake => {
                let clock = fault.get("clock");
                for gpu in &mut node.gpus {
                    (gpu.effects.brake, gpu.effects.clock) = (true, clock);
                }
            }
            Class::HostOom => {
                // Linear to nothing in the first nine tenths, then the kill, then recovery.
                let killed = fault.begin_s + (fault.end_s - fault.begin_s) * 9 / 10;
                if now_s < killed {
                    let progress = (now_s - fault.begin_s) as f64 / (killed - fault.begin_s) as f64;
                    node.host.effects.leak = 0.6 * progress;
                    node.host.effects.stalled = ((progress - 0.9) / 0.1).clamp(0.0, 1.0) * 0.8;
                } else if now_s == killed {
                    node.host.oom_kills += 1.0;
                    let message = "out of memory: the kernel killed 1 process".to_owned();
                    node.events.push(event("host.oom_kill", ("node", &[]), message, &[]));
                    self.faults[index].shows(now_s);
                }
            }
            Class::Steal => node.host.effects.steal = fault.get("share"),
            _ => {}
        }
    }

    fn apply_pf(&mut self, index: usize, fault: &Fault, (node, pf): (usize, usize), now_s: i64) {
        if fault.class == Class::LinkFlap {
            let every = super::seconds(fault.get("every_s")).max(8);
            let into = (now_s - fault.begin_s) % every;
            let down = super::seconds(fault.get("down_s")).clamp(1, every - 3);
            self.set_link(node, pf, into >= down);
            self.faults[index].shows(now_s);
            return;
        }
        for vf in &mut self.nodes[node].pfs[pf].vfs {
            vf.effects.drop_ratio = fault.get("drop_ratio");
        }
    }

    fn apply_domain(&mut self, index: usize, fault: &Fault, now_s: i64) {
        if fault.class == Class::BmcaFlap {
            let every = super::seconds(fault.get("every_s"));
            if (now_s - fault.begin_s) % every == 0 {
                self.switch_grandmaster(fault.get("transient_ns"), fault.get("settle_s"));
                self.faults[index].shows(now_s);
            }
            return;
        }
        let held = super::seconds(fault.get("in_specification_s"));
        let tcxo = fault.draw < fault.get("tcxo_share");
        let begin = fault.get(if tcxo { "tcxo_ppb" } else { "ocxo_ppb" });
        let days = (now_s - fault.begin_s) as f64 / 86_400.0;
        self.domain.drift_ppb = begin + fault.get("aging_ppb_per_day") * days;
        let out = now_s >= fault.begin_s + held;
        // What a grandmaster says when holdover is over differs by its profile.
        let after = [52.0, 187.0, 248.0, 140.0, 150.0, 160.0];
        let which = (fault.draw * 1e4) % after.len() as f64;
        let chosen = after.iter().zip(0..).find(|(_, i)| f64::from(*i) >= which.floor());
        self.domain.class = if out { chosen.map_or(248.0, |(class, _)| *class) } else { 7.0 };
        (self.domain.traceable, self.domain.accuracy) = (!out, if out { 254.0 } else { 33.0 });
        self.faults[index].shows(now_s);
    }
}

fn path(fault: &Fault, now_s: i64) -> ptp::Effects {
    match fault.class {
        Class::AsymmetryStep => {
            ptp::Effects { delay_ns: fault.get("delay_ns"), ..ptp::Effects::default() }
        }
        _ => {
            let unlocks = fault.draw < fault.get("unlock_share");
            // A servo that gives up does so now and then.
            let unlock = unlocks && (now_s - fault.begin_s) % 300 > 285;
            ptp::Effects { jitter: fault.get("factor"), unlock, ..ptp::Effects::default() }
        }
    }
}

/// The GPU's counters start again, as the agent tells it.
pub(super) fn counters_restarted(node: &mut Node, gpu: usize) {
    let at = &node.gpus[gpu];
    let message =
        format!("counters of the GPU at {} start again: driver loaded anew or GPU reset", at.pci);
    let entity = [("uuid", at.uuid.as_str())];
    let attributes = [("pci_bus_id", at.pci.as_str())];
    let restarted = event("gpu.counters_restarted", ("gpu", &entity), message, &attributes);
    node.events.push(restarted);
}

fn state_changed(node: &mut Node, gpu: usize, from: &str, to: &str) {
    let at = &node.gpus[gpu];
    let message = format!("GPU at {} is {to}, was {from}", at.pci);
    let entity = [("uuid", at.uuid.as_str())];
    let attributes = [("pci_bus_id", at.pci.as_str()), ("from", from), ("to", to)];
    node.events.push(event("gpu.state_changed", ("gpu", &entity), message, &attributes));
}
