//! `cluster-health`: one number, what it is made of, and what to do first.

use std::io::Write;

use sextant_proto::v1::ClusterHealthResponse;

use super::{json, list};
use crate::cli::table::Side::{Left, Right};
use crate::cli::table::Table;
use crate::cli::{CliError, ConnectArgs, Context, format};
use crate::remedy::json as wire;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Only this cluster
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    cluster: String,
    /// The answer as JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(
    args: &Args,
    context: &Context,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let answer = args.connect.open().await?.cluster_health(&args.cluster).await?;
    if args.json {
        return json(out, &wire::cluster_health(&answer));
    }
    show(&answer, (context.now)(), out)
}

fn show(answer: &ClusterHealthResponse, now_ms: i64, out: &mut impl Write) -> Result<(), CliError> {
    let status = wire::cluster_status(answer.cluster_status());
    let score = answer.score.map(|score| format!("  {score:.1} of 100")).unwrap_or_default();
    let (ready, total) = (answer.ready_nodes, answer.total_nodes);
    writeln!(out, "{status}{score}  {ready} of {total} nodes ready")?;
    if !answer.components.is_empty() {
        let mut table = Table::new(&[
            ("COMPONENT", Left),
            ("SCORE", Right),
            ("CRITICAL", Right),
            ("WARNING", Right),
            ("INFO", Right),
        ]);
        for part in &answer.components {
            let counts = [part.critical, part.warning, part.info].map(|n| n.to_string());
            let [critical, warning, info] = counts;
            let score = format!("{:.1}", part.score);
            table.row(vec![part.name.clone(), score, critical, warning, info]);
        }
        writeln!(out)?;
        table.write(out)?;
    }
    if !answer.issues.is_empty() {
        let columns = ["SEVERITY", "FOR", "NODE", "WHAT", "RUNBOOK"].map(|name| (name, Left));
        let mut table = Table::new(&columns);
        for issue in &answer.issues {
            let since = match issue.since_unix_ms {
                0 => "-".into(),
                since => format::age(now_ms, since),
            };
            table.row(vec![
                format::severity(issue.severity).into(),
                since,
                format::node(&issue.cluster, &issue.node),
                issue.text.clone(),
                issue.runbook.clone(),
            ]);
        }
        writeln!(out)?;
        table.write(out)?;
    }
    list(out, "WHAT TO DO", &answer.recommendations)?;
    let mut notes = answer.warnings.clone();
    notes.extend((!answer.kubernetes.is_empty()).then(|| answer.kubernetes.clone()));
    list(out, "NOTES", &notes)
}
