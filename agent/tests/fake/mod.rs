//! An aggregator's ingest service in this process: keeps what it is sent, checks the order of it,
//! and misbehaves as a test says.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sextant_proto::frame::Decoder;
use sextant_proto::layout;
use sextant_proto::v1::push_request::Message as Request;
use sextant_proto::v1::push_response::Message as Response;
use sextant_proto::v1::telemetry_ingest_server::{TelemetryIngest, TelemetryIngestServer};
use sextant_proto::v1::{
    Ack, Hello, HelloAck, PositionRequest, PositionResponse, PushRequest, PushResponse,
    RefusalReason, Refused,
};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::{Server, TcpIncoming};
use tonic::{Code, Status, Streaming};

/// How it misbehaves.
#[derive(Clone)]
pub(crate) struct Manners {
    /// Ends a stream after so many frames, uncommitted ones forgotten.
    pub(crate) cut_after: Option<usize>,
    /// Commits and acknowledges after so many frames; what is left, when nothing more comes.
    pub(crate) commit_every: usize,
    /// Neither commits nor acknowledges.
    pub(crate) mute: bool,
    /// Commits, and does not acknowledge.
    pub(crate) silent: bool,
    /// The nth frame that it ever sees is refused.
    pub(crate) refuse: HashSet<usize>,
    /// Answers hello with this.
    pub(crate) turn_away: Option<(Code, &'static str)>,
    /// Claims to have committed so much.
    pub(crate) claim: Option<u64>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            cut_after: None,
            commit_every: 1,
            mute: false,
            silent: false,
            refuse: HashSet::new(),
            turn_away: None,
            claim: None,
        }
    }
}

/// What has happened.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) hellos: Vec<Hello>,
    /// By spool id: the last seq that is committed.
    pub(crate) committed: HashMap<String, u64>,
    /// By spool id and seq: the values.
    pub(crate) stored: BTreeMap<(String, u64), Vec<f64>>,
    pub(crate) refused: Vec<u64>,
    /// How often it was asked what it has.
    pub(crate) positions: usize,
    pub(crate) frames_seen: usize,
    /// Most frames, and bytes, that were received and not acknowledged.
    pub(crate) most_unacked: (usize, usize),
    /// What must not happen.
    pub(crate) violations: Vec<String>,
}

impl Log {
    /// First values of the stored frames, in order.
    pub(crate) fn values(&self) -> Vec<f64> {
        self.stored.values().filter_map(|values| values.first().copied()).collect()
    }
}

#[derive(Clone, Default)]
pub(crate) struct Fake {
    manners: Arc<Mutex<Manners>>,
    log: Arc<Mutex<Log>>,
    changed: Arc<Notify>,
    streams: TaskTracker,
    stop: CancellationToken,
}

/// A fake that listens.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    server: TaskTracker,
}

impl Listening {
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it with all its streams.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.server.wait().await;
    }
}

impl Fake {
    pub(crate) fn with(manners: Manners) -> Self {
        Self { manners: Arc::new(Mutex::new(manners)), ..Self::default() }
    }

    pub(crate) fn manners(&self) -> MutexGuard<'_, Manners> {
        self.manners.lock().unwrap()
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    /// Listens at an address; port 0 takes a free one.
    pub(crate) fn listen(&self, address: &str) -> Listening {
        let incoming = TcpIncoming::bind(address.parse().unwrap()).unwrap();
        let address = incoming.local_addr().unwrap();
        let stop = CancellationToken::new();
        let service = Self { stop: stop.clone(), streams: TaskTracker::new(), ..self.clone() };
        let server = TaskTracker::new();
        let cancelled = stop.clone().cancelled_owned();
        server.spawn(async move {
            let router = Server::builder().add_service(TelemetryIngestServer::new(service));
            router.serve_with_incoming_shutdown(incoming, cancelled).await.unwrap();
        });
        server.close();
        Listening { address, stop, server }
    }

    /// Returns when the log is as a test wants it.
    pub(crate) async fn until(&self, what: &str, done: impl Fn(&Log) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if done(&self.log()) {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(60), wait).await.is_err() {
            panic!("{what}: not with {} frames stored", self.log().stored.len());
        }
    }

    async fn serve(
        self,
        mut requests: Streaming<PushRequest>,
        answers: mpsc::Sender<Result<PushResponse, Status>>,
    ) -> Result<(), Status> {
        let gone = |_| Status::cancelled("agent is gone");
        let first = requests.message().await?.and_then(|request| request.message);
        let Some(Request::Hello(hello)) = first else {
            self.log().violations.push("no hello".into());
            return Err(Status::invalid_argument("no hello"));
        };
        let manners = self.manners().clone();
        let spool = hello.spool_id.clone();
        let committed = *self.log().committed.get(&spool).unwrap_or(&0);
        let committed_seq = manners.claim.unwrap_or(committed);
        self.log().hellos.push(hello);
        self.changed.notify_waiters();
        if let Some((code, text)) = manners.turn_away {
            return Err(Status::new(code, text));
        }
        let ack = HelloAck { committed_seq, aggregator_version: "fake".into() };
        answers.send(Ok(answer(Response::Hello(ack)))).await.map_err(gone)?;

        let mut stream = StreamState { last: committed_seq, ..StreamState::default() };
        loop {
            let idle = tokio::time::sleep(Duration::from_millis(20));
            let request = tokio::select! {
                request = requests.message() => request?,
                () = idle => {
                    self.commit(&spool, &mut stream, &answers).await?;
                    continue;
                }
            };
            let Some(request) = request else { return Ok(()) };
            let refused = self.take(&spool, &mut stream, request);
            self.changed.notify_waiters();
            if let Some(refused) = refused {
                answers.send(Ok(answer(Response::Refused(refused)))).await.map_err(gone)?;
            }
            let manners = self.manners().clone();
            if manners.cut_after.is_some_and(|after| stream.frames >= after) {
                return Err(Status::unavailable("cut"));
            }
            if stream.pending.len() >= manners.commit_every {
                self.commit(&spool, &mut stream, &answers).await?;
            }
        }
    }

    fn take(&self, spool: &str, stream: &mut StreamState, request: PushRequest) -> Option<Refused> {
        let mut log = self.log();
        let frame = match request.message {
            Some(Request::Layout(record)) => {
                match layout::decode(record.hash, &record.layout) {
                    Ok(layout) => {
                        stream.layouts.insert(record.hash, layout::columns(&layout));
                    }
                    Err(error) => log.violations.push(error.to_string()),
                }
                return None;
            }
            Some(Request::Frame(frame)) => frame,
            _ => {
                log.violations.push("a second hello, or nothing".into());
                return None;
            }
        };
        let seq = frame.seq;
        if seq <= stream.last {
            log.violations.push(format!("seq {seq} after {}", stream.last));
        }
        stream.last = seq;
        stream.frames += 1;
        stream.unacked.0 += 1;
        stream.unacked.1 += frame.payload.len();
        log.most_unacked.0 = log.most_unacked.0.max(stream.unacked.0);
        log.most_unacked.1 = log.most_unacked.1.max(stream.unacked.1);
        log.frames_seen += 1;
        if self.manners().refuse.contains(&log.frames_seen) {
            log.refused.push(seq);
            let reason = RefusalReason::Limit.into();
            return Some(Refused { seq, reason, detail: "as the test says".into() });
        }
        match Decoder::new().decode(&frame, |hash| stream.layouts.get(&hash).copied()) {
            Ok(decoded) => stream.pending.push(((spool.to_owned(), seq), decoded.values)),
            Err(error) => log.violations.push(format!("frame {seq}: {error}")),
        }
        None
    }

    async fn commit(
        &self,
        spool: &str,
        stream: &mut StreamState,
        answers: &mpsc::Sender<Result<PushResponse, Status>>,
    ) -> Result<(), Status> {
        if self.manners().mute || stream.unacked.0 == 0 {
            return Ok(());
        }
        {
            let mut log = self.log();
            log.stored.extend(stream.pending.drain(..));
            let committed = log.committed.entry(spool.to_owned()).or_default();
            *committed = stream.last.max(*committed);
        }
        stream.unacked = (0, 0);
        self.changed.notify_waiters();
        if self.manners().silent {
            return Ok(());
        }
        let ack = Ack { committed_seq: stream.last };
        let sent = answers.send(Ok(answer(Response::Ack(ack)))).await;
        sent.map_err(|_| Status::cancelled("agent is gone"))
    }
}

#[derive(Default)]
struct StreamState {
    last: u64,
    frames: usize,
    unacked: (usize, usize),
    layouts: HashMap<u64, usize>,
    pending: Vec<((String, u64), Vec<f64>)>,
}

fn answer(message: Response) -> PushResponse {
    PushResponse { message: Some(message) }
}

#[tonic::async_trait]
impl TelemetryIngest for Fake {
    type PushStream = Pin<Box<dyn Stream<Item = Result<PushResponse, Status>> + Send>>;

    async fn push(
        &self,
        request: tonic::Request<Streaming<PushRequest>>,
    ) -> Result<tonic::Response<Self::PushStream>, Status> {
        let (answers, queue) = mpsc::channel(64);
        let (service, stop) = (self.clone(), self.stop.clone());
        self.streams.spawn(async move {
            let ended = tokio::select! {
                ended = service.serve(request.into_inner(), answers.clone()) => ended,
                () = stop.cancelled() => Err(Status::unavailable("restarting")),
            };
            if let Err(status) = ended {
                let _told = answers.send(Err(status)).await;
            }
        });
        Ok(tonic::Response::new(Box::pin(ReceiverStream::new(queue).map(|answer| answer))))
    }

    async fn position(
        &self,
        request: tonic::Request<PositionRequest>,
    ) -> Result<tonic::Response<PositionResponse>, Status> {
        let mut log = self.log();
        log.positions += 1;
        let committed_seq = *log.committed.get(&request.into_inner().spool_id).unwrap_or(&0);
        Ok(tonic::Response::new(PositionResponse { committed_seq }))
    }
}
