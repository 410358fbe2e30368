//! The one set of parameters, for all series.

/// Rates are shares of a step's error that a baseline takes over.
///
/// The defaults are the middle of a flat region: halving or doubling any of them changes little
/// on labelled series. They were chosen as a whole on the Numenta benchmark's development part.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// Of the level that follows within some ten steps.
    pub fast: f32,
    /// Of the level that follows within some three hundred.
    pub slow: f32,
    /// Of the profile that knows what was usual at this hour yesterday, for steps of 5 min.
    pub yesterday: f32,
    /// Of the one that knows the days before, for steps of 5 min.
    pub before: f32,
    /// What the sum of errors loses in a step, and the spreads that an error must exceed to count.
    pub leak: f32,
    pub drift: f32,
    /// Of the size of innovations, fast; the slow one is `slow`.
    pub activity: f32,
    /// No error counts as more than so many spreads.
    pub clip: f32,
    /// What an octave beyond the largest seen adds to a surprise.
    pub beyond: f32,
    /// A deviation of this share of the recent range is material; a smaller one counts less.
    pub material: f32,
    /// What each doubling of earlier episodes as high takes from a score.
    pub habit: f32,
    /// Steps in which an episode is forgotten.
    pub habit_memory: f32,
    /// Steps after an alert without another.
    pub refractory: u16,
    /// A spread is at least this share of the recent range.
    pub least_spread: f32,
    /// What the rareness of repeated values counts, beside the other features.
    pub still: f32,
    /// What the change of size of innovations counts.
    pub restless: f32,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            fast: 0.1,
            slow: 0.003,
            yesterday: 0.14,
            before: 0.03,
            leak: 0.05,
            drift: 0.7,
            activity: 0.08,
            clip: 4.5,
            beyond: 0.4,
            material: 0.2,
            habit: 0.9,
            habit_memory: 3000.0,
            refractory: 90,
            least_spread: 0.02,
            still: 0.5,
            restless: 1.0,
        }
    }
}
