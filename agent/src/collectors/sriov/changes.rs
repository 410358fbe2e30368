//! What became different between two scans, as events.

use sextant_proto::v1::Severity;

use super::inventory::{Pf, Vf};
use super::link_events::{event, vf_labels};
use crate::sample::Batch;

fn labels(pf: &Pf) -> Vec<(&'static str, String)> {
    vec![("pf", pf.name.clone()), ("pci", pf.pci.clone())]
}

/// A physical function that came.
pub(super) fn added(pf: &Pf, batch: &mut Batch) {
    let message = format!("physical function {} ({}) appeared", pf.name, pf.pci);
    batch.event(event("sriov.pf_added", Severity::Info, "pf", &labels(pf), message, &[]));
}

/// A physical function that went.
pub(super) fn removed(pf: &Pf, batch: &mut Batch) {
    let message = format!("physical function {} ({}) disappeared", pf.name, pf.pci);
    let vfs = [("vfs", pf.vfs.len().to_string())];
    let severity = Severity::Warning;
    batch.event(event("sriov.pf_removed", severity, "pf", &labels(pf), message, &vfs));
}

/// A physical function that stayed, and its virtual functions.
pub(super) fn within(before: &Pf, now: &Pf, batch: &mut Batch) {
    let (old, new) = (before.vfs.len(), now.vfs.len());
    if old != new {
        let severity = if old == 0 { Severity::Info } else { Severity::Warning };
        let message = format!("{} has {new} virtual functions instead of {old}", now.name);
        let attributes = [("from", old.to_string()), ("to", new.to_string())];
        let kind = "sriov.numvfs_changed";
        batch.event(event(kind, severity, "pf", &labels(now), message, &attributes));
    }
    for vf in &now.vfs {
        let known =
            before.vfs.iter().find(|known| (known.number, &known.pci) == (vf.number, &vf.pci));
        if let Some(known) = known.filter(|known| known.driver != vf.driver) {
            driver_changed(now, known, vf, batch);
        }
    }
}

fn driver_changed(pf: &Pf, before: &Vf, now: &Vf, batch: &mut Batch) {
    let name = |driver: &str| if driver.is_empty() { "none".to_owned() } else { driver.to_owned() };
    let (old, new) = (name(&before.driver), name(&now.driver));
    let message =
        format!("virtual function {} of {} has driver {new} instead of {old}", now.number, pf.name);
    let attributes = [("from", old), ("to", new)];
    let entity = vf_labels(pf, now);
    let kind = "sriov.vf_driver_changed";
    batch.event(event(kind, Severity::Info, "vf", &entity, message, &attributes));
}
