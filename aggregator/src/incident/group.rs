//! Anomalies that belong together while they are looked at: an incident before and after it is
//! told. What of one class is wrong with one component is a *facet*, however many anomalies say
//! so; grouping and ranking work on facets, so that their cost does not grow with repetition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sextant_proto::v1::{self, Severity};

use super::Tier;
use super::causes::{Causes, ClassId, Edge};
use super::topology::{Component, Number, Place, Relation};

/// Facets of one incident. What comes beyond is counted with one that is there.
const MAX_FACETS: usize = 128;
/// Metrics of a facet that are told apart.
const MAX_METRICS: usize = 16;
/// How far outside an edge's lag an anomaly still belongs to its cause.
const JOIN_SLACK_MS: i64 = 30_000;
/// Edges weaker than this explain, and do not bring together.
const JOIN_WEIGHT: f64 = 0.3;
/// What times of different sources may differ by.
pub(super) const UNCERTAINTY_MS: i64 = 2_000;

/// A fault of one class on one component.
#[derive(Debug, Clone)]
pub(super) struct Facet {
    pub(super) class: ClassId,
    pub(super) place: Arc<Place>,
    pub(super) onset_ms: i64,
    /// The last time that something of it opened or closed.
    pub(super) latest_ms: i64,
    pub(super) open: u32,
    pub(super) count: u32,
    pub(super) severity: Severity,
    /// The most telling evidence of it.
    pub(super) tier: Tier,
    pub(super) has_learned: bool,
    pub(super) has_peer: bool,
    pub(super) metrics: BTreeSet<String>,
    /// Of the anomaly that says most.
    pub(super) anomaly: u64,
    pub(super) rule: String,
    pub(super) summary: String,
    pub(super) action: String,
}

impl Facet {
    /// Until when it is known to last.
    pub(super) fn end_ms(&self) -> i64 {
        if self.open > 0 { i64::MAX } else { self.latest_ms }
    }

    /// How much it wants an explanation.
    pub(super) fn surprise(&self) -> f64 {
        let base = match (self.tier, self.severity) {
            (Tier::Learned, _) => 0.8,
            (Tier::Peer, _) => 1.5,
            (Tier::Rule, Severity::Critical) => 3.0,
            (Tier::Rule, Severity::Warning) => 2.0,
            (Tier::Rule, _) => 0.7,
        };
        base + 0.3 * f64::from(self.count.min(8)).ln()
    }
}

/// A change of an anomaly as it concerns a group.
pub(super) struct Symptom<'a> {
    pub(super) anomaly: &'a v1::Anomaly,
    pub(super) class: ClassId,
    pub(super) class_name: &'a str,
    pub(super) place: Arc<Place>,
    pub(super) tier: Tier,
}

/// What a group is to those outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not enough to be told of.
    Pending,
    Open,
    Closed,
}

/// Anomalies that belong together.
#[derive(Debug)]
pub(super) struct Group {
    /// The incident's id once it is told.
    pub(super) id: u64,
    pub(super) stage: Stage,
    pub(super) facets: Vec<Facet>,
    by_facet: FxHashMap<(ClassId, Number), usize>,
    pub(super) members: BTreeMap<u64, v1::IncidentMember>,
    /// Its open anomalies, and what it can be found through.
    pub(super) followed: BTreeSet<u64>,
    pub(super) anchors: BTreeSet<Number>,
    pub(super) member_count: u32,
    pub(super) open_members: u32,
    pub(super) onset_ms: i64,
    /// The engine's time when the first of it came, and the last change.
    pub(super) created_ms: i64,
    pub(super) changed_ms: i64,
    pub(super) told_ms: i64,
    pub(super) dirty: bool,
    /// The last that was told of it.
    pub(super) incident: v1::Incident,
}

impl Group {
    pub(super) fn new(now_ms: i64) -> Self {
        Self {
            id: 0,
            stage: Stage::Pending,
            facets: Vec::new(),
            by_facet: FxHashMap::default(),
            members: BTreeMap::new(),
            followed: BTreeSet::new(),
            anchors: BTreeSet::new(),
            member_count: 0,
            open_members: 0,
            onset_ms: i64::MAX,
            created_ms: now_ms,
            changed_ms: now_ms,
            told_ms: i64::MIN / 2,
            dirty: true,
            incident: v1::Incident::default(),
        }
    }

    /// Adds an anomaly; the position of its facet.
    pub(super) fn add(&mut self, symptom: &Symptom<'_>, max_members: usize) -> usize {
        let a = symptom.anomaly;
        let at = self.facet(symptom);
        let is_open = a.closed_unix_ms == 0;
        let facet = &mut self.facets[at];
        let severity = a.severity();
        if (symptom.tier, severity) > (facet.tier, facet.severity) || facet.count == 0 {
            facet.anomaly = a.id;
            facet.rule.clone_from(&a.rule);
            facet.summary.clone_from(&a.summary);
            facet.action.clone_from(&a.action);
        }
        facet.count += 1;
        facet.open += u32::from(is_open);
        facet.severity = facet.severity.max(severity);
        facet.tier = facet.tier.max(symptom.tier);
        facet.has_learned |= symptom.tier == Tier::Learned;
        facet.has_peer |= symptom.tier == Tier::Peer;
        facet.onset_ms = facet.onset_ms.min(a.opened_unix_ms);
        facet.latest_ms = facet.latest_ms.max(a.opened_unix_ms).max(a.closed_unix_ms);
        if facet.metrics.len() < MAX_METRICS {
            facet.metrics.insert(if a.metric.is_empty() {
                a.rule.clone()
            } else {
                a.metric.clone()
            });
        }
        self.member_count += 1;
        self.open_members += u32::from(is_open);
        self.onset_ms = self.onset_ms.min(a.opened_unix_ms);
        if self.members.len() < max_members {
            self.members.insert(a.id, member(a, symptom));
        }
        self.dirty = true;
        at
    }

    fn facet(&mut self, symptom: &Symptom<'_>) -> usize {
        let key = (symptom.class, symptom.place.number);
        if let Some(at) = self.by_facet.get(&key) {
            return *at;
        }
        if self.facets.len() >= MAX_FACETS {
            let same = self.facets.iter().position(|f| f.class == symptom.class);
            return same.unwrap_or_default();
        }
        self.by_facet.insert(key, self.facets.len());
        self.facets.push(Facet {
            class: symptom.class,
            place: Arc::clone(&symptom.place),
            onset_ms: i64::MAX,
            latest_ms: i64::MIN,
            open: 0,
            count: 0,
            severity: Severity::Unspecified,
            tier: symptom.tier,
            has_learned: false,
            has_peer: false,
            metrics: BTreeSet::new(),
            anomaly: 0,
            rule: String::new(),
            summary: String::new(),
            action: String::new(),
        });
        self.facets.len() - 1
    }

    /// An anomaly of it closed.
    pub(super) fn close(&mut self, anomaly: &v1::Anomaly, facet: usize) {
        if let Some(facet) = self.facets.get_mut(facet) {
            facet.open = facet.open.saturating_sub(1);
            facet.latest_ms = facet.latest_ms.max(anomaly.closed_unix_ms);
        }
        self.open_members = self.open_members.saturating_sub(1);
        self.followed.remove(&anomaly.id);
        if let Some(member) = self.members.get_mut(&anomaly.id) {
            member.closed_unix_ms = anomaly.closed_unix_ms.max(1);
        }
        self.dirty = true;
    }

    /// Takes everything of another; where its facets are now.
    pub(super) fn absorb(&mut self, other: Self, max_members: usize) -> Vec<usize> {
        let mut moved = Vec::with_capacity(other.facets.len());
        for facet in other.facets {
            let key = (facet.class, facet.place.number);
            if let Some(&at) = self.by_facet.get(&key) {
                let own = &mut self.facets[at];
                own.onset_ms = own.onset_ms.min(facet.onset_ms);
                own.latest_ms = own.latest_ms.max(facet.latest_ms);
                own.open += facet.open;
                own.count += facet.count;
                own.severity = own.severity.max(facet.severity);
                own.tier = own.tier.max(facet.tier);
                own.has_learned |= facet.has_learned;
                own.has_peer |= facet.has_peer;
                moved.push(at);
            } else if self.facets.len() < MAX_FACETS {
                self.by_facet.insert(key, self.facets.len());
                moved.push(self.facets.len());
                self.facets.push(facet);
            } else {
                let same = self.facets.iter().position(|f| f.class == facet.class);
                let at = same.unwrap_or_default();
                self.facets[at].open += facet.open;
                self.facets[at].count += facet.count;
                moved.push(at);
            }
        }
        for (id, member) in other.members {
            if self.members.len() < max_members {
                self.members.insert(id, member);
            }
        }
        self.followed.extend(other.followed);
        self.anchors.extend(other.anchors);
        self.member_count += other.member_count;
        self.open_members += other.open_members;
        self.onset_ms = self.onset_ms.min(other.onset_ms);
        self.created_ms = self.created_ms.min(other.created_ms);
        self.changed_ms = self.changed_ms.max(other.changed_ms);
        self.dirty = true;
        moved
    }

    /// Whether an anomaly belongs here.
    pub(super) fn accepts(&self, symptom: &Symptom<'_>, causes: &Causes, times: &Times) -> bool {
        self.facets.iter().any(|facet| belongs(facet, symptom, causes, times))
    }

    /// What it is about, for people: the nodes, by name.
    pub(super) fn nodes(&self) -> BTreeSet<(Arc<str>, Arc<str>)> {
        let of = |f: &Facet| {
            let c: &Component = &f.place.component;
            (Arc::clone(&c.cluster), Arc::clone(&c.node))
        };
        self.facets.iter().map(of).filter(|(_, node)| !node.is_empty()).collect()
    }
}

/// The times by which is decided what belongs together.
pub(super) struct Times {
    pub(super) gap_ms: i64,
    pub(super) reopen_ms: i64,
}

fn belongs(facet: &Facet, new: &Symptom<'_>, causes: &Causes, times: &Times) -> bool {
    let relation = facet.place.relation(&new.place);
    if relation == Relation::NONE {
        return false;
    }
    let onset = new.anomaly.opened_unix_ms;
    let since_end = onset.saturating_sub(facet.end_ms());
    let before = facet.onset_ms.saturating_sub(onset);
    let within = |time: i64| since_end <= time && before <= time;
    let same_class = facet.class == new.class;
    if same_class && relation.meets(Relation::SAME) {
        return within(times.reopen_ms.max(times.gap_ms));
    }
    if within(times.gap_ms) {
        let (own, other) = (causes.class(facet.class), causes.class(new.class));
        let same_family = own.family() == other.family();
        let hub = facet.place.is_hub || new.place.is_hub;
        if relation.meets(Relation::LINEAGE) && (!hub || same_family) {
            return true;
        }
        let few = Relation::DEVICE | Relation::NODE | Relation::DOMAIN | Relation::WORKLOAD;
        if same_class && relation.and(few).meets(own.siblings) {
            return true;
        }
        let learned = facet.tier == Tier::Learned && new.tier == Tier::Learned;
        if learned && same_family && relation.meets(Relation::NODE) {
            return true;
        }
    }
    let joins = |edge: &Edge| edge.weight >= JOIN_WEIGHT && edge.via.meets(relation);
    let caused = causes.between(facet.class, new.class).filter(|e| joins(e)).any(|edge| {
        let cause = (facet.onset_ms, facet.end_ms());
        lag_distance(edge, causes, facet.class, cause, onset) <= JOIN_SLACK_MS
            && since_end <= times.gap_ms.max(edge.lag_max_ms)
    });
    let causing = || {
        causes.between(new.class, facet.class).filter(|e| joins(e)).any(|edge| {
            let cause = (onset, if new.anomaly.closed_unix_ms == 0 { i64::MAX } else { onset });
            lag_distance(edge, causes, new.class, cause, facet.onset_ms) <= JOIN_SLACK_MS
        })
    };
    caused || causing()
}

/// How far an effect's onset is from where the cause would have it, in milliseconds. A cause
/// that lasts has effects as long as it lasts; what is found late may have begun before.
pub(super) fn lag_distance(
    edge: &Edge,
    causes: &Causes,
    cause: ClassId,
    (onset_ms, end_ms): (i64, i64),
    effect_ms: i64,
) -> i64 {
    let late_cause = causes.class(cause).delay_ms + UNCERTAINTY_MS;
    let late_effect = causes.class(edge.effect).delay_ms + UNCERTAINTY_MS;
    let first = onset_ms.saturating_add(edge.lag_min_ms).saturating_sub(late_cause);
    let last = end_ms.saturating_add(edge.lag_max_ms).saturating_add(late_effect);
    first.saturating_sub(effect_ms).max(effect_ms.saturating_sub(last)).max(0)
}

fn member(a: &v1::Anomaly, symptom: &Symptom<'_>) -> v1::IncidentMember {
    v1::IncidentMember {
        anomaly_id: a.id,
        class: symptom.class_name.into(),
        component: Some(symptom.place.component.to_wire()),
        detector: a.detector.clone(),
        rule: a.rule.clone(),
        metric: a.metric.clone(),
        severity: a.severity,
        opened_unix_ms: a.opened_unix_ms,
        closed_unix_ms: a.closed_unix_ms,
        summary: a.summary.clone(),
        action: a.action.clone(),
        score: a.score,
        explained: false,
    }
}
