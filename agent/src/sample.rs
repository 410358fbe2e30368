//! What collectors produce: metrics, and a batch of their values for one tick.
//!
//! A [`Batch`] keeps the shape of the last tick. As long as a collector sets the same series in
//! the same order, a tick writes numbers into a vector and allocates nothing; the first
//! difference makes a new layout.

use bytes::Bytes;
use prost::Message as _;
use sextant_proto::frame::ABSENT;
use sextant_proto::v1::{
    Event, Label, Layout, LayoutEntity, LayoutMetric, LayoutSeries, MetricDescriptor, MetricKind,
    Severity,
};
use sextant_proto::{layout, limits};

/// What there is to know about a metric without its values. Always a `static`.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// The full name, as Prometheus shows it.
    pub name: &'static str,
    pub kind: MetricKind,
    /// UCUM base unit: "s", "By", "Cel", "Hz", "1"; empty for none.
    pub unit: &'static str,
    pub help: &'static str,
}

impl Metric {
    /// A value that goes up and down.
    #[must_use]
    pub const fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> Self {
        Self { name, kind: MetricKind::Gauge, unit, help }
    }

    /// A value that grows until it starts again at zero.
    #[must_use]
    pub const fn counter(name: &'static str, unit: &'static str, help: &'static str) -> Self {
        Self { name, kind: MetricKind::Counter, unit, help }
    }

    /// The wire's form of it.
    #[must_use]
    pub fn descriptor(&self) -> MetricDescriptor {
        MetricDescriptor {
            name: self.name.into(),
            kind: self.kind.into(),
            unit: self.unit.into(),
            help: self.help.into(),
        }
    }
}

/// Set on the entity of a field that exists but cannot be read: value 1 with the metric's name
/// and the reason as labels.
pub static UNAVAILABLE: Metric = Metric::gauge(
    "sextant_unavailable",
    "",
    "A field that exists and could not be read, with the reason why.",
);

type Labels = Vec<(&'static str, String)>;

struct Entity {
    kind: &'static str,
    labels: Labels,
    series: Vec<Column>,
}

struct Column {
    metric: &'static Metric,
    labels: Labels,
    /// An earlier column is the same series: its value is not sent.
    twice: bool,
}

/// The values of one tick of one collector's tier.
#[derive(Default)]
pub struct Batch {
    entities: Vec<Entity>,
    /// Entities and series of the current one seen so far in this tick.
    entity: usize,
    series: usize,
    values: Vec<f64>,
    changed: bool,
    overflow: u64,
    failures: Vec<(&'static str, String)>,
    events: Vec<Event>,
    encoded: Option<(u64, Bytes)>,
    any_twice: bool,
}

/// What a tick came to.
pub struct Tick<'a> {
    /// Name and bytes of the layout; the bytes are the same object until the shape changes.
    pub layout: (u64, Bytes),
    /// One value per column.
    pub values: &'a [f64],
    pub events: Vec<Event>,
}

impl Batch {
    /// Starts a tick: what was set before is gone, its shape is kept for comparison.
    pub fn begin(&mut self) {
        (self.entity, self.series) = (0, 0);
        self.values.clear();
        self.changed = false;
        self.overflow = 0;
        self.failures.clear();
        self.events.clear();
    }

    /// The entity that the next values belong to: its type ("cpu", "disk") and the labels that
    /// identify it within its node. Entities with no label are the node itself.
    pub fn entity(
        &mut self,
        kind: &'static str,
        labels: &[(&'static str, &str)],
    ) -> EntityValues<'_> {
        self.close_entity();
        let known = self.entities.get(self.entity);
        if !known.is_some_and(|e| e.kind == kind && same(&e.labels, labels)) {
            self.changed = true;
            self.entities.truncate(self.entity);
            self.entities.push(Entity { kind, labels: owned(labels), series: Vec::new() });
        }
        self.entity += 1;
        self.series = 0;
        EntityValues { batch: self }
    }

    /// The node itself as entity.
    pub fn node(&mut self) -> EntityValues<'_> {
        self.entity("node", &[])
    }

    /// Something that happened.
    pub fn event(&mut self, event: Event) {
        if self.events.len() < limits::MAX_EVENTS_PER_FRAME {
            self.events.push(event);
        } else {
            self.overflow += 1;
        }
    }

    /// A source that could not be read, while the others could. `source` is a stable name
    /// ("diskstats"); the runner counts it and logs the first failure and the recovery.
    pub fn fail(&mut self, source: &'static str, error: &dyn std::fmt::Display) {
        self.failures.push((source, error.to_string()));
    }

    /// Sources that failed in this tick.
    #[must_use]
    pub fn failures(&self) -> &[(&'static str, String)] {
        &self.failures
    }

    /// Series and events beyond the protocol's limits, dropped in this tick.
    #[must_use]
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    /// Whether anything was set or happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.events.is_empty()
    }

    /// Ends the tick. The layout belongs to `collector` and its `interval_ms`.
    pub fn finish(&mut self, collector: &str, interval_ms: u32) -> Tick<'_> {
        self.close_entity();
        if self.entity < self.entities.len() {
            self.changed = true;
            self.entities.truncate(self.entity);
        }
        let layout = match self.encoded.take() {
            Some(encoded) if !self.changed => encoded,
            _ => self.encode(collector, interval_ms),
        };
        self.encoded = Some(layout.clone());
        if self.any_twice {
            let columns = self.entities.iter().flat_map(|e| &e.series);
            let mut keep = columns.map(|c| !c.twice);
            self.values.retain(|_| keep.next().unwrap_or(false));
        }
        Tick { layout, values: &self.values, events: std::mem::take(&mut self.events) }
    }

    fn close_entity(&mut self) {
        if let Some(last) = self.entity.checked_sub(1).and_then(|i| self.entities.get_mut(i))
            && last.series.len() != self.series
        {
            self.changed = true;
            last.series.truncate(self.series);
        }
    }

    fn push(&mut self, metric: &'static Metric, labels: &[(&'static str, &str)], value: f64) {
        if self.values.len() >= limits::MAX_SAMPLES_PER_FRAME {
            self.overflow += 1;
            return;
        }
        let Some(entity) = self.entity.checked_sub(1).and_then(|i| self.entities.get_mut(i)) else {
            return;
        };
        let known = entity.series.get(self.series);
        if !known.is_some_and(|c| std::ptr::eq(c.metric, metric) && same(&c.labels, labels)) {
            self.changed = true;
            entity.series.truncate(self.series);
            entity.series.push(Column { metric, labels: owned(labels), twice: false });
        }
        self.series += 1;
        self.values.push(value);
    }

    /// Builds the layout anew, leaving out series that occur twice.
    fn encode(&mut self, collector: &str, interval_ms: u32) -> (u64, Bytes) {
        let mut out = Layout { collector: collector.into(), interval_ms, ..Layout::default() };
        let mut numbers = rustc_hash::FxHashMap::default();
        let mut seen = rustc_hash::FxHashSet::default();
        self.any_twice = false;
        for entity in &mut self.entities {
            let mut series = Vec::with_capacity(entity.series.len());
            for column in &mut entity.series {
                let mut key: Vec<_> = entity.labels.iter().chain(&column.labels).cloned().collect();
                key.sort_unstable();
                column.twice = !seen.insert((column.metric.name, key));
                self.any_twice |= column.twice;
                if column.twice {
                    continue;
                }
                let metric = *numbers.entry(column.metric.name).or_insert_with(|| {
                    let Metric { name, kind, .. } = column.metric;
                    out.metrics.push(LayoutMetric { name: (*name).into(), kind: (*kind).into() });
                    u32::try_from(out.metrics.len() - 1).unwrap_or(u32::MAX)
                });
                series.push(LayoutSeries { metric, labels: wire(&column.labels) });
            }
            let labels = wire(&entity.labels);
            out.entities.push(LayoutEntity { r#type: entity.kind.into(), labels, series });
        }
        let bytes = Bytes::from(out.encode_to_vec());
        (layout::hash(&bytes), bytes)
    }
}

/// The values of one entity within a [`Batch`].
pub struct EntityValues<'a> {
    batch: &'a mut Batch,
}

impl EntityValues<'_> {
    /// Sets a value.
    pub fn set(&mut self, metric: &'static Metric, value: f64) -> &mut Self {
        self.set_with(metric, &[], value)
    }

    /// Sets a value of a series with labels beside those of the entity.
    pub fn set_with(
        &mut self,
        metric: &'static Metric,
        labels: &[(&'static str, &str)],
        value: f64,
    ) -> &mut Self {
        self.batch.push(metric, labels, value);
        self
    }

    /// Sets what there is: `None` keeps the column and says that this tick has no sample. For a
    /// series that comes and goes; one that is not supported is simply never set.
    pub fn set_opt(&mut self, metric: &'static Metric, value: Option<f64>) -> &mut Self {
        self.set(metric, value.unwrap_or(ABSENT))
    }

    /// Says that a field exists and could not be read.
    pub fn unavailable(&mut self, metric: &'static Metric, reason: &str) -> &mut Self {
        self.set_with(&UNAVAILABLE, &[("metric", metric.name), ("reason", reason)], 1.0)
    }
}

fn same(known: &[(&'static str, String)], given: &[(&'static str, &str)]) -> bool {
    known.len() == given.len()
        && known.iter().zip(given).all(|(k, g)| k.0 == g.0 && k.1 == clip(g.1))
}

fn owned(labels: &[(&'static str, &str)]) -> Labels {
    labels.iter().map(|(name, value)| (*name, clip(value).to_owned())).collect()
}

/// A label value within the protocol's limit.
fn clip(value: &str) -> &str {
    clipped(value, limits::MAX_LABEL_VALUE_BYTES)
}

/// Text of at most so many bytes, cut at a character.
pub(crate) fn clipped(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

fn wire(labels: &[(&'static str, String)]) -> Vec<Label> {
    labels.iter().map(|(n, v)| Label { name: (*n).into(), value: v.clone() }).collect()
}

/// An event about the node itself; its time is set when the frame is made if it is 0.
#[must_use]
pub fn node_event(kind: &str, severity: Severity, message: String) -> Event {
    Event {
        time_unix_ms: 0,
        r#type: kind.into(),
        severity: severity.into(),
        entity_type: "node".into(),
        entity: Vec::new(),
        message,
        attributes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static A: Metric = Metric::gauge("a", "", "A.");
    static B: Metric = Metric::counter("b_total", "", "B.");

    fn tick(batch: &mut Batch, cpus: &[&str], value: f64) -> (u64, Vec<f64>) {
        batch.begin();
        batch.node().set(&A, value);
        for cpu in cpus {
            batch.entity("cpu", &[("cpu", cpu)]).set_with(&B, &[("mode", "idle")], value);
        }
        let tick = batch.finish("test", 1000);
        layout::decode(tick.layout.0, &tick.layout.1).expect("valid layout");
        (tick.layout.0, tick.values.to_vec())
    }

    #[test]
    fn layout_follows_the_shape_and_nothing_else() {
        let mut batch = Batch::default();
        let two = tick(&mut batch, &["0", "1"], 1.0);
        assert_eq!(two.1, [1.0, 1.0, 1.0]);
        assert_eq!(tick(&mut batch, &["0", "1"], 2.0), (two.0, vec![2.0; 3]));
        let one = tick(&mut batch, &["0"], 3.0);
        assert_ne!(one.0, two.0);
        assert_eq!(one.1, [3.0, 3.0]);
        assert_ne!(tick(&mut batch, &["1"], 3.0).0, one.0);
        assert_eq!(tick(&mut batch, &["0", "1"], 4.0), (two.0, vec![4.0; 3]));
    }

    #[test]
    fn series_set_twice_is_sent_once() {
        let mut batch = Batch::default();
        for _ in 0..2 {
            let (_, values) = tick(&mut batch, &["0", "0", "1"], 1.0);
            assert_eq!(values.len(), 3);
        }
    }

    #[test]
    fn too_many_series_are_dropped_and_counted() {
        let mut batch = Batch::default();
        batch.begin();
        let mut node = batch.node();
        for i in 0..limits::MAX_SAMPLES_PER_FRAME + 5 {
            node.set_with(&A, &[("i", &i.to_string())], 0.0);
        }
        assert_eq!(batch.overflow(), 5);
        assert_eq!(batch.finish("test", 1).values.len(), limits::MAX_SAMPLES_PER_FRAME);
    }
}
