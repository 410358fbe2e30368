//! Seals: frames leave the journal for blocks. First the blocks are written, a transaction for
//! each day's file, with the seal's number; then one transaction of the main database deletes
//! the frames and makes the number count. Whatever is left of a seal that did not get that far
//! is removed before anything else is sealed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::days::{Days, Summary, day_of, day_path};
use super::file::{corrupt, create, open_writer, sql_error};
use super::migrate::{DAY, MAIN};
use super::write::{Fault, integer};
use super::{SqliteStore, Writer};
use crate::storage::codec::{Effort, encode_block};
use crate::storage::{Chunk, StoreError};

/// Write connections to days kept open: today's, and yesterday's around midnight and for nodes
/// whose clocks differ.
const OPEN_DAYS: usize = 2;

/// Write connections to days.
#[derive(Default)]
pub(super) struct DayWriters {
    /// The last used at the end.
    open: Vec<(i64, Connection)>,
    /// Days that may have blocks of a seal that does not count.
    unconfirmed: BTreeSet<i64>,
}

impl DayWriters {
    /// A connection to a day's file, which is made when it is not there.
    pub(super) fn get(
        &mut self,
        directory: &Path,
        day: i64,
    ) -> Result<&mut Connection, StoreError> {
        let connection = match self.open.iter().position(|(other, _)| *other == day) {
            Some(at) => self.open.remove(at).1,
            None => {
                let path = day_path(directory, day);
                if !path.exists() {
                    create(&path, &DAY)?;
                }
                open_writer(&path, &DAY)?
            }
        };
        if self.open.len() >= OPEN_DAYS {
            retire(&self.open.remove(0).1);
        }
        self.open.push((day, connection));
        Ok(&mut self.open.last_mut().expect("pushed above").1)
    }

    /// Closes the connection to a day that goes.
    pub(super) fn close(&mut self, day: i64) {
        self.open.retain(|(other, _)| *other != day);
    }

    /// Whether the day may have blocks that do not count.
    pub(super) fn is_unconfirmed(&self, day: i64) -> bool {
        self.unconfirmed.contains(&day)
    }
}

/// Empties the log of a day that is written no more; readers may keep it from being deleted.
fn retire(connection: &Connection) {
    let emptied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    if let Err(error) = emptied {
        tracing::debug!(error = %error, "write-ahead log of a day not emptied");
    }
}

/// Reads every day's summary and removes blocks that do not count. All are looked at before
/// one is changed.
pub(super) fn open_days(
    directory: &Path,
    main: &Path,
    listed: &[i64],
    sealed: i64,
) -> Result<(Days, DayWriters), StoreError> {
    let mut days = Days::new(sealed);
    for &day in listed {
        let path = day_path(directory, day);
        let connection = open_writer(&path, &DAY)?;
        let summary = Summary::read(&connection).map_err(sql_error(&path, "read", &DAY))?;
        // One seal at most is under way when a process dies.
        if summary.seal > sealed + 1 {
            let what = format!("it is older than {}", path.display());
            return Err(corrupt(main, what, &MAIN));
        }
        days.set(day, summary);
    }
    for (&day, file) in &mut days.files {
        if file.summary.seal > sealed {
            let path = day_path(directory, day);
            let mut connection = open_writer(&path, &DAY)?;
            let removed = roll_back(&mut connection, sealed);
            file.summary = removed.map_err(sql_error(&path, "write to", &DAY))?;
            tracing::info!(path = %path.display(), "blocks of an unfinished seal removed");
        }
    }
    Ok((days, DayWriters::default()))
}

/// Removes the blocks of seals beyond this one.
fn roll_back(connection: &mut Connection, sealed: i64) -> rusqlite::Result<Summary> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("DELETE FROM blocks WHERE seal > ?1", [sealed])?;
    let sql = "SELECT count(*), coalesce(max(last_ms), ?1) FROM blocks";
    let (blocks, last_ms) =
        transaction.query_one(sql, [i64::MIN], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let span_ms = Summary::read(&transaction)?.span_ms;
    let summary = Summary { seal: sealed, blocks, last_ms, span_ms };
    summary.write(&transaction)?;
    transaction.commit()?;
    Ok(summary)
}

impl SqliteStore {
    pub(super) fn seal_chunks(&self, chunks: &[Chunk]) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        let seal = self.days.read().sealed + 1;
        let written = self.write_blocks(&mut writer, chunks, seal)?;
        self.confirm(&mut writer, chunks, seal, &written)
    }

    /// The first half: blocks on disk that do not count yet.
    pub(super) fn write_blocks(
        &self,
        writer: &mut Writer,
        chunks: &[Chunk],
        seal: i64,
    ) -> Result<BTreeMap<i64, Summary>, StoreError> {
        self.remove_unconfirmed(&mut writer.days, seal - 1)?;
        let mut by_day: BTreeMap<i64, Vec<&Chunk>> = BTreeMap::new();
        for chunk in chunks {
            chunk.check()?;
            check_committed(&writer.main, chunk)
                .map_err(|fault| fault.into_error(self.failed("read")))?;
            if let Some(&first) = chunk.ticks_ms.first() {
                by_day.entry(day_of(first)).or_default().push(chunk);
            }
        }
        let mut written = BTreeMap::new();
        for (day, chunks) in by_day {
            writer.days.unconfirmed.insert(day);
            let connection = writer.days.get(&self.directory, day)?;
            let write = || {
                let behavior = TransactionBehavior::Immediate;
                let transaction = connection.transaction_with_behavior(behavior)?;
                let mut summary = Summary::read(&transaction)?;
                summary.seal = seal;
                for chunk in chunks {
                    insert_block(&transaction, chunk, &mut summary)?;
                }
                summary.write(&transaction)?;
                transaction.commit()?;
                Ok(summary)
            };
            let summary = write().map_err(|fault: Fault| {
                fault.into_error(sql_error(&day_path(&self.directory, day), "write to", &DAY))
            })?;
            written.insert(day, summary);
        }
        Ok(written)
    }

    /// The second half: the blocks count, the frames go.
    fn confirm(
        &self,
        writer: &mut Writer,
        chunks: &[Chunk],
        seal: i64,
        written: &BTreeMap<i64, Summary>,
    ) -> Result<(), StoreError> {
        let mut confirm = || {
            let behavior = TransactionBehavior::Immediate;
            let transaction = writer.main.transaction_with_behavior(behavior)?;
            let mut frames = 0;
            for chunk in chunks {
                let sql = "DELETE FROM journal
                    WHERE layout = ?1 AND spool = ?2 AND seq BETWEEN ?3 AND ?4";
                let (first, last) = (integer(chunk.first_seq)?, integer(chunk.last_seq)?);
                let range = params![chunk.layout, chunk.spool, first, last];
                frames += transaction.prepare_cached(sql)?.execute(range)?;
            }
            transaction.execute("UPDATE sealed SET seal = ?1", [seal])?;
            transaction.commit()?;
            Ok(frames)
        };
        let frames = confirm().map_err(|fault: Fault| fault.into_error(self.failed("write to")))?;
        writer.days.unconfirmed.clear();
        let mut days = self.days.write();
        days.sealed = seal;
        for (&day, &summary) in written {
            days.set(day, summary);
        }
        self.journal_frames.fetch_sub(frames as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Removes what an earlier seal of this process left when it failed.
    fn remove_unconfirmed(&self, days: &mut DayWriters, sealed: i64) -> Result<(), StoreError> {
        while let Some(&day) = days.unconfirmed.first() {
            let path = day_path(&self.directory, day);
            let connection = days.get(&self.directory, day)?;
            roll_back(connection, sealed).map_err(sql_error(&path, "write to", &DAY))?;
            days.unconfirmed.remove(&day);
        }
        Ok(())
    }
}

fn check_committed(main: &Connection, chunk: &Chunk) -> Result<(), Fault> {
    let sql = "SELECT 1 FROM spools, layouts
        WHERE spools.id = ?1 AND committed_seq >= ?2 AND layouts.id = ?3";
    let row = params![chunk.spool, integer(chunk.last_seq)?, chunk.layout];
    if !main.prepare_cached(sql)?.exists(row)? {
        return Err(Fault::Invalid("a chunk holds frames that are not committed".into()));
    }
    Ok(())
}

fn insert_block(
    transaction: &Transaction<'_>,
    chunk: &Chunk,
    summary: &mut Summary,
) -> Result<(), Fault> {
    let (Some(&first_ms), Some(&last_ms)) = (chunk.ticks_ms.first(), chunk.ticks_ms.last()) else {
        return Ok(());
    };
    let (first_seq, last_seq) = (integer(chunk.first_seq)?, integer(chunk.last_seq)?);
    let sql = "SELECT last_seq, seal FROM blocks
        WHERE layout = ?1 AND first_ms = ?2 AND spool = ?3 AND first_seq = ?4";
    let sealed: Option<(i64, i64)> = transaction
        .prepare_cached(sql)?
        .query_one(params![chunk.layout, first_ms, chunk.spool, first_seq], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    if let Some((sealed_seq, seal)) = sealed {
        if sealed_seq == last_seq && seal < summary.seal {
            return Ok(());
        }
        return Err(Fault::Invalid("a chunk overlaps another".into()));
    }
    let data = encode_block(&chunk.ticks_ms, &chunk.columns, Effort::Hot)
        .map_err(|error| Fault::Invalid(format!("chunk of layout {}: {error}", chunk.layout)))?;
    let sql = "INSERT INTO blocks
        (layout, spool, first_seq, last_seq, first_ms, last_ms, ticks, seal, data)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    transaction.prepare_cached(sql)?.execute(params![
        chunk.layout,
        chunk.spool,
        first_seq,
        last_seq,
        first_ms,
        last_ms,
        integer(chunk.ticks_ms.len() as u64)?,
        summary.seal,
        data,
    ])?;
    summary.blocks += 1;
    summary.last_ms = summary.last_ms.max(last_ms);
    summary.span_ms = summary.span_ms.max(last_ms.saturating_sub(first_ms));
    Ok(())
}
