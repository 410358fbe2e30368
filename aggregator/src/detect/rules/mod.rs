//! Thresholds as data: facts about metrics that need no learning.
//!
//! The rules come from `knowledge/rules.toml`, embedded, and from a file of the user's. Which
//! rule watches which column is settled once per layout, so that a tick costs what is watched.
//! Duration, hysteresis and gaps are in `watch`, the format in `spec`.

mod spec;
mod template;
mod watch;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sextant_proto::v1;

use self::spec::Rule;
use self::watch::{Reading, Step, Watch};
use super::open::OpenSet;
use super::slots::NodeSlots;
use super::{ClearReason, Detector, Edge, Finding, NodeStatus, Tick};
use crate::series::{LabelPair, NodeId, NodeKey, NodeLayout, Series, SeriesId};

/// The rules that come with the aggregator.
const BUILTIN: &str = include_str!("../../../knowledge/rules.toml");
const BUILTIN_NAME: &str = "knowledge/rules.toml";

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The file cannot be read.
    #[error("read rules {path}")]
    Read { path: PathBuf, source: std::io::Error },
    /// It is not the format.
    #[error("rules {file}: {what}")]
    Syntax { file: String, what: String },
    /// A rule in it is wrong.
    #[error("rules {file}: rule {rule}: {key}: {what}")]
    Rule { file: String, rule: String, key: String, what: String },
}

impl RulesError {
    fn rule(file: &str, rule: &str, key: &str, what: String) -> Self {
        Self::Rule { file: file.into(), rule: rule.into(), key: key.into(), what }
    }
}

/// A rule (by number) on a series.
type Key = (SeriesId, u16);

/// What a rule reads of a layout's tick.
#[derive(Debug)]
struct Entry {
    rule: u16,
    column: usize,
    divisor: Option<usize>,
    /// In the order of the rule's gates.
    gates: Vec<usize>,
}

/// Finds values beyond thresholds.
pub struct Rules {
    rules: Vec<Rule>,
    by_metric: FxHashMap<String, Vec<u16>>,
    nodes: FxHashMap<NodeId, NodeSlots<Key, Entry, Watch>>,
    open: OpenSet<Key>,
}

impl Rules {
    /// The rules that come with the aggregator, and those of a file over them.
    ///
    /// # Errors
    /// When a file cannot be read or a rule is wrong.
    pub fn load(file: Option<&Path>) -> Result<Self, RulesError> {
        let mut files = vec![(BUILTIN_NAME.to_owned(), BUILTIN.to_owned())];
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| RulesError::Read { path: path.into(), source })?;
            files.push((path.display().to_string(), text));
        }
        Ok(Self::new(spec::load(&files)?))
    }

    fn new(rules: Vec<Rule>) -> Self {
        let mut by_metric: FxHashMap<String, Vec<u16>> = FxHashMap::default();
        for (number, rule) in (0_u16..).zip(&rules) {
            by_metric.entry(rule.metric.clone()).or_default().push(number);
        }
        let (nodes, open) = (FxHashMap::default(), OpenSet::default());
        Self { rules, by_metric, nodes, open }
    }
}

impl Detector for Rules {
    fn name(&self) -> &'static str {
        "rules"
    }

    fn restore(
        &mut self,
        anomaly: &v1::Anomaly,
        node: &Arc<NodeKey>,
        series: Option<&Arc<Series>>,
    ) {
        let number = (0_u16..).zip(&self.rules).find(|(_, r)| *r.name == *anomaly.rule);
        match (number, series) {
            (Some((number, rule)), Some(series)) => {
                let key = (series.id, number);
                *self.nodes.entry(node.id).or_default().state(key) = Watch::fired();
                self.open.restored(key, &rule.name, series);
            }
            (Some(_), None) => {
                self.open.retired(&anomaly.rule, node, series, ClearReason::Gone);
            }
            (None, _) => self.open.retired(&anomaly.rule, node, series, ClearReason::Retired),
        }
    }

    fn observe(&mut self, tick: &Tick<'_>, edges: &mut Vec<Edge>) {
        let Self { rules, by_metric, nodes, open } = self;
        let layout = tick.layout;
        open.tick(&layout.node, tick.time_ms);
        let slots = nodes.entry(layout.node.id).or_default();
        let (entries, watches) = slots.resolve(layout.id, || compile(rules, by_metric, layout));
        for (entry, slot) in entries {
            let rule = &rules[usize::from(entry.rule)];
            let Some(reading) = read(rule, entry, tick.values) else { continue };
            let Some(series) = layout.columns.get(entry.column) else { continue };
            let watch = &mut watches[*slot as usize];
            let key = (series.id, entry.rule);
            if watch.has_fired() {
                open.seen(key, tick.time_ms, layout.interval_ms);
            }
            match watch.step(rule, tick.time_ms, layout.interval_ms, reading) {
                Step::Nothing => {}
                Step::Fire(value) => {
                    open.fired(key, &rule.name, series, tick.time_ms, layout.interval_ms);
                    edges.push(Edge::Fire(finding(rule, series, tick.time_ms, value)));
                }
                Step::Clear => {
                    edges.extend(open.clear(key, tick.time_ms, ClearReason::Recovered));
                }
            }
        }
    }

    fn elapse(&mut self, now_ms: i64, _nodes: &[NodeStatus], edges: &mut Vec<Edge>) {
        for (node, key) in self.open.sweep(now_ms, edges) {
            if let Some(watch) = self.nodes.get_mut(&node).and_then(|n| n.get_mut(key)) {
                *watch = Watch::default();
            }
        }
    }

    fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        self.open.forget(node);
    }
}

/// What rules watch in a layout. A rule whose divisor or gate is not there watches nothing.
fn compile(
    rules: &[Rule],
    by_metric: &FxHashMap<String, Vec<u16>>,
    layout: &NodeLayout,
) -> Vec<(Key, Entry)> {
    let mut columns: FxHashMap<(&str, &[LabelPair]), usize> = FxHashMap::default();
    for (column, series) in layout.columns.iter().enumerate() {
        columns.insert((&series.metric, &series.labels), column);
    }
    let mut entries = Vec::new();
    for (column, series) in layout.columns.iter().enumerate() {
        for &number in by_metric.get(&*series.metric).into_iter().flatten() {
            let rule = &rules[usize::from(number)];
            if !rule.watches(series) {
                continue;
            }
            let beside = |metric: &str| columns.get(&(metric, &*series.labels)).copied();
            let divisor = match &rule.divide_by {
                None => None,
                Some(metric) => match beside(metric) {
                    Some(column) => Some(column),
                    None => continue,
                },
            };
            let Some(gates) = rule.gates.iter().map(|g| beside(&g.metric)).collect() else {
                continue;
            };
            entries.push(((series.id, number), Entry { rule: number, column, divisor, gates }));
        }
    }
    entries
}

/// `None` when a column that the rule needs has no sample (which is a NaN, too).
fn read(rule: &Rule, entry: &Entry, values: &[f64]) -> Option<Reading> {
    let at = |column: usize| values.get(column).copied().filter(|v| !v.is_nan());
    let value = at(entry.column)?;
    let divisor = match entry.divisor {
        Some(column) => Some(at(column)?),
        None => None,
    };
    let mut gates = true;
    for (gate, &column) in rule.gates.iter().zip(&entry.gates) {
        gates &= gate.op.holds(at(column)?, gate.value);
    }
    Some(Reading { value, divisor, gates })
}

fn finding(rule: &Rule, series: &Arc<Series>, time_ms: i64, value: f64) -> Finding {
    Finding {
        rule: Arc::clone(&rule.name),
        node: Arc::clone(&series.node),
        series: Some(Arc::clone(series)),
        severity: rule.severity,
        time_ms,
        value,
        expected: rule.threshold,
        score: rule.score(value),
        summary: rule.summary.render(series, value, rule.threshold),
        action: rule.action.render(series, value, rule.threshold),
    }
}
