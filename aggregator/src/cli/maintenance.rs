//! `maintenance`: times in which nothing pages.

use std::io::Write;
use std::time::Duration;

use sextant_proto::v1::{CreateMaintenanceRequest, Maintenance};

use super::format;
use super::table::Side::{Left, Right};
use super::table::Table;
use super::{CliError, ConnectArgs, Context};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// From now on nothing pages for some time; everything is recorded
    Add(AddArgs),
    /// List the windows that have not ended
    List(ListArgs),
    /// End a window before its time
    End(EndArgs),
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// How long
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    lasts: Duration,
    /// Not from now, but after this
    #[arg(long = "in", value_name = "DURATION", value_parser = humantime::parse_duration)]
    after: Option<Duration>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// For this cluster, or for the node in it
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    cluster: String,
    /// For this node
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    node: String,
    /// Only for components of this kind: gpu, pf, ptp_port, ...
    #[arg(long, value_name = "KIND", default_value = "", hide_default_value = true)]
    entity_type: String,
    /// Only for this one: a GPU's UUID, a PF's name
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true,
        requires = "entity_type"
    )]
    entity: String,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Those that ended, too
    #[arg(long)]
    all: bool,
}

#[derive(Debug, clap::Args)]
struct EndArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// The window's number
    id: u64,
}

pub(super) async fn run(
    args: &Args,
    context: &Context,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let now_ms = (context.now)();
    match &args.command {
        Sub::Add(args) => {
            let after = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
            let from = now_ms.saturating_add(args.after.map_or(0, after));
            let request = CreateMaintenanceRequest {
                cluster: args.cluster.clone(),
                node: args.node.clone(),
                entity_type: args.entity_type.clone(),
                entity: args.entity.clone(),
                from_unix_ms: from,
                to_unix_ms: from.saturating_add(after(args.lasts)),
                reason: args.reason.clone(),
            };
            let window = args.connect.open().await?.create_maintenance(request).await?;
            let until = format::time(window.to_unix_ms);
            writeln!(out, "maintenance {} for {} until {until}", window.id, selected(&window))?;
        }
        Sub::List(args) => {
            let windows = args.connect.open().await?.list_maintenance(args.all).await?;
            if windows.is_empty() {
                writeln!(out, "no maintenance")?;
                return Ok(());
            }
            table(&windows, now_ms).write(out)?;
        }
        Sub::End(args) => {
            let window = args.connect.open().await?.end_maintenance(args.id).await?;
            writeln!(out, "maintenance {} for {} has ended", window.id, selected(&window))?;
        }
    }
    Ok(())
}

fn table(windows: &[Maintenance], now_ms: i64) -> Table {
    let mut table = Table::new(&[
        ("ID", Right),
        ("STATE", Left),
        ("FROM", Left),
        ("TO", Left),
        ("FOR", Left),
        ("BY", Left),
        ("REASON", Left),
    ]);
    for window in windows {
        let state = if window.ended_unix_ms != 0 {
            format!("ended by {}", window.ended_by)
        } else if now_ms < window.from_unix_ms {
            format!("begins in {}", format::age(window.from_unix_ms, now_ms))
        } else if now_ms < window.to_unix_ms {
            format!("{} left", format::age(window.to_unix_ms, now_ms))
        } else {
            "over".into()
        };
        table.row(vec![
            window.id.to_string(),
            state,
            format::time(window.from_unix_ms),
            format::time(window.to_unix_ms),
            selected(window),
            window.created_by.clone(),
            window.reason.clone(),
        ]);
    }
    table
}

/// What a window is for: "lab/a, gpu GPU-1".
fn selected(window: &Maintenance) -> String {
    let nodes = match (&*window.cluster, &*window.node) {
        (cluster, "") => format!("{cluster}/*"),
        ("", node) => format!("*/{node}"),
        (cluster, node) => format!("{cluster}/{node}"),
    };
    let text = match (&*window.entity_type, &*window.entity) {
        ("", _) => nodes,
        (kind, "") => format!("{nodes}, all {kind}"),
        (kind, name) => format!("{nodes}, {kind} {name}"),
    };
    format::escape(&text)
}
