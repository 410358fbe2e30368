//! Detectors: what turns samples into findings. Each is a file here and one line in
//! [`enabled`].
//!
//! A detector tells the *edges*: that something began to be wrong, and that it is right again.
//! It runs on the shard's thread, in the ingest path: constant time a sample, no I/O. The
//! tracker in `episode` makes anomalies of findings.

use std::sync::Arc;

use sextant_proto::v1::{self, Severity};

use crate::series::{NodeId, NodeKey, NodeLayout, Series};

/// A finding's identity and content. Findings with the same detector, rule and subject are the
/// same anomaly.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Which of the detector's rules.
    pub rule: Arc<str>,
    pub node: Arc<NodeKey>,
    /// The series it is about; `None`: the node as a whole.
    pub series: Option<Arc<Series>>,
    pub severity: Severity,
    /// Node time of the sample, or the aggregator's for what has no sample.
    pub time_ms: i64,
    pub value: f64,
    /// What was expected instead: the limit, the usual value.
    pub expected: f64,
    pub score: f64,
    /// One sentence for people, with the numbers.
    pub summary: String,
    /// What to do about it; empty when there is nothing to say.
    pub action: String,
}

/// An edge.
#[derive(Debug, Clone)]
pub enum Edge {
    /// It began.
    Fire(Finding),
    /// It ended: the same rule, node and series as the finding that began it.
    Clear { rule: Arc<str>, node: Arc<NodeKey>, series: Option<Arc<Series>>, time_ms: i64 },
}

/// One tick of a layout.
#[derive(Debug, Clone, Copy)]
pub struct Tick<'a> {
    pub layout: &'a NodeLayout,
    /// Node time, Unix milliseconds.
    pub time_ms: i64,
    /// One value per column; `frame::ABSENT` for none.
    pub values: &'a [f64],
}

/// What the shard knows of a node beyond its samples.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    pub node: Arc<NodeKey>,
    /// When the last frame arrived, aggregator's clock.
    pub last_seen_ms: i64,
    /// The shortest interval of its layouts.
    pub interval_ms: u32,
}

/// Something that finds what is wrong.
pub trait Detector: Send {
    /// A stable name: the label `detector`.
    fn name(&self) -> &'static str;

    /// An anomaly of this detector that was open when the process ended: it counts as fired.
    fn restore(&mut self, anomaly: &v1::Anomaly, node: &Arc<NodeKey>, series: Option<&Arc<Series>>);

    /// Looks at a tick. Ticks of one layout come in the order of their arrival, which is nearly
    /// always that of their time.
    fn observe(&mut self, tick: &Tick<'_>, edges: &mut Vec<Edge>);

    /// Called about once a second with the aggregator's clock, for what shows by absence.
    fn elapse(&mut self, now_ms: i64, nodes: &[NodeStatus], edges: &mut Vec<Edge>);

    /// Series of these are gone (node removed): forget them.
    fn forget(&mut self, node: NodeId);
}
