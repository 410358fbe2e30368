//! A real agent against a real aggregator over a connection that is cut, with either side
//! restarted and killed: what was read is stored once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sextant_agent::app::{App, Stopped};
use sextant_agent::collectors::{CollectError, Collector};
use sextant_agent::config::Config;
use sextant_agent::sample::{Batch, Metric};
use support::{Kill, Running, all, config};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

static SEQUENCE: Metric = Metric::counter("test_sequence_total", "", "Counts its own reading.");
static SEQUENCES: [&Metric; 1] = [&SEQUENCE];
const EVERY: Duration = Duration::from_millis(20);
/// Names the file and the directories of an agent that this test binary runs as a child.
const CHILD: &str = "SEXTANT_TEST_AGENT";

/// Reads 1, 2, 3, ... and writes each number to a file once it is in the batch.
struct Sequence {
    next: Arc<AtomicU64>,
    log: Option<File>,
}

impl Collector for Sequence {
    fn name(&self) -> &'static str {
        "sequence"
    }

    fn metrics(&self) -> &'static [&'static Metric] {
        &SEQUENCES
    }

    fn tiers(&self) -> Vec<Duration> {
        vec![EVERY]
    }

    fn collect(&mut self, _: usize, batch: &mut Batch) -> Result<(), CollectError> {
        let number = self.next.fetch_add(1, Ordering::SeqCst) + 1;
        batch.node().set(&SEQUENCE, number as f64);
        if let Some(log) = &mut self.log {
            writeln!(log, "{number}").expect("the log is writable");
        }
        Ok(())
    }
}

fn agent_config(dir: &Path, endpoint: &str) -> Config {
    let mut config = Config { node: Some("a".into()), ..Config::default() };
    config.cluster = "test".into();
    config.spool.dir = dir.join("spool");
    config.uplink.endpoint = endpoint.into();
    config.health.listen.set_port(0);
    config.collectors.host.enabled = false;
    config
}

/// An agent in this process.
struct Agent {
    next: Arc<AtomicU64>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<Stopped>>,
}

impl Agent {
    fn start(config: Config, from: u64) -> Self {
        let next = Arc::new(AtomicU64::new(from));
        let sequence = Sequence { next: Arc::clone(&next), log: None };
        let app = App::build_with(config, vec![Box::new(sequence)]).expect("agent starts");
        let (stop, stopped) = oneshot::channel::<()>();
        #[expect(clippy::disallowed_methods, reason = "the test waits for it in stop")]
        let task = tokio::spawn(app.run(async move { drop(stopped.await) }));
        Self { next, stop, task }
    }

    /// Waits until it has read `n` more.
    async fn read(&self, n: u64) {
        let goal = self.next.load(Ordering::SeqCst) + n;
        while self.next.load(Ordering::SeqCst) < goal {
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn stop(self) -> (Stopped, u64) {
        assert!(self.stop.send(()).is_ok(), "it still runs");
        let stopped = self.task.await.expect("no panic").expect("clean stop");
        (stopped, self.next.load(Ordering::SeqCst))
    }
}

/// A road to the aggregator that can be cut.
struct Road {
    endpoint: String,
    cut: tokio::sync::watch::Sender<u64>,
    _task: JoinHandle<()>,
}

impl Road {
    async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let (cut, cuts) = tokio::sync::watch::channel(0);
        #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
                drop(tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(target).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cuts.changed() => {}
                    }
                }));
            }
        });
        Self { endpoint, cut, _task: task }
    }

    fn cut(&self) {
        self.cut.send_modify(|n| *n += 1);
    }
}

fn addr(endpoint: &str) -> SocketAddr {
    endpoint.trim_start_matches("http://").parse().expect("an address")
}

async fn stored(running: &Running) -> Vec<f64> {
    let found = all(&mut running.query().await, "test_sequence_total").await;
    found.into_iter().flat_map(|(_, points)| points).map(|(_, value)| value).collect()
}

fn counted(to: u64) -> Vec<f64> {
    (1..=to).map(|n| n as f64).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_lose_and_repeat_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(&dir.path().join("data"))).await;
    let road = Road::to(addr(&running.grpc)).await;
    let agent = Agent::start(agent_config(dir.path(), &road.endpoint), 0);
    for _ in 0..4 {
        agent.read(30).await;
        road.cut();
    }
    agent.read(5).await;
    let (stopped, read) = agent.stop().await;
    assert_eq!(stopped, Stopped::Drained);
    assert_eq!(stored(&running).await, counted(read));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_restarts_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut aggregator = config(&dir.path().join("data"));
    let running = Running::start(aggregator.clone()).await;
    aggregator.listen.grpc = addr(&running.grpc);
    let endpoint = running.grpc.clone();
    // Agent first, then aggregator: the agent drains.
    let agent = Agent::start(agent_config(dir.path(), &endpoint), 0);
    agent.read(20).await;
    let (stopped, read) = agent.stop().await;
    assert_eq!(stopped, Stopped::Drained);
    running.stop().await;
    // Aggregator first, then agent: what was read without an aggregator waits on disk.
    let running = Running::start(aggregator.clone()).await;
    let mut alone = agent_config(dir.path(), &endpoint);
    alone.uplink.drain_timeout = Duration::from_millis(300);
    let agent = Agent::start(alone, read);
    agent.read(20).await;
    running.stop().await;
    agent.read(20).await;
    let (stopped, read) = agent.stop().await;
    assert!(matches!(stopped, Stopped::Left(n) if n >= 10), "{stopped:?}");
    // Both again: the spool of the last life goes first.
    let running = Running::start(aggregator).await;
    let agent = Agent::start(agent_config(dir.path(), &endpoint), read);
    agent.read(20).await;
    let (stopped, read) = agent.stop().await;
    assert_eq!(stopped, Stopped::Drained);
    assert_eq!(stored(&running).await, counted(read));
    running.stop().await;
}

/// Not a test of its own: the agent that the next one kills. Does nothing unless it is asked to.
#[tokio::test]
async fn child_agent() {
    let Ok(arguments) = std::env::var(CHILD) else { return };
    let mut arguments = arguments.split(' ');
    let mut argument = || arguments.next().expect("an argument").to_owned();
    let (dir, endpoint, from) = (PathBuf::from(argument()), argument(), argument());
    let log = OpenOptions::new().append(true).create(true).open(dir.join("read")).expect("a log");
    let next = Arc::new(AtomicU64::new(from.parse().expect("a number")));
    let sequence = Sequence { next, log: Some(log) };
    let app = App::build_with(agent_config(&dir, &endpoint), vec![Box::new(sequence)]);
    let end = std::future::pending();
    drop(app.expect("agent starts").run(end).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_agent_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(&dir.path().join("data"))).await;
    let read = || {
        let text = std::fs::read_to_string(dir.path().join("read")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map(|(whole, _)| whole.to_owned()).unwrap_or_default();
        whole.lines().filter_map(|l| l.parse::<u64>().ok()).collect::<Vec<_>>()
    };
    let mut last_of_each_life = Vec::new();
    for _ in 0..4 {
        let before = read();
        let from = before.last().copied().unwrap_or_default();
        #[expect(clippy::disallowed_methods, reason = "the agent must be a process to be killed")]
        let mut command = Command::new(std::env::current_exe().unwrap());
        let arguments = format!("{} {} {from}", dir.path().display(), running.grpc);
        let child = command
            .args(["--exact", "child_agent", "--nocapture"])
            .env(CHILD, arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let child = Kill(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        while read().len() < before.len() + 40 {
            assert!(Instant::now() < deadline, "the agent reads nothing");
            tokio::time::sleep(EVERY).await;
        }
        drop(child);
        last_of_each_life.push(read().last().copied().unwrap());
    }
    // One more life, ended in order, sends what the last one left.
    let from = read().last().copied().unwrap();
    let mut agent = agent_config(dir.path(), &running.grpc);
    // The killed agent's stream may not be seen to be dead yet; it has the same spool.
    agent.uplink.drain_timeout = Duration::from_secs(20);
    let agent = Agent::start(agent, from);
    agent.read(5).await;
    let (stopped, last) = agent.stop().await;
    assert_eq!(stopped, Stopped::Drained);
    let found = stored(&running).await;
    // What a life had read when it was killed may not have reached the spool: one number.
    let mut want = counted(last);
    want.retain(|n| found.contains(n) || !last_of_each_life.iter().any(|l| *l as f64 == *n));
    assert_eq!(found, want);
    running.stop().await;
}
