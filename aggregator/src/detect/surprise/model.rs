//! What is remembered of a series that varies, and how a step is judged by it.
//!
//! Six features, each O(1): the fast level against the slow one; the deviation from what was
//! usual at this hour yesterday, and on the days before; a leaky two-sided sum of standardised
//! deviations; the size of innovations against what it was; and how long a value has stayed the
//! same. Each has a histogram of its magnitudes by sign; its surprise is -log10 of the share of
//! steps that went as far. Surprises are added as squares, so that agreement counts for more
//! than one wild feature. Baselines move by clipped errors: an outlier does not drag them, and a
//! level shift is learned in bounded time.

use super::chance::Chance;
use super::episodes::Episodes;
use super::profile::{Profile, slot};
use super::tail::{Place, Tail};
use super::tuning::Tuning;

/// When so many steps are counted, half of what is counted is forgotten.
const MAX_COUNTED: u32 = 7000;
/// The first steps make the baselines and are not counted.
const FIRST: u32 = 20;
/// No deviation counts as more spreads in a sum.
const MAX_SPREADS: f32 = 50.0;
/// Innovations are clipped at so many spreads.
const MAX_INNOVATION: f32 = 10.0;
/// Rate of the spread and of the autocorrelation.
const SPREAD: f32 = 0.01;
/// The range shrinks by this share towards the level.
const SHRINK: f32 = 0.0005;
/// Steps for which the rates of the profiles are meant.
const PROFILE_STEP_S: f32 = 300.0;
/// What an octave beyond the longest run adds to its surprise: runs end at random, so that their
/// tail is a power of the length.
const RUN_BEYOND: f32 = 2.0;
/// Signed features.
const SIGNED: usize = 5;

/// Which of the features stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its level, its sum of deviations or its value at this hour.
    High,
    Low,
    /// It moves more than it did.
    Restless,
    /// It moves less than it did, or not at all.
    Still,
}

/// A step's judgement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged {
    pub(super) surprise: f32,
    pub(super) score: f32,
    pub(super) kind: Kind,
    /// What was expected, and how far from it is usual.
    pub(super) expected: f64,
    pub(super) spread: f32,
}

/// The state. Values are kept as deviations from `origin`, so that single precision is enough.
#[derive(Debug, Clone)]
pub(super) struct Model {
    origin: f64,
    fast: f32,
    slow: f32,
    /// Mean of the clipped absolute deviation from the usual.
    spread: f32,
    sums: [f32; 2],
    previous: f32,
    /// Autocovariance at lag 0 and 1.
    variance: f32,
    covariance: f32,
    /// Mean size of innovations, fast and slow.
    sizes: [f32; 2],
    high: f32,
    low: f32,
    /// Level from which the profiles deviate.
    base: f32,
    steps: u32,
    /// Steps in a row of the same value.
    same: u16,
    yesterday: Profile,
    before: Profile,
    tails: [[Tail; 2]; SIGNED],
    runs: Tail,
    pub(super) episodes: Episodes,
}

impl Model {
    /// Of a series that has been the same for so many steps.
    pub(super) fn new(value: f64, steps: u32) -> Self {
        Self {
            origin: value,
            fast: 0.0,
            slow: 0.0,
            spread: 0.0,
            sums: [0.0; 2],
            previous: 0.0,
            variance: 0.0,
            covariance: 0.0,
            sizes: [0.0; 2],
            high: 0.0,
            low: 0.0,
            base: 0.0,
            steps,
            same: u16::try_from(steps).unwrap_or(u16::MAX),
            yesterday: Profile::default(),
            before: Profile::default(),
            tails: [[Tail::default(); 2]; SIGNED],
            runs: Tail::default(),
            episodes: Episodes::default(),
        }
    }

    pub(super) fn steps(&self) -> u32 {
        self.steps
    }

    /// Steps of the same value up to now.
    fn run(&self) -> f32 {
        f32::from(self.same) + 1.0
    }

    /// Nothing is known of the time before the next step.
    pub(super) fn gap(&mut self) {
        self.previous = f32::NAN;
        self.same = 0;
    }

    /// Judges a step and learns it. `floor` is the smallest change that matters, `step_s` the
    /// step's length.
    pub(super) fn step(
        &mut self,
        value: f64,
        (time_s, step_s): (i64, f32),
        floor: f32,
        tuning: &Tuning,
        alert: f32,
    ) -> Judged {
        let x = narrow(value - self.origin);
        let mut chance = Chance::new(self.steps.wrapping_mul(0x85EB_CA77));
        self.steps = self.steps.saturating_add(1);
        let young = 1.0 / self.steps as f32;
        let rate = |rate: f32| rate.max(young);
        let spread = self.spread.max(tuning.least_spread * (self.high - self.low)).max(1e-12);
        let limit = if self.steps > FIRST { tuning.clip * spread } else { f32::INFINITY };
        let slow = self.slow;

        let fast = self.fast + rate(tuning.fast) * (x - self.fast);
        let at = slot(time_s);
        let usual = self.yesterday.get(at).map_or(slow, |deviation| self.base + deviation);
        let before = self.before.get(at).map_or(usual, |deviation| self.base + deviation);
        let deviation = x - usual;
        let z = (deviation / spread).clamp(-MAX_SPREADS, MAX_SPREADS);
        self.sums = [
            (self.sums[0] * (1.0 - tuning.leak) + z - tuning.drift).max(0.0),
            (self.sums[1] * (1.0 - tuning.leak) - z - tuning.drift).max(0.0),
        ];
        let sum = if self.sums[0] > self.sums[1] { self.sums[0] } else { -self.sums[1] };
        let correlation = (self.covariance / self.variance.max(1e-30)).clamp(0.0, 1.0);
        let known = !self.previous.is_nan();
        let previous = if known { self.previous - slow } else { x - slow };
        let innovation = ((x - slow) - correlation * previous).abs().min(MAX_INNOVATION * spread);
        let size = self.sizes[0] + rate(tuning.activity) * (innovation - self.sizes[0]);
        let change =
            if size > 0.0 && self.sizes[1] > 0.0 { (size / self.sizes[1]).log2() } else { 0.0 };

        let repeated = known && x == self.previous;
        let ended = (known && !repeated).then(|| self.run());
        self.same = if repeated { self.same.saturating_add(1) } else { 0 };

        let features = [fast - slow, deviation, x - before, sum, change];
        let judged = self.judge(&features, ended, &mut chance, x, floor, tuning, alert);
        let judged = Judged {
            expected: self.origin + f64::from(usual),
            spread: limit.min(tuning.clip * spread),
            ..judged
        };

        self.fast = fast;
        self.slow += rate(tuning.slow) * (x - slow).clamp(-limit, limit);
        let share = (step_s / PROFILE_STEP_S).min(1.0);
        let learn = |rate: f32, was: f32| was + rate * share * (x - was).clamp(-limit, limit);
        self.yesterday.set(at, learn(tuning.yesterday, usual) - self.base, &mut chance);
        self.before.set(at, learn(tuning.before, before) - self.base, &mut chance);
        let off = self.slow - self.base;
        if self.yesterday.is_off(off) && self.before.is_off(off) {
            self.yesterday.shift(off, &mut chance);
            self.before.shift(off, &mut chance);
            self.base = self.slow;
        }
        let bound = MAX_INNOVATION * spread;
        let (a, b) = (previous.clamp(-bound, bound), (x - slow).clamp(-bound, bound));
        self.variance += SPREAD * (a * a - self.variance);
        self.covariance += SPREAD * (a * b - self.covariance);
        self.sizes = [size, self.sizes[1] + rate(tuning.slow) * (innovation - self.sizes[1])];
        self.spread += rate(SPREAD) * (deviation.abs().min(limit) - self.spread);
        self.high = x.max(self.high - SHRINK * (self.high - self.slow));
        self.low = x.min(self.low + SHRINK * (self.slow - self.low));
        self.previous = x;
        judged
    }

    #[expect(clippy::too_many_arguments, reason = "one step's intermediate values")]
    fn judge(
        &mut self,
        features: &[f32; SIGNED],
        ended: Option<f32>,
        chance: &mut Chance,
        x: f32,
        floor: f32,
        tuning: &Tuning,
        alert: f32,
    ) -> Judged {
        let counts = self.steps > FIRST;
        let (counted, full) = counted(self.steps - 1);
        let mut surprises = [0.0; SIGNED];
        for ((&feature, tails), surprise) in
            features.iter().zip(&mut self.tails).zip(&mut surprises)
        {
            if feature == 0.0 {
                continue;
            }
            let place = Place::of(feature);
            let tail = &mut tails[usize::from(feature < 0.0)];
            *surprise = tail.surprise(place, counted as f32, tuning.beyond);
            if counts {
                tail.add(place, chance.bits());
            }
        }
        let run = Place::of(self.run());
        let still =
            if self.same > 0 { self.runs.surprise(run, counted as f32, RUN_BEYOND) } else { 0.0 };
        if let (true, Some(ended)) = (counts, ended) {
            self.runs.add(Place::of(ended), chance.bits());
        }
        if full {
            for tail in self.tails.iter_mut().flatten().chain([&mut self.runs]) {
                tail.halve(chance.bits());
            }
        }

        let away = (x - self.slow).abs();
        let material = share(away, (tuning.material * (self.high - self.low)).max(floor));
        let spread = share(MAX_INNOVATION * self.sizes[0].max(self.sizes[1]), floor);
        let levels: f32 = surprises[..4].iter().map(|s| s * s).sum::<f32>() * material * material;
        let moves = (surprises[4] * spread).powi(2) * tuning.restless;
        let stays = (still * spread).powi(2) * tuning.still;
        let surprise = (levels + moves + stays).sqrt();
        let kind = if levels >= moves.max(stays) {
            if x >= self.slow { Kind::High } else { Kind::Low }
        } else if stays > moves || features[4] < 0.0 {
            Kind::Still
        } else {
            Kind::Restless
        };
        let score = self.episodes.score(surprise, self.steps, tuning, alert);
        Judged { surprise, score, kind, expected: 0.0, spread: 0.0 }
    }
}

/// How many steps the histograms count when there were so many before this one, and whether half
/// of them are to be forgotten with it.
fn counted(before: u32) -> (u32, bool) {
    let steps = before.saturating_sub(FIRST);
    if steps < MAX_COUNTED {
        return (steps, steps + 1 == MAX_COUNTED);
    }
    let half = MAX_COUNTED / 2;
    let over = (steps - MAX_COUNTED) % half;
    (half + over, over + 1 == half)
}

/// How much of what is needed is there, at most 1.
fn share(have: f32, need: f32) -> f32 {
    if have >= need { 1.0 } else { have / need }
}

/// Larger values do not fit; nothing real has them.
fn narrow(value: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "within f32 after the clamp")]
    let narrow = value.clamp(-1e15, 1e15) as f32;
    narrow
}
