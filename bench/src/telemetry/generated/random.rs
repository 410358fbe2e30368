//! Numbers that look random and are the same for the same seed on every machine.

/// Steele, Lea and Flood's SplitMix64: one word of state, no warm-up.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// A sequence for each pair.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut mixed = Self(seed);
        let start = mixed.next() ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(start)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1, 1 excluded.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Between two bounds.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Around 0 with a standard deviation of 1, never beyond 3.5: the sum of four.
    pub(super) fn normal(&mut self) -> f64 {
        let sum: f64 = (0..4).map(|_| self.unit()).sum();
        (sum - 2.0) * 3f64.sqrt()
    }

    /// Whether something happens that does so `rate` times a second on average.
    pub(super) fn happens(&mut self, rate: f64, seconds: f64) -> bool {
        self.unit() < rate * seconds
    }
}

/// To a multiple of `step`.
pub(super) fn to_step(value: f64, step: f64) -> f64 {
    (value / step).round() * step
}

/// To so many parts of one, as a source with decimals gives it: the nearest double to the
/// decimal number.
pub(super) fn to_parts(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// How much of the way to a new level is gone after `seconds`, with a time constant.
pub(super) fn approach(seconds: f64, constant: f64) -> f64 {
    seconds / (seconds + constant)
}
