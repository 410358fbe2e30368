//! A node's clock that is set, there and back.

use super::stage::{Outcome, Stage};
use super::{Fault, fault};

const HOUR_MS: i64 = 3_600_000;

pub(super) fn faults() -> Vec<Fault> {
    vec![
        fault("clock_an_hour_ahead", |stage| Box::pin(step(stage, HOUR_MS))),
        fault("clock_an_hour_back", |stage| Box::pin(step(stage, -HOUR_MS))),
        fault("clock_a_day_ahead", |stage| Box::pin(step(stage, 24 * HOUR_MS))),
        fault("clock_a_day_back", |stage| Box::pin(step(stage, -24 * HOUR_MS))),
    ]
}

async fn step(mut stage: Stage, offset_ms: i64) -> anyhow::Result<Outcome> {
    stage.begin(2).await?;
    for offset_ms in [offset_ms, 0] {
        stage.moment().await;
        for sender in &mut stage.senders {
            sender.steer(|control| control.offset_ms = offset_ms)?;
        }
        stage.recovered().await?;
    }
    // What an aggregator reads again at a start is of both times.
    stage.daemons[0].kill();
    stage.daemons[0].start().await?;
    stage.recovered().await?;
    Ok(stage.finish().await?.given_up_on_the_road())
}
