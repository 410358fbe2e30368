//! `incidents`, `incident` and `ack`: what belongs together, its probable cause, and who looks
//! after it.

mod one;

use std::io::Write;
use std::time::Duration;

use sextant_proto::v1::{Incident, IncidentState, ListIncidentsRequest};

use super::anomalies::before;
use super::format;
use super::table::Side::{Left, Right};
use super::table::Table;
use super::{CliError, ConnectArgs, Context};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Closed ones too
    #[arg(long)]
    all: bool,
    /// With --all: those that were open at any time since [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, requires = "all")]
    last: Option<Duration>,
    /// Only those about a node of this cluster
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    cluster: String,
    /// Only those about this node
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    node: String,
    /// At most so many, the newest
    #[arg(long, default_value_t = 1000)]
    limit: u32,
}

#[derive(Debug, clap::Args)]
pub struct OneArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// The incident's number
    id: u64,
}

#[derive(Debug, clap::Args)]
pub struct AckArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// The incident's number
    id: u64,
    /// What you know or do about it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,
}

const DEFAULT_LAST: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn run(
    args: &Args,
    context: &Context,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let now_ms = (context.now)();
    let last = args.last.unwrap_or(DEFAULT_LAST);
    let request = ListIncidentsRequest {
        cluster: args.cluster.clone(),
        node: args.node.clone(),
        active_only: !args.all,
        start_unix_ms: if args.all { before(now_ms, last) } else { 0 },
        end_unix_ms: 0,
        limit: args.limit,
    };
    let mut client = args.connect.open().await?;
    let mut incidents = client.incidents(request).await?;
    if incidents.is_empty() {
        if args.all {
            writeln!(out, "no incidents in the last {}", humantime::format_duration(last))?;
        } else {
            writeln!(out, "no open incidents")?;
        }
        return Ok(());
    }
    incidents.sort_by_key(|i| std::cmp::Reverse((i.opened_unix_ms, i.id)));
    let mut table = Table::new(&[
        ("ID", Right),
        ("SINCE", Left),
        ("STATE", Left),
        ("SEVERITY", Left),
        ("PAGED", Left),
        ("NODES", Left),
        ("ANOMALIES", Right),
        ("CAUSE", Right),
        ("TITLE", Left),
    ]);
    for incident in &incidents {
        table.row(vec![
            incident.id.to_string(),
            format::time(incident.opened_unix_ms),
            state(incident, now_ms),
            format::severity(incident.severity).into(),
            paged(incident).into(),
            nodes(incident),
            incident.member_count.to_string(),
            certainty(incident),
            incident.title.clone(),
        ]);
    }
    table.write(out)?;
    if incidents.len() >= args.limit.try_into().unwrap_or(usize::MAX) {
        writeln!(out, "(the newest {}; --limit shows more)", args.limit)?;
    }
    Ok(())
}

pub(super) async fn run_one(
    args: &OneArgs,
    context: &Context,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let mut client = args.connect.open().await?;
    let (incident, timeline) = client.incident(args.id).await?;
    one::write(&incident, &timeline, (context.now)(), out)?;
    Ok(())
}

pub(super) async fn run_ack(args: &AckArgs, out: &mut impl Write) -> Result<(), CliError> {
    let mut client = args.connect.open().await?;
    let incident = client.acknowledge(args.id, &args.note).await?;
    let by = format::escape(&incident.acknowledged_by);
    writeln!(out, "incident {} is acknowledged by {by}", incident.id)?;
    Ok(())
}

fn state(incident: &Incident, now_ms: i64) -> String {
    match incident.state() {
        IncidentState::Merged => format!("part of {}", incident.merged_into),
        IncidentState::Closed => {
            format!(
                "closed after {}",
                format::age(incident.closed_unix_ms, incident.opened_unix_ms)
            )
        }
        IncidentState::Open | IncidentState::Unspecified => {
            let age = format::age(now_ms, incident.opened_unix_ms);
            let by = match &*incident.acknowledged_by {
                "" => String::new(),
                by => format!(", {by} looks"),
            };
            format!("open for {age}{by}")
        }
    }
}

fn paged(incident: &Incident) -> &'static str {
    match (incident.paged, incident.in_maintenance) {
        (true, _) => "yes",
        (false, true) => "maintenance",
        (false, false) => "no",
    }
}

fn nodes(incident: &Incident) -> String {
    match &*incident.nodes {
        [] => "-".into(),
        [one] => one.clone(),
        [one, rest @ ..] => format!("{one} +{}", rest.len()),
    }
}

fn certainty(incident: &Incident) -> String {
    if incident.undetermined { "?".into() } else { format::percent(incident.confidence) }
}
