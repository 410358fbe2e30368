//! `record`: writes what the agent's host collector reads on this host into a file that the
//! benchmarks replay.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use sextant_agent::clock::Stop;
use sextant_bench::telemetry::record_host;

/// What is recorded.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How long to read, once a second.
    #[arg(long = "for", default_value = "20m", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// The file to write.
    out: PathBuf,
}

/// Records.
///
/// # Errors
/// When the host cannot be read or the file not be written.
#[expect(clippy::print_stdout, reason = "what came of it")]
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (bytes, ticks) = record_host(arguments.duration, &Stop::default())?;
    let out = &arguments.out;
    std::fs::write(out, &bytes).with_context(|| out.display().to_string())?;
    println!("{ticks} ticks, {} bytes", bytes.len());
    Ok(())
}
