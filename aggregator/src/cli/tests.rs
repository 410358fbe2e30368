//! Each command against an aggregator with fixed answers: the whole text that it prints.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory as _, Parser};
use sextant_proto::v1::Lagged;
use sextant_proto::v1::subscribe_response::Message;
use tonic::Status;

use super::fake::{Fake, NOW_MS, anomaly, event, series};
use super::{CliError, Command, Context, run_in};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

pub(super) fn context() -> Context {
    Context {
        now: || NOW_MS,
        interactive: false,
        size: || (100, 10),
        retry_after: Duration::from_millis(1),
    }
}

pub(super) async fn ask(fake: &Arc<Fake>, line: &[&str]) -> (String, Result<(), CliError>) {
    let endpoint = fake.serve().await;
    let mut out = Vec::new();
    let result = run_in(command(&endpoint, line), &context(), &mut out).await;
    let text = String::from_utf8(out).expect("text").replace(&endpoint, "ENDPOINT");
    (text, result)
}

pub(super) fn command(endpoint: &str, line: &[&str]) -> Command {
    let words = [&["sextant-aggregator"], line, &["--endpoint", endpoint]].concat();
    Cli::try_parse_from(words).expect("arguments parse").command
}

pub(super) async fn answer(fake: Fake, line: &[&str]) -> String {
    let (text, result) = ask(&Arc::new(fake), line).await;
    result.expect("answered");
    text
}

/// Compares; a text in the source begins with a line break.
#[track_caller]
pub(super) fn assert_text(got: &str, want: &str) {
    assert_eq!(got, want.trim_start_matches('\n'), "got:\n{got}");
}

#[tokio::test]
async fn nodes_are_listed_by_name() {
    assert_text(
        &answer(Fake::with_nodes(), &["nodes"]).await,
        "
CLUSTER  NODE  STATE                            LAST DATA  AGENT  SERIES    SKEW  ANOMALIES
lab      a     connected                         0.4s ago  0.1.0     412    +3ms          2
lab      b     gone since 2023-11-14T20:08:20Z  2h 5m ago  0.1.0     412  -1m 1s          -
",
    );
}

#[tokio::test]
async fn nothing_to_list_says_so() {
    for line in [&["nodes"][..], &["top"]] {
        let said = answer(Fake::default(), line).await;
        assert_eq!(said, "no node has ever connected to ENDPOINT\n");
    }
    let none = |line: &'static [&'static str]| answer(Fake::default(), line);
    assert_eq!(none(&["query", "up"]).await, "no series has a value there\n");
    assert_eq!(none(&["query", "up", "--last", "1h"]).await, "no series has a value there\n");
    assert_eq!(none(&["query", "up", "--json"]).await, "");
    assert_eq!(none(&["events", "--last", "90m"]).await, "no events in the last 1h 30m\n");
    assert_eq!(none(&["anomalies"]).await, "no open anomalies\n");
    assert_eq!(none(&["anomalies", "--all"]).await, "no anomalies in the last 1day\n");
}

fn with_series() -> Fake {
    let ramp = (0..8).map(|i| (NOW_MS - 600_000 + i * 80_000, i as f64 * 1024.0)).collect();
    Fake {
        series: vec![
            (series("x_bytes", &[("device", "b")]), ramp),
            (series("x_bytes", &[("device", "a\x1b[2J")]), vec![(NOW_MS - 2_500, f64::NAN)]),
        ],
        ..Fake::default()
    }
}

#[tokio::test]
async fn query_now_is_a_table_with_units_and_ages() {
    assert_text(
        &answer(with_series(), &["query", "x_bytes"]).await,
        r#"
SERIES                                               VALUE   AGE
x_bytes{cluster="lab",device="a\u{1b}[2J",node="a"}    NaN  2.5s
x_bytes{cluster="lab",device="b",node="a"}           7 KiB   40s
"#,
    );
}

#[tokio::test]
async fn query_over_time_is_a_line_per_series() {
    assert_text(
        &answer(with_series(), &["query", "x_bytes{device=\"b\"}", "--last", "10m"]).await,
        r#"
SERIES                                            MIN    MAX   LAST
x_bytes{cluster="lab",device="b",node="a"}  ▂▄▆█  0 B  7 KiB  7 KiB
"#,
    );
}

#[tokio::test]
async fn query_rows_are_exact() {
    let mut fake = with_series();
    fake.series[0].1.truncate(2);
    let fake = Arc::new(fake);
    let rows = ["query", "x_bytes", "--last", "10m"];
    let (table, _) = ask(&fake, &[&rows[..], &["--table"]].concat()).await;
    assert_text(
        &table,
        r#"
x_bytes{cluster="lab",device="b",node="a"}
2023-11-14T22:03:20.000Z  0  (0 B)
2023-11-14T22:04:40.000Z  1024  (1 KiB)

x_bytes{cluster="lab",device="a\u{1b}[2J",node="a"}
2023-11-14T22:13:17.500Z  NaN
"#,
    );
    let (csv, _) = ask(&fake, &[&rows[..], &["--csv"]].concat()).await;
    assert_text(
        &csv,
        r#"
time,series,value
2023-11-14T22:03:20.000Z,"x_bytes{cluster=""lab"",device=""b"",node=""a""}",0
2023-11-14T22:04:40.000Z,"x_bytes{cluster=""lab"",device=""b"",node=""a""}",1024
2023-11-14T22:13:17.500Z,"x_bytes{cluster=""lab"",device=""a\u{1b}[2J"",node=""a""}",NaN
"#,
    );
    let (json, _) = ask(&fake, &[&rows[..], &["--json"]].concat()).await;
    assert_text(
        &json,
        r#"
{"labels":{"cluster":"lab","device":"b","node":"a"},"metric":"x_bytes","samples":[[1699999400000,0.0],[1699999480000,1024.0]]}
{"labels":{"cluster":"lab","device":"a\u001b[2J","node":"a"},"metric":"x_bytes","samples":[[1699999997500,"NaN"]]}
"#,
    );
    let (json, _) = ask(&fake, &["query", "x_bytes", "--json", "--at", "1699999500"]).await;
    assert_text(
        &json,
        r#"
{"labels":{"cluster":"lab","device":"b","node":"a"},"metric":"x_bytes","time_unix_ms":1699999480000,"value":1024.0}
"#,
    );
}

#[tokio::test]
async fn events_are_oldest_first_and_chosen_by_type() {
    let fake = Fake::default();
    *fake.events.lock() = vec![
        event(1, "host.oom_kill", 7_200, "too old"),
        event(2, "host.oom_kill", 600, "java was killed"),
        event(3, "agent.collector_stalled", 60, "host is stalled\u{7}"),
    ];
    let fake = Arc::new(fake);
    let (all, _) = ask(&fake, &["events"]).await;
    assert_text(
        &all,
        r#"
2023-11-14T22:03:20Z  warning  lab/a  host.oom_kill            node  java was killed
2023-11-14T22:12:20Z  warning  lab/a  agent.collector_stalled  node  host is stalled\u{7}
"#,
    );
    let (newest, _) = ask(&fake, &["events", "--limit", "1"]).await;
    assert_text(
        &newest,
        r#"
(the newest 1; --limit shows more)
2023-11-14T22:12:20Z  warning  lab/a  agent.collector_stalled  node  host is stalled\u{7}
"#,
    );
    let (oom, _) = ask(&fake, &["events", "--type", "host.oom_kill", "--last", "1d"]).await;
    assert_text(
        &oom,
        r#"
2023-11-14T20:13:20Z  warning  lab/a  host.oom_kill  node  too old
2023-11-14T22:03:20Z  warning  lab/a  host.oom_kill  node  java was killed
"#,
    );
}

#[tokio::test]
async fn anomalies_are_the_open_ones_unless_all_are_asked_for() {
    let fake = Fake::default();
    *fake.anomalies.lock() = vec![anomaly(1, 7_200, Some(3_600)), anomaly(2, 303, None)];
    let fake = Arc::new(fake);
    let (open, _) = ask(&fake, &["anomalies"]).await;
    assert_text(
        &open,
        r#"
OPENED                STATE           SEVERITY  NODE   RULE              ON                              SUMMARY
2023-11-14T22:08:17Z  open for 5m 3s  critical  lab/a  rules/memory_low  node_memory_MemAvailable_bytes  2.1% of memory is available
    do: find what grows: ps --sort=-rss
"#,
    );
    let (all, _) = ask(&fake, &["anomalies", "--all"]).await;
    assert_text(
        &all,
        r#"
OPENED                STATE               SEVERITY  NODE   RULE              ON                              SUMMARY
2023-11-14T22:08:17Z  open for 5m 3s      critical  lab/a  rules/memory_low  node_memory_MemAvailable_bytes  2.1% of memory is available
    do: find what grows: ps --sort=-rss
2023-11-14T20:13:20Z  closed after 1h 0m  critical  lab/a  rules/memory_low  node_memory_MemAvailable_bytes  2.1% of memory is available
    do: find what grows: ps --sort=-rss
"#,
    );
}

/// The second connection ends in a refusal, so that following has an end.
#[tokio::test]
async fn follow_prints_each_thing_once_across_lost_connections() {
    let fake = Fake::default();
    *fake.events.lock() = vec![event(1, "a.past", 60, "one")];
    fake.upcoming.lock().extend([event(3, "a.slow", 4, "three"), event(4, "a.lost", 3, "four")]);
    *fake.anomalies.lock() = vec![anomaly(7, 30, None)];
    let closed = anomaly(7, 30, Some(2));
    let lagged = Message::Lagged(Lagged { dropped: 12 });
    let events = [event(1, "a.past", 60, "one"), event(2, "a.now", 5, "two")];
    let [again, now] = events.map(|event| Ok(Message::Event(event)));
    fake.subscriptions.lock().extend([
        vec![again, now, Ok(lagged), Err(Status::unavailable("restarting"))],
        vec![Ok(Message::Anomaly(closed.clone())), Ok(Message::Anomaly(closed))],
    ]);
    let (text, result) = ask(&Arc::new(fake), &["events", "-f"]).await;
    assert_text(
        &text,
        r#"
2023-11-14T22:12:20Z  warning   lab/a  a.past          node                            one
2023-11-14T22:12:50Z  critical  lab/a  anomaly opened  node_memory_MemAvailable_bytes  rules/memory_low: 2.1% of memory is available
2023-11-14T22:13:15Z  warning   lab/a  a.now           node                            two
-- too slow: 12 messages missed, reading them again
2023-11-14T22:13:16Z  warning   lab/a  a.slow          node                            three
-- connection lost: restarting; trying again
-- connected again
2023-11-14T22:13:17Z  warning   lab/a  a.lost          node                            four
2023-11-14T22:13:18Z  critical  lab/a  anomaly closed  node_memory_MemAvailable_bytes  rules/memory_low: 2.1% of memory is available
-- connection lost: the aggregator ended the stream; trying again
"#,
    );
    assert_eq!(result.unwrap_err().to_string(), "get an answer: viewer may not subscribe");
}

#[tokio::test]
async fn unreachable_aggregator_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let mut out = Vec::new();
    for line in [&["nodes"][..], &["top", "--once"], &["events", "-f"]] {
        let error = run_in(command(&endpoint, line), &context(), &mut out).await.unwrap_err();
        assert_eq!(error.to_string(), format!("connect to {endpoint}"));
    }
    assert!(out.is_empty());
}

#[tokio::test]
async fn bad_selector_is_refused_in_the_servers_words() {
    for line in [&["query", "{"][..], &["query", "{", "--last", "1m"]] {
        let (text, result) = ask(&Arc::new(Fake::default()), line).await;
        assert_eq!(
            result.unwrap_err().to_string(),
            "get an answer: selector \"{\": unexpected end"
        );
        assert_eq!(text, "");
    }
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn reader_that_goes_away_is_no_error() {
    let fake = Arc::new(Fake::with_nodes());
    let endpoint = fake.serve().await;
    for line in [&["nodes"][..], &["top", "--once"], &["query", "node_load1"]] {
        run_in(command(&endpoint, line), &context(), &mut Closed).await.expect("quiet");
    }
}

#[test]
fn contradicting_arguments_are_refused() {
    let f = |line: &[&str], ok: bool| {
        let words = [&["sextant-aggregator"], line].concat();
        assert_eq!(Cli::try_parse_from(words).is_ok(), ok, "{line:?}");
    };
    f(&["query", "up"], true);
    f(&["query"], false);
    f(&["query", "up", "--csv", "--json"], false);
    f(&["query", "up", "--table", "--csv"], false);
    f(&["query", "up", "--step", "1s"], false);
    f(&["query", "up", "--at", "soon"], false);
    f(&["anomalies", "--last", "1h"], false);
    f(&["nodes", "--cert-file", "x"], false);
}

/// No argument in either text has a space in it.
#[test]
fn documented_commands_are_understood() {
    Cli::command().debug_assert();
    let texts = [
        (include_str!("../../../README.md"), "$sextant "),
        (include_str!("../../../manifests/local/up"), "  $aggregator "),
    ];
    for (text, prompt) in texts {
        let lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(prompt)).collect();
        assert!(lines.len() >= 5, "{lines:?}");
        for line in lines {
            let line = line.split(" #").next().unwrap_or_default().replace('\'', "");
            let words = ["sextant-aggregator"].into_iter().chain(line.split_whitespace());
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }
}
