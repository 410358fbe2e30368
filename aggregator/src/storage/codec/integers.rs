//! Integers as differences of order 0, 1 or 2, shifted to a base, divided by what divides all
//! of them, packed. All arithmetic wraps, so any 64-bit pattern comes back.
//!
//! ```text
//!   1   order (2 bits), +4 residuals are zigzag around the base, +8 a divisor follows
//!   k   the first value of each order below, zigzag LEB128
//!   k   base, zigzag LEB128
//!   k   divisor, LEB128
//!       residuals, packed
//! ```

use super::bytes::{Cursor, put_signed, put_varint, unzigzag, zigzag};
use super::pack::{pack, packed_size, unpack};

const ZIGZAG: u8 = 4;
const DIVISOR: u8 = 8;

/// How residuals are made of differences.
#[derive(Clone, Copy)]
struct Shape {
    is_zigzag: bool,
    base: i64,
    divisor: u64,
}

/// Buffers that are kept between columns.
#[derive(Default)]
pub(super) struct Integers {
    orders: [Vec<i64>; 3],
    residuals: Vec<u64>,
    best: Vec<u64>,
    middle: Vec<i64>,
}

/// Turns values into differences, the first value stays.
fn difference(values: &[i64], out: &mut Vec<i64>) {
    out.clear();
    out.extend(values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// What divides the distance of all values from the first.
fn common_divisor(values: &[i64]) -> u64 {
    let (Some(&first), Some(&min), Some(&max)) =
        (values.first(), values.iter().min(), values.iter().max())
    else {
        return 1;
    };
    if max.checked_sub(min).is_none() {
        return 1;
    }
    let mut divisor = 0;
    for &value in values {
        let distance = value.abs_diff(first);
        if divisor == 0 || distance % divisor != 0 {
            divisor = gcd(divisor, distance);
            if divisor == 1 {
                return 1;
            }
        }
    }
    divisor.max(1)
}

impl Shape {
    fn apply(self, values: &[i64], out: &mut Vec<u64>) {
        out.clear();
        let divisor = self.divisor;
        let distances = values.iter().map(|value| value.wrapping_sub(self.base));
        match (self.is_zigzag, divisor) {
            (false, 1) => out.extend(distances.map(i64::cast_unsigned)),
            (false, _) => out.extend(distances.map(|d| d.cast_unsigned() / divisor)),
            (true, 1) => out.extend(distances.map(zigzag)),
            (true, _) => out.extend(distances.map(|d| {
                let quotient = d.unsigned_abs() / divisor;
                zigzag(if d < 0 { -quotient.cast_signed() } else { quotient.cast_signed() })
            })),
        }
    }

    fn undo(self, residual: u64) -> i64 {
        let steps = if self.is_zigzag { unzigzag(residual) } else { residual.cast_signed() };
        self.base.wrapping_add(steps.wrapping_mul(self.divisor.cast_signed()))
    }
}

impl Integers {
    /// Appends the smallest form of the values.
    pub(super) fn encode(&mut self, values: &[i64], out: &mut Vec<u8>) {
        let Self { orders, residuals, best, middle } = self;
        let [zero, one, two] = orders;
        zero.clear();
        zero.extend(values);
        difference(values, one);
        difference(one, two);
        let mut best_size = usize::MAX;
        let mut chosen = (0, Shape { is_zigzag: false, base: 0, divisor: 1 });
        for (order, differences) in (0u8..).zip([&*zero, &*one, &*two]) {
            if order > 0 && differences.is_empty() {
                break;
            }
            let divisor = common_divisor(differences);
            let min = differences.iter().copied().min().unwrap_or(0);
            middle.clear();
            middle.extend(differences);
            let half = middle.len() / 2;
            let median = if middle.is_empty() { 0 } else { *middle.select_nth_unstable(half).1 };
            for (is_zigzag, base) in [(false, min), (true, median)] {
                let shape = Shape { is_zigzag, base, divisor };
                shape.apply(differences, residuals);
                let size = packed_size(residuals) + usize::from(order) * 4;
                if size < best_size {
                    best_size = size;
                    chosen = (order, shape);
                    std::mem::swap(residuals, best);
                }
            }
        }
        let (order, shape) = chosen;
        let has_divisor = shape.divisor != 1;
        out.push(
            order
                | if shape.is_zigzag { ZIGZAG } else { 0 }
                | if has_divisor { DIVISOR } else { 0 },
        );
        for differences in orders.iter().take(order.into()) {
            put_signed(differences.first().copied().unwrap_or(0), out);
        }
        put_signed(shape.base, out);
        if has_divisor {
            put_varint(shape.divisor, out);
        }
        pack(best, out);
    }

    /// Reads so many values; `None` when they are not there.
    pub(super) fn decode(
        &mut self,
        cursor: &mut Cursor<'_>,
        count: usize,
        out: &mut Vec<i64>,
    ) -> Option<()> {
        let flags = cursor.byte()?;
        let order = usize::from(flags & 3);
        if order > 2 || order > count || flags > 15 {
            return None;
        }
        let mut firsts = [0; 2];
        for first in &mut firsts[..order] {
            *first = cursor.signed()?;
        }
        let base = cursor.signed()?;
        let divisor = if flags & DIVISOR == 0 { 1 } else { cursor.varint()? };
        let shape = Shape { is_zigzag: flags & ZIGZAG != 0, base, divisor };
        unpack(cursor, count - order, &mut self.residuals)?;
        out.clear();
        out.reserve(count);
        let steps = self.residuals.iter().map(|&residual| shape.undo(residual));
        match order {
            0 => out.extend(steps),
            1 => {
                let mut value = firsts[0];
                out.push(value);
                out.extend(steps.map(|step| {
                    value = value.wrapping_add(step);
                    value
                }));
            }
            _ => {
                let [mut value, mut slope] = firsts;
                out.push(value);
                value = value.wrapping_add(slope);
                out.push(value);
                out.extend(steps.map(|step| {
                    slope = slope.wrapping_add(step);
                    value = value.wrapping_add(slope);
                    value
                }));
            }
        }
        Some(())
    }
}
