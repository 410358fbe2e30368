//! The road to the aggregator: one stream, a window of frames that are not acknowledged, and
//! another stream when it breaks.
//!
//! Frames leave the spool when the aggregator says that they are on its disk, not before; a new
//! stream begins after the last such frame. What a stream needs to know is said on it again:
//! every layout goes before the first frame that follows it. Where the endpoint names several
//! aggregators, `route` finds the one of this node.

mod backoff;
mod position;
mod route;
mod session;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sextant_proto::chain::chain;
use sextant_proto::client::{ClientConfig, ConnectError};
use sextant_proto::v1::{MetricDescriptor, RefusalReason};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use self::backoff::Backoff;
pub use self::route::{Resolve, Resolved, System};
use self::route::{Route, Target};
use crate::spool::Spool;

/// The `[uplink]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UplinkConfig {
    /// As in [`ClientConfig`], and so are the files.
    pub endpoint: String,
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    /// Frames and bytes that may be on the road without being acknowledged.
    pub window_frames: usize,
    pub window_bytes: usize,
    /// How often the endpoint's name is looked up for aggregators that came or went; 0 for only
    /// before a connection is made. An endpoint that is an address is never looked up.
    #[serde(with = "humantime_serde")]
    pub resolve_interval: Duration,
    /// How long a stopping agent goes on sending what is not acknowledged.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
}

impl Default for UplinkConfig {
    fn default() -> Self {
        let ClientConfig { endpoint, ca_file, cert_file, key_file, token_file } =
            ClientConfig::default();
        Self {
            endpoint,
            ca_file,
            cert_file,
            key_file,
            token_file,
            window_frames: 256,
            window_bytes: 1 << 20,
            resolve_interval: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(5),
        }
    }
}

impl UplinkConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        self.client().check().map_err(|error| format!("uplink.{error}"))?;
        for (key, value) in
            [("window_frames", self.window_frames), ("window_bytes", self.window_bytes)]
        {
            if value == 0 {
                return Err(format!("uplink.{key} is 0: nothing could ever be sent"));
            }
        }
        Ok(())
    }

    fn client(&self) -> ClientConfig {
        ClientConfig {
            endpoint: self.endpoint.clone(),
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            token_file: self.token_file.clone(),
        }
    }
}

/// Who says hello.
#[derive(Debug, Clone, Default)]
pub struct Introduction {
    pub cluster: String,
    pub node: String,
    /// The kernel's boot id; empty when it is not known.
    pub boot_id: String,
    /// Names of the collectors.
    pub capabilities: Vec<String>,
    pub metrics: Vec<MetricDescriptor>,
}

/// The uplink's numbers.
#[derive(Debug, Default)]
pub struct UplinkStats {
    pub connected: AtomicBool,
    pub reconnects: AtomicU64,
    /// Changes to another aggregator.
    pub moves: AtomicU64,
    /// Frames that an aggregator may have stored which could not be asked when this agent went
    /// to another: the fleet may have them twice.
    pub in_doubt: AtomicU64,
    /// Frames sent, repetitions included.
    pub sent: AtomicU64,
    pub sent_bytes: AtomicU64,
    pub acked: AtomicU64,
    /// Frames on the road.
    pub unacked: AtomicU64,
    /// Unix time; 0 for never.
    pub last_ack_ms: AtomicI64,
    refused: [AtomicU64; 4],
}

impl UplinkStats {
    /// Refused frames by reason.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        const NAMES: [&str; 4] = ["unspecified", "malformed", "limit", "too_old"];
        NAMES.into_iter().zip(self.refused.iter().map(|count| count.load(Relaxed)))
    }

    fn refuse(&self, reason: RefusalReason) {
        let index = match reason {
            RefusalReason::Unspecified => 0,
            RefusalReason::Malformed => 1,
            RefusalReason::Limit => 2,
            RefusalReason::TooOld => 3,
        };
        self.refused[index].fetch_add(1, Relaxed);
    }
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum UplinkError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("aggregator says {code:?}: {message}")]
    Status { code: Code, message: String },
    #[error("aggregator did not {0} for {1:?}")]
    Silent(&'static str, Duration),
    #[error("aggregator has ended the stream")]
    Ended,
    #[error("aggregator answered hello with something else")]
    Protocol,
    #[error("rename the spool")]
    Rename(#[source] crate::spool::SpoolError),
    #[error("aggregator has more of this spool than was ever sent, it takes a new id")]
    Renamed,
}

impl From<tonic::Status> for UplinkError {
    fn from(status: tonic::Status) -> Self {
        Self::Status { code: status.code(), message: status.message().to_owned() }
    }
}

impl UplinkError {
    /// Whether a person has to do something about it.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Status { code, .. } => matches!(
                code,
                Code::AlreadyExists
                    | Code::Unauthenticated
                    | Code::PermissionDenied
                    | Code::InvalidArgument
            ),
            Self::Connect(error) => !matches!(error, ConnectError::Transport { .. }),
            _ => false,
        }
    }
}

/// How a stream ended without an error.
enum Over {
    Cancelled,
    /// It has named as many layouts as a stream may.
    StartAnew,
    /// Another aggregator is better, and this one has acknowledged everything.
    Moved,
}

/// Sends what is in a spool.
pub struct Uplink {
    config: UplinkConfig,
    introduction: Introduction,
    spool: Arc<Spool>,
    stats: Arc<UplinkStats>,
    resolver: Arc<dyn Resolve>,
}

impl Uplink {
    /// Does nothing until it is run.
    #[must_use]
    pub fn new(
        config: UplinkConfig,
        introduction: Introduction,
        spool: Arc<Spool>,
        stats: Arc<UplinkStats>,
    ) -> Self {
        Self { config, introduction, spool, stats, resolver: Arc::new(System) }
    }

    /// Looks names up in another way than the system's.
    #[must_use]
    pub fn with_resolver(self, resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, ..self }
    }

    /// Connects and sends, again and again, until it is cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        let mut backoff = Backoff::default();
        let mut log = StateLog::default();
        let mut route = Route::new(
            &self.introduction.node,
            &self.config.endpoint,
            self.config.resolve_interval,
            Arc::clone(&self.resolver),
        );
        let mut target = None;
        // Of an earlier process nobody knows what it sent.
        let mut settled = false;
        loop {
            let ranked = route.ranked().await;
            let chosen = route.choose(&ranked, target, Instant::now());
            let elsewhere = ranked.len() > 1 || target.is_some();
            if chosen != target && !settled && elsewhere {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    () = self.settle(&ranked, target) => {}
                }
            }
            if target.is_some() && chosen != target {
                self.stats.moves.fetch_add(1, Relaxed);
            }
            target = chosen;
            let acked = self.stats.acked.load(Relaxed);
            let stream = self.stream(&route, target, &cancel, &mut backoff, &mut log);
            let stream = Box::pin(stream).await;
            self.stats.connected.store(false, Relaxed);
            self.stats.unacked.store(0, Relaxed);
            settled = matches!(stream, Ok(Over::Moved));
            if settled || self.stats.acked.load(Relaxed) != acked {
                route.works(target);
            } else {
                route.failed(target, Instant::now());
            }
            let wait = match stream {
                Ok(Over::Cancelled) => return,
                Ok(Over::StartAnew | Over::Moved) => Duration::ZERO,
                Err(error) => {
                    let refusal = error.is_refusal();
                    log.failed(&self.config.endpoint, &error, refusal);
                    if refusal { backoff.longest() } else { backoff.next() }
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            self.stats.reconnects.fetch_add(1, Relaxed);
        }
    }
}

/// Logs the uplink's changes of state, and an error once while it stays the same.
#[derive(Debug, Default)]
struct StateLog {
    failing: Option<String>,
    refused: Option<(RefusalReason, u64)>,
}

impl StateLog {
    fn connected(&mut self, endpoint: &str, committed_seq: u64, version: &str) {
        self.failing = None;
        tracing::info!(endpoint, committed_seq, aggregator_version = version, "uplink connected");
    }

    fn failed(&mut self, endpoint: &str, error: &UplinkError, refusal: bool) {
        let error = chain(error);
        if refusal && self.failing.as_ref() != Some(&error) {
            tracing::error!(endpoint, error, "aggregator does not take this agent");
        } else if self.failing.is_none() {
            tracing::warn!(endpoint, error, "uplink lost, frames stay in the spool");
        } else {
            tracing::debug!(endpoint, error, "uplink still lost");
        }
        self.failing = Some(error);
    }

    fn refused(&mut self, seq: u64, reason: RefusalReason, detail: &str) {
        if self.refused.is_some_and(|(last, _)| last == reason) {
            tracing::debug!(seq, ?reason, detail, "frame refused");
        } else {
            tracing::warn!(seq, ?reason, detail, "frame refused, its data is lost");
        }
        self.refused = Some((reason, seq));
    }
}
