//! What is measured where: nodes, layouts and series, as everything past the ingest sees them.
//! Ids are dense, so that state can be kept in vectors.

use std::sync::Arc;

use sextant_proto::v1::{self, Label, MetricKind};

/// A node's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// A layout's number, across nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayoutId(pub u32);

/// A series' number, across nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub u32);

/// Which node.
#[derive(Debug, PartialEq, Eq)]
pub struct NodeKey {
    pub id: NodeId,
    pub cluster: Arc<str>,
    pub name: Arc<str>,
}

/// A label; names and values are shared between series.
pub type LabelPair = (Arc<str>, Arc<str>);

/// One series.
#[derive(Debug, PartialEq, Eq)]
pub struct Series {
    pub id: SeriesId,
    pub node: Arc<NodeKey>,
    pub metric: Arc<str>,
    pub kind: MetricKind,
    /// "node", "cpu", "disk", ...
    pub entity_type: Arc<str>,
    /// The labels that identify the entity within its node.
    pub entity: Vec<LabelPair>,
    /// All labels but cluster and node, by name: those of the entity and the series' own.
    pub labels: Vec<LabelPair>,
}

impl Series {
    /// The value of a label, cluster and node included.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        match name {
            "__name__" => Some(&self.metric),
            "cluster" => Some(&self.node.cluster),
            "node" => Some(&self.node.name),
            _ => self.labels.iter().find(|(n, _)| &**n == name).map(|(_, v)| &**v),
        }
    }

    /// The wire's form of it.
    #[must_use]
    pub fn to_wire(&self) -> v1::Series {
        let mut labels = wire_labels(&self.labels);
        for (name, value) in [("cluster", &self.node.cluster), ("node", &self.node.name)] {
            labels.push(Label { name: name.into(), value: value.to_string() });
        }
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        v1::Series {
            metric: self.metric.to_string(),
            kind: self.kind.into(),
            labels,
            entity_type: self.entity_type.to_string(),
        }
    }
}

/// The wire's form of labels.
#[must_use]
pub fn wire_labels(labels: &[LabelPair]) -> Vec<Label> {
    labels.iter().map(|(n, v)| Label { name: n.to_string(), value: v.to_string() }).collect()
}

/// A layout of a node with its columns resolved.
#[derive(Debug)]
pub struct NodeLayout {
    pub id: LayoutId,
    pub node: Arc<NodeKey>,
    pub hash: u64,
    pub collector: String,
    pub interval_ms: u32,
    pub columns: Vec<Arc<Series>>,
}
