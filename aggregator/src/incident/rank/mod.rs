//! Which cause is the most probable: every facet, every event before it and every common cause
//! that nothing observes is a *suspect*; a suspect's score is what it explains of the incident,
//! plus how readily its class is believed, plus a bonus for what somebody changed just before,
//! minus what should be there and is not.
//!
//! Deterministic, and O(suspects × facets): facets are bounded, repetition costs nothing.

mod against;
mod pagerank;
mod suspects;

use std::sync::Arc;

use super::causes::{Causes, ClassId, Edge};
use super::confidence::{Calibration, confidence};
use super::group::{Facet, lag_distance};
use super::topology::{Component, Number, Place, Topology};

pub(super) use against::Against;
pub(super) use suspects::{Happening, Suspect, suspects};

/// Causes that are told.
const TOP: usize = 5;
/// Facets that are ranked: the most telling.
const MAX_RANKED: usize = 64;
/// How fast an explanation loses its worth with the distance from its lag.
const TAU_MS: f64 = 60_000.0;
/// How fast a change stops being suspicious.
const CHANGE_TAU_MS: f64 = 30.0 * 60_000.0;
/// What a change at the very time is worth.
const CHANGE_BONUS: f64 = 1.2;
/// Of several effects of a class all but the strongest count by this.
const REPEATED: f64 = 0.35;
/// And together at most so many times the strongest.
const MOST_REPEATED: f64 = 3.0;
/// What a common cause gains when so many components ...
const TOGETHER: usize = 3;
/// ... began to show it within this time: each by itself would be a coincidence.
const TOGETHER_MS: i64 = 60_000;
const TOGETHER_BONUS: f64 = 1.0;
/// The weight of the walk over the causal graph, against the scores of rules: a tie-breaker.
const WALK_WEIGHT: f64 = 0.2;
/// The score of "something that is not seen", as a share of the incident's weight.
const UNKNOWN: f64 = 0.5;
/// And how readily that is believed.
const UNKNOWN_PRIOR: f64 = 0.5;
/// An explanation of at least this is one.
const EXPLAINS: f64 = 0.3;

/// A suspect with its score.
#[derive(Debug, Clone)]
pub(super) struct Ranked {
    pub(super) suspect: Suspect,
    pub(super) score: f64,
    pub(super) explains: f64,
    /// Facets (positions in the group) that it explains, and how much of the score each is.
    pub(super) explained: Vec<(usize, f64)>,
    pub(super) against: Vec<Against>,
}

/// The answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranking {
    pub(super) causes: Vec<Ranked>,
    pub(super) confidence: f64,
    pub(super) undetermined: bool,
    /// The position in `causes` of the best that the first does not explain itself.
    pub(super) rival: Option<usize>,
}

/// Ranks the causes of facets.
pub(super) fn rank(
    facets: &[Facet],
    happenings: &[Happening],
    causes: &Causes,
    topology: &mut Topology,
    calibration: &Calibration,
    now_ms: i64,
) -> Ranking {
    let chosen = most_telling(facets);
    let facets: Vec<(usize, &Facet)> = chosen.iter().map(|&at| (at, &facets[at])).collect();
    let list = suspects(&facets, happenings, causes, topology);
    let explained = explanations(&list, &facets, causes);
    let surprise: Vec<f64> = facets.iter().map(|(_, f)| f.surprise()).collect();
    let total = mass(&facets, &surprise, |_| 1.0);
    let walk = pagerank::walk(&explained, &surprise, &list);
    let onset_ms = facets.iter().map(|(_, f)| f.onset_ms).min().unwrap_or(now_ms);
    let mut ranked: Vec<Ranked> = Vec::with_capacity(list.len());
    for (at, suspect) in list.into_iter().enumerate() {
        let row = &explained[at];
        let own = suspect.surprise.unwrap_or_default();
        let explains = mass(&facets, &surprise, |f| row[f]);
        let against = against::against(&suspect, row, &facets, &surprise, causes, topology, now_ms);
        let cost: f64 = against.iter().map(Against::weight).sum();
        let bonus =
            change_bonus(&suspect, causes, onset_ms) + together_bonus(&suspect, row, &facets);
        let score = explains + own + causes.class(suspect.class).prior + bonus - cost
            + WALK_WEIGHT * walk[at];
        let of = facets.iter().enumerate().filter(|(f, _)| row[*f] >= EXPLAINS);
        let explained = of.map(|(f, (at, _))| (*at, surprise[f] * row[f])).collect();
        let share = if total > 0.0 { explains / total } else { 0.0 };
        ranked.push(Ranked { suspect, score, explains: share.min(1.0), explained, against });
    }
    ranked.sort_by(|a, b| {
        let by_score = b.score.total_cmp(&a.score);
        by_score.then_with(|| a.suspect.onset_ms.cmp(&b.suspect.onset_ms)).then_with(|| {
            let key = |r: &Ranked| (r.suspect.class, Arc::clone(&r.suspect.component));
            key(a).cmp(&key(b))
        })
    });
    answer(ranked, causes, calibration, total)
}

fn answer(
    mut ranked: Vec<Ranked>,
    causes: &Causes,
    calibration: &Calibration,
    total: f64,
) -> Ranking {
    let Some(first) = ranked.first() else { return Ranking::default() };
    let explained = |other: &Ranked| {
        let own = other.suspect.facet;
        own.is_some_and(|own| first.explained.iter().any(|(at, _)| *at == own))
            || (other.suspect.component == first.suspect.component
                && causes.class(other.suspect.class).family()
                    == causes.class(first.suspect.class).family())
    };
    let rival = ranked.iter().skip(1).position(|other| !explained(other)).map(|at| at + 1);
    let next = rival.map_or(f64::MIN, |at| ranked[at].score).max(UNKNOWN * total + UNKNOWN_PRIOR);
    let margin = (first.score - next) / first.score.abs().max(0.1);
    let confidence = confidence(calibration, margin, first.explains);
    let undetermined = confidence < calibration.undetermined;
    // The rival is told of even where better ones are but other words for the first.
    let rival = rival.map(|at| {
        if at >= TOP {
            let moved = ranked.remove(at);
            ranked.insert(TOP - 1, moved);
        }
        at.min(TOP - 1)
    });
    ranked.truncate(TOP);
    Ranking { causes: ranked, confidence, undetermined, rival }
}

/// The facets that want an explanation most, in the order of the group.
fn most_telling(facets: &[Facet]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..facets.len()).collect();
    if order.len() > MAX_RANKED {
        order.sort_by(|&a, &b| {
            let by_surprise = facets[b].surprise().total_cmp(&facets[a].surprise());
            by_surprise.then(facets[a].onset_ms.cmp(&facets[b].onset_ms)).then(a.cmp(&b))
        });
        order.truncate(MAX_RANKED);
        order.sort_unstable();
    }
    order
}

/// How much each suspect explains of each facet, directly or through other facets.
fn explanations(list: &[Suspect], facets: &[(usize, &Facet)], causes: &Causes) -> Vec<Vec<f64>> {
    let direct = |suspect: &Suspect, at: usize, facet: &Facet| -> f64 {
        if suspect.facet == Some(at) {
            return 1.0;
        }
        let edges = edges(suspect, facet, causes);
        edges.map(|edge| edge.weight * decay(edge, suspect, facet, causes)).fold(0.0, f64::max)
    };
    let mut rows: Vec<Vec<f64>> =
        list.iter().map(|s| facets.iter().map(|(at, f)| direct(s, *at, f)).collect()).collect();
    // Through one or two facets between them.
    let of_facet: Vec<Option<usize>> =
        facets.iter().map(|(at, _)| list.iter().position(|s| s.facet == Some(*at))).collect();
    for _ in 0..2 {
        let before = rows.clone();
        for row in &mut rows {
            for (middle, suspect) in of_facet.iter().enumerate() {
                let (Some(suspect), share) = (*suspect, row[middle]) else { continue };
                if share < EXPLAINS {
                    continue;
                }
                for (value, further) in row.iter_mut().zip(&before[suspect]) {
                    *value = value.max(share * further * 0.95);
                }
            }
        }
    }
    rows
}

/// The edges by which a suspect may have caused a facet, where both are.
fn edges<'a>(
    suspect: &'a Suspect,
    facet: &'a Facet,
    causes: &'a Causes,
) -> impl Iterator<Item = &'a Edge> {
    let related = move |edge: &&Edge| match &suspect.place {
        Some(place) => edge.via.meets(place.relation(&facet.place)),
        None => suspect.is_above(&facet.place),
    };
    causes.between(suspect.class, facet.class).filter(related)
}

fn decay(edge: &Edge, suspect: &Suspect, facet: &Facet, causes: &Causes) -> f64 {
    let cause = (suspect.onset_ms, suspect.end_ms);
    let distance = lag_distance(edge, causes, suspect.class, cause, facet.onset_ms);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of some hours")]
    let distance = distance as f64;
    (-distance / TAU_MS).exp()
}

/// The weight of facets: of a class the strongest counts in full, the others for less, so that
/// forty VFs do not outweigh the switch.
fn mass(facets: &[(usize, &Facet)], surprise: &[f64], share: impl Fn(usize) -> f64) -> f64 {
    let mut by_class: Vec<(ClassId, f64, f64)> = Vec::new();
    for (f, (_, facet)) in facets.iter().enumerate() {
        let weight = surprise[f] * share(f);
        match by_class.iter_mut().find(|(class, ..)| *class == facet.class) {
            Some((_, most, sum)) => (*most, *sum) = (most.max(weight), *sum + weight),
            None => by_class.push((facet.class, weight, weight)),
        }
    }
    let of = |(_, most, sum): &(ClassId, f64, f64)| {
        (most + REPEATED * (sum - most)).min(MOST_REPEATED * most)
    };
    by_class.iter().map(of).sum()
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of some hours")]
fn change_bonus(suspect: &Suspect, causes: &Causes, onset_ms: i64) -> f64 {
    let since = onset_ms - suspect.onset_ms;
    // What came after the first symptom may still be at fault for the rest, and not for this.
    if !causes.class(suspect.class).change || since < -super::group::UNCERTAINTY_MS {
        return 0.0;
    }
    CHANGE_BONUS * (-(since.max(0) as f64) / CHANGE_TAU_MS).exp()
}

/// For a cause that nothing observes.
fn together_bonus(suspect: &Suspect, row: &[f64], facets: &[(usize, &Facet)]) -> f64 {
    if suspect.place.is_some() {
        return 0.0;
    }
    let of_nodes = suspect.component.node.is_empty();
    let mut together: Vec<Number> = facets
        .iter()
        .zip(row)
        .filter(|((_, f), share)| {
            **share >= EXPLAINS && f.onset_ms - suspect.onset_ms <= TOGETHER_MS
        })
        .map(|((_, f), _)| if of_nodes { f.place.node } else { f.place.number })
        .collect();
    together.sort_unstable();
    together.dedup();
    if together.len() >= TOGETHER { TOGETHER_BONUS } else { 0.0 }
}

impl Suspect {
    /// Whether what it stands for is above a place.
    fn is_above(&self, place: &Place) -> bool {
        let number = self.number;
        match &*self.component.kind {
            "node" => place.node == number,
            "rack" => place.racks.binary_search(&number).is_ok(),
            "grandmaster" => place.domains.binary_search(&number).is_ok(),
            "workload" => place.workloads.binary_search(&number).is_ok(),
            "cluster" => place.cluster == number,
            _ => place.lineage.binary_search(&number).is_ok(),
        }
    }
}

/// A component and its number.
pub(super) type Numbered = (Number, Arc<Component>);
