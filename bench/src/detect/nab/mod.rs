//! The Numenta Anomaly Benchmark: labelled series, read as a stream, in one pass.
//!
//! The corpus is not part of this repository; its folder is an argument.

mod corpus;
mod score;

use std::path::{Path, PathBuf};

use crate::report::{Figures, Row};

use self::corpus::Corpus;
use self::score::{PROFILES, Scores};

/// Arguments for the public benchmark.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Folder with the benchmark's data/ and labels/combined_windows.json.
    #[arg(long, value_name = "DIR")]
    pub(crate) nab: Option<PathBuf>,
}

/// A row for each detector.
pub(crate) fn run(folder: &Path, _arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let corpus = Corpus::read(folder)?;
    let z = corpus.series.iter().map(|series| plain_z(&series.values)).collect();
    Ok(vec![row(&corpus, "plain z", &z)])
}

fn row(corpus: &Corpus, system: &str, scores: &Scores) -> Row {
    let files: Vec<usize> = (0..corpus.series.len()).collect();
    let mut figures = Figures::default();
    for profile in PROFILES {
        let best = score::best(corpus, profile, scores, &files);
        figures.set(format!("nab_{}", profile.name), best.score);
    }
    Row { system: system.to_owned(), figures }
}

/// How many standard deviations a value is from the mean of all before it.
fn plain_z(values: &[f64]) -> Vec<f64> {
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
