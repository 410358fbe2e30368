//! What a rule that fires says, its numbers and texts filled in; and whether an event's entity is
//! one that it is about.

use std::sync::Arc;

use sextant_proto::v1::Event;

use super::index::Whose;
use super::others::Others;
use super::rule::{EventRule, Gate, Report, Rule};
use super::spec::Book;
use super::template::Facts;
use crate::detect::{Finding, Subject, Tick};
use crate::series::{LabelPair, NodeKey, Series};

/// A sample was beyond its limit for long enough.
pub(super) fn of_sample(
    (book, others): (&Book, &Others),
    rule: &Rule,
    series: &Arc<Series>,
    tick: &Tick<'_>,
    (value, limit): (f64, f64),
) -> Finding {
    let report = &rule.report;
    let metric = book.info_metric(report, &series.entity_type).filter(|_| report.reads_info());
    let info = metric.and_then(|metric| others.info(metric, Whose::series(series)));
    let facts = Facts {
        node: &series.node.name,
        label: &|name| series.label(name),
        info: info.map(|series| &**series),
        message: "",
        value,
        threshold: limit,
    };
    let numbers = (value, limit, rule.score(value, limit));
    let subject = Subject::Series(Arc::clone(series));
    finding(report, &series.node, subject, tick.time_ms, numbers, facts)
}

/// Something happened often enough: so often.
pub(super) fn of_event(
    (book, others): (&Book, Option<&Others>),
    rule: &EventRule,
    node: &Arc<NodeKey>,
    (event, subject): (&Event, &Subject),
    count: u64,
) -> Finding {
    let info = event_info(book, &rule.report, others, event, subject);
    let value = count as f64;
    let facts = Facts {
        node: &node.name,
        label: &|name| event_label(event, name),
        info: info.map(|series| &**series),
        message: &event.message,
        value,
        threshold: rule.count as f64,
    };
    // Nothing of the kind was expected, or less of it than makes a finding.
    let numbers = (value, (rule.count - 1) as f64, value / rule.count as f64);
    finding(&rule.report, node, subject.clone(), event.time_unix_ms, numbers, facts)
}

/// Whether an event's entity is one that the rule is about: what it is, and what holds of it.
pub(super) fn is_about(
    (book, others): (&Book, Option<&Others>),
    rule: &EventRule,
    (event, subject): (&Event, &Subject),
) -> bool {
    let report = &rule.report;
    let info = || event_info(book, report, others, event, subject);
    let fits = |info: &Arc<Series>| report.info.take(|name| info.label(name));
    let holds = |gate: &Gate| {
        let find = |others: &Others| {
            let cells = others.cells(|known| known.find(&gate.operand, whose(subject)));
            let seen = cells.filter_map(|(_, cell)| others.seen(cell, event.time_unix_ms));
            let held: Vec<bool> = seen.map(|s| gate.op.holds(s.value, gate.value)).collect();
            held
        };
        let held = others.map(find).unwrap_or_default();
        if held.is_empty() { gate.optional } else { held.contains(&true) }
    };
    (report.info.is_empty() || info().is_some_and(fits)) && rule.gates.iter().all(holds)
}

/// The labels of an event's entity, to find its series by.
fn whose(subject: &Subject) -> Whose<'_> {
    let labels: &[LabelPair] = match subject {
        Subject::Entity(entity) => &entity.labels,
        Subject::Node | Subject::Series(_) => &[],
    };
    Whose { entity: labels, labels }
}

/// The info series of an event's entity.
fn event_info<'a>(
    book: &Book,
    report: &Report,
    others: Option<&'a Others>,
    event: &Event,
    subject: &Subject,
) -> Option<&'a Arc<Series>> {
    let metric = book.info_metric(report, &event.entity_type)?;
    others?.info(metric, whose(subject))
}

/// A label of an event's entity, an attribute, or its text as `message`.
pub(super) fn event_label<'a>(event: &'a Event, name: &str) -> Option<&'a str> {
    let labels = event.entity.iter().chain(&event.attributes);
    let value = labels.into_iter().find(|l| l.name == name).map(|l| &*l.value);
    value.or_else(|| (name == "message").then_some(&*event.message))
}

fn finding(
    report: &Report,
    node: &Arc<NodeKey>,
    subject: Subject,
    time_ms: i64,
    (value, expected, score): (f64, f64, f64),
    facts: Facts<'_>,
) -> Finding {
    Finding {
        rule: Arc::clone(&report.name),
        node: Arc::clone(node),
        subject,
        severity: report.severity(facts.info),
        time_ms,
        value,
        expected,
        score,
        summary: report.summary.render(facts),
        action: report.action.render(facts),
    }
}
