//! `/metrics` and its neighbours against promtool, a real Prometheus, and tokens.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Agent, Kill, Running, config, get, hello, now_ms, test_layout};

fn program(name: &str) -> Command {
    #[expect(clippy::disallowed_methods, reason = "a real peer is part of the test")]
    Command::new(name)
}

/// What promtool says of an exposition, line by line; it must at least parse.
fn complaints(text: &str) -> Vec<String> {
    let mut child = program("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed: run .ci/deps");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // 1: it does not parse; 3: it does, with complaints of style.
    assert_ne!(output.status.code(), Some(1), "promtool: {said}\n{text}");
    said.lines().map(str::to_owned).collect()
}

fn promtool(text: &str) {
    assert_eq!(complaints(text), Vec::<String>::new(), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exposition_is_what_promtool_and_filters_want() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    let layout = test_layout(2);
    agent.layout(&layout).await;
    agent.frame(1, layout.hash, now_ms(), &[1.5, f64::INFINITY]).await;
    agent.acked(1).await;
    let (status, text) = get(&running.http, "/metrics", None).await;
    assert_eq!(status, 200);
    promtool(&text);
    let line = "test_value{cluster=\"test\",node=\"a\",i=\"0\"} 1.5\n";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("i=\"1\"} +Inf\n"), "{text}");
    assert!(
        text.contains("# HELP test_value A value\\nof a \\\\ test.\n# TYPE test_value gauge\n")
    );
    assert!(text.contains("sextant_node_connected{cluster=\"test\",node=\"a\"} 1\n"));

    let (_, one) = get(&running.http, "/metrics?match[]=test_value%7Bi=%220%22%7D", None).await;
    assert!(
        one.contains(line) && !one.contains("i=\"1\"") && !one.contains("sextant_node"),
        "{one}"
    );
    let (_, none) = get(&running.http, "/metrics?collect[]=gpu", None).await;
    assert_eq!(none, "");
    let (_, test) = get(&running.http, "/metrics?collect[]=gpu&collect[]=test", None).await;
    assert!(test.contains(line));
    let (status, said) = get(&running.http, "/metrics?match[]=rate(a[5m])", None).await;
    assert!(status == 400 && said.contains("not a series selector"), "{said}");
    assert_eq!(get(&running.http, "/metrics?math[]=a", None).await.0, 400);

    let (_, own) = get(&running.http, "/metrics/self", None).await;
    promtool(&own);
    assert!(own.contains("sextant_ingest_samples_total 2\n"), "{own}");
    assert_eq!(get(&running.http, "/health", None).await, (200, "ok\n".into()));
    assert_eq!(get(&running.http, "/ready", None).await, (200, "ready\n".into()));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_health_and_readiness_are_open_when_there_are_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens.toml");
    let (viewer, agent) = ("v".repeat(32), "a".repeat(32));
    let text = format!(
        "[[token]]\nname = \"v\"\ntoken = \"{viewer}\"\nrole = \"viewer\"\n\
         [[token]]\nname = \"n1\"\ntoken = \"{agent}\"\nrole = \"agent\"\nnode = \"n1\"\n"
    );
    std::fs::write(&tokens, text).unwrap();
    let mut config = config(&dir.path().join("data"));
    config.auth.tokens_file = Some(tokens);
    let running = Running::start(config).await;
    for path in ["/", "/metrics", "/metrics/self"] {
        assert_eq!(get(&running.http, path, None).await.0, 401, "{path}");
        assert_eq!(get(&running.http, path, Some(&agent)).await.0, 403, "{path}");
        assert_eq!(get(&running.http, path, Some(&viewer)).await.0, 200, "{path}");
    }
    for path in ["/health", "/ready"] {
        assert_eq!(get(&running.http, path, None).await.0, 200, "{path}");
    }
    let refused = Agent::connect(&running.grpc, hello("n1", "s")).await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    let nodes =
        running.query().await.list_nodes(sextant_proto::v1::ListNodesRequest::default()).await;
    assert_eq!(nodes.unwrap_err().code(), tonic::Code::Unauthenticated);
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, &agent).unwrap();
    for (node, fine) in [("n1", true), ("n2", false)] {
        let connected = Agent::connect_as(&running.grpc, hello(node, node), &token_file).await;
        assert_eq!(connected.is_ok(), fine, "{node}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_scrapes_the_series() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(&dir.path().join("data"))).await;
    let mut agent = Agent::connect(&running.grpc, hello("a", "s")).await.unwrap();
    let layout = test_layout(2);
    agent.layout(&layout).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = running.http.trim_start_matches("http://");
    let scrape = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: sextant\n  \
         honor_labels: true\n  static_configs:\n  - targets: ['{target}']\n"
    );
    let file = dir.path().join("prometheus.yml");
    std::fs::write(&file, scrape).unwrap();
    let prometheus = program("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().join("tsdb").display()))
        .arg(format!("--web.listen-address={free}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _prometheus = Kill(prometheus.expect("prometheus is installed: run .ci/deps"));
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut seq = 0;
    let answer = loop {
        seq += 1;
        agent.frame(seq, layout.hash, now_ms(), &[42.5, 7.0]).await;
        agent.acked(seq).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let base = format!("http://{free}");
        if tokio::net::TcpStream::connect(free).await.is_ok() {
            let (_, body) = get(&base, "/api/v1/query?query=test_value", None).await;
            if body.contains("42.5") {
                break body;
            }
        }
        assert!(Instant::now() < deadline, "Prometheus never had the series");
    };
    for want in ["\"cluster\":\"test\"", "\"node\":\"a\"", "\"i\":\"0\"", "\"job\":\"sextant\""] {
        assert!(answer.contains(want), "{answer} lacks {want}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn live_hosts_exposition_passes_promtool_as_node_exporters_does() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(&dir.path().join("data"))).await;
    let node = Some("live".into());
    let mut agent = sextant_agent::config::Config { node, ..Default::default() };
    agent.spool.dir = dir.path().join("spool");
    agent.uplink.endpoint.clone_from(&running.grpc);
    agent.health.listen.set_port(0);
    agent.collectors.host.slow_interval = agent.collectors.host.interval;
    agent.collectors.agent.interval = agent.collectors.host.interval;
    let agent = sextant_agent::app::App::build(agent).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
    let agent = tokio::spawn(agent.run(async move { drop(stopped.await) }));
    let deadline = Instant::now() + Duration::from_secs(60);
    let text = loop {
        let (_, text) = get(&running.http, "/metrics", None).await;
        if text.contains("node_uname_info{") && text.contains("sextant_spool_bytes{") {
            break text;
        }
        assert!(Instant::now() < deadline, "the live host never came: {text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    stop.send(()).unwrap();
    agent.await.unwrap().unwrap();

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let exporter = program("prometheus-node-exporter")
        .arg(format!("--web.listen-address={free}"))
        .stderr(Stdio::null())
        .spawn();
    let _exporter = Kill(exporter.expect("node_exporter is installed: run .ci/deps"));
    while tokio::net::TcpStream::connect(free).await.is_err() {
        assert!(Instant::now() < deadline, "node_exporter never listens");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (_, theirs) = get(&format!("http://{free}"), "/metrics", None).await;
    let theirs = complaints(&theirs);
    // Fields of later kernels and later node_exporters follow the kernel's spelling as well.
    let camel = |line: &String| {
        line.contains("'camelCase'")
            && ["node_memory_", "node_netstat_"].iter().any(|prefix| line.starts_with(prefix))
    };
    // Names of other tools are theirs to choose.
    let projected = sextant_aggregator::projection::families(Default::default());
    let peers = |line: &String| projected.iter().any(|f| line.split(' ').next() == Some(f.name));
    let known = |line: &String| theirs.contains(line) || camel(line) || peers(line);
    let ours: Vec<String> = complaints(&text).into_iter().filter(|l| !known(l)).collect();
    assert_eq!(ours, Vec::<String>::new());
    running.stop().await;
}
