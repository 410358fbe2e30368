//! One series' predictor: what both sides remember of it, and how a value is written as its
//! difference from what they expect.
//!
//! A value is an integer of decimals (`1.25` is 125 at exponent 2) or, where that is not exact
//! to the bit, the bits of the double. Expected is the last integer, or the last plus the trend
//! of its steps: whichever has cost less lately. Steps that all share a divisor are counted in
//! it. The difference is a Rice code whose width follows the series; a series that mostly does
//! what is expected says so by one bit, and one that always does by nothing at all: only how
//! many of these were passed over until the next surprise is written.

mod code;
mod decimal;

use self::decimal::{INTEGER_POWERS, MAX_EXACT, MAX_EXPONENT, unscaled};
use super::ABSENT;

pub(super) use self::decimal::is_decimal;

/// The exponent's place says that the value is the double's bits.
const RAW: u8 = 31;
const EXPONENT_MASK: u8 = 31;
/// How often the divisor was confirmed; 3 uses it.
const TRUST_SHIFT: u8 = 5;
const TRUST_MASK: u8 = 3 << TRUST_SHIFT;
const ABSENT_BIT: u8 = 1 << 7;
/// A Rice code's width in quarters of a bit before there was any.
const FIRST_COST: u8 = 16;
/// Widest Rice code: what is longer is an escape in any case.
const MAX_WIDTH: u32 = 60;
/// With more surprises than this in eight ticks a value goes without a bit that says so.
const MAX_FLAGGED: u32 = 3;
/// The trend is counted in sixteenths.
const TREND_SHIFT: u32 = 4;

/// The state of one series: 24 bytes on either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::frame) struct Series {
    /// The last value that was not absent.
    pub(in crate::frame) value: i64,
    /// Mean step between values in sixteenths, counted in the divisor if that is in use.
    pub(in crate::frame) trend: i64,
    /// What divides all steps; 0 is not known, 1 none.
    pub(in crate::frame) divisor: u32,
    /// Exponent, trust in the divisor, absence.
    pub(in crate::frame) form: u8,
    /// A bit for each of the last eight ticks: 1 was a surprise.
    pub(in crate::frame) history: u8,
    /// What a difference from the last value and from the trend costs, in quarters of a bit.
    pub(in crate::frame) last_cost: u8,
    pub(in crate::frame) trend_cost: u8,
}

const _: () = assert!(size_of::<Series>() == 24);

/// How a series' next value is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::frame) enum Habit {
    /// Never a surprise lately: nothing is written but where the next one is.
    Calm,
    /// A bit says whether it is a surprise.
    Flagged,
    /// Nearly always: its difference is written.
    Busy,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            value: 0,
            trend: 0,
            divisor: 0,
            form: 0,
            history: 0xff,
            last_cost: FIRST_COST,
            trend_cost: FIRST_COST,
        }
    }
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn bits_of(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

impl Series {
    /// Whether it can come from outside.
    pub(in crate::frame) fn is_valid(&self) -> bool {
        let exponent = self.form & EXPONENT_MASK;
        (exponent == RAW || exponent <= MAX_EXPONENT) && (!self.trusts() || self.divisor > 1)
    }

    #[inline]
    fn exponent(&self) -> u8 {
        self.form & EXPONENT_MASK
    }

    #[inline]
    pub(in crate::frame) fn is_raw(&self) -> bool {
        self.exponent() == RAW
    }

    #[inline]
    fn is_absent(&self) -> bool {
        self.form & ABSENT_BIT != 0
    }

    #[inline]
    fn trusts(&self) -> bool {
        self.form & TRUST_MASK == TRUST_MASK
    }

    #[inline]
    fn unit(&self) -> i64 {
        if self.trusts() { i64::from(self.divisor) } else { 1 }
    }

    #[inline]
    pub(in crate::frame) fn habit(&self) -> Habit {
        match self.history.count_ones() {
            0 => Habit::Calm,
            1..=MAX_FLAGGED => Habit::Flagged,
            _ => Habit::Busy,
        }
    }

    #[inline]
    fn trend_step(&self) -> i64 {
        self.trend.wrapping_add(1 << (TREND_SHIFT - 1)) >> TREND_SHIFT
    }

    #[inline]
    fn follows_trend(&self) -> bool {
        self.trend_cost < self.last_cost
    }

    /// The step that is expected, in units.
    #[inline]
    fn expected(&self) -> i64 {
        if self.follows_trend() && !self.is_absent() { self.trend_step() } else { 0 }
    }

    #[inline]
    fn width(&self) -> u32 {
        let cost = self.last_cost.min(self.trend_cost);
        ((u32::from(cost) + 2) >> 2).min(MAX_WIDTH)
    }

    /// The double that it stands at.
    #[inline]
    pub(in crate::frame) fn current(&self) -> f64 {
        if self.is_absent() {
            return ABSENT;
        }
        self.present()
    }

    #[inline]
    fn present(&self) -> f64 {
        if self.is_raw() {
            f64::from_bits(self.value.cast_unsigned())
        } else {
            unscaled(self.value, self.exponent())
        }
    }

    /// It did what was expected.
    #[inline]
    pub(in crate::frame) fn calm(&mut self) {
        if self.follows_trend() && !self.is_absent() {
            self.value = self.value.wrapping_add(self.trend_step().wrapping_mul(self.unit()));
        }
        self.history <<= 1;
    }

    /// Whether a double is what is expected.
    #[inline]
    pub(in crate::frame) fn expects(&self, value: f64) -> bool {
        let expected = self.expected();
        if expected == 0 {
            return self.current().to_bits() == value.to_bits();
        }
        let mut next = *self;
        next.calm();
        next.current().to_bits() == value.to_bits()
            // An integer beyond what doubles tell apart would drift.
            && (next.is_raw() || next.value.wrapping_abs() <= MAX_EXACT)
    }

    /// A step was made, in units: both ways to expect it are judged.
    #[inline]
    fn learn(&mut self, step: i64) {
        let trend_step = self.trend_step();
        let off = step.wrapping_sub(trend_step);
        self.last_cost = moved(self.last_cost, bits_of(zigzag(step)));
        self.trend_cost = moved(self.trend_cost, bits_of(zigzag(off)));
        // Another pace, not a wave on the old one.
        if off.unsigned_abs() > trend_step.unsigned_abs() {
            self.trend = step.wrapping_shl(TREND_SHIFT);
        } else {
            let exact = step.wrapping_shl(TREND_SHIFT);
            self.trend = self.trend.wrapping_add(exact.wrapping_sub(self.trend) >> 3);
        }
    }

    /// Looks for what all steps share; a step in ones.
    #[inline]
    fn learn_divisor(&mut self, step: i64) {
        if self.divisor == 1 || step == 0 {
            return;
        }
        let size = step.unsigned_abs();
        if self.divisor == 0 {
            self.divisor = u32::try_from(size).unwrap_or(1);
            return;
        }
        let shared = gcd(u64::from(self.divisor), size);
        if shared != u64::from(self.divisor) {
            self.form &= !TRUST_MASK;
            self.divisor = u32::try_from(shared).unwrap_or(1);
            return;
        }
        self.form += 1 << TRUST_SHIFT;
        if self.trusts() {
            let unit = i64::from(self.divisor);
            self.trend /= unit;
            self.recost(unit, false);
        }
    }

    fn drop_divisor(&mut self, step: i64) {
        let unit = self.unit();
        self.trend = self.trend.wrapping_mul(unit);
        self.recost(unit, true);
        self.form &= !TRUST_MASK;
        let shared = gcd(u64::from(self.divisor), step.unsigned_abs());
        self.divisor = u32::try_from(shared).unwrap_or(1).max(1);
    }

    /// The step across a gap is not one of them.
    fn forget_steps(&mut self) {
        self.recost(self.unit(), true);
        self.form &= !TRUST_MASK;
        self.divisor = 0;
        self.trend = 0;
    }

    fn recost(&mut self, unit: i64, up: bool) {
        let change = u8::try_from(4 * unit.ilog2()).unwrap_or(u8::MAX);
        for cost in [&mut self.last_cost, &mut self.trend_cost] {
            *cost = if up { cost.saturating_add(change) } else { cost.saturating_sub(change) };
        }
    }

    /// Takes another form; the value in it.
    fn become_form(&mut self, exponent: u8, value: i64, cost: u32) {
        self.form = exponent;
        self.divisor = 0;
        self.trend = 0;
        self.value = value;
        let cost = u8::try_from(cost * 4).unwrap_or(u8::MAX);
        (self.last_cost, self.trend_cost) = (cost, cost);
    }

    /// What the value is counted from in another form.
    fn base(&self, exponent: u8) -> i64 {
        if exponent == RAW {
            return self.present().to_bits().cast_signed();
        }
        let up = exponent.checked_sub(self.exponent());
        match up.and_then(|up| INTEGER_POWERS.get(usize::from(up))) {
            Some(power) => self.value.wrapping_mul(*power),
            None => 0,
        }
    }
}

#[inline]
fn moved(cost: u8, bits: u32) -> u8 {
    let target = (bits * 4).min(255);
    #[expect(clippy::cast_possible_truncation, reason = "a mean of two bytes")]
    let cost = ((u32::from(cost) * 7 + target + 3) >> 3) as u8;
    cost
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
