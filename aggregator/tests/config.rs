//! The example configuration against the code, and bad configurations against the binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use sextant_aggregator::config::Config;

const EXAMPLE: &str = include_str!("../config.example.toml");

#[test]
fn example_has_every_key_with_its_default() {
    let example: Config = toml::from_str(EXAMPLE).unwrap();
    assert_eq!(example, Config::default());
    // With the optional keys, which stand there as comments, nothing is left without a value.
    let is_key = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let given = |line: &str| {
        let key = line.strip_prefix("# ").filter(|rest| is_key(rest));
        key.unwrap_or(line).to_owned()
    };
    let all: Vec<String> = EXAMPLE.lines().map(given).collect();
    let all: Config = toml::from_str(&all.join("\n")).unwrap();
    let json = serde_json::to_string(&all).unwrap();
    assert!(!json.contains("null"), "a key has no example: {json}");
    for key in keys(&serde_json::to_value(&all).unwrap()) {
        assert!(EXAMPLE.contains(&format!("{key} = ")), "{key} is not in the example");
    }
}

fn keys(value: &serde_json::Value) -> Vec<String> {
    let serde_json::Value::Object(map) = value else { return Vec::new() };
    let own = map.iter().filter(|(_, v)| !v.is_object()).map(|(k, _)| k.clone());
    own.chain(map.values().flat_map(keys)).collect()
}

fn run(dir: &Path, text: &str) -> Output {
    let path = dir.join("aggregator.toml");
    std::fs::write(&path, text).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the real binary is under test")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_sextant-aggregator"));
    command.arg("--config").arg(&path).output().unwrap()
}

/// A configuration on free ports with its data in `dir`, and more.
fn local(dir: &Path, more: &str) -> String {
    let data = dir.join("data");
    format!(
        "data_dir = {data:?}\n[listen]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n{more}\n"
    )
}

fn refused(output: &Output, want: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it ran: {text}");
    for want in want {
        assert!(text.contains(want), "{text:?} does not say {want:?}");
    }
}

#[test]
fn bad_configuration_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let f = |text: &str, want: &[&str]| {
        refused(&run(dir.path(), &local(dir.path(), text)), want);
        assert!(!dir.path().join("data").exists(), "{text} touched the data directory");
    };
    f("[stor]\n", &["aggregator.toml", "unknown field `stor`"]);
    f("[retention]\nsample = \"1h\"\n", &["unknown field `sample`"]);
    f("[retention]\nsamples = \"1s\"\n", &["retention.samples", "1s is under an hour"]);
    f("[retention]\nsamples = \"soon\"\n", &["aggregator.toml", "soon"]);
    f("[store]\ncommit_interval = \"1h\"\n", &["store.commit_interval"]);
    f("[tls]\ncert_file = \"c\"\n", &["tls.cert_file", "tls.key_file"]);
    f("[detect]\nrules_file = \"/no/such/rules.toml\"\n", &["/no/such/rules.toml"]);
    f("[auth]\ntokens_file = \"/no/such/tokens.toml\"\n", &["/no/such/tokens.toml"]);
    f("[exposition]\ndcgm_names = \"new\"\n", &["dcgm_names", "legacy", "dcgm46", "both"]);
    f("[exposition]\nhostname_label = \"host\"\n", &["Hostname", "hostname", "both"]);
    f("[log]\nlevel = \"===\"\n", &["log.level"]);
    let open = "[listen]\nhttp = \"0.0.0.0:0\"\ngrpc = \"127.0.0.1:0\"\n";
    let data = dir.path().join("data");
    let output = run(dir.path(), &format!("data_dir = {data:?}\n{open}"));
    refused(&output, &["listen.http 0.0.0.0", "tls.cert_file"]);
    let output = run(dir.path(), "[listen]\ngrpc = \"0.0.0.0:9317\"\n");
    refused(&output, &["listen.grpc 0.0.0.0:9317", "tls.cert_file"]);
}

#[test]
fn port_in_use_and_unusable_directory_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let data = dir.path().join("data");
    let text =
        format!("data_dir = {data:?}\n[listen]\ngrpc = \"127.0.0.1:0\"\nhttp = \"{addr}\"\n");
    refused(&run(dir.path(), &text), &[&addr.to_string(), "listen.http", "in use"]);
    std::fs::write(&data, "a file in its place").unwrap();
    refused(&run(dir.path(), &local(dir.path(), "")), &[&data.display().to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn second_aggregator_on_a_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let running = support::Running::start(support::config(&dir.path().join("data"))).await;
    refused(&run(dir.path(), &local(dir.path(), "")), &["data", "in use by another aggregator"]);
    running.stop().await;
}

#[test]
fn database_of_a_newer_schema_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let path = data.join("sextant.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("PRAGMA user_version = 9999; CREATE TABLE future (x);").unwrap();
    drop(db);
    let before = std::fs::read(&path).unwrap();
    refused(&run(dir.path(), &local(dir.path(), "")), &["sextant.db", "schema 9999", "newer"]);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn check_says_valid_and_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("aggregator.toml");
    std::fs::write(&path, local(dir.path(), "")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the real binary is under test")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_sextant-aggregator"));
    let output = command.arg("--check").arg("--config").arg(&path).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "configuration is valid\n");
    assert!(!dir.path().join("data").exists());
}
