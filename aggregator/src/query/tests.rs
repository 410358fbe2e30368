use std::sync::Arc;

use bytes::Bytes;
use sextant_proto::v1::{Label, Layout, LayoutEntity, LayoutMetric, LayoutSeries};

use super::*;
use crate::catalog::Live;
use crate::incident::{IncidentConfig, IncidentService};
use crate::series::NodeKey;
use crate::storage::{
    Change, Chunk, Cutoff, FrameRecord, LayoutRecord, MemoryStore, NodeRecord, SpoolRecord,
    SqliteStore,
};

const DAY: i64 = 86_400_000;
const MIDNIGHT: i64 = 20_778 * DAY;

/// One node with `series` series of a layout; chunks are sealed, the last one stays in the head.
struct Fixture {
    queries: Queries,
    live: Arc<Live>,
    seq: u64,
}

impl Fixture {
    fn new(store: Arc<dyn Store>, series: usize) -> Self {
        let catalog = Catalog::default();
        let one = |i: usize| LayoutSeries {
            metric: 0,
            labels: vec![Label { name: "i".into(), value: i.to_string() }],
        };
        let layout = Layout {
            collector: "test".into(),
            interval_ms: 10_000,
            metrics: vec![LayoutMetric { name: "power".into(), kind: 1 }],
            entities: vec![LayoutEntity {
                r#type: "gpu".into(),
                labels: vec![],
                series: (0..series).map(one).collect(),
            }],
        };
        let key = Arc::new(NodeKey { id: NodeId(0), cluster: "c".into(), name: "a".into() });
        let (live, record) = catalog.add_layout(&key, 7, &Bytes::new(), &layout);
        let record: LayoutRecord = record.expect("it is new");
        let node = NodeRecord { cluster: "c".into(), name: "a".into(), ..NodeRecord::default() };
        let spool = SpoolRecord { id: 0, node: 0, spool_id: "s".into(), committed_seq: 0 };
        let changes = [Change::Node(node), Change::Layout(record), Change::Spool(spool)];
        store.commit(&changes).unwrap();
        let queries = Queries {
            catalog: Arc::new(catalog),
            nodes: Arc::default(),
            episodes: Arc::new(Episodes::new(0, Arc::default())),
            store,
            hub: Hub::default(),
            incidents: IncidentService::new(&IncidentConfig::default(), &Arc::default()).1.handle(),
            stats: Arc::default(),
        };
        Self { queries, live, seq: 0 }
    }

    /// Ticks of ten seconds from a time on, valued by their seconds since midnight; `sealed`
    /// into blocks, or left in the head.
    fn ticks(&mut self, start_ms: i64, ticks: i64, sealed: bool) {
        let columns = self.live.layout.columns.len();
        let mut chunks = Vec::new();
        for t in 0..ticks {
            self.seq += 1;
            let tick = start_ms + t * 10_000;
            let row = vec![((tick - MIDNIGHT) / 1000) as f64; columns];
            let rows = [(tick, &row[..])].into_iter();
            let frame = FrameRecord {
                spool: 0,
                seq: self.seq,
                layout: Some(0),
                codec: 0,
                key: Bytes::new(),
                payload: Bytes::new(),
            };
            self.queries.store.commit(&[Change::Frame(frame)]).unwrap();
            let mut head = self.live.head.lock();
            chunks.extend(head.append(0, self.seq, tick, rows));
        }
        chunks.extend(sealed.then(|| self.live.head.lock().seal()).flatten());
        let plain: Vec<Chunk> = chunks.iter().map(|chunk| Chunk::clone(chunk)).collect();
        self.queries.store.seal(&plain).unwrap();
        chunks.iter().for_each(|chunk| self.live.head.lock().sealed(chunk));
    }

    fn compact(&self, now_ms: i64) {
        for earlier in [3_600_000, 3_600_000, 0] {
            self.queries.store.compact(now_ms - earlier).unwrap();
        }
        while self.queries.store.compact(now_ms).unwrap().more {}
    }

    fn ask(&self, from: i64, to: i64, step_ms: i64, aggregation: Aggregation) -> Vec<(i64, f64)> {
        let (start_ms, end_ms) = (MIDNIGHT + from, MIDNIGHT + to);
        let selector = "power{i=\"0\"}";
        let query = RangeQuery { selector, start_ms, end_ms, step_ms, aggregation };
        let mut found = Vec::new();
        let mut take = |points: Points| {
            let times = points.times_ms.iter().map(|time| time - MIDNIGHT);
            found.extend(times.zip(points.values));
            true
        };
        self.queries.range_by(&query, &mut take).unwrap();
        found
    }
}

fn on_each_store(test: impl Fn(Arc<dyn Store>)) {
    test(Arc::new(MemoryStore::new()));
    let directory = tempfile::tempdir().unwrap();
    test(Arc::new(SqliteStore::open(directory.path()).unwrap()));
}

#[test]
fn steps_are_the_same_from_heads_blocks_and_rollups() {
    on_each_store(|store| {
        let mut fixture = Fixture::new(store, 1);
        fixture.ticks(MIDNIGHT, 400, true);
        fixture.ticks(MIDNIGHT + 4_000_000, 100, false);
        let questions = [
            (60_000, 4_980_000, 60_000),
            (65_000, 4_900_000, 60_000),
            (0, 3_600_000, 3_600_000),
            (3_600_000, 7_200_000, 3_600_000),
            (120_000, 4_000_000, 90_000),
        ];
        use Aggregation::{Avg, Count, Last, Max, Min, Sum};
        let all = || -> Vec<Vec<(i64, f64)>> {
            let each = questions.iter().flat_map(|&(from, to, step)| {
                [Last, Min, Max, Avg, Sum, Count].map(|kind| fixture.ask(from, to, step, kind))
            });
            each.collect()
        };
        let before = all();
        assert_eq!(before[0][..2], [(60_000, 60.0), (120_000, 120.0)]);
        assert_eq!(before[1][1], (120_000, 70.0), "after the step before, up to this one");
        assert_eq!(before[3][1], (120_000, 95.0));
        assert_eq!(before[5][1], (120_000, 6.0));
        assert_eq!(before[0].len(), 83);
        fixture.compact(MIDNIGHT + 3 * DAY);
        for (number, (after, before)) in all().iter().zip(&before).enumerate() {
            let differ = after.iter().zip(before).find(|(after, before)| after != before);
            assert_eq!((differ, after.len()), (None, before.len()), "question {number}");
        }
    });
}

#[test]
fn last_value_lasts_five_minutes() {
    on_each_store(|store| {
        let mut fixture = Fixture::new(store, 1);
        fixture.ticks(MIDNIGHT + 10_000, 6, true);
        for compacted in [false, true] {
            if compacted {
                fixture.compact(MIDNIGHT + 3 * DAY);
            }
            let found = fixture.ask(0, 600_000, 60_000, Aggregation::Last);
            let times: Vec<i64> = found.iter().map(|point| point.0 / 60_000).collect();
            assert_eq!(times, [1, 2, 3, 4, 5], "compacted: {compacted}");
            assert!(found.iter().all(|point| point.1 == 60.0));
        }
    });
}

#[test]
fn rollups_answer_when_the_samples_are_gone() {
    on_each_store(|store| {
        let mut fixture = Fixture::new(store, 2);
        fixture.ticks(MIDNIGHT, 720, true);
        fixture.compact(MIDNIGHT + 3 * DAY);
        let minutes = fixture.ask(60_000, 7_000_000, 60_000, Aggregation::Avg);
        let cutoff =
            |samples_ms, minutes_ms| Cutoff { samples_ms, minutes_ms, hours_ms: 0, events_ms: 0 };
        fixture.queries.store.prune(cutoff(MIDNIGHT + DAY, 0)).unwrap();
        assert_eq!(fixture.ask(60_000, 7_000_000, 60_000, Aggregation::Avg), minutes);
        let all = fixture.ask(0, 7_200_000, 0, Aggregation::Last);
        assert_eq!(all[1], (60_000, 60.0), "a minute's last at its end");
        assert!(all.len() < 130, "{} of 720", all.len());
        fixture.queries.store.prune(cutoff(MIDNIGHT + DAY, MIDNIGHT + DAY)).unwrap();
        let hours = fixture.ask(0, 7_200_000, 3_600_000, Aggregation::Max);
        assert_eq!(hours, [(0, 0.0), (3_600_000, 3600.0), (7_200_000, 7190.0)]);
        let short = fixture.ask(3_540_000, 3_660_000, 60_000, Aggregation::Max);
        assert_eq!(short, [(3_600_000, 3600.0)], "all that is known of the hour");
    });
}

#[test]
fn limits_say_which_and_how_to_ask_for_less() {
    let fixture = Fixture::new(Arc::new(MemoryStore::new()), 600);
    let ask = |end_ms, step_ms, aggregation| {
        let selector = "power";
        let query = RangeQuery { selector, start_ms: 0, end_ms, step_ms, aggregation };
        fixture.queries.range_by(&query, &mut |_| true).unwrap_err()
    };
    let steps = ask(200_000, 1, Aggregation::Last);
    assert!(matches!(steps, QueryError::Limit(_)));
    assert!(steps.to_string().contains("over 100000 steps: ask for a longer step"), "{steps}");
    let samples = ask(90_000, 1, Aggregation::Avg);
    assert!(samples.to_string().contains("over 50000000 samples: ask for fewer"), "{samples}");
    let without = ask(90_000, 0, Aggregation::Avg);
    assert!(without.to_string().contains("needs a step"), "{without}");
}
