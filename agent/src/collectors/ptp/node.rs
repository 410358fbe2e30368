//! The system clock's state, and the node's: the worst of all its clocks.

use std::time::Duration;

use sextant_proto::v1::Event;

use super::clocks::{Clocks, OsClock, OsClockSource};
use super::config::OsClockConfig;
use super::instances::{Instances, Subject, event, name, severity};
use super::metrics;
use super::state::{Condition, Limits, Machine, State, profiles, worst};
use crate::sample::Batch;

/// The states of the node.
pub(crate) struct Node {
    config: OsClockConfig,
    machine: Machine,
    source: Option<OsClockSource>,
    /// The system clock's, as it was told.
    os: Option<State>,
    all: Option<State>,
    events: Vec<Event>,
}

impl Node {
    #[must_use]
    pub(crate) fn new(config: &OsClockConfig) -> Self {
        Self {
            machine: Machine::new(Limits::usual()),
            config: config.clone(),
            source: None,
            os: None,
            all: None,
            events: Vec::new(),
        }
    }

    /// Judges the system clock by its last reading, and then the node.
    pub(crate) fn judge(&mut self, now: Duration, clocks: &Clocks, instances: &Instances) {
        match clocks.os_clock() {
            Some(clock) => self.judge_os(now, clock, instances),
            None => self.os = None,
        }
        self.judge_instances(instances);
    }

    /// Judges the node by the states of its instances.
    pub(crate) fn judge_instances(&mut self, instances: &Instances) {
        let all = worst(instances.states().chain(self.os));
        let previous = std::mem::replace(&mut self.all, all);
        if let Some(state) = all.filter(|_| previous != all) {
            tracing::info!(state = state.name(), previous = name(previous), "node's clocks");
            let message =
                format!("the node's clocks are {}, were {}", state.name(), name(previous));
            let attributes = [("state", state.name()), ("previous", name(previous))];
            let kind = "ptp.sync_state_changed";
            self.events.push(event(kind, severity(state), Subject::Node, message, &attributes));
        }
    }

    fn judge_os(&mut self, now: Duration, clock: OsClock, instances: &Instances) {
        if self.source.replace(clock.source) != Some(clock.source) {
            let limit = match clock.source {
                OsClockSource::Phc2sys => self.config.offset_limit,
                OsClockSource::Chrony | OsClockSource::Ntp => self.config.ntp_offset_limit,
            };
            self.machine.set_limits(Limits {
                offset_ns: profiles::nanoseconds(limit),
                holdover: self.config.holdover,
                ..Limits::usual()
            });
        }
        let condition = match clock.synced {
            // Where no offset is known, the kernel's word is all there is.
            true => Condition::Tracking { sample: Some(clock.offset_ns.unwrap_or(0.0)) },
            false => Condition::Lost("unsynchronized"),
        };
        self.machine.step(now, condition);
        // It cannot be better than the clock that it is copied from.
        let from = instances.states().filter(|_| clock.source == OsClockSource::Phc2sys);
        let own = self.machine.state();
        let state = own.and_then(|own| worst(from.chain([own])));
        let previous = std::mem::replace(&mut self.os, state);
        let Some(state) = state.filter(|_| previous != state) else { return };
        let offset = clock.offset_ns.map(|offset| format!("{offset:.0}"));
        let mut attributes = vec![("state", state.name()), ("previous", name(previous))];
        attributes.extend(offset.as_deref().map(|offset| ("offset_ns", offset)));
        let message = format!("the system clock is {}, was {}", state.name(), name(previous));
        let kind = "ptp.os_clock_state_changed";
        self.events.push(event(kind, severity(state), Subject::Node, message, &attributes));
    }

    /// Sets the states that are known.
    pub(crate) fn emit(&self, batch: &mut Batch) {
        if self.all.is_none() && self.os.is_none() {
            return;
        }
        batch
            .node()
            .set_opt(&metrics::NODE_CLOCK_STATE, self.all.map(State::number))
            .set_opt(&metrics::OS_CLOCK_STATE, self.os.map(State::number));
    }

    /// Gives the batch what happened.
    pub(crate) fn tell(&mut self, batch: &mut Batch) {
        for event in self.events.drain(..) {
            batch.event(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::PtpConfig;
    use super::*;
    use crate::collectors::Paths;

    /// A node whose system clock was read so, once a second: its states and what was told.
    fn way(readings: &[OsClock]) -> (Vec<&'static str>, Vec<String>) {
        let nowhere = Paths { proc: "/nonexistent".into(), ..Paths::default() };
        let instances = Instances::new(&nowhere, &PtpConfig::default());
        let mut node = Node::new(&OsClockConfig::default());
        let mut states = Vec::new();
        for (second, reading) in readings.iter().enumerate() {
            node.judge_os(Duration::from_secs(second as u64), *reading, &instances);
            node.judge_instances(&instances);
            assert_eq!(node.os, node.all, "there is no other clock");
            states.push(name(node.os));
        }
        let told = node.events.iter().map(|event| {
            let of = |key| event.attributes.iter().find(|l| l.name == key).map(|l| &l.value);
            format!("{} {:?}", event.r#type, of("state"))
        });
        (states, told.collect())
    }

    fn clock(source: OsClockSource, synced: bool, offset_ns: Option<f64>) -> OsClock {
        OsClock { offset_ns, source, synced }
    }

    #[test]
    fn system_clock_has_the_limit_of_what_steers_it() {
        let f = |source, offset, want: &str| {
            let (states, _) = way(&[clock(source, true, offset); 3]);
            assert_eq!(states.last(), Some(&want), "{source:?} {offset:?}");
        };
        f(OsClockSource::Phc2sys, Some(-900.0), "LOCKED");
        f(OsClockSource::Phc2sys, Some(1_100.0), "FREERUN");
        f(OsClockSource::Chrony, Some(1_100.0), "LOCKED");
        f(OsClockSource::Ntp, Some(2e7), "FREERUN");
        f(OsClockSource::Ntp, None, "LOCKED");
    }

    #[test]
    fn unsynchronized_system_clock_is_in_holdover_and_then_runs_free() {
        let good = clock(OsClockSource::Chrony, true, Some(1e3));
        let lost = clock(OsClockSource::Chrony, false, None);
        let (states, told) = way(&[&[good; 3][..], &[lost; 6]].concat());
        let want = [&["UNKNOWN"; 2][..], &["LOCKED"], &["HOLDOVER"; 5], &["FREERUN"]].concat();
        assert_eq!(states, want);
        let change = |state: &str| {
            ["os_clock_state_changed", "sync_state_changed"]
                .map(|kind| format!("ptp.{kind} Some({state:?})"))
        };
        assert_eq!(told, ["LOCKED", "HOLDOVER", "FREERUN"].map(change).concat());
    }
}
