//! What is open on the node, and how likely each of it is the cause of an error.

use sextant_proto::v1::{Anomaly, Severity, Urgency};

use crate::remedy::classify::Class;
use crate::remedy::scene::Scene;

/// A finding, and how likely it is the cause.
#[derive(Clone, Copy)]
pub(super) struct Suspect<'a> {
    pub(super) anomaly: &'a Anomaly,
    pub(super) related: bool,
    pub(super) own_device: bool,
    pub(super) weight: f64,
}

/// What is open on the node, the likeliest cause first.
pub(super) fn suspects<'a>(scene: &'a Scene, class: Option<&Class>) -> Vec<Suspect<'a>> {
    let mut suspects: Vec<Suspect<'a>> = scene
        .anomalies
        .iter()
        .map(|anomaly| {
            let related = class.is_some_and(|c| c.is_related(&anomaly.rule));
            let own_device = scene
                .devices
                .iter()
                .any(|d| d.is_subject_of(&anomaly.labels) || d.is_subject_of(&anomaly.entity));
            let base = match anomaly.severity() {
                Severity::Critical => 0.6,
                Severity::Warning => 0.35,
                Severity::Info | Severity::Unspecified => 0.1,
            };
            // What is only unusual is a hint, not a fault.
            let base = if anomaly.detector == "surprise" { base * 0.4 } else { base };
            let joined = [(related, 0.3), (own_device, 0.5)]
                .iter()
                .filter(|(holds, _)| *holds)
                .fold(base, |all, (_, more)| both(all, *more));
            Suspect { anomaly, related, own_device, weight: joined }
        })
        .collect();
    suspects.sort_by(|a, b| {
        b.weight.total_cmp(&a.weight).then(b.anomaly.opened_unix_ms.cmp(&a.anomaly.opened_unix_ms))
    });
    suspects
}

/// The finding that is the cause rather than the text's class, if any is.
pub(super) fn blamed<'a>(
    class: Option<&Class>,
    suspects: &[Suspect<'a>],
    trouble: bool,
) -> Option<Suspect<'a>> {
    let worst = |fit: &dyn Fn(&Suspect<'_>) -> bool| suspects.iter().copied().find(|s| fit(s));
    let critical = |s: &Suspect<'_>| s.anomaly.severity() == Severity::Critical;
    match class {
        Some(class) if class.is_symptom() => worst(&|s| s.related && critical(s)),
        Some(_) => None,
        None if trouble => worst(&|s| critical(s) || s.anomaly.severity() == Severity::Warning),
        None => None,
    }
}

/// Two independent reasons together.
pub(super) fn both(a: f64, b: f64) -> f64 {
    1.0 - (1.0 - a) * (1.0 - b)
}

pub(super) fn urgency(anomaly: &Anomaly) -> Urgency {
    match anomaly.severity() {
        Severity::Critical => Urgency::Critical,
        Severity::Warning => Urgency::Medium,
        Severity::Info | Severity::Unspecified => Urgency::Info,
    }
}
