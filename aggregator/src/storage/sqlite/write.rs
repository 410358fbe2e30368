//! Commits: a list of changes in one transaction.

use std::sync::atomic::Ordering;

use prost::Message;
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};
use rustc_hash::FxHashMap;
use sextant_proto::v1;

use super::SqliteStore;
use super::incidents::{put_incident, put_maintenance};
use crate::storage::{Change, FrameRecord, LayoutRecord, NodeRecord, SpoolRecord, StoreError};

/// Why a transaction cannot go on.
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    Invalid(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) {
            return Self::Invalid(format!("it contradicts what is stored: {error}"));
        }
        Self::Sqlite(error)
    }
}

impl Fault {
    /// The error, once it is known where it happened.
    pub(super) fn into_error(self, name: impl Fn(rusqlite::Error) -> StoreError) -> StoreError {
        match self {
            Self::Sqlite(error) => name(error),
            Self::Invalid(what) => StoreError::Invalid(what),
        }
    }
}

/// A number as SQLite can keep it.
pub(super) fn integer(number: u64) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_| Fault::Invalid(format!("{number} is over the limit")))
}

impl SqliteStore {
    pub(super) fn write_changes(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        let mut write = || {
            let behavior = TransactionBehavior::Immediate;
            let transaction = writer.main.transaction_with_behavior(behavior)?;
            let mut frames = Frames { connection: &transaction, spools: FxHashMap::default() };
            let mut appended = 0;
            for change in changes {
                match change {
                    Change::Frame(frame) => appended += u64::from(frames.append(frame)?),
                    Change::Node(node) => put_node(&transaction, node)?,
                    Change::Metrics(metrics) => put_metrics(&transaction, metrics)?,
                    Change::Layout(layout) => put_layout(&transaction, layout)?,
                    Change::Spool(spool) => put_spool(&transaction, spool)?,
                    Change::Event { id, node, event } => {
                        put_event(&transaction, *id, *node, event)?;
                    }
                    Change::Anomaly { node, anomaly } => {
                        put_anomaly(&transaction, *node, anomaly)?;
                    }
                    Change::Incident { incident, entry } => {
                        put_incident(&transaction, incident, entry)?;
                    }
                    Change::Maintenance(window) => put_maintenance(&transaction, window)?,
                }
            }
            frames.finish()?;
            transaction.commit()?;
            Ok(appended)
        };
        let appended = write().map_err(|fault: Fault| fault.into_error(self.failed("write to")))?;
        self.journal_frames.fetch_add(appended, Ordering::Relaxed);
        Ok(())
    }
}

/// Appends frames; the sequence numbers of a transaction are read and written once a spool.
struct Frames<'a> {
    connection: &'a Connection,
    /// Committed seq, before and with this transaction.
    spools: FxHashMap<u32, (i64, i64)>,
}

impl Frames<'_> {
    /// Whether it went into the journal.
    fn append(&mut self, frame: &FrameRecord) -> Result<bool, Fault> {
        let seq = integer(frame.seq)?;
        let committed = match self.spools.get_mut(&frame.spool) {
            Some(spool) => spool,
            None => {
                let sql = "SELECT committed_seq FROM spools WHERE id = ?1";
                let stored: Option<i64> = self
                    .connection
                    .prepare_cached(sql)?
                    .query_one([frame.spool], |row| row.get(0))
                    .optional()?;
                let stored = stored.ok_or_else(|| {
                    Fault::Invalid(format!("spool {} is not stored", frame.spool))
                })?;
                self.spools.entry(frame.spool).or_insert((stored, stored))
            }
        };
        if seq <= committed.1 {
            return Ok(false);
        }
        committed.1 = seq;
        let Some(layout) = frame.layout else { return Ok(false) };
        let sql = "INSERT INTO journal (layout, spool, seq, codec, crc, payload)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let crc = crc32fast::hash(&frame.payload);
        let payload: &[u8] = &frame.payload;
        let row = params![layout, frame.spool, seq, frame.codec, crc, payload];
        self.connection.prepare_cached(sql)?.execute(row)?;
        Ok(true)
    }

    fn finish(self) -> Result<(), Fault> {
        let sql = "UPDATE spools SET committed_seq = max(committed_seq, ?2) WHERE id = ?1";
        let mut update = self.connection.prepare_cached(sql)?;
        for (spool, (before, now)) in self.spools {
            if now > before {
                update.execute(params![spool, now])?;
            }
        }
        Ok(())
    }
}

fn put_node(connection: &Connection, node: &NodeRecord) -> Result<(), Fault> {
    let sql = "INSERT INTO nodes (id, cluster, name, agent_version, boot_id, capabilities,
            last_seen_ms, clock_skew_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (id) DO UPDATE SET cluster = ?2, name = ?3, agent_version = ?4,
            boot_id = ?5, capabilities = ?6, last_seen_ms = ?7, clock_skew_ms = ?8";
    let capabilities = v1::Node { capabilities: node.capabilities.clone(), ..v1::Node::default() };
    connection.prepare_cached(sql)?.execute(params![
        node.id,
        node.cluster,
        node.name,
        node.agent_version,
        node.boot_id,
        capabilities.encode_to_vec(),
        node.last_seen_ms,
        node.clock_skew_ms,
    ])?;
    Ok(())
}

fn put_metrics(connection: &Connection, metrics: &[v1::MetricDescriptor]) -> Result<(), Fault> {
    let sql = "INSERT OR REPLACE INTO metrics (name, kind, unit, help) VALUES (?1, ?2, ?3, ?4)";
    let mut insert = connection.prepare_cached(sql)?;
    for metric in metrics {
        insert.execute(params![metric.name, metric.kind, metric.unit, metric.help])?;
    }
    Ok(())
}

fn put_layout(connection: &Connection, layout: &LayoutRecord) -> Result<(), Fault> {
    let sql = "INSERT INTO layouts (id, node, hash, data) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (id) DO NOTHING";
    let data: &[u8] = &layout.bytes;
    let row = params![layout.id, layout.node, layout.hash.cast_signed(), data];
    if connection.prepare_cached(sql)?.execute(row)? == 0 {
        let sql = "SELECT 1 FROM layouts WHERE id = ?1 AND node = ?2 AND hash = ?3 AND data = ?4";
        if !connection.prepare_cached(sql)?.exists(row)? {
            return Err(Fault::Invalid(format!("layout {} is another", layout.id)));
        }
    }
    Ok(())
}

fn put_spool(connection: &Connection, spool: &SpoolRecord) -> Result<(), Fault> {
    let sql = "INSERT INTO spools (id, node, spool_id, committed_seq) VALUES (?1, ?2, ?3, 0)
        ON CONFLICT (id) DO NOTHING";
    let row = params![spool.id, spool.node, spool.spool_id];
    if connection.prepare_cached(sql)?.execute(row)? == 0 {
        let sql = "SELECT 1 FROM spools WHERE id = ?1 AND node = ?2 AND spool_id = ?3";
        if !connection.prepare_cached(sql)?.exists(row)? {
            return Err(Fault::Invalid(format!("spool {} is another", spool.id)));
        }
    }
    Ok(())
}

fn put_event(connection: &Connection, id: u64, node: u32, event: &v1::Event) -> Result<(), Fault> {
    let sql = "INSERT INTO events (id, time_ms, node, type, data) VALUES (?1, ?2, ?3, ?4, ?5)";
    let data = event.encode_to_vec();
    let row = params![integer(id)?, event.time_unix_ms, node, event.r#type, data];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn put_anomaly(connection: &Connection, node: u32, anomaly: &v1::Anomaly) -> Result<(), Fault> {
    let sql = "INSERT INTO anomalies (id, node, opened_ms, closed_ms, data)
        VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (id) DO UPDATE SET node = ?2, opened_ms = ?3, closed_ms = ?4, data = ?5";
    let data = anomaly.encode_to_vec();
    let (opened, closed) = (anomaly.opened_unix_ms, anomaly.closed_unix_ms);
    let row = params![integer(anomaly.id)?, node, opened, closed, data];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}
