//! A recording: what a collector read, value by value, in one file.
//!
//! ```text
//! file     zstd( "SXTREC1\n" segment* )         a segment for each layout, in the order of time
//! segment  layout_len u32, layout               an encoded sextant.v1.Layout
//!          ticks u32, time_ms i64 * ticks       Unix milliseconds, ascending
//!          f64 * series * ticks                 series by series, all ticks of one together
//! ```
//! Numbers are little-endian. Series lie apart because zstd finds more in a row of one series'
//! values than in a row of different ones.

use std::io::Read as _;

use bytes::{Buf, BufMut};
use prost::Message as _;
use sextant_proto::layout;
use sextant_proto::v1::Layout;

use super::{Shape, Telemetry, Tick};

const MAGIC: &[u8; 8] = b"SXTREC1\n";
/// The recording is read far more often than it is written.
const ZSTD_LEVEL: i32 = 22;
/// More than an hour of a large host is that, decompressed.
const MAX_BYTES: u64 = 1 << 30;

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// Not zstd.
    #[error("recording cannot be decompressed")]
    Compressed(#[source] std::io::Error),
    /// Not laid out as a recording is.
    #[error("recording has {0}")]
    Malformed(&'static str),
    /// A layout that is none.
    #[error("recording has a layout that is not valid")]
    Layout(#[from] layout::LayoutError),
}

/// Ticks of one layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    pub times_ms: Vec<i64>,
    /// `times_ms.len()` values for each series, one series after the other.
    columns: Vec<f64>,
}

/// What was read on a host.
#[derive(Debug, Clone)]
pub struct Recording {
    shapes: Vec<Shape>,
    /// One for each shape.
    segments: Vec<Segment>,
}

/// The recording of a real host that comes with this crate; `docs/benchmarks.md` says of which.
///
/// # Errors
/// When the file is damaged.
pub fn host() -> Result<Recording, RecordingError> {
    Recording::parse(include_bytes!("../../data/host.rec.zst"))
}

impl Recording {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`RecordingError`]; whatever the bytes, never a panic.
    pub fn parse(packed: &[u8]) -> Result<Self, RecordingError> {
        let mut plain = Vec::new();
        zstd::Decoder::new(packed)
            .and_then(|decoder| decoder.take(MAX_BYTES).read_to_end(&mut plain))
            .map_err(RecordingError::Compressed)?;
        let rest = plain.strip_prefix(MAGIC);
        let mut rest = rest.ok_or(RecordingError::Malformed("another beginning"))?;
        let mut recording = Self { shapes: Vec::new(), segments: Vec::new() };
        while rest.has_remaining() {
            let (shape, segment) = segment(&mut rest)?;
            recording.shapes.push(shape);
            recording.segments.push(segment);
        }
        Ok(recording)
    }

    /// Ticks, all together.
    #[must_use]
    pub fn ticks(&self) -> usize {
        self.segments.iter().map(|segment| segment.times_ms.len()).sum()
    }

    /// Samples, all together.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.segments.iter().map(|segment| segment.columns.len()).sum()
    }

    /// The first tick's time; 0 where there is none.
    #[must_use]
    pub fn start_ms(&self) -> i64 {
        self.segments.first().and_then(|s| s.times_ms.first().copied()).unwrap_or_default()
    }

    /// From the beginning, once, as it was.
    #[must_use]
    pub fn replay(&self) -> Replay<'_> {
        Replay { recording: self, segment: 0, tick: 0, shift_ms: 0, row: Vec::new() }
    }

    /// From the beginning, once, the first tick at `start_ms`.
    #[must_use]
    pub fn replay_at(&self, start_ms: i64) -> Replay<'_> {
        Replay { shift_ms: start_ms - self.start_ms(), ..self.replay() }
    }
}

fn segment(rest: &mut &[u8]) -> Result<(Shape, Segment), RecordingError> {
    let short = |_| RecordingError::Malformed("an end in the middle");
    let length = rest.try_get_u32_le().map_err(short)? as usize;
    let bytes = rest.split_off(..length).ok_or(RecordingError::Malformed("a cut layout"))?;
    let layout = layout::decode(layout::hash(bytes), bytes)?;
    let shape = Shape::new(layout);
    let ticks = rest.try_get_u32_le().map_err(short)? as usize;
    let values = ticks.checked_mul(shape.series());
    let size = values.and_then(|values| values.checked_add(ticks)?.checked_mul(8));
    let (Some(values), true) = (values, size.is_some_and(|size| size <= rest.len())) else {
        return Err(RecordingError::Malformed("a cut segment"));
    };
    let times_ms: Vec<_> = (0..ticks).map(|_| rest.get_i64_le()).collect();
    if !times_ms.is_sorted() {
        return Err(RecordingError::Malformed("ticks in another order than that of time"));
    }
    let columns = (0..values).map(|_| rest.get_f64_le()).collect();
    Ok((shape, Segment { times_ms, columns }))
}

/// A recording's ticks.
#[derive(Debug)]
pub struct Replay<'a> {
    recording: &'a Recording,
    segment: usize,
    tick: usize,
    /// What is added to the recording's times.
    shift_ms: i64,
    row: Vec<f64>,
}

impl Telemetry for Replay<'_> {
    fn shapes(&self) -> &[Shape] {
        &self.recording.shapes
    }

    /// A recording has what one collector reads.
    fn ticks_per_round(&self) -> usize {
        1
    }

    fn next_tick(&mut self) -> Option<Tick<'_>> {
        while self.tick == self.recording.segments.get(self.segment)?.times_ms.len() {
            (self.segment, self.tick) = (self.segment + 1, 0);
        }
        let (index, segment) = (self.segment, &self.recording.segments[self.segment]);
        let ticks = segment.times_ms.len();
        self.row.clear();
        self.row.extend(segment.columns.iter().skip(self.tick).step_by(ticks));
        let time_ms = segment.times_ms[self.tick] + self.shift_ms;
        self.tick += 1;
        let shape = &self.recording.shapes[index];
        Some(Tick { shape, index, time_ms, values: &self.row })
    }
}

/// Makes a recording.
#[derive(Debug, Default)]
pub struct Writer {
    segments: Vec<(Layout, Vec<i64>, Vec<f64>)>,
}

impl Writer {
    /// Adds a tick; one of another layout than the last begins a segment.
    pub fn push(&mut self, layout: &Layout, time_ms: i64, values: &[f64]) {
        match self.segments.last_mut() {
            Some((last, times_ms, rows)) if last == layout => {
                times_ms.push(time_ms);
                rows.extend(values);
            }
            _ => self.segments.push((layout.clone(), vec![time_ms], values.to_vec())),
        }
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// What zstd says.
    ///
    /// # Panics
    /// With 2^32 ticks or more.
    pub fn finish(self) -> std::io::Result<Vec<u8>> {
        let count = |count: usize| u32::try_from(count).expect("a recording is short");
        let mut plain = MAGIC.to_vec();
        for (layout, times_ms, rows) in self.segments {
            let bytes = layout.encode_to_vec();
            plain.put_u32_le(count(bytes.len()));
            plain.put_slice(&bytes);
            plain.put_u32_le(count(times_ms.len()));
            times_ms.iter().for_each(|time| plain.put_i64_le(*time));
            let series = layout::columns(&layout);
            for column in 0..series {
                let values = rows.iter().skip(column).step_by(series);
                values.for_each(|value| plain.put_f64_le(*value));
            }
        }
        zstd::encode_all(plain.as_slice(), ZSTD_LEVEL)
    }
}

#[cfg(test)]
mod tests {
    use sextant_proto::frame::ABSENT;
    use sextant_proto::v1::{LayoutEntity, LayoutMetric, LayoutSeries};

    use super::*;

    fn layout(metrics: &[&str]) -> Layout {
        let series =
            (0u32..).zip(metrics).map(|(metric, _)| LayoutSeries { metric, labels: vec![] });
        Layout {
            collector: "host".into(),
            interval_ms: 1000,
            metrics: metrics
                .iter()
                .map(|name| LayoutMetric { name: (*name).into(), kind: 1 })
                .collect(),
            entities: vec![LayoutEntity { series: series.collect(), ..LayoutEntity::default() }],
        }
    }

    fn written() -> Vec<u8> {
        let mut writer = Writer::default();
        writer.push(&layout(&["a", "b"]), 1000, &[1.0, -0.0]);
        writer.push(&layout(&["a", "b"]), 2000, &[2.0, ABSENT]);
        writer.push(&layout(&["a"]), 3000, &[3.0]);
        writer.finish().unwrap()
    }

    #[test]
    fn what_is_written_is_read_bit_for_bit() {
        let recording = Recording::parse(&written()).unwrap();
        assert_eq!((recording.ticks(), recording.samples()), (3, 5));
        let mut replay = recording.replay();
        for (index, time_ms, values) in
            [(0, 1000, &[1.0, -0.0][..]), (0, 2000, &[2.0, ABSENT]), (1, 3000, &[3.0])]
        {
            let tick = replay.next_tick().unwrap();
            assert_eq!((tick.index, tick.time_ms), (index, time_ms));
            assert_eq!(tick.shape.series(), values.len());
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(tick.values), bits(values));
        }
        assert!(replay.next_tick().is_none());
    }

    #[test]
    fn recording_can_be_put_at_another_time() {
        let recording = Recording::parse(&written()).unwrap();
        let mut replay = recording.replay_at(10_000);
        assert_eq!(replay.next_tick().unwrap().time_ms, 10_000);
        assert_eq!(replay.next_tick().unwrap().time_ms, 11_000);
    }

    #[test]
    fn damaged_recordings_are_refused() {
        let plain = zstd::decode_all(written().as_slice()).unwrap();
        for cut in 0..plain.len() {
            let packed = zstd::encode_all(&plain[..cut], 1).unwrap();
            // Whole segments are a recording, too.
            if let Ok(recording) = Recording::parse(&packed) {
                assert!(recording.ticks() < 3, "cut at {cut}");
            }
        }
        for bit in 0..plain.len() * 8 {
            let mut bytes = plain.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            drop(Recording::parse(&zstd::encode_all(bytes.as_slice(), 1).unwrap()));
        }
        assert!(matches!(Recording::parse(b"text"), Err(RecordingError::Compressed(_))));
    }
}
