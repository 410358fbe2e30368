use std::fs;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};

use super::super::SqliteStore;
use super::{contents, open};
use crate::storage::tests::{MIDNIGHT, chunk, frames, inventory, segments};
use crate::storage::{Resolution, Segment, Store, StoreError};

const DAY_FILE: &str = "blocks-2026-11-21.db";

/// A store that ended cleanly: 100 frames in the journal, 100 in a block.
fn stored() -> TempDir {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=200, 1)).unwrap();
    store.seal(&[chunk(1, 1..=100, MIDNIGHT)]).unwrap();
    drop(store);
    directory
}

fn read(store: &SqliteStore) -> Result<Vec<Segment>, StoreError> {
    segments(store, 1, &[0, 1, 2], i64::MIN, i64::MAX, Resolution::Samples)
}

/// Damages a file, then opens the store and reads all of it: the error, with the files as they
/// were.
fn error_after(directory: &Path, name: &str, damage: impl FnOnce(&mut Vec<u8>)) -> StoreError {
    let path = directory.join(name);
    let mut bytes = fs::read(&path).unwrap();
    damage(&mut bytes);
    fs::write(&path, bytes).unwrap();
    let before = contents(directory);
    let look = || {
        let store = SqliteStore::open(directory)?;
        store.load()?;
        store.replay(&mut drop)?;
        read(&store)
    };
    let error = look().expect_err("damage is noticed");
    let after = contents(directory);
    for (name, bytes) in before {
        assert_eq!(after[&name], bytes, "{name} changed");
    }
    error
}

fn assert_names(error: &StoreError, path: PathBuf) {
    let StoreError::Corrupt { path: named, remedy, .. } = error else {
        panic!("not taken for damage: {error:?}");
    };
    assert_eq!(*named, path);
    assert!(error.to_string().contains(remedy) && remedy.contains("backup"), "{error}");
}

#[test]
fn truncated_file_is_named() {
    for name in ["sextant.db", DAY_FILE] {
        for keep in [0, 1, 99, 4096, 20_000] {
            let directory = stored();
            let error = error_after(directory.path(), name, |bytes| bytes.truncate(keep));
            assert_names(&error, directory.path().join(name));
        }
    }
}

#[test]
fn file_with_another_beginning_is_named() {
    for name in ["sextant.db", DAY_FILE] {
        let directory = stored();
        let error = error_after(directory.path(), name, |bytes| bytes[3] ^= 1);
        assert_names(&error, directory.path().join(name));
    }
}

#[test]
fn flipped_bit_in_the_journal_is_named() {
    let directory = stored();
    let error = error_after(directory.path(), "sextant.db", |bytes| {
        let text = b"frame 1 150 1";
        let at = bytes.windows(text.len()).position(|window| window == text).expect("is there");
        bytes[at + 2] ^= 4;
    });
    assert_names(&error, directory.path().join("sextant.db"));
    assert!(error.to_string().contains("frame 150 of spool 1"), "{error}");
}

#[test]
fn flipped_bit_in_a_block_is_named() {
    let directory = stored();
    let error = error_after(directory.path(), DAY_FILE, |bytes| {
        let at = bytes.windows(5).position(|window| window == b"SXBK\x02").expect("is there");
        bytes[at + 20] ^= 1;
    });
    assert_names(&error, directory.path().join(DAY_FILE));
    assert!(error.to_string().contains("block 1 of layout 1"), "{error}");
}

#[test]
fn garbled_pages_are_never_taken_for_data() {
    let whole = read(&open(stored().path())).unwrap();
    let pages = fs::metadata(stored().path().join(DAY_FILE)).unwrap().len() / 16_384;
    for page in 0..usize::try_from(pages).unwrap() {
        let directory = stored();
        let path = directory.path().join(DAY_FILE);
        let mut bytes = fs::read(&path).unwrap();
        bytes[page * 16_384..(page + 1) * 16_384].fill(0x5a);
        fs::write(&path, bytes).unwrap();
        let result = SqliteStore::open(directory.path()).and_then(|store| read(&store));
        match result {
            Err(error) => assert_names(&error, path),
            Ok(segments) => assert_eq!(segments.len(), whole.len(), "page {page} holds nothing"),
        }
    }
}

#[test]
fn damage_of_one_day_leaves_the_others_readable_once_it_is_moved_away() {
    let directory = stored();
    let path = directory.path().join(DAY_FILE);
    error_after(directory.path(), DAY_FILE, |bytes| bytes.truncate(99));
    fs::rename(&path, directory.path().join("damaged")).unwrap();
    let store = open(directory.path());
    assert_eq!(read(&store).unwrap(), []);
    store.seal(&[chunk(1, 101..=150, MIDNIGHT)]).unwrap();
    assert_eq!(read(&store).unwrap().len(), 1);
}

#[test]
fn missing_database_beside_its_blocks_is_no_fresh_start() {
    let directory = stored();
    fs::remove_file(directory.path().join("sextant.db")).unwrap();
    let before = contents(directory.path());
    let refused = SqliteStore::open(directory.path()).err().unwrap();
    assert_names(&refused, directory.path().join("sextant.db"));
    assert_eq!(contents(directory.path()), before);
}

#[test]
fn database_of_something_else_is_refused() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("sextant.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE nodes (id)").unwrap();
    drop(other);
    let before = contents(directory.path());
    assert_names(&SqliteStore::open(directory.path()).err().unwrap(), path);
    assert_eq!(contents(directory.path()), before);
}
