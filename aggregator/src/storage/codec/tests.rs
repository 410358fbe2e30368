use super::*;

#[test]
fn samples_and_rollups_survive_bit_for_bit() {
    let ticks: Vec<i64> = (0..240).map(|t| 1_700_000_000_000 + t * 1000).collect();
    let columns: Vec<Vec<f64>> = vec![
        (0..240).map(|t| f64::from(t * t) / 100.0).collect(),
        vec![-0.0; 240],
        (0..240).map(|t| f64::from(t).sin()).collect(),
    ];
    let block = encode_block(&ticks, &columns, Effort::Hot).unwrap();
    let mut reader = Reader::open(&block[..]).unwrap();
    assert_eq!(reader.ticks(), ticks);
    let read = reader.columns(&[0, 1, 2]).unwrap();
    let bits = |columns: &[Vec<f64>]| -> Vec<u64> {
        columns.iter().flatten().map(|value| value.to_bits()).collect()
    };
    assert_eq!(bits(&read), bits(&columns));

    let steps = bucket_ticks(&ticks, 60_000);
    let rollups: Vec<_> = columns.iter().map(|c| rollup(&ticks, c, 60_000)).collect();
    let block = encode_rollup(&steps, &rollups, Effort::Hot).unwrap();
    let mut reader = Reader::open(&block[..]).unwrap();
    assert_eq!(reader.ticks(), steps);
    assert_eq!(reader.column_count(), 3);
    for (index, rollup) in (0..).zip(&rollups) {
        assert_eq!(&reader.rollup(index).unwrap(), rollup);
    }
}
