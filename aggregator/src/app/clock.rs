//! What happens by the clock.

use std::sync::Arc;
use std::time::Duration;

use sextant_proto::v1::query_server::QueryServer;
use sextant_proto::v1::telemetry_ingest_server::TelemetryIngestServer;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use crate::api::grpc::QueryService;
use crate::catalog::Catalog;
use crate::clock;
use crate::config::RetentionConfig;
use crate::health::Health;
use crate::incident::ChangeWatch;
use crate::ingest::Ingest;
use crate::nodes::Nodes;
use crate::pipeline::{Job, Shards};
use crate::storage::Cutoff;
use crate::writer::{Write, WriterHandle};

/// How often retention is enforced.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// How often is looked for changes of drivers, firmware and pods.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// A shard whose queue is full for so long takes nothing in.
const STUCK_SECONDS: u32 = 10;
const INGEST_NAME: &str = <TelemetryIngestServer<Ingest> as NamedService>::NAME;
const QUERY_NAME: &str = <QueryServer<QueryService> as NamedService>::NAME;

/// Lets shards look at the clock, tells health, enforces retention.
pub(super) struct Clock {
    pub(super) shards: Shards,
    pub(super) catalog: Arc<Catalog>,
    pub(super) nodes: Arc<Nodes>,
    pub(super) changes: ChangeWatch,
    pub(super) writer: WriterHandle,
    pub(super) health: Arc<Health>,
    pub(super) reporter: HealthReporter,
}

impl Clock {
    /// Runs until `stop`.
    pub(super) async fn run(mut self, retention: RetentionConfig, stop: CancellationToken) {
        let mut second = interval(Duration::from_secs(1));
        let mut prune = interval(PRUNE_EVERY);
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        prune.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut stuck = 0u32;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = second.tick() => {
                    stuck = if self.shards.elapse() { 0 } else { stuck + 1 };
                    self.tell(stuck).await;
                }
                _ = look.tick() => self.look().await,
                _ = prune.tick() => {
                    let before = |kept: Duration| {
                        clock::now_ms() - i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)
                    };
                    let samples_ms = before(retention.samples);
                    let cutoff = Cutoff { samples_ms, events_ms: before(retention.events) };
                    // The writer may be busy: handing over must not hold up the event loop.
                    let writer = self.writer.clone();
                    let hand_over = move || writer.send(Write::Prune(cutoff));
                    drop(tokio::task::spawn_blocking(hand_over).await);
                }
            }
        }
    }

    /// Tells of what somebody changed on nodes.
    async fn look(&mut self) {
        let mut changes = std::mem::take(&mut self.changes);
        let (catalog, nodes) = (Arc::clone(&self.catalog), Arc::clone(&self.nodes));
        // It goes through all series: not on the event loop.
        let looked = tokio::task::spawn_blocking(move || {
            let found = changes.look(&catalog, &nodes, clock::now_ms());
            (changes, found)
        });
        let Ok((changes, found)) = looked.await else { return };
        self.changes = changes;
        for (node, event) in found {
            self.shards.send(node.id, Job::Event(node, event)).await;
        }
    }

    /// Tells whether frames are taken in, here and to gRPC's health service.
    async fn tell(&self, stuck: u32) {
        if stuck >= STUCK_SECONDS {
            let reason = format!("a shard has taken nothing for {stuck} s");
            if self.health.fail("ingest", reason.clone()) {
                warn!(reason, "ingest is stuck");
            }
        } else if stuck == 0 && self.health.recover("ingest") {
            info!("ingest goes on");
        }
        let works = self.health.reasons().is_empty();
        let status = if works { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in ["", INGEST_NAME, QUERY_NAME] {
            self.reporter.set_service_status(service, status).await;
        }
    }
}
