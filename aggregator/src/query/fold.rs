//! What becomes of samples and rollups on their way into an answer: all of them in order, or
//! one value a step.

use sextant_proto::frame::is_absent;

use super::LOOKBACK_MS;
use super::range::{Aggregation, RangeQuery};

/// Takes what is read of some series, in any order.
pub(super) trait Fold {
    /// Since when samples matter to an answer from a time on.
    fn from_ms(&self, start_ms: i64) -> i64;

    /// A sample of a head, which is not absent: newer than what the store has.
    fn newest(&mut self, series: usize, tick_ms: i64, value: f64);

    /// Samples from the store.
    fn samples(&mut self, series: usize, ticks_ms: &[i64], values: &[f64]);

    /// A rollup: ends of steps, and its planes.
    fn rollup(&mut self, series: usize, step_ms: i64, ends_ms: &[i64], planes: &[Vec<f64>]);

    /// What it came to.
    fn take(&mut self, series: usize) -> (Vec<i64>, Vec<f64>);
}

/// All samples, by time.
pub(super) struct Collected {
    series: Vec<Vec<(i64, f64)>>,
    newest: Vec<Vec<(i64, f64)>>,
}

impl Collected {
    pub(super) fn new(series: usize) -> Self {
        Self { series: vec![Vec::new(); series], newest: vec![Vec::new(); series] }
    }
}

impl Fold for Collected {
    fn from_ms(&self, start_ms: i64) -> i64 {
        start_ms
    }

    fn newest(&mut self, series: usize, tick_ms: i64, value: f64) {
        self.newest[series].push((tick_ms, value));
    }

    fn samples(&mut self, series: usize, ticks_ms: &[i64], values: &[f64]) {
        let all = ticks_ms.iter().copied().zip(values.iter().copied());
        self.series[series].extend(all.filter(|(_, value)| !is_absent(*value)));
    }

    fn rollup(&mut self, series: usize, _step_ms: i64, ends_ms: &[i64], planes: &[Vec<f64>]) {
        self.samples(series, ends_ms, &planes[0]);
    }

    fn take(&mut self, series: usize) -> (Vec<i64>, Vec<f64>) {
        let mut found = std::mem::take(&mut self.series[series]);
        found.append(&mut self.newest[series]);
        if !found.is_sorted_by_key(|(tick, _)| *tick) {
            found.sort_by_key(|(tick, _)| *tick);
        }
        // Two samples of one instant: the node's clock was set back. The later one stays.
        found.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                *kept = *later;
            }
            same
        });
        found.into_iter().unzip()
    }
}

/// One value a step.
pub(super) struct Stepped {
    start_ms: i64,
    step_ms: i64,
    steps: usize,
    aggregation: Aggregation,
    cells: Vec<Cell>,
}

/// What a step has so far.
#[derive(Debug, Clone, Copy)]
struct Cell {
    /// When the last sample was, and when it is out of date.
    time_ms: i64,
    until_ms: i64,
    last: f64,
    /// The least, the greatest or the sum, as the aggregation needs.
    value: f64,
    count: f64,
}

const EMPTY: Cell =
    Cell { time_ms: i64::MIN, until_ms: i64::MIN, last: 0.0, value: 0.0, count: 0.0 };

/// A rollup's part of a step, or one sample.
#[derive(Clone, Copy)]
struct Piece {
    time_ms: i64,
    lasts_ms: i64,
    last: f64,
    value: f64,
    count: f64,
}

impl Stepped {
    pub(super) fn new(series: usize, steps: usize, query: &RangeQuery<'_>) -> Self {
        Self {
            start_ms: query.start_ms,
            step_ms: query.step_ms,
            steps,
            aggregation: query.aggregation,
            cells: vec![EMPTY; series * steps],
        }
    }

    /// Adds a piece; of two that end at one time, the newer one is the last.
    fn add(&mut self, series: usize, piece: Piece, newer: bool) {
        let after = piece.time_ms.saturating_sub(self.start_ms);
        let step = if after <= 0 { 0 } else { (after - 1) / self.step_ms + 1 };
        let Some(step) = usize::try_from(step).ok().filter(|step| *step < self.steps) else {
            return;
        };
        let cell = &mut self.cells[series * self.steps + step];
        if piece.time_ms > cell.time_ms || newer && piece.time_ms == cell.time_ms {
            cell.time_ms = piece.time_ms;
            cell.until_ms = piece.time_ms.saturating_add(piece.lasts_ms);
            cell.last = piece.last;
        }
        cell.value = match self.aggregation {
            _ if cell.count == 0.0 => piece.value,
            Aggregation::Min => cell.value.min(piece.value),
            Aggregation::Max => cell.value.max(piece.value),
            _ => cell.value + piece.value,
        };
        cell.count += piece.count;
    }
}

impl Fold for Stepped {
    fn from_ms(&self, start_ms: i64) -> i64 {
        let back = match self.aggregation {
            Aggregation::Last => LOOKBACK_MS,
            _ => self.step_ms,
        };
        start_ms.saturating_sub(back).saturating_add(1)
    }

    fn newest(&mut self, series: usize, time_ms: i64, value: f64) {
        let piece = Piece { time_ms, lasts_ms: LOOKBACK_MS, last: value, value, count: 1.0 };
        self.add(series, piece, true);
    }

    fn samples(&mut self, series: usize, ticks_ms: &[i64], values: &[f64]) {
        for (&time_ms, &value) in ticks_ms.iter().zip(values) {
            if !is_absent(value) {
                let lasts_ms = LOOKBACK_MS;
                self.add(
                    series,
                    Piece { time_ms, lasts_ms, last: value, value, count: 1.0 },
                    false,
                );
            }
        }
    }

    fn rollup(&mut self, series: usize, step_ms: i64, ends_ms: &[i64], planes: &[Vec<f64>]) {
        let [last, count, min, max, sum] = planes else { return };
        let values = match self.aggregation {
            Aggregation::Min => min,
            Aggregation::Max => max,
            _ => sum,
        };
        for (at, &time_ms) in ends_ms.iter().enumerate() {
            let (last, count, value) = (last[at], count[at], values[at]);
            if count > 0.0 {
                let lasts_ms = LOOKBACK_MS.max(step_ms);
                self.add(series, Piece { time_ms, lasts_ms, last, value, count }, false);
            }
        }
    }

    fn take(&mut self, series: usize) -> (Vec<i64>, Vec<f64>) {
        let cells = &self.cells[series * self.steps..(series + 1) * self.steps];
        let mut at = self.start_ms;
        let (mut times, mut values) = (Vec::new(), Vec::new());
        let mut last = EMPTY;
        for cell in cells {
            if cell.count > 0.0 {
                last = *cell;
            }
            let value = match self.aggregation {
                Aggregation::Last => (last.count > 0.0 && at < last.until_ms).then_some(last.last),
                _ if cell.count == 0.0 => None,
                Aggregation::Min | Aggregation::Max | Aggregation::Sum => Some(cell.value),
                Aggregation::Avg => Some(cell.value / cell.count),
                Aggregation::Count => Some(cell.count),
            };
            if let Some(value) = value {
                times.push(at);
                values.push(value);
            }
            at = at.saturating_add(self.step_ms);
        }
        (times, values)
    }
}
