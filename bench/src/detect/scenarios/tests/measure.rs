//! The generator repeats itself, and the product finds on it what it must.

use std::hash::{Hash as _, Hasher as _};

use rustc_hash::FxHasher;

use crate::detect::scenarios::method::Level;
use crate::detect::scenarios::run::{Task, all, world};
use crate::detect::scenarios::score::{Outcome, Sort, score};
use crate::detect::scenarios::shape::Batch;
use crate::detect::scenarios::spec::{Confuser, Group, Plan, Spec};

fn small(hours: f64, nodes: usize) -> (Spec, Plan) {
    let spec = Spec::load().expect("the files are right");
    let plan = Plan { nodes, hours, warm_up_hours: 0.5, ..spec.runs.quick };
    (spec, plan)
}

#[test]
fn same_seed_tells_the_same_and_another_one_something_else() {
    let (spec, plan) = small(1.5, 2);
    let told = |seed| {
        let task = Task { sort: Sort::Faults, seed, baselines: false };
        let (mut world, span) = world(&spec, &plan, task).expect("a world");
        let (mut hasher, mut batch) = (FxHasher::default(), Batch::default());
        for now_s in span.begin_s..span.end_s {
            world.step(now_s, &mut batch);
            batch.values.iter().for_each(|value| value.to_bits().hash(&mut hasher));
            for (node, event) in &batch.events {
                (node, &event.r#type, &event.message).hash(&mut hasher);
            }
        }
        let faults: Vec<_> = world.faults.iter().map(|f| (f.class, f.begin_s, f.root)).collect();
        (hasher.finish(), faults)
    };
    let once = told(3);
    assert!(!once.1.is_empty());
    assert_eq!(once, told(3));
    assert_ne!(once.0, told(4).0);
}

fn outcome(sort: Sort, spec: &Spec, plan: &Plan, seed: u64) -> Vec<Outcome> {
    let tasks = [Task { sort, seed, baselines: false }];
    let mut methods = all(spec, plan, &tasks, 1, &|| ()).expect("runs");
    assert_eq!(methods[0].0, "sextant");
    methods.swap_remove(0).1
}

#[test]
fn faults_that_a_sensor_or_an_event_tells_are_found_within_two_minutes() {
    let (spec, plan) = small(5.0, 4);
    let outcomes = outcome(Sort::Faults, &spec, &plan, spec.runs.seeds.train);
    let score = score(&outcomes);
    let of = |v: &&crate::detect::scenarios::score::Verdict| v.group == Group::Deterministic;
    let (found, count) = score.share(of, |v| v.mild);
    assert!(count >= 5, "{count}");
    assert_eq!(found, count, "{:#?}", score.verdicts);
    let delays = score.delays(of);
    assert!(delays.iter().all(|delay| *delay <= 120.0), "{delays:?}");
    let (paged, _) = score.share(|v| v.group == Group::Quiet, |v| v.page);
    assert_eq!(paged, 0, "nobody is called for a remap that is pending");
}

#[test]
fn ordinary_work_pages_nobody() {
    let (spec, plan) = small(4.0, 3);
    let outcomes = outcome(Sort::Clean, &spec, &plan, spec.runs.seeds.train + 1000);
    let score = score(&outcomes);
    assert_eq!(score.false_pages.values().sum::<usize>(), 0, "{:?}", score.false_rules);
}

#[test]
fn of_what_only_looks_like_a_fault_no_more_than_a_reboot_pages() {
    let (spec, plan) = small(5.0, 3);
    for outcome in outcome(Sort::Confusers, &spec, &plan, spec.runs.seeds.train + 2000) {
        let reboots: Vec<_> =
            outcome.calm.iter().filter(|c| c.kind == Confuser::NodeReboot).collect();
        assert!(!reboots.is_empty());
        // A node that says nothing for minutes is told of, planned or not: nobody has said that
        // it is in maintenance.
        let after = |s: i64| reboots.iter().any(|r| (r.begin_s..r.end_s + 600).contains(&s));
        let pages = outcome.found.iter().filter(|f| f.level == Level::Page);
        let others: Vec<_> = pages.filter(|f| !after(f.begin_ms / 1000)).collect();
        assert!(others.is_empty(), "{others:#?}");
    }
}
