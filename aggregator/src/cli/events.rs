//! `events`: what happened, oldest first; with `-f`, what happens, too. A line is the same in
//! both, and a line once printed stays: columns only ever grow wider.

use std::io::{self, Write};
use std::time::Duration;

use sextant_proto::v1::{Anomaly, Event, ListEventsRequest, StoredEvent};

use super::anomalies::{before, subject};
use super::follow;
use super::format;
use super::table::Columns;
use super::table::Side::Left;
use super::{CliError, ConnectArgs, Context};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
    /// Go on with what happens, and with anomalies as they open and close, until interrupted
    #[arg(short, long)]
    pub(super) follow: bool,
    /// How far back to begin
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "1h")]
    pub(super) last: Duration,
    /// Only those of this cluster
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(super) cluster: String,
    /// Only those of this node
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(super) node: String,
    /// Only events of this type, or of all types below it when it ends in a dot: "host."
    #[arg(long = "type", value_name = "TYPE", default_value = "", hide_default_value = true)]
    pub(super) kind: String,
    /// At most so many from the past, the newest
    #[arg(long, default_value_t = 1000)]
    pub(super) limit: u32,
}

impl Args {
    /// The question about the past.
    pub(super) fn request(&self, now_ms: i64) -> ListEventsRequest {
        ListEventsRequest {
            cluster: self.cluster.clone(),
            node: self.node.clone(),
            r#type: self.kind.clone(),
            start_unix_ms: before(now_ms, self.last),
            end_unix_ms: 0,
            limit: self.limit,
        }
    }

    /// Whether an event that was not asked for by type is wanted.
    pub(super) fn wants(&self, event: &Event) -> bool {
        match self.kind.as_str() {
            "" => true,
            prefix if prefix.ends_with('.') => event.r#type.starts_with(prefix),
            exact => event.r#type == exact,
        }
    }
}

pub(super) async fn run(
    args: &Args,
    context: &Context,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let mut client = args.connect.open().await?;
    if args.follow {
        return follow::run(args, client, context, out).await;
    }
    let events = client.events(args.request((context.now)())).await?;
    if events.is_empty() {
        writeln!(out, "no events in the last {}", humantime::format_duration(args.last))?;
        return Ok(());
    }
    if events.len() >= args.limit.try_into().unwrap_or(usize::MAX) {
        writeln!(out, "(the newest {}; --limit shows more)", args.limit)?;
    }
    Ok(Lines::default().write(events.into_iter().map(Line::of_event).collect(), out)?)
}

/// One line, and where it belongs among others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    time_ms: i64,
    id: u64,
    cells: Vec<String>,
}

impl Line {
    pub(super) fn of_event(stored: StoredEvent) -> Self {
        let event = stored.event.unwrap_or_default();
        let mut message = event.message;
        if !event.attributes.is_empty() {
            message = format!("{message} {}", format::labels(&event.attributes));
        }
        let entity = format!("{}{}", event.entity_type, format::labels(&event.entity));
        Self {
            time_ms: event.time_unix_ms,
            id: stored.id,
            cells: vec![
                format::time(event.time_unix_ms),
                format::severity(event.severity).into(),
                format::node(&stored.cluster, &stored.node),
                event.r#type,
                entity,
                message,
            ],
        }
    }

    /// An anomaly's opening, or its closing.
    pub(super) fn of_anomaly(anomaly: &Anomaly) -> Self {
        let (edge, time_ms) = match anomaly.closed_unix_ms {
            0 => ("opened", anomaly.opened_unix_ms),
            closed => ("closed", closed),
        };
        Self {
            time_ms,
            id: anomaly.id,
            cells: vec![
                format::time(time_ms),
                format::severity(anomaly.severity).into(),
                format::node(&anomaly.cluster, &anomaly.node),
                format!("anomaly {edge}"),
                subject(anomaly),
                format!("{}/{}: {}", anomaly.detector, anomaly.rule, anomaly.summary),
            ],
        }
    }
}

/// Prints lines aligned with those before them.
pub(super) struct Lines(Columns);

impl Default for Lines {
    fn default() -> Self {
        Self(Columns::new(&[Left; 6]))
    }
}

impl Lines {
    /// Prints some lines, oldest first.
    pub(super) fn write(&mut self, mut lines: Vec<Line>, out: &mut impl Write) -> io::Result<()> {
        lines.sort();
        for line in &mut lines {
            line.cells.iter_mut().for_each(|cell| *cell = format::escape(cell));
            self.0.fit(&line.cells);
        }
        lines.iter().try_for_each(|line| writeln!(out, "{}", self.0.line(&line.cells)))
    }
}
