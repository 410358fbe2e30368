//! `anomalies`: what detectors found, newest first; what to do about it under each.

use std::io::Write;
use std::time::Duration;

use sextant_proto::v1::{Anomaly, ListAnomaliesRequest};

use super::format;
use super::table::Side::Left;
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
    /// Only those of this cluster
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    cluster: String,
    /// Only those of this node
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    node: String,
    /// At most so many, the newest
    #[arg(long, default_value_t = 1000)]
    limit: u32,
}

const DEFAULT_LAST: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn run(
    args: &Args,
    context: &Context,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let now_ms = (context.now)();
    let last = args.last.unwrap_or(DEFAULT_LAST);
    let request = ListAnomaliesRequest {
        cluster: args.cluster.clone(),
        node: args.node.clone(),
        active_only: !args.all,
        start_unix_ms: if args.all { before(now_ms, last) } else { 0 },
        end_unix_ms: 0,
        limit: args.limit,
    };
    let mut client = args.connect.open().await?;
    let mut anomalies = client.anomalies(request).await?;
    if anomalies.is_empty() {
        if args.all {
            writeln!(out, "no anomalies in the last {}", humantime::format_duration(last))?;
        } else {
            writeln!(out, "no open anomalies")?;
        }
        return Ok(());
    }
    anomalies.sort_by_key(|a| std::cmp::Reverse((a.opened_unix_ms, a.id)));
    let mut lines = table(&anomalies, now_ms).lines().collect::<Vec<_>>().into_iter();
    if let Some(header) = lines.next() {
        writeln!(out, "{header}")?;
    }
    for (line, anomaly) in lines.zip(&anomalies) {
        writeln!(out, "{line}")?;
        if !anomaly.action.is_empty() {
            writeln!(out, "    do: {}", format::escape(&anomaly.action))?;
        }
    }
    if anomalies.len() >= args.limit.try_into().unwrap_or(usize::MAX) {
        writeln!(out, "(the newest {}; --limit shows more)", args.limit)?;
    }
    Ok(())
}

/// The time so long before another.
pub(super) fn before(now_ms: i64, duration: Duration) -> i64 {
    now_ms.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)).max(0)
}

/// What an anomaly is about: its series, or its entity.
pub(super) fn subject(anomaly: &Anomaly) -> String {
    match (anomaly.metric.as_str(), anomaly.entity.is_empty()) {
        ("", true) => anomaly.entity_type.clone(),
        ("", false) => format!("{}{}", anomaly.entity_type, format::labels(&anomaly.entity)),
        (metric, _) => format!("{metric}{}", format::labels(&anomaly.labels)),
    }
}

fn table(anomalies: &[Anomaly], now_ms: i64) -> Table {
    let mut table = Table::new(&[
        ("OPENED", Left),
        ("STATE", Left),
        ("SEVERITY", Left),
        ("NODE", Left),
        ("RULE", Left),
        ("ON", Left),
        ("SUMMARY", Left),
    ]);
    for anomaly in anomalies {
        let state = match anomaly.closed_unix_ms {
            0 => format!("open for {}", format::age(now_ms, anomaly.opened_unix_ms)),
            closed => format!("closed after {}", format::age(closed, anomaly.opened_unix_ms)),
        };
        table.row(vec![
            format::time(anomaly.opened_unix_ms),
            state,
            format::severity(anomaly.severity).into(),
            format::node(&anomaly.cluster, &anomaly.node),
            format!("{}/{}", anomaly.detector, anomaly.rule),
            subject(anomaly),
            anomaly.summary.clone(),
        ]);
    }
    table
}
