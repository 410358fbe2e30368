//! `nodes`: one line per node.

use std::io::{self, Write};

use sextant_proto::v1::Node;

use super::connection::Client;
use super::format;
use super::table::Side::{Left, Right};
use super::table::Table;
use super::{CliError, ConnectArgs, Context};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Only the nodes of this cluster
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    cluster: String,
}

pub(super) async fn run(
    args: &Args,
    context: &Context,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let mut client = args.connect.open().await?;
    let nodes = client.nodes(&args.cluster).await?;
    if nodes.is_empty() {
        return Ok(none(&client, out)?);
    }
    Ok(table(nodes, (context.now)()).write(out)?)
}

/// What there is to say without nodes.
pub(super) fn none(client: &Client, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "no node has ever connected to {}", client.endpoint)
}

fn table(mut nodes: Vec<Node>, now_ms: i64) -> Table {
    nodes.sort_by(|a, b| (&a.cluster, &a.name).cmp(&(&b.cluster, &b.name)));
    let mut table = Table::new(&[
        ("CLUSTER", Left),
        ("NODE", Left),
        ("STATE", Left),
        ("LAST DATA", Right),
        ("AGENT", Left),
        ("SERIES", Right),
        ("SKEW", Right),
        ("ANOMALIES", Right),
    ]);
    for node in nodes {
        let seen = (node.last_seen_unix_ms != 0).then_some(node.last_seen_unix_ms);
        table.row(vec![
            node.cluster,
            node.name,
            state(node.connected, seen),
            seen.map_or("never".into(), |at| format!("{} ago", format::age(now_ms, at))),
            node.agent_version,
            node.series.to_string(),
            format::skew(node.clock_skew_ms),
            if node.active_anomalies == 0 { "-".into() } else { node.active_anomalies.to_string() },
        ]);
    }
    table
}

fn state(connected: bool, seen_ms: Option<i64>) -> String {
    match (connected, seen_ms) {
        (true, _) => "connected".into(),
        (false, Some(at)) => format!("gone since {}", format::time(at)),
        (false, None) => "gone".into(),
    }
}
