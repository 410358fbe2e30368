//! The rules that ship, as a whole: they name what agents send, they say what to do, and those of
//! the node are run against ticks made from their own definition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Bench, STEP, series, sign};
use crate::detect::Edge;
use crate::detect::rules::matcher::{Matcher, Matchers, Op};
use crate::detect::rules::rule::{Measure, Report, Rule};
use crate::detect::rules::{BUILTIN, Rules, builtin, spec};
use crate::series::Series;

/// Labels that identify entities: they are not in the help texts.
const ENTITY_LABELS: [&str; 16] = [
    "uuid",
    "pci_bus_id",
    "instance",
    "port",
    "iface",
    "phc",
    "dpll",
    "pin",
    "device",
    "pf",
    "vf",
    "pci",
    "process",
    "reporter",
    "type",
    "node",
];
/// Metrics with labels after node_exporter's and host ones, which are not listed in help texts.
const UNLISTED: [&str; 2] = ["node_", "sextant_collector_"];

/// What agents say of their metrics.
fn contract() -> BTreeMap<String, String> {
    let config = sextant_agent::config::Config::default();
    let all = sextant_agent::app::metrics(&config).expect("the default configuration is valid");
    all.into_iter().map(|m| (m.name, m.help)).collect()
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect()
}

/// The plain values that matchers want.
fn values(matchers: &Matchers) -> Vec<(&str, &str)> {
    let texts = matchers.iter().filter_map(|(label, matcher)| match matcher {
        Matcher::Equal(value) | Matcher::NotEqual(value) => Some((label, &**value)),
        Matcher::Regex(regex) | Matcher::NotRegex(regex) => Some((label, regex.as_str())),
        Matcher::NoneOf(_) => None,
    });
    let plain = |text: &&str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    texts
        .flat_map(|(label, text)| {
            let text = text.trim_start_matches("^(?:").trim_end_matches(")$");
            text.split('|').filter(plain).map(move |value| (label, value))
        })
        .collect()
}

#[test]
fn rules_name_metrics_labels_and_values_that_agents_send() {
    let contract = contract();
    let book = spec::load(&builtin()).expect("valid");
    let every_word: BTreeSet<&str> = contract.values().flat_map(|help| words(help)).collect();
    let info_words: BTreeSet<&str> = book
        .info
        .values()
        .flat_map(|metric| {
            let help = contract.get(metric).unwrap_or_else(|| panic!("no metric {metric}"));
            words(help)
        })
        .collect();
    let of_metric = |rule: &Rule, metric: &str, labels: &[&str], wanted: &[(&str, &str)]| {
        let name = &rule.report.name;
        let help = contract.get(metric).unwrap_or_else(|| panic!("{name}: no metric {metric}"));
        if UNLISTED.iter().any(|prefix| metric.starts_with(prefix)) {
            return;
        }
        let known = words(help);
        for label in labels {
            let listed = known.contains(label) || ENTITY_LABELS.contains(label);
            assert!(listed, "{name}: {metric} has no label {label}: {help}");
        }
        for (label, value) in wanted {
            assert!(every_word.contains(value), "{name}: {metric}: no {label} is {value}");
        }
    };
    let of_info = |report: &Report| {
        let wanted = report.info.iter().map(|(label, _)| label);
        let lowered = report.severity_when.iter().flat_map(|(m, _)| m.iter().map(|(l, _)| l));
        let named = [&report.summary, &report.action].into_iter().flat_map(|t| t.labels().1);
        for label in wanted.chain(lowered).chain(named) {
            assert!(info_words.contains(label), "{}: no info label {label}", report.name);
        }
    };
    for rule in &book.rules {
        let named = [&rule.report.summary, &rule.report.action].into_iter();
        let mut labels: Vec<&str> = named.flat_map(|t| t.labels().0).collect();
        labels.extend(rule.labels.iter().map(|(label, _)| label));
        of_metric(rule, &rule.metric, &labels, &values(&rule.labels));
        for operand in rule.operands() {
            let labels: Vec<&str> = operand.labels.iter().map(|(label, _)| label).collect();
            of_metric(rule, &operand.metric, &labels, &values(&operand.labels));
        }
        of_info(&rule.report);
    }
    for rule in &book.events {
        of_info(&rule.report);
        for gate in &rule.gates {
            let metric = &gate.operand.metric;
            assert!(contract.contains_key(metric), "{}: no metric {metric}", rule.report.name);
        }
    }
}

#[test]
fn every_rule_says_what_to_do_and_where_it_comes_from() {
    let text = |table: &toml::Table, key: &str| {
        table.get(key).and_then(toml::Value::as_str).is_some_and(|t| !t.trim().is_empty())
    };
    let mut count = 0;
    for (file, source) in BUILTIN {
        let parsed: toml::Table = toml::from_str(source).expect("valid");
        for rule in parsed["rule"].as_array().expect("rules") {
            let rule = rule.as_table().expect("a rule");
            let name = rule["name"].as_str().expect("a name");
            assert!(text(rule, "source"), "{file}: {name} has no source");
            let cases = rule.get("case").and_then(toml::Value::as_table);
            let said: Vec<_> = match cases {
                Some(cases) => cases.values().map(|c| c.as_table().expect("a case")).collect(),
                None => vec![rule],
            };
            count += said.len();
            for said in said {
                assert!(text(said, "action"), "{file}: {name} does not say what to do: {said:?}");
            }
        }
    }
    assert!(count > 200, "{count}");
}

#[test]
fn names_are_used_once_over_all_files() {
    let of_file = |(name, text): &(String, String)| {
        let book = spec::load(&[(name.clone(), text.clone())]).expect("valid");
        book.rules.len() + book.events.len()
    };
    let files = builtin();
    let all = spec::load(&files).expect("valid");
    let each: usize = files.iter().map(of_file).sum();
    assert_eq!(all.rules.len() + all.events.len(), each);
}

/// A value of the label that the matcher takes.
fn sample_of(rule: &str, name: &str, matcher: &Matcher) -> String {
    let candidates = ["ext4", "sda", "eth0", "0", "failed", "x"];
    match matcher {
        Matcher::Equal(value) => value.clone(),
        other => {
            let fits = |c: &&&str| other.takes(c);
            let found = candidates.iter().find(fits);
            (*found.unwrap_or_else(|| panic!("{rule}: no candidate for label {name}"))).to_owned()
        }
    }
}

/// Columns that the rule reads, and its ticks: (good, bad), each a function of the tick's number.
fn made_for(rule: &Rule) -> (Vec<Arc<Series>>, [f64; 2]) {
    let labels: Vec<(String, String)> = rule
        .labels
        .iter()
        .map(|(n, m)| (n.to_owned(), sample_of(&rule.report.name, n, m)))
        .collect();
    let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (&**n, &**v)).collect();
    let gates = rule.gates.iter().map(|g| &g.operand);
    let others = rule.divide_by.iter().chain(gates).map(|o| &o.metric);
    let names = std::iter::once(&rule.metric).chain(others);
    let columns = (1..).zip(names).map(|(id, name)| series(id, name, &labels)).collect();
    let step = rule.threshold.abs().max(1.0) * 0.5;
    let (good, bad) = match rule.op {
        Op::Greater | Op::GreaterEqual => (rule.clear.min(rule.threshold), rule.threshold + step),
        Op::Less | Op::LessEqual => (rule.clear + step, rule.threshold * 0.5),
        Op::Equal => (rule.threshold + 1.0, rule.threshold),
        Op::NotEqual => (rule.threshold, rule.threshold + 1.0),
    };
    let good = if rule.op == Op::GreaterEqual { good - step } else { good };
    (columns, [good, bad])
}

#[test]
fn every_rule_of_the_node_fires_after_its_duration_and_clears_after_recovery() {
    let shipped = super::sim::shipped("host.toml").rules;
    assert!(shipped.len() >= 25, "{}", shipped.len());
    for rule in shipped {
        let name = Arc::clone(&rule.report.name);
        let rated = rule.measure == Measure::Rate;
        let (columns, [good, bad]) = made_for(&rule);
        let gates: Vec<f64> = rule.gates.iter().map(|g| made_to_hold(g.op, g.value)).collect();
        let ticks = |ms: i64| usize::try_from(ms / STEP + 2).expect("short");
        let (hold, clear) = (ticks(rule.hold_ms), ticks(rule.clear_ms));
        let mut bench = Bench::new(
            Rules::new(spec::Book { rules: vec![rule.clone()], ..spec::Book::default() }),
            columns,
        );
        let (mut value, mut divisor) = (1000.0, 1000.0);
        let mut run = |count: usize, level: f64, bench: &mut Bench| {
            let mut out = Vec::new();
            for tick in 1..=count {
                if rated {
                    let per_tick = if rule.divide_by.is_some() { 1e4 } else { STEP as f64 / 1e3 };
                    value += level * per_tick;
                    divisor += 1e4;
                } else {
                    divisor = 1000.0;
                    value = level * if rule.divide_by.is_some() { divisor } else { 1.0 };
                }
                let mut row = vec![value];
                row.extend(rule.divide_by.is_some().then_some(divisor));
                row.extend(&gates);
                for edge in bench.tick(&row) {
                    if let Edge::Fire(f) = &edge {
                        assert!(!f.summary.is_empty() && !f.summary.contains('{'), "{name}");
                        assert!(f.score >= 1.0, "{name}: {}", f.score);
                    }
                    out.push(format!("{}{tick}", sign(&edge)));
                }
            }
            out.join(" ")
        };
        assert_eq!(run(3 * hold, good, &mut bench), "", "{name}: fires on {good}");
        let brief = hold.saturating_sub(2);
        assert_eq!(run(brief, bad, &mut bench), "", "{name}: fires before its time on {bad}");
        run(1, good, &mut bench);
        let fired = run(3 * hold, bad, &mut bench);
        assert!(fired.starts_with('+') && !fired.contains(' '), "{name}: on {bad}: {fired:?}");
        let cleared = run(3 * clear, good, &mut bench);
        assert!(cleared.starts_with('-') && !cleared.contains(' '), "{name}: {cleared:?}");
    }
}

fn made_to_hold(op: Op, value: f64) -> f64 {
    [value, value + 1.0, value - 1.0].into_iter().find(|&v| op.holds(v, value)).expect("one of")
}
