//! Errors, answers, suggestions and health over realistic texts.

mod answers;
mod classes;
mod healths;
mod suggestions;
mod texts;

use std::sync::{Arc, LazyLock};

use sextant_proto::v1::{Anomaly, Label, Severity};

use super::runbook::{Known, Library, Runbooks};
use crate::detect::{DetectConfig, rule_names};

const NOW_MS: i64 = 1_700_000_000_000;

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let rules = rule_names(&DetectConfig::default()).expect("the built-in rules");
    Known { rules, errors: super::classify::names() }
});

/// The runbooks that come with the aggregator.
static BUILTIN: LazyLock<Arc<Library>> =
    LazyLock::new(|| Runbooks::load(None, KNOWN.clone()).expect("good").now(0));

fn anomaly(rule: &str, severity: Severity, labels: &[(&str, &str)]) -> Anomaly {
    let label =
        |(name, value): &(&str, &str)| Label { name: (*name).into(), value: (*value).into() };
    Anomaly {
        id: 7,
        cluster: "lab".into(),
        node: "n1".into(),
        detector: "rules".into(),
        rule: rule.into(),
        severity: severity.into(),
        summary: format!("{rule} on n1"),
        action: "do what helps".into(),
        opened_unix_ms: NOW_MS - 60_000,
        labels: labels.iter().map(label).collect(),
        ..Anomaly::default()
    }
}
