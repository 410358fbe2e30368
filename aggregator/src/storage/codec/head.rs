//! What the head of a block says: its ticks, and where its columns lie.

use super::bytes::Cursor;
use super::column::Columns;
use super::integers::Integers;
use super::{MAX_COLUMNS, MAX_TICKS};

/// A column as it lies in a block.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Constant(f64),
    /// Start and end, from the start of the block.
    Bytes(usize, usize),
}

/// Ticks and places of a checked head without its fixed part; `None` when it contradicts itself.
pub(super) fn decode_head(
    bytes: &[u8],
    coder: &mut Columns,
    head: usize,
    size: usize,
) -> Option<(Vec<i64>, Vec<Place>)> {
    let mut integers = Integers::default();
    let mut cursor = Cursor::new(bytes);
    let (mut ticks, mut lengths, mut constants) = (Vec::new(), Vec::new(), Vec::new());
    let count = cursor.count(MAX_TICKS)?;
    let columns = cursor.count(MAX_COLUMNS)?;
    integers.decode(&mut cursor, count, &mut ticks)?;
    integers.decode(&mut cursor, columns, &mut lengths)?;
    let constant = lengths.iter().filter(|&&length| length == 0).count();
    coder.decode_packed(cursor.rest(), constant, &mut constants)?;
    let mut constants = constants.into_iter();
    let mut start = head;
    let mut places = Vec::with_capacity(columns);
    for length in lengths {
        if length == 0 {
            places.push(Place::Constant(constants.next()?));
            continue;
        }
        let end = start.checked_add(usize::try_from(length).ok()?).filter(|&end| end <= size)?;
        places.push(Place::Bytes(start, end));
        start = end;
    }
    (start == size).then_some((ticks, places))
}
