//! What is forwarded by remote write, against a receiver of the test, Prometheus and
//! VictoriaMetrics.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sextant_aggregator::config::Config;
use sextant_aggregator::forward::ForwardConfig;
use sextant_proto::frame::ABSENT;

use support::receiver::Receiver;
use support::{Agent, Kill, Running, config, get, hello, now_ms, test_layout};

/// A configuration that forwards to an address; `more` in TOML.
fn forwarding(dir: &Path, url: &str, more: &str) -> Config {
    let section = format!("name = \"engine\"\nurl = \"{url}\"\ninterval = \"100ms\"\n{more}\n");
    let section: ForwardConfig = toml::from_str(&section).unwrap();
    Config { forward: vec![section], ..config(dir) }
}

fn label(i: usize) -> String {
    format!("__name__=test_value,cluster=test,i={i},node=a")
}

/// A metric of the aggregator's own, by its line's beginning.
async fn own(running: &Running, line: &str) -> Option<f64> {
    let (_, text) = get(&running.http, "/metrics/self", None).await;
    let value = text.lines().find_map(|l| l.strip_prefix(line));
    value.map(|value| value.trim().parse().unwrap())
}

async fn until_own(running: &Running, line: &str, wanted: f64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while own(running, line).await != Some(wanted) {
        assert!(Instant::now() < deadline, "{line} is {:?}", own(running, line).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Ticks of an agent, a second apart, that end about now.
async fn ticks(agent: &mut Agent, layout: u64, seqs: std::ops::Range<u64>, base: i64) {
    let last = seqs.end - 1;
    for seq in seqs {
        let value = seq as f64;
        agent.frame(seq, layout, base + 1000 * i64::try_from(seq).unwrap(), &[value, -value]).await;
    }
    agent.acked(last).await;
}

fn wanted(i: usize, seqs: std::ops::Range<u64>, base: i64) -> Vec<(i64, String)> {
    let sign = if i == 0 { 1.0 } else { -1.0 };
    let point =
        |seq: u64| (base + 1000 * i64::try_from(seq).unwrap(), (sign * seq as f64).to_string());
    seqs.map(point).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn outage_and_restart_lose_nothing_and_repeat_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(false).await;
    let config = forwarding(dir.path(), &receiver.url, "protocol = \"1\"");
    let running = Running::start(config.clone()).await;
    let base = now_ms();
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    let layout = test_layout(2);
    agent.layout(&layout).await;
    ticks(&mut agent, layout.hash, 1..11, base).await;
    receiver.wait(20).await;
    receiver.until(|r| r.metadata() == ["A value\nof a \\ test."]).await;

    receiver.answer(|_, _| Some((503, "down")));
    ticks(&mut agent, layout.hash, 11..400, base).await;
    until_own(&running, "sextant_forward_backlog_seconds{target=\"engine\"}", 389.0).await;
    assert!(
        own(&running, "sextant_forward_requests_failed_total{target=\"engine\",reason=\"busy\"}")
            .await
            > Some(0.0)
    );
    drop(agent);
    running.stop().await;

    // Still down at the start; blocks and journal have what is missing.
    let running = Running::start(config).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.count(), 20);
    receiver.answer(|_, _| None);
    receiver.wait(798).await;
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    agent.layout(&layout).await;
    ticks(&mut agent, layout.hash, 400..410, base).await;
    receiver.wait(818).await;
    until_own(&running, "sextant_forward_backlog_seconds{target=\"engine\"}", 0.0).await;
    let all: BTreeMap<_, _> = (0..2).map(|i| (label(i), wanted(i, 1..410, base))).collect();
    assert!(receiver.values() == all);

    // What comes after its time was forwarded stays behind, and is counted.
    agent.frame(410, layout.hash, base + 5_500, &[1.0, 1.0]).await;
    agent.acked(410).await;
    ticks(&mut agent, layout.hash, 411..412, base).await;
    receiver.wait(820).await;
    until_own(
        &running,
        "sextant_forward_samples_dropped_total{target=\"engine\",reason=\"late\"}",
        2.0,
    )
    .await;
    running.stop().await;
    assert_eq!(receiver.count(), 820);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_part_is_found_and_the_rest_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(false).await;
    let more = "protocol = \"1\"\nmatch = ['test_value{i!=\"0\"}']";
    let running = Running::start(forwarding(dir.path(), &receiver.url, more)).await;
    let base = now_ms();
    let bad = base + 50_000;
    let is_bad = move |s: &(String, i64, f64)| s.1 == bad && s.0.contains("i=13,");
    receiver.answer(move |_, samples| samples.iter().any(is_bad).then_some((400, "no")));
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    let layout = test_layout(17);
    agent.layout(&layout).await;
    for seq in 1..101_i64 {
        agent.frame(seq.unsigned_abs(), layout.hash, base + 1000 * seq, &[seq as f64; 17]).await;
    }
    agent.acked(100).await;
    receiver.until(|r| r.samples().iter().any(|s| s.1 == base + 100_000)).await;
    until_own(
        &running,
        "sextant_forward_samples_dropped_total{target=\"engine\",reason=\"refused\"}",
        8.0,
    )
    .await;
    receiver.wait(1600 - 8).await;
    let series = receiver.values();
    assert_eq!(series.len(), 16, "what no selector matches stays here");
    for (labels, points) in series {
        let gap = points.len() == 99 && points.iter().all(|p| p.0 != bad);
        assert!(gap || points.len() == 100, "{labels}: {points:?}");
        assert!(points.is_sorted_by(|a, b| a.0 < b.0), "{labels}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn second_version_is_spoken_where_it_is_understood() {
    for (two, content) in
        [(true, "x-protobuf;proto=io.prometheus.write.v2.Request"), (false, "x-protobuf")]
    {
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token");
        std::fs::write(&token, "secret\n").unwrap();
        let receiver = Receiver::start(two).await;
        let more = format!(
            "bearer_token_file = {token:?}\nexternal_labels = {{ region = \"eu\", node = \"x\" }}"
        );
        let data = dir.path().join("data");
        let running = Running::start(forwarding(&data, &receiver.url, &more)).await;
        let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
        let layout = test_layout(2);
        agent.layout(&layout).await;
        let base = now_ms();
        ticks(&mut agent, layout.hash, 1..4, base).await;
        receiver.wait(6).await;
        receiver.until(|r| r.metadata().iter().any(|help| help.starts_with("A value"))).await;
        let all = (0..2).map(|i| (format!("{},region=eu", label(i)), wanted(i, 1..4, base)));
        assert_eq!(receiver.values(), all.collect());
        assert_eq!(receiver.header("authorization").unwrap(), "Bearer secret");
        assert!(receiver.content().last().unwrap().ends_with(content), "{:?}", receiver.content());
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_marked_stale_once() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(false).await;
    let running = Running::start(forwarding(dir.path(), &receiver.url, "protocol = \"1\"")).await;
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    let (three, two) = (test_layout(3), test_layout(2));
    agent.layout(&three).await;
    let base = now_ms();
    agent.frame(1, three.hash, base + 1000, &[1.0, ABSENT, 1.0]).await;
    agent.frame(2, three.hash, base + 2000, &[ABSENT, ABSENT, 2.0]).await;
    agent.frame(3, three.hash, base + 3000, &[ABSENT, 3.0, 3.0]).await;
    agent.layout(&two).await;
    agent.frame(4, two.hash, base + 4000, &[4.0, 4.0]).await;
    agent.acked(4).await;
    let point = |tick: i64, value: &str| (base + tick, value.to_owned());
    let all = BTreeMap::from([
        (
            label(0),
            vec![point(1000, "1"), point(2000, "stale"), point(4000, "4"), point(4500, "stale")],
        ),
        (label(1), vec![point(3000, "3"), point(4000, "4"), point(4500, "stale")]),
        (
            label(2),
            vec![point(1000, "1"), point(2000, "2"), point(3000, "3"), point(3500, "stale")],
        ),
    ]);
    receiver.until(|r| r.samples().len() >= 11).await;
    assert_eq!(receiver.series(), all);
    running.stop().await;
    assert_eq!(receiver.samples().len(), 11);
}

fn start(name: &str, arguments: &[String]) -> Kill {
    #[expect(clippy::disallowed_methods, reason = "a real peer is part of the test")]
    let mut command = Command::new(name);
    let child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Kill(child.unwrap_or_else(|e| panic!("{name} is installed: run .ci/deps ({e})")))
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_and_victoria_metrics_answer_from_what_was_forwarded() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("prometheus.yml");
    std::fs::write(&file, "global: {}\n").unwrap();
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for name in ["prometheus", "victoria-metrics"] {
        let (address, data) = (free(), dir.path().join(name));
        let data = data.display();
        let arguments = match name {
            "prometheus" => vec![
                format!("--config.file={}", file.display()),
                format!("--storage.tsdb.path={data}"),
                format!("--web.listen-address={address}"),
                "--web.enable-remote-write-receiver".into(),
            ],
            _ => vec![
                format!("-storageDataPath={data}"),
                format!("-httpListenAddr={address}"),
                "-search.latencyOffset=0s".into(),
            ],
        };
        let _peer = start(name, &arguments);
        let base = format!("http://{address}");
        let config = forwarding(
            &dir.path().join(format!("{name}-own")),
            &format!("{base}/api/v1/write"),
            "",
        );
        let running = Running::start(config).await;
        let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
        let layout = test_layout(2);
        agent.layout(&layout).await;
        let now = now_ms();
        ticks(&mut agent, layout.hash, 1..31, now).await;
        let query = format!(
            "/api/v1/query?query=count_over_time(test_value%7Bi=%220%22%7D[1h])&time={}",
            now / 1000 + 60
        );
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let listens = tokio::net::TcpStream::connect(address).await.is_ok();
            let said = if listens { get(&base, &query, None).await.1 } else { String::new() };
            if said.contains("\"cluster\":\"test\"") && said.contains(",\"30\"]") {
                break;
            }
            assert!(Instant::now() < deadline, "{name}: {said}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        running.stop().await;
    }
}
