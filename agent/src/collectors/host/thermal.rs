//! Thermal zones and cooling devices, from /sys/class/thermal: listed once a minute, read at
//! every tick.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::listing::{Due, RELIST, numbered};
use super::metrics::hardware as m;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

/// A thermal zone or cooling device.
struct Thing {
    number: String,
    kind: String,
    dir: PathBuf,
    max_state: Option<f64>,
}

pub(super) struct Thermal {
    dir: PathBuf,
    due: Due,
    zones: Vec<Thing>,
    cooling: Vec<Thing>,
}

impl Thermal {
    pub(super) fn new(paths: &Paths) -> Self {
        let dir = paths.sys.join("class/thermal");
        Self { dir, due: Due::default(), zones: Vec::new(), cooling: Vec::new() }
    }

    fn list(&self, prefix: &str, buffer: &mut Buffer) -> Vec<Thing> {
        let found = numbered(&self.dir, prefix).into_iter();
        let things = found.filter_map(|(number, dir)| {
            let kind = buffer.attribute(&dir, "type")?.to_owned();
            let max_state = buffer.number(&dir, "max_state");
            Some(Thing { number, kind, dir, max_state })
        });
        things.collect()
    }
}

impl Source for Thermal {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        if self.due.every(RELIST) {
            self.zones = self.list("thermal_zone", buffer);
            // A zone that is switched off has no temperature.
            self.zones.retain(|zone| buffer.number(&zone.dir, "temp").is_some());
            self.cooling = self.list("cooling_device", buffer);
        }
        for zone in &self.zones {
            let millidegrees = buffer.number(&zone.dir, "temp");
            let labels = [("zone", zone.number.as_str()), ("type", &zone.kind)];
            let mut entity = batch.entity("thermal_zone", &labels);
            entity.set_opt(&m::ZONE_TEMPERATURE, millidegrees.map(|m| m / 1000.0));
        }
        for device in &self.cooling {
            let labels = [("name", device.number.as_str()), ("type", &device.kind)];
            let mut entity = batch.entity("cooling_device", &labels);
            if let Some(state) = buffer.number(&device.dir, "cur_state") {
                entity.set(&m::COOLING_STATE, state);
            }
            if let Some(state) = device.max_state {
                entity.set(&m::COOLING_MAX_STATE, state);
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
    fn zone_without_temperature_and_device_without_state_are_left_out() {
        let text = Text::new("class/thermal/thermal_zone0/type", "acpitz\n");
        text.write("class/thermal/thermal_zone1/type", "x86_pkg_temp\n");
        text.write("class/thermal/thermal_zone1/temp", "-1500\n");
        text.write("class/thermal/cooling_device10/type", "Processor\n");
        text.write("class/thermal/cooling_device10/max_state", "garbage\n");
        text.write("class/thermal/cooling_device10/cur_state", "-1\n");
        let expected = [
            "node_cooling_device_cur_state{name=\"10\",type=\"Processor\"} -1",
            "node_thermal_zone_temp{zone=\"1\",type=\"x86_pkg_temp\"} -1.5",
        ];
        assert_eq!(rows(&mut Thermal::new(&text.paths)), expected);
    }
}
