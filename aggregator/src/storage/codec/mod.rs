//! Blocks: the columns of a layout over some ticks as bytes, such that one column can be read
//! without the rest. Values come back bit for bit. All numbers are little-endian.
//!
//! ```text
//! head    0   4  "SXBK"
//!         4   1  version, 2
//!         5   1  planes of a column: 1 samples, 5 rollups
//!         6   4  bytes of the head, CRC included
//!        10   k  ticks, n; columns times planes, c; bytes of the tick section (LEB128)
//!             k  ticks, integers
//!             k  length of the lengths section (LEB128), length of each column, integers:
//!                0 for a constant one
//!             k  the constants, a column
//!             4  CRC-32 of the head so far
//! columns        each: data, CRC-32 of it (folded to 2 bytes when the data is short)
//! ```

mod bytes;
mod column;
mod decimal;
mod encode;
mod integers;
mod pack;
mod read;
mod rollup;

pub use encode::{Effort, EncodeError, encode_block, encode_rollup};
pub use read::{ReadAt, ReadError, Reader};
pub use rollup::{RollupColumn, bucket_ticks, coarsen, rollup};

const MAGIC: [u8; 5] = *b"SXBK\x02";
/// Where the length of the head ends.
const FIXED_BYTES: usize = 10;
const CRC_BYTES: usize = 4;
/// Ticks of a block: a bound on what a reader allocates.
pub const MAX_TICKS: usize = 1 << 20;
/// Columns of a block, as well.
pub const MAX_COLUMNS: usize = 1 << 20;
/// Columns of fewer bytes have a checksum of two.
const SHORT_BYTES: usize = 512;
const SAMPLE_PLANES: u8 = 1;
const ROLLUP_PLANES: u8 = 5;

/// The checksum of a column's bytes, and how many bytes of it are kept.
fn column_crc(data: &[u8]) -> ([u8; 4], usize) {
    let crc = crc32fast::hash(data);
    if data.len() < SHORT_BYTES {
        ((crc ^ (crc >> 16)).to_le_bytes(), 2)
    } else {
        (crc.to_le_bytes(), 4)
    }
}

#[cfg(test)]
mod tests;
