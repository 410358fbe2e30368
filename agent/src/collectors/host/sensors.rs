//! What the hardware says of itself in sysfs: thermal zones and cooling, memory errors, energy,
//! NVMe controllers. Each is listed once a minute and read at every tick.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::listing::{Due, RELIST, names, numbered};
use super::metrics::hardware as m;
use super::metrics::storage::NVME_INFO;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, Metric};

/// A thermal zone or cooling device.
struct Thing {
    number: String,
    kind: String,
    dir: PathBuf,
    max_state: Option<f64>,
}

/// /sys/class/thermal.
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
            self.cooling = self.list("cooling_device", buffer);
        }
        for zone in &self.zones {
            // A zone that is switched off has no temperature.
            if let Some(millidegrees) = buffer.number(&zone.dir, "temp") {
                let labels = [("zone", zone.number.as_str()), ("type", &zone.kind)];
                let mut entity = batch.entity("thermal_zone", &labels);
                entity.set(&m::ZONE_TEMPERATURE, millidegrees / 1000.0);
            }
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

struct Controller {
    number: String,
    dir: PathBuf,
    rows: Vec<(String, PathBuf)>,
}

/// /sys/devices/system/edac/mc: memory errors.
pub(super) struct Edac {
    dir: PathBuf,
    due: Due,
    controllers: Vec<Controller>,
}

impl Edac {
    pub(super) fn new(paths: &Paths) -> Self {
        let dir = paths.sys.join("devices/system/edac/mc");
        Self { dir, due: Due::default(), controllers: Vec::new() }
    }
}

impl Source for Edac {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        if self.due.every(RELIST) {
            let found = numbered(&self.dir, "mc").into_iter();
            let controller = |(number, dir): (String, PathBuf)| Controller {
                number,
                rows: numbered(&dir, "csrow"),
                dir,
            };
            self.controllers = found.map(controller).collect();
        }
        for controller in &self.controllers {
            let mut entity = batch.entity("edac", &[("controller", &controller.number)]);
            let counts: [(&str, &Metric); 2] =
                [("ce_count", &m::EDAC_CORRECTABLE), ("ue_count", &m::EDAC_UNCORRECTABLE)];
            for (file, metric) in counts {
                if let Some(count) = buffer.number(&controller.dir, file) {
                    entity.set(metric, count);
                }
            }
            let unknown = [("csrow", "unknown")];
            let unknown_counts: [(&str, &Metric); 2] = [
                ("ce_noinfo_count", &m::EDAC_ROW_CORRECTABLE),
                ("ue_noinfo_count", &m::EDAC_ROW_UNCORRECTABLE),
            ];
            for (file, metric) in unknown_counts {
                if let Some(count) = buffer.number(&controller.dir, file) {
                    entity.set_with(metric, &unknown, count);
                }
            }
            for (row, dir) in &controller.rows {
                let counts: [(&str, &Metric); 2] = [
                    ("ce_count", &m::EDAC_ROW_CORRECTABLE),
                    ("ue_count", &m::EDAC_ROW_UNCORRECTABLE),
                ];
                for (file, metric) in counts {
                    if let Some(count) = buffer.number(dir, file) {
                        entity.set_with(metric, &[("csrow", row)], count);
                    }
                }
            }
        }
        Ok(())
    }
}

struct Zone {
    dir: PathBuf,
    path: String,
    metric: &'static Metric,
    name: String,
    index: String,
}

/// /sys/class/powercap: energy that packages and memory have used.
pub(super) struct Rapl {
    dir: PathBuf,
    due: Due,
    zones: Vec<Zone>,
}

impl Rapl {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { dir: paths.sys.join("class/powercap"), due: Due::default(), zones: Vec::new() }
    }

    fn list(&mut self, buffer: &mut Buffer) {
        self.zones.clear();
        for file in names(&self.dir) {
            let dir = self.dir.join(&file);
            let Some(name) = buffer.attribute(&dir, "name").map(str::to_owned) else { continue };
            // "package-1" is package 1; of the names without a number, the next of its kind.
            let split = name.split_once('-').filter(|(_, i)| i.parse::<u32>().is_ok());
            let (name, index) = match split {
                Some((name, index)) => (name.to_owned(), index.to_owned()),
                None => {
                    let before = self.zones.iter().filter(|z| z.name == name).count();
                    (name, before.to_string())
                }
            };
            let metric = match name.as_str() {
                "package" => &m::RAPL_PACKAGE,
                "core" => &m::RAPL_CORE,
                "uncore" => &m::RAPL_UNCORE,
                "dram" => &m::RAPL_DRAM,
                "psys" => &m::RAPL_PSYS,
                _ => &m::RAPL_OTHER,
            };
            // As the node has it, wherever sysfs is mounted for the agent.
            let path = format!("/sys/class/powercap/{file}");
            self.zones.push(Zone { dir, path, metric, name, index });
        }
    }
}

impl Source for Rapl {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        if self.due.every(RELIST) {
            self.list(buffer);
        }
        for zone in &self.zones {
            let labels = [("index", zone.index.as_str()), ("path", &zone.path)];
            let mut entity = batch.entity("rapl", &labels);
            match buffer.try_attribute(&zone.dir, "energy_uj") {
                Ok(text) => {
                    let Some(microjoules) = super::parse::number(text) else { continue };
                    let other = [("rapl_zone", zone.name.as_str())];
                    let is_other = std::ptr::eq(zone.metric, &m::RAPL_OTHER);
                    let labels = if is_other { &other[..] } else { &[] };
                    entity.set_with(zone.metric, labels, microjoules / 1_000_000.0);
                }
                Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                    entity.unavailable(zone.metric, "permission denied");
                }
                Err(_) => self.due.reset(),
            }
        }
        Ok(())
    }
}

struct NvmeController {
    name: String,
    dir: PathBuf,
    firmware: String,
    model: String,
    serial: String,
}

/// /sys/class/nvme: who the controllers are and whether they are alive.
pub(super) struct Nvme {
    dir: PathBuf,
    due: Due,
    controllers: Vec<NvmeController>,
}

impl Nvme {
    pub(super) fn new(paths: &Paths) -> Self {
        let dir = paths.sys.join("class/nvme");
        Self { dir, due: Due::default(), controllers: Vec::new() }
    }
}

impl Source for Nvme {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        if self.due.every(RELIST) {
            let controller = |name: String| {
                let dir = self.dir.join(&name);
                let mut text = |file| buffer.attribute(&dir, file).unwrap_or_default().to_owned();
                let (firmware, model, serial) =
                    (text("firmware_rev"), text("model"), text("serial"));
                NvmeController { name, dir, firmware, model, serial }
            };
            self.controllers = names(&self.dir).into_iter().map(controller).collect();
        }
        for controller in &self.controllers {
            let Some(state) = buffer.attribute(&controller.dir, "state") else {
                self.due.reset();
                continue;
            };
            let labels = [
                ("firmware_revision", controller.firmware.as_str()),
                ("model", &controller.model),
                ("serial", &controller.serial),
                ("state", state),
            ];
            let mut entity = batch.entity("nvme", &[("device", &controller.name)]);
            entity.set_with(&NVME_INFO, &labels, 1.0);
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

    #[test]
    fn controller_without_rows_or_counts_has_what_it_has() {
        let text = Text::new("devices/system/edac/mc/mc0/ce_count", "3\n");
        text.write("devices/system/edac/mc/mc0/ue_count", "x\n");
        text.write("devices/system/edac/mc/mc0/csrow1/ue_count", "1\n");
        text.write("devices/system/edac/mc/power/control", "auto\n");
        let expected = [
            "node_edac_correctable_errors_total{controller=\"0\"} 3",
            "node_edac_csrow_uncorrectable_errors_total{controller=\"0\",csrow=\"1\"} 1",
        ];
        assert_eq!(rows(&mut Edac::new(&text.paths)), expected);
    }

    #[test]
    fn energy_zones_of_one_name_are_numbered() {
        let text = Text::new("class/powercap/intel-rapl/enabled", "1\n");
        let zones = [
            ("intel-rapl:0", "package-1"),
            ("intel-rapl:0:0", "dram"),
            ("intel-rapl:1:0", "dram"),
            ("x", "die-0-a"),
        ];
        for (zone, name) in zones {
            text.write(&format!("class/powercap/{zone}/name"), name);
            text.write(&format!("class/powercap/{zone}/energy_uj"), "1500000\n");
        }
        let row = |name, index, path, more| {
            format!(
                "node_rapl_{name}joules_total{{index=\"{index}\",path=\"/sys/class/powercap/{path}\"{more}}} 1.5"
            )
        };
        let mut expected = [
            row("package_", 1, "intel-rapl:0", ""),
            row("dram_", 0, "intel-rapl:0:0", ""),
            row("dram_", 1, "intel-rapl:1:0", ""),
            row("", 0, "x", ",rapl_zone=\"die-0-a\""),
        ];
        expected.sort();
        assert_eq!(rows(&mut Rapl::new(&text.paths)), expected);
    }

    #[test]
    fn state_of_a_controller_is_read_again() {
        let text = Text::new("class/nvme/nvme0/state", "live\n");
        let mut source = Nvme::new(&text.paths);
        assert!(rows(&mut source)[0].contains("state=\"live\""));
        text.write("class/nvme/nvme0/state", "dead\n");
        assert!(rows(&mut source)[0].contains("state=\"dead\""));
    }
}
