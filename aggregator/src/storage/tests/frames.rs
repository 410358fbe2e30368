use bytes::Bytes;
use sextant_proto::v1::{MetricDescriptor, MetricKind};

use super::{
    MIDNIGHT, anomaly, chunk, columns, cutoff, event, frame, frames, inventory, journal, layout,
    node, on_every_store, spool,
};
use crate::storage::{
    Change, FrameRecord, Inventory, LayoutRecord, MAX_SEQ, NodeRecord, SpoolRecord, Store,
    StoreError,
};

on_every_store! {
    new_store_is_empty
    inventory_is_loaded_as_committed
    commit_is_all_or_nothing
    what_contradicts_the_store_is_invalid
    repeated_frames_are_ignored
    frame_without_layout_only_moves_the_sequence
    journal_replays_by_layout_spool_and_seq
}

fn new_store_is_empty(store: &dyn Store) {
    assert_eq!(store.load().unwrap(), Inventory::default());
    assert_eq!(journal(store), []);
    assert_eq!(columns(store, 1), []);
    assert_eq!(store.prune(cutoff(i64::MAX, i64::MAX)).unwrap().deleted, 0);
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
