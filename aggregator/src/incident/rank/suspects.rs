//! What may be the cause: each facet, each event that came before, and common causes that
//! nothing observes where enough of their effects are.

use std::sync::Arc;

use sextant_proto::v1::Severity;

use crate::incident::causes::{Causes, ClassId};
use crate::incident::group::Facet;
use crate::incident::topology::{Component, Number, Place, Topology};

use super::Numbered;

/// Suspects beside the facets.
const MAX_OTHERS: usize = 64;

/// An event that may have to do with an incident.
#[derive(Debug, Clone)]
pub(in crate::incident) struct Happening {
    pub(in crate::incident) id: u64,
    pub(in crate::incident) class: ClassId,
    pub(in crate::incident) place: Arc<Place>,
    pub(in crate::incident) time_ms: i64,
    pub(in crate::incident) severity: Severity,
    pub(in crate::incident) text: String,
}

/// What may be the cause.
#[derive(Debug, Clone)]
pub(in crate::incident) struct Suspect {
    pub(in crate::incident) class: ClassId,
    pub(in crate::incident) component: Arc<Component>,
    pub(super) number: Number,
    /// None for what is not on one node.
    pub(super) place: Option<Arc<Place>>,
    pub(in crate::incident) onset_ms: i64,
    pub(super) end_ms: i64,
    /// The facet that it is, by its position in the group.
    pub(in crate::incident) facet: Option<usize>,
    /// The event that says so.
    pub(in crate::incident) event: Option<(u64, String)>,
    /// What its own event is worth, where no facet counts it.
    pub(super) surprise: Option<f64>,
}

pub(in crate::incident) fn suspects(
    facets: &[(usize, &Facet)],
    happenings: &[Happening],
    causes: &Causes,
    topology: &mut Topology,
) -> Vec<Suspect> {
    let mut list: Vec<Suspect> = facets.iter().map(|(at, facet)| of_facet(*at, facet)).collect();
    of_events(&mut list, facets, happenings, causes);
    let from = list.len();
    for (class, spec) in causes.classes() {
        let Some((kind, least)) = &spec.latent else { continue };
        if list.len() >= from + MAX_OTHERS {
            break;
        }
        latent(&mut list, class, kind, *least, facets, causes, topology);
    }
    list
}

fn of_facet(at: usize, facet: &Facet) -> Suspect {
    Suspect {
        class: facet.class,
        component: Arc::clone(&facet.place.component),
        number: facet.place.number,
        place: Some(Arc::clone(&facet.place)),
        onset_ms: facet.onset_ms,
        end_ms: facet.end_ms(),
        facet: Some(at),
        event: None,
        surprise: None,
    }
}

/// Events: of what is a facet already they only say when it began.
fn of_events(
    list: &mut Vec<Suspect>,
    facets: &[(usize, &Facet)],
    happenings: &[Happening],
    causes: &Causes,
) {
    let limit = list.len() + MAX_OTHERS;
    for event in happenings {
        let same = |s: &&mut Suspect| s.class == event.class && s.number == event.place.number;
        if let Some(known) = list.iter_mut().find(same) {
            known.onset_ms = known.onset_ms.min(event.time_ms);
            known.end_ms = known.end_ms.max(event.time_ms);
            known.event.get_or_insert_with(|| (event.id, event.text.clone()));
            continue;
        }
        let explains = facets.iter().any(|(_, facet)| {
            let relation = event.place.relation(&facet.place);
            causes.between(event.class, facet.class).any(|edge| edge.via.meets(relation))
        });
        if !explains || list.len() >= limit {
            continue;
        }
        let surprise = match (causes.class(event.class).change, event.severity) {
            (true, _) => 0.0,
            (_, Severity::Critical) => 1.5,
            (_, Severity::Warning) => 0.8,
            _ => 0.2,
        };
        list.push(Suspect {
            class: event.class,
            component: Arc::clone(&event.place.component),
            number: event.place.number,
            place: Some(Arc::clone(&event.place)),
            onset_ms: event.time_ms,
            end_ms: event.time_ms,
            facet: None,
            event: Some((event.id, event.text.clone())),
            surprise: Some(surprise),
        });
    }
}

/// A cause that nothing observes, wherever enough components below a common one show it.
fn latent(
    list: &mut Vec<Suspect>,
    class: ClassId,
    kind: &str,
    least: usize,
    facets: &[(usize, &Facet)],
    causes: &Causes,
    topology: &mut Topology,
) {
    // Parents, with the distinct components below that show effects, and the first onset.
    let mut parents: Vec<(Numbered, Vec<Number>, i64)> = Vec::new();
    for (_, facet) in facets {
        let mut edges = causes.between(class, facet.class);
        // Two signs of different strength: what is seldom missing says that it may be it.
        if !edges.any(|edge| edge.expected.is_some() || edge.weight >= 0.8) {
            continue;
        }
        for parent in parents_of(kind, &facet.place, topology) {
            // Across nodes it is nodes that count.
            let own = if parent.1.node.is_empty() { facet.place.node } else { facet.place.number };
            if own == parent.0 {
                continue;
            }
            match parents.iter_mut().find(|((number, _), ..)| *number == parent.0) {
                Some((_, below, onset)) => {
                    if !below.contains(&own) {
                        below.push(own);
                    }
                    *onset = (*onset).min(facet.onset_ms);
                }
                None => parents.push((parent, vec![own], facet.onset_ms)),
            }
        }
    }
    for ((number, component), below, onset_ms) in parents {
        if below.len() >= least && list.len() < facets.len() + 2 * MAX_OTHERS {
            list.push(Suspect {
                class,
                component,
                number,
                place: None,
                onset_ms,
                end_ms: i64::MAX,
                facet: None,
                event: None,
                surprise: None,
            });
        }
    }
}

fn parents_of(kind: &str, place: &Place, topology: &mut Topology) -> Vec<Numbered> {
    let shared = match kind {
        "rack" => &place.racks,
        "grandmaster" => &place.domains,
        "workload" => &place.workloads,
        "cluster" => return topology.component(place.cluster).into_iter().collect(),
        _ => {
            let above = place.above.iter().filter(|c| &*c.kind == kind).map(Arc::clone);
            return above.map(|c| topology.intern((*c).clone())).collect();
        }
    };
    shared.iter().filter_map(|number| topology.component(*number)).collect()
}
