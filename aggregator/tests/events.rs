//! Events that rules are about: found once on each entity, over a resend, a restart and a backlog.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use sextant_proto::v1::{Anomaly, Event, Label, ListAnomaliesRequest};
use support::{Agent, Running, config, get, hello, now_ms, test_layout};

fn xid(uuid: &str, xid: &str, time_unix_ms: i64) -> Event {
    let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
    Event {
        time_unix_ms,
        r#type: "gpu.xid".into(),
        severity: 3,
        entity_type: "gpu".into(),
        entity: vec![label("uuid", uuid)],
        message: "GPU has fallen off the bus.".into(),
        attributes: vec![label("xid", xid), label("pci_bus_id", "0000:65:00.0")],
    }
}

async fn anomalies(running: &Running, active_only: bool) -> Vec<Anomaly> {
    let request = ListAnomaliesRequest { active_only, ..Default::default() };
    let mut list =
        running.query().await.list_anomalies(request).await.unwrap().into_inner().anomalies;
    list.retain(|a| a.detector == "rules");
    list.sort_by_key(|a| a.id);
    list
}

#[tokio::test(flavor = "multi_thread")]
async fn event_is_found_once_on_each_gpu_and_a_restart_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let running = Running::start(config.clone()).await;
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    let layout = test_layout(1);
    agent.layout(&layout).await;
    // Ten hours that a spool kept.
    let start = now_ms() - 10 * 3_600_000;
    agent.frame(1, layout.hash, start, &[1.0]).await;
    let both = vec![xid("GPU-1", "79", start + 5), xid("GPU-2", "79", start + 6)];
    agent.events(2, both.clone()).await;
    agent.acked(2).await;
    let open = anomalies(&running, true).await;
    let of = |a: &Anomaly| (a.rule.clone(), a.entity[0].value.clone(), a.opened_unix_ms, a.value);
    let want = |value| {
        [("GPU-1", 5, value), ("GPU-2", 6, 1.0)]
            .map(|(uuid, ms, value)| ("GpuXid79".to_owned(), uuid.to_owned(), start + ms, value))
    };
    assert_eq!(open.iter().map(of).collect::<Vec<_>>(), want(1.0));
    assert!(open[0].summary.starts_with("Xid 79 on GPU 0000:65:00.0 of a"), "{}", open[0].summary);
    assert_eq!((&*open[0].entity_type, &*open[0].metric, open[0].severity), ("gpu", "", 3));
    let (_, text) = get(&running.http, "/metrics", None).await;
    assert!(text.contains("rule=\"GpuXid79\"") && text.contains("uuid=\"GPU-2\""), "{text}");
    // The same frame again, as after a lost acknowledgement.
    drop(agent);
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    agent.layout(&layout).await;
    agent.events(2, both).await;
    agent.events(3, vec![xid("GPU-1", "79", start + 1000)]).await;
    agent.acked(3).await;
    assert_eq!(anomalies(&running, true).await.iter().map(of).collect::<Vec<_>>(), want(2.0));
    drop(agent);
    running.stop().await;

    let running = Running::start(config).await;
    let kept = anomalies(&running, false).await;
    assert_eq!(kept.iter().map(of).collect::<Vec<_>>(), want(2.0), "neither lost nor found again");
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    agent.layout(&layout).await;
    agent.events(4, vec![xid("GPU-1", "79", start + 60_000)]).await;
    agent.frame(5, layout.hash, start + 60_000, &[1.0]).await;
    agent.acked(5).await;
    assert_eq!(anomalies(&running, false).await.iter().map(of).collect::<Vec<_>>(), want(3.0));
    // The end of the backlog: hours after the last of them, by the node's time. The aggregator
    // looks at it when a second of its own has gone by.
    let mut seq = 6;
    loop {
        agent
            .frame(seq, layout.hash, start + 8 * 3_600_000 + i64::try_from(seq).unwrap(), &[1.0])
            .await;
        agent.acked(seq).await;
        if anomalies(&running, true).await.is_empty() {
            break;
        }
        seq += 1;
        assert!(seq < 600, "never over");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let closed = anomalies(&running, false).await;
    assert_eq!(closed.len(), 2);
    let hours = 6 * 3_600_000;
    assert_eq!(closed[0].closed_unix_ms, start + 60_000 + hours);
    assert_eq!(closed[0].close_reason, "did not happen again");
    running.stop().await;
}
