//! The ptp4l's of the node: found, asked and judged.

mod config_file;
mod discovery;
mod domain;
mod emit;
mod events;
mod instance;
mod labels;
mod processes;
mod readings;

use std::time::{Duration, Instant};

use discovery::Discovery;
pub(super) use events::{Subject, event, name, severity};
use instance::Instance;
use processes::Processes;

use super::clocks::{Clocks, Daemons, Phc2sysSource, UtcOffset};
use super::config::PtpConfig;
use super::state::State;
use crate::collectors::Paths;
use crate::sample::Batch;

/// An instance that is not found any more is told to be down for so long.
const LINGER: Duration = Duration::from_secs(600);
const MOST_INSTANCES: usize = 32;
/// After this long, those that did not answer last time are not waited for again in this tick:
/// they must not make the collector look stalled.
const LONGEST_POLL: Duration = Duration::from_secs(2);

/// All of them, and the processes beside them.
pub(crate) struct Instances {
    config: PtpConfig,
    paths: Paths,
    discovery: Discovery,
    processes: Processes,
    /// What sets the system clock by a PHC.
    phc2sys: Option<Phc2sysSource>,
    list: Vec<Instance>,
    looked_at: Option<Duration>,
    /// One was lost since it was last looked for them.
    lost: bool,
}

impl Instances {
    #[must_use]
    pub(crate) fn new(paths: &Paths, config: &PtpConfig) -> Self {
        Self {
            discovery: Discovery::new(config, paths),
            processes: Processes::new(&paths.proc),
            config: config.clone(),
            paths: paths.clone(),
            phc2sys: None,
            list: Vec::new(),
            looked_at: None,
            lost: false,
        }
    }

    /// Looks for them when it is time, and asks all. `now` is of a clock that does not jump.
    pub(crate) fn poll(&mut self, now: Duration, clocks: &Clocks) {
        let due =
            |at: Duration| now.saturating_sub(at) >= self.config.discovery_interval || self.lost;
        if self.looked_at.is_none_or(due) {
            self.refresh(now);
        }
        let start = Instant::now();
        for instance in &mut self.list {
            let was_lost = instance.is_lost();
            let is_late = start.elapsed() > LONGEST_POLL;
            instance.poll(now, self.config.slow_interval, clocks, is_late);
            self.lost |= instance.is_lost() && !was_lost;
        }
    }

    /// Asks those whose state may change soon.
    pub(crate) fn poll_closely(&mut self, now: Duration, clocks: &Clocks) {
        for instance in &mut self.list {
            instance.poll_closely(now, self.config.fast_interval / 2, clocks);
        }
    }

    fn refresh(&mut self, now: Duration) {
        self.processes.scan(now, std::mem::take(&mut self.lost) || self.looked_at.is_none());
        self.looked_at = Some(now);
        let mut phc2sys = self.processes.named("phc2sys");
        self.phc2sys = phc2sys.find_map(|process| Phc2sysSource::parse(&process.arguments));
        for instance in &mut self.list {
            instance.missing_since.get_or_insert(now);
        }
        for target in self.discovery.targets(&self.processes) {
            let known = self.list.iter().position(|known| known.target.name == target.name);
            match known {
                Some(at) => self.list[at].retarget(target, &self.config, &self.paths.sys),
                None if self.list.len() < MOST_INSTANCES => {
                    tracing::info!(
                        instance = target.name,
                        sockets = ?target.sockets,
                        config = target.config,
                        "ptp4l is looked after"
                    );
                    self.list.push(Instance::new(target, &self.config, &self.paths.sys));
                }
                None => {}
            }
        }
        self.list.retain(|instance| {
            let long = |since: Duration| now.saturating_sub(since) >= LINGER;
            !(instance.is_lost() && instance.missing_since.is_some_and(long))
        });
    }

    /// Sets the series of all, and of the processes.
    pub(crate) fn emit(&mut self, batch: &mut Batch, now: Duration, clocks: &Clocks) {
        for instance in &mut self.list {
            emit::instance(instance, batch, now, clocks);
        }
        self.processes.emit(batch);
    }

    /// Gives the batch what happened.
    pub(crate) fn tell(&mut self, batch: &mut Batch) {
        for instance in &mut self.list {
            for event in instance.take_events() {
                batch.event(event);
            }
        }
    }

    /// Whether none was ever found.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The states that are known.
    pub(crate) fn states(&self) -> impl Iterator<Item = State> {
        self.list.iter().filter_map(|instance| instance.machine.state())
    }

    /// What runs besides, as far as it matters to how clocks are read.
    #[must_use]
    pub(crate) fn daemons(&self, clocks: &Clocks) -> Daemons {
        let runs = |name| self.processes.named(name).next().is_some();
        let phc2sys_source = match &self.phc2sys {
            Some(Phc2sysSource::Phc(index)) => Some(*index),
            Some(Phc2sysSource::Netdev(name)) => clocks.phc_of_netdev(name),
            Some(Phc2sysSource::Automatic) => {
                let mut phcs = self.list.iter().filter_map(Instance::phc);
                phcs.next().filter(|first| phcs.all(|phc| phc == *first))
            }
            None => None,
        };
        let phc2sys = self.phc2sys.is_some();
        Daemons { phc2sys, phc2sys_source, ts2phc: runs("ts2phc"), gpsd: runs("gpsd") }
    }

    /// TAI minus UTC as the first that knows has it.
    #[must_use]
    pub(crate) fn utc_offset(&self) -> UtcOffset {
        let offsets = self.list.iter().map(Instance::utc_offset);
        offsets.into_iter().find(|utc| utc.0.is_some()).unwrap_or_default()
    }
}
