//! `scrape`: time, CPU and memory that it takes to expose every series to whoever scrapes, plain
//! and with gzip. Sextant answers at `/metrics`; the peers' way to expose what they hold is
//! `/federate`.
//!
//! Every server gets one fresh round of generated nodes. Sextant's answer has the names of other
//! tools beside its own; so figures are for each line of the answer, too.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sextant_bench::telemetry::{Generated, SERIES};
use tokio_util::task::TaskTracker;

use crate::aggregator::{self, Aggregator};
use crate::http::Connection;
use crate::material::{self, CLUSTER, Node};
use crate::own_store::OwnStore;
use crate::peers::{Feed, Peer, Program, escaped, push};
use crate::progress;
use crate::report::{Figures, Goal, Report, Row};
use crate::usage::{self, Monitor};

/// So long that nothing is stale while it is exposed.
const INTERVAL_MS: u32 = 3_600_000;
/// Scrapes of each kind.
const SCRAPES: u32 = 3;
/// Nodes of a transaction.
const TOGETHER: usize = 100;
const OWN: &str = "sextant";
const NOTES: &[&str] =
    &["peers expose by /federate; sextant's answer has the compatible names of other tools, too"];

/// What is exposed.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Series; whole nodes of 500.
    #[arg(long, default_value_t = 500_000)]
    series: u64,
    /// The aggregator's program [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    aggregator: Option<std::path::PathBuf>,
    /// A tenth of the series.
    #[arg(long)]
    quick: bool,
}

/// Measures.
///
/// # Errors
/// When a server fails.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<Report> {
    let began = Instant::now();
    let series = if arguments.quick { arguments.series / 10 } else { arguments.series };
    let nodes = (series / SERIES as u64).max(1);
    let (program, system) = aggregator::program(arguments.aggregator.as_deref())?;
    let mut absent = Vec::new();
    let peers = Program::all(&mut absent);
    let dir = tempfile::tempdir().context("directory for the servers' data")?;
    let start_ms = sextant_agent::clock::now_ms();
    let node = |index| {
        let telemetry = Generated::new(1, index, start_ms, INTERVAL_MS);
        Node::new(material::node_name(index), telemetry)
    };
    let mut store = OwnStore::create(&dir.path().join("aggregator"))?;
    for first in (0..nodes).step_by(TOGETHER) {
        let some = (first..nodes.min(first + TOGETHER as u64)).map(|index| store.add(node(index)));
        let mut some = some.collect::<anyhow::Result<Vec<_>>>()?;
        store.fill(&mut some, 1)?;
    }
    store.close();
    let aggregator = Aggregator::start(&program, dir.path()).await?;
    let mut connection = aggregator.http().await?;
    let mut rows = scrapes(&system, aggregator.pid(), &mut connection, "/metrics").await?;
    aggregator.stop().await?;
    for program in &peers {
        let mut peer = Peer::start(program, dir.path()).await?;
        for first in (0..nodes).step_by(TOGETHER) {
            let some = (first..nodes.min(first + TOGETHER as u64)).map(node).map(Feed::new);
            push(&peer, &mut some.collect::<Vec<_>>(), 1, 1).await?;
        }
        peer.settle().await?;
        let selector = escaped(&format!("{{cluster={CLUSTER:?}}}"));
        let path = format!("/federate?match[]={selector}");
        let mut connection = peer.connect().await?;
        rows.extend(scrapes(&program.system, peer.pid(), &mut connection, &path).await?);
        peer.stop().await?;
    }
    for row in &rows {
        let samples = row.figures.get("samples").unwrap_or_default();
        let all = (nodes * SERIES as u64) as f64;
        anyhow::ensure!(samples >= all, "{} exposes {samples} of {all} series", row.system);
    }
    rows.extend(absent);
    let cpu = Report::figure(&rows, "gzip", OWN, "cpu_ns_per_sample");
    let goals = Goal::at_most("ns of CPU time a line with gzip", 1000.0, cpu);
    let seconds = began.elapsed().as_secs_f64();
    Ok(Report { bench: "scrape", seconds, rows, goals: goals.into_iter().collect(), notes: NOTES })
}

async fn scrapes(
    system: &str,
    pid: u32,
    connection: &mut Connection,
    path: &str,
) -> anyhow::Result<Vec<Row>> {
    let bar = progress::bar(system, 2 * u64::from(SCRAPES));
    let mut rows = Vec::new();
    for gzip in [false, true] {
        let monitor = Monitor::start(pid, &TaskTracker::new());
        let (before, began) = (usage::cpu_time(pid)?, Instant::now());
        let (mut bytes, mut samples) = (0, 0);
        let mut reading = Duration::ZERO;
        for _ in 0..SCRAPES {
            let answer = connection.get(path, gzip).await?;
            let looked = Instant::now();
            bytes = answer.body.len();
            samples = lines(&answer)?;
            reading += looked.elapsed();
            bar.inc(1);
        }
        let took = began.elapsed().saturating_sub(reading) / SCRAPES;
        let cpu = (usage::cpu_time(pid)? - before).as_secs_f64() / f64::from(SCRAPES);
        let memory = monitor.finish().await?;
        let mut figures = Figures::default();
        figures
            .count("samples", samples)
            .count("answer_bytes", bytes as u64)
            .set("bytes_per_sample", bytes as f64 / samples as f64)
            .set("seconds_per_scrape", took.as_secs_f64())
            .set("cpu_seconds_per_scrape", cpu)
            .set("cpu_ns_per_sample", cpu * 1e9 / samples as f64)
            .count("rss_bytes", memory.max_bytes);
        rows.push(Row::of(if gzip { "gzip" } else { "plain" }, system, figures));
    }
    bar.finish_and_clear();
    Ok(rows)
}

/// Samples of an answer.
fn lines(answer: &crate::http::Answer) -> anyhow::Result<u64> {
    use std::io::{BufRead as _, BufReader, Read};
    let body = answer.body.as_slice();
    let reader: Box<dyn Read> = if answer.gzip {
        Box::new(flate2::read::MultiGzDecoder::new(body))
    } else {
        Box::new(body)
    };
    let mut count = 0;
    for line in BufReader::new(reader).split(b'\n') {
        count += u64::from(line?.first().is_some_and(|first| *first != b'#'));
    }
    anyhow::ensure!(count > 0, "nothing is exposed");
    Ok(count)
}
