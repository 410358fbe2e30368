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
}
