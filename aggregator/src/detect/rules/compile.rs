//! What rules read of a layout: settled once per layout, so that a tick costs what is watched.

use std::cell::Cell;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Key;
use super::index::{Index, Whose};
use super::others::{Others, Seen};
use super::rule::{Operand, Rule};
use super::spec::Book;
use super::watch::Reading;
use crate::detect::Tick;
use crate::series::{NodeLayout, Series};

/// What a rule reads of a layout's tick.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) rule: u16,
    pub(super) column: u32,
    reads: Reads,
}

#[derive(Debug)]
enum Reads {
    /// Columns of the same tick, one for each: what nearly all rules read.
    Columns {
        divisor: Option<u32>,
        gates: Box<[u32]>,
    },
    More(Box<More>),
}

/// Everything that can be read.
#[derive(Debug)]
struct More {
    minus: Option<Source>,
    divisor: Option<Source>,
    /// In the order of the rule's gates, each with its divisor.
    gates: Vec<(Source, Option<Source>)>,
    info: Option<Info>,
}

/// Where another metric comes from.
#[derive(Debug)]
enum Source {
    /// Columns of the same layout.
    Here(Vec<u32>),
    /// Cells of other layouts, looked up at a generation of theirs.
    Elsewhere { generation: u64, cells: Vec<u32> },
}

/// The entity's info series, and which of them have the labels that the rule wants.
#[derive(Debug)]
struct Info {
    metric: String,
    generation: u64,
    cells: Vec<(u32, bool)>,
}

/// What rules watch in a layout.
pub(super) fn compile(
    book: &Book,
    by_metric: &FxHashMap<String, Vec<u16>>,
    layout: &NodeLayout,
) -> Vec<(Key, Entry)> {
    let watched: Vec<(u32, u16)> = (0_u32..)
        .zip(&layout.columns)
        .flat_map(|(column, series)| {
            let rules = by_metric.get(&*series.metric).into_iter().flatten().copied();
            rules
                .filter(|rule| book.rules[usize::from(*rule)].watches(series))
                .map(move |rule| (column, rule))
        })
        .collect();
    let mut here = Index::default();
    let operands = watched.iter().flat_map(|(_, rule)| book.rules[usize::from(*rule)].operands());
    let wanted: FxHashSet<&str> = operands.map(|o| &*o.metric).collect();
    for (column, series) in (0_u32..).zip(&layout.columns) {
        if wanted.contains(&*series.metric) {
            here.add(series, column);
        }
    }
    let entry = |(column, number): (u32, u16)| {
        let rule = &book.rules[usize::from(number)];
        let series = &layout.columns[column as usize];
        let whose = Whose::series(series);
        let source = |operand: &Operand| {
            let columns: Vec<u32> =
                here.find(operand, whose).into_iter().map(|(_, column)| column).collect();
            if columns.is_empty() {
                return Source::Elsewhere { generation: 0, cells: Vec::new() };
            }
            Source::Here(columns)
        };
        let info = if rule.report.info.is_empty() {
            None
        } else {
            // A type without an info series has nothing that could be wanted of it.
            let metric = book.info_metric(&rule.report, &series.entity_type)?.to_owned();
            Some(Info { metric, generation: 0, cells: Vec::new() })
        };
        let gate = |g: &super::rule::Gate| (source(&g.operand), g.divide_by.as_ref().map(source));
        let more = More {
            minus: rule.minus.as_ref().map(source),
            divisor: rule.divide_by.as_ref().map(source),
            gates: rule.gates.iter().map(gate).collect(),
            info,
        };
        let reads = more.columns().unwrap_or_else(|| Reads::More(Box::new(more)));
        let entry = Entry { rule: number, column, reads };
        Some(((series.id, number), entry))
    };
    watched.into_iter().filter_map(entry).collect()
}

impl Entry {
    /// The metrics that its layout does not have.
    pub(super) fn elsewhere<'a>(&'a self, rule: &'a Rule) -> Vec<&'a str> {
        match &self.reads {
            Reads::Columns { .. } => Vec::new(),
            Reads::More(more) => more.elsewhere(rule),
        }
    }

    /// Reads a tick; `None` when something that the rule needs is not known (a NaN is not).
    #[inline]
    pub(super) fn read(
        &mut self,
        rule: &Rule,
        series: &Arc<Series>,
        tick: &Tick<'_>,
        others: &Others,
    ) -> Option<Reading> {
        let at =
            |column: u32| tick.values.get(column as usize).copied().filter(|v: &f64| !v.is_nan());
        let value = at(self.column)?;
        match &mut self.reads {
            Reads::Columns { divisor, gates } => {
                let divisor = match *divisor {
                    Some(column) => Some(at(column)?),
                    None => None,
                };
                let mut held = true;
                for (gate, column) in rule.gates.iter().zip(gates.iter()) {
                    held &= gate.op.holds(at(*column)?, gate.value);
                }
                let span_ms = tick.layout.interval_ms;
                Some(Reading { value, divisor, gates: held, span_ms })
            }
            Reads::More(more) => {
                more.read(rule, value, &Look { tick, others, whose: Whose::series(series) })
            }
        }
    }
}

impl More {
    /// The same as columns of the layout, when that is all.
    fn columns(&self) -> Option<Reads> {
        let one = |source: &Source| match source {
            Source::Here(columns) if columns.len() == 1 => Some(columns[0]),
            _ => None,
        };
        if self.minus.is_some() || self.info.is_some() {
            return None;
        }
        let divisor = match &self.divisor {
            Some(source) => Some(one(source)?),
            None => None,
        };
        let gates = self.gates.iter().map(|(source, divisor)| match divisor {
            None => one(source),
            Some(_) => None,
        });
        Some(Reads::Columns { divisor, gates: gates.collect::<Option<_>>()? })
    }

    fn elsewhere<'a>(&'a self, rule: &'a Rule) -> Vec<&'a str> {
        let gates = self.gates.iter().zip(&rule.gates).flat_map(|((source, divisor), gate)| {
            let divisor = divisor.as_ref().zip(gate.divide_by.as_ref());
            std::iter::once((source, &gate.operand)).chain(divisor)
        });
        let minus = self.minus.as_ref().zip(rule.minus.as_ref());
        let all = minus.into_iter().chain(self.divisor.as_ref().zip(rule.divide_by.as_ref()));
        let missing = all.chain(gates).filter(|(s, _)| matches!(s, Source::Elsewhere { .. }));
        missing.map(|(_, operand)| &*operand.metric).collect()
    }

    #[inline(never)]
    fn read(&mut self, rule: &Rule, mut value: f64, look: &Look<'_>) -> Option<Reading> {
        let span_ms = Cell::new(look.tick.layout.interval_ms);
        let one = |source: &mut Source, operand: &Operand| {
            let seen = source.newest(operand, look)?;
            span_ms.set(span_ms.get().max(seen.interval_ms));
            Some(seen.value)
        };
        if let (Some(source), Some(operand)) = (&mut self.minus, &rule.minus) {
            value -= one(source, operand)?;
        }
        let divisor = match (&mut self.divisor, &rule.divide_by) {
            (Some(source), Some(operand)) => Some(one(source, operand)?),
            _ => None,
        };
        let mut gates = true;
        for ((source, divisor), gate) in self.gates.iter_mut().zip(&rule.gates) {
            let by = match (divisor, &gate.divide_by) {
                (Some(source), Some(operand)) => one(source, operand),
                _ => Some(1.0),
            };
            let held = by.and_then(|by| {
                let (mut known, mut holds) = (false, false);
                source.each(&gate.operand, look, |seen| {
                    known = true;
                    span_ms.set(span_ms.get().max(seen.interval_ms));
                    holds |= gate.op.holds(seen.value / by, gate.value);
                });
                known.then_some(holds)
            });
            gates &= match held {
                Some(held) => held,
                None if gate.optional => true,
                None => return None,
            };
        }
        if let Some(info) = &mut self.info {
            gates &= info.fits(rule, look)?;
        }
        Some(Reading { value, divisor, gates, span_ms: span_ms.get() })
    }
}

/// What is looked at.
struct Look<'a> {
    tick: &'a Tick<'a>,
    others: &'a Others,
    whose: Whose<'a>,
}

impl Look<'_> {
    fn column(&self, column: u32) -> Option<Seen> {
        let value = self.tick.values.get(column as usize).copied().filter(|v| !v.is_nan())?;
        let (time_ms, interval_ms) = (self.tick.time_ms, self.tick.layout.interval_ms);
        Some(Seen { time_ms, value, interval_ms })
    }
}

impl Source {
    /// Hands out what is known now of the series that the operand means.
    fn each(&mut self, operand: &Operand, look: &Look<'_>, mut take: impl FnMut(Seen)) {
        match self {
            Self::Here(columns) => {
                columns.iter().filter_map(|c| look.column(*c)).for_each(take);
            }
            Self::Elsewhere { generation, cells } => {
                if *generation != look.others.generation() {
                    *generation = look.others.generation();
                    let found = look.others.cells(|known| known.find(operand, look.whose));
                    cells.clear();
                    cells.extend(found.map(|(_, cell)| cell));
                }
                for cell in cells {
                    if let Some(seen) = look.others.seen(*cell, look.tick.time_ms) {
                        take(seen);
                    }
                }
            }
        }
    }

    /// What was said last, by the one with the most labels of those that spoke at that time.
    fn newest(&mut self, operand: &Operand, look: &Look<'_>) -> Option<Seen> {
        let mut newest: Option<Seen> = None;
        self.each(operand, look, |seen| {
            if newest.is_none_or(|n| seen.time_ms > n.time_ms) {
                newest = Some(seen);
            }
        });
        newest
    }
}

impl Info {
    /// Whether the info series that spoke last has the labels; `None` when none is known.
    fn fits(&mut self, rule: &Rule, look: &Look<'_>) -> Option<bool> {
        let others = look.others;
        if self.generation != others.generation() {
            self.generation = others.generation();
            let found = others.cells(|known| known.find_info(&self.metric, look.whose));
            self.cells.clear();
            self.cells
                .extend(found.map(|(series, cell)| {
                    (cell, rule.report.info.take(|name| series.label(name)))
                }));
        }
        let seen = self.cells.iter().filter_map(|(cell, fits)| {
            Some((others.seen(*cell, look.tick.time_ms)?.time_ms, *fits))
        });
        seen.max_by_key(|(time_ms, _)| *time_ms).map(|(_, fits)| fits)
    }
}
