//! Layouts: their hash, and the rules that a valid one keeps.

use prost::Message;

use crate::limits;
use crate::v1::{Layout, MetricKind};

/// Labels that the aggregator sets; a layout must not bring its own.
pub const RESERVED_LABELS: [&str; 3] = ["cluster", "node", "__name__"];

/// Why a layout cannot be accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    /// The bytes do not have the hash that they came with.
    #[error("layout does not have the hash that names it")]
    Hash,
    /// Not an encoded `Layout`.
    #[error("layout is not decodable: {0}")]
    Decode(String),
    /// Over one of [`limits`].
    #[error("layout has {what} over the limit of {limit}")]
    Limit { what: &'static str, limit: usize },
    /// A metric or label name that Prometheus would not take, or a reserved one.
    #[error("layout has the invalid {what} name {name:?}")]
    Name { what: &'static str, name: String },
    /// A series that points at no metric.
    #[error("layout has a series of metric {0}, which it does not have")]
    Metric(u32),
    /// The same series in two columns.
    #[error("layout has the series {0} twice")]
    Twice(String),
}

/// The name of a layout: XXH3-64 of its encoded bytes, never 0 (0 means "no layout").
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes).max(1)
}

/// Columns of a layout.
#[must_use]
pub fn columns(layout: &Layout) -> usize {
    layout.entities.iter().map(|e| e.series.len()).sum()
}

/// Decodes a layout and checks its hash, limits and names.
///
/// # Errors
/// [`LayoutError`] says which rule it breaks.
pub fn decode(name: u64, bytes: &[u8]) -> Result<Layout, LayoutError> {
    if bytes.len() > limits::MAX_LAYOUT_BYTES {
        return Err(LayoutError::Limit { what: "bytes", limit: limits::MAX_LAYOUT_BYTES });
    }
    if hash(bytes) != name {
        return Err(LayoutError::Hash);
    }
    let layout = Layout::decode(bytes).map_err(|e| LayoutError::Decode(e.to_string()))?;
    check(&layout)?;
    Ok(layout)
}

fn check(layout: &Layout) -> Result<(), LayoutError> {
    if columns(layout) > limits::MAX_SAMPLES_PER_FRAME {
        let limit = limits::MAX_SAMPLES_PER_FRAME;
        return Err(LayoutError::Limit { what: "columns", limit });
    }
    for metric in &layout.metrics {
        if !is_metric_name(&metric.name) {
            return Err(LayoutError::Name { what: "metric", name: metric.name.clone() });
        }
    }
    let mut seen = std::collections::HashSet::with_capacity(columns(layout));
    for entity in &layout.entities {
        for series in &entity.series {
            let Some(metric) = layout.metrics.get(series.metric as usize) else {
                return Err(LayoutError::Metric(series.metric));
            };
            if entity.labels.len() + series.labels.len() > limits::MAX_LABELS {
                return Err(LayoutError::Limit { what: "labels", limit: limits::MAX_LABELS });
            }
            let mut key: Vec<(&str, &str)> = Vec::with_capacity(limits::MAX_LABELS);
            for label in entity.labels.iter().chain(&series.labels) {
                let reserved = RESERVED_LABELS.contains(&label.name.as_str());
                let repeated = key.iter().any(|(name, _)| *name == label.name);
                if reserved || repeated || !is_label_name(&label.name) {
                    return Err(LayoutError::Name { what: "label", name: label.name.clone() });
                }
                if label.value.len() > limits::MAX_LABEL_VALUE_BYTES {
                    let limit = limits::MAX_LABEL_VALUE_BYTES;
                    return Err(LayoutError::Limit { what: "a label value", limit });
                }
                key.push((&label.name, &label.value));
            }
            key.sort_unstable();
            if !seen.insert((series.metric, key)) {
                return Err(LayoutError::Twice(metric.name.clone()));
            }
        }
    }
    Ok(())
}

/// Prometheus' metric names: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[must_use]
pub fn is_metric_name(name: &str) -> bool {
    is_name(name, |c| c == ':')
}

/// Prometheus' label names: `[a-zA-Z_][a-zA-Z0-9_]*`.
#[must_use]
pub fn is_label_name(name: &str) -> bool {
    is_name(name, |_| false)
}

fn is_name(name: &str, also: impl Fn(char) -> bool) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || also(c));
    first
        && name.len() <= limits::MAX_NAME_BYTES
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || also(c))
}

/// The kind of a layout's metric; an unknown one (a newer agent's) counts as a gauge.
#[must_use]
pub fn kind(value: i32) -> MetricKind {
    match MetricKind::try_from(value) {
        Ok(MetricKind::Counter) => MetricKind::Counter,
        _ => MetricKind::Gauge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Label, LayoutEntity, LayoutMetric, LayoutSeries};

    fn label(name: &str, value: &str) -> Label {
        Label { name: name.into(), value: value.into() }
    }

    fn layout(labels: Vec<Label>, series: Vec<LayoutSeries>) -> Layout {
        Layout {
            collector: "host".into(),
            interval_ms: 1000,
            metrics: vec![LayoutMetric { name: "m".into(), kind: 1 }],
            entities: vec![LayoutEntity { r#type: "node".into(), labels, series }],
        }
    }

    fn decoded(layout: &Layout) -> Result<Layout, LayoutError> {
        let bytes = layout.encode_to_vec();
        decode(hash(&bytes), &bytes)
    }

    #[test]
    fn valid_layout_survives() {
        let good = layout(vec![label("cpu", "0")], vec![LayoutSeries::default()]);
        assert_eq!(decoded(&good), Ok(good));
    }

    #[test]
    fn broken_layouts_are_refused() {
        let one = || vec![LayoutSeries::default()];
        let f = |layout: Layout, want: &str| {
            let error = decoded(&layout).expect_err(want).to_string();
            assert!(error.contains(want), "{error:?} does not say {want:?}");
        };
        f(layout(vec![label("node", "x")], one()), "label name \"node\"");
        f(layout(vec![label("0a", "x")], one()), "label name \"0a\"");
        f(layout(vec![label("a", "1"), label("a", "2")], one()), "label name \"a\"");
        f(layout(vec![label("a", &"x".repeat(1025))], one()), "a label value over");
        f(layout(vec![], vec![LayoutSeries { metric: 1, labels: vec![] }]), "metric 1");
        f(layout(vec![], vec![LayoutSeries::default(); 2]), "twice");
        f(layout(vec![], vec![LayoutSeries::default(); 20_001]), "columns over");
        let mut named = layout(vec![], one());
        named.metrics[0].name = "a b".into();
        f(named, "metric name \"a b\"");
        assert_eq!(decode(1, b"x"), Err(LayoutError::Hash));
    }
}
