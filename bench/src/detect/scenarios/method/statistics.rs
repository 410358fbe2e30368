//! Plain statistics on every series, as many tools offer them: a z-score, the median's absolute
//! deviation and the quartiles' range, of the last hour's points of a minute, at the sensitivity
//! that their authors call medium (2.5) and at the textbook's limits (3.5 and 1.5). Counters are
//! taken by their rate. What they say is what their users would be told.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use sextant_aggregator::series::{LayoutId, SeriesId};
use sextant_proto::v1::MetricKind;

use super::{Cost, Found, Level, Method, thread_ns};
use crate::detect::scenarios::fault::Component;
use crate::detect::scenarios::shape::Batch;
use crate::detect::scenarios::world::World;

/// Points of the window, one a minute.
const WINDOW: usize = 60;
/// As the algorithms' authors ask for.
const LEAST_POINTS: usize = 30;
const STEP_S: i64 = 60;
/// Quiet for so many points: what was unusual is over.
const OVER_AFTER: u8 = 5;
/// Standard deviation over the median absolute deviation of a normal distribution.
const MAD_SCALE: f64 = 1.4826;

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Z,
    Mad,
    Iqr,
}

#[derive(Default)]
struct State {
    window: VecDeque<f64>,
    last: Option<(i64, f64)>,
    newest: f64,
    newest_ms: i64,
    quiet: u8,
    open: Option<usize>,
}

struct Watched {
    counter: bool,
    component: Component,
    metric: String,
    state: State,
}

/// One of the algorithms on every series.
pub(crate) struct Statistics {
    kind: Kind,
    series: FxHashMap<SeriesId, usize>,
    watched: Vec<Watched>,
    plans: FxHashMap<LayoutId, Vec<usize>>,
    scratch: Vec<f64>,
    found: Vec<Found>,
    cost: Cost,
}

impl Statistics {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            series: FxHashMap::default(),
            watched: Vec::new(),
            plans: FxHashMap::default(),
            scratch: Vec::new(),
            found: Vec::new(),
            cost: Cost::default(),
        }
    }

    fn observe(&mut self, batch: &Batch, world: &World) {
        for told in &batch.ticks {
            let layout = &told.live.layout;
            let Self { series, watched, plans, .. } = self;
            let plan = plans.entry(layout.id).or_insert_with(|| {
                let slot = |column: &std::sync::Arc<sextant_aggregator::series::Series>| {
                    *series.entry(column.id).or_insert_with(|| {
                        let label = |name: &str| column.label(name).map(str::to_owned);
                        let node = &world.nodes[told.node];
                        let (kind, metric) = (&column.entity_type, &column.metric);
                        watched.push(Watched {
                            counter: column.kind == MetricKind::Counter,
                            component: node.component(told.node, kind, metric, label),
                            metric: column.metric.to_string(),
                            state: State::default(),
                        });
                        watched.len() - 1
                    })
                };
                layout.columns.iter().map(slot).collect()
            });
            for (slot, value) in plan.iter().zip(batch.row(told)) {
                let state = &mut watched[*slot].state;
                if !value.is_nan() {
                    (state.newest, state.newest_ms) = (*value, told.time_ms);
                }
            }
        }
    }

    fn judge(&mut self, now_ms: i64) {
        let Self { kind, watched, scratch, found, .. } = self;
        for Watched { counter, component, metric, state } in watched {
            if state.newest_ms <= now_ms - 2 * STEP_S * 1000 {
                state.last = None;
                continue;
            }
            let at = (state.newest_ms, state.newest);
            let point = match (*counter, state.last.replace(at)) {
                (false, _) => state.newest,
                (true, Some((ms, value))) if at.0 > ms && at.1 >= value => {
                    (at.1 - value) * 1000.0 / (at.0 - ms) as f64
                }
                (true, _) => continue,
            };
            let score = (state.window.len() >= LEAST_POINTS)
                .then(|| unusual(*kind, &state.window, point, scratch))
                .flatten();
            state.window.push_back(point);
            if state.window.len() > WINDOW {
                state.window.pop_front();
            }
            match (score, state.open) {
                (Some(score), None) => {
                    (state.open, state.quiet) = (Some(found.len()), 0);
                    found.push(Found {
                        begin_ms: now_ms,
                        end_ms: None,
                        component: *component,
                        level: Level::Page,
                        rule: metric.clone(),
                        score,
                        causes: vec![*component],
                    });
                }
                (Some(_), Some(_)) => state.quiet = 0,
                (None, Some(index)) => {
                    state.quiet += 1;
                    if state.quiet >= OVER_AFTER {
                        found[index].end_ms = Some(now_ms);
                        state.open = None;
                    }
                }
                (None, None) => {}
            }
        }
    }
}

/// How far the point is from the window, if that is too far.
fn unusual(kind: Kind, window: &VecDeque<f64>, point: f64, scratch: &mut Vec<f64>) -> Option<f64> {
    let n = window.len() as f64;
    if kind == Kind::Z {
        let mean = window.iter().sum::<f64>() / n;
        let variance = window.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let z = (point - mean).abs() / variance.sqrt();
        return (variance > 0.0 && z > 2.5).then_some(z);
    }
    scratch.clear();
    scratch.extend(window);
    let quantile = |of: &mut [f64], share: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let index = (share * (of.len() - 1) as f64).round() as usize;
        *of.select_nth_unstable_by(index, f64::total_cmp).1
    };
    if kind == Kind::Mad {
        let median = quantile(scratch, 0.5);
        scratch.iter_mut().for_each(|v| *v = (*v - median).abs());
        let mad = quantile(scratch, 0.5) * MAD_SCALE;
        let z = (point - median).abs() / mad;
        return (mad > 0.0 && z > 3.5).then_some(z);
    }
    let (low, high) = (quantile(scratch, 0.25), quantile(scratch, 0.75));
    let range = high - low;
    let beyond = (low - point).max(point - high);
    (beyond > 1.5 * range).then(|| if range > 0.0 { beyond / range } else { f64::MAX })
}

impl Method for Statistics {
    fn take(&mut self, now_s: i64, batch: &Batch, world: &World) {
        let before = thread_ns();
        self.observe(batch, world);
        if now_s % STEP_S == 0 {
            self.judge(now_s * 1000);
        }
        self.cost.cpu_ns += thread_ns() - before;
        self.cost.samples += batch.values.len() as u64;
    }

    fn finish(self: Box<Self>) -> Vec<(String, Vec<Found>, Cost)> {
        let name = match self.kind {
            Kind::Z => "z-score",
            Kind::Mad => "mad",
            Kind::Iqr => "iqr",
        };
        vec![(name.into(), self.found, self.cost)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_far_off_is_unusual_by_each_and_an_ordinary_one_by_none() {
        let window: VecDeque<f64> = (0..WINDOW).map(|i| (i % 7) as f64).collect();
        for kind in [Kind::Z, Kind::Mad, Kind::Iqr] {
            let mut scratch = Vec::new();
            assert!(unusual(kind, &window, 90.0, &mut scratch).is_some(), "{kind:?}");
            assert!(unusual(kind, &window, 3.0, &mut scratch).is_none(), "{kind:?}");
        }
    }
}
