//! What a column's steps are expected to be: a weighted sum of its own last two and of the
//! steps of up to two other columns, now and one tick before. Weights are fitted when the
//! block is written and are integers over a power of two.

use super::bytes::{Cursor, put_signed, unzigzag};

/// Columns that one may refer to for its prediction.
pub(super) const MAX_SOURCES: usize = 2;
/// The constant and two steps of the column's own.
const OWN: usize = 3;
const MAX_TERMS: usize = OWN + 2 * MAX_SOURCES;
/// Bits of the largest weight.
const WEIGHT_BITS: i32 = 18;
const MAX_SHIFT: u32 = 40;
/// Steps so many times larger than is usual are not fitted.
const OUTLIER: f64 = 64.0;
/// Rounds of fitting, each weighing steps by how badly the last one predicted them.
const ROUNDS: usize = 4;

/// The weights of a prediction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Weights {
    /// A constant, two for the column's own steps, then two for each source.
    terms: Vec<i64>,
    shift: u32,
}

/// The step `back` ticks before; zero before the first.
fn before(steps: &[i64], at: usize, back: usize) -> i64 {
    at.checked_sub(back).map_or(0, |at| steps[at])
}

impl Weights {
    pub(super) fn is_none(&self) -> bool {
        self.terms.is_empty()
    }

    /// What the step at a tick should be, from those before it. Wraps: a bad prediction costs
    /// bytes, not values.
    #[inline]
    pub(super) fn predict(&self, own: &[i64], sources: &[&[i64]], at: usize) -> i64 {
        let Some((first, rest)) = self.terms.split_at_checked(OWN) else { return 0 };
        let mut sum = first[0].wrapping_add((1i64 << self.shift) >> 1);
        sum = sum.wrapping_add(first[1].wrapping_mul(before(own, at, 1)));
        sum = sum.wrapping_add(first[2].wrapping_mul(before(own, at, 2)));
        for (pair, source) in rest.chunks_exact(2).zip(sources) {
            sum = sum.wrapping_add(pair[0].wrapping_mul(source[at]));
            sum = sum.wrapping_add(pair[1].wrapping_mul(before(source, at, 1)));
        }
        sum >> self.shift
    }

    /// What is left of the steps.
    pub(super) fn residuals(&self, own: &[i64], sources: &[&[i64]], out: &mut Vec<i64>) {
        out.clear();
        if self.is_none() {
            return out.extend(own);
        }
        out.extend((0..own.len()).map(|at| own[at].wrapping_sub(self.predict(own, sources, at))));
    }

    /// Weights that leave little at these ticks; `None` where there are none.
    pub(super) fn fit(
        own: &[i64],
        sources: &[&[i64]],
        ticks: impl Iterator<Item = usize> + Clone,
    ) -> Option<Self> {
        let count = OWN + 2 * sources.len();
        let mut weights = [0f64; MAX_TERMS];
        let typical: [f64; MAX_SOURCES + 1] = std::array::from_fn(|place| match place {
            0 => usual(ticks.clone().map(|at| own[at])),
            _ => sources.get(place - 1).map_or(0.0, |s| usual(ticks.clone().map(|at| s[at]))),
        });
        let most = typical.map(|typical| typical * OUTLIER);
        // Far outliers, as where counters start again, would leave nothing to the rest.
        let is_usual = |at: &usize| {
            let [own_most, source_most @ ..] = most;
            let is_near = |step: i64, most: f64| to_f64(step).abs() <= most;
            is_near(own[*at], own_most)
                && is_near(before(own, *at, 1), own_most)
                && is_near(before(own, *at, 2), own_most)
                && sources.iter().zip(source_most).all(|(source, most)| {
                    is_near(source[*at], most) && is_near(before(source, *at, 1), most)
                })
        };
        let ticks = ticks.filter(is_usual);
        let mut scale = typical[0];
        for round in 0..ROUNDS {
            let mut normal = [[0f64; MAX_TERMS + 1]; MAX_TERMS];
            let mut misses = 0.0;
            for at in ticks.clone() {
                let terms = terms(own, sources, at);
                let wanted = to_f64(own[at]);
                let got: f64 = terms.iter().zip(&weights).map(|(t, w)| t * w).sum();
                let miss = (wanted - got).abs();
                misses += miss.min(scale * 4.0);
                let trust = 1.0 / miss.max(scale * 0.3 + 0.3);
                for row in 0..count {
                    for column in row..count {
                        normal[row][column] += trust * terms[row] * terms[column];
                    }
                    normal[row][MAX_TERMS] += trust * terms[row] * wanted;
                }
            }
            if round > 0 {
                scale = misses / ticks.clone().count().max(1) as f64;
            }
            solve(&mut normal, count, &mut weights)?;
        }
        Self::rounded(&weights[..count])
    }

    #[expect(clippy::cast_possible_truncation, reason = "bounded by the shift chosen for it")]
    fn rounded(weights: &[f64]) -> Option<Self> {
        let largest = weights[1..].iter().fold(0f64, |most, weight| most.max(weight.abs()));
        if !(1e-9..=1e9).contains(&largest) || weights[0].abs() > 1e12 {
            return None;
        }
        let shift =
            (WEIGHT_BITS - 1 - largest.log2().floor() as i32).clamp(0, MAX_SHIFT.cast_signed());
        let unit = 2f64.powi(shift);
        let terms = weights.iter().map(|weight| (weight * unit).round() as i64).collect();
        Some(Self { terms, shift: shift.unsigned_abs() })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let sources = (self.terms.len() - OWN) / 2;
        out.push(u8::try_from(self.shift as usize | (sources << 6)).expect("at most 40 and 2"));
        for &term in &self.terms {
            put_signed(term, out);
        }
    }

    /// Reads weights of at most so many sources.
    pub(super) fn decode(cursor: &mut Cursor<'_>, most: usize) -> Option<Self> {
        let head = cursor.byte()?;
        let (shift, sources) = (u32::from(head & 63), usize::from(head >> 6));
        if shift > MAX_SHIFT || sources > most {
            return None;
        }
        let terms = (0..OWN + 2 * sources).map(|_| cursor.varint().map(unzigzag));
        Some(Self { terms: terms.collect::<Option<_>>()?, shift })
    }
}

fn to_f64(step: i64) -> f64 {
    step as f64
}

/// How large numbers usually are: nine of ten are not larger; the mean where those are zero.
pub(super) fn usual(values: impl Iterator<Item = i64>) -> f64 {
    let mut sizes: Vec<u64> = values.map(i64::unsigned_abs).collect();
    if sizes.is_empty() {
        return 0.0;
    }
    let at = sizes.len() * 9 / 10;
    match *sizes.select_nth_unstable(at).1 {
        0 => sizes.iter().map(|&size| size as f64).sum::<f64>() / sizes.len() as f64,
        size => size as f64,
    }
}

#[inline]
fn terms(own: &[i64], sources: &[&[i64]], at: usize) -> [f64; MAX_TERMS] {
    let mut terms = [0.0; MAX_TERMS];
    terms[0] = 1.0;
    terms[1] = to_f64(before(own, at, 1));
    terms[2] = to_f64(before(own, at, 2));
    for (place, source) in sources.iter().enumerate() {
        terms[OWN + 2 * place] = to_f64(source[at]);
        terms[OWN + 2 * place + 1] = to_f64(before(source, at, 1));
    }
    terms
}

/// Solves the symmetric equations whose upper half is given.
fn solve(
    normal: &mut [[f64; MAX_TERMS + 1]; MAX_TERMS],
    count: usize,
    weights: &mut [f64; MAX_TERMS],
) -> Option<()> {
    for row in 0..count {
        // A little on the diagonal: terms that are always zero, or the same, get no weight.
        normal[row][row] = normal[row][row] * (1.0 + 1e-12) + 1e-9;
        let (above, below) = normal.split_at_mut(row + 1);
        for (lower, wanted) in below.iter_mut().zip(&above[row][row + 1..count]) {
            lower[row] = *wanted;
        }
    }
    for pivot in 0..count {
        let best = (pivot..count)
            .max_by(|&a, &b| normal[a][pivot].abs().total_cmp(&normal[b][pivot].abs()))?;
        normal.swap(pivot, best);
        let head = normal[pivot];
        if !head[pivot].is_normal() {
            return None;
        }
        for row in &mut normal[pivot + 1..count] {
            let factor = row[pivot] / head[pivot];
            for (cell, above) in row.iter_mut().zip(head) {
                *cell -= factor * above;
            }
        }
    }
    for row in (0..count).rev() {
        let known: f64 = (row + 1..count).map(|column| normal[row][column] * weights[column]).sum();
        weights[row] = (normal[row][MAX_TERMS] - known) / normal[row][row];
    }
    Some(())
}
