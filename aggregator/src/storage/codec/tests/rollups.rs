//! Rollups, and blocks of them.

use super::*;

fn naive(ticks: &[i64], column: &[f64], step: i64, start: i64) -> [f64; 5] {
    let values: Vec<f64> = ticks
        .iter()
        .zip(column)
        .filter(|(tick, value)| {
            tick.div_euclid(step) * step == start && value.to_bits() != ABSENT.to_bits()
        })
        .map(|(_, &value)| value)
        .collect();
    let Some(&last) = values.last() else { return [ABSENT, ABSENT, ABSENT, 0.0, ABSENT] };
    let min = values.iter().copied().fold(f64::NAN, f64::min);
    let max = values.iter().copied().fold(f64::NAN, f64::max);
    [min, max, values.iter().skip(1).fold(values[0], |a, b| a + b), values.len() as f64, last]
}

fn at(column: &RollupColumn, index: usize) -> [f64; 5] {
    let RollupColumn { min, max, sum, count, last } = column;
    [min[index], max[index], sum[index], count[index], last[index]]
}

/// Of two zeros either may be the least.
fn is_same(a: f64, b: f64) -> bool {
    a == b || a.to_bits() == b.to_bits()
}

/// Columns without values whose sum or extremes have more than one right answer.
fn plain(count: usize) -> (Vec<i64>, Vec<Vec<f64>>) {
    let mut columns = columns(4, count);
    columns.retain(|c| c.iter().all(|v| v.abs() < 1e18 || v.to_bits() == ABSENT.to_bits()));
    (ticks(4, count), columns)
}

#[test]
fn steps_say_what_their_samples_were() {
    let (ticks, columns) = plain(500);
    for step in [7_000, 60_000, 3_600_000] {
        let starts = bucket_ticks(&ticks, step);
        for column in &columns {
            let rollup = rollup(&ticks, column, step);
            for (index, &start) in starts.iter().enumerate() {
                let (got, wanted) = (at(&rollup, index), naive(&ticks, column, step, start));
                assert!((0..5).all(|plane| is_same(got[plane], wanted[plane])), "{start}");
            }
        }
    }
}

#[test]
fn ticks_before_1970_lie_in_the_step_they_are_in() {
    assert_eq!(bucket_ticks(&[-60_001, -60_000, -1, 0, 59_999], 60_000), [-120_000, -60_000, 0]);
    assert_eq!(bucket_ticks(&[i64::MIN, i64::MAX], 60_000).len(), 2);
}

#[test]
fn nan_is_a_sample_but_no_extreme() {
    let rollup = rollup(&[0, 1, 2], &[1.0, f64::NAN, 3.0], 60_000);
    assert_eq!((rollup.min[0], rollup.max[0], rollup.count[0]), (1.0, 3.0, 3.0));
    assert!(rollup.sum[0].is_nan());
}

#[test]
fn steps_of_two_blocks_are_joined() {
    let (ticks, columns) = plain(500);
    for column in &columns {
        let whole = rollup(&ticks, column, 60_000);
        let (early, late) = (&ticks[..333], &ticks[333..]);
        let mut starts = bucket_ticks(early, 60_000);
        starts.extend(bucket_ticks(late, 60_000));
        let (mut parts, second) =
            (rollup(early, &column[..333], 60_000), rollup(late, &column[333..], 60_000));
        parts.min.extend(second.min);
        parts.max.extend(second.max);
        parts.sum.extend(second.sum);
        parts.count.extend(second.count);
        parts.last.extend(second.last);
        assert_eq!(starts.len(), whole.count.len() + 1);
        let joined = coarsen(&starts, &parts, 60_000);
        for index in 0..whole.count.len() {
            let (got, wanted) = (at(&joined, index), at(&whole, index));
            for plane in [0, 1, 3, 4] {
                assert!(is_same(got[plane], wanted[plane]));
            }
            assert!((got[2] - wanted[2]).abs() <= wanted[2].abs() * 1e-12 || got[2].is_nan());
        }
    }
}

#[test]
fn rollups_survive_bit_for_bit() {
    for count in [1, 200, 4000] {
        let (ticks, columns) = (ticks(2, count), columns(2, count));
        let starts = bucket_ticks(&ticks, 60_000);
        let rollups: Vec<_> = columns.iter().map(|c| rollup(&ticks, c, 60_000)).collect();
        for effort in [Effort::Hot, Effort::Cold] {
            let block = encode_rollup(&starts, &rollups, effort).unwrap();
            let mut reader = Reader::open(&block[..]).unwrap();
            assert!(reader.is_rollup());
            assert_eq!((reader.ticks(), reader.column_count()), (&starts[..], columns.len()));
            for (index, wanted) in (0..).zip(&rollups) {
                let got = reader.rollup(index).unwrap();
                for step in 0..starts.len() {
                    assert_eq!(
                        at(&got, step).map(f64::to_bits),
                        at(wanted, step).map(f64::to_bits)
                    );
                }
            }
            assert!(matches!(reader.column(0, &mut Vec::new()), Err(ReadError::NoColumn(0))));
            assert!(matches!(reader.rollup(999), Err(ReadError::NoColumn(999))));
        }
    }
}
