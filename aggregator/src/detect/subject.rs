//! What a finding is about: the node, one of its series, or one of its entities.

use std::sync::Arc;

use crate::series::{LabelPair, Series, SeriesId, wire_labels};
use sextant_proto::v1::{self, Label};

/// A thing on a node, by its type and the labels that identify it there, sorted by name.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Entity {
    pub kind: Arc<str>,
    pub labels: Vec<LabelPair>,
}

/// What a finding is about.
#[derive(Debug, Clone)]
pub enum Subject {
    /// The node as a whole.
    Node,
    Series(Arc<Series>),
    /// Found without a series: by an event.
    Entity(Arc<Entity>),
}

/// Tells subjects of one node apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SubjectId {
    Node,
    Series(SeriesId),
    Entity(Arc<Entity>),
}

/// The entity type of the node itself.
const NODE: &str = "node";

impl Subject {
    /// The entity with these labels; a node without any is the node itself.
    #[must_use]
    pub fn entity(kind: &str, labels: &[Label]) -> Self {
        if labels.is_empty() && matches!(kind, NODE | "") {
            return Self::Node;
        }
        let pair = |l: &Label| (l.name.as_str().into(), l.value.as_str().into());
        let mut labels: Vec<LabelPair> = labels.iter().map(pair).collect();
        labels.sort_unstable();
        Self::Entity(Arc::new(Entity { kind: kind.into(), labels }))
    }

    #[must_use]
    pub fn id(&self) -> SubjectId {
        match self {
            Self::Node => SubjectId::Node,
            Self::Series(series) => SubjectId::Series(series.id),
            Self::Entity(entity) => SubjectId::Entity(Arc::clone(entity)),
        }
    }

    /// The series, when it is about one.
    #[must_use]
    pub fn series(&self) -> Option<&Arc<Series>> {
        match self {
            Self::Series(series) => Some(series),
            Self::Node | Self::Entity(_) => None,
        }
    }

    /// Says in an anomaly what it is about.
    pub fn describe(&self, anomaly: &mut v1::Anomaly) {
        match self {
            Self::Node => anomaly.entity_type = NODE.into(),
            Self::Series(series) => {
                anomaly.entity_type = series.entity_type.to_string();
                anomaly.entity = wire_labels(&series.entity);
                anomaly.metric = series.metric.to_string();
                anomaly.labels = wire_labels(&series.labels);
            }
            Self::Entity(entity) => {
                anomaly.entity_type = entity.kind.to_string();
                anomaly.entity = wire_labels(&entity.labels);
                anomaly.labels = wire_labels(&entity.labels);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str, value: &str) -> Label {
        Label { name: name.into(), value: value.into() }
    }

    #[test]
    fn entity_is_known_again_from_the_anomaly_that_it_described() {
        let gpu = |uuid| Subject::entity("gpu", &[label("uuid", uuid), label("a", "b")]);
        let mut anomaly = v1::Anomaly::default();
        gpu("GPU-1").describe(&mut anomaly);
        assert_eq!(anomaly.metric, "");
        assert_eq!(Subject::entity(&anomaly.entity_type, &anomaly.entity).id(), gpu("GPU-1").id());
        assert_ne!(gpu("GPU-1").id(), gpu("GPU-2").id());
    }

    #[test]
    fn node_without_labels_is_the_node_itself() {
        assert_eq!(Subject::entity("node", &[]).id(), SubjectId::Node);
        let mut anomaly = v1::Anomaly::default();
        Subject::Node.describe(&mut anomaly);
        assert_eq!(Subject::entity(&anomaly.entity_type, &anomaly.entity).id(), SubjectId::Node);
    }
}
