//! The engine: takes anomalies and events, keeps the groups, says what changed.
//!
//! Virtual time: what it knows of the time is what [`IncidentEngine::elapse`] says. Memory is
//! bounded by the configuration and the constants here; what is over a limit is counted in
//! [`EngineStats`]. The order of calls decides everything: no clock, no randomness, no hashing
//! order.

mod grouping;
mod restore;
mod telling;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sextant_proto::v1;

use super::causes::Causes;
use super::confidence::Calibration;
use super::group::{Group, Symptom, Times};
use super::rank::Happening;
use super::topology::{Number, Place, Topology, TopologySource};
use super::{AnomalyChange, IncidentChange, IncidentConfig, Tier, millis};

/// Open anomalies that are followed.
const MAX_FOLLOWED: usize = 200_000;
/// Groups that are not told yet, as a multiple of the open incidents.
const MAX_PENDING: usize = 4;
/// Events that are kept of a node, and nodes that events are kept of.
const MAX_EVENTS: usize = 128;
const MAX_EVENT_NODES: usize = 4096;
/// How long an event may be the cause of what comes after it.
const EVENT_MEMORY_MS: i64 = 2 * 3_600_000;

/// What the engine counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineStats {
    pub open: usize,
    pub pending: usize,
    pub opened: u64,
    pub merged: u64,
    /// Anomalies that belong to no incident, because there were too many.
    pub dropped_anomalies: u64,
    /// Members that their incident does not list.
    pub unlisted_members: u64,
    /// Events that gave way to newer ones.
    pub dropped_events: u64,
}

/// Makes incidents of anomalies and events.
pub struct IncidentEngine {
    config: IncidentConfig,
    causes: Arc<Causes>,
    calibration: Calibration,
    topology: Topology,
    /// By their own number, which is not the incident's id.
    groups: BTreeMap<u64, Group>,
    next_group: u64,
    last_id: u64,
    by_incident: FxHashMap<u64, u64>,
    /// Groups by what their facets are connected through: nodes, grandmasters, workloads, and
    /// for what may be common to them racks and clusters.
    by_anchor: FxHashMap<Number, BTreeSet<u64>>,
    /// Open anomalies: their group and facet.
    followed: FxHashMap<u64, (u64, usize)>,
    events: BTreeMap<Number, VecDeque<Happening>>,
    maintenance: BTreeMap<u64, v1::Maintenance>,
    /// The windows that were in force at the last look.
    in_force: Vec<u64>,
    now_ms: i64,
    stats: EngineStats,
    changes: Vec<IncidentChange>,
}

impl IncidentEngine {
    /// An engine that knows no anomaly, with the table of causes that comes with the aggregator.
    ///
    /// # Panics
    /// When that table is wrong; a test reads it.
    #[must_use]
    pub fn new(config: IncidentConfig, topology: impl TopologySource + 'static) -> Self {
        let causes = Causes::builtin().expect("the table in the program is right");
        Self::with_causes(config, Arc::new(causes), topology)
    }

    /// As [`IncidentEngine::new`], with another table.
    #[must_use]
    pub fn with_causes(
        config: IncidentConfig,
        causes: Arc<Causes>,
        topology: impl TopologySource + 'static,
    ) -> Self {
        Self {
            config,
            causes,
            calibration: Calibration::default(),
            topology: Topology::new(Box::new(topology)),
            groups: BTreeMap::new(),
            next_group: 1,
            last_id: 0,
            by_incident: FxHashMap::default(),
            by_anchor: FxHashMap::default(),
            followed: FxHashMap::default(),
            events: BTreeMap::new(),
            maintenance: BTreeMap::new(),
            in_force: Vec::new(),
            now_ms: 0,
            stats: EngineStats::default(),
            changes: Vec::new(),
        }
    }

    /// Other parameters of the confidence.
    pub fn calibrate(&mut self, calibration: Calibration) {
        self.calibration = calibration;
    }

    /// Takes what happened to an anomaly. What it leads to is told by the next
    /// [`IncidentEngine::elapse`].
    pub fn anomaly(&mut self, anomaly: &v1::Anomaly, change: AnomalyChange) {
        let closed = change == AnomalyChange::Closed || anomaly.closed_unix_ms != 0;
        if let Some(&(group, facet)) = self.followed.get(&anomaly.id) {
            let Some(found) = self.groups.get_mut(&group) else { return };
            if closed {
                self.followed.remove(&anomaly.id);
                let now = self.now_ms;
                let stamped = v1::Anomaly {
                    closed_unix_ms: if anomaly.closed_unix_ms == 0 {
                        now
                    } else {
                        anomaly.closed_unix_ms
                    },
                    ..anomaly.clone()
                };
                found.close(&stamped, facet);
                found.changed_ms = now;
            } else if let Some(member) = found.members.get_mut(&anomaly.id) {
                member.score = anomaly.score;
            }
            return;
        }
        // The end of what was never taken in says nothing new.
        if closed && change != AnomalyChange::Opened {
            return;
        }
        self.take(anomaly);
    }

    fn take(&mut self, anomaly: &v1::Anomaly) {
        let class = self.causes.of_anomaly(anomaly);
        let place = self.topology.place(
            &anomaly.cluster,
            &anomaly.node,
            &anomaly.entity_type,
            &anomaly.entity,
        );
        let causes = Arc::clone(&self.causes);
        let symptom = Symptom {
            anomaly,
            class,
            class_name: &causes.class(class).name,
            place,
            tier: Tier::of(&anomaly.detector),
        };
        let is_open = anomaly.closed_unix_ms == 0;
        if is_open && self.followed.len() >= MAX_FOLLOWED {
            self.stats.dropped_anomalies += 1;
            return;
        }
        let Some(number) = self.home(&symptom) else {
            self.stats.dropped_anomalies += 1;
            return;
        };
        self.anchor(number, class, &symptom.place);
        let Some(group) = self.groups.get_mut(&number) else { return };
        let facet = group.add(&symptom, self.config.max_members);
        group.changed_ms = self.now_ms;
        if group.member_count as usize > self.config.max_members {
            self.stats.unlisted_members += 1;
        }
        if is_open {
            group.followed.insert(anomaly.id);
            self.followed.insert(anomaly.id, (number, facet));
        }
    }

    /// Takes something that happened: it opens nothing, and may be why something else did.
    pub fn event(&mut self, stored: &v1::StoredEvent) {
        let Some(event) = &stored.event else { return };
        let Some(class) = self.causes.of_event(&event.r#type) else { return };
        let place =
            self.topology.place(&stored.cluster, &stored.node, &event.entity_type, &event.entity);
        let node = place.node;
        if !self.events.contains_key(&node) && self.events.len() >= MAX_EVENT_NODES {
            // The node whose last event is the oldest.
            let time = |q: &VecDeque<Happening>| q.back().map_or(i64::MIN, |h| h.time_ms);
            let oldest = self.events.iter().min_by_key(|(_, q)| time(q)).map(|(n, _)| *n);
            if let Some(gone) = oldest.and_then(|n| self.events.remove(&n)) {
                self.stats.dropped_events += gone.len() as u64;
            }
        }
        let queue = self.events.entry(node).or_default();
        if queue.len() >= MAX_EVENTS {
            queue.pop_front();
            self.stats.dropped_events += 1;
        }
        queue.push_back(Happening {
            id: stored.id,
            class,
            time_ms: event.time_unix_ms,
            severity: event.severity(),
            text: if event.message.is_empty() {
                event.r#type.clone()
            } else {
                event.message.clone()
            },
            place: Arc::clone(&place),
        });
        // It may be the cause of what is open around it.
        for number in self.around(&place) {
            if let Some(group) = self.groups.get_mut(&number) {
                group.dirty = true;
            }
        }
    }

    /// Lets time pass, and says what changed since the last call. What is told of an incident is
    /// all of it.
    pub fn elapse(&mut self, now_ms: i64) -> Vec<IncidentChange> {
        self.now_ms = self.now_ms.max(now_ms);
        self.topology.elapse(self.now_ms);
        self.tell();
        self.forget();
        std::mem::take(&mut self.changes)
    }

    /// Somebody looks after an incident; nothing when it is not open.
    pub fn acknowledge(&mut self, id: u64, by: &str, note: &str) -> Option<v1::Incident> {
        let number = *self.by_incident.get(&id)?;
        let group = self.groups.get_mut(&number)?;
        let incident = &mut group.incident;
        incident.acknowledged_by = by.into();
        incident.acknowledged_note = note.into();
        incident.acknowledged_unix_ms = self.now_ms;
        incident.updated_unix_ms = self.now_ms;
        let told = incident.clone();
        let text =
            if note.is_empty() { "acknowledged".into() } else { format!("acknowledged: {note}") };
        let by = by.to_owned();
        self.changes.push(IncidentChange {
            kind: super::ChangeKind::Acknowledged,
            time_ms: self.now_ms,
            text,
            by,
            incident: told.clone(),
        });
        Some(told)
    }

    /// Adds or replaces a maintenance window.
    pub fn maintain(&mut self, window: v1::Maintenance) {
        if self.maintenance.len() < super::maintenance::MAX_WINDOWS {
            self.maintenance.insert(window.id, window);
        }
    }

    /// An open incident as it was told last.
    #[must_use]
    pub fn incident(&self, id: u64) -> Option<&v1::Incident> {
        let group = self.groups.get(self.by_incident.get(&id)?)?;
        (group.stage != super::group::Stage::Pending).then_some(&group.incident)
    }

    /// What it counted.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        let pending = |g: &&Group| g.stage == super::group::Stage::Pending;
        let open = |g: &&Group| g.stage == super::group::Stage::Open;
        EngineStats {
            open: self.groups.values().filter(open).count(),
            pending: self.groups.values().filter(pending).count(),
            ..self.stats
        }
    }

    fn times(&self) -> Times {
        Times { gap_ms: millis(self.config.gap), reopen_ms: millis(self.config.reopen_within) }
    }

    /// The groups that something at a place may have to do with.
    fn around(&self, place: &Place) -> BTreeSet<u64> {
        let anchors = [place.node].into_iter().chain(place.domains.iter().copied());
        let anchors = anchors.chain(place.workloads.iter().copied()).filter(|n| *n != 0);
        anchors.filter_map(|n| self.by_anchor.get(&n)).flatten().copied().collect()
    }
}
