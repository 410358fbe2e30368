//! InfiniBand and RoCE ports, from /sys/class/infiniband. Devices are listed once a minute,
//! states and counters read at every tick.

use std::path::{Path, PathBuf};

use super::buffer::Buffer;
use super::listing::{Due, RELIST, names, numbered};
use super::metrics::infiniband as m;
use super::parse::{number, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

/// Data counters are in words of four bytes.
const BYTES_PER_WORD: f64 = 4.0;
const BYTES_PER_GIGABIT: f64 = 125_000_000.0;

struct Port {
    device: String,
    number: String,
    dir: PathBuf,
    counters: PathBuf,
    /// Which of the counters the driver has.
    has: Vec<bool>,
}

struct Device {
    name: String,
    board: String,
    firmware: String,
    kind: String,
}

pub(super) struct Infiniband {
    dir: PathBuf,
    due: Due,
    devices: Vec<Device>,
    ports: Vec<Port>,
}

impl Infiniband {
    pub(super) fn new(paths: &Paths) -> Self {
        let dir = paths.sys.join("class/infiniband");
        Self { dir, due: Due::default(), devices: Vec::new(), ports: Vec::new() }
    }

    fn list(&mut self, buffer: &mut Buffer) {
        self.devices.clear();
        self.ports.clear();
        for name in names(&self.dir) {
            let dir = self.dir.join(&name);
            let mut text = |file| buffer.attribute(&dir, file).unwrap_or_default().to_owned();
            let (board, firmware, kind) = (text("board_id"), text("fw_ver"), text("hca_type"));
            for (number, dir) in numbered(&dir.join("ports"), "") {
                let counters = dir.join("counters");
                let has = |f: &super::metrics::Field| counter(buffer, &counters, f.key).is_some();
                let has = m::COUNTERS.iter().map(has).collect();
                self.ports.push(Port { device: name.clone(), number, dir, counters, has });
            }
            self.devices.push(Device { name, board, firmware, kind });
        }
    }
}

/// A counter; ports without it say "N/A (no PMA)".
fn counter(buffer: &mut Buffer, dir: &Path, file: &str) -> Option<f64> {
    let words = matches!(file, "port_rcv_data" | "port_xmit_data");
    let value = buffer.number(dir, file)?;
    Some(if words { value * BYTES_PER_WORD } else { value })
}

/// The number of "4: ACTIVE".
fn state(text: &str) -> Option<f64> {
    number(text.split_once(':')?.0)
}

/// Bytes a second of "100 Gb/sec (4X EDR)".
fn rate(text: &str) -> Option<f64> {
    let mut words = words(text);
    let gigabits = number(words.next()?)?;
    (words.next()? == "Gb/sec").then_some(gigabits * BYTES_PER_GIGABIT)
}

impl Source for Infiniband {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        if self.due.every(RELIST) {
            self.list(buffer);
        }
        for device in &self.devices {
            let labels = [
                ("board_id", device.board.as_str()),
                ("firmware_version", &device.firmware),
                ("hca_type", &device.kind),
            ];
            let mut entity = batch.entity("infiniband", &[("device", &device.name)]);
            entity.set_with(&m::INFO, &labels, 1.0);
        }
        for port in &self.ports {
            let labels = [("device", port.device.as_str()), ("port", &port.number)];
            let mut entity = batch.entity("infiniband_port", &labels);
            let Some(logical) = buffer.attribute(&port.dir, "state").and_then(state) else {
                self.due.reset();
                continue;
            };
            entity.set(&m::STATE, logical);
            if let Some(physical) = buffer.attribute(&port.dir, "phys_state").and_then(state) {
                entity.set(&m::PHYSICAL_STATE, physical);
            }
            if let Some(rate) = buffer.attribute(&port.dir, "rate").and_then(rate) {
                entity.set(&m::RATE, rate);
            }
            for (field, _) in m::COUNTERS.iter().zip(&port.has).filter(|(_, has)| **has) {
                entity.set_opt(&field.metric, counter(buffer, &port.counters, field.key));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
    use super::*;

    #[test]
    fn states_and_rates_are_read_or_refused() {
        for (text, expected) in [("4: ACTIVE", Some(4.0)), ("4", None), (": x", None), ("", None)] {
            assert_eq!(state(text), expected, "{text:?}");
        }
        let cases = [
            ("2.5 Gb/sec (1X SDR)", Some(312_500_000.0)),
            ("100 Mb/sec", None),
            ("x", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(rate(text), expected, "{text:?}");
        }
    }

    #[test]
    fn counter_that_a_port_lacks_is_left_out() {
        let text = Text::new("class/infiniband/mlx5_0/ports/1/state", "4: ACTIVE\n");
        let base = "class/infiniband/mlx5_0/ports/1/counters";
        text.write(&format!("{base}/port_rcv_data"), "10\n");
        text.write(&format!("{base}/symbol_error"), "N/A (no PMA)\n");
        let found = rows(&mut Infiniband::new(&text.paths));
        assert_eq!(found.len(), 3, "{found:?}");
        let labels = "{device=\"mlx5_0\",port=\"1\"}";
        assert_eq!(found[1], format!("node_infiniband_port_data_received_bytes_total{labels} 40"));
    }
}
