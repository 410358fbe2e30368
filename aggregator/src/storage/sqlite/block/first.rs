//! Format 1 of a block, which nothing writes any more. All numbers are little-endian.
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

use crate::storage::codec::MAX_TICKS;

pub(super) const MAGIC: [u8; 5] = *b"SXBK\x01";
const FIXED_BYTES: usize = 20;
const CRC_BYTES: usize = 4;

/// A block that was read whole.
pub(in crate::storage::sqlite) struct FirstBlock {
    bytes: Vec<u8>,
    ticks: Vec<i64>,
    /// Where each column ends, from the start of the block.
    ends: Vec<usize>,
    columns_at: usize,
}

impl FirstBlock {
    /// Checks the head; otherwise what is wrong with it.
    pub(super) fn open(bytes: Vec<u8>) -> Result<Self, String> {
        if bytes.len() < FIXED_BYTES {
            return Err("it is shorter than a head".into());
        }
        let number = |at: usize| {
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
        };
        let (count, columns, tick_bytes) = (number(8), number(12), number(16));
        let table_end = FIXED_BYTES.saturating_add(columns.saturating_mul(4));
        let ticks_end = table_end.saturating_add(tick_bytes);
        let columns_at = ticks_end.saturating_add(CRC_BYTES);
        if columns_at > bytes.len() || count > MAX_TICKS {
            return Err("its head is longer than the block".into());
        }
        checked(&bytes[..columns_at]).ok_or("checksum of the head")?;
        let ends: Vec<usize> = bytes[FIXED_BYTES..table_end]
            .chunks_exact(4)
            .map(|end| u32::from_le_bytes(end.try_into().expect("four bytes")) as usize)
            .map(|end| columns_at.saturating_add(end))
            .collect();
        if !ends.is_sorted() || ends.last().copied().unwrap_or(columns_at) != bytes.len() {
            return Err("its columns do not fill it".into());
        }
        let ticks = decode_ticks(&bytes[table_end..ticks_end], count).ok_or("its ticks")?;
        Ok(Self { bytes, ticks, ends, columns_at })
    }

    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn ticks(&self) -> &[i64] {
        &self.ticks
    }

    pub(super) fn column_count(&self) -> usize {
        self.ends.len()
    }

    /// `None` when there is no such column; otherwise what is wrong with it.
    pub(super) fn column(&self, index: u32, out: &mut Vec<f64>) -> Option<Result<(), String>> {
        let at = index as usize;
        let end = *self.ends.get(at)?;
        let start = at.checked_sub(1).map_or(self.columns_at, |before| self.ends[before]);
        let Some(section) = checked(&self.bytes[start..end]) else {
            return Some(Err(format!("checksum of column {index}")));
        };
        Some(decode(section, self.ticks.len(), out).ok_or_else(|| format!("column {index}")))
    }
}

/// The bytes before a section's CRC, when it is theirs.
fn checked(section: &[u8]) -> Option<&[u8]> {
    let (bytes, crc) = section.split_last_chunk::<CRC_BYTES>()?;
    (crc32fast::hash(bytes) == u32::from_le_bytes(*crc)).then_some(bytes)
}

fn decode(section: &[u8], ticks: usize, out: &mut Vec<f64>) -> Option<()> {
    let (&mode, data) = section.split_first()?;
    let value = |bytes: &[u8]| Some(f64::from_bits(u64::from_le_bytes(bytes.try_into().ok()?)));
    out.clear();
    let unpacked;
    let raw = match mode {
        0 => {
            out.resize(ticks, value(data)?);
            return Some(());
        }
        1 => data,
        2 => {
            unpacked = zstd::bulk::decompress(data, ticks * 8).ok()?;
            &unpacked
        }
        _ => return None,
    };
    if raw.len() != ticks * 8 {
        return None;
    }
    out.extend(raw.chunks_exact(8).filter_map(value));
    Some(())
}

fn decode_ticks(section: &[u8], count: usize) -> Option<Vec<i64>> {
    let (&mode, data) = section.split_first()?;
    let unpacked;
    let data = if mode == 2 {
        unpacked = zstd::bulk::decompress(data, count.saturating_mul(10) + 8).ok()?;
        &unpacked
    } else {
        data
    };
    let (first, mut steps) = data.split_first_chunk::<8>()?;
    let mut tick = i64::from_le_bytes(*first);
    let step = match mode {
        0 => Some(u64::from_le_bytes(steps.try_into().ok()?)),
        1 | 2 => None,
        _ => return None,
    };
    let mut ticks = Vec::with_capacity(count);
    for index in 0..count {
        if index > 0 {
            let step = step.or_else(|| take_varint(&mut steps))?;
            tick = tick.checked_add_unsigned(step).filter(|_| step > 0)?;
        }
        ticks.push(tick);
    }
    (step.is_some() || steps.is_empty()).then_some(ticks)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            return None;
        }
        value |= part << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
