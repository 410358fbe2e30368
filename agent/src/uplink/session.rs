//! One stream: hello, then layouts and frames within the window, while acks come back.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashSet;
use sextant_proto::limits;
use sextant_proto::v1::push_request::Message as Request;
use sextant_proto::v1::push_response::Message as Response;
use sextant_proto::v1::telemetry_ingest_client::TelemetryIngestClient;
use sextant_proto::v1::{Codec, Frame, Hello, HelloAck, LayoutRecord, PushRequest, PushResponse};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use super::backoff::Backoff;
use super::route::Route;
use super::{Over, StateLog, Target, Uplink, UplinkError, UplinkStats};
use crate::clock::now_ms;
use crate::spool::{Piece, Record, Spool, needs_key};

/// Messages between this task and the transport's; beyond it, HTTP/2's own window holds back.
const QUEUE: usize = 8;
/// Read from the spool at once.
const PIECE: Piece = Piece { bytes: 256 << 10, frames: 256 };
/// For the address, the handshakes of TCP and TLS, and HTTP/2's settings.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const HELLO_TIMEOUT: Duration = Duration::from_secs(15);
/// An aggregator that acknowledges nothing for so long may be behind a broken proxy: another
/// stream is tried. One that has no room on its disk is found in the same state again.
const ACK_TIMEOUT: Duration = Duration::from_secs(60);

impl Uplink {
    /// Runs one stream to its end.
    pub(super) async fn stream(
        &self,
        route: &Route,
        target: Target,
        cancel: &CancellationToken,
        backoff: &mut Backoff,
        log: &mut StateLog,
    ) -> Result<Over, UplinkError> {
        let opened = tokio::select! {
            () = cancel.cancelled() => return Ok(Over::Cancelled),
            opened = self.open(target) => opened?,
        };
        let Opened { requests, mut responses, hello } = opened;
        let committed = hello.committed_seq;
        let (_, last) = self.spool.position();
        if committed > last {
            let spool = Arc::clone(&self.spool);
            let renamed = tokio::task::spawn_blocking(move || spool.rename()).await;
            renamed.map_err(|_| UplinkError::Ended)?.map_err(UplinkError::Rename)?;
            return Err(UplinkError::Renamed);
        }
        log.connected(&self.config.endpoint, committed, &hello.aggregator_version);
        self.stats.connected.store(true, Relaxed);
        self.spool.ack(committed);
        // What another aggregator has acknowledged may still be on disk, and is not this one's.
        let mut road = Road::new(&self.spool, &self.stats, committed.max(self.spool.acked()));
        let mut last_answer = Instant::now();
        let mut moved = pin!(route.moved(target));
        let mut leaving = false;
        loop {
            if leaving && road.unacked.is_empty() {
                return Ok(Over::Moved);
            }
            if road.waiting.is_empty() && self.has_room(&road, 0) {
                road.waiting = self.spool.next_after(road.read, PIECE).await.into();
                road.read = road.waiting.back().map_or(road.read, |r| r.frame.seq);
            }
            if !road.attach_key().await {
                continue;
            }
            let next = road.waiting.front().map(|r| bytes_of(&r.frame));
            let may_send = !leaving && next.is_some_and(|bytes| self.has_room(&road, bytes));
            if may_send && road.needs_new_stream() {
                return Ok(Over::StartAnew);
            }
            let silent =
                if road.unacked.is_empty() { None } else { Some(last_answer + ACK_TIMEOUT) };
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(Over::Cancelled),
                answer = responses.message() => {
                    last_answer = Instant::now();
                    let answer = answer?.ok_or(UplinkError::Ended)?;
                    if road.answer(answer, log) {
                        backoff.reset();
                    }
                }
                slot = requests.reserve(), if may_send => {
                    let slot = slot.map_err(|_| UplinkError::Ended)?;
                    if road.unacked.is_empty() {
                        last_answer = Instant::now();
                    }
                    slot.send(road.next_request());
                }
                () = self.spool.notified(), if next.is_none() => {}
                () = &mut moved, if !leaving => leaving = true,
                () = at(silent) => {
                    return Err(UplinkError::Silent("acknowledge anything", ACK_TIMEOUT));
                }
            }
        }
    }

    /// Connects and says hello.
    async fn open(&self, target: Target) -> Result<Opened, UplinkError> {
        let client = self.config.client();
        let connected = timeout(CONNECT_TIMEOUT, client.connect_at(target)).await;
        let channel = connected.map_err(|_| UplinkError::Silent("connect", CONNECT_TIMEOUT))??;
        let deadline = Instant::now() + HELLO_TIMEOUT;
        let mut client = TelemetryIngestClient::new(channel);
        let (requests, queue) = mpsc::channel(QUEUE);
        let hello = PushRequest { message: Some(Request::Hello(self.hello())) };
        requests.try_send(hello).map_err(|_| UplinkError::Ended)?;
        let silent = |_| UplinkError::Silent("answer hello", HELLO_TIMEOUT);
        let pushed = timeout_at(deadline, client.push(ReceiverStream::new(queue)));
        let mut responses = pushed.await.map_err(silent)??.into_inner();
        let answer = timeout_at(deadline, responses.message()).await.map_err(silent)??;
        match answer.ok_or(UplinkError::Ended)?.message {
            Some(Response::Hello(hello)) => Ok(Opened { requests, responses, hello }),
            _ => Err(UplinkError::Protocol),
        }
    }

    fn hello(&self) -> Hello {
        let who = &self.introduction;
        Hello {
            cluster: who.cluster.clone(),
            node: who.node.clone(),
            boot_id: who.boot_id.clone(),
            spool_id: self.spool.position().0,
            agent_version: env!("CARGO_PKG_VERSION").into(),
            capabilities: who.capabilities.clone(),
            metrics: who.metrics.clone(),
            time_unix_ms: now_ms(),
        }
    }

    /// Whether a frame of so many bytes fits into the window; any fits into an empty one.
    fn has_room(&self, road: &Road<'_>, bytes: usize) -> bool {
        road.unacked.is_empty()
            || (road.unacked.len() < self.config.window_frames
                && road.unacked_bytes + bytes <= self.config.window_bytes)
    }
}

struct Opened {
    requests: mpsc::Sender<PushRequest>,
    responses: Streaming<PushResponse>,
    hello: HelloAck,
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// What is on its way to the aggregator.
struct Road<'a> {
    spool: &'a Arc<Spool>,
    stats: &'a UplinkStats,
    /// Everything up to here was read from the spool.
    read: u64,
    /// Read and not sent.
    waiting: VecDeque<Record>,
    /// Sent: seq and bytes.
    unacked: VecDeque<(u64, usize)>,
    unacked_bytes: usize,
    /// Layouts that this stream has named.
    layouts: FxHashSet<u64>,
    /// The last frame sent or given up.
    last: u64,
    /// Layouts whose chains the other side can follow: since the last hole, one of their frames
    /// was sent that it could read.
    keyed: FxHashSet<u64>,
    /// The last frame given up.
    given_up: u64,
}

impl<'a> Road<'a> {
    fn new(spool: &'a Arc<Spool>, stats: &'a UplinkStats, read: u64) -> Self {
        Self {
            spool,
            stats,
            read,
            waiting: VecDeque::new(),
            unacked: VecDeque::new(),
            unacked_bytes: 0,
            layouts: FxHashSet::default(),
            last: read,
            keyed: FxHashSet::default(),
            given_up: 0,
        }
    }

    /// Gives the first waiting frame its key, if the other side cannot have what it continues:
    /// the first frame of each layout on a stream, and after a hole. One whose key is lost is
    /// given up. False when that was all that was read, and there may be more.
    async fn attach_key(&mut self) -> bool {
        let had = !self.waiting.is_empty();
        while let Some(record) = self.waiting.front() {
            if record.frame.seq != self.last + 1 {
                self.keyed.clear();
                self.last = record.frame.seq - 1;
            }
            let Some(layout) = record.layout.as_ref().map(|(hash, _)| *hash) else { return true };
            if !self.keyed.contains(&layout) && needs_key(&record.frame) {
                let Some(key) = self.spool.find_key_of(record).await else {
                    let seq = record.frame.seq;
                    self.spool.give_up(seq);
                    self.waiting.pop_front();
                    (self.last, self.given_up) = (seq, seq);
                    if self.unacked.is_empty() {
                        self.spool.ack(seq);
                    }
                    continue;
                };
                if let Some(record) = self.waiting.front_mut() {
                    record.frame.key = key;
                }
            }
            // One that stands alone has no chain to follow.
            let is_chain = matches!(
                self.waiting.front().map(|record| record.frame.codec()),
                Some(Codec::Columnar | Codec::ColumnarZstd)
            );
            if is_chain {
                self.keyed.insert(layout);
            }
            return true;
        }
        !had
    }

    fn new_layout(&self) -> Option<(u64, Bytes)> {
        let layout = self.waiting.front()?.layout.clone()?;
        (!self.layouts.contains(&layout.0)).then_some(layout)
    }

    fn needs_new_stream(&self) -> bool {
        self.layouts.len() >= limits::MAX_LAYOUTS_PER_STREAM && self.new_layout().is_some()
    }

    /// The first waiting frame, or the layout that has to go before it.
    fn next_request(&mut self) -> PushRequest {
        if let Some((hash, layout)) = self.new_layout() {
            self.layouts.insert(hash);
            self.stats.sent_bytes.fetch_add(layout.len() as u64, Relaxed);
            return PushRequest { message: Some(Request::Layout(LayoutRecord { hash, layout })) };
        }
        let frame = self.waiting.pop_front().expect("called with a frame waiting").frame;
        let bytes = bytes_of(&frame);
        self.last = frame.seq;
        self.unacked.push_back((frame.seq, bytes));
        self.unacked_bytes += bytes;
        self.stats.sent.fetch_add(1, Relaxed);
        self.stats.sent_bytes.fetch_add(bytes as u64, Relaxed);
        self.stats.unacked.store(self.unacked.len() as u64, Relaxed);
        PushRequest { message: Some(Request::Frame(frame)) }
    }

    /// Takes an answer. True when it acknowledges something new.
    fn answer(&mut self, answer: PushResponse, log: &mut StateLog) -> bool {
        match answer.message {
            Some(Response::Ack(ack)) => self.acked(ack.committed_seq),
            Some(Response::Refused(refused)) => {
                self.stats.refuse(refused.reason());
                log.refused(refused.seq, refused.reason(), &refused.detail);
                false
            }
            // A newer aggregator may say more than this version knows.
            Some(Response::Hello(_)) | None => false,
        }
    }

    fn acked(&mut self, seq: u64) -> bool {
        let mut acked = None;
        let mut frames = 0;
        while let Some((sent, bytes)) = self.unacked.front().copied().filter(|(s, _)| *s <= seq) {
            self.unacked.pop_front();
            self.unacked_bytes -= bytes;
            acked = Some(sent);
            frames += 1;
        }
        let Some(mut acked) = acked else { return false };
        if self.unacked.is_empty() {
            // What was given up after it.
            acked = acked.max(self.given_up);
        }
        self.spool.ack(acked);
        self.stats.acked.fetch_add(frames, Relaxed);
        self.stats.unacked.store(self.unacked.len() as u64, Relaxed);
        self.stats.last_ack_ms.store(now_ms(), Relaxed);
        true
    }
}

fn bytes_of(frame: &Frame) -> usize {
    frame.payload.len() + frame.key.len()
}
