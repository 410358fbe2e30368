//! The Numenta Anomaly Benchmark: labelled series, read as a stream, in one pass.
//!
//! The corpus is not part of this repository; its folder is an argument. Figures: the score of
//! each profile with the threshold that is best on the corpus (as the benchmark does), and
//! `nab_nested`: parameters and threshold chosen on four fifths of the files and scored on the
//! rest. The results are written in the benchmark's own format when asked for.

mod corpus;
mod detectors;
mod nested;
mod results;
mod score;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use sextant_aggregator::detect::surprise::Tuning;

use crate::report::{Figures, Row};

use self::corpus::Corpus;
use self::nested::{Gains, Random};
use self::score::{PROFILES, Profile, Scores};

/// Parameter sets that a fold may choose from, beside the detector's own,
const CANDIDATES: u32 = 15;
/// each drawn within this factor of it,
const SPREAD: f64 = 1.2;
/// and scores from which it reports.
const ALERTS: [f32; 9] = [3.0, 3.25, 3.5, 3.75, 4.0, 4.25, 4.5, 4.75, 5.0];

/// Arguments for the public benchmark.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Folder with the benchmark's data/ and labels/combined_windows.json.
    #[arg(long, value_name = "DIR")]
    pub(crate) nab: Option<PathBuf>,
    /// Write every detector's scores here, in the benchmark's own layout.
    #[arg(long, value_name = "DIR", requires = "nab")]
    nab_results: Option<PathBuf>,
}

/// A row for each detector.
pub(crate) fn run(folder: &Path, arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let corpus = Corpus::read(folder)?;
    let standard = PROFILES[0];
    let measured = detectors::surprise(&corpus, &Tuning::default(), detectors::ALERT);
    let plain: Scores = corpus.series.iter().map(|s| detectors::plain_z(&s.values)).collect();
    let weighted: Scores = corpus.series.iter().map(|s| detectors::weighted(&s.values)).collect();
    if let Some(folder) = &arguments.nab_results {
        for (name, scores) in
            [("sextant", &measured.scores), ("plainZ", &plain), ("weighted", &weighted)]
        {
            results::write(&corpus, scores, folder, name)?;
        }
    }

    let mut own = row(&corpus, "sextant surprise", &measured.scores);
    let (mean, spread) = nested::nested(&corpus, standard, &choices(&corpus, standard));
    own.figures
        .set("nab_nested", mean)
        .set("nab_nested_sd", spread)
        .set("ns_per_sample", measured.ns_per_sample)
        .set("bytes_per_series", measured.bytes_per_series);
    let mut rows = vec![own];
    for (name, scores) in [("plain z", &plain), ("weighted deviation", &weighted)] {
        let mut row = row(&corpus, name, scores);
        let (mean, spread) =
            nested::nested(&corpus, standard, &thresholds(&corpus, standard, scores));
        row.figures.set("nab_nested", mean).set("nab_nested_sd", spread);
        rows.push(row);
    }
    Ok(rows)
}

fn row(corpus: &Corpus, system: &str, scores: &Scores) -> Row {
    let files: Vec<usize> = (0..corpus.series.len()).collect();
    let mut figures = Figures::default();
    for profile in PROFILES {
        let best = score::best(corpus, profile, scores, &files);
        figures.set(format!("nab_{}", profile.name), best.score);
        if profile.name == PROFILES[0].name {
            let (windows, false_alarms) = score::counts(corpus, scores, best.threshold);
            figures
                .set("nab_threshold", best.threshold)
                .count("nab_windows_found", windows as u64)
                .count("nab_windows", corpus.windows as u64)
                .count("nab_false_alarms", false_alarms as u64);
        }
    }
    Row { system: system.to_owned(), figures, ..Row::default() }
}

/// What files gain by each parameter set and threshold of the aggregator's detector.
fn choices(corpus: &Corpus, profile: Profile) -> Vec<Gains> {
    let mut random = Random::new(20);
    let mut tunings = vec![Tuning::default()];
    tunings.extend((0..CANDIDATES).map(|_| drawn(&mut random)));
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(tuning) = tunings.get(index / ALERTS.len()) else { break };
                    let alert = ALERTS[index % ALERTS.len()];
                    let scores = detectors::surprise(corpus, tuning, alert).scores;
                    let gains = nested::gains(corpus, profile, &scores, f64::MIN_POSITIVE);
                    found.lock().push((index, gains));
                }
            });
        }
    });
    let mut found = found.into_inner();
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, gains)| gains).collect()
}

/// Every parameter within a factor of its default.
fn drawn(random: &mut Random) -> Tuning {
    let mut near = |value: f32| {
        let factor = SPREAD.powf(2.0 * random.unit() - 1.0);
        #[expect(clippy::cast_possible_truncation, reason = "near to a value that fits")]
        let value = (f64::from(value) * factor) as f32;
        value
    };
    let Tuning {
        fast,
        slow,
        yesterday,
        before,
        leak,
        drift,
        activity,
        clip,
        beyond,
        material,
        habit,
        habit_memory,
        refractory,
        least_spread,
        still,
        restless,
    } = Tuning::default();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some hundred")]
    let refractory = near(f32::from(refractory)).round() as u16;
    Tuning {
        fast: near(fast),
        slow: near(slow),
        yesterday: near(yesterday),
        before: near(before),
        leak: near(leak),
        drift: near(drift),
        activity: near(activity),
        clip: near(clip),
        beyond: near(beyond),
        material: near(material),
        habit: near(habit),
        habit_memory: near(habit_memory),
        refractory,
        least_spread: near(least_spread),
        still: near(still),
        restless: near(restless),
    }
}

/// What files gain at each of some thresholds of a detector, spread over its scores.
fn thresholds(corpus: &Corpus, profile: Profile, scores: &Scores) -> Vec<Gains> {
    let mut all: Vec<f64> = scores.iter().flatten().copied().filter(|s| *s > 0.0).collect();
    all.sort_by(|a, b| b.total_cmp(a));
    all.dedup();
    let mut at = 0;
    let mut choices = Vec::new();
    while at < all.len() {
        choices.push(nested::gains(corpus, profile, scores, all[at]));
        at += 1 + at / 8;
    }
    choices
}
