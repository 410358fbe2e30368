//! Questions about events and anomalies. The order and the limit come from an index, so that a
//! question costs what it returns; a filter by one node uses that node's index.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use sextant_proto::v1;

use super::SqliteStore;
use super::read::decode;
use crate::storage::{AnomalyQuery, EventQuery, StoreError};

/// Conditions of a WHERE, with their values.
struct Filter {
    sql: String,
    values: Vec<Value>,
}

impl Filter {
    fn new(select: &str) -> Self {
        Self { sql: format!("{select} WHERE 1"), values: Vec::new() }
    }

    fn and(&mut self, condition: &str, value: impl Into<Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.push(value.into());
    }

    fn and_node(&mut self, cluster: Option<&str>, name: Option<&str>) {
        match (cluster, name) {
            (Some(cluster), Some(name)) => {
                self.values.push(cluster.to_owned().into());
                let one = "r.node = (SELECT id FROM nodes WHERE cluster = ? AND name = ?)";
                self.and(one, name.to_owned());
            }
            (None, Some(name)) => {
                self.and("r.node IN (SELECT id FROM nodes WHERE name = ?)", name.to_owned());
            }
            // The + keeps SQLite from going node by node and sorting a whole cluster.
            (Some(cluster), None) => {
                let all = "+r.node IN (SELECT id FROM nodes WHERE cluster = ?)";
                self.and(all, cluster.to_owned());
            }
            (None, None) => {}
        }
    }

    fn and_time(&mut self, condition: &str, time_ms: i64) {
        if time_ms != 0 {
            self.and(condition, time_ms);
        }
    }

    fn collect<T>(
        mut self,
        connection: &Connection,
        order: &str,
        limit: usize,
        row: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.sql.push_str(" ORDER BY ");
        self.sql.push_str(order);
        self.sql.push_str(" LIMIT ?");
        self.values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
        let mut statement = connection.prepare_cached(&self.sql)?;
        let rows = statement.query_map(params_from_iter(self.values), row)?;
        rows.collect()
    }
}

impl SqliteStore {
    pub(super) fn find_events(
        &self,
        query: &EventQuery,
    ) -> Result<Vec<v1::StoredEvent>, StoreError> {
        let mut filter = Filter::new(
            "SELECT r.id, n.cluster, n.name, r.data
             FROM events r CROSS JOIN nodes n ON n.id = r.node",
        );
        filter.and_node(query.cluster.as_deref(), query.node.as_deref());
        if let Some(kind) = query.kind.clone() {
            match kind.strip_suffix('.') {
                // '/' follows '.': all that starts with the prefix.
                Some(prefix) => {
                    let end = format!("{prefix}/");
                    filter.and("r.type >= ?", kind);
                    filter.and("r.type < ?", end);
                }
                None => filter.and("r.type = ?", kind),
            }
        }
        filter.and_time("r.time_ms >= ?", query.start_ms);
        filter.and_time("r.time_ms <= ?", query.end_ms);
        self.read(|connection| {
            let rows =
                filter.collect(connection, "r.time_ms DESC, r.id DESC", query.limit, |row| {
                    Ok(v1::StoredEvent {
                        id: row.get::<_, i64>(0)?.cast_unsigned(),
                        cluster: row.get(1)?,
                        node: row.get(2)?,
                        event: Some(decode(row, 3)?),
                    })
                });
            rows.map_err(self.failed("read"))
        })
    }

    pub(super) fn find_anomalies(
        &self,
        query: &AnomalyQuery,
    ) -> Result<Vec<v1::Anomaly>, StoreError> {
        let mut filter = Filter::new("SELECT r.data FROM anomalies r");
        filter.and_node(query.cluster.as_deref(), query.node.as_deref());
        if query.active_only {
            filter.sql.push_str(" AND r.closed_ms = 0");
        }
        filter.and_time("(r.closed_ms = 0 OR r.closed_ms >= ?)", query.start_ms);
        filter.and_time("r.opened_ms <= ?", query.end_ms);
        self.read(|connection| {
            let order = "r.opened_ms DESC, r.id DESC";
            let rows = filter.collect(connection, order, query.limit, |row| decode(row, 0));
            rows.map_err(self.failed("read"))
        })
    }

    /// Those not closed, with their nodes.
    pub(super) fn open_anomalies(
        &self,
        connection: &Connection,
    ) -> Result<Vec<(u32, v1::Anomaly)>, StoreError> {
        let read = || {
            let sql = "SELECT node, data FROM anomalies WHERE closed_ms = 0 ORDER BY id";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, decode(row, 1)?)))?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.failed("read"))
    }
}
