//! GPUs through NVML, the kernel's log and the PCI bus.
//!
//! A call of NVML may take any time or never come back, so the tick makes none: each GPU has a
//! thread of its own ([`worker`]), opening and closing has another one ([`control`]). A tick
//! asks the threads one after the other, waits for them for a part of its interval, and writes
//! what is there. What is late is absent; a GPU whose call has not come back for ten seconds is
//! wedged, until it does. [`driver`] decides whether NVML can be used, [`fleet`] which GPUs there
//! are and how they are, `reader` what is read; `supervise` holds them together.

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
mod supervise;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::control::DriverInfo;
use self::driver::{Driver, Reason};
use self::events::{Events, PciGpu};
use self::fleet::Fleet;
use self::meter::Tier;
use self::nvml::{Code, Handle};
use self::reader::Context;
use super::pods::Attribution;
use super::{CollectError, Collector, Paths};
use crate::sample::{Batch, Metric};

/// What is not here where there is no GPU.
const ABSENT: &str = "NVML with GPUs, or an NVIDIA GPU on the PCI bus,";

/// The time since some moment. Tests have their own.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

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
    /// GPUs were enumerated, and are not yet told of each other.
    introduce: bool,
    /// Why workers' GPUs do not say who they are.
    refused: Vec<Option<Code>>,
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
            introduce: false,
            refused: Vec::new(),
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
        self.tell_refused(batch);
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
            publish::refused(batch, &self.fleet, &self.pci, &self.refused);
        }
        publish::tier(batch, &self.fleet, &self.attribution, tier);
        Ok(())
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
