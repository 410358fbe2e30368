//! A stream of frames as its shard sees it: the chains that it follows, and the way back.
//!
//! What keeps the shard's chains and the agent's together:
//!
//! 1. Chains belong to a stream and begin with it: an agent attaches a key to the first frame of
//!    each layout on every stream. What an earlier stream left does not matter, nor does a
//!    restart, nor what was applied and never committed.
//! 2. Every frame moves its chain, also one that was there already or is refused: the chain
//!    stands where the stream stands, not where the store does.
//! 3. A frame that does not fit is not refused, because it can be read when it comes with a key:
//!    the stream ends, neither it nor anything after it on this stream is taken (acks are
//!    cumulative: they must not pass over it), and the agent sends it again on the next one.
//! 4. The journal is replayed chunk by chunk, and sealed chunks leave it. So the first frame of
//!    a chunk has its key there, and so has one whose predecessor on this stream did not go in.

use rustc_hash::FxHashSet;
use sextant_proto::frame::ChainDecoder;
use sextant_proto::v1::{Frame, Refused};
use tokio::sync::{mpsc, watch};

/// The way from a shard back to a session.
#[derive(Debug)]
pub struct Stream {
    /// Grows from stream to stream of a node.
    number: u64,
    refusals: mpsc::Sender<Refused>,
    broken: watch::Sender<Option<String>>,
}

impl Stream {
    /// A stream, and where it tells that it is broken.
    #[must_use]
    pub fn new(
        number: u64,
        refusals: mpsc::Sender<Refused>,
    ) -> (Self, watch::Receiver<Option<String>>) {
        let (broken, told) = watch::channel(None);
        (Self { number, refusals, broken }, told)
    }

    /// Which one of its node's it is.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// A session that takes no refusals still sees them counted.
    pub(super) fn refuse(&self, refused: Refused) {
        drop(self.refusals.try_send(refused));
    }

    pub(super) fn break_off(&self, why: &str) {
        self.broken.send_replace(Some(format!("{why}: connect again")));
    }
}

/// The chains of a node's current stream.
#[derive(Debug, Default)]
pub(super) struct Chains {
    stream: u64,
    pub(super) decoder: ChainDecoder,
    /// Layouts whose last frame on this stream went into the journal.
    pub(super) journaled: FxHashSet<u64>,
    broken: bool,
}

impl Chains {
    /// Turns to a stream. False when its frames are not taken: it is broken, or a later one has
    /// replaced it.
    pub(super) fn turn_to(&mut self, stream: u64) -> bool {
        if stream > self.stream {
            *self = Self { stream, ..Self::default() };
        }
        stream == self.stream && !self.broken
    }

    /// Whether it is still the stream that ended.
    pub(super) fn is_of(&self, stream: u64) -> bool {
        stream == self.stream
    }

    /// A frame that was there already.
    pub(super) fn pass_over(&mut self, frame: &Frame) {
        self.journaled.clear();
        // What does not fit here ends the stream at the next frame that is not there.
        drop(self.decoder.skip(frame));
    }

    /// A frame did not go into the journal.
    pub(super) fn refuse(&mut self) {
        self.journaled.clear();
    }

    pub(super) fn break_off(&mut self) {
        self.broken = true;
        self.decoder = ChainDecoder::new();
    }
}
