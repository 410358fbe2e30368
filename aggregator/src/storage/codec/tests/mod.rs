//! Columns of every kind, and what the tests share.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "numbers of a seed, cut to size"
)]

mod damage;
mod golden;
mod reads;
mod rollups;
mod values;

use sextant_proto::frame::ABSENT;

use super::*;

/// Numbers from a seed.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, bound: u64) -> f64 {
        (self.next() % bound) as f64
    }
}

/// Values that no arithmetic may touch.
const ODD: [f64; 12] = [
    -0.0,
    0.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::from_bits(0x7ff8_dead_beef_0001),
    f64::from_bits(0xfff0_0000_0000_0001),
    f64::MIN_POSITIVE / 8.0,
    9_007_199_254_740_991.0,
    -9_007_199_254_740_992.0,
    9_007_199_254_740_994.0,
    f64::MAX,
    ABSENT,
];

/// A counter whose steps vary, now and then not at all, and which starts again.
fn counter(seeded: &mut Seeded, ticks: usize) -> Vec<f64> {
    let mut total = seeded.below(1 << 40);
    let values = (0..ticks).map(|tick| {
        if tick % 97 == 96 {
            total = 0.0;
        }
        total += if tick % 5 == 0 { 0.0 } else { seeded.below(4000) };
        total
    });
    values.collect()
}

/// A column of each kind.
fn columns(seed: u64, ticks: usize) -> Vec<Vec<f64>> {
    let mut seeded = Seeded(seed);
    let first = counter(&mut seeded, ticks);
    let second = counter(&mut seeded, ticks);
    let map = |values: &[f64], change: &mut dyn FnMut(usize, f64) -> f64| -> Vec<f64> {
        values.iter().enumerate().map(|(tick, &value)| change(tick, value)).collect()
    };
    let sum = map(&first, &mut |tick, value| value + second[tick]);
    let mut columns = vec![
        vec![ABSENT; ticks],
        vec![-0.0; ticks],
        map(&first, &mut |_, value| value * 4096.0),
        map(&first, &mut |_, value| value * 1.5 + 7.0),
        map(&first, &mut |_, value| 1e15 - value),
        map(&first, &mut |_, value| value / 1e9),
        map(&sum, &mut |tick, value| if tick % 3 == 0 { ABSENT } else { value }),
        map(&sum, &mut |tick, value| if tick < 20 { ABSENT } else { value }),
        map(&sum, &mut |_, value| (value / 100.0).sin()),
        map(&sum, &mut |_, value| f64::from((value as f32).sqrt())),
        map(&sum, &mut |tick, value| if tick % 50 == 49 { -0.0 } else { value / 65_536e9 }),
        map(&sum, &mut |tick, _| ODD[tick % ODD.len()]),
        map(&sum, &mut |tick, _| (tick / 7) as f64),
    ];
    columns.push((0..ticks).map(|_| f64::from_bits(seeded.next())).collect());
    columns.push((0..ticks).map(|_| ODD[seeded.next() as usize % ODD.len()]).collect());
    columns.push((0..ticks).map(|_| seeded.below(1 << 54) - 1e15).collect());
    columns.push((0..ticks).map(|_| seeded.below(100) / 100.0).collect());
    for exponent in 0..10 {
        columns.push((0..ticks).map(|_| seeded.below(1 << 20) / 10f64.powi(exponent)).collect());
    }
    for factor in [1e-3, 1e-6] {
        columns.push(map(&first, &mut |_, value| value * factor));
    }
    columns.push(map(&first, &mut |_, value| value / 1000.0 / 1000.0));
    columns.push(map(&second, &mut |_, value| value / 65_536.0 * 1e-9));
    columns.extend([first, second, sum]);
    columns
}

/// Ticks with and without jitter.
fn ticks(seed: u64, count: usize) -> Vec<i64> {
    let mut seeded = Seeded(seed);
    let jitter = seed % 3;
    let tick = (0..count)
        .map(|t| 1_700_000_000_000 + t as i64 * 1000 + (seeded.next() % (jitter * 5 + 1)) as i64);
    tick.collect()
}

fn bits(columns: &[Vec<f64>]) -> Vec<Vec<u64>> {
    columns.iter().map(|c| c.iter().map(|v| v.to_bits()).collect()).collect()
}

type Block = (Vec<i64>, Vec<Vec<f64>>);

fn read_all(bytes: &[u8]) -> Result<Block, ReadError<std::io::Error>> {
    let mut reader = Reader::open(bytes)?;
    let mut columns = Vec::new();
    for index in 0..u32::try_from(reader.column_count()).unwrap() {
        let mut column = Vec::new();
        reader.column(index, &mut column)?;
        columns.push(column);
    }
    Ok((reader.ticks().to_vec(), columns))
}
