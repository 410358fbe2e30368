//! What was before a restart: open incidents as they were stored, with those of their anomalies
//! that are still open.

use std::collections::BTreeMap;

use sextant_proto::v1::{self, IncidentState};

use crate::incident::Tier;
use crate::incident::group::{Group, Stage, Symptom};

use super::IncidentEngine;

impl IncidentEngine {
    /// Takes over what was stored: the incidents that were open, the anomalies that are now, the
    /// windows that have not ended. Anomalies of them that are not open any more ended meanwhile.
    /// Ids go on after `last_id`.
    pub fn restore(
        &mut self,
        incidents: &[v1::Incident],
        open: &[v1::Anomaly],
        windows: &[v1::Maintenance],
        last_id: u64,
        now_ms: i64,
    ) {
        self.now_ms = self.now_ms.max(now_ms);
        self.topology.elapse(self.now_ms);
        self.last_id = self.last_id.max(last_id);
        for window in windows {
            self.maintenance.insert(window.id, window.clone());
        }
        let open: BTreeMap<u64, &v1::Anomaly> = open.iter().map(|a| (a.id, a)).collect();
        for incident in incidents.iter().filter(|i| i.state() == IncidentState::Open) {
            self.restore_one(incident, &open);
        }
        for anomaly in open.values() {
            self.anomaly(anomaly, super::AnomalyChange::Opened);
        }
    }

    /// Compares with what is open: for when some of what happened was not told.
    pub fn resync(&mut self, open: &[v1::Anomaly]) {
        let ids: rustc_hash::FxHashSet<u64> = open.iter().map(|a| a.id).collect();
        let mut gone: Vec<u64> =
            self.followed.keys().filter(|id| !ids.contains(id)).copied().collect();
        gone.sort_unstable();
        for id in gone {
            let closed = v1::Anomaly { id, closed_unix_ms: self.now_ms, ..v1::Anomaly::default() };
            self.anomaly(&closed, super::AnomalyChange::Closed);
        }
        for anomaly in open.iter().filter(|a| a.closed_unix_ms == 0) {
            self.anomaly(anomaly, super::AnomalyChange::Opened);
        }
    }

    fn restore_one(&mut self, incident: &v1::Incident, open: &BTreeMap<u64, &v1::Anomaly>) {
        let number = self.next_group;
        self.next_group += 1;
        let mut group = Group::new(self.now_ms);
        (group.id, group.stage) = (incident.id, Stage::Open);
        group.incident = incident.clone();
        self.groups.insert(number, group);
        self.by_incident.insert(incident.id, number);
        self.last_id = self.last_id.max(incident.id);
        for member in &incident.members {
            let now = self.now_ms;
            let closed = match open.get(&member.anomaly_id) {
                Some(_) => 0,
                None if member.closed_unix_ms == 0 => now,
                None => member.closed_unix_ms,
            };
            self.restore_member(number, member, closed);
        }
        let Some(group) = self.groups.get_mut(&number) else { return };
        group.member_count = group.member_count.max(incident.member_count);
        group.onset_ms = group.onset_ms.min(incident.opened_unix_ms);
    }

    fn restore_member(&mut self, number: u64, member: &v1::IncidentMember, closed_unix_ms: i64) {
        let component = member.component.clone().unwrap_or_default();
        let place = self.topology.place_of(
            &component.cluster,
            &component.node,
            &component.kind,
            &component.name,
        );
        let anomaly = v1::Anomaly {
            id: member.anomaly_id,
            cluster: component.cluster,
            node: component.node,
            detector: member.detector.clone(),
            rule: member.rule.clone(),
            metric: member.metric.clone(),
            severity: member.severity,
            opened_unix_ms: member.opened_unix_ms,
            closed_unix_ms,
            summary: member.summary.clone(),
            action: member.action.clone(),
            score: member.score,
            ..v1::Anomaly::default()
        };
        let causes = std::sync::Arc::clone(&self.causes);
        // The class is that of the table of today, where that still has it.
        let class = causes.by_name(&member.class).unwrap_or_else(|| causes.of_anomaly(&anomaly));
        let symptom = Symptom {
            anomaly: &anomaly,
            class,
            class_name: &causes.class(class).name,
            place: std::sync::Arc::clone(&place),
            tier: Tier::of(&anomaly.detector),
        };
        self.anchor(number, class, &place);
        let Some(group) = self.groups.get_mut(&number) else { return };
        let facet = group.add(&symptom, self.config.max_members);
        if closed_unix_ms == 0 {
            group.followed.insert(anomaly.id);
            self.followed.insert(anomaly.id, (number, facet));
        }
    }
}
