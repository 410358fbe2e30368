//! What is written comes back.

use super::*;

#[test]
fn values_and_ticks_survive_bit_for_bit() {
    for (seed, count) in (0..).zip([0, 1, 2, 3, 31, 32, 33, 63, 64, 65, 240, 500]) {
        let (ticks, columns) = (ticks(seed, count), columns(seed, count));
        for effort in [Effort::Hot, Effort::Cold] {
            let block = encode_block(&ticks, &columns, effort).unwrap();
            let (read_ticks, read) = read_all(&block).unwrap();
            assert_eq!(read_ticks, ticks);
            for (index, (read, column)) in bits(&read).iter().zip(bits(&columns)).enumerate() {
                assert_eq!(*read, column, "column {index} of {count} ticks, {effort:?}");
            }
        }
    }
}

#[test]
fn ticks_survive_whatever_their_steps() {
    for ticks in [
        vec![],
        vec![0],
        vec![i64::MIN, i64::MAX],
        vec![i64::MIN, -1, 0, i64::MAX],
        (0..500).map(|t| t * 1000 + t * t % 7).collect(),
    ] {
        let block = encode_block(&ticks, &[] as &[Vec<f64>], Effort::Hot).unwrap();
        assert_eq!(read_all(&block).unwrap().0, ticks);
    }
}

#[test]
fn runs_of_absent_samples_do_not_disturb_the_rest() {
    let ticks = ticks(0, 240);
    let whole: Vec<f64> = (0..240).map(|t| f64::from(t * 1000)).collect();
    let size = |column: &Vec<f64>, effort| encode_block(&ticks, &[column], effort).unwrap().len();
    for effort in [Effort::Hot, Effort::Cold] {
        for absent in [0..5, 100..101, 100..200, 235..240] {
            let mut holed = whole.clone();
            holed[absent].fill(ABSENT);
            let (holed, whole) = (size(&holed, effort), size(&whole, effort));
            assert!(holed < whole + 24, "{holed} bytes, {whole} without holes");
        }
        let sparse: Vec<f64> =
            (0..240).map(|t| if t % 15 == 0 { f64::from(t) } else { ABSENT }).collect();
        let (sparse, whole) = (size(&sparse, effort), size(&whole, effort));
        assert!(sparse < whole + 24, "{sparse} bytes, {whole} without holes");
    }
}

#[test]
fn constants_cost_about_two_bytes() {
    let ticks: Vec<i64> = (0..240).map(|t| t * 1000).collect();
    let columns: Vec<_> = (0..1000).map(|c| vec![f64::from(c % 100); 240]).collect();
    let block = encode_block(&ticks, &columns, Effort::Hot).unwrap();
    assert!(block.len() < 1200, "{} bytes", block.len());
}

#[test]
fn columns_that_follow_from_others_cost_little() {
    let mut seeded = Seeded(1);
    let first = counter(&mut seeded, 1000);
    let second = counter(&mut seeded, 1000);
    let mut all = vec![first.clone(), second.clone()];
    all.push(first.iter().map(|value| value * 4096.0 + 5.0).collect());
    all.push(first.iter().zip(&second).map(|(a, b)| 1e13 - a - b).collect());
    let ticks = ticks(0, 1000);
    let alone = encode_block(&ticks, &all[..2], Effort::Cold).unwrap().len();
    let together = encode_block(&ticks, &all, Effort::Cold).unwrap().len();
    assert!(together < alone + 400, "{alone} bytes, {together} with what follows");
}

#[test]
fn cold_blocks_are_smaller() {
    let (ticks, columns) = (ticks(3, 700), columns(3, 700));
    let size = |effort| encode_block(&ticks, &columns, effort).unwrap().len();
    assert!(size(Effort::Cold) < size(Effort::Hot));
}

#[test]
fn uneven_and_too_large_blocks_are_refused() {
    let uneven = [vec![1.0, 2.0], vec![1.0]];
    assert_eq!(encode_block(&[1, 2], &uneven, Effort::Hot), Err(EncodeError::Uneven(1)));
    let columns = MAX_COLUMNS + 1;
    let none: Vec<&[f64]> = vec![&[]; columns];
    let too_large = EncodeError::TooLarge { ticks: 0, columns };
    assert_eq!(encode_block(&[], &none, Effort::Hot), Err(too_large));
}
