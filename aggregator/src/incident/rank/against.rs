//! What speaks against a suspect: effects that should be there and are not, and effects that were
//! there before it.

use std::sync::Arc;

use super::suspects::Suspect;
use super::{EXPLAINS, decay, edges};
use crate::incident::causes::{Causes, ClassId};
use crate::incident::group::{Facet, UNCERTAINTY_MS};
use crate::incident::topology::{Number, Topology};

/// What a common cause loses when none of its other components show it.
const HEALTHY_PENALTY: f64 = 1.5;
/// What an effect that is seldom missing costs when it is.
const MISSING_PENALTY: f64 = 0.7;
/// What an effect that was there before its cause costs, of its surprise.
const ORDER_PENALTY: f64 = 0.4;

/// What speaks against a suspect.
#[derive(Debug, Clone)]
pub(in crate::incident) enum Against {
    /// So many of so many components below it are affected.
    Healthy { affected: usize, of: usize, weight: f64 },
    /// None of these effects is seen.
    Missing { effects: Vec<ClassId>, weight: f64 },
    /// A facet that it should have caused began before it.
    Order { facet: usize, before_ms: i64, weight: f64 },
}

impl Against {
    pub(super) fn weight(&self) -> f64 {
        match self {
            Self::Healthy { weight, .. }
            | Self::Missing { weight, .. }
            | Self::Order { weight, .. } => *weight,
        }
    }
}

/// All that speaks against one.
pub(super) fn against(
    suspect: &Suspect,
    row: &[f64],
    facets: &[(usize, &Facet)],
    surprise: &[f64],
    causes: &Causes,
    topology: &mut Topology,
    now_ms: i64,
) -> Vec<Against> {
    let mut found = Vec::new();
    if suspect.place.is_none() {
        found.extend(healthy(suspect, row, facets, topology));
    } else {
        found.extend(missing(suspect, facets, row, causes, now_ms));
    }
    for (f, (at, facet)) in facets.iter().enumerate() {
        let before = edges(suspect, facet, causes).filter_map(|edge| {
            let slack = causes.class(suspect.class).delay_ms + UNCERTAINTY_MS;
            let early = suspect.onset_ms + edge.lag_min_ms - slack - facet.onset_ms;
            (early > 0)
                .then_some((early, edge.weight * (1.0 - decay(edge, suspect, facet, causes))))
        });
        let worst = before.max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((before_ms, share)) = worst.filter(|_| row[f] < EXPLAINS) {
            let weight = ORDER_PENALTY * surprise[f] * share;
            found.push(Against::Order { facet: *at, before_ms, weight });
        }
    }
    found
}

/// A common cause has more components below it than are affected.
#[expect(clippy::cast_precision_loss, reason = "numbers of components")]
fn healthy(
    suspect: &Suspect,
    row: &[f64],
    facets: &[(usize, &Facet)],
    topology: &mut Topology,
) -> Option<Against> {
    let explained = facets.iter().zip(row).filter(|(_, share)| **share >= EXPLAINS);
    let mut below: Vec<(&Arc<str>, Number)> = Vec::new();
    for ((_, facet), _) in explained {
        let place = &facet.place;
        let of_nodes = suspect.component.node.is_empty();
        let key = if of_nodes { place.node } else { place.number };
        let kind = &place.component.kind;
        if !below.iter().any(|(_, known)| *known == key) {
            below.push((kind, key));
        }
    }
    let kind = below.first()?.0;
    let affected =
        below.iter().filter(|(k, _)| suspect.component.node.is_empty() || *k == kind).count();
    let of = topology.count_below(&suspect.component, kind);
    if of <= affected {
        return None;
    }
    let weight = HEALTHY_PENALTY * (1.0 - affected as f64 / of as f64);
    Some(Against::Healthy { affected, of, weight })
}

/// Effects that are seldom missing, and are.
fn missing(
    suspect: &Suspect,
    facets: &[(usize, &Facet)],
    row: &[f64],
    causes: &Causes,
    now_ms: i64,
) -> Vec<Against> {
    let mut found = Vec::new();
    let mut numbers: Vec<u16> = Vec::new();
    for edge in causes.effects(suspect.class) {
        let Some(number) = edge.expected.filter(|n| !numbers.contains(n)) else { continue };
        numbers.push(number);
        let entry = || causes.effects(suspect.class).iter().filter(|e| e.expected == Some(number));
        let latest = entry().map(|e| e.lag_max_ms + causes.class(e.effect).delay_ms).max();
        let over = suspect.onset_ms.saturating_add(latest.unwrap_or_default());
        let seen = facets.iter().zip(row).any(|((at, facet), share)| {
            *share >= EXPLAINS
                && suspect.facet != Some(*at)
                && entry().any(|e| e.effect == facet.class)
        });
        if !seen && now_ms > over {
            let effects = entry().map(|e| e.effect).collect();
            found.push(Against::Missing { effects, weight: MISSING_PENALTY * edge.weight });
        }
    }
    found
}
