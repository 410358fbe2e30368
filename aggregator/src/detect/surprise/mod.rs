//! Values, rates and movements that are rare for a series, found without knowing what it means.
//!
//! Evidence beside the rules, not a limit: every finding is informational. Each series has a
//! state of at most 400 bytes; samples become steps of a minute or more (`series`), a step is
//! judged by several features whose magnitudes are compared with their own past (`model`,
//! `tail`, `profile`), and what the series does again and again is no news (`episodes`). A score
//! means so many false alarms a series and month (`config`). Many mildly unusual series of a
//! node at a time are a finding of their own (`node`).

mod budget;
mod chance;
mod config;
mod episodes;
mod model;
mod node;
mod profile;
mod scope;
mod series;
mod summary;
mod tail;
mod tuning;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustc_hash::FxHashMap;
use sextant_proto::v1::{self, MetricKind, Severity};

use self::budget::Budget;
use self::node::{Change, Fleet, MILD, NodeRate, window_mark};
use super::open::{OpenSet, gone_after_ms};
use super::slots::{NodeSlots, State};
use super::{ClearReason, Detector, Edge, Finding, NodeStatus, Subject, Tick};
use crate::series::{NodeId, NodeKey, NodeLayout, SeriesId};

pub use self::config::{SurpriseConfig, alert_score};
pub use self::model::Kind;
pub use self::series::{Score, Series, View};
pub use self::tuning::Tuning;

/// Steps in a row that are usual again end a finding.
const CALM_STEPS: u8 = 5;
/// Usual again is a surprise of less than this share of what makes an alert.
const CALM_SHARE: f32 = 0.5;
/// What stays unusual for so long is the new usual.
const HOLD_MS: i64 = 2 * 3_600_000;

/// A column that is watched.
#[derive(Debug)]
struct Entry {
    column: u32,
    view: View,
    learning_steps: u32,
}

/// One series' state.
#[derive(Debug, Default)]
struct Watch {
    series: Series,
    /// When its finding began, Unix seconds; 0 for none.
    fired_s: u32,
    calm: u8,
    /// Windows of the node in which it was last counted.
    seen_in: u8,
    mild_in: u8,
}

impl State for Watch {
    fn keep(&self) -> bool {
        self.fired_s != 0
    }
}

#[derive(Debug, Default)]
struct NodeState {
    slots: NodeSlots<SeriesId, Entry, Watch>,
    budget: Option<Budget>,
    rate: NodeRate,
}

/// Finds series that do what is rare for them, and nodes where many do.
pub struct Surprise {
    config: SurpriseConfig,
    tuning: Tuning,
    rules: [Arc<str>; 4],
    many: Arc<str>,
    fleet: Fleet,
    nodes: FxHashMap<NodeId, NodeState>,
    open: OpenSet<SeriesId>,
}

impl Surprise {
    /// The rules' names, in the order of [`Kind`].
    pub const RULES: [&'static str; 4] =
        ["unusually_high", "unusually_low", "unusually_restless", "unusually_still"];
    /// The rule about a node as a whole.
    pub const NODE_RULE: &'static str = "many_unusual_series";

    #[must_use]
    pub fn new(config: SurpriseConfig) -> Self {
        Self {
            config,
            tuning: Tuning::default(),
            rules: Self::RULES.map(Arc::from),
            many: Arc::from(Self::NODE_RULE),
            fleet: Fleet::default(),
            nodes: FxHashMap::default(),
            open: OpenSet::default(),
        }
    }
}

impl Detector for Surprise {
    fn name(&self) -> &'static str {
        "surprise"
    }

    fn restore(&mut self, anomaly: &v1::Anomaly, node: &Arc<NodeKey>, subject: &Subject) {
        if *anomaly.rule == *self.many {
            self.nodes.entry(node.id).or_default().rate.restored();
            return;
        }
        let rule = self.rules.iter().find(|rule| ***rule == *anomaly.rule);
        let (Some(rule), Some(series)) = (rule, subject.series()) else {
            let reason = if rule.is_some() { ClearReason::Gone } else { ClearReason::Retired };
            self.open.retired(&anomaly.rule, node, subject, reason);
            return;
        };
        let watch = self.nodes.entry(node.id).or_default().slots.state(series.id);
        watch.fired_s = seconds(anomaly.opened_unix_ms);
        self.open.restored(series.id, rule, series);
    }

    fn observe(&mut self, tick: &Tick<'_>, edges: &mut Vec<Edge>) {
        let Self { config, tuning, rules, many, fleet, nodes, open } = self;
        let layout = tick.layout;
        open.tick(&layout.node, tick.time_ms);
        let NodeState { slots, budget, rate, .. } = nodes.entry(layout.node.id).or_default();
        if let Some(change) = rate.advance(tick.time_ms, fleet, tuning) {
            edges.push(node_edge(change, many, &layout.node, tick.time_ms));
        }
        let mark = window_mark(tick.time_ms);
        let (entries, watches) = slots.resolve(layout.id, || compile(config, layout));
        for (entry, slot) in entries {
            let Some(&value) = tick.values.get(entry.column as usize) else { continue };
            let watch = &mut watches[*slot as usize];
            let score = watch.series.observe(tick.time_ms, value, &entry.view, tuning);
            if score.is_none() && watch.fired_s == 0 {
                continue;
            }
            let Some(series) = layout.columns.get(entry.column as usize) else { continue };
            if watch.fired_s != 0 {
                if value.is_finite() {
                    open.seen(series.id, tick.time_ms, layout.interval_ms);
                }
                if let Some(reason) = watch.over(score.as_ref(), entry.view.alert, tick.time_ms) {
                    watch.fired_s = 0;
                    edges.extend(open.clear(series.id, tick.time_ms, reason));
                }
            }
            let Some(score) = score else { continue };
            if watch.series.steps() < entry.learning_steps {
                continue;
            }
            if watch.seen_in != mark {
                watch.seen_in = mark;
                rate.saw();
            }
            if score.surprise >= MILD && watch.mild_in != mark {
                watch.mild_in = mark;
                rate.saw_mild();
            }
            if score.score < entry.view.alert || watch.fired_s != 0 {
                continue;
            }
            let per_hour = config.max_per_node_hour;
            let budget = budget.get_or_insert_with(|| Budget::new(per_hour, tick.time_ms));
            if !budget.take(per_hour, tick.time_ms, &layout.node) {
                continue;
            }
            (watch.fired_s, watch.calm) = (seconds(tick.time_ms).max(1), 0);
            let rule = &rules[score.kind as usize];
            open.fired(series.id, rule, series, tick.time_ms, layout.interval_ms);
            edges.push(Edge::Fire(Finding {
                rule: Arc::clone(rule),
                node: Arc::clone(&series.node),
                subject: Subject::Series(Arc::clone(series)),
                severity: Severity::Info,
                time_ms: tick.time_ms,
                value: score.value,
                expected: score.expected,
                score: f64::from(score.score),
                summary: summary::of_series(series, entry.view.counter, &score),
                action: String::new(),
            }));
        }
    }

    fn elapse(&mut self, now_ms: i64, _nodes: &[NodeStatus], edges: &mut Vec<Edge>) {
        for (node, series) in self.open.sweep(now_ms, edges) {
            if let Some(watch) = self.nodes.get_mut(&node).and_then(|n| n.slots.get_mut(series)) {
                *watch = Watch::default();
            }
        }
    }

    fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        self.open.forget(node);
    }
}

impl Watch {
    /// Whether what it found is over, and why.
    fn over(&mut self, score: Option<&Score>, alert: f32, time_ms: i64) -> Option<ClearReason> {
        if let Some(score) = score {
            let calm = score.surprise < CALM_SHARE * alert;
            self.calm = if calm { self.calm.saturating_add(1) } else { 0 };
        }
        if self.calm >= CALM_STEPS {
            return Some(ClearReason::Recovered);
        }
        let since = i64::from(seconds(time_ms)) - i64::from(self.fired_s);
        (since * 1000 >= HOLD_MS).then_some(ClearReason::Learned)
    }
}

fn compile(config: &SurpriseConfig, layout: &NodeLayout) -> Vec<(SeriesId, Entry)> {
    let watched = (0_u32..).zip(&layout.columns).filter_map(|(column, series)| {
        let view = View {
            counter: series.kind == MetricKind::Counter,
            floor: scope::floor(series)?,
            gap_ms: gone_after_ms(layout.interval_ms),
            alert: config.alert(layout.interval_ms),
        };
        let learning_steps = config.learning_steps(layout.interval_ms);
        Some((series.id, Entry { column, view, learning_steps }))
    });
    watched.collect()
}

fn node_edge(change: Change, rule: &Arc<str>, node: &Arc<NodeKey>, time_ms: i64) -> Edge {
    let (rule, node) = (Arc::clone(rule), Arc::clone(node));
    let reason = match change {
        Change::Fire { mild, seen, usual, score } => {
            return Edge::Fire(Finding {
                summary: summary::of_node(&node.name, mild, seen, usual),
                rule,
                node,
                subject: Subject::Node,
                severity: Severity::Info,
                time_ms,
                value: f64::from(mild / seen),
                expected: f64::from(usual),
                score: f64::from(score),
                action: String::new(),
            });
        }
        Change::Recovered => ClearReason::Recovered,
        Change::Learned => ClearReason::Learned,
    };
    Edge::Clear { rule, node, subject: Subject::Node, time_ms, reason }
}

fn seconds(time_ms: i64) -> u32 {
    u32::try_from(time_ms / 1000).unwrap_or(0)
}
