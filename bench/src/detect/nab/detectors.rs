//! What is compared: the aggregator's detector, and two simple ones. Each reads a file once, as
//! a stream, and looks at nothing that comes later.

use std::time::Instant;

use sextant_aggregator::detect::surprise::{Series, Tuning, View};

use super::corpus::Corpus;
use super::score::Scores;

/// The score from which the detector reports, for the benchmark: about six false alarms in a
/// month of steps of 5 min. A fold may choose another.
pub(super) const ALERT: f32 = 3.75;
/// The benchmark's scores are 0 to 1.
const FULL: f64 = 20.0;

/// What the aggregator's detector says, and what saying it takes.
pub(super) struct Measured {
    pub(super) scores: Scores,
    pub(super) ns_per_sample: f64,
    pub(super) bytes_per_series: f64,
}

/// The aggregator's detector: a row's score is what it reports there, else 0.
pub(super) fn surprise(corpus: &Corpus, tuning: &Tuning, alert: f32) -> Measured {
    let view = View { counter: false, floor: 0.0, gap_ms: i64::MAX, alert };
    let started = Instant::now();
    let mut bytes = 0;
    let files = corpus.series.iter().map(|file| {
        let mut series = Series::default();
        let score = |(&time, &value): (&i64, &f64)| {
            let score = series.observe(time * 1000, value, &view, tuning);
            score.filter(|s| s.score >= alert).map_or(0.0, |s| (f64::from(s.score) / FULL).min(1.0))
        };
        let scores = file.times.iter().zip(&file.values).map(score).collect();
        bytes += series.bytes();
        scores
    });
    let scores: Scores = files.collect();
    Measured {
        scores,
        ns_per_sample: started.elapsed().as_nanos() as f64 / corpus.rows() as f64,
        bytes_per_series: bytes as f64 / corpus.series.len() as f64,
    }
}

/// How many standard deviations a value is from the mean of all before it.
pub(super) fn plain_z(values: &[f64]) -> Vec<f64> {
    let (mut count, mut mean, mut square) = (0.0, 0.0, 0.0);
    let z = values.iter().map(|&value| {
        let deviation: f64 = if count > 1.0 { f64::sqrt(square / (count - 1.0)) } else { 0.0 };
        let z = if deviation > 0.0 { f64::abs(value - mean) / deviation } else { 0.0 };
        count += 1.0;
        let error = value - mean;
        mean += error / count;
        square += error * (value - mean);
        z
    });
    z.collect()
}

/// How many exponentially weighted mean deviations a value is from the exponentially weighted
/// mean; after a score that is high for the file nothing more for a time.
pub(super) fn weighted(values: &[f64]) -> Vec<f64> {
    const WEIGHT: f64 = 0.01;
    const REPORTED: f64 = 6.0;
    const REFRACTORY: usize = 90;
    let (mut mean, mut spread) = (values.first().copied().unwrap_or_default(), 0.0);
    let mut quiet_until = 0;
    let scores = values.iter().enumerate().map(|(row, &value)| {
        let error: f64 = value - mean;
        let score = if spread > 0.0 { error.abs() / spread } else { 0.0 };
        let weight = WEIGHT.max(1.0 / (row as f64 + 1.0));
        mean += weight * error;
        spread += weight * (error.abs() - spread);
        if row < quiet_until || score < REPORTED {
            return 0.0;
        }
        quiet_until = row + REFRACTORY;
        score
    });
    scores.collect()
}
