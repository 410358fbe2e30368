//! What the collector writes: the GPUs as they are, their values, and whom they belong to.

use sextant_proto::v1::{Event, Label, Severity};

use super::driver::{Driver, Reason};
use super::events::PciGpu;
use super::fleet::{Fleet, Happening, Known, State};
use super::identity::Identity;
use super::meter::Tier;
use super::metrics as m;
use super::nvml::Code;
use super::reader::Output;
use super::rows::write_labelled;
use crate::collectors::pods::{Attribution, Owner};
use crate::sample::{Batch, EntityValues, Metric, node_event};

/// The node's own series: whether the driver can be used, and how many GPUs there are.
pub(super) fn node(batch: &mut Batch, driver: &Driver, fleet: &Fleet, pci: &[PciGpu]) {
    let unseen = unseen(fleet, pci).count();
    let mut node = batch.node();
    match driver.reason() {
        Some(reason) => node.set_with(&m::DRIVER_UP, &[("reason", reason.name())], 0.0),
        None if driver.library().is_some() => node.set(&m::DRIVER_UP, 1.0),
        // Not known yet.
        None => return,
    };
    node.set(&m::DEVICES_EXPECTED, number(fleet.gpus.len() + unseen));
    node.set(&m::DEVICES, number(fleet.well()));
}

/// GPUs that the bus shows and NVML never did, but for those that another driver has: they are
/// passed on to virtual machines.
pub(super) fn unseen<'a>(fleet: &'a Fleet, pci: &'a [PciGpu]) -> impl Iterator<Item = &'a PciGpu> {
    let is_known = |bus_id: &str| fleet.gpus.iter().any(|gpu| *gpu.identity.pci == *bus_id);
    pci.iter().filter(move |gpu| gpu.is_for_nvml() && !is_known(&gpu.bus_id))
}

/// The medium tier's part that comes from no GPU.
pub(super) fn inventory(batch: &mut Batch, driver: &Driver, fleet: &Fleet, pci: &[PciGpu]) {
    if driver.library().is_some() && !driver.info.labels.is_empty() {
        write_labelled(&mut batch.node(), &m::DRIVER_INFO, &driver.info.labels, 1.0);
    }
    let asked = matches!(driver.reason(), None | Some(Reason::NoDriver | Reason::NoLibrary));
    if asked && (driver.library().is_some() || driver.reason().is_some()) {
        for gpu in unseen(fleet, pci) {
            batch.entity("pci", &[("pci_bus_id", &gpu.bus_id)]).set(&m::MISSING, 1.0);
        }
    }
}

/// Why GPUs are missing that NVML counts. It says so of an index, not of an address: a GPU on the
/// bus is told the reason when all that are missing have the same one.
pub(super) fn refused(batch: &mut Batch, fleet: &Fleet, pci: &[PciGpu], codes: &[Option<Code>]) {
    let is_known = |worker: usize| fleet.gpus.iter().any(|gpu| gpu.worker == worker);
    let unknown = || codes.iter().enumerate().filter(|(worker, _)| !is_known(*worker));
    let told: Vec<Code> = unknown().filter_map(|(_, code)| *code).collect();
    let mut distinct = told.clone();
    distinct.sort_unstable();
    distinct.dedup();
    for code in &distinct {
        batch.node().unavailable(&m::INFO, &code.words());
    }
    if let [code] = distinct[..]
        && told.len() == unseen(fleet, pci).count()
    {
        for gpu in unseen(fleet, pci) {
            let mut entity = batch.entity("pci", &[("pci_bus_id", &gpu.bus_id)]);
            entity.unavailable(&m::INFO, &code.words());
        }
    }
}

/// The values of a tier. Nothing of a GPU that is not well; of one that is late only that there
/// is such a series.
pub(super) fn tier(batch: &mut Batch, fleet: &Fleet, attribution: &Attribution, tier: Tier) {
    for gpu in &fleet.gpus {
        let mut entity = batch.entity("gpu", &[("uuid", &gpu.identity.uuid)]);
        match tier {
            Tier::Fast => set_state(&mut entity, gpu.state),
            Tier::Medium => set_identity(&mut entity, gpu, attribution),
            Tier::Slow => {}
        }
        let worker = fleet.workers.get(gpu.worker).filter(|_| gpu.state == State::Ok);
        let Some(worker) = worker else { continue };
        let mut board = worker.board();
        let (output, fresh) = board.take(tier);
        output.rows.write(&mut entity, !fresh);
        if fresh {
            output.texts.iter().for_each(|row| row.write(&mut entity));
        }
        if tier == Tier::Medium {
            mig(batch, gpu, output, fresh, attribution);
        }
    }
}

fn set_identity(entity: &mut EntityValues<'_>, gpu: &Known, attribution: &Attribution) {
    write_labelled(entity, &m::INFO, &gpu.identity.labels, 1.0);
    if gpu.answered_ms > 0 {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970")]
        entity.set(&m::LAST_SUCCESS, gpu.answered_ms as f64 / 1e3);
    }
    set_owners(entity, &m::POD_INFO, &attribution.owners(&gpu.identity.uuid));
}

fn mig(batch: &mut Batch, gpu: &Known, output: &Output, fresh: bool, attribution: &Attribution) {
    for mig in &gpu.mig {
        let mut entity = batch.entity("mig", &[("uuid", &mig.uuid)]);
        write_labelled(&mut entity, &m::MIG_INFO, &mig.labels, 1.0);
        set_owners(&mut entity, &m::MIG_POD_INFO, &attribution.owners(&mig.uuid));
        let read = output.mig.iter().find(|(identity, _)| identity.uuid == mig.uuid);
        if let Some((_, rows)) = read {
            rows.write(&mut entity, !fresh);
        }
    }
}

fn set_state(entity: &mut EntityValues<'_>, state: State) {
    for known in State::ALL {
        let value = f64::from(u8::from(known == state));
        entity.set_with(&m::STATE, &[("state", known.name())], value);
    }
}

fn set_owners(entity: &mut EntityValues<'_>, metric: &'static Metric, owners: &[Owner]) {
    for owner in owners {
        let shared = if owner.shared { "true" } else { "false" };
        let labels = [
            ("namespace", owner.namespace.as_str()),
            ("pod", &owner.pod),
            ("container", &owner.container),
            ("resource", &owner.resource),
            ("shared", shared),
        ];
        entity.set_with(metric, &labels, 1.0);
    }
}

/// Something that happened to a GPU, as an event.
pub(super) fn event(gpu: &Identity, happening: &Happening) -> Event {
    let at = &gpu.pci;
    let mut attributes = vec![("pci_bus_id", at.to_string())];
    let (kind, severity, message) = match happening {
        Happening::Appeared => ("gpu.appeared", Severity::Info, format!("GPU at {at} is there")),
        Happening::State { from, to } => {
            attributes.push(("from", from.name().to_owned()));
            attributes.push(("to", to.name().to_owned()));
            let severity = if to.is_well() { Severity::Info } else { Severity::Critical };
            let message = format!("GPU at {at} is {}, was {}", to.name(), from.name());
            ("gpu.state_changed", severity, message)
        }
        Happening::Restarted => (
            "gpu.counters_restarted",
            Severity::Info,
            format!("counters of the GPU at {at} start again: driver loaded anew or GPU reset"),
        ),
        Happening::MigChanged(count) => {
            attributes.push(("devices", count.to_string()));
            let message = format!("GPU at {at} has {count} MIG devices");
            ("gpu.mig_changed", Severity::Info, message)
        }
    };
    let label = |(name, value): (&str, String)| Label { name: name.to_owned(), value };
    Event {
        entity_type: "gpu".into(),
        entity: vec![label(("uuid", gpu.uuid.to_string()))],
        attributes: attributes.into_iter().map(label).collect(),
        ..node_event(kind, severity, message)
    }
}

/// That a GPU which NVML counts does not say who it is, as an event.
pub(super) fn refused_event(index: usize, code: Code) -> Event {
    let label = |(name, value): (&str, String)| Label { name: name.to_owned(), value };
    let attributes = [("gpu", index.to_string()), ("code", code.name().to_owned())];
    let message = format!("GPU {index} does not say who it is: {}", code.words());
    Event {
        attributes: attributes.map(label).into(),
        ..node_event("gpu.refused", Severity::Warning, message)
    }
}

/// That the driver can be used, or no longer, as an event.
pub(super) fn driver_event(driver: &Driver, reason: Option<Reason>) -> Event {
    let label = |(name, value): (&str, String)| Label { name: name.to_owned(), value };
    match reason {
        None => {
            let attributes = driver.info.labels.iter().cloned().map(label).collect();
            let message = "NVML can be used".to_owned();
            Event { attributes, ..node_event("gpu.driver_loaded", Severity::Info, message) }
        }
        Some(reason) => {
            let severity = match reason {
                Reason::Released => Severity::Info,
                _ => Severity::Warning,
            };
            let message = format!("NVML cannot be used: {}", reason.name().replace('_', " "));
            let attributes = vec![label(("reason", reason.name().to_owned()))];
            Event { attributes, ..node_event("gpu.driver_unavailable", severity, message) }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a node has a few GPUs")]
fn number(count: usize) -> f64 {
    count as f64
}
