//! A column of integers as its steps: differences of the order that varies least, around their
//! middle, in units of what divides all of them. What related columns have in common shows in
//! their steps.

use super::bytes::{Cursor, put_signed, put_varint};
use super::integers::common_divisor;
use super::residual::{WIDTHS, width};

/// How values and steps belong together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) order: usize,
    firsts: [i64; 2],
    base: i64,
    divisor: u64,
}

/// About how many bits numbers take when each is coded by itself.
pub(super) fn cost(values: impl Iterator<Item = i64>) -> f64 {
    let mut counts = [0u32; WIDTHS as usize];
    for value in values {
        counts[width(value) as usize] += 1;
    }
    let all = f64::from(counts.iter().sum::<u32>());
    let with = counts.iter().zip(0u32..).filter(|&(&count, _)| count > 0);
    with.map(|(&count, width)| {
        f64::from(count) * (f64::from(width) + (all / f64::from(count)).log2())
    })
    .sum()
}

impl Shape {
    /// The best shape of values, and their steps: as many as values, zero where there is none.
    pub(super) fn of(values: &[i64]) -> (Self, Vec<i64>) {
        let mut best: Option<(f64, Self, Vec<i64>)> = None;
        let mut differences = values.to_vec();
        let mut firsts = [0; 2];
        for order in 0..=2usize.min(values.len()) {
            if order > 0 {
                firsts[order - 1] = differences.first().copied().unwrap_or(0);
                for at in 1..differences.len() {
                    differences[at - 1] = differences[at].wrapping_sub(differences[at - 1]);
                }
                differences.pop();
            }
            if differences.is_empty() {
                break;
            }
            let mut sorted = differences.clone();
            let half = sorted.len() / 2;
            let base = *sorted.select_nth_unstable(half).1;
            let divisor = common_divisor(&differences);
            let shape = Self { order, firsts, base, divisor };
            let cost = cost(differences.iter().map(|&value| shape.step(value)));
            if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
                let mut steps = vec![0; order];
                steps.extend(differences.iter().map(|&value| shape.step(value)));
                best = Some((cost, shape, steps));
            }
        }
        best.map_or_else(
            || (Self { divisor: 1, ..Self::default() }, vec![0; values.len()]),
            |(_, shape, steps)| (shape, steps),
        )
    }

    fn step(self, difference: i64) -> i64 {
        let distance = difference.wrapping_sub(self.base);
        // A divisor above 1 is only there when distances do not wrap.
        if self.divisor == 1 { distance } else { distance / self.divisor.cast_signed() }
    }

    /// Turns steps into values, in place.
    pub(super) fn undo(self, steps: &mut [i64]) {
        let mut held = self.firsts;
        let scale = self.divisor.cast_signed();
        for (at, place) in steps.iter_mut().enumerate() {
            let difference = place.wrapping_mul(scale).wrapping_add(self.base);
            *place = match (self.order, at) {
                (0, _) => difference,
                (1, 0) | (2, 0) => held[0],
                (1, _) => {
                    held[0] = held[0].wrapping_add(difference);
                    held[0]
                }
                (_, 1) => {
                    held[0] = held[0].wrapping_add(held[1]);
                    held[0]
                }
                _ => {
                    held[1] = held[1].wrapping_add(difference);
                    held[0] = held[0].wrapping_add(held[1]);
                    held[0]
                }
            };
        }
    }

    pub(super) fn encode(self, out: &mut Vec<u8>) {
        for &first in &self.firsts[..self.order] {
            put_signed(first, out);
        }
        put_signed(self.base, out);
        put_varint(self.divisor, out);
    }

    pub(super) fn decode(cursor: &mut Cursor<'_>, order: usize) -> Option<Self> {
        let mut firsts = [0; 2];
        for first in firsts.get_mut(..order)? {
            *first = cursor.signed()?;
        }
        Some(Self { order, firsts, base: cursor.signed()?, divisor: cursor.varint()? })
    }
}
