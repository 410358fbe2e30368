//! Seals: frames leave the journal for blocks. First the blocks are written, a transaction for
//! each file, with the seal's number; then one transaction of the main database deletes
//! the frames and makes the number count. Whatever is left of a seal that did not get that far
//! is removed before anything else is sealed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::file::{corrupt, create, open_writer, sql_error};
use super::files::{FileId, Files, Kept, Summary};
use super::migrate::MAIN;
use super::write::{Fault, integer};
use super::{SqliteStore, Writer};
use crate::storage::codec::{Effort, encode_block};
use crate::storage::{Chunk, StoreError};

/// Write connections kept open: today's blocks, minutes and hours, yesterday's around midnight
/// and for nodes whose clocks differ.
const OPEN_FILES: usize = 6;

/// Write connections to files of samples.
#[derive(Default)]
pub(super) struct FileWriters {
    /// The last used at the end.
    open: Vec<(FileId, Connection)>,
    /// Files that may have blocks of a seal that does not count.
    unconfirmed: BTreeSet<FileId>,
    /// Files that may have rows of a compaction that does not count.
    pub(super) unmerged: BTreeSet<FileId>,
}

impl FileWriters {
    /// A connection to a file, which is made when it is not there.
    pub(super) fn get(
        &mut self,
        directory: &Path,
        id: FileId,
    ) -> Result<&mut Connection, StoreError> {
        let connection = match self.open.iter().position(|(other, _)| *other == id) {
            Some(at) => self.open.remove(at).1,
            None => {
                let path = id.path(directory);
                if !path.exists() {
                    create(&path, id.kind.format())?;
                }
                open_writer(&path, id.kind.format())?
            }
        };
        if self.open.len() >= OPEN_FILES {
            retire(&self.open.remove(0).1);
        }
        self.open.push((id, connection));
        Ok(&mut self.open.last_mut().expect("pushed above").1)
    }

    /// Closes the connection to a file that goes.
    pub(super) fn close(&mut self, id: FileId) {
        self.open.retain(|(other, _)| *other != id);
    }

    /// Whether the file may have rows that do not count.
    pub(super) fn is_unconfirmed(&self, id: FileId) -> bool {
        self.unconfirmed.contains(&id) || self.unmerged.contains(&id)
    }
}

/// Empties the log of a file that is written no more; readers may keep it from being deleted.
fn retire(connection: &Connection) {
    let emptied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    if let Err(error) = emptied {
        tracing::debug!(error = %error, "write-ahead log of a day not emptied");
    }
}

/// Reads every file's summary and removes rows that do not count. All are looked at before one
/// is changed.
pub(super) fn open_files(
    directory: &Path,
    main: &Path,
    listed: &[FileId],
    (sealed, compacted, kept_from): (i64, i64, Kept),
) -> Result<(Files, BTreeSet<FileId>), StoreError> {
    let mut files = Files::new(sealed, compacted, kept_from);
    let mut swept = BTreeSet::new();
    for &id in listed {
        let path = id.path(directory);
        let format = id.kind.format();
        let connection = open_writer(&path, format)?;
        let failed = sql_error(&path, "read", format);
        let summary = Summary::read(&connection).map_err(&failed)?;
        // One seal and one compaction at most are under way when a process dies.
        if summary.seal > sealed + 1 || summary.born > compacted + 1 {
            let what = format!("it is older than {}", path.display());
            return Err(corrupt(main, what, &MAIN));
        }
        let replaced = connection.prepare("SELECT 1 FROM replaced");
        if replaced.and_then(|mut any| any.exists([])).map_err(&failed)? {
            swept.insert(id);
        }
        files.set(id, summary);
    }
    for (&id, file) in &mut files.entries {
        let path = id.path(directory);
        let failed = sql_error(&path, "write to", id.kind.format());
        if file.summary.seal > sealed {
            let mut connection = open_writer(&path, id.kind.format())?;
            file.summary = roll_back(&mut connection, sealed).map_err(&failed)?;
            tracing::info!(path = %path.display(), "blocks of an unfinished seal removed");
        }
        if file.summary.born > compacted {
            let mut connection = open_writer(&path, id.kind.format())?;
            file.summary = unmerge(&mut connection, compacted).map_err(&failed)?;
            tracing::info!(path = %path.display(), "rows of an unfinished compaction removed");
        }
    }
    Ok((files, swept))
}

/// Removes the blocks of seals beyond this one.
pub(super) fn roll_back(connection: &mut Connection, sealed: i64) -> rusqlite::Result<Summary> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("DELETE FROM blocks WHERE seal > ?1", [sealed])?;
    let blocks = transaction.query_one("SELECT count(*) FROM blocks", [], |row| row.get(0))?;
    let summary = Summary { seal: sealed, blocks, ..Summary::read(&transaction)? };
    summary.write(&transaction)?;
    transaction.commit()?;
    Ok(summary)
}

/// Removes the rows of compactions beyond this one; what they replaced counts again.
pub(super) fn unmerge(connection: &mut Connection, compacted: i64) -> rusqlite::Result<Summary> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("DELETE FROM merged WHERE born > ?1", [compacted])?;
    transaction.execute("DELETE FROM replaced WHERE at > ?1", [compacted])?;
    let summary = Summary { born: compacted, ..Summary::read(&transaction)? };
    summary.write(&transaction)?;
    transaction.commit()?;
    Ok(summary)
}

impl SqliteStore {
    pub(super) fn seal_chunks(&self, chunks: &[Chunk]) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        let seal = self.files.read().sealed + 1;
        let written = self.write_blocks(&mut writer, chunks, seal)?;
        self.confirm(&mut writer, chunks, seal, &written)
    }

    /// The first half: blocks on disk that do not count yet.
    pub(super) fn write_blocks(
        &self,
        writer: &mut Writer,
        chunks: &[Chunk],
        seal: i64,
    ) -> Result<BTreeMap<FileId, Summary>, StoreError> {
        self.remove_unconfirmed(&mut writer.files, seal - 1)?;
        let mut by_file: BTreeMap<FileId, Vec<&Chunk>> = BTreeMap::new();
        for chunk in chunks {
            chunk.check()?;
            check_committed(&writer.main, chunk)
                .map_err(|fault| fault.into_error(self.failed("read")))?;
            if let Some(&first) = chunk.ticks_ms.first() {
                by_file.entry(FileId::of_samples(first, chunk.arrived_ms)).or_default().push(chunk);
            }
        }
        let mut written = BTreeMap::new();
        for (id, chunks) in by_file {
            writer.files.unconfirmed.insert(id);
            let connection = writer.files.get(&self.directory, id)?;
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
                fault.into_error(sql_error(&id.path(&self.directory), "write to", id.kind.format()))
            })?;
            written.insert(id, summary);
        }
        Ok(written)
    }

    /// The second half: the blocks count, the frames go.
    fn confirm(
        &self,
        writer: &mut Writer,
        chunks: &[Chunk],
        seal: i64,
        written: &BTreeMap<FileId, Summary>,
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
        writer.files.unconfirmed.clear();
        let mut files = self.files.write();
        files.sealed = seal;
        for (&id, &summary) in written {
            files.set(id, summary);
        }
        self.journal_frames.fetch_sub(frames as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Removes what an earlier seal of this process left when it failed.
    fn remove_unconfirmed(&self, files: &mut FileWriters, sealed: i64) -> Result<(), StoreError> {
        while let Some(&id) = files.unconfirmed.first() {
            let path = id.path(&self.directory);
            let connection = files.get(&self.directory, id)?;
            let removed = roll_back(connection, sealed);
            removed.map_err(sql_error(&path, "write to", id.kind.format()))?;
            files.unconfirmed.remove(&id);
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
    summary.cover(first_ms, last_ms);
    Ok(())
}
