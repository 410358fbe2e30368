//! What is remembered of one series, and how a sample is judged by it. 64 bytes.
//!
//! *Location* and *spread* follow the series by exponential updates with clipped errors (Huber's
//! idea: an outlier moves them as far as three spreads, however wild it is). The *range* is that
//! of what the series sustained (three samples in a row) in the last one to two memories, in two
//! generations: old habits, a nightly job, the other half of a day, are not news. A sample counts
//! when it is far by the spread, outside the range by a margin, and material; enough of them in
//! a row fire. While fired nothing is learned, up to `hold`: a fault stays one as long as it
//! lasts, and what lasts longer is the new usual.

use super::RobustZConfig;
use crate::detect::ClearReason;
use crate::detect::open::gone_after_ms;
use crate::detect::slots::State;

/// Weight of a new sample in the location: follows within some 50 samples.
const LOCATION_WEIGHT: f32 = 0.02;
/// In the spread: the same.
const SPREAD_WEIGHT: f32 = 0.02;
/// An error counts as at most so many spreads: 99.7 % of a normal distribution is left alone.
const CLIP: f32 = 3.0;
/// Standard deviation over mean absolute deviation of a normal distribution: sqrt(pi / 2).
const NORMAL: f32 = 1.253_314;
/// The spread is at least this share of the location, for what is nearly constant.
const MIN_SPREAD: f32 = 1e-4;
/// So many changes make a series one that varies; before, and after two memories without, a
/// change is a setting that was changed.
const MIN_CHANGES: u8 = 10;
/// The margin is at least so many of the series' smallest steps: 40 and 41 degrees make no range.
const MIN_STEPS: f32 = 4.0;
/// Margin doubles with every finding, up to 2 to this, and halves with every memory.
const MAX_STRIKES: u8 = 6;
/// Larger values do not fit the state; nothing real has them.
const MAX_VALUE: f64 = 1e30;

/// What a sample changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    Nothing,
    /// Far enough and long enough. It is the caller's to say [`Model::fire`].
    Unusual {
        high: bool,
        value: f64,
        expected: f64,
        score: f64,
    },
    Clear(ClearReason),
}

/// The state of a series.
#[derive(Debug, Clone)]
pub(super) struct Model {
    /// The counter's last value.
    previous: f64,
    last_ms: i64,
    location: f32,
    spread: f32,
    /// Largest sustained value of this generation and the one before (NaN: there was none).
    high: [f32; 2],
    low: [f32; 2],
    /// The last two values.
    recent: [f32; 2],
    /// Smallest change ever seen, 0 for none.
    quantum: f32,
    /// When this generation began, Unix seconds.
    turned_s: u32,
    /// When it fired last, in units of 64 s, modulo 48 days.
    fired_at: u16,
    samples: u16,
    changes: u8,
    strikes: u8,
    /// 1: fired above, -1: below.
    fired: i8,
    /// Samples in a row: unusual ones by their side, or usual ones while fired.
    run: i8,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            previous: 0.0,
            last_ms: 0,
            location: 0.0,
            spread: 0.0,
            high: [f32::NAN; 2],
            low: [f32::NAN; 2],
            recent: [f32::NAN; 2],
            quantum: 0.0,
            turned_s: 0,
            fired_at: 0,
            samples: 0,
            changes: 0,
            strikes: 0,
            fired: 0,
            run: 0,
        }
    }
}

impl State for Model {
    fn keep(&self) -> bool {
        self.has_fired()
    }
}

impl Model {
    /// As far as a finding tells it.
    pub(super) fn restored(
        value: f64,
        expected: f64,
        score: f64,
        high: bool,
        time_ms: i64,
    ) -> Self {
        let mut model = Self { location: narrow(expected), ..Self::default() };
        if score > 0.0 {
            model.spread = narrow((value - expected).abs() / score) / NORMAL;
        }
        model.fire(high, time_ms);
        model
    }

    pub(super) fn has_fired(&self) -> bool {
        self.fired != 0
    }

    /// What the last sample began is reported.
    pub(super) fn fire(&mut self, high: bool, time_ms: i64) {
        self.fired = if high { 1 } else { -1 };
        self.fired_at = coarse(time_ms);
        self.strikes = (self.strikes + 1).min(MAX_STRIKES);
    }

    /// Judges a sample of a counter by its rate.
    pub(super) fn counter(
        &mut self,
        config: &RobustZConfig,
        floor: f32,
        (time_ms, interval_ms): (i64, u32),
        value: f64,
    ) -> Verdict {
        let (previous, last_ms) = (self.previous, self.last_ms);
        self.previous = value;
        if self.gap(time_ms, interval_ms) || value < previous {
            self.last_ms = time_ms;
            return Verdict::Nothing;
        }
        let rate = (value - previous) * 1000.0 / (time_ms - last_ms) as f64;
        self.gauge(config, floor, (time_ms, interval_ms), rate)
    }

    /// Judges a sample. `floor` is the smallest change that matters.
    pub(super) fn gauge(
        &mut self,
        config: &RobustZConfig,
        floor: f32,
        (time_ms, interval_ms): (i64, u32),
        value: f64,
    ) -> Verdict {
        self.gap(time_ms, interval_ms);
        self.last_ms = time_ms;
        let x = narrow(value);
        self.turn(config, time_ms);
        if self.samples == 0 && !self.has_fired() {
            self.location = x;
        }
        let step = (x - self.recent[0]).abs();
        if step > 0.0 {
            self.changes = self.changes.saturating_add(1);
            self.quantum = if self.quantum > 0.0 { self.quantum.min(step) } else { step };
        }
        let error = x - self.location;
        let sigma = self.sigma();
        let verdict = self.judge(config, floor, time_ms, value, x, error / sigma);
        self.samples = self.samples.saturating_add(1);
        if !self.has_fired() {
            self.learn(error, sigma);
        }
        if self.run == 0 || self.has_fired() || verdict != Verdict::Nothing {
            self.widen(x);
        }
        self.recent = [x, self.recent[0]];
        verdict
    }

    /// Whether nothing is known of the time before the sample; what is counted in rows starts
    /// anew then.
    fn gap(&mut self, time_ms: i64, interval_ms: u32) -> bool {
        let gap = !(1..=gone_after_ms(interval_ms)).contains(&(time_ms - self.last_ms));
        if gap {
            self.run = 0;
            self.recent = [f32::NAN; 2];
        }
        gap
    }

    /// Begins a generation when it is time.
    fn turn(&mut self, config: &RobustZConfig, time_ms: i64) {
        let now = seconds(time_ms);
        if self.turned_s == 0 || now < self.turned_s {
            self.turned_s = now;
        } else if u64::from(now - self.turned_s) >= config.memory.as_secs() {
            self.turned_s = now;
            self.high = [f32::NAN, self.high[0]];
            self.low = [f32::NAN, self.low[0]];
            self.changes = self.changes.min(2 * MIN_CHANGES) / 2;
            self.strikes = self.strikes.saturating_sub(1);
        }
    }

    fn sigma(&self) -> f32 {
        (NORMAL * self.spread)
            .max(MIN_SPREAD * self.location.abs())
            .max(self.quantum / 4.0)
            .max(f32::MIN_POSITIVE)
    }

    fn judge(
        &mut self,
        config: &RobustZConfig,
        floor: f32,
        time_ms: i64,
        value: f64,
        x: f32,
        z: f32,
    ) -> Verdict {
        if self.has_fired() {
            return self.judge_fired(config, time_ms, z);
        }
        let side = if z > 0.0 { 1 } else { -1 };
        if !self.unusual(config, floor, time_ms, x, z) {
            self.run = 0;
            return Verdict::Nothing;
        }
        self.run = if self.run.signum() == side { self.run + side } else { side };
        if self.run.unsigned_abs() < config.consecutive {
            return Verdict::Nothing;
        }
        self.run = 0;
        if self.strikes > 0 && self.since_fired_s(time_ms) < config.refractory.as_secs() {
            return Verdict::Nothing;
        }
        let score = f64::from(z.abs().min(1000.0));
        Verdict::Unusual { high: side > 0, value, expected: f64::from(self.location), score }
    }

    fn judge_fired(&mut self, config: &RobustZConfig, time_ms: i64, z: f32) -> Verdict {
        let usual = z * f32::from(self.fired) <= config.threshold / 2.0;
        self.run = if usual { self.run.max(0) + 1 } else { 0 };
        let long = self.since_fired_s(time_ms) >= config.hold.as_secs();
        if !long && self.run.unsigned_abs() < config.consecutive {
            return Verdict::Nothing;
        }
        (self.fired, self.run) = (0, 0);
        if usual {
            return Verdict::Clear(ClearReason::Recovered);
        }
        self.samples = 0;
        Verdict::Clear(ClearReason::Learned)
    }

    fn unusual(&self, config: &RobustZConfig, floor: f32, time_ms: i64, x: f32, z: f32) -> bool {
        if z.abs() < config.threshold || self.changes < MIN_CHANGES || !self.warm(config, time_ms) {
            return false;
        }
        let material = floor.max(config.min_change * self.location.abs());
        if (x - self.location).abs() < material {
            return false;
        }
        let (high, low) = (self.high[0].max(self.high[1]), self.low[0].min(self.low[1]));
        let margin = (config.margin * (high - low)).max(MIN_STEPS * self.quantum)
            * f32::from(1_u8 << self.strikes);
        x > high + margin || x < low - margin
    }

    fn warm(&self, config: &RobustZConfig, time_ms: i64) -> bool {
        let old = !self.high[1].is_nan()
            || u64::from(seconds(time_ms) - self.turned_s) >= config.warm_up.as_secs();
        old && self.samples >= config.warm_up_samples
    }

    fn since_fired_s(&self, time_ms: i64) -> u64 {
        u64::from(coarse(time_ms).wrapping_sub(self.fired_at)) * 64
    }

    fn learn(&mut self, error: f32, sigma: f32) {
        let young = 1.0 / f32::from(self.samples.max(1));
        if young > LOCATION_WEIGHT {
            // The plain mean of what there is so far.
            self.location += young * error;
            self.spread += young * (error.abs() - self.spread);
            return;
        }
        let limit = CLIP * sigma;
        self.location += LOCATION_WEIGHT * error.clamp(-limit, limit);
        self.spread += SPREAD_WEIGHT * (error.abs().min(limit) - self.spread);
    }

    /// Takes what three samples in a row have sustained into the range.
    fn widen(&mut self, x: f32) {
        let [a, b] = self.recent;
        if a.is_nan() || b.is_nan() {
            return;
        }
        self.high[0] = self.high[0].max(x.min(a).min(b));
        self.low[0] = self.low[0].min(x.max(a).max(b));
    }
}

fn narrow(value: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "within f32 after the clamp")]
    let narrow = value.clamp(-MAX_VALUE, MAX_VALUE) as f32;
    narrow
}

fn seconds(time_ms: i64) -> u32 {
    u32::try_from(time_ms / 1000).unwrap_or(0)
}

fn coarse(time_ms: i64) -> u16 {
    #[expect(clippy::cast_possible_truncation, reason = "modulo is meant")]
    let coarse = (seconds(time_ms) / 64) as u16;
    coarse
}
