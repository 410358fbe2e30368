//! The one place that asks for the time of day, and sleep that ends at a tick of it.
//!
//! Ticks are multiples of their interval on the wall clock, so that all nodes sample at the same
//! instants. A clock that is set while a thread sleeps is noticed within seconds: the sleep
//! is measured on the monotonic clock beside it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

/// How long a sleeping thread trusts the wall clock without looking at it.
const LONGEST_NAP: Duration = Duration::from_secs(5);
/// Wall and monotonic clock may drift apart by so much in a sleep without being called a step.
const STEP_MS: i64 = 500;

/// Unix time in milliseconds.
#[must_use]
pub fn now_ms() -> i64 {
    #[allow(clippy::disallowed_methods, reason = "this is where the time comes from")]
    let now = SystemTime::now();
    match now.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

/// The first multiple of `interval_ms` after `now_ms`.
#[must_use]
pub fn next_tick(now_ms: i64, interval_ms: i64) -> i64 {
    (now_ms.div_euclid(interval_ms) + 1) * interval_ms
}

/// The ticks of one interval.
#[derive(Debug)]
pub struct Ticks {
    interval_ms: i64,
    /// The tick that is awaited.
    pub due_ms: i64,
}

impl Ticks {
    /// Ticks after `now_ms`. An interval below a millisecond counts as one.
    #[must_use]
    pub fn new(interval: Duration, now_ms: i64) -> Self {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX / 4).max(1);
        Self { interval_ms, due_ms: next_tick(now_ms, interval_ms) }
    }

    /// Does not wait for a multiple of the interval the first time, but for one of `first`.
    #[must_use]
    pub fn starting_with(mut self, first: Duration, now_ms: i64) -> Self {
        self.due_ms = self.due_ms.min(Self::new(first, now_ms).due_ms);
        self
    }

    /// Takes the latest tick that is due and how many before it were missed; `None` before the
    /// next one is due.
    pub fn take(&mut self, now_ms: i64) -> Option<(i64, u64)> {
        let late = now_ms.checked_sub(self.due_ms).filter(|late| *late >= 0)? / self.interval_ms;
        let tick = self.due_ms + late * self.interval_ms;
        self.due_ms = next_tick(tick, self.interval_ms);
        Some((tick, u64::try_from(late).unwrap_or(0)))
    }

    /// Whether the next tick is later than any that was waited for, pauses of `pause_ms`
    /// included: the clock was set back.
    #[must_use]
    pub fn is_far(&self, now_ms: i64, pause_ms: i64) -> bool {
        self.due_ms.saturating_sub(now_ms) > self.interval_ms.max(pause_ms) + self.interval_ms
    }

    /// Waits for a tick after `now_ms` again: the clock was set, or there is nothing to do for
    /// `pause_ms`.
    pub fn restart(&mut self, now_ms: i64, pause_ms: i64) {
        self.due_ms = next_tick(now_ms, self.interval_ms);
        if pause_ms > self.interval_ms {
            self.due_ms = next_tick(now_ms + pause_ms - self.interval_ms, self.interval_ms);
        }
    }
}

/// How a sleep ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Woke {
    /// The time has come.
    Due,
    /// The wall clock was set meanwhile: what was due then means nothing now.
    Stepped,
    /// It is time to go.
    Stopped,
}

/// Tells sleeping threads to stop.
#[derive(Debug, Default)]
pub struct Stop {
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl Stop {
    /// Ends every sleep, now and later.
    pub fn stop(&self) {
        *self.stopped.lock() = true;
        self.wake.notify_all();
    }

    /// Whether [`Stop::stop`] was called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.stopped.lock()
    }

    /// Sleeps until the wall clock shows `until_ms`.
    pub fn sleep_until(&self, until_ms: i64) -> Woke {
        let mut stopped = self.stopped.lock();
        loop {
            if *stopped {
                return Woke::Stopped;
            }
            let before_ms = now_ms();
            let Some(left) = until_ms.checked_sub(before_ms).filter(|left| *left > 0) else {
                return Woke::Due;
            };
            let left = Duration::from_millis(left.unsigned_abs());
            let asleep = Instant::now();
            self.wake.wait_for(&mut stopped, left.min(LONGEST_NAP));
            let slept = i64::try_from(asleep.elapsed().as_millis()).unwrap_or(i64::MAX);
            if (now_ms() - before_ms - slept).abs() > STEP_MS {
                return if *stopped { Woke::Stopped } else { Woke::Stepped };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_multiples_and_late_ones_are_counted() {
        let mut ticks = Ticks::new(Duration::from_secs(10), 12_345);
        assert_eq!(ticks.due_ms, 20_000);
        assert_eq!(ticks.take(19_999), None);
        assert_eq!(ticks.take(20_003), Some((20_000, 0)));
        assert_eq!(ticks.take(29_999), None);
        assert_eq!(ticks.take(55_000), Some((50_000, 2)));
        assert_eq!(ticks.due_ms, 60_000);
        ticks.restart(1_000, 0);
        assert_eq!(ticks.due_ms, 10_000);
        ticks.restart(1_000, 60_000);
        assert_eq!(ticks.due_ms, 60_000);
        assert!(!ticks.is_far(1_000, 60_000) && ticks.is_far(-11_000, 60_000));
        assert_eq!(Ticks::new(Duration::ZERO, -5).due_ms, -4);
    }

    #[test]
    fn slow_tiers_tick_at_the_start_and_then_at_their_multiples() {
        let first = Duration::from_secs(1);
        let mut ticks = Ticks::new(Duration::from_secs(60), 61_500).starting_with(first, 61_500);
        assert_eq!(ticks.take(62_000), Some((62_000, 0)));
        assert_eq!(ticks.due_ms, 120_000);
        assert_eq!(ticks.take(250_000), Some((240_000, 2)));
    }

    #[test]
    fn sleep_ends_at_its_time_or_when_stopped() {
        let stop = Stop::default();
        assert_eq!(stop.sleep_until(now_ms() - 1), Woke::Due);
        let until = now_ms() + 20;
        assert_eq!(stop.sleep_until(until), Woke::Due);
        assert!(now_ms() >= until);
        std::thread::scope(|scope| {
            scope.spawn(|| stop.stop());
            assert_eq!(stop.sleep_until(i64::MAX), Woke::Stopped);
        });
    }
}
