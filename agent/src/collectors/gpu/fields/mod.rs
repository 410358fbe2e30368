//! Fields: which ones belong to a tier, which of them a GPU has, and what their values mean.
//!
//! One call reads all fields of a tier. A field that a GPU does not have is left out of later
//! calls. Where two fields tell the same series, the one that comes first in the list and works
//! is taken, and the others are not asked for any more.

mod tables;

use std::ops::Range;

use super::meter::{Call, Meter, Support, Told};
use super::metrics::{ENERGY, THROTTLE};
use super::nvml::{FieldBatch, Handle, Library, Number, Numbering};
use super::rows::{Labels, Rows};
use crate::sample::Metric;

pub(super) use tables::{LINK_COUNT, Product, fast, medium, slow};

/// Fields in one call. Batches are smaller but for the first slow ones of a GPU with many links.
const MOST_IN_A_CALL: usize = 256;

/// What a number is of, and how it becomes the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Count,
    /// 0 or not.
    Flag,
    /// To W.
    Milliwatts,
    /// To J.
    Millijoules,
    /// To s.
    Nanoseconds,
    /// To bytes.
    Kibibytes,
    /// Bytes of a counter that must have 64 bits: a narrower one wraps within a second.
    Bytes,
    /// °C whose type cannot be trusted; more than 200 is none.
    Celsius,
    /// Degrees, may be negative.
    Margin,
    /// Bit error ratio: exponent in the low byte, mantissa in the four bits above.
    ErrorRatio,
}

impl Unit {
    /// In the metric's unit; `None` if it cannot be.
    fn convert(self, number: Number) -> Option<f64> {
        match self {
            Self::Count => number.value().filter(|v| *v >= 0.0),
            Self::Flag => number.value().map(|v| f64::from(u8::from(v != 0.0))),
            Self::Milliwatts | Self::Millijoules => {
                number.value().filter(|v| *v >= 0.0).map(|v| v / 1e3)
            }
            Self::Nanoseconds => number.value().filter(|v| *v >= 0.0).map(|v| v / 1e9),
            Self::Kibibytes => number.value().filter(|v| *v >= 0.0).map(|v| v * 1024.0),
            Self::Bytes => number.value().filter(|v| *v >= 0.0 && number.is_64_bits()),
            Self::Celsius => Some(f64::from(number.as_small())).filter(|v| *v <= 200.0),
            Self::Margin => Some(f64::from(number.as_small().cast_signed()))
                .filter(|v| (-200.0..=200.0).contains(v)),
            Self::ErrorRatio => number.value().map(|_| {
                let bits = number.as_small();
                let exponent = i32::try_from(bits & 0xff).unwrap_or(0);
                f64::from(bits >> 8 & 0xf) * 10f64.powi(-exponent)
            }),
        }
    }
}

/// A field and the series that it is.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// As CUDA 12 numbers it.
    id: u32,
    scope: u32,
    metric: &'static Metric,
    labels: [(&'static str, &'static str); 3],
    label_count: usize,
    unit: Unit,
}

impl Field {
    fn new(id: u32, scope: u32, metric: &'static Metric, labels: &Labels, unit: Unit) -> Self {
        let mut field =
            Self { id, scope, metric, labels: [("", ""); 3], label_count: labels.len(), unit };
        field.labels[..labels.len()].copy_from_slice(labels);
        field
    }

    fn labels(&self) -> &Labels {
        &self.labels[..self.label_count]
    }

    fn is_same_series(&self, other: &Self) -> bool {
        std::ptr::eq(self.metric, other.metric) && self.labels() == other.labels()
    }
}

/// The fields of one tier of one GPU.
pub(super) struct FieldSet {
    call: Call,
    fields: Vec<Field>,
    support: Vec<Support>,
    /// An earlier field tells the same series.
    redundant: Vec<bool>,
    /// The fields of the batch, by position.
    asked: Vec<usize>,
    batch: FieldBatch,
    /// The batch is not what should be asked now.
    changed: bool,
    /// When a field that was not supported is tried again.
    retry: std::time::Duration,
    /// The last values of counters that only a reload or a reset sets back.
    last: Vec<f64>,
    went_back: bool,
}

impl FieldSet {
    pub(super) fn new(call: Call, fields: Vec<Field>, numbering: Numbering) -> Self {
        let count = fields.len();
        Self {
            call,
            fields,
            support: vec![Support::Unknown; count],
            redundant: vec![false; count],
            asked: Vec::with_capacity(count),
            batch: FieldBatch::new(numbering),
            changed: true,
            retry: std::time::Duration::MAX,
            last: vec![0.0; count],
            went_back: false,
        }
    }

    /// Forgets what was not supported.
    pub(super) fn relearn(&mut self) {
        self.support.fill(Support::Unknown);
        self.redundant.fill(false);
        self.changed = true;
    }

    /// Whether energy or throttle time went back since this was last asked: the driver was
    /// reloaded or the GPU reset.
    pub(super) fn went_back(&mut self) -> bool {
        std::mem::take(&mut self.went_back)
    }

    /// Whether a series of this metric has been read.
    pub(super) fn has(&self, metric: &'static Metric) -> bool {
        let works = |i: &usize| self.support[*i] == Support::Works;
        (0..self.fields.len()).filter(works).any(|i| std::ptr::eq(self.fields[i].metric, metric))
    }

    /// Reads all fields into rows.
    pub(super) fn read(
        &mut self,
        meter: &mut Meter,
        library: &Library,
        device: Handle,
        rows: &mut Rows,
    ) {
        if self.changed || meter.now() >= self.retry {
            self.rebuild(meter);
        }
        let mut start = 0;
        while start < self.batch.len() {
            let range = start..self.batch.len().min(start + MOST_IN_A_CALL);
            start = range.end;
            let batch = &mut self.batch;
            let told = meter.call(self.call, || batch.read(library, device, range.clone()));
            self.publish(told, range, meter, rows);
        }
    }

    fn rebuild(&mut self, meter: &Meter) {
        self.changed = false;
        self.asked.clear();
        self.batch.clear();
        self.retry = std::time::Duration::MAX;
        for (index, field) in self.fields.iter().enumerate() {
            let support = self.support[index];
            if self.redundant[index] {
                continue;
            }
            if !support.asks(meter.now()) {
                if let Support::No(since, _) = support {
                    self.retry = self.retry.min(since.saturating_add(super::meter::RETRY));
                }
                continue;
            }
            self.asked.push(index);
            self.batch.push(field.id, field.scope);
        }
    }

    fn publish(&mut self, told: Told<()>, range: Range<usize>, meter: &mut Meter, rows: &mut Rows) {
        for position in range {
            let index = self.asked[position];
            if self.redundant[index] {
                continue;
            }
            let number = match told {
                Told::Value(()) => self.batch.get(position),
                Told::Absent | Told::Never => {
                    if self.support[index] == Support::Works {
                        let field = &self.fields[index];
                        rows.set(field.metric, field.labels(), None);
                    }
                    continue;
                }
            };
            match number {
                Ok(number) => self.works(index, number, rows),
                Err(code) => {
                    if code.is_lost() || code.wants_reopening() {
                        meter.failed(self.call, code);
                    }
                    if self.support[index].failed(code, meter.now()) {
                        self.changed = true;
                    } else if self.support[index] == Support::Works {
                        let field = &self.fields[index];
                        rows.set(field.metric, field.labels(), None);
                    }
                }
            }
        }
    }

    fn works(&mut self, index: usize, number: Number, rows: &mut Rows) {
        let field = &self.fields[index];
        let value = field.unit.convert(number);
        if value.is_none() && self.support[index] != Support::Works {
            // Nothing but a sentinel so far: no series.
            rows.rejected += 1;
            return;
        }
        rows.rejected += u64::from(value.is_none());
        rows.set(field.metric, field.labels(), value);
        if self.support[index] != Support::Works {
            self.support[index] = Support::Works;
            let same = |other: &usize| self.fields[*other].is_same_series(field);
            for other in (index + 1..self.fields.len()).filter(same).collect::<Vec<_>>() {
                self.redundant[other] = true;
                self.changed = true;
            }
        }
        let watched = std::ptr::eq(field.metric, &ENERGY) || std::ptr::eq(field.metric, &THROTTLE);
        if let Some(value) = value.filter(|_| watched) {
            self.went_back |= value < self.last[index];
            self.last[index] = value;
        }
    }
}
