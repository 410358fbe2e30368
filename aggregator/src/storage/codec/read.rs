//! Reading blocks in parts. Whatever the bytes, never a panic and never more memory than the
//! counts of the checked head allow.

use super::bytes::Cursor;
use super::column::Columns;
use super::integers::Integers;
use super::rollup::RollupColumn;
use super::{
    CRC_BYTES, FIXED_BYTES, MAGIC, MAX_COLUMNS, MAX_TICKS, ROLLUP_PLANES, SAMPLE_PLANES, column_crc,
};

/// What is read at first: the head of all but the largest layouts.
const FIRST_READ_BYTES: usize = 4096;

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

/// A column as it lies in a block.
#[derive(Clone, Copy)]
enum Place {
    Constant(f64),
    /// Start and end, from the start of the block.
    Bytes(usize, usize),
}

/// Reads parts of one block.
pub struct Reader<S> {
    source: S,
    planes: u8,
    ticks: Vec<i64>,
    places: Vec<Place>,
    coder: Columns,
    buffer: Vec<u8>,
}

impl<S: ReadAt> Reader<S> {
    /// Reads and checks the head.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn open(mut source: S) -> Result<Self, ReadError<S::Error>> {
        let size = source.size();
        let mut head = vec![0; size.min(FIRST_READ_BYTES)];
        source.read_at(0, &mut head).map_err(ReadError::Source)?;
        if head.len() < FIXED_BYTES || head[..MAGIC.len()] != MAGIC {
            return Err(damaged("it does not start as a block of version 2"));
        }
        let length = head[6..FIXED_BYTES].try_into().expect("four bytes");
        let length = u32::from_le_bytes(length) as usize;
        if length > size || length < FIXED_BYTES + CRC_BYTES {
            return Err(damaged("its head is longer than the block"));
        }
        let had = head.len();
        head.resize(length, 0);
        if length > had {
            source.read_at(had, &mut head[had..]).map_err(ReadError::Source)?;
        }
        let (bytes, crc) = head.split_last_chunk().expect("longer than a checksum");
        if crc32fast::hash(bytes) != u32::from_le_bytes(*crc) {
            return Err(damaged("checksum of the head"));
        }
        let planes = head[5];
        if !matches!(planes, SAMPLE_PLANES | ROLLUP_PLANES) {
            return Err(damaged("its kind"));
        }
        let mut coder = Columns::default();
        let (ticks, places) = decode_head(&bytes[FIXED_BYTES..], &mut coder, length, size)
            .ok_or_else(|| damaged("its head contradicts itself"))?;
        if places.len() % usize::from(planes) != 0 {
            return Err(damaged("its head contradicts itself"));
        }
        Ok(Self { source, planes, ticks, places, coder, buffer: Vec::new() })
    }

    /// Its bytes.
    pub fn size(&self) -> usize {
        self.source.size()
    }

    /// All ticks.
    pub fn ticks(&self) -> &[i64] {
        &self.ticks
    }

    /// Columns, those of a rollup counted once.
    pub fn column_count(&self) -> usize {
        self.places.len() / usize::from(self.planes)
    }

    /// Whether columns are rollups.
    pub fn is_rollup(&self) -> bool {
        self.planes == ROLLUP_PLANES
    }

    /// The values of a column of samples, in place of what the buffer has.
    ///
    /// # Errors
    /// When there is no such column of samples, it cannot be read or is damaged.
    pub fn column(&mut self, index: u32, out: &mut Vec<f64>) -> Result<(), ReadError<S::Error>> {
        if self.is_rollup() {
            return Err(ReadError::NoColumn(index));
        }
        self.plane(index, 0, out)
    }

    /// The values of columns of samples, in the order asked. What lies close together is read
    /// at once.
    ///
    /// # Errors
    /// As with [`Self::column`].
    pub fn columns(&mut self, wanted: &[u32]) -> Result<Vec<Vec<f64>>, ReadError<S::Error>> {
        wanted
            .iter()
            .map(|&index| {
                let mut column = Vec::new();
                self.column(index, &mut column)?;
                Ok(column)
            })
            .collect()
    }

    /// A column of rollups.
    ///
    /// # Errors
    /// When there is no such column of rollups, it cannot be read or is damaged.
    pub fn rollup(&mut self, index: u32) -> Result<RollupColumn, ReadError<S::Error>> {
        if !self.is_rollup() {
            return Err(ReadError::NoColumn(index));
        }
        let mut column = RollupColumn::default();
        for (plane, out) in column.planes_mut().into_iter().enumerate() {
            self.plane(index, plane, out)?;
        }
        Ok(column)
    }

    fn plane(
        &mut self,
        index: u32,
        plane: usize,
        out: &mut Vec<f64>,
    ) -> Result<(), ReadError<S::Error>> {
        let place = usize::try_from(index).ok().and_then(|index| {
            self.places.get(index.checked_mul(self.planes.into())?.checked_add(plane)?)
        });
        out.clear();
        match *place.ok_or(ReadError::NoColumn(index))? {
            Place::Constant(value) => out.resize(self.ticks.len(), value),
            Place::Bytes(start, end) => {
                self.buffer.resize(end - start, 0);
                self.source.read_at(start, &mut self.buffer).map_err(ReadError::Source)?;
                let data = checked(&self.buffer)
                    .ok_or_else(|| damaged(format!("checksum of column {index}")))?;
                self.coder
                    .decode(data, self.ticks.len(), out)
                    .ok_or_else(|| damaged(format!("column {index}")))?;
            }
        }
        Ok(())
    }
}

fn damaged<E>(what: impl Into<String>) -> ReadError<E> {
    ReadError::Damaged(what.into())
}

/// The bytes before a column's checksum, when it is theirs.
fn checked(section: &[u8]) -> Option<&[u8]> {
    let crc_bytes = if section.len() < super::SHORT_BYTES + 2 { 2 } else { 4 };
    let (data, crc) = section.split_at_checked(section.len().checked_sub(crc_bytes)?)?;
    let (expected, bytes) = column_crc(data);
    (expected[..bytes] == *crc).then_some(data)
}

fn decode_head(
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
    coder.decode(cursor.rest(), constant, &mut constants)?;
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
