//! A GPU: what its load, its power, its heat and its clock make of each other, and what faults do
//! to them. Values are those of an H100 SXM.

use std::collections::BTreeMap;

use super::super::rng::Rng;
use super::super::spec::Numbers;

pub(crate) const LINKS: usize = 18;
/// Names and order as the agent's.
pub(crate) const REASONS: [&str; 9] = [
    "idle",
    "applications_clocks",
    "sw_power_cap",
    "hw_slowdown",
    "sync_boost",
    "sw_thermal",
    "hw_thermal",
    "hw_power_brake",
    "display_clocks",
];
pub(crate) const THROTTLES: [&str; 9] = [
    "power",
    "thermal",
    "sync_boost",
    "board_limit",
    "low_utilization",
    "reliability",
    "sw_thermal",
    "hw_thermal",
    "hw_power_brake",
];
const IDLE: usize = 0;
const SW_POWER_CAP: usize = 2;
const HW_SLOWDOWN: usize = 3;
const SW_THERMAL: usize = 5;
const HW_THERMAL: usize = 6;
const HW_POWER_BRAKE: usize = 7;

pub(crate) const CLOCK_MAX: f64 = 1.98e9;
pub(crate) const MEMORY_CLOCK: f64 = 2.619e9;
pub(crate) const POWER_LIMIT: f64 = 700.0;
pub(crate) const SLOWDOWN: f64 = 87.0;
pub(crate) const MEMORY_TOTAL: f64 = 85_520_809_984.0;
const IDLE_CLOCK: f64 = 345e6;

/// What faults do to it now; reset before each tick.
#[derive(Debug, Clone)]
pub(crate) struct Effects {
    pub(crate) inlet: f64,
    pub(crate) resistance: f64,
    /// Highest share of the clock.
    pub(crate) clock: f64,
    pub(crate) brake: bool,
    pub(crate) power_limit: f64,
    /// How much slower its part of a step is, 1 or more, with the clock as flagged.
    pub(crate) slower: f64,
    /// Slower by the memory, not by the clock.
    pub(crate) by_memory: bool,
    pub(crate) corrected_per_s: f64,
    pub(crate) link_errors_per_s: f64,
    pub(crate) link: usize,
    pub(crate) width: f64,
    pub(crate) generation: f64,
    pub(crate) replay_per_s: f64,
    pub(crate) pcie_errors_per_s: f64,
}

impl Default for Effects {
    fn default() -> Self {
        Self {
            inlet: 0.0,
            resistance: 1.0,
            clock: 1.0,
            brake: false,
            power_limit: 1.0,
            slower: 1.0,
            by_memory: false,
            corrected_per_s: 0.0,
            link_errors_per_s: 0.0,
            link: 0,
            width: 16.0,
            generation: 5.0,
            replay_per_s: 0.0,
            pcie_errors_per_s: 0.0,
        }
    }
}

/// What a tick's load is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Share of time with a kernel, as NVML's utilization.
    pub(crate) busy: f64,
    /// Of tensor and memory pipes, which is what takes power.
    pub(crate) activity: f64,
    /// Bytes a second over NVLink.
    pub(crate) links: f64,
    pub(crate) pcie: f64,
    pub(crate) memory_share: f64,
}

/// The counters that start at zero with the driver.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters {
    pub(crate) energy: f64,
    pub(crate) throttle: [f64; 9],
    pub(crate) corrected: f64,
    pub(crate) uncorrected: f64,
    pub(crate) replay: f64,
    pub(crate) pcie_transmit: f64,
    pub(crate) pcie_receive: f64,
    pub(crate) link_transmit: f64,
    pub(crate) link_receive: f64,
    /// crc_flit, replay, recovery of each link.
    pub(crate) link_errors: Vec<[f64; 3]>,
    pub(crate) pcie_correctable: f64,
}

/// One GPU.
#[derive(Debug, Clone)]
pub(crate) struct Gpu {
    pub(crate) uuid: String,
    pub(crate) pci: String,
    pub(crate) serial: String,
    /// Whom it is allocated to: namespace and pod.
    pub(crate) pod: (&'static str, String),
    power_spread: f64,
    clock_spread: f64,
    heat_spread: f64,
    pub(crate) effects: Effects,
    pub(crate) counters: Counters,
    pub(crate) aggregate: [f64; 2],
    pub(crate) load: Load,
    pub(crate) temperature: f64,
    pub(crate) power: f64,
    pub(crate) clock: f64,
    throttle: f64,
    cap: f64,
    pub(crate) reasons: [bool; 9],
    pub(crate) power_noise: f64,
    pub(crate) shown_temperature: f64,
    pub(crate) shown_power: f64,
    pub(crate) shown: [f64; 4],
    pub(crate) lost: bool,
    pub(crate) remapped: [f64; 2],
    pub(crate) remap_pending: bool,
    pub(crate) remap_failed: bool,
    pub(crate) recovery_action: f64,
    /// Count and time of each Xid since the agent's start.
    pub(crate) xids: BTreeMap<u32, (f64, f64)>,
    pub(crate) last_xid: f64,
}

impl Gpu {
    pub(crate) fn new((node, gpu): (usize, usize), physics: &Numbers, rng: &mut Rng) -> Self {
        let mut spread = |by: f64| (1.0 + by * rng.normal()).clamp(1.0 - 3.0 * by, 1.0 + 3.0 * by);
        let (power_spread, clock_spread) =
            (spread(physics.get("power_spread")), spread(physics.get("clock_spread")));
        let heat_spread = spread(0.04);
        let unique = format!("{:08x}", (node * 131 + gpu) * 2_654_435_761 % 0xffff_ffff);
        Self {
            uuid: format!("GPU-{unique}-5ca1-4ab1-0000-{node:06}{gpu:06}"),
            pci: format!("0000:{:02X}:00.0", 0x18 + gpu * 0x11),
            serial: format!("16{node:05}{gpu:04}"),
            pod: ("serving", format!("serve-{}", node * 16 + gpu)),
            power_spread,
            clock_spread,
            heat_spread,
            effects: Effects::default(),
            counters: Counters { link_errors: vec![[0.0; 3]; LINKS], ..Counters::default() },
            aggregate: [rng.poisson(2.0), 0.0],
            load: Load { busy: 0.0, activity: 0.0, links: 0.0, pcie: 0.0, memory_share: 0.0 },
            temperature: 38.0,
            power: physics.get("idle_watts"),
            clock: IDLE_CLOCK,
            throttle: 1.0,
            cap: 1.0,
            reasons: [false; 9],
            power_noise: 0.0,
            shown_temperature: 38.0,
            shown_power: 80.0,
            shown: [0.0; 4],
            lost: false,
            remapped: [0.0; 2],
            remap_pending: false,
            remap_failed: false,
            recovery_action: 0.0,
            xids: BTreeMap::new(),
            last_xid: 0.0,
        }
    }

    /// How much slower than a sound one its part of a step is.
    pub(crate) fn slowness(&self) -> f64 {
        let clock = self.throttle * self.cap * self.effects.clock;
        self.effects.slower / clock.max(0.1)
    }

    /// The driver is loaded anew, or it was reset.
    pub(crate) fn restart(&mut self) {
        self.counters = Counters { link_errors: vec![[0.0; 3]; LINKS], ..Counters::default() };
        if self.remap_pending {
            self.remapped[1] += 1.0;
        }
        (self.remap_pending, self.remap_failed, self.recovery_action) = (false, false, 0.0);
        (self.lost, self.throttle, self.cap) = (false, 1.0, 1.0);
    }

    /// An Xid came.
    pub(crate) fn xid(&mut self, xid: u32, now_s: i64) {
        let entry = self.xids.entry(xid).or_default();
        *entry = (entry.0 + 1.0, now_s as f64);
        self.last_xid = f64::from(xid);
    }

    /// Goes on by `dt` seconds under a load.
    pub(crate) fn step(&mut self, dt: f64, inlet: f64, load: Load, p: &Numbers, rng: &mut Rng) {
        if self.lost {
            return;
        }
        self.load = load;
        self.reasons = [false; 9];
        let idle = load.busy < 0.01;
        let effects = &self.effects;
        let slow_clock = if effects.by_memory { 1.0 } else { 1.0 / effects.slower };
        let ceiling = self.clock_spread.min(1.0) * slow_clock * effects.clock;
        let wanted = if idle { IDLE_CLOCK } else { CLOCK_MAX * ceiling };
        let clock = wanted * if idle { 1.0 } else { self.throttle * self.cap };
        self.clock = (clock / 15e6).round() * 15e6;
        let relative = if idle { 0.2 } else { clock / CLOCK_MAX };
        // Dynamic power goes with activity, frequency and the square of the voltage.
        let idle_watts = p.get("idle_watts");
        let dynamic = (POWER_LIMIT - idle_watts) * load.activity * relative.powf(2.2) * 1.12;
        let target = (idle_watts + dynamic) * self.power_spread;
        self.power += (target - self.power) * (1.0 - (-dt / 2.0).exp());
        self.power_noise = 0.6 * self.power_noise + p.get("power_noise") * rng.normal();
        let limit = POWER_LIMIT * effects.power_limit;
        self.cap = if idle { 1.0 } else { self.follow_cap(limit) };
        self.shown_power = (self.power * (1.0 + self.power_noise)).min(limit * 1.01).max(5.0);
        let resistance = p.get("thermal_kelvin_per_watt") * self.heat_spread * effects.resistance;
        let settled = inlet + effects.inlet + 7.0 + resistance * self.power;
        let tau = p.get("thermal_tau_s");
        self.temperature += (settled - self.temperature) * (1.0 - (-dt / tau).exp());
        self.shown_temperature =
            (self.temperature + p.get("temperature_noise") * rng.normal()).round();
        self.hold_temperature();
        self.flag(idle);
        for (shown, value) in self.shown.iter_mut().zip([0.9, 0.62, 0.55, 0.48]) {
            let noise = 1.0 + p.get("activity_noise") * rng.normal();
            *shown = (value * load.activity * noise).clamp(0.0, 1.0);
        }
        self.count(dt, rng);
    }

    fn follow_cap(&self, limit: f64) -> f64 {
        let over = self.power / limit;
        let step = if over > 1.0 { -0.25 * (over - 1.0) } else { 0.3 * (0.99 - over) };
        (self.cap + step).clamp(0.3, 1.0)
    }

    /// The GPU lowers its clock so far that it stays at its slowdown temperature.
    fn hold_temperature(&mut self) {
        let over = self.temperature - (SLOWDOWN - 0.5);
        let step = if over > 0.0 { -0.03 * over.min(5.0) } else { 0.01 * (-over).min(3.0) };
        self.throttle = (self.throttle + step).clamp(0.55, 1.0);
    }

    fn flag(&mut self, idle: bool) {
        self.reasons[IDLE] = idle;
        if idle {
            return;
        }
        let hot = self.throttle < 0.995;
        self.reasons[SW_THERMAL] = hot;
        self.reasons[HW_THERMAL] = hot && self.temperature >= SLOWDOWN;
        self.reasons[HW_POWER_BRAKE] = self.effects.brake;
        self.reasons[HW_SLOWDOWN] = self.effects.brake || self.reasons[HW_THERMAL];
        self.reasons[SW_POWER_CAP] = self.cap < 0.995;
    }

    fn count(&mut self, dt: f64, rng: &mut Rng) {
        let Self { counters, effects, reasons, aggregate, load, .. } = self;
        counters.energy += self.power * dt;
        let holds = [
            (0, reasons[SW_POWER_CAP]),
            (1, reasons[SW_THERMAL] || reasons[HW_THERMAL]),
            (4, reasons[IDLE]),
            (6, reasons[SW_THERMAL]),
            (7, reasons[HW_THERMAL]),
            (8, reasons[HW_POWER_BRAKE]),
        ];
        for (index, held) in holds {
            counters.throttle[index] += if held { dt } else { 0.0 };
        }
        // One corrected error in some 100 days is what a sound GPU has.
        let corrected = rng.poisson((effects.corrected_per_s + 1e-7) * dt);
        counters.corrected += corrected;
        aggregate[0] += corrected;
        // What is not sent need not be sent again.
        counters.replay += rng.poisson((effects.replay_per_s * load.busy + 2e-6) * dt);
        counters.pcie_correctable += rng.poisson(effects.pcie_errors_per_s * dt);
        counters.pcie_transmit += load.pcie * dt;
        counters.pcie_receive += load.pcie * 1.3 * dt;
        counters.link_transmit += load.links * dt;
        counters.link_receive += load.links * dt;
        if effects.link_errors_per_s > 0.0 {
            let errors = rng.poisson(effects.link_errors_per_s * dt);
            let replays = rng.poisson(effects.link_errors_per_s * 0.02 * dt);
            let link = &mut counters.link_errors[effects.link];
            link[0] += errors;
            link[1] += replays;
        }
    }

    /// PCIe generation now: it falls when the GPU idles for long.
    pub(crate) fn generation(&self) -> f64 {
        if self.reasons[IDLE] {
            1.0_f64.min(self.effects.generation)
        } else {
            self.effects.generation
        }
    }
}
