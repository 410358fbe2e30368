//! Phase-locked loops (SyncE, PPS) and their pins, by the kernel's `dpll` family.
//!
//! Polled: once a second while there are devices, which is what notifications would tell as well,
//! and nothing is missed when one is lost. A change between LOCKED, HOLDOVER and FREERUN is an
//! event.

mod message;

use std::time::{Duration, Instant};

use sextant_proto::v1::{Event, Label, Severity};

use self::message::Parent;
use super::genetlink;
use crate::collectors::ptp::metrics as m;
#[cfg(test)]
use crate::netlink::Netlink;
use crate::netlink::{NetlinkError, Payload};
use crate::sample::Batch;

const DEVICE_GET: u8 = 2;
const PIN_GET: u8 = 8;

/// How often the family is asked while it has no devices.
const IDLE: Duration = Duration::from_secs(10);
/// How often while it has: a second, less what a tick may come early.
const BUSY: Duration = Duration::from_millis(900);
/// More than any node has.
const MOST_DEVICES: usize = 64;
const MOST_PINS: usize = 512;

/// A lock status in O-RAN's words.
const fn state(lock: u32) -> Option<&'static str> {
    match lock {
        1 => Some("FREERUN"),
        2 | 3 => Some("LOCKED"),
        4 => Some("HOLDOVER"),
        _ => None,
    }
}

#[derive(Default)]
struct Device {
    id: u32,
    label: String,
    module: String,
    clock_id: u64,
    clock_id_text: String,
    kind: &'static str,
    mode: &'static str,
    lock: Option<u32>,
    lock_error: Option<u32>,
    celsius: Option<f64>,
    state: Option<&'static str>,
}

impl Device {
    /// Takes an answer; gives the last state if it is another now. Allocates nothing while names
    /// stay as they are.
    fn update(&mut self, new: &message::Device<'_>) -> Option<&'static str> {
        rename(&mut self.module, new.module);
        if self.label.is_empty() || self.id != new.id {
            self.id = new.id;
            self.label = new.id.to_string();
            self.state = None;
            self.clock_id_text.clear();
        }
        if self.clock_id != new.clock_id || self.clock_id_text.is_empty() {
            self.clock_id = new.clock_id;
            self.clock_id_text = format!("{:016x}", new.clock_id);
        }
        (self.kind, self.mode) = (new.kind, new.mode);
        (self.lock, self.lock_error, self.celsius) = (new.lock, new.lock_error, new.celsius);
        let state = new.lock.and_then(state);
        let previous = self.state;
        self.state = state.or(previous);
        previous.filter(|_| self.state != previous)
    }

    fn event(&self, previous: &str) -> Event {
        let state = self.state.unwrap_or_default();
        let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
        let severity = match state {
            "LOCKED" => Severity::Info,
            "HOLDOVER" => Severity::Warning,
            _ => Severity::Critical,
        };
        Event {
            time_unix_ms: 0,
            r#type: "ptp.synce_state_changed".into(),
            severity: severity.into(),
            entity_type: "dpll".into(),
            entity: vec![label("dpll", &self.label)],
            message: format!("DPLL {} went from {previous} to {state}", self.label),
            attributes: vec![
                label("state", state),
                label("previous", previous),
                label("type", self.kind),
            ],
        }
    }

    fn set(&self, batch: &mut Batch) {
        let mut dpll = batch.entity("dpll", &[("dpll", &self.label)]);
        let info: [(&str, &str); 4] = [
            ("module", &self.module),
            ("clock_id", &self.clock_id_text),
            ("type", self.kind),
            ("mode", self.mode),
        ];
        dpll.set_with(&m::DPLL_INFO, &info, 1.0);
        if let Some(lock) = self.lock {
            dpll.set(&m::DPLL_LOCK, lock.into());
        }
        if let Some(error) = self.lock_error {
            dpll.set(&m::DPLL_LOCK_ERROR, error.into());
        }
        if let Some(celsius) = self.celsius {
            dpll.set(&m::DPLL_TEMPERATURE, celsius);
        }
    }
}

#[derive(Default)]
struct Pin {
    id: u32,
    text: String,
    label: String,
    kind: &'static str,
    frequency_offset: Option<f64>,
    parents: Vec<Parent>,
    parent_names: Vec<String>,
    /// The ids of all parents, with commas between.
    parents_text: String,
}

impl Pin {
    fn update(&mut self, new: &message::Pin<'_>, parents: &[Parent]) {
        if self.text.is_empty() || self.id != new.id {
            self.id = new.id;
            self.text = new.id.to_string();
        }
        rename(&mut self.label, new.label);
        (self.kind, self.frequency_offset) = (new.kind, new.frequency_offset);
        let ids = |parents: &[Parent], at: usize| parents.get(at).map(|parent| parent.dpll);
        let most = self.parents.len().max(parents.len());
        if (0..most).any(|at| ids(&self.parents, at) != ids(parents, at)) {
            self.parent_names = parents.iter().map(|parent| parent.dpll.to_string()).collect();
            self.parents_text = self.parent_names.join(",");
        }
        self.parents.clear();
        self.parents.extend_from_slice(parents);
    }

    fn set(&self, batch: &mut Batch) {
        let mut pin = batch.entity("dpll_pin", &[("pin", &self.text)]);
        let info: [(&str, &str); 3] =
            [("label", &self.label), ("type", self.kind), ("dpll", &self.parents_text)];
        pin.set_with(&m::PIN_INFO, &info, 1.0);
        for (parent, name) in self.parents.iter().zip(&self.parent_names) {
            let values = [
                (&m::PIN_STATE, parent.state.map(f64::from)),
                (&m::PIN_PRIORITY, parent.priority.map(f64::from)),
                (&m::PIN_PHASE_OFFSET, parent.phase_seconds),
            ];
            for (metric, value) in values {
                if let Some(value) = value {
                    pin.set_with(metric, &[("dpll", name.as_str())], value);
                }
            }
        }
        if let Some(offset) = self.frequency_offset {
            pin.set(&m::PIN_FREQUENCY_OFFSET, offset);
        }
    }
}

fn rename(known: &mut String, new: &str) {
    if known != new {
        new.clone_into(known);
    }
}

/// The node's DPLLs.
pub(super) struct Dplls {
    source: genetlink::Source,
    devices: Vec<Device>,
    pins: Vec<Pin>,
    parents: Vec<Parent>,
    asked: Option<Instant>,
    /// The last dump was whole.
    fresh: bool,
    nothing: Payload,
    malformed: u64,
}

impl Dplls {
    pub(super) fn new() -> Self {
        Self::over(genetlink::Source::new("dpll"))
    }

    /// Asks this socket instead of the kernel's.
    #[cfg(test)]
    pub(super) fn with(netlink: Netlink) -> Self {
        Self::over(genetlink::Source::with("dpll", netlink))
    }

    fn over(source: genetlink::Source) -> Self {
        Self {
            source,
            devices: Vec::new(),
            pins: Vec::new(),
            parents: Vec::new(),
            asked: None,
            fresh: false,
            nothing: Payload::default(),
            malformed: 0,
        }
    }

    /// Answers that were not as they must be.
    pub(super) fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        self.fresh && !self.devices.is_empty()
    }

    /// Asks if it is due.
    pub(super) fn collect(&mut self, batch: &mut Batch, now: Instant) {
        let period = if self.devices.is_empty() { IDLE } else { BUSY };
        if self.asked.is_some_and(|asked| now - asked < period) {
            return;
        }
        self.asked = Some(now);
        let mut asked = self.ask(batch, now);
        // Something changed within the dump: the second is mostly whole.
        if matches!(asked, Err(NetlinkError::Interrupted)) {
            asked = self.ask(batch, now);
        }
        self.fresh = *asked.as_ref().unwrap_or(&false);
        if let Err(error) = asked {
            self.source.forget();
            batch.fail("dpll", &error);
        }
    }

    /// False while there is nobody to ask.
    fn ask(&mut self, batch: &mut Batch, now: Instant) -> Result<bool, NetlinkError> {
        let Some((generic, family)) = self.source.get(now)? else { return Ok(false) };
        let (devices, malformed) = (&mut self.devices, &mut self.malformed);
        let mut seen = 0;
        generic.dump(family, DEVICE_GET, &self.nothing, &mut |answer| {
            let Some(new) = message::Device::parse(answer.attributes) else {
                *malformed += 1;
                return;
            };
            if let Some(device) = slot(devices, seen, MOST_DEVICES, |device| device.id == new.id) {
                if let Some(previous) = device.update(&new) {
                    batch.event(device.event(previous));
                }
                seen += 1;
            }
        })?;
        devices.truncate(seen);
        if devices.is_empty() {
            self.pins.clear();
            return Ok(true);
        }
        let (pins, parents) = (&mut self.pins, &mut self.parents);
        seen = 0;
        generic.dump(family, PIN_GET, &self.nothing, &mut |answer| {
            let Some(new) = message::Pin::parse(answer.attributes, parents) else {
                *malformed += 1;
                return;
            };
            if let Some(pin) = slot(pins, seen, MOST_PINS, |pin| pin.id == new.id) {
                pin.update(&new, parents);
                seen += 1;
            }
        })?;
        pins.truncate(seen);
        Ok(true)
    }

    /// Sets what is known.
    pub(super) fn set(&self, batch: &mut Batch) {
        if !self.fresh {
            return;
        }
        for device in &self.devices {
            device.set(batch);
        }
        for pin in &self.pins {
            pin.set(batch);
        }
    }
}

/// The entry at `at`, where the one that `is_it` goes to; a new one if there is none. `None`
/// when there are enough.
fn slot<T: Default>(
    list: &mut Vec<T>,
    at: usize,
    most: usize,
    is_it: impl Fn(&T) -> bool,
) -> Option<&mut T> {
    if at >= most {
        return None;
    }
    match list.get(at..)?.iter().position(is_it) {
        Some(further) => list.swap(at, at + further),
        None => list.insert(at, T::default()),
    }
    list.get_mut(at)
}

#[cfg(test)]
mod tests;
