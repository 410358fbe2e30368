//! Who sends what and when: the same for those that send and those that check.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::simulation::Simulation;

/// Lets every node's task wait for its first tick.
const LEAD: Duration = Duration::from_millis(100);

/// A load.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) simulation: Simulation,
    /// Hash and bytes.
    pub(super) layout: (u64, Bytes),
    /// Ticks of each node.
    pub(super) ticks: u64,
    start_ms: i64,
    start: Instant,
    interval_ms: u32,
}

impl Plan {
    /// A load that begins soon after `now_ms`, which is now.
    pub(super) fn new(simulation: Simulation, now_ms: i64, interval_ms: u32, ticks: u64) -> Self {
        let layout = simulation.layout(interval_ms);
        let lead_ms = i64::try_from(LEAD.as_millis()).expect("a moment");
        let (start_ms, start) = (now_ms + lead_ms, Instant::now() + LEAD);
        Self { simulation, layout, ticks, start_ms, start, interval_ms }
    }

    /// The time in a node's sample.
    pub(super) fn time_ms(&self, node: u64, tick: u64) -> i64 {
        let tick = i64::try_from(tick).expect("fewer ticks than milliseconds");
        self.first_ms(node) + tick * i64::from(self.interval_ms)
    }

    /// The tick of a node that has just this time.
    pub(super) fn tick_at(&self, node: u64, time_ms: i64) -> Option<u64> {
        let since = time_ms.checked_sub(self.first_ms(node))?;
        let interval_ms = i64::from(self.interval_ms);
        let tick = u64::try_from(since.div_euclid(interval_ms)).ok()?;
        (since.rem_euclid(interval_ms) == 0 && tick < self.ticks).then_some(tick)
    }

    /// When a node's tick is to be sent.
    pub(super) fn due(&self, node: u64, tick: u64) -> Instant {
        let since = self.time_ms(node, tick) - self.start_ms;
        self.start + Duration::from_millis(since.unsigned_abs())
    }

    fn first_ms(&self, node: u64) -> i64 {
        self.start_ms + self.simulation.phase_ms(node, self.interval_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_times_are_one_to_one() {
        let plan = Plan::new(Simulation::new(1, 1), 1_700_000_000_000, 250, 40);
        for node in 0..20 {
            for tick in 0..40 {
                let time_ms = plan.time_ms(node, tick);
                assert_eq!(plan.tick_at(node, time_ms), Some(tick));
                assert_eq!(plan.tick_at(node, time_ms + 1), None);
            }
            assert_eq!(plan.tick_at(node, plan.time_ms(node, 40)), None);
            assert_eq!(plan.tick_at(node, plan.time_ms(node, 0) - 250), None);
            assert_eq!(plan.due(node, 1) - plan.due(node, 0), Duration::from_millis(250));
        }
    }
}
