//! Connections that are slow, silent, cut, or a trickle: a proxy stands between.

use std::time::Duration;

use tokio::time::sleep;

use super::proxy::{Proxy, Road};
use super::stage::{Outcome, Stage};
use super::{Fault, fault};

pub(super) fn faults() -> Vec<Fault> {
    vec![
        fault("connection_cut", |stage| Box::pin(cut(stage))).quick(),
        fault("connection_slow", |stage| {
            Box::pin(bad(stage, Road::Slow(Duration::from_millis(200)), false))
        }),
        fault("connection_trickles", |stage| Box::pin(bad(stage, Road::Trickle(40), false))),
        fault("connection_half_open", |stage| Box::pin(bad(stage, Road::Silent, true))),
        fault("acks_lost", |stage| Box::pin(bad(stage, Road::Deaf, true))).quick(),
        fault("connection_refused", |stage| Box::pin(bad(stage, Road::Closed, true))),
    ]
}

async fn begin(stage: &mut Stage) -> anyhow::Result<Proxy> {
    let index = stage.daemon()?;
    let proxy = Proxy::start(stage.daemons[index].grpc).await?;
    for _ in 0..2 {
        stage.sender(proxy.endpoint())?;
    }
    stage.start_all().await?;
    Ok(proxy)
}

async fn cut(mut stage: Stage) -> anyhow::Result<Outcome> {
    let proxy = begin(&mut stage).await?;
    for _ in 0..3 {
        stage.moment().await;
        proxy.cut();
        stage.recovered().await?;
    }
    stage.finish().await
}

/// The road is bad for the time of the load. What stands between ends the connections then,
/// where nothing would come through them any more.
async fn bad(mut stage: Stage, road: Road, ends: bool) -> anyhow::Result<Outcome> {
    let proxy = begin(&mut stage).await?;
    stage.moment().await;
    if road == Road::Closed {
        proxy.cut();
    }
    proxy.make(road);
    sleep(stage.load).await;
    proxy.make(Road::Good);
    if ends {
        proxy.cut();
    }
    stage.recovered().await?;
    stage.finish().await
}
