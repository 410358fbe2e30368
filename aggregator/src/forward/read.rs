//! What a node has that a target does not: its layouts' ticks beyond their cursors, window by
//! window, in the order of time.
//!
//! A series goes on when its layout gives way to another, so a window is one of all of a node's
//! layouts. Heads are read first: what is sealed meanwhile is then seen twice and told apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sextant_proto::frame::{ABSENT, is_absent};

use super::encode::{MAX_SAMPLES, Run};
use crate::catalog::Live;
use crate::query::Queries;
use crate::selector::Selector;
use crate::series::{LayoutId, NodeId, Series, SeriesId};
use crate::storage::{ColumnQuery, Resolution, StoreError, Wanted};

/// Ticks that are further ahead of our clock wait until their time comes: a service that took
/// one would take nothing older any more.
const AHEAD_MS: i64 = 10 * 60_000;
/// The longest window, and the first one in which a silent layout is looked for.
const WINDOW_MS: i64 = 2 * 3_600_000;
/// A layout that got nothing for so many intervals, and so long, has ended.
const ENDED_INTERVALS: i64 = 5;
const MIN_ENDED_MS: i64 = 10_000;

/// A tick, a value and the layout that they are of.
type Point = (i64, f64, LayoutId);

/// A window of a node.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub(super) runs: Vec<Run>,
    /// Where the cursors are once the runs are taken.
    pub(super) cursors: Vec<(Arc<Live>, i64)>,
    /// Samples that came after their time had been forwarded.
    pub(super) late: u64,
    /// There is more to read now.
    pub(super) more: bool,
}

/// A node as a target has seen it.
#[derive(Debug, Default)]
pub(super) struct NodeReader {
    layouts: BTreeMap<LayoutId, LayoutState>,
    series: FxHashMap<SeriesId, SeriesState>,
}

#[derive(Debug)]
struct LayoutState {
    live: Arc<Live>,
    /// Those that are wanted.
    columns: Vec<u32>,
    cursor_ms: i64,
    /// The state of its series at the cursor is not known since the start.
    unprimed: bool,
    /// Blocks may have more than heads tell of.
    search: bool,
    /// Late rows of the head that were looked at.
    late_seen: u64,
    ended: bool,
}

#[derive(Debug)]
struct SeriesState {
    last_ms: i64,
    layout: LayoutId,
    present: bool,
}

impl NodeReader {
    /// Reads the next window. `cursor` knows where layouts stand that were not seen yet.
    pub(super) fn read(
        &mut self,
        queries: &Queries,
        node: NodeId,
        selectors: &[Selector],
        now_ms: i64,
        cursor: impl Fn(&Live) -> (i64, bool),
    ) -> Result<Window, StoreError> {
        self.follow(queries, node, selectors, cursor);
        let horizon = now_ms.saturating_add(AHEAD_MS);
        let mut due: Vec<(LayoutId, i64)> = Vec::new();
        for (id, state) in &mut self.layouts {
            if let Some(next) = state.next_tick(queries, horizon)? {
                due.push((*id, next));
            }
        }
        let Some(start) = due.iter().map(|(_, next)| *next).min() else {
            let runs = self.endings(now_ms);
            return Ok(Window { runs, ..Window::default() });
        };
        let end = start.saturating_add(self.span(&due) - 1).min(horizon);
        let mut window = Window::default();
        let mut found: BTreeMap<SeriesId, (Arc<Series>, Vec<Point>)> = BTreeMap::new();
        for (id, next) in due {
            if next > end {
                window.more = true;
                continue;
            }
            let Some(state) = self.layouts.get_mut(&id) else { continue };
            if std::mem::take(&mut state.unprimed) {
                let at = state.cursor_ms;
                for (tick, row) in state.rows(queries, at, at)?.0 {
                    for (column, value) in state.columns.iter().zip(row) {
                        let series = &state.live.layout.columns[*column as usize];
                        let present = !is_absent(value);
                        let known = SeriesState { last_ms: tick, layout: id, present };
                        self.series.entry(series.id).or_insert(known);
                    }
                }
            }
            let (rows, late) = state.rows(queries, state.cursor_ms.saturating_add(1), end)?;
            window.late += late * state.columns.len() as u64;
            let newest = rows.last_key_value().map_or(next, |(tick, _)| *tick);
            for (tick, row) in rows {
                for (column, value) in state.columns.iter().zip(row) {
                    let series = &state.live.layout.columns[*column as usize];
                    let of = found.entry(series.id);
                    of.or_insert_with(|| (Arc::clone(series), Vec::new()))
                        .1
                        .push((tick, value, id));
                }
            }
            state.cursor_ms = newest.max(next);
            state.ended = false;
            window.cursors.push((Arc::clone(&state.live), state.cursor_ms));
            window.more |= end < horizon && state.newest().is_some_and(|tick| tick > end);
            window.more |= state.search;
        }
        for (id, (series, mut points)) in found {
            points.sort_by_key(|point| point.0);
            let points = self.pass(id, points, &mut window.late);
            if !points.is_empty() {
                window.runs.push(Run { series, points });
            }
        }
        Ok(window)
    }

    /// Takes up new layouts, forgets those that are no more.
    fn follow(
        &mut self,
        queries: &Queries,
        node: NodeId,
        selectors: &[Selector],
        cursor: impl Fn(&Live) -> (i64, bool),
    ) {
        let all = queries.catalog.layouts_of(node);
        let before = self.layouts.len();
        self.layouts.retain(|id, _| all.iter().any(|live| live.layout.id == *id));
        if self.layouts.len() < before {
            let layouts = &self.layouts;
            self.series.retain(|_, state| layouts.contains_key(&state.layout));
        }
        for live in all {
            if self.layouts.contains_key(&live.layout.id) {
                continue;
            }
            let wanted = live.layout.columns.iter().enumerate().filter(|(_, series)| {
                selectors.is_empty() || selectors.iter().any(|s| matches(s, series))
            });
            let columns = wanted.map(|(at, _)| u32::try_from(at).unwrap_or(u32::MAX)).collect();
            let (cursor_ms, unprimed) = cursor(&live);
            let late_seen = live.head.lock().late().0;
            let id = live.layout.id;
            let (search, ended) = (true, false);
            let state =
                LayoutState { live, columns, cursor_ms, unprimed, search, late_seen, ended };
            self.layouts.insert(id, state);
        }
    }

    /// How much time a window may have, so that its samples are about those of one request.
    fn span(&self, due: &[(LayoutId, i64)]) -> i64 {
        let states = due.iter().filter_map(|(id, _)| self.layouts.get(id));
        let rate: f64 =
            states.map(|s| s.columns.len() as f64 / f64::from(s.live.layout.interval_ms)).sum();
        let span = MAX_SAMPLES as f64 / rate.max(1e-9);
        #[expect(clippy::cast_possible_truncation, reason = "at most two hours of milliseconds")]
        let span = span.clamp(1.0, WINDOW_MS as f64) as i64;
        span
    }

    /// Keeps what goes on after what was forwarded of the series: a marker of staleness only
    /// after a value, an instant only once.
    fn pass(&mut self, id: SeriesId, points: Vec<Point>, late: &mut u64) -> Vec<(i64, f64)> {
        let mut kept = Vec::with_capacity(points.len());
        for (tick, value, layout) in points {
            let present = !is_absent(value);
            let before = self.series.get(&id);
            if let Some(state) = before.filter(|state| tick <= state.last_ms) {
                *late += u64::from(present && tick < state.last_ms);
                continue;
            }
            if present || before.is_some_and(|state| state.present) {
                kept.push((tick, value));
            }
            self.series.insert(id, SeriesState { last_ms: tick, layout, present });
        }
        kept
    }

    /// Markers for the series of layouts that ended: half an interval after their last sample,
    /// which is before any that may still come.
    fn endings(&mut self, now_ms: i64) -> Vec<Run> {
        let mut runs = Vec::new();
        for (id, state) in &mut self.layouts {
            let layout = &state.live.layout;
            let interval = i64::from(layout.interval_ms);
            let age = (ENDED_INTERVALS * interval).max(MIN_ENDED_MS);
            let arrived = state.live.head.lock().arrived_ms();
            if state.ended || arrived == 0 || arrived >= now_ms.saturating_sub(age) {
                continue;
            }
            state.ended = true;
            for column in &state.columns {
                let series = &layout.columns[*column as usize];
                let Some(of) = self.series.get_mut(&series.id) else { continue };
                if of.present && of.layout == *id {
                    of.present = false;
                    of.last_ms += (interval / 2).max(1);
                    let points = vec![(of.last_ms, ABSENT)];
                    runs.push(Run { series: Arc::clone(series), points });
                }
            }
        }
        runs
    }
}

impl LayoutState {
    fn newest(&self) -> Option<i64> {
        self.live.head.lock().latest().map(|(tick, _)| tick)
    }

    /// The first tick beyond the cursor, up to the horizon.
    fn next_tick(&mut self, queries: &Queries, horizon: i64) -> Result<Option<i64>, StoreError> {
        let Some(&column) = self.columns.first() else { return Ok(None) };
        if !self.search && self.newest().is_none_or(|tick| tick <= self.cursor_ms) {
            return Ok(None);
        }
        let (mut best, mut goes_on) = (None::<i64>, false);
        self.live.head.lock().visit(&[column], self.cursor_ms, horizon, |_, tick, _| {
            if tick == self.cursor_ms {
                goes_on = true;
            } else {
                best = Some(best.map_or(tick, |b| b.min(tick)));
            }
        });
        if !(goes_on && best.is_some()) {
            let last = best.map_or(horizon, |tick| tick - 1);
            let found =
                self.first_stored(queries, column, self.cursor_ms.saturating_add(1), last)?;
            best = found.or(best);
        }
        self.search = best.is_some() && self.search;
        Ok(best)
    }

    /// The first tick of a range that blocks have.
    fn first_stored(
        &self,
        queries: &Queries,
        column: u32,
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Option<i64>, StoreError> {
        let (mut from, mut length) = (start_ms, WINDOW_MS);
        while from <= end_ms {
            let to = from.saturating_add(length - 1).min(end_ms);
            let mut first = None::<i64>;
            let wanted = vec![Wanted { layout: self.live.layout.id.0, columns: vec![column] }];
            let resolution = Resolution::Samples;
            let query = ColumnQuery { wanted, start_ms: from, end_ms: to, resolution };
            queries.store.columns(&query, &mut |_, segment| {
                if let (0, Some(&tick)) = (segment.step_ms, segment.ticks_ms.first()) {
                    first = Some(first.map_or(tick, |first| first.min(tick)));
                }
                true
            })?;
            if first.is_some() {
                return Ok(first);
            }
            from = to.saturating_add(1);
            length = length.saturating_mul(2);
        }
        Ok(None)
    }

    /// The wanted columns of a range by tick, and how many rows came late since the last time.
    fn rows(
        &mut self,
        queries: &Queries,
        start_ms: i64,
        end_ms: i64,
    ) -> Result<(BTreeMap<i64, Vec<f64>>, u64), StoreError> {
        let width = self.columns.len();
        let mut rows: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        let mut set = |slot: usize, tick: i64, value: f64| {
            rows.entry(tick).or_insert_with(|| vec![ABSENT; width])[slot] = value;
        };
        let (mut newest, mut covered) = (Vec::new(), false);
        let (seen, late) = {
            let head = self.live.head.lock();
            let (count, ticks) = head.late();
            let new = usize::try_from(count - self.late_seen).unwrap_or(usize::MAX);
            let late = ticks.take(new).filter(|tick| *tick <= self.cursor_ms).count();
            self.late_seen = count;
            let from = start_ms.min(self.cursor_ms);
            let seen = head.visit(&self.columns, from, end_ms, |slot, tick, value| {
                if tick >= start_ms {
                    newest.push((slot, tick, value));
                } else {
                    covered = true;
                }
            });
            (seen, late as u64)
        };
        // A head that has the cursor's own tick has all that came after it.
        if covered {
            newest.into_iter().for_each(|(slot, tick, value)| set(slot, tick, value));
            return Ok((rows, late));
        }
        let wanted = vec![Wanted { layout: self.live.layout.id.0, columns: self.columns.clone() }];
        let resolution = Resolution::Samples;
        let query = ColumnQuery { wanted, start_ms, end_ms, resolution };
        queries.store.columns(&query, &mut |_, segment| {
            let is_seen =
                segment.last_seq > 0 && seen.contains(&(segment.spool, segment.first_seq));
            // Where only rollups are left, retention has deleted what could be forwarded.
            if !is_seen && segment.step_ms == 0 {
                for (&slot, column) in segment.which.iter().zip(&segment.columns) {
                    for (&tick, &value) in segment.ticks_ms.iter().zip(column) {
                        set(slot, tick, value);
                    }
                }
            }
            true
        })?;
        for (slot, tick, value) in newest {
            set(slot, tick, value);
        }
        Ok((rows, late))
    }
}

pub(super) fn matches(selector: &Selector, series: &Series) -> bool {
    selector.matchers().iter().all(|m| m.matches(series.label(m.name()).unwrap_or_default()))
}
