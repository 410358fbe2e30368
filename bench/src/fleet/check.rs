//! Compares what an aggregator answers with what was sent to it: every sample once, at its
//! time, with its value to the bit.

use std::ops::Range;

use super::plan::Plan;

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Samples that are there as they were sent, each counted once.
    pub(super) stored: u64,
    /// Not there.
    pub(super) lost: u64,
    /// There once more.
    pub(super) duplicated: u64,
    /// There with another value, or never sent.
    pub(super) wrong: u64,
}

impl Tally {
    /// Adds another's counts.
    pub(super) fn add(&mut self, other: Self) {
        self.stored += other.stored;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.wrong += other.wrong;
    }
}

/// Checks some ticks of one node.
pub(super) struct Checker<'a> {
    plan: &'a Plan,
    node: u64,
    ticks: Range<u64>,
    /// Series by tick: whether it was there.
    seen: Vec<bool>,
    tally: Tally,
}

impl<'a> Checker<'a> {
    /// Expects all samples of these ticks.
    pub(super) fn new(plan: &'a Plan, node: u64, ticks: Range<u64>) -> Self {
        let count = usize::try_from(ticks.end - ticks.start).expect("ticks of a window");
        let seen = vec![false; count * plan.simulation.series()];
        Self { plan, node, ticks, seen, tally: Tally::default() }
    }

    /// Takes a sample of a series, by its column; none: of a series that no node has.
    pub(super) fn sample(&mut self, series: Option<usize>, time_ms: i64, value: f64) {
        let tick = self.plan.tick_at(self.node, time_ms).filter(|tick| self.ticks.contains(tick));
        let (Some(series), Some(tick)) = (series, tick) else {
            self.tally.wrong += 1;
            return;
        };
        let row = usize::try_from(tick - self.ticks.start).expect("within the window");
        let seen = &mut self.seen[row * self.plan.simulation.series() + series];
        let expected = self.plan.simulation.value(self.node, series, tick);
        if std::mem::replace(seen, true) {
            self.tally.duplicated += 1;
        } else if value.to_bits() == expected.to_bits() {
            self.tally.stored += 1;
        } else {
            self.tally.wrong += 1;
        }
    }

    /// What was there; what was not is lost.
    pub(super) fn finish(mut self) -> Tally {
        self.tally.lost = self.seen.iter().filter(|seen| !**seen).count() as u64;
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::simulation::Simulation;

    const NODE: u64 = 3;
    const TICKS: Range<u64> = 10..20;

    type Samples = Vec<(Option<usize>, i64, f64)>;

    fn tally(edit: impl FnOnce(&mut Samples)) -> Tally {
        let plan = Plan::new(Simulation::new(1, 5), 1_700_000_000_000, 200, 100);
        let mut samples: Samples = TICKS
            .flat_map(|tick| (0..5).map(move |series| (tick, series)))
            .map(|(tick, series)| {
                let value = plan.simulation.value(NODE, series, tick);
                (Some(series), plan.time_ms(NODE, tick), value)
            })
            .collect();
        edit(&mut samples);
        let mut checker = Checker::new(&plan, NODE, TICKS);
        for (series, time_ms, value) in samples {
            checker.sample(series, time_ms, value);
        }
        checker.finish()
    }

    #[test]
    fn what_was_sent_is_right_in_any_order() {
        let right = Tally { stored: 50, ..Tally::default() };
        assert_eq!(tally(|_| ()), right);
        assert_eq!(tally(|samples| samples.reverse()), right);
    }

    #[test]
    fn a_missing_a_doubled_and_a_wrong_sample_are_found() {
        let f = |edit: fn(&mut Samples), stored, lost, duplicated, wrong| {
            assert_eq!(tally(edit), Tally { stored, lost, duplicated, wrong });
        };
        f(|s| s.truncate(49), 49, 1, 0, 0);
        f(|s| s.push(s[17]), 50, 0, 1, 0);
        f(|s| s[17].2 = f64::from_bits(s[17].2.to_bits() ^ 1), 49, 0, 0, 1);
        f(|s| s[17].1 += 1, 49, 1, 0, 1);
        f(|s| s[17].0 = None, 49, 1, 0, 1);
        f(|s| s.push((Some(0), s[0].1 - 200, 0.0)), 50, 0, 0, 1);
        f(Vec::clear, 0, 50, 0, 0);
    }
}
