//! Neighbours per network device, from /proc/net/arp.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::metrics::network as m;
use super::parse::words;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

pub(super) struct Arp {
    path: PathBuf,
    devices: Vec<(String, f64)>,
}

impl Arp {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { path: paths.proc.join("net/arp"), devices: Vec::new() }
    }
}

impl Source for Arp {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let text = buffer.file(&self.path)?;
        for device in &mut self.devices {
            device.1 = 0.0;
        }
        for line in text.lines().skip(1) {
            let Some(device) = words(line).nth(5) else { continue };
            match self.devices.iter_mut().find(|d| d.0 == device) {
                Some(known) => known.1 += 1.0,
                None => self.devices.push((device.to_owned(), 1.0)),
            }
        }
        self.devices.retain(|d| d.1 > 0.0);
        for (device, entries) in &self.devices {
            batch.entity("netdev", &[("device", device)]).set(&m::ARP_ENTRIES, *entries);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
    use super::*;

    #[test]
    fn neighbours_are_counted_per_device_and_forgotten_with_it() {
        let head =
            "IP address       HW type     Flags       HW address            Mask     Device\n";
        let line = |device| format!("10.0.0.1 0x1 0x2 02:00:00:00:00:01 * {device}\n");
        let text = Text::new("net/arp", &format!("{head}{}{}short\n", line("b"), line("b")));
        let mut source = Arp::new(&text.paths);
        assert_eq!(rows(&mut source), ["node_arp_entries{device=\"b\"} 2"]);
        text.write("net/arp", format!("{head}{}", line("a")));
        assert_eq!(rows(&mut source), ["node_arp_entries{device=\"a\"} 1"]);
    }
}
