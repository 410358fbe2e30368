//! Doubles that are short decimals, as integers: `n / 10^e`, where the division gives back the
//! very bits. Negative zero, infinities and NaN are no decimals, nor is anything of more than
//! 53 bits.

/// Powers of ten that are tried.
pub(super) const MAX_EXPONENT: usize = 9;
pub(super) const POWERS: [f64; MAX_EXPONENT + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Above it not every integer is a double.
const LIMIT: f64 = 9_007_199_254_740_992.0;

/// The integer whose division by the power gives the value.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "below 2^53 both ways are exact, and the result is compared"
)]
pub(super) fn to_integer(value: f64, exponent: usize) -> Option<i64> {
    let scaled = value * POWERS[exponent];
    if scaled.abs() < LIMIT {
        // Adding and taking away 1.5 * 2^52 would round as well, but only up to 2^51.
        let integer = scaled.round_ties_even() as i64;
        let back = integer as f64 / POWERS[exponent];
        return (back.to_bits() == value.to_bits()).then_some(integer);
    }
    None
}

/// The inverse of [`to_integer`], for whatever integer.
#[expect(clippy::cast_precision_loss, reason = "exact for what to_integer gives")]
pub(super) fn to_value(integer: i64, exponent: usize) -> f64 {
    integer as f64 / POWERS[exponent]
}

/// The fewest decimals, from `from` on, that a value has.
pub(super) fn decimals(value: f64, from: usize) -> Option<usize> {
    (from..=MAX_EXPONENT).find(|&exponent| to_integer(value, exponent).is_some())
}

/// The number of decimals that makes a column smallest, or `None` when it is not made of
/// decimals: a value that does not fit costs about ten bytes, a decimal more a few bits each.
pub(super) fn choose_exponent(values: &[f64]) -> Option<usize> {
    let mut counts = [0usize; MAX_EXPONENT + 1];
    let mut others = 0;
    let mut last = 0;
    for &value in values {
        if to_integer(value, last).is_none() {
            match decimals(value, last + 1) {
                Some(exponent) => last = exponent,
                None => {
                    others += 1;
                    if others * 4 > values.len() {
                        return None;
                    }
                    continue;
                }
            }
        }
        counts[last] += 1;
    }
    // Counts are of runs that needed no more: a value of fewer decimals fits as well.
    let mut best = (usize::MAX, 0);
    let mut above: usize = counts.iter().sum();
    for (exponent, count) in counts.iter().enumerate() {
        above -= count;
        let cost = above * 80 + exponent * values.len() * 3;
        best = best.min((cost, exponent));
    }
    Some(best.1)
}
