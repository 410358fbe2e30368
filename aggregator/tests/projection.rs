//! The compatibility projections of a synthetic fleet against golden files, filters, promtool,
//! and the queries of the official DCGM dashboard on a real Prometheus.
//! `UPDATE_GOLDEN=1` writes the golden files.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sextant_aggregator::exposition::{self, Filter};
use sextant_aggregator::projection::{DcgmNames, HostnameLabel, Projections};
use sextant_proto::v1::{Event, Label, SubscribeRequest, subscribe_response};
use support::fleet::{gpu, gpus, owner, running, send};
use support::{Agent, Kill, Running, Shape, config, get, hello, now_ms};

async fn scrape(running: &Running, query: &str) -> String {
    let (status, text) = get(&running.http, &format!("/metrics{query}"), None).await;
    assert_eq!(status, 200, "{text}");
    text
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap();
    assert!(known == text, "{name} differs, run with UPDATE_GOLDEN=1 and look:\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fleet_looks_as_its_peers_show_it() {
    let dir = tempfile::tempdir().unwrap();
    let (running, _agent) = running(config(dir.path())).await;
    for (name, file) in [
        ("dcgm", "dcgm.prom"),
        ("openshift_ptp", "openshift_ptp.prom"),
        ("sriov_exporter", "sriov_exporter.prom"),
    ] {
        golden(file, &scrape(&running, &format!("?collect[]={name}")).await);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_labels_follow_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.exposition.dcgm_names = DcgmNames::Both;
    config.exposition.hostname_label = HostnameLabel::Both;
    config.exposition.pod_labels = false;
    config.exposition.openshift_ptp = false;
    let (running, _agent) = running(config).await;
    let text = scrape(&running, "").await;
    let line = |name: &str| {
        let start = format!("{name}{{");
        text.lines()
            .find(|l| l.starts_with(&start))
            .unwrap_or_else(|| panic!("no {name}"))
            .to_owned()
    };
    for name in ["DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_GPU_TEMP_CELSIUS", "DCGM_FI_DEV_SM_CLOCK"] {
        let line = line(name);
        let hosts = "Hostname=\"worker-1\",hostname=\"worker-1\"";
        assert!(line.contains(hosts) && !line.contains("pod="), "{line}");
    }
    assert!(!text.contains("openshift_ptp_") && text.contains("\nptp_offset_seconds{"));
    assert_eq!(scrape(&running, "?collect[]=openshift_ptp").await, "");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_choose_between_native_and_projected() {
    let dir = tempfile::tempdir().unwrap();
    let (running, _agent) = running(config(dir.path())).await;
    let families = |text: &str| -> Vec<String> {
        let types = text.lines().filter_map(|l| l.strip_prefix("# TYPE "));
        types.map(|l| l.split(' ').next().unwrap().to_owned()).collect()
    };
    let all = scrape(&running, "").await;
    let names = families(&all);
    assert!(names[5..].is_sorted(), "{names:?}");
    let mut once = names.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), names.len(), "a family comes twice");
    for want in ["DCGM_FI_DEV_GPU_TEMP", "gpu_temperature_celsius", "openshift_ptp_clock_state"] {
        assert!(names.iter().any(|n| n == want), "{want}");
    }
    let dcgm = families(&scrape(&running, "?collect[]=dcgm").await);
    assert!(dcgm.len() > 30 && dcgm.iter().all(|n| n.starts_with("DCGM_")), "{dcgm:?}");
    let gpu = families(&scrape(&running, "?collect[]=gpu").await);
    assert!(gpu.len() > 10 && gpu.iter().all(|n| n.starts_with("gpu_")), "{gpu:?}");

    let one = scrape(&running, "?match[]=DCGM_FI_DEV_GPU_TEMP%7Bgpu=%221%22%7D").await;
    assert_eq!(one.lines().count(), 3, "{one}");
    assert!(one.contains("UUID=\"GPU-1\""), "{one}");
    let mixed = "?match[]=%7B__name__=~%22DCGM_FI_DEV_POWER_USAGE|gpu_power_watts%22%7D";
    assert_eq!(
        families(&scrape(&running, mixed).await),
        ["DCGM_FI_DEV_POWER_USAGE", "gpu_power_watts"]
    );
    let both = "?collect[]=gpu&match[]=DCGM_FI_DEV_GPU_TEMP";
    assert_eq!(scrape(&running, both).await, "");
    let other = scrape(&running, "?match[]=%7Bnode=%22other%22%7D").await;
    assert_eq!(other, "");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_and_counts_follow_the_samples() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let mut agent = Agent::connect(&running.grpc, hello("worker-1", "s")).await.unwrap();
    let start = now_ms() - 3_000;
    let value = |text: &str, start: &str| -> Option<f64> {
        let line = text.lines().find(|l| l.starts_with(start))?;
        line.rsplit(' ').next()?.parse().ok()
    };
    let nvlink = "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL{cluster=\"test\",node=\"worker-1\",gpu=\"0\"";
    let pcie = nvlink.replace("NVLINK_BANDWIDTH_TOTAL", "PCIE_TX_THROUGHPUT");
    let rates = |text: &str| (value(text, nvlink), value(text, &pcie));
    send(&mut agent, 1, start, &gpus(0.0, start as f64 / 1e3)).await;
    let text = scrape(&running, "?collect[]=dcgm").await;
    assert_eq!(rates(&text), (Some(0.0), Some(0.0)));
    send(&mut agent, 2, start + 2_000, &gpus(2.0, start as f64 / 1e3)).await;
    // Twice 10.24 MB/s are 20 000 KiB/s, which dcgm-exporter shows as 20. A scrape without a
    // new sample between says the same.
    for _ in 0..2 {
        let text = scrape(&running, "?collect[]=dcgm").await;
        assert_eq!(rates(&text), (Some(20.0), Some(2000.0)));
        assert!(text.contains("window_size_in_ms=\"300000\",xid=\"79\"} 2\n"), "{text}");
        assert!(!text.contains("window_size_in_ms=\"300000\",xid=\"13\""), "{text}");
        assert!(text.contains("xid=\"13\"} 5\n"), "{text}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exposition_with_projections_parses_and_only_peers_names_are_odd() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.exposition.dcgm_names = DcgmNames::Both;
    let (running, _agent) = running(config).await;
    let text = scrape(&running, "").await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("metrics");
    std::fs::write(&file, &text).unwrap();
    let output = program("promtool")
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .expect("promtool is installed: run .ci/deps");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.status.code(), Some(1), "promtool: {said}");
    let projected: std::collections::HashSet<&str> =
        sextant_aggregator::projection::families(DcgmNames::Both).iter().map(|f| f.name).collect();
    let ours = |line: &&str| !projected.contains(line.split(' ').next().unwrap());
    // Nothing described these to the aggregator: the synthetic agent said no descriptors.
    let described = |line: &&str| !line.ends_with("no help text");
    let left: Vec<&str> = said.lines().filter(ours).filter(described).collect();
    assert_eq!(left, Vec::<&str>::new());
    // Of the peers' families, only names and units may be complained about.
    let no_help = said.lines().find(|l| !ours(l) && l.ends_with("no help text"));
    assert_eq!(no_help, None);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owner_that_left_is_gone_although_its_layout_is_fresh_yet() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let mut agent = Agent::connect(&running.grpc, hello("worker-1", "s")).await.unwrap();
    let now = now_ms();
    let shape = |pod: Option<&str>| {
        let mut shape = Shape::new("gpu", 1000);
        shape.entity("gpu", &[("uuid", "GPU-0")]).set("gpu_info", &[("gpu", "0")], 1.0);
        shape.set("gpu_power_watts", &[], 70.0);
        if let Some(pod) = pod {
            shape.set("gpu_pod_info", &owner(pod, "false"), 1.0);
        }
        shape
    };
    for (seq, pod, want) in [
        (1, Some("first"), Some("pod=\"first\"")),
        (2, Some("second"), Some("pod=\"second\"")),
        (3, None, None),
    ] {
        let tick = now - 9_000 + i64::try_from(seq).unwrap() * 3_000;
        send(&mut agent, seq, tick, &shape(pod)).await;
        let text = scrape(&running, "?match[]=DCGM_FI_DEV_POWER_USAGE").await;
        let line = text.lines().nth(2).unwrap();
        assert!(want.is_none_or(|want| line.contains(want)), "{line}");
        assert_eq!(line.contains("pod="), want.is_some(), "{line}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exposition_comes_in_pieces_and_ends_when_the_reader_goes() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let mut agent = Agent::connect(&running.grpc, hello("worker-1", "s")).await.unwrap();
    let mut shape = Shape::new("gpu", 1000);
    for index in 0..64 {
        gpu(&mut shape, index, 1.0, 0.0);
    }
    send(&mut agent, 1, now_ms(), &shape).await;
    let projections = Projections::new(Default::default());
    let pieces = |limit: usize| {
        let mut pieces = Vec::new();
        exposition::write(&running.queries, &projections, &Filter::default(), |piece| {
            pieces.push(piece);
            pieces.len() < limit
        });
        pieces
    };
    let all = pieces(usize::MAX);
    assert!(all.len() > 10, "{} pieces", all.len());
    assert!(all.iter().all(|p| p.len() < 72 << 10), "a piece is too large");
    assert!(all.iter().all(|p| p.ends_with('\n')));
    assert_eq!(all.concat(), scrape(&running, "").await);
    assert_eq!(pieces(3).len(), 3);
    running.stop().await;
}

fn program(name: &str) -> Command {
    #[expect(clippy::disallowed_methods, reason = "a real peer is part of the test")]
    Command::new(name)
}

/// The expressions of dashboard 12239, its variables replaced as Grafana does for "All".
const DASHBOARD: &[&str] = &[
    "max(DCGM_FI_DEV_GPU_TEMP{Hostname=~\".+\",gpu=~\".+\"}) by (Hostname, gpu, uuid)",
    "avg(DCGM_FI_DEV_GPU_TEMP{Hostname=~\".+\",gpu=~\".+\"})",
    "max(DCGM_FI_DEV_POWER_USAGE{Hostname=~\".+\",gpu=~\".+\"}) by (Hostname, gpu, uuid)",
    "sum(max(DCGM_FI_DEV_POWER_USAGE{Hostname=~\".+\",gpu=~\".+\"}) by (gpu))",
    "max(DCGM_FI_DEV_SM_CLOCK{Hostname=~\".+\",gpu=~\".+\"} * 1000000) by (Hostname, UUID, gpu)",
    "max(DCGM_FI_PROF_GR_ENGINE_ACTIVE{Hostname=~\".+\",gpu=~\".+\"}) by (Hostname, gpu, GPU_I_ID, GPU_I_PROFILE)",
    "max(DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{Hostname=~\".+\",gpu=~\".+\"}) by (Hostname, gpu, GPU_I_ID, GPU_I_PROFILE)",
    "max(DCGM_FI_DEV_FB_USED{Hostname=~\".+\",gpu=~\".+\"}) by (Hostname, gpu, GPU_I_ID, GPU_I_PROFILE)",
    // Its earlier revisions choose by the scraped instance.
    "DCGM_FI_DEV_GPU_UTIL{instance=~\".+\",gpu=~\".+\"}",
    "DCGM_FI_DEV_FB_FREE{instance=~\".+\"}",
];

#[tokio::test(flavor = "multi_thread")]
async fn official_dashboards_queries_have_data() {
    let dir = tempfile::tempdir().unwrap();
    let (running, mut agent) = running(config(&dir.path().join("data"))).await;
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
    let base = format!("http://{free}");
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut missing = DASHBOARD.to_vec();
    let mut seq = 10;
    while !missing.is_empty() {
        assert!(Instant::now() < deadline, "no data for {missing:?}");
        seq += 1;
        let now = now_ms();
        send(&mut agent, seq, now, &gpus(1.0, now as f64 / 1e3)).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        if tokio::net::TcpStream::connect(free).await.is_err() {
            continue;
        }
        let mut still = Vec::new();
        for expression in missing {
            let path = format!("/api/v1/query?query={}", percent(expression));
            let (status, body) = get(&base, &path, None).await;
            assert!(status == 200 || status == 503, "{expression}: {body}");
            if !body.contains("\"value\":[") {
                still.push(expression);
            }
        }
        missing = still;
    }
    let by_gpu = percent("count(DCGM_FI_DEV_GPU_TEMP) by (Hostname, gpu)");
    let (_, body) = get(&base, &format!("/api/v1/query?query={by_gpu}"), None).await;
    for gpu in ["0", "1", "2"] {
        let want = format!("{{\"Hostname\":\"worker-1\",\"gpu\":\"{gpu}\"}}");
        assert!(body.contains(&want), "{body}");
    }
    running.stop().await;
}

fn percent(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

fn event(kind: &str, attributes: &[(&str, &str)]) -> Event {
    let label = |(n, v): &(&str, &str)| Label { name: (*n).into(), value: (*v).into() };
    Event {
        time_unix_ms: 1_673_318_517_094,
        r#type: kind.into(),
        attributes: attributes.iter().map(label).collect(),
        ..Event::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriber_gets_clock_events_as_cloud_events() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let mut agent = Agent::connect(&running.grpc, hello("worker-1", "s")).await.unwrap();
    let mut client = running.query().await;
    let request = SubscribeRequest { cloud_events: true, events: true, ..Default::default() };
    let mut both = client.subscribe(request).await.unwrap().into_inner();
    let request = SubscribeRequest { cloud_events: true, ..Default::default() };
    let mut cloud = client.subscribe(request).await.unwrap().into_inner();
    let lock = |state, offset| {
        [
            ("instance", "ptp4l.0.config"),
            ("iface", "ens5f0"),
            ("state", state),
            ("offset_ns", offset),
        ]
    };
    let sent = [
        event("ptp.state_changed", &lock("LOCKED", "29")),
        event("ptp.state_changed", &lock("HOLDOVER", "-61.6")[..3]),
        event("ptp.port_state_changed", &lock("SLAVE", "0")[..3]),
        event(
            "ptp.clock_class_changed",
            &[("instance", "ptp4l.0.config"), ("clock_class", "165"), ("previous", "6")],
        ),
        event("ptp.os_clock_state_changed", &[("state", "FREERUN"), ("offset_ns", "27")]),
        event("ptp.sync_state_changed", &[("state", "LOCKED")]),
        event("ptp.gnss_state_changed", &[("device", "/dev/gnss0"), ("state", "3D")]),
        event("ptp.synce_state_changed", &[("dpll", "0"), ("state", "LOCKED"), ("type", "eec")]),
        event("ptp.synce_state_changed", &[("dpll", "1"), ("state", "LOCKED"), ("type", "pps")]),
        event("ptp.state_changed", &[("instance", "ptp4l.0.config"), ("state", "odd")]),
        event("host.oom_kill", &[]),
    ];
    agent.events(1, sent.to_vec()).await;
    agent.acked(1).await;
    let mut text = String::new();
    while text.matches("\"specversion\"").count() < 7 {
        let message = cloud.message().await.unwrap().unwrap().message.unwrap();
        let subscribe_response::Message::CloudEvent(event) = message else {
            panic!("no plain event was asked for: {message:?}");
        };
        let mut json = sextant_aggregator::projection::cloud_events::structured(&event);
        // The number is the store's; what the node itself said before has one, too.
        let (resource, number) = event.id.rsplit_once('/').unwrap();
        assert!(resource == "test/worker-1" && number.parse::<u64>().is_ok(), "{}", event.id);
        json["id"] = "test/worker-1/N".into();
        text += &(serde_json::to_string_pretty(&json).unwrap() + "\n");
    }
    golden("cloud_events.json", &text);
    // The node's own events may come before.
    let mut order = Vec::new();
    while order.last().is_none_or(|kind| kind != "host.oom_kill") {
        match both.message().await.unwrap().unwrap().message.unwrap() {
            subscribe_response::Message::Event(event) => order.push(event.event.unwrap().r#type),
            subscribe_response::Message::CloudEvent(event) => order.push(event.r#type),
            other => panic!("{other:?}"),
        }
    }
    let first = order.iter().position(|kind| kind == "ptp.state_changed").unwrap();
    let order = &order[first..];
    assert_eq!(order.len(), sent.len() + 7);
    assert_eq!(order[..2], ["ptp.state_changed", "event.sync.ptp-status.ptp-state-change"]);
    running.stop().await;
}
