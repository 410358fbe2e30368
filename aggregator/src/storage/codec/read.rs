//! Reading blocks in parts. Whatever the bytes, never a panic and never more memory than the
//! counts of the checked head allow.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::column::{Columns, Half, mixed_steps};
use super::head::{Place, decode_head};
use super::rollup::RollupColumn;
use super::source::{ReadAt, ReadError};
use super::{CRC_BYTES, FIXED_BYTES, MAGIC, ROLLUP_PLANES, SAMPLE_PLANES, SHORT_BYTES, column_crc};

/// What is read at first: the head of all but the largest layouts.
const FIRST_READ_BYTES: usize = 4096;

/// Steps of columns that others refer to are kept up to these: 32 MiB.
const MAX_KEPT_STEPS: usize = 1 << 22;

/// Reads parts of one block.
pub struct Reader<S> {
    source: S,
    planes: u8,
    ticks: Vec<i64>,
    places: Vec<Place>,
    coder: Columns,
    fetched: Span,
    /// Steps of columns that others refer to.
    sources: FxHashMap<u32, Rc<[i64]>>,
}

/// Bytes that were read ahead.
#[derive(Default)]
struct Span {
    start: usize,
    bytes: Vec<u8>,
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
        Ok(Self {
            source,
            planes,
            ticks,
            places,
            coder,
            fetched: Span::default(),
            sources: FxHashMap::default(),
        })
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
        if self.is_rollup() && !wanted.is_empty() {
            return Err(ReadError::NoColumn(wanted[0]));
        }
        let flat: Vec<usize> = wanted
            .iter()
            .map(|&index| self.flat(index, 0).ok_or(ReadError::NoColumn(index)))
            .collect::<Result<_, _>>()?;
        self.fetch(&flat)?;
        let columns = wanted.iter().map(|&index| {
            let mut column = Vec::new();
            self.plane(index, 0, &mut column)?;
            Ok(column)
        });
        let columns = columns.collect();
        self.fetched = Span::default();
        columns
    }

    /// A column of rollups.
    ///
    /// # Errors
    /// When there is no such column of rollups, it cannot be read or is damaged.
    pub fn rollup(&mut self, index: u32) -> Result<RollupColumn, ReadError<S::Error>> {
        if !self.is_rollup() {
            return Err(ReadError::NoColumn(index));
        }
        let planes = usize::from(self.planes);
        let first = self.flat(index, 0).ok_or(ReadError::NoColumn(index))?;
        self.fetch(&(first..first + planes).collect::<Vec<_>>())?;
        let mut column = RollupColumn::default();
        for (plane, out) in column.planes_mut().into_iter().enumerate() {
            self.plane(index, plane, out)?;
        }
        self.fetched = Span::default();
        Ok(column)
    }

    /// Where a plane is among all of them.
    fn flat(&self, index: u32, plane: usize) -> Option<usize> {
        let index = usize::try_from(index).ok()?.checked_mul(self.planes.into())?;
        index.checked_add(plane).filter(|&flat| flat < self.places.len())
    }

    fn plane(
        &mut self,
        index: u32,
        plane: usize,
        out: &mut Vec<f64>,
    ) -> Result<(), ReadError<S::Error>> {
        let flat = self.flat(index, plane).ok_or(ReadError::NoColumn(index))?;
        out.clear();
        match self.places[flat] {
            Place::Constant(value) => out.resize(self.ticks.len(), value),
            Place::Bytes(start, end) => {
                let data = self.section(flat, start, end)?;
                self.decode(flat, &data, out)?;
            }
        }
        Ok(())
    }

    /// Reads what these columns span, when they are at least half of it.
    fn fetch(&mut self, flat: &[usize]) -> Result<(), ReadError<S::Error>> {
        let spans = flat.iter().filter_map(|&flat| match self.places[flat] {
            Place::Constant(_) => None,
            Place::Bytes(start, end) => Some((start, end)),
        });
        let (mut from, mut to, mut total, mut count) = (usize::MAX, 0, 0, 0);
        for (start, end) in spans {
            (from, to) = (from.min(start), to.max(end));
            total += end - start;
            count += 1;
        }
        if count > 1 && total >= (to - from) / 2 {
            let mut bytes = vec![0; to - from];
            self.source.read_at(from, &mut bytes).map_err(ReadError::Source)?;
            self.fetched = Span { start: from, bytes };
        }
        Ok(())
    }

    /// The checked bytes of a column.
    fn section(
        &mut self,
        flat: usize,
        start: usize,
        end: usize,
    ) -> Result<Vec<u8>, ReadError<S::Error>> {
        let fetched = start.checked_sub(self.fetched.start);
        let fetched = fetched.and_then(|from| self.fetched.bytes.get(from..from + (end - start)));
        let mut section = match fetched {
            Some(bytes) => bytes.to_vec(),
            None => {
                let mut section = vec![0; end - start];
                self.source.read_at(start, &mut section).map_err(ReadError::Source)?;
                section
            }
        };
        let length = checked(&section).map(<[u8]>::len);
        let length = length.ok_or_else(|| self.damaged("checksum of", flat))?;
        section.truncate(length);
        Ok(section)
    }

    fn damaged(&self, what: &str, flat: usize) -> ReadError<S::Error> {
        damaged(format!("{what} column {}", flat / usize::from(self.planes)))
    }

    fn decode(
        &mut self,
        flat: usize,
        data: &[u8],
        out: &mut Vec<f64>,
    ) -> Result<(), ReadError<S::Error>> {
        let count = self.ticks.len();
        let Some(half) = self.coder.begin(data, count) else {
            return Err(self.damaged("data of", flat));
        };
        if let Half::Mixed(kept, parsed) = half {
            let mut sources = Vec::new();
            for &source in parsed.sources() {
                sources.push(self.steps_of(source, flat)?);
            }
            let sources: Vec<&[i64]> = sources.iter().map(|steps| &steps[..]).collect();
            let Some(steps) = parsed.steps(kept, &sources) else {
                return Err(self.damaged("data of", flat));
            };
            self.coder.finish(&parsed, steps);
        }
        let put = self.coder.put_values(out);
        put.ok_or_else(|| self.damaged("data of", flat))
    }

    /// The steps of a column that another refers to; kept, since siblings refer to it as well.
    fn steps_of(&mut self, source: u32, by: usize) -> Result<Rc<[i64]>, ReadError<S::Error>> {
        if let Some(steps) = self.sources.get(&source) {
            return Ok(Rc::clone(steps));
        }
        let flat = source as usize;
        let Some(&Place::Bytes(start, end)) = self.places.get(flat) else {
            return Err(self.damaged("reference of", by));
        };
        let data = self.section(flat, start, end)?;
        let Some(steps) = mixed_steps(&data, self.ticks.len()) else {
            return Err(self.damaged("reference of", by));
        };
        let steps: Rc<[i64]> = steps.into();
        if (self.sources.len() + 1) * self.ticks.len() <= MAX_KEPT_STEPS {
            self.sources.insert(source, Rc::clone(&steps));
        }
        Ok(steps)
    }
}

fn damaged<E>(what: impl Into<String>) -> ReadError<E> {
    ReadError::Damaged(what.into())
}

/// The bytes before a column's checksum, when it is theirs.
fn checked(section: &[u8]) -> Option<&[u8]> {
    let crc_bytes = if section.len() < SHORT_BYTES + 2 { 2 } else { 4 };
    let (data, crc) = section.split_at_checked(section.len().checked_sub(crc_bytes)?)?;
    let (expected, bytes) = column_crc(data);
    (expected[..bytes] == *crc).then_some(data)
}
