//! `store`: bytes of a sample on disk, and what writing and reading it costs, in Sextant's store
//! beside Prometheus and VictoriaMetrics, which get the same samples by remote write.
//!
//! Sextant's store is used as a library, frames first and blocks of 120 ticks after, as the
//! aggregator does, then compacted as when the day is over; all its files count, closed, but that
//! rollups, which the peers have not, are a figure of their own. Of Prometheus finished blocks count, with their
//! indices; of VictoriaMetrics everything, flushed and merged. The recording is shorter than what
//! Prometheus' server makes a block of: promtool makes it, and every system's index weighs more
//! than in a day. It is not repeated to be longer: a codec that looks far back would find the
//! repetition.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sextant_bench::telemetry::{Generated, Telemetry};

use crate::material::{self, Node};
use crate::own_store::OwnStore;
use crate::peers::{Feed, Kind, Peer, Program, import, push};
use crate::progress;
use crate::report::{Figures, Goal, Report, Row};
use crate::usage;

const GENERATED_MS: u32 = 10_000;
/// Prometheus cuts its blocks at multiples of it, and its server needs one and a half for one.
const BLOCK_MS: i64 = 2 * 3_600_000;
/// Ticks of a request and of a transaction.
const TICKS: usize = 12;
const OWN: &str = "sextant";
const NOTES: &[&str] = &[
    "sextant: all files of the closed store after compaction, rollups apart; encode_ns is sealing with SQLite, decode_ns reading every column",
    "prometheus: finished blocks; victoria-metrics: everything after force_flush and force_merge; no codec's cost of theirs can be told apart",
    "host is the recording, once: indices weigh more than in a day; prometheus' blocks are promtool's",
];

/// What is stored.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Generated nodes.
    #[arg(long, default_value_t = 10)]
    nodes: u64,
    /// Nodes that the recording makes.
    #[arg(long, default_value_t = 4)]
    hosts: u64,
    /// How long they are watched; Prometheus finishes what is more than three hours old.
    #[arg(long, default_value = "26h", value_parser = humantime::parse_duration)]
    span: Duration,
    /// Few nodes, and as long as one block needs.
    #[arg(long)]
    quick: bool,
}

/// A case's nodes, made anew for each system.
struct Case<'a, T> {
    name: &'static str,
    rounds: usize,
    /// After the last tick.
    end_ms: i64,
    nodes: &'a dyn Fn() -> Vec<Node<T>>,
}

/// Measures.
///
/// # Errors
/// When a peer fails or something is not there that was stored.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<Report> {
    let began = Instant::now();
    let (nodes, hosts, span) = if arguments.quick {
        (3, 1, Duration::from_secs(3 * 3600 + 900))
    } else {
        (arguments.nodes, arguments.hosts, arguments.span)
    };
    let span_ms = i64::try_from(span.as_millis()).context("--span")?;
    let start_ms = (sextant_agent::clock::now_ms() - span_ms).div_euclid(BLOCK_MS) * BLOCK_MS;
    let end_ms = start_ms + span_ms;
    let recording = material::host()?;
    let generated = || -> Vec<_> {
        let node = |index| {
            let telemetry = Generated::new(1, index, start_ms, GENERATED_MS);
            Node::new(material::node_name(index), telemetry)
        };
        (0..nodes).map(node).collect()
    };
    let recorded = || -> Vec<_> {
        let name = material::node_name;
        (0..hosts).map(|index| Node::new(name(index), recording.replay_at(start_ms))).collect()
    };
    let mut rows = Vec::new();
    let peers = Program::all(&mut rows);
    let absent = std::mem::take(&mut rows);
    let rounds = usize::try_from(span_ms / i64::from(GENERATED_MS))?;
    let case = Case { name: "generated, 10 s", rounds, end_ms, nodes: &generated };
    measure(&case, &peers, &mut rows).await?;
    let case = Case { name: "host, 1 s", rounds: recording.ticks(), end_ms, nodes: &recorded };
    measure(&case, &peers, &mut rows).await?;
    rows.extend(absent);
    let goals = goals(&rows);
    let seconds = began.elapsed().as_secs_f64();
    Ok(Report { bench: "store", seconds, rows, goals, notes: NOTES })
}

fn goals(rows: &[Row]) -> Vec<Goal> {
    let victoria = Kind::VictoriaMetrics.name();
    let ratio = |case| {
        let bytes = |system| Report::figure(rows, case, system, "bytes_per_sample");
        Some(bytes(OWN)? / bytes(victoria)?)
    };
    let bytes = |case| Report::figure(rows, case, OWN, "bytes_per_sample");
    let (generated, host) = ("generated, 10 s", "host, 1 s");
    [
        Goal::at_most(format!("of VictoriaMetrics' bytes, {generated}"), 0.7, ratio(generated)),
        Goal::at_most(format!("of VictoriaMetrics' bytes, {host}"), 0.7, ratio(host)),
        Goal::at_most(
            format!("bytes a sample before compaction, {generated}"),
            1.1,
            Report::figure(rows, generated, OWN, "before_compaction_bytes_per_sample"),
        ),
        Goal::at_most(format!("bytes a sample, {generated}"), 0.95, bytes(generated)),
        Goal::at_most(format!("bytes a sample, {host}"), 0.6, bytes(host)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl<T: Telemetry> Case<'_, T> {
    /// Whether Prometheus' server would not write a block of it.
    fn is_short(&self) -> bool {
        let nodes = (self.nodes)();
        let interval =
            nodes.first().and_then(|n| Some(n.shapes().first()?.layout.interval_ms.into()));
        let rounds = i64::try_from(self.rounds).unwrap_or(i64::MAX);
        rounds.saturating_mul(interval.unwrap_or(0)) < BLOCK_MS * 3 / 2
    }
}

async fn measure<T: Telemetry + Send>(
    case: &Case<'_, T>,
    peers: &[Program],
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let dir = tempfile::tempdir().context("directory for the stores")?;
    rows.push(own(case, dir.path())?);
    for program in peers {
        let bar = progress::bar(&program.system, 1);
        if program.kind == Kind::Prometheus && case.is_short() {
            let (bytes, samples) = import((case.nodes)(), case.rounds, dir.path())?;
            rows.push(Row::of(case.name, &program.system, disk(bytes, samples)));
            continue;
        }
        let mut peer = Peer::start(program, dir.path()).await?;
        let mut feeds: Vec<_> = (case.nodes)().into_iter().map(Feed::new).collect();
        let before = usage::cpu_time(peer.pid())?;
        let sent = push(&peer, &mut feeds, case.rounds, TICKS).await?;
        peer.settle().await?;
        let cpu = usage::cpu_time(peer.pid())? - before;
        let (bytes, samples) = peer.stored(sent)?;
        peer.stop().await?;
        let mut figures = disk(bytes, samples);
        figures.set("ingest_cpu_ns_per_sample", cpu.as_secs_f64() * 1e9 / sent as f64);
        rows.push(Row::of(case.name, &program.system, figures));
        bar.finish_and_clear();
    }
    Ok(())
}

fn disk(bytes: u64, samples: u64) -> Figures {
    let mut figures = Figures::default();
    figures
        .count("samples", samples)
        .count("disk_bytes", bytes)
        .set("bytes_per_sample", bytes as f64 / samples as f64);
    figures
}

fn own<T: Telemetry>(case: &Case<'_, T>, dir: &Path) -> anyhow::Result<Row> {
    let mut store = OwnStore::create(&dir.join("sextant"))?;
    let nodes = (case.nodes)().into_iter().map(|node| store.add(node));
    let mut nodes = nodes.collect::<anyhow::Result<Vec<_>>>()?;
    let bar = progress::bar(OWN, case.rounds as u64);
    let mut left = case.rounds;
    while left > 0 && store.fill(&mut nodes, TICKS.min(left))? {
        left = left.saturating_sub(TICKS);
        bar.inc(TICKS as u64);
    }
    store.finish(&mut nodes)?;
    bar.finish_and_clear();
    let (sealed_reading_ns, samples) = store.read_all(&nodes)?;
    anyhow::ensure!(samples == store.samples, "{samples} of {} samples are read", store.samples);
    let (store, sealed) = store.reopen()?;
    let compacting_ns = store.compact(case.end_ms)?;
    let (reading_ns, samples) = store.read_all(&nodes)?;
    anyhow::ensure!(samples == store.samples, "compaction lost {}", store.samples - samples);
    let sealing_ns = store.sealing_ns();
    let (store, compacted) = store.reopen()?;
    store.close();
    let mut figures = disk(compacted.bytes, samples);
    figures
        .set("encode_ns_per_sample", sealing_ns)
        .set("decode_ns_per_sample", reading_ns)
        .set("compaction_ns_per_sample", compacting_ns)
        .set("before_compaction_bytes_per_sample", sealed.bytes as f64 / samples as f64)
        .set("before_compaction_decode_ns_per_sample", sealed_reading_ns)
        .set("journal_room_bytes_per_sample", compacted.main_bytes as f64 / samples as f64)
        .set("rollup_bytes_per_sample", compacted.rollup_bytes as f64 / samples as f64);
    let version = env!("CARGO_PKG_VERSION");
    Ok(Row::of(case.name, format!("{OWN} {version}"), figures))
}
