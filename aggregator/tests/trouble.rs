//! What goes wrong and is told: a store that fails, values beyond a rule, a node that is silent.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sextant_aggregator::storage::{
    AnomalyQuery, Change, Chunk, ColumnQuery, Cutoff, EventQuery, FrameRecord, IncidentInventory,
    IncidentQuery, Inventory, MemoryStore, NodeRecord, Segment, Store, StoreError, StoreSize,
};
use sextant_proto::v1::{
    Anomaly, Incident, IncidentEntry, ListAnomaliesRequest, StoredEvent, SubscribeRequest,
    subscribe_response,
};
use support::{Agent, Running, all, config, get, hello, now_ms, test_layout};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// A store whose disk can be full.
struct Full {
    store: MemoryStore,
    full: Arc<AtomicBool>,
}

impl Full {
    fn check(&self) -> Result<(), StoreError> {
        if !self.full.load(Ordering::SeqCst) {
            return Ok(());
        }
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        Err(StoreError::Io { what: "write", path: "/data/sextant.db".into(), source })
    }
}

impl Store for Full {
    fn load(&self) -> Result<Inventory, StoreError> {
        self.store.load()
    }
    fn replay(&self, each: &mut dyn FnMut(FrameRecord)) -> Result<(), StoreError> {
        self.store.replay(each)
    }
    fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.check()?;
        self.store.commit(changes)
    }
    fn seal(&self, chunks: &[Chunk]) -> Result<(), StoreError> {
        self.check()?;
        self.store.seal(chunks)
    }
    fn columns(&self, query: &ColumnQuery) -> Result<Vec<Segment>, StoreError> {
        self.store.columns(query)
    }
    fn events(&self, query: &EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.events(query)
    }
    fn anomalies(&self, query: &AnomalyQuery) -> Result<Vec<Anomaly>, StoreError> {
        self.store.anomalies(query)
    }
    fn load_incidents(&self) -> Result<IncidentInventory, StoreError> {
        self.store.load_incidents()
    }
    fn incidents(&self, query: &IncidentQuery) -> Result<Vec<Incident>, StoreError> {
        self.store.incidents(query)
    }
    fn incident(&self, id: u64) -> Result<Option<(Incident, Vec<IncidentEntry>)>, StoreError> {
        self.store.incident(id)
    }
    fn prune(&self, cutoff: Cutoff) -> Result<u64, StoreError> {
        self.store.prune(cutoff)
    }
    fn size(&self) -> Result<StoreSize, StoreError> {
        self.store.size()
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_acknowledges_nothing_says_so_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let store = Arc::new(Full { store: MemoryStore::new(), full: Arc::clone(&full) });
    let running = Running::start_on(config(dir.path()), store).await;
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    let layout = test_layout(1);
    let now = now_ms();
    agent.layout(&layout).await;
    agent.frame(1, layout.hash, now, &[1.0]).await;
    agent.acked(1).await;
    full.store(true, Ordering::SeqCst);
    for seq in 2..=500u64 {
        let tick = now + i64::try_from(seq).unwrap();
        agent.frame(seq, layout.hash, tick, &[seq as f64]).await;
    }
    until("not ready", async || get(&running.http, "/ready", None).await.0 == 503).await;
    let (_, reasons) = get(&running.http, "/ready", None).await;
    assert!(reasons.contains("store: commit: write /data/sextant.db"), "{reasons}");
    assert_eq!(get(&running.http, "/health", None).await.0, 200);
    let mut health = HealthClient::new(running.channel().await);
    let mut serving = async || {
        let answer = health.check(HealthCheckRequest::default()).await.unwrap();
        answer.into_inner().status() == ServingStatus::Serving
    };
    until("gRPC says not serving", async || !serving().await).await;
    let ack = tokio::time::timeout(Duration::from_millis(300), agent.next()).await;
    assert!(ack.is_err(), "acknowledged on a full disk: {ack:?}");
    full.store(false, Ordering::SeqCst);
    agent.acked(500).await;
    until("gRPC says serving", async || serving().await).await;
    until("ready again", async || get(&running.http, "/ready", None).await.0 == 200).await;
    let found = all(&mut running.query().await, "test_value").await;
    let values: Vec<f64> = found[0].1.iter().map(|p| p.1).collect();
    assert_eq!(values, (1..=500).map(f64::from).collect::<Vec<_>>());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_opens_an_anomaly_that_everyone_sees_and_a_restart_keeps() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules.toml");
    let rule = "[[rule]]\nname = \"TestHigh\"\nmetric = \"test_value\"\nop = \">\"\nthreshold = 10\n\
                for = \"2s\"\nclear = 5\nclear_for = \"1s\"\nseverity = \"critical\"\n\
                summary = \"{node} has {value}\"\naction = \"Turn it down.\"\nsource = \"test\"\n";
    std::fs::write(&rules, rule).unwrap();
    let mut config = config(&dir.path().join("data"));
    config.detect.rules_file = Some(rules);
    let running = Running::start(config.clone()).await;
    let request = SubscribeRequest { events: true, anomalies: true, ..Default::default() };
    let mut notices = running.query().await.subscribe(request).await.unwrap().into_inner();
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    let layout = test_layout(1);
    agent.layout(&layout).await;
    let now = now_ms() - 10_000;
    let mut seq = 0;
    let mut tick = |value: f64| {
        seq += 1;
        (seq, now + i64::try_from(seq).unwrap() * 1000, [value])
    };
    for value in [1.0, 50.0, 50.0, 50.0] {
        let (seq, time, row) = tick(value);
        agent.frame(seq, layout.hash, time, &row).await;
    }
    agent.acked(4).await;
    let mut next = async || loop {
        let message = notices.message().await.unwrap().unwrap().message;
        if let Some(subscribe_response::Message::Anomaly(anomaly)) = message {
            break anomaly;
        }
    };
    let opened = next().await;
    assert_eq!((&*opened.rule, &*opened.node, opened.severity), ("TestHigh", "a", 3));
    assert_eq!((&*opened.summary, &*opened.action), ("a has 50", "Turn it down."));
    let (_, text) = get(&running.http, "/metrics", None).await;
    let active = "sextant_anomaly_active{cluster=\"test\",node=\"a\",detector=\"rules\",rule=\"TestHigh\",severity=\"critical\",entity_type=\"node\",metric=\"test_value\",i=\"0\"} 1\n";
    assert!(text.contains(active), "{text}");
    drop(agent);
    running.stop().await;

    let running = Running::start(config).await;
    let mut client = running.query().await;
    let request = ListAnomaliesRequest { active_only: true, ..Default::default() };
    let open = client.list_anomalies(request.clone()).await.unwrap().into_inner().anomalies;
    assert_eq!((open.len(), open[0].id), (1, opened.id));
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    for value in [1.0, 1.0, 1.0] {
        let (seq, time, row) = tick(value);
        agent.frame(seq, layout.hash, time, &row).await;
    }
    agent.acked(7).await;
    assert!(client.list_anomalies(request).await.unwrap().into_inner().anomalies.is_empty());
    let all = client.list_anomalies(ListAnomaliesRequest::default()).await.unwrap().into_inner();
    let of_rule: Vec<_> = all.anomalies.iter().filter(|a| a.rule == "TestHigh").collect();
    assert_eq!((of_rule.len(), of_rule[0].id), (1, opened.id));
    assert!(of_rule[0].closed_unix_ms > of_rule[0].opened_unix_ms);
    assert_eq!(of_rule[0].close_reason, "recovered");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anomaly_that_nobody_would_close_is_closed_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let anomaly = |id, detector: &str, metric: &str| Anomaly {
        id,
        cluster: "test".into(),
        node: "a".into(),
        detector: detector.into(),
        rule: "r".into(),
        metric: metric.into(),
        opened_unix_ms: 1,
        ..Anomaly::default()
    };
    let node = NodeRecord { cluster: "test".into(), name: "a".into(), ..NodeRecord::default() };
    let open =
        [anomaly(1, "gone", ""), anomaly(2, "rules", "no_such_metric"), anomaly(3, "stale", "")];
    let open = open.into_iter().map(|anomaly| Change::Anomaly { node: 0, anomaly });
    store.commit(&std::iter::once(Change::Node(node)).chain(open).collect::<Vec<_>>()).unwrap();
    let running = Running::start_on(config(dir.path()), store).await;
    let stored = || {
        let all = running.queries.anomalies(AnomalyQuery::default()).unwrap();
        let mut all: Vec<_> = all.into_iter().map(|a| (a.id, a.close_reason)).collect();
        all.sort();
        all
    };
    let want =
        [(1, "detector is off".to_owned()), (2, "series is not known".into()), (3, String::new())];
    until("closed", async || stored() == want).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_node_is_stale_until_it_speaks() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.detect.stale_after = Duration::from_secs(1);
    let running = Running::start(config).await;
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    let layout = test_layout(1);
    agent.layout(&layout).await;
    agent.frame(1, layout.hash, now_ms(), &[1.0]).await;
    agent.acked(1).await;
    let is_stale = || {
        let query = AnomalyQuery { active_only: true, ..AnomalyQuery::default() };
        let open = running.queries.anomalies(query).unwrap();
        open.iter().any(|a| a.detector == "stale" && a.node == "a")
    };
    assert!(!is_stale());
    until("stale", async || is_stale()).await;
    agent.frame(2, layout.hash, now_ms(), &[1.0]).await;
    agent.acked(2).await;
    until("speaks", async || !is_stale()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriber_gets_the_samples_that_it_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let request = SubscribeRequest { selector: "test_value{i=\"1\"}".into(), ..Default::default() };
    let mut notices = running.query().await.subscribe(request).await.unwrap().into_inner();
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    let layout = test_layout(3);
    agent.layout(&layout).await;
    let now = now_ms();
    agent.frame(1, layout.hash, now, &[1.0, 2.0, 3.0]).await;
    let message = notices.message().await.unwrap().unwrap().message;
    let Some(subscribe_response::Message::Samples(samples)) = message else {
        panic!("no samples but {message:?}")
    };
    let got: Vec<_> = samples.samples.iter().map(|s| (s.time_unix_ms, s.value)).collect();
    assert_eq!(got, [(now, 2.0)]);
    let bad = SubscribeRequest { selector: "rate(a[1m])".into(), ..Default::default() };
    let refused = running.query().await.subscribe(bad).await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    running.stop().await;
}
