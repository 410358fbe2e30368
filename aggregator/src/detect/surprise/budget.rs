//! Findings that a node may still have: one event moves hundreds of its series.

use crate::series::NodeKey;

const HOUR_MS: f64 = 3_600_000.0;

/// Refilled by the hour.
#[derive(Debug)]
pub(super) struct Budget {
    left: f64,
    at_ms: i64,
    suppressed: u64,
}

impl Budget {
    pub(super) fn new(per_hour: u16, now_ms: i64) -> Self {
        Self { left: f64::from(per_hour), at_ms: now_ms, suppressed: 0 }
    }

    /// Whether one more may be reported.
    pub(super) fn take(&mut self, per_hour: u16, now_ms: i64, node: &NodeKey) -> bool {
        let full = f64::from(per_hour);
        let hours = (now_ms - self.at_ms).max(0) as f64 / HOUR_MS;
        self.left = (self.left + hours * full).min(full);
        self.at_ms = now_ms;
        if self.left < 1.0 {
            if self.suppressed == 0 {
                tracing::info!(
                    cluster = %node.cluster,
                    node = %node.name,
                    "more series are unusual than are reported",
                );
            }
            self.suppressed += 1;
            return false;
        }
        if self.suppressed > 0 {
            tracing::info!(
                cluster = %node.cluster,
                node = %node.name,
                suppressed = self.suppressed,
                "unusual series are reported again",
            );
            self.suppressed = 0;
        }
        self.left -= 1.0;
        true
    }
}
