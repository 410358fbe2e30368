//! What a benchmark found: a row for each system, figures by name. The unit is the end of a
//! figure's name (`rss_bytes`, `cpu_ns_per_sample`); a figure that is not known is not there.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

/// Doubles count exactly up to here.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// One run of a benchmark.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) bench: &'static str,
    /// What was measured took so long, without preparation and checks.
    pub(crate) seconds: f64,
    pub(crate) rows: Vec<Row>,
    /// What a reader of the figures must know.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) notes: &'static [&'static str],
}

/// One system's figures.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// Name and version, name first.
    pub(crate) system: String,
    pub(crate) figures: Figures,
}

/// Figures by name, in the order in which they were set.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<(String, f64)>);

impl Figures {
    /// Sets a figure; one that is no number (nothing was counted) is left out.
    pub(crate) fn set(&mut self, name: impl Into<String>, value: f64) -> &mut Self {
        if value.is_finite() {
            self.0.push((name.into(), value));
        }
        self
    }

    /// As [`Figures::set`], of a count.
    pub(crate) fn count(&mut self, name: impl Into<String>, value: u64) -> &mut Self {
        self.set(name, value as f64)
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, &Number(*value))?;
        }
        map.end()
    }
}

/// Whole numbers are written without a fraction.
struct Number(f64);

impl Serialize for Number {
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() < EXACT {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

impl Report {
    /// One line of JSON.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are JSON")
    }

    /// For people: a line for each figure, a column for each system, and where there are two
    /// what the first is to the second.
    pub(crate) fn table(&self) -> String {
        let ratio = self.rows.len() == 2;
        let mut header = vec![format!("{}, {:.1} s", self.bench, self.seconds)];
        header.extend(self.rows.iter().map(|row| row.system.clone()));
        if ratio {
            header.push("ratio".into());
        }
        let mut lines = vec![header];
        let mut seen = BTreeSet::new();
        let names = self.rows.iter().flat_map(|row| &row.figures.0).map(|(name, _)| name);
        for name in names.filter(|name| seen.insert(name.as_str())) {
            let values: Vec<_> = self.rows.iter().map(|row| row.figures.get(name)).collect();
            let mut line = vec![name.clone()];
            line.extend(values.iter().map(|value| value.map_or_else(String::new, number)));
            if let (true, [Some(own), Some(peer)]) = (ratio, values.as_slice()) {
                line.push(if *peer == 0.0 { String::new() } else { format!("{:.2}", own / peer) });
            }
            lines.push(line);
        }
        let notes = self.notes.iter().map(|note| format!("note: {note}\n"));
        align(&lines) + &notes.collect::<String>()
    }
}

/// Columns of equal width: the first to the left, the others to the right.
fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|t| t.chars().count()).max()
    };
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut out = String::new();
    for line in lines {
        let mut text = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let written = if column == 0 {
                write!(text, "{cell:<width$}")
            } else {
                write!(text, "  {cell:>width$}")
            };
            written.expect("a String takes any text");
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

/// Thousands apart; below a thousand three decimals at most.
fn number(value: f64) -> String {
    if value.abs() < 1000.0 {
        let text = format!("{value:.3}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{:.0}", value.abs());
    let mut out = String::from(if value < 0.0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut own = Figures::default();
        own.count("rss_bytes", 12_345_678)
            .set("cpu_percent_of_core", 0.25)
            .set("nothing", f64::NAN);
        let mut peer = Figures::default();
        peer.count("rss_bytes", 24_691_356).count("scrapes", 6);
        Report {
            bench: "overhead",
            seconds: 60.0,
            rows: vec![
                Row { system: "sextant-agent 1.0.0".into(), figures: own },
                Row { system: "node_exporter 1.5.0".into(), figures: peer },
            ],
            notes: &[],
        }
    }

    #[test]
    fn json_has_exactly_these_keys_and_whole_numbers_stay_whole() {
        let expected = concat!(
            r#"{"bench":"overhead","seconds":60.0,"rows":["#,
            r#"{"system":"sextant-agent 1.0.0","#,
            r#""figures":{"rss_bytes":12345678,"cpu_percent_of_core":0.25}},"#,
            r#"{"system":"node_exporter 1.5.0","figures":{"rss_bytes":24691356,"scrapes":6}}]}"#,
        );
        assert_eq!(report().json(), expected);
    }

    #[test]
    fn table_has_a_column_for_each_system_and_the_ratio_of_two() {
        let expected = "\
overhead, 60.0 s     sextant-agent 1.0.0  node_exporter 1.5.0  ratio
rss_bytes                     12 345 678           24 691 356   0.50
cpu_percent_of_core                 0.25
scrapes                                                     6
";
        assert_eq!(report().table(), expected);
        let mut one = report();
        one.rows.truncate(1);
        assert!(!one.table().contains("ratio"));
        one.notes = &["simulated"];
        assert!(one.table().ends_with("\nnote: simulated\n"));
        assert!(one.json().ends_with(r#"}}],"notes":["simulated"]}"#));
    }

    #[test]
    fn numbers_are_readable() {
        for (value, want) in [(0.0, "0"), (0.5, "0.5"), (999.25, "999.25"), (-1234.6, "-1 235")] {
            assert_eq!(number(value), want);
        }
        assert_eq!(number(1_000_000.0), "1 000 000");
    }
}
