//! Incidents, their history and maintenance windows.

use prost::Message;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use sextant_proto::v1;

use super::SqliteStore;
use super::read::{decode, last_id};
use super::write::{Fault, integer};
use crate::storage::incidents::{MAX_HISTORY, check, end_ms, nodes_of};
use crate::storage::{IncidentInventory, IncidentQuery, StoreError};

/// Rows deleted in one transaction.
const BATCH_ROWS: i64 = 1000;

pub(super) fn put_incident(
    connection: &Connection,
    incident: &v1::Incident,
    entry: &v1::IncidentEntry,
) -> Result<(), Fault> {
    checked(incident.id)?;
    let id = integer(incident.id)?;
    let sql = "INSERT INTO incidents (id, opened_ms, closed_ms, data) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (id) DO UPDATE SET opened_ms = ?2, closed_ms = ?3, data = ?4";
    let data = incident.encode_to_vec();
    let row = params![id, incident.opened_unix_ms, incident.closed_unix_ms, data];
    connection.prepare_cached(sql)?.execute(row)?;
    let sql = "INSERT OR IGNORE INTO incident_nodes (cluster, node, incident) VALUES (?1, ?2, ?3)";
    let mut insert = connection.prepare_cached(sql)?;
    for (cluster, node) in nodes_of(incident) {
        insert.execute(params![cluster, node, id])?;
    }
    let sql = "INSERT INTO incident_history (incident, time_ms, data) VALUES (?1, ?2, ?3)";
    let row = params![id, entry.time_unix_ms, entry.encode_to_vec()];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

pub(super) fn put_maintenance(
    connection: &Connection,
    window: &v1::Maintenance,
) -> Result<(), Fault> {
    checked(window.id)?;
    let sql = "INSERT INTO maintenance (id, from_ms, end_ms, data) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (id) DO UPDATE SET from_ms = ?2, end_ms = ?3, data = ?4";
    let data = window.encode_to_vec();
    let row = params![integer(window.id)?, window.from_unix_ms, end_ms(window), data];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn checked(id: u64) -> Result<(), Fault> {
    check(id).map_err(|error| Fault::Invalid(error.to_string()))
}

impl SqliteStore {
    pub(super) fn incident_inventory(&self) -> Result<IncidentInventory, StoreError> {
        self.read(|connection| {
            let load = || {
                let connection = connection.unchecked_transaction()?;
                let open = "SELECT data FROM incidents WHERE closed_ms = 0 ORDER BY id";
                let windows = "SELECT data FROM maintenance ORDER BY id";
                Ok(IncidentInventory {
                    open: messages(&connection, open)?,
                    maintenance: messages(&connection, windows)?,
                    last_incident_id: last_id(&connection, "incidents")?,
                    last_maintenance_id: last_id(&connection, "maintenance")?,
                })
            };
            load().map_err(self.failed("read"))
        })
    }

    pub(super) fn find_incidents(
        &self,
        query: &IncidentQuery,
    ) -> Result<Vec<v1::Incident>, StoreError> {
        let mut sql = "SELECT r.data FROM incidents r WHERE 1".to_owned();
        let mut values: Vec<Value> = Vec::new();
        let mut and = |condition: &str, value: Option<Value>| {
            sql.push_str(condition);
            values.extend(value);
        };
        let of = " AND r.id IN (SELECT incident FROM incident_nodes WHERE";
        match (query.cluster.clone(), query.node.clone()) {
            (Some(cluster), Some(node)) => {
                and(of, None);
                and(" cluster = ?", Some(cluster.into()));
                and(" AND node = ?)", Some(node.into()));
            }
            (Some(cluster), None) => and(&format!("{of} cluster = ?)"), Some(cluster.into())),
            (None, Some(node)) => and(&format!("{of} node = ?)"), Some(node.into())),
            (None, None) => {}
        }
        if query.active_only {
            and(" AND r.closed_ms = 0", None);
        }
        if query.start_ms != 0 {
            and(" AND (r.closed_ms = 0 OR r.closed_ms >= ?)", Some(query.start_ms.into()));
        }
        if query.end_ms != 0 {
            and(" AND r.opened_ms <= ?", Some(query.end_ms.into()));
        }
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        and(" ORDER BY r.opened_ms DESC, r.id DESC LIMIT ?", Some(limit.into()));
        self.read(|connection| {
            let find = || {
                let mut statement = connection.prepare_cached(&sql)?;
                let rows = statement.query_map(params_from_iter(&values), |row| decode(row, 0))?;
                rows.collect::<rusqlite::Result<_>>()
            };
            find().map_err(self.failed("read"))
        })
    }

    pub(super) fn one_incident(
        &self,
        id: u64,
    ) -> Result<Option<(v1::Incident, Vec<v1::IncidentEntry>)>, StoreError> {
        let Ok(id) = i64::try_from(id) else { return Ok(None) };
        self.read(|connection| {
            let find = || {
                let connection = connection.unchecked_transaction()?;
                let sql = "SELECT data FROM incidents WHERE id = ?1";
                let mut statement = connection.prepare_cached(sql)?;
                let found: Option<v1::Incident> =
                    statement.query_one([id], |row| decode(row, 0)).optional()?;
                let Some(incident) = found else { return Ok(None) };
                let sql = "SELECT data FROM incident_history WHERE incident = ?1
                    ORDER BY id LIMIT ?2";
                let mut statement = connection.prepare_cached(sql)?;
                let limit = i64::try_from(MAX_HISTORY).unwrap_or(i64::MAX);
                let rows = statement.query_map([id, limit], |row| decode(row, 0))?;
                Ok(Some((incident, rows.collect::<rusqlite::Result<_>>()?)))
            };
            find().map_err(self.failed("read"))
        })
    }

    /// Deletes what ended before this.
    pub(super) fn prune_incidents(&self, cutoff_ms: i64) -> Result<u64, StoreError> {
        let incidents = "DELETE FROM incidents WHERE id IN
            (SELECT id FROM incidents WHERE closed_ms != 0 AND closed_ms < ?1 LIMIT ?2)";
        let windows = "DELETE FROM maintenance WHERE id IN
            (SELECT id FROM maintenance WHERE end_ms < ?1 LIMIT ?2)";
        let mut gone = 0;
        for sql in [incidents, windows] {
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

fn messages<M: Message + Default>(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<M>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| decode(row, 0))?;
    rows.collect()
}
