//! /sys/class/power_supply: batteries, adapters and supplies that the kernel manages.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::listing::{Due, RELIST, names};
use super::metrics::power_supply::{INFO, VALUES, Value};
use super::parse::integer;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

/// Files that are labels of `node_power_supply_info`; those that are empty are not.
const TEXTS: [&str; 11] = [
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "scope",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
];

struct Supply {
    name: String,
    dir: PathBuf,
    values: Vec<&'static Value>,
    texts: Vec<(&'static str, String)>,
}

pub(super) struct PowerSupply {
    dir: PathBuf,
    due: Due,
    supplies: Vec<Supply>,
}

impl PowerSupply {
    pub(super) fn new(paths: &Paths) -> Self {
        let dir = paths.sys.join("class/power_supply");
        Self { dir, due: Due::default(), supplies: Vec::new() }
    }

    fn list(&mut self, buffer: &mut Buffer) {
        self.supplies.clear();
        for name in names(&self.dir) {
            let dir = self.dir.join(&name);
            let has = |v: &&Value| buffer.attribute(&dir, v.file).and_then(integer).is_some();
            let values = VALUES.iter().filter(has).collect();
            let texts = TEXTS.iter().map(|file| (*file, String::new())).collect();
            self.supplies.push(Supply { name, dir, values, texts });
        }
    }
}

impl Source for PowerSupply {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        if self.due.every(RELIST) {
            self.list(buffer);
        }
        for supply in &mut self.supplies {
            let mut entity = batch.entity("power_supply", &[("power_supply", &supply.name)]);
            for value in &supply.values {
                let number = buffer.attribute(&supply.dir, value.file).and_then(integer);
                entity.set_opt(&value.metric, number.map(|n| n / value.divisor));
            }
            for (file, text) in &mut supply.texts {
                buffer.attribute(&supply.dir, file).unwrap_or_default().clone_into(text);
            }
            let mut labels = [("", ""); TEXTS.len()];
            let mut used = 0;
            for (name, text) in supply.texts.iter().filter(|(_, text)| !text.is_empty()) {
                labels[used] = (name, text);
                used += 1;
            }
            entity.set_with(&INFO, &labels[..used], 1.0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
    use super::*;

    #[test]
    fn only_what_a_supply_has_is_sent() {
        let text = Text::new("class/power_supply/BAT0/type", "Battery\n");
        text.write("class/power_supply/BAT0/voltage_now", "12000000\n");
        text.write("class/power_supply/BAT0/temp", "x\n");
        text.write("class/power_supply/BAT0/model_name", "\n");
        let expected = [
            "node_power_supply_info{power_supply=\"BAT0\",type=\"Battery\"} 1",
            "node_power_supply_voltage_volt{power_supply=\"BAT0\"} 12",
        ];
        assert_eq!(rows(&mut PowerSupply::new(&text.paths)), expected);
    }
}
