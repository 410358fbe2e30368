//! SR-IOV: physical and virtual functions from sysfs and rtnetlink, devlink and DPDK telemetry.
//!
//! The fast tier reads a physical function's link and counters and hears of links that change;
//! it takes none of the kernel's locks. The slow tier scans what there is, asks about virtual
//! functions as rarely as it must, and about everything else. A node without a device that can
//! have virtual functions costs a scan now and then and no socket.

mod backoff;
mod changes;
mod counters;
mod devlink;
mod dpdk;
pub mod ethtool;
mod inventory;
mod kernel;
mod link_events;
pub mod metrics;
mod netdev;
mod pf_values;
mod sysfs;
pub mod vf_info;
mod vf_reader;
mod vf_values;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sextant_proto::chain::chain;

use self::counters::Counters;
use self::devlink::Devlink;
use self::dpdk::Dpdk;
use self::ethtool::DriverCounters;
use self::inventory::Pf;
pub use self::kernel::Kernel;
use self::link_events::LinkWatch;
use self::sysfs::Reader;
use self::vf_reader::{ReadError, VfReader};
use super::pods::Attribution;
use super::{CollectError, Collector, Paths};
use crate::netlink::NetlinkError;
use crate::netlink::route::{LinkEvents, Route};
use crate::sample::{Batch, Metric};

/// However often virtual functions are read, what there is is looked for once in this time: with
/// 128 of them that is 900 system calls, several times what reading them takes.
const SCAN_INTERVAL: Duration = Duration::from_secs(15);

/// The `[collectors.sriov]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SriovConfig {
    pub enabled: bool,
    /// Link state and counters of PFs.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Configuration and counters of VFs, which the kernel tells under its routing lock.
    #[serde(with = "humantime_serde")]
    pub vf_interval: Duration,
    /// Applications that use DPDK, by their telemetry sockets.
    pub dpdk: bool,
}

impl Default for SriovConfig {
    fn default() -> Self {
        let [interval, vf_interval] = [1, 15].map(Duration::from_secs);
        Self { enabled: true, interval, vf_interval, dpdk: true }
    }
}

/// A physical function and what is kept for it.
struct Device {
    pf: Pf,
    counters: Option<Counters>,
    vfs: VfReader,
    driver_counters: DriverCounters,
    devlink: devlink::Reading,
}

/// Reads SR-IOV devices.
pub struct Sriov {
    config: SriovConfig,
    sys: PathBuf,
    pods: Arc<Attribution>,
    kernel: Kernel,
    reader: Reader,
    devices: Vec<Device>,
    /// A first scan was made: what comes after it is new.
    scanned: bool,
    /// Slow ticks until the next scan.
    until_scan: u32,
    links: LinkWatch,
    events: Option<LinkEvents>,
    route: Option<Route>,
    devlink: Option<Devlink>,
    /// Devices that devlink knows and that are no physical functions: NICs without virtual
    /// functions, and subfunctions.
    others: Vec<(String, devlink::Reading)>,
    dpdk: Dpdk,
}

impl Sriov {
    /// The live node's devices.
    #[must_use]
    pub fn new(config: &SriovConfig, paths: &Paths, pods: &Arc<Attribution>) -> Self {
        Self::with_kernel(config, paths, pods, Kernel::live())
    }

    /// The devices below `paths`, asking `kernel` for what is in no file.
    #[must_use]
    pub fn with_kernel(
        config: &SriovConfig,
        paths: &Paths,
        pods: &Arc<Attribution>,
        kernel: Kernel,
    ) -> Self {
        Self {
            config: config.clone(),
            sys: paths.sys.clone(),
            pods: Arc::clone(pods),
            kernel,
            reader: Reader::default(),
            devices: Vec::new(),
            scanned: false,
            until_scan: 0,
            links: LinkWatch::default(),
            events: None,
            route: None,
            devlink: None,
            others: Vec::new(),
            dpdk: Dpdk::new(paths, config.vf_interval),
        }
    }

    /// Reads again what there is, and tells what became different.
    fn scan(&mut self, batch: &mut Batch) {
        let mut before = std::mem::take(&mut self.devices);
        let known: Vec<Pf> = before.iter().map(|device| device.pf.clone()).collect();
        for pf in inventory::scan(&self.sys, &known, &mut self.reader) {
            let at = before.iter().position(|device| device.pf.pci == pf.pci);
            let Some(mut device) = at.map(|at| before.swap_remove(at)) else {
                if self.scanned {
                    changes::added(&pf, batch);
                }
                self.devices.push(Device {
                    counters: open(&pf),
                    vfs: VfReader::new(self.config.vf_interval),
                    driver_counters: DriverCounters::new(self.config.vf_interval),
                    devlink: devlink::Reading::new(self.config.vf_interval),
                    pf,
                });
                continue;
            };
            changes::within(&device.pf, &pf, batch);
            if device.counters.is_none() || device.pf.netdev != pf.netdev {
                device.counters = open(&pf);
            }
            if let Some(devlink) = self.devlink.as_mut().filter(|_| device.pf.driver != pf.driver) {
                devlink.forget(&pf.pci);
            }
            device.pf = pf;
            self.devices.push(device);
        }
        for device in before {
            changes::removed(&device.pf, batch);
            if let Some(devlink) = &mut self.devlink {
                devlink.forget(&device.pf.pci);
            }
        }
        self.scanned = true;
        let ticks = SCAN_INTERVAL.as_millis() / self.config.vf_interval.as_millis().max(1);
        self.until_scan = u32::try_from(ticks).unwrap_or(u32::MAX).max(1);
        self.links.watch(self.devices.iter().map(|device| &device.pf));
    }

    /// Leaves the kernel alone while there is nothing to ask about.
    fn absent(&mut self) -> CollectError {
        (self.events, self.route, self.devlink) = (None, None, None);
        CollectError::Absent("a network device with sriov_totalvfs".into())
    }

    fn fast(&mut self, batch: &mut Batch) {
        if let Some(events) = &mut self.events
            && let Err(error) = self.links.drain(events, batch)
        {
            batch.fail("link_events", &chain(&error));
            self.events = None;
        }
        let mut gone = false;
        for device in &mut self.devices {
            let Some((netdev, counters)) = device.pf.netdev.as_ref().zip(device.counters.as_ref())
            else {
                continue;
            };
            let Ok(up) = counters.is_up() else {
                (device.counters, gone) = (None, true);
                continue;
            };
            self.links.observe(netdev.index, up, batch);
            let labels = [("pf", device.pf.name.as_str()), ("pci", device.pf.pci.as_str())];
            let mut entity = batch.entity("pf", &labels);
            entity.set(&metrics::PF_UP, f64::from(u8::from(up)));
            counters.set(&mut entity);
        }
        self.links.set(batch);
        if self.links.take_changed() || gone {
            self.scan(batch);
        }
    }

    fn slow(&mut self, batch: &mut Batch) {
        self.open_sockets(batch);
        let mut devlink_failed = false;
        for device in &mut self.devices {
            let Device { pf, vfs, driver_counters, devlink: told, .. } = device;
            if let Some(route) = &mut self.route
                && let Err(error) = vfs.read(pf, route, self.kernel.clock)
            {
                batch.fail("vf_info", &chain(&error));
                if let ReadError::Netlink { source, .. } = &error
                    && source.refusal().is_none()
                {
                    self.route = None;
                }
            }
            if vfs.is_fresh() && vfs.count() != pf.vfs.len() {
                // The next slow tick finds the others.
                self.until_scan = 0;
            }
            match &mut self.devlink {
                Some(devlink) => {
                    if let Err(error) = told.read(devlink, &pf.pci, self.kernel.clock) {
                        batch.fail("devlink", &chain(&error));
                        devlink_failed = true;
                    }
                }
                None => told.clear(),
            }
            if let Some(netdev) = &pf.netdev
                && let Err(error) = driver_counters.read(
                    &netdev.name,
                    &pf.driver,
                    &self.kernel.ethtool,
                    self.kernel.clock,
                )
            {
                batch.fail("ethtool", &error);
            }
            let firmware = firmware(pf, self.devlink.as_mut(), &self.kernel);
            let owners = vf_values::owners(pf, &self.pods);
            let owned =
                owners.as_ref().map(|owners| owners.iter().filter(|o| !o.is_empty()).count());
            let from_sysfs = vf_values::in_sysfs(pf);
            let labels = [("pf", pf.name.as_str()), ("pci", pf.pci.as_str())];
            let mut entity = batch.entity("pf", &labels);
            let known = pf_values::Known {
                vfs,
                from_sysfs,
                firmware: &firmware,
                owned,
                eswitch: told.device().eswitch.as_ref(),
            };
            pf_values::set(pf, &known, &mut entity, &mut self.reader);
            driver_counters.set(&mut entity);
            vf_values::set(pf, vfs, from_sysfs, owners.as_deref(), batch, &mut self.reader);
            pf_values::set_devlink(&pf.pci, told, batch);
        }
        if let Err(error) = self.others(batch) {
            batch.fail("devlink", &chain(&error));
            devlink_failed = true;
        }
        if devlink_failed {
            self.devlink = None;
        }
        if self.config.dpdk {
            self.dpdk.read(batch);
        }
    }

    /// What devlink says of devices that are no physical functions.
    fn others(&mut self, batch: &mut Batch) -> Result<(), NetlinkError> {
        let Some(devlink) = &mut self.devlink else {
            self.others.clear();
            return Ok(());
        };
        let mut names = devlink.devices()?;
        names.retain(|name| !self.devices.iter().any(|device| device.pf.pci == *name));
        self.others.retain(|(name, _)| names.contains(name));
        for name in names {
            if !self.others.iter().any(|(known, _)| *known == name) {
                self.others.push((name, devlink::Reading::new(self.config.vf_interval)));
            }
        }
        for (name, told) in &mut self.others {
            told.read(devlink, name, self.kernel.clock)?;
            pf_values::set_devlink(name, told, batch);
        }
        Ok(())
    }

    fn open_sockets(&mut self, batch: &mut Batch) {
        if self.route.is_none() {
            self.route = tell("netlink", (self.kernel.route)(), batch);
        }
        if self.devlink.is_none() {
            let opened = (self.kernel.generic)().and_then(Devlink::new);
            self.devlink = tell("devlink", opened, batch).flatten();
        }
    }
}

fn open(pf: &Pf) -> Option<Counters> {
    Counters::open(&pf.netdev.as_ref()?.dir).ok()
}

fn tell<T>(source: &'static str, result: Result<T, NetlinkError>, batch: &mut Batch) -> Option<T> {
    result.inspect_err(|error| batch.fail(source, &chain(error))).ok()
}

/// From devlink, else from the driver by ethtool.
fn firmware(pf: &Pf, devlink: Option<&mut Devlink>, kernel: &Kernel) -> String {
    let told = devlink.and_then(|devlink| devlink.firmware(&pf.pci).ok().map(str::to_owned));
    let told = told.filter(|version| !version.is_empty());
    let by_ethtool = || {
        let netdev = pf.netdev.as_ref()?;
        (kernel.ethtool.firmware)(&netdev.name).ok()
    };
    told.or_else(by_ethtool).unwrap_or_default()
}

impl Collector for Sriov {
    fn name(&self) -> &'static str {
        "sriov"
    }

    fn metrics(&self) -> &'static [&'static Metric] {
        metrics::ALL
    }

    fn tiers(&self) -> Vec<Duration> {
        vec![self.config.interval, self.config.vf_interval]
    }

    fn collect(&mut self, tier: usize, batch: &mut Batch) -> Result<(), CollectError> {
        if tier > 0 {
            self.until_scan = self.until_scan.saturating_sub(1);
        }
        if (tier > 0 && self.until_scan == 0) || self.devices.is_empty() {
            self.scan(batch);
        }
        if self.devices.is_empty() {
            return Err(self.absent());
        }
        if self.events.is_none() {
            self.events = tell("link_events", (self.kernel.events)(), batch);
        }
        match tier {
            0 => self.fast(batch),
            _ => self.slow(batch),
        }
        Ok(())
    }
}
