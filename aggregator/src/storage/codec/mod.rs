//! Blocks: the columns of a layout over some ticks as bytes, such that one column can be read
//! without the rest. Values come back bit for bit. All numbers are little-endian; "integers"
//! are as `integers` packs them, LEB128 is the rest.
//!
//! ```text
//! head    0   4  "SXBK"
//!         4   1  version, 2
//!         5   1  planes of a column: 1 samples, 5 rollups (last, count, min, max, sum)
//!         6   4  bytes of the head, CRC included
//!        10   k  ticks, LEB128
//!             k  columns times planes, LEB128
//!             k  ticks, integers
//!             k  bytes of each column, integers: 0 for one that is constant
//!             k  values of the constant ones, a packed column
//!             4  CRC-32 of the head so far
//! columns        each: data as `column` says, then its CRC-32; of short data the upper half
//!                xor the lower
//! ```
//!
//! Two forms of a column's data: *packed* ([`Effort::Hot`]) costs little time both ways;
//! *mixed* ([`Effort::Cold`], `mixed`) predicts steps from the column and up to two others and
//! codes what is left by mixed models. What the models of `coder`, `residual` and `predict` do
//! is part of the format: another constant there is another version.

mod bytes;
mod coder;
mod cold;
mod column;
mod decimal;
mod encode;
mod head;
mod integers;
mod mixed;
mod pack;
mod predict;
mod read;
mod relate;
mod residual;
mod rollup;
mod source;
mod steps;

pub use encode::{Effort, EncodeError, encode_block, encode_rollup};
pub use read::Reader;
pub use rollup::{RollupColumn, bucket_ticks, coarsen, rollup};
pub use source::{ReadAt, ReadError};

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
