//! What a rules file says that is allowed and still looks wrong: names that nothing here has, a
//! counter that is compared as it stands, a rule that does not say what to do.

use std::collections::{BTreeMap, BTreeSet};

use sextant_proto::v1::MetricKind;

use super::rule::{Measure, Operand, Report, Rule};
use super::{RulesError, builtin, spec};

/// Every metric that agents send, a line each: name and kind.
const METRICS: &str = include_str!("../../../knowledge/metrics.txt");
/// A name that differs in so few letters is likely the one that was meant.
const NEAR: usize = 3;

/// What is to say of a file that can be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lint {
    /// Rules in it.
    pub rules: usize,
    /// Rule, and what is odd about it.
    pub warnings: Vec<(String, String)>,
    /// Rules of its own in place of those that come with the aggregator.
    pub replaced: Vec<String>,
}

/// Reads a rules file as the aggregator would, and looks at what is in it.
///
/// # Errors
/// When the aggregator would not take it.
pub fn lint(file: &str, text: &str) -> Result<Lint, RulesError> {
    let own = (file.to_owned(), text.to_owned());
    let shipped = spec::load(&builtin())?;
    let mut all = builtin();
    all.push(own.clone());
    spec::load(&all)?;
    let (book, _) = spec::parse(&own.0, &own.1)?;
    let metrics = metrics();
    let kinds: BTreeSet<&str> = shipped
        .events
        .iter()
        .flat_map(|r| r.clear_event.iter().map(|(kind, _)| kind).chain([&r.kind]))
        .map(String::as_str)
        .collect();
    // Counters that the hardware keeps for its life are compared as they stand on purpose.
    let lifelong: BTreeSet<&str> = shipped
        .rules
        .iter()
        .filter(|r| r.measure == Measure::Value)
        .map(|r| r.metric.as_str())
        .collect();
    let mut found = Lint { rules: book.names().count(), ..Lint::default() };
    for rule in &book.rules {
        let mut say = |what: String| found.warnings.push((rule.report.name.to_string(), what));
        said(&rule.report, &mut say);
        if !lifelong.contains(rule.metric.as_str()) {
            compared(rule, &metrics, &mut say);
        }
        let operands = rule.operands().map(|o: &Operand| &o.metric);
        for metric in std::iter::once(&rule.metric).chain(operands) {
            if !metrics.contains_key(metric.as_str()) {
                say(format!("no agent sends {metric}{}", meant(metric, metrics.keys())));
            }
        }
    }
    for rule in &book.events {
        let mut say = |what: String| found.warnings.push((rule.report.name.to_string(), what));
        said(&rule.report, &mut say);
        if !kinds.contains(rule.kind.as_str()) {
            let near = meant(&rule.kind, kinds.iter());
            say(format!("no rule that comes with the aggregator knows events {}{near}", rule.kind));
        }
    }
    let shipped: BTreeSet<&str> = shipped.names().map(|name| &**name).collect();
    let own = book.names().filter(|name| shipped.contains(&***name));
    found.replaced = own.map(ToString::to_string).collect();
    Ok(found)
}

fn said(report: &Report, say: &mut impl FnMut(String)) {
    if report.action.is_empty() {
        say("has no action: whoever is woken by it has to know what to do".into());
    }
}

fn compared(rule: &Rule, metrics: &BTreeMap<&str, MetricKind>, say: &mut impl FnMut(String)) {
    let metric = &rule.metric;
    match (metrics.get(metric.as_str()), rule.measure) {
        (Some(MetricKind::Counter), Measure::Value)
            if rule.threshold != 0.0 && rule.divide_by.is_none() && rule.minus.is_none() =>
        {
            say(format!(
                "{metric} is a counter and compared as it stands: it says how long the node has \
                 been up; use rate or increase_over"
            ));
        }
        (Some(MetricKind::Gauge), Measure::Rate | Measure::Increase { .. }) => {
            say(format!("{metric} is a gauge: its increase is read as that of a counter"));
        }
        _ => {}
    }
}

fn meant<'a>(name: &str, known: impl Iterator<Item = &'a &'a str>) -> String {
    let near = known.map(|k| (distance(name, k), *k)).filter(|(d, _)| *d <= NEAR).min();
    near.map_or_else(String::new, |(_, name)| format!("; {name} is meant?"))
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.iter().enumerate() {
            let changed = corner + usize::from(left != *right);
            let cheapest = changed.min(row[j].min(row[j + 1]) + 1);
            corner = std::mem::replace(&mut row[j + 1], cheapest);
        }
    }
    row[b.len()]
}

fn metrics() -> BTreeMap<&'static str, MetricKind> {
    let kind = |text| match text {
        "counter" => MetricKind::Counter,
        _ => MetricKind::Gauge,
    };
    METRICS.lines().filter_map(|l| l.split_once(' ')).map(|(n, k)| (n, kind(k))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_of_metrics_is_what_agents_send() {
        let config = sextant_agent::config::Config::default();
        let all = sextant_agent::app::metrics(&config).expect("the default configuration is valid");
        let line = |m: &sextant_proto::v1::MetricDescriptor| {
            let kind = if m.kind() == MetricKind::Counter { "counter" } else { "gauge" };
            format!("{} {kind}\n", m.name)
        };
        let lines: BTreeSet<String> = all.iter().map(line).collect();
        let text: String = lines.into_iter().collect();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/knowledge/metrics.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &text).expect("the list is written");
        }
        let same = std::fs::read_to_string(path).expect("the list is there") == text;
        assert!(same, "{path} is not what agents send: run with UPDATE_GOLDEN=1");
    }

    #[test]
    fn rules_that_ship_have_nothing_odd() {
        for (file, text) in builtin() {
            let found = lint(&file, &text).expect("valid");
            assert_eq!(found.warnings, [], "{file}");
        }
    }

    #[test]
    fn odd_rules_are_told_with_what_was_meant() {
        let text = "
            [[rule]]
            name = \"Busy\"
            metric = \"node_load_1\"
            op = \">\"
            threshold = 4
            severity = \"warning\"
            summary = \"busy\"
            source = \"site\"
            [[rule]]
            name = \"Traffic\"
            metric = \"node_network_receive_bytes_total\"
            op = \">\"
            threshold = 1e9
            severity = \"warning\"
            summary = \"traffic\"
            source = \"site\"
            action = \"wait\"
            [[rule]]
            name = \"NodeStorm\"
            event = \"gpu.xidd\"
            clear_for = \"1h\"
            severity = \"warning\"
            summary = \"x\"
            source = \"site\"
            action = \"wait\"
            [[rule]]
            name = \"FilesystemAlmostFull\"
            metric = \"node_load1\"
            op = \">\"
            threshold = 4
            severity = \"warning\"
            summary = \"busy\"
            source = \"site\"
            action = \"wait\"";
        let found = lint("site.toml", text).expect("valid");
        let said: Vec<String> =
            found.warnings.iter().map(|(rule, what)| format!("{rule}: {what}")).collect();
        assert_eq!(
            said,
            [
                "Busy: has no action: whoever is woken by it has to know what to do",
                "Busy: no agent sends node_load_1; node_load1 is meant?",
                "Traffic: node_network_receive_bytes_total is a counter and compared as it \
                 stands: it says how long the node has been up; use rate or increase_over",
                "NodeStorm: no rule that comes with the aggregator knows events gpu.xidd; gpu.xid is \
                 meant?",
            ]
        );
        assert_eq!((found.rules, found.replaced), (4, vec!["FilesystemAlmostFull".to_owned()]));
        assert!(lint("site.toml", "[[rule]]\nname = \"X\"").is_err());
    }

    #[test]
    fn distances() {
        for (a, b, want) in [("", "", 0), ("a", "", 1), ("abc", "abd", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), want, "{a} {b}");
        }
    }
}
