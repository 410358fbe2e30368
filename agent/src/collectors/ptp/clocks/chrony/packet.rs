//! The request for chronyd's tracking report and its answer: version 6 of chrony's command
//! protocol (chrony 1.25 and later), everything in network order.
//!
//! Request: version, type 1, two zero bytes, command (u16), attempt (u16), sequence (u32), eight
//! zero bytes, and zeroes up to the length of the answer, which is never longer than its request.
//! Answer: version, type 2, two bytes, command, reply, status (u16 each), six bytes, sequence,
//! eight bytes, and the report.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The length of both.
pub(super) const BYTES: usize = 28 + 76;

const VERSION: u8 = 6;
const TYPE_REQUEST: u8 = 1;
const TYPE_REPLY: u8 = 2;
const REQUEST_TRACKING: u16 = 33;
const REPLY_TRACKING: u16 = 5;

/// What follows the answer's header.
const REPORT: usize = 28;
/// `LEAP_Unsynchronised`.
pub(super) const UNSYNCHRONIZED: u16 = 3;

/// Where chronyd has its time from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reference {
    /// A reference clock's name of up to four letters, or a number.
    Id([u8; 4]),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// The tracking report, in seconds and parts per million.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tracking {
    pub(super) reference: Reference,
    pub(super) stratum: u16,
    /// 0 normal, 1 second inserted, 2 second deleted, 3 not synchronized.
    pub(super) leap: u16,
    /// What has to be added to the system clock to be right.
    pub(super) correction: f64,
    pub(super) rms_offset: f64,
    pub(super) root_delay: f64,
    pub(super) root_dispersion: f64,
}

/// Why an answer is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PacketError {
    #[error("chronyd's answer is malformed")]
    Malformed,
    #[error("chronyd refuses with status {0}")]
    Refused(u16),
    /// To an earlier request, most likely: read the next one.
    #[error("chronyd's answer is to another request")]
    Other,
}

/// The request.
pub(super) fn request(sequence: u32) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    (bytes[0], bytes[1]) = (VERSION, TYPE_REQUEST);
    bytes[4..6].copy_from_slice(&REQUEST_TRACKING.to_be_bytes());
    bytes[8..12].copy_from_slice(&sequence.to_be_bytes());
    bytes
}

/// The report in an answer to the request with this sequence number.
pub(super) fn parse(bytes: &[u8], sequence: u32) -> Result<Tracking, PacketError> {
    let half = |at| field(bytes, at).map(u16::from_be_bytes);
    let word = |at| field(bytes, at).map(u32::from_be_bytes);
    if bytes.first() != Some(&VERSION) || bytes.get(1) != Some(&TYPE_REPLY) {
        return Err(PacketError::Malformed);
    }
    if half(4)? != REQUEST_TRACKING || word(16)? != sequence {
        return Err(PacketError::Other);
    }
    match half(8)? {
        0 => {}
        status => return Err(PacketError::Refused(status)),
    }
    let report = bytes.get(REPORT..BYTES).ok_or(PacketError::Malformed)?;
    if half(6)? != REPLY_TRACKING {
        return Err(PacketError::Malformed);
    }
    let seconds = |at| field(report, at).map(|bytes| float(u32::from_be_bytes(bytes)));
    let reference = match field(report, 20).map(u16::from_be_bytes)? {
        1 => Reference::V4(Ipv4Addr::from(field::<4>(report, 4)?)),
        2 => Reference::V6(Ipv6Addr::from(field::<16>(report, 4)?)),
        _ => Reference::Id(field(report, 0)?),
    };
    Ok(Tracking {
        reference,
        stratum: field(report, 24).map(u16::from_be_bytes)?,
        leap: field(report, 26).map(u16::from_be_bytes)?,
        correction: seconds(40)?,
        rms_offset: seconds(48)?,
        root_delay: seconds(64)?,
        root_dispersion: seconds(68)?,
    })
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], PacketError> {
    let rest = bytes.get(at..).and_then(<[u8]>::first_chunk);
    rest.copied().ok_or(PacketError::Malformed)
}

/// chrony's own number: an exponent of 7 bits and a coefficient of 25 bits, both signed; the
/// point is left of the coefficient.
fn float(bits: u32) -> f64 {
    const COEFFICIENT_BITS: i32 = 25;
    let bits = bits.cast_signed();
    let exponent = bits >> COEFFICIENT_BITS;
    let coefficient = (bits << 7) >> 7;
    f64::from(coefficient) * f64::from(exponent - COEFFICIENT_BITS).exp2()
}

impl std::fmt::Display for Reference {
    /// As chronyc shows it: a name where it can be one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => address.fmt(f),
            Self::Id(id) => {
                let end = id.iter().position(|byte| *byte == 0).unwrap_or(id.len());
                let (name, rest) = id.split_at(end);
                let is_name = !name.is_empty()
                    && name.iter().all(u8::is_ascii_graphic)
                    && rest.iter().all(|byte| *byte == 0);
                match std::str::from_utf8(name) {
                    Ok(name) if is_name => f.write_str(name),
                    _ => write!(f, "{:08X}", u32::from_be_bytes(*id)),
                }
            }
        }
    }
}
