//! /proc/net/dev: traffic of network devices, and the packets that nobody wanted, which only
//! sysfs has.

use std::path::PathBuf;

use super::buffer::{Buffer, malformed};
use super::filter::Filter;
use super::metrics::network as m;
use super::parse::{number, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

pub(super) struct Netdev {
    path: PathBuf,
    class: PathBuf,
    exclude: Filter,
    /// The devices of the last tick, and whether they have a count of unwanted packets.
    devices: Vec<(String, PathBuf, bool)>,
}

impl Netdev {
    pub(super) fn new(paths: &Paths, exclude: Filter) -> Self {
        let class = paths.sys.join("class/net");
        Self { path: paths.proc.join("net/dev"), class, exclude, devices: Vec::new() }
    }
}

impl Source for Netdev {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let text = buffer.file(&self.path)?;
        let mut index = 0;
        // Two lines of headings, without which this is something else.
        if text.lines().take(2).filter(|l| l.contains('|')).count() < 2 {
            return Err(malformed(&self.path, "no headings"));
        }
        for line in text.lines().skip(2) {
            let Some((name, rest)) = line.rsplit_once(':') else { continue };
            let name = name.trim();
            if self.exclude.excludes(name) {
                continue;
            }
            let mut entity = batch.entity("netdev", &[("device", name)]);
            for (field, word) in m::NETDEV.iter().zip(words(rest)) {
                let Some(value) = number(word) else { break };
                entity.set(&field.metric, value);
            }
            if self.devices.get(index).is_none_or(|d| d.0 != name) {
                self.devices.truncate(index);
                let dir = self.class.join(name).join("statistics");
                self.devices.push((name.to_owned(), dir, true));
            }
            index += 1;
        }
        self.devices.truncate(index);
        for (name, dir, has) in self.devices.iter_mut().filter(|d| d.2) {
            match buffer.number(dir, "rx_nohandler") {
                Some(packets) => {
                    batch.entity("netdev", &[("device", name)]).set(&m::NO_HANDLER, packets);
                }
                None => *has = false,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows, tick};
    use super::*;

    const HEAD: &str = "Inter-|   Receive |  Transmit\n face |bytes |bytes\n";

    #[test]
    fn odd_lines_are_skipped_and_missing_columns_left_out() {
        let cases = [
            ("  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", 16),
            ("  eth0:1 2\n", 2),
            ("  eth0: 99999999999999999999999 x\n", 1),
            ("  eth0\n", 0),
            ("  a:b:0: 7\n    lo: 1 2 3\n", 1),
            ("", 0),
        ];
        for (line, samples) in cases {
            let text = Text::new("net/dev", &format!("{HEAD}{line}"));
            let mut source = Netdev::new(&text.paths, Filter::new("^lo$").unwrap());
            assert_eq!(rows(&mut source).len(), samples, "{line:?}");
        }
        let text = Text::new("net/dev", "eth0: 1 2\n");
        assert!(tick(&mut Netdev::new(&text.paths, Filter::default())).1.is_err());
    }

    #[test]
    fn device_that_comes_is_asked_for_unwanted_packets() {
        let text = Text::new("net/dev", HEAD);
        let mut source = Netdev::new(&text.paths, Filter::default());
        assert!(rows(&mut source).is_empty());
        text.write("net/dev", format!("{HEAD}b: 1\n"));
        text.write("class/net/b/statistics/rx_nohandler", "4\n");
        let expected = [
            "node_network_receive_bytes_total{device=\"b\"} 1",
            "node_network_receive_nohandler_total{device=\"b\"} 4",
        ];
        assert_eq!(rows(&mut source), expected);
    }
}
