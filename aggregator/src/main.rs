//! `sextant-aggregator`: the daemon, and the small commands that ask a running one.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sextant_aggregator::app::App;
use sextant_aggregator::cli;
use sextant_aggregator::config::Config;
use sextant_proto::logging;
use tokio::signal::unix::{SignalKind, signal};

/// Stores what agents send, finds what is wrong and answers questions about it.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Args {
    /// Configuration file; without one the defaults apply.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Check the configuration and exit.
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    command: Option<cli::Command>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into(), 1),
    };
    if let Some(command) = args.command {
        return match runtime.block_on(cli::run(command, &mut std::io::stdout())) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error.into(), 1),
        };
    }
    let config = match Config::load(args.config.as_deref()) {
        Ok(config) => config,
        Err(error) => return fail(&error.into(), 2),
    };
    if args.check {
        say("configuration is valid");
        return ExitCode::SUCCESS;
    }
    match runtime.block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let traces = logging::start(&config.log, "sextant-aggregator")?;
    let mut terminate = signal(SignalKind::terminate())?;
    let app = App::build(config).await?;
    let outcome = app.run(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    });
    let outcome = outcome.await;
    traces.finish().await;
    outcome
}

#[expect(clippy::print_stdout, reason = "the answer to --check")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "the log may not be there yet")]
fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("sextant-aggregator: failed to {error:#}");
    ExitCode::from(code)
}
