//! `sextant-bench`: measures the real daemons, and puts a peer beside them where there is one.
//!
//! A subcommand prints a table, or with `--json` exactly one JSON object. It exits with 0 when
//! it could measure and what it measured is right, and with 1 otherwise.

mod aggregator;
mod detect;
mod faults;
mod fleet;
mod formats;
mod http;
mod ingest;
mod material;
mod overhead;
mod own_frames;
mod own_store;
mod peers;
mod process;
mod progress;
mod query;
mod record;
mod report;
mod scrape;
mod store;
mod usage;
mod wire;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::report::Report;

/// Measures Sextant against its peers.
#[derive(Parser)]
#[command(name = "sextant-bench", version)]
struct Arguments {
    /// One JSON object on standard output instead of a table.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Measure(Measure),
    /// Records this host, for the benchmarks to replay.
    Record(record::Arguments),
    /// The agent on a node that is made up; `overhead` starts it.
    #[command(name = overhead::STAND_IN, hide = true)]
    AgentWithFakes(overhead::telco::stand_in::Arguments),
    /// Counts allocations of the collectors on such a node; `overhead` starts it.
    #[command(name = overhead::allocations::COUNT, hide = true)]
    CountAllocations(overhead::allocations::Arguments),
    /// Spool and uplink that can be killed; `faults` starts it.
    #[command(name = faults::sender::SENDER, hide = true)]
    FaultSender(faults::sender::Arguments),
}

#[derive(Subcommand)]
enum Measure {
    /// What an aggregator takes: simulated agents push into a real one, and every sample is
    /// asked for again.
    Fleet(fleet::Arguments),
    /// What the detectors find, in labelled series.
    Detect(detect::Arguments),
    /// What breaks: kills, partitions, full disks and the like, and that nothing is lost by it.
    Faults(faults::Arguments),
    /// What an agent costs its node: the real one beside node_exporter.
    Overhead(overhead::Arguments),
    /// What a sample costs on the wire: Sextant's frames beside OTLP, remote write and scrapes.
    Wire(wire::Arguments),
    /// What a sample takes on disk: Sextant's store beside Prometheus and VictoriaMetrics.
    Store(store::Arguments),
    /// What a core takes in: Sextant with detectors beside Prometheus and VictoriaMetrics.
    Ingest(ingest::Arguments),
    /// How long questions take, and what they cost: Sextant beside both.
    Query(query::Arguments),
    /// What it takes to expose half a million series: Sextant beside both.
    Scrape(scrape::Arguments),
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what a person has asked for")]
fn main() -> ExitCode {
    let Arguments { json, command } = Arguments::parse();
    let outcome = match command {
        Command::Measure(measure) => run(measure).map(Some),
        Command::Record(arguments) => record::run(&arguments).map(|()| None),
        Command::AgentWithFakes(arguments) => {
            overhead::telco::stand_in::run(&arguments).map(|()| None)
        }
        Command::CountAllocations(arguments) => {
            overhead::allocations::run(&arguments).map(|()| None)
        }
        Command::FaultSender(arguments) => faults::sender::run(&arguments).map(|()| None),
    };
    let (report, wrong) = match outcome {
        Ok(Some(measured)) => measured,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sextant-bench: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    if json {
        println!("{}", report.json());
    } else {
        print!("{}", report.table());
    }
    match wrong {
        None => ExitCode::SUCCESS,
        Some(wrong) => {
            eprintln!("sextant-bench: {wrong}");
            ExitCode::FAILURE
        }
    }
}

/// Measures; beside the report what is wrong with what was measured.
fn run(measure: Measure) -> anyhow::Result<(Report, Option<String>)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let measuring = async {
            match measure {
                Measure::Faults(arguments) => Box::pin(faults::run(arguments)).await,
                Measure::Fleet(arguments) => Box::pin(fleet::run(arguments)).await,
                Measure::Detect(arguments) => detect::run(&arguments),
                Measure::Overhead(arguments) => {
                    Ok((Box::pin(overhead::run(arguments)).await?, None))
                }
                Measure::Ingest(arguments) => Ok((Box::pin(ingest::run(arguments)).await?, None)),
                Measure::Query(arguments) => Ok((Box::pin(query::run(arguments)).await?, None)),
                Measure::Scrape(arguments) => Ok((Box::pin(scrape::run(arguments)).await?, None)),
                Measure::Store(arguments) => Ok((Box::pin(store::run(arguments)).await?, None)),
                Measure::Wire(arguments) => Ok((wire::run(&arguments)?, None)),
            }
        };
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
        // Dropping the measurement ends the processes that it has started.
        tokio::select! {
            measured = measuring => measured,
            _ = terminate.recv() => anyhow::bail!("terminated"),
            _ = interrupt.recv() => anyhow::bail!("interrupted"),
        }
    })
}
