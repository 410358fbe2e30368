//! `sextant-agent read`: what the collectors read on this node, printed instead of sent.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use prost::Message as _;
use sextant_proto::frame::is_absent;
use sextant_proto::v1::{Label, Layout, Severity};

use crate::clock::{Stop, Ticks, now_ms};
use crate::collectors::{self, CollectError, Collector};
use crate::config::Config;
use crate::sample::{Batch, UNAVAILABLE};
use crate::spool::Spool;
use crate::stats::Stats;

/// What is not on the node is looked for so often.
const ABSENT_RETRY_MS: i64 = 60_000;

/// What to read.
#[derive(Debug, Clone)]
pub struct Request {
    /// Names of collectors; empty for all that the configuration enables.
    pub collectors: Vec<String>,
    /// How long; the first tick comes at once, so zero reads everything once.
    pub duration: Duration,
    /// A JSON object a line for each sample and event, instead of Prometheus text at the end.
    pub json: bool,
}

/// Reads as the agent would and hands what is to be printed to `print`, piece by piece.
///
/// # Errors
/// A collector that is not there.
pub fn read(config: &Config, request: &Request, print: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    let stats = Arc::new(Stats::new(Arc::new(Spool::memory(1 << 20)?)));
    let mut list = collectors::enabled(&config.collectors, &config.paths, &stats);
    for name in &request.collectors {
        if !list.iter().any(|c| c.name() == name) {
            let names: Vec<_> = list.iter().map(|c| c.name()).collect();
            bail!("no collector {name} is enabled; there are {}", names.join(", "));
        }
    }
    list.retain(|c| request.collectors.is_empty() || request.collectors.contains(&c.name().into()));
    let stop = Stop::default();
    let start_ms = now_ms();
    let end_ms = start_ms + i64::try_from(request.duration.as_millis()).context("duration")?;
    let mut readers: Vec<_> = list.into_iter().map(|c| Reader::new(c, start_ms)).collect();
    let mut text = Text::default();
    loop {
        for reader in &mut readers {
            reader.due(now_ms(), request.json, &mut text, print);
        }
        let next = readers.iter().flat_map(|r| &r.tiers).map(|tier| tier.ticks.due_ms).min();
        let Some(next) = next.filter(|next| *next <= end_ms) else { break };
        stop.sleep_until(next);
    }
    if !request.json {
        text.print(&readers, print);
    }
    Ok(())
}

struct Tier {
    ticks: Ticks,
    batch: Batch,
}

struct Reader {
    collector: Box<dyn Collector>,
    tiers: Vec<Tier>,
}

impl Reader {
    fn new(collector: Box<dyn Collector>, now_ms: i64) -> Self {
        let tier = |interval| {
            let mut ticks = Ticks::new(interval, now_ms);
            ticks.due_ms = now_ms;
            Tier { ticks, batch: Batch::default() }
        };
        let tiers = collector.tiers().into_iter().map(tier).collect();
        Self { collector, tiers }
    }

    fn due(&mut self, now: i64, json: bool, text: &mut Text, print: &mut dyn FnMut(&str)) {
        let mut absent = false;
        for (index, tier) in self.tiers.iter_mut().enumerate() {
            let Some((tick_ms, _)) = tier.ticks.take(now) else { continue };
            tier.batch.begin();
            let outcome = self.collector.collect(index, &mut tier.batch);
            let name = self.collector.name();
            let mut say = |what: String| print(&format!("# {name}: {what}\n"));
            if let Err(error) = outcome {
                if !json {
                    say(sextant_proto::chain::chain(&error).to_string());
                }
                absent |= matches!(error, CollectError::Absent(_));
                if absent {
                    break;
                }
                tier.batch.begin();
            }
            for (source, error) in tier.batch.failures() {
                if !json {
                    say(format!("{source}: {error}"));
                }
            }
            let tick = tier.batch.finish(name, 0);
            let Ok(layout) = Layout::decode(&*tick.layout.1) else { continue };
            let mut values = tick.values.iter();
            for entity in &layout.entities {
                for series in &entity.series {
                    let Some(value) = values.next().filter(|v| !is_absent(**v)) else { continue };
                    let metric = &layout.metrics[series.metric as usize].name;
                    let labels = entity.labels.iter().chain(&series.labels);
                    if json {
                        let labels = object(labels);
                        let value = number(*value);
                        print(&format!(
                            "{{\"time_ms\":{tick_ms},\"metric\":{metric:?},\"entity\":{:?},\
                             \"labels\":{labels},\"value\":{value}}}\n",
                            entity.r#type
                        ));
                    } else {
                        text.set(metric, labels, *value);
                    }
                }
            }
            for event in tick.events {
                let severity = Severity::try_from(event.severity).unwrap_or_default();
                let severity = severity.as_str_name().trim_start_matches("SEVERITY_");
                if json {
                    let time_ms =
                        if event.time_unix_ms == 0 { tick_ms } else { event.time_unix_ms };
                    print(&format!(
                        "{{\"time_ms\":{time_ms},\"event\":{:?},\"severity\":{severity:?},\
                         \"entity\":{:?},\"labels\":{},\"attributes\":{},\"message\":{}}}\n",
                        event.r#type,
                        event.entity_type,
                        object(event.entity.iter()),
                        object(event.attributes.iter()),
                        quoted(&event.message),
                    ));
                } else {
                    let text = format!("# event {severity} {}: {}\n", event.r#type, event.message);
                    print(&text);
                }
            }
        }
        if absent {
            self.tiers.iter_mut().for_each(|tier| tier.ticks.restart(now, ABSENT_RETRY_MS));
        }
    }
}

/// The latest value of each series, by metric and labels.
#[derive(Default)]
struct Text(BTreeMap<(String, String), f64>);

impl Text {
    fn set<'a>(&mut self, metric: &str, labels: impl Iterator<Item = &'a Label>, value: f64) {
        let labels: Vec<_> = labels.map(|l| format!("{}={}", l.name, quoted(&l.value))).collect();
        self.0.insert((metric.to_owned(), labels.join(",")), value);
    }

    fn print(&self, readers: &[Reader], print: &mut dyn FnMut(&str)) {
        let all = readers.iter().flat_map(|r| r.collector.metrics().iter().copied());
        let known: BTreeMap<_, _> =
            std::iter::once(&UNAVAILABLE).chain(all).map(|m| (m.name, m)).collect();
        let mut last = "";
        for ((metric, labels), value) in &self.0 {
            let mut out = String::new();
            if last != metric {
                if let Some(metric) = known.get(&**metric) {
                    let kind = metric.kind.as_str_name().trim_start_matches("METRIC_KIND_");
                    let (name, kind) = (metric.name, kind.to_lowercase());
                    let help = metric.help;
                    write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n").unwrap_or_default();
                }
                last = metric;
            }
            writeln!(out, "{metric}{{{labels}}} {value}").unwrap_or_default();
            print(&out);
        }
    }
}

fn object<'a>(labels: impl Iterator<Item = &'a Label>) -> String {
    let pairs: Vec<_> =
        labels.map(|l| format!("{}:{}", quoted(&l.name), quoted(&l.value))).collect();
    format!("{{{}}}", pairs.join(","))
}

/// A JSON number, or the text of what JSON has none for.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:?}") } else { format!("\"{value}\"") }
}

/// A JSON string, which is a label value of the Prometheus text, too.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if u32::from(c) < 0x20 => {
                write!(out, "\\u{:04x}", u32::from(c)).unwrap_or_default();
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_is_read_once_as_text_and_as_json() {
        let config = Config::default();
        let mut request =
            Request { collectors: vec!["host".into()], duration: Duration::ZERO, json: false };
        let mut text = String::new();
        read(&config, &request, &mut |piece| text.push_str(piece)).expect("readable");
        assert!(text.contains("# TYPE node_load1 gauge\nnode_load1{} "), "{text}");
        request.json = true;
        let mut lines = String::new();
        read(&config, &request, &mut |piece| lines.push_str(piece)).expect("readable");
        assert!(lines.contains("\"metric\":\"node_load1\",\"entity\":\"node\",\"labels\":{}"));
        assert!(lines.lines().all(|line| line.starts_with('{') && line.ends_with('}')));
        request.collectors = vec!["nothing".into()];
        let error = read(&config, &request, &mut |_| {}).expect_err("unknown");
        assert!(error.to_string().starts_with("no collector nothing is enabled; there are "));
    }

    #[test]
    fn text_is_quoted_as_json() {
        assert_eq!(quoted("a\"b\\c\nd\u{1}é"), "\"a\\\"b\\\\c\\nd\\u0001é\"");
        assert_eq!((number(1.0), number(f64::NAN)), ("1.0".into(), "\"NaN\"".into()));
    }
}
