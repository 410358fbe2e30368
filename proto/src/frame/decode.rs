//! Reading chains.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;

use super::chain::{Chain, Columns, link_of};
use super::{Decoded, FrameError, key, pack, plain};
use crate::limits;
use crate::v1::{Codec, Frame, FramePayload};

/// Reads the frames of one stream; 24 bytes for each series whose chain it follows, and no more
/// of them than a node may have.
#[derive(Debug, Clone, Default)]
pub struct ChainDecoder {
    chains: HashMap<u64, Chain>,
    /// Of all chains together.
    series: usize,
}

impl ChainDecoder {
    /// Follows no chain yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes a frame; `series_of` tells how many columns a layout has.
    ///
    /// # Errors
    /// [`FrameError`]; whatever the bytes, never a panic and never more memory than the limits
    /// allow. [`FrameError::Chain`]: the frame can be read with a key.
    pub fn decode(
        &mut self,
        frame: &Frame,
        series_of: impl FnOnce(u64) -> Option<usize>,
    ) -> Result<Decoded, FrameError> {
        self.decode_keyed(frame, series_of, |_| false).map(|(decoded, _)| decoded)
    }

    /// As [`ChainDecoder::decode`], with the frame's key: its own, or one that is made when
    /// `wants_key` says so of the frame's ticks. Empty: none, or it needs none.
    ///
    /// # Errors
    /// As [`ChainDecoder::decode`].
    pub fn decode_keyed(
        &mut self,
        frame: &Frame,
        series_of: impl FnOnce(u64) -> Option<usize>,
        wants_key: impl FnOnce(&[i64]) -> bool,
    ) -> Result<(Decoded, Bytes), FrameError> {
        let payload = open(frame)?;
        if matches!(frame.codec(), Codec::Plain | Codec::PlainZstd) {
            return Ok((plain::decode(payload, series_of)?.check()?, Bytes::new()));
        }
        let FramePayload { layout, columns, events, .. } = payload;
        let mut out = Decoded { layout, events, ..Decoded::default() };
        let mut made = frame.key.clone();
        if layout == 0 {
            if !columns.is_empty() {
                return Err(FrameError::Decode("columns without a layout".into()));
            }
        } else {
            out.series = series_of(layout).ok_or(FrameError::UnknownLayout(layout))?;
            let mut columns = Columns::open(&columns)?;
            let mut chain = self.chain(layout, out.series, columns.link, &frame.key)?;
            let (tick_ms, tick_step) = (chain.tick_ms, chain.tick_step);
            columns.ticks(&mut chain, &mut out.ticks_ms)?;
            if made.is_empty() && wants_key(&out.ticks_ms) {
                let now = (chain.tick_ms, chain.tick_step);
                (chain.tick_ms, chain.tick_step) = (tick_ms, tick_step);
                made = key::encode(&chain);
                (chain.tick_ms, chain.tick_step) = now;
            }
            out.values.reserve_exact(out.ticks_ms.len() * out.series);
            columns.values(&mut chain, |series| out.values.push(series.current()))?;
            self.keep(chain, &frame.payload);
        }
        Ok((out.check()?, made))
    }

    /// Moves on over a frame without its values. It needs no layouts: the frame is one's own.
    ///
    /// # Errors
    /// As [`ChainDecoder::decode`].
    pub fn skip(&mut self, frame: &Frame) -> Result<(), FrameError> {
        let FramePayload { layout, columns, .. } = open(frame)?;
        if layout == 0 || matches!(frame.codec(), Codec::Plain | Codec::PlainZstd) {
            return Ok(());
        }
        let known = self.chains.get(&layout).map(|chain| chain.series.len());
        let series = if frame.key.is_empty() { known } else { key::series(&frame.key) };
        let mut columns = Columns::open(&columns)?;
        let series = series.ok_or(FrameError::Chain(layout))?;
        let mut chain = self.chain(layout, series, columns.link, &frame.key)?;
        columns.ticks(&mut chain, &mut Vec::new())?;
        columns.values(&mut chain, |_| ())?;
        self.keep(chain, &frame.payload);
        Ok(())
    }

    /// The key of the next frame of a layout; `None` when its chain is not followed.
    #[must_use]
    pub fn key(&self, layout: u64) -> Option<Bytes> {
        self.chains.get(&layout).map(key::encode)
    }

    /// A decoder that follows only the chain of one layout, if this one does.
    #[must_use]
    pub fn only(&self, layout: u64) -> Self {
        let chain = self.chains.get(&layout).cloned();
        let series = chain.as_ref().map_or(0, |chain| chain.series.len());
        Self { chains: chain.map(|chain| (layout, chain)).into_iter().collect(), series }
    }

    /// Forgets the chain of a layout.
    pub fn forget(&mut self, layout: u64) {
        if let Some(chain) = self.chains.remove(&layout) {
            self.series -= chain.series.len();
        }
    }

    /// Series of the chains that it follows.
    #[must_use]
    pub fn series(&self) -> usize {
        self.series
    }

    /// Takes out the chain that a frame goes on with: a frame that is not read to its end leaves
    /// none.
    fn chain(
        &mut self,
        layout: u64,
        series: usize,
        link: u32,
        key: &[u8],
    ) -> Result<Chain, FrameError> {
        let broken = FrameError::Chain(layout);
        if key.is_empty() {
            let known = self.chains.get(&layout);
            if known.is_none_or(|c| c.link != link || c.link == 0 || c.series.len() != series) {
                return Err(broken);
            }
            let chain = self.chains.remove(&layout).ok_or(broken)?;
            self.series -= series;
            return Ok(chain);
        }
        self.forget(layout);
        let chain = key::decode(key, layout, series)?;
        if chain.link != link {
            return Err(FrameError::Decode("key is of another frame".into()));
        }
        Ok(chain)
    }

    fn keep(&mut self, mut chain: Chain, payload: &[u8]) {
        let is_new = std::mem::replace(&mut chain.link, link_of(payload)) == 0;
        let is_over = |series: usize, chains: usize| {
            series > limits::MAX_SERIES_PER_NODE || chains >= limits::MAX_LAYOUTS_PER_STREAM
        };
        // Layouts come and go: where one comes, those that went are looked for.
        if is_new || is_over(self.series + chain.series.len(), self.chains.len()) {
            self.make_room(&chain, is_over);
        }
        self.series += chain.series.len();
        self.chains.insert(chain.layout, chain);
    }

    #[cold]
    fn make_room(&mut self, new: &Chain, is_over: impl Fn(usize, usize) -> bool) {
        let ended = |chain: &Chain| chain.is_over(new.tick_ms, 2);
        self.chains.retain(|_, chain| !ended(chain));
        self.series = self.chains.values().map(|chain| chain.series.len()).sum();
        while is_over(self.series + new.series.len(), self.chains.len()) {
            let oldest = self.chains.values().min_by_key(|chain| chain.tick_ms);
            let Some(oldest) = oldest.map(|chain| chain.layout) else { return };
            self.forget(oldest);
        }
    }
}

/// Takes a frame's payload apart.
fn open(frame: &Frame) -> Result<FramePayload, FrameError> {
    let limit = limits::MAX_FRAME_BYTES;
    if frame.payload.len() > limit {
        return Err(FrameError::Limit { what: "payload bytes", limit });
    }
    let plain = match frame.codec() {
        Codec::Plain | Codec::Columnar => frame.payload.clone(),
        Codec::PlainZstd | Codec::ColumnarZstd => {
            pack::decompress(&frame.payload, limits::MAX_PAYLOAD_BYTES)?.into()
        }
        Codec::Unspecified => return Err(FrameError::Codec(frame.codec)),
    };
    FramePayload::decode(plain).map_err(|e| FrameError::Decode(e.to_string()))
}
