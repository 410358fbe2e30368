//! The benchmark's score of a detector: one threshold for the whole corpus, chosen for the best
//! total; a window counts once, by its earliest row at or above the threshold; every such row
//! outside costs.

use super::corpus::{Corpus, Place};

/// What a detection, a false alarm and a missed window count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Profile {
    pub(crate) name: &'static str,
    pub(crate) hit: f64,
    pub(crate) false_alarm: f64,
    pub(crate) miss: f64,
}

/// The benchmark's three.
pub(crate) const PROFILES: [Profile; 3] = [
    Profile { name: "standard", hit: 1.0, false_alarm: 0.11, miss: 1.0 },
    Profile { name: "low_fp", hit: 1.0, false_alarm: 0.22, miss: 1.0 },
    Profile { name: "low_fn", hit: 1.0, false_alarm: 0.11, miss: 2.0 },
];

/// The best threshold of a set of files, and what it scores there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Best {
    pub(crate) threshold: f64,
    /// 0 for a detector that says nothing, 100 for one that is perfect.
    pub(crate) score: f64,
    pub(crate) raw: f64,
}

/// A row that is scored, as the profile sees it.
struct Row {
    score: f64,
    place: Place,
    worth: f64,
}

/// Scores of all rows of the corpus, file by file.
pub(crate) type Scores = Vec<Vec<f64>>;

fn rows(corpus: &Corpus, scores: &Scores, files: &[usize]) -> Vec<Row> {
    let mut rows = Vec::new();
    for &file in files {
        let series = &corpus.series[file];
        for ((&score, &place), &worth) in scores[file].iter().zip(&series.places).zip(&series.worth)
        {
            if place != Place::Probation {
                rows.push(Row { score, place, worth });
            }
        }
    }
    rows.sort_by(|a, b| b.score.total_cmp(&a.score));
    rows
}

/// Windows of the files, and the raw score of a detector that says nothing there.
fn null(corpus: &Corpus, profile: Profile, files: &[usize]) -> (usize, f64) {
    let windows = files.iter().map(|&file| corpus.series[file].windows).sum();
    (windows, -profile.miss * windows as f64)
}

fn normal(raw: f64, profile: Profile, (windows, null): (usize, f64)) -> f64 {
    100.0 * (raw - null) / (windows as f64 * profile.hit - null)
}

/// Goes through the rows from the highest score; tells after each the raw score so far.
fn sweep(
    corpus: &Corpus,
    profile: Profile,
    rows: &[Row],
    null: f64,
    mut each: impl FnMut(usize, f64),
) {
    let mut best = vec![-profile.miss; corpus.windows];
    let mut raw = null;
    for (index, row) in rows.iter().enumerate() {
        match row.place {
            Place::Window(window) => {
                let worth = row.worth * profile.hit;
                if worth > best[window] {
                    raw += worth - best[window];
                    best[window] = worth;
                }
            }
            Place::Outside => raw += row.worth * profile.false_alarm,
            Place::Probation => {}
        }
        each(index, raw);
    }
}

/// The threshold that is best for these files.
pub(crate) fn best(corpus: &Corpus, profile: Profile, scores: &Scores, files: &[usize]) -> Best {
    let rows = rows(corpus, scores, files);
    let (windows, null) = null(corpus, profile, files);
    let (mut threshold, mut top) = (f64::INFINITY, null);
    sweep(corpus, profile, &rows, null, |index, raw| {
        let last = rows.get(index + 1).is_none_or(|next| next.score != rows[index].score);
        if last && raw > top {
            (threshold, top) = (rows[index].score, raw);
        }
    });
    Best { threshold, score: normal(top, profile, (windows, null)), raw: top }
}

/// The raw score of these files at a threshold.
pub(crate) fn raw_at(
    corpus: &Corpus,
    profile: Profile,
    scores: &Scores,
    files: &[usize],
    threshold: f64,
) -> f64 {
    let mut rows = rows(corpus, scores, files);
    rows.retain(|row| row.score >= threshold);
    let (_, null) = null(corpus, profile, files);
    let mut last = null;
    sweep(corpus, profile, &rows, null, |_, raw| last = raw);
    last
}

/// What is found at a threshold: windows, and rows outside that are false alarms.
pub(crate) fn counts(corpus: &Corpus, scores: &Scores, threshold: f64) -> (usize, usize) {
    let files: Vec<usize> = (0..corpus.series.len()).collect();
    let mut hit = vec![false; corpus.windows];
    let mut false_alarms = 0;
    for row in rows(corpus, scores, &files).iter().take_while(|row| row.score >= threshold) {
        match row.place {
            Place::Window(window) => hit[window] = true,
            Place::Outside => false_alarms += 1,
            Place::Probation => {}
        }
    }
    (hit.iter().filter(|hit| **hit).count(), false_alarms)
}
