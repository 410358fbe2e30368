//! IEEE 1588's data sets, field by field as they lie in the TLV.
//!
//! Offsets are from the TLV's data on. A data set that is longer than known is a later version's,
//! a shorter one is malformed.

use std::fmt;

use super::{Malformed, id};

/// `TimeInterval`: nanoseconds in 2^-16.
const SCALED: f64 = 65536.0;

/// How counters are written: the one thing that is not big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From 4.0 on, which says version 2.1.
    Little,
    /// Before 4.0: as the node's processor has them.
    Host,
}

impl Order {
    /// The order of a ptp4l that answers with this `minorVersionPTP`.
    #[must_use]
    pub fn of_minor_version(minor: u8) -> Self {
        if minor == 0 { Self::Host } else { Self::Little }
    }

    pub(super) fn u64(self, data: &[u8], at: usize) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(array(data, at)),
            Self::Host => u64::from_ne_bytes(array(data, at)),
        }
    }
}

/// What a TLV holds.
pub trait DataSet<'a>: Sized {
    /// Its `managementId`.
    const ID: u16;
    /// The least that it is made of.
    const BYTES: usize;

    /// Reads it from at least so many bytes; `None` when a length within runs beyond them.
    fn read(data: &'a [u8], order: Order) -> Option<Self>;

    /// Reads it from a TLV's data.
    ///
    /// # Errors
    /// [`Malformed::DataSet`] when it is too short.
    fn decode(data: &'a [u8], order: Order) -> Result<Self, Malformed> {
        let whole = Some(data).filter(|data| data.len() >= Self::BYTES);
        whole
            .and_then(|data| Self::read(data, order))
            .ok_or(Malformed::DataSet { id: Self::ID, bytes: data.len() })
    }
}

pub(super) fn be16(data: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(data, at))
}

pub(super) fn be16_signed(data: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(array(data, at))
}

pub(super) fn be32(data: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(array(data, at))
}

pub(super) fn be64(data: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(array(data, at))
}

/// A `TimeInterval` in nanoseconds.
pub(super) fn interval(data: &[u8], at: usize) -> f64 {
    be64(data, at) as f64 / SCALED
}

fn log_interval(data: &[u8], at: usize) -> i8 {
    i8::from_be_bytes([data[at]])
}

pub(super) fn array<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&data[at..at + N]);
    out
}

/// An EUI-64; shown as `pmc` shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ClockIdentity(pub [u8; 8]);

impl fmt::Display for ClockIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}.{d:02x}{e:02x}.{g:02x}{h:02x}{i:02x}")
    }
}

/// A port of a clock; shown as `pmc` shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PortIdentity {
    pub clock: ClockIdentity,
    pub port: u16,
}

impl PortIdentity {
    pub(super) fn read(data: &[u8], at: usize) -> Self {
        Self { clock: ClockIdentity(array(data, at)), port: be16(data, at + 8) }
    }
}

impl fmt::Display for PortIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.clock, self.port)
    }
}

/// `portState`, as its number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortState(pub u8);

impl PortState {
    pub const INITIALIZING: Self = Self(1);
    pub const FAULTY: Self = Self(2);
    pub const DISABLED: Self = Self(3);
    pub const LISTENING: Self = Self(4);
    pub const PRE_MASTER: Self = Self(5);
    pub const MASTER: Self = Self(6);
    pub const PASSIVE: Self = Self(7);
    pub const UNCALIBRATED: Self = Self(8);
    pub const SLAVE: Self = Self(9);

    /// IEEE 1588's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::INITIALIZING => "INITIALIZING",
            Self::FAULTY => "FAULTY",
            Self::DISABLED => "DISABLED",
            Self::LISTENING => "LISTENING",
            Self::PRE_MASTER => "PRE_MASTER",
            Self::MASTER => "MASTER",
            Self::PASSIVE => "PASSIVE",
            Self::UNCALIBRATED => "UNCALIBRATED",
            Self::SLAVE => "SLAVE",
            Self(_) => "UNKNOWN",
        }
    }
}

/// Of the clock itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultDataSet {
    pub two_step: bool,
    pub slave_only: bool,
    pub ports: u16,
    pub priority1: u8,
    pub clock_class: u8,
    pub clock_accuracy: u8,
    pub clock_variance: u16,
    pub priority2: u8,
    pub clock: ClockIdentity,
    pub domain: u8,
}

impl DataSet<'_> for DefaultDataSet {
    const ID: u16 = id::DEFAULT_DATA_SET;
    const BYTES: usize = 20;

    fn read(data: &[u8], _order: Order) -> Option<Self> {
        Some(Self {
            two_step: data[0] & 1 != 0,
            slave_only: data[0] & 2 != 0,
            ports: be16(data, 2),
            priority1: data[4],
            clock_class: data[5],
            clock_accuracy: data[6],
            clock_variance: be16(data, 7),
            priority2: data[9],
            clock: ClockIdentity(array(data, 10)),
            domain: data[18],
        })
    }
}

/// Where the clock stands towards its master. Stays as it was when the master is lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurrentDataSet {
    pub steps_removed: u16,
    pub offset_ns: f64,
    pub path_delay_ns: f64,
}

impl DataSet<'_> for CurrentDataSet {
    const ID: u16 = id::CURRENT_DATA_SET;
    const BYTES: usize = 18;

    fn read(data: &[u8], _order: Order) -> Option<Self> {
        Some(Self {
            steps_removed: be16(data, 0),
            offset_ns: interval(data, 2),
            path_delay_ns: interval(data, 10),
        })
    }
}

/// Master and grandmaster. Stays as it was when they are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentDataSet {
    pub parent: PortIdentity,
    pub observed_variance: u16,
    pub phase_change_rate: i32,
    pub grandmaster_priority1: u8,
    pub grandmaster_class: u8,
    pub grandmaster_accuracy: u8,
    pub grandmaster_variance: u16,
    pub grandmaster_priority2: u8,
    pub grandmaster: ClockIdentity,
}

impl DataSet<'_> for ParentDataSet {
    const ID: u16 = id::PARENT_DATA_SET;
    const BYTES: usize = 32;

    fn read(data: &[u8], _order: Order) -> Option<Self> {
        Some(Self {
            parent: PortIdentity::read(data, 0),
            observed_variance: be16(data, 12),
            phase_change_rate: be32(data, 14),
            grandmaster_priority1: data[18],
            grandmaster_class: data[19],
            grandmaster_accuracy: data[20],
            grandmaster_variance: be16(data, 21),
            grandmaster_priority2: data[23],
            grandmaster: ClockIdentity(array(data, 24)),
        })
    }
}

/// What the time that is told means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeProperties {
    pub utc_offset: i16,
    pub leap61: bool,
    pub leap59: bool,
    pub utc_offset_valid: bool,
    pub ptp_timescale: bool,
    pub time_traceable: bool,
    pub frequency_traceable: bool,
    /// 0x20 GNSS, 0xA0 internal oscillator.
    pub time_source: u8,
}

impl TimeProperties {
    pub(super) fn at(data: &[u8], at: usize) -> Self {
        let flag = |bit: u8| data[at + 2] & 1 << bit != 0;
        Self {
            utc_offset: be16_signed(data, at),
            leap61: flag(0),
            leap59: flag(1),
            utc_offset_valid: flag(2),
            ptp_timescale: flag(3),
            time_traceable: flag(4),
            frequency_traceable: flag(5),
            time_source: data[at + 3],
        }
    }
}

impl DataSet<'_> for TimeProperties {
    const ID: u16 = id::TIME_PROPERTIES_DATA_SET;
    const BYTES: usize = 4;

    fn read(data: &[u8], _order: Order) -> Option<Self> {
        Some(Self::at(data, 0))
    }
}

/// A port. Intervals are logarithms to base 2 of seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PortDataSet {
    pub port: PortIdentity,
    pub state: PortState,
    pub log_delay_request: i8,
    pub peer_delay_ns: f64,
    pub log_announce: i8,
    pub announce_receipt_timeout: u8,
    pub log_sync: i8,
    /// 1 E2E, 2 P2P.
    pub delay_mechanism: u8,
    pub log_peer_delay_request: i8,
    pub version: u8,
}

impl DataSet<'_> for PortDataSet {
    const ID: u16 = id::PORT_DATA_SET;
    const BYTES: usize = 26;

    fn read(data: &[u8], _order: Order) -> Option<Self> {
        Some(Self {
            port: PortIdentity::read(data, 0),
            state: PortState(data[10]),
            log_delay_request: log_interval(data, 11),
            peer_delay_ns: interval(data, 12),
            log_announce: log_interval(data, 20),
            announce_receipt_timeout: data[21],
            log_sync: log_interval(data, 22),
            delay_mechanism: data[23],
            log_peer_delay_request: log_interval(data, 24),
            version: data[25],
        })
    }
}

/// What a port is made of; of the texts only what tells ports apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockDescription<'a> {
    /// 0x8000 ordinary, 0x4000 boundary clock.
    pub clock_type: u16,
    /// The port's hardware address: how a port is found among the network devices where ptp4l
    /// does not name them.
    pub hardware_address: &'a [u8],
    /// IEEE 1588's `networkProtocol`: 1 IPv4, 2 IPv6, 3 Ethernet.
    pub protocol: u16,
    pub protocol_address: &'a [u8],
    pub product: &'a [u8],
}

impl<'a> DataSet<'a> for ClockDescription<'a> {
    const ID: u16 = id::CLOCK_DESCRIPTION;
    const BYTES: usize = 2;

    fn read(data: &'a [u8], _order: Order) -> Option<Self> {
        let mut rest = Rest(data);
        let clock_type = rest.u16()?;
        let text = rest.u8()?;
        rest.take(text.into())?;
        let length = rest.u16()?;
        let hardware_address = rest.take(length.into())?;
        let protocol = rest.u16()?;
        let length = rest.u16()?;
        let protocol_address = rest.take(length.into())?;
        // Manufacturer's OUI and a reserved byte.
        rest.take(4)?;
        let text = rest.u8()?;
        let product = rest.take(text.into())?;
        Some(Self { clock_type, hardware_address, protocol, protocol_address, product })
    }
}

/// What is left of bytes that are read one field after the other.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| be16(bytes, 0))
    }
}
