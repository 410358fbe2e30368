//! Keys: with the state of its chain before it, a frame can be read alone.
//!
//! A frame in memory is reached from the chains that [`super::state`] follows, over the frames of
//! its layout in memory; one on disk from the front of its segment, where its layout's first
//! frame has a key.

use std::sync::Arc;

use bytes::Bytes;
use sextant_proto::frame::ChainDecoder;
use sextant_proto::v1::{Codec, Frame};

use super::segment::{Reader, Step};
use super::state::Segment;
use super::{Record, Shared, Spool};

/// The way to a frame's key.
pub(super) struct Behind {
    /// Follows the frame's chain up to the first of `frames`.
    pub(super) chains: ChainDecoder,
    /// Those of its layout before it.
    pub(super) frames: Vec<Frame>,
}

impl Behind {
    /// The key of the frame that comes next.
    fn key_of(mut self, layout: u64, frame: &Frame) -> Option<Bytes> {
        for frame in &self.frames {
            if self.chains.skip(frame).is_err() {
                self.chains.forget(layout);
            }
        }
        key_of(&self.chains, layout, frame)
    }
}

/// Whether a frame of a layout cannot be read without what came before it.
#[must_use]
pub fn needs_key(frame: &Frame) -> bool {
    frame.key.is_empty() && matches!(frame.codec(), Codec::Columnar | Codec::ColumnarZstd)
}

/// The key, if it fits.
fn key_of(chains: &ChainDecoder, layout: u64, frame: &Frame) -> Option<Bytes> {
    let key = chains.key(layout)?;
    chains.clone().skip(frame).ok()?;
    Some(key)
}

/// A frame is not in memory any more.
pub(super) struct Gone;

impl Spool {
    /// The key of a frame of the spool that has none and needs one; `None` when what it
    /// continues is lost. Blocks when it is on disk.
    #[must_use]
    pub fn key_of(&self, record: &Record) -> Option<Bytes> {
        let (layout, frame) = (record.layout.as_ref()?.0, &record.frame);
        let (behind, segment) = {
            let state = self.shared.state.lock();
            (state.behind(layout, frame.seq), state.segment_of(frame.seq).cloned())
        };
        let in_memory = behind.and_then(|behind| behind.key_of(layout, frame));
        in_memory.or_else(|| key_in_segment(&segment?, layout, frame))
    }

    /// As [`Spool::key_of`], with the disk's part on a thread that may block.
    pub async fn find_key_of(self: &Arc<Self>, record: &Record) -> Option<Bytes> {
        let layout = record.layout.as_ref()?.0;
        let behind = self.shared.state.lock().behind(layout, record.frame.seq);
        if let Some(key) = behind.and_then(|behind| behind.key_of(layout, &record.frame)) {
            return Some(key);
        }
        let (spool, record) = (Arc::clone(self), record.clone());
        let found = tokio::task::spawn_blocking(move || spool.key_of(&record)).await;
        match found {
            Ok(key) => key,
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            Err(_) => None,
        }
    }

    /// A frame cannot be given its key and will not be sent: counted as damaged.
    pub fn give_up(&self, seq: u64) {
        self.shared.state.lock().drops.corrupt += 1;
        tracing::warn!(seq, "frame continues what is lost, it cannot be read any more");
    }
}

impl Shared {
    /// The key of a frame that the writer is about to write; `Ok(None)` when what it continues
    /// is lost.
    pub(super) fn key_to_write(&self, layout: u64, frame: &Frame) -> Result<Option<Bytes>, Gone> {
        let behind = self.state.lock().behind(layout, frame.seq);
        behind.ok_or(Gone).map(|behind| behind.key_of(layout, frame))
    }
}

fn key_in_segment(segment: &Segment, layout: u64, frame: &Frame) -> Option<Bytes> {
    let mut reader = Reader::open(&segment.path).ok()?.ok()?;
    let mut chains = ChainDecoder::new();
    while let Ok(Step::Record(record)) = reader.next(segment.bytes) {
        if record.layout.as_ref().is_none_or(|(hash, _)| *hash != layout) {
            continue;
        }
        if record.frame.seq >= frame.seq {
            let itself = record.frame.seq == frame.seq && !record.frame.key.is_empty();
            return if itself { Some(record.frame.key) } else { key_of(&chains, layout, frame) };
        }
        if chains.skip(&record.frame).is_err() {
            chains.forget(layout);
        }
    }
    None
}
