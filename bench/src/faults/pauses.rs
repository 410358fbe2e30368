//! Processes that stand still for seconds, as on a host that is short of memory or being moved.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::sleep;

use super::stage::{Outcome, Stage};
use super::{Fault, fault};

const PAUSE: Duration = Duration::from_secs(3);

pub(super) fn faults() -> Vec<Fault> {
    vec![
        fault("aggregator_stopped_for_seconds", |stage| Box::pin(aggregator(stage))),
        fault("agent_stopped_for_seconds", |stage| Box::pin(agent(stage))),
    ]
}

async fn aggregator(mut stage: Stage) -> anyhow::Result<Outcome> {
    stage.begin(2).await?;
    stage.moment().await;
    stage.daemons[0].signal(Signal::STOP)?;
    sleep(PAUSE).await;
    stage.daemons[0].signal(Signal::CONT)?;
    stage.recovered().await?;
    stage.finish().await
}

async fn agent(mut stage: Stage) -> anyhow::Result<Outcome> {
    stage.begin(2).await?;
    stage.moment().await;
    stage.senders[0].signal(Signal::STOP)?;
    sleep(PAUSE).await;
    stage.senders[0].signal(Signal::CONT)?;
    stage.recovered().await?;
    stage.finish().await
}
