use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tempfile::{TempDir, tempdir};

use super::super::{backup, check, restore};
use super::open;
use crate::storage::tests::compaction::{HOUR, LATER, compact_all, samples, tens};
use crate::storage::tests::{DAY, MIDNIGHT, frames, inventory, journal};
use crate::storage::{Change, Chunk, Resolution, Store, StoreError};

/// A store with frames, blocks, merged blocks and rollups.
fn filled() -> TempDir {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=60, 1)).unwrap();
    let chunk = |seq: u64| {
        let at = i64::try_from(seq).unwrap();
        tens(seq..=seq, MIDNIGHT + at % 2 * DAY + at * 600_000, 60)
    };
    store.seal(&(1..=20).map(chunk).collect::<Vec<_>>()).unwrap();
    compact_all(&store, LATER);
    let fresh = |seq| tens(seq..=seq, LATER + i64::try_from(seq).unwrap() * HOUR, 60);
    store.seal(&(21..=24).map(fresh).collect::<Vec<_>>()).unwrap();
    directory
}

#[test]
fn restored_store_is_the_one_that_was_backed_up() {
    let directory = filled();
    let copies = tempdir().unwrap();
    let copy = copies.path().join("copy");
    let look = |directory: &Path| {
        let store = open(directory);
        (store.load().unwrap(), journal(&store), samples(&store, 0), rolled_hours(&store))
    };
    let before = look(directory.path());
    let copied = backup(directory.path(), &copy).unwrap();
    assert!(copied.files >= 7 && copied.bytes > 10_000, "{copied:?}");
    let refused = backup(directory.path(), &copy).unwrap_err();
    assert!(refused.to_string().contains("back up into"), "{refused}");
    let again = copies.path().join("again");
    restore(&copy, &again).unwrap();
    assert!(check(&again).unwrap().is_clean());
    assert_eq!(look(&again), before);
    let refused = restore(&copy, &again).unwrap_err();
    assert!(refused.to_string().contains("restore into"), "{refused}");
    let held = open(&again);
    assert!(matches!(restore(&copy, &again), Err(StoreError::Locked(_))));
    drop(held);
}

fn rolled_hours(store: &dyn Store) -> usize {
    // Fresh blocks come as samples.
    crate::storage::tests::segments(store, 1, &[0], 0, LATER, Resolution::Hours).unwrap().len()
}

#[test]
fn backup_beside_a_busy_store_is_of_one_instant() {
    let directory = tempdir().unwrap();
    let copies = tempdir().unwrap();
    let store = open(directory.path());
    store.commit(&inventory()).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut seq = 0;
            while !done.load(Ordering::Relaxed) && seq < 400 {
                let frame = seq + 1..=seq + 2;
                store.commit(&frames(1, frame, 1)).unwrap();
                let chunk = |seq: u64| {
                    let at = i64::try_from(seq).unwrap();
                    let chunk = tens(seq..=seq, MIDNIGHT + at % 2 * DAY + at * 60_000, 6);
                    Chunk { arrived_ms: 0, ..chunk }
                };
                store.seal(&[chunk(seq + 1), chunk(seq + 2)]).unwrap();
                seq += 2;
            }
        });
        let compactor = scope.spawn(|| {
            let mut now = MIDNIGHT;
            while !done.load(Ordering::Relaxed) {
                store.compact(now).unwrap();
                now += HOUR;
            }
        });
        for number in 0..6 {
            let copy = copies.path().join(format!("copy-{number}"));
            backup(directory.path(), &copy).unwrap();
            let again = copies.path().join(format!("again-{number}"));
            restore(&copy, &again).unwrap();
            let restored = open(&again);
            let committed = restored.load().unwrap().spools[0].committed_seq;
            let waiting = journal(&restored).len();
            let found = samples(&restored, 0).len();
            assert_eq!(found, (usize::try_from(committed).unwrap() - waiting) * 6);
            drop(restored);
            let report = check(&again).unwrap();
            assert!(report.is_clean(), "{report:?}");
        }
        done.store(true, Ordering::Relaxed);
        writer.join().expect("it writes");
        compactor.join().expect("it compacts");
    });
    let report = check(directory.path()).unwrap();
    assert!(report.is_clean() && report.samples > 0, "beside the open store: {report:?}");
}

#[test]
fn damaged_copy_is_not_restored() {
    let directory = filled();
    let copies = tempdir().unwrap();
    let copy = copies.path().join("copy");
    backup(directory.path(), &copy).unwrap();
    let target = copies.path().join("target");
    let f = |name: &str, damage: &dyn Fn(&mut Vec<u8>), says: &str| {
        let path = copy.join(name);
        let bytes = fs::read(&path).unwrap();
        let mut damaged = bytes.clone();
        damage(&mut damaged);
        fs::write(&path, damaged).unwrap();
        let refused = restore(&copy, &target).unwrap_err().to_string();
        assert!(refused.contains(name) && refused.contains(says), "{refused}");
        assert!(!target.exists(), "nothing was written");
        fs::write(&path, bytes).unwrap();
    };
    f("sextant.db", &|bytes| bytes[5000] ^= 1, "not as the manifest says");
    f("blocks-2026-11-21.db", &|bytes| bytes.truncate(4096), "not as the manifest says");
    f("MANIFEST", &|bytes| bytes.truncate(3), "not the manifest");
    f("MANIFEST", &|bytes| bytes.extend(b"00000000 1 ../../evil\n"), "evil");
    fs::remove_file(copy.join("MANIFEST")).unwrap();
    assert!(restore(&copy, &target).unwrap_err().to_string().contains("MANIFEST"));
}

#[test]
fn whole_directory_has_no_faults_and_its_rollups_are_compared() {
    let directory = filled();
    let report = check(directory.path()).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.frames, report.samples), (36, 24 * 60 * 3));
    assert_eq!(report.compared, 4, "two days, minutes and hours");
    let missing = check(&directory.path().join("nothing")).unwrap_err();
    assert!(missing.to_string().contains("nothing/sextant.db"), "{missing}");
}

/// Damages a file by SQL, and returns what a check says of it.
fn told(name: &str, sql: &str) -> Vec<String> {
    let directory = filled();
    let path = directory.path().join(name);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    connection.execute_batch(sql).unwrap();
    drop(connection);
    let report = check(directory.path()).unwrap();
    assert!(!report.is_clean(), "{sql} is not noticed");
    for fault in &report.faults {
        assert!(fault.remedy.contains("backup"), "{fault:?}");
    }
    let lines = report.faults.iter();
    lines.map(|f| format!("{}: {}", f.path.file_name().unwrap().display(), f.what)).collect()
}

#[test]
fn each_kind_of_damage_is_named_with_its_file() {
    let flip = |table: &str| {
        format!(
            "UPDATE {table} SET data =
                CAST(substr(data, 1, length(data) - 1) || x'00' AS BLOB)
            WHERE id = (SELECT min(id) FROM {table})"
        )
    };
    let blocks = "blocks-2026-11-27.db";
    let f = |name: &str, sql: &str, says: &str| {
        let told = told(name, sql);
        let named = told.iter().any(|line| line.starts_with(name) && line.contains(says));
        assert!(named, "{name} {says}: {told:?}");
    };
    f(blocks, &flip("blocks"), "of layout 1: checksum of column 1");
    f("blocks-2026-11-21.db", &flip("merged"), "of layout 1: checksum of column 1");
    f("minutes-2026-11-21.db", &flip("merged"), "of layout 1: checksum of column");
    f(blocks, "UPDATE blocks SET ticks = ticks + 1", "its ticks are not those of its row");
    f(
        "hours-2026-11-11.db",
        "UPDATE merged SET first_column = 1, columns = columns + 1",
        "its columns are not those",
    );
    f("sextant.db", "UPDATE journal SET crc = 7 WHERE seq = 50", "checksum of frame 50 of spool 1");
    f("sextant.db", "UPDATE spools SET committed_seq = 40", "frame 50 of spool 1 is beyond");
    f("sextant.db", "UPDATE layouts SET node = 99", "refers to none of nodes");
    f(blocks, "UPDATE summary SET seal = 99", "sextant.db is older than this file");
    f(blocks, "PRAGMA user_version = 1", "it has schema 1");
}

#[test]
fn damaged_pages_are_named_with_their_file() {
    for name in ["sextant.db", "blocks-2026-11-21.db", "hours-2026-11-11.db"] {
        for (damage, at) in [("garbled", 0), ("cut", 9000), ("empty", 0)] {
            let directory = filled();
            let path = directory.path().join(name);
            let mut bytes = fs::read(&path).unwrap();
            match damage {
                "garbled" => {
                    let from = bytes.len() / 2;
                    bytes[from..].fill(0x5a);
                }
                _ => bytes.truncate(at),
            }
            fs::write(&path, bytes).unwrap();
            let report = check(directory.path()).unwrap();
            assert!(report.faults.iter().any(|fault| fault.path == path), "{name} {damage}");
        }
    }
}

#[test]
fn frames_that_have_keys_are_as_they_were_written() {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    store.commit(&inventory()).unwrap();
    let mut changes = frames(1, 1..=3, 1);
    for change in &mut changes {
        if let Change::Frame(frame) = change {
            frame.key = "what came before".into();
        }
    }
    store.commit(&changes).unwrap();
    drop(store);
    let report = check(directory.path()).unwrap();
    assert_eq!((report.frames, report.faults), (3, Vec::new()));
}
