//! A GPU's 40 series, of an SXM board with a limit of 700 W.
//!
//! | series | why like this |
//! | --- | --- |
//! | utilization, memory copy | NVML gives whole percent |
//! | temperatures | whole degrees; follow the power over minutes |
//! | power | NVML gives milliwatts: noise in all three decimals |
//! | energy | a counter in millijoules, the integral of power |
//! | clock | steps of 15 MHz; falls under the power cap |
//! | memory used, free | pages of 2 MiB; still while a job runs, but for inference's cache |
//! | PCIe and NVLink bytes | counters in KiB |
//! | activity ratios | GPM, six decimals |
//! | the last 17 | identity, errors and states: constant on a GPU that is well |

use super::columns::{Columns, Line};
use super::job::Phase;
use super::random::{Random, approach, to_parts, to_step};

const MIB: f64 = 1_048_576.0;
const PAGE: f64 = 2.0 * MIB;
const TOTAL_BYTES: f64 = 81_559.0 * MIB;
const RESERVED_BYTES: f64 = 551.0 * MIB;
const LIMIT_W: f64 = 700.0;
const CLOCK_STEP_HZ: f64 = 15e6;
const CLOCK_MAX_HZ: f64 = 1.98e9;
const CLOCK_IDLE_HZ: f64 = 345e6;

/// Series of one GPU.
#[must_use]
pub const fn gpu_series() -> usize {
    LINES.len()
}

const LINES: [Line; 40] = [
    ("gpu_utilization_ratio", &[]),
    ("gpu_memory_copy_utilization_ratio", &[]),
    ("gpu_temperature_celsius", &[]),
    ("gpu_memory_temperature_celsius", &[]),
    ("gpu_power_watts", &[]),
    ("gpu_power_instant_watts", &[]),
    ("gpu_energy_joules_total", &[]),
    ("gpu_clock_hertz", &[("clock", "sm")]),
    ("gpu_clocks_event_active", &[("reason", "sw_power_cap")]),
    ("gpu_throttle_seconds_total", &[("reason", "power")]),
    ("gpu_memory_used_bytes", &[]),
    ("gpu_memory_free_bytes", &[]),
    ("gpu_pcie_transmit_bytes_total", &[]),
    ("gpu_pcie_receive_bytes_total", &[]),
    ("gpu_nvlink_transmit_bytes_total", &[]),
    ("gpu_nvlink_receive_bytes_total", &[]),
    ("gpu_graphics_engine_active_ratio", &[]),
    ("gpu_sm_active_ratio", &[]),
    ("gpu_sm_occupancy_ratio", &[]),
    ("gpu_tensor_active_ratio", &[]),
    ("gpu_dram_active_ratio", &[]),
    ("gpu_fp32_active_ratio", &[]),
    ("gpu_fp16_active_ratio", &[]),
    ("gpu_clock_hertz", &[("clock", "memory")]),
    ("gpu_memory_total_bytes", &[]),
    ("gpu_memory_reserved_bytes", &[]),
    ("gpu_ecc_errors_total", &[("error", "corrected"), ("counter", "volatile")]),
    ("gpu_ecc_errors_total", &[("error", "uncorrected"), ("counter", "volatile")]),
    ("gpu_ecc_errors_total", &[("error", "corrected"), ("counter", "aggregate")]),
    ("gpu_remapped_rows_total", &[("cause", "correctable")]),
    ("gpu_remapped_rows_total", &[("cause", "uncorrectable")]),
    ("gpu_row_remap_pending", &[]),
    ("gpu_row_remap_failed", &[]),
    ("gpu_pcie_replay_total", &[]),
    ("gpu_pcie_link_generation", &[]),
    ("gpu_nvlink_errors_total", &[("error", "crc_flit")]),
    ("gpu_nvlink_errors_total", &[("error", "replay")]),
    ("gpu_nvlink_errors_total", &[("error", "recovery")]),
    ("gpu_recovery_action", &[]),
    ("gpu_xid_last", &[]),
];

/// What a phase does to a GPU, on average.
struct Level {
    utilization: f64,
    power_w: f64,
    power_noise_w: f64,
    sm_active: f64,
    tensor: f64,
    dram: f64,
    memory: f64,
    nvlink_bytes: f64,
    pcie_bytes: f64,
}

fn level(phase: Phase) -> Level {
    let idle = Level {
        utilization: 0.0,
        power_w: 71.0,
        power_noise_w: 0.35,
        sm_active: 0.0,
        tensor: 0.0,
        dram: 0.0,
        memory: 0.0,
        nvlink_bytes: 0.0,
        pcie_bytes: 2e4,
    };
    match phase {
        Phase::Idle => idle,
        Phase::Train => Level {
            utilization: 98.5,
            power_w: 655.0,
            power_noise_w: 28.0,
            sm_active: 0.86,
            tensor: 0.44,
            dram: 0.52,
            memory: 0.91,
            nvlink_bytes: 9e10,
            pcie_bytes: 1.4e9,
        },
        Phase::Checkpoint => Level {
            utilization: 4.0,
            power_w: 128.0,
            power_noise_w: 6.0,
            sm_active: 0.01,
            memory: 0.91,
            pcie_bytes: 6e9,
            ..idle
        },
        Phase::Inference => Level {
            utilization: 62.0,
            power_w: 330.0,
            power_noise_w: 45.0,
            sm_active: 0.41,
            tensor: 0.17,
            dram: 0.36,
            memory: 0.74,
            nvlink_bytes: 4e9,
            pcie_bytes: 3e8,
        },
    }
}

/// One GPU.
#[derive(Debug)]
pub(super) struct Gpu {
    random: Random,
    uuid: String,
    /// What this board draws more or less than others.
    bias: f64,
    power_w: f64,
    heat_c: f64,
    /// How busy inference keeps it, which goes up and down over minutes.
    demand: f64,
    memory: f64,
    energy_j: f64,
    throttled_s: f64,
    pcie_bytes: [f64; 2],
    nvlink_bytes: [f64; 2],
    corrected: f64,
}

impl Gpu {
    pub(super) fn new(mut random: Random) -> Self {
        let (a, b) = (random.next(), random.next());
        let uuid = format!(
            "GPU-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xffff,
            b >> 48,
            b & 0xffff_ffff_ffff
        );
        let bias = random.between(0.97, 1.03);
        let energy_j = random.between(1e8, 9e9).round();
        let mut total = || to_step(random.between(1e12, 4e14), 1024.0);
        let (pcie_bytes, nvlink_bytes) = ([total(), total()], [total(), total()]);
        let corrected = (random.unit() * 4.0).floor();
        Self {
            random,
            uuid,
            bias,
            power_w: 71.0,
            heat_c: 33.0,
            demand: 1.0,
            memory: 0.0,
            energy_j,
            throttled_s: 0.0,
            pcie_bytes,
            nvlink_bytes,
            corrected,
        }
    }

    pub(super) fn columns(&self, columns: &mut Columns) {
        columns.entity("gpu", &[("uuid", &self.uuid)], &LINES);
    }

    /// Goes on by so many seconds in a phase, and adds the values then.
    pub(super) fn step(&mut self, seconds: f64, phase: Phase, out: &mut Vec<f64>) {
        let level = level(phase);
        let random = &mut self.random;
        if phase == Phase::Inference {
            let drift = random.normal() * 0.3 * approach(seconds, 60.0).sqrt();
            self.demand = (self.demand + drift).clamp(0.4, 1.4);
            // The cache of keys and values grows and is dropped.
            self.memory = (level.memory + 0.05 * self.demand).min(0.97);
        } else {
            self.demand = 1.0;
            self.memory = level.memory;
        }
        let demand = self.demand;
        let target_w = level.power_w * self.bias * (0.6 + 0.4 * demand);
        self.power_w += (target_w - self.power_w) * approach(seconds, 2.0);
        let instant_w = self.power_w + level.power_noise_w * random.normal();
        let mean_w = self.power_w + level.power_noise_w * 0.6 * random.normal();
        let capped = instant_w > LIMIT_W;
        let power_w = to_parts(mean_w.clamp(60.0, LIMIT_W + 4.0), 1e3);
        let instant_w = to_parts(instant_w.clamp(60.0, LIMIT_W + 15.0), 1e3);
        self.heat_c += (30.0 + power_w * 0.055 - self.heat_c) * approach(seconds, 45.0);
        self.energy_j = to_parts(self.energy_j + power_w * seconds, 1e3);
        if capped {
            let held_s = seconds * random.between(0.05, 0.4);
            self.throttled_s = to_parts(self.throttled_s + held_s, 1e6);
        }
        let clock_hz = match phase {
            Phase::Idle => CLOCK_IDLE_HZ,
            Phase::Train => CLOCK_MAX_HZ - random.unit().powi(2) * 2.4e8,
            Phase::Checkpoint | Phase::Inference => CLOCK_MAX_HZ,
        };
        let mut jitter = |mean: f64, share: f64| mean * demand * (1.0 + share * random.normal());
        let grow = |total: &mut f64, rate: f64| {
            *total = to_step(*total + (rate * seconds).max(0.0), 1024.0);
        };
        for total in &mut self.pcie_bytes {
            grow(total, jitter(level.pcie_bytes, 0.08));
        }
        for total in &mut self.nvlink_bytes {
            grow(total, jitter(level.nvlink_bytes, 0.04));
        }
        let percent = |value: f64| value.clamp(0.0, 100.0).round() / 100.0;
        let utilization =
            percent(jitter(level.utilization, if demand == 1.0 { 0.012 } else { 0.2 }));
        let mut ratio = |mean: f64| to_parts(jitter(mean, 0.03).clamp(0.0, 1.0), 1e6);
        let activity = [
            ratio(level.sm_active * 1.08),
            ratio(level.sm_active),
            ratio(level.sm_active * 0.31),
            ratio(level.tensor),
            ratio(level.dram),
            ratio(level.sm_active * 0.07),
            ratio(level.tensor * 0.11),
        ];
        let copy = percent(jitter(level.dram * 80.0, 0.03));
        let used = to_step(self.memory * (TOTAL_BYTES - RESERVED_BYTES), PAGE);
        out.extend([
            utilization,
            copy,
            self.heat_c.round(),
            (self.heat_c * 1.07 + 3.0).round(),
            power_w,
            instant_w,
            self.energy_j,
            to_step(clock_hz, CLOCK_STEP_HZ),
            f64::from(u8::from(capped)),
            self.throttled_s,
            used,
            TOTAL_BYTES - RESERVED_BYTES - used,
        ]);
        out.extend(self.pcie_bytes.iter().chain(&self.nvlink_bytes).chain(&activity));
        out.extend([2.619e9, TOTAL_BYTES, RESERVED_BYTES, 0.0, 0.0, self.corrected]);
        out.extend([0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
