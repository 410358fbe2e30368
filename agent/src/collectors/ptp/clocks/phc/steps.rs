//! Jumps of a PTP clock, seen against the raw monotonic clock.
//!
//! Two oscillators never run alike, and a servo changes the speed of one of them all the time. So
//! the clock's own speed (what is left when its frequency adjustment is taken off) is learned
//! over the last readings, and a jump is what neither that speed, nor its spread, nor the change
//! of the adjustment between two readings, nor their uncertainty explains.

/// A smaller jump is none.
const JUMP_NS: f64 = 1_000.0;
/// No oscillator is off by more than a thousandth.
const WORST_RATE: f64 = 1e-3;
/// Readings that the clock's own speed is learned from.
const KEPT: usize = 8;
/// Fewer say nothing.
const LEAST: usize = 3;
/// Over a longer gap temperature changes what was learned.
const LONGEST_GAP_NS: f64 = 60e9;
/// So many jumps in a row are a speed that is not known yet.
const MOST_JUMPS: u32 = 3;
/// Median deviations that are taken for noise.
const DEVIATIONS: f64 = 6.0;

/// A reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) clock_ns: i128,
    pub(super) raw_ns: i128,
    pub(super) uncertainty_ns: f64,
    /// Frequency adjustment as a ratio; 0 where it is not known.
    pub(super) adjustment: f64,
}

/// What was learned of a clock.
#[derive(Debug, Default)]
pub(super) struct Steps {
    last: Option<Point>,
    rates: [f64; KEPT],
    known: usize,
    next: usize,
    /// Jumps since the last reading without one.
    jumps: u32,
}

impl Steps {
    /// Forgets the last reading: what comes next cannot be compared with it.
    pub(super) fn interrupt(&mut self) {
        self.last = None;
    }

    /// Takes a reading; gives by how much the clock jumped since the last one, if it did.
    pub(super) fn observe(&mut self, now: Point) -> Option<f64> {
        let last = self.last.replace(now)?;
        let elapsed = (now.raw_ns - last.raw_ns) as f64;
        if elapsed <= 0.0 || elapsed > LONGEST_GAP_NS {
            return None;
        }
        let gained = (now.clock_ns - last.clock_ns - (now.raw_ns - last.raw_ns)) as f64;
        let rate = gained / elapsed - f64::midpoint(now.adjustment, last.adjustment);
        let steered = (now.adjustment - last.adjustment).abs() * elapsed;
        let unsure = now.uncertainty_ns + last.uncertainty_ns + steered;
        let jump = if self.known < LEAST {
            (rate.abs() * elapsed > WORST_RATE * elapsed + unsure).then_some(rate * elapsed)
        } else {
            let (rate_usual, deviation) = self.usual();
            let jump = (rate - rate_usual) * elapsed;
            let allowed = JUMP_NS + unsure + DEVIATIONS * deviation * elapsed;
            (jump.abs() > allowed).then_some(jump)
        };
        if jump.is_none() {
            self.jumps = 0;
            // When in between the adjustment changed is not known, so the rate is not either.
            if steered < JUMP_NS {
                self.rates[self.next] = rate;
                self.next = (self.next + 1) % KEPT;
                self.known = (self.known + 1).min(KEPT);
            }
            return None;
        }
        self.jumps += 1;
        if self.jumps >= MOST_JUMPS {
            (self.known, self.next, self.jumps) = (0, 0, 0);
        }
        jump
    }

    /// The median of the known rates and of their deviation from it.
    fn usual(&self) -> (f64, f64) {
        let mut rates = self.rates;
        let rates = &mut rates[..self.known];
        let usual = median(rates);
        for rate in rates.iter_mut() {
            *rate = (*rate - usual).abs();
        }
        (usual, median(rates))
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that is off by 40 ppm and steered; reads once a second.
    struct Clock {
        steps: Steps,
        raw_ns: i128,
        clock_ns: i128,
        adjustment: f64,
    }

    impl Clock {
        fn new() -> Self {
            Self { steps: Steps::default(), raw_ns: 1, clock_ns: 37_000_000_000, adjustment: 0.0 }
        }

        #[expect(clippy::cast_possible_truncation, reason = "a second in nanoseconds")]
        fn second(&mut self, jump_ns: i128) -> Option<f64> {
            self.raw_ns += 1_000_000_000;
            let speed = 1.0 + 40e-6 + self.adjustment;
            self.clock_ns += (1e9 * speed).round() as i128 + jump_ns;
            let (clock_ns, raw_ns, adjustment) = (self.clock_ns, self.raw_ns, self.adjustment);
            self.steps.observe(Point { clock_ns, raw_ns, uncertainty_ns: 250.0, adjustment })
        }
    }

    #[test]
    fn steady_clock_never_jumps_however_fast_it_is() {
        let mut clock = Clock::new();
        assert!((0..100).all(|_| clock.second(0).is_none()));
    }

    #[test]
    fn jump_is_told_with_its_size_and_counted_once() {
        let mut clock = Clock::new();
        assert!((0..10).all(|_| clock.second(0).is_none()));
        let jump = clock.second(-5_000).unwrap();
        assert!((jump + 5_000.0).abs() < 2.0, "{jump}");
        assert!((0..10).all(|_| clock.second(0).is_none()));
    }

    #[test]
    fn change_of_the_adjustment_is_no_jump() {
        let mut clock = Clock::new();
        assert!((0..10).all(|_| clock.second(0).is_none()));
        for adjustment in [30e-6, -30e-6, 5e-9, 100e-6] {
            clock.adjustment = adjustment;
            assert_eq!(clock.second(0), None, "{adjustment}");
        }
        assert_eq!(clock.second(0), None);
        assert!(clock.second(3_000).is_some());
    }

    #[test]
    fn clock_that_is_set_at_once_is_seen_before_anything_is_learned() {
        let mut clock = Clock::new();
        assert_eq!(clock.second(0), None);
        assert!(clock.second(37_000_000_000).is_some());
        assert_eq!(clock.second(0), None);
    }

    #[test]
    fn new_speed_is_learned_after_a_few_readings() {
        let mut clock = Clock::new();
        assert!((0..10).all(|_| clock.second(0).is_none()));
        let jumps = (0..30).filter(|_| clock.second(9_000).is_some()).count();
        assert_eq!(jumps, MOST_JUMPS as usize);
    }

    #[test]
    fn gaps_and_interruptions_are_not_compared_over() {
        let mut clock = Clock::new();
        assert!((0..10).all(|_| clock.second(0).is_none()));
        clock.steps.interrupt();
        assert_eq!(clock.second(50_000), None);
        clock.raw_ns += 100_000_000_000;
        assert_eq!(clock.second(0), None);
        clock.raw_ns -= 10_000_000_000;
        assert_eq!(clock.second(0), None);
    }
}
