//! Frames: ticks of one layout, and events, as bytes.
//!
//! A payload is an encoded [`FramePayload`]; its columns hold, tick by tick, one little-endian
//! double for each column of the layout. Values travel bit for bit. One bit pattern is not a
//! value: [`ABSENT`], Prometheus' own staleness marker, says that a series had no sample at
//! that tick. The payload is compressed with zstd where that makes it smaller.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use crate::limits;
use crate::v1::{Codec, Event, Frame, FramePayload};

/// "No sample at this tick": the staleness marker of Prometheus (`value.StaleNaN`).
pub const ABSENT: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether a value is [`ABSENT`] (an ordinary NaN is a value).
#[must_use]
pub fn is_absent(value: f64) -> bool {
    value.to_bits() == ABSENT.to_bits()
}

/// zstd's fastest ordinary level: above it nothing is gained on columns.
const ZSTD_LEVEL: i32 = 1;
/// Payloads below this do not shrink enough to be worth a context's time.
const MIN_COMPRESS_BYTES: usize = 128;

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
}

/// Writes frames; keeps its compression context and buffers, one encoder a thread.
pub struct Encoder {
    compressor: zstd::bulk::Compressor<'static>,
    plain: BytesMut,
}

impl Encoder {
    /// # Panics
    /// When zstd cannot allocate its context.
    #[must_use]
    pub fn new() -> Self {
        let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL).expect("zstd level 1 exists");
        Self { compressor, plain: BytesMut::new() }
    }

    /// Encodes ticks of one layout (`values` holds ticks × series) and events. The frame's seq
    /// is 0: the spool gives it one.
    pub fn encode(
        &mut self,
        layout: u64,
        ticks_ms: &[i64],
        values: &[f64],
        events: Vec<Event>,
    ) -> Frame {
        let mut columns = BytesMut::with_capacity(values.len() * 8);
        for value in values {
            columns.put_u64_le(value.to_bits());
        }
        let mut previous = 0;
        let deltas = ticks_ms.iter().map(|&t| {
            let delta = t.wrapping_sub(previous);
            previous = t;
            delta
        });
        let payload =
            FramePayload { layout, ticks_ms: deltas.collect(), columns: columns.freeze(), events };
        self.plain.clear();
        payload.encode(&mut self.plain).expect("a BytesMut grows");
        if self.plain.len() >= MIN_COMPRESS_BYTES
            && let Ok(packed) = self.compressor.compress(&self.plain)
            && packed.len() < self.plain.len()
        {
            return frame(Codec::PlainZstd, packed.into());
        }
        frame(Codec::Plain, Bytes::copy_from_slice(&self.plain))
    }
}

fn frame(codec: Codec, payload: Bytes) -> Frame {
    Frame { seq: 0, codec: codec.into(), payload }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads frames; keeps its decompression context, one decoder a thread.
pub struct Decoder {
    decompressor: zstd::bulk::Decompressor<'static>,
}

impl Decoder {
    /// # Panics
    /// When zstd cannot allocate its context.
    #[must_use]
    pub fn new() -> Self {
        let decompressor = zstd::bulk::Decompressor::new().expect("zstd allocates");
        Self { decompressor }
    }

    /// Decodes a frame; `series_of` tells how many columns a layout has.
    ///
    /// # Errors
    /// [`FrameError`]; whatever the bytes, never a panic and never more memory than the limits
    /// allow.
    pub fn decode(
        &mut self,
        frame: &Frame,
        series_of: impl FnOnce(u64) -> Option<usize>,
    ) -> Result<Decoded, FrameError> {
        let limit = limits::MAX_FRAME_BYTES;
        if frame.payload.len() > limit {
            return Err(FrameError::Limit { what: "payload bytes", limit });
        }
        let plain = match frame.codec() {
            Codec::Plain => frame.payload.clone(),
            Codec::PlainZstd => self.decompress(&frame.payload)?,
            Codec::Unspecified => return Err(FrameError::Codec(frame.codec)),
        };
        let payload = FramePayload::decode(plain).map_err(|e| FrameError::Decode(e.to_string()))?;
        unpack(payload, series_of)
    }

    fn decompress(&mut self, packed: &[u8]) -> Result<Bytes, FrameError> {
        let limit = limits::MAX_PAYLOAD_BYTES;
        let size = zstd::zstd_safe::get_frame_content_size(packed)
            .ok()
            .flatten()
            .ok_or_else(|| FrameError::Decode("not a zstd frame with its size".into()))?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > limit {
            return Err(FrameError::Limit { what: "decompressed bytes", limit });
        }
        let plain = self.decompressor.decompress(packed, size);
        plain.map(Bytes::from).map_err(|e| FrameError::Decode(e.to_string()))
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

fn unpack(
    payload: FramePayload,
    series_of: impl FnOnce(u64) -> Option<usize>,
) -> Result<Decoded, FrameError> {
    let limit = limits::MAX_EVENTS_PER_FRAME;
    if payload.events.len() > limit {
        return Err(FrameError::Limit { what: "events", limit });
    }
    for event in &payload.events {
        check_event(event)?;
    }
    let series = if payload.layout == 0 {
        0
    } else {
        series_of(payload.layout).ok_or(FrameError::UnknownLayout(payload.layout))?
    };
    let ticks = payload.ticks_ms.len();
    let limit = limits::MAX_SAMPLES_PER_FRAME;
    if ticks.saturating_mul(series.max(1)) > limit {
        return Err(FrameError::Limit { what: "samples", limit });
    }
    if payload.columns.len() != ticks * series * 8 {
        return Err(FrameError::Columns { bytes: payload.columns.len(), ticks, series });
    }
    let mut now = 0i64;
    let mut ticks_ms = payload.ticks_ms;
    for tick in &mut ticks_ms {
        let next = now.checked_add(*tick).filter(|t| (0..=limits::MAX_TIME_MS).contains(t));
        now = next.ok_or_else(|| FrameError::Decode("ticks beyond the range of time".into()))?;
        *tick = now;
    }
    let mut columns = payload.columns;
    let mut values = Vec::with_capacity(ticks * series);
    while columns.has_remaining() {
        values.push(f64::from_bits(columns.get_u64_le()));
    }
    Ok(Decoded { layout: payload.layout, series, ticks_ms, values, events: payload.events })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn roundtrip(ticks: &[i64], values: &[f64], series: usize) -> Decoded {
        let frame = Encoder::new().encode(7, ticks, values, vec![]);
        Decoder::new().decode(&frame, |_| Some(series)).expect("own frame decodes")
    }

    #[test]
    fn values_survive_bit_for_bit() {
        let odd = [
            -0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::from_bits(0x7ff8_dead_beef_0001),
            f64::MIN_POSITIVE / 8.0,
            ABSENT,
            0.1,
            9_007_199_254_740_993.0,
        ];
        let decoded = roundtrip(&[1_700_000_000_000, 1_700_000_001_000], &odd, 4);
        let bits = |v: &[f64]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&decoded.values), bits(&odd));
        assert_eq!(decoded.ticks_ms, [1_700_000_000_000, 1_700_000_001_000]);
        assert_eq!(decoded.rows().count(), 2);
    }

    #[test]
    fn large_payload_is_compressed_and_small_is_not() {
        let mut encoder = Encoder::new();
        assert_eq!(encoder.encode(7, &[1], &[1.0; 500], vec![]).codec(), Codec::PlainZstd);
        assert_eq!(encoder.encode(7, &[1], &[1.0], vec![]).codec(), Codec::Plain);
    }

    #[test]
    fn damaged_frames_are_refused() {
        let frame = Encoder::new().encode(7, &[1, 2], &[0.5; 200], vec![]);
        let mut decoder = Decoder::new();
        for cut in 0..frame.payload.len() {
            let cut = Frame { payload: frame.payload.slice(..cut), ..frame.clone() };
            assert!(decoder.decode(&cut, |_| Some(100)).is_err());
        }
        let unknown = Frame { codec: 99, ..frame.clone() };
        assert_eq!(decoder.decode(&unknown, |_| Some(100)), Err(FrameError::Codec(99)));
        assert_eq!(decoder.decode(&frame, |_| None), Err(FrameError::UnknownLayout(7)));
        let columns = decoder.decode(&frame, |_| Some(99));
        assert_eq!(columns, Err(FrameError::Columns { bytes: 1600, ticks: 2, series: 99 }));
    }

    #[test]
    fn ticks_beyond_time_are_refused() {
        for ticks in [&[i64::MIN][..], &[-1], &[limits::MAX_TIME_MS + 1], &[1, i64::MAX]] {
            let frame = Encoder::new().encode(7, ticks, &vec![0.0; ticks.len()], vec![]);
            let refused = Decoder::new().decode(&frame, |_| Some(1)).expect_err("beyond time");
            assert_eq!(refused, FrameError::Decode("ticks beyond the range of time".into()));
        }
    }

    #[test]
    fn flipped_bits_never_panic() {
        let frame = Encoder::new().encode(7, &[1, 2], &[0.5, 1.5, 2.5, 3.5], vec![]);
        let mut decoder = Decoder::new();
        for bit in 0..frame.payload.len() * 8 {
            let mut bytes = frame.payload.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            for codec in [Codec::Plain, Codec::PlainZstd] {
                let damaged = Frame { seq: 0, codec: codec.into(), payload: bytes.clone().into() };
                drop(decoder.decode(&damaged, |_| Some(2)));
            }
        }
    }

    #[test]
    fn bomb_is_refused_before_it_is_unpacked() {
        let bomb = zstd::bulk::compress(&vec![0; limits::MAX_PAYLOAD_BYTES + 1], 1).expect("zstd");
        let frame = frame(Codec::PlainZstd, bomb.into());
        let refused = Decoder::new().decode(&frame, |_| Some(1));
        let limit = limits::MAX_PAYLOAD_BYTES;
        assert_eq!(refused, Err(FrameError::Limit { what: "decompressed bytes", limit }));
    }
}
