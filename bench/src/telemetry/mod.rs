//! Samples to measure with, tick by tick, in layouts as the agent's collectors make them.
//!
//! There are two kinds. [`Generated`] is made up: a node with GPUs, clocks and virtual functions
//! at any interval, the same for the same seed; how each kind of series behaves is said where it
//! is made. [`Recording`] is what the agent's host collector read on a real host while programs
//! were built on it.
//!
//! Both give a [`Tick`] after the other by [`Telemetry::next_tick`]; ticks borrow from what makes
//! them, so that a million samples cost no allocation.

mod generated;
mod record;
mod recording;

use bytes::Bytes;
use prost::Message as _;
use sextant_proto::layout;
use sextant_proto::v1::{Label, Layout, MetricKind};

pub use self::generated::{Generated, HOST_SERIES, PTP_SERIES, SERIES, VF_SERIES, gpu_series};
pub use self::record::record_host;
pub use self::recording::{Recording, RecordingError, Replay, Segment, Writer, host};

/// Which series a tick has, in which order.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    pub layout: Layout,
    /// As the wire has it: the hash is of these bytes.
    pub bytes: Bytes,
    pub hash: u64,
}

impl Shape {
    /// The shape of a layout.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        let bytes = Bytes::from(layout.encode_to_vec());
        let hash = layout::hash(&bytes);
        Self { layout, bytes, hash }
    }

    /// How many series there are.
    #[must_use]
    pub fn series(&self) -> usize {
        layout::columns(&self.layout)
    }

    /// Every series in the order of the values: its metric, the metric's kind, and its labels,
    /// those of the entity first.
    pub fn columns(&self) -> impl Iterator<Item = (&str, MetricKind, Vec<&Label>)> {
        self.layout.entities.iter().flat_map(move |entity| {
            entity.series.iter().map(move |series| {
                let metric = &self.layout.metrics[series.metric as usize];
                let labels = entity.labels.iter().chain(&series.labels).collect();
                (metric.name.as_str(), layout::kind(metric.kind), labels)
            })
        })
    }
}

/// What one collector has read at one instant.
#[derive(Debug, Clone, Copy)]
pub struct Tick<'a> {
    pub shape: &'a Shape,
    /// Where in the source's shapes this one is; see [`Telemetry::shapes`].
    pub index: usize,
    pub time_ms: i64,
    /// One for each series of the shape; [`ABSENT`](sextant_proto::frame::ABSENT) for none.
    pub values: &'a [f64],
}

/// One node's ticks, in the order of time.
pub trait Telemetry {
    /// Every shape that a tick can have.
    fn shapes(&self) -> &[Shape];
    /// How many ticks one instant has.
    fn ticks_per_round(&self) -> usize;
    /// The next tick; `None` when there are no more. Ticks of the same instant follow each other
    /// in the order of the shapes.
    fn next_tick(&mut self) -> Option<Tick<'_>>;
}
