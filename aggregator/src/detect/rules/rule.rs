//! Rules that can be run: checked, with everything parsed.

use std::sync::Arc;

use sextant_proto::v1::Severity;

use super::matcher::{Matchers, Op};
use super::template::Template;
use crate::series::Series;

/// What a rule says when it fires; the same for all kinds of rules.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) name: Arc<str>,
    pub(super) severity: Severity,
    /// Another severity where the entity's info series has these labels.
    pub(super) severity_when: Option<(Matchers, Severity)>,
    /// What the labels of the entity's info series must be.
    pub(super) info: Matchers,
    /// Its name, when it is not that of the entity's type.
    pub(super) info_metric: Option<String>,
    pub(super) summary: Template,
    pub(super) action: Template,
}

impl Report {
    /// Whether the entity's info series must be known when it fires.
    pub(super) fn reads_info(&self) -> bool {
        !self.info.is_empty()
            || self.severity_when.is_some()
            || self.summary.has_info()
            || self.action.has_info()
    }

    /// The severity where the info series is this.
    pub(super) fn severity(&self, info: Option<&Series>) -> Severity {
        match (&self.severity_when, info) {
            (Some((labels, severity)), Some(info)) if labels.take(|n| info.label(n)) => *severity,
            _ => self.severity,
        }
    }
}

/// Another metric that a rule reads: a series whose labels the watched series has, too, save
/// those that `labels` looks at.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) metric: String,
    pub(super) labels: Matchers,
    /// Its value, where its increase would be read.
    pub(super) plain: bool,
}

impl Operand {
    /// Whether the series is the one, for these labels of the watched one.
    pub(super) fn takes(&self, series: &Series, own: impl Fn(&str, &str) -> bool) -> bool {
        self.labels.take(|name| series.label(name))
            && series.labels.iter().all(|(n, v)| self.labels.names(n) || own(n, v))
    }
}

/// Something that must hold, too.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub(super) operand: Operand,
    pub(super) divide_by: Option<Operand>,
    pub(super) op: Op,
    pub(super) value: f64,
    /// It holds where it is not known.
    pub(super) optional: bool,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    Value,
    /// Increase per second from sample to sample.
    Rate,
    /// Increase within a window of ten buckets.
    Increase {
        bucket_ms: i64,
    },
    /// Changes of the value within such a window.
    Changes {
        bucket_ms: i64,
    },
}

/// In how much of the time the comparison must hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) bucket_ms: i64,
    pub(super) least: f64,
}

/// A rule about samples of a metric.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) report: Report,
    pub(super) metric: String,
    pub(super) labels: Matchers,
    pub(super) measure: Measure,
    pub(super) share: Option<Share>,
    /// The sign does not matter.
    pub(super) absolute: bool,
    /// The threshold is a share of the highest value seen.
    pub(super) of_best: bool,
    pub(super) minus: Option<Operand>,
    pub(super) divide_by: Option<Operand>,
    /// With a smaller divisor there is nothing to say.
    pub(super) min_divisor: Option<f64>,
    pub(super) gates: Vec<Gate>,
    /// Only a change to it counts, not that it was so when it was first seen.
    pub(super) change_only: bool,
    pub(super) op: Op,
    pub(super) threshold: f64,
    pub(super) hold_ms: i64,
    /// Beyond this it is not over yet.
    pub(super) clear: f64,
    pub(super) clear_ms: i64,
}

impl Rule {
    /// Whether it watches the series.
    pub(super) fn watches(&self, series: &Series) -> bool {
        *self.metric == *series.metric && self.labels.take(|name| series.label(name))
    }

    /// Whether the divisor counts by its value where its increase would be read.
    pub(super) fn divides_by_value(&self) -> bool {
        self.divide_by.as_ref().is_some_and(|o| o.plain)
    }

    /// All other metrics that it reads, in no order.
    pub(super) fn operands(&self) -> impl Iterator<Item = &Operand> {
        let gates = self.gates.iter().flat_map(|g| g.divide_by.iter().chain([&g.operand]));
        self.minus.iter().chain(&self.divide_by).chain(gates)
    }

    /// How far beyond the limit, as a factor; 1 where a factor says nothing.
    pub(super) fn score(&self, value: f64, limit: f64) -> f64 {
        let factor = match (self.op, self.share) {
            (_, Some(_)) | (Op::Greater | Op::GreaterEqual, None) => value / limit,
            (Op::Less | Op::LessEqual, None) => limit / value,
            (Op::Equal | Op::NotEqual, None) => 1.0,
        };
        if factor.is_finite() { factor.clamp(1.0, 1000.0) } else { 1.0 }
    }
}

/// A rule about events.
#[derive(Debug, Clone)]
pub(super) struct EventRule {
    pub(super) report: Report,
    /// The type of the events.
    pub(super) kind: String,
    /// Over the entity's labels and the event's attributes.
    pub(super) labels: Matchers,
    pub(super) gates: Vec<Gate>,
    /// So many ...
    pub(super) count: usize,
    /// ... within this time.
    pub(super) over_ms: i64,
    /// It is over when nothing came for so long ...
    pub(super) clear_ms: i64,
    /// ... or with an event of this type and these labels on the same entity.
    pub(super) clear_event: Option<(String, Matchers)>,
}
