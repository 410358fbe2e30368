//! Thresholds as data: facts about metrics and events that need no learning.
//!
//! The rules come from `knowledge/rules/*.toml`, embedded, and from a file of the user's. Which
//! rule watches which column is settled once per layout (`compile`), so that a tick costs what
//! is watched; what other layouts of the node last said is in `others`. Duration, hysteresis and
//! gaps are in `watch`, events in `happened`, the format in `spec`.

mod compile;
mod finding;
mod happened;
mod index;
mod matcher;
mod others;
mod rule;
mod spec;
mod template;
mod watch;
mod window;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use sextant_proto::v1::{self, Event};

use self::compile::{Entry, compile};
use self::happened::{Change, Happened};
use self::others::Others;
use self::rule::Report;
use self::spec::Book;
use self::watch::{Step, Watch};
use super::open::OpenSet;
use super::slots::NodeSlots;
use super::{ClearReason, Detector, Edge, NodeStatus, Subject, Tick};
use crate::series::{NodeId, NodeKey, SeriesId};

/// The rules that come with the aggregator.
const BUILTIN: [(&str, &str); 5] = [
    ("knowledge/rules/host.toml", include_str!("../../../knowledge/rules/host.toml")),
    ("knowledge/rules/gpu.toml", include_str!("../../../knowledge/rules/gpu.toml")),
    ("knowledge/rules/xid.toml", include_str!("../../../knowledge/rules/xid.toml")),
    ("knowledge/rules/ptp.toml", include_str!("../../../knowledge/rules/ptp.toml")),
    ("knowledge/rules/sriov.toml", include_str!("../../../knowledge/rules/sriov.toml")),
];

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

/// What is known of a node.
#[derive(Default)]
struct NodeState {
    watches: NodeSlots<Key, Entry, Watch>,
    others: Others,
}

/// Finds values beyond thresholds, and events that matter.
pub struct Rules {
    book: Book,
    by_metric: FxHashMap<String, Vec<u16>>,
    by_event: FxHashMap<String, Vec<u16>>,
    /// Metrics whose last values are kept on every node.
    always: FxHashSet<String>,
    nodes: FxHashMap<NodeId, NodeState>,
    open: OpenSet<Key>,
    happened: Happened,
}

impl Rules {
    /// The rules that come with the aggregator, and those of a file over them.
    ///
    /// # Errors
    /// When a file cannot be read or a rule is wrong.
    pub fn load(file: Option<&Path>) -> Result<Self, RulesError> {
        let mut files = builtin();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| RulesError::Read { path: path.into(), source })?;
            files.push((path.display().to_string(), text));
        }
        Ok(Self::new(spec::load(&files)?))
    }

    /// The names of all rules.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let of_samples = self.book.rules.iter().map(|rule| &*rule.report.name);
        of_samples.chain(self.book.events.iter().map(|rule| &*rule.report.name))
    }

    fn new(book: Book) -> Self {
        let mut by_metric: FxHashMap<String, Vec<u16>> = FxHashMap::default();
        for (number, rule) in (0_u16..).zip(&book.rules) {
            by_metric.entry(rule.metric.clone()).or_default().push(number);
        }
        let mut by_event: FxHashMap<String, Vec<u16>> = FxHashMap::default();
        for (number, rule) in (0_u16..).zip(&book.events) {
            let clears = rule.clear_event.iter().map(|(kind, _)| kind);
            let kinds: FxHashSet<&String> = clears.chain([&rule.kind]).collect();
            for kind in kinds {
                by_event.entry(kind.clone()).or_default().push(number);
            }
        }
        Self {
            always: always(&book),
            book,
            by_metric,
            by_event,
            nodes: FxHashMap::default(),
            open: OpenSet::default(),
            happened: Happened::default(),
        }
    }
}

impl Detector for Rules {
    fn name(&self) -> &'static str {
        "rules"
    }

    fn restore(&mut self, anomaly: &v1::Anomaly, node: &Arc<NodeKey>, subject: &Subject) {
        let named = |report: &Report| *report.name == *anomaly.rule;
        let rule = (0_u16..).zip(&self.book.rules).find(|(_, r)| named(&r.report));
        let event = (0_u16..).zip(&self.book.events).find(|(_, r)| named(&r.report));
        match (rule, event, subject) {
            (Some((number, rule)), _, Subject::Series(series)) => {
                let key = (series.id, number);
                let state = self.nodes.entry(node.id).or_default();
                *state.watches.state(key) = Watch::fired(rule, anomaly.expected);
                self.open.restored(key, &rule.report.name, series);
            }
            (_, Some((number, _)), Subject::Entity(_) | Subject::Node) => {
                self.happened.restored(number, node, subject, anomaly.value);
            }
            (None, None, _) => {
                self.open.retired(&anomaly.rule, node, subject, ClearReason::Retired);
            }
            _ => self.open.retired(&anomaly.rule, node, subject, ClearReason::Gone),
        }
    }

    fn observe(&mut self, tick: &Tick<'_>, edges: &mut Vec<Edge>) {
        let Self { book, by_metric, always, nodes, open, happened, .. } = self;
        let layout = tick.layout;
        open.tick(&layout.node, tick.time_ms);
        happened.tick(&layout.node, tick.time_ms);
        let NodeState { watches, others } = nodes.entry(layout.node.id).or_default();
        others.take(tick, always);
        let (entries, watches) = watches.resolve(layout.id, || {
            let compiled = compile(book, by_metric, layout);
            let rule = |entry: &Entry| &book.rules[usize::from(entry.rule)];
            others.want(compiled.iter().flat_map(|(_, e)| e.elsewhere(rule(e))));
            compiled
        });
        for (entry, slot) in entries {
            let number = entry.rule;
            let rule = &book.rules[usize::from(number)];
            let Some(series) = layout.columns.get(entry.column as usize) else { continue };
            let Some(reading) = entry.read(rule, series, tick, others) else { continue };
            let watch = &mut watches[*slot as usize];
            let key = (series.id, number);
            if watch.has_fired() {
                open.seen(key, tick.time_ms, reading.span_ms);
            }
            match watch.step(rule, tick.time_ms, layout.interval_ms, reading) {
                Step::Nothing => {}
                Step::Fire { value, limit } => {
                    let name = &rule.report.name;
                    open.fired(key, name, series, tick.time_ms, reading.span_ms);
                    let of = (&*book, &*others);
                    let found = finding::of_sample(of, rule, series, tick, (value, limit));
                    edges.push(Edge::Fire(found));
                }
                Step::Clear => {
                    edges.extend(open.clear(key, tick.time_ms, ClearReason::Recovered));
                }
            }
        }
    }

    fn observe_event(&mut self, node: &Arc<NodeKey>, event: &Event, edges: &mut Vec<Edge>) {
        let Some(numbers) = self.by_event.get(&event.r#type).cloned() else { return };
        let subject = Subject::entity(&event.entity_type, &event.entity);
        let what = (event, &subject);
        for number in numbers {
            let rule = &self.book.events[usize::from(number)];
            let label = |name: &str| finding::event_label(event, name);
            if let Some((kind, labels)) = &rule.clear_event
                && *kind == event.r#type
                && labels.take(label)
            {
                edges.extend(self.happened.clear((number, rule), node, what));
            }
            let meant = rule.kind == event.r#type && rule.labels.take(label);
            let others = self.nodes.get(&node.id).map(|n| &n.others);
            if !meant || !finding::is_about((&self.book, others), rule, what) {
                continue;
            }
            match self.happened.observe((number, rule), node, what, edges) {
                Change::Nothing => {}
                Change::Fire(count) => {
                    let found = finding::of_event((&self.book, others), rule, node, what, count);
                    edges.push(Edge::Fire(found));
                }
            }
        }
    }

    fn elapse(&mut self, now_ms: i64, _nodes: &[NodeStatus], edges: &mut Vec<Edge>) {
        for (node, key) in self.open.sweep(now_ms, edges) {
            if let Some(watch) = self.nodes.get_mut(&node).and_then(|n| n.watches.get_mut(key)) {
                *watch = Watch::default();
            }
        }
        self.happened.sweep(&self.book.events, edges);
    }

    fn overlooked(&mut self) -> u64 {
        self.happened.take_overlooked()
    }

    fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        self.open.forget(node);
        self.happened.forget(node);
    }
}

/// The rules that come with the aggregator, each file with its name.
fn builtin() -> Vec<(String, String)> {
    BUILTIN.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
}

/// Metrics whose last values are kept on every node: those that say what entities are, and the
/// gates of event rules, which have no layout of their own.
fn always(book: &Book) -> FxHashSet<String> {
    let gates = book.events.iter().flat_map(|r| &r.gates).map(|g| g.operand.metric.clone());
    let samples = book.rules.iter().map(|r| &r.report);
    let reports = samples.chain(book.events.iter().map(|r| &r.report));
    let info = reports.filter(|r| r.reads_info()).flat_map(|report| {
        let of_types = book.info.values().filter(|_| report.info_metric.is_none());
        report.info_metric.iter().chain(of_types).cloned()
    });
    gates.chain(info).collect()
}
