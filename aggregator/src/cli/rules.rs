//! `rules`: checks a rules file here, and tries one out on what a running aggregator has stored.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use sextant_proto::v1::{Anomaly, RehearseRequest, Rehearsed, rehearse_response::Message};

use super::anomalies::{before, subject};
use super::format;
use super::table::Side::{Left, Right};
use super::table::Table;
use super::{CliError, ConnectArgs, Context};
use crate::detect::lint::{Lint, lint};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check a rules file as the aggregator would, and say what looks wrong in it
    Check(CheckArgs),
    /// Run a rules file over what is stored: what would have been found, and how often
    Test(TestArgs),
}

#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The file
    file: PathBuf,
    /// What looks wrong is an error
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, clap::Args)]
pub struct TestArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// The file
    file: PathBuf,
    /// How far back
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    last: Duration,
    /// Together with the rules that come with the aggregator
    #[arg(long)]
    with_builtin: bool,
    /// Only the nodes of this cluster
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    cluster: String,
    /// Only this node
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    node: String,
    /// Show what would have been found, not only how often
    #[arg(long)]
    each: bool,
}

pub(super) async fn run(
    command: &Command,
    context: &Context,
    out: &mut impl Write,
) -> Result<(), CliError> {
    match command {
        Command::Check(args) => check(args, out),
        Command::Test(args) => test(args, context, out).await,
    }
}

fn read(file: &PathBuf) -> Result<(String, String), CliError> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| CliError::Rules(format!("read rules {name}: {error}")))?;
    Ok((name, text))
}

fn check(args: &CheckArgs, out: &mut impl Write) -> Result<(), CliError> {
    let (name, text) = read(&args.file)?;
    let Lint { rules, warnings, replaced } =
        lint(&name, &text).map_err(|error| CliError::Rules(error.to_string()))?;
    for (rule, what) in &warnings {
        writeln!(out, "{}: {}", format::escape(rule), format::escape(what))?;
    }
    for rule in replaced {
        writeln!(out, "{}: in place of the one that comes with it", format::escape(&rule))?;
    }
    writeln!(out, "{rules} rules can be used, {} look wrong", warnings.len())?;
    if args.strict && !warnings.is_empty() {
        return Err(CliError::Rules(format!("use rules {name}: {} look wrong", warnings.len())));
    }
    Ok(())
}

async fn test(args: &TestArgs, context: &Context, out: &mut impl Write) -> Result<(), CliError> {
    let (file, rules) = read(&args.file)?;
    let now_ms = (context.now)();
    let request = RehearseRequest {
        rules,
        file,
        with_builtin: args.with_builtin,
        cluster: args.cluster.clone(),
        node: args.node.clone(),
        start_unix_ms: before(now_ms, args.last),
        end_unix_ms: now_ms,
    };
    let mut client = args.connect.open().await?;
    let mut stream = client.rehearse(request).await?;
    let mut found = Vec::new();
    loop {
        let answer = stream.message().await.map_err(|status| client.refusal(&status))?;
        match answer.map(|answer| answer.message) {
            Some(Some(Message::Anomaly(anomaly))) => found.push(anomaly),
            Some(Some(Message::Done(done))) => return show(args, &found, &done, now_ms, out),
            Some(None) => {}
            None => {
                let said = "the aggregator ended the answer before it was complete".to_owned();
                return Err(CliError::Refused(said));
            }
        }
    }
}

fn show(
    args: &TestArgs,
    found: &[Anomaly],
    done: &Rehearsed,
    now_ms: i64,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let mut table = Table::new(&[
        ("RULE", Left),
        ("SEVERITY", Left),
        ("WATCHED", Right),
        ("OPENED", Right),
        ("NODES", Right),
        ("TYPICAL LENGTH", Right),
    ]);
    for rule in &done.rules {
        let own = || found.iter().filter(|a| a.rule == rule.name);
        let mut nodes: Vec<_> = own().map(|a| (&a.cluster, &a.node)).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let mut lengths: Vec<i64> = own().map(|a| length(a, now_ms)).collect();
        lengths.sort_unstable();
        let typical = lengths.get(lengths.len() / 2);
        table.row(vec![
            rule.name.clone(),
            format::severity(rule.severity).into(),
            rule.watched.to_string(),
            rule.opened.to_string(),
            nodes.len().to_string(),
            typical.map_or_else(|| "-".into(), |ms| format::age(*ms, 0)),
        ]);
    }
    for line in table.lines() {
        writeln!(out, "{line}")?;
    }
    let last = humantime::format_duration(args.last);
    let Rehearsed { nodes, samples, events, .. } = done;
    writeln!(out, "over {last} of {nodes} nodes: {samples} samples, {events} events")?;
    if !args.each {
        return Ok(());
    }
    let mut found: Vec<_> = found.iter().collect();
    found.sort_by_key(|a| (a.opened_unix_ms, a.id));
    for anomaly in found {
        writeln!(
            out,
            "{}  for {}  {}  {}  {}",
            format::time(anomaly.opened_unix_ms),
            format::age(length(anomaly, now_ms), 0),
            format::escape(&format::node(&anomaly.cluster, &anomaly.node)),
            format::escape(&anomaly.rule),
            format::escape(&subject(anomaly)),
        )?;
        writeln!(out, "    {}", format::escape(&anomaly.summary))?;
    }
    Ok(())
}

/// How long it was open, milliseconds.
fn length(anomaly: &Anomaly, now_ms: i64) -> i64 {
    let end = if anomaly.closed_unix_ms == 0 { now_ms } else { anomaly.closed_unix_ms };
    (end - anomaly.opened_unix_ms).max(0)
}
