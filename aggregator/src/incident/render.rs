//! A group as the incident that people and programs see.

use std::collections::BTreeSet;

use sextant_proto::v1::{self, IncidentState, Severity};

use super::causes::{Causes, ClassId};
use super::group::{Facet, Group};
use super::paging::Verdict;
use super::rank::{Against, Ranked, Ranking};
use super::topology::{Number, Topology};

/// Evidence of one cause that is told, each side.
const MAX_EVIDENCE: usize = 8;
/// Pods that are listed.
const MAX_PODS: usize = 100;
/// Nodes that are listed.
const MAX_NODES: usize = 200;
const MAX_ACTIONS: usize = 5;

/// Fills in what follows from the facets and their ranking. What has a history of its own
/// (state, acknowledgement, paging) is left to the engine.
pub(super) fn render(
    group: &Group,
    ranking: &Ranking,
    verdict: &Verdict,
    causes: &Causes,
    topology: &mut Topology,
) -> v1::Incident {
    let mut incident = group.incident.clone();
    incident.id = group.id;
    incident.severity = verdict.severity.into();
    incident.opened_unix_ms = group.onset_ms;
    incident.confidence = ranking.confidence;
    incident.undetermined = ranking.undetermined;
    incident.causes = ranking.causes.iter().map(|r| cause(r, group, causes)).collect();
    incident.member_count = group.member_count;
    incident.open_members = group.open_members;
    incident.members = members(group, ranking);
    incident.component = component(group, ranking);
    incident.title = title(group, ranking, causes);
    incident.discriminating_check = check(ranking, causes);
    incident.actions = actions(group, ranking, causes);
    let nodes = group.nodes();
    let names = nodes.iter().map(|(cluster, node)| format!("{cluster}/{node}"));
    incident.nodes = names.take(MAX_NODES).collect();
    incident.affected = affected(group, topology);
    if incident.state() == IncidentState::Unspecified {
        incident.set_state(IncidentState::Open);
    }
    incident
}

fn cause(ranked: &Ranked, group: &Group, causes: &Causes) -> v1::Cause {
    let class = causes.class(ranked.suspect.class);
    let component = &ranked.suspect.component;
    let mut evidence_for: Vec<v1::Evidence> = Vec::new();
    if let Some((id, text)) = &ranked.suspect.event {
        evidence_for.push(v1::Evidence {
            kind: if class.change { "change" } else { "event" }.into(),
            id: *id,
            class: class.name.clone(),
            component: Some(component.to_wire()),
            time_unix_ms: ranked.suspect.onset_ms,
            weight: 0.0,
            text: text.clone(),
        });
    }
    let mut explained = ranked.explained.clone();
    explained.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    for (at, weight) in explained.into_iter().take(MAX_EVIDENCE) {
        let facet = &group.facets[at];
        evidence_for.push(evidence(facet, weight, facet.summary.clone(), causes));
    }
    let against = ranked.against.iter().take(MAX_EVIDENCE);
    let evidence_against = against.map(|a| opposing(a, ranked, group, causes)).collect();
    let own = ranked.suspect.facet.and_then(|at| group.facets.get(at));
    let action = own.map(|f| f.action.clone()).filter(|a| !a.is_empty());
    v1::Cause {
        class: class.name.clone(),
        title: class.title.replace("{component}", &component.describe()),
        component: Some(component.to_wire()),
        onset_unix_ms: ranked.suspect.onset_ms,
        score: ranked.score,
        explains: ranked.explains,
        evidence_for,
        evidence_against,
        check: class.check.clone(),
        action: action.unwrap_or_else(|| class.action.clone()),
    }
}

fn evidence(facet: &Facet, weight: f64, text: String, causes: &Causes) -> v1::Evidence {
    v1::Evidence {
        kind: "anomaly".into(),
        id: facet.anomaly,
        class: causes.class(facet.class).name.clone(),
        component: Some(facet.place.component.to_wire()),
        time_unix_ms: facet.onset_ms,
        weight,
        text,
    }
}

fn opposing(against: &Against, ranked: &Ranked, group: &Group, causes: &Causes) -> v1::Evidence {
    let plain = |kind: &str, weight: f64, text: String| v1::Evidence {
        kind: kind.into(),
        component: Some(ranked.suspect.component.to_wire()),
        time_unix_ms: ranked.suspect.onset_ms,
        weight: -weight,
        text,
        ..v1::Evidence::default()
    };
    match against {
        Against::Healthy { affected, of, weight } => {
            let text = format!("only {affected} of {of} components below it are affected");
            plain("healthy", *weight, text)
        }
        Against::Missing { effects, weight } => {
            let names: Vec<&str> = effects.iter().map(|c| &*causes.class(*c).name).collect();
            plain("healthy", *weight, format!("expected and not seen: {}", names.join(" or ")))
        }
        Against::Order { facet, before_ms, weight } => {
            let facet = &group.facets[*facet];
            let text = format!("{} began {} s before it", facet.summary, before_ms / 1000);
            v1::Evidence { kind: "order".into(), ..evidence(facet, -weight, text, causes) }
        }
    }
}

fn members(group: &Group, ranking: &Ranking) -> Vec<v1::IncidentMember> {
    let explained: BTreeSet<(&str, String)> = ranking
        .causes
        .first()
        .into_iter()
        .flat_map(|first| &first.explained)
        .map(|(at, _)| (&*group.facets[*at].rule, group.facets[*at].place.component.describe()))
        .collect();
    let of = |m: &v1::IncidentMember| {
        let c = m.component.clone().unwrap_or_default();
        let place = super::topology::describe(&c.kind, &c.node, &c.name);
        explained.contains(&(&*m.rule, place))
    };
    let mut list: Vec<_> = group.members.values().cloned().collect();
    list.iter_mut().for_each(|m| m.explained = of(m));
    list.sort_by_key(|m| (m.opened_unix_ms, m.anomaly_id));
    list
}

/// The most severe, the first of those.
fn foremost(group: &Group) -> Option<&Facet> {
    group.facets.iter().max_by_key(|f| {
        let first = std::cmp::Reverse((f.onset_ms, f.anomaly));
        (f.tier, f.severity, first)
    })
}

fn component(group: &Group, ranking: &Ranking) -> Option<v1::Component> {
    let first = ranking.causes.first().filter(|_| !ranking.undetermined);
    match first {
        Some(first) => Some(first.suspect.component.to_wire()),
        None => foremost(group).map(|f| f.place.component.to_wire()),
    }
}

fn title(group: &Group, ranking: &Ranking, causes: &Causes) -> String {
    let named =
        |class: ClassId, place: &str| causes.class(class).title.replace("{component}", place);
    let text = match (ranking.causes.first(), foremost(group)) {
        (Some(first), _) if !ranking.undetermined => {
            named(first.suspect.class, &first.suspect.component.describe())
        }
        (_, Some(facet)) if !facet.summary.is_empty() => facet.summary.clone(),
        (_, Some(facet)) => named(facet.class, &facet.place.component.describe()),
        (_, None) => String::new(),
    };
    let others = group.facets.len().saturating_sub(1);
    match others {
        0 => text,
        1 => format!("{text}; 1 more symptom"),
        n => format!("{text}; {n} more symptoms"),
    }
}

/// What tells the first cause from the best other one.
fn check(ranking: &Ranking, causes: &Causes) -> String {
    let Some(first) = ranking.causes.first() else { return String::new() };
    let own = &causes.class(first.suspect.class).check;
    let Some(rival) = ranking.rival.and_then(|at| ranking.causes.get(at)) else {
        return own.clone();
    };
    let other = causes.class(rival.suspect.class);
    let title = other.title.replace("{component}", &rival.suspect.component.describe());
    match (own.is_empty(), other.check.is_empty()) {
        (true, true) => String::new(),
        (false, true) => own.clone(),
        (_, false) => {
            let own = if own.is_empty() { String::new() } else { format!("{own}; ") };
            format!("{own}if instead {title}: {}", other.check)
        }
    }
}

fn actions(group: &Group, ranking: &Ranking, causes: &Causes) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    let mut add = |text: &str| {
        if !text.is_empty() && list.len() < MAX_ACTIONS && !list.iter().any(|known| known == text) {
            list.push(text.to_owned());
        }
    };
    for ranked in ranking.causes.iter().take(1) {
        let own = ranked.suspect.facet.and_then(|at| group.facets.get(at));
        own.into_iter().for_each(|f| add(&f.action));
        add(&causes.class(ranked.suspect.class).action);
    }
    let mut facets: Vec<&Facet> =
        group.facets.iter().filter(|f| f.severity >= Severity::Warning).collect();
    facets.sort_by_key(|f| (std::cmp::Reverse(f.severity), f.onset_ms, f.anomaly));
    facets.iter().take(3).for_each(|f| add(&f.action));
    list
}

/// The pods that have what the incident is about: its devices, or all of a node's where the
/// node is it.
fn affected(group: &Group, topology: &mut Topology) -> Vec<v1::AffectedPod> {
    let mut list = BTreeSet::new();
    for (cluster, node) in group.nodes().into_iter().take(MAX_NODES) {
        let here = || {
            let on = |f: &&Facet| {
                let c = &f.place.component;
                c.node == node && c.cluster == cluster && f.severity >= Severity::Warning
            };
            group.facets.iter().filter(on)
        };
        let whole = here().any(|f| f.place.is_hub && f.severity == Severity::Critical);
        let numbers: BTreeSet<Number> = here()
            .filter(|f| !f.place.is_hub)
            .flat_map(|f| f.place.lineage.iter().copied())
            .collect();
        if numbers.is_empty() && !whole {
            continue;
        }
        for tenant in topology.tenants(&cluster, &node) {
            if list.len() >= MAX_PODS {
                break;
            }
            let own = numbers.contains(&tenant.device);
            if own || whole {
                let device = tenant.device_name;
                list.insert((
                    node.to_string(),
                    tenant.namespace,
                    tenant.pod,
                    tenant.container,
                    device,
                    cluster.to_string(),
                ));
            }
        }
    }
    let pod = |(node, namespace, pod, container, device, cluster)| v1::AffectedPod {
        cluster,
        node,
        namespace,
        pod,
        container,
        device,
    };
    list.into_iter().map(pod).collect()
}
