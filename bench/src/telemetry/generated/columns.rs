//! Layouts, line by line.

use sextant_proto::v1::{Label, Layout, LayoutEntity, LayoutMetric, LayoutSeries, MetricKind};

/// Metric, labels beside the entity's.
pub(super) type Line = (&'static str, &'static [(&'static str, &'static str)]);

/// A layout that is being made.
pub(super) struct Columns(Layout);

impl Columns {
    pub(super) fn new(collector: &str, interval_ms: u32) -> Self {
        Self(Layout { collector: collector.into(), interval_ms, ..Layout::default() })
    }

    /// Adds an entity with its series.
    pub(super) fn entity(&mut self, kind: &str, labels: &[(&str, &str)], lines: &[Line]) {
        let series = lines
            .iter()
            .map(|(metric, labels)| LayoutSeries {
                metric: self.metric(metric),
                labels: wire(labels),
            })
            .collect();
        let entity = LayoutEntity { r#type: kind.into(), labels: wire(labels), series };
        self.0.entities.push(entity);
    }

    pub(super) fn finish(self) -> Layout {
        self.0
    }

    /// A metric's number. Counters have the names that counters have.
    fn metric(&mut self, name: &str) -> u32 {
        let metrics = &mut self.0.metrics;
        let number = metrics.iter().position(|metric| metric.name == name).unwrap_or_else(|| {
            let counter = name.ends_with("_total")
                || name.starts_with("node_netstat_Tcp_")
                || name.starts_with("node_vmstat_pg");
            let kind = if counter { MetricKind::Counter } else { MetricKind::Gauge };
            metrics.push(LayoutMetric { name: name.into(), kind: kind.into() });
            metrics.len() - 1
        });
        u32::try_from(number).expect("a layout has few metrics")
    }
}

fn wire(labels: &[(&str, &str)]) -> Vec<Label> {
    labels
        .iter()
        .map(|(name, value)| Label { name: (*name).into(), value: (*value).into() })
        .collect()
}
