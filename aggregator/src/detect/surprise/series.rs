//! One series: samples become steps, and steps are judged.
//!
//! A step is at least a minute: the mean of what came within it, so that a month has the same
//! number of chances for a false alarm whatever the interval. A series that never changed has no
//! model, only a count; its first change makes one.

use super::model::{Kind, Model};
use super::tuning::Tuning;

/// The shortest step. The tolerance lets jitter of the interval pass.
pub(super) const STEP_MS: i64 = 60_000;
const TOLERANCE_MS: i64 = 1000;
/// Larger values are not measured ones.
const LARGEST: f64 = 1e300;

/// What a step amounts to.
#[derive(Debug, Clone, Copy)]
pub struct Score {
    /// How surprising it is: about -log10 of how often a step is like this.
    pub surprise: f32,
    /// The same less what is a habit of the series; 0 right after an alert.
    pub score: f32,
    pub kind: Kind,
    /// The step's value: of a counter, its rate a second.
    pub value: f64,
    pub expected: f64,
    /// Where a value is usual.
    pub low: f64,
    pub high: f64,
}

/// How a series is to be looked at.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Its rate counts, not its value.
    pub counter: bool,
    /// The smallest change that matters; 0 where any may.
    pub floor: f32,
    /// A sample after more than this is one after a gap.
    pub gap_ms: i64,
    /// The score that makes an alert.
    pub alert: f32,
}

/// The state of a series.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// The last value.
    previous: f64,
    last_ms: i64,
    /// Mean of what came within the step; between steps that of the last one.
    mean: f64,
    model: Option<Box<Model>>,
    /// How long the step has lasted.
    lasted_ms: u32,
    /// Steps of the same value so far, while there is no model.
    constant: u32,
    samples: u16,
}

impl Series {
    /// Takes a sample; what its step amounts to, when it ends one.
    pub fn observe(
        &mut self,
        time_ms: i64,
        value: f64,
        view: &View,
        tuning: &Tuning,
    ) -> Option<Score> {
        if !value.is_finite() || value.abs() > LARGEST {
            return None;
        }
        let elapsed = time_ms.wrapping_sub(self.last_ms);
        if self.last_ms == 0 || elapsed > view.gap_ms || elapsed < view.gap_ms.wrapping_neg() {
            // Also when the clock stepped back: what follows is in order again.
            return self.restart(time_ms, value, view, tuning);
        }
        if elapsed <= 0 {
            return None;
        }
        let previous = std::mem::replace(&mut self.previous, value);
        self.last_ms = time_ms;
        self.lasted_ms = self.lasted_ms.saturating_add(u32::try_from(elapsed).unwrap_or(u32::MAX));
        if !view.counter {
            return self.take(value, view, tuning);
        }
        if value < previous {
            // It began anew, or wrapped.
            return None;
        }
        self.take((value - previous) * 1000.0 / elapsed as f64, view, tuning)
    }

    /// The first sample, or one after a gap.
    fn restart(&mut self, time_ms: i64, value: f64, view: &View, tuning: &Tuning) -> Option<Score> {
        let first = self.last_ms == 0;
        // What is rarely there is a step whenever it comes.
        let elapsed = if first { 0 } else { time_ms.wrapping_sub(self.last_ms).clamp(0, STEP_MS) };
        (self.previous, self.last_ms) = (value, time_ms);
        self.lasted_ms = u32::try_from(elapsed).unwrap_or(0);
        self.samples = 0;
        if let Some(model) = &mut self.model {
            model.gap();
        }
        if view.counter {
            self.lasted_ms = 0;
            return None;
        }
        if first {
            self.mean = value;
        }
        self.take(value, view, tuning)
    }

    /// Takes a value into the step.
    fn take(&mut self, value: f64, view: &View, tuning: &Tuning) -> Option<Score> {
        if view.counter && self.model.is_none() && self.constant == 0 && self.samples == 0 {
            // The first rate.
            self.mean = value;
        }
        if self.model.is_none() && value != self.mean {
            self.model = Some(Box::new(Model::new(self.mean, self.constant)));
        }
        if self.samples == 0 {
            self.mean = value;
        }
        self.samples = self.samples.saturating_add(1);
        if value != self.mean {
            self.mean += (value - self.mean) / f64::from(self.samples);
        }
        if i64::from(self.lasted_ms) + TOLERANCE_MS < STEP_MS {
            return None;
        }
        let step_s = self.lasted_ms.clamp(1000, 3_600_000) as f32 / 1000.0;
        (self.samples, self.lasted_ms) = (0, 0);
        let Some(model) = &mut self.model else {
            self.constant = self.constant.saturating_add(1);
            return None;
        };
        let time_s = self.last_ms.div_euclid(1000);
        let judged = model.step(self.mean, (time_s, step_s), view.floor, tuning, view.alert);
        let far = f64::from(judged.spread);
        Some(Score {
            surprise: judged.surprise,
            score: judged.score,
            kind: judged.kind,
            value: self.mean,
            expected: judged.expected,
            low: judged.expected - far,
            high: judged.expected + far,
        })
    }

    /// Steps that were seen.
    #[must_use]
    pub fn steps(&self) -> u32 {
        self.model.as_ref().map_or(self.constant, |model| model.steps())
    }

    /// Bytes that the state takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + if self.model.is_some() { size_of::<Model>() } else { 0 }
    }
}
