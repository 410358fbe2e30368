use sextant_proto::v1::{Incident, IncidentEntry, IncidentState, Maintenance};

use super::{MIDNIGHT, NONE, inventory, on_every_store};
use crate::storage::{Change, Cutoff, IncidentQuery, Store, StoreError};

on_every_store! {
    incidents_are_filtered_by_node_and_time
    incident_keeps_its_history
    what_is_open_is_loaded_at_the_start
    retention_deletes_ended_incidents_and_windows
    incident_without_a_number_is_refused
}

fn incident(id: u64, nodes: &[&str], opened: i64, closed: i64) -> Change {
    let state = if closed == 0 { IncidentState::Open } else { IncidentState::Closed };
    let incident = Incident {
        id,
        state: state.into(),
        nodes: nodes.iter().map(|n| (*n).to_owned()).collect(),
        opened_unix_ms: opened,
        closed_unix_ms: closed,
        ..Incident::default()
    };
    let kind = if closed == 0 { "opened" } else { "closed" };
    let entry = IncidentEntry { time_unix_ms: opened, kind: kind.into(), ..Default::default() };
    Change::Incident { incident: Box::new(incident), entry }
}

fn window(id: u64, to: i64, ended: i64) -> Change {
    Change::Maintenance(Maintenance {
        id,
        to_unix_ms: to,
        ended_unix_ms: ended,
        ..Maintenance::default()
    })
}

fn incidents_are_filtered_by_node_and_time(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store
        .commit(&[
            incident(1, &["east/a"], 100, 200),
            incident(2, &["east/a", "east/b"], 150, 0),
            incident(3, &["west/a"], 300, 400),
        ])
        .unwrap();
    let all = IncidentQuery { limit: 100, ..IncidentQuery::default() };
    let ask = |query: &IncidentQuery| {
        let found = store.incidents(query).unwrap();
        found.iter().map(|i| i.id).collect::<Vec<_>>()
    };
    assert_eq!(ask(&all), [3, 2, 1]);
    assert_eq!(ask(&IncidentQuery { limit: 0, ..all.clone() }), NONE);
    assert_eq!(ask(&IncidentQuery { active_only: true, ..all.clone() }), [2]);
    let (east, a) = (Some("east".to_owned()), Some("a".to_owned()));
    assert_eq!(ask(&IncidentQuery { cluster: east.clone(), ..all.clone() }), [2, 1]);
    assert_eq!(ask(&IncidentQuery { node: a.clone(), ..all.clone() }), [3, 2, 1]);
    let b = Some("b".to_owned());
    assert_eq!(ask(&IncidentQuery { cluster: east.clone(), node: b, ..all.clone() }), [2]);
    assert_eq!(ask(&IncidentQuery { cluster: east, node: a, ..all.clone() }), [2, 1]);
    assert_eq!(ask(&IncidentQuery { start_ms: 201, ..all.clone() }), [3, 2]);
    assert_eq!(ask(&IncidentQuery { end_ms: 120, ..all }), [1]);
}

fn incident_keeps_its_history(store: &dyn Store) {
    store.commit(&[incident(7, &["east/a"], 100, 0)]).unwrap();
    store.commit(&[incident(7, &["east/a"], 100, 150), incident(8, &[], 100, 0)]).unwrap();
    let (found, history) = store.incident(7).unwrap().expect("stored");
    assert_eq!(found.closed_unix_ms, 150);
    assert_eq!(history.iter().map(|e| &*e.kind).collect::<Vec<_>>(), ["opened", "closed"]);
    assert!(store.incident(9).unwrap().is_none() && store.incident(u64::MAX).unwrap().is_none());
}

fn what_is_open_is_loaded_at_the_start(store: &dyn Store) {
    assert_eq!(store.load_incidents().unwrap().last_incident_id, 0);
    store.commit(&[incident(3, &["east/a"], 100, 0), incident(4, &[], 100, 150)]).unwrap();
    store.commit(&[window(2, MIDNIGHT, 0), window(3, MIDNIGHT, 5)]).unwrap();
    let loaded = store.load_incidents().unwrap();
    assert_eq!(loaded.open.iter().map(|i| i.id).collect::<Vec<_>>(), [3]);
    assert_eq!(loaded.maintenance.iter().map(|w| w.id).collect::<Vec<_>>(), [2, 3]);
    assert_eq!((loaded.last_incident_id, loaded.last_maintenance_id), (4, 3));
}

fn retention_deletes_ended_incidents_and_windows(store: &dyn Store) {
    store
        .commit(&[incident(1, &["east/a"], 1, 10), incident(2, &[], 1, 0), incident(3, &[], 1, 30)])
        .unwrap();
    store.commit(&[window(1, 100, 10), window(2, 15, 0), window(3, 100, 0)]).unwrap();
    assert_eq!(store.prune(Cutoff { samples_ms: 0, events_ms: 20 }).unwrap(), 3);
    let all = IncidentQuery { limit: 9, ..IncidentQuery::default() };
    let ids = store.incidents(&all).unwrap();
    assert_eq!(ids.iter().map(|i| i.id).collect::<Vec<_>>(), [3, 2]);
    assert!(store.incident(1).unwrap().is_none());
    assert_eq!(
        store.load_incidents().unwrap().maintenance.iter().map(|w| w.id).collect::<Vec<_>>(),
        [3]
    );
    assert_eq!(store.prune(Cutoff { samples_ms: 0, events_ms: i64::MAX }).unwrap(), 2);
    assert_eq!(store.load_incidents().unwrap().last_incident_id, 3);
    assert_eq!(store.load_incidents().unwrap().open.len(), 1);
}

fn incident_without_a_number_is_refused(store: &dyn Store) {
    for change in [incident(0, &[], 1, 0), incident(u64::MAX, &[], 1, 0), window(0, 1, 0)] {
        assert!(matches!(store.commit(&[change]), Err(StoreError::Invalid(_))));
    }
}
