use std::path::Path;

use rusqlite::{Connection, params};
use tempfile::tempdir;

use super::super::SqliteStore;
use super::super::migrate::{DAY, MAIN};
use super::super::write::journal_crc;
use super::open;
use crate::storage::Store;
use crate::storage::tests::compaction::compact_all;
use crate::storage::tests::{
    DAY as DAY_MS, MIDNIGHT, assert_same, chunk, columns, frame, journal, segments,
};
use crate::storage::{Chunk, Resolution};

/// A block of format 1: ticks a second apart, a constant column in its form, others in zstd.
fn first_block(chunk: &Chunk) -> Vec<u8> {
    let mut block = b"SXBK\x01\0\0\0".to_vec();
    let small = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    block.extend(small(chunk.ticks_ms.len()));
    block.extend(small(chunk.columns.len()));
    block.extend(small(17));
    let mut columns: Vec<u8> = Vec::new();
    for (number, column) in chunk.columns.iter().enumerate() {
        let start = columns.len();
        let raw: Vec<u8> = column.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
        match number {
            0 => columns.extend([&[0], &raw[..8]].concat()),
            1 => columns.extend([&[1], &raw[..]].concat()),
            _ => columns.extend([&[2], &zstd::bulk::compress(&raw, 1).unwrap()[..]].concat()),
        }
        columns.extend(crc32fast::hash(&columns[start..]).to_le_bytes());
        block.extend(small(columns.len()));
    }
    block.push(0);
    block.extend(chunk.ticks_ms[0].to_le_bytes());
    block.extend(1000u64.to_le_bytes());
    block.extend(crc32fast::hash(&block).to_le_bytes());
    block.extend(columns);
    block
}

/// A data directory as the first schema has it: two nodes, a block, frames in the journal.
fn first_schema(directory: &Path, block: &Chunk) {
    let new = |name: &str, schema: &str| {
        let connection = Connection::open(directory.join(name)).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.execute_batch(schema).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        connection
    };
    let main = new("sextant.db", MAIN.migrations[0]);
    main.execute_batch(
        "INSERT INTO nodes VALUES (1, 'east', 'a', '0.1.0', 'b', x'', 5, 0);
        INSERT INTO layouts VALUES (1, 1, 77, x'00');
        INSERT INTO spools VALUES (1, 1, 's', 12);
        INSERT INTO metrics VALUES ('m', 1, '', '');
        INSERT INTO events VALUES (3, 5, 1, 'x', x'');
        INSERT INTO anomalies VALUES (4, 1, 5, 0, x'');
        UPDATE sealed SET seal = 9;",
    )
    .unwrap();
    for seq in 11..=12u32 {
        let frame = frame(1, seq.into(), 1);
        let (payload, key) = (&frame.payload[..], &frame.key[..]);
        let sql = "INSERT INTO journal VALUES (1, 1, ?1, 2, ?2, ?3, ?4)";
        main.execute(sql, params![seq, journal_crc(payload, key), payload, key]).unwrap();
    }
    let day = new("blocks-2026-11-21.db", DAY.migrations[0]);
    let (first, last) = (block.ticks_ms[0], block.ticks_ms[block.ticks_ms.len() - 1]);
    let ticks = i64::try_from(block.ticks_ms.len()).unwrap();
    let sql = "INSERT INTO blocks VALUES (1, 1, 1, 1, 10, ?1, ?2, ?3, 9, ?4)";
    day.execute(sql, params![first, last, ticks, first_block(block)]).unwrap();
    day.execute(
        "UPDATE summary SET seal = 9, blocks = 1, last_ms = ?1, span_ms = ?2",
        [last, last - first],
    )
    .unwrap();
}

fn assert_whole(store: &SqliteStore, block: &Chunk) {
    assert_same(&columns(store, 1)[0], block);
    assert_eq!(journal(store), [frame(1, 11, 1), frame(1, 12, 1)]);
    let loaded = store.load().unwrap();
    assert_eq!((loaded.nodes.len(), loaded.layouts.len(), loaded.metrics.len()), (1, 1, 1));
    assert_eq!((loaded.spools[0].committed_seq, loaded.last_event_id), (12, 3));
    assert_eq!(loaded.open_anomalies.len(), 1);
}

#[test]
fn first_schema_is_migrated_with_its_blocks() {
    let directory = tempdir().unwrap();
    let block = chunk(1, 1..=10, MIDNIGHT + 1000);
    first_schema(directory.path(), &block);
    assert_whole(&open(directory.path()), &block);
    let store = open(directory.path());
    assert_whole(&store, &block);
    let size = store.size().unwrap();
    assert_eq!((size.blocks, size.journal_frames), (1, 2));
    // Questions of other times pass the file by, as they do for one that was made new.
    let early = segments(&store, 1, &[0], MIDNIGHT - 9, MIDNIGHT + 999, Resolution::Samples);
    assert_eq!(early.unwrap(), []);
    store.seal(&[chunk(1, 11..=12, MIDNIGHT + 200_000)]).unwrap();
    compact_all(&store, MIDNIGHT + 3 * DAY_MS);
    assert_eq!(store.size().unwrap().blocks, 0);
    let merged = columns(&store, 1);
    assert_eq!((merged.len(), merged[0].ticks_ms.len()), (1, 120));
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    for (after, before) in merged[0].columns.iter().zip(&block.columns) {
        assert_eq!(bits(&after[..100]), bits(before));
    }
}

#[test]
fn damaged_block_of_the_first_schema_is_named() {
    let directory = tempdir().unwrap();
    let block = chunk(1, 1..=10, MIDNIGHT + 1000);
    let bytes = first_block(&block);
    for at in (0..bytes.len()).step_by(7) {
        first_schema(directory.path(), &block);
        let path = directory.path().join("blocks-2026-11-21.db");
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        let day = Connection::open(&path).unwrap();
        day.execute("UPDATE blocks SET data = ?1", [damaged]).unwrap();
        drop(day);
        let store = open(directory.path());
        let read = segments(&store, 1, &[0, 1, 2], 0, i64::MAX, Resolution::Samples);
        let text = read.expect_err("damage is noticed").to_string();
        assert!(text.contains("block 1 of layout 1"), "byte {at}: {text}");
        drop(store);
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}
