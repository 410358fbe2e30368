//! How calls go: which ones a GPU does not support, how long each takes, and how often it is
//! made because of that.
//!
//! What is not supported is learned for each GPU and call, and tried again after an hour or when
//! the driver has been reloaded. A call whose 95th percentile is above 5 ms is made at the next
//! slower tier's pace, above 50 ms ten times more rarely still: NVML holds the driver's lock, so
//! a slow call delays the work of those who use the GPU.

mod calls;
mod told;

use std::time::{Duration, Instant};

pub(super) use self::calls::{Call, Tier};
pub(super) use self::told::{Support, Told};

use super::metrics::{CALL_ERRORS, CALL_SECONDS, CALLS, DEMOTED};
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
