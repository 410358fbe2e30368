//! What was found before: the same height again and again is a habit, not news.
//!
//! An episode is what happens within one refractory time of its beginning; its height is its
//! largest score. The heights of past episodes are counted in half units and forgotten
//! exponentially, so that the expected number of episodes as high as this one is known: each
//! doubling of it takes a constant from the score.

use super::tuning::Tuning;

/// Heights of less are no episodes.
const FLOOR: f32 = 2.0;
/// Half units.
const BINS: usize = 16;
/// Counts are kept in parts of so many.
const PART: f32 = 1.0 / 16.0;
/// Past episodes this much lower are as high.
const ALIKE: f32 = 0.5;

/// The episodes of one series. 28 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Episodes {
    counts: [u8; BINS],
    /// Step of the last alert.
    alerted: u32,
    /// Step of the beginning of the last episode, up to which the counts are forgotten.
    began: u32,
    /// The last episode's height, not yet counted.
    height: f32,
}

impl Default for Episodes {
    fn default() -> Self {
        Self { counts: [0; BINS], alerted: 0, began: 0, height: 0.0 }
    }
}

impl Episodes {
    /// What is left of a surprise when what was found before is taken into account; 0 within the
    /// refractory time of an alert. `alert` is the score that makes one.
    pub(super) fn score(&mut self, surprise: f32, step: u32, tuning: &Tuning, alert: f32) -> f32 {
        if surprise < FLOOR {
            return 0.0;
        }
        let refractory = u32::from(tuning.refractory);
        if self.height > 0.0 && step.wrapping_sub(self.began) < refractory {
            self.height = self.height.max(surprise);
        } else {
            self.close(step, tuning);
            (self.began, self.height) = (step, surprise);
        }
        if self.alerted > 0 && step.wrapping_sub(self.alerted) < refractory {
            return 0.0;
        }
        let score = surprise - tuning.habit * (1.0 + self.alike(surprise)).log2();
        if score >= alert {
            self.alerted = step.max(1);
        }
        score.max(0.0)
    }

    /// How many episodes as high there were, forgotten as they are.
    fn alike(&self, surprise: f32) -> f32 {
        // Part of the bin in which the limit lies, as if its episodes were spread evenly.
        let at = ((surprise - ALIKE - FLOOR) * 2.0).clamp(0.0, BINS as f32 - 1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 15")]
        let bin = at as usize;
        let higher: u32 = self.counts[bin + 1..].iter().map(|&count| u32::from(count)).sum();
        let own = f32::from(self.counts[bin]) * (1.0 - at.fract());
        (higher as f32 + own) * PART
    }

    fn close(&mut self, step: u32, tuning: &Tuning) {
        let keep = (-(step.wrapping_sub(self.began) as f32) / tuning.habit_memory).exp();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 255")]
        for count in &mut self.counts {
            *count = (f32::from(*count) * keep).round() as u8;
        }
        if self.height >= FLOOR {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 15")]
            let bin = ((self.height - FLOOR) * 2.0).clamp(0.0, BINS as f32 - 1.0) as usize;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 16")]
            let part = (keep / PART).round() as u8;
            self.counts[bin] = self.counts[bin].saturating_add(part);
            self.height = 0.0;
        }
    }
}
