//! Events about instances and ports.

use sextant_proto::v1::{Event, Label, Severity};

use crate::collectors::ptp::state::State;

/// What an event is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject<'a> {
    Node,
    Instance(&'a str),
    Port { instance: &'a str, port: &'a str, iface: &'a str },
}

/// An event; its time is that of the tick.
#[must_use]
pub(crate) fn event(
    kind: &str,
    severity: Severity,
    subject: Subject<'_>,
    message: String,
    attributes: &[(&str, &str)],
) -> Event {
    let (entity_type, entity) = match subject {
        Subject::Node => ("node", vec![]),
        Subject::Instance(instance) => ("ptp_instance", labels(&[("instance", instance)])),
        Subject::Port { instance, port, iface } => {
            let entity = [("instance", instance), ("port", port), ("iface", iface)];
            ("ptp_port", labels(&entity))
        }
    };
    Event {
        time_unix_ms: 0,
        r#type: kind.into(),
        severity: severity.into(),
        entity_type: entity_type.into(),
        entity,
        message,
        attributes: labels(attributes),
    }
}

/// The severity of getting into a state.
#[must_use]
pub(crate) fn severity(state: State) -> Severity {
    if state == State::Locked { Severity::Info } else { Severity::Warning }
}

/// The name of a state that may not be known.
#[must_use]
pub(crate) fn name(state: Option<State>) -> &'static str {
    state.map_or("UNKNOWN", State::name)
}

fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    pairs.iter().map(|(n, v)| Label { name: (*n).into(), value: (*v).into() }).collect()
}
