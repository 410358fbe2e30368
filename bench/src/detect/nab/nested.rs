//! How well a detector does on files that nothing was chosen on: the parameters and the
//! threshold are chosen on four fifths of the files, and the rest is scored; all five, for many
//! divisions of the files.

use super::corpus::Corpus;
use super::score::{self, Profile, Scores};

const FOLDS: usize = 5;
/// Divisions of the files.
const DIVISIONS: u32 = 20;

/// A choice: what every file gains by it over a detector that says nothing.
pub(super) type Gains = Vec<f64>;

/// What each file gains at a threshold.
pub(super) fn gains(corpus: &Corpus, profile: Profile, scores: &Scores, threshold: f64) -> Gains {
    let gain = |file: usize| {
        let null = -profile.miss * corpus.series[file].windows as f64;
        score::raw_at(corpus, profile, scores, &[file], threshold) - null
    };
    (0..corpus.series.len()).map(gain).collect()
}

/// Mean and standard deviation, over the divisions, of the score of the files held out.
pub(super) fn nested(corpus: &Corpus, profile: Profile, choices: &[Gains]) -> (f64, f64) {
    let all: f64 = corpus.windows as f64 * (profile.hit + profile.miss);
    let mut scores = Vec::new();
    for division in 1..=DIVISIONS {
        let order = shuffled(corpus.series.len(), division);
        let mut gain = 0.0;
        for fold in 0..FOLDS {
            let held_out: Vec<usize> = order.iter().copied().skip(fold).step_by(FOLDS).collect();
            let outside = |choice: &Gains| held_out.iter().map(|&file| choice[file]).sum::<f64>();
            let inside = |choice: &Gains| choice.iter().sum::<f64>() - outside(choice);
            let best = choices.iter().max_by(|a, b| inside(a).total_cmp(&inside(b)));
            gain += best.map_or(0.0, outside);
        }
        scores.push(100.0 * gain / all);
    }
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let square = scores.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / scores.len() as f64;
    (mean, square.sqrt())
}

/// Marsaglia's xorshift, as numbers from 0 to 1.
pub(super) struct Random(u32);

impl Random {
    pub(super) fn new(seed: u32) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9) | 1);
        for _ in 0..8 {
            random.unit();
        }
        random
    }

    pub(super) fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        f64::from(self.0) / f64::from(u32::MAX)
    }
}

/// A permutation, by Fisher and Yates.
fn shuffled(count: usize, seed: u32) -> Vec<usize> {
    let mut random = Random::new(seed);
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let other = (random.unit() * (last as f64 + 1.0)) as usize;
        order.swap(last, other.min(last));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffles_are_permutations_and_differ() {
        let mut a = shuffled(31, 1);
        assert_ne!(a, shuffled(31, 2));
        a.sort_unstable();
        assert_eq!(a, (0..31).collect::<Vec<_>>());
    }
}
