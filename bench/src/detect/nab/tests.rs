//! A small corpus in the benchmark's format goes the whole way; the figures are those that the
//! benchmark's own rule, written down independently in Python, gives for the same result files.

use std::fmt::Write as _;
use std::path::Path;

use super::nested::Random;
use super::score::best;
use super::*;

const ROWS: usize = 2000;
const FROM_S: usize = 5 * 3600;

/// Five minutes a row, from the first of March 2024.
fn stamp(row: usize) -> String {
    let seconds = FROM_S + row * 300;
    let (day, second) = (1 + seconds / 86_400, seconds % 86_400);
    format!("2024-03-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// By system and profile.
const GOLDEN: [[f64; 3]; 3] = [[70.41, 67.66, 71.94], [72.49, 71.59, 81.66], [86.24, 86.24, 90.83]];

type Value = fn(usize, f64) -> f64;
type File = (&'static str, Value, &'static [(usize, usize)]);

fn in_window(row: usize, from: usize) -> bool {
    (from..from + 12).contains(&row)
}

fn day(row: usize) -> f64 {
    (row as f64 / 288.0 * std::f64::consts::TAU).sin()
}

/// Each with its windows, in rows.
const FILES: [File; 4] = [
    ("made/clean.csv", |row, noise| 50.0 + 10.0 * day(row) + noise, &[]),
    (
        "made/shift.csv",
        |row, noise| if in_window(row, 1200) { 90.0 } else { 40.0 + noise },
        &[(1150, 1300)],
    ),
    (
        "made/spikes.csv",
        |row, noise| if in_window(row, 900) || row == 1600 { 30.0 } else { 3.0 * noise.abs() },
        &[(860, 960), (1550, 1650)],
    ),
    (
        "made/still.csv",
        |row, noise| if (1400..1500).contains(&row) { 20.0 } else { 20.0 + noise },
        &[(1390, 1520)],
    ),
];

fn write_corpus(folder: &Path) {
    std::fs::create_dir_all(folder.join("data/made")).expect("folder");
    std::fs::create_dir_all(folder.join("labels")).expect("folder");
    let mut labels = Vec::new();
    for (seed, (name, value, windows)) in (1..).zip(FILES) {
        let mut random = Random::new(seed);
        let mut text = String::from("timestamp,value\n");
        for row in 0..ROWS {
            // Twelve uniforms are nearly normal.
            let noise = (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
            writeln!(text, "{},{:.4}", stamp(row), value(row, noise)).expect("a String");
        }
        std::fs::write(folder.join("data").join(name), text).expect("written");
        let pairs: Vec<_> = windows
            .iter()
            .map(|&(from, to)| format!("[\"{}.000000\", \"{}.000000\"]", stamp(from), stamp(to)))
            .collect();
        labels.push(format!("\"{name}\": [{}]", pairs.join(", ")));
    }
    let labels = format!("{{{}}}", labels.join(",\n"));
    std::fs::write(folder.join("labels/combined_windows.json"), labels).expect("written");
}

fn figure(row: &Row, name: &str) -> f64 {
    let json = serde_json::to_value(row).expect("JSON");
    json["figures"][name].as_f64().unwrap_or_else(|| panic!("{name} of {json}"))
}

#[test]
fn figures_are_those_of_the_benchmarks_rule() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let results = folder.path().join("results");
    write_corpus(folder.path());
    let arguments =
        Arguments { nab: Some(folder.path().to_owned()), nab_results: Some(results.clone()) };
    let rows = run(folder.path(), &arguments).expect("measured");
    let systems: Vec<_> = rows.iter().map(|row| row.system.as_str()).collect();
    assert_eq!(systems, ["sextant surprise", "plain z", "weighted deviation"]);
    for (row, wanted) in rows.iter().zip(GOLDEN) {
        for (name, wanted) in ["nab_standard", "nab_low_fp", "nab_low_fn"].into_iter().zip(wanted) {
            let got = figure(row, name);
            assert!((got - wanted).abs() < 0.005, "{name} of {}: {got}", row.system);
        }
        assert!((-100.0..=100.0).contains(&figure(row, "nab_nested")), "{}", row.system);
    }
    assert!(figure(&rows[0], "bytes_per_series") <= 400.0);

    let path = results.join("sextant/made/sextant_shift.csv");
    let text = std::fs::read_to_string(path).expect("written");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (ROWS + 1, "timestamp,value,anomaly_score,label"));
    assert!(lines[1].starts_with("2024-03-01 05:00:00,") && lines[1].ends_with(",0,0"));
    assert!(lines[1201].ends_with(",1"), "{}", lines[1201]);
}

#[test]
fn window_counts_once_and_what_is_outside_costs() {
    let folder = tempfile::tempdir().expect("temporary folder");
    write_corpus(folder.path());
    let corpus = Corpus::read(folder.path()).expect("readable");
    assert_eq!((corpus.series.len(), corpus.windows, corpus.rows()), (4, 4, 4 * ROWS));
    let files = [1];
    let mut scores: Scores = corpus.series.iter().map(|s| vec![0.0; s.values.len()]).collect();
    assert_eq!(best(&corpus, PROFILES[0], &scores, &files).score, 0.0, "nothing is said");
    scores[1][1150] = 1.0;
    scores[1][1200] = 0.5;
    let first = best(&corpus, PROFILES[0], &scores, &files);
    assert!((first.score - 100.0).abs() < 1e-9 && first.threshold == 1.0, "{first:?}");
    scores[1][800] = 2.0;
    let worse = best(&corpus, PROFILES[0], &scores, &files);
    assert!((worse.score - (200.0 - 11.0) / 2.0).abs() < 1e-9, "{worse:?}");
    scores[1][10] = 9.0;
    assert_eq!(best(&corpus, PROFILES[0], &scores, &files).raw, worse.raw, "probation");
}
