//! Result files in the benchmark's own layout:
//! `DETECTOR/GROUP/DETECTOR_FILE.csv` with timestamp, value, score and label.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::corpus::{Corpus, Place};
use super::score::Scores;

/// Writes all files of a detector.
pub(super) fn write(
    corpus: &Corpus,
    scores: &Scores,
    folder: &Path,
    detector: &str,
) -> anyhow::Result<()> {
    for (series, scores) in corpus.series.iter().zip(scores) {
        let (group, file) = series.name.split_once('/').unwrap_or(("", &series.name));
        let folder = folder.join(detector).join(group);
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let path = folder.join(format!("{detector}_{file}"));
        let mut text = String::from("timestamp,value,anomaly_score,label\n");
        for (row, score) in scores.iter().enumerate() {
            let label = u8::from(matches!(series.places[row], Place::Window(_)));
            let (stamp, value) = (&series.stamps[row], series.values[row]);
            writeln!(text, "{stamp},{value},{score},{label}").expect("a String takes any text");
        }
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
