//! A block: the columns of a chunk as bytes, such that one column can be read without the rest.
//! Values come back bit for bit. All numbers are little-endian.
//!
//! ```text
//! head     0   4  "SXBK"
//!          4   1  version, 1
//!          5   3  zero
//!          8   4  ticks, n
//!         12   4  columns, c
//!         16   4  bytes of the tick section, t
//!         20  4c  end of each column, counted from the end of the head
//!     20+4c   t  tick section: mode byte, then
//!                0  regular: first tick i64, difference u64
//!                1  first tick i64, then the differences as LEB128
//!                2  mode 1's bytes in a zstd frame
//!   20+4c+t   4  CRC-32 of the head so far
//! columns         each: mode byte, data, CRC-32 of mode and data; data is
//!                0  constant: one f64 for all ticks
//!                1  raw: n times f64
//!                2  raw's bytes in a zstd frame
//! ```

mod read;
mod write;

pub(super) use read::{BlockError, BlockReader};
pub(super) use write::BlockEncoder;

const MAGIC: [u8; 5] = *b"SXBK\x01";
const FIXED_BYTES: usize = 20;
const CRC_BYTES: usize = 4;
/// Ticks of a block: a bound on what a reader allocates.
const MAX_TICKS: usize = 1 << 20;

const TICKS_REGULAR: u8 = 0;
const TICKS_VARINT: u8 = 1;
const TICKS_ZSTD: u8 = 2;
const COLUMN_CONSTANT: u8 = 0;
const COLUMN_RAW: u8 = 1;
const COLUMN_ZSTD: u8 = 2;

#[cfg(test)]
mod tests;
