//! Agents against a real aggregator: acks, repeats, refusals, restarts, claims.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use sextant_proto::frame::{ChainDecoder, ChainEncoder, plain};
use sextant_proto::v1::{Codec, Event, Frame, ListEventsRequest, ListNodesRequest};
use support::{Agent, Running, all, config, get, hello, now_ms, test_layout};
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_there_once_after_repeats_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let layout = test_layout(3);
    let start = now_ms() - 600_000;
    let tick = |seq: u64| start + i64::try_from(seq).unwrap() * 1000;
    let row = |seq: u64| [seq as f64, -(seq as f64), 0.5];
    let mut sent = 0;
    // More than a chunk between restarts, so that journal, blocks and heads all take part.
    for round in 0..3u64 {
        let running = Running::start(config(dir.path())).await;
        let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
        assert_eq!(agent.hello_ack, sent);
        agent.layout(&layout).await;
        // From one before: what a reconnecting agent sends again.
        for seq in sent.max(1)..=sent + 150 {
            agent.frame(seq, layout.hash, tick(seq), &row(seq)).await;
        }
        sent += 150;
        assert!(agent.acked(sent).await.is_empty(), "round {round}");
        let found = all(&mut running.query().await, "test_value").await;
        assert_eq!(found.len(), 3);
        let want =
            |column: usize| (1..=sent).map(|s| (tick(s), row(s)[column])).collect::<Vec<_>>();
        for (column, (name, points)) in found.iter().enumerate() {
            assert!(name.contains(&format!("i={column}")), "{name}");
            assert_eq!(*points, want(column), "round {round}");
        }
        drop(agent);
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_chain_ends_the_stream_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let layout = test_layout(2);
    let start = now_ms() - 60_000;
    let mut encoder = ChainEncoder::new();
    let mut frames: Vec<_> = (1..=6)
        .map(|seq: u64| {
            let tick = start + i64::try_from(seq).unwrap() * 1000;
            let frame = encoder.encode(layout.hash, &[tick], &[seq as f64, 0.5], &[]);
            Frame { seq, ..frame }
        })
        .collect();
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    agent.layout(&layout).await;
    agent.raw(frames[0].clone()).await;
    assert!(agent.acked(1).await.is_empty());
    // The second is lost on the way: neither the third nor what follows it is taken.
    for frame in [&frames[2], &plain::encode(layout.hash, &[start + 9_000], &[9.0, 9.0], vec![])] {
        agent.raw(Frame { seq: frame.seq.max(3), ..frame.clone() }).await;
    }
    let status = loop {
        match agent.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("no status"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::FailedPrecondition);
    let text = format!("chain of layout {:016x} is broken: connect again", layout.hash);
    assert_eq!(status.message(), text);
    let (_, own) = get(&running.http, "/metrics/self", None).await;
    assert!(own.contains("sextant_ingest_chains_broken_total 1\n"), "{own}");
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    assert_eq!(agent.hello_ack, 1);
    // The key of the second, as an agent makes it: the state after the first.
    let mut follower = ChainDecoder::new();
    follower.skip(&frames[0]).unwrap();
    frames[1].key = follower.key(layout.hash).unwrap();
    agent.layout(&layout).await;
    for frame in &frames[1..] {
        agent.raw(frame.clone()).await;
    }
    assert!(agent.acked(6).await.is_empty());
    let found = all(&mut running.query().await, "test_value").await;
    let values: Vec<_> = found[0].1.iter().map(|point| point.1).collect();
    assert_eq!(values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_frames_are_named_and_the_stream_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    let layout = test_layout(1);
    agent.layout(&layout).await;
    let now = now_ms();
    agent.frame(1, layout.hash, now, &[1.0]).await;
    agent.frame(2, 42, now, &[1.0]).await;
    agent.frame(3, layout.hash, now, &[1.0, 2.0]).await;
    agent.frame(4, layout.hash, now - 3_700_000, &[1.0]).await;
    let garbage = vec![0xff; 100].into();
    agent
        .raw(Frame { seq: 5, codec: Codec::PlainZstd.into(), payload: garbage, ..Frame::default() })
        .await;
    agent.raw(Frame { seq: 6, codec: 77, ..Frame::default() }).await;
    agent.frame(7, layout.hash, now + 1000, &[2.0]).await;
    let refused = agent.acked(7).await;
    let seqs: Vec<u64> = refused.iter().map(|r| r.0).collect();
    assert_eq!(seqs, [2, 3, 4, 5, 6]);
    for (refused, want) in refused.iter().zip(["layout", "columns", "older", "zstd", "codec 77"]) {
        assert!(refused.1.contains(want), "{refused:?} does not say {want}");
    }
    let found = all(&mut running.query().await, "test_value").await;
    assert_eq!(found[0].1, [(now, 1.0), (now + 1000, 2.0)]);
    assert_eq!(running.queries.stats.frames_refused.get("malformed"), 4);
    assert_eq!(running.queries.stats.frames_refused.get("too_old"), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_samples_are_kept_in_the_order_of_time() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    let layout = test_layout(1);
    agent.layout(&layout).await;
    let now = now_ms();
    for (seq, offset) in [(1, 0), (2, 2000), (3, 1000), (4, 3000), (5, 3000)] {
        agent.frame(seq, layout.hash, now + offset, &[seq as f64]).await;
    }
    agent.acked(5).await;
    let found = all(&mut running.query().await, "test_value").await;
    let want = [(now, 1.0), (now + 1000, 3.0), (now + 2000, 2.0), (now + 3000, 5.0)];
    assert_eq!(found[0].1, want);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_whose_clock_is_set_right_is_not_shut_out() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let ahead = 86_400_000;
    let mut hello = hello("a", "s");
    hello.time_unix_ms += ahead;
    let mut agent = Agent::connect(&running.grpc, hello).await.unwrap();
    let layout = test_layout(1);
    agent.layout(&layout).await;
    let now = now_ms();
    agent.frame(1, layout.hash, now + ahead, &[1.0]).await;
    agent.frame(2, layout.hash, now, &[2.0]).await;
    assert!(agent.acked(2).await.is_empty());
    let shown = running.queries.now("test_value").unwrap();
    assert_eq!((shown.len(), shown[0].time_ms, shown[0].value), (1, now, 2.0));
    let found = all(&mut running.query().await, "test_value").await;
    assert_eq!(found[0].1, [(now, 2.0), (now + ahead, 1.0)]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_name_is_spoken_for_by_one_agent() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let first = Agent::connect(&running.grpc, hello("a", "s1")).await.unwrap();
    let second = Agent::connect(&running.grpc, hello("a", "s2")).await.err().unwrap();
    assert_eq!(second.code(), Code::AlreadyExists);
    assert!(second.message().contains("node test/a already has an agent"), "{second:?}");
    Agent::connect(&running.grpc, hello("b", "s2")).await.expect("another name is free");
    // The same agent reconnects before its old stream is seen to be dead: the old one ends.
    let mut again = Agent::connect(&running.grpc, hello("a", "s1")).await.unwrap();
    let mut first = first;
    while let Ok(Some(_)) = first.next().await {}
    let layout = test_layout(1);
    again.layout(&layout).await;
    again.frame(1, layout.hash, now_ms(), &[1.0]).await;
    again.acked(1).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_hellos_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    for (node, spool, want) in [
        ("", "s", "node name \"\""),
        ("a b", "s", "node name \"a b\""),
        (&*"x".repeat(254), "s", "node name"),
        ("a", "", "spool id"),
    ] {
        let refused = Agent::connect(&running.grpc, hello(node, spool)).await.err().unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(want), "{refused:?}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_stored_and_nodes_are_listed_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    let event = Event {
        time_unix_ms: now_ms(),
        r#type: "host.oom_kill".into(),
        severity: 2,
        entity_type: "node".into(),
        message: "it happened".into(),
        ..Event::default()
    };
    agent.events(1, vec![event.clone()]).await;
    agent.acked(1).await;
    drop(agent);
    running.stop().await;
    let running = Running::start(config(dir.path())).await;
    let mut client = running.query().await;
    let request = ListEventsRequest { r#type: "host.".into(), ..Default::default() };
    let events = client.list_events(request).await.unwrap().into_inner().events;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event, Some(event));
    let nodes = client.list_nodes(ListNodesRequest::default()).await.unwrap().into_inner().nodes;
    assert_eq!((nodes.len(), &*nodes[0].name, nodes[0].connected), (1, "a", false));
    let kinds = client.list_events(ListEventsRequest::default()).await.unwrap().into_inner().events;
    let kinds: Vec<_> = kinds.iter().filter_map(|e| e.event.as_ref()).map(|e| &*e.r#type).collect();
    assert!(kinds.contains(&"node.connected"), "{kinds:?}");
    running.stop().await;
}
