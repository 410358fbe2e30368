//! Runbooks: what to do about a rule that fired, an event or an error.
//!
//! A runbook is a Markdown file that begins with TOML between two lines of `+++`. `parse` reads
//! and checks one, `library` holds all of them and finds those that answer something,
//! `placeholder` fills their commands. The format is described in `docs/runbooks.md`.

mod builtin;
mod library;
mod parse;
pub mod placeholder;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use sextant_proto::v1::{self, Risk, Urgency};

pub use self::library::{Library, Runbooks};
pub use self::parse::Known;

/// Why a runbook cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunbookError {
    /// The directory or a file in it cannot be read.
    #[error("read runbooks {path}")]
    Read { path: String, source: std::io::Error },
    /// What stands in a line is wrong.
    #[error("runbook {file}: line {line}: {what}")]
    Content { file: String, line: usize, what: String },
    /// There are too many.
    #[error("runbooks {path}: {what}")]
    Directory { path: String, what: String },
}

/// A checked runbook.
#[derive(Debug, Clone, PartialEq)]
pub struct Runbook {
    pub id: String,
    pub title: String,
    pub severity: Urgency,
    /// Names of the rules whose findings it answers.
    pub rules: Vec<String>,
    /// Types of the events that it answers.
    pub events: Vec<String>,
    /// Classes of errors that it answers.
    pub errors: Vec<String>,
    pub keywords: Vec<String>,
    pub symptoms: Vec<String>,
    pub checks: Vec<Step>,
    pub steps: Vec<Step>,
    pub prevention: Vec<String>,
    pub sources: Vec<String>,
    /// Markdown.
    pub body: String,
    /// Where it was read; none for one that comes with the aggregator.
    pub file: Option<Arc<str>>,
    /// It takes the place of one of the same id that comes with the aggregator.
    pub replaces: bool,
}

/// One thing to do or to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// May have placeholders.
    pub text: String,
    pub risk: Risk,
    /// With placeholders.
    pub commands: Vec<String>,
    /// What it may break; a step of high risk has one.
    pub warning: String,
}

impl Runbook {
    /// The wire's form; a list has no need of the details.
    #[must_use]
    pub fn to_wire(&self, details: bool) -> v1::Runbook {
        let steps = |steps: &[Step]| match details {
            true => steps.iter().map(Step::to_wire).collect(),
            false => Vec::new(),
        };
        v1::Runbook {
            id: self.id.clone(),
            title: self.title.clone(),
            severity: self.severity.into(),
            rules: self.rules.clone(),
            events: self.events.clone(),
            error_classes: self.errors.clone(),
            keywords: self.keywords.clone(),
            symptoms: self.symptoms.clone(),
            checks: steps(&self.checks),
            steps: steps(&self.steps),
            prevention: self.prevention.clone(),
            sources: self.sources.clone(),
            body: if details { self.body.clone() } else { String::new() },
            file: self.file.as_deref().unwrap_or_default().to_owned(),
        }
    }

    /// The beginning of its background, in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        const SUMMARY_CHARS: usize = 200;
        let first = self.body.split("\n\n").find(|p| !p.trim().is_empty() && !p.starts_with('#'));
        let text = first.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        text.chars().take(SUMMARY_CHARS).collect()
    }
}

impl Step {
    fn to_wire(&self) -> v1::RunbookStep {
        v1::RunbookStep {
            description: self.text.clone(),
            risk_level: self.risk.into(),
            commands: self.commands.clone(),
            warning: self.warning.clone(),
        }
    }
}
