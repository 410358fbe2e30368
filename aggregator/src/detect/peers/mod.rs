//! Peers: one of a kind against the others of its node that do the same work. What limits and a
//! series' own past cannot show, a GPU that is five per cent slower than its siblings, shows here.
//!
//! What is compared is in `spec` (data), the mathematics in `group`. Groups are settled once per
//! layout: the members of a group are columns of one layout, so all values are of one instant.

mod group;
mod spec;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sextant_proto::v1;

use self::group::{LEAST_MEMBERS, Member, OBSERVE_MS, Scale, Verdict, median};
use self::spec::{Compare, Numbers};
use super::open::OpenSet;
use super::{ClearReason, Detector, Edge, Finding, NodeStatus, Subject, Tick};
use crate::series::{LayoutId, NodeId, NodeKey, NodeLayout, Series, SeriesId};

/// Layouts of a node whose groups are kept; a node has a few dozen at most.
const MAX_LAYOUTS: usize = 48;
/// Members that a node's comparisons know; beyond it, what has not fired is learned again.
const MAX_MEMBERS: usize = 4_096;
/// A member that does less than this share of the usual work does other work.
const SAME_WORK: f64 = 0.8;

/// Finds who leaves its place among its peers.
pub struct Peers {
    compares: Vec<Compare>,
    nodes: FxHashMap<NodeId, NodePeers>,
    open: OpenSet<Key>,
    /// Open when the process ended, until their series is seen.
    restored: FxHashMap<Key, ()>,
    verdicts: Vec<(usize, Verdict)>,
}

/// How often the state of a member is looked at, as an interval.
const OBSERVATION_MS: u32 = 10_000;

/// A comparison (by number) of a series.
type Key = (SeriesId, usize);

#[derive(Default)]
struct NodePeers {
    /// By layout, the last used at the end.
    layouts: Vec<(LayoutId, Vec<Group>)>,
    /// What is known of the members, whatever the layout that they are in.
    members: FxHashMap<Key, Member>,
}

/// Columns of a layout that are compared.
struct Group {
    compare: usize,
    columns: Vec<Column>,
    scale: Scale,
    /// When the ticks of this observation began.
    since_ms: Option<i64>,
}

/// A member's column, and the mean of its ticks since the last observation.
struct Column {
    at: usize,
    gate: Option<usize>,
    value: Mean,
    gate_value: Mean,
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.sum += value;
            self.count += 1;
        }
    }

    /// The mean, and none of it is left.
    fn take(&mut self) -> Option<f64> {
        let Self { sum, count } = std::mem::take(self);
        (count > 0).then(|| sum / f64::from(count))
    }
}

impl Default for Peers {
    fn default() -> Self {
        Self::new(spec::builtin())
    }
}

impl Peers {
    /// The names of all comparisons.
    pub fn names() -> impl Iterator<Item = String> {
        spec::builtin().into_iter().map(|compare| compare.name.to_string())
    }

    fn new(compares: Vec<Compare>) -> Self {
        Self {
            compares,
            nodes: FxHashMap::default(),
            open: OpenSet::default(),
            restored: FxHashMap::default(),
            verdicts: Vec::new(),
        }
    }
}

impl Detector for Peers {
    fn name(&self) -> &'static str {
        "peers"
    }

    fn restore(&mut self, anomaly: &v1::Anomaly, node: &Arc<NodeKey>, subject: &Subject) {
        let compare = self.compares.iter().position(|c| *c.name == *anomaly.rule);
        match (compare, subject) {
            (Some(number), Subject::Series(series)) => {
                let key = (series.id, number);
                self.open.restored(key, &self.compares[number].name, series);
                self.restored.insert(key, ());
            }
            (None, _) => {
                self.open.retired(&anomaly.rule, node, subject, ClearReason::Retired);
            }
            _ => self.open.retired(&anomaly.rule, node, subject, ClearReason::Gone),
        }
    }

    fn observe(&mut self, tick: &Tick<'_>, edges: &mut Vec<Edge>) {
        let Self { compares, nodes, open, restored, verdicts } = self;
        let layout = tick.layout;
        open.tick(&layout.node, tick.time_ms);
        let node = nodes.entry(layout.node.id).or_default();
        let NodePeers { layouts, members } = node;
        for group in groups(layouts, members, compares, layout) {
            let number = group.compare;
            if !group.take(tick) {
                continue;
            }
            let compare = &compares[number];
            let (taking, values) = group.observation(compare);
            let key = |column: usize| (layout.columns[column].id, number);
            let mut states: Vec<Member> = taking
                .iter()
                .map(|column| {
                    let fresh = || match restored.remove(&key(*column)) {
                        Some(()) => Member::fired_before(),
                        None => Member::default(),
                    };
                    *members.entry(key(*column)).or_insert_with(fresh)
                })
                .collect();
            verdicts.clear();
            let median = group.scale.observe(&values, &mut states, verdicts);
            for (column, state) in taking.iter().zip(&states) {
                members.insert(key(*column), *state);
                if state.has_fired() {
                    // An observation stands for its ticks.
                    let interval_ms = layout.interval_ms.max(OBSERVATION_MS);
                    open.seen(key(*column), tick.time_ms, interval_ms);
                }
            }
            let Some(median) = median else { continue };
            for (at, verdict) in verdicts.drain(..) {
                let (series, key) = (&layout.columns[taking[at]], key(taking[at]));
                match verdict {
                    Verdict::Left { deviation, score } => {
                        let interval_ms = layout.interval_ms.max(OBSERVATION_MS);
                        open.fired(key, &compare.name, series, tick.time_ms, interval_ms);
                        let peers = taking.len() - 1;
                        let numbers = Numbers { value: values[at], median, deviation, peers };
                        let found = finding(compare, series, tick.time_ms, numbers, score);
                        edges.push(Edge::Fire(found));
                    }
                    Verdict::Back => {
                        edges.extend(open.clear(key, tick.time_ms, ClearReason::Recovered));
                    }
                    Verdict::Settled => {
                        edges.extend(open.clear(key, tick.time_ms, ClearReason::Learned));
                    }
                }
            }
        }
    }

    fn elapse(&mut self, now_ms: i64, _: &[NodeStatus], edges: &mut Vec<Edge>) {
        for (node, key) in self.open.sweep(now_ms, edges) {
            self.restored.remove(&key);
            if let Some(node) = self.nodes.get_mut(&node) {
                node.members.remove(&key);
            }
        }
    }

    fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        self.open.forget(node);
    }
}

fn finding(
    compare: &Compare,
    series: &Arc<Series>,
    time_ms: i64,
    numbers: Numbers,
    score: f64,
) -> Finding {
    Finding {
        rule: Arc::clone(&compare.name),
        node: Arc::clone(&series.node),
        subject: Subject::Series(Arc::clone(series)),
        severity: compare.severity(),
        time_ms,
        value: numbers.value,
        expected: numbers.median,
        score,
        summary: compare.summary(series, numbers),
        action: compare.action(series, numbers),
    }
}

/// The groups of a layout. What is known of members stays when the layout is replaced.
fn groups<'a>(
    layouts: &'a mut Vec<(LayoutId, Vec<Group>)>,
    members: &mut FxHashMap<Key, Member>,
    compares: &[Compare],
    layout: &NodeLayout,
) -> &'a mut [Group] {
    match layouts.iter().rposition(|(id, _)| *id == layout.id) {
        Some(at) => layouts[at..].rotate_left(1),
        None => {
            if layouts.len() >= MAX_LAYOUTS {
                layouts.remove(0);
            }
            layouts.push((layout.id, settle(compares, layout)));
            if members.len() > MAX_MEMBERS {
                members.retain(|_, member| member.has_fired());
            }
        }
    }
    layouts.last_mut().map_or(&mut [], |(_, groups)| groups.as_mut_slice())
}

/// Finds the groups of a layout: series that one comparison takes, of entities that share the
/// labels it groups by.
fn settle(compares: &[Compare], layout: &NodeLayout) -> Vec<Group> {
    let mut found = Vec::new();
    for (number, compare) in compares.iter().enumerate() {
        let mut by_key: BTreeMap<Vec<&str>, Vec<Column>> = BTreeMap::new();
        for (at, series) in layout.columns.iter().enumerate().filter(|(_, s)| compare.takes(s)) {
            let key = compare.by.iter().map(|l| series.label(l).unwrap_or_default()).collect();
            let gate = compare.gate.as_ref().map(|gate| {
                layout.columns.iter().position(|other| {
                    *other.metric == *gate.metric && other.entity == series.entity
                })
            });
            // Without what says that it works, nothing can be said of it.
            let gate = match gate {
                Some(None) => continue,
                Some(at) => at,
                None => None,
            };
            let (value, gate_value) = (Mean::default(), Mean::default());
            by_key.entry(key).or_default().push(Column { at, gate, value, gate_value });
        }
        let groups = by_key.into_values().filter(|columns| columns.len() >= LEAST_MEMBERS);
        found.extend(groups.map(|columns| Group {
            compare: number,
            columns,
            scale: Scale::new(compare.mode, compare.side, compare.floor),
            since_ms: None,
        }));
    }
    found
}

impl Group {
    /// Takes a tick's values. True when an observation is complete.
    fn take(&mut self, tick: &Tick<'_>) -> bool {
        let since = *self.since_ms.get_or_insert(tick.time_ms);
        // A gap, or a clock that was set back: what came before it stands for nothing.
        if !(0..=2 * OBSERVE_MS).contains(&(tick.time_ms - since)) {
            self.since_ms = Some(tick.time_ms);
            for column in &mut self.columns {
                (column.value, column.gate_value) = (Mean::default(), Mean::default());
            }
        }
        for column in &mut self.columns {
            column.value.add(tick.values[column.at]);
            if let Some(gate) = column.gate {
                column.gate_value.add(tick.values[gate]);
            }
        }
        let since = self.since_ms.unwrap_or(tick.time_ms);
        let interval_ms = i64::from(tick.layout.interval_ms);
        let complete = tick.time_ms + interval_ms - since >= OBSERVE_MS;
        if complete {
            self.since_ms = None;
        }
        complete
    }

    /// The columns that take part, with their values: those whose gate is open, and that do as
    /// much as the others.
    fn observation(&mut self, compare: &Compare) -> (Vec<usize>, Vec<f64>) {
        let all: Vec<(usize, Option<f64>, Option<f64>)> =
            self.columns.iter_mut().map(|c| (c.at, c.value.take(), c.gate_value.take())).collect();
        let gates: Vec<f64> = all.iter().filter_map(|(_, _, gate)| *gate).collect();
        let usual = median(&gates).unwrap_or_default();
        let works = |gate: Option<f64>| match &compare.gate {
            Some(least) => gate.is_some_and(|g| g >= least.least && g >= usual * SAME_WORK),
            None => true,
        };
        let taking = all.into_iter().filter(|(_, _, gate)| works(*gate));
        let (columns, values): (Vec<_>, Vec<_>) =
            taking.filter_map(|(at, value, _)| Some((at, value?))).unzip();
        if median(&values).is_some_and(|median| median >= compare.least) {
            return (columns, values);
        }
        (Vec::new(), Vec::new())
    }
}
