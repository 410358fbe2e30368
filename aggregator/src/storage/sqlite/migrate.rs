//! The schemas of the two kinds of database, each as the ordered list of steps that made it.
//! A step that was released is never changed: what follows it is a new step at the end.
//! `PRAGMA user_version` is the number of steps that a file has taken.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::file::sql_error;
use crate::storage::StoreError;

/// A kind of database file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    pub(super) migrations: &'static [&'static str],
    pub(super) page_bytes: u32,
    /// Whether it gives free pages back; others are written anew when their day is over.
    pub(super) shrinks: bool,
    /// What to do when it is damaged.
    pub(super) remedy: &'static str,
}

/// `sextant.db`: small rows, changed all over: small pages.
pub(super) const MAIN: Format = Format {
    migrations: &[
        include_str!("main.sql"),
        include_str!("incidents.sql"),
        include_str!("main_2.sql"),
    ],
    page_bytes: 4096,
    shrinks: true,
    remedy: "restore the data directory from a backup, or move the whole directory away to start empty",
};

/// `blocks-YYYY-MM-DD.db` and `odd-YYYY-MM-DD.db`: large blobs, written once.
pub(super) const DAY: Format = Format {
    migrations: &[include_str!("day.sql"), include_str!("day_2.sql")],
    page_bytes: 16_384,
    shrinks: false,
    remedy: "restore the data directory from a backup, or move this file away to go on without its day",
};

/// `minutes-YYYY-MM-DD.db` and `hours-YYYY-MM-DD.db`: smaller blobs, so smaller pages.
pub(super) const ROLLUPS: Format = Format {
    migrations: &[include_str!("rollups.sql")],
    page_bytes: 4096,
    shrinks: false,
    remedy: "restore the data directory from a backup, or move this file away to go on without its rollups",
};

impl Format {
    /// The version that its last step makes.
    pub(super) fn version(&self) -> u32 {
        u32::try_from(self.migrations.len()).expect("a list in the source")
    }
}

/// Brings a database from version `found` to the last one, a transaction for each step.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    found: u32,
    format: &Format,
) -> Result<(), StoreError> {
    for (version, step) in (1u32..).zip(format.migrations).skip(found as usize) {
        let step = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()
        };
        step(connection).map_err(sql_error(path, "migrate", format))?;
        if found > 0 {
            tracing::info!(path = %path.display(), version, "database migrated");
        }
    }
    Ok(())
}
