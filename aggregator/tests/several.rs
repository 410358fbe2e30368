//! Several aggregators behind one name: agents spread over them and follow when one comes, goes
//! or dies, and every sample is on exactly one of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod daemon;
mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use daemon::Daemon;
use parking_lot::Mutex;
use sextant_agent::sample::{Batch, Metric};
use sextant_agent::spool::Spool;
use sextant_agent::uplink::{Introduction, Resolve, Resolved, Uplink, UplinkConfig, UplinkStats};
use sextant_proto::frame::Encoder;
use support::{all, now_ms};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

static VALUE: Metric = Metric::gauge("test_sequence", "", "Counts frames.");
const NODES: usize = 12;

/// The addresses behind the name, as long as the test says so.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<Vec<SocketAddr>>>);

impl Resolve for Names {
    fn resolve(&self, _: &str, _: u16) -> Resolved<'_> {
        let addresses = self.0.lock().clone();
        Box::pin(async move { Ok(addresses) })
    }
}

/// An aggregator on an address of its own.
struct Member {
    daemon: Daemon,
    address: SocketAddr,
}

impl Member {
    fn start(dir: &Path, host: &str) -> Self {
        let daemon = Daemon::start(dir, host);
        let address = daemon.grpc.trim_start_matches("http://").parse().unwrap();
        Self { daemon, address }
    }

    /// Values of each node.
    async fn values(&self) -> BTreeMap<String, Vec<f64>> {
        let channel = tonic::transport::Channel::from_shared(self.daemon.grpc.clone()).unwrap();
        let channel = channel.connect().await.unwrap();
        let mut client = sextant_proto::v1::query_client::QueryClient::new(channel);
        let found = all(&mut client, "test_sequence").await;
        let values = |points: Vec<(i64, f64)>| points.into_iter().map(|p| p.1).collect();
        found.into_iter().map(|(labels, points)| (labels, values(points))).collect()
    }
}

/// An agent without collectors that makes a frame every few milliseconds.
struct Sender {
    spool: Arc<Spool>,
    stats: Arc<UplinkStats>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    busy: Arc<AtomicBool>,
    made: Arc<AtomicU32>,
}

impl Sender {
    fn start(node: usize, names: &Names) -> Self {
        let config = UplinkConfig {
            endpoint: "http://sextant-aggregator.test:9317".into(),
            resolve_interval: Duration::from_millis(50),
            window_frames: 16,
            ..UplinkConfig::default()
        };
        let who = Introduction {
            cluster: "test".into(),
            node: format!("node-{node}"),
            metrics: vec![VALUE.descriptor()],
            ..Introduction::default()
        };
        let spool = Arc::new(Spool::memory(16 << 20).unwrap());
        let stats = Arc::<UplinkStats>::default();
        let uplink = Uplink::new(config, who, Arc::clone(&spool), Arc::clone(&stats))
            .with_resolver(Arc::new(names.clone()));
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(uplink.run(cancel.clone()));
        let busy = Arc::new(AtomicBool::new(true));
        let made = Arc::<AtomicU32>::default();
        tasks.spawn(produce(Arc::clone(&spool), Arc::clone(&busy), Arc::clone(&made)));
        tasks.close();
        Self { spool, stats, tasks, cancel, busy, made }
    }
}

async fn produce(spool: Arc<Spool>, busy: Arc<AtomicBool>, made: Arc<AtomicU32>) {
    let (mut batch, mut encoder) = (Batch::default(), Encoder::new());
    let mut last = 0;
    while busy.load(SeqCst) {
        let number = made.fetch_add(1, SeqCst) + 1;
        last = now_ms().max(last + 1);
        batch.begin();
        batch.node().set(&VALUE, f64::from(number));
        let tick = batch.finish("test", 1_000);
        let (hash, layout) = tick.layout.clone();
        let frame = encoder.encode(hash, &[last], tick.values, vec![]);
        spool.push(Some((hash, layout)), frame, last).unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn moves(senders: &[Sender]) -> u64 {
    senders.iter().map(|s| s.stats.moves.load(SeqCst)).sum()
}

fn acked(senders: &[Sender]) -> Vec<u64> {
    senders.iter().map(|s| s.stats.acked.load(SeqCst)).collect()
}

/// Every agent has had frames acknowledged since.
async fn all_go_on(senders: &[Sender]) {
    let before = acked(senders);
    let more = |now: Vec<u64>| now.iter().zip(&before).all(|(now, then)| *now > then + 20);
    until("all agents get acks", || more(acked(senders))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sample_is_on_one_of_them_whoever_comes_goes_or_dies() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut members = Vec::new();
    for (dir, host) in dirs.iter().zip(["127.0.0.2", "127.0.0.3", "127.0.0.4"]) {
        members.push(Member::start(dir.path(), host));
    }
    let names = Names::default();
    let name = |members: &[Member]| {
        *names.0.lock() = members.iter().map(|m| m.address).collect();
    };
    name(&members[..2]);
    let senders: Vec<_> = (0..NODES).map(|node| Sender::start(node, &names)).collect();
    all_go_on(&senders).await;
    assert_eq!(moves(&senders), 0);

    // A third one comes: some agents go there, in order, when all they sent is acknowledged.
    name(&members);
    until("some agents move to the new one", || moves(&senders) > 0).await;
    all_go_on(&senders).await;
    let after_growth = moves(&senders);
    assert!(after_growth < NODES as u64, "not all of them move");

    // One goes in order.
    let gone = members.remove(0);
    name(&members);
    until("its agents leave it", || moves(&senders) > after_growth).await;
    all_go_on(&senders).await;

    // Another one dies in the middle of its work, and comes back elsewhere with its disk.
    let dead = members.remove(0);
    dead.daemon.kill();
    members.push(Member::start(dirs[1].path(), "127.0.0.9"));
    name(&members);
    all_go_on(&senders).await;

    for sender in &senders {
        sender.busy.store(false, SeqCst);
    }
    let drained = async {
        for sender in &senders {
            sender.spool.drained().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), drained).await.unwrap();
    let made: Vec<u32> = senders.iter().map(|s| s.made.load(SeqCst)).collect();
    for sender in senders {
        assert_eq!(sender.stats.in_doubt.load(SeqCst), 0, "everyone could be asked");
        sender.cancel.cancel();
        sender.tasks.wait().await;
    }

    members.push(gone);
    let mut found: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut share = Vec::new();
    for member in &members {
        let values = member.values().await;
        share.push(values.values().map(Vec::len).sum::<usize>());
        for (node, values) in values {
            found.entry(node).or_default().extend(values);
        }
    }
    assert!(share.iter().all(|s| *s > 0), "each has a part: {share:?}");
    assert_eq!(found.len(), NODES);
    for (node, made) in (0..NODES).zip(made) {
        let name = format!("node=node-{node}");
        let (_, values) =
            found.iter_mut().find(|(labels, _)| labels.split(' ').any(|l| *l == name)).unwrap();
        values.sort_by(f64::total_cmp);
        let want: Vec<f64> = (1..=made).map(f64::from).collect();
        assert_eq!(*values, want, "node-{node}: each value once");
    }
}
