//! Writing what a step made: the new rows in bounded transactions, then the names of those that
//! they replace, then the number that makes both count.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{TransactionBehavior, params};

use super::super::SqliteStore;
use super::super::file::{corrupt, sql_error};
use super::super::files::{FileId, Kind, Summary};
use super::Compactor;
use super::merge::{MergeError, Row, merge};
use super::plan::{Job, Source};
use crate::storage::{Compacted, StoreError};

/// Bytes of rows of one transaction: commits wait for no more.
const BATCH_BYTES: usize = 2 << 20;
/// Bytes that a step makes before it lets what it has count.
const STEP_BYTES: u64 = 16 << 20;
/// Parts of one compaction: their numbers are made of it and of their order.
const MAX_PARTS: i64 = 1 << 16;

/// Rows that wait for their transaction.
struct Batch {
    born: i64,
    rows: Vec<(FileId, i64, u32, i64, i64, Row)>,
    bytes: usize,
    /// What all batches of the step wrote.
    written: BTreeSet<FileId>,
    count: u64,
    total: u64,
}

impl SqliteStore {
    /// Merges jobs of one file, as many as a step may.
    pub(super) fn merge_jobs(
        &self,
        compactor: &mut Compactor,
        jobs: &[Job],
    ) -> Result<Compacted, StoreError> {
        let born = self.files.read().compacted + 1;
        let mut batch = Batch {
            born,
            rows: Vec::new(),
            bytes: 0,
            written: BTreeSet::new(),
            count: 0,
            total: 0,
        };
        let mut done = Compacted { more: true, ..Compacted::default() };
        let mut replaced: BTreeMap<FileId, Vec<Source>> = BTreeMap::new();
        for (number, job) in (0..MAX_PARTS).zip(jobs) {
            let incarnation = self.files.read().entries.get(&job.file).map(|e| e.incarnation);
            let reader = self.file_reader(job.file, incarnation.unwrap_or_default())?;
            // Retention was faster.
            let Some((key, connection)) = reader else { return Ok(done) };
            let part = born * MAX_PARTS + number;
            let limits = compactor.limits;
            let merged = merge(&connection, job, limits, &mut |row| {
                let file = row.kind.of_day(job.file.day);
                batch.bytes += row.data.len();
                if row.kind == Kind::Blocks {
                    batch.count += 1;
                    batch.total += row.data.len() as u64;
                }
                batch.rows.push((file, part, job.layout, job.file.day, job.level, row));
                if batch.bytes >= BATCH_BYTES {
                    self.write_batch(compactor, &mut batch)
                } else {
                    Ok(())
                }
            });
            let (samples, bytes) =
                merged.map_err(|error| self.merge_error(compactor, job, error))?;
            self.file_readers.put(key, connection);
            done.samples += samples;
            done.bytes_before += bytes;
            done.merged += job.sources.len() as u64;
            replaced.entry(job.file).or_default().extend(&job.sources);
            if batch.total >= STEP_BYTES {
                break;
            }
        }
        self.write_batch(compactor, &mut batch)?;
        done.into = batch.count;
        done.bytes_after = batch.total;
        for (file, sources) in replaced {
            let parts: BTreeSet<i64> = sources.iter().map(|s| s.part).filter(|p| *p != 0).collect();
            self.replace(compactor, &mut batch, file, &sources, &BTreeSet::new())?;
            for kind in [Kind::Minutes, Kind::Hours] {
                let file = kind.of_day(file.day);
                if !parts.is_empty() && self.files.read().entries.contains_key(&file) {
                    self.replace(compactor, &mut batch, file, &[], &parts)?;
                }
            }
        }
        self.confirm_compaction(compactor, &batch)?;
        Ok(done)
    }

    /// Writes the rows of a batch, a transaction a file.
    fn write_batch(&self, compactor: &mut Compactor, batch: &mut Batch) -> Result<(), StoreError> {
        let mut files: BTreeMap<FileId, Vec<_>> = BTreeMap::new();
        for (file, part, layout, day, level, row) in batch.rows.drain(..) {
            files.entry(file).or_default().push((part, layout, day, level, row));
        }
        batch.bytes = 0;
        for (file, rows) in files {
            self.change(compactor, batch, file, |transaction, born| {
                let sql = "INSERT INTO merged (layout, part, day, level, first_column, columns,
                        first_ms, last_ms, ticks, born, data)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
                let mut insert = transaction.prepare_cached(sql)?;
                let mut summary = Summary::read(transaction)?;
                for (part, layout, day, level, row) in &rows {
                    let Row { first_column, columns, first_ms, last_ms, ticks, data, .. } = row;
                    insert.execute(params![
                        layout,
                        part,
                        day,
                        level,
                        first_column,
                        columns,
                        first_ms,
                        last_ms,
                        ticks,
                        born,
                        data
                    ])?;
                    summary.cover(*first_ms, *last_ms);
                }
                summary.write(transaction)
            })?;
        }
        Ok(())
    }

    /// Notes which rows of a file, or which rows of these parts, count no more.
    fn replace(
        &self,
        compactor: &mut Compactor,
        batch: &mut Batch,
        file: FileId,
        sources: &[Source],
        parts: &BTreeSet<i64>,
    ) -> Result<(), StoreError> {
        self.change(compactor, batch, file, |transaction, born| {
            let sql = "INSERT INTO replaced (merged, id, at) VALUES (?1, ?2, ?3)";
            let mut insert = transaction.prepare_cached(sql)?;
            for source in sources {
                insert.execute(params![source.merged, source.id, born])?;
            }
            let sql = "INSERT INTO replaced (merged, id, at)
                SELECT 1, id, ?2 FROM merged WHERE part = ?1 AND born < ?2";
            let mut insert = transaction.prepare_cached(sql)?;
            for part in parts {
                insert.execute([*part, born])?;
            }
            Ok(())
        })?;
        compactor.swept.insert(file);
        Ok(())
    }

    /// One transaction of a file, under the number of the compaction.
    fn change(
        &self,
        compactor: &mut Compactor,
        batch: &mut Batch,
        file: FileId,
        write: impl FnOnce(&rusqlite::Transaction<'_>, i64) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        compactor.about_to_write()?;
        let mut writer = self.writer.lock();
        writer.files.unmerged.insert(file);
        batch.written.insert(file);
        compactor.logs.insert(file);
        let connection = writer.files.get(&self.directory, file)?;
        let change = || {
            let behavior = TransactionBehavior::Immediate;
            let transaction = connection.transaction_with_behavior(behavior)?;
            write(&transaction, batch.born)?;
            let summary = Summary { born: batch.born, ..Summary::read(&transaction)? };
            summary.write(&transaction)?;
            transaction.commit()
        };
        let path = file.path(&self.directory);
        change().map_err(sql_error(&path, "write to", file.kind.format()))
    }

    /// The new rows count, those that they replace do not.
    fn confirm_compaction(
        &self,
        compactor: &mut Compactor,
        batch: &Batch,
    ) -> Result<(), StoreError> {
        compactor.about_to_write()?;
        let mut writer = self.writer.lock();
        let mut summaries = Vec::new();
        for &file in &batch.written {
            let path = file.path(&self.directory);
            let connection = writer.files.get(&self.directory, file)?;
            let summary = Summary::read(connection);
            summaries.push((file, summary.map_err(sql_error(&path, "read", file.kind.format()))?));
        }
        let confirmed = writer.main.execute("UPDATE sealed SET compacted = ?1", [batch.born]);
        confirmed.map_err(self.failed("write to"))?;
        writer.files.unmerged.clear();
        let mut files = self.files.write();
        files.compacted = batch.born;
        for (file, summary) in summaries {
            files.set(file, summary);
        }
        Ok(())
    }

    /// Says what is wrong with a job; a damaged row keeps its layout from being tried again.
    fn merge_error(&self, compactor: &mut Compactor, job: &Job, error: MergeError) -> StoreError {
        use super::super::block::BlockError;
        let path = job.file.path(&self.directory);
        let format = job.file.kind.format();
        let layout = job.layout;
        let what = match error {
            MergeError::Store(error) => return error,
            MergeError::Block(id, error) => match *error {
                BlockError::Source(error) => return sql_error(&path, "read", format)(error),
                error => format!("block {id} of layout {layout}: {error}"),
            },
            MergeError::Contradiction(what) => format!("layout {layout}: {what}"),
        };
        compactor.damaged.insert((job.file, layout));
        corrupt(&path, what, format)
    }
}
