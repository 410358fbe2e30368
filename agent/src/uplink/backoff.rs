//! How long to wait before the next attempt: twice as long each time, with jitter, so that a
//! fleet does not come back in one instant.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// The waits of one peer.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure: between half and all of what the count gives.
    pub(super) fn next(&mut self) -> Duration {
        let longest = FIRST.saturating_mul(1 << self.failures.min(6)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        jittered(longest)
    }

    /// The wait where trying soon cannot help.
    pub(super) fn longest(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        jittered(LONGEST)
    }

    /// The peer works.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

fn jittered(longest: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) >> 32;
    longest.mul_f64(0.5 + random as f64 / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_start_again() {
        let mut backoff = Backoff::default();
        for expected in [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0] {
            let wait = backoff.next().as_secs_f64();
            assert!((expected / 2.0..=expected).contains(&wait), "{wait} for {expected}");
        }
        assert!(backoff.longest() >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
