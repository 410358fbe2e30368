//! Columns, rollups and retention of the store in memory.

use std::ops::Bound;

use super::{State, invalid};
use crate::storage::codec::{bucket_ticks, rollup};
use crate::storage::{
    Chunk, ColumnQuery, Compacted, Cutoff, Resolution, Segment, StoreError, Unused, Wanted,
};

const DAY_MS: i64 = 86_400_000;
/// What compaction takes is as old as it is on disk.
const SETTLED_MS: i64 = 2 * 3_600_000 + 10 * 60_000;

/// A chunk in a block.
pub(super) struct Sealed {
    pub(super) chunk: Chunk,
    /// It can be told by rollups.
    pub(super) compacted: bool,
}

/// The first days that have samples and minutes left.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    blocks: i64,
    minutes: i64,
}

impl Default for Kept {
    fn default() -> Self {
        Self { blocks: i64::MIN, minutes: i64::MIN }
    }
}

impl Sealed {
    fn day(&self) -> i64 {
        self.chunk.ticks_ms[0].div_euclid(DAY_MS)
    }

    fn last_ms(&self) -> i64 {
        self.chunk.ticks_ms[self.chunk.ticks_ms.len() - 1]
    }

    fn ended_before(&self, cutoff_ms: i64) -> bool {
        (self.day() + 1).saturating_mul(DAY_MS) <= cutoff_ms && self.last_ms() < cutoff_ms
    }

    fn resolution(&self, asked: Resolution, kept: Kept) -> Resolution {
        let finest = if !self.compacted {
            return Resolution::Samples;
        } else if self.day() >= kept.blocks {
            Resolution::Samples
        } else if self.day() >= kept.minutes {
            Resolution::Minutes
        } else {
            Resolution::Hours
        };
        asked.max(finest)
    }
}

fn segment(
    block: &Sealed,
    wanted: &Wanted,
    query: &ColumnQuery,
    kept: Kept,
) -> Result<Option<Segment>, StoreError> {
    let chunk = &block.chunk;
    let step_ms = block.resolution(query.resolution, kept).step_ms();
    let shifted: Vec<i64> = chunk.ticks_ms.iter().map(|tick| tick.saturating_sub(1)).collect();
    let ticks: Vec<i64> = match step_ms {
        0 => chunk.ticks_ms.clone(),
        _ => bucket_ticks(&shifted, step_ms).iter().map(|t| t.saturating_add(step_ms)).collect(),
    };
    let from = ticks.partition_point(|&tick| tick < query.start_ms);
    let to = ticks.partition_point(|&tick| tick <= query.end_ms);
    if from >= to {
        return Ok(None);
    }
    let mut columns = Vec::new();
    for &index in &wanted.columns {
        let column = usize::try_from(index).ok().and_then(|index| chunk.columns.get(index));
        let column = column.ok_or_else(|| {
            invalid(format!("layout {} does not have a column {index}", chunk.layout))
        })?;
        if step_ms == 0 {
            columns.push(column[from..to].to_vec());
            continue;
        }
        let planes = rollup(&shifted, column, step_ms);
        for plane in [planes.last, planes.count, planes.min, planes.max, planes.sum] {
            columns.push(plane[from..to].to_vec());
        }
    }
    let (spool, first_seq, last_seq) = match block.compacted {
        true => (0, 0, 0),
        false => (chunk.spool, chunk.first_seq, chunk.last_seq),
    };
    let (ticks_ms, which) = (ticks[from..to].to_vec(), (0..wanted.columns.len()).collect());
    Ok(Some(Segment { spool, first_seq, last_seq, step_ms, ticks_ms, which, columns }))
}

impl State {
    pub(super) fn columns(
        &self,
        query: &ColumnQuery,
        each: &mut dyn FnMut(usize, &Segment) -> bool,
    ) -> Result<(), StoreError> {
        if query.start_ms > query.end_ms {
            return Ok(());
        }
        for (number, wanted) in query.wanted.iter().enumerate() {
            let from = Bound::Included((wanted.layout, i64::MIN, 0, 0));
            let to = Bound::Included((wanted.layout, query.end_ms, u32::MAX, u64::MAX));
            for block in self.blocks.range((from, to)).map(|(_, block)| block) {
                let found = segment(block, wanted, query, self.kept_from)?;
                if found.is_some_and(|segment| !each(number, &segment)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    pub(super) fn compact(&mut self, now_ms: i64) -> Compacted {
        let mut done = Compacted::default();
        for block in self.blocks.values_mut() {
            let is_odd = block.chunk.arrived_ms != 0
                && !(-32..=1).contains(&(block.day() - block.chunk.arrived_ms.div_euclid(DAY_MS)));
            if !block.compacted && !is_odd && block.last_ms().saturating_add(SETTLED_MS) <= now_ms {
                block.compacted = true;
                done.merged += 1;
                done.into += 1;
            }
        }
        done
    }

    /// Deletes what is in no kept rollup; returns the days that went.
    pub(super) fn prune_samples(&mut self, cutoff: &Cutoff) -> usize {
        let mut days = std::collections::BTreeMap::<i64, (bool, bool)>::new();
        for block in self.blocks.values() {
            let grace = if block.compacted { 0 } else { DAY_MS };
            let before = cutoff.samples_ms;
            let old = block.ended_before(before)
                && (block.day() + 1).saturating_mul(DAY_MS).saturating_add(grace) <= before;
            let day = days.entry(block.day()).or_insert((true, true));
            day.0 &= old;
            day.1 &= block.ended_before(cutoff.minutes_ms);
        }
        let mut gone = 0;
        for (day, (samples, minutes)) in days {
            let had = self.blocks.values().any(|b| b.day() == day && !b.compacted);
            if samples && (had || day >= self.kept_from.blocks) {
                gone += 1;
                self.kept_from.blocks = self.kept_from.blocks.max(day + 1);
                self.blocks.retain(|_, block| block.day() != day || block.compacted);
            }
            if minutes {
                self.kept_from.minutes = self.kept_from.minutes.max(day + 1);
            }
        }
        let kept = self.kept_from;
        self.blocks.retain(|_, block| {
            !block.compacted || block.day() >= kept.blocks || !block.ended_before(cutoff.hours_ms)
        });
        gone
    }

    pub(super) fn unused(&self) -> Unused {
        let has_frames = |layout: u32| self.journal.keys().any(|key| key.0 == layout);
        let has_blocks = |layout: u32| self.blocks.keys().any(|key| key.0 == layout);
        let is_unused = |id: &u32| !has_frames(*id) && !has_blocks(*id);
        let layouts: Vec<u32> = self.layouts.keys().copied().filter(is_unused).collect();
        let waits = |spool: u32| self.journal.keys().any(|key| key.1 == spool);
        let spools: Vec<u32> = self.spools.keys().copied().filter(|id| !waits(*id)).collect();
        let is_bare = |node: &u32| {
            !self.layouts.values().any(|l| l.node == *node && !layouts.contains(&l.id))
                && !self.spools.values().any(|s| s.node == *node && !spools.contains(&s.id))
                && !self.event_nodes.values().any(|n| n == node)
                && !self.anomalies.values().any(|(n, _)| n == node)
        };
        let nodes = self.nodes.keys().copied().filter(is_bare).collect();
        Unused { layouts, spools, nodes }
    }

    /// Whether nothing that stays refers to it.
    pub(super) fn check_unused(&self, going: &Unused) -> Result<(), StoreError> {
        let unused = self.unused();
        let known = |id: &u32, all: bool, unused: &[u32]| !all || unused.contains(id);
        let layouts = going
            .layouts
            .iter()
            .all(|id| known(id, self.layouts.contains_key(id), &unused.layouts));
        let spools =
            going.spools.iter().all(|id| known(id, self.spools.contains_key(id), &unused.spools));
        let bare = |node: &u32| {
            !self.layouts.values().any(|l| l.node == *node && !going.layouts.contains(&l.id))
                && !self.spools.values().any(|s| s.node == *node && !going.spools.contains(&s.id))
        };
        let nodes = going
            .nodes
            .iter()
            .all(|id| known(id, self.nodes.contains_key(id), &unused.nodes) && bare(id));
        if layouts && spools && nodes {
            return Ok(());
        }
        Err(invalid("something stored refers to what is to be forgotten"))
    }
}
