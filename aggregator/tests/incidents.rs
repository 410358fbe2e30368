//! Incidents in a running aggregator: opened by what an agent sends, told to subscribers,
//! acknowledged, kept over a restart, silent in maintenance.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::time::Duration;

use sextant_proto::v1::query_client::QueryClient;
use sextant_proto::v1::subscribe_response::Message;
use sextant_proto::v1::{
    AcknowledgeIncidentRequest, CreateMaintenanceRequest, EndMaintenanceRequest, Event,
    GetIncidentRequest, Incident, IncidentState, Label, Layout, LayoutEntity, LayoutMetric,
    LayoutSeries, ListEventsRequest, ListIncidentsRequest, ListMaintenanceRequest, Severity,
    SubscribeRequest,
};
use support::{Agent, Running, config, hello, now_ms, record};
use tonic::transport::Channel;
use tonic::{Code, Request};

fn label(name: &str, value: &str) -> Label {
    Label { name: name.into(), value: value.into() }
}

/// A node with one GPU that a pod has.
async fn gpu_node(running: &Running, node: &str) -> Agent {
    let series = |metric, labels| LayoutSeries { metric, labels };
    let owner = vec![label("namespace", "ml"), label("pod", "train-0"), label("container", "m")];
    let layout = record(&Layout {
        collector: "gpu".into(),
        interval_ms: 1000,
        metrics: ["gpu_info", "gpu_pod_info"]
            .map(|name| LayoutMetric { name: name.into(), kind: 1 })
            .into(),
        entities: vec![LayoutEntity {
            r#type: "gpu".into(),
            labels: vec![label("uuid", "GPU-1")],
            series: vec![series(0, vec![label("pci_bus_id", "0000:3b:00.0")]), series(1, owner)],
        }],
    });
    let mut agent = Agent::connect(&running.grpc, hello(node, node)).await.unwrap();
    agent.layout(&layout).await;
    agent.frame(1, layout.hash, now_ms(), &[1.0, 1.0]).await;
    agent
}

fn xid(xid: &str) -> Event {
    Event {
        time_unix_ms: now_ms(),
        r#type: "gpu.xid".into(),
        severity: Severity::Critical.into(),
        entity_type: "gpu".into(),
        entity: vec![label("uuid", "GPU-1")],
        attributes: vec![label("xid", xid), label("pci_bus_id", "0000:3b:00.0")],
        message: format!("Xid {xid}"),
    }
}

async fn open(client: &mut QueryClient<Channel>) -> Vec<Incident> {
    let request = ListIncidentsRequest { active_only: true, ..Default::default() };
    client.list_incidents(request).await.unwrap().into_inner().incidents
}

/// Waits until there is what is wanted.
async fn until(
    client: &mut QueryClient<Channel>,
    holds: impl Fn(&[Incident]) -> bool,
) -> Vec<Incident> {
    for _ in 0..600 {
        let incidents = open(client).await;
        if holds(&incidents) {
            return incidents;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came: {:#?}", open(client).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn incident_is_opened_told_acknowledged_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let mut agent = gpu_node(&running, "a").await;
    let mut client = running.query().await;
    let request = SubscribeRequest { incidents: true, node: "a".into(), ..Default::default() };
    let mut told = client.subscribe(request).await.unwrap().into_inner();
    agent.events(2, vec![xid("79"), xid("154")]).await;
    agent.acked(2).await;

    let incident = until(&mut client, |open| open.len() == 1).await.remove(0);
    assert_eq!(incident.causes[0].class, "gpu.off_bus");
    assert_eq!((incident.paged, incident.severity()), (true, Severity::Critical));
    assert_eq!(incident.nodes, ["test/a"]);
    assert_eq!(incident.affected[0].pod, "train-0");
    let first = told.message().await.unwrap().unwrap().message.unwrap();
    let Message::Incident(first) = first else { panic!("{first:?}") };
    assert_eq!(first.id, incident.id);

    let ack = AcknowledgeIncidentRequest { id: incident.id, note: "on it".into() };
    let done = client.acknowledge_incident(ack).await.unwrap().into_inner().incident.unwrap();
    assert_eq!((&*done.acknowledged_by, &*done.acknowledged_note), ("loopback", "on it"));
    let none = AcknowledgeIncidentRequest { id: 99, note: String::new() };
    assert_eq!(client.acknowledge_incident(none).await.unwrap_err().code(), Code::NotFound);
    let events = ListEventsRequest { r#type: "incident.acknowledged".into(), ..Default::default() };
    let mut audited = Vec::new();
    for _ in 0..600 {
        audited = client.list_events(events.clone()).await.unwrap().into_inner().events;
        if !audited.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(audited.len(), 1);
    drop((client, told, agent));
    running.stop().await;

    let running = Running::start(config(dir.path())).await;
    let mut client = running.query().await;
    let again = until(&mut client, |open| open.len() == 1).await.remove(0);
    assert_eq!((again.id, &*again.acknowledged_by), (incident.id, "loopback"));
    assert_eq!((again.state(), again.paged), (IncidentState::Open, true));
    let one = GetIncidentRequest { id: again.id };
    let got = client.get_incident(one).await.unwrap().into_inner();
    let kinds: Vec<&str> = got.timeline.iter().map(|e| &*e.kind).collect();
    assert_eq!(kinds[..2], ["opened", "paged"]);
    assert!(kinds.contains(&"acknowledged"), "{kinds:?}");
    assert_eq!(
        client.get_incident(GetIncidentRequest { id: 77 }).await.unwrap_err().code(),
        Code::NotFound
    );
    drop(client);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_keeps_silent_and_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let mut agent = gpu_node(&running, "a").await;
    agent.acked(1).await;
    let mut client = running.query().await;
    let window = CreateMaintenanceRequest {
        node: "a".into(),
        to_unix_ms: now_ms() + 3_600_000,
        reason: "new fan".into(),
        ..Default::default()
    };
    let bad = CreateMaintenanceRequest { reason: String::new(), ..window.clone() };
    assert_eq!(client.create_maintenance(bad).await.unwrap_err().code(), Code::InvalidArgument);
    let made = client.create_maintenance(window).await.unwrap().into_inner().maintenance.unwrap();
    assert_eq!((made.id, &*made.created_by), (1, "loopback"));
    agent.events(2, vec![xid("79")]).await;
    let incident = until(&mut client, |open| open.len() == 1).await.remove(0);
    assert_eq!((incident.in_maintenance, incident.paged), (true, false));
    drop((client, agent));
    running.stop().await;

    let running = Running::start(config(dir.path())).await;
    let mut client = running.query().await;
    let list = |all| ListMaintenanceRequest { all };
    let windows = client.list_maintenance(list(false)).await.unwrap().into_inner().maintenance;
    assert_eq!((windows.len(), &windows[0]), (1, &made));
    client.end_maintenance(EndMaintenanceRequest { id: 1 }).await.unwrap();
    let again = client.end_maintenance(EndMaintenanceRequest { id: 1 }).await.unwrap_err();
    assert_eq!(again.code(), Code::NotFound);
    assert!(
        client.list_maintenance(list(false)).await.unwrap().into_inner().maintenance.is_empty()
    );
    let all = client.list_maintenance(list(true)).await.unwrap().into_inner().maintenance;
    assert_eq!((all.len(), &*all[0].ended_by), (1, "loopback"));
    // The fault is still there.
    until(&mut client, |open| open.iter().any(|i| i.paged)).await;
    drop(client);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewer_reads_and_changes_nothing() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens.toml");
    std::fs::write(&tokens, format!("[[token]]\nname='v'\ntoken='{TOKEN}'\nrole='viewer'\n"))
        .unwrap();
    let mut settings = config(&dir.path().join("data"));
    settings.auth.tokens_file = Some(tokens);
    let running = Running::start(settings).await;
    let mut client = running.query().await;
    let header = format!("Bearer {TOKEN}").parse::<tonic::metadata::MetadataValue<_>>().unwrap();
    fn with<T>(
        message: T,
        header: &tonic::metadata::MetadataValue<tonic::metadata::Ascii>,
    ) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", header.clone());
        request
    }
    client.list_incidents(with(ListIncidentsRequest::default(), &header)).await.unwrap();
    client.list_maintenance(with(ListMaintenanceRequest::default(), &header)).await.unwrap();
    let ack = with(AcknowledgeIncidentRequest::default(), &header);
    let refused = client.acknowledge_incident(ack).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let create = with(CreateMaintenanceRequest::default(), &header);
    assert_eq!(client.create_maintenance(create).await.unwrap_err().code(), Code::PermissionDenied);
    let end = with(EndMaintenanceRequest { id: 1 }, &header);
    assert_eq!(client.end_maintenance(end).await.unwrap_err().code(), Code::PermissionDenied);
    drop(client);
    running.stop().await;
}
