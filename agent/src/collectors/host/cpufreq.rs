//! Frequencies and thermal throttling of CPUs, from /sys/devices/system/cpu.
//!
//! Limits, governors and topology are read again once a minute; frequencies and throttle counts
//! at every tick.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::listing::{Due, RELIST, numbered};
use super::metrics::cpu as m;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, Metric};

/// What only changes when somebody sets it. The kernel counts in kHz.
static LIMITS: [(&str, &Metric); 4] = [
    ("cpuinfo_min_freq", &m::FREQUENCY_MIN),
    ("cpuinfo_max_freq", &m::FREQUENCY_MAX),
    ("scaling_min_freq", &m::SCALING_FREQUENCY_MIN),
    ("scaling_max_freq", &m::SCALING_FREQUENCY_MAX),
];

struct Policy {
    cpu: String,
    dir: PathBuf,
    limits: [Option<f64>; 4],
    governor: String,
    governors: Vec<String>,
    has_current: bool,
}

pub(super) struct Cpufreq {
    dir: PathBuf,
    due: Due,
    policies: Vec<Policy>,
}

impl Cpufreq {
    pub(super) fn new(paths: &Paths) -> Self {
        let dir = paths.sys.join("devices/system/cpu");
        Self { dir, due: Due::default(), policies: Vec::new() }
    }

    fn list(&mut self, buffer: &mut Buffer) {
        self.policies.clear();
        for (cpu, path) in numbered(&self.dir, "cpu") {
            let dir = path.join("cpufreq");
            let Some(governor) = buffer.attribute(&dir, "scaling_governor").map(str::to_owned)
            else {
                continue;
            };
            let governors = buffer.attribute(&dir, "scaling_available_governors");
            let governors = governors.unwrap_or_default().split_ascii_whitespace();
            let governors = governors.map(str::to_owned).collect();
            let limits = LIMITS.map(|(file, _)| buffer.number(&dir, file));
            // Drivers that do not know it have the file and refuse to be read, or lack it.
            let has_current = buffer.number(&dir, "cpuinfo_cur_freq").is_some();
            self.policies.push(Policy { cpu, dir, limits, governor, governors, has_current });
        }
    }
}

impl Source for Cpufreq {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        if self.due.every(RELIST) {
            self.list(buffer);
        }
        for policy in &self.policies {
            let mut cpu = batch.entity("cpu", &[("cpu", &policy.cpu)]);
            if policy.has_current {
                let hardware = buffer.number(&policy.dir, "cpuinfo_cur_freq");
                cpu.set_opt(&m::FREQUENCY, hardware.map(|khz| khz * 1000.0));
            }
            if let Some(khz) = buffer.number(&policy.dir, "scaling_cur_freq") {
                cpu.set(&m::SCALING_FREQUENCY, khz * 1000.0);
            } else {
                self.due.reset();
            }
            for ((_, metric), limit) in LIMITS.iter().zip(policy.limits) {
                if let Some(khz) = limit {
                    cpu.set(metric, khz * 1000.0);
                }
            }
            for governor in &policy.governors {
                let used = f64::from(u8::from(*governor == policy.governor));
                cpu.set_with(&m::SCALING_GOVERNOR, &[("governor", governor)], used);
            }
        }
        Ok(())
    }
}

/// Where a count of throttles is read: threads of a core share one, cores of a package another.
struct Counter {
    package: String,
    core: Option<String>,
    dir: PathBuf,
}

/// Thermal throttling.
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
    fn cpu_with_unreadable_values_has_only_the_others() {
        let base = "devices/system/cpu/cpu3/cpufreq";
        let text = Text::new(&format!("{base}/scaling_governor"), "powersave\n");
        text.write(&format!("{base}/cpuinfo_cur_freq"), "<unknown>\n");
        text.write(&format!("{base}/scaling_cur_freq"), "800000\n");
        text.write(&format!("{base}/scaling_max_freq"), "garbage");
        text.write(&format!("{base}/scaling_available_governors"), "performance powersave\n");
        assert_eq!(
            rows(&mut Cpufreq::new(&text.paths)),
            [
                "node_cpu_scaling_frequency_hertz{cpu=\"3\"} 800000000",
                "node_cpu_scaling_governor{cpu=\"3\",governor=\"performance\"} 0",
                "node_cpu_scaling_governor{cpu=\"3\",governor=\"powersave\"} 1",
            ]
        );
    }

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
