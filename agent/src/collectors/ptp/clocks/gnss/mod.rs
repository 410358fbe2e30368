//! GNSS receivers, as gpsd sees them. A receiver's own device is never opened: whoever reads it
//! takes the bytes away from gpsd or ts2phc.
//!
//! For the same reason gpsd is only asked while it runs (systemd would start it on a connection)
//! and only for receivers that it has open already: watching would make it open the others.
//! A receiver that gains or loses its fix is an event, in O-RAN's words as far as gpsd tells.

mod lines;
mod message;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use sextant_proto::v1::{Event, Label, Severity};

use self::lines::Lines;
use self::message::{Receiver, Report};
use crate::collectors::ptp::metrics as m;
use crate::sample::Batch;

/// How often a gpsd that does not answer, or has no receiver open, is asked.
const RETRY: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(50);
/// A receiver that is silent for so long has no values.
const SILENT: Duration = Duration::from_secs(10);
/// Bytes read in a tick; a receiver makes some 4 KB a second.
const MOST_BYTES: usize = 64 << 10;
/// Receivers beyond are not looked at.
const MOST_RECEIVERS: usize = 16;

struct Device {
    path: String,
    seen: Instant,
    mode: u32,
    /// It had a fix since we listen.
    had_fix: bool,
    /// Satellites used, and when they were told.
    satellites: Option<(u32, Instant)>,
    time_error: Option<f64>,
    state: &'static str,
}

impl Device {
    fn new(path: String, now: Instant) -> Self {
        Self {
            path,
            seen: now,
            mode: 0,
            had_fix: false,
            satellites: None,
            time_error: None,
            state: "",
        }
    }

    /// Takes a fix; gives the last state if it is another now.
    fn fix(&mut self, mode: u32, time_error: Option<f64>, now: Instant) -> Option<&'static str> {
        let has_fix = mode >= 2;
        (self.seen, self.mode) = (now, mode);
        // Without a fix gpsd goes on telling an error of no time.
        self.time_error = time_error.filter(|_| has_fix);
        self.had_fix |= has_fix;
        let state = match (has_fix, self.had_fix) {
            (true, _) => "SYNCHRONIZED",
            (false, true) => "FAILURE-NOFIX",
            (false, false) => "ACQUIRING-SYNC",
        };
        let previous = std::mem::replace(&mut self.state, state);
        (previous != state && !previous.is_empty()).then_some(previous)
    }

    fn event(&self, previous: &str) -> Event {
        let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
        let is_synchronized = self.state == "SYNCHRONIZED";
        let severity = if is_synchronized { Severity::Info } else { Severity::Critical };
        Event {
            time_unix_ms: 0,
            r#type: "ptp.gnss_state_changed".into(),
            severity: severity.into(),
            entity_type: "gnss".into(),
            entity: vec![label("device", &self.path)],
            message: format!("GNSS of {} went from {previous} to {}", self.path, self.state),
            attributes: vec![label("state", self.state), label("previous", previous)],
        }
    }

    fn set(&self, batch: &mut Batch, now: Instant) {
        let mut gnss = batch.entity("gnss", &[("device", &self.path)]);
        gnss.set(&m::GNSS_FIX, if self.mode >= 2 { self.mode.into() } else { 0.0 });
        if let Some((satellites, told)) = self.satellites
            && now - told < SILENT
        {
            gnss.set(&m::GNSS_SATELLITES, satellites.into());
        }
        if let Some(error) = self.time_error {
            gnss.set(&m::GNSS_TIME_OFFSET, error);
        }
    }
}

/// A connection to gpsd.
struct Link {
    stream: TcpStream,
    lines: Lines,
    watching: bool,
    /// When it was last asked for its receivers.
    asked: Instant,
}

/// The node's gpsd.
pub(super) struct Gnss {
    address: Option<SocketAddr>,
    link: Option<Link>,
    tried: Option<Instant>,
    devices: Vec<Device>,
    malformed: u64,
    now: Option<Instant>,
}

impl Gnss {
    /// Without an address nobody is asked.
    pub(super) fn new(address: Option<SocketAddr>) -> Self {
        let (link, tried, devices) = (None, None, Vec::new());
        Self { address, link, tried, devices, malformed: 0, now: None }
    }

    /// Lines that were not as they must be.
    pub(super) fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Whether there is a receiver.
    pub(super) fn any(&self) -> bool {
        !self.devices.is_empty()
    }

    /// Takes what gpsd told since the last time; `running` says that there is a gpsd.
    pub(super) fn collect(&mut self, batch: &mut Batch, now: Instant, running: bool) {
        self.now = Some(now);
        let Some(address) = self.address.filter(|_| running) else {
            self.link = None;
            self.devices.clear();
            return;
        };
        let link = match self.link.take() {
            Some(link) => link,
            None => {
                if self.tried.is_some_and(|tried| now - tried < RETRY) {
                    return;
                }
                self.tried = Some(now);
                match Link::open(address, now) {
                    Ok(link) => link,
                    // It starts, or listens elsewhere.
                    Err(error) if is_absence(&error) => return,
                    Err(error) => return batch.fail("gpsd", &error),
                }
            }
        };
        match self.read(link, batch, now) {
            Ok(link) => self.link = Some(link),
            Err(error) => {
                self.devices.clear();
                self.tried = Some(now);
                batch.fail("gpsd", &error);
            }
        }
    }

    fn read(&mut self, mut link: Link, batch: &mut Batch, now: Instant) -> io::Result<Link> {
        if !link.watching && now - link.asked >= RETRY {
            link.asked = now;
            link.stream.write_all(b"?DEVICES;\n")?;
        }
        let mut read = 0;
        while read < MOST_BYTES {
            match link.stream.read(link.lines.room()) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    read += length;
                    link.lines.filled(length);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            }
            let (stream, watching) = (&mut link.stream, &mut link.watching);
            let mut written = Ok(());
            self.malformed += link.lines.each(|line| {
                let Some(report) = message::parse(line) else { return false };
                if report.class == "DEVICES" && !*watching && written.is_ok() {
                    if let Some(request) = watch(&report.devices) {
                        *watching = true;
                        written = stream.write_all(request.as_bytes());
                    }
                } else if let Some(event) = take(&mut self.devices, &report, now) {
                    batch.event(event);
                }
                true
            });
            written?;
        }
        Ok(link)
    }

    /// Sets what is known.
    pub(super) fn set(&self, batch: &mut Batch) {
        let Some(now) = self.now else { return };
        for device in self.devices.iter().filter(|device| now - device.seen < SILENT) {
            device.set(batch, now);
        }
    }
}

/// Nobody listens there.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NetworkUnreachable)
}

impl Link {
    fn open(address: SocketAddr, now: Instant) -> io::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        stream.set_nonblocking(true)?;
        stream.write_all(b"?DEVICES;\n")?;
        Ok(Self { stream, lines: Lines::default(), watching: false, asked: now })
    }
}

/// How to ask for reports without making gpsd open a receiver: of all receivers if all are open,
/// else of the first that is. `None` if none is.
fn watch(receivers: &[Receiver]) -> Option<String> {
    let first = receivers.iter().find(|receiver| receiver.is_active())?;
    if receivers.iter().all(Receiver::is_active) {
        return Some("?WATCH={\"enable\":true,\"json\":true};\n".into());
    }
    let path = serde_json::Value::from(first.path.as_str());
    Some(format!("?WATCH={{\"enable\":true,\"json\":true,\"device\":{path}}};\n"))
}

/// Takes a fix or satellites.
fn take(devices: &mut Vec<Device>, report: &Report<'_>, now: Instant) -> Option<Event> {
    if report.device.is_empty() || !["TPV", "SKY"].contains(&&*report.class) {
        return None;
    }
    let at = match devices.iter().position(|device| device.path == report.device) {
        Some(at) => at,
        None if devices.len() < MOST_RECEIVERS && report.class == "TPV" => {
            devices.push(Device::new(report.device.as_ref().to_owned(), now));
            devices.len() - 1
        }
        None => return None,
    };
    let device = devices.get_mut(at)?;
    if report.class == "SKY" {
        let told = report.satellites_used().map(|satellites| (satellites, now));
        device.satellites = told.or(device.satellites);
        return None;
    }
    let previous = device.fix(report.mode.unwrap_or(0), report.ept, now)?;
    Some(device.event(previous))
}

#[cfg(test)]
mod tests;
