//! Writes ticks as the agent does: a layout for each collector and tier of a node, and numbers.
//!
//! What a part of the world emits is written once, in [`Out`] calls without side effects: run
//! with a shape it makes the layout, run without one only numbers. A part that loses or gains
//! series says so by another key, and gets another layout, as an agent's would.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use rustc_hash::FxHashMap;
use sextant_aggregator::catalog::{Catalog, Live};
use sextant_aggregator::series::NodeKey;
use sextant_proto::layout;
use sextant_proto::v1::{Event, Label, Layout, LayoutEntity, LayoutMetric, LayoutSeries};

use super::contract::Contract;

/// Where values go.
pub(crate) struct Out<'a> {
    values: &'a mut Vec<f64>,
    shape: Option<Shape<'a>>,
}

struct Shape<'a> {
    contract: &'a Contract,
    metrics: Vec<LayoutMetric>,
    numbers: BTreeMap<&'static str, u32>,
    entities: Vec<LayoutEntity>,
}

impl Out<'_> {
    /// The entity that the next values belong to.
    pub(crate) fn entity(&mut self, kind: &str, labels: &[(&str, &str)]) {
        if let Some(shape) = &mut self.shape {
            let (r#type, series) = (kind.to_owned(), Vec::new());
            shape.entities.push(LayoutEntity { r#type, labels: wire(labels), series });
        }
    }

    /// The node itself.
    pub(crate) fn node(&mut self) {
        self.entity("node", &[]);
    }

    /// A value.
    pub(crate) fn set(&mut self, metric: &'static str, value: f64) {
        self.set_with(metric, &[], value);
    }

    /// A value of a series with labels of its own.
    pub(crate) fn set_with(&mut self, metric: &'static str, labels: &[(&str, &str)], value: f64) {
        self.values.push(value);
        if let Some(shape) = &mut self.shape {
            shape.add(metric, labels);
        }
    }
}

impl Shape<'_> {
    fn add(&mut self, metric: &'static str, labels: &[(&str, &str)]) {
        let Self { contract, metrics, numbers, entities } = self;
        let number = *numbers.entry(metric).or_insert_with(|| {
            let kind = contract.metric(metric).kind;
            metrics.push(LayoutMetric { name: metric.into(), kind });
            u32::try_from(metrics.len() - 1).expect("a layout has few metrics")
        });
        let entity = entities.last_mut().expect("an entity comes before its values");
        entity.series.push(LayoutSeries { metric: number, labels: wire(labels) });
    }
}

fn wire(labels: &[(&str, &str)]) -> Vec<Label> {
    labels.iter().map(|(n, v)| Label { name: (*n).into(), value: (*v).into() }).collect()
}

/// An event, as collectors make them.
pub(crate) fn event(
    kind: &str,
    (entity_type, entity): (&str, &[(&str, &str)]),
    message: String,
    attributes: &[(&str, &str)],
) -> Event {
    Event {
        r#type: kind.into(),
        entity_type: entity_type.into(),
        entity: wire(entity),
        message,
        attributes: wire(attributes),
        ..Event::default()
    }
}

/// Which layout: a collector's tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub(crate) collector: &'static str,
    pub(crate) tier: u8,
    pub(crate) interval_s: i64,
}

/// What one step of the world gave.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) values: Vec<f64>,
    pub(crate) ticks: Vec<Told>,
    /// Node's number and event, before the ticks.
    pub(crate) events: Vec<(usize, Event)>,
}

/// A tick in a batch.
pub(crate) struct Told {
    pub(crate) node: usize,
    pub(crate) live: Arc<Live>,
    pub(crate) time_ms: i64,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl Batch {
    /// Nothing in it; keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.ticks.clear();
        self.events.clear();
    }

    /// The values of a tick.
    pub(crate) fn row(&self, tick: &Told) -> &[f64] {
        &self.values[tick.from..tick.to]
    }
}

/// The layouts of all nodes.
pub(crate) struct Layouts {
    contract: Contract,
    catalog: Catalog,
    known: FxHashMap<(usize, Slot, u64), Arc<Live>>,
    /// Of each node.
    count: FxHashMap<usize, u64>,
}

impl Layouts {
    pub(crate) fn new(contract: Contract) -> Self {
        let (catalog, known, count) =
            (Catalog::default(), FxHashMap::default(), FxHashMap::default());
        Self { contract, catalog, known, count }
    }

    /// Layouts that a node has had.
    pub(crate) fn of(&self, node: usize) -> u64 {
        self.count.get(&node).copied().unwrap_or_default()
    }

    /// Every series there is or was.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Writes a tick; `emit` is the same for the same slot and key, but for the values.
    pub(crate) fn tell(
        &mut self,
        (number, node): (usize, &Arc<NodeKey>),
        slot: Slot,
        key: u64,
        time_ms: i64,
        batch: &mut Batch,
        emit: impl Fn(&mut Out<'_>),
    ) {
        let from = batch.values.len();
        let Self { contract, catalog, known, count } = self;
        let live = known.entry((number, slot, key)).or_insert_with(|| {
            *count.entry(number).or_default() += 1;
            let mut unused = Vec::new();
            let (metrics, numbers, entities) = (Vec::new(), BTreeMap::new(), Vec::new());
            let shape = Some(Shape { contract, metrics, numbers, entities });
            let mut out = Out { values: &mut unused, shape };
            emit(&mut out);
            let shape = out.shape.expect("was given above");
            let decoded = Layout {
                collector: slot.collector.into(),
                interval_ms: u32::try_from(slot.interval_s * 1000).expect("minutes at most"),
                metrics: shape.metrics,
                entities: shape.entities,
            };
            let bytes = Bytes::from(decoded.encode_to_vec());
            let hash = layout::hash(&bytes);
            layout::decode(hash, &bytes).expect("the protocol takes what is emitted");
            catalog.add_layout(node, hash, &bytes, &decoded).0
        });
        emit(&mut Out { values: &mut batch.values, shape: None });
        let (live, to) = (Arc::clone(live), batch.values.len());
        debug_assert_eq!(live.layout.columns.len(), to - from, "{slot:?}");
        batch.ticks.push(Told { node: number, live, time_ms, from, to });
    }
}
