//! The node's time, its zone and the kernel's clock sources.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::listing::{Due, RELIST, numbered};
use super::metrics::clock as m;
use super::parse::words;
use super::syscalls::Syscalls;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

struct ClockSource {
    device: String,
    available: Vec<String>,
    current: String,
}

pub(super) struct Time {
    time: fn() -> f64,
    zone: fn() -> (String, f64),
    dir: PathBuf,
    due: Due,
    sources: Vec<ClockSource>,
    last_zone: (String, f64),
}

impl Time {
    pub(super) fn new(paths: &Paths, syscalls: &Syscalls) -> Self {
        Self {
            time: syscalls.time,
            zone: syscalls.zone,
            dir: paths.sys.join("devices/system/clocksource"),
            due: Due::default(),
            sources: Vec::new(),
            last_zone: (String::new(), 0.0),
        }
    }

    fn list(&mut self, buffer: &mut Buffer) {
        self.last_zone = (self.zone)();
        self.sources.clear();
        for (device, dir) in numbered(&self.dir, "clocksource") {
            let available = buffer.attribute(&dir, "available_clocksource").unwrap_or_default();
            let available = words(available).map(str::to_owned).collect();
            let current = buffer.attribute(&dir, "current_clocksource").unwrap_or_default();
            self.sources.push(ClockSource { device, available, current: current.to_owned() });
        }
    }
}

impl Source for Time {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        if self.due.every(RELIST) {
            self.list(buffer);
        }
        let mut node = batch.node();
        node.set(&m::TIME, (self.time)());
        let (zone, offset) = &self.last_zone;
        node.set_with(&m::ZONE_OFFSET, &[("time_zone", zone)], *offset);
        for source in &self.sources {
            for name in &source.available {
                let labels = [("device", source.device.as_str()), ("clocksource", name)];
                node.set_with(&m::CLOCKSOURCE_AVAILABLE, &labels, 1.0);
            }
            if !source.current.is_empty() {
                let labels = [("device", source.device.as_str()), ("clocksource", &source.current)];
                node.set_with(&m::CLOCKSOURCE_CURRENT, &labels, 1.0);
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
    fn clock_source_without_current_has_only_the_available() {
        let base = "devices/system/clocksource/clocksource0";
        let text = Text::new(&format!("{base}/available_clocksource"), "tsc hpet \n");
        let syscalls = Syscalls { time: || 5.0, zone: || ("UTC".into(), 0.0), ..Syscalls::live() };
        assert_eq!(
            rows(&mut Time::new(&text.paths, &syscalls)),
            [
                "node_time_clocksource_available_info{device=\"0\",clocksource=\"hpet\"} 1",
                "node_time_clocksource_available_info{device=\"0\",clocksource=\"tsc\"} 1",
                "node_time_seconds 5",
                "node_time_zone_offset_seconds{time_zone=\"UTC\"} 0",
            ]
        );
    }
}
