//! Links that go up and down, from the kernel's own messages and from what a tick reads.
//!
//! A message tells of changes between two ticks too, so that a short loss of the link is seen.
//! Both ways lead through one state per network device, so that a change is told once.

use rustc_hash::FxHashMap;
use sextant_proto::v1::{Event, Label, Severity};

use super::inventory::Pf;
use super::metrics as m;
use crate::netlink::NetlinkError;
use crate::netlink::route::{Link, LinkEvents};
use crate::sample::Batch;

const IFLA_IFNAME: u16 = 3;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_CARRIER: u16 = 33;
const IF_OPER_UNKNOWN: u8 = 0;
const IF_OPER_UP: u8 = 6;
/// Messages read in one tick. On a node where many pods start at once there may be hundreds;
/// what is left is read at the next tick, what the socket cannot hold is counted as lost.
const MOST_PER_TICK: usize = 4096;

struct Watched {
    kind: &'static str,
    labels: Vec<(&'static str, String)>,
    name: String,
    up: Option<bool>,
}

/// The state of the links of physical and virtual functions.
#[derive(Default)]
pub(super) struct LinkWatch {
    by_index: FxHashMap<u32, Watched>,
    overruns: u64,
    /// A device came, went or got another name.
    changed: bool,
}

impl LinkWatch {
    /// Watches the links of `pfs`; what is known of those that stay, stays known.
    pub(super) fn watch<'a>(&mut self, pfs: impl Iterator<Item = &'a Pf>) {
        let mut before = std::mem::take(&mut self.by_index);
        let mut add = |index: u32, kind, name: &str, labels: Vec<(&'static str, String)>| {
            let known = before.remove(&index).filter(|w| w.labels == labels);
            let up = known.and_then(|watched| watched.up);
            self.by_index.insert(index, Watched { kind, labels, name: name.to_owned(), up });
        };
        for pf in pfs {
            if let Some(netdev) = &pf.netdev {
                let labels = vec![("pf", pf.name.clone()), ("pci", pf.pci.clone())];
                add(netdev.index, "pf", &netdev.name, labels);
            }
            for vf in &pf.vfs {
                if let Some(netdev) = &vf.netdev {
                    add(netdev.index, "vf", &netdev.name, vf_labels(pf, vf));
                }
            }
        }
    }

    /// Reads the kernel's messages.
    pub(super) fn drain(
        &mut self,
        events: &mut LinkEvents,
        batch: &mut Batch,
    ) -> Result<(), NetlinkError> {
        let drained = events.drain(MOST_PER_TICK, &mut |link| self.message(&link, batch));
        match drained {
            Err(NetlinkError::Overrun) => {
                self.overruns += 1;
                self.changed = true;
                Ok(())
            }
            other => other,
        }
    }

    fn message(&mut self, link: &Link<'_>, batch: &mut Batch) {
        let Some(watched) = self.by_index.get(&link.header.index) else { return };
        let name = link.attributes.find(IFLA_IFNAME).and_then(|name| name.text());
        if link.deleted || name.is_some_and(|name| name != watched.name) {
            self.changed = true;
        }
        if link.deleted {
            return;
        }
        let number = |kind| link.attributes.find(kind).and_then(|a| a.u8());
        let up = match number(IFLA_OPERSTATE) {
            Some(IF_OPER_UNKNOWN) | None => number(IFLA_CARRIER).map(|carrier| carrier == 1),
            Some(state) => Some(state == IF_OPER_UP),
        };
        if let Some(up) = up {
            self.observe(link.header.index, up, batch);
        }
    }

    /// A link's state, which makes an event if it is another than before.
    pub(super) fn observe(&mut self, index: u32, up: bool, batch: &mut Batch) {
        let Some(watched) = self.by_index.get_mut(&index) else { return };
        let before = watched.up.replace(up);
        if before.is_none_or(|before| before == up) {
            return;
        }
        let (kind, severity, what) = match (up, watched.kind) {
            (true, _) => ("sriov.link_up", Severity::Info, "up"),
            (false, "pf") => ("sriov.link_down", Severity::Warning, "down"),
            (false, _) => ("sriov.link_down", Severity::Info, "down"),
        };
        let message = format!("link of {} is {what}", watched.name);
        batch.event(event(kind, severity, watched.kind, &watched.labels, message, &[]));
    }

    /// Sets how often messages were lost.
    pub(super) fn set(&self, batch: &mut Batch) {
        batch.node().set(&m::LINK_EVENT_OVERRUNS, self.overruns as f64);
    }

    /// Whether the inventory has to be read again. Asking makes it false.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

/// The labels of a virtual function, as those of its entity.
pub(super) fn vf_labels(pf: &Pf, vf: &super::inventory::Vf) -> Vec<(&'static str, String)> {
    vec![("pf", pf.name.clone()), ("vf", vf.label.clone()), ("pci", vf.pci.clone())]
}

/// An event about an entity.
pub(super) fn event(
    kind: &str,
    severity: Severity,
    entity_type: &str,
    entity: &[(&'static str, String)],
    message: String,
    attributes: &[(&'static str, String)],
) -> Event {
    let wire = |labels: &[(&'static str, String)]| -> Vec<Label> {
        labels.iter().map(|(n, v)| Label { name: (*n).into(), value: v.clone() }).collect()
    };
    Event {
        time_unix_ms: 0,
        r#type: kind.into(),
        severity: severity.into(),
        entity_type: entity_type.into(),
        entity: wire(entity),
        message,
        attributes: wire(attributes),
    }
}
