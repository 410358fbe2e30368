//! Values and rates that are far from what a series does, found without knowing what it means.
//!
//! Deliberately quiet: it is evidence beside the rules, not a limit. It says nothing of a change
//! of a setting, of a single wild sample, of what the series did in the last days, or of more
//! than a few series of a node at a time (one event moves hundreds). The mathematics is in
//! `model`, what is watched in `scope`.

mod model;
mod scope;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use sextant_proto::v1::{self, MetricKind, Severity};

use self::model::{Model, Verdict};
use super::open::OpenSet;
use super::slots::NodeSlots;
use super::text::number;
use super::{ClearReason, DetectError, Detector, Edge, Finding, NodeStatus, Subject, Tick};
use crate::series::{NodeId, NodeKey, NodeLayout, Series, SeriesId};

const HOUR_MS: f64 = 3_600_000.0;

/// The `[detect.robust_z]` section. The defaults were chosen on generated clean series of many
/// shapes for less than one finding a series and month.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RobustZConfig {
    pub enabled: bool,
    /// How many standard deviations from the usual are far. Six is what no normal series
    /// reaches in years; half of it is usual again.
    pub threshold: f32,
    /// How far outside its recent range, as a share of the range's width.
    pub margin: f32,
    /// A smaller change, as a share of the usual value, does not matter.
    pub min_change: f32,
    /// So many samples in a row must be unusual, or usual again.
    pub consecutive: u8,
    /// Nothing is said of a series before it had so many samples, and for so long.
    pub warm_up_samples: u16,
    #[serde(with = "humantime_serde")]
    pub warm_up: Duration,
    /// The recent range is that of the last one to two of these. Four days: a weekend does not
    /// make a working day news.
    #[serde(with = "humantime_serde")]
    pub memory: Duration,
    /// What stays unusual for so long is the new usual.
    #[serde(with = "humantime_serde")]
    pub hold: Duration,
    /// At most one finding a series in this time.
    #[serde(with = "humantime_serde")]
    pub refractory: Duration,
    /// At most so many findings a node and hour.
    pub max_per_node_hour: u16,
}

impl Default for RobustZConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            threshold: 6.0,
            margin: 1.0,
            min_change: 0.1,
            consecutive: 3,
            warm_up_samples: 120,
            warm_up: Duration::from_secs(3600),
            memory: Duration::from_secs(4 * 86_400),
            hold: Duration::from_secs(1800),
            refractory: Duration::from_secs(3600),
            max_per_node_hour: 10,
        }
    }
}

impl RobustZConfig {
    /// # Errors
    /// A value out of its range.
    pub(super) fn check(&self) -> Result<(), DetectError> {
        let day = Duration::from_secs(86_400);
        let limits = [
            ("detect.robust_z.threshold", (2.0..=100.0).contains(&self.threshold), "2 to 100"),
            ("detect.robust_z.margin", (0.0..=100.0).contains(&self.margin), "0 to 100"),
            ("detect.robust_z.min_change", (0.0..=10.0).contains(&self.min_change), "0 to 10"),
            ("detect.robust_z.consecutive", (1..=100).contains(&self.consecutive), "1 to 100"),
            (
                "detect.robust_z.warm_up_samples",
                (30..=60_000).contains(&self.warm_up_samples),
                "30 to 60000",
            ),
            ("detect.robust_z.warm_up", self.warm_up <= self.memory, "no more than memory"),
            (
                "detect.robust_z.memory",
                (day / 24..=day * 60).contains(&self.memory),
                "1h to 60days",
            ),
            ("detect.robust_z.hold", self.hold <= day, "at most 1day"),
            ("detect.robust_z.refractory", self.refractory <= day, "at most 1day"),
            (
                "detect.robust_z.max_per_node_hour",
                (1..=1000).contains(&self.max_per_node_hour),
                "1 to 1000",
            ),
        ];
        match limits.into_iter().find(|(_, holds, _)| !holds) {
            None => Ok(()),
            Some((key, _, range)) => {
                Err(DetectError::Config { key, what: format!("must be {range}") })
            }
        }
    }
}

/// A column that is watched.
#[derive(Debug)]
struct Entry {
    column: u32,
    counter: bool,
    floor: f32,
}

#[derive(Debug, Default)]
struct NodeState {
    slots: NodeSlots<SeriesId, Entry, Model>,
    budget: Option<Budget>,
}

/// Finds series that do what they have not done.
pub struct RobustZ {
    config: RobustZConfig,
    high: Arc<str>,
    low: Arc<str>,
    nodes: FxHashMap<NodeId, NodeState>,
    open: OpenSet<SeriesId>,
}

impl RobustZ {
    /// The rules' names.
    pub const RULES: [&'static str; 2] = ["unusually_high", "unusually_low"];

    #[must_use]
    pub fn new(config: RobustZConfig) -> Self {
        let [high, low] = Self::RULES.map(Arc::from);
        let (nodes, open) = (FxHashMap::default(), OpenSet::default());
        Self { config, high, low, nodes, open }
    }
}

impl Detector for RobustZ {
    fn name(&self) -> &'static str {
        "robust_z"
    }

    fn restore(&mut self, anomaly: &v1::Anomaly, node: &Arc<NodeKey>, subject: &Subject) {
        let rule = [&self.high, &self.low].into_iter().find(|r| ***r == *anomaly.rule);
        let (Some(rule), Some(series)) = (rule, subject.series()) else {
            let reason = if rule.is_some() { ClearReason::Gone } else { ClearReason::Retired };
            self.open.retired(&anomaly.rule, node, subject, reason);
            return;
        };
        let high = Arc::ptr_eq(rule, &self.high);
        let v1::Anomaly { value, expected, score, opened_unix_ms, .. } = *anomaly;
        *self.nodes.entry(node.id).or_default().slots.state(series.id) =
            Model::restored(value, expected, score, high, opened_unix_ms);
        self.open.restored(series.id, rule, series);
    }

    fn observe(&mut self, tick: &Tick<'_>, edges: &mut Vec<Edge>) {
        let Self { config, high: high_rule, low: low_rule, nodes, open } = self;
        let layout = tick.layout;
        open.tick(&layout.node, tick.time_ms);
        let NodeState { slots, budget } = nodes.entry(layout.node.id).or_default();
        let (entries, models) = slots.resolve(layout.id, || compile(layout));
        let time = (tick.time_ms, layout.interval_ms);
        for (entry, slot) in entries {
            let Some(&value) = tick.values.get(entry.column as usize) else { continue };
            if !value.is_finite() {
                continue;
            }
            let model = &mut models[*slot as usize];
            let had_fired = model.has_fired();
            let verdict = if entry.counter {
                model.counter(config, entry.floor, time, value)
            } else {
                model.gauge(config, entry.floor, time, value)
            };
            if verdict == Verdict::Nothing && !had_fired {
                continue;
            }
            let Some(series) = layout.columns.get(entry.column as usize) else { continue };
            open.seen(series.id, tick.time_ms, layout.interval_ms);
            match verdict {
                Verdict::Nothing => {}
                Verdict::Clear(reason) => edges.extend(open.clear(series.id, tick.time_ms, reason)),
                Verdict::Unusual { high, value, expected, score } => {
                    let budget = budget.get_or_insert_with(|| Budget::new(config, tick.time_ms));
                    if !budget.take(config, tick.time_ms, &layout.node) {
                        continue;
                    }
                    model.fire(high, tick.time_ms);
                    let rule = if high { &*high_rule } else { &*low_rule };
                    open.fired(series.id, rule, series, tick.time_ms, layout.interval_ms);
                    let summary = summary(series, entry.counter, value, expected, high);
                    edges.push(Edge::Fire(Finding {
                        rule: Arc::clone(rule),
                        node: Arc::clone(&series.node),
                        subject: Subject::Series(Arc::clone(series)),
                        severity: Severity::Info,
                        time_ms: tick.time_ms,
                        value,
                        expected,
                        score,
                        summary,
                        action: String::new(),
                    }));
                }
            }
        }
    }

    fn elapse(&mut self, now_ms: i64, _nodes: &[NodeStatus], edges: &mut Vec<Edge>) {
        for (node, series) in self.open.sweep(now_ms, edges) {
            if let Some(model) = self.nodes.get_mut(&node).and_then(|n| n.slots.get_mut(series)) {
                *model = Model::default();
            }
        }
    }

    fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        self.open.forget(node);
    }
}

fn compile(layout: &NodeLayout) -> Vec<(SeriesId, Entry)> {
    let watched = (0_u32..).zip(&layout.columns).filter_map(|(column, series)| {
        let counter = series.kind == MetricKind::Counter;
        let floor = scope::floor(series)?;
        Some((series.id, Entry { column, counter, floor }))
    });
    watched.collect()
}

fn summary(series: &Series, counter: bool, value: f64, expected: f64, high: bool) -> String {
    let labels: Vec<_> = series.labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
    let of = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let (metric, node) = (&series.metric, &series.node.name);
    let (what, unit) = if counter { ("rate of ", " a second") } else { ("", "") };
    let (value, expected) = (number(value), number(expected));
    let far = if high { "above" } else { "below" };
    format!(
        "{what}{metric}{of} on {node} is {value}{unit}, far {far} the usual {expected}, and has \
         not been there for days"
    )
}

/// Findings that a node may still have: refilled by the hour.
#[derive(Debug)]
struct Budget {
    left: f64,
    at_ms: i64,
    suppressed: u64,
}

impl Budget {
    fn new(config: &RobustZConfig, now_ms: i64) -> Self {
        Self { left: f64::from(config.max_per_node_hour), at_ms: now_ms, suppressed: 0 }
    }

    fn take(&mut self, config: &RobustZConfig, now_ms: i64, node: &NodeKey) -> bool {
        let full = f64::from(config.max_per_node_hour);
        let hours = (now_ms - self.at_ms).max(0) as f64 / HOUR_MS;
        self.left = (self.left + hours * full).min(full);
        self.at_ms = now_ms;
        if self.left < 1.0 {
            if self.suppressed == 0 {
                tracing::info!(
                    cluster = %node.cluster,
                    node = %node.name,
                    "more series are unusual than are reported",
                );
            }
            self.suppressed += 1;
            return false;
        }
        if self.suppressed > 0 {
            tracing::info!(
                cluster = %node.cluster,
                node = %node.name,
                suppressed = self.suppressed,
                "unusual series are reported again",
            );
            self.suppressed = 0;
        }
        self.left -= 1.0;
        true
    }
}
