//! How often a call is made that takes the kernel's locks: less often the longer it takes.

use std::time::Duration;

/// A call that takes longer is made half as often.
const SLOW: Duration = Duration::from_millis(50);
/// The longest time between two calls.
const LONGEST: Duration = Duration::from_secs(300);

/// Counts ticks between calls.
#[derive(Debug)]
pub(super) struct Backoff {
    interval: Duration,
    /// A call is made every so many ticks.
    every: u32,
    /// Ticks until the next.
    left: u32,
}

impl Backoff {
    /// A call at every tick, which come once an `interval`.
    pub(super) const fn new(interval: Duration) -> Self {
        Self { interval, every: 1, left: 0 }
    }

    /// Whether to call at this tick. To be asked once a tick.
    pub(super) const fn due(&mut self) -> bool {
        if self.left > 0 {
            self.left -= 1;
            return false;
        }
        self.left = self.every - 1;
        true
    }

    /// Tells how long the call took.
    pub(super) fn took(&mut self, time: Duration) {
        if time > SLOW {
            self.slower();
        } else {
            self.every = (self.every / 2).max(1);
            self.left = self.left.min(self.every - 1);
        }
    }

    /// Makes it half as often, within the bound.
    pub(super) fn slower(&mut self) {
        if self.interval.saturating_mul(self.every * 2) <= LONGEST {
            self.every *= 2;
        }
        self.left = self.every - 1;
    }

    /// The time between two calls now.
    pub(super) fn interval(&self) -> Duration {
        self.interval.saturating_mul(self.every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_millis(50);
    const LATE: Duration = Duration::from_millis(51);

    fn wait(backoff: &mut Backoff) {
        let waited = (0..100).take_while(|_| !backoff.due()).count();
        assert!(waited < 16, "{waited}");
    }

    #[test]
    fn slow_calls_become_rare_up_to_five_minutes_and_frequent_again() {
        let mut backoff = Backoff::new(Duration::from_secs(15));
        for expected in [15, 30, 60, 120, 240, 240] {
            assert_eq!(backoff.interval().as_secs(), expected);
            wait(&mut backoff);
            backoff.took(LATE);
        }
        for expected in [120, 60, 30, 15, 15] {
            wait(&mut backoff);
            backoff.took(FAST);
            assert_eq!(backoff.interval().as_secs(), expected);
        }
        assert!(backoff.due() && backoff.due());
    }

    #[test]
    fn calls_come_every_so_many_ticks() {
        let mut backoff = Backoff::new(Duration::from_secs(15));
        assert!(backoff.due());
        backoff.took(LATE);
        let due: Vec<bool> = (0..4).map(|_| backoff.due()).collect();
        assert_eq!(due, [false, true, false, true]);
    }
}
