//! Several aggregators behind one name: they come, go, die, and change their addresses.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::stage::{Outcome, Stage};
use super::{Fault, fault};

const NODES: usize = 6;
/// How soon agents learn of another address.
const LOOK_UP_EVERY: Duration = Duration::from_millis(200);

pub(super) fn faults() -> Vec<Fault> {
    vec![
        fault("aggregator_added", |stage| Box::pin(added(stage))),
        fault("aggregator_removed_in_order", |stage| Box::pin(removed(stage))),
        fault("aggregator_dies_and_is_gone", |stage| Box::pin(died(stage))),
        fault("aggregator_at_another_address", |stage| Box::pin(moved(stage))),
    ]
}

/// So many aggregators, of which so many are named.
async fn begin(stage: &mut Stage, all: usize, named: usize) -> anyhow::Result<()> {
    for _ in 0..all {
        stage.daemon()?;
    }
    let names = stage.dir.path().join("addresses");
    for _ in 0..NODES {
        let index = stage.sender("http://aggregators.test:9317".into())?;
        let setup = &mut stage.senders[index].setup;
        setup.addresses = Some(names.clone());
        setup.uplink.resolve_interval = LOOK_UP_EVERY;
        stage.senders[index].steer(|control| control.tick_ms = 20)?;
    }
    name(stage, 0..named)?;
    stage.start_all().await
}

/// From now on the name stands for these.
fn name(stage: &Stage, which: impl IntoIterator<Item = usize>) -> anyhow::Result<()> {
    let addresses = which.into_iter().map(|index| stage.daemons[index].grpc);
    write(&stage.dir.path().join("addresses"), addresses)
}

fn write(path: &Path, addresses: impl Iterator<Item = SocketAddr>) -> anyhow::Result<()> {
    let text: String = addresses.map(|address| format!("{address}\n")).collect();
    std::fs::write(path.with_extension("new"), text)?;
    Ok(std::fs::rename(path.with_extension("new"), path)?)
}

async fn added(mut stage: Stage) -> anyhow::Result<Outcome> {
    begin(&mut stage, 3, 2).await?;
    stage.moment().await;
    name(&stage, 0..3)?;
    stage.under_load().await;
    stage.recovered().await?;
    stage.finish().await
}

async fn removed(mut stage: Stage) -> anyhow::Result<Outcome> {
    begin(&mut stage, 3, 3).await?;
    stage.moment().await;
    name(&stage, 0..2)?;
    stage.under_load().await;
    stage.recovered().await?;
    stage.finish().await
}

async fn died(mut stage: Stage) -> anyhow::Result<Outcome> {
    begin(&mut stage, 3, 3).await?;
    stage.moment().await;
    stage.daemons[0].kill();
    name(&stage, 1..3)?;
    stage.recovered().await?;
    stage.finish().await
}

async fn moved(mut stage: Stage) -> anyhow::Result<Outcome> {
    begin(&mut stage, 2, 2).await?;
    stage.moment().await;
    stage.daemons[1].kill();
    stage.daemons[1].grpc.set_ip([127, 0, 0, 77].into());
    stage.daemons[1].start().await?;
    name(&stage, 0..2)?;
    stage.recovered().await?;
    stage.finish().await
}
