//! The frame around a data set: PTPv2 management messages, big-endian.
//!
//! 34 bytes of header, the target's port identity, hops and action up to 48, then one TLV: type,
//! length, `managementId` at 52, data from 54. Lengths are taken at their word only within the
//! datagram that came.

use super::datasets::{PortIdentity, be16};

/// Bytes of a GET: its TLV has no data.
pub const REQUEST_BYTES: usize = 54;
const REQUEST_LENGTH: u8 = 54;
/// The port number that means every port.
pub const EVERY_PORT: u16 = 0xffff;

const MANAGEMENT: u8 = 0xd;
const VERSION: u8 = 2;
const CONTROL_MANAGEMENT: u8 = 4;
/// `logMessageInterval` of what has no interval.
const NO_INTERVAL: u8 = 0x7f;
const TLV: usize = 48;
const DATA: usize = 54;
const ACTION_RESPONSE: u8 = 2;
const TLV_MANAGEMENT: u16 = 1;
const TLV_ERROR: u16 = 2;
/// `lengthField` counts from byte 52.
const LENGTH_FROM: usize = 52;

/// What a GET asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    pub id: u16,
    pub domain: u8,
    /// `majorSdoId`: 0, or 1 for gPTP.
    pub transport_specific: u8,
    pub source: PortIdentity,
    pub sequence: u16,
    /// A port, or [`EVERY_PORT`] for the clock.
    pub port: u16,
}

impl Request {
    /// The message. Boundary hops are 0: with more, ptp4l would pass it on to the network.
    #[must_use]
    pub fn encode(&self) -> [u8; REQUEST_BYTES] {
        let mut out = [0; REQUEST_BYTES];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &[self.transport_specific << 4 | MANAGEMENT, VERSION]);
        put(3, &[REQUEST_LENGTH]);
        put(4, &[self.domain]);
        put(20, &self.source.clock.0);
        put(28, &self.source.port.to_be_bytes());
        put(30, &self.sequence.to_be_bytes());
        put(32, &[CONTROL_MANAGEMENT, NO_INTERVAL]);
        put(34, &[0xff; 8]);
        put(42, &self.port.to_be_bytes());
        put(TLV, &TLV_MANAGEMENT.to_be_bytes());
        put(50, &2u16.to_be_bytes());
        put(52, &self.id.to_be_bytes());
        out
    }
}

/// Why a datagram is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("message of {0} bytes is too short")]
    Short(usize),
    #[error("not a management message of PTP version 2")]
    Kind,
    #[error("length {0} is not that of the message")]
    Length(u16),
    #[error("action {0} is not a response")]
    Action(u8),
    #[error("TLV of type {0}")]
    Tlv(u16),
    #[error("data set {id:#06x} of {bytes} bytes is too short")]
    DataSet { id: u16, bytes: usize },
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    pub domain: u8,
    /// `minorVersionPTP`: 1 from linuxptp 4.0 on.
    pub minor_version: u8,
    pub source: PortIdentity,
    /// Who had asked.
    pub target: PortIdentity,
    pub sequence: u16,
    pub body: Body<'a>,
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    Data { id: u16, data: &'a [u8] },
    Error { id: u16, error: u16 },
}

/// Reads an answer. Bytes after the message or the TLV are somebody's extension and are ignored.
///
/// # Errors
/// [`Malformed`] says what is wrong with it.
pub fn parse(datagram: &[u8]) -> Result<Reply<'_>, Malformed> {
    if datagram.len() < DATA {
        return Err(Malformed::Short(datagram.len()));
    }
    if datagram[0] & 0xf != MANAGEMENT || datagram[1] & 0xf != VERSION {
        return Err(Malformed::Kind);
    }
    let length = be16(datagram, 2);
    let Some(message) = datagram.get(..length.into()).filter(|m| m.len() >= DATA) else {
        return Err(Malformed::Length(length));
    };
    let action = message[46] & 0xf;
    if action != ACTION_RESPONSE {
        return Err(Malformed::Action(action));
    }
    let field = be16(message, 50);
    let end = LENGTH_FROM + usize::from(field);
    let Some(value) = message.get(LENGTH_FROM..end).filter(|value| value.len() >= 2) else {
        return Err(Malformed::Length(field));
    };
    let body = match be16(message, TLV) {
        TLV_MANAGEMENT => Body::Data { id: be16(value, 0), data: &value[2..] },
        TLV_ERROR if value.len() >= 4 => Body::Error { error: be16(value, 0), id: be16(value, 2) },
        TLV_ERROR => return Err(Malformed::Length(field)),
        other => return Err(Malformed::Tlv(other)),
    };
    Ok(Reply {
        domain: message[4],
        minor_version: message[1] >> 4,
        source: PortIdentity::read(message, 20),
        target: PortIdentity::read(message, 34),
        sequence: be16(message, 30),
        body,
    })
}
