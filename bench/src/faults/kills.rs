//! Processes that end without a warning, at random moments of the load.

use std::time::Duration;

use super::stage::{Outcome, Stage};
use super::{Fault, fault};

/// The clock of a node whose samples are of hours that are over, for compaction to take.
const HOURS_AGO_MS: i64 = -5 * 3_600_000;

pub(super) fn faults() -> Vec<Fault> {
    vec![
        fault("aggregator_killed", |stage| Box::pin(aggregator(stage))).quick(),
        fault("agent_killed", |stage| Box::pin(agent(stage))).quick(),
        fault("both_killed", |stage| Box::pin(both(stage))),
        fault("aggregator_killed_often", |stage| Box::pin(often(stage))),
        fault("aggregator_killed_while_sealing", |stage| Box::pin(sealing(stage))),
        fault("aggregator_killed_while_compacting", |stage| Box::pin(compacting(stage))),
        fault("aggregator_restarted", |stage| Box::pin(restarted(stage))),
    ]
}

async fn aggregator(mut stage: Stage) -> anyhow::Result<Outcome> {
    stage.begin(2).await?;
    stage.moment().await;
    stage.daemons[0].kill();
    stage.moment().await;
    stage.daemons[0].start().await?;
    stage.recovered().await?;
    stage.finish().await
}

async fn agent(mut stage: Stage) -> anyhow::Result<Outcome> {
    stage.begin(2).await?;
    for _ in 0..2 {
        stage.moment().await;
        for sender in &mut stage.senders {
            sender.kill();
            sender.start()?;
        }
        stage.recovered().await?;
    }
    stage.finish().await
}

async fn both(mut stage: Stage) -> anyhow::Result<Outcome> {
    stage.begin(2).await?;
    stage.moment().await;
    stage.daemons[0].kill();
    stage.senders.iter_mut().for_each(super::stage::Sender::kill);
    for sender in &mut stage.senders {
        sender.start()?;
    }
    stage.daemons[0].start().await?;
    stage.recovered().await?;
    stage.finish().await
}

async fn often(mut stage: Stage) -> anyhow::Result<Outcome> {
    stage.begin(2).await?;
    for _ in 0..5 {
        let soon = stage.random(300);
        tokio::time::sleep(Duration::from_millis(soon)).await;
        stage.daemons[0].kill();
        stage.daemons[0].start().await?;
    }
    stage.recovered().await?;
    stage.finish().await
}

/// With a tick each millisecond, chunks of 120 are sealed all the time.
async fn sealing(mut stage: Stage) -> anyhow::Result<Outcome> {
    stage.begin(2).await?;
    for sender in &mut stage.senders {
        sender.steer(|control| control.tick_ms = 1)?;
    }
    for _ in 0..3 {
        stage.moment().await;
        stage.daemons[0].kill();
        stage.daemons[0].start().await?;
        stage.recovered().await?;
    }
    stage.finish().await
}

/// A start looks at once for hours that are over: what was sealed by then is compacted.
async fn compacting(mut stage: Stage) -> anyhow::Result<Outcome> {
    let index = stage.daemon()?;
    let endpoint = stage.daemons[index].endpoint();
    let sender = stage.sender(endpoint)?;
    stage.senders[sender].steer(|control| {
        control.offset_ms = HOURS_AGO_MS;
        control.tick_ms = 1;
    })?;
    stage.start_all().await?;
    stage.under_load().await;
    for _ in 0..3 {
        stage.daemons[0].stop().await?;
        stage.daemons[0].start().await?;
        let soon = stage.random(400);
        tokio::time::sleep(Duration::from_millis(soon)).await;
        stage.daemons[0].kill();
        stage.daemons[0].start().await?;
        stage.recovered().await?;
    }
    stage.finish().await
}

async fn restarted(mut stage: Stage) -> anyhow::Result<Outcome> {
    stage.begin(2).await?;
    stage.moment().await;
    stage.daemons[0].stop().await?;
    stage.daemons[0].start().await?;
    stage.recovered().await?;
    stage.finish().await
}
