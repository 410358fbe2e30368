//! Labels of an instance and its ports: written in place at every poll, so that a poll that
//! changes none allocates nothing.

use std::fmt::{Display, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use super::discovery::Target;
use super::readings::{Port, Readings};
use crate::collectors::ptp::clocks::Clocks;
use crate::collectors::ptp::management::{Timestamping, id};

/// Of an instance.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    pub(crate) profile: String,
    pub(crate) domain: String,
    pub(crate) clock_id: String,
    pub(crate) config: String,
    pub(crate) socket: String,
    pub(crate) timestamping: &'static str,
    /// "3" before linuxptp 4.0, "4" from it on.
    pub(crate) version: &'static str,
    pub(crate) grandmaster: String,
    pub(crate) parent: String,
    pub(crate) parent_port: String,
    pub(crate) ports: Vec<PortLabels>,
    sys: PathBuf,
}

/// Of a port.
#[derive(Debug, Default)]
pub(crate) struct PortLabels {
    pub(crate) number: String,
    pub(crate) iface: String,
    pub(crate) delay_mechanism: &'static str,
    pub(crate) timestamping: &'static str,
    pub(crate) phc: Option<i32>,
    pub(crate) phc_name: String,
    pub(crate) port_id: String,
    /// The hardware address that the name was looked up by, and the name.
    looked_up: Option<([u8; 6], Option<String>)>,
}

impl Labels {
    /// Those of `target`; hardware addresses are looked up below `sys`.
    #[must_use]
    pub(crate) fn new(target: &Target, profile: String, sys: &Path) -> Self {
        Self { profile, config: target.config.clone(), sys: sys.to_owned(), ..Self::default() }
    }

    /// Writes what a poll has told.
    pub(crate) fn refresh(
        &mut self,
        target: &Target,
        readings: &Readings,
        socket: &Path,
        domain: u8,
        clocks: &Clocks,
    ) {
        put(&mut self.domain, domain);
        put(&mut self.socket, socket.display());
        if let Some(default) = readings.default {
            put(&mut self.clock_id, default.clock);
        }
        if let Some(parent) = readings.parent {
            put(&mut self.grandmaster, parent.grandmaster);
            put(&mut self.parent, parent.parent.clock);
            put(&mut self.parent_port, parent.parent.port);
        }
        self.version = match readings.is_missing(id::PORT_SERVICE_STATS_NP) {
            true => "3",
            false => "4",
        };
        self.ports.resize_with(readings.ports.len(), PortLabels::default);
        for (labels, port) in self.ports.iter_mut().zip(&readings.ports) {
            labels.refresh(target, port, &self.sys, clocks);
        }
        self.timestamping = self.ports.first().map_or("", |port| port.timestamping);
    }
}

impl PortLabels {
    fn refresh(&mut self, target: &Target, port: &Port, sys: &Path, clocks: &Clocks) {
        put(&mut self.number, port.number);
        let configured = target.interfaces.get(usize::from(port.number) - 1);
        match port.interface.as_ref().or(configured) {
            Some(name) => put(&mut self.iface, name),
            None => self.look_up(port.hardware_address, sys),
        }
        if let Some(data) = port.data {
            put(&mut self.port_id, data.port);
            self.delay_mechanism = match data.delay_mechanism {
                1 => "E2E",
                2 => "P2P",
                3 => "NONE",
                4 => "COMMON_P2P",
                _ => "",
            };
        }
        self.timestamping = match (port.timestamping, target.software) {
            (Timestamping::Unknown, Some(true)) => Timestamping::Software.name(),
            (Timestamping::Unknown, Some(false)) => Timestamping::Hardware.name(),
            (told, _) => told.name(),
        };
        let told = port.phc.filter(|phc| *phc >= 0);
        let of_netdev = || clocks.phc_of_netdev(&self.iface);
        self.phc = match port.phc.is_some() || self.timestamping == Timestamping::Software.name() {
            true => told,
            false => of_netdev(),
        };
        self.phc_name.clear();
        if let Some(phc) = self.phc {
            put(&mut self.phc_name, format_args!("ptp{phc}"));
        }
    }

    /// The network device of an address, where there is exactly one.
    fn look_up(&mut self, address: Option<[u8; 6]>, sys: &Path) {
        let Some(address) = address else { return };
        if self.looked_up.as_ref().is_none_or(|(known, _)| *known != address) {
            self.looked_up = Some((address, netdev(sys, address)));
        }
        let name = self.looked_up.as_ref().and_then(|(_, name)| name.as_deref());
        put(&mut self.iface, name.unwrap_or_default());
    }
}

fn netdev(sys: &Path, address: [u8; 6]) -> Option<String> {
    let [a, b, c, d, e, f] = address;
    let text = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
    let entries = fs::read_dir(sys.join("class/net")).ok()?.flatten();
    let is_it = |path: &Path| {
        fs::read_to_string(path.join("address")).is_ok_and(|found| found.trim_end() == text)
    };
    let mut found = entries.filter(|entry| is_it(&entry.path()));
    let only = found.next()?;
    if found.next().is_some() {
        return None;
    }
    only.file_name().into_string().ok()
}

fn put(slot: &mut String, value: impl Display) {
    slot.clear();
    // Writing to a string cannot fail but by the value's own error, which none here has.
    let written = write!(slot, "{value}");
    debug_assert!(written.is_ok(), "a label cannot be written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_device_is_found_by_its_address_if_no_other_has_it() {
        let sys = tempfile::tempdir().unwrap();
        for (name, address) in [("eth0", "02:00:00:00:01:0a"), ("eth1", "02:00:00:00:01:0b")] {
            let directory = sys.path().join("class/net").join(name);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("address"), format!("{address}\n")).unwrap();
        }
        assert_eq!(netdev(sys.path(), [2, 0, 0, 0, 1, 0x0b]).as_deref(), Some("eth1"));
        assert_eq!(netdev(sys.path(), [2, 0, 0, 0, 1, 0x0c]), None);
        fs::write(sys.path().join("class/net/eth0/address"), "02:00:00:00:01:0b\n").unwrap();
        assert_eq!(netdev(sys.path(), [2, 0, 0, 0, 1, 0x0b]), None);
    }
}
