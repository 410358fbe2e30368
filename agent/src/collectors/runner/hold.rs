//! Ticks that wait to share a frame.
//!
//! An agent frames tick by tick. When its frames do not get through ([`Pressure`]), a frame holds
//! up to ten ticks or ten seconds of a tier, which takes less of a slow road: the overhead of a
//! message is shared, and of the acks. What is held is not in the spool yet: an agent that is
//! killed loses it, ten seconds at most. Events are never held: the frame of a tick with events
//! goes at once, with the ticks that were held before it.

use bytes::Bytes;
use sextant_proto::limits;

use crate::spool::SpoolStats;

/// Ticks of one frame at most.
pub(super) const MAX_TICKS: usize = 10;
/// From its first tick to its last and the one that would come next.
const MAX_SPAN_MS: i64 = 10_000;
/// Frames that are not acknowledged, or how long the oldest has not been: beyond, the agent is
/// behind.
const BEHIND_FRAMES: u64 = 200;
const BEHIND_MS: i64 = 5_000;
/// Below both it has caught up.
const CAUGHT_UP_FRAMES: u64 = 20;
const CAUGHT_UP_MS: i64 = 1_000;

/// Whether the uplink falls behind, with hysteresis.
#[derive(Debug, Default)]
pub(super) struct Pressure(bool);

impl Pressure {
    /// Looks at the spool. The state, and whether it is another than before.
    pub(super) fn update(&mut self, spool: &SpoolStats, now_ms: i64) -> (bool, bool) {
        let age_ms = spool.oldest_ms.map_or(0, |oldest| now_ms.saturating_sub(oldest));
        let before = self.0;
        if spool.frames >= BEHIND_FRAMES || age_ms >= BEHIND_MS {
            self.0 = true;
        } else if spool.frames < CAUGHT_UP_FRAMES && age_ms < CAUGHT_UP_MS {
            self.0 = false;
        }
        (self.0, self.0 != before)
    }
}

/// A tier's ticks that are in no frame yet. Keeps its buffers.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) layout: Option<(u64, Bytes)>,
    pub(super) ticks_ms: Vec<i64>,
    pub(super) values: Vec<f64>,
}

impl Held {
    /// Whether a tick cannot share a frame with what is held.
    pub(super) fn must_go_before(&self, layout: u64, tick_ms: i64, series: usize) -> bool {
        let Some(last) = self.ticks_ms.last() else { return false };
        self.layout.as_ref().is_none_or(|(hash, _)| *hash != layout)
            || tick_ms <= *last
            || self.values.len() + series > limits::MAX_SAMPLES_PER_FRAME
    }

    pub(super) fn add(&mut self, layout: (u64, Bytes), tick_ms: i64, values: &[f64]) {
        self.layout = Some(layout);
        self.ticks_ms.push(tick_ms);
        self.values.extend_from_slice(values);
    }

    /// Whether it has to go although the agent is behind, seen at a tick.
    pub(super) fn is_due(&self, tick_ms: i64, interval_ms: i64) -> bool {
        let Some(first) = self.ticks_ms.first() else { return false };
        let next_ms = tick_ms.saturating_add(interval_ms);
        self.ticks_ms.len() >= MAX_TICKS
            || next_ms.saturating_sub(*first) > MAX_SPAN_MS
            || tick_ms < *first
    }

    pub(super) fn clear(&mut self) {
        self.layout = None;
        self.ticks_ms.clear();
        self.values.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Spool;

    #[test]
    fn agent_is_behind_until_it_has_caught_up() {
        let empty = Spool::memory(1 << 20).unwrap().stats();
        let mut pressure = Pressure::default();
        let mut f = |frames: u64, age_ms: i64| {
            let oldest_ms = (frames > 0).then_some(100_000 - age_ms);
            pressure.update(&SpoolStats { frames, oldest_ms, ..empty }, 100_000)
        };
        assert_eq!(f(0, 0), (false, false));
        assert_eq!(f(199, 4_999), (false, false));
        assert_eq!(f(1, 5_000), (true, true));
        assert_eq!(f(1, 1_000), (true, false));
        assert_eq!(f(20, 0), (true, false));
        assert_eq!(f(19, 999), (false, true));
        assert_eq!(f(200, 0), (true, true));
        // A clock that was set back makes nothing old.
        assert_eq!(f(1, -60_000), (false, true));
    }

    #[test]
    fn held_ticks_share_a_layout_grow_and_stay_within_ten_seconds() {
        let layout = (7, Bytes::new());
        let mut held = Held::default();
        assert!(!held.must_go_before(7, 1_000, 3) && !held.is_due(1_000, 1_000));
        for tick in 1..=9 {
            assert!(!held.must_go_before(7, tick * 1_000, 3));
            held.add(layout.clone(), tick * 1_000, &[0.5; 3]);
            assert!(!held.is_due(tick * 1_000, 1_000));
        }
        assert!(held.must_go_before(8, 10_000, 3), "another layout");
        assert!(held.must_go_before(7, 9_000, 3), "the same tick");
        assert!(held.must_go_before(7, 10_000, limits::MAX_SAMPLES_PER_FRAME - 26));
        held.add(layout.clone(), 10_000, &[0.5; 3]);
        assert!(held.is_due(10_000, 1_000), "ten ticks");
        held.clear();
        held.add(layout.clone(), 1_000, &[0.5]);
        assert!(held.is_due(1_000, 15_000), "a slow tier is never held");
        assert!(!held.is_due(6_000, 5_000) && held.is_due(11_000, 1), "ten seconds");
        assert!(held.is_due(900, 1), "time ran back");
    }
}
