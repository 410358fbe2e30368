//! Doubles as integers of decimals.

/// Largest decimal exponent.
pub(super) const MAX_EXPONENT: u8 = 12;
/// Integers up to it are doubles, exactly.
pub(super) const MAX_EXACT: i64 = 1 << 53;
const POWERS: [f64; MAX_EXPONENT as usize + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];
pub(super) const INTEGER_POWERS: [i64; MAX_EXPONENT as usize + 1] = {
    let mut powers = [1; MAX_EXPONENT as usize + 1];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// The double as an integer of decimals, if that is exact.
#[inline]
pub(super) fn scaled(value: f64, exponent: u8) -> Option<i64> {
    let product = value * POWERS[usize::from(exponent)];
    if product.is_nan() || product.abs() > MAX_EXACT as f64 {
        return None;
    }
    let integer = if exponent == 0 { truncated(value) } else { nearest(product) };
    (unscaled(integer, exponent).to_bits() == value.to_bits()).then_some(integer)
}

#[inline]
fn nearest(product: f64) -> i64 {
    truncated(product + 0.5f64.copysign(product))
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "fractions are what it cuts off")]
fn truncated(value: f64) -> i64 {
    value as i64
}

#[inline]
pub(super) fn unscaled(integer: i64, exponent: u8) -> f64 {
    if exponent == 0 { integer as f64 } else { integer as f64 / POWERS[usize::from(exponent)] }
}

/// Whether the double is a decimal that a series of raw bits could go on with.
pub(in crate::frame) fn is_decimal(value: f64) -> bool {
    (0..=6).any(|exponent| scaled(value, exponent).is_some())
}
