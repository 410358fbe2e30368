//! An aggregator with fixed answers, in the test's own process. Two nodes: one lives, one is
//! gone.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use sextant_proto::v1;
use sextant_proto::v1::query_server::{Query, QueryServer};
use sextant_proto::v1::{
    Anomaly, Event, InstantRequest, InstantResponse, InstantSample, Label, ListAnomaliesRequest,
    ListAnomaliesResponse, ListClustersRequest, ListClustersResponse, ListEntitiesRequest,
    ListEntitiesResponse, ListEventsRequest, ListEventsResponse, ListNodesRequest,
    ListNodesResponse, ListSeriesRequest, ListSeriesResponse, MetricKind, Node, RangeRequest,
    RangeResponse, Series, Severity, StoredEvent, SubscribeRequest, SubscribeResponse,
    subscribe_response::Message,
};
use tokio_stream::Stream;
use tokio_util::task::TaskTracker;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// The time that answers are about: 2023-11-14T22:13:20Z.
pub(super) const NOW_MS: i64 = 1_700_000_000_000;

type Answer<T> = Result<Response<T>, Status>;
type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A series and its samples: Unix milliseconds and values.
type Stored = (Series, Vec<(i64, f64)>);

/// What one subscription says before it ends, with or without an error.
pub(super) type Script = Vec<Result<Message, Status>>;

/// What the aggregator knows.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) nodes: Vec<Node>,
    pub(super) events: Mutex<Vec<StoredEvent>>,
    /// Each question about events brings the next of these after its answer.
    pub(super) upcoming: Mutex<VecDeque<StoredEvent>>,
    pub(super) anomalies: Mutex<Vec<Anomaly>>,
    /// For each subscription in turn; a further one is refused.
    pub(super) subscriptions: Mutex<VecDeque<Script>>,
    pub(super) series: Vec<Stored>,
    pub(super) node_lists: AtomicU32,
    pub(super) incidents: Mutex<Vec<v1::Incident>>,
    pub(super) timeline: Vec<v1::IncidentEntry>,
    pub(super) maintenance: Mutex<Vec<v1::Maintenance>>,
}

impl Fake {
    /// Two nodes, with data.
    pub(super) fn with_nodes() -> Self {
        let node = |name: &str, connected, last_seen_unix_ms| Node {
            cluster: "lab".into(),
            name: name.into(),
            connected,
            agent_version: "0.1.0".into(),
            last_seen_unix_ms,
            series: 412,
            ..Node::default()
        };
        let alive = Node { clock_skew_ms: 3, active_anomalies: 2, ..node("a", true, NOW_MS - 400) };
        let gone = Node { clock_skew_ms: -61_000, ..node("b", false, NOW_MS - 7_500_000) };
        Self { nodes: vec![gone, alive], ..Self::default() }
    }

    /// Serves on a port of its own; the endpoint.
    pub(super) async fn serve(self: &Arc<Self>) -> String {
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = incoming.local_addr().expect("bound");
        let service = QueryServer::from_arc(Arc::clone(self));
        let server = tonic::transport::Server::builder().add_service(service);
        TaskTracker::new().spawn(server.serve_with_incoming(incoming));
        format!("http://{address}")
    }

    fn matching(&self, selector: &str) -> Result<Vec<&Stored>, Status> {
        let (metric, matchers) = selector.split_once('{').unwrap_or((selector, ""));
        if metric.is_empty() || (selector.contains('{') && !selector.ends_with('}')) {
            return Err(Status::invalid_argument(format!("selector {selector:?}: unexpected end")));
        }
        let holds = |series: &Series, matcher: &str| {
            let wanted = matcher.split_once('=').map(|(n, v)| (n, v.trim_matches('"')));
            series.labels.iter().any(|l| wanted == Some((&l.name, &l.value)))
        };
        let matchers: Vec<_> =
            matchers.trim_end_matches('}').split(',').filter(|m| !m.is_empty()).collect();
        let all = self.series.iter().filter(|(s, _)| s.metric == metric);
        Ok(all.filter(|(s, _)| matchers.iter().all(|m| holds(s, m))).collect())
    }
}

/// A series of node "a" in "lab".
pub(super) fn series(metric: &str, labels: &[(&str, &str)]) -> Series {
    let mut labels: Vec<_> = [("cluster", "lab"), ("node", "a")]
        .iter()
        .chain(labels)
        .map(|(name, value)| Label { name: (*name).into(), value: (*value).into() })
        .collect();
    labels.sort_by(|a, b| a.name.cmp(&b.name));
    let kind = if metric.ends_with("_total") { MetricKind::Counter } else { MetricKind::Gauge };
    Series { metric: metric.into(), kind: kind.into(), labels, entity_type: "node".into() }
}

/// An event of node "a", so many seconds ago.
pub(super) fn event(id: u64, kind: &str, seconds_ago: i64, message: &str) -> StoredEvent {
    let event = Event {
        time_unix_ms: NOW_MS - seconds_ago * 1000,
        r#type: kind.into(),
        severity: Severity::Warning.into(),
        entity_type: "node".into(),
        message: message.into(),
        ..Event::default()
    };
    StoredEvent { id, cluster: "lab".into(), node: "a".into(), event: Some(event) }
}

/// An anomaly of node "a" that opened so many seconds ago.
pub(super) fn anomaly(id: u64, opened_ago: i64, closed_ago: Option<i64>) -> Anomaly {
    Anomaly {
        id,
        cluster: "lab".into(),
        node: "a".into(),
        detector: "rules".into(),
        rule: "memory_low".into(),
        severity: Severity::Critical.into(),
        entity_type: "node".into(),
        metric: "node_memory_MemAvailable_bytes".into(),
        opened_unix_ms: NOW_MS - opened_ago * 1000,
        closed_unix_ms: closed_ago.map_or(0, |ago| NOW_MS - ago * 1000),
        summary: "2.1% of memory is available".into(),
        action: "find what grows: ps --sort=-rss".into(),
        ..Anomaly::default()
    }
}

#[tonic::async_trait]
impl Query for Fake {
    type RangeStream = Messages<RangeResponse>;
    type SubscribeStream = Messages<SubscribeResponse>;

    async fn list_nodes(&self, request: Request<ListNodesRequest>) -> Answer<ListNodesResponse> {
        self.node_lists.fetch_add(1, Ordering::Relaxed);
        let cluster = request.into_inner().cluster;
        let wanted = |node: &&Node| cluster.is_empty() || node.cluster == cluster;
        let nodes = self.nodes.iter().filter(wanted).cloned().collect();
        Ok(Response::new(ListNodesResponse { nodes }))
    }

    async fn instant(&self, request: Request<InstantRequest>) -> Answer<InstantResponse> {
        let InstantRequest { selector, time_unix_ms } = request.into_inner();
        let until = if time_unix_ms == 0 { i64::MAX } else { time_unix_ms };
        let last = |(series, samples): &Stored| {
            let (time_unix_ms, value) = *samples.iter().rfind(|(t, _)| *t <= until)?;
            Some(InstantSample { series: Some(series.clone()), time_unix_ms, value })
        };
        let samples = self.matching(&selector)?.into_iter().filter_map(last).collect();
        Ok(Response::new(InstantResponse { samples }))
    }

    async fn range(&self, request: Request<RangeRequest>) -> Answer<Self::RangeStream> {
        let RangeRequest { selector, start_unix_ms, end_unix_ms, .. } = request.into_inner();
        let mut parts = Vec::new();
        for (series, samples) in self.matching(&selector)? {
            let within = |(t, _): &&(i64, f64)| (start_unix_ms..=end_unix_ms).contains(t);
            let wanted: Vec<_> = samples.iter().filter(within).collect();
            parts.extend(wanted.chunks(3).map(|part| {
                Ok(RangeResponse {
                    series: Some(series.clone()),
                    times_unix_ms: part.iter().map(|(t, _)| *t).collect(),
                    values: part.iter().map(|(_, v)| *v).collect(),
                })
            }));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(parts))))
    }

    async fn list_events(&self, request: Request<ListEventsRequest>) -> Answer<ListEventsResponse> {
        let request = request.into_inner();
        let wanted = |stored: &&StoredEvent| {
            let event = stored.event.as_ref().expect("every stored event has one");
            event.time_unix_ms >= request.start_unix_ms
                && (request.r#type.is_empty() || event.r#type == request.r#type)
        };
        let mut events: Vec<_> = self.events.lock().iter().filter(wanted).cloned().collect();
        self.events.lock().extend(self.upcoming.lock().pop_front());
        events.reverse();
        events.truncate(usize::try_from(request.limit).expect("fits"));
        Ok(Response::new(ListEventsResponse { events }))
    }

    async fn list_anomalies(
        &self,
        request: Request<ListAnomaliesRequest>,
    ) -> Answer<ListAnomaliesResponse> {
        let request = request.into_inner();
        let wanted = |anomaly: &&Anomaly| match anomaly.closed_unix_ms {
            0 => true,
            closed => !request.active_only && closed >= request.start_unix_ms,
        };
        let anomalies = self.anomalies.lock().iter().filter(wanted).cloned().collect();
        Ok(Response::new(ListAnomaliesResponse { anomalies }))
    }

    async fn subscribe(&self, _: Request<SubscribeRequest>) -> Answer<Self::SubscribeStream> {
        let script = self.subscriptions.lock().pop_front();
        let script = script.ok_or_else(|| Status::permission_denied("viewer may not subscribe"))?;
        let wrap = |message| SubscribeResponse { message: Some(message) };
        let messages: Vec<_> = script.into_iter().map(|m| m.map(wrap)).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
    }

    async fn list_clusters(&self, _: Request<ListClustersRequest>) -> Answer<ListClustersResponse> {
        Err(Status::unimplemented("not asked by any command"))
    }

    async fn list_entities(&self, _: Request<ListEntitiesRequest>) -> Answer<ListEntitiesResponse> {
        Err(Status::unimplemented("not asked by any command"))
    }

    async fn list_series(&self, _: Request<ListSeriesRequest>) -> Answer<ListSeriesResponse> {
        Err(Status::unimplemented("not asked by any command"))
    }

    async fn list_incidents(
        &self,
        request: Request<v1::ListIncidentsRequest>,
    ) -> Answer<v1::ListIncidentsResponse> {
        let request = request.into_inner();
        let wanted = |i: &&v1::Incident| match i.closed_unix_ms {
            0 => true,
            closed => !request.active_only && closed >= request.start_unix_ms,
        };
        let incidents = self.incidents.lock().iter().filter(wanted).cloned().collect();
        Ok(Response::new(v1::ListIncidentsResponse { incidents }))
    }

    async fn get_incident(
        &self,
        request: Request<v1::GetIncidentRequest>,
    ) -> Answer<v1::GetIncidentResponse> {
        let id = request.into_inner().id;
        let found = self.incidents.lock().iter().find(|i| i.id == id).cloned();
        let incident = found.ok_or_else(|| Status::not_found(format!("no incident {id}")))?;
        let timeline = self.timeline.clone();
        Ok(Response::new(v1::GetIncidentResponse { incident: Some(incident), timeline }))
    }

    async fn acknowledge_incident(
        &self,
        request: Request<v1::AcknowledgeIncidentRequest>,
    ) -> Answer<v1::AcknowledgeIncidentResponse> {
        let v1::AcknowledgeIncidentRequest { id, note } = request.into_inner();
        let mut incidents = self.incidents.lock();
        let found = incidents.iter_mut().find(|i| i.id == id);
        let incident = found.ok_or_else(|| Status::not_found(format!("no open incident {id}")))?;
        (incident.acknowledged_by, incident.acknowledged_note) = ("ann".into(), note);
        incident.acknowledged_unix_ms = NOW_MS;
        let incident = Some(incident.clone());
        Ok(Response::new(v1::AcknowledgeIncidentResponse { incident }))
    }

    async fn create_maintenance(
        &self,
        request: Request<v1::CreateMaintenanceRequest>,
    ) -> Answer<v1::CreateMaintenanceResponse> {
        let r = request.into_inner();
        let mut windows = self.maintenance.lock();
        let window = v1::Maintenance {
            id: windows.len() as u64 + 1,
            cluster: r.cluster,
            node: r.node,
            entity_type: r.entity_type,
            entity: r.entity,
            from_unix_ms: r.from_unix_ms,
            to_unix_ms: r.to_unix_ms,
            created_by: "ann".into(),
            reason: r.reason,
            created_unix_ms: NOW_MS,
            ..v1::Maintenance::default()
        };
        windows.push(window.clone());
        Ok(Response::new(v1::CreateMaintenanceResponse { maintenance: Some(window) }))
    }

    async fn list_maintenance(
        &self,
        request: Request<v1::ListMaintenanceRequest>,
    ) -> Answer<v1::ListMaintenanceResponse> {
        let all = request.into_inner().all;
        let wanted = |w: &&v1::Maintenance| all || w.ended_unix_ms == 0;
        let maintenance = self.maintenance.lock().iter().filter(wanted).cloned().collect();
        Ok(Response::new(v1::ListMaintenanceResponse { maintenance }))
    }

    async fn end_maintenance(
        &self,
        request: Request<v1::EndMaintenanceRequest>,
    ) -> Answer<v1::EndMaintenanceResponse> {
        let id = request.into_inner().id;
        let mut windows = self.maintenance.lock();
        let found = windows.iter_mut().find(|w| w.id == id);
        let window = found.ok_or_else(|| Status::not_found(format!("no window {id}")))?;
        (window.ended_unix_ms, window.ended_by) = (NOW_MS, "ann".into());
        let maintenance = Some(window.clone());
        Ok(Response::new(v1::EndMaintenanceResponse { maintenance }))
    }
}
