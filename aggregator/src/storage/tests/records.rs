use super::{
    DAY, MIDNIGHT, NONE, anomaly, assert_same, chunk, columns, cutoff, event, frames, inventory,
    journal, on_every_store,
};
use crate::storage::{AnomalyQuery, EventQuery, Store};

on_every_store! {
    events_are_filtered_and_newest_first
    anomalies_are_filtered_by_when_they_were_open
    anomaly_is_replaced_when_it_closes
    retention_deletes_only_what_is_old
    last_ids_outlive_their_rows
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
    let prune = |samples_ms, events_ms| store.prune(cutoff(samples_ms, events_ms)).unwrap().deleted;
    assert_eq!(prune(MIDNIGHT - 1, 0), 0, "a day more, for its rollups");
    assert_eq!(prune(MIDNIGHT, 20), 3);
    assert_eq!(left(), [11, 21], "the second day waits as well");
    assert_eq!(prune(MIDNIGHT + DAY, 20), 1);
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
    assert_eq!(store.prune(cutoff(100, 100)).unwrap().deleted, 2);
    let loaded = store.load().unwrap();
    assert_eq!((loaded.last_event_id, loaded.last_anomaly_id), (8, 9));
}
