//! The codes of one value: what [`Series::write`] writes, [`Series::read`] reads, and both move
//! the series by it in the same way.
//!
//! ```text
//! Rice code      the difference from what is expected, in the series' divisor
//! ten ones, then two bits
//!   0 long       the same, six bits of length and the number
//!   1 scale      five bits of exponent, 31 for a double's bits; a long number
//!   2 presence   a bit: 0 absent from now on; 1 there again, then a bit and a long number, or
//!                exponent and number as in a scale
//!   3 divisor    a step that the divisor does not divide, a long number
//! ```

use super::super::ABSENT;
use super::super::bits::{BitReader, BitWriter, MAX_QUOTIENT};
use super::decimal::{MAX_EXPONENT, scaled};
use super::{ABSENT_BIT, Habit, RAW, Series, bits_of, unzigzag, zigzag};

const LONG: u64 = 0;
const SCALE: u64 = 1;
const PRESENCE: u64 = 2;
const NO_DIVISOR: u64 = 3;

impl Series {
    /// Writes a surprise and moves to it; or, for a busy series, any value.
    pub(in crate::frame) fn write(&mut self, value: f64, out: &mut BitWriter, wants_decimal: bool) {
        let busy = self.habit() == Habit::Busy;
        self.history <<= 1;
        if value.to_bits() == ABSENT.to_bits() {
            // Only a busy one that is absent already comes here with nothing new.
            escape(out, PRESENCE);
            out.put(0, 1);
            self.history |= u8::from(!self.is_absent());
            self.form |= ABSENT_BIT;
            return;
        }
        if self.is_absent() {
            escape(out, PRESENCE);
            out.put(1, 1);
            self.form &= !ABSENT_BIT;
            self.history |= 1;
            match self.same_form(value, wants_decimal) {
                Some(number) => {
                    out.put(0, 1);
                    put_long(out, zigzag(number.wrapping_sub(self.value)));
                    self.value = number;
                }
                None => {
                    out.put(1, 1);
                    self.write_form(value, out);
                }
            }
            self.forget_steps();
            return;
        }
        let Some(number) = self.same_form(value, wants_decimal) else {
            escape(out, SCALE);
            self.history |= 1;
            self.write_form(value, out);
            return;
        };
        let step = number.wrapping_sub(self.value);
        let mut units = step;
        if self.trusts() {
            let unit = self.unit();
            if step % unit != 0 {
                escape(out, NO_DIVISOR);
                put_long(out, zigzag(step));
                self.history |= 1;
                self.drop_divisor(step);
                self.learn(step);
                self.value = number;
                return;
            }
            units = step / unit;
        }
        let off = zigzag(units.wrapping_sub(self.expected()));
        // One that is not busy never writes 0: that is no surprise.
        debug_assert!(busy || off > 0, "a calm series writes what it does not expect");
        let code = if busy { off } else { off.wrapping_sub(1) };
        if !out.rice(code, self.width()) {
            escape(out, LONG);
            put_long(out, code);
        }
        self.moved_by(units, step, off);
        self.value = number;
    }

    #[inline]
    fn moved_by(&mut self, units: i64, step: i64, off: u64) {
        self.history |= u8::from(off != 0);
        self.learn(units);
        if !self.trusts() {
            self.learn_divisor(step);
        }
    }

    /// The value as a number of the form that the series has.
    #[inline]
    fn same_form(&self, value: f64, wants_decimal: bool) -> Option<i64> {
        if self.is_raw() {
            return (!wants_decimal).then(|| value.to_bits().cast_signed());
        }
        scaled(value, self.exponent())
    }

    fn write_form(&mut self, value: f64, out: &mut BitWriter) {
        // A series keeps the digits that it had: fewer are the exception.
        let from = if self.is_raw() { 0 } else { self.exponent() + 1 };
        let all = (from..=MAX_EXPONENT).chain(0..from.min(MAX_EXPONENT));
        let found = all.into_iter().find_map(|e| scaled(value, e).map(|number| (e, number)));
        let (exponent, number) = found.unwrap_or((RAW, value.to_bits().cast_signed()));
        let code = zigzag(number.wrapping_sub(self.base(exponent)));
        out.put(u64::from(exponent), 5);
        put_long(out, code);
        self.become_form(exponent, number, bits_of(code));
    }

    fn read_form(&mut self, input: &mut BitReader<'_>) -> Option<()> {
        #[expect(clippy::cast_possible_truncation, reason = "five bits")]
        let exponent = input.take(5) as u8;
        if exponent > MAX_EXPONENT && exponent != RAW {
            return None;
        }
        let code = take_long(input);
        let number = unzigzag(code).wrapping_add(self.base(exponent));
        self.become_form(exponent, number, bits_of(code));
        Some(())
    }

    /// Reads what [`Series::write`] wrote; `None` when that cannot have been.
    #[inline]
    pub(in crate::frame) fn read(&mut self, input: &mut BitReader<'_>) -> Option<()> {
        let busy = self.habit() == Habit::Busy;
        let Some(code) = input.rice(self.width()) else {
            return self.read_escape(input, busy);
        };
        if self.is_absent() {
            return None;
        }
        self.history <<= 1;
        self.read_step(code, busy);
        Some(())
    }

    #[inline]
    fn read_step(&mut self, code: u64, busy: bool) {
        let off = if busy { code } else { code.wrapping_add(1) };
        let units = unzigzag(off).wrapping_add(self.expected());
        let step = units.wrapping_mul(self.unit());
        self.value = self.value.wrapping_add(step);
        self.moved_by(units, step, off);
    }

    #[cold]
    fn read_escape(&mut self, input: &mut BitReader<'_>, busy: bool) -> Option<()> {
        self.history <<= 1;
        let what = input.take(2);
        if what == PRESENCE {
            if input.take(1) == 0 {
                self.history |= u8::from(!self.is_absent());
                self.form |= ABSENT_BIT;
                return Some(());
            }
            if !self.is_absent() {
                return None;
            }
            self.form &= !ABSENT_BIT;
            self.history |= 1;
            if input.take(1) == 0 {
                self.value = self.value.wrapping_add(unzigzag(take_long(input)));
            } else {
                self.read_form(input)?;
            }
            self.forget_steps();
            return Some(());
        }
        if self.is_absent() {
            return None;
        }
        match what {
            LONG => {
                let code = take_long(input);
                self.read_step(code, busy);
            }
            SCALE => {
                self.history |= 1;
                self.read_form(input)?;
            }
            _ => {
                let step = unzigzag(take_long(input));
                if !self.trusts() {
                    return None;
                }
                self.history |= 1;
                self.drop_divisor(step);
                self.learn(step);
                self.value = self.value.wrapping_add(step);
            }
        }
        Some(())
    }
}

fn escape(out: &mut BitWriter, what: u64) {
    out.put((1 << MAX_QUOTIENT) - 1, MAX_QUOTIENT);
    out.put(what, 2);
}

fn put_long(out: &mut BitWriter, number: u64) {
    let length = bits_of(number).max(1);
    out.put(u64::from(length - 1), 6);
    out.put_wide(number, length);
}

fn take_long(input: &mut BitReader<'_>) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "six bits")]
    let length = input.take(6) as u32 + 1;
    input.take_wide(length)
}
