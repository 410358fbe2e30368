//! The static thresholds that operators of the peers run: `bench/scenarios/peer_rules.toml`,
//! evaluated as Prometheus would, on the same samples.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anyhow::Context as _;
use rustc_hash::FxHashMap;
use serde::Deserialize;
use sextant_aggregator::series::{LayoutId, Series, SeriesId};

use super::{Cost, Found, Level, Method, thread_ns};
use crate::detect::scenarios::fault::Component;
use crate::detect::scenarios::shape::Batch;
use crate::detect::scenarios::world::World;

const RULES: &str = include_str!("../../../../scenarios/peer_rules.toml");
/// kube-prometheus' evaluation interval.
const EVALUATE_S: i64 = 30;
/// A series that is silent for so long is stale: Prometheus' look-back.
const STALE_MS: i64 = 300_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    name: String,
    /// For the reader of the file.
    #[serde(rename = "source")]
    _source: String,
    #[serde(default)]
    metric: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    divide_by: Option<String>,
    increase_over_s: Option<i64>,
    #[serde(default)]
    abs: bool,
    #[serde(default)]
    op: String,
    #[serde(default)]
    threshold: f64,
    #[serde(default)]
    for_s: i64,
    down_for_s: Option<i64>,
    page: bool,
}

#[derive(Default)]
struct State {
    time_ms: i64,
    value: f64,
    /// The counter's steps within the window.
    steps: VecDeque<(i64, f64)>,
    pending_since_ms: Option<i64>,
    open: Option<usize>,
}

struct Watch {
    rule: usize,
    series: Arc<Series>,
    component: Component,
    divisor: Option<(usize, SeriesId)>,
    state: State,
}

/// Columns of a layout that rules look at: column and its watch, or the divisor it is.
type Plan = Vec<(usize, Target)>;

#[derive(Clone, Copy)]
enum Target {
    Watch(usize),
    Value(SeriesId),
}

/// Peers' rules over the samples.
pub(crate) struct StaticRules {
    rules: Vec<Rule>,
    watches: Vec<Watch>,
    known: FxHashMap<(usize, SeriesId), usize>,
    values: FxHashMap<SeriesId, f64>,
    plans: FxHashMap<LayoutId, Plan>,
    seen_ms: Vec<i64>,
    down: Vec<Option<usize>>,
    found: Vec<Found>,
    cost: Cost,
}

impl StaticRules {
    /// # Errors
    /// When the file is not of its format.
    pub(crate) fn new(world: &World) -> anyhow::Result<Self> {
        let file: File = toml::from_str(RULES).context("bench/scenarios/peer_rules.toml")?;
        Ok(Self {
            rules: file.rule,
            watches: Vec::new(),
            known: FxHashMap::default(),
            values: FxHashMap::default(),
            plans: FxHashMap::default(),
            seen_ms: vec![0; world.nodes.len()],
            down: vec![None; world.nodes.len()],
            found: Vec::new(),
            cost: Cost::default(),
        })
    }

    fn plan(&mut self, node: usize, columns: &[Arc<Series>], world: &World) -> Plan {
        let mut plan = Plan::new();
        for (column, series) in columns.iter().enumerate() {
            for rule in 0..self.rules.len() {
                let Rule { metric, labels, divide_by, .. } = &self.rules[rule];
                let fits = |(name, value): (&String, &String)| series.label(name) == Some(value);
                if divide_by.as_deref() == Some(&*series.metric) {
                    plan.push((column, Target::Value(series.id)));
                }
                if *metric != *series.metric || !labels.iter().all(fits) {
                    continue;
                }
                let same = |s: &&Arc<Series>| {
                    divide_by.as_deref() == Some(&*s.metric) && s.entity == series.entity
                };
                let divisor = divide_by
                    .as_ref()
                    .and_then(|_| columns.iter().find(same).map(|s| (node, s.id)));
                let watch = *self.known.entry((rule, series.id)).or_insert_with(|| {
                    let label = |name: &str| series.label(name).map(str::to_owned);
                    let at = &world.nodes[node];
                    let component = at.component(node, &series.entity_type, &series.metric, label);
                    let state = State::default();
                    let series = Arc::clone(series);
                    self.watches.push(Watch { rule, series, component, divisor, state });
                    self.watches.len() - 1
                });
                plan.push((column, Target::Watch(watch)));
            }
        }
        plan
    }

    fn observe(&mut self, batch: &Batch, world: &World) {
        for told in &batch.ticks {
            self.seen_ms[told.node] = told.time_ms;
            let layout = &told.live.layout;
            let plan = match self.plans.remove(&layout.id) {
                Some(plan) => plan,
                None => self.plan(told.node, &layout.columns, world),
            };
            let row = batch.row(told);
            for (column, target) in &plan {
                let value = row[*column];
                if value.is_nan() {
                    continue;
                }
                match *target {
                    Target::Value(series) => {
                        self.values.insert(series, value);
                    }
                    Target::Watch(watch) => {
                        let Watch { rule, state, .. } = &mut self.watches[watch];
                        if let Some(window_s) = self.rules[*rule].increase_over_s
                            && state.time_ms > 0
                        {
                            let step = value - state.value;
                            let step = if step < 0.0 { value } else { step };
                            state.steps.push_back((told.time_ms, step));
                            let oldest = told.time_ms - window_s * 1000;
                            while state.steps.front().is_some_and(|(at, _)| *at <= oldest) {
                                state.steps.pop_front();
                            }
                        }
                        (state.time_ms, state.value) = (told.time_ms, value);
                    }
                }
            }
            self.plans.insert(layout.id, plan);
        }
    }

    fn evaluate(&mut self, now_ms: i64) {
        let Self { rules, watches, values, found, .. } = self;
        for watch in watches {
            let Watch { rule, state, component, divisor, series } = watch;
            let rule = &rules[*rule];
            let mut value = match rule.increase_over_s {
                Some(_) => state.steps.iter().map(|(_, step)| step).sum(),
                None => state.value,
            };
            if let Some((_, divisor)) = divisor {
                value /= values.get(divisor).copied().unwrap_or(f64::NAN);
            }
            let value = if rule.abs { value.abs() } else { value };
            let holds = now_ms - state.time_ms <= STALE_MS
                && match rule.op.as_str() {
                    ">" => value > rule.threshold,
                    "<" => value < rule.threshold,
                    "==" => value == rule.threshold,
                    _ => value != rule.threshold,
                };
            if !holds {
                state.pending_since_ms = None;
                if let Some(index) = state.open.take() {
                    found[index].end_ms = Some(now_ms);
                }
                continue;
            }
            let since = *state.pending_since_ms.get_or_insert(now_ms);
            if state.open.is_none() && now_ms - since >= rule.for_s * 1000 {
                state.open = Some(found.len());
                let node = component.node().unwrap_or_default();
                debug_assert_eq!(node, series.node.id.0 as usize);
                found.push(alarm(rule, *component, now_ms, value));
            }
        }
        for (node, seen_ms) in self.seen_ms.iter().enumerate() {
            let Some(rule) = rules.iter().find(|r| r.down_for_s.is_some()) else { break };
            let limit_ms = rule.down_for_s.unwrap_or_default() * 1000;
            if now_ms - seen_ms < limit_ms {
                if let Some(index) = self.down[node].take() {
                    found[index].end_ms = Some(now_ms);
                }
            } else if self.down[node].is_none() {
                self.down[node] = Some(found.len());
                found.push(alarm(rule, Component::Node(node), now_ms, 1.0));
            }
        }
    }
}

fn alarm(rule: &Rule, component: Component, now_ms: i64, value: f64) -> Found {
    Found {
        begin_ms: now_ms,
        end_ms: None,
        component,
        level: if rule.page { Level::Page } else { Level::Mild },
        rule: rule.name.clone(),
        score: value,
        causes: vec![component],
    }
}

impl Method for StaticRules {
    fn take(&mut self, now_s: i64, batch: &Batch, world: &World) {
        let before = thread_ns();
        self.observe(batch, world);
        if now_s % EVALUATE_S == 0 {
            self.evaluate(now_s * 1000);
        }
        self.cost.cpu_ns += thread_ns() - before;
        self.cost.samples += batch.values.len() as u64;
    }

    fn finish(self: Box<Self>) -> Vec<(String, Vec<Found>, Cost)> {
        vec![("static thresholds".into(), self.found, self.cost)]
    }
}
