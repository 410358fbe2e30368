//! One rule on one series: from samples to edges.
//!
//! It fires when the condition has held at every sample for the rule's duration, and clears when
//! the value was not beyond the clear threshold at every sample for the clear duration. Between
//! the two thresholds nothing changes.

use super::spec::Rule;
use crate::detect::open::gone_after_ms;
use crate::detect::slots::State;

/// What a sample changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    Nothing,
    Fire(f64),
    Clear,
}

/// The columns that a rule reads at one tick, present and not NaN.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) value: f64,
    pub(super) divisor: Option<f64>,
    /// Whether all gates hold.
    pub(super) gates: bool,
}

/// The state of a rule on a series.
#[derive(Debug, Default)]
pub(super) struct Watch {
    phase: Phase,
    /// When the phase began.
    since_ms: i64,
    last: Option<Last>,
    /// The condition was seen not to hold: what a `change_only` rule waits for.
    armed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    time_ms: i64,
    value: f64,
    divisor: f64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Pending,
    Fired,
    Recovering,
}

impl State for Watch {
    fn keep(&self) -> bool {
        self.has_fired()
    }
}

impl Watch {
    /// As it was when the process ended.
    pub(super) fn fired() -> Self {
        Self { phase: Phase::Fired, armed: true, ..Self::default() }
    }

    pub(super) fn has_fired(&self) -> bool {
        matches!(self.phase, Phase::Fired | Phase::Recovering)
    }

    /// Takes a sample.
    pub(super) fn step(
        &mut self,
        rule: &Rule,
        time_ms: i64,
        interval_ms: u32,
        reading: Reading,
    ) -> Step {
        let divisor = reading.divisor.unwrap_or(1.0);
        let last = self.last.replace(Last { time_ms, value: reading.value, divisor });
        let elapsed = last.map(|last| time_ms - last.time_ms);
        // After a gap, or a step of the node's clock, nothing is known of the time between.
        if elapsed.is_some_and(|ms| !(0..=gone_after_ms(interval_ms)).contains(&ms)) {
            self.since_ms = time_ms;
        }
        let value = if rule.rate {
            let Some(last) = last.filter(|l| l.time_ms < time_ms) else { return Step::Nothing };
            let seconds = (time_ms - last.time_ms) as f64 / 1000.0;
            let increase = increase(last.value, reading.value);
            match reading.divisor {
                None => Some(increase / seconds),
                Some(_) if increase == 0.0 => Some(0.0),
                Some(divisor) => quotient(increase, self::increase(last.divisor, divisor)),
            }
        } else {
            match reading.divisor {
                None => Some(reading.value),
                Some(divisor) => quotient(reading.value, divisor),
            }
        };
        match value {
            Some(value) => self.judge(rule, time_ms, value, reading.gates),
            None => Step::Nothing,
        }
    }

    fn judge(&mut self, rule: &Rule, time_ms: i64, value: f64, gates: bool) -> Step {
        let compares = rule.op.holds(value, rule.threshold);
        let beyond = compares && gates;
        let over = !(rule.op.holds(value, rule.clear) && gates);
        self.armed |= !compares;
        match self.phase {
            Phase::Idle if beyond && (self.armed || !rule.change_only) => {
                self.enter(Phase::Pending, time_ms);
            }
            Phase::Pending if !beyond => self.enter(Phase::Idle, time_ms),
            Phase::Fired if over => self.enter(Phase::Recovering, time_ms),
            Phase::Recovering if !over => self.enter(Phase::Fired, time_ms),
            _ => {}
        }
        let lasted = time_ms - self.since_ms;
        match self.phase {
            Phase::Pending if lasted >= rule.hold_ms => {
                self.enter(Phase::Fired, time_ms);
                Step::Fire(value)
            }
            Phase::Recovering if lasted >= rule.clear_ms => {
                self.enter(Phase::Idle, time_ms);
                Step::Clear
            }
            _ => Step::Nothing,
        }
    }

    fn enter(&mut self, phase: Phase, time_ms: i64) {
        self.phase = phase;
        self.since_ms = time_ms;
    }
}

/// Of a counter; one that is smaller than it was has begun at zero since.
fn increase(before: f64, now: f64) -> f64 {
    if now >= before { now - before } else { now }
}

fn quotient(value: f64, divisor: f64) -> Option<f64> {
    let quotient = value / divisor;
    quotient.is_finite().then_some(quotient)
}
