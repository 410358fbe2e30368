//! The agent's clock events as O-RAN CloudEvents 1.0, in the form that consumers of
//! `/api/ocloudNotifications/v2` read: the source is a resource below `/sync`, the data says
//! version "1.0" and a list of values, each with its address below `/cluster/node/NODE`.
//!
//! Values are text, numbers included: that is how the peers send them. A plain event is at most
//! one CloudEvent; those of ports are none, since O-RAN has no such event.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use sextant_proto::v1::{CloudEvent, Event, StoredEvent};

use super::openshift_ptp::alias;

/// The agent's event type, O-RAN's, and the resource that it is about.
const KINDS: &[(&str, &str, &str)] = &[
    ("ptp.state_changed", "event.sync.ptp-status.ptp-state-change", "/sync/ptp-status/lock-state"),
    (
        "ptp.clock_class_changed",
        "event.sync.ptp-status.ptp-clock-class-change",
        "/sync/ptp-status/clock-class",
    ),
    (
        "ptp.os_clock_state_changed",
        "event.sync.sync-status.os-clock-sync-state-change",
        "/sync/sync-status/os-clock-sync-state",
    ),
    (
        "ptp.sync_state_changed",
        "event.sync.sync-status.synchronization-state-change",
        "/sync/sync-status/sync-state",
    ),
    (
        "ptp.gnss_state_changed",
        "event.sync.gnss-status.gnss-state-change",
        "/sync/gnss-status/gnss-sync-status",
    ),
    (
        "ptp.synce_state_changed",
        "event.sync.synce-status.synce-state-change",
        "/sync/synce-status/lock-state",
    ),
];

/// The CloudEvent that an event stands for; `None` when O-RAN has none for it, or when what it
/// must carry is not there.
#[must_use]
pub fn cloud_event(stored: &StoredEvent) -> Option<CloudEvent> {
    let event = stored.event.as_ref()?;
    let (own, name, resource) = KINDS.iter().find(|(own, ..)| *own == event.r#type)?;
    let at = format!("/cluster/node/{}{}", stored.node, subject(own, resource, event)?);
    let mut values = Vec::with_capacity(2);
    match *own {
        "ptp.clock_class_changed" => {
            let class: u8 = text(event, "clock_class")?.parse().ok()?;
            values.push(metric(&at, &class.to_string()));
        }
        "ptp.gnss_state_changed" => values.push(notification(&at, gnss(text(event, "state")?)?)),
        _ => values.push(notification(&at, lock(text(event, "state")?)?)),
    }
    if let Some(offset) = text(event, "offset_ns").and_then(|o| o.parse::<f64>().ok()) {
        values.push(metric(&at, &format!("{offset:.0}")));
    }
    let time = Duration::from_millis(event.time_unix_ms.try_into().unwrap_or_default());
    Some(CloudEvent {
        // Unique for the source, and the same for everyone who is told.
        id: format!("{}/{}/{}", stored.cluster, stored.node, stored.id),
        source: (*resource).into(),
        r#type: (*name).into(),
        specversion: "1.0".into(),
        time: humantime::format_rfc3339_millis(UNIX_EPOCH + time).to_string(),
        datacontenttype: "application/json".into(),
        data: json!({ "version": "1.0", "values": values }).to_string(),
    })
}

/// The structured form of a CloudEvent: one JSON object.
#[must_use]
pub fn structured(event: &CloudEvent) -> Value {
    json!({
        "id": event.id,
        "source": event.source,
        "type": event.r#type,
        "specversion": event.specversion,
        "time": event.time,
        "datacontenttype": event.datacontenttype,
        "data": serde_json::from_str::<Value>(&event.data).unwrap_or(Value::Null),
    })
}

/// What the values are about, below the node.
fn subject(own: &str, resource: &str, event: &Event) -> Option<String> {
    Some(match own {
        // The master of the card that the slave port is on; without one, the instance says it.
        "ptp.state_changed" | "ptp.clock_class_changed" => match text(event, "iface") {
            Some(iface) => format!("/{}/master", alias(iface)),
            None => format!("/{}/master", text(event, "instance")?),
        },
        "ptp.os_clock_state_changed" => "/CLOCK_REALTIME".into(),
        "ptp.gnss_state_changed" => {
            format!("/{}/master", text(event, "device")?.trim_start_matches("/dev/"))
        }
        // A DPLL of phase is not about SyncE.
        "ptp.synce_state_changed" if text(event, "type") == Some("pps") => return None,
        "ptp.synce_state_changed" => format!("/dpll{}", text(event, "dpll")?),
        _ => resource.into(),
    })
}

fn notification(address: &str, value: &str) -> Value {
    json!({
        "ResourceAddress": address,
        "data_type": "notification",
        "value_type": "enumeration",
        "value": value,
    })
}

fn metric(address: &str, value: &str) -> Value {
    json!({
        "ResourceAddress": address,
        "data_type": "metric",
        "value_type": "decimal64.3",
        "value": value,
    })
}

/// A lock state in O-RAN's words; a DPLL's own words are understood, too.
fn lock(state: &str) -> Option<&'static str> {
    match state.to_ascii_uppercase().as_str() {
        "HOLDOVER" => Some("HOLDOVER"),
        "FREERUN" | "UNLOCKED" => Some("FREERUN"),
        other if other.starts_with("LOCKED") => Some("LOCKED"),
        _ => None,
    }
}

/// A GNSS state in O-RAN's words: those it has already, or the kind of the fix.
fn gnss(state: &str) -> Option<&'static str> {
    const KNOWN: [&str; 9] = [
        "SYNCHRONIZED",
        "ACQUIRING-SYNC",
        "ANTENNA-DISCONNECTED",
        "ANTENNA-SHORT-CIRCUIT",
        "BOOTING",
        "FAILURE-MULTIPATH",
        "FAILURE-NOFIX",
        "FAILURE-LOW-SNR",
        "FAILURE-PLL",
    ];
    let upper = state.to_ascii_uppercase().replace('_', "-");
    if let Some(known) = KNOWN.iter().find(|k| **k == upper) {
        return Some(known);
    }
    match upper.as_str() {
        "3D" | "LOCKED" => Some("SYNCHRONIZED"),
        "2D" => Some("ACQUIRING-SYNC"),
        "NONE" | "NO-FIX" | "NOFIX" | "FREERUN" => Some("FAILURE-NOFIX"),
        _ => None,
    }
}

fn text<'a>(event: &'a Event, name: &str) -> Option<&'a str> {
    let labels = event.attributes.iter().chain(&event.entity);
    let mut found = labels.filter(|l| l.name == name).map(|l| l.value.as_str());
    found.find(|t| !t.is_empty())
}
