//! The spool's thread: writes frames to segments, fsyncs and deletes them.
//!
//! A failed write leaves its frames in memory, where they wait for the next try; what was
//! written of them is cut off, and the segment takes no more.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustc_hash::FxHashSet;
use sextant_proto::v1::Frame;

use super::open::segment_path;
use super::rekey::{Gone, needs_key};
use super::segment::{put_frame, put_header, put_layout};
use super::state::{Limits, Mode, Segment};
use super::{Record, Shared};

/// Written in one call at most.
const BATCH_BYTES: usize = 256 << 10;
/// How long a disk that failed is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// A write buffer that a large layout has grown is given back above this.
const KEEP_BUFFER_BYTES: usize = 64 << 10;

enum Job {
    Delete(Vec<PathBuf>),
    Write(Vec<Record>),
    Sync,
    Stop,
}

struct Active {
    file: File,
    segment: Segment,
    layouts: FxHashSet<u64>,
}

struct Writer<'a> {
    shared: &'a Shared,
    dir: &'a Path,
    active: Option<Active>,
    buffer: Vec<u8>,
    failed: Option<Instant>,
}

/// Serves the spool until it stops. The lock lives as long as its thread.
pub(super) fn run(shared: &Shared, _lock: &File) {
    let Some(dir) = shared.dir.as_deref() else { return };
    let mut writer = Writer { shared, dir, active: None, buffer: Vec::new(), failed: None };
    loop {
        match writer.next_job() {
            Job::Delete(paths) => paths.iter().for_each(|path| remove(path)),
            Job::Write(records) => match writer.append(&records) {
                Ok(()) => writer.recovered(),
                Err((path, error)) => writer.failed(&path, &error),
            },
            Job::Sync => writer.sync(),
            Job::Stop => return,
        }
    }
}

impl Writer<'_> {
    fn next_job(&self) -> Job {
        let mut state = self.shared.state.lock();
        loop {
            let expired = state.expired(&self.shared.limits);
            if !expired.is_empty() {
                return Job::Delete(expired);
            }
            let urgent = state.sync_wanted || state.stopping;
            let wait = self.failed.map(|since| RETRY.saturating_sub(since.elapsed()));
            let wait = wait.filter(|left| !left.is_zero() && !urgent);
            let records = state.unwritten(BATCH_BYTES);
            match wait {
                Some(left) => {
                    self.shared.work.wait_for(&mut state, left);
                    continue;
                }
                None if !(records.is_empty() || state.stopping && self.failed.is_some()) => {
                    return Job::Write(records);
                }
                None => {}
            }
            if state.sync_wanted {
                return Job::Sync;
            }
            if state.stopping {
                return Job::Stop;
            }
            self.shared.work.wait(&mut state);
        }
    }

    /// Writes as many of the records as belong into one segment.
    fn append(&mut self, records: &[Record]) -> Result<(), (PathBuf, io::Error)> {
        let Some(first) = records.first() else { return Ok(()) };
        if self.active.as_ref().is_some_and(|active| is_full(active, first, &self.shared.limits)) {
            self.close();
        }
        let mut active = match self.active.take() {
            Some(active) => active,
            None => self.create(first)?,
        };
        self.buffer.clear();
        if active.segment.bytes == 0 {
            put_header(&mut self.buffer);
        }
        let mut segment = active.segment.clone();
        let mut new_layouts = Vec::new();
        let mut written = false;
        for (seq, record) in (first.frame.seq..).zip(records) {
            let size = segment.bytes + self.buffer.len() as u64;
            if record.frame.seq != seq || size > self.shared.limits.segment_bytes {
                break;
            }
            let hash = record.layout.as_ref().map_or(0, |(hash, _)| *hash);
            let mut key = record.frame.key.clone();
            if let Some((hash, bytes)) = &record.layout
                && !active.layouts.contains(hash)
                && !new_layouts.contains(hash)
            {
                match self.key(*hash, &record.frame) {
                    Ok(found) => key = found,
                    // Dropped meanwhile: what is to be written now is another list.
                    Err(Gone) => break,
                }
                put_layout(&mut self.buffer, *hash, bytes);
                new_layouts.push(*hash);
            }
            put_frame(&mut self.buffer, hash, record.time_ms, &record.frame, &key);
            (segment.last, segment.last_ms) = (seq, record.time_ms);
            written = true;
        }
        if !written {
            if active.segment.bytes == 0 {
                remove(&active.segment.path);
            } else {
                self.active = Some(active);
            }
            return Ok(());
        }
        if let Err(error) = active.file.write_all(&self.buffer) {
            let path = active.segment.path.clone();
            self.abandon(active);
            return Err((path, error));
        }
        segment.bytes += self.buffer.len() as u64;
        self.buffer.shrink_to(KEEP_BUFFER_BYTES);
        if self.publish(&segment, active.segment.bytes == 0) {
            active.segment = segment;
            active.layouts.extend(new_layouts);
            self.active = Some(active);
        }
        Ok(())
    }

    /// What the segment's first frame of a layout needs to be read alone.
    fn key(&self, layout: u64, frame: &Frame) -> Result<Bytes, Gone> {
        if !needs_key(frame) {
            return Ok(frame.key.clone());
        }
        let key = self.shared.key_to_write(layout, frame)?;
        Ok(key.unwrap_or_default())
    }

    fn create(&self, first: &Record) -> Result<Active, (PathBuf, io::Error)> {
        let (seq, time_ms) = (first.frame.seq, first.time_ms);
        let path = segment_path(self.dir, seq);
        let file = File::create(&path).map_err(|error| (path.clone(), error))?;
        let segment = Segment {
            path,
            first: seq,
            last: seq,
            first_ms: time_ms,
            last_ms: time_ms,
            bytes: 0,
            open: true,
        };
        Ok(Active { file, segment, layouts: FxHashSet::default() })
    }

    /// Tells what was written. False when a reader has found the segment damaged: the frames go
    /// into the next one.
    fn publish(&self, written: &Segment, new: bool) -> bool {
        let mut state = self.shared.state.lock();
        let known = state.segments.iter_mut().find(|s| s.first == written.first && s.open);
        match known {
            Some(known) => known.clone_from(written),
            None if new => state.segments.push_back(written.clone()),
            None => return false,
        }
        state.written = state.written.max(written.last);
        state.trim(written.last_ms, &self.shared.limits);
        true
    }

    /// Closes the segment for good: what it holds survives a power cut from here on.
    fn close(&mut self) {
        let Some(active) = self.active.take() else { return };
        self.fsync(&active);
        self.seal(active.segment.first);
    }

    fn seal(&self, first: u64) {
        let mut state = self.shared.state.lock();
        if let Some(segment) = state.segments.iter_mut().find(|s| s.first == first) {
            segment.open = false;
        }
    }

    fn fsync(&self, active: &Active) -> bool {
        let synced = active.file.sync_data();
        let synced = synced.and_then(|()| File::open(self.dir)?.sync_all());
        if let Err(error) = &synced {
            tracing::warn!(segment = %active.segment.path.display(), %error, "spool segment not synced");
        }
        synced.is_ok()
    }

    fn sync(&mut self) {
        let synced = self.active.as_ref().is_none_or(|active| self.fsync(active));
        let mut state = self.shared.state.lock();
        state.sync_wanted = false;
        if synced {
            state.synced = state.written;
        }
        drop(state);
        self.shared.done.notify_all();
    }

    /// Ends a segment that a write failed on, at its last good record.
    fn abandon(&self, active: Active) {
        if active.segment.bytes == 0 {
            return remove(&active.segment.path);
        }
        if let Err(error) = active.file.set_len(active.segment.bytes) {
            tracing::debug!(segment = %active.segment.path.display(), %error, "not cut");
        }
        self.seal(active.segment.first);
    }

    fn failed(&mut self, path: &Path, error: &io::Error) {
        if self.failed.is_none() {
            tracing::warn!(path = %path.display(), %error, "spool cannot write, frames stay in memory");
        }
        self.failed = Some(Instant::now());
        let mut state = self.shared.state.lock();
        state.mode = Mode::Memory;
        state.sync_wanted = false;
        drop(state);
        self.shared.done.notify_all();
    }

    fn recovered(&mut self) {
        if self.failed.take().is_some() {
            self.shared.state.lock().mode = Mode::Disk;
            tracing::info!(dir = %self.dir.display(), "spool writes again");
        }
    }
}

/// Whether a segment takes this record no more.
fn is_full(active: &Active, record: &Record, limits: &Limits) -> bool {
    let segment = &active.segment;
    segment.bytes >= limits.segment_bytes
        || record.time_ms.saturating_sub(segment.first_ms).saturating_abs() >= limits.segment_age_ms
        || record.frame.seq != segment.last + 1
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(segment = %path.display(), %error, "spool segment cannot be removed");
    }
}
