//! One job: its rows become rows of the same samples, longer ones, and rollups of them.
//!
//! A row has all columns of the layout where that fits: columns are coded by what other columns
//! of their row do. What is in memory at a time is one row, uncoded, and the rollups so far.

use std::ops::Range;

use rusqlite::{Connection, MAIN_DB};
use sextant_proto::frame::{ABSENT, is_absent};

use super::super::block::{BlockError, BlockReader};
use super::super::files::Kind;
use super::plan::{Job, Source};
use crate::storage::codec::{
    Effort, RollupColumn, bucket_ticks, coarsen, encode_block, encode_rollup, rollup,
};
use crate::storage::{PLANES, Resolution, StoreError};

/// How large a row may be.
#[derive(Debug, Clone, Copy)]
pub(in crate::storage::sqlite) struct Limits {
    /// Ticks of one row: a day of them 10 s apart. More would make columns no smaller.
    pub(in crate::storage::sqlite) ticks: usize,
    /// Samples of one row, 32 MiB: layouts of more columns than fit are cut by columns.
    pub(in crate::storage::sqlite) samples: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { ticks: 9000, samples: 4 << 20 }
    }
}

/// Values of rollups that wait to be written, 32 MiB.
const ROLLUP_VALUES: usize = 4 << 20;

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
    /// A row of the job, by its id.
    Block(i64, Box<BlockError>),
    /// Rows of a layout contradict each other.
    Contradiction(String),
    Store(StoreError),
}

impl From<StoreError> for MergeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Rows of a part with the same ticks, by their first column.
struct Piece {
    rows: Vec<Source>,
    /// Where each of its ticks is among those of the job.
    places: Vec<u32>,
}

fn open<'a>(connection: &'a Connection, source: &Source) -> Result<BlockReader<'a>, MergeError> {
    let table = if source.merged { "merged" } else { "blocks" };
    let blob = connection.blob_open(MAIN_DB, table, "data", source.id, true);
    let block = blob.map_err(BlockError::Source).and_then(BlockReader::open);
    block.map_err(|error| MergeError::Block(source.id, Box::new(error)))
}

/// Merges a job and hands out its rows; returns the samples and the bytes that there were.
pub(super) fn merge(
    connection: &Connection,
    job: &Job,
    limits: Limits,
    sink: &mut dyn FnMut(Row) -> Result<(), StoreError>,
) -> Result<(u64, u64), MergeError> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut last = (0, 0);
    for source in &job.sources {
        let this = (source.part, source.first_ms);
        match pieces.last_mut() {
            Some(piece) if source.part != 0 && this == last => piece.rows.push(*source),
            _ => pieces.push(Piece { rows: vec![*source], places: Vec::new() }),
        }
        last = this;
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
    let mut writer = Writer::new(&ticks, columns, sink);
    let mut values = Vec::new();
    for slice in slices(&ticks, limits.ticks) {
        let width = (limits.samples / slice.len()).clamp(1, columns);
        let mut group = vec![vec![ABSENT; slice.len()]; width];
        for first in (0..columns).step_by(width) {
            let end = (first + width).min(columns);
            group.truncate(end - first);
            group.iter_mut().for_each(|column| column.fill(ABSENT));
            for piece in &pieces {
                gather(connection, piece, &slice, first, &mut group, &mut values)?;
            }
            writer.columns(&ticks[slice.clone()], first, &group)?;
        }
    }
    writer.finish()?;
    Ok((ticks.len() as u64 * columns as u64, bytes))
}

/// The ticks of each row, cut at full hours where there is one, so that no step is cut.
fn slices(ticks: &[i64], most: usize) -> Vec<Range<usize>> {
    let hour = |tick: i64| tick.saturating_sub(1).div_euclid(Resolution::Hours.step_ms());
    let mut slices = Vec::new();
    let mut start = 0;
    while start < ticks.len() {
        let mut end = ticks.len();
        if end - start > most {
            end = start + most;
            let next = hour(ticks[end]);
            let full = start + ticks[start..end].partition_point(|&tick| hour(tick) < next);
            if full > start {
                end = full;
            }
        }
        slices.push(start..end);
        start = end;
    }
    slices
}

/// Puts a piece's part of some columns where it belongs.
fn gather(
    connection: &Connection,
    piece: &Piece,
    slice: &Range<usize>,
    first: usize,
    group: &mut [Vec<f64>],
    values: &mut Vec<f64>,
) -> Result<(), MergeError> {
    let at = |place: usize| piece.places.partition_point(|&other| (other as usize) < place);
    let own = at(slice.start)..at(slice.end);
    if own.is_empty() {
        return Ok(());
    }
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
            read.map_err(|error| MergeError::Block(source.id, Box::new(error)))?;
            let out = &mut group[index - first];
            if values.len() != piece.places.len() {
                return Err(MergeError::Contradiction("rows of one part differ".into()));
            }
            for (&place, &value) in piece.places[own.clone()].iter().zip(&values[own.clone()]) {
                let slot = &mut out[place as usize - slice.start];
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
    sink: &'a mut dyn FnMut(Row) -> Result<(), StoreError>,
    minutes: Rollups,
    hours: Rollups,
}

/// Rollups that wait for more. Those of all slices go into one row where that fits; otherwise
/// each slice has rows of some columns.
struct Rollups {
    kind: Kind,
    step_ms: i64,
    fits: bool,
    steps: Vec<i64>,
    /// Where those of the slice under way begin.
    from: usize,
    /// Of the samples.
    first_ms: i64,
    last_ms: i64,
    first_column: usize,
    columns: Vec<RollupColumn>,
}

impl Rollups {
    /// For a job with these ticks and so many columns.
    fn new(kind: Kind, resolution: Resolution, ticks: &[i64], columns: usize) -> Self {
        let step_ms = resolution.step_ms();
        let values = bucket_ticks(ticks, step_ms).len() * columns * PLANES;
        Self {
            kind,
            step_ms,
            fits: values <= ROLLUP_VALUES,
            steps: Vec::new(),
            from: 0,
            first_ms: 0,
            last_ms: 0,
            first_column: 0,
            columns: Vec::new(),
        }
    }

    /// Begins a slice; what does not go into one row with it is written.
    fn begin(
        &mut self,
        ticks: &[i64],
        shifted: &[i64],
        sink: &mut dyn FnMut(Row) -> Result<(), StoreError>,
    ) -> Result<(), MergeError> {
        let next = bucket_ticks(shifted, self.step_ms);
        let is_cut = self.steps.last() >= next.first();
        if !self.fits || is_cut {
            self.flush(sink)?;
            self.steps.clear();
            self.first_column = 0;
        }
        let end = |tick: Option<&i64>| tick.copied().unwrap_or_default();
        if self.steps.is_empty() {
            self.first_ms = end(ticks.first());
        }
        self.last_ms = end(ticks.last());
        self.from = self.steps.len();
        self.steps.extend(next);
        Ok(())
    }

    /// The next column of the slice.
    fn column(
        &mut self,
        index: usize,
        rolled: &RollupColumn,
        sink: &mut dyn FnMut(Row) -> Result<(), StoreError>,
    ) -> Result<(), MergeError> {
        let at = index - self.first_column;
        if self.columns.len() <= at {
            self.columns.resize_with(at + 1, RollupColumn::default);
        }
        self.columns[at].extend(rolled);
        if !self.fits && self.columns.len() * self.steps.len() * PLANES >= ROLLUP_VALUES {
            self.flush(sink)?;
        }
        Ok(())
    }

    /// Writes the columns that wait.
    fn flush(
        &mut self,
        sink: &mut dyn FnMut(Row) -> Result<(), StoreError>,
    ) -> Result<(), MergeError> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let data = encode_rollup(&self.steps, &self.columns, Effort::Cold)
            .map_err(|error| MergeError::Contradiction(error.to_string()))?;
        sink(Row {
            kind: self.kind,
            first_column: number(self.first_column),
            columns: number(self.columns.len()),
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            ticks: i64::from(number(self.steps.len())),
            data,
        })?;
        self.first_column += self.columns.len();
        self.columns.clear();
        Ok(())
    }
}

impl<'a> Writer<'a> {
    fn new(
        ticks: &[i64],
        columns: usize,
        sink: &'a mut dyn FnMut(Row) -> Result<(), StoreError>,
    ) -> Self {
        let minutes = Rollups::new(Kind::Minutes, Resolution::Minutes, ticks, columns);
        let hours = Rollups::new(Kind::Hours, Resolution::Hours, ticks, columns);
        Self { sink, minutes, hours }
    }

    fn columns(
        &mut self,
        ticks: &[i64],
        first: usize,
        columns: &[Vec<f64>],
    ) -> Result<(), MergeError> {
        // A step has what came after its start, up to its end: so that the value at a full
        // minute is that of the minute which it ends.
        let shifted: Vec<i64> = ticks.iter().map(|tick| tick.saturating_sub(1)).collect();
        if first == 0 {
            for rollups in [&mut self.minutes, &mut self.hours] {
                rollups.begin(ticks, &shifted, &mut *self.sink)?;
            }
        }
        let data = encode_block(ticks, columns, Effort::Cold)
            .map_err(|error| MergeError::Contradiction(error.to_string()))?;
        (self.sink)(Row {
            kind: Kind::Blocks,
            first_column: number(first),
            columns: number(columns.len()),
            first_ms: ticks.first().copied().unwrap_or_default(),
            last_ms: ticks.last().copied().unwrap_or_default(),
            ticks: i64::from(number(ticks.len())),
            data,
        })?;
        for (index, column) in (first..).zip(columns) {
            let minutes = rollup(&shifted, column, self.minutes.step_ms);
            let steps = &self.minutes.steps[self.minutes.from..];
            let hours = coarsen(steps, &minutes, self.hours.step_ms);
            self.minutes.column(index, &minutes, &mut *self.sink)?;
            self.hours.column(index, &hours, &mut *self.sink)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), MergeError> {
        self.minutes.flush(&mut *self.sink)?;
        self.hours.flush(&mut *self.sink)
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).expect("blocks have fewer ticks and columns")
}
