//! Energy that packages and memory have used, from /sys/class/powercap. Only root may read it.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::listing::{Due, RELIST, names};
use super::metrics::hardware as m;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, Metric};

struct Zone {
    dir: PathBuf,
    path: String,
    metric: &'static Metric,
    name: String,
    index: String,
}

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

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
    use super::*;

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
}
