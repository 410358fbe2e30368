//! One column as bytes. Values that are no decimals of the column's scale (the absent ones
//! above all) are taken out first, so that they do not disturb the rest; a column that is not
//! made of decimals is taken by its bits, in an order that follows the values.
//!
//! ```text
//!   1   form (2 bits): 0 decimals, 1 bits, 2 pco of bits, 3 pco of decimals;
//!       +4 some are taken out; upper half: exponent
//!       when some are taken out:
//!       k   runs, LEB128, +1 bit (lowest) when all of them are absent
//!           values kept before each run, integers
//!           lengths of the runs, integers
//!           8 bytes for each value unless all are absent
//!       integers of what is left
//! ```

use sextant_proto::frame::ABSENT;

use super::bytes::{Cursor, put_varint};
use super::decimal::{choose_exponent, to_integer, to_value};
use super::integers::Integers;

const DECIMALS: u8 = 0;
const BITS: u8 = 1;
const TAKEN_OUT: u8 = 4;

/// Writes and reads columns; keeps its buffers.
#[derive(Default)]
pub(super) struct Columns {
    integers: Integers,
    kept: Vec<i64>,
    runs: Runs,
}

/// What was taken out of a column.
#[derive(Default)]
struct Runs {
    before: Vec<i64>,
    lengths: Vec<i64>,
    values: Vec<u64>,
}

impl Runs {
    fn clear(&mut self) {
        self.before.clear();
        self.lengths.clear();
        self.values.clear();
    }

    fn encode(&self, integers: &mut Integers, out: &mut Vec<u8>) {
        let all_absent = self.values.iter().all(|&bits| bits == ABSENT.to_bits());
        put_varint((self.before.len() as u64) << 1 | u64::from(all_absent), out);
        integers.encode(&self.before, out);
        integers.encode(&self.lengths, out);
        if !all_absent {
            out.extend(self.values.iter().flat_map(|bits| bits.to_le_bytes()));
        }
    }

    /// Reads the runs of a column of so many values; gives the number of values taken out.
    fn decode(
        &mut self,
        integers: &mut Integers,
        cursor: &mut Cursor<'_>,
        count: usize,
    ) -> Option<usize> {
        self.clear();
        let head = cursor.varint()?;
        let runs = usize::try_from(head >> 1).ok().filter(|&runs| runs <= count)?;
        integers.decode(cursor, runs, &mut self.before)?;
        integers.decode(cursor, runs, &mut self.lengths)?;
        let mut taken_out = 0;
        let mut kept = 0;
        for (&before, &length) in self.before.iter().zip(&self.lengths) {
            kept += usize::try_from(before).ok().filter(|&before| before <= count)?;
            taken_out += usize::try_from(length).ok().filter(|&length| length <= count)?;
            if kept + taken_out > count {
                return None;
            }
        }
        if head & 1 == 1 {
            self.values.resize(taken_out, ABSENT.to_bits());
        } else {
            let (words, _) = cursor.take(taken_out * 8)?.as_chunks();
            self.values.extend(words.iter().map(|&word| u64::from_le_bytes(word)));
        }
        Some(taken_out)
    }
}

/// Bits in the order of the values: of neighbours, the difference is small.
fn ordered(value: f64) -> i64 {
    let bits = value.to_bits().cast_signed();
    bits ^ (bits >> 63).cast_unsigned().wrapping_shr(1).cast_signed()
}

fn unordered(bits: i64) -> f64 {
    f64::from_bits(
        (bits ^ (bits >> 63).cast_unsigned().wrapping_shr(1).cast_signed()).cast_unsigned(),
    )
}

impl Columns {
    pub(super) fn encode(&mut self, column: &[f64], out: &mut Vec<u8>) {
        let exponent = choose_exponent(column);
        self.split(column, |value| match exponent {
            Some(exponent) => to_integer(value, exponent),
            None => (value.to_bits() != ABSENT.to_bits()).then(|| ordered(value)),
        });
        let form = if exponent.is_some() { DECIMALS } else { BITS };
        let taken_out = if self.runs.before.is_empty() { 0 } else { TAKEN_OUT };
        let high = u8::try_from(exponent.unwrap_or(0)).expect("at most 9") << 4;
        out.push(form | taken_out | high);
        if taken_out != 0 {
            self.runs.encode(&mut self.integers, out);
        }
        self.integers.encode(&self.kept, out);
    }

    /// Takes out what has no integer.
    fn split(&mut self, column: &[f64], integer: impl Fn(f64) -> Option<i64>) {
        self.kept.clear();
        self.runs.clear();
        let mut run_start = 0;
        let mut kept_before = 0;
        for &value in column {
            if let Some(integer) = integer(value) {
                self.kept.push(integer);
                continue;
            }
            let kept = self.kept.len();
            if run_start == self.runs.values.len() && run_start > 0 && kept == kept_before {
                *self.runs.lengths.last_mut().expect("a run was begun") += 1;
            } else {
                self.runs.before.push((kept - kept_before).try_into().expect("few values"));
                self.runs.lengths.push(1);
                kept_before = kept;
            }
            self.runs.values.push(value.to_bits());
            run_start = self.runs.values.len();
        }
    }

    /// Appends so many values of a column that was encoded; `None` when it is none.
    pub(super) fn decode(&mut self, bytes: &[u8], count: usize, out: &mut Vec<f64>) -> Option<()> {
        let mut cursor = Cursor::new(bytes);
        let head = cursor.byte()?;
        let (form, exponent) = (head & 3, usize::from(head >> 4));
        if exponent > super::decimal::MAX_EXPONENT || head & 8 != 0 {
            return None;
        }
        self.runs.clear();
        let mut kept = count;
        if head & TAKEN_OUT != 0 {
            kept -= self.runs.decode(&mut self.integers, &mut cursor, count)?;
        }
        self.integers.decode(&mut cursor, kept, &mut self.kept)?;
        if !cursor.is_empty() {
            return None;
        }
        let (mut kept, mut taken_out) = (&self.kept[..], &self.runs.values[..]);
        for (&before, &length) in self.runs.before.iter().zip(&self.runs.lengths) {
            let some;
            (some, kept) = kept.split_at_checked(usize::try_from(before).ok()?)?;
            extend(form, exponent, some, out)?;
            let bits;
            (bits, taken_out) = taken_out.split_at_checked(usize::try_from(length).ok()?)?;
            out.extend(bits.iter().map(|&bits| f64::from_bits(bits)));
        }
        extend(form, exponent, kept, out)
    }
}

fn extend(form: u8, exponent: usize, integers: &[i64], out: &mut Vec<f64>) -> Option<()> {
    match form {
        DECIMALS if exponent == 0 => out.extend(integers.iter().map(|&i| to_value(i, 0))),
        DECIMALS => out.extend(integers.iter().map(|&i| to_value(i, exponent))),
        BITS => out.extend(integers.iter().map(|&i| unordered(i))),
        _ => return None,
    }
    Some(())
}
