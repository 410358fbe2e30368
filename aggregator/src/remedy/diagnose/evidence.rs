//! What speaks for an answer: lines of the text, Kubernetes' word, the pod's devices, findings
//! and events.

use sextant_proto::v1::{self, DiagnosisEvidence};

use super::MAX_PER_KIND;
use super::suspects::Suspect;
use crate::remedy::classify::Reading;
use crate::remedy::redact::redact;
use crate::remedy::scene::Scene;

/// All kinds together.
const MAX_EVIDENCE: usize = 40;
/// The beginning of the evidence that goes with the text's class.
pub(super) const RELATED: &str = "goes with it: ";

pub(super) fn evidence(
    reading: &Reading,
    scene: &Scene,
    suspects: &[Suspect<'_>],
) -> Vec<DiagnosisEvidence> {
    let place = |kind: &str, text: String| DiagnosisEvidence {
        kind: kind.into(),
        text,
        cluster: scene.subject.cluster.clone(),
        node: scene.subject.node.clone(),
        ..DiagnosisEvidence::default()
    };
    let lines = reading.found.iter().map(|f| DiagnosisEvidence {
        kind: "text".into(),
        text: format!("{}: {}", f.class.name, f.line),
        ..DiagnosisEvidence::default()
    });
    let devices = scene.describe_devices().map(|(text, _)| place("device", text));
    let anomalies = suspects.iter().take(MAX_PER_KIND).map(|s| {
        let what = match (s.own_device, s.related) {
            (true, _) => format!("{RELATED}the pod's own device: {}", s.anomaly.summary),
            (false, true) => format!("{RELATED}{}", s.anomaly.summary),
            (false, false) => format!("open there, too: {}", s.anomaly.summary),
        };
        DiagnosisEvidence {
            id: s.anomaly.id,
            time_unix_ms: s.anomaly.opened_unix_ms,
            ..place("anomaly", what)
        }
    });
    let event = |stored: &v1::StoredEvent| {
        let event = stored.event.as_ref()?;
        let text = format!("{}: {}", event.r#type, event.message);
        let time_unix_ms = event.time_unix_ms;
        Some(DiagnosisEvidence {
            id: stored.id,
            time_unix_ms,
            ..place("event", redact(&text, false))
        })
    };
    let events = scene.events.iter().filter_map(event).take(MAX_PER_KIND);
    let kubernetes = scene.kubernetes.iter().map(|text| place("kubernetes", redact(text, false)));
    let all = lines.chain(kubernetes).chain(devices.take(MAX_PER_KIND)).chain(anomalies);
    all.chain(events).take(MAX_EVIDENCE).collect()
}
