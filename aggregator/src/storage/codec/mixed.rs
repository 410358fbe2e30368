//! The form of columns that are kept for long: steps, less what is predicted from the column
//! itself and from others of the block, coded with mixed predictions.
//!
//! ```text
//!   1   order of the steps (2 bits), +4 weights follow, columns referred to (from 3 on, 2 bits)
//!       shape: first values, base, divisor
//!   k   each column referred to, LEB128: it must have this form and refer to none
//!       weights
//!   1   least width but zero, +128 some are zero; 0 all are zero and nothing follows
//!   1   largest width
//!   k   bytes of the predicted bits, LEB128
//!       predicted bits, raw bits
//! ```

use super::bytes::{Cursor, put_varint};
use super::coder::{Decoder, Encoder};
use super::predict::{MAX_SOURCES, Weights};
use super::residual::{Residuals, Widths};
use super::steps::Shape;

const WEIGHTS: u8 = 4;
const HAS_ZERO: u8 = 128;

/// Columns that a column is coded with: the first also tells how much to expect at each tick.
pub(super) struct Sources<'a> {
    pub(super) indices: &'a [u32],
    pub(super) steps: &'a [&'a [i64]],
}

/// Appends steps as this form.
pub(super) fn encode(
    shape: Shape,
    steps: &[i64],
    weights: Option<&Weights>,
    sources: &Sources<'_>,
    out: &mut Vec<u8>,
) {
    let order = u8::try_from(shape.order).expect("at most 2");
    let count = u8::try_from(sources.indices.len()).expect("few sources");
    out.push(order | if weights.is_some() { WEIGHTS } else { 0 } | (count << 3));
    shape.encode(out);
    for &index in sources.indices {
        put_varint(index.into(), out);
    }
    let mut residuals = Vec::new();
    match weights {
        Some(weights) => {
            weights.encode(out);
            weights.residuals(steps, sources.steps, &mut residuals);
        }
        None => residuals.extend(steps),
    }
    let residuals = &residuals[shape.order.min(residuals.len())..];
    if residuals.iter().all(|&residual| residual == 0) {
        return out.push(0);
    }
    let widths = Widths::of(residuals);
    let byte = |width: u32| u8::try_from(width).expect("at most 64");
    out.push(byte(widths.least) | if widths.has_zero { HAS_ZERO } else { 0 });
    out.push(byte(widths.most));
    let mut coder = Encoder::new();
    let mut model = Residuals::new(widths);
    for (at, &residual) in residuals.iter().enumerate() {
        let beside = sources.steps.first().map_or(0, |steps| steps[at + shape.order]);
        model.code(&mut coder, residual, beside);
    }
    let (predicted, raw) = coder.finish();
    put_varint(predicted.len() as u64, out);
    out.extend(predicted);
    out.extend(raw);
}

/// A column of this form, before the columns it refers to are known.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    shape: Shape,
    sources: [u32; MAX_SOURCES],
    count: usize,
    weights: Option<Weights>,
    widths: Option<Widths>,
    predicted: &'a [u8],
    raw: &'a [u8],
}

impl<'a> Parsed<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let flags = cursor.byte()?;
        let (order, count) = (usize::from(flags & 3), usize::from(flags >> 3));
        if order > 2 || count > MAX_SOURCES {
            return None;
        }
        let shape = Shape::decode(&mut cursor, order)?;
        let mut sources = [0; MAX_SOURCES];
        for source in &mut sources[..count] {
            *source = u32::try_from(cursor.varint()?).ok()?;
        }
        let weights =
            if flags & WEIGHTS == 0 { None } else { Some(Weights::decode(&mut cursor, count)?) };
        let least = cursor.byte()?;
        let mut parsed =
            Self { shape, sources, count, weights, widths: None, predicted: &[], raw: &[] };
        if least != 0 {
            let has_zero = least & HAS_ZERO != 0;
            let (least, most) = (u32::from(least & !HAS_ZERO), u32::from(cursor.byte()?));
            if least == 0 || least > most || most > 64 {
                return None;
            }
            parsed.widths = Some(Widths { has_zero, least, most });
            let predicted = cursor.count(bytes.len())?;
            parsed.predicted = cursor.take(predicted)?;
            parsed.raw = cursor.rest();
        }
        cursor.is_empty().then_some(parsed)
    }

    pub(super) fn sources(&self) -> &[u32] {
        &self.sources[..self.count]
    }

    /// The steps of so many values, when the steps of the sources are those.
    pub(super) fn steps(&self, count: usize, sources: &[&[i64]]) -> Option<Vec<i64>> {
        if self.shape.order > count || sources.iter().any(|source| source.len() != count) {
            return None;
        }
        let mut steps = Vec::with_capacity(count);
        steps.resize(self.shape.order, 0);
        let mut model = self.widths.map(Residuals::new);
        let mut coder = Decoder::new(self.predicted, self.raw);
        for at in self.shape.order..count {
            let beside = sources.first().map_or(0, |source| source[at]);
            let residual = model.as_mut().map_or(0, |model| model.code(&mut coder, 0, beside));
            let expected =
                self.weights.as_ref().map_or(0, |weights| weights.predict(&steps, sources, at));
            steps.push(residual.wrapping_add(expected));
        }
        Some(steps)
    }

    /// Values of steps.
    pub(super) fn values(&self, mut steps: Vec<i64>) -> Vec<i64> {
        self.shape.undo(&mut steps);
        steps
    }
}
