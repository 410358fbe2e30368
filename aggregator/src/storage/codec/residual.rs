//! Numbers around zero, each coded as zero or not, its width, sign and bits below the highest;
//! what comes before it and what another column did at the same tick predict each.

use super::coder::{BitCoder, Mixer};

const MODELS: usize = 4;
const REST_MODELS: usize = 4;
/// Bits below the highest that are predicted.
const DEPTH: u32 = 2;
pub(super) const WIDTHS: u32 = 65;

/// The number of bits of a magnitude.
pub(super) fn width(value: i64) -> u32 {
    64 - value.unsigned_abs().leading_zeros()
}

/// Widths that occur: what need not be coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Widths {
    pub(super) has_zero: bool,
    pub(super) least: u32,
    pub(super) most: u32,
}

impl Widths {
    pub(super) fn of(values: &[i64]) -> Self {
        let mut widths = Self { has_zero: false, least: WIDTHS - 1, most: 1 };
        for &value in values {
            let width = width(value);
            if width == 0 {
                widths.has_zero = true;
            } else {
                widths.least = widths.least.min(width);
                widths.most = widths.most.max(width);
            }
        }
        widths.least = widths.least.min(widths.most);
        widths
    }
}

/// What is known when a number is coded.
pub(super) struct Residuals {
    /// Of zeros and widths.
    size: Mixer<MODELS>,
    /// Of signs and the bits below.
    rest: Mixer<REST_MODELS>,
    widths: Widths,
    /// Bits of the tree that tells widths apart.
    levels: u32,
    last: [i64; 2],
    zeros: u32,
    gap: u32,
}

fn hash(a: u32, b: u32) -> u32 {
    (a.wrapping_mul(0x2c1b_3c6d) ^ b).wrapping_mul(0x297a_2d39).rotate_left(15)
}

impl Residuals {
    pub(super) fn new(widths: Widths) -> Self {
        let levels = 32 - (widths.most - widths.least).leading_zeros();
        Self {
            size: Mixer::new(8),
            rest: Mixer::new(2),
            widths,
            levels,
            last: [0; 2],
            zeros: 0,
            gap: 0,
        }
    }

    /// Codes a number beside which a related column has `beside`.
    #[inline]
    pub(super) fn code<C: BitCoder>(&mut self, coder: &mut C, value: i64, beside: i64) -> i64 {
        let [a, b] = self.last.map(width);
        let near = if beside.unsigned_abs() < 16 {
            u32::try_from(beside + 16).expect("below 32")
        } else {
            32 + width(beside)
        };
        let contexts = [
            0,
            hash(1, a * 65 + b),
            hash(2, near),
            hash(3, self.zeros.min(63) * 64 + self.gap.min(63)),
        ];
        let value = self.symbol(coder, value, &contexts);
        if value == 0 {
            self.zeros = self.zeros.saturating_add(1);
        } else {
            self.gap = self.zeros;
            self.zeros = 0;
        }
        self.last = [value, self.last[0]];
        value
    }

    fn symbol<C: BitCoder>(&mut self, coder: &mut C, value: i64, at: &[u32; MODELS]) -> i64 {
        if self.widths.has_zero && self.size.code(coder, value == 0, 0, at, 0) {
            return 0;
        }
        // The width, from the least, most significant bit first.
        let wanted = width(value).wrapping_sub(self.widths.least);
        let mut tree = 1;
        for level in (0..self.levels).rev() {
            let bit = (wanted >> level) & 1 == 1;
            tree = tree * 2 + u32::from(self.size.code(coder, bit, tree, at, 1 + level as usize));
        }
        let width = (tree - (1 << self.levels) + self.widths.least).min(64);
        let [x, y] = self.last.map(i64::signum);
        let signs = u32::try_from((x + 1) * 3 + y + 1).expect("below 9");
        let rest = [0, at[1], at[2], hash(4, signs)];
        let negative = self.rest.code(coder, value < 0, width, &rest, 0);
        let below = width - 1;
        let predicted = below.min(DEPTH);
        let magnitude = value.unsigned_abs();
        let mut found = 1u64;
        for bit in (below - predicted..below).rev() {
            let node = width + u32::try_from(found).expect("below 4") * 128;
            let one = self.rest.code(coder, (magnitude >> bit) & 1 == 1, node, &rest, 1);
            found = found * 2 + u64::from(one);
        }
        let raw = below - predicted;
        if raw > 0 {
            let low = coder.raw(magnitude & ((1 << raw) - 1), raw);
            found = (found << raw) | low;
        }
        let value = found.cast_signed();
        if negative { value.wrapping_neg() } else { value }
    }
}
