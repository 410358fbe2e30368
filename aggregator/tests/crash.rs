//! The real binaries, killed without warning in the middle of load.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sextant_proto::v1::query_client::QueryClient;
use support::{Agent, all, hello, now_ms, test_layout};

/// A running aggregator binary, killed when it goes.
struct Daemon {
    child: Child,
    grpc: String,
}

impl Daemon {
    /// Starts it on the directory and a port of its choice, which its log tells.
    fn start(dir: &Path) -> Self {
        let config = dir.join("aggregator.toml");
        let text = format!(
            "data_dir = {:?}\n[listen]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n",
            dir.join("data")
        );
        std::fs::write(&config, text).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the real binary is under test")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_sextant-aggregator"));
        let child = command.arg("--config").arg(&config).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the binary starts");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = log.find(|line| line.as_ref().is_ok_and(|l| l.contains("aggregator is ready")));
        let ready = ready.expect("it becomes ready").unwrap();
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        let grpc = format!("http://{}", ready["grpc"].as_str().unwrap());
        // Whoever does not read the pipe stops the writer.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, grpc }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_aggregator_has_all_that_it_acknowledged_once() {
    let dir = tempfile::tempdir().unwrap();
    let layout = test_layout(5);
    let start = now_ms() - 3_600_000;
    let tick = |seq: u64| start + i64::try_from(seq).unwrap() * 100;
    let (mut acked, mut sent) = (0, 0);
    for round in 0u64..6 {
        let daemon = Daemon::start(dir.path());
        let mut agent = Agent::connect(&daemon.grpc, hello("a", "s")).await.unwrap();
        assert!(agent.hello_ack >= acked, "round {round}: {} of {acked} acked", agent.hello_ack);
        agent.layout(&layout).await;
        // Everything not known to be there is sent again, and more after it, without waiting.
        let from = agent.hello_ack + 1;
        sent = sent.max(agent.hello_ack) + 400;
        for seq in from..=sent {
            agent.frame(seq, layout.hash, tick(seq), &[seq as f64; 5]).await;
        }
        // Killed at another point of the load each time.
        acked = from + round * 60;
        agent.acked(acked).await;
        daemon.kill();
    }
    let daemon = Daemon::start(dir.path());
    let mut agent = Agent::connect(&daemon.grpc, hello("a", "s")).await.unwrap();
    agent.layout(&layout).await;
    for seq in agent.hello_ack + 1..=sent {
        agent.frame(seq, layout.hash, tick(seq), &[seq as f64; 5]).await;
    }
    if agent.hello_ack < sent {
        agent.acked(sent).await;
    }
    let channel = tonic::transport::Channel::from_shared(daemon.grpc.clone()).unwrap();
    let mut client = QueryClient::new(channel.connect().await.unwrap());
    let found = all(&mut client, "test_value").await;
    let want: Vec<(i64, f64)> = (1..=sent).map(|seq| (tick(seq), seq as f64)).collect();
    assert_eq!(found.len(), 5);
    for (_, points) in found {
        assert_eq!(points, want);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_aggregator_stores_what_it_took_and_exits_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let layout = test_layout(5);
    let mut daemon = Daemon::start(dir.path());
    let mut agent = Agent::connect(&daemon.grpc, hello("a", "s")).await.unwrap();
    agent.layout(&layout).await;
    let now = now_ms();
    for seq in 1..=200u64 {
        let tick = now + i64::try_from(seq).unwrap();
        agent.frame(seq, layout.hash, tick, &[seq as f64; 5]).await;
    }
    agent.acked(1).await;
    let pid = rustix::process::Pid::from_child(&daemon.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = loop {
        if let Some(status) = daemon.child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not stop");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(status.success(), "{status}");
    // Only what it had read from the stream counts; all of that is there, in order, once.
    let daemon = Daemon::start(dir.path());
    let again = Agent::connect(&daemon.grpc, hello("a", "s")).await.unwrap();
    let channel = tonic::transport::Channel::from_shared(daemon.grpc.clone()).unwrap();
    let mut client = QueryClient::new(channel.connect().await.unwrap());
    let found = all(&mut client, "test_value{i=\"0\"}").await;
    let values: Vec<f64> = found[0].1.iter().map(|p| p.1).collect();
    let want: Vec<f64> = (1..=again.hello_ack).map(|seq| seq as f64).collect();
    assert!(!want.is_empty());
    assert_eq!(values, want);
}
