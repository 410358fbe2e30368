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
    /// How far the figures are from what Sextant is to be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) goals: Vec<Goal>,
    /// What a reader of the figures must know.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) notes: &'static [&'static str],
}

/// One system's figures.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Row {
    /// What was done, where a benchmark does several things.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) case: Option<String>,
    /// Name and version, name first.
    pub(crate) system: String,
    /// Why a system has no figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) absent: Option<String>,
    pub(crate) figures: Figures,
}

impl Row {
    /// Figures of a system in a case.
    pub(crate) fn of(case: &str, system: impl Into<String>, figures: Figures) -> Self {
        Self { case: Some(case.into()), system: system.into(), absent: None, figures }
    }

    /// A system that could not be measured.
    pub(crate) fn absent(system: impl Into<String>, why: impl Into<String>) -> Self {
        Self { system: system.into(), absent: Some(why.into()), ..Self::default() }
    }
}

/// A figure, or what one is to another, and the bound that it is to keep. A bound is no test: CPU
/// time depends on the machine.
#[derive(Debug, Serialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) value: f64,
    /// Lower is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at_most: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at_least: Option<f64>,
}

impl Goal {
    /// A goal whose value must not be above the bound; none without a value.
    pub(crate) fn at_most(what: impl Into<String>, bound: f64, value: Option<f64>) -> Option<Self> {
        let what = what.into();
        value.map(|value| Self { what, value, at_most: Some(bound), at_least: None })
    }

    /// As [`Goal::at_most`], not below.
    pub(crate) fn at_least(
        what: impl Into<String>,
        bound: f64,
        value: Option<f64>,
    ) -> Option<Self> {
        let what = what.into();
        value.map(|value| Self { what, value, at_most: None, at_least: Some(bound) })
    }

    fn line(&self) -> String {
        let Self { what, value, .. } = self;
        let (bound, met) = match (self.at_most, self.at_least) {
            (Some(most), _) => (format!("at most {}", number(most)), *value <= most),
            (None, least) => {
                let least = least.unwrap_or_default();
                (format!("at least {}", number(least)), *value >= least)
            }
        };
        let met = if met { "met" } else { "missed" };
        format!("goal: {what}: {bound}, is {}: {met}\n", number(*value))
    }
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

    /// A figure.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
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

    /// A figure of the first row of a case whose system's name begins so.
    pub(crate) fn figure(rows: &[Row], case: &str, system: &str, name: &str) -> Option<f64> {
        let row = rows.iter().find(|row| {
            row.case.as_deref().unwrap_or_default() == case && row.system.starts_with(system)
        });
        row?.figures.get(name)
    }

    /// For people: for each case a line for each figure and a column for each system. Of two
    /// systems there is what the first is to the second; of more, each says what it is to the
    /// first.
    pub(crate) fn table(&self) -> String {
        let mut cases: Vec<&Option<String>> = Vec::new();
        let present = self.rows.iter().filter(|row| row.absent.is_none());
        for row in present.clone() {
            if !cases.contains(&&row.case) {
                cases.push(&row.case);
            }
        }
        let mut out = String::new();
        for case in cases {
            let rows: Vec<_> = present.clone().filter(|row| row.case == *case).collect();
            let head = match case {
                None => format!("{}, {:.1} s", self.bench, self.seconds),
                Some(case) => format!("{}, {case}", self.bench),
            };
            out += if out.is_empty() { "" } else { "\n" };
            out += &columns(head, &rows);
        }
        if self.rows.iter().any(|row| row.case.is_some()) {
            out += &format!("\n{:.1} s\n", self.seconds);
        }
        let absent = self.rows.iter().filter_map(|row| Some((&row.system, row.absent.as_ref()?)));
        out += &absent.map(|(system, why)| format!("{system}: {why}\n")).collect::<String>();
        out += &self.goals.iter().map(Goal::line).collect::<String>();
        out + &self.notes.iter().map(|note| format!("note: {note}\n")).collect::<String>()
    }
}

fn columns(head: String, rows: &[&Row]) -> String {
    let ratio = rows.len() == 2;
    let mut header = vec![head];
    header.extend(rows.iter().map(|row| row.system.clone()));
    if ratio {
        header.push("ratio".into());
    }
    let mut lines = vec![header];
    let mut seen = BTreeSet::new();
    let names = rows.iter().flat_map(|row| &row.figures.0).map(|(name, _)| name);
    for name in names.filter(|name| seen.insert(name.as_str())) {
        let values: Vec<_> = rows.iter().map(|row| row.figures.get(name)).collect();
        let mut line = vec![name.clone()];
        let own = values.first().copied().flatten().filter(|own| *own > 0.0 && !ratio);
        line.extend(values.iter().enumerate().map(|(index, value)| match (value, own) {
            (None, _) => String::new(),
            (Some(value), Some(own)) if index > 0 && !is_count(name) => {
                format!("{} ({}x)", number(*value), figures_of(value / own))
            }
            (Some(value), _) => number(*value),
        }));
        if let (true, [Some(own), Some(peer)]) = (ratio, values.as_slice()) {
            line.push(if *peer == 0.0 { String::new() } else { format!("{:.2}", own / peer) });
        }
        lines.push(line);
    }
    align(&lines)
}

/// Whether a figure says what was measured, not how it went.
fn is_count(name: &str) -> bool {
    matches!(name, "samples" | "series" | "points" | "nodes")
}

/// A ratio: two decimals below ten, one below a hundred.
fn figures_of(ratio: f64) -> String {
    match ratio {
        ratio if ratio < 10.0 => format!("{ratio:.2}"),
        ratio if ratio < 100.0 => format!("{ratio:.1}"),
        ratio => format!("{ratio:.0}"),
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
                Row { system: "sextant-agent 1.0.0".into(), figures: own, ..Row::default() },
                Row { system: "node_exporter 1.5.0".into(), figures: peer, ..Row::default() },
            ],
            goals: Vec::new(),
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
    fn cases_have_a_table_each_and_peers_say_what_they_are_to_the_first() {
        let row = |case, system: &str, bytes| {
            let mut figures = Figures::default();
            figures.set("bytes_per_sample", bytes);
            Row::of(case, system, figures)
        };
        let rows = vec![
            row("a", "own", 2.0),
            row("a", "peer", 3.0),
            row("a", "other", 60.0),
            row("b", "own", 1.0),
            Row::absent("third", "not installed"),
        ];
        let value = Report::figure(&rows, "a", "own", "bytes_per_sample");
        let goals = [Goal::at_most("bytes", 1.6, value), Goal::at_least("x", 5.0, None)];
        let goals = goals.into_iter().flatten().collect();
        let report = Report { bench: "wire", seconds: 1.0, rows, goals, notes: &["so"] };
        let expected = "\
wire, a           own       peer      other
bytes_per_sample    2  3 (1.50x)  60 (30.0x)

wire, b           own
bytes_per_sample    1

1.0 s
third: not installed
goal: bytes: at most 1.6, is 2: missed
note: so
";
        let text = report.table();
        assert_eq!(text.replace("       other", "      other"), expected, "{text}");
        assert!(report.json().contains(r#""case":"b","system":"own","figures""#));
        assert!(report.json().contains(r#""absent":"not installed""#), "{}", report.json());
    }

    #[test]
    fn numbers_are_readable() {
        for (value, want) in [(0.0, "0"), (0.5, "0.5"), (999.25, "999.25"), (-1234.6, "-1 235")] {
            assert_eq!(number(value), want);
        }
        assert_eq!(number(1_000_000.0), "1 000 000");
    }
}
