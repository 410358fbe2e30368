//! The rules' file format, and its way into checked rules.
//!
//! A file is TOML: `[[rule]]` tables, a list `disabled` of names of rules that shall not run,
//! and a table `info` of the metrics that say what entities are. Within a file a name stands
//! once; a rule in a later file replaces the one of that name. The keys are described in
//! `knowledge/rules/README.md`.

mod events;
mod report;
mod samples;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::RulesError;
use super::rule::{EventRule, Report, Rule};

#[cfg(test)]
pub(super) use self::{
    events::{CASE_KEYS, EVENT_KEYS},
    report::REPORT_KEYS,
    samples::{GATE_KEYS, OPERAND_KEYS, SAMPLE_KEYS},
};

/// More rules than anyone has; a file beyond it is a mistake.
const MAX_RULES: usize = 10_000;

/// All rules.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) rules: Vec<Rule>,
    pub(super) events: Vec<EventRule>,
    /// Entity type to the metric whose labels say what the entity is.
    pub(super) info: BTreeMap<String, String>,
}

impl Book {
    /// The metric whose labels say what an entity is.
    pub(super) fn info_metric<'a>(&'a self, report: &'a Report, entity: &str) -> Option<&'a str> {
        report.info_metric.as_deref().or_else(|| self.info.get(entity).map(String::as_str))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        let samples = self.rules.iter().map(|r| &r.report.name);
        samples.chain(self.events.iter().map(|r| &r.report.name))
    }

    fn remove(&mut self, name: &str) {
        self.rules.retain(|r| *r.report.name != *name);
        self.events.retain(|r| *r.report.name != *name);
    }

    /// Takes another file's rules over its own.
    fn extend(&mut self, other: Self) {
        for rule in other.rules {
            match self.rules.iter_mut().find(|r| r.report.name == rule.report.name) {
                Some(known) => *known = rule,
                None => {
                    self.remove(&rule.report.name);
                    self.rules.push(rule);
                }
            }
        }
        for rule in other.events {
            self.remove(&rule.report.name);
            self.events.push(rule);
        }
        self.info.extend(other.info);
    }
}

/// Reads files, later ones over earlier ones: (name for errors, text).
pub(super) fn load(files: &[(String, String)]) -> Result<Book, RulesError> {
    let mut book = Book::default();
    for (file, text) in files {
        let (new, disabled) = parse(file, text)?;
        book.extend(new);
        for name in disabled {
            if !book.names().any(|n| **n == *name) {
                let what = "there is no rule of this name".into();
                return Err(RulesError::rule(file, &name, "disabled", what));
            }
            book.remove(&name);
        }
        if book.names().count() > MAX_RULES {
            let what = format!("more than {MAX_RULES} rules");
            return Err(RulesError::Syntax { file: file.clone(), what });
        }
    }
    Ok(book)
}

pub(super) fn parse(file: &str, text: &str) -> Result<(Book, Vec<String>), RulesError> {
    let syntax = |what: String| RulesError::Syntax { file: file.into(), what };
    let table: toml::Table = toml::from_str(text).map_err(|e| syntax(e.to_string()))?;
    let (mut book, mut disabled) = (Book::default(), Vec::new());
    for (key, value) in table {
        let one_line = |e: toml::de::Error| syntax(format!("{key}: {}", squeeze(&e)));
        match &*key {
            "rule" => {
                let specs: Vec<toml::Table> = value.try_into().map_err(one_line)?;
                for (number, spec) in specs.into_iter().enumerate() {
                    rule(file, number + 1, spec, &mut book)?;
                }
            }
            "disabled" => disabled = value.try_into().map_err(one_line)?,
            "info" => book.info = value.try_into().map_err(one_line)?,
            _ => {
                let what = format!("{key}: is not known, only rule, disabled and info are");
                return Err(syntax(what));
            }
        }
    }
    let mut names = BTreeSet::new();
    for name in book.names() {
        if !names.insert(Arc::clone(name)) {
            let what = "stands twice in this file".into();
            return Err(RulesError::rule(file, name, "name", what));
        }
    }
    Ok((book, disabled))
}

/// Reads one `[[rule]]`, which may be several rules.
fn rule(file: &str, number: usize, table: toml::Table, book: &mut Book) -> Result<(), RulesError> {
    let name = match table.get("name").and_then(toml::Value::as_str) {
        Some(name) => name.to_owned(),
        None => format!("number {number}"),
    };
    let fail = |Wrong { key, what }| RulesError::rule(file, &name, &key, what);
    if table.contains_key("event") {
        book.events.extend(events::rules(table).map_err(fail)?);
    } else {
        book.rules.push(samples::rule(table).map_err(fail)?);
    }
    Ok(())
}

/// What is wrong with a rule.
struct Wrong {
    key: String,
    what: String,
}

fn wrong(key: impl Into<String>, what: impl Into<String>) -> Wrong {
    Wrong { key: key.into(), what: what.into() }
}

/// Whether the table has only these keys.
fn only(table: &toml::Table, keys: &[&[&str]]) -> Result<(), Wrong> {
    let known = keys.concat();
    match table.keys().find(|key| !known.contains(&&***key)) {
        None => Ok(()),
        Some(key) => {
            Err(wrong(key.as_str(), format!("is not known, only {} are", known.join(", "))))
        }
    }
}

/// Takes these keys out of the table and reads them.
fn read<T: DeserializeOwned>(table: &mut toml::Table, keys: &[&str]) -> Result<T, Wrong> {
    let part = keys.iter().filter_map(|key| table.remove_entry(*key)).collect();
    toml::Value::Table(part).try_into().map_err(|e: toml::de::Error| {
        let text = e.to_string();
        let key = keys.iter().find(|k| text.contains(&format!("`{k}`")));
        wrong(*key.unwrap_or(&"rule"), squeeze(&e))
    })
}

fn millis(key: &str, duration: Duration) -> Result<i64, Wrong> {
    i64::try_from(duration.as_millis()).map_err(|_| wrong(key, "is too long"))
}

fn squeeze(error: &toml::de::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
