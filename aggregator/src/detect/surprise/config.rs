//! The `[detect.surprise]` section, and what a promise of false alarms means as a score.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::series::STEP_MS;
use crate::detect::DetectError;

const MONTH_MS: f64 = 30.0 * 86_400_000.0;
/// A score higher by this is reached by clean series a tenth as often.
const PER_DECADE: f32 = 2.38;
/// What the line through the measured points is at one step a false alarm.
const OFFSET: f32 = -3.73;
/// Nothing is said of a series before it had so many steps.
const MIN_STEPS: u32 = 60;

/// The `[detect.surprise]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SurpriseConfig {
    pub enabled: bool,
    /// How many false alarms a series may have in a month; what is found is evidence beside the
    /// rules, not a page.
    pub false_alarms_per_series_month: f32,
    /// Nothing is said of a series before it was seen for so long.
    #[serde(with = "humantime_serde")]
    pub learning: Duration,
    /// At most so many findings a node and hour: one event moves hundreds of series.
    pub max_per_node_hour: u16,
}

impl Default for SurpriseConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            false_alarms_per_series_month: 0.5,
            learning: Duration::from_secs(2 * 3600),
            max_per_node_hour: 10,
        }
    }
}

impl SurpriseConfig {
    /// # Errors
    /// A value out of its range.
    pub(crate) fn check(&self) -> Result<(), DetectError> {
        let limits = [
            (
                "detect.surprise.false_alarms_per_series_month",
                (0.01..=100.0).contains(&self.false_alarms_per_series_month),
                "0.01 to 100",
            ),
            (
                "detect.surprise.learning",
                self.learning <= Duration::from_secs(30 * 86_400),
                "at most 30days",
            ),
            (
                "detect.surprise.max_per_node_hour",
                (1..=1000).contains(&self.max_per_node_hour),
                "1 to 1000",
            ),
        ];
        match limits.into_iter().find(|(_, holds, _)| !holds) {
            None => Ok(()),
            Some((key, _, range)) => {
                Err(DetectError::Config { key, what: format!("must be {range}") })
            }
        }
    }

    /// The score that makes an alert, for a series with this interval.
    pub(super) fn alert(&self, interval_ms: u32) -> f32 {
        alert_score(self.false_alarms_per_series_month, interval_ms)
    }

    /// Steps of a series before anything is said of it.
    pub(super) fn learning_steps(&self, interval_ms: u32) -> u32 {
        let steps = self.learning.as_millis() / u128::from(step_ms(interval_ms).unsigned_abs());
        u32::try_from(steps).unwrap_or(u32::MAX).max(MIN_STEPS)
    }
}

/// The score that clean series reach so many times a month: the number of steps in a month
/// decides. The slope and the offset were measured on generated series of many kinds; the tests
/// hold them to it.
#[must_use]
pub fn alert_score(false_alarms_per_month: f32, interval_ms: u32) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "thousands")]
    let steps = (MONTH_MS / step_ms(interval_ms) as f64) as f32;
    PER_DECADE.mul_add((steps / false_alarms_per_month).log10(), OFFSET)
}

fn step_ms(interval_ms: u32) -> i64 {
    i64::from(interval_ms).max(STEP_MS)
}
