//! `top`: a line per node, again and again. Rates come from two instants of the same counters:
//! those of the last refresh and those of this one, by the times at which the samples were
//! read, so that neither this terminal's clock nor a node's matters. The first refresh asks for
//! the counters of a while ago.

mod rows;

use std::io::{self, Write};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::connection::Client;
use super::format;
use super::nodes as listed;
use super::{CliError, ConnectArgs, Context};
use rows::{Node, Sampler, table};

/// How far back the first refresh looks for counters to compare with.
const FIRST_WINDOW_MS: i64 = 15_000;
/// The other screen of a terminal, with no cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the upper left, and what was there is gone.
const CLEAR: &str = "\x1b[H\x1b[2J";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Only the nodes of this cluster
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    cluster: String,
    /// Time between refreshes
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "2s")]
    interval: Duration,
    /// What the first lines are chosen by
    #[arg(long, value_enum, default_value_t = Sort::Name)]
    sort: Sort,
    /// Print one table and end, as when the output is no terminal
    #[arg(long)]
    once: bool,
}

/// What nodes are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    Name,
    Cpu,
    Memory,
    Anomalies,
}

pub(super) async fn run(
    args: &Args,
    context: &Context,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => (),
            _ = terminate.recv() => (),
        }
    };
    run_until(args, context, stop, out).await
}

/// Refreshes until `stop`, and leaves the terminal as it was however it ends.
pub(super) async fn run_until(
    args: &Args,
    context: &Context,
    stop: impl Future<Output = ()>,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let mut client = args.connect.open().await?;
    if args.once || !context.interactive {
        let nodes = refresh(args, &mut client, &mut Sampler::default()).await?;
        if nodes.is_empty() {
            return Ok(listed::none(&client, out)?);
        }
        return Ok(table(&nodes, (context.now)()).write(out)?);
    }
    write!(out, "{ENTER}")?;
    let ended = tokio::select! {
        ended = refresh_forever(args, client, context, out) => ended,
        () = stop => Ok(()),
    };
    write!(out, "{LEAVE}")?;
    out.flush()?;
    ended
}

async fn refresh_forever(
    args: &Args,
    mut client: Client,
    context: &Context,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let mut sampler = Sampler::default();
    let mut nodes = Vec::new();
    loop {
        let trouble = match refresh(args, &mut client, &mut sampler).await {
            Ok(fresh) => {
                nodes = fresh;
                None
            }
            // The channel connects again by itself.
            Err(error @ CliError::Unavailable { .. }) => Some(format!("failed to {error}")),
            Err(error) => return Err(error),
        };
        draw(&nodes, trouble.as_deref(), &client.endpoint, context, out)?;
        tokio::time::sleep(args.interval).await;
    }
}

async fn refresh(
    args: &Args,
    client: &mut Client,
    sampler: &mut Sampler,
) -> Result<Vec<Node>, CliError> {
    let mut samples = Vec::new();
    for metric in rows::METRICS {
        let selector = metric.selector(&args.cluster);
        let now = client.instant(&selector, 0).await?;
        if metric.counter && !sampler.knows(metric.name) {
            let newest = now.iter().map(|sample| sample.time_unix_ms).max();
            if let Some(newest) = newest {
                let earlier = client.instant(&selector, newest - FIRST_WINDOW_MS).await?;
                sampler.remember(metric.name, &earlier);
            }
        }
        samples.extend(if metric.counter { sampler.rates(metric.name, now) } else { now });
    }
    let mut nodes = rows::nodes(client.nodes(&args.cluster).await?, &samples);
    let high = |value: Option<f64>| std::cmp::Reverse(value.map_or(-1, rows::thousandths));
    nodes.sort_by(|a, b| a.key().cmp(&b.key()));
    match args.sort {
        Sort::Name => (),
        Sort::Cpu => nodes.sort_by_key(|node| high(node.cpu)),
        Sort::Memory => nodes.sort_by_key(|node| high(node.memory)),
        Sort::Anomalies => nodes.sort_by_key(|node| std::cmp::Reverse(node.anomalies)),
    }
    Ok(nodes)
}

/// One screen: what is cut off at the bottom is counted.
fn draw(
    nodes: &[Node],
    trouble: Option<&str>,
    endpoint: &str,
    context: &Context,
    out: &mut impl Write,
) -> io::Result<()> {
    let (columns, lines) = (context.size)();
    let now_ms = (context.now)();
    let connected = nodes.iter().filter(|node| node.connected).count();
    let title = format!(
        "{}  {endpoint}  {connected} of {} nodes connected, {} anomalies",
        format::time(now_ms),
        nodes.len(),
        nodes.iter().map(|node| u64::from(node.anomalies)).sum::<u64>(),
    );
    let mut screen = vec![title, trouble.map(format::escape).unwrap_or_default()];
    screen.extend(table(nodes, now_ms).lines());
    if screen.len() > lines {
        let hidden = screen.len() - lines + 1;
        screen.truncate(lines.saturating_sub(1));
        screen.push(format!("… {hidden} more nodes"));
    }
    let screen: Vec<_> = screen.iter().map(|line| format::clip(line, columns)).collect();
    write!(out, "{CLEAR}{}", screen.join("\r\n"))?;
    out.flush()
}

#[cfg(test)]
mod tests;
