//! Rules about events, as they are written: one rule, or one for each value of a label.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::samples::{GateSpec, gate};
use super::{Wrong, millis, only, read, squeeze, wrong};
use crate::detect::rules::matcher::{Matcher, Matchers};
use crate::detect::rules::rule::{EventRule, Gate};

/// The keys of a rule about events, beside those of every rule.
pub(in crate::detect::rules) const EVENT_KEYS: &[&str] = &[
    "event",
    "labels",
    "when",
    "count_over",
    "threshold",
    "clear_for",
    "clear_event",
    "clear_labels",
    "case_label",
    "case",
];
/// The keys of a case: what it has instead of the rule, and other values that it is for, too.
pub(in crate::detect::rules) const CASE_KEYS: &[&str] =
    &["severity", "summary", "action", "source", "count_over", "threshold", "clear_for", "also"];
/// The case for all values that have none of their own.
const OTHER: &str = "other";
/// Times of events that are kept for counting.
const MAX_COUNT: u32 = 100;

#[derive(Debug, Deserialize)]
struct EventSpec {
    event: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    when: Vec<GateSpec>,
    #[serde(default, with = "humantime_serde")]
    count_over: Option<Duration>,
    threshold: Option<u32>,
    #[serde(with = "humantime_serde")]
    clear_for: Duration,
    clear_event: Option<String>,
    #[serde(default)]
    clear_labels: BTreeMap<String, String>,
}

/// Reads a rule, with a rule for each of its cases.
pub(super) fn rules(mut table: toml::Table) -> Result<Vec<EventRule>, Wrong> {
    only(&table, &[super::report::REPORT_KEYS, EVENT_KEYS])?;
    let label = table.remove("case_label");
    let cases = table.remove("case");
    let (label, cases) = match (label, cases) {
        (None, None) => return Ok(vec![rule(table, None)?]),
        (Some(toml::Value::String(label)), Some(toml::Value::Table(cases))) => (label, cases),
        _ => return Err(wrong("case_label", "is the name of a label, and stands beside case")),
    };
    let mut expanded = Vec::new();
    for (value, case) in cases {
        let key = format!("case.{value}");
        let case: toml::Table = case.try_into().map_err(|e| wrong(&key, squeeze(&e)))?;
        only(&case, &[CASE_KEYS]).map_err(|w| wrong(format!("{key}.{}", w.key), w.what))?;
        for (value, case) in one_for_each(value, case)? {
            expanded.push((value, case));
        }
    }
    let known: Vec<String> = expanded.iter().map(|(value, _)| value.clone()).collect();
    let one = |(value, case): (String, toml::Table)| {
        let mut table = table.clone();
        table.extend(case);
        if let Some(toml::Value::String(name)) = table.get_mut("name") {
            name.push_str(&named(&value));
        }
        let matcher = match &*value {
            OTHER => Matcher::NoneOf(known.clone()),
            _ => Matcher::Equal(value.clone()),
        };
        rule(table, Some((&label, matcher)))
            .map_err(|w| wrong(format!("case.{value}.{}", w.key), w.what))
    };
    expanded.into_iter().map(one).collect()
}

/// The case, and the same for the other values that it names.
fn one_for_each(value: String, mut case: toml::Table) -> Result<Vec<(String, toml::Table)>, Wrong> {
    let also: Vec<String> = match case.remove("also") {
        None => Vec::new(),
        Some(also) => {
            also.try_into().map_err(|e| wrong(format!("case.{value}.also"), squeeze(&e)))?
        }
    };
    let values = std::iter::once(value).chain(also);
    Ok(values.map(|value| (value, case.clone())).collect())
}

/// The end of a case's name: its value as a word.
fn named(value: &str) -> String {
    let mut letters = value.chars().filter(char::is_ascii_alphanumeric);
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn rule(mut table: toml::Table, case: Option<(&str, Matcher)>) -> Result<EventRule, Wrong> {
    let report = super::report::report(&mut table)?;
    let spec: EventSpec = read(&mut table, EVENT_KEYS)?;
    if spec.event.trim().is_empty() {
        return Err(wrong("event", "must not be empty"));
    }
    let (count, over_ms) = match (spec.threshold, spec.count_over) {
        (None, None) => (1, 0),
        (Some(count @ 1..=MAX_COUNT), Some(over)) => (count, millis("count_over", over)?),
        (Some(_), Some(_)) => {
            return Err(wrong("threshold", format!("must be 1 to {MAX_COUNT}")));
        }
        _ => return Err(wrong("count_over", "and threshold stand together")),
    };
    if spec.clear_event.is_none() && !spec.clear_labels.is_empty() {
        return Err(wrong("clear_labels", "needs clear_event"));
    }
    let gates: Vec<Gate> = spec.when.into_iter().map(gate).collect::<Result<_, _>>()?;
    if gates.iter().any(|g| g.divide_by.is_some()) {
        return Err(wrong("when", "has no divide_by for events"));
    }
    let matchers = |key, texts| Matchers::parse(texts).map_err(|what| wrong(key, what));
    let labels = matchers("labels", spec.labels)?;
    let clear_labels = matchers("clear_labels", spec.clear_labels)?;
    Ok(EventRule {
        report,
        kind: spec.event,
        labels: match case {
            Some((label, matcher)) => labels.and(label, matcher),
            None => labels,
        },
        gates,
        count: count as usize,
        over_ms,
        clear_ms: millis("clear_for", spec.clear_for)?,
        clear_event: spec.clear_event.map(|kind| (kind, clear_labels)),
    })
}
