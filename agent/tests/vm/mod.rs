//! Runs a job in the guest of `vm_lab`, where there are real virtual functions and PTP hardware
//! clocks, and gives back what it left.
#![allow(dead_code, reason = "each test binary uses its part of this")]
#![allow(clippy::print_stdout, reason = "why it cannot run")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What a job left behind.
pub(crate) struct Left {
    share: tempfile::TempDir,
    pub(crate) console: String,
}

/// What the guest must have.
#[derive(Default)]
pub(crate) struct Guest {
    /// netdevsim and ptp_mock.
    pub(crate) modules: bool,
    /// Its time does not depend on how busy this machine is.
    pub(crate) instructions_as_clock: bool,
}

/// Whether the guest can run on this machine; if not, says why.
pub(crate) fn can_run() -> bool {
    let output = lab().arg("check").output().unwrap();
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stdout);
        println!("skipped: no guest with virtual functions here: {}", why.trim());
    }
    output.status.success()
}

/// Runs `vm_lab/NAME.job` as root in the guest, with `AGENT` as the agent's program.
pub(crate) fn run(name: &str, guest: &Guest) -> Left {
    let share = tempfile::Builder::new().prefix("vm-").tempdir().unwrap();
    let job = fs::read_to_string(here().join(format!("{name}.job"))).unwrap();
    // Debug information is most of the program, and the guest reads it slowly.
    let program = env!("CARGO_BIN_EXE_sextant-agent");
    let stripped = share.path().join("sextant-agent");
    let status = command("strip").arg("-o").arg(&stripped).arg(program).status().unwrap();
    assert!(status.success(), "strip {program}");
    let text = format!("hostname lab\nexport AGENT=/tmp/lab/sextant-agent\ncd /tmp/lab\n{job}");
    let file = share.path().join("given.sh");
    fs::write(&file, text).unwrap();
    if guest.modules {
        let output = lab().arg("modules").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let mut run = lab();
    run.arg("run").arg(&file).env("VM_SHARE", share.path());
    if guest.instructions_as_clock {
        run.env("ICOUNT", "1");
    }
    let output = run.output().unwrap();
    let console = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the guest's job failed:\n{console}\n{errors}");
    Left { share, console }
}

impl Left {
    /// A file that the job wrote to its directory.
    pub(crate) fn text(&self, name: &str) -> String {
        let path = self.share.path().join(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}\n{}", self.console))
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// What `sextant-agent read --json` wrote.
    pub(crate) fn records(&self, name: &str) -> Records {
        let text = self.text(name);
        Records(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}

/// Samples and events of `sextant-agent read --json`.
pub(crate) struct Records(Vec<Value>);

impl Records {
    /// The last value of the series, which has at least these labels.
    pub(crate) fn value(&self, metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.series(metric, labels).last().and_then(|record| record["value"].as_f64())
    }

    /// All values of the series, in order.
    pub(crate) fn values(&self, metric: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        self.series(metric, labels).map(|record| record["value"].as_f64().unwrap()).collect()
    }

    /// The one value that the series has.
    #[track_caller]
    pub(crate) fn one(&self, metric: &str, labels: &[(&str, &str)]) -> f64 {
        let values = self.values(metric, labels);
        assert_eq!(values.len(), 1, "{metric} {labels:?}");
        values[0]
    }

    /// A label of the last record of the series.
    pub(crate) fn label(&self, metric: &str, labels: &[(&str, &str)], name: &str) -> String {
        let record = self.series(metric, labels).last();
        let text = record.and_then(|record| record["labels"][name].as_str());
        text.unwrap_or_default().to_owned()
    }

    /// Records of the metric with at least these labels, in order.
    pub(crate) fn series(
        &self,
        metric: &str,
        labels: &[(&str, &str)],
    ) -> impl DoubleEndedIterator<Item = &Value> {
        self.0.iter().filter(move |record| {
            record["metric"] == *metric && labels.iter().all(|(n, v)| record["labels"][*n] == **v)
        })
    }

    /// Events of a type, in order.
    pub(crate) fn events(&self, kind: &str) -> Vec<&Value> {
        self.0.iter().filter(|record| record["event"] == *kind).collect()
    }
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm_lab")
}

fn lab() -> Command {
    command(here().join("lab"))
}

#[allow(clippy::disallowed_methods, reason = "the guest is started by a script")]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}
