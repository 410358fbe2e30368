//! Sums over the time just past, in ten buckets: what a counter grew by, how often a value
//! changed, in how much of the time something held. The window is up to a tenth too short,
//! never too long.

/// Buckets of a window.
const BUCKETS: usize = 10;

/// A sliding window over two amounts.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    /// The number of the bucket that was written last.
    newest: i64,
    buckets: [[f64; 2]; BUCKETS],
}

/// How wide a bucket of a window is.
pub(super) fn bucket_ms(window_ms: i64) -> i64 {
    (window_ms / 10).max(1)
}

impl Window {
    /// The bucket of a time; what has left the window by then is forgotten.
    fn bucket(&mut self, time_ms: i64, bucket_ms: i64) -> &mut [f64; 2] {
        let number = time_ms.div_euclid(bucket_ms);
        let slot = |number: i64| usize::try_from(number.rem_euclid(10)).unwrap_or(0);
        let ahead = number.saturating_sub(self.newest);
        if !(-9..10).contains(&ahead) {
            self.buckets = Default::default();
            self.newest = number;
        }
        for passed in self.newest + 1..=number {
            self.buckets[slot(passed)] = [0.0; 2];
        }
        self.newest = self.newest.max(number);
        &mut self.buckets[slot(number)]
    }

    /// Adds amounts at a time; the sums of the window then.
    pub(super) fn add(&mut self, time_ms: i64, bucket_ms: i64, amounts: [f64; 2]) -> [f64; 2] {
        let bucket = self.bucket(time_ms, bucket_ms);
        *bucket = [bucket[0] + amounts[0], bucket[1] + amounts[1]];
        let sum = |at: usize| self.buckets.iter().map(|b| b[at]).sum();
        [sum(0), sum(1)]
    }

    /// Notes whether something holds at a time; the share of the window's buckets in which it
    /// held at some time.
    pub(super) fn mark(&mut self, time_ms: i64, bucket_ms: i64, holds: bool) -> f64 {
        let bucket = self.bucket(time_ms, bucket_ms);
        if holds {
            bucket[0] = 1.0;
        }
        self.buckets.iter().map(|b| b[0]).sum::<f64>() / BUCKETS as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_time_just_past() {
        let mut window = Window::default();
        let mut sums = Vec::new();
        for tick in 0..30 {
            sums.push(window.add(1_000_000 + tick * 1000, bucket_ms(10_000), [1.0, 2.0]));
        }
        assert_eq!(sums[4], [5.0, 10.0]);
        assert_eq!(sums[9..], [[10.0, 20.0]; 21]);
        assert_eq!(window.add(1_000_000 + 33_000, 1000, [0.0; 2]), [6.0, 12.0]);
        assert_eq!(window.add(1_000_000 + 99_000, 1000, [0.0; 2]), [0.0; 2], "all has left");
    }

    #[test]
    fn late_sample_counts_where_it_belongs_and_a_clock_step_starts_anew() {
        let mut window = Window::default();
        window.add(50_000, 1000, [1.0; 2]);
        assert_eq!(window.add(45_000, 1000, [1.0; 2]), [2.0; 2]);
        assert_eq!(window.add(55_000, 1000, [0.0; 2]), [1.0; 2]);
        assert_eq!(window.add(10_000, 1000, [0.0; 2]), [0.0; 2]);
        assert_eq!(window.add(11_000, 1000, [1.0; 2]), [1.0; 2]);
    }

    #[test]
    fn share_counts_a_bucket_once() {
        let mut window = Window::default();
        let minute = bucket_ms(600_000);
        assert_eq!(minute, 60_000);
        let mut share = 0.0;
        for second in 0..600 {
            share = window.mark(second * 1000, minute, second % 120 == 7 || second % 120 == 9);
        }
        assert!((share - 0.5).abs() < 1e-9, "{share}");
    }
}
