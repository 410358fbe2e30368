//! Whether somebody is to be woken: a critical rule does it, gray evidence only where detectors
//! of different kinds agree, information never.

use sextant_proto::v1::Severity;

use super::Tier;
use super::causes::Causes;
use super::group::Facet;

/// What an incident is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) severity: Severity,
    pub(super) page: bool,
    /// Why, or why not.
    pub(super) reason: String,
}

/// Judges the facets that are in no maintenance; `covered` are those that are.
pub(super) fn judge(facets: &[Facet], covered: &[bool], causes: &Causes) -> Verdict {
    let of = |f: &Facet| match f.tier {
        Tier::Learned => Severity::Info,
        Tier::Peer => f.severity.min(Severity::Warning),
        Tier::Rule if causes.class(f.class).page => f.severity,
        Tier::Rule => f.severity.min(Severity::Warning),
    };
    let severity = facets.iter().map(of).max().unwrap_or(Severity::Info).max(Severity::Info);
    let verdict = |page, reason: String| Verdict { severity, page, reason };
    let free = || {
        let free = facets.iter().zip(covered).filter(|(_, covered)| !**covered).map(|(f, _)| f);
        free.filter(|f| causes.class(f.class).page)
    };
    if !facets.is_empty() && covered.iter().all(|c| *c) {
        return verdict(false, "in maintenance".into());
    }
    if let Some(f) = free().find(|f| f.tier == Tier::Rule && f.severity == Severity::Critical) {
        return verdict(true, format!("critical: {}", f.rule));
    }
    // Gray: a warning is not enough, nor is what was learned; agreement is.
    for warning in free().filter(|f| f.tier == Tier::Rule && f.severity == Severity::Warning) {
        if let Some(other) = free().find(|f| agrees(f, warning)) {
            return verdict(true, format!("{} and {} agree", warning.rule, other_name(other)));
        }
    }
    for peer in free().filter(|f| f.has_peer) {
        let learned = free().find(|f| {
            f.has_learned && f.place.relation(&peer.place).meets(super::Relation::LINEAGE)
        });
        if let Some(learned) = learned {
            let text = format!(
                "{} differs from its peers and from its own past",
                learned.place.component.describe()
            );
            return verdict(true, text);
        }
    }
    let most = facets.iter().map(|f| f.tier).max();
    let reason = match (most, severity) {
        (Some(Tier::Rule), Severity::Info) => "information only",
        (Some(Tier::Rule), Severity::Critical) => "critical only where it does not page",
        (Some(Tier::Rule), _) => "warnings only, and nothing else agrees",
        (Some(Tier::Peer), _) => "differs from its peers, and nothing else agrees",
        _ => "unusual, and no rule is broken",
    };
    verdict(false, reason.into())
}

/// Whether what a detector without rules found agrees with a warning: on the same thing, or on
/// a part of it.
fn agrees(other: &Facet, warning: &Facet) -> bool {
    let relation = other.place.relation(&warning.place);
    (other.has_peer || other.has_learned)
        && (relation.meets(super::Relation::LINEAGE) || relation.meets(super::Relation::DEVICE))
}

fn other_name(facet: &Facet) -> String {
    let metric = facet.metrics.iter().next().cloned().unwrap_or_default();
    let kind = if facet.has_peer { "its peers" } else { "its own past" };
    format!("{kind} ({metric})")
}
