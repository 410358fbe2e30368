//! What DCGM shows of the past: rates of counters, and counts within the last five minutes.
//!
//! A rate is that between two scrapes, as dcgm-exporter's is between two collections; the first
//! scrape says 0. Counts are read from the stored history, those of clock events at most once
//! in [`COUNTED_FOR_MS`], which is dcgm-exporter's own collection interval.

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::super::Sample;
use crate::query::Queries;
use crate::series::{Series, SeriesId};

/// The sliding window of `DCGM_EXP_*_COUNT`: dcgm-exporter's default.
pub(super) const WINDOW_MS: i64 = 300_000;
/// How long a count of clock events is good for.
const COUNTED_FOR_MS: i64 = 30_000;
/// A counter that no scrape asked for in this long is forgotten.
const FORGOTTEN_MS: i64 = 3_600_000;
/// Counters are looked through for forgotten ones when there are twice as many as after the last
/// time, but not for fewer than this.
const FEW: usize = 1024;

/// What is remembered between scrapes; one for all of them.
#[derive(Debug, Default)]
pub(crate) struct History {
    rates: Mutex<Rates>,
    clock_events: Mutex<(i64, Arc<FxHashMap<SeriesId, u32>>)>,
}

#[derive(Debug, Default)]
struct Rates {
    by_series: FxHashMap<(SeriesId, usize), Seen>,
    kept: usize,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    tick_ms: i64,
    value: f64,
    per_second: f64,
}

impl History {
    /// The growth per second since the scrape before: `user` tells users of one series apart.
    /// A counter that went back begins anew.
    pub(super) fn rate(&self, id: SeriesId, user: usize, tick_ms: i64, value: f64) -> f64 {
        let mut rates = self.rates.lock();
        if rates.by_series.len() >= rates.kept.max(FEW) * 2 {
            rates.by_series.retain(|_, s| s.tick_ms > tick_ms - FORGOTTEN_MS);
            rates.kept = rates.by_series.len();
        }
        let first = Seen { tick_ms, value, per_second: 0.0 };
        let seen = rates.by_series.entry((id, user)).or_insert(first);
        if tick_ms > seen.tick_ms {
            let seconds = (tick_ms - seen.tick_ms) as f64 / 1e3;
            let per_second = ((value - seen.value) / seconds).max(0.0);
            *seen = Seen { tick_ms, value, per_second };
        }
        seen.per_second
    }

    /// In how many samples of the window each series was 1.
    pub(super) fn clock_events(
        &self,
        queries: &Queries,
        series: &[Sample],
        now_ms: i64,
    ) -> Arc<FxHashMap<SeriesId, u32>> {
        let mut cached = self.clock_events.lock();
        if now_ms.saturating_sub(cached.0) < COUNTED_FOR_MS {
            return Arc::clone(&cached.1);
        }
        let mut counts = FxHashMap::default();
        for group in series.chunks(256) {
            let newest = group.iter().map(|s| s.tick_ms).max().unwrap_or(now_ms);
            let group: Vec<Arc<Series>> = group.iter().map(|s| Arc::clone(&s.series)).collect();
            // Without an answer there are no counts, rather than wrong ones.
            let Ok(points) = queries.samples(&group, newest - WINDOW_MS, newest) else { continue };
            for points in points {
                let active = points.values.iter().filter(|v| **v > 0.0).count();
                counts.insert(points.series.id, u32::try_from(active).unwrap_or(u32::MAX));
            }
        }
        *cached = (now_ms, Arc::new(counts));
        Arc::clone(&cached.1)
    }
}

/// How much a counter grew within the window that ends at its newest sample. One that is new in
/// it grew from nothing; `None` when the history cannot be read.
pub(super) fn growth(queries: &Queries, counter: &Sample) -> Option<f64> {
    let (end, series) = (counter.tick_ms, [Arc::clone(&counter.series)]);
    let start = end - WINDOW_MS;
    // As much again before the window says what it began with.
    let points = queries.samples(&series, start - WINDOW_MS, end).ok()?.pop()?;
    let mut grown = 0.0;
    let mut before = 0.0;
    for (time, value) in points.times_ms.into_iter().zip(points.values) {
        if time > start {
            grown += if value >= before { value - before } else { value };
        }
        before = value;
    }
    Some(grown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_that_between_scrapes_and_the_first_is_zero() {
        let history = History::default();
        let f = |user, tick, value, want: f64| {
            let rate = history.rate(SeriesId(1), user, tick, value);
            assert!((rate - want).abs() < 1e-9, "{rate} is not {want}");
        };
        f(0, 1_000, 500.0, 0.0);
        f(0, 1_000, 500.0, 0.0);
        f(0, 3_000, 700.0, 100.0);
        f(0, 3_000, 700.0, 100.0);
        f(1, 3_000, 700.0, 0.0);
        f(0, 4_000, 10.0, 0.0);
        f(0, 5_000, 20.0, 10.0);
    }

    #[test]
    fn counters_that_nobody_asks_for_are_forgotten() {
        let history = History::default();
        for id in 0..10_000 {
            history.rate(SeriesId(id), 0, i64::from(id) * 10_000, 1.0);
        }
        assert!(history.rates.lock().by_series.len() < 3 * FEW);
    }
}
