//! Reading what a start needs, and the journal.

use std::io;

use bytes::Bytes;
use prost::Message;
use rusqlite::Connection;
use sextant_proto::v1;

use super::SqliteStore;
use super::file::corrupt;
use super::migrate::MAIN;
use super::write::journal_crc;
use crate::storage::{FrameRecord, Inventory, LayoutRecord, NodeRecord, SpoolRecord, StoreError};

impl SqliteStore {
    pub(super) fn load_inventory(&self) -> Result<Inventory, StoreError> {
        self.read(|connection| {
            let load = || {
                // One transaction: all of it as of the same instant.
                let connection = connection.unchecked_transaction()?;
                Ok(Inventory {
                    nodes: nodes(&connection)?,
                    layouts: layouts(&connection)?,
                    spools: spools(&connection)?,
                    metrics: metrics(&connection)?,
                    open_anomalies: Vec::new(),
                    last_event_id: last_id(&connection, "events")?,
                    last_anomaly_id: last_id(&connection, "anomalies")?,
                })
            };
            let mut inventory = load().map_err(self.failed("read"))?;
            inventory.open_anomalies = self.open_anomalies(connection)?;
            Ok(inventory)
        })
    }

    pub(super) fn replay_journal(
        &self,
        each: &mut dyn FnMut(FrameRecord),
    ) -> Result<(), StoreError> {
        self.read(|connection| {
            let failed = self.failed("read");
            let sql = "SELECT layout, spool, seq, codec, crc, payload, key FROM journal
                ORDER BY layout, spool, seq";
            let mut statement = connection.prepare(sql).map_err(&failed)?;
            let mut rows = statement.query([]).map_err(&failed)?;
            while let Some(row) = rows.next().map_err(&failed)? {
                let frame = || {
                    let payload = row.get_ref(5)?.as_blob()?;
                    let key = row.get_ref(6)?.as_blob()?;
                    let frame = FrameRecord {
                        layout: Some(row.get(0)?),
                        spool: row.get(1)?,
                        seq: row.get::<_, i64>(2)?.cast_unsigned(),
                        codec: row.get(3)?,
                        payload: Bytes::copy_from_slice(payload),
                        key: Bytes::copy_from_slice(key),
                    };
                    Ok((frame, journal_crc(payload, key) == row.get::<_, u32>(4)?))
                };
                let (frame, is_whole) = frame().map_err(&failed)?;
                if !is_whole {
                    let what = format!("checksum of frame {} of spool {}", frame.seq, frame.spool);
                    return Err(corrupt(&self.main, what, &MAIN));
                }
                each(frame);
            }
            Ok(())
        })
    }
}

fn nodes(connection: &Connection) -> rusqlite::Result<Vec<NodeRecord>> {
    let sql = "SELECT id, cluster, name, agent_version, boot_id, capabilities, last_seen_ms,
            clock_skew_ms
        FROM nodes ORDER BY id";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let capabilities = decode::<v1::Node>(row, 5)?.capabilities;
        Ok(NodeRecord {
            id: row.get(0)?,
            cluster: row.get(1)?,
            name: row.get(2)?,
            agent_version: row.get(3)?,
            boot_id: row.get(4)?,
            capabilities,
            last_seen_ms: row.get(6)?,
            clock_skew_ms: row.get(7)?,
        })
    })?;
    rows.collect()
}

fn layouts(connection: &Connection) -> rusqlite::Result<Vec<LayoutRecord>> {
    let mut statement =
        connection.prepare("SELECT id, node, hash, data FROM layouts ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        Ok(LayoutRecord {
            id: row.get(0)?,
            node: row.get(1)?,
            hash: row.get::<_, i64>(2)?.cast_unsigned(),
            bytes: row.get::<_, Vec<u8>>(3)?.into(),
        })
    })?;
    rows.collect()
}

fn spools(connection: &Connection) -> rusqlite::Result<Vec<SpoolRecord>> {
    let sql = "SELECT id, node, spool_id, committed_seq FROM spools ORDER BY id";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        Ok(SpoolRecord {
            id: row.get(0)?,
            node: row.get(1)?,
            spool_id: row.get(2)?,
            committed_seq: row.get::<_, i64>(3)?.cast_unsigned(),
        })
    })?;
    rows.collect()
}

fn metrics(connection: &Connection) -> rusqlite::Result<Vec<v1::MetricDescriptor>> {
    let mut statement =
        connection.prepare("SELECT name, kind, unit, help FROM metrics ORDER BY name")?;
    let rows = statement.query_map([], |row| {
        let (name, kind) = (row.get(0)?, row.get(1)?);
        Ok(v1::MetricDescriptor { name, kind, unit: row.get(2)?, help: row.get(3)? })
    })?;
    rows.collect()
}

fn last_id(connection: &Connection, table: &str) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?1";
    let id: i64 = connection.query_one(sql, [table], |row| row.get(0))?;
    Ok(id.cast_unsigned())
}

/// A message in a column; bytes that are none are damage.
pub(super) fn decode<M: Message + Default>(
    row: &rusqlite::Row<'_>,
    column: usize,
) -> rusqlite::Result<M> {
    let blob = row.get_ref(column)?;
    M::decode(blob.as_blob()?).map_err(|error| {
        let error = io::Error::new(io::ErrorKind::InvalidData, error);
        rusqlite::Error::FromSqlConversionFailure(column, blob.data_type(), Box::new(error))
    })
}
