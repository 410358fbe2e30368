//! Random numbers for rounding: a counter, mixed. The same series gives the same numbers.

/// A stream of them.
#[derive(Debug, Clone)]
pub(super) struct Chance(u32);

impl Chance {
    pub(super) fn new(seed: u32) -> Self {
        Self(seed)
    }

    /// Any of 2^32.
    pub(super) fn bits(&mut self) -> u32 {
        // Steps of the golden ratio, then the finaliser of MurmurHash3.
        self.0 = self.0.wrapping_add(0x9E37_79B9);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 16)).wrapping_mul(0x85EB_CA6B);
        bits = (bits ^ (bits >> 13)).wrapping_mul(0xC2B2_AE35);
        bits ^ (bits >> 16)
    }

    /// From 0 to 1.
    pub(super) fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / 16_777_216.0
    }
}
