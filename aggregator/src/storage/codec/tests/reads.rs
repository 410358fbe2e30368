//! Which bytes are read.

use std::cell::RefCell;
use std::ops::Range;

use super::*;

/// Bytes that tell which of them were read.
struct Watched<'a> {
    bytes: &'a [u8],
    reads: &'a RefCell<Vec<Range<usize>>>,
}

impl ReadAt for Watched<'_> {
    type Error = std::io::Error;

    fn size(&self) -> usize {
        self.bytes.len()
    }

    fn read_at(&mut self, offset: usize, buffer: &mut [u8]) -> std::io::Result<()> {
        self.reads.borrow_mut().push(offset..offset + buffer.len());
        self.bytes.read_at(offset, buffer)
    }
}

/// Bytes read for these columns beyond the head, in how many reads.
pub(super) fn read(block: &[u8], wanted: &[u32]) -> (usize, usize) {
    let reads = RefCell::new(Vec::new());
    let mut reader = Reader::open(Watched { bytes: block, reads: &reads }).unwrap();
    let before = reads.borrow().len();
    reader.columns(wanted).unwrap();
    let reads = reads.borrow();
    (reads[before..].iter().map(Range::len).sum(), reads.len() - before)
}

#[test]
fn one_column_is_read_without_the_others() {
    let (ticks, columns) = (ticks(1, 240), columns(1, 240));
    let block = encode_block(&ticks, &columns, Effort::Hot).unwrap();
    let mut total = 0;
    for index in 0..u32::try_from(columns.len()).unwrap() {
        let (bytes, reads) = read(&block, &[index]);
        assert!(reads <= 1);
        total += bytes;
    }
    assert!(total < block.len(), "each byte is read for one column");
}

#[test]
fn cold_column_is_read_with_two_others_at_most() {
    let (ticks, columns) = (ticks(1, 300), columns(1, 300));
    let block = encode_block(&ticks, &columns, Effort::Cold).unwrap();
    let all = 0..u32::try_from(columns.len()).unwrap();
    let reads: Vec<usize> = all.map(|index| read(&block, &[index]).1).collect();
    assert!(reads.iter().all(|&reads| reads <= 3), "{reads:?}");
    assert!(reads.iter().any(|&reads| reads > 1), "{reads:?}");
}

#[test]
fn constants_are_in_the_head() {
    let block = encode_block(&[1, 2], &[[3.0, 3.0], [1.0, 2.0]], Effort::Hot).unwrap();
    assert_eq!(read(&block, &[0]), (0, 0));
}

#[test]
fn neighbours_are_read_at_once() {
    let (ticks, columns) = (ticks(1, 240), columns(1, 240));
    let block = encode_block(&ticks, &columns, Effort::Hot).unwrap();
    let all: Vec<u32> = (0..u32::try_from(columns.len()).unwrap()).collect();
    assert_eq!(read(&block, &all).1, 1);
}

#[test]
fn columns_come_in_the_order_asked() {
    let (ticks, columns) = (ticks(1, 100), columns(1, 100));
    let block = encode_block(&ticks, &columns, Effort::Cold).unwrap();
    let mut reader = Reader::open(&block[..]).unwrap();
    for wanted in [vec![], vec![4], vec![2, 0], vec![9, 3, 2, 1, 0], vec![1, 1], vec![0, 20]] {
        let expected: Vec<_> = wanted.iter().map(|&c| columns[c as usize].clone()).collect();
        assert_eq!(bits(&reader.columns(&wanted).unwrap()), bits(&expected));
    }
    assert!(matches!(reader.columns(&[1, 999]), Err(ReadError::NoColumn(999))));
    assert!(matches!(reader.columns(&[u32::MAX]), Err(ReadError::NoColumn(u32::MAX))));
    assert!(matches!(reader.rollup(0), Err(ReadError::NoColumn(0))));
}

#[test]
fn head_of_a_large_layout_is_read_whole() {
    let columns: Vec<_> = (0..20_000).map(|c| [f64::from(c), 0.5]).collect();
    let block = encode_block(&[1, 2], &columns, Effort::Hot).unwrap();
    let mut reader = Reader::open(&block[..]).unwrap();
    assert_eq!(reader.columns(&[19_999, 7]).unwrap(), [[19_999.0, 0.5], [7.0, 0.5]]);
}
