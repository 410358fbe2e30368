//! The host collector on the fixture, as one text. `UPDATE_GOLDEN=1` writes it anew.

mod host_support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::process::Command;

use host_support::{family, node, node_paths, node_syscalls, samples};
use sextant_agent::collectors::Collector;
use sextant_agent::collectors::host::{Host, HostConfig};
use sextant_proto::v1::MetricKind;

fn host(config: &HostConfig) -> Host {
    Host::with_syscalls(config, &node_paths(), &node_syscalls())
}

fn with_interrupts() -> HostConfig {
    HostConfig { interrupts: true, ..HostConfig::default() }
}

#[test]
fn fixture_gives_the_golden_text() {
    let mut host = host(&with_interrupts());
    let samples = samples(&mut host);
    let mut text = String::new();
    let mut last = "";
    let mut series: Vec<_> = samples.iter().collect();
    series.sort_by_key(|(series, _)| (family(series), *series));
    for (series, value) in series {
        let name = family(series);
        if name != last {
            let metric = host.metrics().iter().find(|m| m.name == name).expect("a known metric");
            // Counters that are not called so, such as node_netstat_*, have no type in
            // node_exporter's text.
            let kind = match metric.kind {
                MetricKind::Counter if name.ends_with("_total") => "counter",
                MetricKind::Counter => "untyped",
                _ => "gauge",
            };
            writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", metric.help).unwrap();
            last = name;
        }
        writeln!(text, "{series} {value}").unwrap();
    }
    let path = node().with_extension("golden");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).expect("run once with UPDATE_GOLDEN=1");
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (golden_lines, now) = (lines(&golden), lines(&text));
    let lost: Vec<_> = golden_lines.difference(&now).collect();
    let new: Vec<_> = now.difference(&golden_lines).collect();
    assert!(lost.is_empty() && new.is_empty(), "lost: {lost:#?}\nnew: {new:#?}");
    assert_eq!(golden, text);
}

/// What promtool says of names that are node_exporter's, and nothing else.
const COMPLAINTS: [&str; 3] = [
    "metric names should be written in 'snake_case' not 'camelCase'",
    "use base unit \"bytes\" instead of \"bits\"",
    "metric name should not include type 'counter'",
];

#[test]
#[allow(clippy::disallowed_methods, reason = "promtool is what judges the text")]
fn promtool_only_complains_about_names_that_are_given() {
    let golden = File::open(node().with_extension("golden")).unwrap();
    let check = Command::new("promtool").args(["check", "metrics"]).stdin(golden).output();
    let check = check.unwrap_or_else(|e| panic!("promtool must be installed for this test: {e}"));
    let said = String::from_utf8(check.stderr).unwrap() + &String::from_utf8_lossy(&check.stdout);
    assert!(said.contains(COMPLAINTS[0]), "{said}");
    let known = |line: &&str| COMPLAINTS.iter().any(|c| line.ends_with(c));
    let unknown: Vec<_> = said.lines().filter(|l| !known(l)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn every_metric_occurs_in_the_fixture_and_every_series_has_a_metric() {
    let mut host = host(&with_interrupts());
    let samples = samples(&mut host);
    let found: BTreeSet<&str> = samples.keys().map(|s| family(s)).collect();
    let known: BTreeSet<&str> = host.metrics().iter().map(|m| m.name).collect();
    assert_eq!(known.len(), host.metrics().len(), "a metric is listed twice");
    assert_eq!(known.difference(&found).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!(found.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new());
    for metric in host.metrics() {
        assert!(metric.help.ends_with('.') && metric.help.len() > 5, "{metric:?}");
    }
}

#[test]
fn second_read_gives_the_same_series_and_an_empty_node_none_that_fail() {
    let mut host = host(&with_interrupts());
    assert_eq!(samples(&mut host), samples(&mut host));

    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_path_buf();
    let paths = sextant_agent::collectors::Paths {
        proc: at.clone(),
        sys: at.clone(),
        run: at.clone(),
        root: at,
        ..Default::default()
    };
    let mut empty = Host::with_syscalls(&with_interrupts(), &paths, &node_syscalls());
    let found = samples(&mut empty);
    let live: BTreeSet<&str> =
        found.keys().map(|s| family(s)).filter(|f| !f.starts_with("node_timex_")).collect();
    let expected = [
        "node_selinux_enabled",
        "node_time_seconds",
        "node_time_zone_offset_seconds",
        "node_uname_info",
    ];
    assert_eq!(live.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn equal_intervals_are_one_tier_with_everything() {
    let two = HostConfig::default();
    let one = HostConfig { slow_interval: two.interval, ..two.clone() };
    let (mut one, mut two) = (host(&one), host(&two));
    assert_eq!((one.tiers().len(), two.tiers().len()), (1, 2));
    assert_eq!(samples(&mut one), samples(&mut two));
}
