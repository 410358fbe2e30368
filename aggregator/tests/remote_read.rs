//! Remote read: a Prometheus without data of its own answers from ours.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Agent, Kill, Running, config, get, hello, now_ms, test_layout};

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_answers_from_our_samples_with_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let (tokens, credentials) = (dir.path().join("tokens.toml"), dir.path().join("token"));
    let (agent_token, viewer) = (dir.path().join("agent"), "v".repeat(32));
    let text = format!(
        "[[token]]\nname = \"v\"\ntoken = \"{viewer}\"\nrole = \"viewer\"\n\
         [[token]]\nname = \"a\"\ntoken = \"{}\"\nrole = \"agent\"\nnode = \"a\"\n",
        "a".repeat(32)
    );
    std::fs::write(&tokens, text).unwrap();
    std::fs::write(&credentials, &viewer).unwrap();
    std::fs::write(&agent_token, "a".repeat(32)).unwrap();
    let mut config = config(&dir.path().join("data"));
    config.auth.tokens_file = Some(tokens);
    let running = Running::start(config).await;
    let mut agent = Agent::connect_as(&running.grpc, hello("a", "s"), &agent_token).await.unwrap();
    let layout = test_layout(3);
    agent.layout(&layout).await;
    let now = now_ms();
    for seq in 1..=200_i64 {
        let tick = now + 1000 * (seq - 200);
        agent.frame(seq.unsigned_abs(), layout.hash, tick, &[seq as f64, 0.0, 7.0]).await;
    }
    agent.acked(200).await;

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = dir.path().join("prometheus.yml");
    let yaml = format!(
        "remote_read:\n- url: {}/api/v1/read\n  read_recent: true\n  authorization:\n    \
         credentials_file: {}\n",
        running.http,
        credentials.display()
    );
    std::fs::write(&file, yaml).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a real peer is part of the test")]
    let prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().join("tsdb").display()))
        .arg(format!("--web.listen-address={free}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _prometheus = Kill(prometheus.expect("prometheus is installed: run .ci/deps"));
    let base = format!("http://{free}");
    let deadline = Instant::now() + Duration::from_secs(60);
    // test_value{i="0"}, and those of 0 and 2 by a regular expression, over five minutes.
    for (query, want) in [
        ("count_over_time(test_value%7Bi=%220%22%7D[5m])", ",\"200\"]"),
        ("sum(count_over_time(test_value%7Bi=~%220%7C2%22,node!=%22b%22%7D[5m]))", ",\"400\"]"),
        ("max_over_time(test_value%7Bi=%220%22,cluster=~%22te.%2B%22%7D[5m])", ",\"200\"]"),
    ] {
        let path = format!("/api/v1/query?query={query}&time={}", now / 1000 + 1);
        loop {
            let listens = tokio::net::TcpStream::connect(free).await.is_ok();
            let said = if listens { get(&base, &path, None).await.1 } else { String::new() };
            if said.contains(want) {
                break;
            }
            assert!(Instant::now() < deadline, "{query}: {said}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    running.stop().await;
}
