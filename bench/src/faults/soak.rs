//! Restarts at random for a long while: memory stays flat, and all is there in the end.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use super::figures;
use super::stage::Stage;
use crate::report::{Report, Row};

const SENDERS: usize = 4;
/// Between two things that break.
const CALM: Duration = Duration::from_secs(5);
/// A process that is new fills its buffers at first.
const SETTLED: Duration = Duration::from_secs(20);
/// Memory may grow by so much beyond what it was when it had settled: by a part of it, and by
/// what the allocator keeps.
const GROWTH: f64 = 1.25;
const SLACK_BYTES: f64 = 16e6;
const TICK_MS: u64 = 50;

/// Soaks; beside the report what is wrong.
pub(super) async fn run(
    program: &Path,
    system: String,
    seed: u64,
    duration: Duration,
) -> anyhow::Result<(Report, Option<String>)> {
    let began = Instant::now();
    let mut stage = Stage::new(program, seed, CALM)?;
    let index = stage.daemon()?;
    let endpoint = stage.daemons[index].endpoint();
    for _ in 0..SENDERS {
        let sender = stage.sender(endpoint.clone())?;
        stage.senders[sender].steer(|control| control.tick_ms = TICK_MS)?;
    }
    stage.start_all().await?;
    let mut restarts = 0u64;
    // The second half of the time only agents restart, so that the aggregator can be seen to
    // keep its memory.
    let (mut settled, mut last) = (None, 0.0);
    let mut quiet_since = None;
    while began.elapsed() < duration {
        stage.moment().await;
        let half = began.elapsed() * 2 > duration;
        if stage.random(2) == 0 && !half {
            stage.daemons[0].kill();
            stage.daemons[0].start().await?;
        } else {
            let which = stage.random(SENDERS as u64);
            let sender = &mut stage.senders[usize::try_from(which)?];
            sender.kill();
            sender.start()?;
        }
        restarts += 1;
        stage.recovered().await?;
        let memory = resident(stage.daemons[0].pid().context("the aggregator runs")?)?;
        if half {
            let since = *quiet_since.get_or_insert_with(Instant::now);
            last = memory;
            if since.elapsed() >= SETTLED {
                settled.get_or_insert(memory);
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
    let mut outcome = stage.finish().await?;
    let mut figures = figures(1, &mut outcome);
    figures.count("restarts", restarts);
    let mut wrong = Vec::new();
    if !outcome.is_right() {
        wrong.push(format!(
            "{} lost, {} duplicated, {} not accounted for",
            outcome.lost, outcome.duplicated, outcome.unexplained
        ));
    }
    if let Some(settled) = settled {
        figures.set("rss_settled_bytes", settled).set("rss_bytes", last);
        if last > settled * GROWTH + SLACK_BYTES {
            wrong.push(format!("memory has grown from {settled} to {last} bytes"));
        }
    }
    let rows = vec![Row::of("soak", system, figures)];
    let seconds = began.elapsed().as_secs_f64();
    let report = Report { bench: "faults", seconds, rows, goals: Vec::new(), notes: &[] };
    Ok((report, (!wrong.is_empty()).then(|| wrong.join("; "))))
}

/// Resident bytes of a process.
fn resident(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).context(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    Ok(kib.context("resident memory")? * 1024.0)
}
