//! A small fleet with one fault, and what it told.

use std::collections::BTreeMap;
use std::sync::Arc;

use sextant_aggregator::series::Series;

use crate::detect::scenarios::contract::Contract;
use crate::detect::scenarios::fault::{Component, Fault};
use crate::detect::scenarios::plan::Span;
use crate::detect::scenarios::rng::Rng;
use crate::detect::scenarios::shape::Batch;
use crate::detect::scenarios::spec::{Class, Scope, Spec};
use crate::detect::scenarios::world::{Fleet, World};

const BEFORE_S: i64 = 900;
const LENGTH_S: i64 = 900;
const AFTER_S: i64 = 120;

/// Node, metric and labels.
type Key = (usize, String, Vec<(String, String)>);

/// What was told of a fault on a fleet of three nodes.
pub(super) struct Scene {
    pub(super) fault: Fault,
    /// Samples by node, metric and labels: time and value, absent ones left out.
    series: BTreeMap<Key, Vec<(i64, f64)>>,
    /// Type, node and an attribute's or entity's values.
    pub(super) events: Vec<(i64, usize, String, Vec<String>)>,
}

/// Lets a fault of a class happen; `draw` decides what is true in a share of the cases.
pub(super) fn scene(class: Class, draw: f64) -> Scene {
    let mut spec = Spec::load().expect("the files are right");
    spec.physics.fleet.nodes = 3;
    let begin_s = spec.physics.start_unix_s + 12 * 3600;
    let fault_s = begin_s + BEFORE_S;
    let end_s = fault_s + LENGTH_S + AFTER_S;
    let span = Span { begin_s, warm_s: begin_s, end_s };
    let kind = spec.faults.iter().find(|f| f.class == class).expect("it has one of each");
    // The first seed whose jobs run all the while.
    let (seed, fleet, root) = (0..200)
        .find_map(|seed| {
            let fleet = Fleet::new(&spec.physics, span, seed);
            let root = root(kind.scope, &fleet, (begin_s, fault_s + LENGTH_S))?;
            Some((seed, fleet, root))
        })
        .expect("one of them");
    let fault = Fault {
        class,
        group: kind.group,
        begin_s: fault_s,
        end_s: fault_s + LENGTH_S,
        root,
        affected: Vec::new(),
        parameters: kind.draw(&mut Rng::new(1, 1)),
        draw,
        strength: 0.0,
        observable_ms: None,
    };
    let contract = Contract::load().expect("the agent's metrics");
    let mut world = World::new(&spec.physics, fleet, (vec![fault], Vec::new()), contract, seed);
    let (mut numbers, mut plans) = (BTreeMap::new(), BTreeMap::new());
    let (mut samples, mut events): (Vec<Vec<(i64, f64)>>, _) = (Vec::new(), Vec::new());
    let mut batch = Batch::default();
    for now_s in begin_s..end_s {
        world.step(now_s, &mut batch);
        for told in &batch.ticks {
            let layout = &told.live.layout;
            let places = plans.entry(layout.id).or_insert_with(|| {
                let place = |column: &Arc<Series>| {
                    let own = |(n, v): &(Arc<str>, Arc<str>)| (n.to_string(), v.to_string());
                    let labels = column.labels.iter().map(own).collect();
                    let key: Key = (told.node, column.metric.to_string(), labels);
                    *numbers.entry(key).or_insert_with(|| {
                        samples.push(Vec::new());
                        samples.len() - 1
                    })
                };
                layout.columns.iter().map(place).collect::<Vec<usize>>()
            });
            for (place, value) in places.iter().zip(batch.row(told)) {
                if !value.is_nan() {
                    samples[*place].push((now_s - fault_s, *value));
                }
            }
        }
        for (node, event) in &batch.events {
            let labels = event.attributes.iter().chain(&event.entity);
            let values = labels.map(|l| l.value.clone()).collect();
            events.push((now_s - fault_s, *node, event.r#type.clone(), values));
        }
    }
    let fault = world.faults[0].clone();
    let take = |(key, number): (Key, usize)| (key, std::mem::take(&mut samples[number]));
    let series = numbers.into_iter().map(take).collect();
    Scene { fault, series, events }
}

fn root(scope: Scope, fleet: &Fleet, (from_s, to_s): (i64, i64)) -> Option<Component> {
    let runs = |node, gpu| fleet.gang_of(node, gpu).is_some_and(|g| g.runs(from_s, to_s));
    // The gang of the first GPUs has six members at least.
    runs(0, 0).then_some(())?;
    Some(match scope {
        Scope::Gpu | Scope::TrainingGpu => Component::Gpu(0, 2),
        Scope::Node => Component::Node(0),
        Scope::Pf => Component::Pf(0, 0),
        Scope::Vf => Component::Vf(0, 1, 3),
        Scope::Domain => Component::Domain,
        Scope::Boundary => Component::Boundary(1),
    })
}

/// Seconds from the fault's begin.
#[derive(Clone, Copy)]
pub(super) enum When {
    Before,
    During,
    /// From so many seconds after the begin.
    From(i64),
}

impl Scene {
    /// Values of the series with these labels on a node; all of them have the metric.
    pub(super) fn values(
        &self,
        node: usize,
        metric: &str,
        labels: &[(&str, &str)],
        when: When,
    ) -> Vec<f64> {
        let fits = |own: &[(String, String)]| {
            labels.iter().all(|(n, v)| own.iter().any(|(name, value)| name == n && value == v))
        };
        let of = self.series.iter().filter(|((n, m, l), _)| *n == node && m == metric && fits(l));
        let series: Vec<_> = of.collect();
        assert!(!series.is_empty(), "{metric} {labels:?} is told");
        let inside = |at: i64| match when {
            When::Before => (-600..0).contains(&at),
            When::During => (30..LENGTH_S).contains(&at),
            When::From(from) => (from..LENGTH_S).contains(&at),
        };
        let values = series.iter().flat_map(|(_, samples)| samples.iter());
        values.filter(|(at, _)| inside(*at)).map(|(_, value)| *value).collect()
    }

    /// Their mean.
    pub(super) fn mean(
        &self,
        node: usize,
        metric: &str,
        labels: &[(&str, &str)],
        when: When,
    ) -> f64 {
        let values = self.values(node, metric, labels, when);
        values.iter().sum::<f64>() / values.len() as f64
    }

    /// From the first value to the last.
    pub(super) fn growth(&self, node: usize, metric: &str, labels: &[(&str, &str)]) -> f64 {
        let values = self.values(node, metric, labels, When::From(0));
        values.last().zip(values.first()).map_or(f64::NAN, |(last, first)| last - first)
    }

    /// The identities of a node's GPUs, in order.
    pub(super) fn gpus(&self) -> Vec<String> {
        let infos = self.series.keys().filter(|(node, m, _)| *node == 0 && m == "gpu_info");
        let value = |labels: &[(String, String)], name: &str| {
            labels.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap_or_default()
        };
        let mut all: Vec<(String, String)> =
            infos.map(|(_, _, l)| (value(l, "gpu"), value(l, "uuid"))).collect();
        all.sort();
        all.into_iter().map(|(_, uuid)| uuid).collect()
    }

    /// When events of a type came, on any node.
    pub(super) fn told(&self, kind: &str, value: &str) -> Vec<i64> {
        let of = self.events.iter().filter(|(_, _, k, v)| {
            k == kind && (value.is_empty() || v.iter().any(|own| own == value))
        });
        of.map(|(at, ..)| *at).collect()
    }
}
