//! The fleet's fresh values as projections read them: by node, entity and metric.
//!
//! Of a metric of an entity only the samples of its newest tick are here. A layout that gave way
//! to another is fresh for some intervals yet; without this an owner that changed would be two
//! for as long.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::series::{LabelPair, NodeId, NodeKey, Series};

/// A value and its series.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) series: Arc<Series>,
    pub(crate) tick_ms: i64,
    pub(crate) value: f64,
}

/// The nodes that have values, in the order of their ids.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) nodes: Vec<NodeView>,
}

/// A node's entities, by type and labels.
#[derive(Debug)]
pub(crate) struct NodeView {
    pub(crate) key: Arc<NodeKey>,
    entities: Vec<Entity>,
}

/// An entity's samples, by metric.
#[derive(Debug)]
pub(crate) struct Entity {
    kind: Arc<str>,
    labels: Vec<LabelPair>,
    samples: Vec<Sample>,
}

impl Fleet {
    /// Groups samples; of a series only one may be given.
    pub(crate) fn new(samples: impl Iterator<Item = Sample>) -> Self {
        let mut groups: Vec<Vec<Sample>> = Vec::new();
        let mut known = FxHashMap::default();
        let mut last = 0;
        for sample in samples {
            // A layout has the series of an entity together: mostly it is the one before.
            let same = |group: &Vec<Sample>| group.first().is_some_and(|s| s.is_of_entity(&sample));
            if !groups.get(last).is_some_and(same) {
                let series = &sample.series;
                let kind = Arc::clone(&series.entity_type);
                let key = (series.node.id, kind, series.entity.clone());
                last = *known.entry(key).or_insert(groups.len());
                if last == groups.len() {
                    groups.push(Vec::new());
                }
            }
            groups[last].push(sample);
        }
        let mut nodes: FxHashMap<NodeId, NodeView> = FxHashMap::default();
        for ((id, kind, labels), at) in known {
            let samples = std::mem::take(&mut groups[at]);
            let Some(first) = samples.first() else { continue };
            let key = Arc::clone(&first.series.node);
            let node = nodes.entry(id).or_insert_with(|| NodeView { key, entities: Vec::new() });
            node.entities.push(Entity::new(kind, labels, samples));
        }
        let mut nodes: Vec<NodeView> = nodes.into_values().collect();
        nodes.sort_by_key(|n| n.key.id);
        for node in &mut nodes {
            node.entities.sort_by(|a, b| (&a.kind, &a.labels).cmp(&(&b.kind, &b.labels)));
        }
        Self { nodes }
    }
}

impl NodeView {
    /// The entities of a type.
    pub(crate) fn entities(&self, kind: &str) -> impl Iterator<Item = &Entity> {
        self.entities.iter().filter(move |e| *e.kind == *kind)
    }

    /// The samples of a metric, whatever entity they are of.
    pub(crate) fn samples(&self, metric: &str) -> impl Iterator<Item = &Sample> {
        self.entities.iter().flat_map(move |e| e.samples(metric))
    }

    /// The one value of a metric that is about the node.
    pub(crate) fn value(&self, metric: &str) -> Option<f64> {
        self.samples(metric).next().map(|s| s.value)
    }
}

impl Entity {
    fn new(kind: Arc<str>, labels: Vec<LabelPair>, mut samples: Vec<Sample>) -> Self {
        samples.sort_by(|a, b| {
            let newest = b.tick_ms.cmp(&a.tick_ms);
            a.series
                .metric
                .cmp(&b.series.metric)
                .then(newest)
                .then_with(|| a.series.labels.cmp(&b.series.labels))
        });
        let mut newest: Option<(Arc<str>, i64)> = None;
        samples.retain(|s| match &newest {
            Some((metric, tick)) if *metric == s.series.metric => s.tick_ms == *tick,
            _ => {
                newest = Some((Arc::clone(&s.series.metric), s.tick_ms));
                true
            }
        });
        Self { kind, labels, samples }
    }

    /// A label that identifies it.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(n, _)| &**n == name).map(|(_, v)| &**v)
    }

    /// The samples of a metric, by labels.
    pub(crate) fn samples(&self, metric: &str) -> &[Sample] {
        let start = self.samples.partition_point(|s| &*s.series.metric < metric);
        let rest = &self.samples[start..];
        &rest[..rest.partition_point(|s| &*s.series.metric == metric)]
    }

    /// The first value of a metric.
    pub(crate) fn value(&self, metric: &str) -> Option<f64> {
        self.samples(metric).first().map(|s| s.value)
    }

    /// The first sample of a metric whose labels say all of this.
    pub(crate) fn with(&self, metric: &str, labels: &[(&str, &str)]) -> Option<&Sample> {
        let says = |s: &&Sample| labels.iter().all(|(n, v)| s.label(n) == Some(v));
        self.samples(metric).iter().find(says)
    }

    /// What a label of an info metric says; empty is nothing.
    pub(crate) fn info(&self, metric: &str, label: &str) -> Option<&str> {
        self.samples(metric).first()?.label(label).filter(|t| !t.is_empty())
    }
}

impl Sample {
    /// A label of the series.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.series.label(name)
    }

    fn is_of_entity(&self, other: &Self) -> bool {
        let (a, b) = (&self.series, &other.series);
        (a.node.id, &a.entity_type, &a.entity) == (b.node.id, &b.entity_type, &b.entity)
    }
}

/// A sample of a series of node "n" in cluster "c".
#[cfg(test)]
pub(crate) fn test_sample(
    id: u32,
    kind: &str,
    entity: &[(&str, &str)],
    metric: &str,
    labels: &[(&str, &str)],
    tick_ms: i64,
    value: f64,
) -> Sample {
    let pairs = |labels: &[(&str, &str)]| -> Vec<LabelPair> {
        let given = labels.iter().filter(|(n, _)| !n.is_empty());
        given.map(|(n, v)| ((*n).into(), (*v).into())).collect()
    };
    let node = Arc::new(NodeKey { id: NodeId(0), cluster: "c".into(), name: "n".into() });
    let entity = pairs(entity);
    let mut all = entity.clone();
    all.extend(pairs(labels));
    all.sort();
    let series = Series {
        id: crate::series::SeriesId(id),
        node,
        metric: metric.into(),
        kind: sextant_proto::v1::MetricKind::Gauge,
        entity_type: kind.into(),
        entity,
        labels: all,
    };
    Sample { series: Arc::new(series), tick_ms, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(id: u32, metric: &str, pod: &str, tick_ms: i64) -> Sample {
        let labels = [("pod", pod)];
        test_sample(id, "gpu", &[("uuid", "GPU-1")], metric, &labels, tick_ms, f64::from(id))
    }

    #[test]
    fn owner_of_an_older_tick_is_gone_and_other_metrics_keep_theirs() {
        let samples = [
            sample(1, "gpu_pod_info", "old", 1_000),
            sample(2, "gpu_pod_info", "new", 2_000),
            sample(3, "gpu_info", "", 500),
            sample(4, "gpu_pod_infox", "x", 100),
        ];
        let fleet = Fleet::new(samples.into_iter());
        let gpu = fleet.nodes[0].entities("gpu").next().expect("there");
        let owners = gpu.samples("gpu_pod_info");
        assert_eq!(owners.len(), 1);
        assert_eq!(owners[0].label("pod"), Some("new"));
        assert_eq!(gpu.value("gpu_info"), Some(3.0));
        assert_eq!((gpu.info("gpu_info", "pod"), gpu.label("uuid")), (None, Some("GPU-1")));
        assert!(gpu.samples("gpu_pod").is_empty());
        assert_eq!(fleet.nodes[0].value("gpu_pod_infox"), Some(4.0));
    }
}
