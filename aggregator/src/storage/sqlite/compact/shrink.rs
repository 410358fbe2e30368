//! Giving room back once there is nothing else to do: the logs of files that were compacted, and
//! the pages of the main database that sealed frames have left.
//!
//! The journal needs some of them again soon, so a file that is less than half empty is left as
//! it is. What a step does is bounded: commits wait for it.

use rusqlite::Connection;

use super::super::SqliteStore;
use super::super::file::sql_error;
use super::Compactor;
use crate::storage::StoreError;

/// Free pages of the main database that are worth it: 1 MiB.
const MIN_PAGES: i64 = 256;
/// Pages given back in one transaction.
const STEP_PAGES: i64 = 1024;

impl SqliteStore {
    /// Does a step; whether there was one to do.
    pub(super) fn shrink(&self, compactor: &mut Compactor) -> Result<bool, StoreError> {
        if let Some(id) = compactor.logs.pop_first() {
            if !self.files.read().entries.contains_key(&id) {
                return Ok(true);
            }
            let path = id.path(&self.directory);
            let mut writer = self.writer.lock();
            let connection = writer.files.get(&self.directory, id)?;
            empty_log(connection).map_err(sql_error(&path, "write to", id.kind.format()))?;
            return Ok(true);
        }
        let writer = self.writer.lock();
        shrink_main(&writer.main).map_err(self.failed("give back pages of"))
    }
}

/// Readers may keep some of it: then it is emptied by a later checkpoint.
fn empty_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn shrink_main(connection: &Connection) -> rusqlite::Result<bool> {
    let ask = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let (free, all) = (ask("PRAGMA freelist_count")?, ask("PRAGMA page_count")?);
    if free < MIN_PAGES || free * 2 < all {
        return Ok(false);
    }
    // It gives back a page each time that it is stepped.
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({STEP_PAGES})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    drop(vacuum);
    // Without it when the file was made before it could be.
    let has_shrunk = ask("PRAGMA freelist_count")? < free;
    if has_shrunk {
        empty_log(connection)?;
    }
    Ok(has_shrunk)
}
