//! What is told when: a group becomes an incident, changes, closes, comes back.

use std::sync::Arc;

use sextant_proto::v1::{self, IncidentState, Severity};

use crate::incident::group::{Facet, Group, Stage};
use crate::incident::paging::{Verdict, judge};
use crate::incident::rank::{Happening, Ranking, rank};
use crate::incident::render::render;
use crate::incident::{ChangeKind, IncidentChange, Tier, maintenance, millis};

use super::{EVENT_MEMORY_MS, IncidentEngine};

/// More members alone are told at most so often.
const RETELL_MS: i64 = 10_000;
/// Events that one ranking looks at.
const MAX_HAPPENINGS: usize = 256;

impl IncidentEngine {
    /// Looks at every group that changed, or whose time has come.
    pub(super) fn tell(&mut self) {
        let now = self.now_ms;
        let active = self.maintenance.values().filter(|w| maintenance::is_active(w, now));
        let active: Vec<u64> = active.map(|w| w.id).collect();
        if active != self.in_force {
            self.in_force = active;
            self.groups.values_mut().for_each(|g| g.dirty = true);
        }
        let numbers: Vec<u64> = self.groups.keys().copied().collect();
        let mut room = self.config.max_open.saturating_sub(self.stats().open);
        for number in numbers {
            let Some(group) = self.groups.get(&number) else { continue };
            match group.stage {
                Stage::Pending if room > 0 => room -= usize::from(self.consider(number)),
                Stage::Pending => {}
                Stage::Open => self.review(number),
                Stage::Closed if group.open_members > 0 => self.reopen(number),
                Stage::Closed => {}
            }
        }
    }

    /// Opens a pending group that is worth it; whether it was.
    fn consider(&mut self, number: u64) -> bool {
        let settle = millis(self.config.settle);
        let group = &self.groups[&number];
        if !group.dirty || self.now_ms < group.created_ms + settle || !self.is_worth(group) {
            return false;
        }
        self.last_id += 1;
        self.stats.opened += 1;
        let (id, now) = (self.last_id, self.now_ms);
        self.by_incident.insert(id, number);
        if let Some(group) = self.groups.get_mut(&number) {
            group.id = id;
            group.stage = Stage::Open;
            group.incident.set_state(IncidentState::Open);
        }
        let (verdict, _) = self.renew(number);
        let Some(group) = self.groups.get_mut(&number) else { return true };
        group.told_ms = now;
        let title = group.incident.title.clone();
        self.push(number, ChangeKind::Opened, title);
        if verdict.page {
            self.push(number, ChangeKind::Paged, verdict.reason);
        }
        true
    }

    /// Whether a group is enough to be an incident: a warning of a rule or of peers is, what was
    /// learned or is only information needs to agree.
    fn is_worth(&self, group: &Group) -> bool {
        let plain = |f: &Facet| f.tier >= Tier::Peer && f.severity >= Severity::Warning;
        if group.facets.iter().any(plain) {
            return true;
        }
        let evidence: usize = group.facets.iter().map(|f| f.metrics.len()).sum();
        evidence >= self.config.mild_evidence
    }

    /// Ranks and judges anew; whether the first cause is another one.
    fn renew(&mut self, number: u64) -> (Verdict, bool) {
        let now = self.now_ms;
        self.place_again(number);
        let happenings = self.happenings(number);
        let Some(group) = self.groups.get_mut(&number) else {
            let severity = Severity::Info;
            return (Verdict { severity, page: false, reason: String::new() }, false);
        };
        let covered = covered(group, &self.maintenance, now);
        let verdict = judge(&group.facets, &covered, &self.causes);
        let ranking: Ranking = rank(
            &group.facets,
            &happenings,
            &self.causes,
            &mut self.topology,
            &self.calibration,
            now,
        );
        let mut incident = render(group, &ranking, &verdict, &self.causes, &mut self.topology);
        incident.in_maintenance = !covered.is_empty() && covered.iter().all(|c| *c);
        if !incident.paged {
            incident.paged = verdict.page;
            incident.page_reason.clone_from(&verdict.reason);
        }
        incident.updated_unix_ms = now;
        let first = |i: &v1::Incident| {
            let cause = i.causes.first().filter(|_| !i.undetermined);
            cause.map(|c| (c.class.clone(), c.component.clone()))
        };
        let other = first(&incident) != first(&group.incident);
        group.incident = incident;
        group.dirty = false;
        (verdict, other)
    }

    /// What is connected with what may have become known since.
    fn place_again(&mut self, number: u64) {
        let Some(group) = self.groups.get_mut(&number) else { return };
        let mut moved = Vec::new();
        for facet in &mut group.facets {
            let c = &facet.place.component;
            let place = self.topology.place_of(&c.cluster, &c.node, &c.kind, &c.name);
            if !Arc::ptr_eq(&place, &facet.place) {
                facet.place = Arc::clone(&place);
                moved.push((facet.class, place));
            }
        }
        for (class, place) in moved {
            self.anchor(number, class, &place);
        }
    }

    /// Tells what changed of an open incident, and closes it when its time has come.
    fn review(&mut self, number: u64) {
        let group = &self.groups[&number];
        let now = self.now_ms;
        let quiet = group.open_members == 0
            && now >= group.changed_ms.saturating_add(millis(self.config.close_after));
        if quiet {
            self.end(number);
            return;
        }
        if !group.dirty {
            return;
        }
        let was = group.incident.clone();
        // More of the same is not worth a ranking each time.
        let verdict = judge(&group.facets, &covered(group, &self.maintenance, now), &self.causes);
        let as_bad = was.severity() == verdict.severity && (was.paged || !verdict.page);
        let same = as_bad && group.facets.len() == facets_told(&was);
        let counts =
            was.member_count != group.member_count || was.open_members != group.open_members;
        if same && counts && now - group.told_ms < RETELL_MS {
            return;
        }
        let (verdict, other_cause) = self.renew(number);
        let Some(group) = self.groups.get_mut(&number) else { return };
        let is = &group.incident;
        let paged = is.paged && !was.paged;
        let changed = is.severity != was.severity
            || is.member_count != was.member_count
            || is.open_members != was.open_members
            || is.in_maintenance != was.in_maintenance
            || is.undetermined != was.undetermined;
        let (title, severity) = (is.title.clone(), is.severity());
        let (members, open) = (is.member_count, is.open_members);
        if other_cause || paged || changed {
            group.told_ms = now;
        }
        if other_cause {
            self.push(number, ChangeKind::Cause, title);
        } else if changed {
            let severity = severity.as_str_name().trim_start_matches("SEVERITY_").to_lowercase();
            let text = format!("{members} anomalies, {open} open, {severity}");
            self.push(number, ChangeKind::Updated, text);
        }
        if paged {
            self.push(number, ChangeKind::Paged, verdict.reason);
        }
    }

    fn end(&mut self, number: u64) {
        self.renew(number);
        let now = self.now_ms;
        let Some(group) = self.groups.get_mut(&number) else { return };
        group.stage = Stage::Closed;
        group.incident.set_state(IncidentState::Closed);
        group.incident.closed_unix_ms = now;
        group.changed_ms = now;
        self.push(number, ChangeKind::Closed, "nothing of it is open any more".into());
    }

    fn reopen(&mut self, number: u64) {
        let Some(group) = self.groups.get_mut(&number) else { return };
        group.stage = Stage::Open;
        group.incident.set_state(IncidentState::Open);
        group.incident.closed_unix_ms = 0;
        group.incident.reopened += 1;
        let times = group.incident.reopened;
        let was_paged = group.incident.paged;
        let (verdict, _) = self.renew(number);
        if let Some(group) = self.groups.get_mut(&number) {
            group.told_ms = self.now_ms;
        }
        self.push(number, ChangeKind::Reopened, format!("it came back, {times} times by now"));
        if verdict.page && !was_paged {
            self.push(number, ChangeKind::Paged, verdict.reason);
        }
    }

    /// Forgets what has been over for long enough.
    pub(super) fn forget(&mut self) {
        let now = self.now_ms;
        let over = |g: &Group| match g.stage {
            Stage::Closed => now > g.changed_ms.saturating_add(millis(self.config.reopen_within)),
            Stage::Pending => {
                g.open_members == 0 && now > g.changed_ms.saturating_add(millis(self.config.gap))
            }
            Stage::Open => false,
        };
        let gone: Vec<u64> = self.groups.iter().filter(|(_, g)| over(g)).map(|(n, _)| *n).collect();
        for number in gone {
            self.remove(number);
        }
        for queue in self.events.values_mut() {
            while queue.front().is_some_and(|h| h.time_ms < now - EVENT_MEMORY_MS) {
                queue.pop_front();
            }
        }
        self.events.retain(|_, queue| !queue.is_empty());
        self.maintenance.retain(|_, w| maintenance::end_ms(w) > now);
    }

    /// Events on the nodes of a group, and behind its grandmasters, of the time before it.
    fn happenings(&self, number: u64) -> Vec<Happening> {
        let Some(group) = self.groups.get(&number) else { return Vec::new() };
        let mut nodes: Vec<u32> = Vec::new();
        for facet in &group.facets {
            if !nodes.contains(&facet.place.node) {
                nodes.push(facet.place.node);
            }
        }
        let since = group.onset_ms.saturating_sub(EVENT_MEMORY_MS);
        let queues = nodes.iter().filter_map(|node| self.events.get(node));
        let mut found: Vec<&Happening> = queues.flatten().filter(|h| h.time_ms >= since).collect();
        found.sort_by_key(|h| (std::cmp::Reverse(h.time_ms), h.id));
        found.truncate(MAX_HAPPENINGS);
        found.into_iter().cloned().collect()
    }

    fn push(&mut self, number: u64, kind: ChangeKind, text: String) {
        let Some(group) = self.groups.get(&number) else { return };
        self.changes.push(IncidentChange {
            kind,
            time_ms: self.now_ms,
            text,
            by: String::new(),
            incident: group.incident.clone(),
        });
    }
}

/// Which facets are in maintenance.
fn covered(
    group: &Group,
    windows: &std::collections::BTreeMap<u64, v1::Maintenance>,
    now_ms: i64,
) -> Vec<bool> {
    let active: Vec<_> = windows.values().filter(|w| maintenance::is_active(w, now_ms)).collect();
    let covers = |f: &Facet| active.iter().any(|w| maintenance::covers(w, &f.place));
    group.facets.iter().map(covers).collect()
}

/// How many facets the members of an incident were, when it was told.
fn facets_told(incident: &v1::Incident) -> usize {
    let mut seen: Vec<(&str, Option<&v1::Component>)> = Vec::new();
    for member in &incident.members {
        let key = (&*member.class, member.component.as_ref());
        if !seen.contains(&key) {
            seen.push(key);
        }
    }
    seen.len()
}
