//! Chains from end to end, with seeded chance: the agent's own spool and uplink against a real
//! aggregator, while streams are cut, either side starts again, spools change, layouts come and
//! go and a full spool drops its oldest. What is stored is what was encoded, bit for bit, each
//! frame once, and what is missing was counted as dropped.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sextant_agent::spool::{Mode, Spool, SpoolConfig};
use sextant_agent::uplink::{Introduction, Uplink, UplinkConfig};
use sextant_proto::frame::{ABSENT, ChainEncoder, is_absent};
use sextant_proto::v1::{LayoutRecord, ListNodesRequest};
use support::{Running, all, config, now_ms, test_layout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// xorshift64*: the same numbers at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    fn value(&mut self, last: f64) -> f64 {
        match self.below(12) {
            0 => -0.0,
            1 => f64::from_bits(self.below(u64::MAX) << 32 | self.below(u64::MAX)),
            2 => ABSENT,
            3 => f64::NAN,
            4 => self.below(1000) as f64 / 100.0,
            5..=8 => last + 1.0,
            _ => last,
        }
    }
}

/// Bits by tick, of each column: layouts share their series, and no two of them a tick.
type Columns = BTreeMap<usize, BTreeMap<i64, u64>>;

/// What was pushed.
struct Pushed {
    columns: Columns,
    /// The column and tick of each value of each frame.
    frames: Vec<Vec<(usize, i64)>>,
    tick_ms: i64,
}

struct Source {
    encoder: ChainEncoder,
    last: Vec<Vec<f64>>,
}

impl Source {
    fn new(layouts: &[LayoutRecord]) -> Self {
        let last = (0..layouts.len()).map(|i| vec![0.0; columns(i)]).collect();
        Self { encoder: ChainEncoder::new(), last }
    }

    fn push(
        &mut self,
        random: &mut Random,
        spool: &Spool,
        layouts: &[LayoutRecord],
        pushed: &mut Pushed,
    ) {
        let index = usize::try_from(random.below(layouts.len() as u64)).unwrap();
        let (mut ticks, mut values, mut points) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..1 + random.below(3) {
            pushed.tick_ms += 1_000;
            ticks.push(pushed.tick_ms);
            for (column, last) in self.last[index].iter_mut().enumerate() {
                *last = random.value(*last);
                values.push(*last);
                if !is_absent(*last) {
                    points.push((column, pushed.tick_ms));
                    let bits = last.to_bits();
                    pushed.columns.entry(column).or_default().insert(pushed.tick_ms, bits);
                }
            }
        }
        let LayoutRecord { hash, layout } = layouts[index].clone();
        let frame = self.encoder.encode(hash, &ticks, &values, &[]);
        spool.push(Some((hash, layout)), frame, pushed.tick_ms).unwrap();
        pushed.frames.push(points);
    }
}

/// Columns of the nth layout.
fn columns(index: usize) -> usize {
    3 + index * 2
}

struct Sender {
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Sender {
    fn start(spool: &Arc<Spool>, endpoint: &str) -> Self {
        let config = UplinkConfig { endpoint: endpoint.into(), ..UplinkConfig::default() };
        let who =
            Introduction { cluster: "test".into(), node: "a".into(), ..Introduction::default() };
        let uplink = Uplink::new(config, who, Arc::clone(spool), Arc::default());
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(uplink.run(cancel.clone()));
        tasks.close();
        Self { cancel, tasks }
    }

    /// Cuts the stream, and waits until the aggregator has seen it: another spool's stream would
    /// be turned away before.
    async fn stop(self, running: &Running) {
        self.cancel.cancel();
        self.tasks.wait().await;
        let mut query = running.query().await;
        loop {
            let nodes = query.list_nodes(ListNodesRequest::default()).await.unwrap();
            if nodes.into_inner().nodes.iter().all(|node| !node.connected) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

async fn drained(spool: &Spool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), spool.drained()).await;
    assert!(waited.is_ok(), "not drained: {:?}", spool.stats());
}

fn on_disk(dir: &Path) -> Arc<Spool> {
    let config = SpoolConfig { dir: dir.to_owned(), ..SpoolConfig::default() };
    Arc::new(Spool::open(&config).unwrap())
}

/// Columns as the aggregator has them.
async fn stored(running: &Running) -> Columns {
    let mut found = Columns::new();
    let series = all(&mut running.query().await, "test_value").await;
    for (name, points) in series {
        let label = name.split_once("i=").unwrap().1;
        let column = label.split(' ').next().unwrap().parse().unwrap();
        let times = points.windows(2).all(|pair| pair[0].0 < pair[1].0);
        assert!(times, "{name} has a tick twice");
        for (tick, value) in points {
            found.entry(column).or_default().insert(tick, value.to_bits());
        }
    }
    found
}

async fn run(seed: u64) {
    let mut random = Random(seed);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let dirs = [dir.path().join("one"), dir.path().join("two")];
    let layouts: Vec<_> = (0..4).map(|i| test_layout(columns(i))).collect();
    let mut pushed =
        Pushed { columns: Columns::new(), frames: vec![], tick_ms: now_ms() - 3_000_000 };
    let mut lost = 0;
    let mut running = Running::start(config(&data)).await;
    for _ in 0..14 {
        let spool = match random.below(5) {
            // Too small for what comes: it drops the oldest while nobody sends.
            0 => Arc::new(Spool::memory(20_000).unwrap()),
            which => on_disk(&dirs[usize::try_from(which % 2).unwrap()]),
        };
        // A process starts with the spool and knows no chains.
        let mut source = Source::new(&layouts);
        for _ in 0..random.below(150) {
            source.push(&mut random, &spool, &layouts, &mut pushed);
        }
        for _ in 0..1 + random.below(3) {
            let sender = Sender::start(&spool, &running.grpc);
            for _ in 0..random.below(40) {
                source.push(&mut random, &spool, &layouts, &mut pushed);
                if random.below(4) == 0 {
                    tokio::task::yield_now().await;
                }
            }
            if random.below(3) == 0 {
                drained(&spool).await;
            }
            sender.stop(&running).await;
            if random.below(3) == 0 {
                running.stop().await;
                running = Running::start(config(&data)).await;
            }
        }
        // What a spool in memory still has goes with it.
        if spool.stats().mode == Mode::Memory {
            let sender = Sender::start(&spool, &running.grpc);
            drained(&spool).await;
            sender.stop(&running).await;
        }
        let drops = spool.stats().drops;
        assert_eq!((drops.age, drops.io, drops.corrupt, drops.too_big), (0, 0, 0, 0));
        lost += drops.full;
    }
    for dir in &dirs {
        let spool = on_disk(dir);
        let sender = Sender::start(&spool, &running.grpc);
        drained(&spool).await;
        sender.stop(&running).await;
        assert_eq!(spool.stats().drops.corrupt, 0);
    }
    // Once more from the disk: journal and blocks together.
    running.stop().await;
    let running = Running::start(config(&data)).await;
    let found = stored(&running).await;
    for (column, points) in &found {
        let want = &pushed.columns[column];
        for (tick, bits) in points {
            assert_eq!(want.get(tick), Some(bits), "seed {seed}, column {column} at {tick}");
        }
    }
    let (mut missing, mut empty) = (0, 0);
    for frame in &pushed.frames {
        let has = |(column, tick): &&(usize, i64)| found[column].contains_key(tick);
        let there = frame.iter().filter(has).count();
        assert!(there == 0 || there == frame.len(), "seed {seed}: a part of a frame");
        missing += u64::from(there == 0 && !frame.is_empty());
        empty += u64::from(frame.is_empty());
    }
    assert!((missing..=missing + empty).contains(&lost), "seed {seed}: {missing} of {lost}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_what_was_encoded_whatever_breaks() {
    for seed in [3, 77, 2_026] {
        run(seed).await;
    }
}
