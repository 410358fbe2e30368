//! Every series that is known, and how to find it: label pair → bitmap of series ids.
//!
//! Written when a layout is new, which is rare; read by queries and the exposition. A steady
//! tick does not come here: a session keeps what it resolved.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;
use rustc_hash::{FxHashMap, FxHashSet};
use sextant_proto::layout;
use sextant_proto::v1::{Label, Layout, MetricDescriptor};

use crate::head::Head;
use crate::selector::Selector;
use crate::series::{LabelPair, LayoutId, NodeId, NodeKey, NodeLayout, Series, SeriesId};
use crate::storage::LayoutRecord;

/// A layout with its newest samples.
#[derive(Debug)]
pub struct Live {
    pub layout: NodeLayout,
    pub head: Mutex<Head>,
}

/// Where a series' samples are: a layout and the column in it.
pub type Placement = (Arc<Live>, usize);

/// The index of series, layouts and metrics.
#[derive(Debug, Default)]
pub struct Catalog {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    symbols: FxHashSet<Arc<str>>,
    layouts: FxHashMap<LayoutId, Arc<Live>>,
    by_hash: FxHashMap<(NodeId, u64), Arc<Live>>,
    by_node: FxHashMap<NodeId, Vec<Arc<Live>>>,
    next_layout: u32,
    series: Vec<Entry>,
    by_key: FxHashMap<SeriesKey, SeriesId>,
    postings: FxHashMap<Arc<str>, BTreeMap<Arc<str>, RoaringBitmap>>,
    metrics: FxHashMap<String, MetricDescriptor>,
}

#[derive(Debug)]
struct Entry {
    series: Arc<Series>,
    placements: Vec<(LayoutId, usize)>,
}

type SeriesKey = (NodeId, Arc<str>, Vec<LabelPair>);

impl Catalog {
    /// Adds a layout that is already decoded and checked. Returns it, and its record when it
    /// is new and has to be stored.
    pub fn add_layout(
        &self,
        node: &Arc<NodeKey>,
        hash: u64,
        bytes: &Bytes,
        decoded: &Layout,
    ) -> (Arc<Live>, Option<LayoutRecord>) {
        if let Some(live) = self.layout_by_hash(node.id, hash) {
            return (live, None);
        }
        let mut inner = self.inner.write();
        if let Some(live) = inner.by_hash.get(&(node.id, hash)) {
            return (Arc::clone(live), None);
        }
        let id = LayoutId(inner.next_layout);
        let live = inner.insert(id, node, hash, decoded);
        let record = LayoutRecord { id: id.0, node: node.id.0, hash, bytes: bytes.clone() };
        (live, Some(record))
    }

    /// Adds a layout that the store already has.
    pub fn restore_layout(&self, record: &LayoutRecord, node: &Arc<NodeKey>, decoded: &Layout) {
        self.inner.write().insert(LayoutId(record.id), node, record.hash, decoded);
    }

    /// A layout of a node by its name.
    #[must_use]
    pub fn layout_by_hash(&self, node: NodeId, hash: u64) -> Option<Arc<Live>> {
        self.inner.read().by_hash.get(&(node, hash)).cloned()
    }

    /// A layout by its number.
    #[must_use]
    pub fn layout(&self, id: LayoutId) -> Option<Arc<Live>> {
        self.inner.read().layouts.get(&id).cloned()
    }

    /// The layouts of a node, oldest first.
    #[must_use]
    pub fn layouts_of(&self, node: NodeId) -> Vec<Arc<Live>> {
        self.inner.read().by_node.get(&node).cloned().unwrap_or_default()
    }

    /// All layouts.
    #[must_use]
    pub fn layouts(&self) -> Vec<Arc<Live>> {
        self.inner.read().layouts.values().cloned().collect()
    }

    /// Columns of a node's layouts that still get frames: those of the last hour.
    #[must_use]
    pub fn live_columns(&self, node: NodeId, now_ms: i64) -> usize {
        let own = self.layouts_of(node);
        let live = own.iter().filter(|l| l.head.lock().arrived_ms() > now_ms - 3_600_000);
        live.map(|l| l.layout.columns.len()).sum()
    }

    /// Adds or replaces descriptors; returns those that were not known like this.
    pub fn describe(&self, metrics: &[MetricDescriptor]) -> Vec<MetricDescriptor> {
        let known = self.inner.read();
        let is_new = |m: &&MetricDescriptor| {
            layout::is_metric_name(&m.name) && known.metrics.get(&m.name) != Some(*m)
        };
        let new: Vec<_> = metrics.iter().filter(is_new).cloned().collect();
        drop(known);
        if !new.is_empty() {
            let mut inner = self.inner.write();
            inner.metrics.extend(new.iter().map(|m| (m.name.clone(), m.clone())));
        }
        new
    }

    /// What an agent said about a metric.
    #[must_use]
    pub fn descriptor(&self, metric: &str) -> Option<MetricDescriptor> {
        self.inner.read().metrics.get(metric).cloned()
    }

    /// Names of all metrics that have series, sorted.
    #[must_use]
    pub fn metric_names(&self) -> Vec<Arc<str>> {
        let inner = self.inner.read();
        inner.postings.get("__name__").map(|v| v.keys().cloned().collect()).unwrap_or_default()
    }

    /// The series that a selector matches, by id; and whether there were more than `limit`.
    #[must_use]
    pub fn select(&self, selector: &Selector, limit: usize) -> (Vec<Arc<Series>>, bool) {
        let inner = self.inner.read();
        let ids = inner.matching(selector);
        let more = ids.len() > limit as u64;
        let entry = |id: u32| inner.series.get(id as usize).map(|e| Arc::clone(&e.series));
        (ids.iter().take(limit).filter_map(entry).collect(), more)
    }

    /// The ids of the series that a selector matches.
    #[must_use]
    pub fn select_ids(&self, selector: &Selector) -> RoaringBitmap {
        self.inner.read().matching(selector)
    }

    /// The layouts that a series is or was part of, oldest first.
    #[must_use]
    pub fn placements(&self, id: SeriesId) -> Vec<Placement> {
        let inner = self.inner.read();
        let Some(entry) = inner.series.get(id.0 as usize) else { return Vec::new() };
        let live = |(layout, column): &(LayoutId, usize)| {
            inner.layouts.get(layout).map(|l| (Arc::clone(l), *column))
        };
        entry.placements.iter().filter_map(live).collect()
    }

    /// Number of series, those of the past included.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.inner.read().series.len()
    }
}

impl Inner {
    fn insert(
        &mut self,
        id: LayoutId,
        node: &Arc<NodeKey>,
        hash: u64,
        decoded: &Layout,
    ) -> Arc<Live> {
        self.next_layout = self.next_layout.max(id.0 + 1);
        let mut columns = Vec::with_capacity(layout::columns(decoded));
        for entity in &decoded.entities {
            let kind = self.symbol(&entity.r#type);
            let own = self.pairs(&entity.labels);
            for series in &entity.series {
                let Some(metric) = decoded.metrics.get(series.metric as usize) else { continue };
                let name = self.symbol(&metric.name);
                let mut labels = own.clone();
                labels.extend(self.pairs(&series.labels));
                labels.sort();
                let key = (node.id, name, labels);
                let placement = (id, columns.len());
                columns.push(self.intern(
                    key,
                    node,
                    layout::kind(metric.kind),
                    &kind,
                    &own,
                    placement,
                ));
            }
        }
        let layout = NodeLayout {
            id,
            node: Arc::clone(node),
            hash,
            collector: decoded.collector.clone(),
            interval_ms: decoded.interval_ms.max(1),
            columns,
        };
        let head = Mutex::new(Head::new(id, layout.columns.len()));
        let live = Arc::new(Live { layout, head });
        self.layouts.insert(id, Arc::clone(&live));
        self.by_hash.insert((node.id, hash), Arc::clone(&live));
        self.by_node.entry(node.id).or_default().push(Arc::clone(&live));
        live
    }

    fn intern(
        &mut self,
        key: SeriesKey,
        node: &Arc<NodeKey>,
        kind: sextant_proto::v1::MetricKind,
        entity_type: &Arc<str>,
        entity: &[LabelPair],
        placement: (LayoutId, usize),
    ) -> Arc<Series> {
        if let Some(entry) = self.by_key.get(&key).and_then(|id| self.series.get_mut(id.0 as usize))
        {
            entry.placements.push(placement);
            return Arc::clone(&entry.series);
        }
        let number =
            u32::try_from(self.series.len()).expect("fewer than 2^32 series fit in memory");
        let (_, metric, labels) = key.clone();
        let series = Arc::new(Series {
            id: SeriesId(number),
            node: Arc::clone(node),
            metric,
            kind,
            entity_type: Arc::clone(entity_type),
            entity: entity.to_vec(),
            labels,
        });
        self.by_key.insert(key, series.id);
        let fixed =
            [("__name__", &series.metric), ("cluster", &node.cluster), ("node", &node.name)];
        for (name, value) in fixed {
            let name = self.symbol(name);
            let values = self.postings.entry(name).or_default();
            values.entry(Arc::clone(value)).or_default().insert(number);
        }
        for (name, value) in &series.labels {
            let values = self.postings.entry(Arc::clone(name)).or_default();
            values.entry(Arc::clone(value)).or_default().insert(number);
        }
        self.series.push(Entry { series: Arc::clone(&series), placements: vec![placement] });
        series
    }

    fn symbol(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.symbols.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.symbols.insert(Arc::clone(&new));
        new
    }

    fn pairs(&mut self, labels: &[Label]) -> Vec<LabelPair> {
        labels.iter().map(|l| (self.symbol(&l.name), self.symbol(&l.value))).collect()
    }

    fn matching(&self, selector: &Selector) -> RoaringBitmap {
        let mut found: Option<RoaringBitmap> = None;
        let mut without = RoaringBitmap::new();
        for matcher in selector.matchers() {
            let values = self.postings.get(matcher.name());
            let having = |wanted: bool| -> RoaringBitmap {
                if let Some(exact) = matcher.exact().filter(|_| wanted) {
                    return values.and_then(|v| v.get(exact)).cloned().unwrap_or_default();
                }
                let all = values.into_iter().flatten();
                let of = all.filter(|(v, _)| matcher.matches(v) == wanted);
                of.fold(RoaringBitmap::new(), |set, (_, ids)| set | ids)
            };
            if matcher.matches("") {
                // Series without the label match too: take out those that have another value.
                without |= having(false);
            } else {
                let ids = having(true);
                found = Some(found.map_or_else(|| ids.clone(), |f| f & &ids));
            }
        }
        let all = || (0..u32::try_from(self.series.len()).unwrap_or(u32::MAX)).collect();
        found.unwrap_or_else(all) - without
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sextant_proto::v1::{LayoutEntity, LayoutMetric, LayoutSeries};

    fn catalog() -> Catalog {
        let catalog = Catalog::default();
        for (number, name) in ["a", "b"].iter().enumerate() {
            let id = NodeId(u32::try_from(number).expect("small"));
            let node = Arc::new(NodeKey { id, cluster: "c".into(), name: (*name).into() });
            let label = |v: &str| vec![Label { name: "cpu".into(), value: v.into() }];
            let entity = |labels| LayoutEntity {
                r#type: "cpu".into(),
                labels,
                series: vec![LayoutSeries::default(), LayoutSeries { metric: 1, labels: vec![] }],
            };
            let metric = |name: &str| LayoutMetric { name: name.into(), kind: 1 };
            let layout = Layout {
                collector: "host".into(),
                interval_ms: 1000,
                metrics: vec![metric("one"), metric("two")],
                entities: vec![entity(label("0")), entity(label("1")), entity(vec![])],
            };
            catalog.add_layout(&node, 1, &Bytes::new(), &layout);
        }
        catalog
    }

    #[test]
    fn selectors_follow_prometheus_rules() {
        let catalog = catalog();
        let f = |selector: &str, want: usize| {
            let selector = Selector::parse(selector).expect("parses");
            assert_eq!(catalog.select(&selector, 100).0.len(), want, "{selector:?}");
        };
        f("one", 6);
        f("one{node=\"a\"}", 3);
        f("one{cpu=\"0\"}", 2);
        f("one{cpu=\"\"}", 2);
        f("one{cpu!=\"0\"}", 4);
        f("one{cpu=~\"0|1\",node!~\"b\"}", 2);
        f("{__name__=~\"one|two\",cpu=~\".+\"}", 8);
        f("{cluster=\"c\"}", 12);
        f("three", 0);
    }

    #[test]
    fn same_layout_twice_is_one_and_a_new_one_shares_its_series() {
        let catalog = catalog();
        assert_eq!(catalog.series_count(), 12);
        let node = Arc::clone(&catalog.layouts()[0].layout.node);
        let metric = LayoutMetric { name: "one".into(), kind: 1 };
        let entity = LayoutEntity {
            r#type: "cpu".into(),
            labels: vec![],
            series: vec![LayoutSeries::default()],
        };
        let layout = Layout {
            collector: "host".into(),
            interval_ms: 1,
            metrics: vec![metric],
            entities: vec![entity],
        };
        assert!(catalog.add_layout(&node, 2, &Bytes::new(), &layout).1.is_some());
        let (live, again) = catalog.add_layout(&node, 2, &Bytes::new(), &layout);
        assert!(again.is_none());
        assert_eq!(catalog.series_count(), 12);
        assert_eq!(catalog.placements(live.layout.columns[0].id).len(), 2);
    }
}
