//! What to do, over gRPC: about a text, about a node with a lost GPU, and by whom it may be asked.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sextant_aggregator::config::Config;
use sextant_proto::v1::advice_client::AdviceClient;
use sextant_proto::v1::{
    ClusterHealthRequest, ClusterStatus, DiagnoseRequest, Event, GetRunbookRequest, Label,
    ListAnomaliesRequest, ListRunbooksRequest, SuggestRunbookRequest,
};
use support::{Agent, Running, Shape, config, hello, now_ms};
use tokio::net::TcpListener;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request};

const BOOK: &str = r#"+++
id = "gpu-lost"
replaces = true
title = "A GPU is gone"
severity = "critical"
xids = [79]
errors = ["GpuFallenOffBus"]

[[check]]
do = "Look at {gpu_uuid}"
commands = ["ssh {node} nvidia-smi -q -i {gpu_uuid}", "ssh {node} lspci -vs {pci}"]

[[step]]
do = "Find what ran in {pod}"
risk = "LOW"
commands = ["kubectl -n {namespace} get pod {pod}", "kubectl get deployment {deployment}"]
+++

It does not answer on PCIe.
"#;

fn with_book(dir: &Path) -> Config {
    let books = dir.join("books");
    std::fs::create_dir(&books).unwrap();
    std::fs::write(books.join("gpu-lost.md"), BOOK).unwrap();
    let mut config = config(&dir.join("data"));
    config.knowledge.runbooks_dir = Some(books);
    config
}

async fn client(running: &Running) -> AdviceClient<Channel> {
    AdviceClient::new(running.channel().await)
}

fn about(text: &str) -> DiagnoseRequest {
    DiagnoseRequest { error_message: text.into(), ..DiagnoseRequest::default() }
}

/// A node with one GPU that a pod has, and that fell off the bus.
async fn lost_gpu(running: &Running) -> Agent {
    let mut shape = Shape::new("gpu", 1000);
    let gpu = [("uuid", "GPU-1"), ("gpu", "0"), ("pci_bus_id", "0000:65:00.0")];
    let pod = [("namespace", "ml"), ("pod", "train-0"), ("container", "main")];
    shape.entity("gpu", &gpu[..1]).set("gpu_info", &gpu[1..], 1.0).set("gpu_pod_info", &pod, 1.0);
    let (layout, row) = shape.finish();
    let mut agent = Agent::connect(&running.grpc, hello("n1", "s")).await.unwrap();
    agent.layout(&layout).await;
    agent.frame(1, layout.hash, now_ms(), &row).await;
    let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
    let xid = Event {
        time_unix_ms: now_ms(),
        r#type: "gpu.xid".into(),
        severity: 3,
        entity_type: "gpu".into(),
        entity: vec![label("uuid", "GPU-1")],
        message: "GPU has fallen off the bus, token=abcdef".into(),
        attributes: vec![label("xid", "79"), label("pci_bus_id", "0000:65:00.0")],
    };
    agent.events(2, vec![xid]).await;
    agent.acked(2).await;
    agent
}

#[tokio::test(flavor = "multi_thread")]
async fn pod_of_a_lost_gpu_is_diagnosed_with_its_real_names() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(with_book(dir.path())).await;
    let _agent = lost_gpu(&running).await;
    let mut client = client(&running).await;
    let request = DiagnoseRequest {
        namespace: "ml".into(),
        pod: "train-0".into(),
        include_cluster_health: true,
        wording: true,
        ..about("ml/train-0 0/1 CrashLoopBackOff 5")
    };
    let answer = client.diagnose(request).await.unwrap().into_inner();
    assert_eq!(answer.error_category, "CrashLoopBackOff");
    assert!(answer.root_cause.starts_with("Xid 79 on GPU 0000:65:00.0 of n1"), "{answer:?}");
    let commands: Vec<&str> =
        answer.fixes.iter().flat_map(|f| &f.commands).map(String::as_str).collect();
    assert_eq!(
        commands[..3],
        [
            "ssh n1 nvidia-smi -q -i GPU-1",
            "ssh n1 lspci -vs 0000:65:00.0",
            "kubectl -n ml get pod train-0"
        ]
    );
    assert_eq!(answer.fixes[1].look_up.len(), 1, "the deployment is not known");
    let of = |kind: &str| answer.evidence.iter().find(|e| e.kind == kind).unwrap();
    assert!(of("device").text.contains("uuid=GPU-1"), "{answer:?}");
    assert_eq!((&*of("anomaly").node, of("anomaly").id > 0), ("n1", true));
    assert!(of("event").text.contains("token=[secret]"), "{:?}", of("event"));
    assert_eq!(answer.related_runbooks[0].id, "gpu-lost");
    assert!(answer.notes.contains(&"no model is configured for words".to_owned()));
    assert!(answer.kubernetes.starts_with("Kubernetes is not connected"));
    assert_eq!(answer.cluster_health.unwrap().cluster_status(), ClusterStatus::Degraded);

    let health = client.cluster_health(ClusterHealthRequest::default()).await.unwrap().into_inner();
    assert_eq!((health.total_nodes, health.ready_nodes, health.score), (1, 1, Some(50.0)));
    assert_eq!((&*health.issues[0].runbook, &*health.issues[0].rule), ("gpu-lost", "GpuXid79"));
    assert_eq!(health.recommendations, ["A GPU is gone (n1): see runbook gpu-lost"]);
    let other = ClusterHealthRequest { cluster: "other".into() };
    let other = client.cluster_health(other).await.unwrap().into_inner();
    assert_eq!((other.cluster_status(), other.score), (ClusterStatus::Unknown, None));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runbooks_are_found_by_text_rule_anomaly_and_id() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(with_book(dir.path())).await;
    let _agent = lost_gpu(&running).await;
    let mut client = client(&running).await;
    let open = ListAnomaliesRequest { active_only: true, ..Default::default() };
    let open = running.query().await.list_anomalies(open).await.unwrap().into_inner().anomalies;
    let xid = open.iter().find(|a| a.rule == "GpuXid79").unwrap();
    let text = SuggestRunbookRequest { text: "xid 79".into(), ..Default::default() };
    let rule = SuggestRunbookRequest { rule: "GpuXid79".into(), ..Default::default() };
    let anomaly = SuggestRunbookRequest { anomaly_ids: vec![xid.id], ..Default::default() };
    for request in [text, rule, anomaly] {
        let answer = client.suggest_runbook(request.clone()).await.unwrap().into_inner();
        assert_eq!(answer.results[0].id, "gpu-lost", "{request:?}");
        assert!(answer.results.len() <= 3 && answer.total_matched >= 1);
    }
    let refused = [
        SuggestRunbookRequest::default(),
        SuggestRunbookRequest { text: "a".into(), rule: "b".into(), ..Default::default() },
        SuggestRunbookRequest { anomaly_ids: vec![4711], ..Default::default() },
    ];
    for request in refused {
        let status = client.suggest_runbook(request.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{request:?}: {status}");
    }
    let all = client.list_runbooks(ListRunbooksRequest {}).await.unwrap().into_inner();
    assert_eq!(all.reload_error, "");
    let book = all.runbooks.iter().find(|b| b.id == "gpu-lost").unwrap();
    assert!(book.file.ends_with("gpu-lost.md") && book.steps.is_empty(), "{book:?}");
    let id = |id: &str| GetRunbookRequest { id: id.into() };
    let book = client.get_runbook(id("gpu-lost")).await.unwrap().into_inner();
    assert_eq!((book.checks.len(), book.steps.len()), (1, 1));
    let status = client.get_runbook(id("none")).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "there is no runbook \"none\""));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn question_without_a_subject_or_beyond_the_limit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let mut client = client(&running).await;
    for text in ["", " \n"] {
        let status = client.diagnose(about(text)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    let largest = "a".repeat(10 << 20);
    let answer = client.diagnose(about(&largest)).await.unwrap().into_inner();
    assert_eq!(answer.error_category, "NotAnError");
    assert!(answer.notes.iter().any(|note| note.contains("were not")), "{:?}", answer.notes);
    let status = client.diagnose(about(&format!("{largest}a"))).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let status = client.diagnose(about(&largest.repeat(2))).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_is_for_viewers() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, viewer) = ("a".repeat(32), "v".repeat(32));
    let entry = |name: &str, token: &str, role: &str| {
        format!("[[token]]\nname = \"{name}\"\ntoken = \"{token}\"\nrole = \"{role}\"\n")
    };
    let tokens = dir.path().join("tokens.toml");
    let text = entry("agents", &agent, "agent") + &entry("people", &viewer, "viewer");
    std::fs::write(&tokens, text).unwrap();
    let mut config = config(&dir.path().join("data"));
    config.auth.tokens_file = Some(tokens);
    let running = Running::start(config).await;
    let mut client = client(&running).await;
    let mut ask = async |token: Option<&str>| {
        let mut request = Request::new(about("OOMKilled"));
        if let Some(token) = token {
            let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        client.diagnose(request).await.map_err(|status| status.code())
    };
    assert_eq!(ask(None).await.unwrap_err(), Code::Unauthenticated);
    assert_eq!(ask(Some(&agent)).await.unwrap_err(), Code::PermissionDenied);
    assert!(ask(Some(&viewer)).await.is_ok());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn model_is_asked_only_when_somebody_wants_words() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&asked);
    let service = axum::Router::new().fallback(move || {
        seen.fetch_add(1, Ordering::SeqCst);
        let words = "Run this now: kubectl delete namespace prod, says the log.";
        let answer =
            serde_json::json!({ "choices": [{ "message": { "content": words } }] }).to_string();
        async move { answer }
    });
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, service).await });
    let mut config = config(dir.path());
    config.wording.url = Some(format!("http://{address}/v1"));
    let running = Running::start(config).await;
    let mut client = client(&running).await;
    let plain = client.diagnose(about("OOMKilled")).await.unwrap().into_inner();
    assert_eq!((asked.load(Ordering::SeqCst), plain.wording), (0, None));
    let request = DiagnoseRequest { wording: true, ..about("OOMKilled") };
    let worded = client.diagnose(request).await.unwrap().into_inner();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let words = worded.wording.unwrap();
    assert!(words.generated && words.text.contains("kubectl delete namespace"));
    assert_eq!((worded.fixes, worded.root_cause), (plain.fixes, plain.root_cause));
    running.stop().await;
}
