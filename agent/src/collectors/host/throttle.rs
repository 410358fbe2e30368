//! Thermal throttling of cores and packages, from /sys/devices/system/cpu. Topology is read once a
//! minute, the counts at every tick.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::listing::{Due, RELIST, numbered};
use super::metrics::cpu as m;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

/// Where a count of throttles is read: threads of a core share one, cores of a package another.
struct Counter {
    package: String,
    core: Option<String>,
    dir: PathBuf,
}

pub(super) struct Throttle {
    dir: PathBuf,
    due: Due,
    counters: Vec<Counter>,
}

impl Throttle {
    pub(super) fn new(paths: &Paths) -> Self {
        let dir = paths.sys.join("devices/system/cpu");
        Self { dir, due: Due::default(), counters: Vec::new() }
    }

    fn list(&mut self, buffer: &mut Buffer) {
        self.counters.clear();
        for (_, path) in numbered(&self.dir, "cpu") {
            let mut id = |file| {
                let id = buffer.attribute(&path.join("topology"), file)?;
                id.parse::<u64>().ok().map(|id| id.to_string())
            };
            let (Some(package), Some(core)) = (id("physical_package_id"), id("core_id")) else {
                continue;
            };
            let dir = path.join("thermal_throttle");
            for (core, file) in
                [(Some(core), "core_throttle_count"), (None, "package_throttle_count")]
            {
                let known = self.counters.iter().any(|c| c.package == package && c.core == core);
                if !known && buffer.number(&dir, file).is_some() {
                    self.counters.push(Counter {
                        package: package.clone(),
                        core,
                        dir: dir.clone(),
                    });
                }
            }
        }
        self.counters.sort_by(|a, b| (&a.package, &a.core).cmp(&(&b.package, &b.core)));
    }
}

impl Source for Throttle {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        if self.due.every(RELIST) {
            self.list(buffer);
        }
        for counter in &self.counters {
            let file = if counter.core.is_some() {
                "core_throttle_count"
            } else {
                "package_throttle_count"
            };
            let Some(count) = buffer.number(&counter.dir, file) else {
                self.due.reset();
                continue;
            };
            let mut entity = batch.entity("cpu_package", &[("package", &counter.package)]);
            match &counter.core {
                Some(core) => entity.set_with(&m::CORE_THROTTLES, &[("core", core)], count),
                None => entity.set(&m::PACKAGE_THROTTLES, count),
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
    use super::*;

    #[test]
    fn threads_of_a_core_are_counted_once() {
        let text = Text::new("x", "");
        for (cpu, core) in [(0, "0"), (1, "0"), (2, "x"), (3, "1")] {
            let base = format!("devices/system/cpu/cpu{cpu}");
            text.write(&format!("{base}/topology/physical_package_id"), "0\n");
            text.write(&format!("{base}/topology/core_id"), core);
            text.write(&format!("{base}/thermal_throttle/core_throttle_count"), cpu.to_string());
        }
        assert_eq!(
            rows(&mut Throttle::new(&text.paths)),
            [
                "node_cpu_core_throttles_total{package=\"0\",core=\"0\"} 0",
                "node_cpu_core_throttles_total{package=\"0\",core=\"1\"} 3",
            ]
        );
    }
}
