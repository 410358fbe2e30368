//! Makes anomalies of findings: one for each (detector, rule, node, subject) while it lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use sextant_proto::v1;

use crate::detect::{Edge, Finding, Subject, SubjectId};
use crate::series::{NodeId, NodeKey};
use crate::stats::Stats;

/// Open anomalies of one node and detector. Beyond it findings are counted and not opened: a
/// node in such a state has one cause, and 200 anomalies show it as well as 20 000.
const MAX_OPEN_PER_NODE: usize = 200;

type Key = (&'static str, Arc<str>, NodeId, SubjectId);

/// The open anomalies, of all shards.
#[derive(Debug)]
pub struct Episodes {
    open: RwLock<Open>,
    last_id: AtomicU64,
    stats: Arc<Stats>,
}

#[derive(Debug, Default)]
struct Open {
    by_key: FxHashMap<Key, v1::Anomaly>,
    per_node: FxHashMap<(&'static str, NodeId), usize>,
}

impl Episodes {
    /// None open; the next id follows `last_id`.
    #[must_use]
    pub fn new(last_id: u64, stats: Arc<Stats>) -> Self {
        Self { open: RwLock::default(), last_id: AtomicU64::new(last_id), stats }
    }

    /// One that was open when the process ended.
    pub fn restore(
        &self,
        detector: &'static str,
        node: &Arc<NodeKey>,
        subject: &Subject,
        anomaly: v1::Anomaly,
    ) {
        let key = (detector, anomaly.rule.as_str().into(), node.id, subject.id());
        self.open.write().insert(key, anomaly);
    }

    /// Takes an edge of a detector; returns the anomaly that opened, changed or closed by it.
    pub fn take(&self, detector: &'static str, edge: Edge) -> Option<(NodeId, v1::Anomaly)> {
        match edge {
            Edge::Fire(finding) => self.fire(detector, finding),
            Edge::Update { rule, node, subject, value, score } => {
                let key = (detector, rule, node.id, subject.id());
                let mut open = self.open.write();
                let anomaly = open.by_key.get_mut(&key)?;
                (anomaly.value, anomaly.score) = (value, score);
                Some((node.id, anomaly.clone()))
            }
            Edge::Clear { rule, node, subject, time_ms, reason } => {
                let key = (detector, rule, node.id, subject.id());
                let mut anomaly = self.open.write().remove(&key)?;
                anomaly.closed_unix_ms = time_ms.max(anomaly.opened_unix_ms);
                anomaly.close_reason = reason.to_string();
                Some((node.id, anomaly))
            }
        }
    }

    fn fire(&self, detector: &'static str, finding: Finding) -> Option<(NodeId, v1::Anomaly)> {
        let node = finding.node.id;
        let key = (detector, Arc::clone(&finding.rule), node, finding.subject.id());
        let mut open = self.open.write();
        if open.by_key.contains_key(&key) {
            return None;
        }
        if open.per_node.get(&(detector, node)).is_some_and(|n| *n >= MAX_OPEN_PER_NODE) {
            self.stats.anomalies_suppressed.add(1);
            return None;
        }
        let mut anomaly = v1::Anomaly {
            id: self.last_id.fetch_add(1, Relaxed) + 1,
            cluster: finding.node.cluster.to_string(),
            node: finding.node.name.to_string(),
            detector: detector.into(),
            rule: finding.rule.to_string(),
            severity: finding.severity.into(),
            opened_unix_ms: finding.time_ms,
            value: finding.value,
            expected: finding.expected,
            score: finding.score,
            summary: finding.summary,
            action: finding.action,
            ..v1::Anomaly::default()
        };
        finding.subject.describe(&mut anomaly);
        open.insert(key, anomaly.clone());
        self.stats.anomalies_opened.add(1);
        Some((node, anomaly))
    }

    /// The open ones, by id.
    #[must_use]
    pub fn open(&self) -> Vec<v1::Anomaly> {
        let mut all: Vec<_> = self.open.read().by_key.values().cloned().collect();
        all.sort_by_key(|a| a.id);
        all
    }

    /// How many are open on a node.
    #[must_use]
    pub fn open_on(&self, node: NodeId) -> usize {
        let open = self.open.read();
        open.per_node.iter().filter(|((_, n), _)| *n == node).map(|(_, count)| count).sum()
    }
}

impl Open {
    fn insert(&mut self, key: Key, anomaly: v1::Anomaly) {
        *self.per_node.entry((key.0, key.2)).or_default() += 1;
        self.by_key.insert(key, anomaly);
    }

    fn remove(&mut self, key: &Key) -> Option<v1::Anomaly> {
        let anomaly = self.by_key.remove(key)?;
        if let Some(count) = self.per_node.get_mut(&(key.0, key.2)) {
            *count -= 1;
        }
        Some(anomaly)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::ClearReason;
    use sextant_proto::v1::Severity;

    fn fire(rule: &str) -> Edge {
        Edge::Fire(Finding {
            rule: rule.into(),
            node: node(),
            subject: Subject::Node,
            severity: Severity::Warning,
            time_ms: 5,
            value: 1.0,
            expected: 0.0,
            score: 1.0,
            summary: String::new(),
            action: String::new(),
        })
    }

    fn node() -> Arc<NodeKey> {
        Arc::new(NodeKey { id: NodeId(0), cluster: "c".into(), name: "n".into() })
    }

    fn clear(rule: &str, time_ms: i64) -> Edge {
        let reason = ClearReason::Recovered;
        let subject = Subject::Node;
        Edge::Clear { rule: rule.into(), node: node(), subject, time_ms, reason }
    }

    #[test]
    fn one_anomaly_while_it_lasts() {
        let episodes = Episodes::new(7, Arc::default());
        assert_eq!(episodes.take("d", fire("r")).expect("opens").1.id, 8);
        assert!(episodes.take("d", fire("r")).is_none());
        assert_eq!(episodes.open_on(NodeId(0)), 1);
        let closed = episodes.take("d", clear("r", 9)).expect("closes").1;
        assert_eq!((closed.id, closed.opened_unix_ms, closed.closed_unix_ms), (8, 5, 9));
        assert!(episodes.take("d", clear("r", 9)).is_none() && episodes.open().is_empty());
    }

    #[test]
    fn update_changes_the_open_anomaly_and_opens_none() {
        let episodes = Episodes::new(0, Arc::default());
        let update = || Edge::Update {
            rule: "r".into(),
            node: node(),
            subject: Subject::Node,
            value: 7.0,
            score: 3.5,
        };
        assert!(episodes.take("d", update()).is_none() && episodes.open().is_empty());
        drop(episodes.take("d", fire("r")));
        let updated = episodes.take("d", update()).expect("is open").1;
        assert_eq!((updated.id, updated.value, updated.score), (1, 7.0, 3.5));
        assert_eq!(episodes.take("d", clear("r", 9)).expect("closes").1.value, 7.0);
    }

    #[test]
    fn flood_is_bounded_and_counted() {
        let stats = Arc::new(Stats::default());
        let episodes = Episodes::new(0, Arc::clone(&stats));
        for i in 0..MAX_OPEN_PER_NODE + 3 {
            drop(episodes.take("d", fire(&i.to_string())));
        }
        assert_eq!(episodes.open().len(), MAX_OPEN_PER_NODE);
        assert_eq!(stats.anomalies_suppressed.get(), 3);
        assert!(episodes.take("d", clear("0", 6)).is_some());
        assert!(episodes.take("d", fire("new")).is_some());
    }
}
