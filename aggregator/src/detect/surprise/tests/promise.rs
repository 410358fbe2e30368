//! The promise of false alarms, on a month of clean series of every kind.

use super::clean::{PER_DAY, Random, kinds};
use crate::detect::surprise::series::{Series, View};
use crate::detect::surprise::{Tuning, alert_score};

const MONTH: usize = 30 * PER_DAY;
const LEARNING: usize = 120;

/// Findings in a month, by kind, at each promise; the mean of the seeds.
fn findings(promises: &[f32], seeds: u64) -> Vec<(&'static str, Vec<f64>)> {
    let names: Vec<_> = kinds().iter().map(|kind| kind.name).collect();
    let tuning = Tuning::default();
    let mut found: Vec<_> = names.into_iter().map(|n| (n, vec![0.0; promises.len()])).collect();
    for seed in 1..=seeds {
        for (kind, (_, counts)) in kinds().iter_mut().zip(&mut found) {
            let mut series = vec![Series::default(); promises.len()];
            let mut random = Random::new(seed);
            for minute in 0..MONTH {
                let value = (kind.next)(minute, &mut random);
                let time_ms = 1_700_000_000_000 + i64::try_from(minute).expect("small") * 60_000;
                for ((series, &promise), count) in series.iter_mut().zip(promises).zip(&mut *counts)
                {
                    let alert = alert_score(promise, 60_000);
                    let view = View { counter: kind.counter, floor: 0.0, gap_ms: 300_000, alert };
                    let score = series.observe(time_ms, value, &view, &tuning);
                    if minute >= LEARNING && score.is_some_and(|s| s.score >= alert) {
                        *count += 1.0 / seeds as f64;
                    }
                }
            }
        }
    }
    found
}

#[test]
fn clean_series_of_every_kind_keep_the_promise() {
    let promises = [0.5, 2.0, 8.0];
    let found = findings(&promises, 2);
    for (at, promise) in promises.into_iter().enumerate() {
        let promise = f64::from(promise);
        let mean = found.iter().map(|(_, counts)| counts[at]).sum::<f64>() / found.len() as f64;
        assert!(mean <= promise * 1.1, "{promise}: {mean} of {found:?}");
        for (kind, counts) in &found {
            // Tails so heavy that records never end are the worst.
            assert!(counts[at] <= promise * 3.0 + 1.0, "{kind} at {promise}: {}", counts[at]);
        }
    }
    // Nor is it kept by saying nothing at all.
    let most = found.iter().map(|(_, counts)| counts[2]).sum::<f64>() / found.len() as f64;
    assert!(most >= 2.0, "{found:?}");
}

#[test]
fn longer_intervals_need_lower_scores_for_the_same_promise() {
    assert_eq!(alert_score(1.0, 1000), alert_score(1.0, 60_000));
    assert!(alert_score(1.0, 300_000) < alert_score(1.0, 60_000));
    assert!(alert_score(10.0, 60_000) < alert_score(1.0, 60_000));
}
