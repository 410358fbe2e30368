//! Nodes that have fallen silent.
//!
//! Judged by the aggregator's clock alone: a node's clock may be wrong. Silence that the
//! aggregator itself was not there to hear does not count: after its start, after a pause of the
//! process and after a step of its clock every node has its full time again.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;
use sextant_proto::v1::{self, Severity};

use super::text::number;
use super::{
    ClearReason, Detector, Edge, Finding, GONE_AFTER_INTERVALS, NodeStatus, Subject, Tick,
};
use crate::series::{NodeId, NodeKey};

/// `elapse` comes about once a second; so much between two means that it was not listening.
const MAX_PAUSE_MS: i64 = 10_000;

/// Finds nodes from which nothing comes.
pub struct Stale {
    rule: Arc<str>,
    after_ms: i64,
    fired: FxHashSet<NodeId>,
    /// Since when it has been listening without a break, and when it listened last.
    listening: Option<(i64, i64)>,
}

impl Stale {
    /// The rule's name.
    pub const RULE: &'static str = "node_stale";

    #[must_use]
    pub fn new(after: Duration) -> Self {
        let after_ms = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        Self { rule: Self::RULE.into(), after_ms, fired: FxHashSet::default(), listening: None }
    }

    fn limit_ms(&self, interval_ms: u32) -> i64 {
        self.after_ms.max(i64::from(interval_ms) * i64::from(GONE_AFTER_INTERVALS))
    }
}

impl Detector for Stale {
    fn name(&self) -> &'static str {
        "stale"
    }

    fn restore(&mut self, _: &v1::Anomaly, node: &Arc<NodeKey>, _: &Subject) {
        self.fired.insert(node.id);
    }

    fn observe(&mut self, _tick: &Tick<'_>, _edges: &mut Vec<Edge>) {}

    fn elapse(&mut self, now_ms: i64, nodes: &[NodeStatus], edges: &mut Vec<Edge>) {
        let since = match self.listening {
            Some((since, last)) if (0..=MAX_PAUSE_MS).contains(&(now_ms - last)) => since,
            _ => now_ms,
        };
        self.listening = Some((since, now_ms));
        // A node that is known and has sent nothing yet is not one that stopped.
        for status in nodes.iter().filter(|s| s.last_seen_ms > 0) {
            let (node, rule) = (Arc::clone(&status.node), Arc::clone(&self.rule));
            let limit = self.limit_ms(status.interval_ms);
            let silent = now_ms - status.last_seen_ms;
            if self.fired.contains(&node.id) {
                if silent <= limit {
                    self.fired.remove(&node.id);
                    let (time_ms, reason) = (status.last_seen_ms, ClearReason::Recovered);
                    let subject = Subject::Node;
                    edges.push(Edge::Clear { rule, node, subject, time_ms, reason });
                }
            } else if silent.min(now_ms - since) > limit {
                self.fired.insert(node.id);
                edges.push(Edge::Fire(finding(node, rule, now_ms, silent, limit)));
            }
        }
    }

    fn forget(&mut self, node: NodeId) {
        self.fired.remove(&node);
    }
}

fn finding(node: Arc<NodeKey>, rule: Arc<str>, now_ms: i64, silent: i64, limit: i64) -> Finding {
    let [value, expected] = [silent, limit].map(|ms| ms as f64 / 1000.0);
    let summary = format!("nothing has come from node {} for {} s", node.name, number(value));
    let action = "See whether the node is up and reaches the aggregator, then the agent's pod on \
                  it: its state, its log, its last termination reason.";
    Finding {
        rule,
        node,
        subject: Subject::Node,
        severity: Severity::Critical,
        time_ms: now_ms,
        value,
        expected,
        score: value / expected,
        summary,
        action: action.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: i64 = 1000;

    struct Bench {
        stale: Stale,
        node: Arc<NodeKey>,
        last_seen_ms: i64,
        interval_ms: u32,
    }

    impl Bench {
        fn new() -> Self {
            let node = NodeKey { id: NodeId(3), cluster: "c".into(), name: "n".into() };
            let stale = Stale::new(Duration::from_secs(30));
            Self { stale, node: Arc::new(node), last_seen_ms: 1000 * SEC, interval_ms: 1000 }
        }

        /// Once a second from `from` up to and including `to`; what happened and when.
        fn run(&mut self, from: i64, to: i64) -> Vec<(i64, bool)> {
            let mut seen = Vec::new();
            for now in (from..=to).step_by(1000) {
                let mut edges = Vec::new();
                let status = NodeStatus {
                    node: Arc::clone(&self.node),
                    last_seen_ms: self.last_seen_ms,
                    interval_ms: self.interval_ms,
                };
                self.stale.elapse(now, &[status], &mut edges);
                seen.extend(edges.iter().map(|e| (now, matches!(e, Edge::Fire(_)))));
            }
            seen
        }
    }

    #[test]
    fn silent_node_fires_once_and_clears_with_the_next_frame() {
        let mut bench = Bench::new();
        assert_eq!(bench.run(1000 * SEC, 1200 * SEC), [(1031 * SEC, true)]);
        bench.last_seen_ms = 1200 * SEC;
        assert_eq!(bench.run(1201 * SEC, 1210 * SEC), [(1201 * SEC, false)]);
    }

    #[test]
    fn slow_node_has_five_of_its_intervals() {
        let mut bench = Bench::new();
        bench.interval_ms = 60_000;
        assert_eq!(bench.run(1000 * SEC, 1400 * SEC), [(1301 * SEC, true)]);
    }

    #[test]
    fn silence_while_the_aggregator_was_away_does_not_count() {
        let mut bench = Bench::new();
        let back = 9000 * SEC;
        assert_eq!(bench.run(back, back + 30 * SEC), []);
        let paused = back + 500 * SEC;
        assert_eq!(bench.run(paused, paused + 40 * SEC), [(paused + 31 * SEC, true)]);
    }

    #[test]
    fn restored_one_is_not_fired_again_and_clears() {
        let mut bench = Bench::new();
        bench.stale.restore(&v1::Anomaly::default(), &Arc::clone(&bench.node), &Subject::Node);
        assert_eq!(bench.run(2000 * SEC, 2100 * SEC), []);
        bench.last_seen_ms = 2100 * SEC;
        assert_eq!(bench.run(2101 * SEC, 2110 * SEC), [(2101 * SEC, false)]);
    }

    #[test]
    fn node_that_never_sent_anything_is_not_stale() {
        let mut bench = Bench::new();
        bench.last_seen_ms = 0;
        assert_eq!(bench.run(1000 * SEC, 1100 * SEC), []);
    }

    #[test]
    fn forgotten_node_starts_anew() {
        let mut bench = Bench::new();
        assert_eq!(bench.run(1000 * SEC, 1040 * SEC).len(), 1);
        bench.stale.forget(bench.node.id);
        assert_eq!(bench.run(1041 * SEC, 1042 * SEC), [(1041 * SEC, true)]);
    }
}
