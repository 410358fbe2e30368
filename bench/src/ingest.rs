//! `ingest`: how many samples a second one core takes in. Sextant's aggregator gets frames from
//! the agent's own spool and uplink, stores them, runs its detectors and acks; Prometheus and
//! VictoriaMetrics get the same samples in remote write requests of as many ticks.
//!
//! Everything is sent as fast as it is taken. Only the server's CPU time counts, so the senders
//! beside it do no harm but to the time on the wall. The first rounds make the series and are
//! counted apart.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use sextant_agent::clock::now_ms;
use sextant_agent::spool::Spool;
use sextant_agent::uplink::{Introduction, Uplink, UplinkConfig, UplinkStats};
use sextant_bench::telemetry::{Generated, Shape};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::aggregator::{self, Aggregator};
use crate::material::{self, CLUSTER, Node};
use crate::own_frames::{FrameEncoder, layout};
use crate::own_store::descriptors;
use crate::peers::{Feed, Kind, Peer, Program, push};
use crate::progress;
use crate::report::{Figures, Goal, Report, Row};
use crate::usage::{self, Monitor};

const INTERVAL_MS: u32 = 10_000;
const BATCHES: [usize; 2] = [1, 12];
/// Rounds in which series come to be.
const WARM_UP: usize = 12;
/// Frames of a node that wait for their ack; more would only wait longer.
const WINDOW: u64 = 32;
const SPOOL_BYTES: usize = 64 << 20;
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(2);
const OWN: &str = "sextant";
const NOTES: &[&str] = &[
    "CPU time of the server alone; sextant with its detectors, until acked, which means on disk",
    "rss_bytes_per_series is what the series added to an empty server",
];

/// What is sent.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Generated nodes of 500 series.
    #[arg(long, default_value_t = 60)]
    nodes: u64,
    /// Rounds of each node, beside those that make the series.
    #[arg(long, default_value_t = 240)]
    rounds: usize,
    /// The aggregator's program [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    aggregator: Option<std::path::PathBuf>,
    /// Few nodes and rounds.
    #[arg(long)]
    quick: bool,
}

/// What is sent to each system.
struct Load {
    nodes: u64,
    rounds: usize,
    ticks: usize,
    start_ms: i64,
}

impl Load {
    fn nodes(&self) -> impl Iterator<Item = Node<Generated>> {
        (0..self.nodes).map(|index| {
            let telemetry = Generated::new(1, index, self.start_ms, INTERVAL_MS);
            Node::new(material::node_name(index), telemetry)
        })
    }

    fn case(&self) -> String {
        let ticks = if self.ticks == 1 { "tick" } else { "ticks" };
        format!("{} {ticks} a message", self.ticks)
    }
}

/// Measures.
///
/// # Errors
/// When a server fails or does not take everything.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<Report> {
    let began = Instant::now();
    let (nodes, rounds) =
        if arguments.quick { (10, 120) } else { (arguments.nodes, arguments.rounds) };
    let (program, system) = aggregator::program(arguments.aggregator.as_deref())?;
    let mut absent = Vec::new();
    let peers = Program::all(&mut absent);
    let mut rows = Vec::new();
    for ticks in BATCHES {
        let span_ms = i64::try_from(rounds + WARM_UP)? * i64::from(INTERVAL_MS);
        let interval_ms = i64::from(INTERVAL_MS);
        let start_ms = (now_ms() - span_ms).div_euclid(interval_ms) * interval_ms;
        let load = Load { nodes, rounds, ticks, start_ms };
        let dir = tempfile::tempdir().context("directory for the servers' data")?;
        let aggregator = Aggregator::start(&program, dir.path()).await?;
        let figures = own(aggregator, &load).await?;
        rows.push(Row::of(&load.case(), &system, figures));
        for program in &peers {
            let figures = peer(program, &load, dir.path()).await?;
            rows.push(Row::of(&load.case(), &program.system, figures));
        }
    }
    rows.extend(absent);
    let goals = goals(&rows);
    let seconds = began.elapsed().as_secs_f64();
    Ok(Report { bench: "ingest", seconds, rows, goals, notes: NOTES })
}

fn goals(rows: &[Row]) -> Vec<Goal> {
    let figure = |case, system, name| Report::figure(rows, case, system, name);
    let speed = "samples_per_second_per_core";
    let mut goals = Vec::new();
    for case in ["1 tick a message", "12 ticks a message"] {
        let own = figure(case, OWN, speed);
        goals.push(Goal::at_least(format!("samples a second and core, {case}"), 2e6, own));
        for peer in Kind::ALL {
            let ratio = figure(case, peer.name(), speed).zip(own).map(|(its, own)| own / its);
            goals.push(Goal::at_least(format!("times {}, {case}", peer.name()), 1.0, ratio));
        }
        let bytes = figure(case, OWN, "rss_bytes_per_series");
        goals.push(Goal::at_most(format!("bytes of memory a series, {case}"), 1000.0, bytes));
    }
    goals.into_iter().flatten().collect()
}

/// What a server has used for what.
struct Meter {
    pid: u32,
    empty_bytes: u64,
    created: Duration,
    before: Duration,
}

impl Meter {
    async fn start(pid: u32) -> anyhow::Result<Self> {
        let before = usage::cpu_time(pid)?;
        Ok(Self { pid, empty_bytes: resident(pid).await?, created: Duration::ZERO, before })
    }

    /// The series are there.
    fn warm(&mut self) -> anyhow::Result<()> {
        let now = usage::cpu_time(self.pid)?;
        (self.created, self.before) = (now - self.before, now);
        Ok(())
    }

    async fn figures(&self, samples: u64, series: u64, took: Duration) -> anyhow::Result<Figures> {
        let cpu = (usage::cpu_time(self.pid)? - self.before).as_secs_f64();
        let rss = resident(self.pid).await?;
        let mut figures = Figures::default();
        figures
            .count("series", series)
            .count("samples", samples)
            .set("samples_per_second_per_core", samples as f64 / cpu)
            .set("cpu_ns_per_sample", cpu * 1e9 / samples as f64)
            .set("samples_per_second", samples as f64 / took.as_secs_f64())
            .set("create_cpu_us_per_series", self.created.as_secs_f64() * 1e6 / series as f64)
            .count("rss_bytes", rss)
            .set(
                "rss_bytes_per_series",
                rss.saturating_sub(self.empty_bytes) as f64 / series as f64,
            );
        Ok(figures)
    }
}

async fn resident(pid: u32) -> anyhow::Result<u64> {
    Ok(Monitor::start(pid, &TaskTracker::new()).finish().await?.mean_bytes)
}

async fn peer(program: &Program, load: &Load, dir: &std::path::Path) -> anyhow::Result<Figures> {
    let bar = progress::bar(&program.system, 1);
    let peer = Peer::start(program, dir).await?;
    let mut feeds: Vec<_> = load.nodes().map(Feed::new).collect();
    let mut meter = Meter::start(peer.pid()).await?;
    let warm = push(&peer, &mut feeds, WARM_UP, load.ticks).await?;
    meter.warm()?;
    let began = Instant::now();
    let samples = push(&peer, &mut feeds, load.rounds, load.ticks).await?;
    let series = warm / WARM_UP as u64;
    let figures = meter.figures(samples, series, began.elapsed()).await?;
    peer.stop().await?;
    bar.finish_and_clear();
    Ok(figures)
}

/// One simulated agent.
struct Agent {
    node: Node<Generated>,
    layouts: Vec<Shape>,
    encoder: FrameEncoder,
    spool: Arc<Spool>,
    stats: Arc<UplinkStats>,
}

async fn own(mut aggregator: Aggregator, load: &Load) -> anyhow::Result<Figures> {
    let tasks = TaskTracker::new();
    let cancel = CancellationToken::new();
    let _uplinks = cancel.clone().drop_guard();
    let mut agents = Vec::new();
    for node in load.nodes() {
        agents.push(Agent::start(node, &aggregator.endpoint(), &tasks, &cancel)?);
    }
    wait(&agents, |agent| agent.stats.connected.load(Relaxed)).await?;
    let bar = progress::bar(OWN, load.rounds as u64);
    let mut meter = Meter::start(aggregator.pid()).await?;
    let warm = send(&mut agents, WARM_UP, load.ticks, &bar).await?;
    meter.warm()?;
    let began = Instant::now();
    let samples = send(&mut agents, load.rounds, load.ticks, &bar).await?;
    let figures = meter.figures(samples, warm / WARM_UP as u64, began.elapsed()).await?;
    bar.finish_and_clear();
    aggregator.alive()?;
    for agent in &agents {
        let refused: u64 = agent.stats.refused().map(|(_, count)| count).sum();
        if refused > 0 {
            bail!("{refused} frames of {} are refused", agent.node.name);
        }
    }
    let taken = aggregator.counter("sextant_ingest_samples_total").await?;
    let sent = (samples + warm) as f64;
    anyhow::ensure!((taken - sent).abs() < 0.5, "{taken} of {sent} samples are taken in");
    cancel.cancel();
    tasks.close();
    timeout(PATIENCE, tasks.wait()).await.context("the uplinks do not end")?;
    aggregator.stop().await?;
    Ok(figures)
}

impl Agent {
    fn start(
        node: Node<Generated>,
        endpoint: &str,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let spool = Arc::new(Spool::memory(SPOOL_BYTES)?);
        let stats = Arc::new(UplinkStats::default());
        let config = UplinkConfig { endpoint: endpoint.into(), ..UplinkConfig::default() };
        let introduction = Introduction {
            cluster: CLUSTER.into(),
            node: node.name.clone(),
            boot_id: "simulated".into(),
            capabilities: node.shapes().iter().map(|s| s.layout.collector.clone()).collect(),
            metrics: node.shapes().iter().flat_map(descriptors).collect(),
        };
        let uplink = Uplink::new(config, introduction, Arc::clone(&spool), Arc::clone(&stats));
        tasks.spawn(uplink.run(cancel.clone()));
        let layouts = node.shapes().to_vec();
        Ok(Self { node, layouts, encoder: FrameEncoder::default(), spool, stats })
    }

    /// Pushes the next rounds, a frame for each collector; the samples.
    fn push(&mut self, ticks: usize) -> u64 {
        let rounds = self.node.rounds(ticks);
        let times: Vec<_> = rounds.iter().map(|round| round.time_ms).collect();
        let mut samples = 0;
        for (index, shape) in self.layouts.iter().enumerate() {
            let parts = rounds.iter().flat_map(|round| &round.parts[index].1);
            let values: Vec<_> = parts.copied().collect();
            samples += values.len() as u64;
            let frame = self.encoder.encode(shape, &times, &values);
            let newest = times.last().copied().unwrap_or_default();
            self.spool.push(Some(layout(shape)), frame, newest);
        }
        samples
    }
}

/// Sends rounds of all agents and waits until they are acked; the samples.
async fn send(
    agents: &mut [Agent],
    rounds: usize,
    ticks: usize,
    bar: &indicatif::ProgressBar,
) -> anyhow::Result<u64> {
    let (mut done, mut samples) = (0, 0);
    while done < rounds {
        let ticks = ticks.min(rounds - done);
        for agent in agents.iter_mut() {
            samples += agent.push(ticks);
        }
        done += ticks;
        bar.inc(ticks as u64);
        wait(agents, |agent| agent.spool.stats().frames <= WINDOW).await?;
    }
    wait(agents, |agent| agent.spool.stats().frames == 0).await?;
    Ok(samples)
}

/// Waits until something is so of every agent.
async fn wait(agents: &[Agent], is_so: impl Fn(&Agent) -> bool) -> anyhow::Result<()> {
    let all = async {
        for agent in agents {
            while !is_so(agent) {
                sleep(LOOK).await;
            }
        }
    };
    timeout(PATIENCE, all).await.context("the aggregator does not keep up")
}
