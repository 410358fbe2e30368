//! The questions. gRPC, HTTP and the rest are skins over this; all of it blocks (it reads the
//! store), so a skin calls it off its event loop.
//!
//! A series' samples are in blocks and in heads. Heads are read first: a chunk that is sealed
//! in between is then seen twice, and told apart by its spool and first seq, never missed.

mod incidents;
mod range;

use std::collections::BTreeMap;
use std::sync::Arc;

use sextant_proto::frame::is_absent;
use sextant_proto::v1;

use crate::catalog::{Catalog, Live};
use crate::clock;
use crate::episode::Episodes;
use crate::hub::Hub;
use crate::incident::IncidentHandle;
use crate::nodes::{Node, Nodes};
use crate::selector::{Selector, SelectorError};
use crate::series::{NodeId, Series, wire_labels};
use crate::stats::Stats;
use crate::storage::{AnomalyQuery, EventQuery, Store, StoreError};

pub use range::Points;

/// Series that one question may be about.
pub const MAX_SERIES: usize = 50_000;
/// Samples that one range question may return.
pub const MAX_SAMPLES: usize = 50_000_000;
/// Events or anomalies of one answer.
pub const MAX_ROWS: usize = 10_000;
/// A series whose newest sample is older than so many of its intervals has no value now.
const STALE_INTERVALS: i64 = 5;
/// But never so fast that a late frame makes it flap.
const MIN_STALE_MS: i64 = 10_000;
/// How far back an instant in the past looks for a sample: Prometheus' default.
pub const LOOKBACK_MS: i64 = 5 * 60_000;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(transparent)]
    Selector(#[from] SelectorError),
    /// The question itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// Over a limit; the text says which and how to ask for less.
    #[error("{0}")]
    Limit(String),
    #[error("read the store")]
    Store(#[from] StoreError),
}

/// A value of a series.
#[derive(Debug, Clone)]
pub struct Sample {
    pub series: Arc<Series>,
    pub time_ms: i64,
    pub value: f64,
}

/// Answers questions.
#[derive(Clone)]
pub struct Queries {
    pub catalog: Arc<Catalog>,
    pub nodes: Arc<Nodes>,
    pub episodes: Arc<Episodes>,
    pub store: Arc<dyn Store>,
    pub hub: Hub,
    pub incidents: IncidentHandle,
    pub stats: Arc<Stats>,
}

impl Queries {
    /// The clusters, by name.
    #[must_use]
    pub fn clusters(&self) -> Vec<v1::Cluster> {
        let mut clusters: BTreeMap<Arc<str>, v1::Cluster> = BTreeMap::new();
        for node in self.nodes.all() {
            let cluster = clusters.entry(Arc::clone(&node.key.cluster)).or_default();
            cluster.nodes += 1;
            cluster.connected_nodes += u32::from(node.is_connected());
            cluster.active_anomalies += count(self.episodes.open_on(node.key.id));
        }
        let named =
            clusters.into_iter().map(|(name, c)| v1::Cluster { name: name.to_string(), ..c });
        named.collect()
    }

    /// The nodes of a cluster (empty: all), by name.
    #[must_use]
    pub fn nodes(&self, cluster: &str) -> Vec<v1::Node> {
        let wanted = |n: &Arc<Node>| cluster.is_empty() || *n.key.cluster == *cluster;
        let nodes = self.nodes.all();
        let mut answer: Vec<_> = nodes.iter().filter(|n| wanted(n)).map(|n| self.node(n)).collect();
        answer.sort_by(|a, b| (&a.cluster, &a.name).cmp(&(&b.cluster, &b.name)));
        answer
    }

    fn node(&self, node: &Node) -> v1::Node {
        let record = node.record();
        let now = clock::now_ms();
        let live = self.catalog.layouts_of(node.key.id);
        let fresh = live.iter().filter(|l| self.is_fresh(l, now));
        v1::Node {
            connected: node.is_connected(),
            cluster: record.cluster,
            name: record.name,
            agent_version: record.agent_version,
            boot_id: record.boot_id,
            capabilities: record.capabilities,
            last_seen_unix_ms: record.last_seen_ms,
            clock_skew_ms: record.clock_skew_ms,
            series: count(fresh.map(|l| l.layout.columns.len()).sum()),
            active_anomalies: count(self.episodes.open_on(node.key.id)),
        }
    }

    /// The things measured now, by node and type.
    #[must_use]
    pub fn entities(&self, cluster: &str, node: &str, kind: &str) -> Vec<v1::Entity> {
        let wanted = |filter: &str, value: &str| filter.is_empty() || filter == value;
        let now = clock::now_ms();
        let mut entities: BTreeMap<_, u32> = BTreeMap::new();
        for live in self.catalog.layouts() {
            let key = &live.layout.node;
            if !wanted(cluster, &key.cluster)
                || !wanted(node, &key.name)
                || !self.is_fresh(&live, now)
            {
                continue;
            }
            for series in live.layout.columns.iter().filter(|s| wanted(kind, &s.entity_type)) {
                let entity =
                    (series.node.id, Arc::clone(&series.entity_type), series.entity.clone());
                *entities.entry(entity).or_default() += 1;
            }
        }
        let wire = |((node, kind, labels), series): ((NodeId, Arc<str>, Vec<_>), u32)| {
            let key = Arc::clone(&self.nodes.get(node)?.key);
            Some(v1::Entity {
                cluster: key.cluster.to_string(),
                node: key.name.to_string(),
                r#type: kind.to_string(),
                labels: wire_labels(&labels),
                series,
            })
        };
        entities.into_iter().filter_map(wire).collect()
    }

    /// The series that a selector matches, past ones included.
    ///
    /// # Errors
    /// When the selector is none, or matches more than the limit.
    pub fn series(&self, selector: &str, limit: usize) -> Result<Vec<Arc<Series>>, QueryError> {
        let selector = Selector::parse(selector)?;
        if limit > 0 && limit < MAX_SERIES {
            return Ok(self.catalog.select(&selector, limit).0);
        }
        self.select(&selector)
    }

    fn select(&self, selector: &Selector) -> Result<Vec<Arc<Series>>, QueryError> {
        let (series, more) = self.catalog.select(selector, MAX_SERIES);
        if more {
            let text = format!(
                "the selector matches over {MAX_SERIES} series: name a metric, a node or more labels"
            );
            return Err(QueryError::Limit(text));
        }
        Ok(series)
    }

    /// The value of each matching series now: those that are not stale.
    ///
    /// # Errors
    /// As [`Queries::series`].
    pub fn now(&self, selector: &str) -> Result<Vec<Sample>, QueryError> {
        let series = self.select(&Selector::parse(selector)?)?;
        let now = clock::now_ms();
        Ok(series.into_iter().filter_map(|s| self.latest(&s, now)).collect())
    }

    /// A series' value now.
    fn latest(&self, series: &Arc<Series>, now_ms: i64) -> Option<Sample> {
        let mut newest: Option<(i64, f64)> = None;
        for (live, column) in self.catalog.placements(series.id) {
            if !self.is_fresh(&live, now_ms) {
                continue;
            }
            let head = live.head.lock();
            let Some((tick, row)) = head.latest() else { continue };
            if newest.is_none_or(|(t, _)| tick > t) {
                newest = Some((tick, row[column]));
            }
        }
        let (time_ms, value) = newest.filter(|(_, v)| !is_absent(*v))?;
        Some(Sample { series: Arc::clone(series), time_ms, value })
    }

    /// Whether a layout has values now: a frame of it came within its intervals, and what that
    /// frame had was of its time and not of a backlog. A node whose clock is known to be behind
    /// is given that; one that is ahead needs nothing.
    #[must_use]
    pub fn is_fresh(&self, live: &Live, now_ms: i64) -> bool {
        let skew = self.nodes.get(live.layout.node.id).map_or(0, |n| n.record().clock_skew_ms);
        let age = (STALE_INTERVALS * i64::from(live.layout.interval_ms)).max(MIN_STALE_MS);
        let since = now_ms.saturating_sub(age);
        let head = live.head.lock();
        let of_its_time = |(tick, _)| tick >= since.saturating_add(skew.min(0));
        head.arrived_ms() >= since && head.latest().is_some_and(of_its_time)
    }

    /// Events, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn events(&self, mut query: EventQuery) -> Result<Vec<v1::StoredEvent>, QueryError> {
        query.limit = rows(query.limit);
        Ok(self.store.events(&query)?)
    }

    /// Anomalies, newest first; the open ones are those of the moment.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn anomalies(&self, mut query: AnomalyQuery) -> Result<Vec<v1::Anomaly>, QueryError> {
        query.limit = rows(query.limit);
        if !query.active_only {
            return Ok(self.store.anomalies(&query)?);
        }
        let same =
            |filter: &Option<String>, value: &str| filter.as_deref().is_none_or(|f| f == value);
        let mut open = self.episodes.open();
        open.retain(|a| same(&query.cluster, &a.cluster) && same(&query.node, &a.node));
        open.reverse();
        open.truncate(query.limit);
        Ok(open)
    }
}

pub(super) fn rows(limit: usize) -> usize {
    if limit == 0 { MAX_ROWS } else { limit.min(MAX_ROWS) }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
