//! Reading what a start needs, the journal, and columns of blocks.

use std::io;

use bytes::Bytes;
use prost::Message;
use rusqlite::{Connection, MAIN_DB, params};
use sextant_proto::v1;

use super::SqliteStore;
use super::block::{BlockError, BlockReader};
use super::days::{Day, Summary, day_of, day_path};
use super::file::{corrupt, open_reader, sql_error};
use super::migrate::{DAY, MAIN};
use crate::storage::{
    ColumnQuery, FrameRecord, Inventory, LayoutRecord, NodeRecord, Segment, SpoolRecord, StoreError,
};

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
            let sql = "SELECT layout, spool, seq, codec, crc, payload FROM journal
                ORDER BY layout, spool, seq";
            let mut statement = connection.prepare(sql).map_err(&failed)?;
            let mut rows = statement.query([]).map_err(&failed)?;
            while let Some(row) = rows.next().map_err(&failed)? {
                let frame = || {
                    let payload = row.get_ref(5)?.as_blob()?;
                    let frame = FrameRecord {
                        layout: Some(row.get(0)?),
                        spool: row.get(1)?,
                        seq: row.get::<_, i64>(2)?.cast_unsigned(),
                        codec: row.get(3)?,
                        payload: Bytes::copy_from_slice(payload),
                    };
                    Ok((frame, crc32fast::hash(payload) == row.get::<_, u32>(4)?))
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

    pub(super) fn read_columns(&self, query: &ColumnQuery) -> Result<Vec<Segment>, StoreError> {
        let mut segments = Vec::new();
        if query.start_ms > query.end_ms {
            return Ok(segments);
        }
        let (sealed, files): (i64, Vec<(i64, Day)>) = {
            let days = self.days.read();
            let early = days.files.range(..=day_of(query.end_ms));
            let files = early.filter(|(_, day)| day.summary.last_ms >= query.start_ms);
            (days.sealed, files.map(|(&day, &file)| (day, file)).collect())
        };
        for (day, file) in files {
            let key = (day, file.incarnation);
            let Some(connection) = self.day_reader(key)? else { continue };
            self.read_day(&connection, day, &file, sealed, query, &mut segments)?;
            self.day_readers.put(key, connection);
        }
        Ok(segments)
    }

    /// `None` when the day was pruned since the question began.
    fn day_reader(&self, key: (i64, u64)) -> Result<Option<Connection>, StoreError> {
        if let Some(connection) = self.day_readers.take(&key) {
            return Ok(Some(connection));
        }
        let path = day_path(&self.directory, key.0);
        let days = self.days.read();
        if days.files.get(&key.0).map(|day| day.incarnation) != Some(key.1) {
            return Ok(None);
        }
        let connection = open_reader(&path, &DAY)?;
        // SQLite opens the log with the first read, by name: it must be this file's log and not
        // that of one which takes its place, so it happens before retention can have the lock.
        Summary::read(&connection).map_err(sql_error(&path, "read", &DAY))?;
        drop(days);
        Ok(Some(connection))
    }

    fn read_day(
        &self,
        connection: &Connection,
        day: i64,
        file: &Day,
        sealed: i64,
        query: &ColumnQuery,
        segments: &mut Vec<Segment>,
    ) -> Result<(), StoreError> {
        let path = day_path(&self.directory, day);
        let failed = sql_error(&path, "read", &DAY);
        let earliest = query.start_ms.saturating_sub(file.summary.span_ms);
        let sql = "SELECT id, spool, first_seq FROM blocks
            WHERE layout = ?1 AND first_ms BETWEEN ?2 AND ?3 AND last_ms >= ?4 AND seal <= ?5
            ORDER BY first_ms, spool, first_seq";
        let list = || {
            let range = params![query.layout, earliest, query.end_ms, query.start_ms, sealed];
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(range, |row| {
                Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned()))
            })?;
            rows.collect::<rusqlite::Result<Vec<(i64, u32, u64)>>>()
        };
        for (id, spool, first_seq) in list().map_err(&failed)? {
            let (ticks_ms, columns) = match read_block(connection, id, query) {
                Ok(Some(read)) => read,
                Ok(None) => continue,
                Err(BlockError::Sqlite(error)) => return Err(failed(error)),
                Err(BlockError::Damaged(what)) => {
                    let what = format!("block {id} of layout {}: {what}", query.layout);
                    return Err(corrupt(&path, what, &DAY));
                }
                Err(BlockError::NoColumn(index)) => {
                    return Err(StoreError::Invalid(format!(
                        "layout {} does not have a column {index}",
                        query.layout
                    )));
                }
            };
            segments.push(Segment { spool, first_seq, ticks_ms, columns });
        }
        Ok(())
    }
}

type Columns = (Vec<i64>, Vec<Vec<f64>>);

/// The part of a block in the range; `None` when no tick is.
fn read_block(
    connection: &Connection,
    id: i64,
    query: &ColumnQuery,
) -> Result<Option<Columns>, BlockError> {
    let block = BlockReader::open(connection.blob_open(MAIN_DB, "blocks", "data", id, true)?)?;
    let ticks = block.ticks();
    let from = ticks.partition_point(|&tick| tick < query.start_ms);
    let to = ticks.partition_point(|&tick| tick <= query.end_ms);
    if from >= to {
        return Ok(None);
    }
    let mut columns = block.columns(&query.columns)?;
    for column in &mut columns {
        column.truncate(to);
        column.drain(..from);
    }
    Ok(Some((ticks[from..to].to_vec(), columns)))
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

pub(super) fn last_id(connection: &Connection, table: &str) -> rusqlite::Result<u64> {
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
