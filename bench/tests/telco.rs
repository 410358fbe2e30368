//! The overhead of a small telco node: everything on it is read, and nothing fails.

use std::path::Path;

#[test]
#[expect(clippy::disallowed_methods, reason = "what is tested is a program")]
fn every_port_and_virtual_function_of_a_made_up_node_is_read_without_an_error() {
    let bench = Path::new(env!("CARGO_BIN_EXE_sextant-bench"));
    let aggregator = bench.with_file_name("sextant-aggregator");
    assert!(
        aggregator.is_file(),
        "{} is not built: `cargo build -p sextant-aggregator`, or test the whole workspace",
        aggregator.display(),
    );
    let output = std::process::Command::new(bench)
        .args(["overhead", "--ptp", "2", "--vfs", "66", "--json"])
        .args(["--interval", "500ms", "--vf-interval", "1s", "--duration", "2s"])
        .output()
        .unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["bench"], "overhead");
    assert!(report["notes"][0].as_str().unwrap().starts_with("simulated"), "{report}");
    let figures = &report["rows"][0]["figures"];
    let figure = |name: &str| figures[name].as_f64().unwrap();
    assert_eq!((figure("ptp_ports"), figure("vfs"), figure("errors")), (2.0, 66.0, 0.0));
    // Two rounds of virtual functions, four of the rest.
    assert!(figure("samples") > 66.0 * 15.0 * 2.0 + 2.0 * 50.0 * 4.0, "{figures}");
    assert!(figure("ptp4l_requests_per_minute") > 0.0, "{figures}");
    assert!(figure("netlink_requests_per_minute") > 0.0, "{figures}");
}
