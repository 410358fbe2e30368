use tempfile::tempdir;

use super::super::days::DAY_MS;
use super::super::migrate::{DAY, Format, MAIN};
use super::super::{SqliteStore, Writer};
use super::{contents, names, open};
use crate::storage::tests::{
    MIDNIGHT, anomaly, assert_same, chunk, columns, event, frame, frames, inventory, journal,
};
use crate::storage::{EventQuery, Store, StoreError};

/// A store with frames 1 to 20 of layout 1, and chunks of the first ten on two days.
pub(super) fn filled(directory: &std::path::Path) -> SqliteStore {
    let store = open(directory);
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=20, 1)).unwrap();
    store
}

pub(super) fn two_days() -> [crate::storage::Chunk; 2] {
    [chunk(1, 1..=4, MIDNIGHT), chunk(1, 5..=10, MIDNIGHT + DAY_MS)]
}

#[test]
fn everything_committed_survives_reopening() {
    let directory = tempdir().unwrap();
    let store = filled(directory.path());
    store.commit(&[event(1, 1, 5, "x"), anomaly(1, 2, 5, 0)]).unwrap();
    store.seal(&two_days()).unwrap();
    let all_events = EventQuery { limit: 9, ..EventQuery::default() };
    let look = |store: &SqliteStore| {
        let size = store.size().unwrap();
        let events = store.events(&all_events).unwrap();
        (store.load().unwrap(), journal(store), events, size.journal_frames, size.blocks)
    };
    let before = look(&store);
    assert_eq!((before.3, before.4), (10, 2));
    drop(store);
    assert_eq!(
        names(directory.path()),
        ["blocks-2026-11-21.db", "blocks-2026-11-22.db", "sextant.db"],
        "a clean end leaves no logs"
    );
    let store = open(directory.path());
    assert_eq!(look(&store), before);
    for (segment, chunk) in columns(&store, 1).iter().zip(&two_days()) {
        assert_same(segment, chunk);
    }
}

#[test]
fn crash_between_the_halves_of_a_seal_moves_nothing() {
    let directory = tempdir().unwrap();
    let store = filled(directory.path());
    store.write_blocks(&mut store.writer.lock(), &two_days(), 1).unwrap();
    assert_eq!(journal(&store).len(), 20);
    assert_eq!(columns(&store, 1), [], "not both");
    drop(store);
    let store = open(directory.path());
    assert_eq!(journal(&store).len(), 20);
    assert_eq!(columns(&store, 1), [], "not both");
    assert_eq!(store.size().unwrap().blocks, 0);
    let other = chunk(1, 1..=10, MIDNIGHT + 5);
    store.seal(std::slice::from_ref(&other)).unwrap();
    assert_eq!(journal(&store).len(), 10);
    drop(store);
    let store = open(directory.path());
    assert_eq!(columns(&store, 1).len(), 1);
    assert_same(&columns(&store, 1)[0], &other);
}

#[test]
fn crash_after_a_later_seal_began_keeps_the_earlier() {
    let directory = tempdir().unwrap();
    let store = filled(directory.path());
    store.seal(&two_days()).unwrap();
    let next = chunk(1, 11..=15, MIDNIGHT + DAY_MS + 60_000);
    store.write_blocks(&mut store.writer.lock(), &[next], 2).unwrap();
    drop(store);
    let store = open(directory.path());
    assert_eq!(columns(&store, 1).len(), 2);
    assert_eq!(journal(&store), (11..=20).map(|seq| frame(1, seq, 1)).collect::<Vec<_>>());
    assert_eq!(store.size().unwrap().blocks, 2);
}

#[test]
fn database_older_than_its_blocks_is_refused() {
    let directory = tempdir().unwrap();
    drop(filled(directory.path()));
    let main = directory.path().join("sextant.db");
    let backup = std::fs::read(&main).unwrap();
    let store = open(directory.path());
    for chunk in two_days() {
        store.seal(&[chunk]).unwrap();
    }
    drop(store);
    std::fs::write(&main, backup).unwrap();
    let before = contents(directory.path());
    let refused = SqliteStore::open(directory.path()).err().unwrap();
    assert!(refused.to_string().contains("older than"), "{refused}");
    assert_eq!(contents(directory.path()), before);
}

fn limit_pages(writer: &Writer, pages: i64) {
    writer.main.pragma_update(None, "max_page_count", pages).unwrap();
}

#[test]
fn full_disk_fails_the_commit_and_not_the_store() {
    let directory = tempdir().unwrap();
    let store = filled(directory.path());
    let before = (store.load().unwrap(), journal(&store), store.size().unwrap().journal_frames);
    limit_pages(&store.writer.lock(), 1);
    let failed = store.commit(&frames(1, 21..=5000, 1)).unwrap_err();
    assert!(matches!(failed, StoreError::Sqlite { .. }), "{failed}");
    assert!(failed.to_string().contains("sextant.db"), "{failed}");
    let after = (store.load().unwrap(), journal(&store), store.size().unwrap().journal_frames);
    assert_eq!(after, before);
    limit_pages(&store.writer.lock(), 1_000_000);
    store.commit(&frames(1, 21..=5000, 1)).unwrap();
    assert_eq!(journal(&store).len(), 5000);
}

#[test]
fn full_disk_fails_the_seal_and_not_the_store() {
    let directory = tempdir().unwrap();
    let store = filled(directory.path());
    store.commit(&frames(1, 21..=9000, 1)).unwrap();
    store.seal(&[chunk(1, 1..=2, MIDNIGHT)]).unwrap();
    let limit = |pages: i64| {
        let mut writer = store.writer.lock();
        let day = writer.days.get(directory.path(), 20_778).unwrap();
        day.pragma_update(None, "max_page_count", pages).unwrap();
    };
    limit(1);
    let chunks = [chunk(1, 9..=10, MIDNIGHT - DAY_MS), chunk(1, 11..=9000, MIDNIGHT + 90_000)];
    let failed = store.seal(&chunks).unwrap_err();
    assert!(failed.to_string().contains("blocks-2026-11-21.db"), "{failed}");
    assert_eq!(columns(&store, 1).len(), 1);
    assert_eq!(journal(&store).len(), 8998);
    limit(1_000_000);
    store.seal(&chunks).unwrap();
    assert_eq!(columns(&store, 1).len(), 3);
    assert_eq!(journal(&store).len(), 6);
}

#[test]
fn second_open_of_a_directory_is_refused() {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    let refused = SqliteStore::open(directory.path());
    assert!(matches!(refused, Err(StoreError::Locked(path)) if path == directory.path()));
    drop(store);
    open(directory.path());
}

#[test]
fn directory_that_cannot_be_made_is_named() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("file").join("data");
    std::fs::write(directory.path().join("file"), "").unwrap();
    let refused = SqliteStore::open(&path).err().unwrap();
    assert!(matches!(refused, StoreError::Io { .. }), "{refused}");
    assert!(refused.to_string().contains("file/data"), "{refused}");
    open(&directory.path().join("not").join("yet"));
}

/// The schema that comes after ours.
const NEXT: Format = Format {
    migrations: &[
        MAIN.migrations[0],
        MAIN.migrations[1],
        "ALTER TABLE nodes ADD COLUMN rack TEXT NOT NULL DEFAULT ''",
    ],
    ..MAIN
};

#[test]
fn older_schema_is_migrated_with_its_data() {
    let directory = tempdir().unwrap();
    let store = filled(directory.path());
    let before = (store.load().unwrap(), journal(&store));
    drop(store);
    let store = SqliteStore::open_as(directory.path(), &NEXT).unwrap();
    assert_eq!((store.load().unwrap(), journal(&store)), before);
    let sql = "SELECT count(*) FROM nodes WHERE rack = ''";
    let racks: i64 = store.writer.lock().main.query_one(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(racks, 3);
    drop(store);
    SqliteStore::open_as(directory.path(), &NEXT).expect("a migration is not repeated");
}

#[test]
fn failed_migration_changes_nothing() {
    const BROKEN: Format = Format {
        migrations: &[
            MAIN.migrations[0],
            MAIN.migrations[1],
            "DROP TABLE events; DROP TABLE nowhere",
        ],
        ..MAIN
    };
    let directory = tempdir().unwrap();
    drop(filled(directory.path()));
    let failed = SqliteStore::open_as(directory.path(), &BROKEN).err().unwrap();
    assert!(failed.to_string().contains("migrate"), "{failed}");
    assert_eq!(journal(&open(directory.path())).len(), 20);
}

#[test]
fn newer_schema_is_refused_and_left_as_it_is() {
    let directory = tempdir().unwrap();
    drop(filled(directory.path()));
    drop(SqliteStore::open_as(directory.path(), &NEXT).unwrap());
    let before = contents(directory.path());
    let refused = SqliteStore::open(directory.path()).err().unwrap();
    assert!(matches!(refused, StoreError::NewerSchema { found: 3, known: 2, .. }), "{refused}");
    assert_eq!(contents(directory.path()), before);
}

#[test]
fn newer_schema_with_a_log_is_refused_and_left_as_it_is() {
    let directory = tempdir().unwrap();
    let crashed = tempdir().unwrap();
    drop(filled(directory.path()));
    let store = SqliteStore::open_as(directory.path(), &NEXT).unwrap();
    for name in ["sextant.db", "sextant.db-wal"] {
        std::fs::copy(directory.path().join(name), crashed.path().join(name)).unwrap();
    }
    drop(store);
    let before = contents(crashed.path());
    let refused = SqliteStore::open(crashed.path()).err().unwrap();
    assert!(matches!(refused, StoreError::NewerSchema { .. }), "{refused}");
    let after = contents(crashed.path());
    for (name, bytes) in before {
        assert_eq!(after[&name], bytes, "{name} changed");
    }
}

/// A released step never changes: what databases in the field have been through is this text.
#[test]
fn released_migrations_are_as_released() {
    let marks = |format: &Format| -> Vec<u32> {
        format.migrations.iter().map(|step| crc32fast::hash(step.as_bytes())).collect()
    };
    assert_eq!(marks(&MAIN), [2_543_331_781, 189_459_736]);
    assert_eq!(marks(&DAY), [65_594_265]);
}
