//! Retention: days of blocks are unlinked, old events and closed anomalies deleted a batch at a
//! time, so that commits wait for one batch at most.

use super::SqliteStore;
use super::days::{DAY_MS, day_path};
use super::file::{remove_if_exists, with_suffix};
use crate::storage::StoreError;

/// Rows deleted in one transaction.
const BATCH_ROWS: i64 = 5000;

impl SqliteStore {
    /// Unlinks the days that ended before this and have no later tick.
    pub(super) fn prune_days(&self, cutoff_ms: i64) -> Result<u64, StoreError> {
        let mut writer = self.writer.lock();
        let old: Vec<i64> = {
            let days = self.days.read();
            let old = days.files.iter().filter(|(day, file)| {
                (**day + 1).saturating_mul(DAY_MS) <= cutoff_ms && file.summary.last_ms < cutoff_ms
            });
            old.map(|(day, _)| *day).filter(|day| !writer.days.is_unconfirmed(*day)).collect()
        };
        let mut gone = 0;
        for day in old {
            let path = day_path(&self.directory, day);
            writer.days.close(day);
            {
                // No reader opens a file while its name goes.
                let mut days = self.days.write();
                remove_if_exists(&path)?;
                remove_if_exists(&with_suffix(&path, "-wal"))?;
                remove_if_exists(&with_suffix(&path, "-shm"))?;
                days.files.remove(&day);
            }
            self.day_readers.retain(|(other, _)| *other != day);
            tracing::info!(path = %path.display(), "day of samples deleted by retention");
            gone += 1;
        }
        Ok(gone)
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
