//! An error text and what is known around it, to an answer: cause, evidence, what to do.
//!
//! Pure: what there is to know is in the arguments. The order of thought:
//! 1. Classes of the text. The one with the highest rank is the cause.
//! 2. Findings that are open on the node. A class and a related finding support each other:
//!    confidences are joined as independent ones, `1 - (1 - a)(1 - b)`. If the class is a mere
//!    symptom and a related critical finding is open, the finding is the cause.
//! 3. Steps of the runbooks of the cause, then of what goes with it.

use rustc_hash::FxHashSet;
use sextant_proto::v1::{self, Anomaly, Diagnosis, Evidence, Fix, RunbookMatch, Severity, Urgency};

use super::classify::{Class, Reading};
use super::redact::redact;
use super::runbook::placeholder::{self, Names};
use super::runbook::{Library, Runbook, Step};
use super::scene::Scene;
use super::suggest::{self, Topic};

/// Of a text that is no error.
pub const NOT_AN_ERROR: &str = "NotAnError";
/// Of an error that no class is known of.
pub const UNKNOWN: &str = "Unknown";
/// What one answer shows.
const MAX_FIXES: usize = 20;
const MAX_EVIDENCE: usize = 40;
const MAX_PER_KIND: usize = 10;
const MAX_RELATED: usize = 3;
/// A search must be so sure before its runbook is shown as steps.
const SURE: f64 = 0.35;
/// An unknown error is at most so sure.
const UNKNOWN_CONFIDENCE: f64 = 0.2;

/// A finding, and how likely it is the cause.
#[derive(Clone, Copy)]
struct Suspect<'a> {
    anomaly: &'a Anomaly,
    related: bool,
    own_device: bool,
    weight: f64,
}

/// Makes the answer.
#[must_use]
pub fn diagnose(reading: &Reading, scene: &Scene, library: &Library, now_ms: i64) -> Diagnosis {
    let asked_of_node = reading.text.trim().is_empty();
    let cause = reading.found.first().map(|f| f.class);
    let suspects = suspects(scene, cause);
    let mut answer = Diagnosis {
        request_id: request_id(reading, scene, now_ms),
        time_unix_ms: now_ms,
        classified_errors: reading.found.iter().map(super::classify::Found::to_wire).collect(),
        kubernetes: std::iter::once(&scene.connection)
            .chain(&scene.kubernetes)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("; "),
        notes: scene.notes.clone(),
        ..Diagnosis::default()
    };
    if reading.skipped > 0 {
        let what = format!(
            "the text is long: its head and tail were read, {} bytes between them were not",
            reading.skipped
        );
        answer.notes.push(what);
    }
    answer.evidence = evidence(reading, scene, &suspects);
    let blamed = blamed(cause, &suspects, asked_of_node || reading.trouble);
    if cause.is_none() && !reading.trouble && !asked_of_node {
        not_an_error(&mut answer, scene);
        return answer;
    }
    state_cause(&mut answer, cause, blamed, asked_of_node);
    let books = books(reading, scene, library, cause, blamed, &suspects);
    answer.names = scene.names.to_wire();
    for (book, names) in &books {
        add_steps(&mut answer, book, names);
    }
    let related = Topic::Text(&reading.text);
    answer.related_runbooks = related_runbooks(&books, library, &related);
    if answer.fixes.is_empty() && cause.is_none() && blamed.is_none() {
        let note = "no runbook fits well enough to show its steps".to_owned();
        answer.notes.push(note);
    }
    answer
}

fn not_an_error(answer: &mut Diagnosis, scene: &Scene) {
    answer.severity = Urgency::Info.into();
    answer.error_category = NOT_AN_ERROR.into();
    answer.root_cause = "Nothing in this text says that something failed.".into();
    answer.explanation =
        "It has no line of a known error and no word that tells of trouble. Give the message, \
         event or log lines of what does not work."
            .into();
    answer.confidence = 0.9;
    if !scene.anomalies.is_empty() {
        let note = format!(
            "{} anomalies are open on {}, whatever the text says",
            scene.anomalies.len(),
            scene.subject.node
        );
        answer.notes.push(note);
    }
}

/// What is open on the node, the likeliest cause first.
fn suspects<'a>(scene: &'a Scene, class: Option<&Class>) -> Vec<Suspect<'a>> {
    let mut suspects: Vec<Suspect<'a>> = scene.anomalies.iter().map(|anomaly| {
        let related = class.is_some_and(|c| c.is_related(&anomaly.rule));
        let own_device = scene.devices.iter().any(|d| {
            d.is_subject_of(&anomaly.labels) || d.is_subject_of(&anomaly.entity)
        });
        let base = match severity(anomaly) {
            Severity::Critical => 0.6,
            Severity::Warning => 0.35,
            Severity::Info | Severity::Unspecified => 0.1,
        };
        // What is only unusual is a hint, not a fault.
        let base = if anomaly.detector == "robust_z" { base * 0.4 } else { base };
        let joined = [(related, 0.3), (own_device, 0.5)]
            .iter()
            .filter(|(holds, _)| *holds)
            .fold(base, |all, (_, more)| both(all, *more));
        Suspect { anomaly, related, own_device, weight: joined }
    }).collect();
    suspects.sort_by(|a, b| {
        b.weight.total_cmp(&a.weight).then(b.anomaly.opened_unix_ms.cmp(&a.anomaly.opened_unix_ms))
    });
    suspects
}

/// The finding that is the cause rather than the text's class, if any is.
fn blamed<'a>(
    class: Option<&Class>,
    suspects: &[Suspect<'a>],
    trouble: bool,
) -> Option<Suspect<'a>> {
    let worst = |fit: &dyn Fn(&Suspect<'_>) -> bool| suspects.iter().copied().find(|s| fit(s));
    let critical = |s: &Suspect<'_>| severity(s.anomaly) == Severity::Critical;
    match class {
        Some(class) if class.is_symptom() => worst(&|s| s.related && critical(s)),
        Some(_) => None,
        None if trouble => worst(&|s| critical(s) || severity(s.anomaly) == Severity::Warning),
        None => None,
    }
}

fn state_cause(
    answer: &mut Diagnosis,
    class: Option<&Class>,
    blamed: Option<Suspect<'_>>,
    asked_of_node: bool,
) {
    answer.error_category = class.map_or(UNKNOWN, |c| c.name.as_str()).to_owned();
    let supported = |confidence: f64, by: bool| if by { both(confidence, 0.3) } else { confidence };
    match (class, blamed) {
        (Some(class), Some(suspect)) => {
            answer.severity = class.severity.max(urgency(suspect.anomaly)).into();
            answer.root_cause = format!("{} It shows as {}.", sentence(&suspect.anomaly.summary), class.name);
            answer.explanation = format!("{} {}", class.explanation, action(suspect.anomaly));
            answer.confidence = suspect.weight;
        }
        (Some(class), None) => {
            answer.severity = class.severity.into();
            answer.root_cause.clone_from(&class.cause);
            answer.explanation.clone_from(&class.explanation);
            let by = answer.evidence.iter().any(|e| e.kind == "anomaly" && e.text.starts_with(RELATED));
            answer.confidence = supported(class.confidence, by);
        }
        (None, Some(suspect)) => {
            answer.severity = urgency(suspect.anomaly).into();
            let sure = if asked_of_node { suspect.weight } else { suspect.weight * 0.6 };
            answer.confidence = sure;
            answer.root_cause = match asked_of_node {
                true => sentence(&suspect.anomaly.summary),
                false => format!(
                    "The text is of no known class; open on the node: {}",
                    sentence(&suspect.anomaly.summary)
                ),
            };
            answer.explanation = action(suspect.anomaly);
            if asked_of_node {
                answer.error_category.clone_from(&suspect.anomaly.rule);
            }
        }
        (None, None) if asked_of_node => {
            answer.severity = Urgency::Info.into();
            answer.error_category = NOT_AN_ERROR.into();
            answer.root_cause = "Nothing is open there.".into();
            answer.explanation = "No rule and no detector finds anything wrong now.".into();
            answer.confidence = 0.7;
        }
        (None, None) => {
            answer.severity = Urgency::Medium.into();
            answer.root_cause = "The text tells of trouble, and is of no known class.".into();
            answer.explanation = "The runbooks below share its words. With the pod or node that it \
                is about, what is open there is taken into account."
                .into();
            answer.confidence = UNKNOWN_CONFIDENCE;
        }
    }
    answer.confidence = (answer.confidence * 100.0).round() / 100.0;
}

/// The beginning of the evidence that goes with the text's class.
const RELATED: &str = "goes with it: ";

fn evidence(reading: &Reading, scene: &Scene, suspects: &[Suspect<'_>]) -> Vec<Evidence> {
    let place = |kind: &str, text: String| Evidence {
        kind: kind.into(),
        text,
        cluster: scene.subject.cluster.clone(),
        node: scene.subject.node.clone(),
        ..Evidence::default()
    };
    let lines = reading.found.iter().map(|f| Evidence {
        kind: "text".into(),
        text: format!("{}: {}", f.class.name, f.line),
        ..Evidence::default()
    });
    let devices = scene.describe_devices().map(|(text, _)| place("device", text));
    let anomalies = suspects.iter().take(MAX_PER_KIND).map(|s| {
        let what = match (s.own_device, s.related) {
            (true, _) => format!("{RELATED}the pod's own device: {}", s.anomaly.summary),
            (false, true) => format!("{RELATED}{}", s.anomaly.summary),
            (false, false) => format!("open there, too: {}", s.anomaly.summary),
        };
        Evidence {
            id: s.anomaly.id,
            time_unix_ms: s.anomaly.opened_unix_ms,
            ..place("anomaly", what)
        }
    });
    let event = |stored: &v1::StoredEvent| {
        let event = stored.event.as_ref()?;
        let text = format!("{}: {}", event.r#type, event.message);
        let time_unix_ms = event.time_unix_ms;
        Some(Evidence { id: stored.id, time_unix_ms, ..place("event", redact(&text, false)) })
    };
    let events = scene.events.iter().filter_map(event).take(MAX_PER_KIND);
    let kubernetes =
        scene.kubernetes.iter().map(|text| place("kubernetes", redact(text, false)));
    let all = lines.chain(kubernetes).chain(devices.take(MAX_PER_KIND)).chain(anomalies);
    all.chain(events).take(MAX_EVIDENCE).collect()
}

/// The runbooks whose steps the answer shows, with the names for their commands.
fn books<'a>(
    reading: &Reading,
    scene: &Scene,
    library: &'a Library,
    class: Option<&Class>,
    blamed: Option<Suspect<'_>>,
    suspects: &[Suspect<'_>],
) -> Vec<(&'a Runbook, Names)> {
    let mut books: Vec<(&'a Runbook, Names)> = Vec::new();
    let mut take = |book: Option<&'a std::sync::Arc<Runbook>>, names: &Names| {
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
    if let Some(class) = class {
        let mut names = scene.names.clone();
        let beside: Vec<_> = suspects.iter().filter(|s| s.related && severity(s.anomaly) > Severity::Info).collect();
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

fn add_steps(answer: &mut Diagnosis, book: &Runbook, names: &Names) {
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
pub(super) fn fix(step: &Step, book: &Runbook, names: &Names) -> Fix {
    let mut look_up: Vec<String> = Vec::new();
    let mut commands = Vec::new();
    for command in &step.commands {
        match names.fill(command) {
            Ok(command) => commands.push(command),
            Err(missing) => look_up.extend(missing.into_iter().filter_map(|name| {
                placeholder::known(name).map(|(_, how)| how.to_owned())
            })),
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

fn related_runbooks(
    used: &[(&Runbook, Names)],
    library: &Library,
    topic: &Topic<'_>,
) -> Vec<RunbookMatch> {
    let used = used.iter().map(|(book, _)| {
        suggest::matched(book, 1.0, vec!["its steps are shown above".into()])
    });
    let mut related: Vec<RunbookMatch> = used.collect();
    let others = suggest::of_topic(library, topic).into_iter();
    let new = |m: &RunbookMatch| related.iter().all(|r| r.id != m.id);
    let room = MAX_RELATED.saturating_sub(related.len());
    let others: Vec<RunbookMatch> = others.filter(new).take(room).collect();
    related.extend(others);
    related
}

/// Two independent reasons together.
fn both(a: f64, b: f64) -> f64 {
    1.0 - (1.0 - a) * (1.0 - b)
}

fn severity(anomaly: &Anomaly) -> Severity {
    anomaly.severity()
}

fn urgency(anomaly: &Anomaly) -> Urgency {
    match severity(anomaly) {
        Severity::Critical => Urgency::Critical,
        Severity::Warning => Urgency::Medium,
        Severity::Info | Severity::Unspecified => Urgency::Info,
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let text = format!("{first}{}", letters.as_str());
    if text.ends_with('.') { text } else { format!("{text}.") }
}

fn action(anomaly: &Anomaly) -> String {
    if anomaly.action.is_empty() {
        String::new()
    } else {
        sentence(&anomaly.action)
    }
}

fn request_id(reading: &Reading, scene: &Scene, now_ms: i64) -> String {
    let mut hash = crc32fast::Hasher::new();
    let s = &scene.subject;
    for part in [&reading.text, &s.cluster, &s.node, &s.namespace, &s.pod, &s.deployment] {
        hash.update(part.as_bytes());
        hash.update(&[0]);
    }
    hash.update(&now_ms.to_le_bytes());
    format!("{:08x}", hash.finalize())
}
