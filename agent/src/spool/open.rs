//! Opening a spool's directory: lock, identity, and what an earlier process left.
//!
//! Every segment is read once from front to back. A good record is never deleted: a segment
//! with a damaged one is good up to it, and only a segment without any good frame goes.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::SpoolError;
use super::identity::{self, Identity, LockError};
use super::segment::{HEADER_BYTES, Header, Reader, Step};
use super::state::Segment;

/// The name's ending of a segment; before it is its first seq in 16 hexadecimal digits.
const EXTENSION: &str = "seg";

/// A directory that is ours.
pub(super) struct Opened {
    pub(super) lock: File,
    pub(super) identity: Identity,
    pub(super) segments: VecDeque<Segment>,
    /// Frames that are damaged, as far as that can be counted.
    pub(super) lost: u64,
    pub(super) damaged_bytes: u64,
}

pub(super) enum OpenError {
    /// No space, or a disk that takes no writes.
    Unwritable(io::Error),
    Fatal(SpoolError),
}

/// The path of the segment that begins with `seq`.
pub(super) fn segment_path(dir: &Path, seq: u64) -> PathBuf {
    dir.join(format!("{seq:016x}.{EXTENSION}"))
}

pub(super) fn open(dir: &Path) -> Result<Opened, OpenError> {
    let failed = |path: &Path, source: io::Error| {
        if is_unwritable(&source) {
            OpenError::Unwritable(source)
        } else {
            OpenError::Fatal(SpoolError::Open { path: path.to_owned(), source })
        }
    };
    std::fs::create_dir_all(dir).map_err(|source| failed(dir, source))?;
    let lock = identity::lock(dir).map_err(|error| match error {
        LockError::Taken => OpenError::Fatal(SpoolError::InUse(dir.to_owned())),
        LockError::Io { path, source } => failed(&path, source),
    })?;
    let known = Identity::read(dir).map_err(|source| failed(dir, source))?;
    let mut found = Found::default();
    for path in segment_files(dir).map_err(|source| failed(dir, source))? {
        found.scan(&path);
    }
    let used = found.segments.back().map_or(0, |newest| identity::epoch_of(newest.last));
    let identity = match known {
        Some(known) => Identity { epoch: known.epoch.max(used) + 1, ..known },
        None => {
            if !found.segments.is_empty() {
                let dir = dir.display();
                tracing::warn!(%dir, "spool has frames and no identity, takes a new one");
            }
            let new = Identity::random().map_err(OpenError::Fatal)?;
            Identity { epoch: used + 1, ..new }
        }
    };
    identity.write(dir).map_err(|source| failed(dir, source))?;
    let Found { segments, lost, damaged_bytes } = found;
    Ok(Opened { lock, identity, segments, lost, damaged_bytes })
}

fn is_unwritable(error: &io::Error) -> bool {
    [Errno::NOSPC, Errno::ROFS, Errno::IO, Errno::DQUOT]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn segment_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

#[derive(Default)]
struct Found {
    segments: VecDeque<Segment>,
    lost: u64,
    damaged_bytes: u64,
}

impl Found {
    fn scan(&mut self, path: &Path) {
        let file_bytes = path.metadata().map_or(0, |m| m.len());
        let name = path.display();
        let mut reader = match Reader::open(path) {
            Ok(Ok(reader)) => reader,
            Ok(Err(Header::Foreign(version))) => {
                tracing::warn!(segment = %name, version, "spool segment of another version is left alone");
                return;
            }
            Ok(Err(_)) if file_bytes < HEADER_BYTES => return self.remove(path),
            Ok(Err(_)) => {
                tracing::warn!(segment = %name, bytes = file_bytes, "spool segment is not readable");
                self.damage(file_bytes);
                return self.remove(path);
            }
            Err(error) => {
                tracing::warn!(segment = %name, %error, "spool segment cannot be read");
                return self.damage(file_bytes);
            }
        };
        let mut segment = None::<Segment>;
        let sound = loop {
            match reader.next(file_bytes) {
                Ok(Step::Record(record)) => {
                    let (seq, time_ms) = (record.frame.seq, record.time_ms);
                    let segment = segment.get_or_insert_with(|| Segment {
                        path: path.to_owned(),
                        first: seq,
                        last: seq,
                        first_ms: time_ms,
                        last_ms: time_ms,
                        bytes: 0,
                        open: false,
                    });
                    (segment.last, segment.last_ms) = (seq, time_ms);
                    segment.bytes = reader.position();
                }
                Ok(Step::End) => break true,
                Ok(Step::Torn | Step::Damaged) | Err(_) => break false,
            }
        };
        if !sound {
            let bytes = file_bytes - reader.position();
            tracing::warn!(segment = %name, bytes, "spool segment is damaged, its front is kept");
            self.damage(bytes);
        }
        let newest = self.segments.back().map_or(0, |s| s.last);
        match segment {
            Some(segment) if segment.first > newest => self.segments.push_back(segment),
            Some(_) => tracing::warn!(segment = %name, "spool segment is not in order, left alone"),
            None => self.remove(path),
        }
    }

    fn damage(&mut self, bytes: u64) {
        self.lost += 1;
        self.damaged_bytes += bytes;
    }

    fn remove(&self, path: &Path) {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::warn!(segment = %path.display(), %error, "spool segment cannot be removed");
        }
    }
}
