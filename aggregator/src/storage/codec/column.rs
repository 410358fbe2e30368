//! One column as bytes. Values that are no decimals of the column's scale (the absent ones
//! above all) are taken out first, so that they do not disturb the rest; a column that is not
//! made of decimals is taken by its bits, in an order that follows the values.
//!
//! ```text
//!   1   form (2 bits): 0 packed, 1 mixed; +4 some values are taken out;
//!       upper half: scale of the decimals, 15 for bits
//!       when some are taken out:
//!       k   runs, LEB128, above two bits: 0 all of them are absent, 1 all are the same, 2 other
//!           values kept before each run, integers
//!           lengths of the runs, integers
//!           8 bytes if all are the same, 8 bytes for each if they are other
//!       what is left, in its form
//! ```

use sextant_proto::frame::ABSENT;

use super::bytes::{Cursor, put_varint};
use super::decimal::{LAST_SCALE, choose_scale, to_integer, to_value};
use super::integers::Integers;
use super::mixed::{self, Parsed, Sources};
use super::predict::Weights;
use super::steps::Shape;

const PACKED: u8 = 0;
const MIXED: u8 = 1;
const TAKEN_OUT: u8 = 4;
const BITS: usize = 15;
const ALL_ABSENT: u64 = 0;
const ALL_SAME: u64 = 1;
const OTHER: u64 = 2;

/// A column as integers and what was taken out of it.
#[derive(Default)]
pub(super) struct Split {
    /// 15 for bits.
    scale: usize,
    pub(super) kept: Vec<i64>,
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
        let first = self.values.first().copied().unwrap_or_default();
        let values = match self.values.iter().all(|&bits| bits == first) {
            true if first == ABSENT.to_bits() => ALL_ABSENT,
            true => ALL_SAME,
            false => OTHER,
        };
        put_varint((self.before.len() as u64) << 2 | values, out);
        integers.encode(&self.before, out);
        integers.encode(&self.lengths, out);
        let count = match values {
            ALL_ABSENT => 0,
            ALL_SAME => 1,
            _ => self.values.len(),
        };
        out.extend(self.values[..count].iter().flat_map(|bits| bits.to_le_bytes()));
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
        let runs = usize::try_from(head >> 2).ok().filter(|&runs| runs <= count)?;
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
        match head & 3 {
            ALL_ABSENT => self.values.resize(taken_out, ABSENT.to_bits()),
            ALL_SAME => {
                let word = cursor.take(8)?.try_into().expect("eight bytes");
                self.values.resize(taken_out, u64::from_le_bytes(word));
            }
            OTHER => {
                let (words, _) = cursor.take(taken_out * 8)?.as_chunks();
                self.values.extend(words.iter().map(|&word| u64::from_le_bytes(word)));
            }
            _ => return None,
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

impl Split {
    /// Splits a column, in place of what was split before.
    pub(super) fn of(&mut self, column: &[f64]) {
        let scale = choose_scale(column);
        self.scale = scale.unwrap_or(BITS);
        self.take(column, |value| match scale {
            Some(scale) => to_integer(value, scale),
            None => (value.to_bits() != ABSENT.to_bits()).then(|| ordered(value)),
        });
    }

    /// Takes out what has no integer.
    fn take(&mut self, column: &[f64], integer: impl Fn(f64) -> Option<i64>) {
        self.kept.clear();
        self.runs.clear();
        let mut kept_before = 0;
        let mut in_run = false;
        for &value in column {
            if let Some(integer) = integer(value) {
                self.kept.push(integer);
                in_run = false;
                continue;
            }
            if in_run {
                *self.runs.lengths.last_mut().expect("a run was begun") += 1;
            } else {
                let kept = self.kept.len();
                self.runs.before.push((kept - kept_before).try_into().expect("few values"));
                self.runs.lengths.push(1);
                kept_before = kept;
                in_run = true;
            }
            self.runs.values.push(value.to_bits());
        }
    }

    /// Whether it is all decimals, so that other columns can be compared tick by tick.
    pub(super) fn is_whole(&self) -> bool {
        self.scale != BITS && self.runs.before.is_empty()
    }

    fn put_head(&self, form: u8, integers: &mut Integers, out: &mut Vec<u8>) {
        let taken_out = if self.runs.before.is_empty() { 0 } else { TAKEN_OUT };
        let high = u8::try_from(self.scale << 4).expect("four bits");
        out.push(form | taken_out | high);
        if taken_out != 0 {
            self.runs.encode(integers, out);
        }
    }

    /// Appends it, packed.
    pub(super) fn put_packed(&self, integers: &mut Integers, out: &mut Vec<u8>) {
        self.put_head(PACKED, integers, out);
        integers.encode(&self.kept, out);
    }

    /// Appends it, with mixed predictions.
    pub(super) fn put_mixed(
        &self,
        integers: &mut Integers,
        (shape, steps): (Shape, &[i64]),
        weights: Option<&Weights>,
        sources: &Sources<'_>,
        out: &mut Vec<u8>,
    ) {
        self.put_head(MIXED, integers, out);
        mixed::encode(shape, steps, weights, sources, out);
    }

    fn put_values(&self, out: &mut Vec<f64>) -> Option<()> {
        let (mut kept, mut taken_out) = (&self.kept[..], &self.runs.values[..]);
        for (&before, &length) in self.runs.before.iter().zip(&self.runs.lengths) {
            let some;
            (some, kept) = kept.split_at_checked(usize::try_from(before).ok()?)?;
            extend(self.scale, some, out);
            let bits;
            (bits, taken_out) = taken_out.split_at_checked(usize::try_from(length).ok()?)?;
            out.extend(bits.iter().map(|&bits| f64::from_bits(bits)));
        }
        extend(self.scale, kept, out);
        Some(())
    }
}

fn extend(scale: usize, integers: &[i64], out: &mut Vec<f64>) {
    if scale == BITS {
        out.extend(integers.iter().map(|&integer| unordered(integer)));
    } else {
        out.extend(integers.iter().map(|&integer| to_value(integer, scale)));
    }
}

/// Reads columns; keeps its buffers.
#[derive(Default)]
pub(super) struct Columns {
    integers: Integers,
    split: Split,
}

/// A column that is read, up to where others may be needed.
pub(super) enum Half<'a> {
    /// Its integers are there.
    Whole,
    /// So many integers come from this and the steps of its sources.
    Mixed(usize, Parsed<'a>),
}

impl Columns {
    /// Reads the first half of a column of so many values; `None` when it is none.
    pub(super) fn begin<'a>(&mut self, bytes: &'a [u8], count: usize) -> Option<Half<'a>> {
        let mut cursor = Cursor::new(bytes);
        let head = cursor.byte()?;
        self.split.scale = usize::from(head >> 4);
        if self.split.scale > LAST_SCALE && self.split.scale != BITS {
            return None;
        }
        self.split.runs.clear();
        let mut kept = count;
        if head & TAKEN_OUT != 0 {
            kept -= self.split.runs.decode(&mut self.integers, &mut cursor, count)?;
        }
        match head & !(TAKEN_OUT | 0xf0) {
            PACKED => {
                self.integers.decode(&mut cursor, kept, &mut self.split.kept)?;
                cursor.is_empty().then_some(Half::Whole)
            }
            MIXED => Some(Half::Mixed(kept, Parsed::new(cursor.rest())?)),
            _ => None,
        }
    }

    /// The second half of a mixed column.
    pub(super) fn finish(&mut self, parsed: &Parsed<'_>, steps: Vec<i64>) {
        self.split.kept = parsed.values(steps);
    }

    /// Appends the values of the column that was read.
    pub(super) fn put_values(&self, out: &mut Vec<f64>) -> Option<()> {
        self.split.put_values(out)
    }

    /// Reads a packed column at one go.
    pub(super) fn decode_packed(
        &mut self,
        bytes: &[u8],
        count: usize,
        out: &mut Vec<f64>,
    ) -> Option<()> {
        match self.begin(bytes, count)? {
            Half::Whole => self.put_values(out),
            Half::Mixed(..) => None,
        }
    }
}

/// The steps of a whole mixed column that refers to none; `None` when it is another.
pub(super) fn mixed_steps(bytes: &[u8], count: usize) -> Option<Vec<i64>> {
    let (&head, bytes) = bytes.split_first()?;
    let parsed = Parsed::new(bytes)?;
    let is_plain = head & 0xf == MIXED && parsed.sources().is_empty();
    if is_plain { parsed.steps(count, &[]) } else { None }
}
