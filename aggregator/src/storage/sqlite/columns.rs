//! Reading columns: which rows of which files answer a question, and their parts.
//!
//! A question pins the compaction that it sees: what later ones replace stays until it is
//! through. Buffers are kept from part to part.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use rusqlite::{Connection, MAIN_DB, params};

use super::SqliteStore;
use super::block::{BlockError, BlockReader};
use super::file::{corrupt, open_reader, sql_error};
use super::files::{DAY_MS, Entry, FileId, Files, Kind, Summary, day_of};
use crate::storage::{ColumnQuery, PLANES, Resolution, Segment, StoreError, Wanted};

/// The compactions that questions under way see, and how many each.
#[derive(Debug, Default)]
pub(super) struct Pins(Mutex<BTreeMap<i64, usize>>);

impl Pins {
    /// Rows that were replaced up to this compaction are needed by nobody.
    pub(super) fn floor(&self, compacted: i64) -> i64 {
        self.0.lock().first_key_value().map_or(compacted, |(&first, _)| first.min(compacted))
    }
}

/// What a question sees.
struct Pinned<'a> {
    pins: &'a Pins,
    sealed: i64,
    compacted: i64,
    plan: Vec<(FileId, Entry, Use)>,
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        let mut pins = self.pins.0.lock();
        if let Some(count) = pins.get_mut(&self.compacted) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.compacted);
            }
        }
    }
}

/// What of a file is read.
#[derive(Debug, Clone)]
enum Use {
    /// Blocks, and what they were merged into where it is told so finely.
    Samples { merged: bool },
    /// Rollups of these days.
    Rollups(BTreeSet<i64>),
}

/// Which files answer, and what of each: rollups before the samples that follow them.
fn plan(files: &Files, query: &ColumnQuery) -> Vec<(FileId, Entry, Use)> {
    let overlaps =
        |summary: &Summary| summary.last_ms >= query.start_ms && summary.first_ms <= query.end_ms;
    let (mut samples, mut rollups) = (Vec::new(), BTreeMap::<FileId, BTreeSet<i64>>::new());
    // Days with a file of blocks: told from it, or from the rollups that are kept beside it.
    let mut days = BTreeSet::new();
    for (&id, &entry) in &files.entries {
        match id.kind {
            Kind::Odd if overlaps(&entry.summary) => {
                samples.push((id, entry, Use::Samples { merged: true }));
            }
            Kind::Blocks if overlaps(&entry.summary) => {
                days.insert(id.day);
            }
            // A step ends up to its length after its samples.
            Kind::Minutes | Kind::Hours => {
                let period = id.day..day_of(id.end_ms() - 1) + 1;
                let from = day_of(query.start_ms.saturating_sub(entry.summary.span_ms)) - 1;
                days.extend(period.filter(|day| (from..=day_of(query.end_ms)).contains(day)));
            }
            _ => {}
        }
    }
    for day in days {
        let (own, minutes, hours) =
            (Kind::Blocks.of_day(day), Kind::Minutes.of_day(day), Kind::Hours.of_day(day));
        let there = |id: &FileId| files.entries.contains_key(id);
        let whole = there(&own) && day >= files.kept_from.blocks;
        let by_minutes = there(&minutes) && day >= files.kept_from.minutes;
        let source = match query.resolution {
            Resolution::Samples if whole => None,
            Resolution::Hours if there(&hours) => Some(hours),
            _ if by_minutes => Some(minutes),
            _ if whole => None,
            _ => there(&hours).then_some(hours),
        };
        if let Some(id) = source {
            rollups.entry(id).or_default().insert(day);
        }
        if let Some(&entry) = files.entries.get(&own) {
            samples.push((own, entry, Use::Samples { merged: source.is_none() }));
        }
    }
    let rollups =
        rollups.into_iter().map(|(id, days)| (id, files.entries[&id], Use::Rollups(days)));
    rollups.chain(samples).collect()
}

impl SqliteStore {
    pub(super) fn read_columns(
        &self,
        query: &ColumnQuery,
        each: &mut dyn FnMut(usize, &Segment) -> bool,
    ) -> Result<(), StoreError> {
        if query.start_ms > query.end_ms {
            return Ok(());
        }
        let pinned = {
            let files = self.files.read();
            let (sealed, compacted) = (files.sealed, files.compacted);
            *self.pins.0.lock().entry(compacted).or_default() += 1;
            Pinned { pins: &self.pins, sealed, compacted, plan: plan(&files, query) }
        };
        let mut segment = Segment::default();
        for (id, entry, used) in &pinned.plan {
            let Some((key, connection)) = self.file_reader(*id, entry.incarnation)? else {
                continue;
            };
            let part = Part { store: self, connection: &connection, id: *id, query };
            let mut goes_on = true;
            // The file is locked once, not for each of its rows.
            let begun = connection.unchecked_transaction();
            let begun =
                begun.map_err(sql_error(&id.path(&self.directory), "read", id.kind.format()))?;
            for (number, wanted) in query.wanted.iter().enumerate() {
                let mut each = |segment: &Segment| each(number, segment);
                goes_on = part.read(&pinned, entry, used, wanted, &mut segment, &mut each)?;
                if !goes_on {
                    break;
                }
            }
            drop(begun);
            self.file_readers.put(key, connection);
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// A connection to a file, with what to give it back by. `None` when the file was pruned
    /// since the question began; one that was rewritten has the same rows.
    pub(super) fn file_reader(
        &self,
        id: FileId,
        incarnation: u64,
    ) -> Result<Option<Reader>, StoreError> {
        if let Some(connection) = self.file_readers.take(&(id, incarnation)) {
            return Ok(Some(((id, incarnation), connection)));
        }
        let (path, format) = (id.path(&self.directory), id.kind.format());
        let files = self.files.read();
        let Some(incarnation) = files.entries.get(&id).map(|entry| entry.incarnation) else {
            return Ok(None);
        };
        let connection = open_reader(&path, format)?;
        // SQLite opens the log with the first read, by name: it must be this file's log and not
        // that of one which takes its place, so it happens before retention can have the lock.
        Summary::read(&connection).map_err(sql_error(&path, "read", format))?;
        drop(files);
        Ok(Some(((id, incarnation), connection)))
    }
}

/// A connection to a file, and its place in the pool.
type Reader = ((FileId, u64), Connection);

/// Reads of one file for one question.
struct Part<'a> {
    store: &'a SqliteStore,
    connection: &'a Connection,
    id: FileId,
    query: &'a ColumnQuery,
}

/// A row that may have something of the question.
pub(super) struct Row {
    pub(super) id: i64,
    spool: u32,
    first_seq: u64,
    last_seq: u64,
    pub(super) first_column: u32,
    /// `None`: all.
    pub(super) columns: Option<u32>,
    last_ms: i64,
}

impl Part<'_> {
    fn read(
        &self,
        pinned: &Pinned<'_>,
        entry: &Entry,
        used: &Use,
        wanted: &Wanted,
        segment: &mut Segment,
        each: &mut dyn FnMut(&Segment) -> bool,
    ) -> Result<bool, StoreError> {
        let failed = |error| {
            let path = self.id.path(&self.store.directory);
            sql_error(&path, "read", self.id.kind.format())(error)
        };
        let (start, end) = (self.query.start_ms, self.query.end_ms);
        let earliest = start.saturating_sub(entry.summary.span_ms);
        let layout = wanted.layout;
        let merged = match used {
            Use::Samples { merged } => *merged,
            Use::Rollups(_) => true,
        };
        if merged && entry.summary.born > 0 {
            let days = match used {
                Use::Rollups(days) => Some(days),
                Use::Samples { .. } => None,
            };
            let list = || {
                let sql = "SELECT id, first_column, columns, day, last_ms FROM merged
                    WHERE layout = ?1 AND first_ms BETWEEN ?2 AND ?3 AND last_ms >= ?4
                        AND born <= ?5 AND NOT EXISTS (SELECT 1 FROM replaced
                            WHERE merged = 1 AND replaced.id = merged.id AND at <= ?5)
                    ORDER BY first_ms, first_column";
                let mut statement = self.connection.prepare_cached(sql)?;
                let mut found =
                    statement.query(params![layout, earliest, end, start, pinned.compacted])?;
                let mut rows = Vec::new();
                while let Some(row) = found.next()? {
                    if days.is_some_and(|days| row.get(3).is_ok_and(|day| !days.contains(&day))) {
                        continue;
                    }
                    let (id, first_column) = (row.get(0)?, row.get(1)?);
                    let (columns, last_ms) = (Some(row.get(2)?), row.get(4)?);
                    let (spool, first_seq, last_seq) = (0, 0, 0);
                    rows.push(Row {
                        id,
                        spool,
                        first_seq,
                        last_seq,
                        first_column,
                        columns,
                        last_ms,
                    });
                }
                Ok(rows)
            };
            for row in list().map_err(&failed)? {
                if !self.row("merged", &row, wanted, segment, each)? {
                    return Ok(false);
                }
            }
        }
        if self.id.kind.is_sealed_into() && entry.summary.blocks > 0 {
            let list = || {
                let sql = "SELECT id, spool, first_seq, last_seq FROM blocks
                    WHERE layout = ?1 AND first_ms BETWEEN ?2 AND ?3 AND last_ms >= ?4
                        AND seal <= ?5 AND NOT EXISTS (SELECT 1 FROM replaced
                            WHERE merged = 0 AND replaced.id = blocks.id AND at <= ?6)
                    ORDER BY first_ms, spool, first_seq";
                let range = params![layout, earliest, end, start, pinned.sealed, pinned.compacted];
                let mut statement = self.connection.prepare_cached(sql)?;
                let rows = statement.query_map(range, |row| {
                    Ok(Row {
                        id: row.get(0)?,
                        spool: row.get(1)?,
                        first_seq: row.get::<_, i64>(2)?.cast_unsigned(),
                        last_seq: row.get::<_, i64>(3)?.cast_unsigned(),
                        first_column: 0,
                        columns: None,
                        last_ms: i64::MAX,
                    })
                })?;
                rows.collect::<rusqlite::Result<Vec<_>>>()
            };
            for row in list().map_err(&failed)? {
                if !self.row("blocks", &row, wanted, segment, each)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn row(
        &self,
        table: &'static str,
        row: &Row,
        wanted: &Wanted,
        segment: &mut Segment,
        each: &mut dyn FnMut(&Segment) -> bool,
    ) -> Result<bool, StoreError> {
        let has = |column: u32| {
            row.columns.is_none_or(|n| (row.first_column..row.first_column + n).contains(&column))
        };
        segment.which.clear();
        let numbered = wanted.columns.iter().enumerate();
        segment.which.extend(numbered.filter(|(_, column)| has(**column)).map(|(at, _)| at));
        if segment.which.is_empty() && !wanted.columns.is_empty() {
            return Ok(true);
        }
        let mut read = || {
            let blob = self.connection.blob_open(MAIN_DB, table, "data", row.id, true);
            let mut block = BlockReader::open(blob.map_err(BlockError::Source)?)?;
            self.fill(&mut block, row, wanted, segment)
        };
        match read() {
            Ok(true) => Ok(each(segment)),
            Ok(false) => Ok(true),
            Err(error) => Err(self.error(table, row.id, wanted.layout, error)),
        }
    }

    /// The part of a block in the range; false when no tick is.
    fn fill(
        &self,
        block: &mut BlockReader<'_>,
        row: &Row,
        wanted: &Wanted,
        segment: &mut Segment,
    ) -> Result<bool, BlockError> {
        let step_ms = match self.id.kind {
            Kind::Minutes => Resolution::Minutes.step_ms(),
            Kind::Hours => Resolution::Hours.step_ms(),
            Kind::Blocks | Kind::Odd => 0,
        };
        let ticks = block.ticks();
        // The last step is told at its last sample: what is not rolled up with it comes after.
        let end = |tick: &i64| tick.saturating_add(step_ms).min(row.last_ms);
        let from = ticks.partition_point(|tick| end(tick) < self.query.start_ms);
        let to = ticks.partition_point(|tick| end(tick) <= self.query.end_ms);
        if from >= to {
            return Ok(false);
        }
        (segment.spool, segment.first_seq, segment.last_seq) =
            (row.spool, row.first_seq, row.last_seq);
        segment.step_ms = step_ms;
        segment.ticks_ms.clear();
        segment.ticks_ms.extend(ticks[from..to].iter().map(end));
        let planes = if step_ms > 0 { PLANES } else { 1 };
        segment.columns.resize_with(segment.which.len() * planes, Vec::new);
        for (slot, &at) in segment.which.iter().enumerate() {
            let column = wanted.columns[at] - row.first_column;
            if step_ms > 0 {
                let rollup = block.rollup(column)?;
                let planes = [rollup.last, rollup.count, rollup.min, rollup.max, rollup.sum];
                for (out, mut plane) in segment.columns[slot * PLANES..].iter_mut().zip(planes) {
                    cut(&mut plane, from, to);
                    *out = plane;
                }
            } else {
                let out = &mut segment.columns[slot];
                block.column(column, out)?;
                cut(out, from, to);
            }
        }
        Ok(true)
    }

    fn error(&self, table: &str, id: i64, layout: u32, error: BlockError) -> StoreError {
        let path = self.id.path(&self.store.directory);
        let format = self.id.kind.format();
        match error {
            BlockError::Source(error) => sql_error(&path, "read", format)(error),
            BlockError::Damaged(what) => {
                let name = if table == "blocks" { "block" } else { "merged block" };
                corrupt(&path, format!("{name} {id} of layout {layout}: {what}"), format)
            }
            BlockError::NoColumn(index) => {
                StoreError::Invalid(format!("layout {layout} does not have a column {index}"))
            }
        }
    }
}

fn cut(values: &mut Vec<f64>, from: usize, to: usize) {
    values.truncate(to);
    if from > 0 {
        values.drain(..from);
    }
}

/// The first instant of a day.
pub(super) fn start_of(day: i64) -> i64 {
    day.saturating_mul(DAY_MS)
}
