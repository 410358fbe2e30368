//! The mathematics of one comparison: who leaves its usual place beside the group's median.
//!
//! Ticks are taken together to observations of at least [`OBSERVE_MS`], so that what one tick
//! has by chance does not count and the detector is the same at every interval. Of an observation
//! each member has a deviation (its ratio to or difference from the median), less its own
//! offset, in units of the group's scale; a clipped one-sided cumulative sum of that alarms.
//! Offsets are learned in the first hour and then slowly, and not while they are in doubt.

use super::spec::{Mode, Side};

/// An observation is the mean of the ticks of so long.
pub(super) const OBSERVE_MS: i64 = 10_000;
/// Fewer members than this have no majority that could be right.
pub(super) const LEAST_MEMBERS: usize = 4;
/// Observations until a member's offset is known: an hour.
const LEARN: u32 = 360;
/// How fast offsets follow after that: a day's work is a few time constants.
const OFFSET_RATE: f64 = 0.002;
/// How fast the scale follows.
const SCALE_RATE: f64 = 0.01;
/// From the median of absolute deviations to a standard deviation of a normal distribution.
const NORMAL: f64 = 1.4826;
/// The sum's drift and alarm, in scales; with deviations clipped at [`CLIP`] the fastest alarm
/// takes eight observations. Measured on a node of eight GPUs with 2 % spread and 1.5 % noise:
/// no false alarm in 60 days, 5 % found in about two minutes.
const DRIFT: f64 = 0.75;
const ALARM: f64 = 25.0;
const CLIP: f64 = 4.0;
/// A sum beyond this share of the alarm puts the offset in doubt.
const DOUBT: f64 = 1.0 / 3.0;
/// When so many are leaving their places together, it is the work that changed.
const CROWD: f64 = 0.25;
/// A sum beyond this share of the alarm is a leave-taking; by chance one in thousands is.
const LEAVING: f64 = 0.25;
/// A ratio this far off is other work, not a slow one; as a difference, so many floors.
const ELSEWHERE_RATIO: f64 = 0.35;
const ELSEWHERE_FLOORS: f64 = 60.0;
/// How fast the mean deviation follows: an alarm takes eight observations.
const RECENT_RATE: f64 = 0.4;
/// How fast that of one that left follows.
const AWAY_RATE: f64 = 0.1;
/// Observations back in place after which it is over: five minutes.
const BACK: u32 = 30;
/// Observations after which a new place is the usual one: a day.
const USUAL: u32 = 8_640;

/// What is known of a member.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Member {
    sum: f64,
    count: u32,
    /// Deviation that is usual for it.
    offset: f64,
    cusum: f64,
    /// Mean deviation of late.
    recent: f64,
    fired: bool,
    /// Observations since it fired, and back in place.
    since: u32,
    back: u32,
    /// The deviation that fired.
    size: f64,
}

/// What an observation says of a member.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// It left its place: how far, and its score in scales.
    Left {
        deviation: f64,
        score: f64,
    },
    Back,
    /// It has been there for so long that it is its place.
    Settled,
}

/// What is known of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    mode: Mode,
    side: Side,
    floor: f64,
    scale: f64,
}

impl Member {
    /// One that fired before the process started: it clears when it is back.
    pub(super) fn fired_before() -> Self {
        Self { fired: true, ..Self::default() }
    }

    pub(super) fn has_fired(&self) -> bool {
        self.fired
    }

    fn is_known(&self) -> bool {
        self.count >= LEARN
    }

    fn learn(&mut self, deviation: f64, scale: f64) {
        if self.is_known() {
            let error = (deviation - self.offset).clamp(-3.0 * scale, 3.0 * scale);
            self.offset += OFFSET_RATE * error;
        } else {
            self.count += 1;
            self.sum += deviation;
            self.offset = self.sum / f64::from(self.count);
        }
    }

    fn start_anew(&mut self) {
        *self = Self { fired: self.fired, ..Self::default() };
    }
}

impl Scale {
    pub(super) fn new(mode: Mode, side: Side, floor: f64) -> Self {
        Self { mode, side, floor, scale: 0.0 }
    }

    /// Takes an observation: a value and the state of each member that takes part. Returns the
    /// median, and what is to say of which.
    pub(super) fn observe(
        &mut self,
        values: &[f64],
        members: &mut [Member],
        verdicts: &mut Vec<(usize, Verdict)>,
    ) -> Option<f64> {
        debug_assert_eq!(values.len(), members.len());
        let median = median(values)?;
        if values.len() < LEAST_MEMBERS || (self.mode == Mode::Ratio && median <= 0.0) {
            return None;
        }
        let deviation = |value: f64| match self.mode {
            Mode::Ratio => value / median - 1.0,
            Mode::Difference => value - median,
        };
        let residuals: Vec<f64> =
            values.iter().zip(members.iter()).map(|(v, m)| deviation(*v) - m.offset).collect();
        let spread = self::median(&residuals.iter().map(|r| r.abs()).collect::<Vec<_>>())?;
        let spread = (spread * NORMAL).max(self.floor);
        self.scale = if self.scale == 0.0 {
            spread
        } else {
            self.scale + SCALE_RATE * (spread - self.scale)
        };
        let limit = match self.mode {
            Mode::Ratio => ELSEWHERE_RATIO,
            Mode::Difference => ELSEWHERE_FLOORS * self.floor,
        };
        for (member, residual) in members.iter_mut().zip(&residuals) {
            if !member.is_known() || member.fired {
                continue;
            }
            let signed = match self.side {
                Side::Low => -residual,
                Side::High => *residual,
                Side::Both => residual.abs(),
            };
            if residual.abs() > limit {
                (member.cusum, member.recent) = (0.0, 0.0);
                continue;
            }
            let z = (signed / self.scale).clamp(-CLIP, CLIP);
            member.cusum = (member.cusum + z - DRIFT).max(0.0);
            member.recent += RECENT_RATE * (residual - member.recent);
        }
        let suspects = members.iter().filter(|m| m.cusum > ALARM * LEAVING && !m.fired).count();
        if suspects as f64 > CROWD * members.len() as f64 {
            // Other work: where they are now has to be learned.
            if members.iter().any(|m| m.cusum > ALARM) {
                let leaving = members.iter_mut().filter(|m| m.cusum > ALARM * LEAVING);
                leaving.for_each(Member::start_anew);
            }
            return Some(median);
        }
        for (at, (member, value)) in members.iter_mut().zip(values).enumerate() {
            let (own, residual) = (deviation(*value), residuals[at]);
            if residual.abs() > limit && member.is_known() && !member.fired {
                continue;
            }
            if member.fired {
                verdicts.extend(member.after(own, residual).map(|verdict| (at, verdict)));
            } else if member.cusum > ALARM {
                let deviation = member.recent;
                let score = deviation.abs() / self.scale;
                *member = Member { fired: true, size: deviation, cusum: 0.0, ..*member };
                (member.since, member.back) = (0, 0);
                verdicts.push((at, Verdict::Left { deviation, score }));
            } else if member.cusum < ALARM * DOUBT {
                member.learn(own, self.scale);
            }
        }
        Some(median)
    }
}

impl Member {
    /// An observation while it is away from its place.
    fn after(&mut self, own: f64, residual: f64) -> Option<Verdict> {
        self.since += 1;
        if !self.is_known() {
            // From before a restart: whatever it does now is learned as its place.
            self.learn(own, f64::INFINITY);
            if self.is_known() {
                self.fired = false;
                return Some(Verdict::Settled);
            }
            return None;
        }
        self.recent += AWAY_RATE * (residual - self.recent);
        let is_back = self.recent.abs() < self.size.abs() / 2.0;
        self.back = if is_back { self.back + 1 } else { 0 };
        if self.back >= BACK {
            self.fired = false;
            return Some(Verdict::Back);
        }
        if self.since >= USUAL {
            self.start_anew();
            self.fired = false;
            return Some(Verdict::Settled);
        }
        None
    }
}

/// The middle; of an even number the mean of both. `None` of nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(sorted[middle - 1], upper))
}
