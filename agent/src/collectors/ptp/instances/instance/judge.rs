//! What the answers of a ptp4l mean: states of ports and of the clock, and events when they
//! change.

use std::time::Duration;

use sextant_proto::v1::Severity;

use super::{CLOSE_LOOK, Instance, PortHistory};
use crate::collectors::ptp::clocks::{Clocks, UtcOffset};
use crate::collectors::ptp::instances::events::{Subject, event, name, severity};
use crate::collectors::ptp::instances::readings::Port;
use crate::collectors::ptp::management::{PortState, Timestamping};
use crate::collectors::ptp::state::{Change, Condition, Seen};

/// The clockClass of a clock that has no reference: not declared to be a grandmaster.
const DEFAULT_CLASS: u8 = 248;
impl Instance {
    pub(super) fn look_at_ports(&mut self, now: Duration, clocks: &Clocks) {
        if self.down.is_some() {
            return;
        }
        let software = self.is_software();
        if self.limits_for_software.replace(software) != Some(software) {
            let limits = self.limits.clone();
            self.machine.set_limits(if software { limits.for_software() } else { limits });
        }
        self.labels.refresh(
            &self.target,
            &self.readings,
            self.client.path(),
            self.domain.number(),
            clocks,
        );
        self.ports.resize(self.readings.ports.len(), PortHistory::default());
        for (index, port) in self.readings.ports.iter().enumerate() {
            let history = &mut self.ports[index];
            let Some(state) = port.state() else { continue };
            if matches!(state, PortState::SLAVE | PortState::UNCALIBRATED) {
                self.follower = index;
            }
            self.followed |= state == PortState::SLAVE;
            let Some(previous) = history.state.replace(state).filter(|known| *known != state)
            else {
                continue;
            };
            history.changes += 1;
            self.close_look_until = now + CLOSE_LOOK;
            let labels = &self.labels.ports[index];
            let (instance, iface) = (self.target.name.as_str(), labels.iface.as_str());
            let worse = matches!(state, PortState::FAULTY)
                || matches!(previous, PortState::SLAVE) && state != PortState::PASSIVE;
            let severity = if worse { Severity::Warning } else { Severity::Info };
            let subject = Subject::Port { instance, port: &labels.number, iface };
            let message = format!(
                "port {} ({iface}) of {instance} is {}, was {}",
                labels.number,
                state.name(),
                previous.name()
            );
            let attributes = [
                ("instance", instance),
                ("port", labels.number.as_str()),
                ("iface", iface),
                ("state", state.name()),
                ("previous", previous.name()),
            ];
            let kind = "ptp.port_state_changed";
            self.events.push(event(kind, severity, subject, message, &attributes));
        }
        self.follower = self.follower.min(self.ports.len().saturating_sub(1));
        self.look_at_grandmaster();
    }

    /// The state of the port that follows, or did last.
    fn follower_state(&self) -> Option<PortState> {
        self.readings.ports.get(self.follower)?.state()
    }

    /// The name of the network device that it follows by.
    #[must_use]
    pub(crate) fn iface(&self) -> &str {
        self.labels.ports.get(self.follower).map_or("", |labels| &labels.iface)
    }

    /// The PHC that it steers.
    #[must_use]
    pub(crate) fn phc(&self) -> Option<i32> {
        self.labels.ports.get(self.follower)?.phc
    }

    fn is_software(&self) -> bool {
        let port = self.readings.ports.get(self.follower);
        match port.map_or(Timestamping::Unknown, |port| port.timestamping) {
            Timestamping::Software => true,
            Timestamping::Unknown => {
                let phc = port.and_then(|port| port.phc);
                self.target.software.unwrap_or(phc.is_some_and(|phc| phc < 0))
            }
            _ => false,
        }
    }

    /// Whether what is told of the parent is now: it stays as it was when the master is lost.
    #[must_use]
    pub(crate) fn is_parent_current(&self) -> bool {
        self.down.is_none() && (self.readings.following().is_some() || self.own_class().is_some())
    }

    /// The clockClass as a grandmaster; `None` while it follows, or would.
    fn own_class(&self) -> Option<u8> {
        if self.readings.status?.gm_present || self.readings.following().is_some() {
            return None;
        }
        let mut ports = self.readings.ports.iter();
        let is_master = ports.any(|port| port.state() == Some(PortState::MASTER));
        self.readings.parent.filter(|_| is_master).map(|parent| parent.grandmaster_class)
    }

    /// The clockClass, if it is meant to be a grandmaster.
    #[must_use]
    pub(crate) fn grandmaster_class(&self) -> Option<u8> {
        let slave_only = self.readings.default.is_some_and(|default| default.slave_only);
        self.own_class().filter(|class| *class < DEFAULT_CLASS || !(self.followed || slave_only))
    }

    fn look_at_grandmaster(&mut self) {
        if !self.is_parent_current() {
            return;
        }
        let Some(parent) = self.readings.parent else { return };
        let instance = self.target.name.as_str();
        if let Some(previous) = self.grandmaster.replace(parent.grandmaster)
            && previous != parent.grandmaster
        {
            let (gm, previous) = (parent.grandmaster.to_string(), previous.to_string());
            let message = format!("grandmaster of {instance} is {gm}, was {previous}");
            let attributes =
                [("instance", instance), ("grandmaster", &gm), ("previous", &previous)];
            let subject = Subject::Instance(instance);
            let kind = "ptp.grandmaster_changed";
            self.events.push(event(kind, Severity::Info, subject, message, &attributes));
        }
        let class = parent.grandmaster_class;
        if let Some(previous) = self.clock_class.replace(class)
            && previous != class
        {
            let severity = if matches!(class, 6 | 13) { Severity::Info } else { Severity::Warning };
            let (class, previous) = (class.to_string(), previous.to_string());
            let message = format!("clock class of {instance} is {class}, was {previous}");
            let attributes =
                [("instance", instance), ("clock_class", &class), ("previous", &previous)];
            let subject = Subject::Instance(instance);
            let kind = "ptp.clock_class_changed";
            self.events.push(event(kind, severity, subject, message, &attributes));
        }
    }

    pub(super) fn judge(&mut self, now: Duration) {
        let condition = self.condition(now);
        let Some(change) = self.machine.step(now, condition) else { return };
        self.close_look_until = now + CLOSE_LOOK;
        let Change { state, previous, reason } = change;
        let (instance, iface) = (self.target.name.as_str(), self.iface());
        tracing::info!(
            instance,
            iface,
            state = state.name(),
            previous = name(previous),
            reason,
            "ptp clock has another state"
        );
        let current = self.readings.status.filter(|_| self.is_offset_current(now));
        let offset = current.map(|status| status.offset_ns.to_string());
        let mut attributes = vec![
            ("instance", instance),
            ("iface", iface),
            ("state", state.name()),
            ("previous", name(previous)),
        ];
        attributes.extend(offset.as_deref().map(|offset| ("offset_ns", offset)));
        attributes.extend([("profile", self.labels.profile.as_str()), ("reason", reason)]);
        let message = format!("{instance} is {}, was {}: {reason}", state.name(), name(previous));
        let subject = Subject::Instance(instance);
        let event = event("ptp.state_changed", severity(state), subject, message, &attributes);
        self.events.push(event);
    }

    /// Whether the offset of the last poll is worth telling.
    #[must_use]
    pub(crate) fn is_offset_current(&self, now: Duration) -> bool {
        self.down.is_none() && self.readings.following().is_some() && self.freshness.is_current(now)
    }

    /// Whether the path delay of the last poll is worth telling.
    #[must_use]
    pub(crate) fn is_delay_current(&self, now: Duration) -> bool {
        let told = self.readings.ports.get(self.follower).is_some_and(|port| port.stats.is_some());
        self.is_offset_current(now) && (self.delay_freshness.is_fresh(now) || !told)
    }

    fn condition(&mut self, now: Duration) -> Condition {
        if let Some(down) = self.down {
            let unknown = self.machine.state().is_none() && self.domain.is_searching();
            let pending = self.found || unknown;
            return if pending { Condition::Pending } else { Condition::Lost(down.name()) };
        }
        if let Some(class) = self.grandmaster_class() {
            return Condition::Grandmaster { class };
        }
        let follower = self.readings.ports.get(self.follower);
        let syncs = follower.and_then(|port| port.stats.map(|stats| stats.received[0]));
        let moved = self.freshness.observe(
            now,
            Seen {
                ingress_ns: self.readings.status.map(|status| status.ingress_ns),
                syncs,
                log_sync: follower.and_then(|port| port.data.map(|data| data.log_sync)),
            },
        );
        let (responses, log_delay) = follower.map_or((None, None), Port::delay_responses);
        let delays = Seen { ingress_ns: None, syncs: responses, log_sync: log_delay };
        self.delay_freshness.observe(now, delays);
        let offset = self.readings.status.map(|status| status.offset_ns as f64);
        self.sample = offset.filter(|_| moved);
        match self.follower_state() {
            None => Condition::Pending,
            Some(PortState::SLAVE) => {
                let class = self.readings.parent.map(|parent| parent.grandmaster_class);
                let accepted = &self.machine.limits().clock_classes;
                let refused = class.filter(|c| !accepted.is_empty() && !accepted.contains(c));
                if refused.is_some() {
                    Condition::Lost("clock_class")
                } else if self.freshness.is_fresh(now) {
                    Condition::Tracking { sample: self.sample }
                } else if self.freshness.is_pending(now) {
                    Condition::Pending
                } else {
                    Condition::Lost("starved")
                }
            }
            Some(state) => Condition::Lost(state.name()),
        }
    }

    /// Whether a port is SLAVE and no Sync comes.
    #[must_use]
    pub(crate) fn is_starved(&self, now: Duration) -> bool {
        self.follower_state() == Some(PortState::SLAVE)
            && !self.freshness.is_fresh(now)
            && !self.freshness.is_pending(now)
    }

    /// TAI minus UTC as its grandmaster announces it.
    #[must_use]
    pub(crate) fn utc_offset(&self) -> UtcOffset {
        let time = self.readings.time.filter(|_| self.is_parent_current());
        let valid = time.filter(|time| time.ptp_timescale && time.utc_offset_valid);
        UtcOffset(valid.map(|time| time.utc_offset.into()))
    }
}
