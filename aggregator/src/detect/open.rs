//! What a detector has fired and not cleared, and when it has seen the series last, so that what
//! fired on a series that ends is cleared.
//!
//! A series is gone when its node goes on telling others while it has had no sample for five of
//! its intervals. The time is the node's: a node that is silent as a whole says nothing about
//! its series, and a backlog that arrives late is judged as it would have been on time.

use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{ClearReason, Edge, GONE_AFTER_INTERVALS, Subject};
use crate::series::{NodeId, NodeKey, Series};

/// What is assumed of a series whose layout was not seen since the restart: the longest interval
/// in use.
const UNKNOWN_INTERVAL_MS: u32 = 60_000;

/// Open findings by key.
#[derive(Debug)]
pub(super) struct OpenSet<K> {
    open: FxHashMap<K, Open>,
    /// Node time of each node's last tick.
    latest_ms: FxHashMap<NodeId, i64>,
    /// Restored findings that nothing can clear but the next sweep.
    retired: Vec<Retired>,
}

#[derive(Debug)]
struct Retired {
    rule: Arc<str>,
    node: Arc<NodeKey>,
    subject: Subject,
    reason: ClearReason,
}

#[derive(Debug)]
struct Open {
    rule: Arc<str>,
    series: Arc<Series>,
    /// `None`: not seen since the restart.
    last_ms: Option<i64>,
    interval_ms: u32,
}

impl<K> Default for OpenSet<K> {
    fn default() -> Self {
        let (open, latest_ms) = (FxHashMap::default(), FxHashMap::default());
        Self { open, latest_ms, retired: Vec::new() }
    }
}

impl<K: Hash + Eq + Copy> OpenSet<K> {
    /// A tick of the node came.
    pub(super) fn tick(&mut self, node: &NodeKey, time_ms: i64) {
        self.latest_ms.insert(node.id, time_ms);
    }

    /// It fired.
    pub(super) fn fired(
        &mut self,
        key: K,
        rule: &Arc<str>,
        series: &Arc<Series>,
        time_ms: i64,
        interval_ms: u32,
    ) {
        let (rule, series) = (Arc::clone(rule), Arc::clone(series));
        self.open.insert(key, Open { rule, series, last_ms: Some(time_ms), interval_ms });
    }

    /// It had fired before the restart.
    pub(super) fn restored(&mut self, key: K, rule: &Arc<str>, series: &Arc<Series>) {
        let (rule, series) = (Arc::clone(rule), Arc::clone(series));
        let interval_ms = UNKNOWN_INTERVAL_MS;
        self.open.insert(key, Open { rule, series, last_ms: None, interval_ms });
    }

    /// It had fired before the restart and is not judged any more.
    pub(super) fn retired(
        &mut self,
        rule: &str,
        node: &Arc<NodeKey>,
        subject: &Subject,
        reason: ClearReason,
    ) {
        let (rule, node, subject) = (rule.into(), Arc::clone(node), subject.clone());
        self.retired.push(Retired { rule, node, subject, reason });
    }

    /// A sample of something that is open.
    pub(super) fn seen(&mut self, key: K, time_ms: i64, interval_ms: u32) {
        if let Some(open) = self.open.get_mut(&key) {
            open.last_ms = Some(time_ms);
            open.interval_ms = interval_ms;
        }
    }

    /// It is over: the edge, if it was open.
    pub(super) fn clear(&mut self, key: K, time_ms: i64, reason: ClearReason) -> Option<Edge> {
        self.open.remove(&key).map(|open| open.end(time_ms, reason))
    }

    /// Clears what is open on series that are gone, and tells which; `now_ms` is the
    /// aggregator's time.
    pub(super) fn sweep(&mut self, now_ms: i64, edges: &mut Vec<Edge>) -> Vec<(NodeId, K)> {
        edges.extend(self.retired.drain(..).map(|Retired { rule, node, subject, reason }| {
            Edge::Clear { rule, node, subject, time_ms: now_ms, reason }
        }));
        let mut gone = Vec::new();
        self.open.retain(|&key, open| {
            let Some(&latest) = self.latest_ms.get(&open.series.node.id) else {
                return true;
            };
            let last = *open.last_ms.get_or_insert(latest);
            if latest - last <= gone_after_ms(open.interval_ms) {
                return true;
            }
            edges.push(open.end(latest, ClearReason::Gone));
            gone.push((open.series.node.id, key));
            false
        });
        gone
    }

    /// The node was removed.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.open.retain(|_, open| open.series.node.id != node);
        self.latest_ms.remove(&node);
        self.retired.retain(|r| r.node.id != node);
    }
}

impl Open {
    fn end(&self, time_ms: i64, reason: ClearReason) -> Edge {
        Edge::Clear {
            rule: Arc::clone(&self.rule),
            node: Arc::clone(&self.series.node),
            subject: Subject::Series(Arc::clone(&self.series)),
            time_ms,
            reason,
        }
    }
}

/// How long a series may be without a sample.
pub(super) fn gone_after_ms(interval_ms: u32) -> i64 {
    i64::from(interval_ms.max(1)) * i64::from(GONE_AFTER_INTERVALS)
}
