//! Frames that stand alone: the doubles themselves, for those who write a frame by hand. An
//! agent's are chains, a fifth of the size and less.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use super::{Decoded, FrameError, pack};
use crate::limits;
use crate::v1::{Codec, Event, Frame, FramePayload};

/// Encodes ticks of one layout (`values` holds ticks × series) and events. The frame's seq is 0.
#[must_use]
pub fn encode(layout: u64, ticks_ms: &[i64], values: &[f64], events: Vec<Event>) -> Frame {
    let mut columns = BytesMut::with_capacity(values.len() * 8);
    values.iter().for_each(|value| columns.put_u64_le(value.to_bits()));
    let mut previous = 0;
    let deltas = ticks_ms.iter().map(|&tick| {
        let delta = tick.wrapping_sub(previous);
        previous = tick;
        delta
    });
    let columns = columns.freeze();
    let payload = FramePayload { layout, ticks_ms: deltas.collect(), columns, events };
    let plain = payload.encode_to_vec();
    let (codec, payload) = match pack::compress(&plain) {
        Some(packed) => (Codec::PlainZstd, packed),
        None => (Codec::Plain, plain),
    };
    Frame { codec: codec.into(), payload: payload.into(), ..Frame::default() }
}

pub(super) fn decode(
    payload: FramePayload,
    series_of: impl FnOnce(u64) -> Option<usize>,
) -> Result<Decoded, FrameError> {
    let FramePayload { layout, mut ticks_ms, columns, events } = payload;
    let series = match layout {
        0 => 0,
        layout => series_of(layout).ok_or(FrameError::UnknownLayout(layout))?,
    };
    let ticks = ticks_ms.len();
    let limit = limits::MAX_SAMPLES_PER_FRAME;
    if ticks.saturating_mul(series.max(1)) > limit {
        return Err(FrameError::Limit { what: "samples", limit });
    }
    if columns.len() != ticks * series * 8 {
        return Err(FrameError::Columns { bytes: columns.len(), ticks, series });
    }
    let mut now = 0i64;
    for tick in &mut ticks_ms {
        now = now.wrapping_add(*tick);
        *tick = now;
    }
    Ok(Decoded { layout, series, ticks_ms, values: doubles(columns), events })
}

fn doubles(mut columns: Bytes) -> Vec<f64> {
    let mut values = Vec::with_capacity(columns.len() / 8);
    while columns.has_remaining() {
        values.push(f64::from_bits(columns.get_u64_le()));
    }
    values
}
