//! Forgetting parts of the inventory that have no data any more. The references between the
//! tables refuse what the journal, events or anomalies still need; the files of samples are
//! asked here.

use rusqlite::TransactionBehavior;

use super::SqliteStore;
use super::write::Fault;
use crate::storage::{StoreError, Unused};

impl SqliteStore {
    pub(super) fn forget_unused(&self, unused: &Unused) -> Result<(), StoreError> {
        let used = self.layouts_in_files()?;
        if let Some(layout) = unused.layouts.iter().find(|layout| used.contains(layout)) {
            return Err(StoreError::Invalid(format!("layout {layout} has samples")));
        }
        let mut writer = self.writer.lock();
        let mut forget = || {
            let behavior = TransactionBehavior::Immediate;
            let transaction = writer.main.transaction_with_behavior(behavior)?;
            for (sql, ids) in [
                ("DELETE FROM layouts WHERE id = ?1", &unused.layouts),
                ("DELETE FROM spools WHERE id = ?1", &unused.spools),
                ("DELETE FROM nodes WHERE id = ?1", &unused.nodes),
            ] {
                let mut delete = transaction.prepare_cached(sql)?;
                for id in ids {
                    delete.execute([id])?;
                }
            }
            transaction.commit()?;
            Ok(())
        };
        forget().map_err(|fault: Fault| fault.into_error(self.failed("delete from")))
    }
}
