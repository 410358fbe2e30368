//! The benchmark's layout on disk: `data/GROUP/FILE.csv` with `timestamp,value`, and
//! `labels/combined_windows.json` with the windows of each file that hold an anomaly.
//!
//! A row is in a window, in probation (the first min(15 %, 750) rows, which are never scored) or
//! outside; with it goes what a detection there is worth, by the benchmark's scaled sigmoid.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};

/// The first rows of a file that are never scored: at most so many,
const PROBATION_ROWS: usize = 750;
/// and at most this share.
const PROBATION_SHARE: f64 = 0.15;

/// Where a row lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Probation,
    Outside,
    /// In the window of this number, counted over the whole corpus.
    Window(usize),
}

/// One file.
#[derive(Debug)]
pub(crate) struct Series {
    /// `GROUP/FILE.csv`.
    pub(crate) name: String,
    /// As they are in the file.
    pub(crate) stamps: Vec<String>,
    /// The same in seconds of a calendar without zones; only differences count.
    pub(crate) times: Vec<i64>,
    pub(crate) values: Vec<f64>,
    pub(crate) places: Vec<Place>,
    /// In a window what a detection is worth, at most 1; outside what it costs, at least -1.
    pub(crate) worth: Vec<f64>,
    pub(crate) windows: usize,
}

/// All files that have labels, by name.
#[derive(Debug)]
pub(crate) struct Corpus {
    pub(crate) series: Vec<Series>,
    pub(crate) windows: usize,
}

impl Corpus {
    /// # Errors
    /// A file that is missing or is not in the benchmark's format.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let labels = folder.join("labels/combined_windows.json");
        let text = std::fs::read(&labels).with_context(|| format!("read {}", labels.display()))?;
        let windows: BTreeMap<String, Vec<[String; 2]>> =
            serde_json::from_slice(&text).with_context(|| format!("parse {}", labels.display()))?;
        let mut corpus = Self { series: Vec::new(), windows: 0 };
        for (name, windows) in windows {
            let path = folder.join("data").join(&name);
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("read {}", path.display()))?;
            let series = read_series(name, &text, &windows, corpus.windows)
                .with_context(|| format!("{}", path.display()))?;
            corpus.windows += series.windows;
            corpus.series.push(series);
        }
        Ok(corpus)
    }

    pub(crate) fn rows(&self) -> usize {
        self.series.iter().map(|s| s.values.len()).sum()
    }
}

fn read_series(
    name: String,
    text: &str,
    windows: &[[String; 2]],
    first_window: usize,
) -> anyhow::Result<Series> {
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().trim_end().split(',').collect();
    let column = |name: &str| {
        head.iter().position(|c| *c == name).with_context(|| format!("no column {name}"))
    };
    let (at, of) = (column("timestamp")?, column("value")?);
    let (mut stamps, mut times, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for line in lines.map(str::trim_end).filter(|line| !line.is_empty()) {
        let mut cells = line.split(',');
        let (stamp, value) = if at < of {
            (cells.nth(at), cells.nth(of - at - 1))
        } else {
            let value = cells.nth(of);
            (cells.nth(at - of - 1), value)
        };
        let stamp = stamp.with_context(|| format!("short line {line}"))?;
        let value = value.with_context(|| format!("short line {line}"))?;
        times.push(seconds(stamp).with_context(|| format!("timestamp {stamp}"))?);
        stamps.push(stamp.to_owned());
        values.push(value.parse().with_context(|| format!("value {value}"))?);
    }
    let (places, worth) = places(&times, windows, first_window)?;
    Ok(Series { name, stamps, times, values, places, worth, windows: windows.len() })
}

fn places(
    times: &[i64],
    windows: &[[String; 2]],
    first_window: usize,
) -> anyhow::Result<(Vec<Place>, Vec<f64>)> {
    let count = times.len();
    let mut places = vec![Place::Outside; count];
    let mut worth = vec![-1.0; count];
    let best = sigmoid(-1.0);
    let mut from = 0;
    // The last row of the window before, and the scale of its tail.
    let mut before: Option<(usize, f64)> = None;
    for (number, [start, end]) in (first_window..).zip(windows) {
        let limit = |stamp: &String| seconds(stamp).with_context(|| format!("window {stamp}"));
        let (start, end) = (limit(start)?, limit(end)?);
        let find = |from: usize, time: i64| {
            let found = times[from..].iter().position(|&t| t == time).map(|i| from + i);
            found.context("a window's limit is not in the data")
        };
        let (left, right, end_first) = (find(from, start)?, find(from, end)?, find(0, end)?);
        let width = end_first as f64 - find(0, start)? as f64 + 1.0;
        if left > right {
            bail!("a window ends before it begins");
        }
        if let Some((right, scale)) = before {
            taper(&mut worth[..left], right, scale);
        }
        for row in left..=right {
            worth[row] = sigmoid(-(end_first as f64 - row as f64 + 1.0) / width) / best;
            places[row] = Place::Window(number);
        }
        before = Some((right, width - 1.0));
        from = right + 1;
    }
    if let Some((right, scale)) = before {
        taper(&mut worth, right, scale);
    }
    places[..probation(count)].fill(Place::Probation);
    Ok((places, worth))
}

/// A detection soon after a window costs less.
fn taper(worth: &mut [f64], right: usize, scale: f64) {
    for (row, worth) in worth.iter_mut().enumerate().skip(right + 1) {
        *worth = sigmoid((row - right) as f64 / scale);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "less than rows")]
fn probation(rows: usize) -> usize {
    ((PROBATION_SHARE * rows as f64).floor() as usize).min(PROBATION_ROWS)
}

fn sigmoid(y: f64) -> f64 {
    if y > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * y).exp()) - 1.0 }
}

/// Seconds since 1970 of `YYYY-MM-DD HH:MM:SS`; what follows is left out.
fn seconds(stamp: &str) -> Option<i64> {
    let bytes = stamp.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        std::str::from_utf8(bytes.get(from..to)?).ok()?.parse().ok()
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // Days of the civil calendar: March is the first month, so that the leap day is the last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + day
        - 1
        - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read_as_seconds() {
        assert_eq!(seconds("1970-01-01 00:00:00"), Some(0));
        assert_eq!(seconds("2014-04-10 07:15:00.000000"), Some(1_397_114_100));
        assert_eq!(seconds("2000-02-29 23:59:59"), Some(951_868_799));
        assert_eq!(seconds("2000-02"), None);
    }
}
