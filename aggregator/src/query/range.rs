//! Samples over time: blocks, rollups and heads, merged.
//!
//! With a step, a value at a time is of what came after the step before, that time included.
//! Whole minutes and hours come from rollups, exactly: steps and start must be multiples of
//! them. Where retention has left nothing finer, a rollup answers for the step that it ends in.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use sextant_proto::frame::is_absent;

use super::fold::{Collected, Fold, Stepped};
use super::{LOOKBACK_MS, MAX_READ, MAX_SAMPLES, MAX_STEPS, Queries, QueryError, Sample};
use crate::catalog::Live;
use crate::head::ChunkId;
use crate::selector::Selector;
use crate::series::{LayoutId, Series};
use crate::storage::{ColumnQuery, PLANES, Resolution, Wanted};

/// The samples of one series, by time.
#[derive(Debug, Clone)]
pub struct Points {
    pub series: Arc<Series>,
    pub times_ms: Vec<i64>,
    pub values: Vec<f64>,
}

/// What a step is told by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Aggregation {
    /// The last sample at or before it, if it is not older than the lookback.
    #[default]
    Last,
    Min,
    Max,
    Avg,
    Sum,
    /// How many samples there were.
    Count,
}

/// A question about a time.
#[derive(Debug, Clone, Copy)]
pub struct RangeQuery<'a> {
    pub selector: &'a str,
    /// Both ends count.
    pub start_ms: i64,
    pub end_ms: i64,
    /// 0 for every sample as it was read.
    pub step_ms: i64,
    /// Without a step there is nothing to aggregate.
    pub aggregation: Aggregation,
}

/// Values that one group of series may need at a time: what bounds a question's memory.
const GROUP_VALUES: usize = 500_000;
/// Series of one group.
const GROUP_SERIES: usize = 4096;
/// Series of the first group, when nobody knows yet how many samples they have.
const FIRST_SERIES: usize = 8;

impl RangeQuery<'_> {
    fn check(&self) -> Result<usize, QueryError> {
        if self.end_ms < self.start_ms || self.step_ms < 0 {
            let text = "the range ends before it starts, or its step is negative";
            return Err(QueryError::Invalid(text.into()));
        }
        if self.step_ms == 0 {
            if self.aggregation != Aggregation::Last {
                let text = "an aggregation needs a step: ask for one";
                return Err(QueryError::Invalid(text.into()));
            }
            return Ok(0);
        }
        let steps = (self.end_ms.saturating_sub(self.start_ms) / self.step_ms).saturating_add(1);
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        if steps > MAX_STEPS {
            let text = format!(
                "the range has over {MAX_STEPS} steps: ask for a longer step or a shorter range"
            );
            return Err(QueryError::Limit(text));
        }
        Ok(steps)
    }

    /// The coarsest that answers exactly. The last sample of an hour may be long before its end,
    /// so hours do not tell it.
    fn resolution(&self) -> Resolution {
        let whole = |resolution: Resolution| {
            let length = resolution.step_ms();
            self.step_ms > 0 && self.step_ms % length == 0 && self.start_ms % length == 0
        };
        if self.aggregation != Aggregation::Last && whole(Resolution::Hours) {
            Resolution::Hours
        } else if whole(Resolution::Minutes) {
            Resolution::Minutes
        } else {
            Resolution::Samples
        }
    }
}

impl Queries {
    /// The value of each matching series at a time: its last sample within the lookback.
    ///
    /// # Errors
    /// As [`Queries::range`].
    pub fn at(&self, selector: &str, time_ms: i64) -> Result<Vec<Sample>, QueryError> {
        let mut found = Vec::new();
        self.range(selector, time_ms.saturating_sub(LOOKBACK_MS - 1), time_ms, 0, &mut |points| {
            if let (Some(&time_ms), Some(&value)) = (points.times_ms.last(), points.values.last()) {
                found.push(Sample { series: points.series, time_ms, value });
            }
            true
        })?;
        Ok(found)
    }

    /// As [`Queries::range_by`], with the last sample of each step.
    ///
    /// # Errors
    /// As [`Queries::range_by`].
    pub fn range(
        &self,
        selector: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        each: &mut dyn FnMut(Points) -> bool,
    ) -> Result<(), QueryError> {
        let aggregation = Aggregation::Last;
        self.range_by(&RangeQuery { selector, start_ms, end_ms, step_ms, aggregation }, each)
    }

    /// The samples of each matching series in a range, one call of `each` a series; false stops.
    /// With a step: what the aggregation makes of each.
    ///
    /// # Errors
    /// A wrong question, one over a limit, or a store that cannot be read.
    pub fn range_by(
        &self,
        query: &RangeQuery<'_>,
        each: &mut dyn FnMut(Points) -> bool,
    ) -> Result<(), QueryError> {
        let steps = query.check()?;
        let series = self.select(&Selector::parse(query.selector)?)?;
        if steps.saturating_mul(series.len()) > MAX_SAMPLES {
            return Err(over("fewer series, a longer step or a shorter range"));
        }
        let (mut sent, mut read, mut next) = (0, 0, 0);
        let mut size = if steps > 0 { GROUP_VALUES / steps } else { FIRST_SERIES };
        while next < series.len() {
            let end = (next + size.clamp(1, GROUP_SERIES)).min(series.len());
            let group = &series[next..end];
            next = end;
            let mut fold: Box<dyn Fold> = if steps > 0 {
                Box::new(Stepped::new(group.len(), steps, query))
            } else {
                Box::new(Collected::new(group.len()))
            };
            let from = fold.from_ms(query.start_ms);
            self.read(group, (from, query.end_ms), query.resolution(), &mut *fold, &mut read)?;
            let before = sent;
            for (number, one) in group.iter().enumerate() {
                let (times_ms, values) = fold.take(number);
                sent += times_ms.len();
                if sent > MAX_SAMPLES {
                    return Err(over("fewer series, a step or a shorter range"));
                }
                let points = Points { series: Arc::clone(one), times_ms, values };
                if !points.times_ms.is_empty() && !each(points) {
                    return Ok(());
                }
            }
            if steps == 0 {
                size = GROUP_VALUES / ((sent - before) / group.len()).max(1);
            }
        }
        Ok(())
    }

    /// The samples of some series as they were read, both ends included, in the order given.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn samples(
        &self,
        series: &[Arc<Series>],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<Points>, QueryError> {
        let mut fold = Collected::new(series.len());
        self.read(series, (start_ms, end_ms), Resolution::Samples, &mut fold, &mut 0)?;
        let points = series.iter().enumerate().map(|(number, one)| {
            let (times_ms, values) = fold.take(number);
            Points { series: Arc::clone(one), times_ms, values }
        });
        Ok(points.collect())
    }

    /// Folds what heads and store have of some series, one pass a layout.
    fn read(
        &self,
        series: &[Arc<Series>],
        (start_ms, end_ms): (i64, i64),
        resolution: Resolution,
        fold: &mut dyn Fold,
        read: &mut usize,
    ) -> Result<(), QueryError> {
        let mut layouts: FxHashMap<LayoutId, usize> = FxHashMap::default();
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut places: Vec<(Arc<Live>, Vec<usize>)> = Vec::new();
        for (number, one) in series.iter().enumerate() {
            for (live, column) in self.catalog.placements(one.id) {
                let layout = live.layout.id;
                let at = *layouts.entry(layout).or_insert_with(|| {
                    wanted.push(Wanted { layout: layout.0, columns: Vec::new() });
                    places.push((live, Vec::new()));
                    wanted.len() - 1
                });
                wanted[at].columns.push(u32::try_from(column).unwrap_or(u32::MAX));
                places[at].1.push(number);
            }
        }
        // Heads first: what is sealed meanwhile is then seen twice and told apart, not missed.
        let mut seen: Vec<Vec<ChunkId>> = Vec::with_capacity(wanted.len());
        for (wanted, (live, numbers)) in wanted.iter().zip(&places) {
            let head = live.head.lock();
            seen.push(head.visit(&wanted.columns, start_ms, end_ms, |slot, tick, value| {
                if !is_absent(value) {
                    fold.newest(numbers[slot], tick, value);
                }
            }));
        }
        let query = ColumnQuery { wanted, start_ms, end_ms, resolution };
        let mut too_much = false;
        self.store.columns(&query, &mut |layout, segment| {
            let id = (segment.spool, segment.first_seq);
            if segment.last_seq > 0 && seen[layout].contains(&id) {
                return true;
            }
            let numbers = &places[layout].1;
            *read += segment.ticks_ms.len() * segment.which.len();
            too_much = *read > MAX_READ;
            let planes = if segment.step_ms > 0 { PLANES } else { 1 };
            for (slot, &which) in segment.which.iter().enumerate() {
                let columns = &segment.columns[slot * planes..(slot + 1) * planes];
                if segment.step_ms > 0 {
                    fold.rollup(numbers[which], segment.step_ms, &segment.ticks_ms, columns);
                } else {
                    fold.samples(numbers[which], &segment.ticks_ms, &columns[0]);
                }
            }
            !too_much
        })?;
        if too_much {
            let text = format!(
                "the question is about over {MAX_READ} samples: ask for fewer series or a shorter \
                 range, or for a step and a start that are multiples of a minute or an hour"
            );
            return Err(QueryError::Limit(text));
        }
        Ok(())
    }
}

fn over(less: &str) -> QueryError {
    QueryError::Limit(format!("the answer has over {MAX_SAMPLES} samples: ask for {less}"))
}
