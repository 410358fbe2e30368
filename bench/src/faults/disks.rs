//! Disks that are full and become free again, and spools that reach their bounds.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::sleep;

use super::ledger::Counts;
use super::stage::{Outcome, Stage};
use super::{Fault, fault, root};
use crate::process;

pub(super) fn faults() -> Vec<Fault> {
    vec![
        fault("aggregator_disk_full", |stage| Box::pin(aggregator(stage))).needs(root),
        fault("agent_disk_full", |stage| Box::pin(agent(stage))).needs(root),
        fault("spool_full", |stage| Box::pin(full(stage))).quick(),
        fault("spool_too_old", |stage| Box::pin(aged(stage))),
    ]
}

/// A small file system; it goes when it is dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, size: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(at)?;
        let mount = process::in_path("mount").context("no `mount`")?;
        let (size, at_text) = (format!("size={size}"), at.to_string_lossy());
        process::output(&mount, &["-t", "tmpfs", "-o", &size, "bench", &at_text])?;
        Ok(Self(at.into()))
    }

    /// Takes all the room that there is, until the file goes.
    fn fill(&self) -> anyhow::Result<PathBuf> {
        let path = self.0.join("ballast");
        let mut file = File::create(&path)?;
        for bytes in [1 << 16, 1 << 12, 1 << 9] {
            while file.write_all(&vec![1; bytes]).is_ok() {}
        }
        Ok(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(program) = process::in_path("umount") {
            drop(process::output(&program, &["-l", &self.0.to_string_lossy()]));
        }
    }
}

async fn aggregator(mut stage: Stage) -> anyhow::Result<Outcome> {
    let index = stage.daemon()?;
    let disk = Disk::mount(&stage.daemons[index].data, "24m")?;
    let endpoint = stage.daemons[index].endpoint();
    stage.sender(endpoint)?;
    stage.start_all().await?;
    stage.moment().await;
    let ballast = disk.fill()?;
    sleep(stage.load * 2).await;
    std::fs::remove_file(ballast)?;
    stage.recovered().await?;
    stage.finish_then(move || drop(disk)).await
}

/// The aggregator is away, the disk is full, and memory has room for some.
async fn agent(mut stage: Stage) -> anyhow::Result<Outcome> {
    let index = stage.daemon()?;
    let endpoint = stage.daemons[index].endpoint();
    let sender = stage.sender(endpoint)?;
    let spool = &mut stage.senders[sender].setup.spool;
    let disk = Disk::mount(&spool.dir, "4m")?;
    spool.memory_bytes = 16 << 10;
    stage.start_alone()?;
    stage.senders[0].until("first frame", |ledger| !ledger.fates.is_empty()).await?;
    let ballast = disk.fill()?;
    stage.senders[0].steer(|control| control.tick_ms = 1)?;
    given_up(&mut stage, |counts| counts.io + counts.full).await?;
    std::fs::remove_file(ballast)?;
    stage.daemons[0].start().await?;
    stage.recovered().await?;
    Ok(stage.finish_then(move || drop(disk)).await?.given_up_on_the_road())
}

async fn full(mut stage: Stage) -> anyhow::Result<Outcome> {
    let index = stage.daemon()?;
    let endpoint = stage.daemons[index].endpoint();
    let sender = stage.sender(endpoint)?;
    let spool = &mut stage.senders[sender].setup.spool;
    (spool.max_bytes, spool.memory_bytes) = (64 << 10, 64 << 10);
    stage.senders[0].steer(|control| control.tick_ms = 1)?;
    stage.start_alone()?;
    given_up(&mut stage, |counts| counts.full).await?;
    stage.daemons[0].start().await?;
    stage.recovered().await?;
    Ok(stage.finish().await?.given_up_on_the_road())
}

async fn aged(mut stage: Stage) -> anyhow::Result<Outcome> {
    let index = stage.daemon()?;
    let endpoint = stage.daemons[index].endpoint();
    let sender = stage.sender(endpoint)?;
    let spool = &mut stage.senders[sender].setup.spool;
    (spool.max_age, spool.max_bytes) = (Duration::from_secs(1), 64 << 10);
    stage.start_alone()?;
    given_up(&mut stage, |counts| counts.age).await?;
    stage.daemons[0].start().await?;
    stage.recovered().await?;
    Ok(stage.finish().await?.given_up_on_the_road())
}

/// Waits until the first frames are given up, and some more.
async fn given_up(stage: &mut Stage, of: fn(&Counts) -> u64) -> anyhow::Result<()> {
    let given_up = |ledger: &super::ledger::Ledger| ledger.counts.iter().map(of).sum::<u64>() > 20;
    stage.senders[0].until("frame that is given up", given_up).await.map(drop)
}
