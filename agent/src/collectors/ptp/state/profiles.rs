//! What offset and holdover a clock is allowed, by name: budgets of the standards, and profiles
//! of the configuration that are based on one of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The offset that the state machine allows, by the name of the budget. For G.8273.2 the class's
/// max|TE|; class D is given for a filtered error (max|TE_L|). G.8271.1 is the network limit at
/// point C. O-RAN's LLS-C1 and LLS-C2 are hops of G.8273.2 class B, LLS-C3 follows G.8271.1.
const BUDGETS: [(&str, u64); 11] = [
    ("default", 100),
    ("G.8273.2-A", 100),
    ("G.8273.2-B", 70),
    ("G.8273.2-C", 30),
    ("G.8273.2-D", 5),
    ("G.8271.1", 1100),
    ("G.8272-PRTC-A", 100),
    ("G.8272-PRTC-B", 40),
    ("O-RAN LLS-C1", 70),
    ("O-RAN LLS-C2", 70),
    ("O-RAN LLS-C3", 1100),
];
/// What linuxptp-daemon's `holdOverTimeout` is by default.
const HOLDOVER: Duration = Duration::from_secs(5);
const SAMPLES: u32 = 3;
/// Software time stamps are microseconds off without anything being wrong.
const SOFTWARE_FACTOR: f64 = 100.0;

/// A profile of `[collectors.ptp.profiles.NAME]`. What is not set is the budget's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProfileConfig {
    /// The name of a budget.
    pub budget: Option<String>,
    #[serde(with = "humantime_serde")]
    pub offset_limit: Option<Duration>,
    #[serde(with = "humantime_serde")]
    pub holdover: Option<Duration>,
    pub samples_to_lock: Option<u32>,
    pub samples_out_of_range: Option<u32>,
    /// Grandmaster's clock classes that count as a reference; empty: any does.
    pub clock_classes: Vec<u8>,
}

impl ProfileConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// The key within the profile and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        if let Some(name) = self.budget.as_ref().filter(|name| budget(name).is_none()) {
            let known = BUDGETS.map(|(name, _)| name).join(", ");
            return Err(format!("budget {name:?} is none of {known}"));
        }
        if self.offset_limit.is_some_and(|limit| limit.is_zero()) {
            return Err("offset_limit is 0".into());
        }
        for (key, value) in [
            ("samples_to_lock", self.samples_to_lock),
            ("samples_out_of_range", self.samples_out_of_range),
        ] {
            if value == Some(0) {
                return Err(format!("{key} is 0"));
            }
        }
        Ok(())
    }
}

/// The limits of one clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    pub offset_ns: f64,
    /// How long it is trusted without a reference.
    pub holdover: Duration,
    /// Samples in a row within the limit that make it LOCKED.
    pub samples_to_lock: u32,
    /// Samples in a row beyond the limit that make it FREERUN.
    pub samples_out_of_range: u32,
    /// Clock classes of a grandmaster that count as a reference; empty: any.
    pub clock_classes: Vec<u8>,
}

impl Limits {
    /// Those of the budget "default".
    #[must_use]
    pub fn usual() -> Self {
        Self::of_offset(Duration::from_nanos(BUDGETS[0].1))
    }

    fn of_offset(offset: Duration) -> Self {
        Self {
            offset_ns: nanoseconds(offset),
            holdover: HOLDOVER,
            samples_to_lock: SAMPLES,
            samples_out_of_range: SAMPLES,
            clock_classes: Vec::new(),
        }
    }

    /// The limits for software time stamps.
    #[must_use]
    pub fn for_software(mut self) -> Self {
        self.offset_ns *= SOFTWARE_FACTOR;
        self
    }
}

/// A budget of the standards.
#[must_use]
pub fn budget(name: &str) -> Option<Limits> {
    let (_, ns) = BUDGETS.iter().find(|(known, _)| *known == name)?;
    Some(Limits::of_offset(Duration::from_nanos(*ns)))
}

/// The limits of a profile: configured, or a budget.
#[must_use]
pub fn limits(profiles: &BTreeMap<String, ProfileConfig>, name: &str) -> Option<Limits> {
    let Some(profile) = profiles.get(name) else { return budget(name) };
    let mut limits = budget(profile.budget.as_deref().unwrap_or("default"))?;
    if let Some(limit) = profile.offset_limit {
        limits.offset_ns = nanoseconds(limit);
    }
    limits.holdover = profile.holdover.unwrap_or(limits.holdover);
    limits.samples_to_lock = profile.samples_to_lock.unwrap_or(limits.samples_to_lock);
    limits.samples_out_of_range =
        profile.samples_out_of_range.unwrap_or(limits.samples_out_of_range);
    limits.clock_classes.clone_from(&profile.clock_classes);
    Some(limits)
}

/// A duration as the numbers that offsets are compared with.
pub(crate) fn nanoseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_overrides_its_budget_and_nothing_else() {
        let profile = ProfileConfig {
            budget: Some("G.8271.1".into()),
            samples_to_lock: Some(7),
            clock_classes: vec![6, 7],
            ..ProfileConfig::default()
        };
        let profiles = BTreeMap::from([("cell".to_owned(), profile)]);
        let cell = limits(&profiles, "cell").unwrap();
        assert_eq!((cell.offset_ns, cell.samples_to_lock), (1100.0, 7));
        assert_eq!((cell.samples_out_of_range, cell.holdover), (3, HOLDOVER));
        assert_eq!(cell.clock_classes, [6, 7]);
        assert_eq!(limits(&profiles, "default").unwrap().offset_ns, 100.0);
        assert_eq!(limits(&profiles, "G.8273.2-C").unwrap().for_software().offset_ns, 3000.0);
        assert_eq!(limits(&profiles, "nobody's"), None);
    }
}
