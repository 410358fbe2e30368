//! Rules about events: from what happened to edges.
//!
//! An event has an entity and no series. It fires when it comes, or comes again often enough;
//! more of the same are counted on what is open. It is over when the node's own time says that
//! nothing came for the rule's time, or with the event that ends it: a node that is silent says
//! nothing about its events either, and a backlog is judged as it would have been on time.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sextant_proto::v1::Event;

use super::rule::EventRule;
use crate::detect::{ClearReason, Edge, Subject, SubjectId};
use crate::series::{NodeId, NodeKey};

/// Entities × rules of a node that are remembered. Beyond it the one that is silent longest and
/// not open is forgotten; when all are open, the event changes nothing.
const MAX_PER_NODE: usize = 1000;
/// A count that did not double is told again after this long.
const TELL_MS: i64 = 60_000;

/// What happened on nodes.
#[derive(Debug, Default)]
pub(super) struct Happened {
    nodes: FxHashMap<NodeId, OfNode>,
    /// Events that changed nothing because everything remembered was open.
    overlooked: u64,
}

type Key = (u16, SubjectId);

#[derive(Debug)]
struct OfNode {
    node: Arc<NodeKey>,
    /// Node time of its last tick since the start.
    latest_ms: Option<i64>,
    watches: FxHashMap<Key, Watch>,
}

/// A rule on an entity.
#[derive(Debug)]
struct Watch {
    subject: Subject,
    /// The last ones, as many as the rule counts.
    times_ms: VecDeque<i64>,
    /// Time of the latest; `None` when it was before the restart.
    last_ms: Option<i64>,
    open: Option<Open>,
}

/// What was told of one that is open.
#[derive(Debug)]
struct Open {
    count: u64,
    told: u64,
    told_ms: i64,
}

/// What an event changed.
pub(super) enum Change {
    Nothing,
    /// It fired: so many came.
    Fire(u64),
}

impl Happened {
    /// A tick of the node came.
    pub(super) fn tick(&mut self, node: &Arc<NodeKey>, time_ms: i64) {
        match self.nodes.get_mut(&node.id) {
            Some(known) => known.latest_ms = Some(time_ms),
            None => self.of(node).latest_ms = Some(time_ms),
        }
    }

    fn of(&mut self, node: &Arc<NodeKey>) -> &mut OfNode {
        self.nodes.entry(node.id).or_insert_with(|| OfNode {
            node: Arc::clone(node),
            latest_ms: None,
            watches: FxHashMap::default(),
        })
    }

    /// It was open when the process ended, and had been counted so often.
    pub(super) fn restored(
        &mut self,
        rule: u16,
        node: &Arc<NodeKey>,
        subject: &Subject,
        count: f64,
    ) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count that was stored as a number"
        )]
        let count = count.max(1.0) as u64;
        let open = Some(Open { count, told: count, told_ms: i64::MIN });
        let times_ms = VecDeque::new();
        let watch = Watch { subject: subject.clone(), times_ms, last_ms: None, open };
        self.of(node).watches.insert((rule, subject.id()), watch);
    }

    /// An event that the rule is about.
    pub(super) fn observe(
        &mut self,
        (number, rule): (u16, &EventRule),
        node: &Arc<NodeKey>,
        (event, subject): (&Event, &Subject),
        edges: &mut Vec<Edge>,
    ) -> Change {
        let of_node = self.of(node);
        let key = (number, subject.id());
        if !of_node.watches.contains_key(&key) && !of_node.make_room() {
            self.overlooked += 1;
            return Change::Nothing;
        }
        let watch = self.of(node).watches.entry(key).or_insert_with(|| Watch {
            subject: subject.clone(),
            times_ms: VecDeque::new(),
            last_ms: None,
            open: None,
        });
        let time_ms = event.time_unix_ms;
        // The one before may have ended long ago in a backlog that came at once.
        if let Some(last) = watch.last_ms
            && time_ms.saturating_sub(last) > rule.clear_ms
        {
            edges.extend(watch.end(
                rule,
                node,
                last.saturating_add(rule.clear_ms),
                ClearReason::Quiet,
            ));
        }
        watch.last_ms = Some(watch.last_ms.map_or(time_ms, |last| last.max(time_ms)));
        if let Some(open) = &mut watch.open {
            open.count += 1;
            let long = time_ms.saturating_sub(open.told_ms) >= TELL_MS;
            if open.count >= 2 * open.told || long {
                (open.told, open.told_ms) = (open.count, time_ms);
                let value = open.count as f64;
                edges.push(Edge::Update {
                    rule: Arc::clone(&rule.report.name),
                    node: Arc::clone(node),
                    subject: subject.clone(),
                    value,
                    score: value / rule.count as f64,
                });
            }
            return Change::Nothing;
        }
        if watch.times_ms.len() >= rule.count {
            watch.times_ms.pop_front();
        }
        watch.times_ms.push_back(time_ms);
        let within = |t: &&i64| time_ms.abs_diff(**t) <= rule.over_ms.unsigned_abs();
        let count = watch.times_ms.iter().filter(within).count();
        if count < rule.count {
            return Change::Nothing;
        }
        let count = count as u64;
        watch.open = Some(Open { count, told: count, told_ms: time_ms });
        Change::Fire(count)
    }

    /// Ends what is open of the rule on the entity.
    pub(super) fn clear(
        &mut self,
        (number, rule): (u16, &EventRule),
        node: &Arc<NodeKey>,
        (event, subject): (&Event, &Subject),
    ) -> Option<Edge> {
        let watch = self.nodes.get_mut(&node.id)?.watches.get_mut(&(number, subject.id()))?;
        watch.end(rule, node, event.time_unix_ms, ClearReason::Recovered)
    }

    /// Ends what did not happen again.
    pub(super) fn sweep(&mut self, rules: &[EventRule], edges: &mut Vec<Edge>) {
        for OfNode { node, latest_ms, watches } in self.nodes.values_mut() {
            let Some(latest) = *latest_ms else { continue };
            watches.retain(|(number, _), watch| {
                let rule = &rules[usize::from(*number)];
                let last = *watch.last_ms.get_or_insert(latest);
                if latest.saturating_sub(last) > rule.clear_ms {
                    let over = last.saturating_add(rule.clear_ms);
                    edges.extend(watch.end(rule, node, over, ClearReason::Quiet));
                }
                watch.open.is_some()
                    || latest.saturating_sub(last) <= rule.clear_ms.max(rule.over_ms)
            });
        }
    }

    /// How many events were passed over since the last call.
    pub(super) fn take_overlooked(&mut self) -> u64 {
        std::mem::take(&mut self.overlooked)
    }

    /// The node was removed.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }
}

impl OfNode {
    /// Whether there is room for one more.
    fn make_room(&mut self) -> bool {
        if self.watches.len() < MAX_PER_NODE {
            return true;
        }
        let closed = self.watches.iter().filter(|(_, watch)| watch.open.is_none());
        let oldest = closed.min_by_key(|(_, watch)| watch.last_ms).map(|(key, _)| key.clone());
        oldest.is_some_and(|key| self.watches.remove(&key).is_some())
    }
}

impl Watch {
    fn end(
        &mut self,
        rule: &EventRule,
        node: &Arc<NodeKey>,
        time_ms: i64,
        reason: ClearReason,
    ) -> Option<Edge> {
        self.open.take()?;
        self.times_ms.clear();
        Some(Edge::Clear {
            rule: Arc::clone(&rule.report.name),
            node: Arc::clone(node),
            subject: self.subject.clone(),
            time_ms,
            reason,
        })
    }
}
