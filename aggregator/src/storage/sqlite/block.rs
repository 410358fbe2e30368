//! Blocks in a database: read in parts, by incremental blob reads.

use rusqlite::blob::Blob;

use crate::storage::codec::{ReadAt, ReadError, Reader};

/// Why a block cannot be read.
pub(super) type BlockError = ReadError<rusqlite::Error>;

/// Reads parts of one block.
pub(super) type BlockReader<'a> = Reader<Blob<'a>>;

impl ReadAt for Blob<'_> {
    type Error = rusqlite::Error;

    fn size(&self) -> usize {
        self.len()
    }

    fn read_at(&mut self, offset: usize, buffer: &mut [u8]) -> rusqlite::Result<()> {
        self.read_at_exact(buffer, offset)
    }
}
