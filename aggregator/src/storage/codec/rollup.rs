//! Rollups: what a column was in each step of a minute or an hour, such that minimum, maximum,
//! average, rate and last value of any longer time come from them.

use sextant_proto::frame::{ABSENT, is_absent};

/// A column by steps. All planes have a value for each step; where the column had no sample
/// in a step, `count` is 0 and the others are absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RollupColumn {
    /// The least value; NaN only when all are.
    pub min: Vec<f64>,
    /// The greatest value; NaN only when all are.
    pub max: Vec<f64>,
    pub sum: Vec<f64>,
    /// Samples that were not absent.
    pub count: Vec<f64>,
    /// The latest sample that was not absent.
    pub last: Vec<f64>,
}

impl RollupColumn {
    pub(super) fn planes(&self) -> [&[f64]; 5] {
        [&self.last, &self.count, &self.min, &self.max, &self.sum]
    }

    pub(super) fn planes_mut(&mut self) -> [&mut Vec<f64>; 5] {
        [&mut self.last, &mut self.count, &mut self.min, &mut self.max, &mut self.sum]
    }

    /// Adds the steps of another, which come later.
    pub fn extend(&mut self, later: &Self) {
        for (own, more) in self.planes_mut().into_iter().zip(later.planes()) {
            own.extend_from_slice(more);
        }
    }

    fn push(&mut self, step: Step) {
        self.min.push(step.min);
        self.max.push(step.max);
        self.sum.push(step.sum);
        self.count.push(step.count);
        self.last.push(step.last);
    }
}

/// One step of a rollup.
#[derive(Clone, Copy)]
struct Step {
    min: f64,
    max: f64,
    sum: f64,
    count: f64,
    last: f64,
}

impl Step {
    const EMPTY: Self = Self { min: ABSENT, max: ABSENT, sum: ABSENT, count: 0.0, last: ABSENT };

    fn sample(value: f64) -> Self {
        if is_absent(value) {
            return Self::EMPTY;
        }
        Self { min: value, max: value, sum: value, count: 1.0, last: value }
    }

    fn add(&mut self, later: Self) {
        if later.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = later;
            return;
        }
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.sum += later.sum;
        self.count += later.count;
        self.last = later.last;
    }
}

/// The start of the step that a tick lies in.
fn step_of(tick_ms: i64, step_ms: i64) -> i64 {
    tick_ms.saturating_sub(tick_ms.rem_euclid(step_ms))
}

/// The steps that have a tick, by their start: the ticks of a block of rollups. Ticks must not
/// fall.
///
/// # Panics
/// When the step is not positive.
pub fn bucket_ticks(ticks_ms: &[i64], step_ms: i64) -> Vec<i64> {
    let mut steps: Vec<i64> = ticks_ms.iter().map(|&tick| step_of(tick, step_ms)).collect();
    steps.dedup();
    steps
}

fn gather(ticks_ms: &[i64], step_ms: i64, at: impl Fn(usize) -> Step) -> RollupColumn {
    let mut column = RollupColumn::default();
    let mut open: Option<(i64, Step)> = None;
    for (index, &tick) in ticks_ms.iter().enumerate() {
        let start = step_of(tick, step_ms);
        match &mut open {
            Some((current, step)) if *current == start => step.add(at(index)),
            _ => {
                if let Some((_, step)) = open.replace((start, at(index))) {
                    column.push(step);
                }
            }
        }
    }
    if let Some((_, step)) = open {
        column.push(step);
    }
    column
}

/// A column of samples by steps, one for each of [`bucket_ticks`].
///
/// # Panics
/// When the step is not positive, or there are fewer values than ticks.
pub fn rollup(ticks_ms: &[i64], column: &[f64], step_ms: i64) -> RollupColumn {
    gather(ticks_ms, step_ms, |index| Step::sample(column[index]))
}

/// A column of rollups by longer steps, one for each of [`bucket_ticks`]. With the same step
/// it joins what two blocks have of one step: put the columns and their ticks together first.
///
/// # Panics
/// When the step is not positive, or a plane has fewer values than there are ticks.
pub fn coarsen(ticks_ms: &[i64], column: &RollupColumn, step_ms: i64) -> RollupColumn {
    gather(ticks_ms, step_ms, |index| Step {
        min: column.min[index],
        max: column.max[index],
        sum: column.sum[index],
        count: column.count[index],
        last: column.last[index],
    })
}
