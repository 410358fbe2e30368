//! What is compared, as data: `knowledge/peers.toml`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use sextant_proto::v1::Severity;

use crate::series::Series;

const BUILTIN: &str = include_str!("../../../knowledge/peers.toml");

/// How a member is set against the median of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    /// Its share of the median, less one.
    Ratio,
    Difference,
}

/// Which deviations count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    Low,
    High,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SeverityName {
    Info,
    Warning,
    Critical,
}

/// Who takes part: those of whom another metric, summed up by its median, is at least this.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gate {
    pub(super) metric: String,
    pub(super) least: f64,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Compare {
    #[serde(deserialize_with = "shared")]
    pub(super) name: Arc<str>,
    pub(super) metric: String,
    /// Labels of the series that takes part of each member.
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    /// The members' type.
    pub(super) entity: String,
    /// Labels of the entity that members of a group share.
    #[serde(default)]
    pub(super) by: Vec<String>,
    pub(super) mode: Mode,
    /// The least scale of deviations: what the sensor and the sampling make by themselves, in
    /// the unit of the mode.
    pub(super) floor: f64,
    pub(super) side: Side,
    /// The median must be at least this.
    #[serde(default)]
    pub(super) least: f64,
    pub(super) gate: Option<Gate>,
    severity: SeverityName,
    /// With {value} {median} {deviation} {deviation%} {peers} {node} and {labels.NAME}.
    summary: String,
    action: String,
    /// For who reads the file.
    source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    compare: Vec<Compare>,
}

fn shared<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
    String::deserialize(from).map(Arc::from)
}

/// The comparisons that come with the aggregator.
///
/// # Panics
/// When the file that is compiled in is wrong; a test reads it.
pub(super) fn builtin() -> Vec<Compare> {
    let book: Book = toml::from_str(BUILTIN).expect("the file is tested");
    book.compare
}

/// The numbers of a finding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) value: f64,
    pub(super) median: f64,
    /// From where the member usually is, in the unit of the mode; its sign is in the words.
    pub(super) deviation: f64,
    pub(super) peers: usize,
}

impl Compare {
    pub(super) fn severity(&self) -> Severity {
        match self.severity {
            SeverityName::Info => Severity::Info,
            SeverityName::Warning => Severity::Warning,
            SeverityName::Critical => Severity::Critical,
        }
    }

    /// Whether a series takes part.
    pub(super) fn takes(&self, series: &Series) -> bool {
        *self.metric == *series.metric
            && *self.entity == *series.entity_type
            && self.labels.iter().all(|(name, value)| series.label(name) == Some(value))
    }

    pub(super) fn summary(&self, series: &Series, numbers: Numbers) -> String {
        fill(&self.summary, series, numbers)
    }

    pub(super) fn action(&self, series: &Series, numbers: Numbers) -> String {
        fill(&self.action, series, numbers)
    }
}

fn fill(text: &str, series: &Series, numbers: Numbers) -> String {
    let Numbers { value, median, deviation, peers } = numbers;
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, tail)) = after.split_once('}') else { break };
        out.push_str(before);
        out.push_str(&match name {
            "value" => short(value),
            "median" => short(median),
            "deviation" => short(deviation.abs()),
            "deviation%" => format!("{:.1} %", deviation.abs() * 100.0),
            "peers" => peers.to_string(),
            "node" => series.node.name.to_string(),
            other => {
                let label = other.strip_prefix("labels.").and_then(|label| series.label(label));
                label.unwrap_or_default().to_owned()
            }
        });
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// Three digits that say something: "1.83 G", "0.912".
fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        v if v >= 1e9 => (value / 1e9, " G"),
        v if v >= 1e6 => (value / 1e6, " M"),
        _ => (value, ""),
    };
    let decimals = match scaled.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{scaled:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_with_it_names_metrics_of_agents_and_fills_every_place() {
        let known: Vec<&str> = include_str!("../../../knowledge/metrics.txt")
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        let all = builtin();
        assert!(!all.is_empty());
        for compare in &all {
            let gate = compare.gate.iter().map(|g| &g.metric);
            for metric in gate.chain([&compare.metric]) {
                assert!(known.contains(&metric.as_str()), "{}: {metric}", compare.name);
            }
            assert!(compare.floor > 0.0 && !compare.source.is_empty(), "{}", compare.name);
            for text in [&compare.summary, &compare.action] {
                let places = text.split('{').skip(1).filter_map(|p| p.split('}').next());
                for place in places {
                    let fixed = ["value", "median", "deviation", "deviation%", "peers", "node"];
                    assert!(
                        fixed.contains(&place) || place == "labels.uuid",
                        "{}: {{{place}}}",
                        compare.name
                    );
                }
            }
        }
    }

    #[test]
    fn numbers_are_short() {
        for (value, want) in [
            (1.834e9, "1.83 G"),
            (0.9123, "0.912"),
            (73.25, "73.2"),
            (412.3, "412"),
            (-2.0, "-2.00"),
        ] {
            assert_eq!(short(value), want);
        }
    }
}
