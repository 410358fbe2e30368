//! Incidents and maintenance windows in the store: the questions, and the tables of the store in
//! memory.

use std::collections::BTreeMap;

use sextant_proto::v1::{self, IncidentState};

use super::{MAX_SEQ, StoreError};

/// Entries of one incident's history that are read.
pub(super) const MAX_HISTORY: usize = 10_000;

/// Which incidents to read, newest first (by opening, then id). Those that were open at any time
/// of the range, both ends included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IncidentQuery {
    /// Those that are about a node of the cluster.
    pub cluster: Option<String>,
    /// Those that are about the node.
    pub node: Option<String>,
    pub active_only: bool,
    /// 0 for no bound.
    pub start_ms: i64,
    /// 0 for no bound.
    pub end_ms: i64,
    /// At most so many: 0 gives none.
    pub limit: usize,
}

/// What a start needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IncidentInventory {
    /// By id.
    pub open: Vec<v1::Incident>,
    /// All that retention has not deleted, by id.
    pub maintenance: Vec<v1::Maintenance>,
    /// The largest id ever given, even where retention has deleted it since.
    pub last_incident_id: u64,
    /// As with incidents.
    pub last_maintenance_id: u64,
}

/// The clusters and nodes that an incident is about.
pub(super) fn nodes_of(incident: &v1::Incident) -> impl Iterator<Item = (&str, &str)> {
    incident.nodes.iter().filter_map(|name| name.split_once('/'))
}

/// Whether a change can be stored.
pub(super) fn check(id: u64) -> Result<(), StoreError> {
    if id == 0 || id > MAX_SEQ {
        return Err(StoreError::Invalid(format!("{id} is no number of an incident or window")));
    }
    Ok(())
}

/// When a window is over.
pub(super) fn end_ms(window: &v1::Maintenance) -> i64 {
    match window.ended_unix_ms {
        0 => window.to_unix_ms,
        ended => ended.min(window.to_unix_ms),
    }
}

/// The tables of the store in memory.
#[derive(Default)]
pub(super) struct Tables {
    incidents: BTreeMap<u64, (v1::Incident, Vec<v1::IncidentEntry>)>,
    maintenance: BTreeMap<u64, v1::Maintenance>,
    last_incident_id: u64,
    last_maintenance_id: u64,
}

impl Tables {
    pub(super) fn put(&mut self, incident: &v1::Incident, entry: &v1::IncidentEntry) {
        let (stored, history) = self.incidents.entry(incident.id).or_default();
        *stored = incident.clone();
        history.push(entry.clone());
        self.last_incident_id = self.last_incident_id.max(incident.id);
    }

    pub(super) fn put_maintenance(&mut self, window: &v1::Maintenance) {
        self.maintenance.insert(window.id, window.clone());
        self.last_maintenance_id = self.last_maintenance_id.max(window.id);
    }

    pub(super) fn load(&self) -> IncidentInventory {
        let incidents = self.incidents.values().map(|(incident, _)| incident);
        IncidentInventory {
            open: incidents.filter(|i| i.state() == IncidentState::Open).cloned().collect(),
            maintenance: self.maintenance.values().cloned().collect(),
            last_incident_id: self.last_incident_id,
            last_maintenance_id: self.last_maintenance_id,
        }
    }

    pub(super) fn find(&self, query: &IncidentQuery) -> Vec<v1::Incident> {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        let matches = |i: &&v1::Incident| {
            let open = i.closed_unix_ms == 0;
            let everywhere = query.cluster.is_none() && query.node.is_none();
            let here = |(cluster, node): (&str, &str)| {
                is(&query.cluster, cluster) && is(&query.node, node)
            };
            (open || !query.active_only)
                && (everywhere || nodes_of(i).any(here))
                && (open || query.start_ms == 0 || i.closed_unix_ms >= query.start_ms)
                && (query.end_ms == 0 || i.opened_unix_ms <= query.end_ms)
        };
        let incidents = self.incidents.values().map(|(incident, _)| incident);
        let mut found: Vec<_> = incidents.filter(matches).cloned().collect();
        found.sort_by_key(|i| std::cmp::Reverse((i.opened_unix_ms, i.id)));
        found.truncate(query.limit);
        found
    }

    pub(super) fn get(&self, id: u64) -> Option<(v1::Incident, Vec<v1::IncidentEntry>)> {
        self.incidents.get(&id).cloned()
    }

    /// Deletes what ended before; how many rows.
    pub(super) fn prune(&mut self, cutoff_ms: i64) -> usize {
        let before = self.incidents.len() + self.maintenance.len();
        self.incidents.retain(|_, (i, _)| i.closed_unix_ms == 0 || i.closed_unix_ms >= cutoff_ms);
        self.maintenance.retain(|_, window| end_ms(window) >= cutoff_ms);
        before - self.incidents.len() - self.maintenance.len()
    }
}
