//! Which network devices can stamp, how, and by which PTP clock: ethtool's TSINFO_GET over
//! generic netlink, which any process may ask.
//!
//! It hardly changes, so a device is asked when it is first seen, when the list of clocks
//! changes, and every ten minutes. Only devices that ptp4l can run on are asked: those with
//! hardware, VLANs and bonds; a node has hundreds of others that belong to containers.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{genetlink, sysfs};
use crate::collectors::Paths;
use crate::collectors::ptp::metrics as m;
#[cfg(test)]
use crate::netlink::Netlink;
use crate::netlink::{Attributes, NetlinkError, Payload};
use crate::sample::Batch;

/// How often devices are looked for.
const RELIST: Duration = Duration::from_secs(10);
/// How often all are asked again.
const REFRESH: Duration = Duration::from_secs(600);
/// More devices than ptp4l runs on.
const MOST: usize = 256;

/// `ETHTOOL_MSG_TSINFO_GET`.
const TSINFO_GET: u8 = 25;
const TSINFO_HEADER: u16 = 1;
const TSINFO_TIMESTAMPING: u16 = 2;
const TSINFO_PHC_INDEX: u16 = 5;
const HEADER_DEV_NAME: u16 = 2;
const HEADER_FLAGS: u16 = 3;
/// `ETHTOOL_FLAG_COMPACT_BITSETS`: bits as words, not as a list of names.
const COMPACT_BITSETS: u32 = 1;
const BITSET_VALUE: u16 = 4;

/// `SOF_TIMESTAMPING_*`.
const TX_HARDWARE: u32 = 1 << 0;
const TX_SOFTWARE: u32 = 1 << 1;
const RX_HARDWARE: u32 = 1 << 2;
const RX_SOFTWARE: u32 = 1 << 3;

/// How a device stamps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stamping {
    /// The clock that stamps; `None` for software alone.
    pub(super) phc: Option<i32>,
    /// `SOF_TIMESTAMPING_*` bits.
    bits: u32,
}

impl Stamping {
    /// Reads an answer; `None` if an attribute is not as long as it must be.
    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let mut found = Self::default();
        let mut rest = attributes;
        for attribute in rest.by_ref() {
            match attribute.kind {
                TSINFO_TIMESTAMPING => {
                    let mut bitset = attribute.nested();
                    // An empty set has no value.
                    for part in bitset.by_ref().filter(|part| part.kind == BITSET_VALUE) {
                        found.bits = part.u32()?;
                    }
                    if bitset.is_damaged() {
                        return None;
                    }
                }
                // Some drivers say -1 for none.
                TSINFO_PHC_INDEX => {
                    let index = i32::from_ne_bytes(attribute.u32()?.to_ne_bytes());
                    found.phc = (index >= 0).then_some(index);
                }
                _ => {}
            }
        }
        (!rest.is_damaged()).then_some(found)
    }

    const fn word(self, tx: u32, rx: u32) -> &'static str {
        match (self.bits & tx != 0, self.bits & rx != 0) {
            (true, true) => "both",
            (true, false) => "tx",
            (false, true) => "rx",
            (false, false) => "none",
        }
    }
}

struct Device {
    name: String,
    /// `None` until it answers, and for devices that do not.
    stamping: Option<Stamping>,
    phc: String,
    asked: bool,
}

/// How the node's devices stamp.
pub(super) struct TsInfo {
    class: PathBuf,
    source: genetlink::Source,
    /// Everything in the directory, to see whether it changed.
    listed: Vec<String>,
    devices: Vec<Device>,
    relisted: Option<Instant>,
    refreshed: Option<Instant>,
    malformed: u64,
}

impl TsInfo {
    pub(super) fn new(paths: &Paths) -> Self {
        Self {
            class: paths.sys.join("class/net"),
            source: genetlink::Source::new("ethtool"),
            listed: Vec::new(),
            devices: Vec::new(),
            relisted: None,
            refreshed: None,
            malformed: 0,
        }
    }

    /// Asks this socket instead of the kernel's.
    #[cfg(test)]
    pub(super) fn with(paths: &Paths, netlink: Netlink) -> Self {
        Self { source: genetlink::Source::with("ethtool", netlink), ..Self::new(paths) }
    }

    /// The clock that stamps for a device.
    pub(super) fn phc(&self, netdev: &str) -> Option<i32> {
        self.devices.iter().find(|device| device.name == netdev)?.stamping?.phc
    }

    /// Answers that were not as they must be.
    pub(super) fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Asks what is due; `clocks_changed` makes all devices due.
    pub(super) fn collect(&mut self, batch: &mut Batch, now: Instant, clocks_changed: bool) {
        let due = |last: Option<Instant>, period| last.is_none_or(|last| now - last >= period);
        if clocks_changed || due(self.refreshed, REFRESH) {
            self.refreshed = Some(now);
            for device in &mut self.devices {
                device.asked = false;
            }
        }
        if clocks_changed || due(self.relisted, RELIST) {
            self.relisted = Some(now);
            self.relist();
        }
        if self.devices.iter().any(|device| !device.asked)
            && let Err(error) = self.ask(now)
        {
            batch.fail("tsinfo", &error);
        }
    }

    fn relist(&mut self) {
        let listed = sysfs::names(&self.class);
        if listed == self.listed {
            return;
        }
        self.devices.retain(|device| listed.binary_search(&device.name).is_ok());
        for name in &listed {
            let known = self.devices.iter().any(|device| device.name == *name);
            if self.devices.len() < MOST && !known && self.is_candidate(name) {
                let (name, phc) = (name.clone(), String::new());
                self.devices.push(Device { name, stamping: None, phc, asked: false });
            }
        }
        self.devices.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.listed = listed;
    }

    /// Whether ptp4l can run on it.
    fn is_candidate(&self, name: &str) -> bool {
        let dir = self.class.join(name);
        let is_hardware = || dir.join("device").exists();
        let is_over_hardware = || {
            let uevent = sysfs::text(&dir, "uevent").unwrap_or_default();
            uevent.lines().any(|line| line == "DEVTYPE=vlan" || line == "DEVTYPE=bond")
        };
        is_hardware() || is_over_hardware()
    }

    fn ask(&mut self, now: Instant) -> Result<(), NetlinkError> {
        let Some((generic, family)) = self.source.get(now)? else { return Ok(()) };
        for device in self.devices.iter_mut().filter(|device| !device.asked) {
            let header = Payload::default()
                .with_text(HEADER_DEV_NAME, &device.name)
                .with_u32(HEADER_FLAGS, COMPACT_BITSETS);
            let request = Payload::default().with_nested(TSINFO_HEADER, &header);
            let mut answer = None;
            let asked = generic.request(family, TSINFO_GET, &request, &mut |a| {
                answer = Some(Stamping::parse(a.attributes));
            });
            match asked {
                Ok(()) => {}
                // It went meanwhile, or cannot tell.
                Err(error) if error.is_absent() => {}
                Err(error) => {
                    self.source.forget();
                    return Err(error);
                }
            }
            device.asked = true;
            self.malformed += u64::from(answer == Some(None));
            device.stamping = answer.flatten();
            let phc = device.stamping.and_then(|stamping| stamping.phc);
            device.phc = phc.map(|index| format!("ptp{index}")).unwrap_or_default();
        }
        Ok(())
    }

    /// Sets what is known of each device.
    pub(super) fn set(&self, batch: &mut Batch) {
        for device in &self.devices {
            let Some(stamping) = device.stamping else { continue };
            let labels: [(&str, &str); 3] = [
                ("hardware", stamping.word(TX_HARDWARE, RX_HARDWARE)),
                ("software", stamping.word(TX_SOFTWARE, RX_SOFTWARE)),
                ("phc", &device.phc),
            ];
            let mut netdev = batch.entity("netdev", &[("device", &device.name)]);
            netdev.set_with(&m::NETDEV_STAMPING, &labels, 1.0);
        }
    }
}

#[cfg(test)]
mod tests;
