//! Whether Syncs come: nothing that ptp4l tells becomes unknown when they do not.

use std::time::Duration;

/// So many intervals without a Sync, and at least [`LEAST_PATIENCE`], are too many.
const PATIENCE_INTERVALS: f64 = 8.0;
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
/// Values are told for so many intervals after a Sync, and at least [`LEAST_PATIENCE`].
const VALUE_INTERVALS: f64 = 3.0;
/// A port's Sync interval is from 2^-7 s on; 0x7f means unknown (unicast).
const LOG_INTERVALS: std::ops::RangeInclusive<i8> = -7..=6;
/// Syncs over which the interval is measured: fewer are too coarse at one poll a second.
const MEASURED_SYNCS: u64 = 4;
/// No profile sends Syncs more seldom; more is a measurement over a loss.
const LONGEST_INTERVAL: f64 = 2.0;
/// A pause that is a loss and no interval.
const LONGEST_GAP: Duration = Duration::from_secs(8);

/// What one poll has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// `TIME_STATUS_NP.ingress_time`; 0 while nothing is followed, `None` where it is not told.
    pub ingress_ns: Option<i64>,
    /// Syncs received, where they are told.
    pub syncs: Option<u64>,
    /// The port's own `logSyncInterval`.
    pub log_sync: Option<i8>,
}

/// Watches the Syncs of one clock. Times are of any clock that does not jump.
#[derive(Debug, Default)]
pub struct Freshness {
    since: Option<Duration>,
    ingress_ns: Option<i64>,
    syncs: Option<u64>,
    moved_at: Option<Duration>,
    /// The interval as the port is configured, and as measured from `mark` on.
    announced: Option<f64>,
    measured: Option<f64>,
    mark: Option<(Duration, u64)>,
    syncs_moved_at: Option<Duration>,
}

impl Freshness {
    /// Takes a poll; true if there is a Sync that the last one did not see.
    pub fn observe(&mut self, now: Duration, seen: Seen) -> bool {
        self.since.get_or_insert(now);
        let log = seen.log_sync.filter(|log| LOG_INTERVALS.contains(log));
        self.announced = log.map(|log| f64::from(log).exp2());
        self.measure(now, seen.syncs);
        let moved = match seen.ingress_ns {
            Some(0) => false,
            Some(ingress) => self.ingress_ns.is_some_and(|last| last != ingress),
            None => self.syncs.zip(seen.syncs).is_some_and(|(last, syncs)| last != syncs),
        };
        (self.ingress_ns, self.syncs) = (seen.ingress_ns, seen.syncs);
        if moved {
            self.moved_at = Some(now);
        }
        moved
    }

    fn measure(&mut self, now: Duration, syncs: Option<u64>) {
        let Some(syncs) = syncs else { return };
        if self.syncs == Some(syncs) {
            return;
        }
        let since = self.syncs_moved_at.replace(now);
        let gap = since.is_some_and(|since| now.saturating_sub(since) > LONGEST_GAP);
        let Some((at, from)) = self.mark.filter(|(_, from)| syncs >= *from && !gap) else {
            self.mark = Some((now, syncs));
            return;
        };
        let count = syncs - from;
        if count >= MEASURED_SYNCS {
            let interval = now.saturating_sub(at).as_secs_f64() / count as f64;
            self.measured = Some(interval.min(LONGEST_INTERVAL));
            self.mark = Some((now, syncs));
        }
    }

    /// Time since a Sync was last seen to be used; before the first, since this was asked for.
    #[must_use]
    pub fn age(&self, now: Duration) -> Option<Duration> {
        Some(now.saturating_sub(self.moved_at.or(self.since)?))
    }

    /// Whether nothing can be said yet: no Sync was seen, and none had to come.
    #[must_use]
    pub fn is_pending(&self, now: Duration) -> bool {
        self.moved_at.is_none() && self.age(now).is_none_or(|age| age < self.patience())
    }

    /// Whether Syncs come as they should.
    #[must_use]
    pub fn is_fresh(&self, now: Duration) -> bool {
        self.moved_at.is_some() && self.within(now, self.patience())
    }

    /// Whether what the last Sync told is worth telling.
    #[must_use]
    pub fn is_current(&self, now: Duration) -> bool {
        self.moved_at.is_some() && self.within(now, self.intervals(VALUE_INTERVALS))
    }

    fn within(&self, now: Duration, patience: Duration) -> bool {
        self.ingress_ns != Some(0) && self.age(now).is_some_and(|age| age < patience)
    }

    fn patience(&self) -> Duration {
        self.intervals(PATIENCE_INTERVALS)
    }

    /// So many intervals. What the port is configured to send tells nothing of what its master
    /// sends: it stands in until that is measured.
    fn intervals(&self, count: f64) -> Duration {
        let interval = self.measured.or(self.announced).unwrap_or_default();
        Duration::from_secs_f64(interval * count).max(LEAST_PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_secs(1);

    fn seen(ingress: i64, syncs: u64, log: i8) -> Seen {
        Seen { ingress_ns: Some(ingress), syncs: Some(syncs), log_sync: Some(log) }
    }

    #[test]
    fn stopped_ingress_is_stale_after_a_second_though_syncs_come() {
        let mut freshness = Freshness::default();
        assert!(!freshness.observe(TICK, seen(5, 0, -4)));
        assert!(freshness.is_pending(TICK) && !freshness.is_fresh(TICK));
        assert!(freshness.observe(TICK * 2, seen(6, 16, -4)));
        assert!(freshness.is_fresh(TICK * 2) && freshness.is_current(TICK * 2));
        assert_eq!(freshness.age(TICK * 2), Some(Duration::ZERO));
        assert!(!freshness.observe(TICK * 3, seen(6, 32, -4)));
        assert!(!freshness.is_fresh(TICK * 3) && !freshness.is_pending(TICK * 3));
        assert_eq!(freshness.age(TICK * 3), Some(TICK));
    }

    #[test]
    fn no_ingress_is_stale_at_once() {
        let mut freshness = Freshness::default();
        freshness.observe(TICK, seen(5, 0, -4));
        freshness.observe(TICK * 2, seen(6, 16, -4));
        freshness.observe(TICK * 2 + TICK / 4, seen(0, 16, -4));
        assert!(!freshness.is_fresh(TICK * 2 + TICK / 4));
        // The first after it is not known to be new, but that it is there says so.
        assert!(freshness.observe(TICK * 3, seen(7, 17, -4)));
    }

    #[test]
    fn slow_syncs_have_more_time() {
        let f = |log: i8, syncs: fn(u32) -> u64, patience: u32| {
            let mut freshness = Freshness::default();
            for tick in 0..=8 {
                freshness.observe(TICK * tick, seen(i64::from(tick), syncs(tick), log));
            }
            assert!(freshness.is_fresh(TICK * (8 + patience - 1)), "{log} {patience}");
            assert!(!freshness.is_fresh(TICK * (8 + patience)), "{log} {patience}");
        };
        f(-4, |tick| u64::from(tick) * 16, 1);
        f(0, u64::from, 8);
        f(1, |tick| u64::from(tick) / 2, 16);
        // The port would send otherwise than its master does.
        f(0, |tick| u64::from(tick) * 16, 1);
        f(-4, u64::from, 8);
        // Unicast: the interval is not told, it is measured.
        f(0x7f, u64::from, 8);
        f(0x7f, |tick| u64::from(tick) * 16, 1);
    }

    #[test]
    fn loss_is_not_taken_for_an_interval() {
        let mut freshness = Freshness::default();
        for tick in 0..4 {
            freshness.observe(TICK * tick, seen(tick.into(), u64::from(tick) * 16, -4));
        }
        freshness.observe(TICK * 100, seen(100, 64, -4));
        freshness.observe(TICK * 101, seen(101, 80, -4));
        assert!(freshness.is_fresh(TICK * 101) && !freshness.is_fresh(TICK * 102));
    }

    #[test]
    fn counters_stand_in_where_ingress_is_not_told() {
        let mut freshness = Freshness::default();
        let seen = |syncs| Seen { syncs: Some(syncs), ..Seen::default() };
        freshness.observe(TICK, seen(10));
        assert!(freshness.observe(TICK * 2, seen(11)) && freshness.is_fresh(TICK * 2));
        // A counter that falls is a new life.
        assert!(freshness.observe(TICK * 3, seen(1)));
        assert!(!freshness.observe(TICK * 4, seen(1)) && !freshness.is_fresh(TICK * 4));
    }

    #[test]
    fn never_a_sync_is_pending_only_as_long_as_one_may_take() {
        let mut freshness = Freshness::default();
        freshness.observe(TICK, seen(5, 0, -4));
        freshness.observe(TICK * 2, seen(5, 0, -4));
        assert!(!freshness.is_pending(TICK * 2) && !freshness.is_fresh(TICK * 2));
        assert_eq!(freshness.age(TICK * 3), Some(TICK * 2));
    }
}
