//! The process around the agent: arguments, signals and the exit code.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use sextant_agent::app::App;
use sextant_agent::config::Config;
use sextant_agent::read::{self, Request};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Reads this node and sends what it reads to a Sextant aggregator.
#[derive(Parser)]
#[command(name = "sextant-agent", version)]
struct Arguments {
    /// TOML file; without one, every key has its default.
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Checks the configuration and exits.
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Reads this node and prints what would be sent, without sending or keeping anything.
    Read {
        /// Only this collector; may be given several times.
        #[arg(long = "collector", value_name = "NAME")]
        collectors: Vec<String>,
        /// How long ("10s"); without it everything is read once.
        #[arg(long = "for", value_name = "TIME", default_value = "0s", value_parser = humantime)]
        duration: Duration,
        /// Every sample and event as a line of JSON, instead of the last values as text.
        #[arg(long)]
        json: bool,
    },
}

fn humantime(text: &str) -> Result<Duration, String> {
    humantime_serde::re::humantime::parse_duration(text).map_err(|error| error.to_string())
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what a person has asked for")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = Config::load(arguments.config.as_deref()).and_then(|config| {
        config.check()?;
        Ok(config)
    });
    let config = match config.map_err(anyhow::Error::from) {
        Ok(config) => config,
        Err(error) => {
            let file = arguments.config.unwrap_or_else(|| "defaults".into());
            eprintln!("sextant-agent: configuration ({}): {error:#}", file.display());
            return ExitCode::from(2);
        }
    };
    if arguments.check {
        println!("configuration is valid");
        return ExitCode::SUCCESS;
    }
    let outcome = match arguments.command {
        Some(Command::Read { collectors, duration, json }) => {
            print(&config, &Request { collectors, duration, json })
        }
        None => run(config),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sextant-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what is read; ends without a word when nobody listens any more.
fn print(config: &Config, request: &Request) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    read::read(config, request, &mut |piece| {
        if out.write_all(piece.as_bytes()).and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn run(config: Config) -> anyhow::Result<ExitCode> {
    sextant_agent::malloc::share_one_arena();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        let traces = sextant_proto::logging::start(&config.log, "sextant-agent")?;
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
        let app = App::build(config)?;
        let stop = CancellationToken::new();
        let running = Box::pin(app.run(stop.cancelled()));
        let signals = async {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            stop.cancel();
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        let outcome = tokio::select! {
            stopped = running => stopped.map(|_| ExitCode::SUCCESS),
            () = signals => return Ok(ExitCode::FAILURE),
        };
        traces.finish().await;
        outcome
    });
    // A read of the spool that hangs in the kernel is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}
