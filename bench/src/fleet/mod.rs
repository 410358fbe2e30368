//! `fleet`: simulated agents push into a real aggregator, each in its own phase, for a while;
//! then every sample is asked for again.
//!
//! The aggregator is a process of its own with its defaults, so that CPU and memory are its
//! alone. What is measured is from the first tick to the last ack. A loss is a failure of the
//! run, not a figure to weigh.

mod check;
mod node;
mod plan;
mod simulation;
mod verify;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sextant_proto::limits::MAX_SAMPLES_PER_FRAME;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::check::Tally;
use self::node::{Latencies, Node, Sent};
use self::plan::Plan;
use self::simulation::Simulation;
use crate::aggregator::{self, Aggregator};
use crate::progress;
use crate::report::{Figures, Report, Row};
use crate::usage::{self, Memory, Monitor};

/// New connections a second.
const RAMP_PER_SECOND: u64 = 500;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long after the last tick acks are waited for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Files beside one connection for each node.
const SPARE_FILES: u64 = 256;
const LOOK: Duration = Duration::from_millis(20);

/// What a fleet is.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Simulated nodes.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=50_000))]
    nodes: u64,
    /// Series of each node.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=MAX_SAMPLES_PER_FRAME as i64))]
    series: u32,
    /// Between two ticks of a node.
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// How long they tick.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Other values come from another seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The aggregator's program [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    aggregator: Option<PathBuf>,
}

/// What was measured under load.
struct Load {
    took: Duration,
    cpu: Duration,
    memory: Memory,
    sent: Sent,
    latencies: Latencies,
}

/// Measures; beside the report what is wrong with what was stored.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<(Report, Option<String>)> {
    let (program, system) = aggregator::program(arguments.aggregator.as_deref())?;
    let interval_ms = u32::try_from(arguments.interval.as_millis()).context("--interval")?;
    if interval_ms == 0 {
        bail!("--interval is under a millisecond");
    }
    let ticks = arguments.duration.as_millis() / arguments.interval.as_millis();
    let ticks = u64::try_from(ticks).context("--duration")?.max(1);
    allow_files(arguments.nodes + SPARE_FILES)?;

    let dir = tempfile::tempdir().context("directory for the aggregator's data")?;
    let mut aggregator = Aggregator::start(&program, dir.path()).await?;
    let tasks = TaskTracker::new();
    let cancel = CancellationToken::new();
    let _uplinks = cancel.clone().drop_guard();
    let simulation = Simulation::new(arguments.seed, arguments.series as usize);
    let nodes = connect(arguments.nodes, &aggregator, &simulation, &tasks, &cancel).await?;
    let plan = Plan::new(simulation, sextant_agent::clock::now_ms(), interval_ms, ticks);
    let plan = Arc::new(plan);
    let load = load(&nodes, &plan, &aggregator, &tasks).await?;
    aggregator.alive()?;

    cancel.cancel();
    tasks.close();
    timeout(CONNECT_TIMEOUT, tasks.wait()).await.context("the uplinks do not end")?;
    let mut tally = verify(&nodes, &plan, &aggregator).await?;
    let accepted = aggregator.counter("sextant_ingest_samples_total").await?;
    tally.duplicated += accepted_twice(accepted, &load, arguments.series);
    let disk_bytes = aggregator.stop().await?;

    let figures = figures(&arguments, &load, tally, disk_bytes);
    let Tally { lost, duplicated, wrong, .. } = tally;
    let bad = (lost + duplicated + wrong > 0)
        .then(|| format!("{lost} samples lost, {duplicated} duplicated, {wrong} wrong"));
    let seconds = load.took.as_secs_f64();
    Ok((
        Report {
            bench: "fleet",
            seconds,
            rows: vec![Row { system, figures, ..Row::default() }],
            goals: Vec::new(),
            notes: &[],
        },
        bad,
    ))
}

/// What the aggregator has taken in beyond what was sent. An answer has one sample for a series
/// and an instant, however often it is stored: this counts those that it hides.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn accepted_twice(accepted: f64, load: &Load, series: u32) -> u64 {
    (accepted as u64).saturating_sub(load.sent.pushed_frames * u64::from(series))
}

/// Raises the limit of open files, which the children inherit.
fn allow_files(files: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < files) {
        bail!("so many nodes need {files} open files: raise the hard limit (`ulimit -Hn`)");
    }
    let raised = Rlimit { current: Some(files), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).context("raise the limit of open files")
}

/// Starts the nodes one after the other, and waits until all are connected.
async fn connect(
    count: u64,
    aggregator: &Aggregator,
    simulation: &Simulation,
    tasks: &TaskTracker,
    cancel: &CancellationToken,
) -> anyhow::Result<Vec<Arc<Node>>> {
    let bar = progress::bar("connecting", count);
    let mut ramp = tokio::time::interval(Duration::from_secs(1) / u32::try_from(RAMP_PER_SECOND)?);
    let endpoint = aggregator.endpoint();
    let mut nodes = Vec::new();
    for index in 0..count {
        ramp.tick().await;
        nodes.push(Arc::new(Node::start(index, &endpoint, simulation, tasks, cancel)?));
        bar.inc(1);
    }
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    loop {
        let connected = nodes.iter().filter(|node| node.is_connected()).count();
        if connected == nodes.len() {
            bar.finish_and_clear();
            return Ok(nodes);
        }
        if Instant::now() > deadline {
            bail!("only {connected} of {count} nodes are connected after {CONNECT_TIMEOUT:?}");
        }
        sleep(LOOK).await;
    }
}

async fn load(
    nodes: &[Arc<Node>],
    plan: &Arc<Plan>,
    aggregator: &Aggregator,
    tasks: &TaskTracker,
) -> anyhow::Result<Load> {
    let bar = progress::bar("sending", plan.ticks * nodes.len() as u64);
    let latencies = Arc::new(Mutex::new(Latencies::new()));
    let monitor = Monitor::start(aggregator.pid(), tasks);
    let (began, cpu) = (Instant::now(), usage::cpu_time(aggregator.pid())?);
    let running: Vec<_> = nodes
        .iter()
        .map(|node| {
            let (node, plan) = (Arc::clone(node), Arc::clone(plan));
            let (latencies, bar) = (Arc::clone(&latencies), bar.clone());
            tasks.spawn(async move { node.run(&plan, DRAIN_TIMEOUT, &latencies, &bar).await })
        })
        .collect();
    for node in running {
        node.await.context("a simulated node")?;
    }
    let (took, cpu) = (began.elapsed(), usage::cpu_time(aggregator.pid())? - cpu);
    bar.finish_and_clear();
    let memory = monitor.finish().await?;
    let mut sent = Sent::default();
    for one in nodes.iter().map(|node| node.sent()) {
        sent.pushed_frames += one.pushed_frames;
        sent.acked_frames += one.acked_frames;
        sent.bytes += one.bytes;
        sent.reconnects += one.reconnects;
    }
    let mut shared = latencies.lock().unwrap_or_else(PoisonError::into_inner);
    let latencies = std::mem::replace(&mut *shared, Latencies::new());
    Ok(Load { took, cpu, memory, sent, latencies })
}

/// Asks for everything, node by node.
async fn verify(
    nodes: &[Arc<Node>],
    plan: &Plan,
    aggregator: &Aggregator,
) -> anyhow::Result<Tally> {
    let bar = progress::bar("checking", nodes.len() as u64);
    let columns = verify::Columns::of(plan);
    let mut client = aggregator.query().await?;
    let mut tally = Tally::default();
    for node in nodes {
        tally.add(verify::node(&mut client, plan, &columns, node.index).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(tally)
}

fn figures(arguments: &Arguments, load: &Load, tally: Tally, disk_bytes: u64) -> Figures {
    let series = u64::from(arguments.series);
    let (sent, acked) = (load.sent.pushed_frames * series, load.sent.acked_frames * series);
    let samples = sent as f64;
    let cpu = load.cpu.as_secs_f64();
    let took = load.took.as_secs_f64();
    let ms = |micros: u64| micros as f64 / 1e3;
    let ack = |quantile| ms(load.latencies.ack.value_at_quantile(quantile));
    let mut figures = Figures::default();
    figures
        .count("nodes", arguments.nodes)
        .count("series", arguments.nodes * series)
        .set("interval_seconds", arguments.interval.as_secs_f64())
        .count("sent", sent)
        .count("acked", acked)
        .count("stored", tally.stored)
        .count("lost", tally.lost)
        .count("duplicated", tally.duplicated)
        .count("wrong", tally.wrong)
        .count("reconnects", load.sent.reconnects)
        .set("samples_per_second", samples / took)
        .set("samples_per_second_per_core", samples / cpu)
        .set("cpu_seconds", cpu)
        .set("cpu_percent_of_core", cpu / took * 100.0)
        .set("cpu_ns_per_sample", cpu * 1e9 / samples);
    if !load.latencies.ack.is_empty() {
        figures
            .set("ack_p50_ms", ack(0.5))
            .set("ack_p99_ms", ack(0.99))
            .set("ack_max_ms", ack(1.0));
    }
    figures
        .set("tick_late_p99_ms", ms(load.latencies.late.value_at_quantile(0.99)))
        .count("rss_bytes", load.memory.max_bytes)
        .count("rss_mean_bytes", load.memory.mean_bytes)
        .count("rss_anon_bytes", load.memory.max_anonymous_bytes)
        .count("disk_bytes", disk_bytes)
        .set("bytes_per_sample_stored", disk_bytes as f64 / tally.stored as f64)
        .set("wire_bytes_per_sample", load.sent.bytes as f64 / samples);
    figures
}
