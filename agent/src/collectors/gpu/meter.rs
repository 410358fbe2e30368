//! How calls go: which ones a GPU does not support, how long each takes, and how often it is
//! made because of that.
//!
//! What is not supported is learned for each GPU and call, and tried again after an hour or when
//! the driver has been reloaded. A call whose 95th percentile is above 5 ms is made at the next
//! slower tier's pace, above 50 ms ten times more rarely still: NVML holds the driver's lock, so
//! a slow call delays the work of those who use the GPU.

use std::time::{Duration, Instant};

use super::metrics::{self, CALL_ERRORS, CALL_SECONDS, CALLS, DEMOTED};
use super::nvml::Code;
use super::rows::Rows;
use crate::sample::Metric;

/// After so long, what was not supported is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(3600);
/// Above it, a call is slow.
const SLOW: Duration = Duration::from_millis(5);
/// Above it, it is very slow.
const VERY_SLOW: Duration = Duration::from_millis(50);
/// Durations that the percentile is of.
const WINDOW: usize = 20;

/// The tiers, by their index in `Collector::tiers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tier {
    Fast = 0,
    Medium = 1,
    Slow = 2,
}

impl Tier {
    pub(super) const ALL: [Self; 3] = [Self::Fast, Self::Medium, Self::Slow];

    /// Ticks of this tier in one of the next slower one, with the default intervals; for the
    /// slowest, what seems fair.
    const fn ratio(self) -> u32 {
        match self {
            Self::Fast => 10,
            Self::Medium => 6,
            Self::Slow => 5,
        }
    }

    /// Durations that are enough to judge by.
    const fn enough(self) -> usize {
        match self {
            Self::Fast => WINDOW,
            Self::Medium => 6,
            Self::Slow => 3,
        }
    }
}

macro_rules! calls {
    ($($name:ident = $tier:ident($label:literal, $metric:ident);)*) => {
        /// The calls that are made again and again.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Call { $($name),* }

        impl Call {
            const ALL: &[Self] = &[$(Self::$name),*];

            /// The label `call`.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$name => $label),* }
            }

            fn tier(self) -> Tier {
                match self { $(Self::$name => Tier::$tier),* }
            }

            /// A metric that comes from it, to say what is missing without permission.
            fn metric(self) -> &'static Metric {
                match self { $(Self::$name => &metrics::$metric),* }
            }
        }
    };
}

calls! {
    FieldsFast = Fast("field_values_fast", POWER);
    Utilization = Fast("utilization", UTILIZATION);
    ClockSm = Fast("clock_sm", CLOCK);
    ClockMemory = Fast("clock_memory", CLOCK);
    ClocksEvent = Fast("clocks_event_reasons", CLOCKS_EVENT);
    Temperature = Fast("temperature", TEMPERATURE);
    PowerUsage = Fast("power_usage", POWER);
    FieldsMedium = Medium("field_values_medium", ECC_ERRORS);
    Memory = Medium("memory", MEMORY_USED);
    GpmSample = Medium("gpm_sample", SM_ACTIVE);
    GpmMetrics = Medium("gpm_metrics", SM_ACTIVE);
    Encoder = Medium("encoder", ENCODER_UTILIZATION);
    Decoder = Medium("decoder", DECODER_UTILIZATION);
    PerformanceState = Medium("performance_state", PERFORMANCE_STATE);
    PcieGeneration = Medium("pcie_generation", PCIE_LINK_GENERATION);
    PcieWidth = Medium("pcie_width", PCIE_LINK_WIDTH);
    ThermalMargin = Medium("thermal_margin", THERMAL_MARGIN);
    Fabric = Medium("fabric", FABRIC_STATE);
    MigMode = Medium("mig_mode", MIG_MODE);
    MigMemory = Medium("mig_memory", MIG_MEMORY_USED);
    MigGpmSample = Medium("mig_gpm_sample", MIG_SM_ACTIVE);
    MigGpmMetrics = Medium("mig_gpm_metrics", MIG_SM_ACTIVE);
    FieldsSlow = Slow("field_values_slow", ECC_LOCATION_ERRORS);
    Bar1 = Slow("bar1", BAR1_USED);
    FanSpeed = Slow("fan_speed", FAN_SPEED);
    FanRpm = Slow("fan_rpm", FAN_RPM);
    EnforcedPowerLimit = Slow("enforced_power_limit", POWER_LIMIT);
    ClockGraphics = Slow("clock_graphics", CLOCK);
    ClockVideo = Slow("clock_video", CLOCK);
    ApplicationClockSm = Slow("application_clock_sm", CLOCK_APPLICATION);
    ApplicationClockMemory = Slow("application_clock_memory", CLOCK_APPLICATION);
    Jpeg = Slow("jpeg", JPEG_UTILIZATION);
    OpticalFlow = Slow("optical_flow", OFA_UTILIZATION);
    PersistenceMode = Slow("persistence_mode", PERSISTENCE_MODE);
    Sram = Slow("sram_ecc", SRAM_ERRORS);
    RemapHistogram = Slow("remap_histogram", REMAP_BANKS);
    LinkState = Slow("nvlink_state", NVLINK_UP);
    ComputeProcesses = Slow("compute_processes", PROCESSES);
    MpsProcesses = Slow("mps_processes", PROCESSES);
    GraphicsProcesses = Slow("graphics_processes", PROCESSES);
    ProcessUtilization = Slow("process_utilization", PROCESS_UTILIZATION);
    ProcessMemory = Slow("memory_of_processes", MEMORY_UNACCOUNTED);
    MaxClock = Slow("max_clock", CLOCK_MAX);
    MaxPcieGeneration = Slow("max_pcie_generation", PCIE_LINK_GENERATION_MAX);
    MaxPcieWidth = Slow("max_pcie_width", PCIE_LINK_WIDTH_MAX);
    TemperatureThreshold = Slow("temperature_threshold", TEMPERATURE_LIMIT);
    Inforom = Slow("inforom", INFOROM_VALID);
    License = Slow("license", VGPU_LICENSED);
    LinkInfo = Slow("nvlink_info", NVLINK_INFO);
    MigScan = Slow("mig_scan", MIG_INFO);
}

/// Whether a GPU can do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Support {
    #[default]
    Unknown,
    /// It answered once.
    Works,
    /// It said no, at that time.
    No(Duration, Code),
}

impl Support {
    /// Whether to ask, at `now`.
    pub(super) fn asks(self, now: Duration) -> bool {
        match self {
            Self::Unknown | Self::Works => true,
            Self::No(since, _) => now.saturating_sub(since) >= RETRY,
        }
    }

    /// Learns from a failure. True when it is one that lasts.
    pub(super) fn failed(&mut self, code: Code, now: Duration) -> bool {
        let lasts =
            code.is_unsupported() || matches!(code, Code::NO_PERMISSION | Code::INVALID_ARGUMENT);
        if lasts {
            *self = Self::No(now, code);
        }
        lasts
    }
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told<T> {
    Value(T),
    /// It is known to work and did not this time, or is not made in this tick: its series stay,
    /// without a sample.
    Absent,
    /// Nobody knows that it works: no series.
    Never,
}

impl<T> Told<T> {
    /// `None` when there is no series; the sample, if there is one.
    pub(super) fn series<U>(self, value: impl FnOnce(T) -> U) -> Option<Option<U>> {
        match self {
            Self::Value(told) => Some(Some(value(told))),
            Self::Absent => Some(None),
            Self::Never => None,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    support: Support,
    window: [Duration; WINDOW],
    /// Durations in the window since the pace was last changed.
    seen: usize,
    next: usize,
    /// 0 as its tier, 1 slow, 2 very slow.
    level: u8,
    was_demoted: bool,
    /// Ticks until it is made again.
    skip: u32,
    longest: Duration,
    errors: Vec<(Code, u64)>,
}

impl State {
    fn took(&mut self, duration: Duration, tier: Tier) {
        self.longest = self.longest.max(duration);
        self.window[self.next] = duration;
        self.next = (self.next + 1) % WINDOW;
        self.seen = (self.seen + 1).min(WINDOW);
        if self.seen >= tier.enough() {
            let p95 = self.percentile();
            let level = match self.level {
                _ if p95 > VERY_SLOW => 2,
                // Half of the limit to come back: no to and fro around it.
                2 if p95 > VERY_SLOW / 2 => 2,
                _ if p95 > SLOW => 1,
                1 | 2 if p95 > SLOW / 2 => 1,
                _ => 0,
            };
            if level != self.level {
                (self.level, self.seen, self.next) = (level, 0, 0);
                self.was_demoted |= level > 0;
            }
        }
        self.skip = match self.level {
            0 => 0,
            1 => tier.ratio() - 1,
            _ => tier.ratio() * 10 - 1,
        };
    }

    /// The 95th percentile of a full window, which is the second highest of twenty; of a window
    /// that is not full the second highest, too: one call that took long says nothing.
    fn percentile(&self) -> Duration {
        let mut sorted = self.window;
        let seen = &mut sorted[..self.seen];
        seen.sort_unstable();
        seen.len().checked_sub(2).map_or(Duration::ZERO, |second| seen[second])
    }
}

/// The calls of one GPU.
pub(super) struct Meter {
    states: Vec<State>,
    /// The time of the job, on the collector's clock.
    now: Duration,
    calls: u64,
    /// The GPU is of no use: no more calls in this job.
    pub(super) lost: Option<Code>,
    /// The library wants to be opened anew.
    pub(super) reopen: Option<Code>,
    answered: bool,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            states: Call::ALL.iter().map(|_| State::default()).collect(),
            now: Duration::ZERO,
            calls: 0,
            lost: None,
            reopen: None,
            answered: false,
        }
    }

    /// Starts a job.
    pub(super) fn begin(&mut self, now: Duration) {
        self.now = now;
        (self.lost, self.reopen, self.answered) = (None, None, false);
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// Whether the GPU answered anything in this job.
    pub(super) fn answered(&self) -> bool {
        self.answered
    }

    /// Forgets what was not supported: the driver or the GPU's mode is another one.
    pub(super) fn relearn(&mut self) {
        self.states.iter_mut().for_each(|state| state.support = Support::Unknown);
    }

    /// Makes a call if it is time for it.
    pub(super) fn call<T>(
        &mut self,
        call: Call,
        make: impl FnOnce() -> Result<T, Code>,
    ) -> Told<T> {
        let state = &mut self.states[call as usize];
        if self.lost.is_some() || self.reopen.is_some() {
            return state.nothing();
        }
        if !state.support.asks(self.now) {
            return Told::Never;
        }
        if state.skip > 0 {
            state.skip -= 1;
            return state.nothing();
        }
        let started = Instant::now();
        let outcome = make();
        state.took(started.elapsed(), call.tier());
        self.calls += 1;
        match outcome {
            Ok(value) => {
                state.support = Support::Works;
                self.answered = true;
                Told::Value(value)
            }
            Err(code) => {
                self.failed(call, code);
                let state = &mut self.states[call as usize];
                // A GPU that says no is there.
                if state.support.failed(code, self.now) {
                    self.answered |= code == Code::NOT_SUPPORTED;
                    return Told::Never;
                }
                state.nothing()
            }
        }
    }

    /// Counts a failure, of a call or of a field in it.
    pub(super) fn failed(&mut self, call: Call, code: Code) {
        let errors = &mut self.states[call as usize].errors;
        match errors.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => errors.push((code, 1)),
        }
        if code.is_lost() {
            self.lost = Some(code);
        }
        if code.wants_reopening() {
            self.reopen = Some(code);
        }
    }

    /// Whether a call is known not to work.
    pub(super) fn lacks(&self, call: Call) -> bool {
        matches!(self.states[call as usize].support, Support::No(..))
    }

    /// Metrics that are missing because of what the agent may do.
    pub(super) fn forbidden(&self) -> impl Iterator<Item = &'static Metric> {
        let forbidden =
            |state: &State| matches!(state.support, Support::No(_, Code::NO_PERMISSION));
        Call::ALL
            .iter()
            .filter(move |call| forbidden(&self.states[**call as usize]))
            .map(|c| c.metric())
    }

    /// Tells how calls went, and starts the longest times again.
    pub(super) fn tell(&mut self, rows: &mut Rows) {
        #[expect(clippy::cast_precision_loss, reason = "2^53 calls are not made in a life")]
        let count = |n: u64| Some(n as f64);
        rows.set(&CALLS, &[], count(self.calls));
        for call in Call::ALL {
            let state = &mut self.states[*call as usize];
            let label = ("call", call.name());
            if state.support == Support::Works {
                let longest = std::mem::take(&mut state.longest);
                let made = !longest.is_zero();
                rows.set(&CALL_SECONDS, &[label], made.then_some(longest.as_secs_f64()));
            }
            if state.was_demoted {
                rows.set(&DEMOTED, &[label], Some(f64::from(u8::from(state.level > 0))));
            }
            for (code, n) in &state.errors {
                rows.set(&CALL_ERRORS, &[label, ("code", code.name())], count(*n));
            }
        }
    }
}

impl State {
    /// No value this time.
    fn nothing<T>(&self) -> Told<T> {
        if self.support == Support::Works { Told::Absent } else { Told::Never }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn after(durations: &[Duration], tier: Tier) -> (u8, u32) {
        let mut state = State::default();
        for duration in durations {
            state.took(*duration, tier);
        }
        (state.level, state.skip)
    }

    #[test]
    fn slow_calls_are_made_more_rarely() {
        assert_eq!(after(&[MS; 20], Tier::Fast), (0, 0));
        assert_eq!(after(&[6 * MS; 19], Tier::Fast), (0, 0));
        assert_eq!(after(&[6 * MS; 20], Tier::Fast), (1, 9));
        assert_eq!(after(&[60 * MS; 20], Tier::Fast), (2, 99));
        assert_eq!(after(&[60 * MS; 6], Tier::Medium), (2, 59));
        assert_eq!(after(&[6 * MS; 3], Tier::Slow), (1, 4));
        for (tier, count) in [(Tier::Fast, 20), (Tier::Medium, 6), (Tier::Slow, 3)] {
            let mut one_hiccup = vec![MS; count];
            one_hiccup[0] = 500 * MS;
            assert_eq!(after(&one_hiccup, tier), (0, 0));
        }
    }

    #[test]
    fn pace_comes_back_when_calls_are_clearly_fast_again() {
        let mut durations = vec![6 * MS; 20];
        durations.extend([4 * MS; 40]);
        assert_eq!(after(&durations, Tier::Fast).0, 1);
        durations.extend([MS; 40]);
        assert_eq!(after(&durations, Tier::Fast), (0, 0));
    }

    #[test]
    fn what_is_not_supported_is_asked_again_after_an_hour_or_a_reload() {
        let mut meter = Meter::new();
        let mut made = 0;
        let mut ask = |meter: &mut Meter, seconds, code: Result<(), Code>| {
            meter.begin(Duration::from_secs(seconds));
            meter.call(Call::Jpeg, || {
                made += 1;
                code
            })
        };
        assert_eq!(ask(&mut meter, 0, Err(Code::NOT_SUPPORTED)), Told::Never);
        assert_eq!(ask(&mut meter, 3599, Ok(())), Told::Never);
        assert_eq!(ask(&mut meter, 3600, Err(Code::FUNCTION_NOT_FOUND)), Told::Never);
        assert_eq!(ask(&mut meter, 3700, Ok(())), Told::Never);
        meter.relearn();
        assert_eq!(ask(&mut meter, 3701, Ok(())), Told::Value(()));
        assert_eq!(ask(&mut meter, 3702, Err(Code::TIMEOUT)), Told::Absent);
        assert_eq!(ask(&mut meter, 3703, Ok(())), Told::Value(()));
        assert_eq!(made, 5);
    }

    #[test]
    fn nothing_more_is_asked_of_a_lost_gpu_in_the_same_job() {
        let mut meter = Meter::new();
        meter.begin(Duration::ZERO);
        assert_eq!(meter.call(Call::Memory, || Ok(1)), Told::Value(1));
        assert_eq!(meter.call::<()>(Call::Bar1, || Err(Code::GPU_IS_LOST)), Told::Never);
        assert_eq!(meter.call(Call::Memory, || Ok(2)), Told::Absent);
        assert_eq!(meter.lost, Some(Code::GPU_IS_LOST));
        meter.begin(Duration::ZERO);
        assert_eq!(meter.call(Call::Memory, || Ok(3)), Told::Value(3));
    }
}
