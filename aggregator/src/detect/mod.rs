//! Detectors: what turns samples into findings. Each is a file here and one line in
//! [`enabled`].
//!
//! A detector tells the *edges*: that something began to be wrong, and that it is right again.
//! It runs on the shard's thread, in the ingest path: constant time a sample, no I/O. The
//! tracker in `episode` makes anomalies of findings.
//!
//! A restart loses what a detector learned, not what it said: [`Detector::restore`] marks an
//! open anomaly as fired, and the detector clears it when samples show that it is over, or when
//! its series stays away.

mod open;
mod robust_z;
mod rules;
mod slots;
mod stale;
mod subject;
mod text;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sextant_proto::v1::{self, Event, Severity};

use crate::series::{NodeId, NodeKey, NodeLayout};

pub use robust_z::{RobustZ, RobustZConfig};
pub use rules::{Rules, RulesError};
pub use stale::Stale;
pub use subject::{Entity, Subject, SubjectId};

/// A series, or a node, that says nothing for so many of its intervals is gone.
const GONE_AFTER_INTERVALS: u32 = 5;

/// The `[detect]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectConfig {
    /// Rules beside those that come with the aggregator, in the same format. A rule of the same
    /// name replaces the one that came with it.
    pub rules_file: Option<PathBuf>,
    /// A node is stale when nothing has come from it for this long, and for at least five of its
    /// shortest intervals.
    #[serde(with = "humantime_serde")]
    pub stale_after: Duration,
    pub robust_z: RobustZConfig,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            rules_file: None,
            stale_after: Duration::from_secs(30),
            robust_z: RobustZConfig::default(),
        }
    }
}

impl DetectConfig {
    /// Whether detectors can be made of it; the rules file is read.
    ///
    /// # Errors
    /// A value out of its range, or a rules file that cannot be used.
    pub fn check(&self) -> Result<(), DetectError> {
        if self.stale_after < Duration::from_secs(1) {
            return Err(DetectError::Config {
                key: "detect.stale_after",
                what: "must be at least 1s".into(),
            });
        }
        self.robust_z.check()?;
        Rules::load(self.rules_file.as_deref())?;
        Ok(())
    }
}

/// Why detectors cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// A value that the key cannot have.
    #[error("{key}: {what}")]
    Config { key: &'static str, what: String },
    /// The rules cannot be used.
    #[error(transparent)]
    Rules(#[from] RulesError),
}

/// The detectors that the configuration asks for, fresh: each shard has its own.
///
/// # Errors
/// As [`DetectConfig::check`].
pub fn enabled(config: &DetectConfig) -> Result<Vec<Box<dyn Detector>>, DetectError> {
    config.check()?;
    let mut list: Vec<Box<dyn Detector>> = vec![
        Box::new(Stale::new(config.stale_after)),
        Box::new(Rules::load(config.rules_file.as_deref())?),
    ];
    if config.robust_z.enabled {
        list.push(Box::new(RobustZ::new(config.robust_z.clone())));
    }
    Ok(list)
}

/// A finding's identity and content. Findings with the same detector, rule and subject are the
/// same anomaly.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Which of the detector's rules.
    pub rule: Arc<str>,
    pub node: Arc<NodeKey>,
    pub subject: Subject,
    pub severity: Severity,
    /// Node time of the sample, or the aggregator's for what has no sample.
    pub time_ms: i64,
    pub value: f64,
    /// What was expected instead: the limit, the usual value.
    pub expected: f64,
    pub score: f64,
    /// One sentence for people, with the numbers.
    pub summary: String,
    /// What to do about it; empty when there is nothing to say.
    pub action: String,
}

/// An edge.
#[derive(Debug, Clone)]
pub enum Edge {
    /// It began.
    Fire(Finding),
    /// It goes on, and there is more to say of it than when it began.
    Update { rule: Arc<str>, node: Arc<NodeKey>, subject: Subject, value: f64, score: f64 },
    /// It ended: the same rule, node and subject as the finding that began it.
    Clear {
        rule: Arc<str>,
        node: Arc<NodeKey>,
        subject: Subject,
        time_ms: i64,
        reason: ClearReason,
    },
}

/// Why something is no longer wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClearReason {
    /// Samples say that it is over.
    Recovered,
    /// What was unusual has lasted so long that it is the usual.
    Learned,
    /// The series ended: the thing measured is gone, or can no longer be read.
    Gone,
    /// The rule that found it is no longer there.
    Retired,
    /// What happened did not happen again.
    Quiet,
}

impl fmt::Display for ClearReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recovered => "recovered",
            Self::Learned => "became usual",
            Self::Gone => "series ended",
            Self::Retired => "rule was removed",
            Self::Quiet => "did not happen again",
        })
    }
}

/// One tick of a layout.
#[derive(Debug, Clone, Copy)]
pub struct Tick<'a> {
    pub layout: &'a NodeLayout,
    /// Node time, Unix milliseconds.
    pub time_ms: i64,
    /// One value per column; `frame::ABSENT` for none.
    pub values: &'a [f64],
}

/// What the shard knows of a node beyond its samples.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    pub node: Arc<NodeKey>,
    /// When the last frame arrived, aggregator's clock.
    pub last_seen_ms: i64,
    /// The shortest interval of its layouts.
    pub interval_ms: u32,
}

/// Something that finds what is wrong.
pub trait Detector: Send {
    /// A stable name: the label `detector`.
    fn name(&self) -> &'static str;

    /// An anomaly of this detector that was open when the process ended: it counts as fired.
    /// Called before the first tick.
    fn restore(&mut self, anomaly: &v1::Anomaly, node: &Arc<NodeKey>, subject: &Subject);

    /// Looks at a tick. Ticks of one layout come in the order of their arrival, which is nearly
    /// always that of their time.
    fn observe(&mut self, tick: &Tick<'_>, edges: &mut Vec<Edge>);

    /// Looks at something that happened on a node; its time is set. Called once for each event,
    /// before the ticks that came with it, and not when the journal is replayed.
    fn observe_event(&mut self, _node: &Arc<NodeKey>, _event: &Event, _edges: &mut Vec<Edge>) {}

    /// Called about once a second with the aggregator's clock, for what shows by absence.
    fn elapse(&mut self, now_ms: i64, nodes: &[NodeStatus], edges: &mut Vec<Edge>);

    /// Events that it had no room to look at since the last call.
    fn overlooked(&mut self) -> u64 {
        0
    }

    /// The node was removed: forget it. Says nothing of what was open on it.
    fn forget(&mut self, node: NodeId);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_make_every_detector_and_switches_leave_one_out() {
        let names = |config: &DetectConfig| {
            let list = enabled(config).expect("usable");
            list.iter().map(|d| d.name()).collect::<Vec<_>>()
        };
        let mut config = DetectConfig::default();
        assert_eq!(names(&config), ["stale", "rules", "robust_z"]);
        config.robust_z.enabled = false;
        assert_eq!(names(&config), ["stale", "rules"]);
    }

    #[test]
    fn config_is_read_strictly_and_checked() {
        let text = "stale_after = \"1m\"\n[robust_z]\nthreshold = 8.0\nmemory = \"2days\"";
        let config: DetectConfig = toml::from_str(text).expect("valid");
        assert_eq!(config.stale_after, Duration::from_secs(60));
        assert_eq!(config.robust_z.memory, Duration::from_secs(2 * 86_400));
        config.check().expect("in range");
        let again: DetectConfig =
            toml::from_str(&toml::to_string(&config).expect("writable")).expect("readable");
        assert_eq!(again, config);
        assert!(toml::from_str::<DetectConfig>("stale = \"1m\"").is_err());

        let bad = DetectConfig { stale_after: Duration::ZERO, ..DetectConfig::default() };
        assert_eq!(
            bad.check().expect_err("zero").to_string(),
            "detect.stale_after: must be at least 1s"
        );
        let missing = PathBuf::from("/nonexistent/rules.toml");
        let bad = DetectConfig { rules_file: Some(missing), ..DetectConfig::default() };
        assert!(bad.check().expect_err("missing").to_string().contains("/nonexistent/rules.toml"));
    }

    #[test]
    fn rules_file_is_read_and_its_errors_name_it() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("site.toml");
        let config = DetectConfig { rules_file: Some(path.clone()), ..DetectConfig::default() };
        std::fs::write(&path, "disabled = [\"DiskBusy\"]").expect("written");
        assert_eq!(enabled(&config).expect("usable").len(), 3);
        std::fs::write(&path, "disabled = [\"NoSuchRule\"]").expect("written");
        let error = enabled(&config).err().expect("refused").to_string();
        assert!(error.contains("site.toml") && error.contains("NoSuchRule"), "{error}");
    }
}
