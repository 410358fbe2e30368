//! Sextant's frames as an agent makes them and an aggregator reads them: the one place in the
//! comparisons that knows the codec's name.

use bytes::Bytes;
use sextant_bench::telemetry::Shape;
use sextant_proto::frame::{ChainDecoder, ChainEncoder, Decoded};
use sextant_proto::v1::Frame;

/// Writes one node's frames.
#[derive(Default)]
pub(crate) struct FrameEncoder(ChainEncoder);

impl FrameEncoder {
    /// The next frame of a shape can be read without those before it.
    pub(crate) fn restart(&mut self, shape: &Shape) {
        self.0.forget(shape.hash);
    }

    /// Ticks of one shape, ticks × series values.
    pub(crate) fn encode(&mut self, shape: &Shape, ticks_ms: &[i64], values: &[f64]) -> Frame {
        self.0.encode(shape.hash, ticks_ms, values, &[])
    }
}

/// Reads one node's frames.
#[derive(Default)]
pub(crate) struct FrameDecoder(ChainDecoder);

impl FrameDecoder {
    /// A frame's ticks.
    ///
    /// # Errors
    /// When it is damaged, or frames before it are missing.
    pub(crate) fn decode(&mut self, frame: &Frame, shapes: &[Shape]) -> anyhow::Result<Decoded> {
        let series = |hash| shapes.iter().find(|s| s.hash == hash).map(Shape::series);
        Ok(self.0.decode(frame, series)?)
    }
}

/// A layout as the spool wants it.
pub(crate) fn layout(shape: &Shape) -> (u64, Bytes) {
    (shape.hash, shape.bytes.clone())
}
