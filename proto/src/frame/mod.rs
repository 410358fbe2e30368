//! Frames: ticks of one layout, and events, as bytes.
//!
//! A payload is an encoded [`FramePayload`](crate::v1::FramePayload). Values travel bit for bit. One bit pattern is not
//! a value: [`ABSENT`], Prometheus' own staleness marker, says that a series had no sample at
//! that tick.
//!
//! The frames of a layout form a *chain*: each is written as what differs from a prediction that
//! both sides make from the frames before, so that a steady sample is a few bits or none. What
//! keeps both sides together:
//!
//! 1. A frame names the frame before it by the checksum of its payload. A decoder whose chain
//!    does not stand exactly there answers [`FrameError::Chain`] and changes nothing: a frame is
//!    never misread, whatever was lost, repeated or reordered.
//! 2. A frame with a *key*, the state before it, can be read alone, and the chain goes on from
//!    it. Attaching a key does not touch the payload; whoever has the state can do it. A chain's
//!    first frame always has one, of a few bytes.
//! 3. Every frame that can be read moves the chain, also one whose content is refused or was
//!    known. A frame that cannot be read ends it: what follows answers [`FrameError::Chain`].
//! 4. An encoder begins a chain anew after half an hour without a frame (or four ticks, if that
//!    is longer); decoders remember one for twice as long, and longer while they have room.
//!
//! [`ChainEncoder`] writes chains, [`ChainDecoder`] reads them, one of each per stream of frames.
//! [`plain`] writes frames without a chain.

mod bits;
mod chain;
mod decode;
mod encode;
mod key;
mod pack;
pub mod plain;
mod series;
#[cfg(test)]
mod tests;
mod varint;

use crate::limits;
use crate::v1::Event;

pub use decode::ChainDecoder;
pub use encode::ChainEncoder;

/// "No sample at this tick": the staleness marker of Prometheus (`value.StaleNaN`).
pub const ABSENT: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether a value is [`ABSENT`] (an ordinary NaN is a value).
#[must_use]
pub fn is_absent(value: f64) -> bool {
    value.to_bits() == ABSENT.to_bits()
}

/// Why a frame cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// Written by a codec that this version does not know.
    #[error("codec {0} is unknown")]
    Codec(i32),
    /// The bytes are not what the codec says.
    #[error("payload is not decodable: {0}")]
    Decode(String),
    /// It follows a layout that was not sent before it.
    #[error("layout {0:016x} was not sent before this frame")]
    UnknownLayout(u64),
    /// It continues a frame that this decoder did not see last: it can be read with a key.
    #[error("chain of layout {0:016x} is broken")]
    Chain(u64),
    /// Its columns are not ticks × series of its layout.
    #[error("{bytes} bytes of columns where {ticks} ticks of {series} series need {}", ticks * series * 8)]
    Columns { bytes: usize, ticks: usize, series: usize },
    /// Over one of [`limits`].
    #[error("{what} over the limit of {limit}")]
    Limit { what: &'static str, limit: usize },
}

/// A frame's content, values in the order of ticks, then columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decoded {
    /// 0 when there are only events.
    pub layout: u64,
    /// Columns of the layout.
    pub series: usize,
    /// Node time of each tick, Unix milliseconds.
    pub ticks_ms: Vec<i64>,
    /// `ticks_ms.len() * series` values.
    pub values: Vec<f64>,
    /// What happened.
    pub events: Vec<Event>,
}

impl Decoded {
    /// Each tick with its row of values.
    pub fn rows(&self) -> impl Iterator<Item = (i64, &[f64])> {
        self.ticks_ms.iter().copied().zip(self.values.chunks_exact(self.series.max(1)))
    }

    /// Whether a frame may say this.
    fn check(self) -> Result<Self, FrameError> {
        let limit = limits::MAX_EVENTS_PER_FRAME;
        if self.events.len() > limit {
            return Err(FrameError::Limit { what: "events", limit });
        }
        self.events.iter().try_for_each(check_event)?;
        if self.ticks_ms.iter().any(|tick| !(0..=limits::MAX_TIME_MS).contains(tick)) {
            return Err(FrameError::Decode("ticks beyond the range of time".into()));
        }
        Ok(self)
    }
}

fn check_event(event: &Event) -> Result<(), FrameError> {
    let labels = event.entity.iter().chain(&event.attributes);
    let long = |text: &str, limit: usize| text.len() > limit;
    if event.entity.len() + event.attributes.len() > limits::MAX_LABELS {
        return Err(FrameError::Limit { what: "labels of an event", limit: limits::MAX_LABELS });
    }
    for label in labels {
        if long(&label.name, limits::MAX_NAME_BYTES)
            || long(&label.value, limits::MAX_LABEL_VALUE_BYTES)
        {
            let limit = limits::MAX_LABEL_VALUE_BYTES;
            return Err(FrameError::Limit { what: "a label of an event", limit });
        }
    }
    if long(&event.r#type, limits::MAX_NAME_BYTES)
        || long(&event.entity_type, limits::MAX_NAME_BYTES)
    {
        return Err(FrameError::Limit { what: "an event's type", limit: limits::MAX_NAME_BYTES });
    }
    if long(&event.message, limits::MAX_MESSAGE_BYTES) {
        let limit = limits::MAX_MESSAGE_BYTES;
        return Err(FrameError::Limit { what: "an event's message", limit });
    }
    Ok(())
}
