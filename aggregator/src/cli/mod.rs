//! The terminal commands: questions to a running aggregator over `sextant.v1.Query`, answered
//! as text for people, or as CSV and JSON for programs.
//!
//! A command writes to the writer that it is given and nowhere else. What nodes say (labels,
//! messages) is escaped before it reaches a terminal. Times are shown in UTC.

mod anomalies;
mod connection;
mod events;
mod follow;
mod format;
mod incidents;
mod maintenance;
mod nodes;
mod query;
mod sparkline;
mod table;
mod top;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod incident_tests;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sextant_proto::client::ConnectError;

pub use connection::ConnectArgs;

/// How long a lost stream waits before the next try to connect.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// Columns and lines where there is no terminal to ask.
const DEFAULT_SIZE: (usize, usize) = (100, 40);

/// A question to an aggregator.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the nodes: connected or gone, how old their last data is, what is wrong with them
    Nodes(nodes::Args),
    /// Show how busy each node is, again every two seconds
    Top(top::Args),
    /// Show the values of the series that a selector matches, now or over time
    Query(query::Args),
    /// List what happened, oldest first, and follow what happens
    Events(events::Args),
    /// List what detectors found: what is open, or everything of a time
    Anomalies(anomalies::Args),
    /// List what belongs together, with its probable cause
    Incidents(incidents::Args),
    /// Show one incident: causes with their evidence, what to do, who is affected, its history
    Incident(incidents::OneArgs),
    /// Say that you look after an incident
    Ack(incidents::AckArgs),
    /// Times in which nothing pages
    Maintenance(maintenance::Args),
}

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Flags that contradict each other.
    #[error("use the connection's flags: {0}")]
    Flags(String),
    /// No connection.
    #[error(transparent)]
    Connect(ConnectError),
    /// The connection was there and went.
    #[error("reach the aggregator at {endpoint}: {reason}")]
    Unavailable { endpoint: String, reason: String },
    /// The aggregator's own word: a bad selector, no permission.
    #[error("get an answer: {0}")]
    Refused(String),
    /// The output cannot be written.
    #[error("write the answer")]
    Output(#[from] io::Error),
}

impl From<ConnectError> for CliError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Config(text) => Self::Flags(text),
            other => Self::Connect(other),
        }
    }
}

/// Asks and prints the answer. A reader that goes away (`| head`) ends it without an error.
///
/// # Errors
/// [`CliError`] says what stood in the way; nothing about it was printed.
pub async fn run(command: Command, out: &mut (impl Write + Send)) -> Result<(), CliError> {
    // Standard output would write line by line.
    run_in(command, &Context::of_process(), &mut io::BufWriter::new(out)).await
}

async fn run_in(
    command: Command,
    context: &Context,
    out: &mut (impl Write + Send),
) -> Result<(), CliError> {
    let answered = match command {
        Command::Nodes(args) => nodes::run(&args, context, out).await,
        Command::Top(args) => Box::pin(top::run(&args, context, out)).await,
        Command::Query(args) => query::run(&args, context, out).await,
        Command::Events(args) => Box::pin(events::run(&args, context, out)).await,
        Command::Anomalies(args) => anomalies::run(&args, context, out).await,
        Command::Incidents(args) => incidents::run(&args, context, out).await,
        Command::Incident(args) => incidents::run_one(&args, context, out).await,
        Command::Ack(args) => incidents::run_ack(&args, out).await,
        Command::Maintenance(args) => maintenance::run(&args, context, out).await,
    };
    match answered.and_then(|()| Ok(out.flush()?)) {
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// What a command knows of where it runs.
struct Context {
    /// Unix time in milliseconds.
    now: fn() -> i64,
    /// Whether the output is a terminal.
    interactive: bool,
    /// Columns and lines of the terminal, asked again at each use: people resize windows.
    size: fn() -> (usize, usize),
    retry_after: Duration,
}

impl Context {
    fn of_process() -> Self {
        Self {
            now: clock,
            interactive: io::stdout().is_terminal(),
            size: terminal_size,
            retry_after: RETRY_AFTER,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the terminal's clock: ages are shown against it")]
fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn terminal_size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => DEFAULT_SIZE,
    }
}
