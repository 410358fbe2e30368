//! An error text and what is known around it, to an answer: cause, evidence, what to do.
//!
//! Pure: what there is to know is in the arguments. The order of thought:
//! 1. Classes of the text. The one with the highest rank is the cause.
//! 2. Findings that are open on the node. A class and a related finding support each other:
//!    confidences are joined as independent ones, `1 - (1 - a)(1 - b)`. If the class is a mere
//!    symptom and a related critical finding is open, the finding is the cause.
//! 3. Steps of the runbooks of the cause, then of what goes with it.

mod evidence;
mod steps;
mod suspects;

use sextant_proto::v1::{Anomaly, Diagnosis, Urgency};

use self::evidence::{RELATED, evidence};
use self::steps::{add_steps, books, related_runbooks};
use self::suspects::{Suspect, blamed, both, suspects, urgency};
use super::classify::{Class, Reading};
use super::runbook::Library;
use super::scene::Scene;
use super::suggest::Topic;

/// Of a text that is no error.
pub const NOT_AN_ERROR: &str = "NotAnError";
/// Of an error that no class is known of.
pub const UNKNOWN: &str = "Unknown";
/// What one answer shows of one kind.
const MAX_PER_KIND: usize = 10;
/// An unknown error is at most so sure.
const UNKNOWN_CONFIDENCE: f64 = 0.2;

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
            answer.root_cause =
                format!("{} It shows as {}.", sentence(&suspect.anomaly.summary), class.name);
            answer.explanation = format!("{} {}", class.explanation, action(suspect.anomaly));
            answer.confidence = suspect.weight;
        }
        (Some(class), None) => {
            answer.severity = class.severity.into();
            answer.root_cause.clone_from(&class.cause);
            answer.explanation.clone_from(&class.explanation);
            let by =
                answer.evidence.iter().any(|e| e.kind == "anomaly" && e.text.starts_with(RELATED));
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
            answer.explanation =
                "The runbooks below share its words. With the pod or node that it \
                is about, what is open there is taken into account."
                    .into();
            answer.confidence = UNKNOWN_CONFIDENCE;
        }
    }
    answer.confidence = (answer.confidence * 100.0).round() / 100.0;
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let text = format!("{first}{}", letters.as_str());
    if text.ends_with('.') { text } else { format!("{text}.") }
}

fn action(anomaly: &Anomaly) -> String {
    if anomaly.action.is_empty() { String::new() } else { sentence(&anomaly.action) }
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
