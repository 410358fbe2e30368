//! The agent against a real chronyd that follows another one, in a network namespace of their
//! own: what chronyc says of the system clock is what the agent says.
//!
//! Neither sets the clock (`-x`). Skipped, with the reason, where that cannot run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::process::{Command, Output};

const SERVER: &str = "local stratum 8\ncmdport 0\nport 11123\nallow 127.0.0.1\n\
    bindaddress 127.0.0.1\nbindcmdaddress /\n";
const CLIENT: &str = "server 127.0.0.1 port 11123 iburst minpoll -4 maxpoll -4\n\
    port 0\ncmdport 323\nbindcmdaddress 127.0.0.1\n";

/// Asks chronyc before and after the agent, once the follower has followed for a moment.
const SCRIPT: &str = r#"
ip link set lo up || exit 9
chronyd -x -d -f server.conf -u root >server.log 2>&1 & server=$!
chronyd -x -d -f client.conf -u root >client.log 2>&1 & client=$!
trap 'kill $server $client' EXIT
chronyc -n -h 127.0.0.1 waitsync 100 0 0 0.1 >/dev/null || { cat server.log client.log >&2; exit 8; }
report() { chronyc -n -c -h 127.0.0.1 tracking; }
report
"$AGENT" --config agent.toml read --collector ptp --for 2s --json >agent.json || exit 7
report
cat agent.json
"#;

#[allow(clippy::disallowed_methods, reason = "the daemons are what is tested against")]
fn run(program: &str, arguments: &[&str], dir: Option<&std::path::Path>) -> Option<Output> {
    let mut command = Command::new(program);
    command.args(arguments).env("AGENT", env!("CARGO_BIN_EXE_sextant-agent"));
    if let Some(dir) = dir {
        command.current_dir(dir);
    }
    command.output().ok()
}

/// Why the test cannot run here.
fn obstacle() -> Option<&'static str> {
    let works = |program, arguments: &[&str]| {
        run(program, arguments, None).is_some_and(|output| output.status.success())
    };
    if !works("unshare", &["-n", "ip", "link", "set", "lo", "up"]) {
        return Some("no network namespace can be made");
    }
    if !works("chronyd", &["-v"]) || !works("chronyc", &["-v"]) {
        return Some("chrony is not installed");
    }
    None
}

/// The values of a metric in the agent's output, in the order of time.
fn values(lines: &[&str], metric: &str, label: &str) -> Vec<f64> {
    let name = format!("\"metric\":\"{metric}\"");
    let found = lines.iter().filter(|l| l.contains(&name) && l.contains(label));
    let value = |line: &&str| {
        let text = line.rsplit_once("\"value\":").unwrap().1.trim_end_matches('}');
        text.parse::<f64>().unwrap()
    };
    found.map(value).collect()
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn agent_says_of_the_system_clock_what_chronyc_says() {
    if let Some(why) = obstacle() {
        eprintln!("skipped: {why}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display();
    fs::write(dir.path().join("server.conf"), format!("{SERVER}pidfile {path}/server.pid\n"))
        .unwrap();
    fs::write(dir.path().join("client.conf"), format!("{CLIENT}pidfile {path}/client.pid\n"))
        .unwrap();
    fs::write(dir.path().join("agent.toml"), "node = 'test'\n").unwrap();
    fs::write(dir.path().join("script"), SCRIPT).unwrap();
    let output = run("unshare", &["-n", "bash", "script"], Some(dir.path())).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} {text} {error}", output.status);

    let lines: Vec<&str> = text.lines().collect();
    let (reports, lines): (Vec<&str>, Vec<&str>) =
        lines.into_iter().partition(|line| !line.starts_with('{'));
    let reports: Vec<Vec<&str>> = reports.iter().map(|line| line.split(',').collect()).collect();
    assert_eq!(reports.len(), 2, "{text}");
    let column = |at: usize| reports.iter().map(move |r| r[at].parse::<f64>().unwrap());

    let info = "\"reference\":\"127.0.0.1\",\"stratum\":\"9\",\"leap\":\"normal\"";
    assert!(!values(&lines, "ptp_chrony_info", info).is_empty(), "{text}");
    assert!(values(&lines, "ptp_chrony_stratum", "").iter().all(|value| *value == 9.0));
    // The report changes with every sample; what both say is of the same size.
    let near = |metric: &str, label: &str, wanted: Vec<f64>| {
        let values = values(&lines, metric, label);
        assert!(values.len() >= 2, "{metric}: {text}");
        let largest = wanted.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        for value in values {
            assert!(value.abs() <= largest * 20.0 + 20e-6, "{metric} {value}: {wanted:?}");
        }
    };
    near("ptp_system_offset_seconds", "\"source\":\"chrony\"", column(4).collect());
    near("ptp_chrony_rms_offset_seconds", "", column(6).collect());
    near("ptp_chrony_root_delay_seconds", "", column(10).collect());
    near("ptp_chrony_root_dispersion_seconds", "", column(11).collect());
}
