//! The gRPC service `sextant.v1.Query`.

use std::sync::Arc;

use sextant_proto::chain::chain;
use sextant_proto::v1;
use sextant_proto::v1::query_server::Query;
use sextant_proto::v1::{
    InstantRequest, InstantResponse, InstantSample, Lagged, ListAnomaliesRequest,
    ListAnomaliesResponse, ListClustersRequest, ListClustersResponse, ListEntitiesRequest,
    ListEntitiesResponse, ListEventsRequest, ListEventsResponse, ListNodesRequest,
    ListNodesResponse, ListSeriesRequest, ListSeriesResponse, RangeRequest, RangeResponse,
    SubscribeRequest, SubscribeResponse, subscribe_response,
};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use crate::hub::{Notice, Samples};
use crate::pipeline::Shards;
use crate::projection::cloud_events::cloud_event;
use crate::query::{Points, Queries, QueryError, Sample};
use crate::selector::Selector;
use crate::storage::{AnomalyQuery, EventQuery};

/// Samples of one message of a range's stream.
const POINTS_PER_MESSAGE: usize = 16_384;
/// Messages of a stream that wait for a slow client; the query waits with them.
const STREAM_BUFFER: usize = 16;

/// The query service.
#[derive(Clone)]
pub struct QueryService {
    pub queries: Queries,
    /// Where what people do is recorded as events.
    pub shards: Shards,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

impl From<QueryError> for Status {
    fn from(error: QueryError) -> Self {
        let text = chain(&error);
        match error {
            QueryError::Selector(_) | QueryError::Invalid(_) => Status::invalid_argument(text),
            QueryError::Limit(_) => Status::resource_exhausted(text),
            QueryError::Store(_) => Status::unavailable(text),
        }
    }
}

impl QueryService {
    /// Runs what blocks off the event loop.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Queries) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, Status> {
        let queries = self.queries.clone();
        let answer = tokio::task::spawn_blocking(move || question(&queries)).await;
        Ok(answer.map_err(|e| Status::internal(e.to_string()))??)
    }
}

type Stream<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl Query for QueryService {
    type RangeStream = Stream<RangeResponse>;
    type SubscribeStream = Stream<SubscribeResponse>;

    async fn list_clusters(
        &self,
        _: Request<ListClustersRequest>,
    ) -> Result<Response<ListClustersResponse>, Status> {
        let clusters = self.ask(|q| Ok(q.clusters())).await?;
        Ok(Response::new(ListClustersResponse { clusters }))
    }

    async fn list_nodes(
        &self,
        request: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        let request = request.into_inner();
        let nodes = self.ask(move |q| Ok(q.nodes(&request.cluster))).await?;
        Ok(Response::new(ListNodesResponse { nodes }))
    }

    async fn list_entities(
        &self,
        request: Request<ListEntitiesRequest>,
    ) -> Result<Response<ListEntitiesResponse>, Status> {
        let r = request.into_inner();
        let entities = self.ask(move |q| Ok(q.entities(&r.cluster, &r.node, &r.r#type))).await?;
        Ok(Response::new(ListEntitiesResponse { entities }))
    }

    async fn list_series(
        &self,
        request: Request<ListSeriesRequest>,
    ) -> Result<Response<ListSeriesResponse>, Status> {
        let r = request.into_inner();
        let series = self.ask(move |q| q.series(&r.selector, r.limit as usize)).await?;
        let series = series.iter().map(|s| s.to_wire()).collect();
        Ok(Response::new(ListSeriesResponse { series }))
    }

    #[tracing::instrument(skip_all, fields(selector = request.get_ref().selector))]
    async fn instant(
        &self,
        request: Request<InstantRequest>,
    ) -> Result<Response<InstantResponse>, Status> {
        let r = request.into_inner();
        let samples = self.ask(move |q| match r.time_unix_ms {
            0 => q.now(&r.selector),
            time_ms => q.at(&r.selector, time_ms),
        });
        let samples = samples.await?.into_iter().map(wire_sample).collect();
        Ok(Response::new(InstantResponse { samples }))
    }

    #[tracing::instrument(skip_all, fields(selector = request.get_ref().selector))]
    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<Self::RangeStream>, Status> {
        let r = request.into_inner();
        Selector::parse(&r.selector).map_err(QueryError::from)?;
        let queries = self.queries.clone();
        let (sender, receiver) = mpsc::channel(STREAM_BUFFER);
        self.tasks.spawn_blocking(move || {
            let mut send = |points: Points| {
                wire_points(&points).all(|part| sender.blocking_send(Ok(part)).is_ok())
            };
            let end = r.end_unix_ms;
            let outcome = queries.range(&r.selector, r.start_unix_ms, end, r.step_ms, &mut send);
            if let Err(error) = outcome {
                // A client that has gone does not need to know.
                drop(sender.blocking_send(Err(error.into())));
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn list_events(
        &self,
        request: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        let r = request.into_inner();
        let query = EventQuery {
            cluster: given(r.cluster),
            node: given(r.node),
            kind: given(r.r#type),
            start_ms: r.start_unix_ms,
            end_ms: r.end_unix_ms,
            limit: r.limit as usize,
        };
        let events = self.ask(move |q| q.events(query)).await?;
        Ok(Response::new(ListEventsResponse { events }))
    }

    async fn list_anomalies(
        &self,
        request: Request<ListAnomaliesRequest>,
    ) -> Result<Response<ListAnomaliesResponse>, Status> {
        let r = request.into_inner();
        let query = AnomalyQuery {
            cluster: given(r.cluster),
            node: given(r.node),
            active_only: r.active_only,
            start_ms: r.start_unix_ms,
            end_ms: r.end_unix_ms,
            limit: r.limit as usize,
        };
        let anomalies = self.ask(move |q| q.anomalies(query)).await?;
        Ok(Response::new(ListAnomaliesResponse { anomalies }))
    }

    async fn list_incidents(
        &self,
        request: Request<v1::ListIncidentsRequest>,
    ) -> Result<Response<v1::ListIncidentsResponse>, Status> {
        super::incidents::list_incidents(self, request).await
    }

    async fn get_incident(
        &self,
        request: Request<v1::GetIncidentRequest>,
    ) -> Result<Response<v1::GetIncidentResponse>, Status> {
        super::incidents::get_incident(self, request).await
    }

    async fn acknowledge_incident(
        &self,
        request: Request<v1::AcknowledgeIncidentRequest>,
    ) -> Result<Response<v1::AcknowledgeIncidentResponse>, Status> {
        super::incidents::acknowledge_incident(self, request).await
    }

    async fn create_maintenance(
        &self,
        request: Request<v1::CreateMaintenanceRequest>,
    ) -> Result<Response<v1::CreateMaintenanceResponse>, Status> {
        super::incidents::create_maintenance(self, request).await
    }

    async fn list_maintenance(
        &self,
        request: Request<v1::ListMaintenanceRequest>,
    ) -> Result<Response<v1::ListMaintenanceResponse>, Status> {
        super::incidents::list_maintenance(self, request).await
    }

    async fn end_maintenance(
        &self,
        request: Request<v1::EndMaintenanceRequest>,
    ) -> Result<Response<v1::EndMaintenanceResponse>, Status> {
        super::incidents::end_maintenance(self, request).await
    }

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let request = request.into_inner();
        let selector = given(request.selector.clone()).map(|s| Selector::parse(&s)).transpose();
        let selector = selector.map_err(QueryError::from)?;
        let (sender, receiver) = mpsc::channel(STREAM_BUFFER);
        let subscription = Subscription { request, selector, queries: self.queries.clone() };
        let stop = self.stop.clone();
        let notices = self.queries.hub.listen();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {
                    drop(sender.try_send(Err(Status::unavailable("aggregator is stopping"))));
                }
                () = subscription.run(notices, &sender) => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

struct Subscription {
    request: SubscribeRequest,
    selector: Option<Selector>,
    queries: Queries,
}

impl Subscription {
    async fn run(
        self,
        mut notices: broadcast::Receiver<Notice>,
        sender: &mpsc::Sender<Result<SubscribeResponse, Status>>,
    ) {
        let stats = Arc::clone(&self.queries.stats);
        stats.subscribers.add(1);
        loop {
            let notice = tokio::select! {
                notice = notices.recv() => notice,
                () = sender.closed() => break,
            };
            let messages = match notice {
                Ok(notice) => self.messages(notice),
                Err(broadcast::error::RecvError::Lagged(dropped)) => {
                    stats.subscriber_drops.add(dropped);
                    [Some(subscribe_response::Message::Lagged(Lagged { dropped })), None]
                }
                Err(broadcast::error::RecvError::Closed) => break,
            };
            let mut gone = false;
            for message in messages.into_iter().flatten() {
                gone |=
                    sender.send(Ok(SubscribeResponse { message: Some(message) })).await.is_err();
            }
            if gone {
                break;
            }
        }
        stats.subscribers.add(-1);
    }

    /// What a notice is to the subscriber: an event may be two messages.
    fn messages(&self, notice: Notice) -> [Option<subscribe_response::Message>; 2] {
        use subscribe_response::Message;
        let r = &self.request;
        let wanted = |cluster: &str, node: &str| {
            (r.cluster.is_empty() || r.cluster == cluster) && (r.node.is_empty() || r.node == node)
        };
        let message = match notice {
            Notice::Event(e) if wanted(&e.cluster, &e.node) => {
                let cloud = r.cloud_events.then(|| cloud_event(&e)).flatten();
                let plain = r.events.then(|| Message::Event((*e).clone()));
                return [plain, cloud.map(Message::CloudEvent)];
            }
            Notice::Anomaly(a) if r.anomalies && wanted(&a.cluster, &a.node) => {
                Some(Message::Anomaly((*a).clone()))
            }
            Notice::Incident(i) if r.incidents => {
                let about = |name: &String| {
                    name.split_once('/').is_some_and(|(cluster, node)| wanted(cluster, node))
                };
                let everywhere = r.cluster.is_empty() && r.node.is_empty();
                let all = everywhere || i.nodes.iter().any(about);
                all.then(|| Message::Incident((*i).clone()))
            }
            Notice::Samples(samples) => {
                let key = &samples.live.layout.node;
                let selector = self.selector.as_ref().filter(|_| wanted(&key.cluster, &key.name));
                selector.and_then(|selector| pick(selector, &samples))
            }
            _ => None,
        };
        [message, None]
    }
}

/// The samples that a selector matches.
fn pick(selector: &Selector, samples: &Samples) -> Option<subscribe_response::Message> {
    let columns = samples.live.layout.columns.iter().enumerate();
    let matches = |s: &crate::series::Series| {
        selector.matchers().iter().all(|m| m.matches(s.label(m.name()).unwrap_or_default()))
    };
    let mut found = Vec::new();
    for (column, series) in columns.filter(|(_, s)| matches(s)) {
        let rows = samples.values.chunks_exact(samples.live.layout.columns.len().max(1));
        for (tick, row) in samples.ticks_ms.iter().zip(rows) {
            if !sextant_proto::frame::is_absent(row[column]) {
                let series = Arc::clone(series);
                found.push(wire_sample(Sample { series, time_ms: *tick, value: row[column] }));
            }
        }
    }
    let any = !found.is_empty();
    any.then_some(subscribe_response::Message::Samples(InstantResponse { samples: found }))
}

fn wire_sample(sample: Sample) -> InstantSample {
    InstantSample {
        series: Some(sample.series.to_wire()),
        time_unix_ms: sample.time_ms,
        value: sample.value,
    }
}

fn wire_points(points: &Points) -> impl Iterator<Item = RangeResponse> {
    let series = points.series.to_wire();
    let times = points.times_ms.chunks(POINTS_PER_MESSAGE);
    times.zip(points.values.chunks(POINTS_PER_MESSAGE)).map(move |(times, values)| RangeResponse {
        series: Some(series.clone()),
        times_unix_ms: times.to_vec(),
        values: values.to_vec(),
    })
}

pub(super) fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
