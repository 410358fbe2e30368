//! Samples over time: blocks and heads, merged.

use std::collections::BTreeMap;
use std::sync::Arc;

use sextant_proto::frame::is_absent;

use super::{LOOKBACK_MS, MAX_SAMPLES, Queries, QueryError, Sample};
use crate::catalog::Live;
use crate::selector::Selector;
use crate::series::{LayoutId, Series, SeriesId};
use crate::storage::ColumnQuery;

/// The samples of one series, by time.
#[derive(Debug, Clone)]
pub struct Points {
    pub series: Arc<Series>,
    pub times_ms: Vec<i64>,
    pub values: Vec<f64>,
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

    /// The samples of each matching series in a range (both ends count), one call of `each` a
    /// series; false stops. With a step: at each step the last sample within the lookback.
    ///
    /// # Errors
    /// A wrong question, one over a limit, or a store that cannot be read.
    pub fn range(
        &self,
        selector: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        each: &mut dyn FnMut(Points) -> bool,
    ) -> Result<(), QueryError> {
        if end_ms < start_ms || step_ms < 0 {
            return Err(QueryError::Invalid(
                "the range ends before it starts, or its step is negative".into(),
            ));
        }
        let series = self.select(&Selector::parse(selector)?)?;
        let span = end_ms.saturating_sub(start_ms);
        let steps = if step_ms > 0 { (span / step_ms).saturating_add(1) } else { 0 };
        let total = usize::try_from(steps).unwrap_or(usize::MAX).saturating_mul(series.len());
        if total > MAX_SAMPLES {
            return Err(over("a longer step or a shorter range"));
        }
        let from = if step_ms > 0 { start_ms.saturating_sub(LOOKBACK_MS) } else { start_ms };
        let mut sent = 0;
        // Columns of a layout are read together: in groups, so that memory is bounded by a group
        // and not by the question.
        for group in series.chunks(GROUP) {
            for mut points in self.samples(group, from, end_ms)? {
                if step_ms > 0 {
                    points = step(points, start_ms, end_ms, step_ms);
                }
                sent += points.times_ms.len();
                if sent > MAX_SAMPLES {
                    return Err(over("fewer series, a step or a shorter range"));
                }
                if !points.times_ms.is_empty() && !each(points) {
                    return Ok(());
                }
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
        let mut layouts: BTreeMap<LayoutId, Wanted> = BTreeMap::new();
        for one in series {
            for (live, column) in self.catalog.placements(one.id) {
                let slot = layouts.entry(live.layout.id).or_insert_with(|| (live, Vec::new()));
                slot.1.push((one.id, column));
            }
        }
        let mut merged: BTreeMap<SeriesId, Vec<(i64, f64)>> = BTreeMap::new();
        for (live, wanted) in layouts.into_values() {
            let columns: Vec<usize> = wanted.iter().map(|(_, column)| *column).collect();
            let head = live.head.lock().snapshot(&columns, start_ms, end_ms);
            let numbers = columns.iter().map(|c| u32::try_from(*c).unwrap_or(u32::MAX)).collect();
            let query =
                ColumnQuery { layout: live.layout.id.0, columns: numbers, start_ms, end_ms };
            let segments = self.store.columns(&query)?;
            let unseen = segments.iter().filter(|s| !head.chunks.contains(&(s.spool, s.first_seq)));
            for segment in unseen {
                for ((id, _), column) in wanted.iter().zip(&segment.columns) {
                    extend(merged.entry(*id).or_default(), &segment.ticks_ms, column);
                }
            }
            for ((id, _), column) in wanted.iter().zip(&head.columns) {
                extend(merged.entry(*id).or_default(), &head.ticks_ms, column);
            }
        }
        let points = |one: &Arc<Series>| {
            let mut found = merged.remove(&one.id).unwrap_or_default();
            if !found.is_sorted_by_key(|(t, _)| *t) {
                found.sort_by_key(|(t, _)| *t);
            }
            // Two samples of one instant: the node's clock was set back. The later one stays.
            found.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    *kept = *later;
                }
                same
            });
            let (times_ms, values) = found.into_iter().unzip();
            Points { series: Arc::clone(one), times_ms, values }
        };
        Ok(series.iter().map(points).collect())
    }
}

/// A layout, and the series that are wanted of it with their columns.
type Wanted = (Arc<Live>, Vec<(SeriesId, usize)>);

/// Series that are read together.
const GROUP: usize = 256;

fn over(less: &str) -> QueryError {
    QueryError::Limit(format!("the answer has over {MAX_SAMPLES} samples: ask for {less}"))
}

fn extend(points: &mut Vec<(i64, f64)>, ticks: &[i64], values: &[f64]) {
    let all = ticks.iter().copied().zip(values.iter().copied());
    points.extend(all.filter(|(_, v)| !is_absent(*v)));
}

/// The last sample at or before each step, if it is not older than the lookback.
fn step(points: Points, start_ms: i64, end_ms: i64, step_ms: i64) -> Points {
    let mut out = Points { series: points.series, times_ms: Vec::new(), values: Vec::new() };
    let mut next = 0;
    let mut at = start_ms;
    while at <= end_ms {
        while points.times_ms.get(next).is_some_and(|t| *t <= at) {
            next += 1;
        }
        if let Some(last) = next.checked_sub(1)
            && at - points.times_ms[last] < LOOKBACK_MS
        {
            out.times_ms.push(at);
            out.values.push(points.values[last]);
        }
        let Some(next_step) = at.checked_add(step_ms) else { break };
        at = next_step;
    }
    out
}
