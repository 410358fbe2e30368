//! Doubles that are short decimals, as integers: `n / 10^e`, or `n * 10^-e` as others compute
//! it, where the arithmetic gives back the very bits. Negative zero, infinities and NaN are no
//! decimals, nor is anything of more than 53 bits. Times and rates of PTP are treated alike:
//! they come in 65,536ths of a billionth.

use sextant_proto::frame::is_absent;

/// The last of the scales.
pub(super) const LAST_SCALE: usize = 14;
/// The last of those that divide by a power of ten: each can do what those before it can.
const LAST_POWER: usize = 9;
/// By what an integer is divided, divided again and multiplied.
const SCALES: [(f64, f64, f64); LAST_SCALE + 1] = [
    (1e0, 1.0, 1.0),
    (1e1, 1.0, 1.0),
    (1e2, 1.0, 1.0),
    (1e3, 1.0, 1.0),
    (1e4, 1.0, 1.0),
    (1e5, 1.0, 1.0),
    (1e6, 1.0, 1.0),
    (1e7, 1.0, 1.0),
    (1e8, 1.0, 1.0),
    (1e9, 1.0, 1.0),
    // `TimeInterval` of IEEE 1588 in seconds.
    (65_536e9, 1.0, 1.0),
    (1.0, 1.0, 1e-3),
    (1.0, 1.0, 1e-6),
    // As node_exporter turns microseconds of PSI into seconds.
    (1e3, 1e3, 1.0),
    // Scaled parts per billion, as a ratio.
    (65_536.0, 1.0, 1e-9),
];
/// Bits that a value takes more with a scale than with whole numbers, and one that does not
/// fit takes.
const SCALE_BITS: [usize; LAST_SCALE + 1] = [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 43, 9, 18, 18, 43];
const MISS_BITS: usize = 80;
/// Above it not every integer is a double.
const LIMIT: f64 = 9_007_199_254_740_992.0;

/// The integer that the scale makes the value of.
#[expect(clippy::cast_possible_truncation, reason = "exact below 2^53, and compared")]
pub(super) fn to_integer(value: f64, scale: usize) -> Option<i64> {
    let (first, second, factor) = SCALES[scale];
    let scaled = value * (first * second) / factor;
    if scaled.abs() < LIMIT {
        let integer = scaled.round_ties_even() as i64;
        return (to_value(integer, scale).to_bits() == value.to_bits()).then_some(integer);
    }
    None
}

/// The inverse of [`to_integer`], for whatever integer.
pub(super) fn to_value(integer: i64, scale: usize) -> f64 {
    let (first, second, factor) = SCALES[scale];
    integer as f64 / first / second * factor
}

/// The scale that makes a column smallest, or `None` when it is not made of decimals.
pub(super) fn choose_scale(values: &[f64]) -> Option<usize> {
    let present = || values.iter().copied().filter(|&value| !is_absent(value));
    let count = present().count();
    let mut counts = [0usize; LAST_POWER + 1];
    let mut misses = 0;
    let mut last = 0;
    for value in present() {
        if to_integer(value, last).is_none() {
            match (last + 1..=LAST_POWER).find(|&scale| to_integer(value, scale).is_some()) {
                Some(scale) => last = scale,
                None => {
                    misses += 1;
                    continue;
                }
            }
        }
        counts[last] += 1;
    }
    // Counts are of values after one that needed as much: fewer decimals may do for them.
    let mut best = (usize::MAX, 0, misses);
    misses += counts.iter().sum::<usize>();
    for (scale, fitting) in counts.iter().enumerate() {
        misses -= fitting;
        best = best.min((misses * MISS_BITS + count * SCALE_BITS[scale], scale, misses));
    }
    if best.2 > 0 {
        for (scale, bits) in SCALE_BITS.iter().enumerate().skip(LAST_POWER + 1) {
            let most = best.0.saturating_sub(count * bits) / MISS_BITS;
            let misses = present().filter(|&value| to_integer(value, scale).is_none());
            let misses = misses.take(most + 1).count();
            best = best.min((misses * MISS_BITS + count * bits, scale, misses));
        }
    }
    (best.2 * 4 <= count).then_some(best.1)
}
