//! Which runbooks answer something, best first, and why.

use std::collections::BTreeMap;

use sextant_proto::v1::{Anomaly, RunbookMatch};

use super::classify;
use super::runbook::{Library, Runbook};

/// What runbooks are asked for.
#[derive(Debug, Clone)]
pub enum Topic<'a> {
    /// An error, a question, a few words.
    Text(&'a str),
    /// A rule's name.
    Rule(&'a str),
    /// One anomaly, or those of an incident.
    Anomalies(&'a [Anomaly]),
}

/// A class that the text is of says more than its words do.
const OF_CLASS: f64 = 0.95;
/// A runbook of a word's own class of the text, which is not its cause.
const OF_LESSER_CLASS: f64 = 0.7;
/// A runbook that shares words only.
const WORDS: f64 = 0.9;

/// The runbooks, best first.
#[must_use]
pub fn of_topic(library: &Library, topic: &Topic<'_>) -> Vec<RunbookMatch> {
    let mut found: BTreeMap<String, RunbookMatch> = BTreeMap::new();
    let mut take = |book: &Runbook, relevance: f64, reason: String| {
        let entry = found.entry(book.id.clone()).or_insert_with(|| matched(book, 0.0, Vec::new()));
        entry.relevance_score = 1.0 - (1.0 - entry.relevance_score) * (1.0 - relevance);
        if !entry.reasons.contains(&reason) {
            entry.reasons.push(reason);
        }
    };
    match topic {
        Topic::Text(text) => {
            let reading = classify::read(text);
            if let Some(xid) = reading.names.get("xid") {
                let rule = format!("GpuXid{xid}");
                library.of_rule(&rule).for_each(|b| take(b, 0.98, format!("it is of Xid {xid}")));
            }
            for (place, of) in reading.found.iter().enumerate() {
                let sure = if place == 0 { OF_CLASS } else { OF_LESSER_CLASS };
                let books = library.of_error(&of.class.name);
                books.for_each(|b| take(b, sure, format!("the text is of {}", of.class.name)));
            }
            for (book, relevance, words) in library.search(&reading.text) {
                let words = words.iter().take(6).cloned().collect::<Vec<_>>().join(", ");
                take(book, relevance * WORDS, format!("it has the words {words}"));
            }
            for rule in reading.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                let books = library.of_rule(rule);
                books.for_each(|b| take(b, 0.98, format!("it answers the rule {rule}")));
            }
        }
        Topic::Rule(rule) => {
            library.of_rule(rule).for_each(|b| take(b, 1.0, format!("it answers the rule {rule}")));
        }
        Topic::Anomalies(anomalies) => {
            for anomaly in *anomalies {
                // The critical ones first, where an incident has several.
                let sure = match anomaly.severity() {
                    sextant_proto::v1::Severity::Critical => 0.8,
                    sextant_proto::v1::Severity::Warning => 0.5,
                    _ => 0.2,
                };
                let books = library.of_rule(&anomaly.rule);
                let reason = format!("it answers {} on {}", anomaly.rule, anomaly.node);
                books.for_each(|b| take(b, sure, reason.clone()));
            }
            if anomalies.len() == 1 {
                found.values_mut().for_each(|m| m.relevance_score = 1.0);
            }
        }
    }
    let mut found: Vec<RunbookMatch> = found.into_values().collect();
    found.retain(|m| m.relevance_score > 0.0);
    found.sort_by(|a, b| b.relevance_score.total_cmp(&a.relevance_score).then(a.id.cmp(&b.id)));
    for one in &mut found {
        one.relevance_score = (one.relevance_score * 1000.0).round() / 1000.0;
    }
    found
}

/// A runbook as an answer shows it.
#[must_use]
pub(super) fn matched(book: &Runbook, relevance_score: f64, reasons: Vec<String>) -> RunbookMatch {
    RunbookMatch {
        id: book.id.clone(),
        title: book.title.clone(),
        relevance_score,
        summary: book.summary(),
        reasons,
    }
}
