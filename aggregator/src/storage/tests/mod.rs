//! What every store must do, run on each of them; and what their tests are made of.

mod blocks;
mod frames;
mod incidents;
mod records;

use bytes::Bytes;
use sextant_proto::frame::ABSENT;
use sextant_proto::v1::{Anomaly, Event, Severity};

use super::{
    Change, Chunk, ColumnQuery, FrameRecord, LayoutRecord, NodeRecord, Segment, SpoolRecord, Store,
};

/// 2026-11-21T00:00:00Z.
pub(in crate::storage) const MIDNIGHT: i64 = 20_778 * 86_400_000;
pub(in crate::storage) const DAY: i64 = 86_400_000;
pub(in crate::storage) const NONE: [u64; 0] = [];

pub(in crate::storage) fn node(id: u32, cluster: &str, name: &str) -> NodeRecord {
    NodeRecord {
        id,
        cluster: cluster.into(),
        name: name.into(),
        agent_version: "0.1.0".into(),
        boot_id: "b".into(),
        capabilities: vec!["host".into(), String::new()],
        last_seen_ms: MIDNIGHT,
        clock_skew_ms: -3,
    }
}

pub(in crate::storage) fn layout(id: u32, node: u32) -> LayoutRecord {
    let bytes = Bytes::from(format!("layout {id}"));
    LayoutRecord { id, node, hash: u64::MAX - u64::from(id), bytes }
}

pub(in crate::storage) fn spool(id: u32, node: u32) -> SpoolRecord {
    SpoolRecord { id, node, spool_id: format!("spool-{id}"), committed_seq: 0 }
}

pub(in crate::storage) fn frame(spool: u32, seq: u64, layout: u32) -> FrameRecord {
    let payload = Bytes::from(format!("frame {spool} {seq} {layout}").repeat(20));
    FrameRecord { spool, seq, layout: Some(layout), codec: 2, payload }
}

pub(in crate::storage) fn frames(
    spool: u32,
    seqs: std::ops::RangeInclusive<u64>,
    layout: u32,
) -> Vec<Change> {
    seqs.map(|seq| Change::Frame(frame(spool, seq, layout))).collect()
}

/// Ten ticks a frame, a second apart, from `start` on.
pub(in crate::storage) fn chunk(
    layout: u32,
    seqs: std::ops::RangeInclusive<u64>,
    start_ms: i64,
) -> Chunk {
    let (first_seq, last_seq) = (*seqs.start(), *seqs.end());
    let ticks = u32::try_from((last_seq - first_seq + 1) * 10).expect("small");
    let odd = [-0.0, ABSENT, f64::from_bits(0x7ff8_dead_beef_0001), f64::NEG_INFINITY];
    let columns = vec![
        vec![f64::from(layout); ticks as usize],
        (0..ticks).map(|t| f64::from(t) * 0.1).collect(),
        (0..ticks as usize).map(|t| odd[t % odd.len()]).collect(),
    ];
    let ticks_ms = (0..i64::from(ticks)).map(|t| start_ms + t * 1000).collect();
    Chunk { layout, spool: layout, first_seq, last_seq, ticks_ms, columns }
}

/// Two clusters, three nodes; layout n and spool n belong to node n.
pub(in crate::storage) fn inventory() -> Vec<Change> {
    let nodes = [node(1, "east", "a"), node(2, "east", "b"), node(3, "west", "a")];
    let mut changes: Vec<_> = nodes.into_iter().map(Change::Node).collect();
    for id in 1..=3 {
        changes.push(Change::Layout(layout(id, id)));
        changes.push(Change::Spool(spool(id, id)));
    }
    changes
}

pub(in crate::storage) fn event(id: u64, node: u32, time_unix_ms: i64, kind: &str) -> Change {
    let message = format!("event {id}");
    let event = Event { time_unix_ms, r#type: kind.into(), message, ..Event::default() };
    Change::Event { id, node, event }
}

pub(in crate::storage) fn anomaly(id: u64, node: u32, opened: i64, closed: i64) -> Change {
    let anomaly = Anomaly {
        id,
        severity: Severity::Warning.into(),
        opened_unix_ms: opened,
        closed_unix_ms: closed,
        ..Anomaly::default()
    };
    Change::Anomaly { node, anomaly }
}

pub(in crate::storage) fn journal(store: &dyn Store) -> Vec<FrameRecord> {
    let mut frames = Vec::new();
    store.replay(&mut |frame| frames.push(frame)).expect("replays");
    frames
}

pub(in crate::storage) fn columns(store: &dyn Store, layout: u32) -> Vec<Segment> {
    let (start_ms, end_ms) = (i64::MIN, i64::MAX);
    let query = ColumnQuery { layout, columns: vec![0, 1, 2], start_ms, end_ms };
    store.columns(&query).expect("reads")
}

pub(in crate::storage) fn assert_same(segment: &Segment, chunk: &Chunk) {
    let bits = |columns: &[Vec<f64>]| -> Vec<Vec<u64>> {
        columns.iter().map(|c| c.iter().map(|v| v.to_bits()).collect()).collect()
    };
    assert_eq!((segment.spool, segment.first_seq), (chunk.spool, chunk.first_seq));
    assert_eq!(segment.ticks_ms, chunk.ticks_ms);
    assert_eq!(bits(&segment.columns), bits(&chunk.columns));
}

/// Makes a test of each function for each store.
macro_rules! on_every_store {
    ($($name:ident)*) => {
        mod in_memory {
            $(#[test] fn $name() { super::$name(&crate::storage::MemoryStore::new()); })*
        }
        mod on_disk {
            $(#[test] fn $name() {
                let directory = tempfile::tempdir().expect("a temporary directory");
                super::$name(&crate::storage::SqliteStore::open(directory.path()).expect("opens"));
            })*
        }
    };
}

use on_every_store;
