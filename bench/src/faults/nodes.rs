//! Nodes and readers that do not behave.

use anyhow::Context as _;
use sextant_proto::limits::MAX_FRAME_BYTES;
use sextant_proto::v1::SubscribeRequest;
use sextant_proto::v1::query_client::QueryClient;
use tonic::transport::Channel;

use super::stage::{Outcome, Stage};
use super::{Fault, fault};

/// Bytes that are no frame.
const NO_FRAME_BYTES: usize = 64;

pub(super) fn faults() -> Vec<Fault> {
    vec![
        fault("node_name_taken", |stage| Box::pin(twins(stage))),
        fault("layout_churn", |stage| Box::pin(churn(stage))),
        fault("frames_too_big", |stage| Box::pin(odd(stage, MAX_FRAME_BYTES + 1))),
        fault("frames_refused", |stage| Box::pin(odd(stage, NO_FRAME_BYTES))),
        fault("subscriber_slow", |stage| Box::pin(subscriber(stage))),
    ]
}

/// Whoever comes second waits, and then brings all that it has.
async fn twins(mut stage: Stage) -> anyhow::Result<Outcome> {
    stage.begin(1).await?;
    let endpoint = stage.daemons[0].endpoint();
    let second = stage.sender(endpoint)?;
    stage.senders[second].setup.node = stage.senders[0].setup.node.clone();
    stage.senders[second].start()?;
    stage.under_load().await;
    stage.senders[0].steer(|control| control.drain = true)?;
    stage.senders[0].until("drained spool", |ledger| ledger.drained).await?;
    stage.senders[second].until("first ack", |ledger| ledger.acked > 0).await?;
    stage.finish().await
}

async fn churn(mut stage: Stage) -> anyhow::Result<Outcome> {
    stage.begin(2).await?;
    for sender in &mut stage.senders {
        sender.steer(|control| (control.churn, control.columns) = (true, 40))?;
    }
    stage.under_load().await;
    stage.daemons[0].kill();
    stage.daemons[0].start().await?;
    stage.recovered().await?;
    stage.finish().await
}

async fn odd(mut stage: Stage, bytes: usize) -> anyhow::Result<Outcome> {
    stage.begin(1).await?;
    stage.senders[0].steer(|control| control.oversize = bytes)?;
    let some = |ledger: &super::ledger::Ledger| ledger.counts.iter().any(|c| c.dropped() > 3);
    stage.senders[0].until("frame that is given up", some).await?;
    stage.senders[0].steer(|control| control.oversize = 0)?;
    stage.recovered().await?;
    stage.finish().await
}

/// Asks for everything that happens, and reads none of it.
async fn subscriber(mut stage: Stage) -> anyhow::Result<Outcome> {
    stage.begin(2).await?;
    let endpoint = stage.daemons[0].endpoint();
    let channel = Channel::from_shared(endpoint)?.connect().await.context("connect")?;
    let mut client = QueryClient::new(channel);
    let request = SubscribeRequest { selector: "bench_number".into(), ..Default::default() };
    let unread = client.subscribe(request).await.context("subscribe")?;
    stage.under_load().await;
    stage.recovered().await?;
    drop(unread);
    stage.finish().await
}
