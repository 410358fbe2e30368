//! The file format of a segment: a header and then records, appended and never changed.
//!
//! ```text
//! header   0  7  magic "SXSPOOL"
//!          7  1  version, 2
//!          8  4  CRC-32 of bytes 0..8
//! record   0  4  length of the body
//!          4  4  CRC-32 of the length field and the body
//!          8  n  body
//! layout   0  1  kind, 1            frame   0  1  kind, 2
//!          1  8  hash                       1  8  seq
//!          9  …  encoded Layout             9  8  hash of its layout, 0 for none
//!                                          17  8  Unix milliseconds when it was spooled
//!                                          25  4  codec
//!                                          29  4  length of the key
//!                                          33  …  key, then payload
//! ```
//!
//! Numbers are little-endian. A layout comes before the first frame of the segment that follows
//! it, that frame has its chain's key, and seqs grow by one, so a segment is readable alone. The CRC covers the length as well:
//! after a damaged record nothing says where the next one begins, so a segment ends there.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use bytes::{BufMut, Bytes};
use rustc_hash::FxHashMap;
use sextant_proto::limits;
use sextant_proto::v1::Frame;

use super::Record;

pub(super) const HEADER_BYTES: u64 = 12;
const MAGIC: &[u8; 7] = b"SXSPOOL";
const VERSION: u8 = 2;
const PREFIX_BYTES: usize = 8;
const KIND_LAYOUT: u8 = 1;
const KIND_FRAME: u8 = 2;
const FRAME_HEAD_BYTES: usize = 33;
const LAYOUT_HEAD_BYTES: usize = 9;
/// No body is longer: what a damaged length can make a reader allocate.
const MAX_BODY_BYTES: usize = limits::MAX_LAYOUT_BYTES + FRAME_HEAD_BYTES;
/// Read ahead by so much; a spool that is caught up on is read front to back.
const READ_BYTES: usize = 64 << 10;

/// How reading went on.
#[derive(Debug)]
pub(super) enum Step {
    Record(Record),
    /// The end, at the end of a record.
    End,
    /// The end, in the middle of a record.
    Torn,
    /// Bytes that were not written like this.
    Damaged,
}

/// What a file begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    Ours,
    /// Whole, but written by another version.
    Foreign(u8),
    Damaged,
}

pub(super) fn put_header(out: &mut Vec<u8>) {
    let start = out.len();
    out.put_slice(MAGIC);
    out.put_u8(VERSION);
    let crc = crc32fast::hash(&out[start..]);
    out.put_u32_le(crc);
}

pub(super) fn put_layout(out: &mut Vec<u8>, hash: u64, bytes: &[u8]) {
    put_record(out, |out| {
        out.put_u8(KIND_LAYOUT);
        out.put_u64_le(hash);
        out.put_slice(bytes);
    });
}

pub(super) fn put_frame(out: &mut Vec<u8>, layout: u64, time_ms: i64, frame: &Frame, key: &[u8]) {
    put_record(out, |out| {
        out.put_u8(KIND_FRAME);
        out.put_u64_le(frame.seq);
        out.put_u64_le(layout);
        out.put_i64_le(time_ms);
        out.put_i32_le(frame.codec);
        out.put_u32_le(u32::try_from(key.len()).expect("keys are bounded far below 4 GiB"));
        out.put_slice(key);
        out.put_slice(&frame.payload);
    });
}

fn put_record(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_bytes(0, PREFIX_BYTES);
    body(out);
    let length = u32::try_from(out.len() - start - PREFIX_BYTES)
        .expect("layouts and frames are bounded far below 4 GiB");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(length.to_le_bytes(), &out[start + PREFIX_BYTES..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(length: [u8; 4], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length);
    crc.update(body);
    crc.finalize()
}

/// Reads the frames of a segment from its front, each with its layout.
#[derive(Debug)]
pub(super) struct Reader {
    file: BufReader<File>,
    /// Where the next record begins: all before it was good.
    at: u64,
    last_seq: Option<u64>,
    layouts: FxHashMap<u64, Bytes>,
    body: Vec<u8>,
}

impl Reader {
    /// Opens a segment; `Ok(Err(_))` when it is not one that can be read.
    pub(super) fn open(path: &Path) -> io::Result<Result<Self, Header>> {
        let mut file = BufReader::with_capacity(READ_BYTES, File::open(path)?);
        let mut header = Vec::with_capacity(12);
        (&mut file).take(HEADER_BYTES).read_to_end(&mut header)?;
        Ok(match check_header(&header) {
            Header::Ours => Ok(Self {
                file,
                at: HEADER_BYTES,
                last_seq: None,
                layouts: FxHashMap::default(),
                body: Vec::new(),
            }),
            other => Err(other),
        })
    }

    /// Bytes that have been read and were good.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// The frame that was read last.
    pub(super) fn last_seq(&self) -> Option<u64> {
        self.last_seq
    }

    /// Reads the next frame that ends at or before `end`. What is appended after `end` was
    /// reached is read by a later call.
    pub(super) fn next(&mut self, end: u64) -> io::Result<Step> {
        loop {
            let left = end.saturating_sub(self.at);
            if left == 0 {
                return Ok(Step::End);
            }
            let mut prefix = [0; PREFIX_BYTES];
            if left < PREFIX_BYTES as u64 || !filled(self.file.read_exact(&mut prefix))? {
                return Ok(Step::Torn);
            }
            let [l0, l1, l2, l3, c0, c1, c2, c3] = prefix;
            let length = u32::from_le_bytes([l0, l1, l2, l3]);
            let size = usize::try_from(length).unwrap_or(usize::MAX);
            if !(LAYOUT_HEAD_BYTES..=MAX_BODY_BYTES).contains(&size) {
                return Ok(Step::Damaged);
            }
            if left < PREFIX_BYTES as u64 + u64::from(length) {
                return Ok(Step::Torn);
            }
            self.body.clear();
            self.body.resize(size, 0);
            if !filled(self.file.read_exact(&mut self.body))? {
                return Ok(Step::Torn);
            }
            if checksum([l0, l1, l2, l3], &self.body) != u32::from_le_bytes([c0, c1, c2, c3]) {
                return Ok(Step::Damaged);
            }
            let record = match decode(&self.body) {
                Some(Entry::Layout { hash, bytes }) => {
                    self.layouts.insert(hash, bytes);
                    None
                }
                Some(Entry::Frame { layout, time_ms, frame }) => {
                    let layout = match (layout, self.layouts.get(&layout)) {
                        (0, _) => None,
                        (hash, Some(bytes)) => Some((hash, bytes.clone())),
                        (_, None) => return Ok(Step::Damaged),
                    };
                    if self.last_seq.is_some_and(|last| frame.seq != last + 1) {
                        return Ok(Step::Damaged);
                    }
                    self.last_seq = Some(frame.seq);
                    Some(Record { layout, time_ms, frame })
                }
                None => return Ok(Step::Damaged),
            };
            self.at += PREFIX_BYTES as u64 + u64::from(length);
            if let Some(record) = record {
                return Ok(Step::Record(record));
            }
        }
    }
}

enum Entry {
    Layout { hash: u64, bytes: Bytes },
    Frame { layout: u64, time_ms: i64, frame: Frame },
}

fn check_header(bytes: &[u8]) -> Header {
    let Some((head, crc)) = bytes.split_at_checked(8) else { return Header::Damaged };
    if crc != crc32fast::hash(head).to_le_bytes() || &head[..7] != MAGIC {
        Header::Damaged
    } else if head[7] == VERSION {
        Header::Ours
    } else {
        Header::Foreign(head[7])
    }
}

fn decode(body: &[u8]) -> Option<Entry> {
    let (&kind, rest) = body.split_first()?;
    let (first, rest) = rest.split_first_chunk()?;
    let first = u64::from_le_bytes(*first);
    if kind == KIND_LAYOUT {
        return Some(Entry::Layout { hash: first, bytes: Bytes::copy_from_slice(rest) });
    }
    let (layout, rest) = rest.split_first_chunk()?;
    let (time_ms, rest) = rest.split_first_chunk()?;
    let (codec, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (key, payload) = rest.split_at_checked(length)?;
    (kind == KIND_FRAME).then(|| Entry::Frame {
        layout: u64::from_le_bytes(*layout),
        time_ms: i64::from_le_bytes(*time_ms),
        frame: Frame {
            seq: first,
            codec: i32::from_le_bytes(*codec),
            payload: Bytes::copy_from_slice(payload),
            key: Bytes::copy_from_slice(key),
        },
    })
}

/// Whether a read filled its buffer; the end of the file is not an error here.
fn filled(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
