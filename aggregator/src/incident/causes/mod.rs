//! The table of causes: classes of faults, and which of them cause which, how soon and how they
//! must be related. It is data (`knowledge/causes.toml`); its format is in `spec`.
//!
//! Every anomaly is of exactly one class: by its rule, else by its metric, else the class
//! `FAMILY.other` of its metric's family.

mod spec;
#[cfg(test)]
mod tests;

use rustc_hash::FxHashMap;
use sextant_proto::v1;

use super::topology::Relation;

/// The table that comes with the aggregator.
const BUILTIN: &str = include_str!("../../../knowledge/causes.toml");
/// The class of what nothing else is known of.
const OTHER: &str = "other.other";

/// Why the table cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CausesError {
    /// It is not the format.
    #[error("table of causes: {0}")]
    Syntax(String),
    /// An entry of it is wrong.
    #[error("table of causes: {entry}: {what}")]
    Entry { entry: String, what: String },
}

/// A class's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassId(pub(super) u16);

/// A kind of fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Class {
    pub name: String,
    /// `{component}` is where.
    pub title: String,
    /// How readily it is believed to be a cause.
    pub prior: f64,
    /// How long after its onset it may be found.
    pub delay_ms: i64,
    /// Over what the same fault on several components is one.
    pub siblings: Relation,
    /// Whether it may wake somebody by itself.
    pub page: bool,
    /// Somebody did something.
    pub change: bool,
    /// The kind of component, and on how many of them below it effects must be, where nothing
    /// observes the fault itself.
    pub latent: Option<(String, usize)>,
    pub check: String,
    pub action: String,
}

impl Class {
    /// The part of the name before the dot.
    #[must_use]
    pub fn family(&self) -> &str {
        self.name.split_once('.').map_or(&*self.name, |(family, _)| family)
    }
}

/// That one class causes another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    pub effect: ClassId,
    /// How the two must be related.
    pub via: Relation,
    pub lag_min_ms: i64,
    pub lag_max_ms: i64,
    /// How probable the effect is, given the cause: 0 to 1.
    pub weight: f64,
    /// Seldom missing. Edges of one entry share a number, and one of them is enough.
    pub expected: Option<u16>,
}

/// The table.
#[derive(Debug, Clone)]
pub struct Causes {
    classes: Vec<Class>,
    /// By cause.
    edges: Vec<Vec<Edge>>,
    /// Positions in `edges` by (cause, effect).
    pairs: FxHashMap<(ClassId, ClassId), Vec<u16>>,
    rules: Patterns,
    events: Patterns,
    metrics: Patterns,
    families: Patterns,
    other: ClassId,
}

/// Names and prefixes of names; the longest match wins.
#[derive(Debug, Clone, Default)]
struct Patterns {
    exact: FxHashMap<String, ClassId>,
    /// Longest first.
    prefixes: Vec<(String, ClassId)>,
}

impl Patterns {
    fn find(&self, name: &str) -> Option<ClassId> {
        let prefix = || self.prefixes.iter().find(|(p, _)| name.starts_with(&**p));
        self.exact.get(name).copied().or_else(|| prefix().map(|(_, class)| *class))
    }
}

impl Causes {
    /// The table that comes with the aggregator.
    ///
    /// # Errors
    /// When it is wrong: a test reads it.
    pub fn builtin() -> Result<Self, CausesError> {
        Self::parse(BUILTIN)
    }

    /// Reads a table.
    ///
    /// # Errors
    /// [`CausesError`] names the entry.
    pub fn parse(text: &str) -> Result<Self, CausesError> {
        spec::parse(text)
    }

    /// The class of a number that this table gave.
    #[must_use]
    pub fn class(&self, id: ClassId) -> &Class {
        &self.classes[usize::from(id.0)]
    }

    /// All classes.
    pub fn classes(&self) -> impl Iterator<Item = (ClassId, &Class)> {
        (0_u16..).map(ClassId).zip(&self.classes)
    }

    /// A class by its name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<ClassId> {
        self.classes().find(|(_, c)| c.name == name).map(|(id, _)| id)
    }

    /// What a class causes.
    #[must_use]
    pub fn effects(&self, cause: ClassId) -> &[Edge] {
        &self.edges[usize::from(cause.0)]
    }

    /// The edges from one class to another.
    pub fn between(&self, cause: ClassId, effect: ClassId) -> impl Iterator<Item = &Edge> {
        let numbers = self.pairs.get(&(cause, effect)).into_iter().flatten();
        numbers.map(move |n| &self.edges[usize::from(cause.0)][usize::from(*n)])
    }

    /// The class of an anomaly.
    #[must_use]
    pub fn of_anomaly(&self, anomaly: &v1::Anomaly) -> ClassId {
        let named = self.rules.find(&anomaly.rule).or_else(|| self.metrics.find(&anomaly.metric));
        named.unwrap_or_else(|| self.of_subject(&anomaly.metric, &anomaly.entity_type))
    }

    /// The class of an event; none for what the table does not know.
    #[must_use]
    pub fn of_event(&self, kind: &str) -> Option<ClassId> {
        self.events.find(kind)
    }

    /// By the family of the metric, or of the entity's type.
    fn of_subject(&self, metric: &str, entity_type: &str) -> ClassId {
        let kind = || match entity_type {
            "gpu" | "mig" | "pci" => "gpu_",
            "pf" | "vf" | "devlink_reporter" | "devlink_port" | "dpdk_port" => "sriov_",
            "phc" | "ptp_instance" | "ptp_port" | "dpll" | "dpll_pin" | "gnss" => "ptp_",
            _ => "",
        };
        let family = self.families.find(metric).or_else(|| self.families.find(kind()));
        family.unwrap_or(self.other)
    }

    /// Whether the table names a rule.
    #[must_use]
    pub fn names_rule(&self, rule: &str) -> bool {
        self.rules.find(rule).is_some()
    }
}
