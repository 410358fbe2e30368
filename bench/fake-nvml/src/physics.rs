//! The model of one GPU: load makes power, power makes heat, and counters are integrals of what
//! the gauges show, so that one never contradicts the other.
//!
//! Time goes in steps of 100 ms of the scenario's clock; rates are constant within a step and
//! counters grow evenly, so that what a client reads does not depend on how often it reads.
//! Noise comes from (seed, GPU, step): two runs of a scenario agree.

use crate::profiles::Profile;
use crate::scenario::Conditions;

/// Seconds of a step.
const STEP: f64 = 0.1;
/// At most this many steps for one reading; after a longer silence they are coarser.
const STEPS: f64 = 20_000.0;
/// Seconds until temperature has gone 63 % of the way.
const HEAT_LAG: f64 = 20.0;
const MEMORY_HEAT_LAG: f64 = 35.0;
/// Most links of a GPU.
pub(crate) const LINKS: usize = 18;

/// Clocks' event reasons.
pub(crate) mod reason {
    pub(crate) const IDLE: u64 = 0x1;
    pub(crate) const SW_POWER: u64 = 0x4;
    pub(crate) const HW_SLOWDOWN: u64 = 0x8;
    pub(crate) const SYNC_BOOST: u64 = 0x10;
    pub(crate) const SW_THERMAL: u64 = 0x20;
    pub(crate) const HW_THERMAL: u64 = 0x40;
    pub(crate) const POWER_BRAKE: u64 = 0x80;
}

/// What a step shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gauges {
    pub load: f64,
    pub memory_activity: f64,
    pub power: f64,
    pub power_average: f64,
    pub temperature: f64,
    pub memory_temperature: f64,
    /// MHz.
    pub sm_clock: f64,
    pub memory_clock: f64,
    pub video_clock: f64,
    pub reasons: u64,
    pub pcie_generation: u32,
    pub pcie_width: u32,
    pub encoder: f64,
    pub decoder: f64,
    pub jpeg: f64,
    pub optical_flow: f64,
    pub tensor: f64,
    pub memory_used: f64,
}

/// What grows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters {
    /// Joules.
    pub energy: f64,
    /// Seconds by reason: power, thermal, sync boost, board limit, low utilization, reliability,
    /// software thermal, hardware thermal, power brake.
    pub violation: [f64; 9],
    /// Bytes.
    pub pcie_tx: f64,
    pub pcie_rx: f64,
    pub link_tx: [f64; LINKS],
    pub link_rx: [f64; LINKS],
    pub pcie_replays: f64,
    pub ecc_corrected: f64,
    /// Seconds at full load, by load, memory, tensor: what GPM differentiates.
    pub busy: f64,
    pub memory_busy: f64,
    pub tensor_busy: f64,
}

/// The model's state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Physics {
    seed: u64,
    /// When the step began.
    begun: f64,
    step: u64,
    pub now: Gauges,
    counters: Counters,
    rates: Counters,
    leaked: f64,
}

impl Physics {
    pub(crate) fn new(seed: u64, time: f64, profile: &Profile, conditions: &Conditions) -> Self {
        let mut model = Self { seed, begun: time, ..Self::default() };
        // Where it would be if the load had been so for long, so that a test needs no warm-up.
        model.begin(time, profile, conditions);
        model.now.temperature = profile.heat.ambient + model.now.power * profile.heat.per_watt;
        model.now.memory_temperature = model.now.temperature + 6.0;
        model.now.power_average = model.now.power;
        model
    }

    /// Goes on to `time`.
    pub(crate) fn advance(&mut self, time: f64, profile: &Profile, conditions: &Conditions) {
        let step = STEP.max((time - self.begun) / STEPS);
        while self.begun + step <= time {
            self.begin(self.begun + step, profile, conditions);
        }
    }

    /// Ends the step at `time` and begins another, under conditions that may be new.
    pub(crate) fn begin(&mut self, time: f64, profile: &Profile, conditions: &Conditions) {
        let passed = (time - self.begun).max(0.0);
        self.counters = self.counters_after(passed);
        self.leaked += conditions.memory_leak.unwrap_or(0.0) * passed * f64::from(1u32 << 20);
        self.begun = time;
        self.step += 1;
        self.heat(passed, profile, conditions);
        self.work(time, profile, conditions);
        let share = 1.0 - (-passed / 1.0).exp();
        self.now.power_average += (self.now.power - self.now.power_average) * share;
        self.rates = self.rates_now(profile, conditions);
    }

    /// Counters as they are at `time`.
    pub(crate) fn counters(&self, time: f64) -> Counters {
        self.counters_after((time - self.begun).max(0.0))
    }

    /// All counters start again.
    pub(crate) fn reset(&mut self) {
        self.counters = Counters::default();
    }

    fn heat(&mut self, passed: f64, profile: &Profile, conditions: &Conditions) {
        let heat = &profile.heat;
        let target = heat.ambient + self.now.power * heat.per_watt + conditions.heat.unwrap_or(0.0);
        let share = 1.0 - (-passed / HEAT_LAG).exp();
        self.now.temperature += (target - self.now.temperature) * share;
        let target = target + 4.0 + 8.0 * self.now.memory_activity;
        let share = 1.0 - (-passed / MEMORY_HEAT_LAG).exp();
        self.now.memory_temperature += (target - self.now.memory_temperature) * share;
    }

    fn work(&mut self, time: f64, profile: &Profile, conditions: &Conditions) {
        let idle_load = crate::scenario::Load::default();
        let load = conditions.load.as_ref().unwrap_or(&idle_load);
        let wanted = load.at(time);
        let share =
            if wanted > 0.0 { (wanted + load.noise * self.noise(0)).clamp(0.0, 1.0) } else { 0.0 };
        let busy = share > 0.0;
        let mut reasons = conditions.throttle.unwrap_or(0);
        if !busy {
            reasons |= reason::IDLE;
        }
        if self.now.temperature >= f64::from(profile.heat.gpu_max) {
            reasons |= reason::SW_THERMAL;
        }
        if self.now.temperature >= f64::from(profile.heat.slowdown) {
            reasons |= reason::HW_THERMAL | reason::HW_SLOWDOWN;
        }
        let mut clock = conditions.clock_factor.unwrap_or(1.0);
        if reasons & (reason::HW_SLOWDOWN | reason::HW_THERMAL) != 0 {
            clock *= 0.5;
        } else if reasons & reason::SW_THERMAL != 0 {
            clock *= 0.8;
        }
        if reasons & reason::POWER_BRAKE != 0 {
            clock *= 0.4;
        }
        let limit = conditions.power_limit.unwrap_or(profile.power.limit);
        let span = profile.power.limit * 0.97 - profile.power.idle;
        let factor = conditions.power_factor.unwrap_or(1.0);
        let dynamic = span * share.powf(0.8) * factor;
        let demand = profile.power.idle + dynamic * clock;
        let power = if demand > limit {
            reasons |= reason::SW_POWER;
            // Power goes with the clock, near enough.
            clock *= ((limit - profile.power.idle) / (demand - profile.power.idle)).clamp(0.1, 1.0);
            limit * (1.0 - 0.004 * self.noise(1).abs())
        } else {
            (demand * (1.0 + 0.01 * self.noise(1))).min(limit)
        };
        let clocks = &profile.clocks;
        let now = &mut self.now;
        now.load = share;
        now.power = power;
        now.reasons = reasons;
        let of = |idle: u32, max: u32| if busy { f64::from(max) * clock } else { f64::from(idle) };
        now.sm_clock = of(clocks.sm_idle, clocks.sm_max).max(f64::from(clocks.sm_idle));
        now.video_clock = of(clocks.video_idle, clocks.video_max).max(f64::from(clocks.video_idle));
        now.memory_clock = f64::from(if busy { clocks.memory_max } else { clocks.memory_idle });
        now.memory_activity = share * load.memory;
        now.encoder = share * load.encoder;
        now.decoder = share * load.decoder;
        now.jpeg = share * load.jpeg;
        now.optical_flow = share * load.optical_flow;
        now.tensor = share * load.tensor;
        self.links(busy, profile, conditions);
        self.memory(load.shape != crate::scenario::Shape::Idle, load.resident, profile, conditions);
    }

    fn links(&mut self, busy: bool, profile: &Profile, conditions: &Conditions) {
        let pcie = conditions.pcie.as_ref();
        let (generation, width) = profile.pcie;
        let generation = pcie.and_then(|p| p.max_gen).unwrap_or(generation);
        let width = pcie.and_then(|p| p.max_width).unwrap_or(width);
        // The link trains down when nothing runs.
        let usual = if busy { generation } else { 1 };
        self.now.pcie_generation = pcie.and_then(|p| p.generation).unwrap_or(usual);
        self.now.pcie_width = pcie.and_then(|p| p.width).unwrap_or(width);
    }

    fn memory(&mut self, loaded: bool, resident: f64, profile: &Profile, conditions: &Conditions) {
        let mib = f64::from(1u32 << 20);
        #[expect(clippy::cast_precision_loss, reason = "memory is below 2^52")]
        let usable = (profile.memory - profile.reserved) as f64;
        let used = if let Some(used) = conditions.memory_used_mib {
            used * mib
        } else if let Some(processes) = &conditions.processes {
            processes.iter().filter_map(|p| p.memory_mib).sum::<f64>() * mib
        } else if loaded {
            resident * usable
        } else {
            0.0
        };
        self.now.memory_used = (used + self.leaked).clamp(0.0, usable);
    }

    fn rates_now(&self, profile: &Profile, conditions: &Conditions) -> Counters {
        let now = &self.now;
        let load = conditions.load.as_ref();
        let mut rates = Counters {
            energy: now.power,
            busy: now.load,
            memory_busy: now.memory_activity,
            tensor_busy: now.tensor,
            pcie_replays: conditions.pcie_replay_rate.unwrap_or(0.0),
            ecc_corrected: conditions.ecc_rate.unwrap_or(0.0),
            ..Counters::default()
        };
        let held = |bits: u64| f64::from(u8::from(now.reasons & bits != 0));
        rates.violation = [
            held(reason::SW_POWER),
            held(reason::SW_THERMAL | reason::HW_THERMAL),
            held(reason::SYNC_BOOST),
            0.0,
            held(reason::IDLE),
            0.0,
            held(reason::SW_THERMAL),
            held(reason::HW_THERMAL),
            held(reason::POWER_BRAKE),
        ];
        let clock = now.sm_clock / f64::from(profile.clocks.sm_max);
        let lane = match now.pcie_generation {
            0 | 1 => 0.25e9,
            2 => 0.5e9,
            3 => 0.985e9,
            4 => 1.969e9,
            5 => 3.938e9,
            _ => 7.563e9,
        };
        let pcie = lane * f64::from(now.pcie_width) * now.load * load.map_or(0.0, |l| l.pcie);
        rates.pcie_rx = pcie;
        rates.pcie_tx = pcie * 0.6;
        if let Some(nvlink) = &profile.nvlink {
            let rate = nvlink.bandwidth * now.load * clock * load.map_or(0.0, |l| l.nvlink);
            for link in (0..nvlink.links).filter(|link| !conditions.nvlink_down.contains(link)) {
                rates.link_tx[link] = rate;
                rates.link_rx[link] = rate * 0.98;
            }
        }
        rates
    }

    fn counters_after(&self, passed: f64) -> Counters {
        let (from, rate) = (&self.counters, &self.rates);
        let grown = |from: f64, rate: f64| from + rate * passed;
        let mut all = Counters {
            energy: grown(from.energy, rate.energy),
            pcie_tx: grown(from.pcie_tx, rate.pcie_tx),
            pcie_rx: grown(from.pcie_rx, rate.pcie_rx),
            pcie_replays: grown(from.pcie_replays, rate.pcie_replays),
            ecc_corrected: grown(from.ecc_corrected, rate.ecc_corrected),
            busy: grown(from.busy, rate.busy),
            memory_busy: grown(from.memory_busy, rate.memory_busy),
            tensor_busy: grown(from.tensor_busy, rate.tensor_busy),
            ..Counters::default()
        };
        let each = |into: &mut [f64], from: &[f64], rate: &[f64]| {
            for ((into, from), rate) in into.iter_mut().zip(from).zip(rate) {
                *into = from + rate * passed;
            }
        };
        each(&mut all.violation, &from.violation, &rate.violation);
        each(&mut all.link_tx, &from.link_tx, &rate.link_tx);
        each(&mut all.link_rx, &from.link_rx, &rate.link_rx);
        all
    }

    /// Between -1 and 1, the same for the same step.
    fn noise(&self, channel: u64) -> f64 {
        let mut x = self.seed ^ self.step.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ channel << 56;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        unit(x) * 2.0 - 1.0
    }
}

/// 0 to 1 from random bits.
pub(crate) fn unit(bits: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let (bits, all) = ((bits >> 11) as f64, (1u64 << 53) as f64);
    bits / all
}
