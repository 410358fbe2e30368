//! What aggregators have of this agent's spool: asked before the agent goes to another one.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use sextant_proto::chain::chain;
use sextant_proto::client::ClientConfig;
use sextant_proto::v1::PositionRequest;
use sextant_proto::v1::telemetry_ingest_client::TelemetryIngestClient;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Target, Uplink, UplinkError};

/// How long one aggregator may take to say what it has: it may have to write it first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

impl Uplink {
    /// Asks every aggregator how much it has of the spool and takes the most for acknowledged.
    /// `previous` is where frames were sent last. What it may have stored is counted as in doubt
    /// when it is not among those that answer.
    pub(super) async fn settle(&self, aggregators: &[SocketAddr], previous: Target) {
        let (spool_id, last) = self.spool.position();
        if self.spool.stats().frames == 0 {
            return;
        }
        let request = PositionRequest {
            cluster: self.introduction.cluster.clone(),
            node: self.introduction.node.clone(),
            spool_id,
        };
        let mut asked = JoinSet::new();
        for address in aggregators.iter().copied() {
            let (client, request) = (self.config.client(), request.clone());
            asked.spawn(async move { (address, position_at(client, address, request).await) });
        }
        let acked = self.spool.acked();
        let mut most = 0;
        let mut found = previous.is_none();
        while let Some(Ok((address, answer))) = asked.join_next().await {
            match answer {
                // More than this spool ever had: another one of the same name.
                Ok(seq) if seq > last => {}
                Ok(seq) => {
                    most = most.max(seq);
                    // Whoever has all that was acknowledged is the one that acknowledged it,
                    // at whatever address it is now.
                    found |= previous == Some(address) || (seq > 0 && seq >= acked);
                }
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(%address, error, "aggregator does not say what it has stored");
                }
            }
        }
        self.spool.ack(most);
        if !found {
            let window = self.config.window_frames as u64;
            self.stats.in_doubt.fetch_add(self.spool.stats().frames.min(window), Relaxed);
        }
    }
}

async fn position_at(
    client: ClientConfig,
    address: SocketAddr,
    request: PositionRequest,
) -> Result<u64, UplinkError> {
    let ask = async {
        let channel = client.connect_at(Some(address)).await?;
        let answer = TelemetryIngestClient::new(channel).position(request).await?;
        Ok(answer.into_inner().committed_seq)
    };
    let silent = |_| UplinkError::Silent("say what it has stored", ANSWER_TIMEOUT);
    timeout(ANSWER_TIMEOUT, ask).await.map_err(silent)?
}
