//! The keys that all rules have: name, severity, texts, and what the entity must be.

use std::collections::BTreeMap;

use serde::Deserialize;
use sextant_proto::v1::Severity;

use super::{Wrong, read, wrong};
use crate::detect::rules::matcher::Matchers;
use crate::detect::rules::rule::Report;
use crate::detect::rules::template::Template;

/// The keys of every rule.
pub(in crate::detect::rules) const REPORT_KEYS: &[&str] =
    &["name", "severity", "severity_when", "info", "info_metric", "summary", "action", "source"];

#[derive(Debug, Deserialize)]
struct ReportSpec {
    name: String,
    severity: SeveritySpec,
    severity_when: Option<SeverityWhen>,
    #[serde(default)]
    info: BTreeMap<String, String>,
    info_metric: Option<String>,
    summary: String,
    #[serde(default)]
    action: String,
    source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeverityWhen {
    info: BTreeMap<String, String>,
    severity: SeveritySpec,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SeveritySpec {
    Info,
    Warning,
    Critical,
}

impl From<SeveritySpec> for Severity {
    fn from(severity: SeveritySpec) -> Self {
        match severity {
            SeveritySpec::Info => Self::Info,
            SeveritySpec::Warning => Self::Warning,
            SeveritySpec::Critical => Self::Critical,
        }
    }
}

/// Takes them out of the rule's table.
pub(super) fn report(table: &mut toml::Table) -> Result<Report, Wrong> {
    let spec: ReportSpec = read(table, REPORT_KEYS)?;
    let camel = spec.name.starts_with(|c: char| c.is_ascii_uppercase())
        && spec.name.chars().all(|c| c.is_ascii_alphanumeric());
    if !camel {
        return Err(wrong("name", "must be letters and digits like FilesystemAlmostFull"));
    }
    for (key, text) in [("summary", &spec.summary), ("source", &spec.source)] {
        if text.trim().is_empty() {
            return Err(wrong(key, "must not be empty"));
        }
    }
    let template = |key, text: &str| Template::parse(text).map_err(|what| wrong(key, what));
    let matchers = |key, texts| Matchers::parse(texts).map_err(|what| wrong(key, what));
    let severity_when = match spec.severity_when {
        None => None,
        Some(when) => Some((matchers("severity_when", when.info)?, when.severity.into())),
    };
    Ok(Report {
        name: spec.name.into(),
        severity: spec.severity.into(),
        severity_when,
        info: matchers("info", spec.info)?,
        info_metric: spec.info_metric,
        summary: template("summary", &spec.summary)?,
        action: template("action", &spec.action)?,
    })
}
