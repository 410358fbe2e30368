//! chronyd's own view of the system clock, asked by UDP on the loopback, where everybody may ask.
//!
//! Its unix socket would need a socket file of ours to answer to. A chronyd that is not there,
//! or has `cmdport 0`, is absent: it is looked for every ten seconds.

mod packet;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use self::packet::{PacketError, Tracking, UNSYNCHRONIZED};
use crate::collectors::ptp::metrics as m;
use crate::sample::Batch;

/// How often a chronyd that does not answer is asked.
const RETRY: Duration = Duration::from_secs(10);
/// How often one that does: a second, less what a tick may come early.
const CLOSEST: Duration = Duration::from_millis(900);
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_millis(100);
/// Late answers to earlier requests that are read past.
const MOST_LATE: usize = 4;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum ChronyError {
    #[error("ask chronyd: {0}")]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Packet(#[from] PacketError),
}

impl ChronyError {
    /// Nobody answers at all.
    fn is_absence(&self) -> bool {
        use io::ErrorKind::{ConnectionRefused, NetworkUnreachable, TimedOut, WouldBlock};
        let absences = [ConnectionRefused, NetworkUnreachable, TimedOut, WouldBlock];
        matches!(self, Self::Socket(error) if absences.contains(&error.kind()))
    }
}

/// The node's chronyd.
pub(super) struct Chrony {
    address: Option<SocketAddr>,
    timeout: Duration,
    socket: Option<UdpSocket>,
    sequence: u32,
    asked: Option<Instant>,
    tracking: Option<Tracking>,
    reference: String,
    stratum: String,
    malformed: u64,
}

impl Chrony {
    /// Without an address nobody is asked.
    pub(super) fn new(address: Option<SocketAddr>) -> Self {
        Self {
            address,
            timeout: TIMEOUT,
            socket: None,
            // A process that got our port before may be answered still.
            sequence: std::process::id(),
            asked: None,
            tracking: None,
            reference: String::new(),
            stratum: String::new(),
            malformed: 0,
        }
    }

    /// Answers that were not as they must be.
    pub(super) fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Whether it answers.
    pub(super) fn any(&self) -> bool {
        self.tracking.is_some()
    }

    /// The system clock's error in nanoseconds, positive if it is ahead, while chronyd is
    /// synchronized; `None` within if chronyd answers and is not.
    pub(super) fn system_offset_ns(&self) -> Option<Option<f64>> {
        let tracking = self.tracking?;
        Some((tracking.leap != UNSYNCHRONIZED).then_some(-tracking.correction * 1e9))
    }

    /// Asks if it is due.
    pub(super) fn collect(&mut self, batch: &mut Batch, now: Instant) {
        let Some(address) = self.address else { return };
        let period = if self.tracking.is_some() { CLOSEST } else { RETRY };
        if self.asked.is_some_and(|asked| now - asked < period) {
            return;
        }
        self.asked = Some(now);
        let before = self.tracking.take();
        match self.ask(address) {
            Ok(tracking) => {
                let renamed = |before: Tracking| before.reference != tracking.reference;
                if before.is_none_or(renamed) {
                    self.reference = tracking.reference.to_string();
                }
                if before.is_none_or(|before| before.stratum != tracking.stratum) {
                    self.stratum = tracking.stratum.to_string();
                }
                self.tracking = Some(tracking);
            }
            Err(error) => {
                self.socket = None;
                self.malformed +=
                    u64::from(matches!(error, ChronyError::Packet(PacketError::Malformed)));
                if before.is_some() || !error.is_absence() {
                    batch.fail("chrony", &error);
                }
            }
        }
    }

    fn ask(&mut self, address: SocketAddr) -> Result<Tracking, ChronyError> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => connect(address, self.timeout)?,
        };
        let socket = self.socket.insert(socket);
        self.sequence = self.sequence.wrapping_add(1);
        socket.send(&packet::request(self.sequence))?;
        // Longer than any answer, so that one that is too long is seen to be.
        let mut bytes = [0; packet::BYTES + 1];
        for _ in 0..MOST_LATE {
            let length = socket.recv(&mut bytes)?;
            match packet::parse(&bytes[..length], self.sequence) {
                Err(PacketError::Other) => {}
                other => return Ok(other?),
            }
        }
        Err(PacketError::Other.into())
    }

    /// Sets what it told.
    pub(super) fn set(&self, batch: &mut Batch) {
        let Some(tracking) = &self.tracking else { return };
        let leap = match tracking.leap {
            0 => "normal",
            1 => "insert_second",
            2 => "delete_second",
            UNSYNCHRONIZED => "not_synchronized",
            _ => "unknown",
        };
        let info: [(&str, &str); 3] =
            [("reference", &self.reference), ("stratum", &self.stratum), ("leap", leap)];
        batch
            .node()
            .set_with(&m::CHRONY_INFO, &info, 1.0)
            .set(&m::CHRONY_STRATUM, tracking.stratum.into())
            .set(&m::CHRONY_ROOT_DELAY, tracking.root_delay)
            .set(&m::CHRONY_ROOT_DISPERSION, tracking.root_dispersion)
            .set(&m::CHRONY_RMS_OFFSET, tracking.rms_offset);
    }
}

fn connect(address: SocketAddr, timeout: Duration) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(timeout))?;
    Ok(socket)
}

#[cfg(test)]
mod tests;
