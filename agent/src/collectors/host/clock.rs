//! The node's clock: time, zone, clock sources, and how the kernel disciplines it.

use std::path::PathBuf;

use sextant_proto::v1::Severity;

use super::buffer::Buffer;
use super::listing::{Due, RELIST, numbered};
use super::metrics::clock as m;
use super::parse::words;
use super::syscalls::{Syscalls, Timex};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, node_event};

struct ClockSource {
    device: String,
    available: Vec<String>,
    current: String,
}

/// Time, zone and clock sources.
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

/// What adjtimex(2) returns when the clock is not synchronized.
const TIME_ERROR: i32 = 5;
/// Set in `status` when offsets are in nanoseconds, not microseconds.
const STA_NANO: i32 = 0x2000;
/// Frequencies are in millionths, with 16 bits after the point.
const PPM_16: f64 = 1_000_000.0 * 65_536.0;

/// The kernel's clock discipline. Becoming synchronized or not is an event.
pub(super) struct Discipline {
    adjtimex: fn() -> std::io::Result<Timex>,
    synchronized: Option<bool>,
}

impl Discipline {
    pub(super) fn new(syscalls: &Syscalls) -> Self {
        Self { adjtimex: syscalls.adjtimex, synchronized: None }
    }
}

impl Source for Discipline {
    fn read(&mut self, batch: &mut Batch, _: &mut Buffer) -> Result<(), CollectError> {
        let timex = (self.adjtimex)()
            .map_err(|source| CollectError::Read { what: "adjtimex".into(), source })?;
        let synchronized = timex.state != TIME_ERROR;
        if self.synchronized.is_some_and(|before| before != synchronized) {
            batch.event(if synchronized {
                let message = "the clock is synchronized".into();
                node_event("host.clock_synchronized", Severity::Info, message)
            } else {
                let message = "the clock is not synchronized any more".into();
                node_event("host.clock_unsynchronized", Severity::Warning, message)
            });
        }
        self.synchronized = Some(synchronized);
        let mut node = batch.node();
        for (field, value) in m::TIMEX.iter().zip(values(&timex, synchronized)) {
            node.set(&field.metric, value);
        }
        Ok(())
    }
}

/// The values in the order of [`m::TIMEX`].
fn values(t: &Timex, synchronized: bool) -> [f64; 17] {
    let divisor = if t.status & STA_NANO == 0 { 1e6 } else { 1e9 };
    [
        f64::from(u8::from(synchronized)),
        t.offset as f64 / divisor,
        1.0 + t.freq as f64 / PPM_16,
        t.maxerror as f64 / 1e6,
        t.esterror as f64 / 1e6,
        f64::from(t.status),
        t.constant as f64,
        t.tick as f64 / 1e6,
        t.ppsfreq as f64 / PPM_16,
        t.jitter as f64 / divisor,
        f64::from(t.shift),
        t.stabil as f64 / PPM_16,
        t.jitcnt as f64,
        t.calcnt as f64,
        t.errcnt as f64,
        t.stbcnt as f64,
        f64::from(t.tai),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows, tick};
    use super::*;

    #[test]
    fn change_of_synchronization_is_an_event_but_the_first_reading_is_not() {
        fn state(state: i32) -> std::io::Result<Timex> {
            Ok(Timex { state, ..Timex::default() })
        }
        let mut source = Discipline::new(&Syscalls::live());
        let mut kinds = |adjtimex| {
            source.adjtimex = adjtimex;
            tick(&mut source).2.into_iter().map(|e| e.r#type).collect::<Vec<_>>()
        };
        assert!(kinds(|| state(5)).is_empty());
        assert_eq!(kinds(|| state(0)), ["host.clock_synchronized"]);
        assert!(kinds(|| state(1)).is_empty());
        assert!(kinds(|| Err(std::io::ErrorKind::PermissionDenied.into())).is_empty());
        assert_eq!(kinds(|| state(5)), ["host.clock_unsynchronized"]);
    }

    #[test]
    fn offsets_are_in_the_unit_that_the_status_says() {
        let timex = Timex { offset: 1500, jitter: 3, ..Timex::default() };
        assert_eq!(values(&timex, true)[1], 0.0015);
        assert_eq!(values(&Timex { status: STA_NANO, ..timex }, true)[1], 0.000_001_5);
    }

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
