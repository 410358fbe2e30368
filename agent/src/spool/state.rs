//! What the spool knows without touching a disk: the frames in memory, the segments there are,
//! what was acked and what was lost.
//!
//! Seqs grow from front to back of `segments`, and so they do in `tail`, which holds the newest
//! frames: everything beyond `written` and, while there is room, what is on disk as well.
//! `chains` moves on with the front of `tail`, whether a frame leaves it acked, dropped or
//! because it is on disk.

use std::collections::VecDeque;
use std::path::PathBuf;

use rustc_hash::FxHashMap;
use sextant_proto::frame::ChainDecoder;

use super::Record;
use super::identity::Identity;
use super::rekey::Behind;

/// What a record costs in memory beside its payload.
const RECORD_OVERHEAD: usize = 128;

/// The spool's bounds.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) tail_bytes: usize,
    pub(super) memory_bytes: usize,
    pub(super) disk_bytes: u64,
    pub(super) segment_bytes: u64,
    pub(super) segment_age_ms: i64,
    pub(super) max_age_ms: i64,
}

/// Where frames are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Disk,
    /// The disk cannot be written.
    Memory,
}

/// Frames that went without being acked, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops {
    /// The spool had no room for them.
    pub full: u64,
    /// Too old.
    pub age: u64,
    /// They could not be written, and memory had no room for them.
    pub io: u64,
    /// Damaged on disk; where the damage hides how many there were, one is counted.
    pub corrupt: u64,
    /// Larger than the protocol allows.
    pub too_big: u64,
}

/// What the spool holds and what it lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolStats {
    pub mode: Mode,
    /// Bytes of the segments, and of the frames in no segment.
    pub bytes: u64,
    /// Frames that are not acked.
    pub frames: u64,
    /// When the oldest of them was spooled, to the segment.
    pub oldest_ms: Option<i64>,
    pub segments: usize,
    pub drops: Drops,
    /// Bytes of segments that could not be read.
    pub damaged_bytes: u64,
    /// Frames pushed since the start.
    pub pushed: u64,
}

/// A segment file. Its frames are `first..=last` without a hole.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    /// Good bytes from its front.
    pub(super) bytes: u64,
    /// Still appended to.
    pub(super) open: bool,
}

impl Segment {
    fn unacked(&self, acked: u64) -> u64 {
        (self.last + 1).saturating_sub(self.first.max(acked + 1))
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) id: String,
    /// The last seq given.
    pub(super) last: u64,
    pub(super) acked: u64,
    /// No frame up to it waits for the disk.
    pub(super) written: u64,
    pub(super) synced: u64,
    pub(super) tail: VecDeque<Record>,
    tail_bytes: usize,
    /// How many frames of `tail` follow a layout: its bytes are shared, and counted once.
    layouts: FxHashMap<u64, usize>,
    /// The chains as they stand before the first frame of `tail`.
    chains: ChainDecoder,
    pub(super) segments: VecDeque<Segment>,
    pub(super) drops: Drops,
    pub(super) damaged_bytes: u64,
    pub(super) mode: Mode,
    first: u64,
    pub(super) sync_wanted: bool,
    pub(super) stopping: bool,
    /// The spool's thread has ended, or there is none.
    pub(super) closed: bool,
}

impl State {
    pub(super) fn new(identity: &Identity, mode: Mode) -> Self {
        let base = identity.base();
        Self {
            id: identity.id.clone(),
            last: base,
            acked: 0,
            written: base,
            synced: base,
            tail: VecDeque::new(),
            tail_bytes: 0,
            layouts: FxHashMap::default(),
            chains: ChainDecoder::new(),
            segments: VecDeque::new(),
            drops: Drops::default(),
            damaged_bytes: 0,
            mode,
            first: base,
            sync_wanted: false,
            stopping: false,
            closed: false,
        }
    }

    /// What an earlier process left.
    pub(super) fn take_over(&mut self, segments: VecDeque<Segment>, lost: u64, damaged_bytes: u64) {
        self.segments = segments;
        self.drops.corrupt += lost;
        self.damaged_bytes += damaged_bytes;
    }

    pub(super) fn push(&mut self, mut record: Record, limits: &Limits) -> u64 {
        self.last += 1;
        record.frame.seq = self.last;
        let now_ms = record.time_ms;
        if let Some((hash, bytes)) = &record.layout {
            let users = self.layouts.entry(*hash).or_default();
            *users += 1;
            if *users == 1 {
                self.tail_bytes += bytes.len();
            }
        }
        self.tail_bytes += cost(&record);
        self.tail.push_back(record);
        self.trim(now_ms, limits);
        self.last
    }

    /// Keeps memory within its bounds.
    pub(super) fn trim(&mut self, now_ms: i64, limits: &Limits) {
        while let Some(oldest) = self.tail.front() {
            let safe = oldest.frame.seq <= self.written.max(self.acked);
            let old = now_ms.saturating_sub(oldest.time_ms) > limits.max_age_ms;
            let room = if safe { limits.tail_bytes } else { limits.memory_bytes };
            let over = self.tail_bytes > room && self.tail.len() > 1;
            if !over && (safe || !old) {
                break;
            }
            match (safe, over, self.closed) {
                (true, ..) => {}
                (false, false, _) => self.drops.age += 1,
                (false, true, true) => self.drops.full += 1,
                (false, true, false) => self.drops.io += 1,
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(record) = self.tail.pop_front() else { return };
        self.tail_bytes -= cost(&record);
        let Some((hash, bytes)) = record.layout else { return };
        if let Err(error) = self.chains.skip(&record.frame) {
            // Its chain can be followed again from the next key on.
            tracing::debug!(seq = record.frame.seq, %error, "chain in the spool is broken");
            self.chains.forget(hash);
        }
        if let Some(users) = self.layouts.get_mut(&hash) {
            *users -= 1;
            if *users == 0 {
                self.layouts.remove(&hash);
                self.tail_bytes -= bytes.len();
            }
        }
    }

    pub(super) fn ack(&mut self, seq: u64) {
        self.acked = self.acked.max(seq.min(self.last));
        while self.tail.front().is_some_and(|oldest| oldest.frame.seq <= self.acked) {
            self.forget_oldest();
        }
        self.written = self.written.max(self.acked);
    }

    /// Takes out the segments that may go: acked, too old, or over the bound.
    pub(super) fn expired(&mut self, limits: &Limits) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        let now_ms = self.tail.back().map_or(i64::MIN, |newest| newest.time_ms);
        while let Some(oldest) = self.segments.front().filter(|oldest| !oldest.open) {
            let bytes: u64 = self.segments.iter().map(|s| s.bytes).sum();
            let unacked = oldest.unacked(self.acked);
            if bytes > limits.disk_bytes {
                self.drops.full += unacked;
            } else if now_ms.saturating_sub(oldest.last_ms) > limits.max_age_ms {
                self.drops.age += unacked;
            } else if unacked > 0 {
                break;
            }
            let gone = oldest.last;
            paths.extend(self.segments.pop_front().map(|s| s.path));
            while self.tail.front().is_some_and(|oldest| oldest.frame.seq <= gone) {
                self.forget_oldest();
            }
        }
        paths
    }

    /// Frames in memory that are to be written, `max_bytes` of them and at least one.
    pub(super) fn unwritten(&self, max_bytes: usize) -> Vec<Record> {
        let from = self.tail.partition_point(|r| r.frame.seq <= self.written);
        take(self.tail.range(from..), max_bytes, usize::MAX)
    }

    /// Frames after `seq` when they are in memory; `None` when there are some on disk before.
    pub(super) fn tail_after(
        &self,
        seq: u64,
        max_bytes: usize,
        max_frames: usize,
    ) -> Option<Vec<Record>> {
        if self.segment_after(seq).is_some() {
            return None;
        }
        let from = self.tail.partition_point(|r| r.frame.seq <= seq);
        Some(take(self.tail.range(from..), max_bytes, max_frames))
    }

    /// The segment with the first frame after `seq`, if that is not in memory.
    pub(super) fn segment_after(&self, seq: u64) -> Option<&Segment> {
        let in_memory = self.tail.front().map_or(u64::MAX, |oldest| oldest.frame.seq);
        let segment = self.segments.iter().find(|s| s.last > seq)?;
        (segment.first.max(seq + 1) < in_memory).then_some(segment)
    }

    /// A segment has no readable frame after `good`; it takes no more. What memory still has of
    /// the newest one is written again, into the next.
    pub(super) fn cut_segment(&mut self, first: u64, good: Option<u64>) {
        let Some(at) = self.segments.iter().position(|s| s.first == first) else { return };
        let newest = at + 1 == self.segments.len();
        let in_memory = self.tail.front().filter(|_| newest).map(|oldest| oldest.frame.seq);
        let segment = &mut self.segments[at];
        let good = good.filter(|good| *good >= first);
        let kept = good.unwrap_or(first - 1).max(self.acked);
        let mut last = segment.last;
        if let Some(oldest) = in_memory.filter(|oldest| *oldest <= last) {
            last = (oldest - 1).max(kept);
            self.written = last;
        }
        self.drops.corrupt += last.saturating_sub(kept);
        segment.last = segment.last.min(good.unwrap_or(0));
        segment.open = false;
    }

    /// What a frame in memory continues; `None` when it is not in memory.
    pub(super) fn behind(&self, layout: u64, seq: u64) -> Option<Behind> {
        let at = self.tail.partition_point(|record| record.frame.seq < seq);
        self.tail.get(at).filter(|record| record.frame.seq == seq)?;
        let same = |r: &&Record| r.layout.as_ref().is_some_and(|(hash, _)| *hash == layout);
        let frames = self.tail.range(..at).filter(same).map(|record| record.frame.clone());
        Some(Behind { chains: self.chains.only(layout), frames: frames.collect() })
    }

    /// The segment that holds a frame.
    pub(super) fn segment_of(&self, seq: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| (segment.first..=segment.last).contains(&seq))
    }

    pub(super) fn unacked(&self) -> u64 {
        let on_disk: u64 = self.segments.iter().map(|s| s.unacked(self.acked)).sum();
        on_disk + self.waiting().count() as u64
    }

    /// Frames in memory and in no segment.
    fn waiting(&self) -> impl Iterator<Item = &Record> {
        let from = self.tail.partition_point(|r| r.frame.seq <= self.written);
        self.tail.range(from..)
    }

    pub(super) fn stats(&self) -> SpoolStats {
        let waiting: usize = self.waiting().map(cost).sum();
        let on_disk: u64 = self.segments.iter().map(|s| s.bytes).sum();
        let oldest_segment = self.segments.iter().find(|s| s.unacked(self.acked) > 0);
        let oldest_in_memory = self.tail.front().map(|r| (r.frame.seq, r.time_ms));
        let oldest_ms = match (oldest_segment, oldest_in_memory) {
            (Some(s), Some((seq, _))) if s.first.max(self.acked + 1) < seq => Some(s.first_ms),
            (_, Some((_, time_ms))) => Some(time_ms),
            (Some(s), None) => Some(s.first_ms),
            (None, None) => None,
        };
        SpoolStats {
            mode: self.mode,
            bytes: on_disk + waiting as u64,
            frames: self.unacked(),
            oldest_ms,
            segments: self.segments.len(),
            drops: self.drops,
            damaged_bytes: self.damaged_bytes,
            pushed: self.last - self.first,
        }
    }
}

fn cost(record: &Record) -> usize {
    record.frame.payload.len() + record.frame.key.len() + RECORD_OVERHEAD
}

fn take<'a>(
    records: impl Iterator<Item = &'a Record>,
    max_bytes: usize,
    max_frames: usize,
) -> Vec<Record> {
    let mut bytes = 0usize;
    let mut taken = Vec::new();
    for record in records.take(max_frames) {
        bytes += cost(record);
        if bytes > max_bytes && !taken.is_empty() {
            break;
        }
        taken.push(record.clone());
    }
    taken
}
