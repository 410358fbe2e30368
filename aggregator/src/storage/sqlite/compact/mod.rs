//! Compaction: the blocks that seals made become longer ones, of two hours, then of the day,
//! and are rolled up by the minute and the hour on the way.
//!
//! A step writes the new rows with the number of the compaction, in bounded transactions, then
//! makes the number count in the main database: at that instant the new rows take the place of
//! the old ones, for questions and whenever the process dies. Rows that were replaced are
//! deleted afterwards, when no question sees them any more. A file whose period is over is
//! written anew without the holes.

mod apply;
mod merge;
mod plan;
mod rewrite;
mod shrink;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};

use rusqlite::TransactionBehavior;
use rustix::fs::{FlockOperation, flock, statvfs};

use self::merge::Limits;
use super::SqliteStore;
use super::file::{io_error, sql_error};
use super::files::{FileId, Summary};
use super::seal::unmerge;
use crate::storage::{Compacted, StoreError};

/// Rows deleted in one transaction.
const SWEEP_ROWS: i64 = 64;
/// Room that must be left on the disk: compaction must not be what fills it.
const MIN_ROOM: u64 = 256 << 20;

/// What compaction remembers between its steps.
#[derive(Debug)]
pub(super) struct Compactor {
    /// Blocks of later seals are left alone.
    pub(super) settled: i64,
    /// Files that were written, and whose logs are to be emptied.
    logs: BTreeSet<FileId>,
    /// Files that have rows to delete.
    pub(super) swept: BTreeSet<FileId>,
    /// Files in which nothing was to do, as they were then, and when there may be.
    quiet: BTreeMap<FileId, Quiet>,
    /// When each file was last sealed into, as far as this process saw.
    changed: BTreeMap<FileId, (i64, i64)>,
    /// Layouts of files that have a damaged row: told once, then left as they are.
    damaged: BTreeSet<(FileId, u32)>,
    /// Files that are dense, by the summary that they had.
    dense: BTreeMap<FileId, Summary>,
    /// How large rows may be; tests set it.
    pub(super) limits: Limits,
    /// Room that must be left; tests set it.
    pub(super) min_room: u64,
    /// Steps that still work, in tests of what fails.
    #[cfg(test)]
    pub(super) fail_after: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Quiet {
    summary: Summary,
    settled: i64,
    until_ms: i64,
}

impl Compactor {
    /// Before the first step of a process: everything sealed has settled.
    pub(super) fn new(settled: i64, swept: BTreeSet<FileId>) -> Self {
        Self {
            settled,
            logs: BTreeSet::new(),
            swept,
            quiet: BTreeMap::new(),
            changed: BTreeMap::new(),
            damaged: BTreeSet::new(),
            dense: BTreeMap::new(),
            limits: Limits::default(),
            min_room: MIN_ROOM,
            #[cfg(test)]
            fail_after: None,
        }
    }

    /// Before everything that changes a file.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests make it fail")]
    fn about_to_write(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    #[cfg(test)]
    fn about_to_write(&mut self) -> Result<(), StoreError> {
        match &mut self.fail_after {
            Some(0) => Err(StoreError::Invalid("a test stops here".into())),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl SqliteStore {
    pub(super) fn compact_step(&self, now_ms: i64) -> Result<Compacted, StoreError> {
        let mut compactor = self.compactor.lock();
        let Some(_held) = self.hold_files()? else { return Ok(Compacted::default()) };
        self.remove_unmerged()?;
        if self.sweep(&mut compactor)? {
            return Ok(Compacted { more: true, ..Compacted::default() });
        }
        let room = self.room()?;
        let jobs = self.plan_jobs(&mut compactor, now_ms)?;
        if !jobs.is_empty() {
            if room < compactor.min_room {
                return Ok(Compacted { no_room: true, ..Compacted::default() });
            }
            return self.merge_jobs(&mut compactor, &jobs);
        }
        if let Some((id, bytes)) = self.plan_rewrite(&mut compactor, now_ms)? {
            if room < compactor.min_room.saturating_add(bytes) {
                return Ok(Compacted { no_room: true, ..Compacted::default() });
            }
            return self.rewrite(&mut compactor, id);
        }
        if self.shrink(&mut compactor)? {
            return Ok(Compacted { more: true, ..Compacted::default() });
        }
        compactor.settled = self.files.read().sealed;
        Ok(Compacted::default())
    }

    /// Keeps a backup or a check by another process from seeing files change; `None` while one
    /// is at work.
    pub(in crate::storage::sqlite) fn hold_files(&self) -> Result<Option<File>, StoreError> {
        let path = self.directory.join(super::MAINTENANCE);
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(io_error(&path, "open"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(io_error(&path, "lock")(error.into())),
        }
    }

    /// Bytes that can still be written.
    fn room(&self) -> Result<u64, StoreError> {
        let stat = statvfs(&self.directory)
            .map_err(|error| io_error(&self.directory, "ask for free space of")(error.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Removes what a failed compaction of this process left.
    fn remove_unmerged(&self) -> Result<(), StoreError> {
        let compacted = self.files.read().compacted;
        let mut writer = self.writer.lock();
        while let Some(&id) = writer.files.unmerged.first() {
            let path = id.path(&self.directory);
            let connection = writer.files.get(&self.directory, id)?;
            let removed = unmerge(connection, compacted);
            removed.map_err(sql_error(&path, "write to", id.kind.format()))?;
            writer.files.unmerged.remove(&id);
        }
        Ok(())
    }

    /// Deletes some of the rows that were replaced and that no question sees; whether there
    /// were any.
    fn sweep(&self, compactor: &mut Compactor) -> Result<bool, StoreError> {
        let floor = {
            let files = self.files.read();
            self.pins.floor(files.compacted)
        };
        for id in compactor.swept.clone() {
            if !self.files.read().entries.contains_key(&id) {
                compactor.swept.remove(&id);
                continue;
            }
            compactor.about_to_write()?;
            let mut writer = self.writer.lock();
            let connection = writer.files.get(&self.directory, id)?;
            let mut delete = || {
                let behavior = TransactionBehavior::Immediate;
                let transaction = connection.transaction_with_behavior(behavior)?;
                let sql = "SELECT merged, id FROM replaced WHERE at <= ?1 LIMIT ?2";
                let rows: Vec<(i64, i64)> = transaction
                    .prepare_cached(sql)?
                    .query_map([floor, SWEEP_ROWS], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect::<rusqlite::Result<_>>()?;
                let mut summary = Summary::read(&transaction)?;
                for &(merged, row) in &rows {
                    if merged == 0 {
                        let sql = "DELETE FROM blocks WHERE id = ?1";
                        let gone = transaction.prepare_cached(sql)?.execute([row])?;
                        summary.blocks -= i64::from(gone > 0);
                    } else {
                        transaction
                            .prepare_cached("DELETE FROM merged WHERE id = ?1")?
                            .execute([row])?;
                    }
                    let sql = "DELETE FROM replaced WHERE merged = ?1 AND id = ?2";
                    transaction.prepare_cached(sql)?.execute([merged, row])?;
                }
                summary.write(&transaction)?;
                let left = transaction.prepare_cached("SELECT 1 FROM replaced")?.exists([])?;
                transaction.commit()?;
                Ok((rows.len(), left, summary))
            };
            let path = id.path(&self.directory);
            let (gone, left, summary) =
                delete().map_err(sql_error(&path, "delete from", id.kind.format()))?;
            self.files.write().set(id, summary);
            drop(writer);
            if !left {
                compactor.swept.remove(&id);
            }
            if gone > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
