//! Questions about incidents: the open ones are those of the moment, the others are stored.

use sextant_proto::v1;

use super::{Queries, QueryError, rows};
use crate::storage::IncidentQuery;

impl Queries {
    /// Incidents, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn incidents(&self, mut query: IncidentQuery) -> Result<Vec<v1::Incident>, QueryError> {
        query.limit = rows(query.limit);
        if !query.active_only {
            return Ok(self.store.incidents(&query)?);
        }
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        let everywhere = query.cluster.is_none() && query.node.is_none();
        let here = |name: &String| {
            let (cluster, node) = name.split_once('/').unwrap_or((name, ""));
            is(&query.cluster, cluster) && is(&query.node, node)
        };
        let mut open = self.incidents.open();
        open.retain(|i| everywhere || i.nodes.iter().any(here));
        open.truncate(query.limit);
        Ok(open)
    }

    /// An incident with its history; none when there is none. What happened in the last moment
    /// may not be in the history yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn incident(
        &self,
        id: u64,
    ) -> Result<Option<(v1::Incident, Vec<v1::IncidentEntry>)>, QueryError> {
        let now = self.incidents.get(id);
        let stored = self.store.incident(id)?;
        Ok(match (now, stored) {
            (Some(incident), Some((_, history))) => Some((incident, history)),
            (Some(incident), None) => Some((incident, Vec::new())),
            (None, stored) => stored,
        })
    }
}
