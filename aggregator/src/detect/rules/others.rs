//! What a node's series last said that rules read from layouts other than their own.
//!
//! Only series of metrics that a rule did not find in its own layout are kept, and of those that
//! say what entities are. What a series said holds for three of its intervals. Where a look-up
//! found what, its owner keeps until the `generation` changes, which is when layouts change: a
//! steady tick looks nothing up.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::index::{Index, Whose};
use crate::detect::Tick;
use crate::detect::slots::{NodeSlots, State};
use crate::series::{Series, SeriesId};

/// What a series of another layout said is good for so many of its intervals.
const VALID_INTERVALS: i64 = 3;

/// The last value of a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    time_ms: i64,
    value: f64,
    interval_ms: u32,
}

impl Default for Cell {
    fn default() -> Self {
        Self { time_ms: 0, value: f64::NAN, interval_ms: 0 }
    }
}

impl State for Cell {
    fn keep(&self) -> bool {
        false
    }
}

/// A value of another layout that is still good.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) time_ms: i64,
    pub(super) value: f64,
    pub(super) interval_ms: u32,
}

/// What one node's other layouts said.
#[derive(Debug, Default)]
pub(super) struct Others {
    slots: NodeSlots<SeriesId, u32, Cell>,
    known: Index<()>,
    generation: u64,
    /// Metrics that rules of this node's layouts look for elsewhere.
    wanted: FxHashSet<Arc<str>>,
}

impl Others {
    /// From the next tick on these are kept, too.
    pub(super) fn want<'a>(&mut self, metrics: impl Iterator<Item = &'a str>) {
        let before = self.wanted.len();
        for metric in metrics {
            if !self.wanted.contains(metric) {
                self.wanted.insert(metric.into());
            }
        }
        if self.wanted.len() > before {
            self.slots.replan();
        }
    }

    /// Takes what a tick says of the metrics that are wanted, of `always` in any case.
    pub(super) fn take(&mut self, tick: &Tick<'_>, always: &FxHashSet<String>) {
        let Self { slots, known, generation, wanted } = self;
        let layout = tick.layout;
        let mut compiled = false;
        let (entries, cells) = slots.resolve(layout.id, || {
            compiled = true;
            let columns = (0_u32..).zip(&layout.columns);
            let read = columns.filter(|(_, series)| {
                always.contains(&*series.metric) || wanted.contains(&*series.metric)
            });
            let entry = |(column, series): (u32, &Arc<Series>)| {
                known.add(series, ());
                (series.id, column)
            };
            read.map(entry).collect()
        });
        for (column, slot) in entries {
            match tick.values.get(*column as usize) {
                Some(&value) if !value.is_nan() => {
                    let (time_ms, interval_ms) = (tick.time_ms, layout.interval_ms);
                    cells[*slot as usize] = Cell { time_ms, value, interval_ms };
                }
                _ => {}
            }
        }
        if compiled {
            *generation += 1;
            known.retain(|series| slots.slot_of(series.id).is_some());
        }
    }

    /// Changes with the series that can be found.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Cells of the series that `find` finds.
    pub(super) fn cells<'a>(
        &'a self,
        find: impl FnOnce(&'a Index<()>) -> Vec<(&'a Arc<Series>, ())>,
    ) -> impl Iterator<Item = (&'a Arc<Series>, u32)> {
        let found = find(&self.known).into_iter();
        found.filter_map(|(series, ())| Some((series, self.slots.slot_of(series.id)?)))
    }

    /// What a cell says, while it is good.
    pub(super) fn seen(&self, cell: u32, now_ms: i64) -> Option<Seen> {
        let &Cell { time_ms, value, interval_ms } = self.slots.states().get(cell as usize)?;
        let good =
            !value.is_nan() && (now_ms - time_ms).abs() <= VALID_INTERVALS * i64::from(interval_ms);
        good.then_some(Seen { time_ms, value, interval_ms })
    }

    /// The entity's info series that spoke last, however long ago.
    pub(super) fn info(&self, metric: &str, whose: Whose<'_>) -> Option<&Arc<Series>> {
        let cells = self.cells(|known| known.find_info(metric, whose));
        let time = |cell: u32| self.slots.states().get(cell as usize).map(|c| c.time_ms);
        cells.max_by_key(|(_, cell)| time(*cell)).map(|(series, _)| series)
    }
}
