//! Where the bytes of a block come from, and why it may not be read.

/// Why a block cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E> {
    /// Its bytes are not what was written.
    #[error("{0}")]
    Damaged(String),
    /// It does not have the column.
    #[error("no column {0}")]
    NoColumn(u32),
    /// Where it lies could not be read.
    #[error("source")]
    Source(#[source] E),
}

/// Bytes that are read in parts.
pub trait ReadAt {
    type Error;

    /// All bytes.
    fn size(&self) -> usize;

    /// Fills the buffer from this place on.
    ///
    /// # Errors
    /// When that many bytes cannot be read there.
    fn read_at(&mut self, offset: usize, buffer: &mut [u8]) -> Result<(), Self::Error>;
}

impl ReadAt for &[u8] {
    type Error = std::io::Error;

    fn size(&self) -> usize {
        self.len()
    }

    fn read_at(&mut self, offset: usize, buffer: &mut [u8]) -> Result<(), Self::Error> {
        let end = offset.saturating_add(buffer.len());
        let bytes = self.get(offset..end).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}
