//! Values on their way from a GPU's thread to the collector: metrics with labels that are
//! compiled in, in a buffer that is kept.

use sextant_proto::frame::ABSENT;

use crate::sample::{EntityValues, Metric};

/// Labels whose names and values are known when this is compiled.
pub(super) type Labels = [(&'static str, &'static str)];
/// More than any metric of this kind has beside its entity's.
const MOST_LABELS: usize = 3;

/// One value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) metric: &'static Metric,
    labels: [(&'static str, &'static str); MOST_LABELS],
    label_count: usize,
    /// [`ABSENT`] when it could not be had this time.
    pub(super) value: f64,
}

impl Row {
    fn labels(&self) -> &Labels {
        &self.labels[..self.label_count]
    }
}

/// The values of one entity in one tick.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    /// Values that NVML gave and that cannot be.
    pub(super) rejected: u64,
}

impl Rows {
    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    #[cfg(test)]
    fn iter(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    /// Adds a value; `None` says that there is such a series and no sample of it.
    pub(super) fn set(&mut self, metric: &'static Metric, labels: &Labels, value: Option<f64>) {
        debug_assert!(labels.len() <= MOST_LABELS, "{}", metric.name);
        let label_count = labels.len().min(MOST_LABELS);
        let mut row = Row {
            metric,
            labels: [("", ""); MOST_LABELS],
            label_count,
            value: value.unwrap_or(ABSENT),
        };
        row.labels[..label_count].copy_from_slice(&labels[..label_count]);
        self.rows.push(row);
    }

    /// Adds a value that is one only within a range; beside it, it is rejected and counted.
    pub(super) fn set_within(
        &mut self,
        metric: &'static Metric,
        labels: &Labels,
        value: Option<f64>,
        range: std::ops::RangeInclusive<f64>,
        scale: f64,
    ) {
        let inside = value.filter(|value| range.contains(value));
        self.rejected += u64::from(value.is_some() && inside.is_none());
        self.set(metric, labels, inside.map(|value| value * scale));
    }

    /// Adds what another one has.
    pub(super) fn extend(&mut self, other: &Self) {
        self.rows.extend_from_slice(&other.rows);
    }

    /// Writes all to an entity. Stale values keep their columns and say that there is no sample.
    pub(super) fn write(&self, entity: &mut EntityValues<'_>, stale: bool) {
        for row in &self.rows {
            let value = if stale { ABSENT } else { row.value };
            entity.set_with(row.metric, row.labels(), value);
        }
    }
}

/// A value with labels that are made at run time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TextRow {
    pub(super) metric: &'static Metric,
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: f64,
}

impl TextRow {
    pub(super) fn write(&self, entity: &mut EntityValues<'_>) {
        write_labelled(entity, self.metric, &self.labels, self.value);
    }
}

/// More labels than any metric has: `gpu_info` has 17.
const MOST_OWNED_LABELS: usize = 24;

/// Writes a value with labels that are owned; at most [`MOST_OWNED_LABELS`] of them.
pub(super) fn write_labelled(
    entity: &mut EntityValues<'_>,
    metric: &'static Metric,
    labels: &[(&'static str, String)],
    value: f64,
) {
    debug_assert!(labels.len() <= MOST_OWNED_LABELS, "{}", metric.name);
    let mut borrowed = [("", ""); MOST_OWNED_LABELS];
    let count = labels.len().min(borrowed.len());
    for (to, (name, text)) in borrowed.iter_mut().zip(labels) {
        *to = (name, text);
    }
    entity.set_with(metric, &borrowed[..count], value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::gpu::metrics;

    #[test]
    fn what_is_out_of_range_is_counted_and_absent() {
        let mut rows = Rows::default();
        rows.set_within(&metrics::UTILIZATION, &[], Some(50.0), 0.0..=100.0, 0.01);
        rows.set_within(&metrics::UTILIZATION, &[], Some(101.0), 0.0..=100.0, 0.01);
        rows.set_within(&metrics::UTILIZATION, &[], None, 0.0..=100.0, 0.01);
        let values: Vec<f64> = rows.iter().map(|row| row.value).collect();
        assert_eq!(values[0], 0.5);
        assert!(values[1].is_nan() && values[2].is_nan());
        assert_eq!(rows.rejected, 1);
    }
}
