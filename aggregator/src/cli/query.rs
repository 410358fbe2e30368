//! `query`: the values of the series that a selector matches. At one time: a table. Over a
//! time: a line with a sparkline per series, or every row. A range is read as a stream and a
//! sparkline keeps a few numbers per series, so a long range does not need much memory.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;
use sextant_proto::v1::{InstantRequest, InstantSample, RangeRequest, RangeResponse, Series};

use super::anomalies::before;
use super::format;
use super::sparkline::Sparkline;
use super::table::Side::{Left, Right};
use super::table::Table;
use super::{CliError, ConnectArgs, Context};

/// Cells of a sparkline: what the terminal leaves, within these.
const SPARKLINE_CELLS: std::ops::RangeInclusive<usize> = 12..=60;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    /// A Prometheus series selector: 'node_load1', 'node_disk_io_time_seconds_total{device="sda"}'
    selector: String,
    /// Show this much time up to now (or --at) instead of one value: 10m, 6h
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    last: Option<Duration>,
    /// With --last: one value per step instead of every sample
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, requires = "last")]
    step: Option<Duration>,
    /// With --step: what each step is told by
    #[arg(long, value_enum, default_value = "last", requires = "step")]
    aggregation: Aggregation,
    /// Only so many, those with the largest values
    #[arg(long, value_name = "N", conflicts_with_all = ["bottom", "last"])]
    top: Option<u32>,
    /// Only so many, those with the smallest values
    #[arg(long, value_name = "N", conflicts_with = "last")]
    bottom: Option<u32>,
    /// The time meant, instead of now: 2026-01-31T08:15:00Z or Unix seconds
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<i64>,
    /// Rows of time and value
    #[arg(long, conflicts_with_all = ["csv", "json"])]
    table: bool,
    /// Comma-separated rows: time, series, value
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// What the value of a step is.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Aggregation {
    /// The last sample of the last five minutes
    Last,
    Min,
    Max,
    Avg,
    Sum,
    /// How many samples there were
    Count,
}

impl From<Aggregation> for sextant_proto::v1::Aggregation {
    fn from(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::Last => Self::Last,
            Aggregation::Min => Self::Min,
            Aggregation::Max => Self::Max,
            Aggregation::Avg => Self::Avg,
            Aggregation::Sum => Self::Sum,
            Aggregation::Count => Self::Count,
        }
    }
}

/// A minute: from such steps on, starts are at a multiple of the step, which rollups answer.
const MINUTE_MS: i64 = 60_000;

pub(super) async fn run(
    args: &Args,
    context: &Context,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let mut client = args.connect.open().await?;
    let now_ms = (context.now)();
    let end_ms = args.at.unwrap_or(now_ms);
    let Some(last) = args.last else {
        let request = InstantRequest {
            selector: args.selector.clone(),
            time_unix_ms: args.at.unwrap_or(0),
            limit_top: args.top.unwrap_or(0),
            limit_bottom: args.bottom.unwrap_or(0),
        };
        let samples = client.instant_of(request).await?;
        return Ok(instant(args, samples, end_ms, out)?);
    };
    let mut start_ms = before(end_ms, last);
    let step_ms = args.step.map_or(0, |s| i64::try_from(s.as_millis()).unwrap_or(i64::MAX));
    if step_ms >= MINUTE_MS {
        start_ms -= start_ms.rem_euclid(step_ms);
    }
    let request = RangeRequest {
        selector: args.selector.clone(),
        start_unix_ms: start_ms,
        end_unix_ms: end_ms,
        step_ms,
        aggregation: sextant_proto::v1::Aggregation::from(args.aggregation).into(),
    };
    let mut parts = client.range(request).await?;
    let columns = if context.interactive { (context.size)().0 } else { super::DEFAULT_SIZE.0 };
    let mut sink = Sink::new(args, start_ms, end_ms, out)?;
    while let Some(part) = parts.message().await.map_err(|status| client.refusal(&status))? {
        sink.part(part, out)?;
    }
    Ok(sink.finish(columns, out)?)
}

/// Where the parts of a range go.
enum Sink {
    /// Folded into a line per series, by the series' text.
    Lines {
        start_ms: i64,
        end_ms: i64,
        series: BTreeMap<String, (String, Sparkline)>,
    },
    /// Printed as they come; the series that came last.
    Rows(Option<String>),
    Csv,
    Json,
}

impl Sink {
    fn new(args: &Args, start_ms: i64, end_ms: i64, out: &mut impl Write) -> io::Result<Self> {
        Ok(match (args.table, args.csv, args.json) {
            (true, ..) => Self::Rows(None),
            (_, true, _) => {
                csv_header(out)?;
                Self::Csv
            }
            (_, _, true) => Self::Json,
            _ => Self::Lines { start_ms, end_ms, series: BTreeMap::new() },
        })
    }

    fn part(&mut self, part: RangeResponse, out: &mut impl Write) -> io::Result<()> {
        let key = part.series.unwrap_or_default();
        let samples = part.times_unix_ms.iter().copied().zip(part.values);
        match self {
            Self::Lines { start_ms, end_ms, series } => {
                let (_, line) = series.entry(format::series(&key)).or_insert_with(|| {
                    let line = Sparkline::new(*start_ms, *end_ms, *SPARKLINE_CELLS.end());
                    (key.metric, line)
                });
                samples.for_each(|(time, value)| line.add(time, value));
                Ok(())
            }
            Self::Rows(previous) => {
                let name = format::series(&key);
                if previous.as_ref() != Some(&name) {
                    if previous.is_some() {
                        writeln!(out)?;
                    }
                    writeln!(out, "{}", format::escape(&name))?;
                    *previous = Some(name);
                }
                samples.into_iter().try_for_each(|(time, value)| {
                    let (time, exact) = (format::time_ms(time), exact(value));
                    let words = format::quantity(&key.metric, value);
                    let words = if words == exact { String::new() } else { format!("  ({words})") };
                    writeln!(out, "{time}  {exact}{words}")
                })
            }
            Self::Csv => {
                let name = format::series(&key);
                samples.into_iter().try_for_each(|(t, v)| csv_row(t, &name, v, out))
            }
            Self::Json => {
                let samples: Vec<_> = samples.map(|(t, v)| json!([t, json_number(v)])).collect();
                let mut object = json_series(&key);
                object["samples"] = samples.into();
                writeln!(out, "{object}")
            }
        }
    }

    fn finish(self, columns: usize, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Lines { series, .. } if series.is_empty() => nothing(out),
            Self::Rows(None) => nothing(out),
            Self::Lines { series, .. } => lines(&series, columns).write(out),
            Self::Rows(Some(_)) | Self::Csv | Self::Json => Ok(()),
        }
    }
}

fn nothing(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "no series has a value there")
}

/// The table of a range. A sparkline keeps its cells; those that the terminal has no room for,
/// and those finer than the samples, are merged; the same for all, so that times compare.
fn lines(series: &BTreeMap<String, (String, Sparkline)>, columns: usize) -> Table {
    let mut rows = Vec::new();
    for (name, (metric, line)) in series {
        let number = |value: Option<f64>| value.map_or("-".into(), |v| format::quantity(metric, v));
        let range = line.range();
        let numbers = [range.map(|r| r.min), range.map(|r| r.max), range.map(|r| r.last)];
        rows.push((name, line, numbers.map(number)));
    }
    let widest = |column: usize| {
        rows.iter().map(|(.., n)| n[column].chars().count()).max().unwrap_or(0).max(4)
    };
    let name = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    let taken = name + widest(0) + widest(1) + widest(2) + 4 * 2;
    let cells = columns.saturating_sub(taken);
    let cells = cells.clamp(*SPARKLINE_CELLS.start(), *SPARKLINE_CELLS.end());
    let dense = rows.iter().map(|(_, line, _)| line.dense_width()).max().unwrap_or(0);
    let cells = cells.min(dense);
    let header = [("SERIES", Left), ("", Left), ("MIN", Right), ("MAX", Right), ("LAST", Right)];
    let mut table = Table::new(&header);
    for (name, line, [min, max, last]) in rows {
        table.row(vec![name.clone(), line.draw(cells), min, max, last]);
    }
    table
}

fn instant(
    args: &Args,
    mut samples: Vec<InstantSample>,
    now_ms: i64,
    out: &mut impl Write,
) -> io::Result<()> {
    samples.sort_by_cached_key(|s| s.series.as_ref().map(format::series));
    if args.csv {
        csv_header(out)?;
    } else if samples.is_empty() && !args.json {
        return nothing(out);
    }
    let mut table = Table::new(&[("SERIES", Left), ("VALUE", Right), ("AGE", Right)]);
    for InstantSample { series, time_unix_ms, value } in samples {
        let series = series.unwrap_or_default();
        if args.json {
            let mut object = json_series(&series);
            object["time_unix_ms"] = time_unix_ms.into();
            object["value"] = json_number(value);
            writeln!(out, "{object}")?;
        } else if args.csv {
            csv_row(time_unix_ms, &format::series(&series), value, out)?;
        } else {
            let age = format::age(now_ms, time_unix_ms);
            let value = format::quantity(&series.metric, value);
            table.row(vec![format::series(&series), value, age]);
        }
    }
    if args.csv || args.json { Ok(()) } else { table.write(out) }
}

fn csv_header(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "time,series,value")
}

/// RFC 4180: the series in quotes, quotes doubled. Values in full.
fn csv_row(time_ms: i64, series: &str, value: f64, out: &mut impl Write) -> io::Result<()> {
    let series = format::escape(series).replace('"', "\"\"");
    writeln!(out, "{},\"{series}\",{}", format::time_ms(time_ms), exact(value))
}

fn json_series(series: &Series) -> serde_json::Value {
    let labels: serde_json::Map<_, _> =
        series.labels.iter().map(|l| (l.name.clone(), l.value.clone().into())).collect();
    json!({ "metric": series.metric, "labels": labels })
}

/// JSON has no word for what is not finite: those are strings, as in Prometheus' API.
fn json_number(value: f64) -> serde_json::Value {
    if value.is_finite() { value.into() } else { format::number(value).into() }
}

fn exact(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { format::number(value) }
}

/// Unix milliseconds of a time as people give it.
fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(i64::from(seconds) * 1000);
    }
    let time = humantime::parse_rfc3339_weak(text).map_err(|error| error.to_string())?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| "before 1970".to_owned())?;
    i64::try_from(since.as_millis()).map_err(|_| "too far ahead".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_or_unix_seconds() {
        let f = |text: &str, want: Option<i64>| assert_eq!(parse_time(text).ok(), want, "{text}");
        f("1700000000", Some(1_700_000_000_000));
        f("2023-11-14T22:13:20Z", Some(1_700_000_000_000));
        f("2023-11-14 22:13:20", Some(1_700_000_000_000));
        f("2023-11-14T22:13:20.250Z", Some(1_700_000_000_250));
        f("yesterday", None);
        f("", None);
    }
}
