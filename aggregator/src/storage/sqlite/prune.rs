//! Retention: days of blocks are unlinked, old events and closed anomalies deleted a batch at a
//! time, so that commits wait for one batch at most.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::SqliteStore;
use super::file::{remove_if_exists, sql_error, with_suffix};
use super::files::{DAY_MS, FileId, Kind};
use crate::storage::{Cutoff, Pruned, StoreError, Unused};

/// Rows deleted in one transaction.
const BATCH_ROWS: i64 = 5000;

/// Samples that no compaction has rolled up wait so much longer for it.
const ROLLUP_GRACE_MS: i64 = DAY_MS;

impl SqliteStore {
    pub(super) fn prune_all(&self, cutoff: Cutoff) -> Result<Pruned, StoreError> {
        let files = self.prune_files(&cutoff)?;
        let rows = self.prune_records(cutoff.events_ms)?;
        let mut looked = self.looked_for_unused.lock();
        let unused = if files > 0 || !*looked { self.find_unused()? } else { Unused::default() };
        *looked = true;
        Ok(Pruned { deleted: files + rows, unused })
    }

    /// Unlinks the files whose period ended before its cutoff and that have no later tick.
    fn prune_files(&self, cutoff: &Cutoff) -> Result<u64, StoreError> {
        let mut writer = self.writer.lock();
        let before = |kind| match kind {
            Kind::Blocks | Kind::Odd => cutoff.samples_ms,
            Kind::Minutes => cutoff.minutes_ms,
            Kind::Hours => cutoff.hours_ms,
        };
        let old: Vec<FileId> = {
            let files = self.files.read();
            let old = files.entries.iter().filter(|(id, file)| {
                let before = before(id.kind);
                let waits = id.kind == Kind::Blocks
                    && file.summary.blocks > 0
                    && id.end_ms().saturating_add(ROLLUP_GRACE_MS) > before;
                let ticks_end = if id.kind == Kind::Odd { i64::MIN } else { file.summary.last_ms };
                id.end_ms() <= before && ticks_end < before && !waits
            });
            old.map(|(id, _)| *id).filter(|id| !writer.files.is_unconfirmed(*id)).collect()
        };
        // Said first: a day that is half gone is told from its rollups.
        let mut kept = self.files.read().kept_from;
        let blocks = old.iter().filter(|id| id.kind == Kind::Blocks).map(|id| id.day + 1).max();
        let minutes = old.iter().filter(|id| id.kind == Kind::Minutes).map(|id| id.day + 1).max();
        kept.blocks = kept.blocks.max(blocks.unwrap_or(i64::MIN));
        kept.minutes = kept.minutes.max(minutes.unwrap_or(i64::MIN));
        if kept != self.files.read().kept_from {
            let sql = "UPDATE kept SET blocks_from_day = ?1, minutes_from_day = ?2";
            let written = writer.main.execute(sql, [kept.blocks, kept.minutes]);
            written.map_err(self.failed("write to"))?;
            self.files.write().kept_from = kept;
        }
        let mut gone = 0;
        for id in old {
            let path = id.path(&self.directory);
            writer.files.close(id);
            {
                // No reader opens a file while its name goes.
                let mut files = self.files.write();
                remove_if_exists(&path)?;
                remove_if_exists(&with_suffix(&path, "-wal"))?;
                remove_if_exists(&with_suffix(&path, "-shm"))?;
                files.entries.remove(&id);
            }
            self.file_readers.retain(|(other, _)| *other != id);
            tracing::info!(path = %path.display(), "file of samples deleted by retention");
            gone += 1;
        }
        Ok(gone)
    }

    /// The layouts that have samples or rollups.
    pub(super) fn layouts_in_files(&self) -> Result<BTreeSet<u32>, StoreError> {
        let mut used = BTreeSet::new();
        let files: Vec<(FileId, u64)> = {
            let files = self.files.read();
            files.entries.iter().map(|(id, entry)| (*id, entry.incarnation)).collect()
        };
        for (id, incarnation) in files {
            let Some((key, connection)) = self.file_reader(id, incarnation)? else { continue };
            let path = id.path(&self.directory);
            let failed = sql_error(&path, "read", id.kind.format());
            let tables: &[&str] =
                if id.kind.is_sealed_into() { &["blocks", "merged"] } else { &["merged"] };
            for table in tables {
                layouts_of(&connection, table, &mut used).map_err(&failed)?;
            }
            self.file_readers.put(key, connection);
        }
        Ok(used)
    }

    /// What of the inventory nothing refers to.
    fn find_unused(&self) -> Result<Unused, StoreError> {
        let mut used = self.layouts_in_files()?;
        self.read(|connection| {
            let mut find = || {
                let connection = connection.unchecked_transaction()?;
                layouts_of(&connection, "journal", &mut used)?;
                let mut unused = Unused::default();
                let mut busy = BTreeSet::new();
                let mut statement =
                    connection.prepare("SELECT id, node FROM layouts ORDER BY id")?;
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    let (id, node): (u32, u32) = (row.get(0)?, row.get(1)?);
                    if used.contains(&id) {
                        busy.insert(node);
                    } else {
                        unused.layouts.push(id);
                    }
                }
                let sql = "SELECT id, node, id IN (SELECT DISTINCT spool FROM journal)
                    FROM spools ORDER BY id";
                let mut statement = connection.prepare(sql)?;
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    if row.get(2)? {
                        busy.insert(row.get(1)?);
                    } else {
                        unused.spools.push(row.get(0)?);
                    }
                }
                let sql = "SELECT id FROM nodes WHERE NOT EXISTS
                        (SELECT 1 FROM events WHERE events.node = nodes.id)
                    AND NOT EXISTS (SELECT 1 FROM anomalies WHERE anomalies.node = nodes.id)
                    ORDER BY id";
                let mut statement = connection.prepare(sql)?;
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    unused.nodes.extend(Some(row.get(0)?).filter(|node| !busy.contains(node)));
                }
                Ok(unused)
            };
            find().map_err(self.failed("read"))
        })
    }

    /// Deletes events and closed anomalies that ended before this.
    pub(super) fn prune_records(&self, cutoff_ms: i64) -> Result<u64, StoreError> {
        let events = "DELETE FROM events WHERE id IN
            (SELECT id FROM events WHERE time_ms < ?1 LIMIT ?2)";
        let anomalies = "DELETE FROM anomalies WHERE id IN
            (SELECT id FROM anomalies WHERE closed_ms != 0 AND closed_ms < ?1 LIMIT ?2)";
        let mut gone = 0;
        for sql in [events, anomalies] {
            loop {
                let writer = self.writer.lock();
                let rows = writer
                    .main
                    .prepare_cached(sql)
                    .and_then(|mut delete| delete.execute([cutoff_ms, BATCH_ROWS]));
                let rows = rows.map_err(self.failed("delete from"))?;
                gone += rows as u64;
                if rows == 0 {
                    break;
                }
            }
        }
        Ok(gone)
    }
}

/// The layouts of a table that has them first in an index, one look-up each.
fn layouts_of(
    connection: &Connection,
    table: &str,
    layouts: &mut BTreeSet<u32>,
) -> rusqlite::Result<()> {
    let mut next =
        connection.prepare(&format!("SELECT min(layout) FROM {table} WHERE layout > ?1"))?;
    let mut last = -1;
    while let Some(layout) = next.query_one([last], |row| row.get::<_, Option<u32>>(0))? {
        layouts.insert(layout);
        last = i64::from(layout);
    }
    Ok(())
}
