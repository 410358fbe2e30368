//! The newest samples of one layout: the latest row, the rows since the last seal, and the
//! chunks that are on their way into a block.
//!
//! A head is written by its shard only and read by queries, behind a lock that is held for one
//! row. Rows are kept tick by tick, so that a tick is one copy; a seal turns them into columns.

use std::collections::VecDeque;
use std::sync::Arc;

use sextant_proto::limits::MAX_OUT_OF_ORDER_MS;

use crate::series::LayoutId;
use crate::storage::Chunk;

/// Ticks of a chunk: 2 minutes at 1 s, 20 minutes at 10 s.
const MAX_TICKS: usize = 120;
/// A chunk spans no more, whatever the gaps: a block is found by the day that it starts in.
const MAX_SPAN_MS: i64 = 2 * 3_600_000;
/// Late ticks that are remembered.
const MAX_LATE: usize = 1024;

/// The samples of a layout that are not in a block yet.
#[derive(Debug)]
pub struct Head {
    layout: LayoutId,
    columns: usize,
    spool: u32,
    first_seq: u64,
    last_seq: u64,
    ticks_ms: Vec<i64>,
    rows: Vec<f64>,
    sealing: Vec<Arc<Chunk>>,
    /// Newest tick that was appended, and its row; one in the future gives way to any.
    latest_ms: Option<i64>,
    latest: Vec<f64>,
    /// When the last row arrived, aggregator's clock.
    arrived_ms: i64,
    /// How many ticks were not after the newest one, and the last of them.
    late: (u64, VecDeque<i64>),
}

impl Head {
    /// An empty head.
    #[must_use]
    pub fn new(layout: LayoutId, columns: usize) -> Self {
        Self {
            layout,
            columns,
            spool: 0,
            first_seq: 0,
            last_seq: 0,
            ticks_ms: Vec::new(),
            rows: Vec::new(),
            sealing: Vec::new(),
            latest_ms: None,
            latest: Vec::new(),
            arrived_ms: 0,
            late: Default::default(),
        }
    }

    /// Whether a frame that starts at this tick is too far behind the newest one to be stored. A
    /// newest one that lies in the future is no measure: a node's clock that was ahead and is set
    /// right must not shut the node out.
    #[must_use]
    pub fn is_too_old(&self, tick_ms: i64, now_ms: i64) -> bool {
        let newest = self.latest_ms.map(|latest| latest.min(now_ms));
        newest.is_some_and(|newest| tick_ms < newest.saturating_sub(MAX_OUT_OF_ORDER_MS))
    }

    /// Whether a frame whose ticks begin with this one begins a chunk.
    #[must_use]
    pub fn begins_chunk(&self, spool: u32, tick_ms: i64) -> bool {
        let (Some(first), Some(last)) = (self.ticks_ms.first(), self.ticks_ms.last()) else {
            return true;
        };
        let wide = tick_ms.saturating_sub(*first) > MAX_SPAN_MS;
        self.ticks_ms.len() >= MAX_TICKS || tick_ms <= *last || wide || spool != self.spool
    }

    /// Appends a frame's ticks. Returns the chunks that became complete by it: they stay
    /// readable here until [`Head::sealed`].
    pub fn append<'a>(
        &mut self,
        spool: u32,
        seq: u64,
        arrived_ms: i64,
        rows: impl Iterator<Item = (i64, &'a [f64])>,
    ) -> Vec<Arc<Chunk>> {
        let mut done = Vec::new();
        // A frame is in one chunk, decided at its first tick (its ticks grow): sealing by
        // sequence number never cuts a frame in two.
        let rows: Vec<_> = rows.collect();
        let Some(&(first, _)) = rows.first() else { return done };
        if self.begins_chunk(spool, first) {
            done.extend(self.seal());
        }
        if self.ticks_ms.is_empty() {
            (self.spool, self.first_seq) = (spool, seq);
        }
        self.last_seq = seq;
        self.arrived_ms = arrived_ms;
        for (tick, row) in rows {
            if self.latest_ms.is_none_or(|latest| tick <= latest) {
                self.late.0 += 1;
                self.late.1.truncate(MAX_LATE - 1);
                self.late.1.push_front(tick);
            }
            self.ticks_ms.push(tick);
            self.rows.extend_from_slice(row);
            if self.latest_ms.is_none_or(|latest| tick >= latest || latest > arrived_ms) {
                self.latest_ms = Some(tick);
                self.latest.clear();
                self.latest.extend_from_slice(row);
            }
        }
        done
    }

    /// Ends the open chunk, if it has anything.
    pub fn seal(&mut self) -> Option<Arc<Chunk>> {
        if self.ticks_ms.is_empty() {
            return None;
        }
        let column = |c: usize| self.rows.iter().skip(c).step_by(self.columns).copied().collect();
        let chunk = Arc::new(Chunk {
            layout: self.layout.0,
            spool: self.spool,
            first_seq: self.first_seq,
            last_seq: self.last_seq,
            arrived_ms: self.arrived_ms,
            columns: (0..self.columns).map(column).collect(),
            ticks_ms: std::mem::take(&mut self.ticks_ms),
        });
        // Given back, not kept: a layout that is replaced gets no more rows.
        self.rows = Vec::new();
        self.sealing.push(Arc::clone(&chunk));
        Some(chunk)
    }

    /// The chunk is in a block now.
    pub fn sealed(&mut self, chunk: &Arc<Chunk>) {
        self.sealing.retain(|c| !Arc::ptr_eq(c, chunk));
    }

    /// Whether it has rows that no chunk has, and got the last one before `arrived_before_ms`.
    #[must_use]
    pub fn is_idle(&self, arrived_before_ms: i64) -> bool {
        !self.ticks_ms.is_empty() && self.arrived_ms < arrived_before_ms
    }

    /// When the last row arrived, aggregator's clock; 0 for never.
    #[must_use]
    pub fn arrived_ms(&self) -> i64 {
        self.arrived_ms
    }

    /// How many ticks came that were not after the newest one (or the first since the start),
    /// and the last of them, the newest arrival first.
    pub fn late(&self) -> (u64, impl Iterator<Item = i64>) {
        (self.late.0, self.late.1.iter().copied())
    }

    /// The newest row and its tick.
    #[must_use]
    pub fn latest(&self) -> Option<(i64, &[f64])> {
        self.latest_ms.map(|tick| (tick, &*self.latest))
    }

    /// Hands out what lies in a time range (both ends count) of some columns: which of them, the
    /// tick and the value. Returns the chunks that it looked at: a block of the same is the same
    /// data.
    pub fn visit(
        &self,
        columns: &[u32],
        start_ms: i64,
        end_ms: i64,
        mut each: impl FnMut(usize, i64, f64),
    ) -> Vec<ChunkId> {
        let range = |ticks: &[i64]| {
            let from = ticks.partition_point(|&tick| tick < start_ms);
            from..ticks.partition_point(|&tick| tick <= end_ms).max(from)
        };
        let mut chunks = Vec::with_capacity(self.sealing.len() + 1);
        for chunk in &self.sealing {
            chunks.push((chunk.spool, chunk.first_seq));
            for at in range(&chunk.ticks_ms) {
                for (slot, &column) in columns.iter().enumerate() {
                    each(slot, chunk.ticks_ms[at], chunk.columns[column as usize][at]);
                }
            }
        }
        if !self.ticks_ms.is_empty() {
            chunks.push((self.spool, self.first_seq));
        }
        for at in range(&self.ticks_ms) {
            let row = &self.rows[at * self.columns..(at + 1) * self.columns];
            for (slot, &column) in columns.iter().enumerate() {
                each(slot, self.ticks_ms[at], row[column as usize]);
            }
        }
        chunks
    }
}

/// Spool and first seq of a chunk.
pub type ChunkId = (u32, u64);

#[cfg(test)]
mod tests {
    use super::*;

    fn append(head: &mut Head, seq: u64, tick: i64) -> usize {
        let row = [seq as f64, -1.0];
        // Long after any of the ticks: none of them lies in the future.
        let arrived = 10 * MAX_SPAN_MS;
        head.append(1, seq, arrived, [(tick, &row[..])].into_iter()).len()
    }

    #[test]
    fn chunk_is_complete_after_its_ticks_and_readable_until_it_is_stored() {
        let mut head = Head::new(LayoutId(0), 2);
        for seq in 1..=120 {
            assert_eq!(append(&mut head, seq, i64::try_from(seq).expect("small")), 0);
        }
        let row = [121.0, -1.0];
        let done = head.append(1, 121, 121, [(121, &row[..])].into_iter());
        assert_eq!((done.len(), done[0].first_seq, done[0].last_seq), (1, 1, 120));
        assert_eq!(done[0].columns[1], vec![-1.0; 120]);
        let visit = |head: &Head, start, end| {
            let mut seen = Vec::new();
            let chunks = head.visit(&[1, 0], start, end, |slot, tick, value| {
                seen.push((slot, tick, value));
            });
            (chunks, seen)
        };
        let (chunks, all) = visit(&head, 0, 1000);
        assert_eq!((all.len(), chunks), (242, vec![(1, 1), (1, 121)]));
        assert_eq!(all[239..], [(1, 120, 120.0), (0, 121, -1.0), (1, 121, 121.0)]);
        assert_eq!(visit(&head, 7, 7).1, [(0, 7, -1.0), (1, 7, 7.0)]);
        head.sealed(&done[0]);
        assert_eq!(visit(&head, 0, 1000).1, [(0, 121, -1.0), (1, 121, 121.0)]);
        assert_eq!(head.latest(), Some((121, &row[..])));
    }

    #[test]
    fn time_that_runs_back_starts_a_chunk_and_an_hour_is_too_much() {
        let mut head = Head::new(LayoutId(0), 2);
        append(&mut head, 1, 7_200_000);
        assert_eq!(append(&mut head, 2, 7_100_000), 1);
        assert_eq!(head.latest().map(|l| l.0), Some(7_200_000));
        let now = 7_300_000;
        assert!(head.is_too_old(3_599_999, now) && !head.is_too_old(3_600_000, now));
    }

    #[test]
    fn clock_that_was_ahead_and_is_set_right_goes_on() {
        let mut head = Head::new(LayoutId(0), 2);
        let (now, row) = (10_000_000, [1.0, 2.0]);
        head.append(1, 1, now, [(now + 86_400_000, &row[..])].into_iter());
        assert!(!head.is_too_old(now + 1000, now + 1000));
        head.append(1, 2, now + 1000, [(now + 1000, &row[..])].into_iter());
        assert_eq!(head.latest().map(|l| l.0), Some(now + 1000));
        assert!(head.is_too_old(now - 3_600_000, now + 2000));
    }

    #[test]
    fn gap_beyond_the_span_starts_a_chunk() {
        let mut head = Head::new(LayoutId(0), 2);
        append(&mut head, 1, 0);
        assert_eq!(append(&mut head, 2, MAX_SPAN_MS), 0);
        assert_eq!(append(&mut head, 3, MAX_SPAN_MS + 1), 1);
    }
}
