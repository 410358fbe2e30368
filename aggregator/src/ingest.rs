//! The service that agents push to. A session reads one stream: hello, then layouts and frames,
//! which it hands to the node's shard; beside it the acks of what is on disk go back.

use std::sync::Arc;
use std::time::Duration;

use sextant_proto::layout;
use sextant_proto::limits;
use sextant_proto::v1::telemetry_ingest_server::TelemetryIngest;
use sextant_proto::v1::{
    Ack, Event, Hello, HelloAck, Label, LayoutRecord, PositionRequest, PositionResponse,
    PushRequest, PushResponse, Refused, Severity, push_request, push_response,
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, info, warn};

use crate::auth::Principal;
use crate::clock;
use crate::nodes::{Node, Spool, Welcome};
use crate::pipeline::{Job, Shards, Shared};
use crate::storage::{Change, MAX_SEQ};

/// A stream that does not say hello by then is closed.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Responses that wait for an agent that does not read them. Full: acks wait, which costs only
/// the agent; refusals beyond it are not sent, only counted.
const RESPONSES: usize = 64;
/// How long an agent that asks for its position waits for what is on its way to the disk.
const POSITION_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a session that was told to end is looked after.
const SESSION_POLL: Duration = Duration::from_millis(5);
/// A clock that is off by more is worth an event.
const SKEW_EVENT_MS: i64 = 5_000;

/// The ingest service.
#[derive(Clone)]
pub struct Ingest {
    pub shared: Shared,
    pub shards: Shards,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

type Responses = mpsc::Sender<Result<PushResponse, Status>>;

#[tonic::async_trait]
impl TelemetryIngest for Ingest {
    type PushStream = ReceiverStream<Result<PushResponse, Status>>;

    async fn push(
        &self,
        request: Request<Streaming<PushRequest>>,
    ) -> Result<Response<Self::PushStream>, Status> {
        let principal = request.extensions().get::<Principal>().cloned();
        let principal = principal.ok_or_else(|| Status::internal("no principal"))?;
        let (responses, stream) = mpsc::channel(RESPONSES);
        let session = self.clone().session(principal, request.into_inner(), responses);
        self.tasks.spawn(session);
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn position(
        &self,
        request: Request<PositionRequest>,
    ) -> Result<Response<PositionResponse>, Status> {
        let principal = request.extensions().get::<Principal>().cloned();
        let principal = principal.ok_or_else(|| Status::internal("no principal"))?;
        let asked = request.into_inner();
        may_speak_for(&principal, &asked.node)?;
        let found = tokio::time::timeout(POSITION_TIMEOUT, self.settled_position(&asked)).await;
        let committed_seq = found.map_err(|_| {
            Status::unavailable("what came of the spool is not stored yet: ask again")
        })??;
        Ok(Response::new(PositionResponse { committed_seq }))
    }
}

impl Ingest {
    /// What is on disk of a spool, when nothing of it is on its way any more.
    async fn settled_position(&self, asked: &PositionRequest) -> Result<u64, Status> {
        let PositionRequest { cluster, node, spool_id } = asked;
        let Some((node, spool)) = self.shared.nodes.find_spool(cluster, node, spool_id) else {
            return Ok(0);
        };
        while node.end_session(spool_id) {
            tokio::time::sleep(SESSION_POLL).await;
        }
        let (done, settled) = oneshot::channel();
        let stopping = || Status::unavailable("aggregator is stopping");
        if !self.shards.send(node.key.id, Job::Settled(done)).await {
            return Err(stopping());
        }
        settled.await.map_err(|_| stopping())?;
        let mut committed = spool.committed();
        let stored = committed.wait_for(|seq| *seq >= spool.applied()).await;
        stored.map(|seq| *seq).map_err(|_| stopping())
    }

    async fn session(
        self,
        principal: Principal,
        mut stream: Streaming<PushRequest>,
        responses: Responses,
    ) {
        let end = self.stop.child_token();
        let stats = Arc::clone(&self.shared.stats);
        let welcome = match self.hello(&principal, &mut stream, &end).await {
            Ok(welcome) => welcome,
            Err(status) => {
                stats.sessions_refused.add(refusal_name(&status));
                info!(agent = %principal.name, status = status.message(), "agent refused");
                drop(responses.send(Err(status)).await);
                return;
            }
        };
        stats.sessions_opened.add(1);
        stats.sessions.add(1);
        let Welcome { node, spool, claim, .. } = welcome;
        let (refusals, refused) = mpsc::channel(RESPONSES);
        let acks = acknowledge(Arc::clone(&spool), responses, refused, end.clone());
        let acks = self.tasks.spawn(acks);
        let outcome = tokio::select! {
            () = end.cancelled() => Ok(()),
            outcome = self.receive(&node, &spool, &mut stream, refusals) => outcome,
        };
        let why = match outcome {
            Ok(()) => "stream ended".to_owned(),
            Err(status) => status.message().to_owned(),
        };
        end.cancel();
        drop(acks.await);
        drop(claim);
        stats.sessions.add(-1);
        debug!(cluster = %node.key.cluster, node = %node.key.name, why, "agent disconnected");
        if !node.is_connected() {
            let left = Job::Store(vec![Change::Node(node.record())]);
            self.shards.send(node.key.id, left).await;
        }
        // That everyone leaves when this process stops says nothing of the nodes.
        if !node.is_connected() && !self.stop.is_cancelled() {
            let event = node_event(
                "node.disconnected",
                Severity::Info,
                format!("agent disconnected: {why}"),
            );
            self.shards.send(node.key.id, Job::Event(Arc::clone(&node.key), event)).await;
        }
    }

    async fn hello(
        &self,
        principal: &Principal,
        stream: &mut Streaming<PushRequest>,
        end: &CancellationToken,
    ) -> Result<Welcome, Status> {
        let first = tokio::time::timeout(HELLO_TIMEOUT, stream.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no hello within 10 s"))??;
        let Some(PushRequest { message: Some(push_request::Message::Hello(hello)) }) = first else {
            return Err(Status::invalid_argument("the first message is not a hello"));
        };
        check_hello(&hello).map_err(Status::invalid_argument)?;
        may_speak_for(principal, &hello.node)?;
        let now = clock::now_ms();
        let welcome = self.shared.nodes.welcome(&hello, now, end);
        let welcome = welcome.map_err(|claimed| Status::already_exists(claimed.to_string()))?;
        let mut changes = vec![Change::Node(welcome.record.clone())];
        changes.extend(welcome.new_spool.clone().map(Change::Spool));
        let new = self.shared.catalog.describe(&hello.metrics);
        if !new.is_empty() {
            changes.push(Change::Metrics(new));
        }
        let key = &welcome.node.key;
        self.shards.send(key.id, Job::Store(changes)).await;
        for event in hello_events(&hello, &welcome) {
            self.shards.send(key.id, Job::Event(Arc::clone(key), event)).await;
        }
        info!(cluster = %key.cluster, node = %key.name, version = hello.agent_version, "agent connected");
        Ok(welcome)
    }

    async fn receive(
        &self,
        node: &Arc<Node>,
        spool: &Arc<Spool>,
        stream: &mut Streaming<PushRequest>,
        refusals: mpsc::Sender<Refused>,
    ) -> Result<(), Status> {
        let mut layouts = 0;
        while let Some(request) = stream.message().await? {
            match request.message {
                Some(push_request::Message::Frame(frame)) => {
                    if frame.seq == 0 || frame.seq > MAX_SEQ {
                        return Err(Status::invalid_argument(format!(
                            "seq {} is impossible",
                            frame.seq
                        )));
                    }
                    let job = Job::Frame {
                        node: Arc::clone(node),
                        spool: Arc::clone(spool),
                        frame,
                        refusals: refusals.clone(),
                    };
                    if !self.shards.send(node.key.id, job).await {
                        return Err(Status::unavailable("aggregator is stopping"));
                    }
                }
                Some(push_request::Message::Layout(record)) => {
                    layouts += 1;
                    if layouts > limits::MAX_LAYOUTS_PER_STREAM {
                        let text = format!(
                            "over the limit of {} layouts a stream",
                            limits::MAX_LAYOUTS_PER_STREAM
                        );
                        return Err(Status::resource_exhausted(text));
                    }
                    self.layout(node, &record).await;
                }
                Some(push_request::Message::Hello(_)) => {
                    return Err(Status::invalid_argument("a second hello on one stream"));
                }
                // A message that a newer agent knows and this version does not.
                None => {}
            }
        }
        Ok(())
    }

    /// Takes a layout in. One that is refused is counted; the frames that follow it will be
    /// refused by their seq.
    async fn layout(&self, node: &Arc<Node>, record: &LayoutRecord) {
        if self.shared.catalog.layout_by_hash(node.key.id, record.hash).is_some() {
            return;
        }
        let decoded = layout::decode(record.hash, &record.layout).map_err(|e| e.to_string());
        let decoded = decoded.and_then(|layout| {
            let limit = limits::MAX_SERIES_PER_NODE;
            let live = self.shared.catalog.live_columns(node.key.id, clock::now_ms());
            let fits = live + layout::columns(&layout) <= limit;
            fits.then_some(layout).ok_or_else(|| format!("over the limit of {limit} series a node"))
        });
        match decoded {
            Ok(layout) => {
                let catalog = &self.shared.catalog;
                let (_, new) = catalog.add_layout(&node.key, record.hash, &record.layout, &layout);
                if let Some(new) = new {
                    self.shards.send(node.key.id, Job::Store(vec![Change::Layout(new)])).await;
                }
            }
            Err(error) => {
                self.shared.stats.layouts_refused.add(1);
                warn!(cluster = %node.key.cluster, node = %node.key.name, error, "layout refused");
            }
        }
    }
}

/// Sends what is on disk, and what was refused, until the session ends.
async fn acknowledge(
    spool: Arc<Spool>,
    responses: Responses,
    mut refused: mpsc::Receiver<Refused>,
    end: CancellationToken,
) {
    let mut committed = spool.committed();
    let committed_seq = *committed.borrow_and_update();
    let aggregator_version = env!("CARGO_PKG_VERSION").to_owned();
    let mut next = push_response::Message::Hello(HelloAck { committed_seq, aggregator_version });
    loop {
        let response = PushResponse { message: Some(next) };
        let sent = tokio::select! {
            sent = responses.send(Ok(response)) => sent.is_ok(),
            () = end.cancelled() => false,
        };
        if !sent {
            break;
        }
        next = tokio::select! {
            biased;
            () = end.cancelled() => break,
            Some(refusal) = refused.recv() => push_response::Message::Refused(refusal),
            changed = committed.changed() => {
                if changed.is_err() {
                    break;
                }
                push_response::Message::Ack(Ack { committed_seq: *committed.borrow_and_update() })
            }
        };
    }
    end.cancel();
    drop(responses.try_send(Err(Status::unavailable("the stream is over: connect again"))));
}

fn may_speak_for(principal: &Principal, node: &str) -> Result<(), Status> {
    if principal.node.as_deref().is_some_and(|own| own != node) {
        let text = format!("{} may not speak for node {node}", principal.name);
        return Err(Status::permission_denied(text));
    }
    Ok(())
}

fn check_hello(hello: &Hello) -> Result<(), String> {
    for (what, name) in [("cluster", &hello.cluster), ("node", &hello.node)] {
        let dns = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if name.is_empty() || name.len() > limits::MAX_NODE_NAME_BYTES || !name.chars().all(dns) {
            return Err(format!("{what} name {name:?} is not a DNS name"));
        }
    }
    let long = |text: &String| text.len() > limits::MAX_NAME_BYTES;
    let texts = [&hello.spool_id, &hello.boot_id, &hello.agent_version];
    if hello.spool_id.is_empty() || texts.into_iter().chain(&hello.capabilities).any(long) {
        return Err("spool id, boot id, version or a capability is empty or too long".into());
    }
    Ok(())
}

fn hello_events(hello: &Hello, welcome: &Welcome) -> Vec<Event> {
    let mut events = Vec::new();
    let mut connected = node_event(
        "node.connected",
        Severity::Info,
        format!("agent {} connected", hello.agent_version),
    );
    connected.attributes =
        vec![Label { name: "agent_version".into(), value: hello.agent_version.clone() }];
    events.push(connected);
    if welcome.previous_boot.as_ref().is_some_and(|boot| *boot != hello.boot_id) {
        events.push(node_event("node.rebooted", Severity::Warning, "node rebooted".into()));
    }
    let skew = welcome.record.clock_skew_ms;
    if skew.abs() > SKEW_EVENT_MS {
        let text = format!("node's clock is {:+.1} s off the aggregator's", skew as f64 / 1e3);
        events.push(node_event("node.clock_skew", Severity::Warning, text));
    }
    events
}

fn node_event(kind: &str, severity: Severity, message: String) -> Event {
    Event {
        r#type: kind.into(),
        severity: severity.into(),
        entity_type: "node".into(),
        message,
        ..Event::default()
    }
}

fn refusal_name(status: &Status) -> &'static str {
    match status.code() {
        tonic::Code::AlreadyExists => "node_claimed",
        tonic::Code::PermissionDenied => "permission",
        tonic::Code::DeadlineExceeded => "no_hello",
        _ => "invalid",
    }
}
