//! The rules' file format, and its way into checked [`Rule`]s.
//!
//! A file is TOML: `[[rule]]` tables, and a list `disabled` of names of rules that shall not
//! run. Within a file a name stands once; a rule in a later file replaces the one of that name.
//! The keys are described at the top of `knowledge/rules.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use serde::Deserialize;
use sextant_proto::v1::Severity;

use super::RulesError;
use super::template::Template;
use crate::series::Series;

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Op {
    #[serde(rename = ">")]
    Greater,
    #[serde(rename = ">=")]
    GreaterEqual,
    #[serde(rename = "<")]
    Less,
    #[serde(rename = "<=")]
    LessEqual,
    #[serde(rename = "==")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
}

impl Op {
    pub(super) fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Greater => value > limit,
            Self::GreaterEqual => value >= limit,
            Self::Less => value < limit,
            Self::LessEqual => value <= limit,
            #[expect(clippy::float_cmp, reason = "states are whole numbers")]
            Self::Equal => value == limit,
            #[expect(clippy::float_cmp, reason = "states are whole numbers")]
            Self::NotEqual => value != limit,
        }
    }
}

/// What a label must be.
#[derive(Debug, Clone)]
pub(super) enum Matcher {
    Equal(String),
    NotEqual(String),
    Regex(Regex),
    NotRegex(Regex),
}

impl Matcher {
    fn parse(text: &str) -> Result<Self, String> {
        let regex = |pattern: &str| {
            Regex::new(&format!("^(?:{pattern})$")).map_err(|e| e.to_string().replace('\n', " "))
        };
        Ok(if let Some(pattern) = text.strip_prefix("!~") {
            Self::NotRegex(regex(pattern)?)
        } else if let Some(pattern) = text.strip_prefix('~') {
            Self::Regex(regex(pattern)?)
        } else if let Some(other) = text.strip_prefix('!') {
            Self::NotEqual(other.into())
        } else {
            Self::Equal(text.into())
        })
    }

    /// A label that is not there is empty.
    pub(super) fn takes(&self, value: &str) -> bool {
        match self {
            Self::Equal(want) => value == want,
            Self::NotEqual(other) => value != other,
            Self::Regex(regex) => regex.is_match(value),
            Self::NotRegex(regex) => !regex.is_match(value),
        }
    }
}

/// Another metric of the same labels that must hold, too.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gate {
    pub(super) metric: String,
    pub(super) op: Op,
    pub(super) value: f64,
}

/// A rule as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleSpec {
    name: String,
    metric: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    rate: bool,
    divide_by: Option<String>,
    #[serde(default)]
    when: Vec<Gate>,
    #[serde(default)]
    change_only: bool,
    op: Op,
    threshold: f64,
    #[serde(rename = "for", default, with = "humantime_serde")]
    hold: Duration,
    clear: Option<f64>,
    #[serde(default, with = "humantime_serde")]
    clear_for: Option<Duration>,
    severity: SeveritySpec,
    summary: String,
    #[serde(default)]
    action: String,
    source: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SeveritySpec {
    Info,
    Warning,
    Critical,
}

/// A rule that can be run.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) name: Arc<str>,
    pub(super) metric: String,
    labels: Vec<(String, Matcher)>,
    pub(super) rate: bool,
    pub(super) divide_by: Option<String>,
    pub(super) gates: Vec<Gate>,
    /// Only a change to it counts, not that it was so when it was first seen.
    pub(super) change_only: bool,
    pub(super) op: Op,
    pub(super) threshold: f64,
    pub(super) hold_ms: i64,
    /// Beyond this it is not over yet.
    pub(super) clear: f64,
    pub(super) clear_ms: i64,
    pub(super) severity: Severity,
    pub(super) summary: Template,
    pub(super) action: Template,
}

impl Rule {
    /// Whether it watches the series.
    pub(super) fn watches(&self, series: &Series) -> bool {
        *self.metric == *series.metric
            && self.labels.iter().all(|(n, m)| m.takes(series.label(n).unwrap_or_default()))
    }

    #[cfg(test)]
    pub(super) fn matchers(&self) -> impl Iterator<Item = (&str, &Matcher)> {
        self.labels.iter().map(|(n, m)| (&**n, m))
    }

    /// How far beyond the threshold, as a factor; 1 where a factor says nothing.
    pub(super) fn score(&self, value: f64) -> f64 {
        let factor = match self.op {
            Op::Greater | Op::GreaterEqual => value / self.threshold,
            Op::Less | Op::LessEqual => self.threshold / value,
            Op::Equal | Op::NotEqual => 1.0,
        };
        if factor.is_finite() { factor.clamp(1.0, 1000.0) } else { 1.0 }
    }
}

/// More rules than anyone has; a file beyond it is a mistake.
const MAX_RULES: usize = 10_000;

/// Reads files, later ones over earlier ones: (name for errors, text).
pub(super) fn load(files: &[(String, String)]) -> Result<Vec<Rule>, RulesError> {
    let mut rules: Vec<Rule> = Vec::new();
    for (file, text) in files {
        let (new, disabled) = parse(file, text)?;
        for rule in new {
            match rules.iter_mut().find(|r| r.name == rule.name) {
                Some(known) => *known = rule,
                None => rules.push(rule),
            }
        }
        for name in disabled {
            let Some(at) = rules.iter().position(|r| *r.name == *name) else {
                let what = "there is no rule of this name".into();
                return Err(RulesError::rule(file, &name, "disabled", what));
            };
            rules.remove(at);
        }
        if rules.len() > MAX_RULES {
            let what = format!("more than {MAX_RULES} rules");
            return Err(RulesError::Syntax { file: file.clone(), what });
        }
    }
    Ok(rules)
}

fn parse(file: &str, text: &str) -> Result<(Vec<Rule>, Vec<String>), RulesError> {
    let syntax = |what: String| RulesError::Syntax { file: file.into(), what };
    let table: toml::Table = toml::from_str(text).map_err(|e| syntax(e.to_string()))?;
    let (mut rules, mut disabled) = (Vec::new(), Vec::new());
    let mut names = BTreeSet::new();
    for (key, value) in table {
        let one_line = |e: toml::de::Error| syntax(format!("{key}: {}", squeeze(&e)));
        match &*key {
            "rule" => {
                let specs: Vec<toml::Table> = value.try_into().map_err(one_line)?;
                for (number, spec) in specs.into_iter().enumerate() {
                    let rule = rule(file, number + 1, spec)?;
                    if !names.insert(Arc::clone(&rule.name)) {
                        let what = "stands twice in this file".into();
                        return Err(RulesError::rule(file, &rule.name, "name", what));
                    }
                    rules.push(rule);
                }
            }
            "disabled" => disabled = value.try_into().map_err(one_line)?,
            _ => return Err(syntax(format!("{key}: is not known, only rule and disabled are"))),
        }
    }
    Ok((rules, disabled))
}

fn rule(file: &str, number: usize, table: toml::Table) -> Result<Rule, RulesError> {
    let name = match table.get("name").and_then(toml::Value::as_str) {
        Some(name) => name.to_owned(),
        None => format!("number {number}"),
    };
    let fail = |key: &str, what: String| RulesError::rule(file, &name, key, what);
    for key in table.keys() {
        if !KEYS.contains(&&**key) {
            return Err(fail(key, format!("is not known, only {} are", KEYS.join(", "))));
        }
    }
    let spec: RuleSpec = toml::Value::Table(table).try_into().map_err(|e: toml::de::Error| {
        let text = e.to_string();
        let key = KEYS.iter().find(|k| text.contains(&format!("`{k}`")));
        fail(key.unwrap_or(&"rule"), squeeze(&e))
    })?;
    checked(spec).map_err(|(key, what)| fail(key, what))
}

/// The keys of a rule.
const KEYS: [&str; 16] = [
    "name",
    "metric",
    "labels",
    "rate",
    "divide_by",
    "when",
    "change_only",
    "op",
    "threshold",
    "for",
    "clear",
    "clear_for",
    "severity",
    "summary",
    "action",
    "source",
];

fn squeeze(error: &toml::de::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

type Wrong = (&'static str, String);

fn checked(spec: RuleSpec) -> Result<Rule, Wrong> {
    let camel = spec.name.starts_with(|c: char| c.is_ascii_uppercase())
        && spec.name.chars().all(|c| c.is_ascii_alphanumeric());
    if !camel {
        return Err(("name", "must be letters and digits like FilesystemAlmostFull".into()));
    }
    for (key, text) in
        [("metric", &spec.metric), ("summary", &spec.summary), ("source", &spec.source)]
    {
        if text.trim().is_empty() {
            return Err((key, "must not be empty".into()));
        }
    }
    if !spec.threshold.is_finite() {
        return Err(("threshold", "must be a finite number".into()));
    }
    let clear = spec.clear.unwrap_or(spec.threshold);
    let on_the_good_side = match spec.op {
        Op::Greater | Op::GreaterEqual => clear <= spec.threshold,
        Op::Less | Op::LessEqual => clear >= spec.threshold,
        Op::Equal | Op::NotEqual => spec.clear.is_none(),
    };
    if !on_the_good_side {
        return Err(("clear", "must lie on the good side of the threshold".into()));
    }
    let labels = spec.labels.into_iter().map(|(name, text)| match Matcher::parse(&text) {
        Ok(matcher) => Ok((name, matcher)),
        Err(what) => Err(("labels", format!("{name}: {what}"))),
    });
    let labels = labels.collect::<Result<_, _>>()?;
    let millis = |key, d: Duration| {
        i64::try_from(d.as_millis()).map_err(|_| (key, "is too long".to_owned()))
    };
    let hold_ms = millis("for", spec.hold)?;
    Ok(Rule {
        name: spec.name.into(),
        metric: spec.metric,
        labels,
        rate: spec.rate,
        divide_by: spec.divide_by,
        gates: spec.when,
        change_only: spec.change_only,
        op: spec.op,
        threshold: spec.threshold,
        hold_ms,
        clear,
        clear_ms: spec.clear_for.map_or(Ok(hold_ms), |d| millis("clear_for", d))?,
        severity: match spec.severity {
            SeveritySpec::Info => Severity::Info,
            SeveritySpec::Warning => Severity::Warning,
            SeveritySpec::Critical => Severity::Critical,
        },
        summary: Template::parse(&spec.summary).map_err(|what| ("summary", what))?,
        action: Template::parse(&spec.action).map_err(|what| ("action", what))?,
    })
}
