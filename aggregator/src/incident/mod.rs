//! Incidents: anomalies that belong together, with a ranked probable cause.
//!
//! [`IncidentEngine`] is told of anomalies and events and says what changed; it knows no clock,
//! no store and no thread, so that a simulation drives it as the aggregator does. How things are
//! connected it asks a [`TopologySource`], what causes what stands in the table of causes
//! (`knowledge/causes.toml`). `docs/incidents.md` says how it groups, ranks and decides.

mod causes;
mod changes;
mod confidence;
mod engine;
mod group;
mod maintenance;
mod paging;
mod rank;
mod render;
mod service;
#[cfg(test)]
mod tests;
mod topology;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sextant_proto::v1;

pub use causes::{Causes, CausesError, Class, ClassId, Edge};
pub use changes::ChangeWatch;
pub use confidence::{Calibration, confidence};
pub use engine::{EngineStats, IncidentEngine};
pub use maintenance::{check as check_maintenance, selects_node};
pub use service::{IncidentError, IncidentFeed, IncidentHandle, IncidentService, Parts};
pub use topology::{
    CatalogTopology, Component, Fact, FixedTopology, Place, Relation, Tenant, Topology,
    TopologySource, describe,
};

/// The `[incidents]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IncidentConfig {
    pub enabled: bool,
    /// Connected anomalies that begin within this time of each other belong together.
    #[serde(with = "humantime_serde")]
    pub gap: Duration,
    /// A new incident waits so long for its other symptoms before it is told.
    #[serde(with = "humantime_serde")]
    pub settle: Duration,
    /// It closes when nothing of it was open for so long.
    #[serde(with = "humantime_serde")]
    pub close_after: Duration,
    /// What comes back within this time after it closed is the same incident.
    #[serde(with = "humantime_serde")]
    pub reopen_within: Duration,
    /// Anomalies that learned detectors alone must agree on to be an incident, which never pages.
    pub mild_evidence: usize,
    /// Open incidents. Beyond it anomalies are counted and belong to none.
    pub max_open: usize,
    /// Anomalies that an incident lists; the others are counted.
    pub max_members: usize,
}

impl Default for IncidentConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            gap: Duration::from_secs(300),
            settle: Duration::from_secs(1),
            close_after: Duration::from_secs(60),
            reopen_within: Duration::from_secs(900),
            mild_evidence: 3,
            max_open: 2000,
            max_members: 200,
        }
    }
}

impl IncidentConfig {
    /// Whether the values are possible.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), String> {
        let hour = Duration::from_secs(3600);
        let checks = [
            ("gap", !self.gap.is_zero() && self.gap <= hour, "over 0 and at most 1h"),
            ("settle", self.settle <= Duration::from_secs(60), "at most 1m"),
            ("close_after", self.close_after <= hour, "at most 1h"),
            ("reopen_within", self.reopen_within <= 24 * hour, "at most 1day"),
            ("mild_evidence", (1..=100).contains(&self.mild_evidence), "1 to 100"),
            ("max_open", (1..=100_000).contains(&self.max_open), "1 to 100000"),
            ("max_members", (1..=10_000).contains(&self.max_members), "1 to 10000"),
        ];
        match checks.into_iter().find(|(_, holds, _)| !holds) {
            Some((key, _, range)) => Err(format!("incidents.{key}: must be {range}")),
            None => Ok(()),
        }
    }
}

/// What happened to an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnomalyChange {
    Opened,
    Updated,
    Closed,
}

/// What happened to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    Opened,
    /// Other anomalies, another severity.
    Updated,
    /// Another probable cause.
    Cause,
    /// It pages from now on.
    Paged,
    /// It is part of another one now.
    Merged,
    Acknowledged,
    Closed,
    Reopened,
}

impl ChangeKind {
    /// Its name in the timeline.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Cause => "cause",
            Self::Paged => "paged",
            Self::Merged => "merged",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
            Self::Reopened => "reopened",
        }
    }
}

/// A step in an incident's life, and what it is after it.
#[derive(Debug, Clone)]
pub struct IncidentChange {
    pub kind: ChangeKind,
    pub time_ms: i64,
    /// One sentence for the timeline.
    pub text: String,
    /// Who did it; empty for the aggregator itself.
    pub by: String,
    pub incident: v1::Incident,
}

/// A detector's kind of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Tier {
    /// Learned from a series' own past.
    Learned,
    /// Compared with its peers.
    Peer,
    /// A fact with a known meaning.
    Rule,
}

impl Tier {
    /// By the detector's name: rules and silence are facts, what compares peers says so in its
    /// name, everything else has learned.
    fn of(detector: &str) -> Self {
        match detector {
            "rules" | "stale" => Self::Rule,
            name if name.contains("peer") => Self::Peer,
            _ => Self::Learned,
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
