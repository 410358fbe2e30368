//! The real binaries, killed without warning in the middle of load.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod daemon;
mod support;

use std::time::{Duration, Instant};

use daemon::Daemon;
use sextant_proto::v1::query_client::QueryClient;
use support::{Agent, all, hello, now_ms, test_layout};

#[tokio::test(flavor = "multi_thread")]
async fn killed_aggregator_has_all_that_it_acknowledged_once() {
    let dir = tempfile::tempdir().unwrap();
    let layout = test_layout(5);
    let start = now_ms() - 3_600_000;
    let tick = |seq: u64| start + i64::try_from(seq).unwrap() * 100;
    let (mut acked, mut sent) = (0, 0);
    for round in 0u64..6 {
        let daemon = Daemon::start(dir.path(), "127.0.0.1");
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
    let daemon = Daemon::start(dir.path(), "127.0.0.1");
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
    let mut daemon = Daemon::start(dir.path(), "127.0.0.1");
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
    let daemon = Daemon::start(dir.path(), "127.0.0.1");
    let again = Agent::connect(&daemon.grpc, hello("a", "s")).await.unwrap();
    let channel = tonic::transport::Channel::from_shared(daemon.grpc.clone()).unwrap();
    let mut client = QueryClient::new(channel.connect().await.unwrap());
    let found = all(&mut client, "test_value{i=\"0\"}").await;
    let values: Vec<f64> = found[0].1.iter().map(|p| p.1).collect();
    let want: Vec<f64> = (1..=again.hello_ack).map(|seq| seq as f64).collect();
    assert!(!want.is_empty());
    assert_eq!(values, want);
}
