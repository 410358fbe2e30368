//! A few of the faults, once each: what was acknowledged is there once, and what is missing was
//! counted.

use std::path::Path;

#[test]
#[expect(clippy::disallowed_methods, reason = "what is tested is a program")]
fn quick_faults_lose_nothing_and_store_nothing_twice() {
    let bench = Path::new(env!("CARGO_BIN_EXE_sextant-bench"));
    let aggregator = bench.with_file_name("sextant-aggregator");
    assert!(
        aggregator.is_file(),
        "{} is not built: `cargo build -p sextant-aggregator`, or test the whole workspace",
        aggregator.display(),
    );
    let output =
        std::process::Command::new(bench).args(["faults", "--quick", "--json"]).output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["bench"], "faults");
    let rows = report["rows"].as_array().unwrap();
    assert!(rows.len() >= 4, "{stdout}");
    for row in rows {
        let figure = |name: &str| row["figures"][name].as_u64();
        assert_eq!((figure("lost"), figure("duplicated")), (Some(0), Some(0)), "{row}");
        assert_eq!(figure("runs"), Some(1), "{row}");
        assert!(figure("stored") > Some(0) && figure("acked") > Some(0), "{row}");
        let dropped = figure("lost_by_design").unwrap() + figure("killed_in_memory").unwrap();
        assert_eq!(figure("sent").unwrap(), figure("stored").unwrap() + dropped, "{row}");
        if row["case"] == "spool_full" {
            assert!(figure("lost_by_design") > Some(0), "{row}");
        }
    }
}
