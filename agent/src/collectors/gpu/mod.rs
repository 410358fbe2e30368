//! GPUs through NVML, the kernel's log and the PCI bus.
//!
//! A call of NVML may take any time or never come back, so the tick makes none: each GPU has a
//! thread of its own ([`worker`]), opening and closing has another one ([`control`]). A tick
//! asks the threads one after the other, waits for them for a part of its interval, and writes
//! what is there. What is late is absent; a GPU whose call has not come back for ten seconds is
//! wedged, until it does. [`driver`] decides whether NVML can be used, [`fleet`] which GPUs there
//! are and how they are, `reader` what is read.

mod control;
mod driver;
mod events;
mod fields;
mod fleet;
mod identity;
mod meter;
pub mod metrics;
mod nvml;
mod publish;
mod reader;
mod rows;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::control::DriverInfo;
use self::driver::{Change, Driver, Reason};
use self::events::{Events, Hint, PciGpu};
use self::fleet::{Fleet, Happening};
use self::meter::Tier;
use self::nvml::Handle;
use self::reader::Context;
use self::worker::Worker;
use super::pods::Attribution;
use super::{CollectError, Collector, Paths};
use crate::sample::{Batch, Metric};

/// What is not here where there is no GPU.
const ABSENT: &str = "NVML with GPUs, or an NVIDIA GPU on the PCI bus,";

/// The time since some moment. Tests have their own.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// More GPUs than any node has: an answer beyond it is not believed.
const MOST_GPUS: u32 = 64;
/// How long one GPU may take before the next one is asked beside it. One after the other they do
/// not wait for each other at the driver's lock.
const PATIENCE: Duration = Duration::from_millis(20);
/// All GPUs are looked at anew so often.
const ENUMERATION: Duration = Duration::from_secs(300);

/// The `[collectors.gpu]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpuConfig {
    pub enabled: bool,
    /// Utilization, clocks, power, temperature, throttling.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Memory, ECC, links, GPM.
    #[serde(with = "humantime_serde")]
    pub medium_interval: Duration,
    /// Processes, limits, details.
    #[serde(with = "humantime_serde")]
    pub slow_interval: Duration,
    /// The list of graphics processes, which drivers take milliseconds for.
    pub graphics_processes: bool,
    /// Utilization per process.
    pub process_utilization: bool,
    /// While this file exists, no GPU is held: a reset or a driver unload can go ahead.
    pub release_file: PathBuf,
}

impl Default for GpuConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(1),
            medium_interval: Duration::from_secs(10),
            slow_interval: Duration::from_secs(60),
            graphics_processes: false,
            process_utilization: false,
            release_file: "/run/sextant/release-gpus".into(),
        }
    }
}

/// Reads GPUs.
pub struct Gpu {
    config: GpuConfig,
    clock: Clock,
    context: Arc<Context>,
    attribution: Arc<Attribution>,
    driver: Driver,
    fleet: Fleet,
    events: Events,
    pci: Vec<PciGpu>,
    /// When the bus was looked at last.
    pci_read: Option<Duration>,
    /// GPUs on the bus that the library was opened anew for.
    sought: Vec<String>,
    /// Workers that are to look who is there.
    probes: Vec<bool>,
    /// Workers that began this tick and were not done at once; kept for its memory.
    begun: Vec<bool>,
    enumerated: Duration,
    /// The fleet's generation that aliases were told of.
    told: u64,
    /// What events are listened to of.
    attached: Vec<Handle>,
    /// What was last told of the driver.
    reason: Option<Reason>,
    was_up: bool,
    told_info: DriverInfo,
}

impl Gpu {
    /// Reads the GPUs that `paths.nvml` knows; `pods` says whose they are.
    #[must_use]
    pub fn new(config: &GpuConfig, paths: &Paths, pods: &Arc<Attribution>) -> Self {
        let start = Instant::now();
        Self::with_clock(config, paths, pods, Arc::new(move || start.elapsed()))
    }

    /// As [`Gpu::new`], with a time that retries, pauses and time-outs are measured by.
    #[must_use]
    pub fn with_clock(
        config: &GpuConfig,
        paths: &Paths,
        pods: &Arc<Attribution>,
        clock: Clock,
    ) -> Self {
        Self {
            config: config.clone(),
            context: Arc::new(Context::new(config, paths, pods)),
            attribution: Arc::clone(pods),
            driver: Driver::new(paths.nvml.clone()),
            fleet: Fleet::default(),
            events: Events::new(paths, pods),
            pci: Vec::new(),
            pci_read: None,
            sought: Vec::new(),
            probes: Vec::new(),
            begun: Vec::new(),
            enumerated: Duration::ZERO,
            told: 0,
            attached: Vec::new(),
            reason: None,
            was_up: false,
            told_info: DriverInfo::default(),
            clock,
        }
    }

    fn fast(&mut self, batch: &mut Batch) -> Result<(), CollectError> {
        let started = Instant::now();
        let now = (self.clock)();
        let patience = self.config.interval / 4;
        if self.pci_read.is_none() || self.driver.library().is_none() && self.pci_is_due(now) {
            self.read_pci(now);
        }
        self.heed_hints();
        self.step(now, patience);
        self.read(Tier::Fast, now, started + self.config.interval / 2);
        self.tell_driver(batch);
        self.refresh(now, batch);
        self.heed_workers();
        self.tell_inventory();
        if self.is_absent() {
            return Err(CollectError::Absent(ABSENT.into()));
        }
        publish::node(batch, &self.driver, &self.fleet, &self.pci);
        publish::tier(batch, &self.fleet, &self.attribution, Tier::Fast);
        self.events.collect(batch);
        Ok(())
    }

    fn slower(&mut self, tier: Tier, batch: &mut Batch) -> Result<(), CollectError> {
        let started = Instant::now();
        let now = (self.clock)();
        if self.is_absent() {
            return Err(CollectError::Absent(ABSENT.into()));
        }
        match tier {
            Tier::Slow => self.read_pci(now),
            _ => {
                self.driver.count();
                self.seek();
            }
        }
        self.read(tier, now, started + self.config.interval / 4);
        self.refresh(now, batch);
        if tier == Tier::Medium {
            publish::inventory(batch, &self.driver, &self.fleet, &self.pci);
        }
        publish::tier(batch, &self.fleet, &self.attribution, tier);
        Ok(())
    }

    /// Takes over how the GPUs are, and tells what happened to them.
    fn refresh(&mut self, now: Duration, batch: &mut Batch) {
        let mut restarted = false;
        self.fleet.refresh(now, self.driver.is_released(), |gpu, happening| {
            restarted |= happening == Happening::Restarted;
            batch.event(publish::event(gpu, &happening));
        });
        if restarted {
            // A driver that was loaded anew may have other GPUs.
            self.probes.fill(true);
            self.driver.count();
        }
    }

    /// Looks again for GPUs that have not said who they are.
    fn seek(&mut self) {
        for (worker, probe) in self.fleet.workers.iter().zip(&mut self.probes) {
            *probe |= worker.board().found.is_none();
        }
    }

    /// Moves the driver on, and the workers with it. Opening and counting follow each other in
    /// one tick if they are quick.
    fn step(&mut self, now: Duration, patience: Duration) {
        let wanted = !self.config.release_file.exists();
        for _ in 0..3 {
            match self.driver.advance(now, wanted, patience) {
                Some(Change::Opened) => {}
                Some(Change::Leave) => {
                    self.attached.clear();
                    if !self.events.detach() {
                        tracing::warn!("the driver does not let go of the event listener");
                    }
                    self.fleet.workers.iter().for_each(Worker::leave);
                    self.probes.fill(false);
                    return;
                }
                Some(Change::Counted(count)) => {
                    self.counted(count, now);
                    return;
                }
                None => return,
            }
        }
    }

    /// Has everybody looked at anew when there are more or fewer, or it is time.
    fn counted(&mut self, count: u32, now: Duration) {
        let count = count.min(MOST_GPUS);
        let before = self.probes.len();
        let wanted = usize::try_from(count).unwrap_or(0);
        for index in u32::try_from(self.fleet.workers.len()).unwrap_or(count)..count {
            match Worker::start(index, &self.context, &self.clock) {
                Ok(worker) => self.fleet.workers.push(worker),
                Err(error) => {
                    tracing::warn!(%error, index, "no thread to read a GPU in");
                    break;
                }
            }
        }
        // Who is beyond the count lets go; the thread waits for a GPU to come back.
        self.fleet.workers.iter().skip(wanted).for_each(Worker::leave);
        let wanted = wanted.min(self.fleet.workers.len());
        let again = now.saturating_sub(self.enumerated) >= ENUMERATION;
        self.probes.resize(wanted, true);
        if before != wanted || again || self.attached.is_empty() {
            self.enumerate(now);
        }
    }

    fn enumerate(&mut self, now: Duration) {
        self.enumerated = now;
        self.probes.fill(true);
    }

    /// Asks the workers, one after the other, and waits for them until `deadline`.
    fn read(&mut self, tier: Tier, now: Duration, deadline: Instant) {
        let Some(library) = self.driver.library() else { return };
        self.begun.clear();
        for (worker, probe) in self.fleet.workers.iter().zip(&mut self.probes) {
            let library = std::mem::take(probe).then_some(library);
            let begins = worker.order(tier, library, now);
            let done = begins && worker.wait(deadline.min(Instant::now() + PATIENCE));
            self.begun.push(begins && !done);
        }
        for (worker, begun) in self.fleet.workers.iter().zip(&self.begun) {
            if *begun {
                worker.wait(deadline);
            }
        }
    }

    fn pci_is_due(&self, now: Duration) -> bool {
        self.pci_read.is_none_or(|read| now.saturating_sub(read) >= Duration::from_secs(10))
    }

    /// Looks at the bus. A GPU there that the library does not know is a reason to open the
    /// library anew, once.
    fn read_pci(&mut self, now: Duration) {
        self.pci_read = Some(now);
        self.pci.clear();
        self.pci.extend_from_slice(self.events.pci_gpus());
        if self.driver.library().is_none() || self.attached.is_empty() {
            return;
        }
        let unseen: Vec<String> =
            publish::unseen(&self.fleet, &self.pci).map(|gpu| gpu.bus_id.clone()).collect();
        let is_new = |bus_id: &String| !self.sought.contains(bus_id);
        if unseen.iter().any(is_new) && self.driver.reopen() {
            tracing::info!(?unseen, "NVML is opened anew for GPUs that it does not know");
        }
        self.sought = unseen;
    }

    fn heed_hints(&mut self) {
        for hint in self.events.hints() {
            match hint {
                Hint::Lost(pci) | Hint::RecoveryAction(pci) => {
                    let gpu = self.fleet.gpus.iter().find(|gpu| *gpu.identity.pci == *pci);
                    if let Some(probe) = gpu.and_then(|gpu| self.probes.get_mut(gpu.worker)) {
                        *probe = true;
                    }
                }
                Hint::Reenumerate => {
                    self.probes.fill(true);
                    self.driver.count();
                }
            }
        }
    }

    /// What workers found out that is not about one GPU alone.
    fn heed_workers(&mut self) {
        for worker in &self.fleet.workers {
            if let Some(code) = worker.board().reopen.take()
                && self.driver.library().is_some()
                && self.driver.reopen()
            {
                tracing::info!(%code, "NVML is opened anew");
            }
        }
    }

    /// Tells when the driver can be used and when it no longer can.
    fn tell_driver(&mut self, batch: &mut Batch) {
        let reason = self.driver.reason();
        let up = reason.is_none() && self.driver.library().is_some();
        if up && (!self.was_up || self.told_info != self.driver.info) {
            self.told_info = self.driver.info.clone();
            tracing::info!(versions = ?self.told_info.labels, "NVML can be used");
            batch.event(publish::driver_event(&self.driver, None));
        }
        // Nobody misses a driver where there are no GPUs.
        let known = self.was_up || !self.is_absent();
        if let Some(reason) = reason.filter(|_| known && self.reason != reason) {
            tracing::warn!(reason = reason.name(), "NVML cannot be used");
            batch.event(publish::driver_event(&self.driver, Some(reason)));
        }
        if up || reason.is_some() {
            (self.was_up, self.reason) = (up, reason);
        }
    }

    /// Tells those who ask for GPUs by other names, and listens to the events of those that are
    /// there now.
    fn tell_inventory(&mut self) {
        if self.told != self.fleet.generation {
            self.told = self.fleet.generation;
            self.attribution.set_aliases("gpu", self.fleet.aliases());
        }
        let Some(library) = self.driver.library() else { return };
        let handles = || self.fleet.handles().map(|(_, handle)| handle);
        if self.probes.contains(&true) || handles().eq(self.attached.iter().copied()) {
            return;
        }
        self.attached = handles().collect();
        let listened = self.fleet.handles().map(|(gpu, handle)| {
            (Arc::clone(&gpu.identity.uuid), Arc::clone(&gpu.identity.pci), handle)
        });
        self.events.attach(library, &listened.collect::<Vec<_>>());
    }

    /// There is no NVML, and nothing that it would be missed for.
    fn is_absent(&self) -> bool {
        let reason = self.driver.reason();
        let gone = reason.is_some_and(|r| !matches!(r, Reason::Released | Reason::Wedged));
        let expected = publish::unseen(&self.fleet, &self.pci).next().is_some();
        gone && self.fleet.gpus.is_empty() && !expected
    }
}

impl Collector for Gpu {
    fn name(&self) -> &'static str {
        "gpu"
    }

    fn metrics(&self) -> &'static [&'static Metric] {
        metrics::ALL
    }

    fn tiers(&self) -> Vec<Duration> {
        vec![self.config.interval, self.config.medium_interval, self.config.slow_interval]
    }

    fn collect(&mut self, tier: usize, batch: &mut Batch) -> Result<(), CollectError> {
        match tier {
            0 => self.fast(batch),
            1 => self.slower(Tier::Medium, batch),
            _ => self.slower(Tier::Slow, batch),
        }
    }
}
