//! Which group an anomaly belongs to: the one that accepts it, all that do made one, or a new
//! one.

use std::collections::BTreeSet;

use crate::incident::causes::ClassId;
use crate::incident::group::{Group, Stage, Symptom};
use crate::incident::topology::{Number, Place, Relation};
use crate::incident::{ChangeKind, IncidentChange};
use sextant_proto::v1::IncidentState;

use super::{IncidentEngine, MAX_PENDING};

/// How many components of a rack or cluster must begin together ...
const BURST: usize = 3;
/// ... and within what time.
const BURST_MS: i64 = 60_000;

impl IncidentEngine {
    /// The group for an anomaly; nothing when there are too many.
    pub(super) fn home(&mut self, symptom: &Symptom<'_>) -> Option<u64> {
        let times = self.times();
        let mut accepting: BTreeSet<u64> = BTreeSet::new();
        for number in self.around(&symptom.place) {
            let accepts = |g: &Group| g.accepts(symptom, &self.causes, &times);
            if self.groups.get(&number).is_some_and(accepts) {
                accepting.insert(number);
            }
        }
        accepting.extend(self.burst(symptom));
        let mut candidates: Vec<u64> = accepting.into_iter().collect();
        // What is open keeps its id; what was told before, before what was not; the oldest first.
        candidates.sort_by_key(|number| {
            let group = &self.groups[number];
            let stage = match group.stage {
                Stage::Open => 0,
                Stage::Closed => 1,
                Stage::Pending => 2,
            };
            (stage, group.id, *number)
        });
        let Some((&first, others)) = candidates.split_first() else {
            return self.found();
        };
        for &other in others {
            // A closed one that also fits has its own end.
            if self.groups[&other].stage != Stage::Closed {
                self.merge(first, other);
            }
        }
        Some(first)
    }

    fn found(&mut self) -> Option<u64> {
        let limit = self.config.max_open.saturating_mul(MAX_PENDING);
        if self.groups.len() >= limit && !self.drop_oldest_pending() {
            return None;
        }
        let number = self.next_group;
        self.next_group += 1;
        self.groups.insert(number, Group::new(self.now_ms));
        Some(number)
    }

    fn drop_oldest_pending(&mut self) -> bool {
        let pending = self.groups.iter().find(|(_, g)| g.stage == Stage::Pending);
        let Some(number) = pending.map(|(number, _)| *number) else { return false };
        let gone = self.groups.get(&number).map_or(0, |g| g.member_count);
        self.stats.dropped_anomalies += u64::from(gone);
        self.remove(number);
        true
    }

    /// Groups that have the same fault at the same time on other nodes of the rack or cluster,
    /// when they are enough to have one cause.
    fn burst(&self, symptom: &Symptom<'_>) -> Vec<u64> {
        let wide =
            (Relation::RACK | Relation::CLUSTER).and(self.causes.class(symptom.class).siblings);
        if wide == Relation::NONE {
            return Vec::new();
        }
        let onset = symptom.anomaly.opened_unix_ms;
        for anchor in wide_anchors(&symptom.place, wide) {
            let mut groups = BTreeSet::new();
            let mut nodes = BTreeSet::from([symptom.place.node]);
            for number in self.by_anchor.get(&anchor).into_iter().flatten() {
                let Some(group) = self.groups.get(number) else { continue };
                for facet in group.facets.iter().filter(|f| f.class == symptom.class) {
                    if facet.place.relation(&symptom.place).meets(wide)
                        && onset.abs_diff(facet.onset_ms) <= BURST_MS.unsigned_abs()
                    {
                        nodes.insert(facet.place.node);
                        groups.insert(*number);
                    }
                }
            }
            if nodes.len() >= BURST {
                return groups.into_iter().collect();
            }
        }
        Vec::new()
    }

    /// Makes one group of two; what was told of the second is told to be part of the first.
    pub(super) fn merge(&mut self, into: u64, from: u64) {
        let Some(gone) = self.groups.remove(&from) else { return };
        let Some(group) = self.groups.get_mut(&into) else { return };
        let (followed, anchors) = (gone.followed.clone(), gone.anchors.clone());
        self.stats.merged += 1;
        let (id, was_told, mut incident) =
            (gone.id, gone.stage == Stage::Open, gone.incident.clone());
        let moved = group.absorb(gone, self.config.max_members);
        if was_told && incident.paged && !group.incident.paged {
            group.incident.paged = true;
            group.incident.page_reason.clone_from(&incident.page_reason);
        }
        if was_told && group.incident.acknowledged_by.is_empty() && group.stage == Stage::Pending {
            group.incident.acknowledged_by.clone_from(&incident.acknowledged_by);
        }
        let into_id = group.id;
        for id in followed {
            if let Some((number, facet)) = self.followed.get_mut(&id) {
                *number = into;
                *facet = moved.get(*facet).copied().unwrap_or_default();
            }
        }
        for anchor in anchors {
            if let Some(groups) = self.by_anchor.get_mut(&anchor) {
                groups.remove(&from);
                groups.insert(into);
            }
        }
        if was_told {
            self.by_incident.insert(id, into);
            incident.set_state(IncidentState::Merged);
            incident.merged_into = into_id;
            incident.closed_unix_ms = self.now_ms;
            incident.updated_unix_ms = self.now_ms;
            let text = format!("is part of incident {into_id}");
            let change = IncidentChange {
                kind: ChangeKind::Merged,
                time_ms: self.now_ms,
                text,
                by: String::new(),
                incident,
            };
            self.changes.push(change);
        }
    }

    /// Lets a group be found by what a facet is connected through.
    pub(super) fn anchor(&mut self, number: u64, class: ClassId, place: &Place) {
        let wide = (Relation::RACK | Relation::CLUSTER).and(self.causes.class(class).siblings);
        let anchors = [place.node].into_iter().chain(place.domains.iter().copied());
        let anchors = anchors.chain(place.workloads.iter().copied());
        let Some(group) = self.groups.get_mut(&number) else { return };
        for anchor in anchors.chain(wide_anchors(place, wide)).filter(|n| *n != 0) {
            if group.anchors.insert(anchor) {
                self.by_anchor.entry(anchor).or_default().insert(number);
            }
        }
    }

    /// Forgets a group.
    pub(super) fn remove(&mut self, number: u64) {
        let Some(gone) = self.groups.remove(&number) else { return };
        for id in &gone.followed {
            self.followed.remove(id);
        }
        for anchor in &gone.anchors {
            if let Some(groups) = self.by_anchor.get_mut(anchor) {
                groups.remove(&number);
                if groups.is_empty() {
                    self.by_anchor.remove(anchor);
                }
            }
        }
        if gone.id != 0 {
            self.by_incident.retain(|_, group| *group != number);
        }
    }
}

fn wide_anchors(place: &Place, wide: Relation) -> impl Iterator<Item = Number> {
    let racks = place.racks.iter().copied().filter(move |_| wide.meets(Relation::RACK));
    let cluster = wide.meets(Relation::CLUSTER).then_some(place.cluster);
    racks.chain(cluster).collect::<Vec<_>>().into_iter()
}
