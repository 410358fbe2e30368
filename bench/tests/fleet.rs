//! The fleet against the real aggregator, small: nothing is lost and nothing is there twice.

use std::path::Path;

#[test]
#[expect(clippy::disallowed_methods, reason = "what is tested is a program")]
fn small_fleet_is_stored_exactly_once() {
    let bench = Path::new(env!("CARGO_BIN_EXE_sextant-bench"));
    let aggregator = bench.with_file_name("sextant-aggregator");
    assert!(
        aggregator.is_file(),
        "{} is not built: `cargo build -p sextant-aggregator`, or test the whole workspace",
        aggregator.display(),
    );
    let output = std::process::Command::new(bench)
        .args(["fleet", "--nodes", "3", "--series", "50"])
        .args(["--interval", "200ms", "--duration", "2s", "--json"])
        .output()
        .unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["bench"], "fleet");
    let row = &report["rows"][0];
    assert!(row["system"].as_str().unwrap().starts_with("sextant"), "{row}");
    let figure = |name: &str| row["figures"][name].as_u64();
    assert_eq!(figure("sent"), Some(3 * 50 * 10), "{row}");
    assert_eq!(figure("acked"), figure("sent"), "{row}");
    assert_eq!(figure("stored"), figure("sent"), "{row}");
    for name in ["lost", "duplicated", "wrong"] {
        assert_eq!(figure(name), Some(0), "{row}");
    }
}
