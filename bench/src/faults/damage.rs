//! Bytes on disk that are not what was written.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::stage::{Outcome, Stage};
use super::{Fault, fault};

pub(super) fn faults() -> Vec<Fault> {
    vec![
        fault("spool_bytes_flipped", |stage| Box::pin(spool(stage, flip))),
        fault("spool_cut_short", |stage| Box::pin(spool(stage, cut))),
        fault("journal_damaged_then_restored", |stage| Box::pin(journal(stage))),
    ]
}

type Harm = fn(&mut Stage, &Path) -> anyhow::Result<()>;

fn flip(stage: &mut Stage, path: &Path) -> anyhow::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let at = length / 4 + stage.random(length / 2);
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    Ok(file.write_all_at(&[byte[0] ^ 0x40], at)?)
}

fn cut(stage: &mut Stage, path: &Path) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let length = file.metadata()?.len();
    Ok(file.set_len(length - 1 - stage.random(length / 4))?)
}

/// The aggregator is away, so that what is damaged is nowhere else.
async fn spool(mut stage: Stage, harm: Harm) -> anyhow::Result<Outcome> {
    stage.begin(1).await?;
    stage.daemons[0].kill();
    stage.under_load().await;
    stage.senders[0].kill();
    let path = largest(&stage.senders[0].setup.spool.dir)?;
    harm(&mut stage, &path)?;
    stage.senders[0].start()?;
    stage.daemons[0].start().await?;
    stage.recovered().await?;
    Ok(stage.finish().await?.of_damage())
}

fn largest(dir: &Path) -> anyhow::Result<PathBuf> {
    let mut found = None;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        found = found.max(Some((entry.metadata()?.len(), entry.path())));
    }
    let (bytes, path) = found.context("an empty spool")?;
    ensure!(bytes > 1_000, "a spool with nothing in it");
    Ok(path)
}

async fn journal(mut stage: Stage) -> anyhow::Result<Outcome> {
    stage.begin(2).await?;
    stage.under_load().await;
    // A copy is of an instant: what is acknowledged later is not in it.
    for sender in &mut stage.senders {
        sender.steer(|control| control.drain = true)?;
        sender.until("drained spool", |ledger| ledger.drained).await?;
    }
    let copy = stage.dir.path().join("copy");
    stage.daemons[0].command("backup", &[&copy.to_string_lossy()])?;
    stage.daemons[0].stop().await?;
    let main = stage.daemons[0].data.join("sextant.db");
    let file = OpenOptions::new().write(true).open(&main)?;
    let length = file.metadata()?.len();
    // The end of a page is where rows are; the first one has the schema.
    for page in 1..length / 4096 {
        file.write_all_at(&[0x5a; 200], (page + 1) * 4096 - 300)?;
    }
    drop(file);
    let said = stage.daemons[0].refuses().await?;
    ensure!(said.contains("sextant.db"), "the aggregator does not name the file: {said}");
    std::fs::rename(&stage.daemons[0].data, stage.dir.path().join("damaged"))?;
    stage.daemons[0].command("restore", &[&copy.to_string_lossy()])?;
    stage.daemons[0].start().await?;
    stage.finish().await
}
