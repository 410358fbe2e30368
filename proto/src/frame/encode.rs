//! Writing chains.

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::chain::{Chain, Writing, link_of};
use super::{key, pack};
use crate::v1::{Codec, Event, Frame};

/// Chains that an encoder keeps: what a collector's layouts change between.
const MAX_CHAINS: usize = 16;
/// Columns below this do not shrink enough to be worth a context's time.
const MIN_PACK_BYTES: usize = 2048;
/// Frames that were packed in vain before the next is tried.
const MAX_PATIENCE: u32 = 64;

/// The fields of a `FramePayload`.
const LAYOUT: u32 = 1;
const COLUMNS: u32 = 3;
const EVENTS: u32 = 4;

/// Writes the frames of one source of ticks, a chain for each of its layouts. A steady tick
/// allocates nothing but the frame's bytes.
#[derive(Debug, Default)]
pub struct ChainEncoder {
    /// The one used last is at the end.
    chains: Vec<Sending>,
    writing: Writing,
    columns: Vec<u8>,
    plain: Vec<u8>,
    /// Frames to go until packing is tried again, and how many that will be the next time.
    patience: (u32, u32),
}

#[derive(Debug)]
struct Sending {
    chain: Chain,
    /// See [`Writing::columns`].
    decimals: Vec<u8>,
}

impl ChainEncoder {
    /// Nothing was sent yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Encodes ticks of one layout (`values` holds ticks × series) and events; layout 0 or no
    /// ticks: events alone. The frame's seq is 0: the spool gives it one. The caller sees to it
    /// that the frame is not lost, or calls [`ChainEncoder::forget`].
    pub fn encode(
        &mut self,
        layout: u64,
        ticks_ms: &[i64],
        values: &[f64],
        events: &[Event],
    ) -> Frame {
        self.plain.clear();
        let mut key = Bytes::new();
        let samples = layout != 0 && !ticks_ms.is_empty();
        if samples {
            self.take_chain(layout, values.len() / ticks_ms.len(), ticks_ms[0]);
            let Sending { chain, decimals } = self.chains.last_mut().expect("just taken");
            if chain.link == 0 {
                key = key::encode(chain);
            }
            self.columns.clear();
            self.writing.columns(chain, decimals, ticks_ms, values, &mut self.columns);
            encode_key(LAYOUT, WireType::SixtyFourBit, &mut self.plain);
            self.plain.extend_from_slice(&layout.to_le_bytes());
            encode_key(COLUMNS, WireType::LengthDelimited, &mut self.plain);
            encode_varint(self.columns.len() as u64, &mut self.plain);
            self.plain.extend_from_slice(&self.columns);
        }
        for event in events {
            encode_key(EVENTS, WireType::LengthDelimited, &mut self.plain);
            event.encode_length_delimited(&mut self.plain).expect("a Vec grows");
        }
        let (codec, payload) = match self.pack(!events.is_empty()) {
            Some(packed) => (Codec::ColumnarZstd, Bytes::from(packed)),
            None => (Codec::Columnar, Bytes::copy_from_slice(&self.plain)),
        };
        if let Some(sent) = self.chains.last_mut().filter(|_| samples) {
            sent.chain.link = link_of(&payload);
        }
        Frame { seq: 0, codec: codec.into(), payload, key }
    }

    /// The last frame of a layout did not go out: the next one begins a chain.
    pub fn forget(&mut self, layout: u64) {
        self.chains.retain(|sending| sending.chain.layout != layout);
    }

    /// Puts a layout's chain at the end, a new one if there is none to go on with.
    fn take_chain(&mut self, layout: u64, series: usize, tick_ms: i64) {
        if let Some(at) = self.chains.iter().position(|s| s.chain.layout == layout) {
            let found = self.chains.remove(at);
            let chain = &found.chain;
            if chain.series.len() == series && !chain.is_over(tick_ms, 1) {
                return self.chains.push(found);
            }
        }
        if self.chains.len() >= MAX_CHAINS {
            self.chains.remove(0);
        }
        let decimals = vec![0; series];
        self.chains.push(Sending { chain: Chain::new(layout, series), decimals });
    }

    /// The payload in zstd, if that is likely to pay.
    fn pack(&mut self, has_events: bool) -> Option<Vec<u8>> {
        if has_events {
            return pack::compress(&self.plain);
        }
        if self.plain.len() < MIN_PACK_BYTES {
            return None;
        }
        let (left, next) = &mut self.patience;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        let packed = pack::compress(&self.plain);
        *next = if packed.is_some() { 0 } else { (*next * 2).clamp(1, MAX_PATIENCE) };
        *left = *next;
        packed
    }
}
