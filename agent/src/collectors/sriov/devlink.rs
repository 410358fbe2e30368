//! devlink: the driver's health reporters, the mode of the switch in the NIC, ports, and the
//! firmware's version. A kernel or a driver without it has nothing of this.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::backoff::Backoff;
use crate::netlink::generic::{Answer, Family, Generic};
use crate::netlink::{Attributes, NetlinkError, Payload};

const GET: u8 = 1;
const PORT_GET: u8 = 5;
const ESWITCH_GET: u8 = 29;
const INFO_GET: u8 = 51;
const HEALTH_REPORTER_GET: u8 = 52;

const BUS_NAME: u16 = 1;
const DEV_NAME: u16 = 2;
const PORT_INDEX: u16 = 3;
const PORT_TYPE: u16 = 4;
const PORT_NETDEV_NAME: u16 = 7;
const ESWITCH_MODE: u16 = 25;
const ESWITCH_INLINE_MODE: u16 = 26;
const ESWITCH_ENCAP_MODE: u16 = 62;
const PORT_FLAVOUR: u16 = 77;
const INFO_VERSION_RUNNING: u16 = 101;
const INFO_VERSION_NAME: u16 = 103;
const INFO_VERSION_VALUE: u16 = 104;
const HEALTH_REPORTER: u16 = 114;
const HEALTH_REPORTER_NAME: u16 = 115;
const HEALTH_REPORTER_STATE: u16 = 116;
const HEALTH_REPORTER_ERR_COUNT: u16 = 117;
const HEALTH_REPORTER_RECOVER_COUNT: u16 = 118;
const PORT_PCI_VF_NUMBER: u16 = 128;
const PORT_FUNCTION: u16 = 145;
const PORT_FUNCTION_STATE: u16 = 2;

/// More of each than a device has; one with a thousand subfunctions has as many ports.
const MOST: usize = 2048;
/// Which of the versions is the firmware's, in the order of preference: mlx5 says "fw.version",
/// ice "fw.mgmt", others "fw".
const FIRMWARE: [&str; 3] = ["fw.version", "fw", "fw.mgmt"];

/// What devlink knows of one device.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) reporters: Vec<Reporter>,
    pub(super) ports: Vec<Port>,
    pub(super) eswitch: Option<Eswitch>,
}

/// Something that watches a part of the device.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Reporter {
    pub(super) name: String,
    /// The index of the port that it belongs to; empty for the device's own.
    pub(super) port: String,
    pub(super) failed: bool,
    pub(super) errors: u64,
    pub(super) recoveries: u64,
}

/// A port of the device.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) index: String,
    pub(super) flavour: &'static str,
    pub(super) kind: &'static str,
    pub(super) netdev: String,
    /// The number of the virtual function that it leads to.
    pub(super) vf: String,
    /// Whether the function behind it is active, where the driver says.
    pub(super) active: Option<bool>,
}

/// The switch in the NIC.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Eswitch {
    pub(super) mode: &'static str,
    pub(super) inline: &'static str,
    pub(super) encap: &'static str,
}

/// What was last told of one device. Some drivers ask their firmware for each port, so a device
/// that is slow to answer is asked more rarely.
#[derive(Debug)]
pub(super) struct Reading {
    backoff: Backoff,
    device: Device,
    fresh: bool,
}

impl Reading {
    /// Nothing asked yet; ticks come once an `interval`.
    pub(super) fn new(interval: Duration) -> Self {
        Self { backoff: Backoff::new(interval), device: Device::default(), fresh: false }
    }

    /// Asks, if it is time to.
    pub(super) fn read(
        &mut self,
        devlink: &mut Devlink,
        pci: &str,
        clock: fn() -> Instant,
    ) -> Result<(), NetlinkError> {
        self.fresh = false;
        if !self.backoff.due() {
            return Ok(());
        }
        let before = clock();
        let device = devlink.device(pci);
        self.backoff.took(clock().saturating_duration_since(before));
        self.device = device?;
        self.fresh = true;
        Ok(())
    }

    /// There is nobody to ask any more.
    pub(super) fn clear(&mut self) {
        (self.device, self.fresh) = (Device::default(), false);
    }

    /// What was last told.
    pub(super) const fn device(&self) -> &Device {
        &self.device
    }

    /// Whether it was told at this tick.
    pub(super) const fn is_fresh(&self) -> bool {
        self.fresh
    }
}

/// Asks devlink.
pub(super) struct Devlink {
    generic: Generic,
    family: Family,
    firmware: FxHashMap<String, String>,
}

impl Devlink {
    /// Asks by this socket; `None` if the kernel has no devlink.
    pub(super) fn new(mut generic: Generic) -> Result<Option<Self>, NetlinkError> {
        let family = generic.family("devlink")?;
        Ok(family.map(|family| Self { generic, family, firmware: FxHashMap::default() }))
    }

    /// All devices: their PCI address, or bus and name ("auxiliary/mlx5_core.sf.2") of those that
    /// have none.
    pub(super) fn devices(&mut self) -> Result<Vec<String>, NetlinkError> {
        let mut devices = Vec::new();
        self.dump(GET, Payload::default(), &mut |answer| {
            let of = |kind| answer.attributes.find(kind).and_then(|a| a.text());
            match (of(BUS_NAME), of(DEV_NAME)) {
                _ if devices.len() == MOST => {}
                (Some("pci"), Some(name)) => devices.push(name.to_owned()),
                (Some(bus), Some(name)) => devices.push(format!("{bus}/{name}")),
                _ => {}
            }
        })?;
        Ok(devices)
    }

    /// What there is to know of a device, named as [`Devlink::devices`] does; nothing of one that
    /// devlink does not know.
    pub(super) fn device(&mut self, pci: &str) -> Result<Device, NetlinkError> {
        let mut device = Device::default();
        let Device { reporters, ports, eswitch } = &mut device;
        let name = bus_and_name(pci).1;
        let about = |a: Attributes<'_>| a.find(DEV_NAME).and_then(|a| a.text()) == Some(name);
        let mut asked = self.request(ESWITCH_GET, pci, &mut |answer| {
            *eswitch = self::eswitch(answer.attributes);
        });
        if let Err(NetlinkError::Refused(_)) = asked {
            // Not every driver has a switch; some refuse to tell with other numbers.
            asked = Ok(());
        }
        asked?;
        // Before Linux 6.5 the kernel ignores which device is asked for and tells of all.
        self.dump(HEALTH_REPORTER_GET, handle(pci), &mut |answer| {
            if about(answer.attributes) && reporters.len() < MOST {
                reporters.extend(reporter(answer.attributes));
            }
        })?;
        self.dump(PORT_GET, handle(pci), &mut |answer| {
            if about(answer.attributes) && ports.len() < MOST {
                ports.extend(port(answer.attributes));
            }
        })?;
        Ok(device)
    }

    /// The running firmware's version. Asked for once, because the driver asks the firmware.
    pub(super) fn firmware(&mut self, pci: &str) -> Result<&str, NetlinkError> {
        if !self.firmware.contains_key(pci) {
            let mut version = None;
            match self.request(INFO_GET, pci, &mut |a| version = firmware(a.attributes)) {
                Ok(()) | Err(NetlinkError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
            self.firmware.insert(pci.to_owned(), version.unwrap_or_default());
        }
        Ok(self.firmware.get(pci).map_or("", String::as_str))
    }

    /// Makes the version be asked for again: the device went, or has another driver.
    pub(super) fn forget(&mut self, pci: &str) {
        self.firmware.remove(pci);
    }

    fn request(
        &mut self,
        command: u8,
        pci: &str,
        each: &mut dyn FnMut(Answer<'_>),
    ) -> Result<(), NetlinkError> {
        self.generic.request(&self.family, command, &handle(pci), each)
    }

    /// A dump that a change interrupted is taken as it is: the next one is near.
    fn dump(
        &mut self,
        command: u8,
        about: Payload,
        each: &mut dyn FnMut(Answer<'_>),
    ) -> Result<(), NetlinkError> {
        match self.generic.dump(&self.family, command, &about, each) {
            Err(NetlinkError::Interrupted | NetlinkError::Refused(_)) => Ok(()),
            other => other,
        }
    }
}

fn bus_and_name(device: &str) -> (&str, &str) {
    device.split_once('/').unwrap_or(("pci", device))
}

fn handle(device: &str) -> Payload {
    let (bus, name) = bus_and_name(device);
    Payload::default().with_text(BUS_NAME, bus).with_text(DEV_NAME, name)
}

fn text(attributes: Attributes<'_>, kind: u16) -> String {
    attributes.find(kind).and_then(|a| a.text()).unwrap_or_default().to_owned()
}

fn number(attributes: Attributes<'_>, kind: u16) -> Option<u64> {
    attributes.find(kind).and_then(|a| a.uint())
}

fn index(attributes: Attributes<'_>, kind: u16) -> String {
    number(attributes, kind).map(|number| number.to_string()).unwrap_or_default()
}

fn reporter(attributes: Attributes<'_>) -> Option<Reporter> {
    let nest = attributes.find(HEALTH_REPORTER)?.nested();
    Some(Reporter {
        name: nest.find(HEALTH_REPORTER_NAME)?.text()?.to_owned(),
        port: index(attributes, PORT_INDEX),
        failed: number(nest, HEALTH_REPORTER_STATE)? != 0,
        errors: number(nest, HEALTH_REPORTER_ERR_COUNT).unwrap_or(0),
        recoveries: number(nest, HEALTH_REPORTER_RECOVER_COUNT).unwrap_or(0),
    })
}

fn port(attributes: Attributes<'_>) -> Option<Port> {
    let function = attributes.find(PORT_FUNCTION).map(|a| a.nested());
    Some(Port {
        index: attributes.find(PORT_INDEX)?.uint()?.to_string(),
        flavour: match number(attributes, PORT_FLAVOUR) {
            Some(0) => "physical",
            Some(1) => "cpu",
            Some(2) => "dsa",
            Some(3) => "pcipf",
            Some(4) => "pcivf",
            Some(5) => "virtual",
            Some(6) => "unused",
            Some(7) => "pcisf",
            _ => "",
        },
        kind: match number(attributes, PORT_TYPE) {
            Some(0) => "notset",
            Some(1) => "auto",
            Some(2) => "eth",
            Some(3) => "ib",
            _ => "",
        },
        netdev: text(attributes, PORT_NETDEV_NAME),
        vf: index(attributes, PORT_PCI_VF_NUMBER),
        active: function.and_then(|f| number(f, PORT_FUNCTION_STATE)).map(|state| state == 1),
    })
}

fn eswitch(attributes: Attributes<'_>) -> Option<Eswitch> {
    Some(Eswitch {
        mode: match number(attributes, ESWITCH_MODE)? {
            0 => "legacy",
            1 => "switchdev",
            2 => "switchdev_inactive",
            _ => "other",
        },
        inline: match number(attributes, ESWITCH_INLINE_MODE) {
            Some(0) => "none",
            Some(1) => "link",
            Some(2) => "network",
            Some(3) => "transport",
            _ => "",
        },
        encap: match number(attributes, ESWITCH_ENCAP_MODE) {
            Some(0) => "none",
            Some(1) => "basic",
            _ => "",
        },
    })
}

fn firmware(attributes: Attributes<'_>) -> Option<String> {
    let running = attributes.filter(|a| a.kind == INFO_VERSION_RUNNING);
    let versions: Vec<(String, String)> = running
        .map(|a| (text(a.nested(), INFO_VERSION_NAME), text(a.nested(), INFO_VERSION_VALUE)))
        .collect();
    let named = |name: &&str| versions.iter().find(|(known, _)| known == name);
    FIRMWARE.iter().find_map(named).map(|(_, version)| version.clone())
}
