//! A shard: what happens to a frame, in order, on its node's thread.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use sextant_proto::frame::{Decoded, Decoder, FrameError};
use sextant_proto::v1::{self, Event, Frame, RefusalReason, Refused};
use tokio::sync::mpsc;
use tracing::warn;

use super::{Job, Shared};
use crate::catalog::Live;
use crate::clock;
use crate::detect::{Detector, Edge, NodeStatus, Subject, Tick};
use crate::hub::{Notice, Samples};
use crate::nodes::{Node, Spool};
use crate::series::{NodeId, NodeKey, Series, wire_labels};
use crate::storage::{Change, Chunk, FrameRecord};
use crate::writer::Write;

/// A head that got nothing for so long is sealed, so that its frames leave the journal.
const IDLE_MS: i64 = 3_600_000;
/// Edges of a replay that are kept before they are reduced to the last of each finding.
const MAX_EDGES: usize = 10_000;

/// A shard before it runs.
pub struct Shard {
    shared: Shared,
    detectors: Vec<Box<dyn Detector>>,
    decoder: Decoder,
    nodes: FxHashMap<NodeId, ShardNode>,
    layouts: FxHashMap<(NodeId, u64), Arc<Live>>,
    edges: Vec<(&'static str, Edge)>,
    scratch: Vec<Edge>,
    /// Closed anomalies that no detector took over at the start.
    orphans: Vec<Change>,
    idle_checked_ms: i64,
}

struct ShardNode {
    node: Arc<Node>,
    interval_ms: u32,
}

impl Shard {
    pub(super) fn new(shared: &Shared, detectors: Vec<Box<dyn Detector>>) -> Self {
        Self {
            shared: shared.clone(),
            detectors,
            decoder: Decoder::new(),
            nodes: FxHashMap::default(),
            layouts: FxHashMap::default(),
            edges: Vec::new(),
            scratch: Vec::new(),
            orphans: Vec::new(),
            idle_checked_ms: 0,
        }
    }

    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(job) = queue.blocking_recv() {
            self.shared.stats.shard_queue.add(-1);
            match job {
                Job::Store(changes) => {
                    self.shared.writer.send(Write::Changes { changes, spool: None });
                }
                Job::Event(node, event) => {
                    let mut changes = vec![self.event(&node, event, clock::now_ms())];
                    self.settle(&mut changes);
                    self.shared.writer.send(Write::Changes { changes, spool: None });
                }
                Job::Frame { node, spool, frame, refusals } => {
                    self.frame(&node, &spool, frame, &refusals);
                }
                Job::Elapse => self.elapse(clock::now_ms()),
            }
        }
    }

    pub(super) fn know(&mut self, node: &Arc<Node>, interval_ms: u32) {
        let fresh = || ShardNode { node: Arc::clone(node), interval_ms };
        let known = self.nodes.entry(node.key.id).or_insert_with(fresh);
        known.interval_ms = known.interval_ms.min(interval_ms);
    }

    pub(super) fn restore(&mut self, node: &Arc<NodeKey>, anomaly: &v1::Anomaly) {
        let subject = self.subject_of(node, anomaly);
        let known = subject.is_some();
        let detector = self.detectors.iter_mut().find(|d| d.name() == anomaly.detector);
        let (Some(detector), Some(subject)) = (detector, subject) else {
            // Nobody would ever close it.
            let why = if known { "detector is off" } else { "series is not known" };
            let close_reason = why.to_owned();
            let closed_unix_ms = clock::now_ms().max(anomaly.opened_unix_ms);
            let anomaly = v1::Anomaly { closed_unix_ms, close_reason, ..anomaly.clone() };
            self.orphans.push(Change::Anomaly { node: node.id.0, anomaly });
            return;
        };
        detector.restore(anomaly, node, &subject);
        self.shared.episodes.restore(detector.name(), node, &subject, anomaly.clone());
    }

    pub(super) fn replay(&mut self, live: &Arc<Live>, frame: &FrameRecord) {
        let wire = Frame { seq: frame.seq, codec: frame.codec, payload: frame.payload.clone() };
        let decoded = match self.decoder.decode(&wire, |_| Some(live.layout.columns.len())) {
            Ok(decoded) => decoded,
            Err(error) => {
                warn!(%error, seq = frame.seq, "frame in the journal is damaged, skipped");
                return;
            }
        };
        let now = clock::now_ms();
        let chunks = live.head.lock().append(frame.spool, frame.seq, now, decoded.rows());
        for chunk in chunks {
            self.shared.writer.send(Write::Seal(Arc::clone(live), chunk));
        }
        let node = live.layout.node.id;
        self.layouts.insert((node, live.layout.hash), Arc::clone(live));
        if let Some(node) = self.shared.nodes.get(node) {
            self.know(&node, live.layout.interval_ms);
        }
        self.observe(live, &decoded);
        if self.edges.len() > MAX_EDGES {
            self.keep_last_edges();
        }
    }

    /// What was found before is open already, and what ended before is closed: only what the
    /// detectors say otherwise after the last frame is news.
    pub(super) fn replayed(&mut self) {
        self.keep_last_edges();
        let mut changes = std::mem::take(&mut self.orphans);
        self.settle(&mut changes);
        if !changes.is_empty() {
            self.shared.writer.send(Write::Changes { changes, spool: None });
        }
    }

    /// Keeps the last edge of each finding that began or ended.
    fn keep_last_edges(&mut self) {
        let mut seen = FxHashSet::default();
        self.edges.reverse();
        self.edges.retain(|(detector, edge)| {
            let (rule, node, subject) = match edge {
                Edge::Fire(finding) => (&finding.rule, &finding.node, &finding.subject),
                Edge::Clear { rule, node, subject, .. } => (rule, node, subject),
                Edge::Update { .. } => return false,
            };
            seen.insert((*detector, Arc::clone(rule), node.id, subject.id()))
        });
        self.edges.reverse();
    }

    /// What a stored anomaly is about; `None` when its series is not known any more.
    fn subject_of(&self, node: &NodeKey, anomaly: &v1::Anomaly) -> Option<Subject> {
        if anomaly.metric.is_empty() {
            return Some(Subject::entity(&anomaly.entity_type, &anomaly.entity));
        }
        let same =
            |s: &Series| *s.metric == *anomaly.metric && wire_labels(&s.labels) == anomaly.labels;
        let layouts = self.shared.catalog.layouts_of(node.id);
        let series = layouts.iter().flat_map(|l| &l.layout.columns).find(|s| same(s))?;
        Some(Subject::Series(Arc::clone(series)))
    }

    fn frame(
        &mut self,
        node: &Arc<Node>,
        spool: &Arc<Spool>,
        frame: Frame,
        refusals: &mpsc::Sender<Refused>,
    ) {
        let stats = Arc::clone(&self.shared.stats);
        let seq = frame.seq;
        if !spool.apply(seq) {
            stats.frames_repeated.add(1);
            return;
        }
        let now = clock::now_ms();
        node.seen(now);
        let mut changes = Vec::with_capacity(1);
        let mut chunks = Vec::new();
        match self.take(node, spool, &frame, now, &mut changes, &mut chunks) {
            Ok(layout) => {
                stats.frames.add(1);
                stats.payload_bytes.add(frame.payload.len() as u64);
                let Frame { codec, payload, .. } = frame;
                changes.insert(
                    0,
                    Change::Frame(FrameRecord { spool: spool.id, seq, layout, codec, payload }),
                );
            }
            Err((reason, detail)) => {
                stats.frames_refused.add(reason_name(reason));
                // Its seq is committed all the same, so that the acks can pass over it.
                let payload = bytes::Bytes::new();
                let record = FrameRecord { spool: spool.id, seq, layout: None, codec: 0, payload };
                changes.insert(0, Change::Frame(record));
                // A session that takes no refusals still sees them counted.
                drop(refusals.try_send(Refused { seq, reason: reason.into(), detail }));
            }
        }
        let told = Some((Arc::clone(spool), seq));
        // A chunk that this frame completed holds only frames that were handed over before.
        for (live, chunk) in chunks {
            self.shared.writer.send(Write::Seal(live, chunk));
        }
        self.shared.writer.send(Write::Changes { changes, spool: told });
    }

    /// Takes a frame in; the layout that it follows, or why it is refused.
    fn take(
        &mut self,
        node: &Arc<Node>,
        spool: &Spool,
        frame: &Frame,
        now: i64,
        changes: &mut Vec<Change>,
        chunks: &mut Vec<(Arc<Live>, Arc<Chunk>)>,
    ) -> Result<Option<u32>, (RefusalReason, String)> {
        let id = node.key.id;
        let (layouts, catalog) = (&mut self.layouts, &self.shared.catalog);
        let mut live = None;
        let decoded = self.decoder.decode(frame, |hash| {
            let known = layouts.get(&(id, hash)).cloned().or_else(|| {
                let found = catalog.layout_by_hash(id, hash)?;
                layouts.insert((id, hash), Arc::clone(&found));
                Some(found)
            })?;
            let columns = known.layout.columns.len();
            live = Some(known);
            Some(columns)
        });
        let mut decoded = decoded.map_err(|e| {
            let limit = matches!(e, FrameError::Limit { .. });
            let reason = if limit { RefusalReason::Limit } else { RefusalReason::Malformed };
            (reason, e.to_string())
        })?;
        if !decoded.ticks_ms.is_sorted_by(|a, b| a < b) {
            return Err((RefusalReason::Malformed, "ticks do not grow within the frame".into()));
        }
        if let (Some(live), Some(&first)) = (&live, decoded.ticks_ms.first()) {
            let mut head = live.head.lock();
            if head.is_too_old(first, now) {
                let newest = head.latest().map_or(now, |l| l.0.min(now));
                let behind = (newest - first) / 1000;
                let collector = &live.layout.collector;
                let detail = format!(
                    "{behind} s older than the newest sample of {collector}, over the limit of 1 h"
                );
                return Err((RefusalReason::TooOld, detail));
            }
            let done = head.append(spool.id, frame.seq, now, decoded.rows());
            drop(head);
            chunks.extend(done.into_iter().map(|c| (Arc::clone(live), c)));
        }
        for event in std::mem::take(&mut decoded.events) {
            changes.push(self.event(&node.key, event, now));
        }
        let Some(live) = live.filter(|_| !decoded.ticks_ms.is_empty()) else {
            self.settle(changes);
            return Ok(None);
        };
        self.shared.stats.samples.add(decoded.values.len() as u64);
        self.know(node, live.layout.interval_ms);
        self.observe(&live, &decoded);
        self.settle(changes);
        if self.shared.hub.has_listeners() {
            let Decoded { ticks_ms, values, .. } = decoded;
            let samples = Samples { live: Arc::clone(&live), ticks_ms, values };
            self.shared.hub.tell(Notice::Samples(Arc::new(samples)));
        }
        Ok(Some(live.layout.id.0))
    }

    fn observe(&mut self, live: &Live, decoded: &Decoded) {
        for (time_ms, values) in decoded.rows() {
            let tick = Tick { layout: &live.layout, time_ms, values };
            for detector in &mut self.detectors {
                detector.observe(&tick, &mut self.scratch);
                let name = detector.name();
                self.edges.extend(self.scratch.drain(..).map(|edge| (name, edge)));
            }
        }
    }

    /// Makes anomalies of the edges that were found.
    fn settle(&mut self, changes: &mut Vec<Change>) {
        for (detector, edge) in self.edges.drain(..) {
            let Some((node, anomaly)) = self.shared.episodes.take(detector, edge) else { continue };
            let told = Arc::new(anomaly.clone());
            self.shared.incidents.anomaly(&told);
            self.shared.hub.tell(Notice::Anomaly(told));
            changes.push(Change::Anomaly { node: node.0, anomaly });
        }
    }

    /// Takes an event in: detectors and listeners see it.
    fn event(&mut self, node: &Arc<NodeKey>, mut event: Event, now: i64) -> Change {
        if event.time_unix_ms == 0 {
            event.time_unix_ms = now;
        }
        for detector in &mut self.detectors {
            detector.observe_event(node, &event, &mut self.scratch);
            let name = detector.name();
            self.edges.extend(self.scratch.drain(..).map(|edge| (name, edge)));
        }
        let id = self.shared.events.next();
        let stored = v1::StoredEvent {
            id,
            cluster: node.cluster.to_string(),
            node: node.name.to_string(),
            event: Some(event.clone()),
        };
        let stored = Arc::new(stored);
        self.shared.incidents.event(&stored);
        self.shared.hub.tell(Notice::Event(stored));
        Change::Event { id, node: node.id.0, event }
    }

    fn elapse(&mut self, now: i64) {
        let status = |n: &ShardNode| NodeStatus {
            node: Arc::clone(&n.node.key),
            last_seen_ms: n.node.record().last_seen_ms,
            interval_ms: n.interval_ms,
        };
        let nodes: Vec<NodeStatus> = self.nodes.values().map(status).collect();
        for detector in &mut self.detectors {
            detector.elapse(now, &nodes, &mut self.scratch);
            self.shared.stats.events_overlooked.add(detector.overlooked());
            let name = detector.name();
            self.edges.extend(self.scratch.drain(..).map(|edge| (name, edge)));
        }
        let mut changes = Vec::new();
        self.settle(&mut changes);
        if !changes.is_empty() {
            self.shared.writer.send(Write::Changes { changes, spool: None });
        }
        self.seal_idle(now);
    }

    /// Seals what stopped growing: layouts come and go, and the journal is not their grave.
    fn seal_idle(&mut self, now: i64) {
        if now - self.idle_checked_ms < IDLE_MS / 60 {
            return;
        }
        self.idle_checked_ms = now;
        for live in self.layouts.values() {
            let mut head = live.head.lock();
            if head.is_idle(now - IDLE_MS)
                && let Some(chunk) = head.seal()
            {
                drop(head);
                self.shared.writer.send(Write::Seal(Arc::clone(live), chunk));
            }
        }
    }
}

fn reason_name(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::Limit => "limit",
        RefusalReason::TooOld => "too_old",
        RefusalReason::Malformed | RefusalReason::Unspecified => "malformed",
    }
}
