//! One rule on one series: from samples to edges.
//!
//! It fires when the condition has held at every sample for the rule's duration, and clears when
//! the value was not beyond the clear threshold at every sample for the clear duration. Between
//! the two thresholds nothing changes.

use super::rule::{Measure, Rule};
use super::window::Window;
use crate::detect::open::gone_after_ms;
use crate::detect::slots::State;

/// What a sample changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    Nothing,
    Fire { value: f64, limit: f64 },
    Clear,
}

/// What a rule reads at one tick, present and not NaN.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// What is subtracted is subtracted already.
    pub(super) value: f64,
    pub(super) divisor: Option<f64>,
    /// Whether all gates hold.
    pub(super) gates: bool,
    /// The longest interval of what was read.
    pub(super) span_ms: u32,
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
    /// Of rules that need one.
    window: Option<Box<Window>>,
    /// The highest value seen, where the rule compares with it; 0 before the first.
    best: f64,
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

/// What a change of phase amounts to.
enum Edge {
    None,
    Begin,
    End,
}

impl State for Watch {
    fn keep(&self) -> bool {
        self.has_fired()
    }
}

impl Watch {
    /// As it was when the process ended; `expected` is the limit that it had fired at.
    pub(super) fn fired(rule: &Rule, expected: f64) -> Self {
        let best = if rule.of_best { expected / rule.threshold } else { 0.0 };
        Self { phase: Phase::Fired, armed: true, best, ..Self::default() }
    }

    pub(super) fn has_fired(&self) -> bool {
        matches!(self.phase, Phase::Fired | Phase::Recovering)
    }

    /// Takes a sample.
    #[inline]
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
        let last = last.filter(|l| l.time_ms < time_ms);
        let (value, divisor) = match (rule.measure, reading.divisor) {
            (Measure::Value, divisor) => (reading.value, divisor),
            (Measure::Rate, divisor) => {
                let Some(last) = last else { return Step::Nothing };
                let grown = increase(last.value, reading.value);
                match divisor {
                    Some(divisor) if !rule.divides_by_value() => {
                        (grown, Some(increase(last.divisor, divisor)))
                    }
                    divisor => (grown * 1000.0 / (time_ms - last.time_ms) as f64, divisor),
                }
            }
            (Measure::Increase { bucket_ms }, _) => {
                self.grown(rule, time_ms, bucket_ms, last, reading)
            }
            (Measure::Changes { bucket_ms }, _) => {
                #[expect(clippy::float_cmp, reason = "a change is any difference")]
                let changed = last.is_some_and(|last| last.value != reading.value);
                let window = self.window.get_or_insert_default();
                let [sum, _] = window.add(time_ms, bucket_ms, [f64::from(u8::from(changed)), 0.0]);
                (sum, None)
            }
        };
        let mut gates = reading.gates;
        let value = match divisor {
            None => value,
            Some(divisor) => match quotient(value, divisor) {
                _ if rule.min_divisor.is_some_and(|least| divisor < least) => {
                    gates = false;
                    0.0
                }
                Some(quotient) => quotient,
                // Of counters, nothing of nothing is nothing.
                None if value == 0.0 && rule.measure != Measure::Value => 0.0,
                None => return Step::Nothing,
            },
        };
        let value = if rule.absolute { value.abs() } else { value };
        if rule.of_best || rule.share.is_some() {
            return self.judge_by_history(rule, time_ms, value, gates);
        }
        let compares = rule.op.holds(value, rule.threshold);
        self.armed |= !compares;
        let over = !(gates && rule.op.holds(value, rule.clear));
        match self.judge(rule, time_ms, compares && gates, over) {
            Edge::None => Step::Nothing,
            Edge::Begin => Step::Fire { value, limit: rule.threshold },
            Edge::End => Step::Clear,
        }
    }

    /// What value and divisor grew by within the window.
    #[inline(never)]
    fn grown(
        &mut self,
        rule: &Rule,
        time_ms: i64,
        bucket_ms: i64,
        last: Option<Last>,
        Reading { value, divisor, .. }: Reading,
    ) -> (f64, Option<f64>) {
        let grown = last.map_or([0.0; 2], |last| {
            // Of what was missed for longer than the window, a part lies within.
            let part = (10 * bucket_ms) as f64 / (time_ms - last.time_ms) as f64;
            let of = |before, now| increase(before, now) * part.min(1.0);
            [of(last.value, value), of(last.divisor, divisor.unwrap_or(1.0))]
        });
        let window = self.window.get_or_insert_default();
        let [sum, by] = window.add(time_ms, bucket_ms, grown);
        (sum, divisor.map(|divisor| if rule.divides_by_value() { divisor } else { by }))
    }

    /// Judges what is compared with the best value seen, or must hold for a share of a window.
    #[inline(never)]
    fn judge_by_history(&mut self, rule: &Rule, time_ms: i64, value: f64, gates: bool) -> Step {
        let scale = if rule.of_best {
            self.best = self.best.max(value);
            self.best
        } else {
            1.0
        };
        let limit = rule.threshold * scale;
        let compares = rule.op.holds(value, limit);
        self.armed |= !compares;
        let (value, limit, beyond, over) = match rule.share {
            None => {
                let over = !(gates && rule.op.holds(value, rule.clear * scale));
                (value, limit, compares && gates, over)
            }
            Some(share) => {
                let window = self.window.get_or_insert_default();
                let part = window.mark(time_ms, share.bucket_ms, compares && gates);
                // Sums of tenths are not exact.
                let beyond = part >= share.least - 1e-9;
                (part, share.least, beyond, !beyond)
            }
        };
        match self.judge(rule, time_ms, beyond, over) {
            Edge::None => Step::Nothing,
            Edge::Begin => Step::Fire { value, limit },
            Edge::End => Step::Clear,
        }
    }

    fn judge(&mut self, rule: &Rule, time_ms: i64, beyond: bool, over: bool) -> Edge {
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
                Edge::Begin
            }
            Phase::Recovering if lasted >= rule.clear_ms => {
                self.enter(Phase::Idle, time_ms);
                Edge::End
            }
            _ => Edge::None,
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
