//! Rules about samples, as they are written.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::{Wrong, millis, only, read, wrong};
use crate::detect::rules::matcher::{Matchers, Op};
use crate::detect::rules::rule::{Gate, Measure, Operand, Rule, Share};
use crate::detect::rules::window::bucket_ms;

/// The keys of a rule about samples, beside those of every rule.
pub(in crate::detect::rules) const SAMPLE_KEYS: &[&str] = &[
    "metric",
    "labels",
    "rate",
    "increase_over",
    "changes_over",
    "minus",
    "divide_by",
    "min_divisor",
    "abs",
    "baseline",
    "when",
    "change_only",
    "op",
    "threshold",
    "share_over",
    "share",
    "for",
    "clear",
    "clear_for",
];
/// The keys of `minus` and `divide_by`, where they are tables.
#[cfg(test)]
pub(in crate::detect::rules) const OPERAND_KEYS: &[&str] = &["metric", "labels", "plain"];
/// The keys of an entry of `when`.
#[cfg(test)]
pub(in crate::detect::rules) const GATE_KEYS: &[&str] =
    &["metric", "labels", "divide_by", "op", "value", "optional"];

/// Windows that make sense: no shorter than ten fast ticks, no longer than a day.
const WINDOW: std::ops::RangeInclusive<i64> = 10_000..=86_400_000;

#[derive(Debug, Deserialize)]
struct RuleSpec {
    metric: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    rate: bool,
    #[serde(default, with = "humantime_serde")]
    increase_over: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    changes_over: Option<Duration>,
    minus: Option<OperandSpec>,
    divide_by: Option<OperandSpec>,
    min_divisor: Option<f64>,
    #[serde(default)]
    abs: bool,
    baseline: Option<Baseline>,
    #[serde(default)]
    when: Vec<GateSpec>,
    #[serde(default)]
    change_only: bool,
    op: Op,
    threshold: f64,
    #[serde(default, with = "humantime_serde")]
    share_over: Option<Duration>,
    share: Option<f64>,
    #[serde(rename = "for", default, with = "humantime_serde")]
    hold: Duration,
    clear: Option<f64>,
    #[serde(default, with = "humantime_serde")]
    clear_for: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Baseline {
    Max,
}

/// Another metric: its name, or a table.
#[derive(Debug, Deserialize)]
#[serde(try_from = "toml::Value")]
struct OperandSpec {
    metric: String,
    labels: BTreeMap<String, String>,
    plain: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OperandTable {
    metric: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    plain: bool,
}

impl TryFrom<toml::Value> for OperandSpec {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        if let toml::Value::String(metric) = value {
            return Ok(Self { metric, labels: BTreeMap::new(), plain: false });
        }
        let table: OperandTable = value.try_into().map_err(|e| super::squeeze(&e))?;
        Ok(Self { metric: table.metric, labels: table.labels, plain: table.plain })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GateSpec {
    metric: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    divide_by: Option<OperandSpec>,
    op: Op,
    value: f64,
    #[serde(default)]
    optional: bool,
}

/// Reads a rule.
pub(super) fn rule(mut table: toml::Table) -> Result<Rule, Wrong> {
    only(&table, &[super::report::REPORT_KEYS, SAMPLE_KEYS])?;
    let report = super::report::report(&mut table)?;
    let spec: RuleSpec = read(&mut table, SAMPLE_KEYS)?;
    let measure = measure(&spec)?;
    check(&spec, measure)?;
    let clear = spec.clear.unwrap_or(spec.threshold);
    let share = match (spec.share_over, spec.share) {
        (None, None) => None,
        (Some(over), Some(least)) if least > 0.0 && least <= 1.0 => {
            Some(Share { bucket_ms: window("share_over", over)?, least })
        }
        (Some(_), Some(_)) => return Err(wrong("share", "must be above 0 and at most 1")),
        _ => return Err(wrong("share", "stands beside share_over, and only there")),
    };
    let hold_ms = millis("for", spec.hold)?;
    Ok(Rule {
        report,
        metric: spec.metric,
        labels: matchers("labels", spec.labels)?,
        measure,
        share,
        absolute: spec.abs,
        of_best: spec.baseline.is_some(),
        minus: spec.minus.map(|o| operand("minus", o)).transpose()?,
        divide_by: spec.divide_by.map(|o| operand("divide_by", o)).transpose()?,
        min_divisor: spec.min_divisor,
        gates: spec.when.into_iter().map(gate).collect::<Result<_, _>>()?,
        change_only: spec.change_only,
        op: spec.op,
        threshold: spec.threshold,
        hold_ms,
        clear,
        clear_ms: spec.clear_for.map_or(Ok(hold_ms), |d| millis("clear_for", d))?,
    })
}

/// What the rule compares.
fn measure(spec: &RuleSpec) -> Result<Measure, Wrong> {
    match (spec.rate, spec.increase_over, spec.changes_over) {
        (false, None, None) => Ok(Measure::Value),
        (true, None, None) => Ok(Measure::Rate),
        (false, Some(over), None) => {
            Ok(Measure::Increase { bucket_ms: window("increase_over", over)? })
        }
        (false, None, Some(over)) => {
            Ok(Measure::Changes { bucket_ms: window("changes_over", over)? })
        }
        _ => Err(wrong("rate", "is one of rate, increase_over and changes_over, not two")),
    }
}

/// What does not fit together.
fn check(spec: &RuleSpec, measure: Measure) -> Result<(), Wrong> {
    if spec.metric.trim().is_empty() {
        return Err(wrong("metric", "must not be empty"));
    }
    if !spec.threshold.is_finite() {
        return Err(wrong("threshold", "must be a finite number"));
    }
    let clear = spec.clear.unwrap_or(spec.threshold);
    let on_the_good_side = match spec.op {
        Op::Greater | Op::GreaterEqual => clear <= spec.threshold,
        Op::Less | Op::LessEqual => clear >= spec.threshold,
        Op::Equal | Op::NotEqual => spec.clear.is_none(),
    };
    if !on_the_good_side {
        return Err(wrong("clear", "must lie on the good side of the threshold"));
    }
    if spec.minus.is_some() && measure != Measure::Value {
        return Err(wrong("minus", "is of values, not of what they grew or changed by"));
    }
    if spec.min_divisor.is_some() && spec.divide_by.is_none() {
        return Err(wrong("min_divisor", "needs divide_by"));
    }
    if matches!(measure, Measure::Changes { .. }) && spec.divide_by.is_some() {
        return Err(wrong("divide_by", "does not go with changes_over"));
    }
    let windows = [spec.increase_over, spec.changes_over, spec.share_over];
    if windows.iter().flatten().count() > 1 {
        return Err(wrong("share_over", "does not go with another window"));
    }
    if spec.share_over.is_some() && (spec.clear.is_some() || spec.baseline.is_some()) {
        return Err(wrong("share_over", "does not go with clear or baseline"));
    }
    if spec.baseline.is_some() && (measure != Measure::Value || spec.threshold <= 0.0) {
        return Err(wrong("baseline", "is of values, with a threshold above 0"));
    }
    Ok(())
}

/// The width of a bucket of the window.
fn window(key: &str, over: Duration) -> Result<i64, Wrong> {
    let ms = millis(key, over)?;
    if !WINDOW.contains(&ms) {
        return Err(wrong(key, "must be 10s to 24h"));
    }
    Ok(bucket_ms(ms))
}

fn matchers(key: &str, texts: BTreeMap<String, String>) -> Result<Matchers, Wrong> {
    Matchers::parse(texts).map_err(|what| wrong(key, what))
}

fn operand(key: &str, spec: OperandSpec) -> Result<Operand, Wrong> {
    let labels = matchers(key, spec.labels)?;
    Ok(Operand { metric: spec.metric, labels, plain: spec.plain })
}

/// Reads an entry of `when`.
pub(super) fn gate(spec: GateSpec) -> Result<Gate, Wrong> {
    let labels = matchers("when", spec.labels)?;
    Ok(Gate {
        operand: Operand { metric: spec.metric, labels, plain: true },
        divide_by: spec.divide_by.map(|o| operand("when", o)).transpose()?,
        op: spec.op,
        value: spec.value,
        optional: spec.optional,
    })
}
