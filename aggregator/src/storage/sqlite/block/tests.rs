use sextant_proto::frame::ABSENT;

use super::read::Source;
use super::*;
use crate::storage::Chunk;

impl Source for &[u8] {
    fn size(&self) -> usize {
        self.len()
    }

    fn read(&self, buffer: &mut [u8], at: usize) -> rusqlite::Result<()> {
        buffer.copy_from_slice(&self[at..at + buffer.len()]);
        Ok(())
    }
}

fn chunk(ticks_ms: Vec<i64>, columns: Vec<Vec<f64>>) -> Chunk {
    Chunk { layout: 1, spool: 1, first_seq: 1, last_seq: 1, ticks_ms, columns }
}

/// Constant, compressible, incompressible, and all the odd values there are.
fn odd_chunk(ticks: usize) -> Chunk {
    let odd = [
        -0.0,
        0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::from_bits(0x7ff8_dead_beef_0001),
        f64::from_bits(0xfff0_0000_0000_0001),
        f64::MIN_POSITIVE / 8.0,
        ABSENT,
    ];
    let mut noise = 0x9e37_79b9_7f4a_7c15u64;
    let columns = vec![
        vec![ABSENT; ticks],
        (0..ticks).map(|t| (t / 7) as f64).collect(),
        (0..ticks)
            .map(|_| {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                f64::from_bits(noise)
            })
            .collect(),
        (0..ticks).map(|t| odd[t % odd.len()]).collect(),
        vec![-0.0; ticks],
    ];
    let steps = (0..ticks).map(|t| i64::try_from(t * 1000 + t % 3).expect("small"));
    chunk(steps.map(|step| 1_700_000_000_000 + step).collect(), columns)
}

fn bits(columns: &[Vec<f64>]) -> Vec<Vec<u64>> {
    columns.iter().map(|c| c.iter().map(|v| v.to_bits()).collect()).collect()
}

fn encode(chunk: &Chunk) -> Vec<u8> {
    BlockEncoder::new().encode(chunk).expect("encodes")
}

fn read_all(bytes: &[u8], columns: u32) -> Result<(Vec<i64>, Vec<Vec<f64>>), BlockError> {
    let reader = BlockReader::open(bytes)?;
    let wanted: Vec<u32> = (0..columns).collect();
    Ok((reader.ticks().to_vec(), reader.columns(&wanted)?))
}

#[test]
fn values_and_ticks_survive_bit_for_bit() {
    for ticks in [1, 2, 3, 9, 240, 4000] {
        let chunk = odd_chunk(ticks);
        let (read_ticks, columns) = read_all(&encode(&chunk), 5).expect("own block");
        assert_eq!(read_ticks, chunk.ticks_ms);
        assert_eq!(bits(&columns), bits(&chunk.columns));
    }
}

#[test]
fn ticks_survive_whatever_their_steps() {
    for ticks in [
        vec![0],
        vec![i64::MIN, i64::MAX],
        vec![i64::MIN, -1, 0, i64::MAX],
        (0..500).map(|t| t * 1000).collect(),
        (0..500).map(|t| t * 1000 + t * t % 7).collect(),
    ] {
        let (read, _) = read_all(&encode(&chunk(ticks.clone(), vec![])), 0).expect("own block");
        assert_eq!(read, ticks);
    }
}

#[test]
fn columns_come_in_the_order_asked() {
    let chunk = odd_chunk(240);
    let block = encode(&chunk);
    let reader = BlockReader::open(&block[..]).expect("own block");
    for wanted in [vec![], vec![4], vec![2, 0], vec![4, 3, 2, 1, 0], vec![1, 1], vec![0, 4]] {
        let expected: Vec<_> = wanted.iter().map(|&c| chunk.columns[c as usize].clone()).collect();
        assert_eq!(bits(&reader.columns(&wanted).expect("has them")), bits(&expected));
    }
    assert!(matches!(reader.columns(&[1, 5]), Err(BlockError::NoColumn(5))));
    assert!(matches!(reader.columns(&[u32::MAX]), Err(BlockError::NoColumn(u32::MAX))));
}

#[test]
fn what_repeats_is_small() {
    let ticks: Vec<i64> = (0..240).map(|t| t * 1000).collect();
    let columns: Vec<_> = (0..100).map(|c| vec![f64::from(c); 240]).collect();
    let block = encode(&chunk(ticks, columns));
    assert_eq!(block.len(), 20 + 400 + 17 + 4 + 100 * 13);
}

#[test]
fn head_of_a_large_layout_is_read_whole() {
    let columns: Vec<_> = (0..20_000).map(|c| vec![f64::from(c), 0.5]).collect();
    let block = encode(&chunk(vec![1, 2], columns));
    let reader = BlockReader::open(&block[..]).expect("own block");
    assert_eq!(reader.columns(&[19_999, 7]).expect("has them"), [[19_999.0, 0.5], [7.0, 0.5]]);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let block = encode(&odd_chunk(40));
    for bit in 0..block.len() * 8 {
        let mut bytes = block.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let read = read_all(&bytes, 5);
        assert!(matches!(read, Err(BlockError::Damaged(_))), "bit {bit}");
    }
}

#[test]
fn every_cut_is_noticed() {
    let block = encode(&odd_chunk(40));
    for length in 0..block.len() {
        assert!(read_all(&block[..length], 5).is_err(), "{length} bytes");
    }
    let longer = [&block[..], &[0]].concat();
    assert!(read_all(&longer, 5).is_err());
}

/// Damage that a checksum does not show, because it was there when the block was written.
#[test]
fn contradictions_under_a_right_checksum_are_refused() {
    let block = encode(&chunk(vec![1, 2, 3], vec![vec![1.0, 2.0, 3.0]]));
    for (at, value) in [(8, 4u8), (8, 0xff), (12, 2), (12, 0xff), (16, 5), (20, 1), (24, 9)] {
        let mut bytes = block.clone();
        bytes[at] = value;
        let head = 20 + 4 + 17;
        let crc = crc32fast::hash(&bytes[..head]).to_le_bytes();
        bytes[head..head + 4].copy_from_slice(&crc);
        assert!(read_all(&bytes, 1).is_err(), "byte {at} is {value}");
    }
}
