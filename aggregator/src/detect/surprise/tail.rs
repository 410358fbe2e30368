//! How often a magnitude was reached, in 13 bytes: a histogram with two bins an octave below the
//! largest seen, forgetting by halves. It assumes no distribution, so heavy, skewed and quantised
//! series calibrate themselves.
//!
//! A bin is a float of four bits each for exponent and mantissa: exact up to 31, and beyond
//! counted by chance so that it is right on average. The lowest bin takes what is smaller.

const BINS: usize = 12;
const LAST: i32 = 11;
const BINS_PER_OCTAVE: f32 = 2.0;
/// What is added to the count of those at least as large: one that was never seen is half a
/// sample away, whatever the number of samples is.
const UNSEEN: f32 = 0.5;

/// Magnitudes of one sign of one feature.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tail {
    /// Place of the last bin.
    top: i8,
    bins: [u8; BINS],
}

/// Where a magnitude is, in bins from that of 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(f32);

impl Place {
    /// The logarithm, linear within an octave: any that grows would do.
    pub(super) fn of(magnitude: f32) -> Self {
        let bits = magnitude.abs().clamp(1e-18, 1e18).to_bits();
        let octaves = bits as f32 / 8_388_608.0 - 127.0;
        Self(octaves * BINS_PER_OCTAVE)
    }

    #[expect(clippy::cast_possible_truncation, reason = "within 120 by the clamp")]
    fn index(self) -> i8 {
        self.0.floor() as i8
    }
}

impl Tail {
    fn is_empty(&self) -> bool {
        self.bins[BINS - 1] == 0
    }

    /// -log10 of the share of `total` samples that were at least as large. Beyond the largest
    /// seen each octave adds `slope`.
    pub(super) fn surprise(&self, place: Place, total: f32, slope: f32) -> f32 {
        let (mut above, mut beyond) = (0.0, 0.0);
        if !self.is_empty() {
            let over = i32::from(place.index()) - i32::from(self.top);
            if over > 0 {
                beyond = (place.0 - f32::from(self.top) - 1.0) / BINS_PER_OCTAVE;
            } else {
                let bin = usize::try_from(over + LAST).unwrap_or(0);
                let (own, larger) = self.bins[bin..].split_first().expect("a bin");
                let rest = if bin == 0 { 1.0 } else { 1.0 - (place.0 - place.0.floor()) };
                above = value(*own) * rest + larger.iter().map(|&bin| value(bin)).sum::<f32>();
            }
        }
        slope.mul_add(beyond, ((total + 1.0) / (above + UNSEEN)).log10()).max(0.0)
    }

    /// Counts a magnitude. `chance` is any random number.
    pub(super) fn add(&mut self, place: Place, chance: u32) {
        let index = place.index();
        if self.is_empty() {
            self.top = index;
        } else if index > self.top {
            self.raise(index);
        }
        let bin = i32::from(index) - i32::from(self.top) + LAST;
        let bin = &mut self.bins[usize::try_from(bin).unwrap_or(0)];
        *bin = incremented(*bin, chance);
    }

    /// Forgets half of it.
    pub(super) fn halve(&mut self, mut chance: u32) {
        for bin in &mut self.bins {
            *bin = halved(*bin, chance & 1);
            chance >>= 1;
        }
        let empty = self.bins.iter().rev().take_while(|&&bin| bin == 0).count();
        if (1..BINS).contains(&empty) {
            // What is lowest stays lowest, unless it is all there is.
            let keep = usize::from(empty < BINS - 1);
            self.bins.copy_within(keep..BINS - empty, keep + empty);
            self.bins[keep..keep + empty].fill(0);
            self.top = self.top.saturating_sub(i8::try_from(empty).unwrap_or(i8::MAX));
        }
    }

    fn raise(&mut self, top: i8) {
        let by = usize::try_from(i32::from(top) - i32::from(self.top)).unwrap_or(0).min(BINS);
        let low: f32 = self.bins[..by].iter().map(|&bin| value(bin)).sum();
        self.bins.copy_within(by.., 0);
        self.bins[BINS - by..].fill(0);
        self.bins[0] = code(value(self.bins[0]) + low);
        self.top = top;
    }
}

fn value(code: u8) -> f32 {
    let code = u32::from(code);
    let count = if code < 32 { code } else { (16 + (code & 15)) << ((code >> 4) - 1) };
    count as f32
}

/// The largest code that is not more.
fn code(count: f32) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let count = count as u32;
    if count < 32 {
        return u8::try_from(count).unwrap_or(u8::MAX);
    }
    let exponent = count.ilog2() - 3;
    let mantissa = (count >> (exponent - 1)) & 15;
    u8::try_from((exponent << 4) | mantissa).unwrap_or(u8::MAX)
}

fn incremented(code: u8, chance: u32) -> u8 {
    let step = (u32::from(code) >> 4).saturating_sub(1);
    if chance & ((1 << step) - 1) == 0 { code.saturating_add(1) } else { code }
}

fn halved(code: u8, chance: u32) -> u8 {
    if code < 32 { (code + u8::from(chance != 0)) / 2 } else { code - 16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_exact_when_small_and_close_when_large() {
        for count in 0..=31_u8 {
            assert_eq!((value(count), code(f32::from(count))), (f32::from(count), count));
        }
        for code_ in 32..=255_u8 {
            assert_eq!(code(value(code_)), code_, "{code_}");
            assert!((value(halved(code_, 0)) - value(code_) / 2.0).abs() < 1.0, "{code_}");
        }
    }

    #[test]
    fn counting_by_chance_is_right_on_average() {
        let (mut bin, mut chance) = (0, 1_u32);
        for _ in 0..10_000 {
            chance = chance.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            bin = incremented(bin, chance >> 8);
        }
        assert!((8000.0..12_000.0).contains(&value(bin)), "{}", value(bin));
    }

    #[test]
    fn surprise_is_the_logarithm_of_the_share_at_least_as_large() {
        let mut tail = Tail::default();
        for i in 0..1000_u32 {
            // Shares of 1/2, 1/4, ... at 1, 2, 4, ...
            let magnitude = f32::from(u16::try_from(i.trailing_zeros().min(9)).expect("small"));
            tail.add(Place::of(magnitude.exp2()), i.wrapping_mul(2_654_435_761) >> 7);
        }
        let at = |magnitude: f32| tail.surprise(Place::of(magnitude), 1000.0, 0.4);
        assert!(at(1.0) < 0.05, "{}", at(1.0));
        assert!((at(64.0) - 1.8).abs() < 0.2, "{}", at(64.0));
        assert!((at(1e6) - (3.3 + 0.4 * 10.5)).abs() < 0.3, "{}", at(1e6));
        assert!(at(2e6) > at(1e6) && at(1e6) > at(512.0) && at(512.0) > at(64.0));
    }

    #[test]
    fn largest_is_forgotten_in_time_and_the_rest_keeps_its_place() {
        let mut tail = Tail::default();
        for i in 0..200 {
            tail.add(Place::of(1.0), i * 77);
        }
        tail.add(Place::of(16.0), 0);
        assert_eq!(tail.top, 8);
        for chance in 0..8_u32 {
            tail.halve(if chance < 2 { 0 } else { u32::MAX });
            for i in 0..100 {
                tail.add(Place::of(1.0), i * 77 + chance);
            }
        }
        assert_eq!(tail.top, 0, "{tail:?}");
        assert!(tail.surprise(Place::of(1.0), 200.0, 0.4) < 0.2);
    }
}
