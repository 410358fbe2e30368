//! The questions over gRPC: clusters, nodes, entities, series, values now, then and over time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use sextant_proto::v1::query_client::QueryClient;
use sextant_proto::v1::{
    InstantRequest, Label, Layout, LayoutEntity, LayoutMetric, LayoutSeries, ListClustersRequest,
    ListEntitiesRequest, ListNodesRequest, ListSeriesRequest, RangeRequest,
};
use support::{Agent, Running, config, hello, now_ms, record};
use tonic::Code;
use tonic::transport::Channel;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

fn label(name: &str, value: &str) -> Label {
    Label { name: name.into(), value: value.into() }
}

/// A node with two CPUs of two modes, and a load.
fn layout() -> Layout {
    let series = |metric, labels| LayoutSeries { metric, labels };
    let cpu = |cpu: &str| LayoutEntity {
        r#type: "cpu".into(),
        labels: vec![label("cpu", cpu)],
        series: ["idle", "user"].map(|m| series(0, vec![label("mode", m)])).into(),
    };
    let node =
        LayoutEntity { r#type: "node".into(), labels: vec![], series: vec![series(1, vec![])] };
    let metric = |name: &str, kind| LayoutMetric { name: name.into(), kind };
    Layout {
        collector: "test".into(),
        interval_ms: 1000,
        metrics: vec![metric("cpu_seconds_total", 2), metric("load", 1)],
        entities: vec![cpu("0"), cpu("1"), node],
    }
}

/// Two nodes that have sent `ticks` ticks each, one a second, the last one about now.
async fn fleet(running: &Running, ticks: i64) -> (Vec<Agent>, i64) {
    let layout = record(&layout());
    let start = now_ms() - ticks * 1000;
    let mut agents = Vec::new();
    for (offset, node) in [(0.0, "a"), (1000.0, "b")] {
        let mut agent = Agent::connect(&running.grpc, hello(node, node)).await.unwrap();
        agent.layout(&layout).await;
        for tick in 0..ticks {
            let value = offset + tick as f64;
            let row = [value, value + 0.1, value + 0.2, value + 0.3, value + 0.5];
            let seq = u64::try_from(tick + 1).unwrap();
            agent.frame(seq, layout.hash, start + tick * 1000, &row).await;
        }
        agent.acked(u64::try_from(ticks).unwrap()).await;
        agents.push(agent);
    }
    (agents, start)
}

async fn range(
    client: &mut QueryClient<Channel>,
    request: RangeRequest,
) -> Result<Vec<(i64, f64)>, tonic::Status> {
    let mut stream = client.range(request).await?.into_inner();
    let mut points = Vec::new();
    while let Some(part) = stream.message().await? {
        points.extend(part.times_unix_ms.into_iter().zip(part.values));
    }
    Ok(points)
}

#[tokio::test(flavor = "multi_thread")]
async fn inventory_is_what_agents_send() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let (agents, _) = fleet(&running, 3).await;
    let mut client = running.query().await;
    let clusters = client.list_clusters(ListClustersRequest {}).await.unwrap().into_inner();
    let of = |c: &sextant_proto::v1::Cluster| (c.name.clone(), c.nodes, c.connected_nodes);
    assert_eq!(clusters.clusters.iter().map(of).collect::<Vec<_>>(), [("test".into(), 2, 2)]);
    let nodes = client.list_nodes(ListNodesRequest::default()).await.unwrap().into_inner().nodes;
    let of = |n: &sextant_proto::v1::Node| (n.name.clone(), n.connected, n.series);
    assert_eq!(
        nodes.iter().map(of).collect::<Vec<_>>(),
        [("a".into(), true, 5), ("b".into(), true, 5)]
    );
    let other = ListNodesRequest { cluster: "other".into() };
    assert!(client.list_nodes(other).await.unwrap().into_inner().nodes.is_empty());

    let request = ListEntitiesRequest { node: "a".into(), ..Default::default() };
    let entities = client.list_entities(request).await.unwrap().into_inner().entities;
    let of = |e: &sextant_proto::v1::Entity| (e.r#type.clone(), e.labels.clone(), e.series);
    let want = [
        ("cpu".to_owned(), vec![label("cpu", "0")], 2),
        ("cpu".to_owned(), vec![label("cpu", "1")], 2),
        ("node".to_owned(), vec![], 1),
    ];
    assert_eq!(entities.iter().map(of).collect::<Vec<_>>(), want);
    let request = ListEntitiesRequest { r#type: "node".into(), ..Default::default() };
    assert_eq!(client.list_entities(request).await.unwrap().into_inner().entities.len(), 2);

    let selector = "cpu_seconds_total{node=\"b\",mode=\"user\"}".to_owned();
    let request = ListSeriesRequest { selector, limit: 0 };
    let series = client.list_series(request).await.unwrap().into_inner().series;
    let labels: Vec<_> =
        series[0].labels.iter().map(|l| format!("{}={}", l.name, l.value)).collect();
    assert_eq!(labels, ["cluster=test", "cpu=0", "mode=user", "node=b"]);
    assert_eq!((series.len(), series[0].kind, &*series[0].entity_type), (2, 2, "cpu"));
    drop(agents);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_now_then_and_at_steps() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    // More than one chunk, so that blocks and heads answer together.
    let ticks = 300;
    let (agents, start) = fleet(&running, ticks).await;
    let mut client = running.query().await;
    let now =
        InstantRequest { selector: "load".into(), time_unix_ms: 0, ..InstantRequest::default() };
    let now = client.instant(now).await.unwrap().into_inner().samples;
    let values: Vec<f64> = now.iter().map(|s| s.value).collect();
    assert_eq!(values, [299.5, 1299.5]);

    let selector = "load{node=\"a\"}".to_owned();
    let at = |time_unix_ms| InstantRequest {
        selector: selector.clone(),
        time_unix_ms,
        ..InstantRequest::default()
    };
    let then = client.instant(at(start + 100_500)).await.unwrap().into_inner().samples;
    assert_eq!((then.len(), then[0].time_unix_ms, then[0].value), (1, start + 100_000, 100.5));
    assert!(client.instant(at(start - 1)).await.unwrap().into_inner().samples.is_empty());

    let asked = |start_unix_ms, end_unix_ms, step_ms| RangeRequest {
        selector: selector.clone(),
        start_unix_ms,
        end_unix_ms,
        step_ms,
        ..RangeRequest::default()
    };
    let raw = range(&mut client, asked(start + 10_000, start + 12_000, 0)).await.unwrap();
    let want: Vec<_> = (10..=12).map(|t| (start + t * 1000, t as f64 + 0.5)).collect();
    assert_eq!(raw, want);
    let all = range(&mut client, asked(0, i64::MAX / 2, 0)).await.unwrap();
    assert_eq!(all.len(), usize::try_from(ticks).unwrap());
    let stepped = range(&mut client, asked(start + 500, start + 60_500, 30_000)).await.unwrap();
    let want = [0, 30, 60].map(|t| (start + 500 + t * 1000, t as f64 + 0.5));
    assert_eq!(stepped, want);
    // After the last sample a step still sees it for the lookback of five minutes, no longer.
    let last = start + (ticks - 1) * 1000;
    let after = range(&mut client, asked(last + 299_999, last + 300_001, 1)).await.unwrap();
    assert_eq!(after, [(last + 299_999, 299.5)]);
    drop(agents);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_questions_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let (agents, _) = fleet(&running, 2).await;
    let mut client = running.query().await;
    let asked = |selector: &str, start, end, step_ms| RangeRequest {
        selector: selector.into(),
        start_unix_ms: start,
        end_unix_ms: end,
        step_ms,
        ..RangeRequest::default()
    };
    for (request, code, want) in [
        (asked("rate(load[5m])", 0, 1, 0), Code::InvalidArgument, "not a series selector"),
        (asked("load", 2, 1, 0), Code::InvalidArgument, "ends before it starts"),
        (asked("load", 0, 1, -1), Code::InvalidArgument, "step is negative"),
        (asked("load", i64::MIN, i64::MAX, 1), Code::ResourceExhausted, "longer step"),
        (asked("load", 0, i64::MAX / 2, 1), Code::ResourceExhausted, "longer step"),
    ] {
        let status = range(&mut client, request).await.unwrap_err();
        assert_eq!(status.code(), code);
        assert!(status.message().contains(want), "{status:?} does not say {want:?}");
    }
    for time_unix_ms in [i64::MIN, i64::MAX] {
        let request =
            InstantRequest { selector: "load".into(), time_unix_ms, ..InstantRequest::default() };
        assert!(client.instant(request).await.unwrap().into_inner().samples.is_empty());
    }
    let whole = range(&mut client, asked("load", i64::MIN, i64::MAX, i64::MAX)).await;
    assert!(whole.unwrap().is_empty());
    drop(agents);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_names_the_services() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let mut client = ServerReflectionClient::new(running.channel().await);
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers =
        client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = list.service.iter().map(|s| &*s.name).collect();
    for want in ["sextant.v1.Query", "sextant.v1.TelemetryIngest"] {
        assert!(names.contains(&want), "{names:?}");
    }
    drop(answers);
    running.stop().await;
}
