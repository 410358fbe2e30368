//! The runs of a measurement, on as many threads as there are processors for.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use sextant_aggregator::detect::DetectConfig;

use super::contract::Contract;
use super::method::Method;
use super::method::product::Product;
use super::method::static_rules::StaticRules;
use super::method::statistics::{Kind, Statistics};
use super::plan::{self, Span};
use super::score::{Outcome, Sort};
use super::shape::Batch;
use super::spec::{Plan, Spec};
use super::world::{Fleet, World};

/// A run before it is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) sort: Sort,
    pub(crate) seed: u64,
    /// The baselines look, too.
    pub(crate) baselines: bool,
}

/// The runs of a plan, from a seed on.
pub(crate) fn tasks(plan: &Plan, seed: u64) -> Vec<Task> {
    let sorts = [
        (Sort::Faults, plan.fault_runs, 0),
        (Sort::Clean, plan.clean_runs, 1000),
        (Sort::Confusers, plan.confuser_runs, 2000),
    ];
    let of = |(sort, count, from): (Sort, usize, u64)| {
        (0..count).map(move |n| Task {
            sort,
            seed: seed + from + n as u64,
            baselines: n < plan.baseline_runs,
        })
    };
    sorts.into_iter().flat_map(of).collect()
}

/// The world of a run.
///
/// # Errors
/// When the agent's metrics are not to be had.
pub(crate) fn world(spec: &Spec, plan: &Plan, task: Task) -> anyhow::Result<(World, Span)> {
    let begin_s = spec.physics.start_unix_s;
    let hours = |hours: f64| super::world::seconds(hours * 3600.0);
    let warm_s = begin_s + hours(plan.warm_up_hours);
    let span = Span { begin_s, warm_s, end_s: begin_s + hours(plan.hours) };
    let mut spec = spec.clone();
    spec.physics.fleet.nodes = plan.nodes;
    let fleet = Fleet::new(&spec.physics, span, task.seed);
    let faults = match task.sort {
        Sort::Faults => plan::faults(&spec, &fleet, span, task.seed),
        Sort::Clean | Sort::Confusers => Vec::new(),
    };
    let calm = match task.sort {
        Sort::Confusers => plan::calm(&spec, span, task.seed),
        Sort::Faults | Sort::Clean => Vec::new(),
    };
    let contract = Contract::load()?;
    Ok((World::new(&spec.physics, fleet, (faults, calm), contract, task.seed), span))
}

/// Makes one run; an outcome for each method, by its name.
fn make(spec: &Spec, plan: &Plan, task: Task) -> anyhow::Result<Vec<(String, Outcome)>> {
    let (mut world, span) = world(spec, plan, task)?;
    let config = DetectConfig::default();
    let mut methods: Vec<Box<dyn Method>> = vec![Box::new(Product::new(&config, &world)?)];
    if task.baselines {
        methods.push(Box::new(StaticRules::new(&world)?));
        for kind in [Kind::Z, Kind::Mad, Kind::Iqr] {
            methods.push(Box::new(Statistics::new(kind)));
        }
    }
    let mut batch = Batch::default();
    for now_s in span.begin_s..span.end_s {
        world.step(now_s, &mut batch);
        for method in &mut methods {
            method.take(now_s, &batch, &world);
        }
    }
    let node_days = plan.nodes as f64 * (span.end_s - span.begin_s) as f64 / 86_400.0;
    let outcome = |(name, found, cost)| {
        let (sort, seed) = (task.sort, task.seed);
        let (faults, calm) = (world.faults.clone(), world.calm().to_vec());
        (name, Outcome { sort, seed, node_days, faults, calm, found, cost })
    };
    Ok(methods.into_iter().flat_map(Method::finish).map(outcome).collect())
}

/// Makes all runs; for each method its outcomes, in the order of the runs.
///
/// # Errors
/// When one of them cannot be made.
pub(crate) fn all(
    spec: &Spec,
    plan: &Plan,
    tasks: &[Task],
    threads: usize,
    done: &(dyn Fn() + Sync),
) -> anyhow::Result<Vec<(String, Vec<Outcome>)>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, tasks.len().max(1)) {
            scope.spawn(|| {
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let made = make(spec, plan, *task);
                    results.lock().expect("no thread panics with it").push(made);
                    done();
                }
            });
        }
    });
    let mut by_method: Vec<(String, Vec<Outcome>)> = Vec::new();
    for made in results.into_inner().context("a run panicked")? {
        for (name, outcome) in made? {
            match by_method.iter_mut().find(|(known, _)| *known == name) {
                Some((_, outcomes)) => outcomes.push(outcome),
                None => by_method.push((name, vec![outcome])),
            }
        }
    }
    for (_, outcomes) in &mut by_method {
        outcomes.sort_by_key(|o| (o.sort, o.seed));
    }
    Ok(by_method)
}

/// Bytes that the product's detectors hold for a series, on a small fleet after two hours.
///
/// # Errors
/// When the run cannot be made.
pub(crate) fn bytes_per_series(spec: &Spec, live_bytes: &dyn Fn() -> i64) -> anyhow::Result<f64> {
    let plan = Plan { nodes: 4, hours: 2.0, warm_up_hours: 2.0, ..spec.runs.quick };
    let task = Task { sort: Sort::Clean, seed: 0, baselines: false };
    let (mut warm, span) = world(spec, &plan, task)?;
    let mut batch = Batch::default();
    let settled_s = span.begin_s + 900;
    for now_s in span.begin_s..settled_s {
        warm.step(now_s, &mut batch);
    }
    let before = live_bytes();
    let mut product = Product::new(&DetectConfig::default(), &warm)?;
    for now_s in settled_s..span.end_s {
        warm.step(now_s, &mut batch);
        product.take(now_s, &batch, &warm);
    }
    let held = live_bytes() - before;
    drop(product);
    Ok(held as f64 / warm.series() as f64)
}
