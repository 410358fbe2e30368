//! One job: its rows become rows of the same samples, longer and of fewer columns each, and
//! rollups of them. What is in memory at a time is a few columns.

use rusqlite::{Connection, MAIN_DB};
use sextant_proto::frame::{ABSENT, is_absent};

use super::super::block::{BlockError, BlockReader};
use super::super::files::Kind;
use super::plan::{Job, Source};
use crate::storage::codec::{
    Effort, RollupColumn, bucket_ticks, coarsen, encode_block, encode_rollup, rollup,
};
use crate::storage::{Resolution, StoreError};

/// Samples of one row: few holes in its pages, and one column is found after few of them.
const ROW_SAMPLES: usize = 512 << 10;

/// A row to be written.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) first_column: u32,
    pub(super) columns: u32,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    pub(super) ticks: i64,
    pub(super) data: Vec<u8>,
}

/// Why a job cannot be done.
pub(super) enum MergeError {
    /// A row of the job.
    Block(Source, BlockError),
    /// Rows of a layout contradict each other.
    Contradiction(String),
    Store(StoreError),
}

impl From<StoreError> for MergeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Rows with the same ticks, by their first column.
struct Piece {
    rows: Vec<Source>,
    /// Where each of its ticks is among those of the job.
    places: Vec<u32>,
}

fn open<'a>(connection: &'a Connection, source: &Source) -> Result<BlockReader<'a>, MergeError> {
    let table = if source.merged { "merged" } else { "blocks" };
    let blob = connection.blob_open(MAIN_DB, table, "data", source.id, true);
    let block = blob.map_err(BlockError::Source).and_then(BlockReader::open);
    block.map_err(|error| MergeError::Block(*source, error))
}

/// Merges a job and hands out its rows; returns the samples and the bytes that there were.
pub(super) fn merge(
    connection: &Connection,
    job: &Job,
    sink: &mut dyn FnMut(Row) -> Result<(), StoreError>,
) -> Result<(u64, u64), MergeError> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut part = 0;
    for source in &job.sources {
        match pieces.last_mut() {
            Some(piece) if source.part != 0 && source.part == part => piece.rows.push(*source),
            _ => pieces.push(Piece { rows: vec![*source], places: Vec::new() }),
        }
        part = source.part;
    }
    // Later ones overwrite.
    pieces.sort_by_key(|piece| piece.rows[0].order);
    let mut columns = 0;
    let mut bytes = 0;
    let mut ticks = Vec::new();
    let mut own = Vec::with_capacity(pieces.len());
    for piece in &pieces {
        for source in &piece.rows {
            let block = open(connection, source)?;
            let end = source.first_column as usize + block.column_count();
            columns = columns.max(end);
            bytes += block.size() as u64;
            if std::ptr::eq(source, &piece.rows[0]) {
                ticks.extend_from_slice(block.ticks());
                own.push(block.ticks().to_vec());
            }
        }
    }
    ticks.sort_unstable();
    ticks.dedup();
    for (piece, own) in pieces.iter_mut().zip(own) {
        let mut at = 0;
        piece.places.reserve(own.len());
        for tick in own {
            at += ticks[at..].partition_point(|&other| other < tick);
            piece.places.push(u32::try_from(at).unwrap_or(u32::MAX));
        }
    }
    if ticks.is_empty() || columns == 0 {
        return Ok((0, bytes));
    }
    let mut writer = Writer::new(&ticks, sink);
    let width = (ROW_SAMPLES / ticks.len()).max(1);
    let mut group = vec![vec![ABSENT; ticks.len()]; width.min(columns)];
    let mut values = Vec::new();
    for first in (0..columns).step_by(width) {
        let end = (first + width).min(columns);
        group.truncate(end - first);
        group.iter_mut().for_each(|column| column.fill(ABSENT));
        for piece in &pieces {
            gather(connection, piece, first, &mut group, &mut values)?;
        }
        writer.columns(first, &group)?;
    }
    writer.finish(columns)?;
    Ok((ticks.len() as u64 * columns as u64, bytes))
}

/// Puts a piece's part of some columns where it belongs.
fn gather(
    connection: &Connection,
    piece: &Piece,
    first: usize,
    group: &mut [Vec<f64>],
    values: &mut Vec<f64>,
) -> Result<(), MergeError> {
    for source in &piece.rows {
        let start = source.first_column as usize;
        if start >= first + group.len()
            || (source.columns > 0 && start + source.columns as usize <= first)
        {
            continue;
        }
        let mut block = open(connection, source)?;
        let end = start + block.column_count();
        for index in first.max(start)..(first + group.len()).min(end) {
            let column = u32::try_from(index - start).unwrap_or(u32::MAX);
            let read = block.column(column, values);
            read.map_err(|error| MergeError::Block(*source, error))?;
            let out = &mut group[index - first];
            if values.len() != piece.places.len() {
                return Err(MergeError::Contradiction("rows of one part differ".into()));
            }
            for (&place, &value) in piece.places.iter().zip(&*values) {
                let slot = &mut out[place as usize];
                if !is_absent(value) || is_absent(*slot) {
                    *slot = value;
                }
            }
        }
    }
    Ok(())
}

/// Encodes columns and their rollups.
struct Writer<'a> {
    ticks: &'a [i64],
    sink: &'a mut dyn FnMut(Row) -> Result<(), StoreError>,
    /// A step has what came after its start, up to its end: so that the value at a full minute
    /// is that of the minute which it ends.
    shifted: Vec<i64>,
    minutes: Rollups,
    hours: Rollups,
}

struct Rollups {
    kind: Kind,
    step_ms: i64,
    steps: Vec<i64>,
    first_column: usize,
    columns: Vec<RollupColumn>,
}

impl Rollups {
    fn new(kind: Kind, resolution: Resolution, shifted: &[i64]) -> Self {
        let step_ms = resolution.step_ms();
        let steps = bucket_ticks(shifted, step_ms);
        Self { kind, step_ms, steps, first_column: 0, columns: Vec::new() }
    }

    fn flush(
        &mut self,
        sink: &mut dyn FnMut(Row) -> Result<(), StoreError>,
    ) -> Result<(), MergeError> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let data = encode_rollup(&self.steps, &self.columns, Effort::Cold)
            .map_err(|error| MergeError::Contradiction(error.to_string()))?;
        let end = |step: Option<&i64>| step.map_or(0, |step| step.saturating_add(self.step_ms));
        sink(Row {
            kind: self.kind,
            first_column: number(self.first_column),
            columns: number(self.columns.len()),
            first_ms: end(self.steps.first()),
            last_ms: end(self.steps.last()),
            ticks: i64::from(number(self.steps.len())),
            data,
        })?;
        self.first_column += self.columns.len();
        self.columns.clear();
        Ok(())
    }
}

impl<'a> Writer<'a> {
    fn new(ticks: &'a [i64], sink: &'a mut dyn FnMut(Row) -> Result<(), StoreError>) -> Self {
        let shifted: Vec<i64> = ticks.iter().map(|tick| tick.saturating_sub(1)).collect();
        let minutes = Rollups::new(Kind::Minutes, Resolution::Minutes, &shifted);
        let hours = Rollups::new(Kind::Hours, Resolution::Hours, &shifted);
        Self { ticks, sink, shifted, minutes, hours }
    }

    fn columns(&mut self, first: usize, columns: &[Vec<f64>]) -> Result<(), MergeError> {
        let data = encode_block(self.ticks, columns, Effort::Cold)
            .map_err(|error| MergeError::Contradiction(error.to_string()))?;
        (self.sink)(Row {
            kind: Kind::Blocks,
            first_column: number(first),
            columns: number(columns.len()),
            first_ms: self.ticks.first().copied().unwrap_or_default(),
            last_ms: self.ticks.last().copied().unwrap_or_default(),
            ticks: i64::from(number(self.ticks.len())),
            data,
        })?;
        for column in columns {
            let minutes = rollup(&self.shifted, column, self.minutes.step_ms);
            self.hours.columns.push(coarsen(&self.minutes.steps, &minutes, self.hours.step_ms));
            self.minutes.columns.push(minutes);
            for rollups in [&mut self.minutes, &mut self.hours] {
                let values = rollups.columns.len() * rollups.steps.len();
                if values * crate::storage::PLANES >= ROW_SAMPLES {
                    rollups.flush(&mut *self.sink)?;
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, columns: usize) -> Result<(), MergeError> {
        self.minutes.flush(&mut *self.sink)?;
        self.hours.flush(&mut *self.sink)?;
        debug_assert_eq!(self.minutes.first_column, columns);
        Ok(())
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).expect("blocks have fewer ticks and columns")
}
