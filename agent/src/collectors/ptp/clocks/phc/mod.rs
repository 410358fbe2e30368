//! PTP hardware clocks: what they are, what they show against the system clock, how they are
//! steered, and whether they jump.
//!
//! Devices are opened for reading alone and kept open; a clock is read at most once a second,
//! with few samples, because each is a bus access that its servo has to share. While ts2phc
//! runs, only clocks of drivers that are known not to lose external time stamps by that are read.

mod inventory;
mod sample;
mod steps;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sextant_proto::frame::ABSENT;

use self::inventory::Description;
use self::sample::{Ladder, Method, SampleError};
use self::steps::{Point, Steps};
use super::{PhcReading, UtcOffset, sys};
use crate::collectors::Paths;
use crate::collectors::ptp::metrics as m;
use crate::sample::Batch;

/// How often clocks are looked for.
const RESCAN: Duration = Duration::from_secs(10);
/// Readings are not closer together than this: a second, less what a tick may come early.
const CLOSEST: Duration = Duration::from_millis(900);
/// Drivers whose external time stamps come by an interrupt of their own, whatever else is read.
/// Others poll for them, and reading the time takes the edge away (raspberrypi/linux#5231).
const SAFE_DRIVERS: [&str; 6] = ["i40e", "ice", "igb", "igc", "mlx5_core", "ptp_ocp"];
/// `timex.freq`: millionths with 16 bits after the point.
const PPM_16: f64 = 65_536.0 * 1e6;

enum Device {
    /// Why it could not be opened; tried again when clocks are looked for.
    Closed(io::Error),
    Open(File),
}

impl Device {
    fn open(path: &Path) -> Self {
        OpenOptions::new().read(true).open(path).map_or_else(Self::Closed, Self::Open)
    }
}

struct Clock {
    description: Description,
    device: Device,
    ladder: Ladder,
    steps: Steps,
    /// Counters.
    jumps: u64,
    wide: u64,
    errors: u64,
    /// At the last reading.
    outcome: Outcome,
    /// How the last reading that came to something was made.
    method: Option<Method>,
    frequency: Option<f64>,
    /// It was open and is not there any more.
    went: bool,
}

/// What the last reading came to.
enum Outcome {
    /// None was tried, for this reason.
    Off(&'static str),
    Failed,
    Read {
        offset_ns: f64,
        window_ns: f64,
    },
}

impl Clock {
    fn new(description: Description) -> Self {
        Self {
            description,
            device: Device::Closed(io::ErrorKind::NotFound.into()),
            ladder: Ladder::default(),
            steps: Steps::default(),
            jumps: 0,
            wide: 0,
            errors: 0,
            outcome: Outcome::Failed,
            method: None,
            frequency: None,
            went: false,
        }
    }

    /// Whether external time stamps may be lost while ts2phc runs.
    fn is_delicate(&self) -> bool {
        self.description.external_timestamps.is_none_or(|channels| channels > 0.0)
            && !SAFE_DRIVERS.contains(&self.description.driver.as_str())
    }

    fn poll(&mut self, batch: &mut Batch) {
        let file = match &self.device {
            Device::Open(file) => file,
            Device::Closed(error) => {
                let name = &self.description.name;
                batch.fail("phc", &format_args!("open {name}: {error}"));
                self.outcome = Outcome::Off(reason(error));
                return;
            }
        };
        let steering = sys::phc_steering(file.as_fd()).ok();
        let frequency = steering.map(|steering| steering.frequency as f64 / PPM_16);
        self.frequency = frequency;
        let (method, sample) = match self.ladder.read(file.as_fd()) {
            Ok(read) => read,
            Err(error) => {
                self.failed(&error, batch);
                return;
            }
        };
        let uncertainty_ns = sample.window_ns / 2.0;
        match sample.raw_ns {
            Some(raw_ns) => {
                let (clock_ns, adjustment) = (sample.clock_ns, frequency.unwrap_or(0.0));
                let point = Point { clock_ns, raw_ns, uncertainty_ns, adjustment };
                self.jumps += u64::from(self.steps.observe(point).is_some());
            }
            None => self.steps.interrupt(),
        }
        let (offset_ns, window_ns) = (sample.offset_ns(), sample.window_ns);
        self.method = Some(method);
        self.outcome = Outcome::Read { offset_ns, window_ns };
    }

    fn failed(&mut self, error: &SampleError, batch: &mut Batch) {
        self.outcome = Outcome::Failed;
        match error {
            SampleError::Unsupported => {
                self.outcome = Outcome::Off("unsupported");
            }
            SampleError::Window => self.wide += 1,
            SampleError::Read(source) => {
                self.errors += 1;
                let name = &self.description.name;
                batch.fail("phc", &format_args!("{name}: {error}: {source}"));
                // The clock went; if it comes again, it is another.
                if source.raw_os_error() == Some(libc::ENODEV) {
                    self.device = Device::Closed(io::Error::from_raw_os_error(libc::ENODEV));
                    self.went = true;
                }
            }
        }
    }

    fn reading(&self) -> Option<PhcReading> {
        let Outcome::Read { offset_ns, window_ns, .. } = self.outcome else { return None };
        let frequency_ppb = self.frequency.map(|ratio| ratio * 1e9);
        Some(PhcReading { offset_ns, uncertainty_ns: window_ns / 2.0, frequency_ppb })
    }

    fn set(&self, batch: &mut Batch, utc: UtcOffset) {
        let d = &self.description;
        let mut phc = batch.entity("phc", &[("phc", &d.name)]);
        let info: [(&str, &str); 4] = [
            ("clock_name", &d.clock_name),
            ("netdevs", &d.netdevs),
            ("driver", &d.driver),
            ("pci", &d.pci),
        ];
        phc.set_with(&m::PHC_INFO, &info, 1.0);
        let numbers = [
            (&m::PHC_MAX_ADJUSTMENT, d.max_adjustment.map(|ppb| ppb / 1e9)),
            (&m::PHC_PINS, d.programmable_pins),
            (&m::PHC_EXTERNAL_TIMESTAMPS, d.external_timestamps),
            (&m::PHC_PERIODIC_OUTPUTS, d.periodic_outputs),
            (&m::PHC_ALARMS, d.alarms),
            (&m::PHC_PPS, d.pps),
            (&m::PHC_VCLOCKS, d.vclocks),
        ];
        for (metric, value) in numbers {
            if let Some(value) = value {
                phc.set(metric, value);
            }
        }
        for pin in &d.pins {
            let labels: [(&str, &str); 2] = [("pin", &pin.name), ("channel", &pin.channel)];
            phc.set_with(&m::PHC_PIN, &labels, pin.function);
        }
        if let Outcome::Off(reason) = self.outcome {
            phc.unavailable(&m::PHC_OFFSET, reason);
        }
        // What is absent keeps its column, so that a reading that fails is no other layout.
        if let Some(method) = self.method {
            let reading = self.reading();
            let offset_ns = reading.map(|reading| reading.offset_ns);
            phc.set_opt(&m::PHC_OFFSET, offset_ns.map(|ns| ns / 1e9));
            if let Some(utc) = utc.0 {
                let error_ns = offset_ns.map(|ns| ns - f64::from(utc) * 1e9);
                phc.set_opt(&m::PHC_UTC_ERROR, error_ns.map(|ns| ns / 1e9));
            }
            let uncertainty = reading.map_or(ABSENT, |reading| reading.uncertainty_ns / 1e9);
            phc.set_with(&m::PHC_UNCERTAINTY, &[("method", method.name())], uncertainty);
        }
        if let Some(frequency) = self.frequency {
            phc.set(&m::PHC_FREQUENCY, frequency);
        }
        phc.set(&m::PHC_STEPS, self.jumps as f64);
        let failures = [("window", self.wide), ("error", self.errors)];
        for (reason, count) in failures {
            phc.set_with(&m::PHC_READ_FAILURES, &[("reason", reason)], count as f64);
        }
    }
}

/// A stable word for why a device cannot be opened.
fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission_denied",
        io::ErrorKind::NotFound => "no_device",
        _ if error.raw_os_error() == Some(libc::ENODEV) => "gone",
        _ => "error",
    }
}

/// The clocks of the node.
pub(super) struct Phcs {
    class: PathBuf,
    dev: PathBuf,
    polling: bool,
    clocks: Vec<Clock>,
    scanned: Option<Instant>,
    polled: Option<Instant>,
}

impl Phcs {
    /// With `polling` off, no clock is opened.
    pub(super) fn new(paths: &Paths, polling: bool) -> Self {
        Self {
            class: paths.sys.join("class/ptp"),
            dev: paths.dev.clone(),
            polling,
            clocks: Vec::new(),
            scanned: None,
            polled: None,
        }
    }

    /// Reads what is due. True if the list of clocks changed.
    pub(super) fn collect(&mut self, batch: &mut Batch, now: Instant, ts2phc: bool) -> bool {
        let due = |last: Option<Instant>, period| last.is_none_or(|last| now - last >= period);
        let mut changed = false;
        if due(self.scanned, RESCAN) {
            self.scanned = Some(now);
            changed = self.rescan();
        }
        if due(self.polled, CLOSEST) {
            self.polled = Some(now);
            for clock in &mut self.clocks {
                if !self.polling {
                    clock.outcome = Outcome::Off("switched_off");
                } else if ts2phc && clock.is_delicate() {
                    clock.outcome = Outcome::Off("ts2phc");
                    clock.steps.interrupt();
                } else {
                    clock.poll(batch);
                    if std::mem::take(&mut clock.went) {
                        self.scanned = None;
                    }
                }
            }
        }
        changed
    }

    /// Sets the last readings.
    pub(super) fn set(&self, batch: &mut Batch, utc: UtcOffset) {
        for clock in &self.clocks {
            clock.set(batch, utc);
        }
    }

    /// The last reading of a clock.
    pub(super) fn reading(&self, index: i32) -> Option<PhcReading> {
        self.clocks.iter().find(|clock| clock.description.index == index)?.reading()
    }

    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        !self.clocks.is_empty()
    }

    /// The clock, if it is the only one.
    pub(super) fn only(&self) -> Option<i32> {
        match &self.clocks[..] {
            [clock] => Some(clock.description.index),
            _ => None,
        }
    }

    fn rescan(&mut self) -> bool {
        let found = inventory::scan(&self.class);
        let same = |old: &Description, new: &Description| {
            (&old.name, &old.dev, &old.clock_name) == (&new.name, &new.dev, &new.clock_name)
        };
        let unchanged = found.len() == self.clocks.len()
            && found.iter().zip(&self.clocks).all(|(new, old)| same(&old.description, new));
        let mut old = std::mem::take(&mut self.clocks);
        for description in found {
            let known = old.iter().position(|clock| same(&clock.description, &description));
            let mut clock = match known {
                Some(at) => old.swap_remove(at),
                None => Clock::new(description.clone()),
            };
            if self.polling && matches!(clock.device, Device::Closed(_)) {
                clock.device = Device::open(&self.dev.join(&description.name));
            }
            clock.description = description;
            self.clocks.push(clock);
        }
        !unchanged
    }
}

#[cfg(test)]
mod tests;
