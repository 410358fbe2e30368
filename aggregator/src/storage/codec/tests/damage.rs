//! Bytes that are not what was written.

use super::super::column::{Columns, Half, Split, mixed_steps};
use super::super::integers::Integers;
use super::super::mixed::Sources;
use super::super::steps::Shape;
use super::*;

/// Some columns of each form.
fn block(effort: Effort) -> Vec<u8> {
    let mut columns = columns(1, 66);
    columns.drain(12..24);
    encode_block(&ticks(1, 66), &columns[..], effort).unwrap()
}

#[test]
fn flipped_bits_are_noticed() {
    for block in [block(Effort::Hot), block(Effort::Cold)] {
        for bit in (0..block.len() * 8).step_by(3) {
            let mut bytes = block.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let read = read_all(&bytes);
            assert!(matches!(read, Err(ReadError::Damaged(_))), "bit {bit}");
        }
    }
}

#[test]
fn every_cut_is_noticed() {
    let block = block(Effort::Hot);
    for length in 0..block.len() {
        assert!(read_all(&block[..length]).is_err(), "{length} bytes");
    }
    let longer = [&block[..], &[0]].concat();
    assert!(read_all(&longer).is_err());
}

/// Damage that a checksum does not show, because it was there when the block was written.
#[test]
fn contradictions_under_a_right_checksum_do_no_harm() {
    let mut seeded = Seeded(9);
    let whole = block(Effort::Hot);
    let head = u32::from_le_bytes(whole[6..10].try_into().unwrap()) as usize;
    let mut refused = 0;
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..=seeded.next() % 3 {
            let at = 5 + seeded.next() as usize % (head - 9);
            bytes[at] = seeded.next() as u8;
        }
        let crc = crc32fast::hash(&bytes[..head - 4]).to_le_bytes();
        bytes[head - 4..head].copy_from_slice(&crc);
        match read_all(&bytes) {
            Ok((ticks, columns)) => assert!(columns.iter().all(|c| c.len() == ticks.len())),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 2000, "{refused}");
}

#[test]
fn garbled_columns_give_as_many_values_or_none() {
    let mut seeded = Seeded(5);
    let (mut split, mut integers) = (Split::default(), Integers::default());
    let mut reader = Columns::default();
    for column in columns(2, 200) {
        split.of(&column);
        let (shape, steps) = Shape::of(&split.kept);
        let alone = Sources { indices: &[], steps: &[] };
        let (mut packed, mut mixed) = (Vec::new(), Vec::new());
        split.put_packed(&mut integers, &mut packed);
        split.put_mixed(&mut integers, (shape, &steps), None, &alone, &mut mixed);
        for whole in [packed, mixed] {
            for _ in 0..60 {
                let mut bytes = whole.clone();
                let at = seeded.next() as usize % bytes.len().min(24);
                bytes[at] = seeded.next() as u8;
                bytes.truncate(1 + seeded.next() as usize % (2 * bytes.len()));
                let mut values = Vec::new();
                let read = match reader.begin(&bytes, 200) {
                    Some(Half::Mixed(kept, parsed)) => {
                        let none: Vec<&[i64]> = Vec::new();
                        let steps = parsed.steps(kept, &none);
                        steps.map(|steps| reader.finish(&parsed, steps))
                    }
                    half => half.map(|_| ()),
                };
                let read = read.and_then(|()| reader.put_values(&mut values));
                assert!(read.is_none() || values.len() == 200);
                assert!(mixed_steps(&bytes, 200).is_none_or(|steps| steps.len() == 200));
            }
        }
    }
}

#[test]
fn other_versions_are_refused() {
    let mut bytes = block(Effort::Hot);
    bytes[4] = 1;
    let Err(ReadError::Damaged(what)) = read_all(&bytes) else { panic!("read") };
    assert!(what.contains("version 2"), "{what}");
}
