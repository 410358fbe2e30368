//! What every store must do, run on each of them; and what their tests are made of.

use bytes::Bytes;
use sextant_proto::frame::ABSENT;
use sextant_proto::v1::{Anomaly, Event, MetricDescriptor, MetricKind, Severity};

use super::*;

/// 2026-11-21T00:00:00Z.
pub(super) const MIDNIGHT: i64 = 20_778 * 86_400_000;
pub(super) const DAY: i64 = 86_400_000;
const NONE: [u64; 0] = [];

pub(super) fn node(id: u32, cluster: &str, name: &str) -> NodeRecord {
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

pub(super) fn layout(id: u32, node: u32) -> LayoutRecord {
    let bytes = Bytes::from(format!("layout {id}"));
    LayoutRecord { id, node, hash: u64::MAX - u64::from(id), bytes }
}

pub(super) fn spool(id: u32, node: u32) -> SpoolRecord {
    SpoolRecord { id, node, spool_id: format!("spool-{id}"), committed_seq: 0 }
}

pub(super) fn frame(spool: u32, seq: u64, layout: u32) -> FrameRecord {
    let payload = Bytes::from(format!("frame {spool} {seq} {layout}").repeat(20));
    FrameRecord { spool, seq, layout: Some(layout), codec: 2, payload }
}

pub(super) fn frames(spool: u32, seqs: std::ops::RangeInclusive<u64>, layout: u32) -> Vec<Change> {
    seqs.map(|seq| Change::Frame(frame(spool, seq, layout))).collect()
}

/// Ten ticks a frame, a second apart, from `start` on.
pub(super) fn chunk(layout: u32, seqs: std::ops::RangeInclusive<u64>, start_ms: i64) -> Chunk {
    let (first_seq, last_seq) = (*seqs.start(), *seqs.end());
    let ticks = i32::try_from((last_seq - first_seq + 1) * 10).expect("small");
    let count = usize::try_from(ticks).expect("small");
    let odd = [-0.0, ABSENT, f64::from_bits(0x7ff8_dead_beef_0001), f64::NEG_INFINITY];
    let columns = vec![
        vec![f64::from(layout); count],
        (0..ticks).map(|t| f64::from(t) * 0.1).collect(),
        (0..count).map(|t| odd[t % odd.len()]).collect(),
    ];
    let ticks_ms = (0..i64::from(ticks)).map(|t| start_ms + t * 1000).collect();
    Chunk { layout, spool: layout, first_seq, last_seq, ticks_ms, columns }
}

/// Two clusters, three nodes; layout n and spool n belong to node n.
pub(super) fn inventory() -> Vec<Change> {
    let nodes = [node(1, "east", "a"), node(2, "east", "b"), node(3, "west", "a")];
    let mut changes: Vec<_> = nodes.into_iter().map(Change::Node).collect();
    for id in 1..=3 {
        changes.push(Change::Layout(layout(id, id)));
        changes.push(Change::Spool(spool(id, id)));
    }
    changes
}

pub(super) fn event(id: u64, node: u32, time_unix_ms: i64, kind: &str) -> Change {
    let message = format!("event {id}");
    let event = Event { time_unix_ms, r#type: kind.into(), message, ..Event::default() };
    Change::Event { id, node, event }
}

pub(super) fn anomaly(id: u64, node: u32, opened: i64, closed: i64) -> Change {
    let anomaly = Anomaly {
        id,
        severity: Severity::Warning.into(),
        opened_unix_ms: opened,
        closed_unix_ms: closed,
        ..Anomaly::default()
    };
    Change::Anomaly { node, anomaly }
}

pub(super) fn journal(store: &dyn Store) -> Vec<FrameRecord> {
    let mut frames = Vec::new();
    store.replay(&mut |frame| frames.push(frame)).expect("replays");
    frames
}

pub(super) fn columns(store: &dyn Store, layout: u32) -> Vec<Segment> {
    let (start_ms, end_ms) = (i64::MIN, i64::MAX);
    let query = ColumnQuery { layout, columns: vec![0, 1, 2], start_ms, end_ms };
    store.columns(&query).expect("reads")
}

pub(super) fn assert_same(segment: &Segment, chunk: &Chunk) {
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
            $(#[test] fn $name() { super::$name(&super::MemoryStore::new()); })*
        }
        mod on_disk {
            $(#[test] fn $name() {
                let directory = tempfile::tempdir().expect("a temporary directory");
                super::$name(&super::SqliteStore::open(directory.path()).expect("opens"));
            })*
        }
    };
}

on_every_store! {
    new_store_is_empty
    inventory_is_loaded_as_committed
    commit_is_all_or_nothing
    what_contradicts_the_store_is_invalid
    repeated_frames_are_ignored
    frame_without_layout_only_moves_the_sequence
    journal_replays_by_layout_spool_and_seq
    sealed_frames_move_from_the_journal_to_blocks
    sealing_again_changes_nothing
    failed_seal_moves_nothing
    columns_are_cut_to_the_range
    chunk_over_midnight_is_found_from_both_days
    events_are_filtered_and_newest_first
    anomalies_are_filtered_by_when_they_were_open
    anomaly_is_replaced_when_it_closes
    retention_deletes_only_what_is_old
    last_ids_outlive_their_rows
    size_counts_frames_and_blocks
}

fn new_store_is_empty(store: &dyn Store) {
    assert_eq!(store.load().unwrap(), Inventory::default());
    assert_eq!(journal(store), []);
    assert_eq!(columns(store, 1), []);
    assert_eq!(store.prune(Cutoff { samples_ms: i64::MAX, events_ms: i64::MAX }).unwrap(), 0);
}

fn inventory_is_loaded_as_committed(store: &dyn Store) {
    let metric = |name: &str, help: &str| MetricDescriptor {
        name: name.into(),
        kind: MetricKind::Counter.into(),
        unit: "By".into(),
        help: help.into(),
    };
    store.commit(&inventory()).unwrap();
    store.commit(&[Change::Metrics(vec![metric("b", ""), metric("a", "old")])]).unwrap();
    let moved = NodeRecord { boot_id: "c".into(), last_seen_ms: 9, ..node(2, "east", "b") };
    let again = [
        Change::Metrics(vec![metric("a", "new")]),
        Change::Node(moved.clone()),
        Change::Layout(layout(1, 1)),
        Change::Spool(spool(1, 1)),
        anomaly(4, 3, 10, 0),
        anomaly(5, 3, 10, 20),
        event(7, 1, 5, "host.oom_kill"),
    ];
    store.commit(&again).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.nodes, [node(1, "east", "a"), moved, node(3, "west", "a")]);
    assert_eq!(loaded.layouts, [layout(1, 1), layout(2, 2), layout(3, 3)]);
    assert_eq!(loaded.spools, [spool(1, 1), spool(2, 2), spool(3, 3)]);
    assert_eq!(loaded.metrics, [metric("a", "new"), metric("b", "")]);
    let open: Vec<_> = loaded.open_anomalies.iter().map(|(node, a)| (*node, a.id)).collect();
    assert_eq!(open, [(3, 4)]);
    assert_eq!((loaded.last_event_id, loaded.last_anomaly_id), (7, 5));
}

fn commit_is_all_or_nothing(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    let before = store.load().unwrap();
    let mut changes = frames(1, 1..=5, 1);
    changes.extend([Change::Node(node(4, "west", "b")), event(1, 1, 1, "x"), anomaly(1, 1, 1, 0)]);
    changes.push(Change::Frame(frame(99, 1, 1)));
    assert!(matches!(store.commit(&changes), Err(StoreError::Invalid(_))));
    assert_eq!(store.load().unwrap(), before);
    assert_eq!(journal(store), []);
    changes.pop();
    store.commit(&changes).unwrap();
    assert_eq!(journal(store).len(), 5);
}

fn what_contradicts_the_store_is_invalid(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&[event(1, 1, 1, "x")]).unwrap();
    let other = LayoutRecord { bytes: Bytes::from_static(b"other"), ..layout(1, 1) };
    for change in [
        Change::Layout(other),
        Change::Layout(layout(9, 9)),
        Change::Spool(SpoolRecord { spool_id: "other".into(), ..spool(1, 1) }),
        Change::Spool(spool(9, 9)),
        Change::Frame(frame(1, 1, 9)),
        Change::Frame(frame(1, MAX_SEQ + 1, 1)),
        event(1, 1, 2, "y"),
        event(2, 9, 2, "y"),
        anomaly(1, 9, 2, 0),
    ] {
        let refused = store.commit(std::slice::from_ref(&change));
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{change:?}: {refused:?}");
    }
    store.commit(&[Change::Frame(frame(1, MAX_SEQ, 1))]).unwrap();
    assert_eq!(journal(store), [frame(1, MAX_SEQ, 1)]);
}

fn repeated_frames_are_ignored(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=3, 1)).unwrap();
    let other = FrameRecord { payload: Bytes::from_static(b"other"), ..frame(1, 2, 1) };
    let mut again = frames(1, 1..=4, 1);
    again.extend([Change::Frame(other), Change::Frame(frame(1, 4, 1))]);
    store.commit(&again).unwrap();
    assert_eq!(journal(store), (1..=4).map(|seq| frame(1, seq, 1)).collect::<Vec<_>>());
    assert_eq!(store.load().unwrap().spools[0].committed_seq, 4);
    store.seal(&[chunk(1, 1..=4, MIDNIGHT)]).unwrap();
    store.commit(&again).unwrap();
    assert_eq!(journal(store), []);
}

fn frame_without_layout_only_moves_the_sequence(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    let refused = FrameRecord { layout: None, ..frame(1, 5, 1) };
    store.commit(&[Change::Frame(refused)]).unwrap();
    assert_eq!(journal(store), []);
    assert_eq!(store.load().unwrap().spools[0].committed_seq, 5);
    store.commit(&frames(1, 4..=6, 1)).unwrap();
    assert_eq!(journal(store), [frame(1, 6, 1)]);
}

fn journal_replays_by_layout_spool_and_seq(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    let sent = [(3, 1, 3), (1, 1, 2), (1, 2, 1), (3, 7, 1), (1, 300, 1), (2, 256, 2), (3, 9, 1)];
    for (spool, seq, layout) in sent {
        store.commit(&[Change::Frame(frame(spool, seq, layout))]).unwrap();
    }
    let replayed: Vec<_> =
        journal(store).iter().map(|f| (f.layout.unwrap(), f.spool, f.seq)).collect();
    let mut expected: Vec<_> =
        sent.iter().map(|&(spool, seq, layout)| (layout, spool, seq)).collect();
    expected.sort_unstable();
    assert_eq!(replayed, expected);
}

fn sealed_frames_move_from_the_journal_to_blocks(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=30, 1)).unwrap();
    store.commit(&frames(2, 1..=5, 2)).unwrap();
    let first = chunk(1, 1..=10, MIDNIGHT);
    let second = chunk(1, 11..=24, MIDNIGHT + 100_000);
    let other = chunk(2, 1..=5, MIDNIGHT + 3 * DAY);
    store.seal(&[second.clone(), other.clone(), first.clone()]).unwrap();
    assert_eq!(journal(store), (25..=30).map(|seq| frame(1, seq, 1)).collect::<Vec<_>>());
    let read = columns(store, 1);
    assert_eq!(read.len(), 2);
    assert_same(&read[0], &first);
    assert_same(&read[1], &second);
    assert_same(&columns(store, 2)[0], &other);
    assert_eq!(columns(store, 3), []);
    let nothing = Chunk { ticks_ms: vec![], columns: vec![], ..chunk(1, 25..=29, 0) };
    store.seal(&[nothing]).unwrap();
    assert_eq!(journal(store), [frame(1, 30, 1)]);
    assert_eq!(columns(store, 1).len(), 2);
}

fn sealing_again_changes_nothing(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=10, 1)).unwrap();
    let chunks = [chunk(1, 1..=4, MIDNIGHT), chunk(1, 5..=10, MIDNIGHT + 40_000)];
    store.seal(&chunks).unwrap();
    let (read, size) = (columns(store, 1), store.size().unwrap());
    store.seal(&chunks).unwrap();
    store.seal(&chunks[1..]).unwrap();
    for (again, before) in columns(store, 1).iter().zip(&chunks) {
        assert_same(again, before);
    }
    assert_eq!(columns(store, 1).len(), read.len());
    assert_eq!(store.size().unwrap().blocks, size.blocks);
    assert_eq!(journal(store), []);
}

fn failed_seal_moves_nothing(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=10, 1)).unwrap();
    let good = chunk(1, 1..=5, MIDNIGHT);
    let later = chunk(1, 6..=10, MIDNIGHT + DAY);
    for bad in [
        Chunk { last_seq: 11, ..later.clone() },
        Chunk { first_seq: 9, last_seq: 8, ..later.clone() },
        Chunk { columns: vec![vec![1.0]], ..later.clone() },
        Chunk { ticks_ms: vec![1; later.ticks_ms.len()], ..later.clone() },
        Chunk { layout: 9, ..later.clone() },
        Chunk { spool: 2, ..later.clone() },
        good.clone(),
    ] {
        let refused = store.seal(&[good.clone(), bad]);
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
        assert_eq!(journal(store).len(), 10);
        assert_eq!(columns(store, 1), []);
    }
    let whole = chunk(1, 1..=10, MIDNIGHT);
    store.seal(std::slice::from_ref(&whole)).unwrap();
    assert_eq!(columns(store, 1).len(), 1);
    assert_same(&columns(store, 1)[0], &whole);
    assert!(matches!(store.seal(&[good]), Err(StoreError::Invalid(_))));
}

fn columns_are_cut_to_the_range(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=30, 1)).unwrap();
    for start in 0u8..3 {
        let first = u64::from(start) * 10 + 1;
        let start_ms = MIDNIGHT + i64::from(start) * 200_000;
        store.seal(&[chunk(1, first..=first + 9, start_ms)]).unwrap();
    }
    let ask = |from: i64, to: i64, columns: &[u32]| {
        let (start_ms, end_ms) = (MIDNIGHT + from, MIDNIGHT + to);
        store.columns(&ColumnQuery { layout: 1, columns: columns.to_vec(), start_ms, end_ms })
    };
    let read = ask(98_000, 201_000, &[1, 0]).unwrap();
    let ticks: Vec<_> = read.iter().map(|s| (s.first_seq, &s.ticks_ms[..])).collect();
    let (one, two) = ([98_000, 99_000], [200_000, 201_000]);
    assert_eq!(ticks, [(1, &one.map(|t| t + MIDNIGHT)[..]), (11, &two.map(|t| t + MIDNIGHT)[..])]);
    assert_eq!(read[0].columns, [[98.0 * 0.1, 99.0 * 0.1], [1.0, 1.0]]);
    assert_eq!(read[1].columns, [[0.0, 0.1], [1.0, 1.0]]);
    assert_eq!(ask(99_001, 199_999, &[0]).unwrap(), []);
    assert_eq!(ask(99_000, 99_000, &[]).unwrap().len(), 1);
    assert_eq!(ask(500, 999, &[0]).unwrap(), [], "between two ticks");
    assert_eq!(ask(300_000, 100_000, &[0]).unwrap(), []);
    assert!(matches!(ask(0, 0, &[3]), Err(StoreError::Invalid(_))));
}

fn chunk_over_midnight_is_found_from_both_days(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=20, 1)).unwrap();
    let across = chunk(1, 1..=10, MIDNIGHT - 50_000);
    // A node that was off for days in the middle of a chunk.
    let mut late = chunk(1, 11..=20, MIDNIGHT + 60_000);
    *late.ticks_ms.last_mut().unwrap() += 5 * DAY;
    store.seal(&[across.clone(), late.clone()]).unwrap();
    let ask = |start_ms, end_ms| {
        let query = ColumnQuery { layout: 1, columns: vec![0], start_ms, end_ms };
        let read = store.columns(&query).unwrap();
        read.iter().map(|s| (s.first_seq, s.ticks_ms.len())).collect::<Vec<_>>()
    };
    assert_eq!(ask(MIDNIGHT - DAY, MIDNIGHT - 1), [(1, 50)]);
    assert_eq!(ask(MIDNIGHT, MIDNIGHT + 59_999), [(1, 50)]);
    assert_eq!(ask(MIDNIGHT + 4 * DAY, MIDNIGHT + 6 * DAY), [(11, 1)]);
}

fn events_are_filtered_and_newest_first(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store
        .commit(&[
            event(1, 1, 100, "host.oom_kill"),
            event(2, 2, 300, "host.reboot"),
            event(3, 3, 200, "hostage"),
            event(4, 1, 300, "gpu.xid"),
        ])
        .unwrap();
    let all = EventQuery { limit: 100, ..EventQuery::default() };
    let ask = |query: &EventQuery| {
        let found = store.events(query).unwrap();
        found.iter().map(|stored| stored.id).collect::<Vec<_>>()
    };
    assert_eq!(ask(&all), [4, 2, 3, 1]);
    assert_eq!(ask(&EventQuery { limit: 2, ..all.clone() }), [4, 2]);
    assert_eq!(ask(&EventQuery { limit: 0, ..all.clone() }), NONE);
    assert_eq!(ask(&EventQuery { limit: usize::MAX, ..all.clone() }).len(), 4);
    let (east, a) = (Some("east".to_owned()), Some("a".to_owned()));
    assert_eq!(ask(&EventQuery { cluster: east.clone(), ..all.clone() }), [4, 2, 1]);
    assert_eq!(ask(&EventQuery { node: a.clone(), ..all.clone() }), [4, 3, 1]);
    assert_eq!(ask(&EventQuery { cluster: east, node: a, ..all.clone() }), [4, 1]);
    let kind = |kind: &str| EventQuery { kind: Some(kind.into()), ..all.clone() };
    assert_eq!(ask(&kind("host.")), [2, 1]);
    assert_eq!(ask(&kind("host")), NONE);
    assert_eq!(ask(&kind("gpu.xid")), [4]);
    assert_eq!(ask(&EventQuery { start_ms: 200, ..all.clone() }), [4, 2, 3]);
    assert_eq!(ask(&EventQuery { end_ms: 200, ..all.clone() }), [3, 1]);
    assert_eq!(ask(&EventQuery { start_ms: 200, end_ms: 200, ..all.clone() }), [3]);
    let found = store.events(&EventQuery { limit: 1, ..all }).unwrap();
    assert_eq!((&found[0].cluster[..], &found[0].node[..]), ("east", "a"));
    assert_eq!(found[0].event.as_ref().unwrap().message, "event 4");
}

fn anomalies_are_filtered_by_when_they_were_open(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store
        .commit(&[
            anomaly(1, 1, 100, 200),
            anomaly(2, 2, 150, 0),
            anomaly(3, 3, 300, 400),
            anomaly(4, 1, 300, 0),
        ])
        .unwrap();
    let all = AnomalyQuery { limit: 100, ..AnomalyQuery::default() };
    let ask = |query: &AnomalyQuery| {
        let found = store.anomalies(query).unwrap();
        found.iter().map(|anomaly| anomaly.id).collect::<Vec<_>>()
    };
    assert_eq!(ask(&all), [4, 3, 2, 1]);
    assert_eq!(ask(&AnomalyQuery { limit: 3, ..all.clone() }), [4, 3, 2]);
    assert_eq!(ask(&AnomalyQuery { active_only: true, ..all.clone() }), [4, 2]);
    assert_eq!(ask(&AnomalyQuery { start_ms: 201, ..all.clone() }), [4, 3, 2]);
    assert_eq!(ask(&AnomalyQuery { start_ms: 200, end_ms: 200, ..all.clone() }), [2, 1]);
    assert_eq!(ask(&AnomalyQuery { end_ms: 99, ..all.clone() }), NONE);
    let east = Some("east".to_owned());
    assert_eq!(ask(&AnomalyQuery { cluster: east.clone(), ..all.clone() }), [4, 2, 1]);
    let node = Some("a".to_owned());
    assert_eq!(ask(&AnomalyQuery { cluster: east, node, start_ms: 250, ..all }), [4]);
}

fn anomaly_is_replaced_when_it_closes(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&[anomaly(1, 1, 100, 0)]).unwrap();
    store.commit(&[anomaly(1, 1, 100, 150)]).unwrap();
    let found = store.anomalies(&AnomalyQuery { limit: 9, ..AnomalyQuery::default() }).unwrap();
    assert_eq!(found.iter().map(|a| a.closed_unix_ms).collect::<Vec<_>>(), [150]);
    assert_eq!(store.load().unwrap().open_anomalies, []);
}

fn retention_deletes_only_what_is_old(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=40, 1)).unwrap();
    let old = chunk(1, 1..=10, MIDNIGHT - 2 * DAY);
    let across = chunk(1, 11..=20, MIDNIGHT - 50_000);
    let new = chunk(1, 21..=30, MIDNIGHT + 60_000);
    store.seal(&[old, across, new]).unwrap();
    let of_time =
        |time| [event(time, 1, time.cast_signed(), "x"), anomaly(time, 1, 1, time.cast_signed())];
    store.commit(&[of_time(10), of_time(20), of_time(30)].concat()).unwrap();
    store.commit(&[anomaly(40, 1, 1, 0)]).unwrap();
    let left = || columns(store, 1).iter().map(|s| s.first_seq).collect::<Vec<_>>();
    let prune = |samples_ms, events_ms| store.prune(Cutoff { samples_ms, events_ms }).unwrap();
    assert_eq!(prune(MIDNIGHT - DAY - 1, 0), 0);
    assert_eq!(prune(MIDNIGHT, 20), 3);
    assert_eq!(left(), [11, 21], "the second day has ticks of the third");
    assert_eq!(prune(MIDNIGHT + 50_000, 20), 1);
    assert_eq!(left(), [21]);
    let events = store.events(&EventQuery { limit: 9, ..EventQuery::default() }).unwrap();
    assert_eq!(events.iter().map(|e| e.id).collect::<Vec<_>>(), [30, 20]);
    let found = store.anomalies(&AnomalyQuery { limit: 9, ..AnomalyQuery::default() }).unwrap();
    assert_eq!(found.iter().map(|a| a.id).collect::<Vec<_>>(), [40, 30, 20]);
    assert_eq!(journal(store).len(), 10);
    // Late data for a day that went makes it anew.
    let late = chunk(1, 31..=40, MIDNIGHT - 2 * DAY + 7);
    store.seal(std::slice::from_ref(&late)).unwrap();
    assert_eq!(left(), [31, 21]);
    assert_same(&columns(store, 1)[0], &late);
    assert_eq!(prune(i64::MAX, i64::MAX), 2 + 4);
    assert_eq!(left(), NONE);
    assert_eq!(store.load().unwrap().open_anomalies.len(), 1);
}

fn last_ids_outlive_their_rows(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&[event(8, 1, 5, "x"), anomaly(9, 1, 5, 6)]).unwrap();
    assert_eq!(store.prune(Cutoff { samples_ms: 100, events_ms: 100 }).unwrap(), 2);
    let loaded = store.load().unwrap();
    assert_eq!((loaded.last_event_id, loaded.last_anomaly_id), (8, 9));
}

fn size_counts_frames_and_blocks(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=10, 1)).unwrap();
    let size = store.size().unwrap();
    assert_eq!((size.journal_frames, size.blocks), (10, 0));
    assert!(size.bytes > 10 * frame(1, 1, 1).payload.len() as u64);
    store.seal(&[chunk(1, 1..=4, MIDNIGHT), chunk(1, 5..=7, MIDNIGHT + DAY)]).unwrap();
    let size = store.size().unwrap();
    assert_eq!((size.journal_frames, size.blocks), (3, 2));
    store.prune(Cutoff { samples_ms: MIDNIGHT + DAY, events_ms: 0 }).unwrap();
    assert_eq!(store.size().unwrap().blocks, 1);
}
