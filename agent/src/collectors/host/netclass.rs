//! Properties of network devices, from /sys/class/net, and bonds.
//!
//! A device has twenty of them, some of which make the kernel ask the hardware under a lock that
//! the whole network stack shares. So only the state, the flags and the count of link changes
//! are read at every tick, and the rest when one of these differs, or once a minute.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::filter::Filter;
use super::listing::{Due, RELIST, names};
use super::metrics::network as m;
use super::parse::integer;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, Metric};

/// Numbers as they are, by file.
static NUMBERS: [(&str, &Metric); 17] = [
    ("addr_assign_type", &m::ADDRESS_ASSIGN_TYPE),
    ("carrier", &m::CARRIER),
    ("carrier_changes", &m::CARRIER_CHANGES),
    ("carrier_up_count", &m::CARRIER_UP_CHANGES),
    ("carrier_down_count", &m::CARRIER_DOWN_CHANGES),
    ("dev_id", &m::DEVICE_ID),
    ("dormant", &m::DORMANT),
    ("flags", &m::FLAGS),
    ("ifindex", &m::IFACE_ID),
    ("iflink", &m::IFACE_LINK),
    ("link_mode", &m::IFACE_LINK_MODE),
    ("mtu", &m::MTU),
    ("name_assign_type", &m::NAME_ASSIGN_TYPE),
    ("netdev_group", &m::NET_DEV_GROUP),
    ("tx_queue_len", &m::QUEUE_LENGTH),
    ("type", &m::PROTOCOL_TYPE),
    ("speed", &m::SPEED),
];
/// `speed` is in Mbit/s.
const SPEED: usize = 16;
const BYTES_PER_MEGABIT: f64 = 125_000.0;
/// Labels of `node_network_info` in its order, by file.
const TEXTS: [&str; 5] = ["address", "broadcast", "duplex", "ifalias", "operstate"];
const OPERSTATE: usize = 4;
/// What tells that something happened to a device.
const SIGNS: [&str; 2] = ["carrier_changes", "flags"];

struct Device {
    name: String,
    dir: PathBuf,
    signs: [Option<f64>; 2],
    texts: [String; 5],
    numbers: [Option<f64>; 17],
}

impl Device {
    fn new(name: String, dir: PathBuf) -> Self {
        Self { name, dir, signs: [None; 2], texts: Default::default(), numbers: [None; 17] }
    }

    /// Whether it is as it was when it was last read in full; an error if it is gone.
    fn same(&self, buffer: &mut Buffer) -> Option<bool> {
        let operstate = buffer.attribute(&self.dir, TEXTS[OPERSTATE])? == self.texts[OPERSTATE];
        Some(operstate && self.signs == self.read_signs(buffer))
    }

    fn read_signs(&self, buffer: &mut Buffer) -> [Option<f64>; 2] {
        SIGNS.map(|file| buffer.attribute(&self.dir, file).and_then(integer))
    }

    fn read(&mut self, buffer: &mut Buffer) {
        self.signs = self.read_signs(buffer);
        for (text, file) in self.texts.iter_mut().zip(TEXTS) {
            buffer.attribute(&self.dir, file).unwrap_or_default().clone_into(text);
        }
        for (number, (file, _)) in self.numbers.iter_mut().zip(&NUMBERS) {
            *number = buffer.attribute(&self.dir, file).and_then(integer);
        }
        if let Some(speed) = &mut self.numbers[SPEED] {
            *speed *= BYTES_PER_MEGABIT;
        }
    }

    fn set(&self, batch: &mut Batch) {
        let mut entity = batch.entity("netdev", &[("device", &self.name)]);
        entity.set(&m::UP, f64::from(u8::from(self.texts[OPERSTATE] == "up")));
        let labels: [(&'static str, &str); 5] =
            std::array::from_fn(|i| (TEXTS[i], self.texts[i].as_str()));
        entity.set_with(&m::INFO, &labels, 1.0);
        for (value, (_, metric)) in self.numbers.iter().zip(&NUMBERS) {
            if let Some(value) = value {
                entity.set(metric, *value);
            }
        }
    }
}

pub(super) struct Netclass {
    dir: PathBuf,
    exclude: Filter,
    due: Due,
    /// What was in the directory the last time, devices or not.
    listed: Vec<String>,
    devices: Vec<Device>,
}

impl Netclass {
    pub(super) fn new(paths: &Paths, exclude: Filter) -> Self {
        let dir = paths.sys.join("class/net");
        Self { dir, exclude, due: Due::default(), listed: Vec::new(), devices: Vec::new() }
    }

    /// Brings the list in line with the directory; whoever is new is read in full.
    fn list(&mut self) {
        let listed = names(&self.dir);
        if listed == self.listed {
            return;
        }
        let mut old = std::mem::take(&mut self.devices).into_iter().peekable();
        for name in &listed {
            // Both are sorted.
            while old.next_if(|d| d.name < *name).is_some() {}
            if let Some(known) = old.next_if(|d| d.name == *name) {
                self.devices.push(known);
            } else if !self.exclude.excludes(name) {
                let dir = self.dir.join(name);
                // `bonding_masters` lies between the devices.
                if dir.is_dir() {
                    self.devices.push(Device::new(name.clone(), dir));
                }
            }
        }
        self.listed = listed;
    }
}

impl Source for Netclass {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let full = self.due.every(RELIST);
        self.list();
        for device in &mut self.devices {
            match device.same(buffer) {
                Some(true) if !full => {}
                Some(_) => device.read(buffer),
                // It went away after the directory was listed.
                None => continue,
            }
            device.set(batch);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
    use super::*;

    fn has(rows: &[String], row: &str) -> bool {
        rows.iter().any(|r| r == row)
    }

    #[test]
    fn change_of_state_is_seen_at_once_and_other_changes_with_it() {
        let text = Text::new("class/net/b/operstate", "down\n");
        text.write("class/net/b/mtu", "1500\n");
        text.write("class/net/b/flags", "0x1002\n");
        text.write("class/net/bonding_masters", "\n");
        let mut source = Netclass::new(&text.paths, Filter::default());
        let first = rows(&mut source);
        assert!(has(&first, "node_network_mtu_bytes{device=\"b\"} 1500"), "{first:?}");
        assert!(has(&first, "node_network_flags{device=\"b\"} 4098"));
        text.write("class/net/b/mtu", "9000\n");
        assert_eq!(rows(&mut source), first);
        text.write("class/net/b/operstate", "up\n");
        let up = rows(&mut source);
        assert!(has(&up, "node_network_mtu_bytes{device=\"b\"} 9000"));
        assert!(has(&up, "node_network_up{device=\"b\"} 1"));
    }

    #[test]
    fn device_that_goes_leaves_and_one_that_comes_appears() {
        let text = Text::new("class/net/a/operstate", "up\n");
        let mut source = Netclass::new(&text.paths, Filter::new("^veth").unwrap());
        assert_eq!(rows(&mut source).len(), 2);
        text.write("class/net/b/operstate", "up\n");
        text.write("class/net/b/speed", "-1\n");
        text.write("class/net/veth1/operstate", "up\n");
        std::fs::remove_dir_all(text.paths.sys.join("class/net/a")).unwrap();
        let now = rows(&mut source);
        assert_eq!(now.len(), 3, "{now:?}");
        assert!(has(&now, "node_network_speed_bytes{device=\"b\"} -125000"));
    }
}
