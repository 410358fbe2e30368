//! The event records: what is sent to the aggregator of something that happened.

use sextant_proto::v1::{Event, Label, Severity};

use super::gpus::Tracked;
use super::kinds::Kind;
use super::ledger::Record;
use super::nvrm::Sxid;
use super::xid;
use crate::sample::node_event;

/// An Xid, with all that is known of it.
pub(super) fn xid(record: Record, gpu: &Tracked) -> Event {
    let message = record.kernel.as_ref().map(|kernel| &kernel.message);
    let severity = xid::severity(record.xid, message);
    let text = message.map(|message| message.text.as_str()).filter(|text| !text.is_empty());
    let mut sentence = format!("Xid {} on {}", record.xid, name(gpu));
    if let Some(text) = text {
        sentence = format!("{sentence}: {text}");
    }
    let source = match (&record.kernel, &record.driver) {
        (Some(_), Some(_)) => "both",
        (Some(_), None) => "kmsg",
        _ => "nvml",
    };
    let mut event = of_gpu("gpu.xid", severity, record.time_ms, gpu, sentence);
    let mut add = |name: &str, value: String| event.attributes.push(label(name, value));
    add("xid", record.xid.to_string());
    add("source", source.to_owned());
    let from_log = message.map(|m| [m.gpu_instance, m.compute_instance]).unwrap_or_default();
    let from_driver = record.driver.map(|d| [d.gpu_instance, d.compute_instance]);
    let from_driver = from_driver.unwrap_or_default();
    for (index, name) in ["gpu_instance", "compute_instance"].into_iter().enumerate() {
        if let Some(id) = from_driver[index].or(from_log[index]) {
            add(name, id.to_string());
        }
    }
    let Some(kernel) = record.kernel else { return event };
    if let Some(pid) = kernel.message.pid {
        add("pid", pid.to_string());
    }
    if let Some(process) = kernel.message.process {
        add("process", process);
    }
    if let Some(process) = kernel.process {
        if let Some(owner) = process.owner {
            add("namespace", owner.namespace);
            add("pod", owner.pod);
            add("container", owner.container);
        }
        add("pod_uid", process.pod_uid);
    }
    for (name, value) in kernel.message.details {
        add(name, value);
    }
    if !kernel.message.text.is_empty() {
        add("text", kernel.message.text);
    }
    event
}

/// An event of the driver that is no Xid.
pub(super) fn driver(
    kind: &Kind,
    bits: u64,
    data: u64,
    instances: [Option<u32>; 2],
    time_ms: i64,
    gpu: &Tracked,
) -> Event {
    let sentence = format!("{} on {}", kind.text, name(gpu));
    let mut event = of_gpu(kind.event, kind.severity, time_ms, gpu, sentence);
    event.attributes.push(label("event", kind.label.to_owned()));
    event.attributes.push(label("source", "nvml".to_owned()));
    if kind.bit == 0 {
        event.attributes.push(label("kind", format!("{bits:#x}")));
    }
    if data != 0 {
        event.attributes.push(label("data", data.to_string()));
    }
    for (id, name) in instances.into_iter().zip(["gpu_instance", "compute_instance"]) {
        event.attributes.extend(id.map(|id| label(name, id.to_string())));
    }
    event
}

/// Something else that the kernel's log says of a GPU.
pub(super) fn logged(
    kind: &str,
    severity: Severity,
    time_ms: i64,
    gpu: &Tracked,
    text: String,
) -> Event {
    let mut event = of_gpu(kind, severity, time_ms, gpu, format!("{}: {text}", name(gpu)));
    event.attributes.push(label("source", "kmsg".to_owned()));
    event.attributes.push(label("text", text));
    event
}

/// An error of an NVSwitch.
pub(super) fn sxid(error: Sxid, time_ms: i64) -> Event {
    let bus_id = error.address.to_string();
    let severity = if error.fatal == Some(true) { Severity::Critical } else { Severity::Warning };
    let sentence = format!("SXid {} on {} at {bus_id}: {}", error.sxid, error.switch, error.text);
    let mut attributes = vec![
        label("sxid", error.sxid.to_string()),
        label("source", "kmsg".to_owned()),
        label("switch", error.switch),
        label("pci_bus_id", bus_id.clone()),
    ];
    attributes.extend(error.fatal.map(|fatal| label("fatal", fatal.to_string())));
    attributes.extend(error.link.map(|link| label("link", link.to_string())));
    attributes.push(label("text", error.text));
    Event {
        time_unix_ms: time_ms,
        entity_type: "pci".into(),
        entity: vec![label("pci_bus_id", bus_id)],
        attributes,
        ..node_event("gpu.sxid", severity, sentence)
    }
}

/// A program's driver libraries do not fit the kernel's module, or a GPU that the message does
/// not name could not be started.
pub(super) fn of_node(
    kind: &str,
    severity: Severity,
    time_ms: i64,
    message: String,
    attributes: Vec<(&str, String)>,
) -> Event {
    let mut attributes: Vec<_> = attributes.into_iter().map(|(n, v)| label(n, v)).collect();
    attributes.push(label("source", "kmsg".to_owned()));
    Event { time_unix_ms: time_ms, attributes, ..node_event(kind, severity, message) }
}

fn of_gpu(kind: &str, severity: Severity, time_ms: i64, gpu: &Tracked, message: String) -> Event {
    let bus_id = (!gpu.bus_id.is_empty()).then(|| label("pci_bus_id", gpu.bus_id.clone()));
    let (entity_type, entity) = match &gpu.uuid {
        Some(uuid) => ("gpu", vec![label("uuid", uuid.to_string())]),
        None => ("pci", bus_id.iter().cloned().collect()),
    };
    Event {
        time_unix_ms: time_ms,
        entity_type: entity_type.into(),
        entity,
        attributes: bus_id.into_iter().collect(),
        ..node_event(kind, severity, message)
    }
}

/// How a sentence names the GPU.
fn name(gpu: &Tracked) -> String {
    match &gpu.uuid {
        Some(uuid) if gpu.bus_id.is_empty() => format!("GPU {uuid}"),
        Some(_) | None => format!("GPU {}", gpu.bus_id),
    }
}

fn label(name: &str, value: String) -> Label {
    Label { name: name.to_owned(), value }
}
