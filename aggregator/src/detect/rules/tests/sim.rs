//! A node with collectors of several tiers, a second at a time: what the shipped rules are driven
//! with, from healthy shapes and faults put into them.

use std::collections::BTreeSet;
use std::sync::Arc;

use sextant_proto::v1::{self, Event, Label, MetricKind};

use super::node;
use crate::detect::rules::{BUILTIN, Rules, spec};
use crate::detect::{ClearReason, Detector, Edge, Finding, Subject, Tick};
use crate::series::{LabelPair, LayoutId, NodeLayout, Series, SeriesId};

/// The rules of one shipped file.
pub(super) fn shipped(file: &str) -> spec::Book {
    let (name, text) = BUILTIN.iter().find(|(name, _)| name.ends_with(file)).expect("shipped");
    spec::load(&[((*name).into(), (*text).into())]).expect("valid")
}

/// What is done to a series.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Set(f64),
    /// Grows by so much a second.
    Grow(f64),
}

pub(super) struct Sim {
    rules: Rules,
    tiers: Vec<Tier>,
    entity: (String, Vec<LabelPair>),
    next_series: u32,
    next_layout: u32,
    pub(super) now_ms: i64,
    pub(super) found: Vec<Finding>,
}

struct Tier {
    layout: NodeLayout,
    rows: Vec<(f64, f64)>,
}

fn pairs(text: &str) -> Vec<LabelPair> {
    let one = |pair: &str| {
        let (name, value) = pair.split_once('=').expect("name=value");
        (name.into(), value.into())
    };
    text.split(',').filter(|p| !p.is_empty()).map(one).collect()
}

/// `metric{label=value,..}`
fn parts(what: &str) -> (&str, Vec<LabelPair>) {
    match what.split_once('{') {
        Some((metric, rest)) => (metric, pairs(rest.strip_suffix('}').expect("closed"))),
        None => (what, Vec::new()),
    }
}

impl Sim {
    pub(super) fn new(book: spec::Book) -> Self {
        Self {
            rules: Rules::new(book),
            tiers: Vec::new(),
            entity: ("node".into(), Vec::new()),
            next_series: 1,
            next_layout: 1,
            now_ms: 1_800_000_000_000,
            found: Vec::new(),
        }
    }

    /// The entity that the next series belong to: its type, and its labels as `a=b,c=d`.
    pub(super) fn entity(&mut self, kind: &str, labels: &str) -> &mut Self {
        self.entity = (kind.into(), pairs(labels));
        self
    }

    /// Adds series of a tier: each with its value.
    pub(super) fn put(&mut self, interval_s: u32, series: &[(&str, f64)]) -> &mut Self {
        let interval_ms = interval_s * 1000;
        let at = self.tiers.iter().position(|t| t.layout.interval_ms == interval_ms);
        let at = at.unwrap_or_else(|| {
            let (id, columns) = (LayoutId(0), Vec::new());
            let collector = format!("c{interval_s}");
            let node = node();
            let layout = NodeLayout { id, node, hash: 1, collector, interval_ms, columns };
            self.tiers.push(Tier { layout, rows: Vec::new() });
            self.tiers.len() - 1
        });
        for (what, value) in series {
            let (metric, mut labels) = parts(what);
            labels.extend(self.entity.1.iter().cloned());
            labels.sort();
            self.tiers[at].layout.columns.push(Arc::new(Series {
                id: SeriesId(self.next_series),
                node: node(),
                metric: metric.into(),
                kind: MetricKind::Gauge,
                entity_type: self.entity.0.as_str().into(),
                entity: self.entity.1.clone(),
                labels,
            }));
            self.next_series += 1;
            self.tiers[at].rows.push((*value, 0.0));
        }
        self.tiers[at].layout.id = LayoutId(self.next_layout);
        self.next_layout += 1;
        self
    }

    /// Does something to a series of the entity that series were added to last; what it was.
    pub(super) fn set(&mut self, what: &str, fault: Fault) -> Fault {
        let (metric, own) = parts(what);
        let mut labels = [own, self.entity.1.clone()].concat();
        labels.sort();
        for Tier { layout, rows } in &mut self.tiers {
            let same = |s: &Arc<Series>| *s.metric == *metric && s.labels == labels;
            let Some(at) = layout.columns.iter().position(same) else { continue };
            let (value, grows) = &mut rows[at];
            return match fault {
                Fault::Set(new) => Fault::Set(std::mem::replace(value, new)),
                Fault::Grow(new) => Fault::Grow(std::mem::replace(grows, new)),
            };
        }
        panic!("{what} is not there for {:?}", self.entity);
    }

    /// So many seconds: what fired (+) and cleared (-, or x when it did not recover).
    pub(super) fn run(&mut self, seconds: i64) -> Vec<String> {
        let mut out = Vec::new();
        for _ in 0..seconds {
            self.now_ms += 1000;
            let mut edges = Vec::new();
            for Tier { layout, rows } in &mut self.tiers {
                let interval_ms = layout.interval_ms;
                if self.now_ms % i64::from(interval_ms) != 0 {
                    continue;
                }
                for (value, grows) in &mut *rows {
                    *value += *grows * f64::from(interval_ms) / 1000.0;
                }
                let values: Vec<f64> = rows.iter().map(|(value, _)| *value).collect();
                let tick = Tick { layout, time_ms: self.now_ms, values: &values };
                self.rules.observe(&tick, &mut edges);
            }
            self.rules.elapse(self.now_ms, &[], &mut edges);
            out.extend(self.told(edges));
        }
        out
    }

    /// So many seconds in which the node says nothing.
    pub(super) fn quiet(&mut self, seconds: i64) -> Vec<String> {
        let mut edges = Vec::new();
        for _ in 0..seconds {
            self.now_ms += 1000;
            self.rules.elapse(self.now_ms, &[], &mut edges);
        }
        self.told(edges)
    }

    /// As the aggregator's start does.
    pub(super) fn restore(&mut self, anomaly: &v1::Anomaly, subject: &Subject) {
        self.rules.restore(anomaly, &node(), subject);
    }

    /// Something happens to the entity that series were added to last.
    pub(super) fn happen(&mut self, kind: &str, attributes: &str, message: &str) -> Vec<String> {
        let label = |(n, v): &LabelPair| Label { name: n.to_string(), value: v.to_string() };
        let event = Event {
            time_unix_ms: self.now_ms,
            r#type: kind.into(),
            severity: 0,
            entity_type: self.entity.0.clone(),
            entity: self.entity.1.iter().map(label).collect(),
            message: message.into(),
            attributes: pairs(attributes).iter().map(label).collect(),
        };
        let mut edges = Vec::new();
        self.rules.observe_event(&node(), &event, &mut edges);
        self.told(edges)
    }

    fn told(&mut self, edges: Vec<Edge>) -> Vec<String> {
        let mut out = Vec::new();
        for edge in edges {
            out.push(match edge {
                Edge::Fire(finding) => {
                    let name = format!("+{}", finding.rule);
                    self.found.push(finding);
                    name
                }
                Edge::Update { rule, value, .. } => format!("~{rule} {value}"),
                Edge::Clear {
                    rule, reason: ClearReason::Recovered | ClearReason::Quiet, ..
                } => {
                    format!("-{rule}")
                }
                Edge::Clear { rule, .. } => format!("x{rule}"),
            });
        }
        out
    }
}

/// A fault, and the rules that it makes fire.
pub(super) struct Case {
    pub(super) faults: &'static [(&'static str, Fault)],
    pub(super) fires: &'static [&'static str],
}

/// How long a shape is looked at: longer than any rule of GPUs, clocks and VFs waits.
const LONG_S: i64 = 900;
/// Within which all is over: the longest window, and the time to clear after it.
const OVER_S: i64 = 2 * 3600;

/// Each case from a healthy node: nothing, then what it fires, then nothing of it any more.
pub(super) fn drive(healthy: impl Fn() -> Sim, cases: &[Case]) -> BTreeSet<String> {
    let mut driven = BTreeSet::new();
    for Case { faults, fires } in cases {
        let mut sim = healthy();
        assert_eq!(sim.run(200), Vec::<String>::new(), "healthy before {faults:?}");
        let before: Vec<_> =
            faults.iter().map(|(what, fault)| (*what, sim.set(what, *fault))).collect();
        let fired: BTreeSet<String> = sim.run(LONG_S).into_iter().collect();
        let want: BTreeSet<String> = fires.iter().map(|name| format!("+{name}")).collect();
        let opened: BTreeSet<String> =
            fired.iter().filter(|e| e.starts_with('+')).cloned().collect();
        assert_eq!(opened, want, "{faults:?}");
        for finding in &sim.found {
            let text = format!("{} {}", finding.summary, finding.action);
            assert!(!text.contains(['{', '}']) && !text.contains("  "), "{text:?}");
            assert!(finding.score >= 1.0, "{}: {}", finding.rule, finding.score);
        }
        for (what, fault) in before {
            sim.set(what, fault);
        }
        let mut ended: BTreeSet<String> =
            fired.into_iter().filter(|e| e.starts_with('-')).collect();
        let want: BTreeSet<String> = fires.iter().map(|name| format!("-{name}")).collect();
        let mut waited = 0;
        while waited < 300 || (ended != want && waited < OVER_S) {
            let after = sim.run(60);
            assert!(after.iter().all(|e| e.starts_with('-')), "{faults:?}: {after:?}");
            ended.extend(after);
            waited += 60;
        }
        assert_eq!(ended, want, "{faults:?} are over");
        driven.extend(fires.iter().map(|name| (*name).to_owned()));
    }
    driven
}

/// The names of the rules about samples.
pub(super) fn names(book: &spec::Book) -> BTreeSet<String> {
    book.rules.iter().map(|r| r.report.name.to_string()).collect()
}
