//! One field's value, by the numbers of CUDA 12's header.

use parking_lot::MutexGuard;

use crate::call::Device;
use crate::code::Code;
use crate::gpu::State;
use crate::number::{count, small, whole};
use crate::physics::Counters;

/// A value in NVML's type for the field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    Unsigned(u32),
    Long(u64),
    Signed(i32),
}

/// The state that the fields of one call share: one instant for all of them.
pub(super) struct Batch<'a, 'b> {
    device: &'a Device<'b>,
    state: MutexGuard<'a, State>,
    counters: Counters,
    volatile: [[u64; 8]; 2],
    aggregate: [[u64; 8]; 2],
}

use Value::{Long, Signed, Unsigned};

const DRAM: usize = 2;
const NANOS: f64 = 1e9;

impl<'a, 'b> Batch<'a, 'b> {
    pub(super) fn new(device: &'a Device<'b>) -> Self {
        let state = device.state();
        let counters = state.physics.counters(device.time);
        let (volatile, aggregate) = (state.volatile_ecc(&counters), state.aggregate_ecc(&counters));
        Self { device, state, counters, volatile, aggregate }
    }

    pub(super) fn value(&mut self, id: u32, scope: u32) -> Result<Value, Code> {
        if self.device.mig.is_some() {
            return Err(Code::NOT_SUPPORTED);
        }
        match id {
            1..=31 | 92..=93 | 142..=145 => self.memory_errors(id),
            32..=59 | 84..=91 | 96..=119 | 132..=141 | 146..=168 => self.nvlink(id, scope),
            201..=222 | 235..=250 => self.nvlink5(id, scope),
            94 | 95 | 169 | 173..=183 | 197 | 198 => self.pcie(id),
            74..=79 | 251..=253 => self.held(id),
            82..=83 | 185..=196 | 230 => self.power_and_heat(id, scope),
            184 | 199 => Ok(Unsigned(u32::from(self.device.gpu.profile.mig_instances > 0))),
            _ => Err(Code::NOT_SUPPORTED),
        }
    }

    fn power_and_heat(&self, id: u32, scope: u32) -> Result<Value, Code> {
        let profile = self.device.gpu.profile;
        let (has, power) = (&profile.has, &profile.power);
        let conditions = &self.device.gpu.effects.conditions;
        let now = &self.state.physics.now;
        let milli = |watts: f64| Unsigned(small(watts * 1e3));
        // Module and memory power are of Grace boards only.
        if (185..=190).contains(&id) && scope != 0 {
            return Err(Code::NOT_SUPPORTED);
        }
        let limit = conditions.power_limit.unwrap_or(power.limit);
        let when = |supported: bool, value: Value| {
            if supported { Ok(value) } else { Err(Code::NOT_SUPPORTED) }
        };
        match id {
            82 => when(has.memory_temperature, Unsigned(small(now.memory_temperature))),
            83 => Ok(Long(whole(self.counters.energy * 1e3))),
            185 => when(has.power_average, milli(now.power_average)),
            186 => when(has.power_fields, milli(now.power)),
            187 => when(has.power_fields, milli(power.min_limit)),
            188 => when(has.power_fields, milli(power.max_limit)),
            189 => when(has.power_fields, milli(power.limit)),
            190 | 192 => when(has.power_fields, milli(limit)),
            191 => when(has.power_fields, Long(whole(self.counters.energy * 1e3))),
            193 => when(has.margins, Signed(profile.heat.margins[0])),
            194 => when(has.margins, Signed(profile.heat.margins[1])),
            195 => when(has.margins && has.memory_temperature, Signed(profile.heat.margins[2])),
            196 => when(has.margins, Signed(profile.heat.margins[3])),
            230 => when(has.event_times, Unsigned(conditions.recovery_action.unwrap_or(0))),
            _ => Err(Code::NOT_SUPPORTED),
        }
    }

    /// Time in which clocks were held, in nanoseconds.
    fn held(&self, id: u32) -> Result<Value, Code> {
        let index = match id {
            74..=79 => id - 74,
            _ if self.device.gpu.profile.has.event_times => id - 251 + 6,
            _ => return Err(Code::NOT_SUPPORTED),
        };
        let seconds = usize::try_from(index).ok().and_then(|at| self.counters.violation.get(at));
        Ok(Long(whole(seconds.ok_or(Code::NOT_SUPPORTED)? * NANOS)))
    }

    fn pcie(&self, id: u32) -> Result<Value, Code> {
        let gpu = self.device.gpu;
        let has = &gpu.profile.has;
        let wrapped = |bytes: f64| match gpu.spec.pcie_wrap {
            Some(wrap) if wrap > 0 => whole(bytes) % wrap,
            _ => whole(bytes),
        };
        match id {
            94 => Ok(Unsigned(small(self.replays()))),
            95 => Ok(Unsigned(0)),
            169 if has.pcie_errors => Ok(Unsigned(0)),
            173..=183 if has.pcie_errors => {
                let at = usize::try_from(id - 173).unwrap_or(0);
                let count = self.state.tally.pcie_errors.get(at).copied().unwrap_or(0);
                Ok(Unsigned(u32::try_from(count).unwrap_or(u32::MAX)))
            }
            197 if has.pcie_bytes => Ok(Long(wrapped(self.counters.pcie_tx))),
            198 if has.pcie_bytes => Ok(Long(wrapped(self.counters.pcie_rx))),
            _ => Err(Code::NOT_SUPPORTED),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "replays are few")]
    fn replays(&self) -> f64 {
        self.counters.pcie_replays + self.state.tally.pcie_replays as f64
    }

    fn memory_errors(&self, id: u32) -> Result<Value, Code> {
        let gpu = self.device.gpu;
        let (has, conditions) = (&gpu.profile.has, &gpu.effects.conditions);
        let on = conditions.ecc_mode.unwrap_or(true);
        let flag = |value: Option<bool>| Unsigned(u32::from(value == Some(true)));
        let total = |counts: &[[u64; 8]; 2], error: usize| Long(counts[error].iter().sum());
        match id {
            1 | 2 => Ok(Unsigned(u32::from(on))),
            3..=28 if !on => Err(Code::NOT_SUPPORTED),
            3 => Ok(total(&self.volatile, 0)),
            4 => Ok(total(&self.volatile, 1)),
            5 => Ok(total(&self.aggregate, 0)),
            6 => Ok(total(&self.aggregate, 1)),
            11 => Ok(Long(self.volatile[0][DRAM])),
            12 => Ok(Long(self.volatile[1][DRAM])),
            22 => Ok(Long(self.aggregate[0][DRAM])),
            23 => Ok(Long(self.aggregate[1][DRAM])),
            29 if has.page_retirement => Ok(Unsigned(self.state.lifelong.retired[0])),
            30 if has.page_retirement => Ok(Unsigned(self.state.lifelong.retired[1])),
            31 | 92 if has.page_retirement => Ok(flag(conditions.retired_pending)),
            93 if has.page_retirement => Ok(Unsigned(0)),
            142..=145 if !has.row_remap || gpu.mig.as_ref().is_some_and(|mig| !mig.is_empty()) => {
                Err(Code::NOT_SUPPORTED)
            }
            142 => Ok(Unsigned(self.state.lifelong.remapped[0])),
            143 => Ok(Unsigned(self.state.lifelong.remapped[1])),
            144 => Ok(flag(conditions.remap_pending)),
            145 => Ok(flag(conditions.remap_failed)),
            // From Turing on, errors are told apart by DRAM and SRAM only.
            _ => Err(Code::NOT_SUPPORTED),
        }
    }

    fn nvlink(&self, id: u32, scope: u32) -> Result<Value, Code> {
        let gpu = self.device.gpu;
        let nvlink = gpu.profile.nvlink.as_ref().ok_or(Code::NOT_SUPPORTED)?;
        let at = |first: u32| usize::try_from(id - first).unwrap_or(usize::MAX);
        let link = usize::try_from(scope).unwrap_or(usize::MAX);
        let down = &gpu.effects.conditions.nvlink_down;
        let known = || if link < nvlink.links { Ok(link) } else { Err(Code::INVALID_ARGUMENT) };
        let speed = |link: usize| {
            let up = link < nvlink.links && !down.contains(&link);
            Unsigned(if up { nvlink.speed } else { 0 })
        };
        let older = !gpu.profile.has.nvlink5;
        match id {
            84..=89 => Ok(speed(at(84))),
            90 => Ok(Unsigned(nvlink.speed)),
            132..=137 => Ok(speed(at(132) + 6)),
            91 => Ok(Unsigned(count(nvlink.links))),
            138..=141 => self.throughput(id, scope, nvlink.links),
            146 => known().map(|link| Unsigned(count(link))),
            147 if nvlink.switched => {
                Ok(Unsigned(count(nvlink.links - down.len().min(nvlink.links))))
            }
            164 => known().map(speed),
            165 => known().map(|link| Unsigned(u32::from(!down.contains(&link)))),
            166 => known().map(|_| Unsigned(nvlink.version)),
            161 if older => known().map(|link| self.errors(link, 2)),
            162 if older => known().map(|link| self.errors(link, 3)),
            163 if older => known().map(|link| self.errors(link, 0)),
            32..=59 if older => self.lane(at(32) / 7, at(32) % 7, nvlink.links),
            96..=119 if older => self.lane(at(96) / 6, at(96) % 6 + 7, nvlink.links),
            148..=160 if older => {
                let lane = if at(148) < 6 { at(148) } else { at(148) + 1 };
                self.lane(4, if id == 160 { 6 } else { lane }, nvlink.links)
            }
            _ => Err(Code::NOT_SUPPORTED),
        }
    }

    /// An error of links 0 to 5 (places 0 to 5), all (6), or links 6 to 11 (7 to 12).
    fn lane(&self, error: usize, place: usize, links: usize) -> Result<Value, Code> {
        let link = match place {
            0..=5 => place,
            6 => return Ok(self.all_errors(error)),
            _ => place - 1,
        };
        if link < links { Ok(self.errors(link, error)) } else { Err(Code::NOT_SUPPORTED) }
    }

    fn errors(&self, link: usize, error: usize) -> Value {
        Long(self.state.tally.links.get(link).map_or(0, |errors| errors[error]))
    }

    fn all_errors(&self, error: usize) -> Value {
        Long(self.state.tally.links.iter().map(|errors| errors[error]).sum())
    }

    /// KiB of one link, or of all where the scope is `UINT_MAX`.
    fn throughput(&self, id: u32, scope: u32, links: usize) -> Result<Value, Code> {
        let sent = id.is_multiple_of(2);
        let counts = if sent { &self.counters.link_tx } else { &self.counters.link_rx };
        let bytes = if scope == u32::MAX {
            counts.iter().sum()
        } else {
            let link = usize::try_from(scope).unwrap_or(usize::MAX);
            *counts.get(link).filter(|_| link < links).ok_or(Code::INVALID_ARGUMENT)?
        };
        // Headers, credits and the like come on top of the payload.
        let raw = if id >= 140 { 1.125 } else { 1.0 };
        Ok(Long(whole(bytes * raw / 1024.0)))
    }

    fn nvlink5(&self, id: u32, scope: u32) -> Result<Value, Code> {
        /// 15 × 10^-255: the encoding's smallest, which stands for none.
        const NO_ERRORS: u64 = 15 << 8 | 255;
        let gpu = self.device.gpu;
        let nvlink = gpu.profile.nvlink.as_ref().ok_or(Code::NOT_SUPPORTED)?;
        if !gpu.profile.has.nvlink5 {
            return Err(Code::NOT_SUPPORTED);
        }
        let link = usize::try_from(scope).unwrap_or(usize::MAX);
        if link >= nvlink.links {
            return Err(Code::INVALID_ARGUMENT);
        }
        let error = |at: usize| self.errors(link, at);
        let seen = |at: usize| self.state.tally.links[link][at] > 0;
        let ber = |bad: bool| Long(if bad { 3 << 8 | 11 } else { NO_ERRORS });
        let (sent, received) = (self.counters.link_tx[link], self.counters.link_rx[link]);
        Ok(match id {
            201 => Long(whole(sent / 256.0)),
            202 => Long(whole(sent)),
            203 => Long(whole(received / 256.0)),
            204 => Long(whole(received)),
            206 => error(5),
            207 => error(6),
            208 => error(7),
            209 => error(8),
            211 => error(9),
            213 | 215 => error(3),
            216..=218 => ber(seen(10) || seen(11)),
            219 => error(10),
            220 => ber(seen(10)),
            221 => error(11),
            222 => ber(seen(11)),
            235 => Long(whole(received / 34.0)),
            _ => Long(0),
        })
    }
}
