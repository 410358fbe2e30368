//! Reading blocks. Whatever the bytes, never a panic and never more memory than a block of
//! that size may need.

use rusqlite::blob::Blob;

use super::{
    COLUMN_CONSTANT, COLUMN_RAW, COLUMN_ZSTD, CRC_BYTES, FIXED_BYTES, MAGIC, MAX_TICKS,
    TICKS_REGULAR, TICKS_VARINT, TICKS_ZSTD,
};

/// What is read at first: the head of all but the largest layouts.
const FIRST_READ_BYTES: usize = 8192;

/// Why a block cannot be read.
#[derive(Debug)]
pub(in crate::storage::sqlite) enum BlockError {
    /// Its bytes are not what was written.
    Damaged(String),
    /// The layout does not have the column.
    NoColumn(u32),
    /// SQLite could not read it.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for BlockError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn damaged(what: impl Into<String>) -> BlockError {
    BlockError::Damaged(what.into())
}

/// Bytes that are read in parts.
pub(in crate::storage::sqlite) trait Source {
    fn size(&self) -> usize;
    /// Fills the buffer from this place on.
    fn read(&self, buffer: &mut [u8], at: usize) -> rusqlite::Result<()>;
}

impl Source for Blob<'_> {
    fn size(&self) -> usize {
        self.len()
    }

    fn read(&self, buffer: &mut [u8], at: usize) -> rusqlite::Result<()> {
        self.read_at_exact(buffer, at)
    }
}

/// Reads parts of one block.
pub(in crate::storage::sqlite) struct BlockReader<S> {
    source: S,
    ticks: Vec<i64>,
    /// Where each column ends, from the start of the block.
    ends: Vec<usize>,
    columns_at: usize,
}

impl<S: Source> BlockReader<S> {
    /// Reads and checks the head.
    pub(in crate::storage::sqlite) fn open(source: S) -> Result<Self, BlockError> {
        let size = source.size();
        let mut head = vec![0; size.min(FIRST_READ_BYTES)];
        source.read(&mut head, 0)?;
        if head.len() < FIXED_BYTES || head[..MAGIC.len()] != MAGIC {
            return Err(damaged("it does not start as a block of version 1"));
        }
        let number = |at: usize| {
            let bytes = head[at..at + 4].try_into().expect("four bytes");
            u32::from_le_bytes(bytes) as usize
        };
        let (count, columns, tick_bytes) = (number(8), number(12), number(16));
        let table_end = FIXED_BYTES.saturating_add(columns.saturating_mul(4));
        let ticks_end = table_end.saturating_add(tick_bytes);
        let columns_at = ticks_end.saturating_add(CRC_BYTES);
        if columns_at > size || count > MAX_TICKS {
            return Err(damaged("its head is longer than the block"));
        }
        let had = head.len();
        head.resize(columns_at, 0);
        if columns_at > had {
            source.read(&mut head[had..], had)?;
        }
        let head = checked(&head).ok_or_else(|| damaged("checksum of the head"))?;
        let ends: Vec<usize> = head[FIXED_BYTES..table_end]
            .chunks_exact(4)
            .map(|end| u32::from_le_bytes(end.try_into().expect("four bytes")) as usize)
            .map(|end| columns_at.saturating_add(end))
            .collect();
        if !ends.is_sorted() || ends.last().copied().unwrap_or(columns_at) != size {
            return Err(damaged("its columns do not fill it"));
        }
        let ticks =
            decode_ticks(&head[table_end..ticks_end], count).ok_or_else(|| damaged("its ticks"))?;
        Ok(Self { source, ticks, ends, columns_at })
    }

    /// All ticks.
    pub(in crate::storage::sqlite) fn ticks(&self) -> &[i64] {
        &self.ticks
    }

    /// The values of columns, in the order asked. What lies close together is read at once.
    pub(in crate::storage::sqlite) fn columns(
        &self,
        wanted: &[u32],
    ) -> Result<Vec<Vec<f64>>, BlockError> {
        let mut spans = Vec::with_capacity(wanted.len());
        for &index in wanted {
            let span = usize::try_from(index).ok().and_then(|index| {
                let end = *self.ends.get(index)?;
                let start = index.checked_sub(1).map_or(self.columns_at, |i| self.ends[i]);
                Some((start, end))
            });
            spans.push(span.ok_or(BlockError::NoColumn(index))?);
        }
        let from = spans.iter().map(|span| span.0).min().unwrap_or(0);
        let to = spans.iter().map(|span| span.1).max().unwrap_or(0);
        let total: usize = spans.iter().map(|span| span.1 - span.0).sum();
        let mut buffer = Vec::new();
        let at_once = total >= (to - from) / 2;
        if at_once {
            buffer.resize(to - from, 0);
            self.source.read(&mut buffer, from)?;
        }
        let mut decoder = ColumnDecoder::new(self.ticks.len());
        let mut columns = Vec::with_capacity(wanted.len());
        for ((start, end), index) in spans.into_iter().zip(wanted) {
            let section = if at_once {
                &buffer[start - from..end - from]
            } else {
                buffer.resize(end - start, 0);
                self.source.read(&mut buffer, start)?;
                &buffer
            };
            let section = checked(section);
            let section = section.ok_or_else(|| damaged(format!("checksum of column {index}")))?;
            let column = decoder.decode(section);
            columns.push(column.ok_or_else(|| damaged(format!("column {index}")))?);
        }
        Ok(columns)
    }
}

/// The bytes before a section's CRC, when it is theirs.
fn checked(section: &[u8]) -> Option<&[u8]> {
    let (bytes, crc) = section.split_last_chunk::<CRC_BYTES>()?;
    (crc32fast::hash(bytes) == u32::from_le_bytes(*crc)).then_some(bytes)
}

struct ColumnDecoder {
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
    raw: Vec<u8>,
    ticks: usize,
}

impl ColumnDecoder {
    fn new(ticks: usize) -> Self {
        Self { decompressor: None, raw: Vec::new(), ticks }
    }

    fn decode(&mut self, section: &[u8]) -> Option<Vec<f64>> {
        let (&mode, data) = section.split_first()?;
        let value = |bytes: &[u8]| Some(f64::from_bits(u64::from_le_bytes(bytes.try_into().ok()?)));
        let raw = match mode {
            COLUMN_CONSTANT => return Some(vec![value(data)?; self.ticks]),
            COLUMN_RAW => data,
            COLUMN_ZSTD => {
                let decompressor = self.decompressor.get_or_insert_with(|| {
                    zstd::bulk::Decompressor::new().expect("zstd allocates")
                });
                self.raw.resize(self.ticks * 8, 0);
                let bytes = decompressor.decompress_to_buffer(data, self.raw.as_mut_slice());
                &self.raw[..bytes.ok()?]
            }
            _ => return None,
        };
        if raw.len() != self.ticks * 8 {
            return None;
        }
        raw.chunks_exact(8).map(value).collect()
    }
}

fn decode_ticks(section: &[u8], count: usize) -> Option<Vec<i64>> {
    let (&mode, data) = section.split_first()?;
    let unpacked;
    let data = match mode {
        TICKS_ZSTD => {
            unpacked = zstd::bulk::decompress(data, count.saturating_mul(10) + 8).ok()?;
            &unpacked
        }
        _ => data,
    };
    let (first, mut steps) = data.split_first_chunk::<8>()?;
    let mut tick = i64::from_le_bytes(*first);
    let step = match mode {
        TICKS_REGULAR => Some(u64::from_le_bytes(steps.try_into().ok()?)),
        TICKS_VARINT | TICKS_ZSTD => None,
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
