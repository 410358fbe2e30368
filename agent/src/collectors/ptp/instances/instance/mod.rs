//! One ptp4l: where it is, whether it answers, and what it was asked last. What follows from its
//! answers is in [`judge`].

mod judge;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use sextant_proto::v1::{Event, Severity};

use super::discovery::Target;
use super::domain::Domain;
use super::events::{Subject, event};
use super::labels::Labels;
use super::readings::Readings;
use crate::collectors::ptp::clocks::Clocks;
use crate::collectors::ptp::config::PtpConfig;
use crate::collectors::ptp::management::{Client, ClockIdentity, PortState, ReplyTo, RequestError};
use crate::collectors::ptp::state::{Freshness, Limits, Machine, State, profiles};

/// Polls without an answer that make a ptp4l unreachable. A dead one is at once.
const MOST_FAILURES: u32 = 3;
/// How long after a change the next one is looked for closely.
const CLOSE_LOOK: Duration = Duration::from_secs(5);
/// Longer holdovers are not looked at closely before their last seconds.
const CLOSE_HOLDOVER: Duration = Duration::from_secs(10);
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

    /// Asks and judges. `now` is of a clock that does not jump; if it `is_late`, one that did not
    /// answer last time is not asked.
    pub(crate) fn poll(
        &mut self,
        now: Duration,
        slow_interval: Duration,
        clocks: &Clocks,
        is_late: bool,
    ) {
        if !self.is_left_alone(now, is_late) {
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
    fn is_left_alone(&self, now: Duration, is_late: bool) -> bool {
        if is_late && self.polled_at.is_some() && self.down.is_some() {
            return true;
        }
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

    /// A socket that was made anew is another ptp4l's, perhaps of another version.
    fn notice_restart(&mut self) {
        let inode = std::fs::metadata(self.client.path()).ok().map(|file| file.ino());
        if inode.is_some() && self.inode.is_some_and(|known| Some(known) != inode) {
            self.client.look_again();
            self.readings.clear();
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
