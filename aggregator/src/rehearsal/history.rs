//! A node's past in the order of its time: ticks of all its layouts, and what happened.

use std::collections::VecDeque;
use std::sync::Arc;

use sextant_proto::frame::ABSENT;
use sextant_proto::v1::Event;

use super::Rehearsal;
use crate::catalog::Live;
use crate::detect::{Rules, Tick};
use crate::nodes::Node;
use crate::query::{Queries, QueryError};
use crate::storage::{ColumnQuery, EventQuery};

/// Time that is read at once.
const WINDOW_MS: i64 = 2 * 3_600_000;
/// Events that are read at once; more than that within a window are read in parts.
const EVENTS: usize = 10_000;

/// The columns of one layout that rules read.
struct Source {
    live: Arc<Live>,
    columns: Vec<usize>,
    /// Ticks of the window that are not told yet, and the values of the columns.
    ticks_ms: Vec<i64>,
    values: Vec<Vec<f64>>,
    next: usize,
    row: Vec<f64>,
}

/// The next thing of the past.
pub(super) enum Step<'a> {
    Tick(PastTick<'a>),
    Event(Event),
}

/// A tick, with how many of its columns are there.
pub(super) struct PastTick<'a> {
    pub(super) tick: Tick<'a>,
    pub(super) samples: u64,
}

/// What a node's layouts and events were, from first to last.
pub(super) struct History<'a> {
    queries: &'a Queries,
    cluster: String,
    node: String,
    sources: Vec<Source>,
    events: VecDeque<Event>,
    next_ms: i64,
    end_ms: i64,
}

impl<'a> History<'a> {
    pub(super) fn new(queries: &'a Queries, node: &Node, rules: &Rules, what: &Rehearsal) -> Self {
        let source = |live: Arc<Live>| {
            let all = live.layout.columns.iter().enumerate();
            let columns: Vec<usize> =
                all.filter(|(_, s)| rules.reads(&s.metric)).map(|(at, _)| at).collect();
            let row = vec![ABSENT; live.layout.columns.len()];
            let (ticks_ms, values) = (Vec::new(), Vec::new());
            (!columns.is_empty()).then_some(Source {
                live,
                columns,
                ticks_ms,
                values,
                next: 0,
                row,
            })
        };
        let layouts = queries.catalog.layouts_of(node.key.id);
        Self {
            queries,
            cluster: node.key.cluster.to_string(),
            node: node.key.name.to_string(),
            sources: layouts.into_iter().filter_map(source).collect(),
            events: VecDeque::new(),
            next_ms: what.start_ms,
            end_ms: what.end_ms,
        }
    }

    /// The layouts that have something to read.
    pub(super) fn layouts(&self) -> Vec<Arc<Live>> {
        self.sources.iter().map(|s| Arc::clone(&s.live)).collect()
    }

    pub(super) fn shortest_interval_ms(&self) -> u32 {
        self.sources.iter().map(|s| s.live.layout.interval_ms).min().unwrap_or(1_000)
    }

    /// The next tick or event; `None` at the end. Events come before the ticks of their time.
    pub(super) fn next_step(&mut self) -> Result<Option<Step<'_>>, QueryError> {
        loop {
            let tick = self
                .sources
                .iter()
                .enumerate()
                .filter_map(|(at, s)| Some((*s.ticks_ms.get(s.next)?, at)))
                .min();
            let event = self.events.front().map(|e| e.time_unix_ms);
            match (tick, event) {
                (Some((tick_ms, _)), Some(event_ms)) if event_ms <= tick_ms => {}
                (Some((_, at)), _) => return Ok(Some(Step::Tick(self.sources[at].take()))),
                (None, Some(_)) => {}
                (None, None) if self.next_ms > self.end_ms => return Ok(None),
                (None, None) => {
                    self.read_window()?;
                    continue;
                }
            }
            return Ok(self.events.pop_front().map(Step::Event));
        }
    }

    /// Reads the next part of the time. One without any layout's data is passed over.
    fn read_window(&mut self) -> Result<(), QueryError> {
        let start_ms = self.next_ms;
        let last_ms = start_ms.saturating_add(WINDOW_MS - 1).min(self.end_ms);
        for source in &mut self.sources {
            source.read(self.queries, start_ms, last_ms)?;
        }
        self.read_events(start_ms, last_ms)?;
        self.next_ms = last_ms.saturating_add(1);
        Ok(())
    }

    fn read_events(&mut self, start_ms: i64, last_ms: i64) -> Result<(), QueryError> {
        let mut end_ms = last_ms;
        loop {
            let query = EventQuery {
                cluster: Some(self.cluster.clone()),
                node: Some(self.node.clone()),
                kind: None,
                // A bound of 0 is none.
                start_ms: start_ms.max(1),
                end_ms: end_ms.max(1),
                limit: EVENTS,
            };
            let found = self.queries.store.events(&query)?;
            let full = found.len() == EVENTS;
            let oldest = found.last().and_then(|e| e.event.as_ref()).map(|e| e.time_unix_ms);
            let events = found.into_iter().filter_map(|stored| stored.event);
            // Newest first; of a full answer the oldest instant comes again with the next one.
            let again = oldest.filter(|_| full);
            for event in events.take_while(|e| Some(e.time_unix_ms) != again) {
                self.events.push_front(event);
            }
            match again {
                Some(oldest) if oldest < end_ms => end_ms = oldest,
                _ => return Ok(()),
            }
        }
    }
}

impl Source {
    fn read(&mut self, queries: &Queries, start_ms: i64, end_ms: i64) -> Result<(), QueryError> {
        let layout = &self.live.layout;
        let head = self.live.head.lock().snapshot(&self.columns, start_ms, end_ms);
        let columns = self.columns.iter().map(|c| u32::try_from(*c).unwrap_or(u32::MAX)).collect();
        let query = ColumnQuery { layout: layout.id.0, columns, start_ms, end_ms };
        let mut parts: Vec<(Vec<i64>, Vec<Vec<f64>>)> = Vec::new();
        for segment in queries.store.columns(&query)? {
            if !head.chunks.contains(&(segment.spool, segment.first_seq)) {
                parts.push((segment.ticks_ms, segment.columns));
            }
        }
        parts.push((head.ticks_ms, head.columns));
        let mut order: Vec<(i64, usize, usize)> = Vec::new();
        for (part, (ticks_ms, _)) in parts.iter().enumerate() {
            order.extend(ticks_ms.iter().enumerate().map(|(at, tick)| (*tick, part, at)));
        }
        order.sort_unstable();
        // Two ticks of one instant: the node's clock was set back. The later one stays.
        order.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                *kept = *later;
            }
            same
        });
        self.ticks_ms = order.iter().map(|(tick, ..)| *tick).collect();
        let column = |c: usize| order.iter().map(|(_, part, at)| parts[*part].1[c][*at]).collect();
        self.values = (0..self.columns.len()).map(column).collect();
        self.next = 0;
        Ok(())
    }

    fn take(&mut self) -> PastTick<'_> {
        let at = self.next;
        self.next += 1;
        for (column, values) in self.columns.iter().zip(&self.values) {
            self.row[*column] = values[at];
        }
        let tick =
            Tick { layout: &self.live.layout, time_ms: self.ticks_ms[at], values: &self.row };
        PastTick { tick, samples: self.columns.len() as u64 }
    }
}
