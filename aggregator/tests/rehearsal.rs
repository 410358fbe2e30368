//! Rules tried out on the past find what they found when it happened.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use sextant_proto::v1::rehearse_response::Message;
use sextant_proto::v1::rules_client::RulesClient;
use sextant_proto::v1::{
    Anomaly, Event, ListAnomaliesRequest, RehearseRequest, Rehearsed, Severity,
};
use support::{Agent, Running, config, hello, now_ms, test_layout};
use tonic::{Code, Status};

const RULES: &str = r#"
[[rule]]
name = "High"
metric = "test_value"
op = ">"
threshold = 10
for = "5s"
clear = 5
clear_for = "5s"
severity = "warning"
summary = "{value} on {labels.i}"
action = "look"
source = "test"

[[rule]]
name = "Storm"
event = "test.boom"
count_over = "1m"
threshold = 3
clear_for = "2m"
severity = "critical"
summary = "boom"
action = "look"
source = "test"
"#;

fn request(rules: &str) -> RehearseRequest {
    let file = "site.toml".into();
    RehearseRequest { rules: rules.into(), file, ..RehearseRequest::default() }
}

async fn rehearse(
    running: &Running,
    request: RehearseRequest,
) -> Result<(Vec<Anomaly>, Rehearsed), Status> {
    let mut stream =
        RulesClient::new(running.channel().await).rehearse(request).await?.into_inner();
    let (mut found, mut done) = (Vec::new(), None);
    while let Some(answer) = stream.message().await? {
        match answer.message.unwrap() {
            Message::Anomaly(anomaly) => found.push(anomaly),
            Message::Done(last) => done = Some(last),
        }
    }
    found.sort_by_key(|a| (a.opened_unix_ms, a.id));
    Ok((found, done.unwrap()))
}

/// What both must agree on.
fn essence(anomaly: &Anomaly) -> (i64, i64, String, String, String) {
    let Anomaly { opened_unix_ms, closed_unix_ms, rule, summary, labels, .. } = anomaly.clone();
    (opened_unix_ms, closed_unix_ms, rule, summary, format!("{labels:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn rehearsal_finds_what_was_found_live() {
    let dir = tempfile::tempdir().unwrap();
    let rules_file = dir.path().join("site.toml");
    std::fs::write(&rules_file, RULES).unwrap();
    let mut config = config(&dir.path().join("data"));
    config.detect.rules_file = Some(rules_file);
    let running = Running::start(config).await;
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    let layout = test_layout(3);
    agent.layout(&layout).await;
    // Two parts, further apart than what is read at once; most of it is in blocks already.
    let ticks: u64 = 600;
    let start = now_ms() - 3 * 3_600_000;
    let mut seq = 0;
    for n in 0..ticks {
        let part = if n < ticks / 2 { 0 } else { 2 * 3_600_000 + 1_000_000 };
        let tick = start + part + i64::try_from(n).unwrap() * 1_000;
        let wild = |period: u64| if n % period > period - 9 { 20.0 } else { (n % 5) as f64 };
        seq += 1;
        agent.frame(seq, layout.hash, tick, &[wild(100), wild(170), 1.0]).await;
        if n % 200 < 4 {
            let event = Event {
                time_unix_ms: tick,
                r#type: "test.boom".into(),
                severity: Severity::Warning.into(),
                entity_type: "node".into(),
                ..Event::default()
            };
            seq += 1;
            agent.events(seq, vec![event]).await;
        }
    }
    agent.acked(seq).await;
    let all = ListAnomaliesRequest { start_unix_ms: 1, ..ListAnomaliesRequest::default() };
    let mut live = running.query().await.list_anomalies(all).await.unwrap().into_inner().anomalies;
    live.retain(|a| a.detector == "rules" && a.rule == "High");
    live.sort_by_key(|a| (a.opened_unix_ms, a.id));
    assert!(live.len() > 6, "{}", live.len());

    let whole = RehearseRequest { start_unix_ms: start, ..request(RULES) };
    let (found, done) = rehearse(&running, whole.clone()).await.unwrap();
    let high: Vec<_> = found.iter().filter(|a| a.rule == "High").map(essence).collect();
    assert_eq!(high, live.iter().map(essence).collect::<Vec<_>>());
    assert_eq!((done.nodes, done.samples), (1, 3 * ticks));
    let counts: Vec<_> = done.rules.iter().map(|r| (&*r.name, r.watched, r.opened)).collect();
    assert_eq!(counts[0], ("High", 3, live.len() as u64));
    let (name, watched, opened) = counts[1];
    assert!(name == "Storm" && watched == 12 && opened == 3, "{counts:?}");

    let elsewhere = RehearseRequest { node: "b".into(), ..whole.clone() };
    assert_eq!(rehearse(&running, elsewhere).await.unwrap().1.nodes, 0);
    let reversed = RehearseRequest { start_unix_ms: 10, end_unix_ms: 5, ..whole };
    let refused = rehearse(&running, reversed).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_cannot_be_used_are_refused_with_their_fault() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let refused = rehearse(&running, request("[[rule]]\nname = \"X\"")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().starts_with("rules site.toml: rule X: "), "{refused}");
    let huge = "#".repeat(3 << 20);
    let refused = rehearse(&running, request(&huge)).await.unwrap_err();
    assert!(refused.message().contains("over the limit of 2097152 bytes"), "{refused}");
    running.stop().await;
}
