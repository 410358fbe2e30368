//! Chains in the spool: whatever leaves it, each frame that is left can be read alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use sextant_proto::frame::{ChainDecoder, ChainEncoder};
use sextant_proto::v1::Frame;

use super::segment::{Reader, Step};
use super::state::Limits;
use super::{Piece, Record, Spool, needs_key};

const PIECE: Piece = Piece { bytes: 5_000, frames: 40 };
const LONG: Duration = Duration::from_secs(30);
const SERIES: usize = 20;

fn small() -> Limits {
    Limits {
        tail_bytes: 6_000,
        memory_bytes: 40_000,
        disk_bytes: 40_000,
        segment_bytes: 4_000,
        segment_age_ms: 600_000,
        max_age_ms: 3_600_000,
    }
}

/// Pushes frames of three layouts that change about, and remembers their values.
#[derive(Default)]
struct Source {
    encoder: ChainEncoder,
    random: u64,
    pushed: BTreeMap<u64, Vec<u64>>,
}

impl Source {
    fn push(&mut self, spool: &Spool, frames: usize) {
        for _ in 0..frames {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(11);
            let layout = 1 + (self.random >> 40) % 3;
            let values: Vec<_> =
                (0..SERIES).map(|i| (self.random >> (20 + i) & 0xfff) as f64 / 8.0).collect();
            let time_ms = 1_000_000 + i64::try_from(self.pushed.len()).unwrap() * 1_000;
            let frame = self.encoder.encode(layout, &[time_ms], &values, &[]);
            let bytes = Bytes::from(format!("layout {layout}"));
            let seq = spool.push(Some((layout, bytes)), frame, 1_000).unwrap();
            self.pushed.insert(seq, values.iter().map(|value| value.to_bits()).collect());
        }
    }

    fn check(&self, decoder: &mut ChainDecoder, frame: &Frame) {
        let decoded = decoder.decode(frame, |_| Some(SERIES)).unwrap();
        let bits: Vec<_> = decoded.values.iter().map(|value| value.to_bits()).collect();
        assert_eq!(bits, self.pushed[&frame.seq], "frame {}", frame.seq);
    }

    /// Every frame that there is can be read alone; how many there are.
    fn check_alone(&self, spool: &Spool) -> usize {
        let (mut frames, mut at) = (0, 0);
        loop {
            let records = spool.read_after(at, PIECE);
            let Some(last) = records.last() else { return frames };
            at = last.frame.seq;
            for Record { frame, .. } in records.iter().filter(|r| !needs_key(&r.frame)) {
                self.check(&mut ChainDecoder::new(), frame);
            }
            for record in records.iter().filter(|r| needs_key(&r.frame)) {
                let key = spool.key_of(record).expect("its chain is there");
                let keyed = Frame { key, ..record.frame.clone() };
                self.check(&mut ChainDecoder::new(), &keyed);
            }
            frames += records.len();
        }
    }

    /// Every segment can be read from its front with nothing else; how many frames they hold.
    fn check_segments(&self, dir: &Path) -> usize {
        let mut frames = 0;
        for path in segments(dir) {
            let mut reader = Reader::open(&path).unwrap().unwrap();
            let mut decoder = ChainDecoder::new();
            while let Step::Record(record) = reader.next(u64::MAX).unwrap() {
                self.check(&mut decoder, &record.frame);
                frames += 1;
            }
        }
        frames
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = files.filter(|p| p.extension().is_some_and(|e| e == "seg")).collect();
    paths.sort();
    paths
}

#[test]
fn frames_on_disk_and_in_memory_are_readable_alone_whatever_went() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = Source::default();
    let mut before = 0;
    for round in 0..3 {
        // A process that starts again knows no chains.
        source.encoder = ChainEncoder::new();
        let spool = Spool::open_with(dir.path(), small()).unwrap();
        assert_eq!(source.check_alone(&spool), before);
        for _ in 0..6 {
            source.push(&spool, 70);
            assert!(spool.flush(LONG));
            source.check_alone(&spool);
        }
        assert!(spool.stats().drops.full > 0, "round {round}: nothing had to go");
        assert!(segments(dir.path()).len() > 3);
        source.check_segments(dir.path());
        // What the tail holds no more, and what it does.
        for share in [3, 1] {
            let unacked = spool.stats().frames;
            let last = spool.position().1;
            spool.ack(last - unacked * share / 4);
            source.push(&spool, 1);
            assert!(spool.flush(LONG));
            source.check_alone(&spool);
        }
        before = source.check_alone(&spool);
        assert_eq!(spool.stats().drops.corrupt, 0);
    }
}

#[test]
fn frames_of_a_spool_in_memory_are_readable_alone_when_the_oldest_went() {
    let spool = Spool::memory(20_000).unwrap();
    let mut source = Source::default();
    for _ in 0..10 {
        source.push(&spool, 60);
        let left = source.check_alone(&spool);
        assert_eq!(left as u64, spool.stats().frames);
        spool.ack(spool.position().1 - left as u64 / 2);
        source.check_alone(&spool);
    }
    assert!(spool.stats().drops.full > 0);
}

#[test]
fn frames_that_are_written_again_after_damage_are_readable_alone() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { tail_bytes: 1 << 20, segment_bytes: 1 << 20, ..small() };
    let spool = Spool::open_with(dir.path(), limits).unwrap();
    let mut source = Source::default();
    source.push(&spool, 50);
    assert!(spool.flush(LONG));
    let [path] = &segments(dir.path())[..] else { panic!("one segment") };
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(path, bytes).unwrap();
    let first = spool.position().1 - 50;
    let segment = spool.shared.state.lock().segments[0].clone();
    spool.shared.state.lock().cut_segment(segment.first, Some(first + 10));
    source.push(&spool, 5);
    assert!(spool.flush(LONG));
    let paths = segments(dir.path());
    assert_eq!(paths.len(), 2, "what memory has is written again");
    let mut reader = Reader::open(&paths[1]).unwrap().unwrap();
    let mut decoder = ChainDecoder::new();
    while let Step::Record(record) = reader.next(u64::MAX).unwrap() {
        source.check(&mut decoder, &record.frame);
    }
    source.check_alone(&spool);
}
