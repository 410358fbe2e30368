//! A file whose period is over is written anew without the holes that its earlier rows left:
//! copied beside it, and given its name when nothing has changed it meanwhile.

use std::fs;

use rusqlite::Connection;

use super::super::SqliteStore;
use super::super::file::{io_error, remove_if_exists, sql_error, with_suffix};
use super::super::files::{DAY_MS, FileId, Summary};
use super::Compactor;
use super::plan::is_same;
use crate::storage::{Compacted, StoreError};

/// After the end of its period, and the merging of its last day.
const GRACE_MS: i64 = DAY_MS / 4;
/// Fewer free pages are not worth it: so many, and so many in a hundred.
const MIN_FREE: (i64, i64) = (8, 5);

impl SqliteStore {
    /// A file that has holes, and the bytes of what is to be written.
    pub(super) fn plan_rewrite(
        &self,
        compactor: &mut Compactor,
        now_ms: i64,
    ) -> Result<Option<(FileId, u64)>, StoreError> {
        let over: Vec<_> = {
            let files = self.files.read();
            let over = files.entries.iter();
            let over = over.filter(|(id, _)| id.end_ms().saturating_add(GRACE_MS) <= now_ms);
            over.map(|(id, entry)| (*id, *entry)).collect()
        };
        compactor.dense.retain(|id, _| over.iter().any(|(other, _)| other == id));
        for (id, entry) in over {
            let known = compactor.dense.get(&id);
            if known.is_some_and(|summary| is_same(summary, &entry.summary)) {
                continue;
            }
            let Some((key, connection)) = self.file_reader(id, entry.incarnation)? else {
                continue;
            };
            let path = id.path(&self.directory);
            let pages = pages(&connection).map_err(sql_error(&path, "read", id.kind.format()))?;
            self.file_readers.put(key, connection);
            let (free, all, bytes) = pages;
            if free >= MIN_FREE.0 && free * 100 >= all * MIN_FREE.1 {
                let left = u64::try_from((all - free).saturating_mul(bytes)).unwrap_or(0);
                return Ok(Some((id, left)));
            }
            compactor.dense.insert(id, entry.summary);
        }
        Ok(None)
    }

    /// Writes a file anew.
    pub(super) fn rewrite(
        &self,
        compactor: &mut Compactor,
        id: FileId,
    ) -> Result<Compacted, StoreError> {
        let path = id.path(&self.directory);
        let draft = with_suffix(&path, ".new");
        let format = id.kind.format();
        let failed = sql_error(&path, "write anew", format);
        for name in [draft.clone(), with_suffix(&draft, "-wal"), with_suffix(&draft, "-shm")] {
            remove_if_exists(&name)?;
        }
        let incarnation = self.files.read().entries.get(&id).map(|entry| entry.incarnation);
        let Some((key, connection)) = self.file_reader(id, incarnation.unwrap_or_default())? else {
            return Ok(Compacted { more: true, ..Compacted::default() });
        };
        compactor.about_to_write()?;
        let copy = || {
            let before = Summary::read(&connection)?;
            let name = draft.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(draft.clone()))?;
            connection.execute("VACUUM INTO ?1", [name])?;
            Ok(before)
        };
        let before = copy().map_err(&failed)?;
        self.file_readers.put(key, connection);
        let synced = fs::File::open(&draft).and_then(|file| file.sync_all());
        synced.map_err(io_error(&draft, "sync"))?;
        compactor.about_to_write()?;
        let mut writer = self.writer.lock();
        let connection = writer.files.get(&self.directory, id)?;
        let now = Summary::read(connection).map_err(&failed)?;
        // Whatever the log has goes into the file, so that the log can go.
        let emptied = connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
            .map_err(&failed)?;
        if now != before || emptied != 0 || writer.files.is_unconfirmed(id) {
            drop(writer);
            remove_if_exists(&draft)?;
            // As it is until something changes it: late samples, or a reader that kept the log.
            compactor.dense.insert(id, before);
            return Ok(Compacted { more: true, ..Compacted::default() });
        }
        let size = |path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let (old, new) = (size(&path), size(&draft));
        writer.files.close(id);
        {
            // No reader opens the file while its name changes hands.
            let mut files = self.files.write();
            remove_if_exists(&with_suffix(&path, "-wal"))?;
            remove_if_exists(&with_suffix(&path, "-shm"))?;
            fs::rename(&draft, &path).map_err(io_error(&path, "replace"))?;
            files.replace(id);
        }
        drop(writer);
        let synced = fs::File::open(&self.directory).and_then(|directory| directory.sync_all());
        synced.map_err(io_error(&self.directory, "sync"))?;
        self.file_readers.retain(|(other, _)| *other != id);
        compactor.dense.insert(id, now);
        let bytes_freed = old.saturating_sub(new);
        tracing::info!(path = %path.display(), bytes_freed, "file of a past day written anew");
        Ok(Compacted { bytes_freed, more: true, ..Compacted::default() })
    }
}

/// Free pages, all pages, and the bytes of one.
fn pages(connection: &Connection) -> rusqlite::Result<(i64, i64, i64)> {
    let ask = |sql| connection.query_row(sql, [], |row| row.get(0));
    Ok((ask("PRAGMA freelist_count")?, ask("PRAGMA page_count")?, ask("PRAGMA page_size")?))
}
