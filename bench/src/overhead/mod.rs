//! `overhead`: what the agent costs the node that it runs on, beside node_exporter, which reads
//! the same files, on the same host in the same minutes at the same interval.
//!
//! Both daemons run as they do in production: the agent pushes to an aggregator (whose cost is
//! not counted), the exporter is scraped compressed over a connection that stays open. The
//! agent reads at multiples of the interval; scrapes are half an interval away from that, and
//! the measurement begins and ends in between, so that it holds whole rounds of both.
//!
//! With `--gpus` it is the GPU collector instead, on GPUs that the fake NVML makes up, and with
//! `--ptp` and `--vfs` those of clocks and SR-IOV, on a node that is made up; nothing stands
//! beside these.

mod agent;
pub(crate) mod allocations;
mod gpus;
mod node_exporter;
pub(crate) mod telco;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use sextant_agent::clock::{next_tick, now_ms};
use tokio_util::task::TaskTracker;

use self::agent::{Collected, Subject};
use self::node_exporter::NodeExporter;
use crate::aggregator::{self, Aggregator};
use crate::process::Child;
use crate::progress;
use crate::report::{Figures, Report, Row};
use crate::usage::{self, Memory, Monitor};

/// This program's subcommand that is an agent.
pub(crate) const STAND_IN: &str = "agent-with-fakes";
/// Rounds before the measurement, and how long they take at least.
const WARM_UP_ROUNDS: i64 = 3;
const WARM_UP_MS: i64 = 10_000;
/// Below it, a round of one daemon would reach into the other's.
const SHORTEST_MS: i64 = 500;
/// What the agent has read at the last tick must have come to the aggregator.
const SETTLE: Duration = Duration::from_secs(1);

/// What is compared.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Between two readings, and between two scrapes [default: 10s; 1s for what is simulated]
    #[arg(long, value_parser = humantime::parse_duration)]
    interval: Option<Duration>,
    /// Measure the reading of so many GPUs, which a fake NVML makes up, instead of the host.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=32))]
    gpus: Option<u32>,
    /// The fake NVML [default: the one beside this program]
    #[arg(long, value_name = "PATH", requires = "gpus")]
    fake_nvml: Option<PathBuf>,
    /// Measure the reading of so many ptp4l's of one port each, which are simulated.
    #[arg(long, value_name = "NUMBER", conflicts_with = "gpus")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=32))]
    ptp: Option<u32>,
    /// Measure the reading of so many virtual functions, which are simulated.
    #[arg(long, value_name = "NUMBER", conflicts_with = "gpus")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=2048))]
    vfs: Option<u32>,
    /// Between two readings of the virtual functions; the physical ones are read at --interval.
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    vf_interval: Duration,
    /// How long to measure, after the warm-up; whole intervals count.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// The agent's program [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// The aggregator's program [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    aggregator: Option<PathBuf>,
    /// node_exporter's program [default: the one in $PATH]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["gpus", "ptp", "vfs"])]
    node_exporter: Option<PathBuf>,
}

/// What a daemon has used.
struct Used {
    cpu: Duration,
    memory: Memory,
}

impl Arguments {
    /// The interval, and how many of them fit.
    fn rounds(&self) -> anyhow::Result<(Duration, i64, i64)> {
        let simulated = self.gpus.or(self.ptp).or(self.vfs).is_some();
        let default = if simulated { 1 } else { 10 };
        let interval = self.interval.unwrap_or(Duration::from_secs(default));
        let interval_ms = i64::try_from(interval.as_millis()).context("--interval")?;
        if interval_ms < SHORTEST_MS {
            bail!("--interval is under {SHORTEST_MS} ms");
        }
        let duration_ms = i64::try_from(self.duration.as_millis()).context("--duration")?;
        Ok((interval, interval_ms, (duration_ms / interval_ms).max(1)))
    }
}

/// Starts all daemons and measures.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<Report> {
    match (arguments.gpus, arguments.ptp, arguments.vfs) {
        (Some(number), ..) => gpus::run(number, &arguments).await,
        (None, None, None) => run_host(&arguments).await,
        (None, ptp, vfs) => {
            let size = telco::Size { ptp: ptp.unwrap_or_default(), vfs: vfs.unwrap_or_default() };
            Box::pin(telco::run(size, &arguments)).await
        }
    }
}

async fn run_host(arguments: &Arguments) -> anyhow::Result<Report> {
    let (agent_program, agent_system) = agent::program(arguments.agent.as_deref())?;
    let (aggregator_program, _) = aggregator::program(arguments.aggregator.as_deref())?;
    let (peer_program, peer_system) = node_exporter::program(arguments.node_exporter.as_deref())?;
    let (interval, interval_ms, rounds) = arguments.rounds()?;

    let dir = tempfile::tempdir().context("directory for the daemons' files")?;
    let aggregator = Aggregator::start(&aggregator_program, dir.path()).await?;
    let mut client = aggregator.query().await?;
    let endpoint = aggregator.endpoint();
    let mut agent = agent::start(&agent_program, dir.path(), &endpoint, interval, &Subject::Host)?;
    let mut peer = NodeExporter::start(&peer_program, dir.path()).await?;
    agent::connected(&mut agent, &mut client).await?;

    let warm_up = WARM_UP_ROUNDS.max(WARM_UP_MS / interval_ms);
    let bar = progress::bar("warming up", u64::try_from(warm_up + rounds)?);
    let mut round = Round { tick_ms: next_tick(now_ms(), interval_ms), interval_ms };
    for _ in 0..warm_up {
        round.scrape(&mut peer, &bar).await?;
    }
    let samples_before = peer.samples().await?;
    bar.set_message("measuring");
    let start_ms = round.between().await;
    let tasks = TaskTracker::new();
    let (agent_meter, peer_meter) =
        (Meter::start(&agent, &tasks)?, Meter::start(&peer.child, &tasks)?);
    let mut bytes = 0;
    for _ in 0..rounds {
        bytes += round.scrape(&mut peer, &bar).await?;
    }
    let end_ms = round.between().await;
    let (agent_used, peer_used) = (agent_meter.finish().await?, peer_meter.finish().await?);
    bar.finish_and_clear();
    let samples_after = peer.samples().await?;
    tokio::time::sleep(SETTLE).await;
    let collected = agent::collected(&mut client, start_ms, end_ms).await?;
    agent.alive()?;
    agent.stop().await?;
    aggregator.stop().await?;

    let millis = u64::try_from(end_ms - start_ms).context("the clock was set back")?;
    let seconds = Duration::from_millis(millis).as_secs_f64();
    let rounds = u64::try_from(rounds)?;
    let peer_samples = (samples_before + samples_after) * rounds / 2;
    let mut own = figures(&agent_used, collected.samples, rounds, seconds);
    durations(&collected, &mut own);
    let mut its = figures(&peer_used, peer_samples, rounds, seconds);
    its.set("scraped_bytes_per_sample", bytes as f64 / peer_samples as f64);
    let rows = vec![
        Row { system: agent_system, figures: own, ..Row::default() },
        Row { system: peer_system, figures: its, ..Row::default() },
    ];
    Ok(Report { bench: "overhead", seconds, rows, goals: Vec::new(), notes: &[] })
}

/// Where the benchmark is: the next tick of the agent.
struct Round {
    tick_ms: i64,
    interval_ms: i64,
}

impl Round {
    /// Scrapes half an interval after the tick, and goes on to the next.
    async fn scrape(&mut self, peer: &mut NodeExporter, bar: &ProgressBar) -> anyhow::Result<u64> {
        self.pass(bar).await;
        peer.scrape().await
    }

    /// Waits for the next half interval after a tick.
    async fn pass(&mut self, bar: &ProgressBar) {
        sleep_until(self.tick_ms + self.interval_ms / 2).await;
        self.tick_ms += self.interval_ms;
        bar.inc(1);
    }

    /// Waits until neither does anything, before the tick; when that is.
    async fn between(&self) -> i64 {
        let quiet_ms = self.tick_ms - self.interval_ms / 8;
        sleep_until(quiet_ms).await;
        quiet_ms
    }
}

async fn sleep_until(time_ms: i64) {
    let left = u64::try_from(time_ms - now_ms()).unwrap_or_default();
    tokio::time::sleep(Duration::from_millis(left)).await;
}

/// Measures what a daemon uses from now on.
struct Meter {
    pid: u32,
    before: Duration,
    monitor: Monitor,
}

impl Meter {
    fn start(child: &Child, tasks: &TaskTracker) -> anyhow::Result<Self> {
        let pid = child.pid();
        Ok(Self { pid, before: usage::cpu_time(pid)?, monitor: Monitor::start(pid, tasks) })
    }

    async fn finish(self) -> anyhow::Result<Used> {
        let cpu = usage::cpu_time(self.pid)? - self.before;
        Ok(Used { cpu, memory: self.monitor.finish().await? })
    }
}

fn figures(used: &Used, samples: u64, rounds: u64, seconds: f64) -> Figures {
    let cpu = used.cpu.as_secs_f64();
    let Memory { max_bytes, mean_bytes, max_anonymous_bytes, peak_bytes } = used.memory;
    let mut figures = Figures::default();
    figures
        .set("cpu_seconds", cpu)
        .set("cpu_percent_of_core", cpu / seconds * 100.0)
        .set("cpu_ms_per_round", cpu * 1e3 / rounds as f64)
        .count("samples", samples)
        .set("samples_per_round", samples as f64 / rounds as f64)
        .set("cpu_ns_per_sample", cpu * 1e9 / samples as f64)
        .count("rss_bytes", max_bytes)
        .count("rss_mean_bytes", mean_bytes)
        .count("rss_anon_bytes", max_anonymous_bytes)
        .count("rss_peak_since_start_bytes", peak_bytes);
    figures
}

/// What the agent itself says of its collectors.
fn durations(collected: &Collected, figures: &mut Figures) {
    for (collector, took) in &collected.durations {
        figures.set(format!("collector_{collector}_duration_ms"), took.as_secs_f64() * 1e3);
    }
}
