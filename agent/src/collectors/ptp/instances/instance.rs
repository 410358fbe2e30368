//! One ptp4l: asked, judged, and told of.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use sextant_proto::v1::{Event, Severity};

use super::discovery::Target;
use super::domain::Domain;
use super::events::{Subject, event, name, severity};
use super::labels::Labels;
use super::readings::{Port, Readings};
use crate::collectors::ptp::clocks::{Clocks, UtcOffset};
use crate::collectors::ptp::config::PtpConfig;
use crate::collectors::ptp::management::{
    Client, ClockIdentity, PortState, ReplyTo, RequestError, Timestamping,
};
use crate::collectors::ptp::state::{
    Change, Condition, Freshness, Limits, Machine, Seen, State, profiles,
};

/// Polls without an answer that make a ptp4l unreachable. A dead one is at once.
const MOST_FAILURES: u32 = 3;
/// How long after a change the next one is looked for closely.
const CLOSE_LOOK: Duration = Duration::from_secs(5);
/// Longer holdovers are not looked at closely before their last seconds.
const CLOSE_HOLDOVER: Duration = Duration::from_secs(10);
/// The clockClass of a clock that has no reference: not declared to be a grandmaster.
const DEFAULT_CLASS: u8 = 248;
/// A wedged ptp4l is asked no more often: requests wait in its queue.
const WEDGED_PAUSE: Duration = Duration::from_secs(5);

/// Why it does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Down {
    Absent,
    Dead,
    NoAnswer,
    WrongDomain,
    Malformed,
}

impl Down {
    /// As the label `reason` has it.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Dead => "dead",
            Self::NoAnswer => "no_answer",
            Self::WrongDomain => "wrong_domain",
            Self::Malformed => "malformed",
        }
    }
}

/// What is known of a port between polls, in the order of [`Readings::ports`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PortHistory {
    pub(crate) state: Option<PortState>,
    pub(crate) changes: u64,
}

/// An instance.
pub(crate) struct Instance {
    pub(crate) target: Target,
    pub(crate) client: Client,
    pub(crate) readings: Readings,
    pub(crate) machine: Machine,
    pub(crate) freshness: Freshness,
    /// Of the path delay: answers to delay requests can be lost alone.
    pub(crate) delay_freshness: Freshness,
    pub(crate) labels: Labels,
    pub(crate) ports: Vec<PortHistory>,
    /// `None` while it answers.
    pub(crate) down: Option<Down>,
    pub(crate) domain: Domain,
    /// When it was not found any more.
    pub(crate) missing_since: Option<Duration>,
    socket: usize,
    inode: Option<u64>,
    failures: u32,
    /// It was told to be found, and not to be lost since.
    found: bool,
    /// It has followed a master: it is expected to.
    followed: bool,
    /// The port that follows, or did last: an index.
    follower: usize,
    sample: Option<f64>,
    polled_at: Option<Duration>,
    slow_at: Option<Duration>,
    close_look_until: Duration,
    grandmaster: Option<ClockIdentity>,
    clock_class: Option<u8>,
    limits: Limits,
    /// Which limits the machine has.
    limits_for_software: Option<bool>,
    events: Vec<Event>,
}

impl Instance {
    #[must_use]
    pub(crate) fn new(target: Target, config: &PtpConfig, sys: &Path) -> Self {
        let reply_to = match config.reply_dir.as_os_str().is_empty() {
            true => ReplyTo::Abstract,
            false => ReplyTo::Directory(config.reply_dir.clone()),
        };
        let path = target.sockets.first().map_or(Path::new(""), |path| path.as_path());
        let client = Client::new(path, reply_to, config.request_timeout);
        let limits = limits_of(&target, config);
        let profile = target.profile.clone().unwrap_or_else(|| config.profile.clone());
        Self {
            domain: Domain::new(&target),
            labels: Labels::new(&target, profile, sys),
            client,
            readings: Readings::default(),
            machine: Machine::new(limits.clone()),
            freshness: Freshness::default(),
            delay_freshness: Freshness::default(),
            ports: Vec::new(),
            down: Some(Down::Absent),
            missing_since: None,
            socket: 0,
            inode: None,
            failures: 0,
            found: false,
            followed: false,
            follower: 0,
            sample: None,
            polled_at: None,
            slow_at: None,
            close_look_until: Duration::ZERO,
            grandmaster: None,
            clock_class: None,
            limits,
            limits_for_software: None,
            events: Vec::new(),
            target,
        }
    }

    /// It is found again, perhaps elsewhere or with another configuration.
    pub(crate) fn retarget(&mut self, target: Target, config: &PtpConfig, sys: &Path) {
        self.missing_since = None;
        if self.target == target {
            return;
        }
        self.limits = limits_of(&target, config);
        self.limits_for_software = None;
        if self.target.domain != target.domain || self.target.domain_fixed != target.domain_fixed {
            self.domain = Domain::new(&target);
        }
        let profile = target.profile.clone().unwrap_or_else(|| config.profile.clone());
        self.labels = Labels::new(&target, profile, sys);
        self.socket = 0;
        if let Some(path) = target.sockets.first() {
            self.client.set_path(path);
        }
        self.target = target;
        self.slow_at = None;
    }

    /// Asks and judges. `now` is of a clock that does not jump.
    pub(crate) fn poll(&mut self, now: Duration, slow_interval: Duration, clocks: &Clocks) {
        if !self.is_left_alone(now) {
            self.polled_at = Some(now);
            self.notice_restart();
            match self.ask(now, slow_interval) {
                Ok(()) => self.answered(now),
                Err(error) => self.failed(&error),
            }
        }
        self.look_at_ports(now, clocks);
        self.judge(now);
    }

    /// A wedged ptp4l is not asked at every tick.
    fn is_left_alone(&self, now: Duration) -> bool {
        let recent = self.polled_at.is_some_and(|at| now.saturating_sub(at) < WEDGED_PAUSE);
        let wedged = matches!(self.down, Some(Down::NoAnswer | Down::WrongDomain));
        recent && wedged && self.failures >= MOST_FAILURES && !self.domain.is_searching()
    }

    /// Asks an instance that may change soon; nothing otherwise. `least` is how long ago the
    /// last poll must be.
    pub(crate) fn poll_closely(&mut self, now: Duration, least: Duration, clocks: &Clocks) {
        let recent = self.polled_at.is_some_and(|at| now.saturating_sub(at) < least);
        if recent || !self.is_unsettled(now) {
            return;
        }
        if self.down.is_none() {
            self.polled_at = Some(now);
            match self.readings.poll(&mut self.client) {
                Ok(()) => self.answered(now),
                Err(error) => self.failed(&error),
            }
            self.look_at_ports(now, clocks);
        }
        self.judge(now);
    }

    fn is_unsettled(&self, now: Duration) -> bool {
        if now < self.close_look_until {
            return true;
        }
        match self.machine.state() {
            Some(State::Holdover) => {
                self.machine.holdover_left(now).is_some_and(|left| left < CLOSE_HOLDOVER)
            }
            Some(State::Locked) => self.machine.is_unsettled() || self.sample.is_none(),
            _ => self.machine.is_unsettled() && self.down.is_none(),
        }
    }

    /// A socket that was made anew is another ptp4l's.
    fn notice_restart(&mut self) {
        let inode = std::fs::metadata(self.client.path()).ok().map(|file| file.ino());
        if inode.is_some() && self.inode.is_some_and(|known| Some(known) != inode) {
            self.client.look_again();
            self.slow_at = None;
        }
        self.inode = inode.or(self.inode);
    }

    fn ask(&mut self, now: Duration, slow_interval: Duration) -> Result<(), RequestError> {
        let transport = self.target.transport_specific;
        self.domain.find(&mut self.client, transport, now)?;
        let due = self.slow_at.is_none_or(|at| now.saturating_sub(at) >= slow_interval);
        if due || self.down.is_some() {
            if self.down.is_some() {
                self.readings.clear();
            }
            self.readings.poll_slow(&mut self.client)?;
            self.slow_at = Some(now);
        }
        self.readings.poll(&mut self.client)
    }

    fn answered(&mut self, now: Duration) {
        self.failures = 0;
        self.down = None;
        if !std::mem::replace(&mut self.found, true) {
            tracing::info!(
                instance = self.target.name,
                socket = %self.client.path().display(),
                "ptp4l answers"
            );
            let message = format!("ptp4l {} answers", self.target.name);
            let subject = Subject::Instance(&self.target.name);
            let socket = self.client.path().to_string_lossy();
            let attributes = [("instance", self.target.name.as_str()), ("socket", &socket)];
            let kind = "ptp.instance_found";
            self.events.push(event(kind, Severity::Info, subject, message, &attributes));
            self.close_look_until = now + CLOSE_LOOK;
        }
    }

    fn failed(&mut self, error: &RequestError) {
        self.failures = self.failures.saturating_add(1);
        let down = match error {
            RequestError::Absent => Down::Absent,
            RequestError::Dead => Down::Dead,
            RequestError::Malformed(_) | RequestError::Reply(_) => Down::Malformed,
            RequestError::Timeout | RequestError::Socket(_) if self.domain.is_wrong() => {
                Down::WrongDomain
            }
            RequestError::Timeout | RequestError::Socket(_) => Down::NoAnswer,
        };
        self.down = Some(down);
        self.sample = None;
        if self.failures >= MOST_FAILURES && down == Down::NoAnswer {
            self.domain.doubt();
        }
        let gone = matches!(down, Down::Absent | Down::Dead);
        if (gone || self.failures >= MOST_FAILURES) && std::mem::take(&mut self.found) {
            tracing::warn!(
                instance = self.target.name,
                socket = %self.client.path().display(),
                reason = down.name(),
                error = sextant_proto::chain::chain(error),
                "ptp4l does not answer any more"
            );
            let message = format!("ptp4l {} does not answer: {error}", self.target.name);
            let attributes = [("instance", self.target.name.as_str()), ("reason", down.name())];
            let subject = Subject::Instance(&self.target.name);
            let kind = "ptp.instance_lost";
            self.events.push(event(kind, Severity::Warning, subject, message, &attributes));
        }
        // Another of its sockets may be alive: the read-only one may be a former version's.
        let denied = matches!(error, RequestError::Socket(_));
        if (gone || denied) && self.target.sockets.len() > 1 {
            self.socket = (self.socket + 1) % self.target.sockets.len();
            self.client.set_path(&self.target.sockets[self.socket]);
            self.inode = None;
        }
    }

    /// Whether it has stopped to answer for good.
    #[must_use]
    pub(crate) fn is_lost(&self) -> bool {
        self.down.is_some() && !self.found
    }

    fn look_at_ports(&mut self, now: Duration, clocks: &Clocks) {
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

    fn judge(&mut self, now: Duration) {
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

    /// What happened since this was last called.
    pub(crate) fn take_events(&mut self) -> std::vec::Drain<'_, Event> {
        self.events.drain(..)
    }
}

/// The limits of its profile, or of the default where it names one that has none.
fn limits_of(target: &Target, config: &PtpConfig) -> Limits {
    let of = |name: &str| profiles::limits(&config.profiles, name);
    let own = target.profile.as_deref().and_then(of);
    own.or_else(|| of(&config.profile)).unwrap_or_else(Limits::usual)
}
