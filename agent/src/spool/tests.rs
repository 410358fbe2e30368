use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use sextant_proto::limits::MAX_FRAME_BYTES;
use sextant_proto::v1::Frame;

use super::identity::epoch_of;
use super::segment::{Reader, Step};
use super::state::Limits;
use super::{Mode, Piece, Record, Spool, SpoolConfig, SpoolError};

const ALL: Piece = Piece { bytes: usize::MAX, frames: usize::MAX };
const LONG: Duration = Duration::from_secs(30);

fn small() -> Limits {
    Limits {
        tail_bytes: 2_000,
        memory_bytes: 20_000,
        disk_bytes: 16_000,
        segment_bytes: 1_000,
        segment_age_ms: 600_000,
        max_age_ms: 3_600_000,
    }
}

fn open(dir: &Path, limits: Limits) -> Spool {
    Spool::open_with(dir, limits).unwrap()
}

fn push(spool: &Spool, number: u64, time_ms: i64) -> u64 {
    let layout = Bytes::from(format!("layout {}", number % 3));
    let payload = Bytes::from(format!("frame {number} {}", "x".repeat(40)));
    let frame = Frame { codec: 1, payload, ..Frame::default() };
    spool.push(Some((number % 3 + 1, layout)), frame, time_ms).unwrap()
}

/// The numbers that [`push`] gave to the frames, in order; each with its own layout.
fn numbers(records: &[Record]) -> Vec<u64> {
    let number = |record: &Record| {
        let text = std::str::from_utf8(&record.frame.payload).unwrap();
        let number: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
        let layout = (number % 3 + 1, Bytes::from(format!("layout {}", number % 3)));
        assert_eq!(record.layout, Some(layout));
        number
    };
    assert!(records.is_sorted_by(|a, b| a.frame.seq < b.frame.seq));
    records.iter().map(number).collect()
}

fn read_all(spool: &Spool, from: u64, piece: Piece) -> Vec<Record> {
    let (mut all, mut at) = (Vec::new(), from);
    loop {
        let records = spool.read_after(at, piece);
        let Some(last) = records.last() else { return all };
        at = last.frame.seq;
        all.extend(records);
    }
}

fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let mut paths: Vec<_> = files.filter(|p| p.extension().is_some_and(|e| e == "seg")).collect();
    paths.sort();
    paths
}

#[test]
fn frames_come_back_in_order_from_memory_and_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), small());
    for n in 0..100 {
        push(&spool, n, 1_000);
    }
    assert!(spool.flush(LONG));
    let expected: Vec<_> = (0..100).collect();
    for piece in [ALL, Piece { bytes: 1, frames: 9 }, Piece { bytes: 300, frames: 100 }] {
        assert_eq!(numbers(&read_all(&spool, 0, piece)), expected);
    }
    let middle = read_all(&spool, 0, ALL)[40].frame.seq;
    assert_eq!(numbers(&read_all(&spool, middle, ALL)), (41..100).collect::<Vec<_>>());
    // Going back is allowed: a new stream begins at the first frame that is not acked.
    assert_eq!(numbers(&read_all(&spool, 0, ALL)), expected);
    assert!(spool.shared.state.lock().tail.len() < 100, "the tail holds everything");
}

#[test]
fn restart_keeps_what_is_not_acked_and_takes_higher_seqs() {
    let dir = tempfile::tempdir().unwrap();
    let (mut expected, mut last, mut acked, mut id) = (Vec::new(), 0, 0, None);
    for epoch in 1..5 {
        let spool = open(dir.path(), small());
        let known = spool.position().0;
        assert_eq!(*id.get_or_insert(known.clone()), known);
        // An ack is not on disk: the aggregator tells at every connect what it has.
        spool.ack(acked);
        assert_eq!(numbers(&read_all(&spool, acked, ALL)), expected);
        for n in epoch * 100..epoch * 100 + 20 {
            let seq = push(&spool, n, 1_000);
            assert!(seq > last);
            assert_eq!(epoch_of(seq), epoch);
            last = seq;
            expected.push(n);
        }
        acked = read_all(&spool, acked, ALL)[6].frame.seq;
        spool.ack(acked);
        expected.drain(..7);
        assert_eq!(spool.stats().frames, expected.len() as u64);
    }
}

#[test]
fn killed_process_loses_nothing_that_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let killed = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), small());
    for n in 0..30 {
        push(&spool, n, 1_000);
    }
    assert!(spool.flush(LONG));
    // What a kill leaves is what the files say while the process runs.
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, killed.path().join(path.file_name().unwrap())).unwrap();
    }
    let again = open(killed.path(), small());
    assert_eq!(numbers(&read_all(&again, 0, ALL)), (0..30).collect::<Vec<_>>());
    assert!(again.position().1 > spool.position().1);
}

#[test]
fn reader_beside_writers_sees_every_frame_once() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { memory_bytes: 64 << 20, disk_bytes: 64 << 20, ..small() };
    let spool = open(dir.path(), limits);
    let (threads, each) = (4, 1_000);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let spool = &spool;
            scope.spawn(move || {
                for n in 0..each {
                    push(spool, thread * each + n, 0);
                }
            });
        }
        let (mut seen, mut at) = (Vec::new(), 0);
        while seen.len() as u64 != threads * each {
            let records = spool.read_after(at, Piece { bytes: 2_000, frames: 50 });
            seen.extend(numbers(&records));
            let before = at;
            at = records.last().map_or(at, |record| record.frame.seq);
            // Some are acked late, so that they are on disk only by then.
            spool.ack(before.saturating_sub(200));
        }
        for thread in 0..threads {
            let own: Vec<_> = seen.iter().filter(|n| **n / each == thread).copied().collect();
            assert_eq!(own, (thread * each..(thread + 1) * each).collect::<Vec<_>>());
        }
    });
    assert_eq!(spool.stats().drops, super::Drops::default());
}

#[test]
fn full_spool_drops_oldest_and_counts() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), small());
    for n in 0..1_000 {
        push(&spool, n, 1_000);
        // Memory's own bound is not what is tested here.
        assert!(n % 50 != 0 || spool.flush(LONG));
    }
    assert!(spool.flush(LONG));
    let left = numbers(&read_all(&spool, 0, ALL));
    let stats = spool.stats();
    assert_eq!(left, (1_000 - left.len() as u64..1_000).collect::<Vec<_>>());
    assert_eq!(stats.frames, left.len() as u64);
    assert_eq!(stats.drops.full, 1_000 - stats.frames);
    assert!((8_000..=17_000).contains(&stats.bytes), "{stats:?}");
    let on_disk: u64 = segments(dir.path()).iter().map(|p| p.metadata().unwrap().len()).sum();
    assert_eq!(on_disk, stats.bytes);
}

#[test]
fn old_frames_are_given_up_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let hour = 3_600_000;
    let spool = open(dir.path(), small());
    for n in 0..50 {
        push(&spool, n, 0);
    }
    assert!(spool.flush(LONG));
    push(&spool, 50, hour + 1);
    push(&spool, 51, hour + 1);
    assert!(spool.flush(LONG));
    assert_eq!(numbers(&read_all(&spool, 0, ALL)), [50, 51]);
    assert_eq!(spool.stats().drops.age, 50);
    assert_eq!(spool.stats().oldest_ms, Some(hour + 1));
}

#[test]
fn acked_segments_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), small());
    let last = (0..50).map(|n| push(&spool, n, 1_000)).last().unwrap();
    assert!(spool.flush(LONG));
    assert!(segments(dir.path()).len() > 4);
    let middle = read_all(&spool, 0, ALL)[25].frame.seq;
    spool.ack(middle);
    assert!(spool.flush(LONG));
    assert_eq!(spool.stats().frames, 24);
    assert_eq!(numbers(&read_all(&spool, middle, ALL)), (26..50).collect::<Vec<_>>());
    spool.ack(last);
    assert!(spool.flush(LONG));
    assert_eq!(spool.stats().frames, 0);
    assert_eq!(segments(dir.path()).len(), 1, "only the one that is appended to");
    // An ack beyond what was given takes no frame of the future with it.
    spool.ack(u64::MAX);
    push(&spool, 50, 1_000);
    assert_eq!(numbers(&read_all(&spool, last, ALL)), [50]);
}

#[test]
fn memory_spool_drops_oldest_and_counts() {
    let spool = Spool::memory(10_000).unwrap();
    for n in 0..100 {
        push(&spool, n, 1_000);
    }
    let left = numbers(&read_all(&spool, 0, ALL));
    let stats = spool.stats();
    assert_eq!(left.last(), Some(&99));
    assert_eq!((stats.frames, stats.drops.full), (left.len() as u64, 100 - left.len() as u64));
    assert!(stats.bytes <= 10_000 && stats.bytes > 9_000, "{stats:?}");
    assert_eq!(stats.mode, Mode::Memory);
    assert!(!spool.flush(LONG));
}

#[test]
fn oversized_frame_is_dropped_and_counted() {
    let spool = Spool::memory(10_000).unwrap();
    let payload = Bytes::from(vec![0; MAX_FRAME_BYTES + 1]);
    assert_eq!(spool.push(None, Frame { codec: 1, payload, ..Frame::default() }, 0), None);
    assert_eq!(spool.stats().drops.too_big, 1);
    assert_eq!(spool.stats().frames, 0);
}

#[test]
fn second_agent_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), small());
    let second = Spool::open_with(dir.path(), small());
    assert!(matches!(second, Err(SpoolError::InUse(_))));
    drop(first);
    open(dir.path(), small());
}

#[test]
fn directory_that_cannot_be_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let config = SpoolConfig { dir: file.join("spool"), ..SpoolConfig::default() };
    let error = Spool::open(&config).err().unwrap().to_string();
    assert!(error.contains("file/spool"), "{error}");
}

#[test]
fn full_disk_keeps_frames_in_memory_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let spool_dir = dir.path().join("spool");
    let spool = open(&spool_dir, small());
    let next = spool.position().1 + 1;
    // A device that is always full stands where the first segment will be.
    std::os::unix::fs::symlink("/dev/full", spool_dir.join(format!("{next:016x}.seg"))).unwrap();
    for n in 0..20 {
        push(&spool, n, 1_000);
    }
    assert_eq!(numbers(&read_all(&spool, 0, ALL)), (0..20).collect::<Vec<_>>());
    while spool.stats().mode == Mode::Disk || !spool.flush(LONG) {
        // The failed segment is gone, and so is the full device: the next try succeeds.
        if spool.flush(LONG) {
            break;
        }
    }
    assert_eq!(spool.stats().mode, Mode::Disk);
    drop(spool);
    let spool = open(&spool_dir, small());
    assert_eq!(numbers(&read_all(&spool, 0, ALL)), (0..20).collect::<Vec<_>>());
}

#[test]
fn full_disk_at_the_start_runs_from_memory_under_another_id() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), small());
    let id = spool.position().0;
    push(&spool, 1, 0);
    drop(spool);
    let new = dir.path().join("identity.new");
    std::os::unix::fs::symlink("/dev/full", &new).unwrap();
    let spool = open(dir.path(), small());
    assert_eq!(spool.stats().mode, Mode::Memory);
    assert_ne!(spool.position().0, id);
    push(&spool, 2, 0);
    assert_eq!(numbers(&read_all(&spool, 0, ALL)), [2]);
    drop(spool);
    fs::remove_file(&new).unwrap();
    let spool = open(dir.path(), small());
    assert_eq!(spool.position().0, id);
    assert_eq!(numbers(&read_all(&spool, 0, ALL)), [1], "what was on disk is still there");
}

#[test]
fn directory_that_goes_away_costs_the_oldest_beyond_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (spool_dir, away) = (dir.path().join("spool"), dir.path().join("away"));
    let spool = open(&spool_dir, Limits { memory_bytes: 5_000, ..small() });
    fs::rename(&spool_dir, &away).unwrap();
    for n in 0..100 {
        push(&spool, n, 1_000);
    }
    assert!(!spool.flush(LONG));
    let stats = spool.stats();
    assert_eq!(stats.mode, Mode::Memory);
    assert_eq!(stats.drops.io, 100 - stats.frames);
    fs::rename(&away, &spool_dir).unwrap();
    assert!(spool.flush(LONG));
    assert_eq!(spool.stats().mode, Mode::Disk);
    let left = numbers(&read_all(&spool, 0, ALL));
    assert_eq!(left, (stats.drops.io..100).collect::<Vec<_>>());
}

#[test]
fn wiped_identity_gets_a_new_id_and_seqs_still_grow() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), small());
    let (id, last) = (spool.position().0, push(&spool, 1, 0));
    drop(spool);
    fs::write(dir.path().join("identity"), "nonsense").unwrap();
    let spool = open(dir.path(), small());
    assert_ne!(spool.position().0, id);
    assert!(push(&spool, 2, 0) > last);
    assert_eq!(numbers(&read_all(&spool, 0, ALL)), [1, 2]);
    let before = spool.position();
    spool.rename().unwrap();
    assert_ne!(spool.position().0, before.0);
    assert_eq!(spool.position().1, before.1);
}

/// A directory as a killed process left it: one segment of five frames.
fn one_segment(dir: &Path) -> Vec<u8> {
    let spool = open(dir, Limits { segment_bytes: 10_000, ..small() });
    for n in 0..5 {
        push(&spool, n, 1_000);
    }
    drop(spool);
    let [path] = &segments(dir)[..] else { panic!("one segment") };
    fs::read(path).unwrap()
}

/// Where each frame of a segment ends.
fn ends(path: &Path, bytes: u64) -> Vec<u64> {
    let mut reader = Reader::open(path).unwrap().unwrap();
    let mut ends = Vec::new();
    while let Step::Record(_) = reader.next(bytes).unwrap() {
        ends.push(reader.position());
    }
    ends
}

/// Opens the directory with its segment replaced, and returns what is left of it.
fn reopened(dir: &Path, path: &Path, bytes: &[u8]) -> (Vec<u64>, super::SpoolStats) {
    for old in segments(dir) {
        fs::remove_file(old).unwrap();
    }
    fs::write(path, bytes).unwrap();
    let spool = open(dir, small());
    (numbers(&read_all(&spool, 0, ALL)), spool.stats())
}

#[test]
fn segment_cut_at_any_byte_keeps_the_frames_before() {
    let dir = tempfile::tempdir().unwrap();
    let whole = one_segment(dir.path());
    let path = segments(dir.path()).remove(0);
    let ends = ends(&path, whole.len() as u64);
    assert_eq!(ends.len(), 5);
    for cut in 0..whole.len() {
        let (left, stats) = reopened(dir.path(), &path, &whole[..cut]);
        let expected = ends.iter().filter(|end| **end <= cut as u64).count() as u64;
        assert_eq!(left, (0..expected).collect::<Vec<_>>(), "cut at {cut}");
        assert_eq!(stats.frames, expected);
    }
}

#[test]
fn flipped_bit_in_any_byte_keeps_the_frames_before_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let whole = one_segment(dir.path());
    let path = segments(dir.path()).remove(0);
    let ends = ends(&path, whole.len() as u64);
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 1 << (at % 8);
        let (left, stats) = reopened(dir.path(), &path, &bad);
        let expected = ends.iter().filter(|end| **end <= at as u64).count() as u64;
        assert_eq!(left, (0..expected).collect::<Vec<_>>(), "flipped at {at}");
        assert_eq!(stats.drops.corrupt, 1);
        assert!(stats.damaged_bytes > 0);
    }
}

#[test]
fn damage_while_running_is_skipped_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), small());
    for n in 0..60 {
        push(&spool, n, 1_000);
    }
    assert!(spool.flush(LONG));
    let paths = segments(dir.path());
    let mut bytes = fs::read(&paths[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&paths[1], bytes).unwrap();
    fs::remove_file(&paths[2]).unwrap();
    let left = numbers(&read_all(&spool, 0, ALL));
    let stats = spool.stats();
    assert!(stats.drops.corrupt > 8, "{stats:?}");
    assert_eq!(left.len() as u64, 60 - stats.drops.corrupt);
    assert_eq!(stats.frames, left.len() as u64);
    assert_eq!((left[0], left.last()), (0, Some(&59)));
}

#[test]
fn damage_of_the_open_segment_spares_what_is_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { segment_bytes: 50_000, ..small() };
    let spool = open(dir.path(), limits.clone());
    for n in 0..50 {
        push(&spool, n, 1_000);
    }
    assert!(spool.flush(LONG));
    let path = segments(dir.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // In place: the spool's thread has the file open.
    let file = fs::File::options().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
    let left = numbers(&read_all(&spool, 0, ALL));
    assert!(left.contains(&20) && left.contains(&49) && !left.contains(&27), "{left:?}");
    push(&spool, 50, 1_000);
    assert!(spool.flush(LONG));
    let stats = spool.stats();
    assert_eq!(stats.frames + stats.drops.corrupt, 51);
    let left = numbers(&read_all(&spool, 0, ALL));
    assert_eq!(left.len() as u64, stats.frames);
    drop(spool);
    assert_eq!(numbers(&read_all(&open(dir.path(), limits), 0, ALL)), left);
}
