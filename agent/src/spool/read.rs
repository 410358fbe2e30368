//! Reading the spool for the uplink: from memory while it keeps up, else from the segments, a
//! bounded piece at a time.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::segment::{Reader, Step};
use super::state::Segment;
use super::{Record, Spool};

/// Where reading segments goes on, so that the next piece does not begin at the file's front.
#[derive(Debug)]
pub(super) struct Cursor {
    first: u64,
    reader: Reader,
}

/// How much is read at once, by frames' bytes and number; one frame is read in any case.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    pub bytes: usize,
    pub frames: usize,
}

impl Spool {
    /// The first frames after `seq`, in order. Blocks when they are on disk.
    #[must_use]
    pub fn read_after(&self, seq: u64, piece: Piece) -> Vec<Record> {
        loop {
            let segment = {
                let state = self.shared.state.lock();
                if let Some(records) = state.tail_after(seq, piece.bytes, piece.frames) {
                    return records;
                }
                state.segment_after(seq).cloned()
            };
            let Some(segment) = segment else { continue };
            match self.read_segment(&segment, seq, piece) {
                Ok(records) if !records.is_empty() => return records,
                Ok(_) => self.cut(&segment, seq, None),
                Err(error) if is_shortage(&error) => return Vec::new(),
                Err(error) => self.cut(&segment, u64::MAX, Some(&error)),
            }
        }
    }

    /// As [`Spool::read_after`], with the disk's part on a thread that may block.
    pub async fn next_after(self: &Arc<Self>, seq: u64, piece: Piece) -> Vec<Record> {
        let in_memory = self.shared.state.lock().tail_after(seq, piece.bytes, piece.frames);
        if let Some(records) = in_memory {
            return records;
        }
        let spool = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || spool.read_after(seq, piece));
        match read.await {
            Ok(records) => records,
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            Err(_) => Vec::new(),
        }
    }

    fn read_segment(&self, segment: &Segment, seq: u64, piece: Piece) -> io::Result<Vec<Record>> {
        let mut cursor = self.cursor.lock();
        let here = cursor.take().filter(|cursor| {
            cursor.first == segment.first && cursor.reader.last_seq().is_none_or(|at| at <= seq)
        });
        let mut reader = match here {
            Some(cursor) => cursor.reader,
            None => Reader::open(&segment.path)?
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a segment"))?,
        };
        let mut records = Vec::new();
        let mut bytes = 0;
        while bytes < piece.bytes && records.len() < piece.frames {
            match reader.next(segment.bytes)? {
                Step::Record(record) if record.frame.seq <= seq => {}
                Step::Record(record) => {
                    bytes += record.frame.payload.len() + record.frame.key.len();
                    records.push(record);
                }
                Step::End => break,
                Step::Torn | Step::Damaged if records.is_empty() => {
                    let kind = io::ErrorKind::InvalidData;
                    return Err(io::Error::new(kind, "damaged record"));
                }
                // Found again at the next read, which begins at the front.
                Step::Torn | Step::Damaged => return Ok(records),
            }
        }
        *cursor = Some(Cursor { first: segment.first, reader });
        Ok(records)
    }

    /// Gives up what cannot be read of a segment, and what is after `limit`.
    fn cut(&self, segment: &Segment, limit: u64, error: Option<&io::Error>) {
        let good = good_until(segment).map(|good| good.min(limit));
        self.shared.state.lock().cut_segment(segment.first, good);
        if let Some(error) = error {
            let path = segment.path.display();
            tracing::warn!(segment = %path, %error, "spool segment is damaged, its rest is skipped");
        }
    }
}

/// Out of something that the process will have again; says nothing about the segment.
fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    shortages.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn good_until(segment: &Segment) -> Option<u64> {
    let mut reader = Reader::open(&segment.path).ok()?.ok()?;
    while let Ok(Step::Record(_)) = reader.next(segment.bytes) {}
    reader.last_seq()
}
