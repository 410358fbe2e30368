//! Writing blocks.

use super::bytes::put_varint;
use super::column::Columns;
use super::integers::Integers;
use super::{
    CRC_BYTES, MAGIC, MAX_COLUMNS, MAX_TICKS, ROLLUP_PLANES, RollupColumn, SAMPLE_PLANES,
    column_crc,
};

/// How much time to spend on fewer bytes. Both are read by the same reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Some ten nanoseconds a sample: what is sealed.
    Hot,
    /// Some hundred: what is compacted.
    Cold,
}

/// Why a block cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// More than [`MAX_TICKS`] or [`MAX_COLUMNS`].
    #[error("block of {ticks} ticks and {columns} columns is too large")]
    TooLarge { ticks: usize, columns: usize },
    /// It has more or fewer values than there are ticks.
    #[error("column {0} has not a value for each tick")]
    Uneven(usize),
}

/// A block of samples. Ticks should grow; they come back as they are.
///
/// # Errors
/// When columns and ticks differ in length, or there are too many.
pub fn encode_block<C: AsRef<[f64]>>(
    ticks_ms: &[i64],
    columns: &[C],
    effort: Effort,
) -> Result<Vec<u8>, EncodeError> {
    let columns: Vec<&[f64]> = columns.iter().map(AsRef::as_ref).collect();
    encode(ticks_ms, &columns, SAMPLE_PLANES, effort)
}

/// A block of rollups; `ticks_ms` are the starts of the steps.
///
/// # Errors
/// As with [`encode_block`].
pub fn encode_rollup(
    ticks_ms: &[i64],
    columns: &[RollupColumn],
    effort: Effort,
) -> Result<Vec<u8>, EncodeError> {
    let planes: Vec<&[f64]> = columns.iter().flat_map(RollupColumn::planes).collect();
    encode(ticks_ms, &planes, ROLLUP_PLANES, effort)
}

fn encode(
    ticks_ms: &[i64],
    columns: &[&[f64]],
    planes: u8,
    _effort: Effort,
) -> Result<Vec<u8>, EncodeError> {
    if ticks_ms.len() > MAX_TICKS || columns.len() > MAX_COLUMNS {
        return Err(EncodeError::TooLarge { ticks: ticks_ms.len(), columns: columns.len() });
    }
    if let Some(uneven) = columns.iter().position(|column| column.len() != ticks_ms.len()) {
        return Err(EncodeError::Uneven(uneven / usize::from(planes)));
    }
    let mut coder = Columns::default();
    let mut integers = Integers::default();
    let mut data = Vec::new();
    let mut lengths = Vec::with_capacity(columns.len());
    let mut constants = Vec::new();
    for column in columns {
        let start = data.len();
        if is_constant(column) {
            constants.push(column.first().copied().unwrap_or_default());
        } else {
            coder.encode(column, &mut data);
            let (crc, bytes) = column_crc(&data[start..]);
            data.extend(&crc[..bytes]);
        }
        lengths.push(i64::try_from(data.len() - start).expect("memory is smaller"));
    }
    let mut block = Vec::with_capacity(data.len() + columns.len() * 2 + 64);
    block.extend(MAGIC);
    block.push(planes);
    block.extend([0; 4]);
    put_varint(ticks_ms.len() as u64, &mut block);
    put_varint(columns.len() as u64, &mut block);
    integers.encode(ticks_ms, &mut block);
    integers.encode(&lengths, &mut block);
    coder.encode(&constants, &mut block);
    let head = block.len() + CRC_BYTES;
    let too_large = EncodeError::TooLarge { ticks: ticks_ms.len(), columns: columns.len() };
    let head = u32::try_from(head).map_err(|_| too_large)?;
    block[6..10].copy_from_slice(&head.to_le_bytes());
    block.extend(crc32fast::hash(&block).to_le_bytes());
    block.append(&mut data);
    Ok(block)
}

fn is_constant(column: &[f64]) -> bool {
    column.windows(2).all(|pair| pair[0].to_bits() == pair[1].to_bits())
}
