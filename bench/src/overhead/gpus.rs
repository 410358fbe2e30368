//! The agent on GPUs that the fake NVML makes up: what reading them costs, and how many calls the
//! driver would get.
//!
//! The library is in the agent's process, so that what it costs is in the figures, too; how much
//! that is, it tells itself. Time in a real driver is not: this is the agent's own part.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use fake_nvml::{Load, Scenario, ScenarioFile, Stats};
use sextant_agent::clock::{next_tick, now_ms};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::agent::{self, Subject};
use super::{
    Arguments, Meter, Round, SETTLE, WARM_UP_MS, WARM_UP_ROUNDS, allocations, durations, figures,
};
use crate::aggregator::{self, Aggregator};
use crate::progress;
use crate::report::{Report, Row};

/// How often the fake looks at its scenario, which does not change: seldom, as it does so on the
/// agent's time.
const POLL_MS: u64 = 10_000;
/// How often it writes down what it counted. More often costs more, rarer makes rates less sure.
const STATS_MS: u64 = 2_000;
/// A training job's steps, in seconds.
const STEP: f64 = 40.0;
/// The first numbers of the library may take this long.
const FIRST_STATS: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// Starts the daemons and measures.
pub(super) async fn run(number: u32, arguments: &Arguments) -> anyhow::Result<Report> {
    let (agent_program, system) = agent::program(arguments.agent.as_deref())?;
    let (aggregator_program, _) = aggregator::program(arguments.aggregator.as_deref())?;
    let library = library(arguments.fake_nvml.as_deref())?;
    let (interval, interval_ms, rounds) = arguments.rounds()?;

    let dir = tempfile::tempdir().context("directory for the daemons' files")?;
    let stats_file = dir.path().join("nvml.json");
    let scenario = ScenarioFile::create(
        dir.path().join("scenario.toml"),
        scenario(number, stats_file.clone()),
    )?;
    let subject = Subject::Gpus { library, scenario: scenario.path().to_owned() };
    let aggregator = Aggregator::start(&aggregator_program, dir.path()).await?;
    let mut client = aggregator.query().await?;
    let endpoint = aggregator.endpoint();
    let mut agent = agent::start(&agent_program, dir.path(), &endpoint, interval, &subject)?;
    agent::connected(&mut agent, &mut client).await?;

    let warm_up = WARM_UP_ROUNDS.max(WARM_UP_MS / interval_ms);
    let bar = progress::bar("warming up", u64::try_from(warm_up + rounds)?);
    let mut round = Round { tick_ms: next_tick(now_ms(), interval_ms), interval_ms };
    for _ in 0..warm_up {
        round.pass(&bar).await;
    }
    loaded(&stats_file).await?;
    bar.set_message("measuring");
    let start_ms = round.between().await;
    let tasks = TaskTracker::new();
    let meter = Meter::start(&agent, &tasks)?;
    let before = read(&stats_file)?;
    for _ in 0..rounds {
        round.pass(&bar).await;
    }
    let end_ms = round.between().await;
    let used = meter.finish().await?;
    let after = read(&stats_file)?;
    bar.finish_and_clear();
    tokio::time::sleep(SETTLE).await;
    let collected = agent::collected(&mut client, start_ms, end_ms).await?;
    agent.alive()?;
    agent.stop().await?;
    aggregator.stop().await?;
    let environment = [("FAKE_NVML_SCENARIO", scenario.path().as_os_str())];
    let allocations = allocations::count(dir.path(), None, &environment).await?;

    let millis = u64::try_from(end_ms - start_ms).context("the clock was set back")?;
    let seconds = Duration::from_millis(millis).as_secs_f64();
    let mut own = figures(&used, collected.samples, u64::try_from(rounds)?, seconds);
    durations(&collected, &mut own);
    if let Some(bytes) = collected.sent_bytes {
        own.set("sent_bytes_per_second", bytes / seconds);
        own.set("sent_bytes_per_sample", bytes / collected.samples as f64);
    }
    let counted = after.seconds - before.seconds;
    let rate = |of: fn(&Stats) -> u64| of(&after).saturating_sub(of(&before)) as f64 / counted;
    let per_gpu = |stats: &Stats| stats.gpus.values().map(|gpu| gpu.calls).sum::<u64>();
    own.count("gpus", u64::from(number))
        .count("allocations_per_steady_fast_tick", allocations)
        .set("nvml_calls_per_gpu_and_minute", rate(per_gpu) * 60.0 / f64::from(number))
        .set("nvml_percent_of_core", rate(|stats| stats.nanos) / 1e7);
    Ok(Report {
        bench: "overhead",
        seconds,
        rows: vec![Row { system, figures: own, ..Row::default() }],
        goals: Vec::new(),
        notes: &[],
    })
}

/// GPUs of a training job.
fn scenario(number: u32, stats_file: PathBuf) -> Scenario {
    let mut scenario = Scenario {
        poll_ms: POLL_MS,
        stats_file: Some(stats_file),
        stats_ms: STATS_MS,
        ..Scenario::of("h100-sxm", number)
    };
    for gpu in &mut scenario.gpus {
        gpu.set.load = Some(Load::training(STEP));
    }
    scenario
}

/// The fake: as given, else where cargo puts it.
fn library(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let Some(path) = given else {
        return fake_nvml::library_path()
            .context("build it with `cargo build --release -p fake-nvml`");
    };
    anyhow::ensure!(
        path.is_file(),
        "no {} there: build it with `cargo build --release -p fake-nvml`",
        path.display()
    );
    path.canonicalize().with_context(|| path.display().to_string())
}

/// Waits until the agent has loaded the library and called it.
async fn loaded(stats_file: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + FIRST_STATS;
    while !read(stats_file).is_ok_and(|stats| !stats.gpus.is_empty()) {
        anyhow::ensure!(Instant::now() < deadline, "the agent does not read the fake's GPUs");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn read(stats_file: &Path) -> anyhow::Result<Stats> {
    let json = std::fs::read(stats_file).context("what the fake NVML counted")?;
    serde_json::from_slice(&json).context("what the fake NVML counted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_named_with_how_to_build_it() {
        let text = library(Some(Path::new("/nowhere/libfake_nvml.so"))).unwrap_err().to_string();
        assert!(text.contains("/nowhere/") && text.contains("cargo build --release -p fake-nvml"));
    }
}
