//! Blocks in a database, read in parts by incremental blob reads. Those that the first schema
//! has are of another format, and read whole.

mod first;

use rusqlite::blob::Blob;

use self::first::FirstBlock;
use crate::storage::codec::{ReadAt, ReadError, Reader, RollupColumn};

/// Why a block cannot be read.
pub(super) type BlockError = ReadError<rusqlite::Error>;

impl ReadAt for Blob<'_> {
    type Error = rusqlite::Error;

    fn size(&self) -> usize {
        self.len()
    }

    fn read_at(&mut self, offset: usize, buffer: &mut [u8]) -> rusqlite::Result<()> {
        self.read_at_exact(buffer, offset)
    }
}

/// Reads parts of one block, whatever its format.
pub(super) enum BlockReader<'a> {
    First(FirstBlock),
    Now(Box<Reader<Blob<'a>>>),
}

impl<'a> BlockReader<'a> {
    pub(super) fn open(blob: Blob<'a>) -> Result<Self, BlockError> {
        let mut magic = [0; first::MAGIC.len()];
        if blob.len() >= magic.len() {
            blob.read_at_exact(&mut magic, 0).map_err(BlockError::Source)?;
        }
        if magic != first::MAGIC {
            return Ok(Self::Now(Box::new(Reader::open(blob)?)));
        }
        let mut bytes = vec![0; blob.len()];
        blob.read_at_exact(&mut bytes, 0).map_err(BlockError::Source)?;
        FirstBlock::open(bytes).map(Self::First).map_err(BlockError::Damaged)
    }

    /// Its bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::First(block) => block.size(),
            Self::Now(block) => block.size(),
        }
    }

    /// All ticks.
    pub(super) fn ticks(&self) -> &[i64] {
        match self {
            Self::First(block) => block.ticks(),
            Self::Now(block) => block.ticks(),
        }
    }

    pub(super) fn column_count(&self) -> usize {
        match self {
            Self::First(block) => block.column_count(),
            Self::Now(block) => block.column_count(),
        }
    }

    /// The values of a column, in place of what the buffer has.
    pub(super) fn column(&mut self, index: u32, out: &mut Vec<f64>) -> Result<(), BlockError> {
        match self {
            Self::First(block) => match block.column(index, out) {
                Some(Ok(())) => Ok(()),
                Some(Err(what)) => Err(BlockError::Damaged(what)),
                None => Err(BlockError::NoColumn(index)),
            },
            Self::Now(block) => block.column(index, out),
        }
    }

    /// A column of rollups.
    pub(super) fn rollup(&mut self, index: u32) -> Result<RollupColumn, BlockError> {
        match self {
            Self::First(_) => Err(BlockError::NoColumn(index)),
            Self::Now(block) => block.rollup(index),
        }
    }
}
