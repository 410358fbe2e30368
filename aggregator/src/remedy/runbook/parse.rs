//! Reads a runbook and checks all of it; what is wrong is told with its line.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use sextant_proto::v1::{Risk, Urgency};
use toml::Spanned;

use super::placeholder;
use super::{Runbook, RunbookError, Step};

/// The largest file.
const MAX_FILE_BYTES: usize = 64 << 10;
/// Steps or checks of a runbook, and commands of a step.
const MAX_STEPS: usize = 40;
const MAX_COMMANDS: usize = 10;
/// The longest command, sentence and list.
const MAX_COMMAND_BYTES: usize = 500;
const MAX_TEXT_BYTES: usize = 2000;
const MAX_ITEMS: usize = 200;

/// The keys of the front matter, and of a check or step.
#[cfg(test)]
pub(super) const FRONT_KEYS: [&str; 14] = [
    "id",
    "title",
    "severity",
    "rules",
    "xids",
    "events",
    "errors",
    "keywords",
    "symptoms",
    "check",
    "step",
    "prevention",
    "sources",
    "replaces",
];
#[cfg(test)]
pub(super) const STEP_KEYS: [&str; 4] = ["do", "risk", "commands", "warning"];

/// The names that a runbook may refer to.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub rules: BTreeSet<String>,
    pub errors: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Front {
    id: Spanned<String>,
    title: Spanned<String>,
    severity: Spanned<String>,
    #[serde(default)]
    rules: Vec<Spanned<String>>,
    #[serde(default)]
    xids: Vec<Spanned<u32>>,
    #[serde(default)]
    events: Vec<Spanned<String>>,
    #[serde(default)]
    errors: Vec<Spanned<String>>,
    #[serde(default)]
    keywords: Vec<Spanned<String>>,
    #[serde(default)]
    symptoms: Vec<Spanned<String>>,
    #[serde(default)]
    check: Vec<StepSpec>,
    #[serde(default)]
    step: Vec<StepSpec>,
    #[serde(default)]
    prevention: Vec<Spanned<String>>,
    #[serde(default)]
    sources: Vec<Spanned<String>>,
    #[serde(default)]
    replaces: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepSpec {
    r#do: Spanned<String>,
    risk: Option<Spanned<String>>,
    #[serde(default)]
    commands: Vec<Spanned<String>>,
    warning: Option<Spanned<String>>,
}

/// A place in the front matter and what is wrong there.
type Wrong = (Range<usize>, String);

/// Reads a runbook.
pub(super) fn parse(
    file: &str,
    text: &str,
    known: &Known,
    path: Option<Arc<str>>,
) -> Result<Runbook, RunbookError> {
    let fail = |line, what| RunbookError::Content { file: file.into(), line, what };
    if text.len() > MAX_FILE_BYTES {
        return Err(fail(1, format!("is over {MAX_FILE_BYTES} bytes")));
    }
    let Some(rest) = text.strip_prefix("+++\n") else {
        return Err(fail(1, "must be +++, which the front matter stands after".into()));
    };
    let Some((front, body)) = rest.split_once("\n+++\n") else {
        return Err(fail(1, "no line +++ ends the front matter".into()));
    };
    // The front matter begins in the file's second line.
    let line = |at: usize| 2 + front.as_bytes().iter().take(at).filter(|b| **b == b'\n').count();
    let spec: Front = toml::from_str(front).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        fail(line(at), error.message().split_whitespace().collect::<Vec<_>>().join(" "))
    })?;
    let body_line = line(front.len()) + 2;
    if body.trim().is_empty() {
        return Err(fail(body_line, "there is no text after the front matter".into()));
    }
    let body = body.trim().to_owned();
    let book = check(spec, known).map_err(|(span, what)| fail(line(span.start), what))?;
    Ok(Runbook { body, file: path, ..book })
}

fn check(spec: Front, known: &Known) -> Result<Runbook, Wrong> {
    let id = spec.id.get_ref().clone();
    let is_id = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if id.is_empty() || id.len() > 64 || !id.chars().all(is_id) {
        let what = "id: must be 1 to 64 small letters, digits and -".into();
        return Err((spec.id.span(), what));
    }
    let severity = match spec.severity.get_ref().as_str() {
        "info" => Urgency::Info,
        "low" => Urgency::Low,
        "medium" => Urgency::Medium,
        "high" => Urgency::High,
        "critical" => Urgency::Critical,
        other => {
            let what = format!("severity: {other:?} is not info, low, medium, high or critical");
            return Err((spec.severity.span(), what));
        }
    };
    let xids = spec.xids.iter().map(|x| (x.span(), format!("GpuXid{}", x.get_ref())));
    let rules = spec.rules.iter().map(|r| (r.span(), r.get_ref().clone())).chain(xids);
    let rules = listed("rules", rules, |rule| match known.rules.contains(rule) {
        true => Ok(()),
        false => Err(format!("there is no rule {rule}")),
    })?;
    let spanned = |list: &[Spanned<String>]| -> Vec<(Range<usize>, String)> {
        list.iter().map(|s| (s.span(), s.get_ref().clone())).collect()
    };
    let errors =
        listed("errors", spanned(&spec.errors), |class| match known.errors.contains(class) {
            true => Ok(()),
            false => Err(format!("there is no error class {class}")),
        })?;
    let events = listed("events", spanned(&spec.events), |kind| {
        let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c);
        match kind.contains('.') && kind.chars().all(fit) {
            true => Ok(()),
            false => Err(format!("{kind:?} is not the type of an event")),
        }
    })?;
    let texts = |key, list: &[Spanned<String>]| listed(key, spanned(list), |_| Ok(()));
    let (keywords, symptoms) =
        (texts("keywords", &spec.keywords)?, texts("symptoms", &spec.symptoms)?);
    let prevention = texts("prevention", &spec.prevention)?;
    let sources = texts("sources", &spec.sources)?;
    let title = listed("title", spanned(&[spec.title]), |_| Ok(()))?.remove(0);
    let found_by = [&rules, &errors, &events, &keywords, &symptoms];
    if found_by.iter().all(|list| list.is_empty()) {
        let what = "nothing leads to it: rules, xids, events, errors, keywords or symptoms".into();
        return Err((spec.id.span(), what));
    }
    if spec.step.is_empty() {
        return Err((spec.id.span(), "step: there is none".into()));
    }
    let checks = steps("check", &spec.check, &spec.id)?;
    let steps = steps("step", &spec.step, &spec.id)?;
    Ok(Runbook {
        id,
        title,
        severity,
        rules,
        events,
        errors,
        keywords,
        symptoms,
        checks,
        steps,
        prevention,
        sources,
        body: String::new(),
        file: None,
        replaces: spec.replaces,
    })
}

/// A list's texts, none empty, too long or twice, each of them fit.
fn listed(
    key: &str,
    list: impl IntoIterator<Item = (Range<usize>, String)>,
    fit: impl Fn(&str) -> Result<(), String>,
) -> Result<Vec<String>, Wrong> {
    let mut taken: Vec<String> = Vec::new();
    for (span, text) in list {
        let wrong = |what: String| (span.clone(), format!("{key}: {what}"));
        if text.trim().is_empty() || text.contains(char::is_control) {
            return Err(wrong("a text must be one line, and not empty".into()));
        }
        if text.len() > MAX_TEXT_BYTES || taken.len() >= MAX_ITEMS {
            let what = format!("over {MAX_TEXT_BYTES} bytes, or over {MAX_ITEMS} entries");
            return Err(wrong(what));
        }
        if taken.contains(&text) {
            return Err(wrong(format!("{text:?} stands there twice")));
        }
        fit(&text).map_err(&wrong)?;
        taken.push(text);
    }
    Ok(taken)
}

fn steps(key: &str, specs: &[StepSpec], id: &Spanned<String>) -> Result<Vec<Step>, Wrong> {
    if specs.len() > MAX_STEPS {
        return Err((id.span(), format!("{key}: over {MAX_STEPS}")));
    }
    specs.iter().map(|spec| step(key, spec)).collect()
}

fn step(key: &str, spec: &StepSpec) -> Result<Step, Wrong> {
    let is_check = key == "check";
    let risk = match spec.risk.as_ref().map(|r| (r, r.get_ref().as_str())) {
        None if is_check => Risk::Low,
        None => return Err((spec.r#do.span(), format!("{key}.risk: is missing"))),
        Some((_, "LOW")) => Risk::Low,
        Some((_, "MEDIUM")) if !is_check => Risk::Medium,
        Some((_, "HIGH")) if !is_check => Risk::High,
        Some((given, _)) => {
            let may = if is_check { "LOW: a check only looks" } else { "LOW, MEDIUM or HIGH" };
            return Err((given.span(), format!("{key}.risk: must be {may}")));
        }
    };
    let sentence = |text: &Spanned<String>, what: &str| {
        let key = format!("{key}.{what}");
        let mut one = listed(&key, [(text.span(), text.get_ref().clone())], fit_placeholders)?;
        Ok(one.remove(0))
    };
    let warning = spec.warning.as_ref().map(|w| sentence(w, "warning")).transpose()?;
    if risk == Risk::High && warning.is_none() {
        let what = format!("{key}: a step of risk HIGH needs a warning");
        return Err((spec.r#do.span(), what));
    }
    if spec.commands.len() > MAX_COMMANDS {
        return Err((spec.r#do.span(), format!("{key}.commands: over {MAX_COMMANDS}")));
    }
    let commands = spec.commands.iter().map(|c| (c.span(), c.get_ref().clone()));
    let commands = listed(&format!("{key}.commands"), commands, |command| {
        if command.len() > MAX_COMMAND_BYTES {
            return Err(format!("a command is over {MAX_COMMAND_BYTES} bytes"));
        }
        fit_placeholders(command)
    })?;
    let text = sentence(&spec.r#do, "do")?;
    Ok(Step { text, risk, commands, warning: warning.unwrap_or_default() })
}

fn fit_placeholders(text: &str) -> Result<(), String> {
    match placeholder::unknown(text) {
        None => Ok(()),
        Some(name) => Err(format!("there is no placeholder {{{name}}}")),
    }
}
