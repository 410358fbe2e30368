//! Spool and uplink against an aggregator in this process: whatever breaks, every frame arrives
//! once, in order, after its layout.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fake;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fake::{Fake, Listening, Log, Manners};
use sextant_agent::app::{App, Stopped};
use sextant_agent::clock::now_ms;
use sextant_agent::collectors::{CollectError, Collector};
use sextant_agent::config::Config;
use sextant_agent::sample::{Batch, Metric};
use sextant_agent::spool::{Spool, SpoolConfig};
use sextant_agent::uplink::{
    Introduction, Resolve, Resolved, System, Uplink, UplinkConfig, UplinkStats,
};
use sextant_proto::frame::ChainEncoder;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Code;

static VALUE: Metric = Metric::gauge("value", "", "A value.");

/// Makes frames of three alternating layouts whose value is their number.
struct Source {
    batches: Vec<Batch>,
    encoder: ChainEncoder,
    next: u32,
}

impl Source {
    fn new() -> Self {
        let batches = (0..3).map(|_| Batch::default()).collect();
        Self { batches, encoder: ChainEncoder::new(), next: 0 }
    }

    fn push(&mut self, spool: &Spool, frames: u32) {
        for _ in 0..frames {
            let columns = self.next as usize % 3;
            let batch = &mut self.batches[columns];
            batch.begin();
            for column in 0..=columns {
                let name = column.to_string();
                batch.entity("test", &[("column", &name)]).set(&VALUE, f64::from(self.next));
            }
            let tick = batch.finish("test", 1_000);
            let (hash, layout): (u64, Bytes) = tick.layout.clone();
            let frame = self.encoder.encode(hash, &[now_ms()], tick.values, &[]);
            spool.push(Some((hash, layout)), frame, now_ms()).expect("a small frame");
            self.next += 1;
        }
    }

    /// A process that starts again knows nothing of the chains that it wrote.
    fn restart(&mut self) {
        self.encoder = ChainEncoder::new();
    }

    /// The values that should have arrived.
    fn expected(&self) -> Vec<f64> {
        (0..self.next).map(f64::from).collect()
    }
}

/// An agent without collectors.
struct Sender {
    spool: Arc<Spool>,
    stats: Arc<UplinkStats>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Sender {
    fn start(spool: Spool, endpoint: String, edit: impl FnOnce(&mut UplinkConfig)) -> Self {
        Self::start_with(spool, endpoint, Arc::new(System), edit)
    }

    fn start_with(
        spool: Spool,
        endpoint: String,
        resolver: Arc<dyn Resolve>,
        edit: impl FnOnce(&mut UplinkConfig),
    ) -> Self {
        let mut config = UplinkConfig { endpoint, ..UplinkConfig::default() };
        edit(&mut config);
        let who = Introduction {
            cluster: "test".into(),
            node: "node".into(),
            capabilities: vec!["test".into()],
            metrics: vec![VALUE.descriptor()],
            ..Introduction::default()
        };
        let (spool, stats) = (Arc::new(spool), Arc::<UplinkStats>::default());
        let uplink = Uplink::new(config, who, Arc::clone(&spool), Arc::clone(&stats))
            .with_resolver(resolver);
        let cancel = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(uplink.run(cancel.clone()));
        tasks.close();
        Self { spool, stats, cancel, tasks }
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.tasks.wait().await;
    }
}

fn memory() -> Spool {
    Spool::memory(16 << 20).unwrap()
}

fn on_disk(dir: &Path) -> Spool {
    Spool::open(&SpoolConfig { dir: dir.to_owned(), ..SpoolConfig::default() }).unwrap()
}

fn assert_all_arrived(log: &Log, source: &Source) {
    assert_eq!(log.violations, Vec::<String>::new());
    assert_eq!(log.values(), source.expected());
}

#[tokio::test]
async fn frames_arrive_in_order_and_leave_the_spool() {
    let fake = Fake::default();
    let server = fake.listen("127.0.0.1:0");
    let mut source = Source::new();
    let sender = Sender::start(memory(), server.endpoint(), |_| ());
    source.push(&sender.spool, 100);
    sender.spool.drained().await;
    source.push(&sender.spool, 100);
    sender.spool.drained().await;
    assert_all_arrived(&fake.log(), &source);
    let hello = fake.log().hellos.remove(0);
    assert_eq!((hello.cluster.as_str(), hello.node.as_str()), ("test", "node"));
    assert_eq!((hello.spool_id, hello.metrics.len()), (sender.spool.position().0, 1));
    assert_eq!(sender.spool.stats().frames, 0);
    let stats = &sender.stats;
    assert_eq!((stats.sent.load(SeqCst), stats.acked.load(SeqCst)), (200, 200));
    assert!(stats.connected.load(SeqCst) && stats.last_ack_ms.load(SeqCst) > 0);
    sender.stop().await;
}

#[tokio::test]
async fn cut_streams_lose_nothing_and_store_nothing_twice() {
    let fake = Fake::with(Manners { cut_after: Some(70), commit_every: 20, ..Manners::default() });
    let server = fake.listen("127.0.0.1:0");
    let mut source = Source::new();
    let sender = Sender::start(memory(), server.endpoint(), |_| ());
    source.push(&sender.spool, 200);
    sender.spool.drained().await;
    assert_all_arrived(&fake.log(), &source);
    assert!(fake.log().hellos.len() > 2, "it was cut");
    assert!(fake.log().frames_seen > 200, "uncommitted frames were sent again");
    assert_eq!(sender.stats.reconnects.load(SeqCst) + 1, fake.log().hellos.len() as u64);
    sender.stop().await;
}

#[tokio::test]
async fn restarted_aggregator_gets_what_it_had_not_committed() {
    let fake = Fake::with(Manners { commit_every: usize::MAX, mute: true, ..Manners::default() });
    let server = fake.listen("127.0.0.1:0");
    let address = server.address.to_string();
    let mut source = Source::new();
    let sender = Sender::start(memory(), server.endpoint(), |_| ());
    source.push(&sender.spool, 50);
    fake.until("first frames", |log| log.frames_seen == 50).await;
    server.stop().await;
    assert_eq!(fake.log().stored.len(), 0);
    source.push(&sender.spool, 50);
    *fake.manners() = Manners::default();
    let _server: Listening = fake.listen(&address);
    sender.spool.drained().await;
    assert_all_arrived(&fake.log(), &source);
    sender.stop().await;
}

#[tokio::test]
async fn refused_frame_is_counted_and_the_stream_goes_on() {
    let fake = Fake::with(Manners { refuse: HashSet::from([7, 8]), ..Manners::default() });
    let server = fake.listen("127.0.0.1:0");
    let mut source = Source::new();
    let sender = Sender::start(memory(), server.endpoint(), |_| ());
    source.push(&sender.spool, 30);
    sender.spool.drained().await;
    let values = source.expected().into_iter().filter(|v| *v != 6.0 && *v != 7.0);
    assert_eq!(fake.log().values(), values.collect::<Vec<_>>());
    assert_eq!(fake.log().hellos.len(), 1);
    assert!(sender.stats.refused().any(|refused| refused == ("limit", 2)));
    sender.stop().await;
}

#[tokio::test]
async fn window_is_kept_and_mute_aggregator_is_waited_for() {
    let fake = Fake::with(Manners { mute: true, ..Manners::default() });
    let server = fake.listen("127.0.0.1:0");
    let mut source = Source::new();
    let sender = Sender::start(memory(), server.endpoint(), |c| c.window_frames = 10);
    source.push(&sender.spool, 100);
    fake.until("a full window", |log| log.frames_seen == 10).await;
    assert_eq!(sender.spool.stats().frames, 100);
    fake.manners().mute = false;
    sender.spool.drained().await;
    assert_all_arrived(&fake.log(), &source);
    assert_eq!(fake.log().most_unacked.0, 10);
    assert_eq!(fake.log().hellos.len(), 1, "it is the same stream");
    sender.stop().await;
}

#[tokio::test]
async fn window_of_bytes_is_kept() {
    let fake = Fake::with(Manners { commit_every: 5, ..Manners::default() });
    let server = fake.listen("127.0.0.1:0");
    let mut source = Source::new();
    let sender = Sender::start(memory(), server.endpoint(), |c| c.window_bytes = 300);
    source.push(&sender.spool, 100);
    sender.spool.drained().await;
    assert_all_arrived(&fake.log(), &source);
    let most = fake.log().most_unacked.1;
    assert!(most > 100 && most <= 300, "{most}");
    sender.stop().await;
}

#[tokio::test]
async fn restarted_agent_sends_what_its_spool_holds() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = Source::new();
    {
        let spool = on_disk(dir.path());
        source.push(&spool, 3_000);
    }
    let fake = Fake::with(Manners { commit_every: 100, ..Manners::default() });
    let server = fake.listen("127.0.0.1:0");
    for _ in 0..3 {
        let sender = Sender::start(on_disk(dir.path()), server.endpoint(), |_| ());
        source.restart();
        source.push(&sender.spool, 500);
        let some = fake.log().stored.len() + 700;
        fake.until("some frames", |log| log.stored.len() >= some).await;
        sender.stop().await;
    }
    let sender = Sender::start(on_disk(dir.path()), server.endpoint(), |_| ());
    sender.spool.drained().await;
    assert_all_arrived(&fake.log(), &source);
    assert_eq!(fake.log().committed.len(), 1, "one spool id");
    sender.stop().await;
}

#[tokio::test]
async fn frames_that_continue_what_is_lost_are_given_up_and_the_rest_arrives() {
    let fake = Fake::default();
    let server = fake.listen("127.0.0.1:0");
    let mut source = Source::new();
    source.push(&memory(), 30);
    let sender = Sender::start(memory(), server.endpoint(), |_| ());
    source.push(&sender.spool, 30);
    sender.spool.drained().await;
    assert_eq!(sender.spool.stats().drops.corrupt, 30);
    source.restart();
    source.push(&sender.spool, 30);
    sender.spool.drained().await;
    assert_eq!(fake.log().violations, Vec::<String>::new());
    assert_eq!(fake.log().values(), source.expected()[60..]);
    sender.stop().await;
}

#[tokio::test]
async fn agent_that_is_turned_away_keeps_its_frames() {
    let dir = tempfile::tempdir().unwrap();
    let turned = Some((Code::AlreadyExists, "node is claimed by another agent"));
    let fake = Fake::with(Manners { turn_away: turned, ..Manners::default() });
    let server = fake.listen("127.0.0.1:0");
    let mut source = Source::new();
    let sender = Sender::start(on_disk(dir.path()), server.endpoint(), |_| ());
    source.push(&sender.spool, 10);
    fake.until("a hello", |log| log.hellos.len() == 1).await;
    assert!(!sender.stats.connected.load(SeqCst));
    assert_eq!(sender.spool.stats().frames, 10);
    sender.stop().await;
    fake.manners().turn_away = None;
    let sender = Sender::start(on_disk(dir.path()), server.endpoint(), |_| ());
    sender.spool.drained().await;
    assert_all_arrived(&fake.log(), &source);
    sender.stop().await;
}

#[tokio::test]
async fn spool_that_was_put_back_in_time_takes_a_new_id() {
    let fake = Fake::with(Manners { claim: Some(u64::MAX), ..Manners::default() });
    let server = fake.listen("127.0.0.1:0");
    let mut source = Source::new();
    let spool = memory();
    source.push(&spool, 10);
    let old = spool.position().0;
    let sender = Sender::start(spool, server.endpoint(), |_| ());
    fake.until("a hello", |log| !log.hellos.is_empty()).await;
    fake.manners().claim = None;
    sender.spool.drained().await;
    assert_all_arrived(&fake.log(), &source);
    assert_eq!(fake.log().hellos[0].spool_id, old);
    assert!(!fake.log().committed.contains_key(&old));
    sender.stop().await;
}

struct Counting(f64);

impl Collector for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn metrics(&self) -> &'static [&'static Metric] {
        static METRICS: &[&Metric] = &[&VALUE];
        METRICS
    }

    fn tiers(&self) -> Vec<Duration> {
        vec![Duration::from_millis(20)]
    }

    fn collect(&mut self, _tier: usize, batch: &mut Batch) -> Result<(), CollectError> {
        batch.node().set(&VALUE, self.0);
        self.0 += 1.0;
        Ok(())
    }
}

fn config(dir: &Path, endpoint: String) -> Config {
    let mut config = Config { node: Some("node".into()), ..Config::default() };
    let collectors = &mut config.collectors;
    collectors.host.enabled = false;
    collectors.gpu.enabled = false;
    collectors.ptp.enabled = false;
    collectors.sriov.enabled = false;
    collectors.pods.enabled = false;
    collectors.agent.interval = Duration::from_millis(50);
    config.spool.dir = dir.to_owned();
    config.uplink.endpoint = endpoint;
    config.health.listen = "127.0.0.1:0".parse().unwrap();
    config
}

#[tokio::test]
async fn stopping_agent_sends_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let server = fake.listen("127.0.0.1:0");
    let app = App::build_with(config(dir.path(), server.endpoint()), vec![Box::new(Counting(0.0))]);
    let app = app.unwrap();
    let stats = app.stats();
    let enough = fake.until("a few ticks", |log| log.stored.len() > 10);
    assert_eq!(app.run(enough).await.unwrap(), Stopped::Drained);
    let log = fake.log();
    assert_eq!(log.violations, Vec::<String>::new());
    assert_eq!(log.stored.len() as u64, stats.spool.stats().pushed);
    assert_eq!(log.hellos[0].capabilities, ["agent", "counting"]);
    let names: Vec<_> = log.hellos[0].metrics.iter().map(|m| m.name.as_str()).collect();
    for name in ["value", "sextant_unavailable", "sextant_collector_up", "sextant_spool_bytes"] {
        assert!(names.contains(&name), "{name} is not described");
    }
}

#[tokio::test]
async fn stopping_agent_leaves_on_disk_what_it_cannot_send() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::with(Manners { mute: true, ..Manners::default() });
    let server = fake.listen("127.0.0.1:0");
    let mut config = config(dir.path(), server.endpoint());
    config.uplink.drain_timeout = Duration::from_millis(10);
    let app = App::build_with(config.clone(), vec![Box::new(Counting(0.0))]).unwrap();
    let stats = app.stats();
    let enough = fake.until("a few ticks", |log| log.frames_seen > 10);
    let Stopped::Left(left) = app.run(enough).await.unwrap() else { panic!("not drained") };
    assert_eq!(left, stats.spool.stats().pushed);
    drop(stats);
    assert_eq!(on_disk(dir.path()).stats().frames, left);
    fake.manners().mute = false;
    config.uplink.drain_timeout = Duration::from_secs(60);
    let app = App::build(config).unwrap();
    let enough = fake.until("the first frames", |log| log.stored.len() as u64 >= left);
    assert_eq!(app.run(enough).await.unwrap(), Stopped::Drained);
    assert_eq!(fake.log().violations, Vec::<String>::new());
}

/// The addresses behind the name, as long as the test says so.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<Vec<SocketAddr>>>);

impl Resolve for Names {
    fn resolve(&self, _: &str, _: u16) -> Resolved<'_> {
        let addresses = self.0.lock().unwrap().clone();
        Box::pin(async move { Ok(addresses) })
    }
}

#[tokio::test]
async fn what_one_aggregator_has_stored_goes_to_no_other() {
    let (first, second) = (Fake::default(), Fake::default());
    first.manners().silent = true;
    let server = first.listen("127.0.0.1:0");
    let names = Names(Arc::new(Mutex::new(vec![server.address])));
    let mut source = Source::new();
    let endpoint = "http://aggregator.test:1".into();
    let sender = Sender::start_with(memory(), endpoint, Arc::new(names.clone()), |_| ());
    source.push(&sender.spool, 20);
    first.until("all is stored", |log| log.stored.len() == 20).await;
    assert_eq!(sender.stats.acked.load(SeqCst), 0);

    // It comes back elsewhere, among others that are more than likely to be ranked higher.
    first.manners().silent = false;
    let others: Vec<_> = (10..16).map(|n| second.listen(&format!("127.0.0.{n}:0"))).collect();
    let moved = first.listen("127.0.0.3:0");
    *names.0.lock().unwrap() =
        others.iter().chain([&moved]).map(|listening| listening.address).collect();
    server.stop().await;
    source.push(&sender.spool, 20);
    sender.spool.drained().await;
    assert!(first.log().positions == 1 && second.log().positions == others.len());
    assert_eq!(second.log().hellos.len(), 1);
    let both = [first.log().values(), second.log().values()].concat();
    assert_eq!(both, source.expected());
    assert_eq!((sender.stats.moves.load(SeqCst), sender.stats.in_doubt.load(SeqCst)), (1, 0));
    sender.stop().await;
}

#[tokio::test]
async fn frames_that_a_lost_aggregator_may_have_are_counted_as_in_doubt() {
    let (first, second) = (Fake::default(), Fake::default());
    first.manners().silent = true;
    let server = first.listen("127.0.0.1:0");
    let names = Names(Arc::new(Mutex::new(vec![server.address])));
    let mut source = Source::new();
    let endpoint = "http://aggregator.test:1".into();
    let sender = Sender::start_with(memory(), endpoint, Arc::new(names.clone()), |_| ());
    source.push(&sender.spool, 20);
    first.until("all is stored", |log| log.stored.len() == 20).await;
    let others: Vec<_> = (10..12).map(|n| second.listen(&format!("127.0.0.{n}:0"))).collect();
    *names.0.lock().unwrap() = others.iter().map(|other| other.address).collect();
    server.stop().await;
    sender.spool.drained().await;
    assert_all_arrived(&second.log(), &source);
    assert_eq!(sender.stats.in_doubt.load(SeqCst), 20);
    sender.stop().await;
}

#[tokio::test]
async fn what_is_acknowledged_and_still_on_disk_goes_to_no_other_aggregator() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (Fake::default(), Fake::default());
    let server = first.listen("127.0.0.1:0");
    let names = Names(Arc::new(Mutex::new(vec![server.address])));
    let mut source = Source::new();
    let endpoint = "http://aggregator.test:1".into();
    let spool = on_disk(dir.path());
    let sender = Sender::start_with(spool, endpoint, Arc::new(names.clone()), |c| {
        c.resolve_interval = Duration::from_millis(10);
    });
    source.push(&sender.spool, 20);
    sender.spool.drained().await;
    let other = second.listen("127.0.0.2:0");
    *names.0.lock().unwrap() = vec![other.address];
    second.until("a hello", |log| !log.hellos.is_empty()).await;
    source.push(&sender.spool, 20);
    sender.spool.drained().await;
    assert_eq!(first.log().values(), source.expected()[..20]);
    assert_eq!(second.log().values(), source.expected()[20..]);
    sender.stop().await;
}
