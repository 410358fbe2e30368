//! What happens by the second.

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
use crate::health::Health;
use crate::ingest::Ingest;
use crate::pipeline::Shards;

/// A shard whose queue is full for so long takes nothing in.
const STUCK_SECONDS: u32 = 10;
const INGEST_NAME: &str = <TelemetryIngestServer<Ingest> as NamedService>::NAME;
const QUERY_NAME: &str = <QueryServer<QueryService> as NamedService>::NAME;

/// Lets shards look at the clock, tells health.
pub(super) struct Clock {
    pub(super) shards: Shards,
    pub(super) health: Arc<Health>,
    pub(super) reporter: HealthReporter,
}

impl Clock {
    /// Runs until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut stuck = 0u32;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = second.tick() => {
                    stuck = if self.shards.elapse() { 0 } else { stuck + 1 };
                    self.tell(stuck).await;
                }
            }
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
