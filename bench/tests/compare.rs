//! The comparisons, small. Bytes are the same on every machine; time is never asserted.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use serde_json::Value;

#[expect(clippy::disallowed_methods, reason = "what is tested is a program")]
fn report(arguments: &[&str], path: Option<&Path>) -> Value {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sextant-bench"));
    command.args(arguments).args(["--quick", "--json"]);
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// A figure by case and the beginning of the system's name.
fn figure(report: &Value, case: &str, system: &str, name: &str) -> Option<f64> {
    let rows = report["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| {
        row["case"] == case && row["system"].as_str().is_some_and(|found| found.starts_with(system))
    });
    row?["figures"][name].as_f64()
}

#[test]
fn frames_are_smaller_than_what_others_send() {
    let report = report(&["wire"], None);
    for data in ["generated", "host"] {
        for ticks in ["1 tick", "12 ticks"] {
            let case = format!("{data}, {ticks} a message");
            let bytes = |system| figure(&report, &case, system, "bytes_per_sample");
            let own = bytes("sextant").unwrap();
            for peer in ["OTLP", "remote write"] {
                let its = bytes(peer).unwrap();
                assert!(own * 4.0 < its, "{case}: {own} beside {its} of {peer}");
            }
            assert!(figure(&report, &case, "sextant", "encode_ns_per_sample").unwrap() > 0.0);
        }
        let case = format!("{data}, 1 tick a message");
        let text = figure(&report, &case, "text", "bytes_per_sample").unwrap();
        assert!(figure(&report, &case, "sextant", "bytes_per_sample").unwrap() * 6.0 < text);
    }
}

#[test]
fn store_keeps_every_sample_and_peers_that_are_not_installed_are_said_to_be_absent() {
    let nowhere = tempfile::tempdir().unwrap();
    let report = report(&["store"], Some(nowhere.path()));
    for case in ["generated, 10 s", "host, 1 s"] {
        // Three nodes and little time: the room for the journal is much of it.
        let bytes = figure(&report, case, "sextant", "bytes_per_sample").unwrap();
        assert!(bytes > 0.0 && bytes < 1.5, "{case}: {bytes}");
        assert_eq!(figure(&report, case, "prometheus", "bytes_per_sample"), None);
    }
    let rows = report["rows"].as_array().unwrap();
    let absent: Vec<_> = rows.iter().filter(|row| row["absent"].is_string()).collect();
    assert_eq!(absent.len(), 2, "{report}");
    assert!(absent.iter().all(|row| row["figures"].as_object().unwrap().is_empty()), "{report}");
}
