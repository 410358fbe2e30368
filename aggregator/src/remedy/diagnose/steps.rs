//! The runbooks that an answer is made of, and their steps with real names.

use std::sync::Arc;

use rustc_hash::FxHashSet;
use sextant_proto::v1::{Diagnosis, Fix, RunbookMatch, Severity};

use super::MAX_PER_KIND;
use super::suspects::Suspect;
use crate::remedy::classify::{Class, Reading};
use crate::remedy::runbook::placeholder::{self, Names};
use crate::remedy::runbook::{Library, Runbook, Step};
use crate::remedy::scene::Scene;
use crate::remedy::suggest::{self, Topic};

/// What one answer shows.
const MAX_FIXES: usize = 20;
const MAX_RELATED: usize = 3;
/// A search must be so sure before its runbook is shown as steps.
const SURE: f64 = 0.35;

/// The runbooks whose steps the answer shows, with the names for their commands.
pub(super) fn books<'a>(
    reading: &Reading,
    scene: &Scene,
    library: &'a Library,
    class: Option<&Class>,
    blamed: Option<Suspect<'_>>,
    suspects: &[Suspect<'_>],
) -> Vec<(&'a Runbook, Names)> {
    let mut books: Vec<(&'a Runbook, Names)> = Vec::new();
    let mut take = |book: Option<&'a Arc<Runbook>>, names: &Names| {
        let Some(book) = book else { return };
        if books.iter().all(|(b, _)| b.id != book.id) {
            books.push((book, names.clone()));
        }
    };
    // The names of one finding go with its own steps only: two GPUs may be open at once.
    let of = |s: &Suspect<'_>| Scene::names_of(s.anomaly).or(&scene.names);
    if let Some(suspect) = &blamed {
        take(library.of_rule(&suspect.anomaly.rule).next(), &of(suspect));
    }
    if class.is_some() {
        let mut names = scene.names.clone();
        let beside: Vec<_> = suspects
            .iter()
            .filter(|s| s.related && s.anomaly.severity() > Severity::Info)
            .collect();
        if let [only] = beside.as_slice() {
            names = names.or(&Scene::names_of(only.anomaly));
        }
        if let Some(xid) = reading.names.get("xid") {
            take(library.of_rule(&format!("GpuXid{xid}")).next(), &names);
        }
        for found in &reading.found {
            take(library.of_error(&found.class.name).next(), &names);
        }
        for suspect in beside.iter().take(2) {
            take(library.of_rule(&suspect.anomaly.rule).next(), &of(suspect));
        }
    }
    if class.is_none() && blamed.is_none() {
        let best = library.search(&reading.text).into_iter().next();
        take(best.filter(|(_, sure, _)| *sure >= SURE).map(|(book, ..)| book), &scene.names);
    }
    books
}

pub(super) fn add_steps(answer: &mut Diagnosis, book: &Runbook, names: &Names) {
    let known: FxHashSet<(String, Vec<String>)> =
        answer.fixes.iter().map(|f| (f.description.clone(), f.commands.clone())).collect();
    for step in book.checks.iter().chain(&book.steps) {
        if answer.fixes.len() >= MAX_FIXES {
            let note = format!("only the first {MAX_FIXES} steps are shown");
            if !answer.notes.contains(&note) {
                answer.notes.push(note);
            }
            break;
        }
        let fix = fix(step, book, names);
        if !known.contains(&(fix.description.clone(), fix.commands.clone())) {
            answer.fixes.push(fix);
        }
    }
    for tip in &book.prevention {
        if !answer.prevention_tips.contains(tip) && answer.prevention_tips.len() < MAX_PER_KIND {
            answer.prevention_tips.push(tip.clone());
        }
    }
}

/// A step with real names: its commands, or what must be looked up to know them.
fn fix(step: &Step, book: &Runbook, names: &Names) -> Fix {
    let mut look_up: Vec<String> = Vec::new();
    let mut commands = Vec::new();
    for command in &step.commands {
        match names.fill(command) {
            Ok(command) => commands.push(command),
            Err(missing) => look_up.extend(
                missing
                    .into_iter()
                    .filter_map(|name| placeholder::known(name).map(|(_, how)| how.to_owned())),
            ),
        }
    }
    look_up.sort();
    look_up.dedup();
    Fix {
        description: names.describe(&step.text),
        risk_level: step.risk.into(),
        commands,
        warning: names.describe(&step.warning),
        look_up,
        runbook: book.id.clone(),
    }
}

pub(super) fn related_runbooks(
    used: &[(&Runbook, Names)],
    library: &Library,
    topic: &Topic<'_>,
) -> Vec<RunbookMatch> {
    let used = used
        .iter()
        .map(|(book, _)| suggest::matched(book, 1.0, vec!["its steps are shown above".into()]));
    let mut related: Vec<RunbookMatch> = used.collect();
    let others = suggest::of_topic(library, topic).into_iter();
    let new = |m: &RunbookMatch| related.iter().all(|r| r.id != m.id);
    let room = MAX_RELATED.saturating_sub(related.len());
    let others: Vec<RunbookMatch> = others.filter(new).take(room).collect();
    related.extend(others);
    related
}
