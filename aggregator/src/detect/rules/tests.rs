//! The rules that ship are run against ticks made from their own definition; the rest runs on
//! small rules written here.

use sextant_proto::frame::ABSENT;
use sextant_proto::v1::MetricKind;

use super::*;
use crate::detect::rules::spec::{Matcher, Op};
use crate::series::LayoutId;

const INTERVAL_MS: u32 = 10_000;
const STEP: i64 = 10_000;

fn node() -> Arc<NodeKey> {
    Arc::new(NodeKey { id: NodeId(1), cluster: "c".into(), name: "n1".into() })
}

fn series(id: u32, metric: &str, labels: &[(&str, &str)]) -> Arc<Series> {
    let labels: Vec<LabelPair> = labels.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
    Arc::new(Series {
        id: SeriesId(id),
        node: node(),
        metric: metric.into(),
        kind: MetricKind::Gauge,
        entity_type: "node".into(),
        entity: labels.clone(),
        labels,
    })
}

/// A node with one layout that is fed tick by tick.
struct Bench {
    rules: Rules,
    layout: NodeLayout,
    now: i64,
}

impl Bench {
    fn new(rules: Rules, columns: Vec<Arc<Series>>) -> Self {
        let layout = NodeLayout {
            id: LayoutId(1),
            node: node(),
            hash: 1,
            collector: "host".into(),
            interval_ms: INTERVAL_MS,
            columns,
        };
        Self { rules, layout, now: 1_000_000 }
    }

    fn tick(&mut self, values: &[f64]) -> Vec<Edge> {
        self.now += STEP;
        let mut edges = Vec::new();
        let tick = Tick { layout: &self.layout, time_ms: self.now, values };
        self.rules.observe(&tick, &mut edges);
        self.rules.elapse(self.now, &[], &mut edges);
        edges
    }

    /// The edges of so many ticks, as "+" and "-" with the tick's number from 1.
    fn ticks(&mut self, count: usize, values: &[f64]) -> String {
        let mut out = Vec::new();
        for tick in 1..=count {
            out.extend(self.tick(values).iter().map(|e| format!("{}{tick}", sign(e))));
        }
        out.join(" ")
    }
}

fn sign(edge: &Edge) -> &'static str {
    match edge {
        Edge::Fire(_) => "+",
        Edge::Clear { reason: ClearReason::Recovered, .. } => "-",
        Edge::Clear { .. } => "x",
    }
}

fn rules(keys: &str) -> Rules {
    let text = format!(
        "[[rule]]\nname = \"Test\"\nmetric = \"m\"\nseverity = \"warning\"\n\
         summary = \"{{value}} over {{threshold}} on {{labels.dev}} of {{node}}\"\n\
         source = \"test\"\n{keys}"
    );
    Rules::new(spec::load(&[("own.toml".into(), text)]).expect("valid"))
}

fn bench(keys: &str) -> Bench {
    Bench::new(rules(keys), vec![series(1, "m", &[("dev", "a")])])
}

#[test]
fn fires_after_its_duration_and_clears_after_its_clear_duration() {
    let mut bench =
        bench("op = \">\"\nthreshold = 10\nfor = \"30s\"\nclear = 5\nclear_for = \"20s\"");
    assert_eq!(bench.ticks(5, &[10.0]), "");
    assert_eq!(bench.ticks(3, &[11.0]), "");
    assert_eq!(bench.ticks(1, &[9.0]), "", "a break starts the duration anew");
    assert_eq!(bench.ticks(9, &[11.0]), "+4");
    assert_eq!(bench.ticks(9, &[7.0]), "", "between the thresholds it is not over");
    assert_eq!(bench.ticks(2, &[4.0]), "");
    assert_eq!(bench.ticks(1, &[7.0]), "");
    assert_eq!(bench.ticks(9, &[4.0]), "-3");
}

#[test]
fn finding_says_what_where_and_how_far() {
    let mut bench = bench("op = \">\"\nthreshold = 10");
    let edges = bench.tick(&[25.0]);
    let [Edge::Fire(finding)] = &edges[..] else { panic!("{edges:?}") };
    assert_eq!(finding.summary, "25 over 10 on a of n1");
    assert_eq!((finding.value, finding.expected, finding.score), (25.0, 10.0, 2.5));
    assert_eq!((&*finding.rule, finding.time_ms), ("Test", bench.now));
}

#[test]
fn rate_is_per_second_and_survives_a_reset() {
    let mut bench = bench("rate = true\nop = \">\"\nthreshold = 1");
    assert_eq!(bench.ticks(1, &[1e9]), "");
    assert_eq!(bench.ticks(1, &[1e9 + 10.0]), "");
    assert_eq!(bench.ticks(1, &[5.0]), "", "a counter that began anew");
    assert_eq!(bench.ticks(1, &[16.0]), "+1");
    assert_eq!(bench.ticks(1, &[16.0]), "-1");
}

#[test]
fn ratio_without_a_divisor_has_no_value() {
    let columns = || {
        let labels = [("dev", "a")];
        vec![series(1, "m", &labels), series(2, "d", &labels), series(3, "d", &[("dev", "b")])]
    };
    let ratio = "divide_by = \"d\"\nop = \"<\"\nthreshold = 0.5";
    let mut bench = Bench::new(rules(ratio), columns());
    assert_eq!(bench.ticks(1, &[0.0, 0.0, 1.0]), "");
    assert_eq!(bench.ticks(1, &[1.0, ABSENT, 1.0]), "");
    assert_eq!(bench.ticks(1, &[1.0, 4.0, 1.0]), "+1");
    let mut bench = Bench::new(rules(&format!("rate = true\n{ratio}")), columns());
    assert_eq!(bench.ticks(2, &[5.0, 5.0, 1.0]), "+2", "nothing of nothing is nothing");
    let mut bench = Bench::new(rules(ratio), vec![series(1, "m", &[("dev", "a")])]);
    assert_eq!(bench.ticks(2, &[0.0]), "", "its divisor is not in the layout");
}

#[test]
fn gate_must_hold_and_ends_it_when_it_does_not() {
    let gated = "when = [{ metric = \"g\", op = \"==\", value = 1 }]\nop = \">\"\nthreshold = 10";
    let labels = [("dev", "a")];
    let columns = vec![series(1, "m", &labels), series(2, "g", &labels)];
    let mut bench = Bench::new(rules(gated), columns);
    assert_eq!(bench.ticks(2, &[11.0, 0.0]), "");
    assert_eq!(bench.ticks(2, &[11.0, 1.0]), "+1");
    assert_eq!(bench.ticks(2, &[11.0, 0.0]), "-1");
}

#[test]
fn change_only_leaves_out_what_was_so_from_the_start() {
    let mut bench = bench("change_only = true\nop = \"==\"\nthreshold = 1");
    assert_eq!(bench.ticks(5, &[1.0]), "");
    assert_eq!(bench.ticks(1, &[0.0]), "");
    assert_eq!(bench.ticks(5, &[1.0]), "+1");
}

#[test]
fn nan_is_not_a_sample() {
    let mut bench = bench("op = \"!=\"\nthreshold = 1");
    assert_eq!(bench.ticks(3, &[f64::NAN]), "");
}

#[test]
fn series_without_samples_is_gone_after_five_intervals() {
    let mut bench = bench("op = \">\"\nthreshold = 10\nfor = \"20s\"");
    assert_eq!(bench.ticks(3, &[11.0]), "+3");
    assert_eq!(bench.ticks(9, &[ABSENT]), "x6");
    assert_eq!(bench.ticks(3, &[11.0]), "+3", "it is back, and judged anew");
}

#[test]
fn series_that_leaves_the_layout_is_gone_and_one_that_moves_keeps_its_state() {
    let mut bench = bench("op = \">\"\nthreshold = 10\nfor = \"20s\"");
    assert_eq!(bench.ticks(2, &[11.0]), "");
    bench.layout.id = LayoutId(2);
    bench.layout.columns.insert(0, series(7, "m", &[("dev", "b")]));
    assert_eq!(bench.ticks(1, &[0.0, 11.0]), "+1", "it has held since before the change");
    bench.layout.id = LayoutId(3);
    bench.layout.columns.pop();
    assert_eq!(bench.ticks(9, &[0.0]), "x6");
}

#[test]
fn gap_does_not_count_as_holding() {
    let mut bench = bench("op = \">\"\nthreshold = 10\nfor = \"60s\"");
    assert_eq!(bench.ticks(2, &[11.0]), "");
    bench.now += 600_000;
    assert_eq!(bench.ticks(7, &[11.0]), "+7");
}

#[test]
fn clock_that_steps_back_does_not_stop_a_rule() {
    let mut bench = bench("op = \">\"\nthreshold = 10\nfor = \"20s\"");
    assert_eq!(bench.ticks(2, &[11.0]), "");
    bench.now -= 600_000;
    assert_eq!(bench.ticks(4, &[11.0]), "+3");
}

#[test]
fn restored_one_neither_fires_again_nor_stays() {
    let keys = "op = \">\"\nthreshold = 10\nfor = \"20s\"";
    let anomaly = v1::Anomaly { rule: "Test".into(), ..v1::Anomaly::default() };
    let restored = || {
        let mut bench = bench(keys);
        let series = Arc::clone(&bench.layout.columns[0]);
        bench.rules.restore(&anomaly, &node(), Some(&series));
        bench
    };
    assert_eq!(restored().ticks(9, &[11.0]), "");
    assert_eq!(restored().ticks(9, &[1.0]), "-3");

    let mut bench = restored();
    bench.layout.columns[0] = series(9, "other", &[]);
    assert_eq!(bench.ticks(60, &[1.0]), "x32", "its series is not there any more");
}

#[test]
fn restored_one_without_rule_or_series_is_cleared_at_once() {
    let mut bench = bench("op = \">\"\nthreshold = 10");
    let series = Arc::clone(&bench.layout.columns[0]);
    for rule in ["Test", "Removed"] {
        let anomaly = v1::Anomaly { rule: rule.into(), ..v1::Anomaly::default() };
        let series = (rule == "Removed").then_some(&series);
        bench.rules.restore(&anomaly, &node(), series);
    }
    let mut edges = Vec::new();
    bench.rules.elapse(5, &[], &mut edges);
    bench.rules.elapse(6, &[], &mut edges);
    let reasons = edges.iter().map(|e| match e {
        Edge::Clear { rule, reason, time_ms: 5, .. } => (rule.to_string(), *reason),
        other => panic!("{other:?}"),
    });
    let reasons = reasons.collect::<Vec<_>>();
    let want = [("Test", ClearReason::Gone), ("Removed", ClearReason::Retired)];
    assert_eq!(reasons, want.map(|(rule, reason)| (rule.to_owned(), reason)));
}

#[test]
fn forgotten_node_has_nothing_open() {
    let mut bench = bench("op = \">\"\nthreshold = 10");
    assert_eq!(bench.ticks(1, &[11.0]), "+1");
    bench.rules.forget(node().id);
    assert_eq!(bench.ticks(9, &[ABSENT]), "");
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
    let labels: Vec<(String, String)> =
        rule.matchers().map(|(n, m)| (n.to_owned(), sample_of(&rule.name, n, m))).collect();
    let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (&**n, &**v)).collect();
    let others = rule.divide_by.iter().chain(rule.gates.iter().map(|g| &g.metric));
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
fn every_shipped_rule_fires_after_its_duration_and_clears_after_recovery() {
    let shipped = spec::load(&[(BUILTIN_NAME.into(), BUILTIN.into())]).expect("valid");
    assert!(shipped.len() >= 25, "{}", shipped.len());
    for rule in shipped {
        let name = Arc::clone(&rule.name);
        let (columns, [good, bad]) = made_for(&rule);
        let gates: Vec<f64> = rule.gates.iter().map(|g| made_to_hold(g.op, g.value)).collect();
        let ticks = |ms: i64| usize::try_from(ms / STEP + 2).expect("short");
        let (hold, clear) = (ticks(rule.hold_ms), ticks(rule.clear_ms));
        let mut bench = Bench::new(Rules::new(vec![rule.clone()]), columns);
        let (mut value, mut divisor) = (1000.0, 1000.0);
        let mut run = |count: usize, level: f64, bench: &mut Bench| {
            let mut out = Vec::new();
            for tick in 1..=count {
                if rule.rate {
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

#[test]
fn bad_files_are_refused_naming_file_rule_and_key() {
    let good = "name = \"Test\"\nmetric = \"m\"\nop = \">\"\nthreshold = 1\n\
                severity = \"info\"\nsummary = \"s\"\nsource = \"x\"\n";
    let check = |from: &str, to: &str, want: &[&str]| {
        assert!(good.contains(from), "{from}");
        let text = format!("[[rule]]\n{}", good.replacen(from, to, 1));
        let error = spec::load(&[("own.toml".into(), text)]).expect_err(to).to_string();
        for part in ["own.toml"].iter().chain(want) {
            assert!(error.contains(part), "{to}: {part} is not in {error:?}");
        }
        assert!(!error.contains('\n'), "{error:?}");
    };
    check("name = \"Test\"", "name = \"test rule\"", &["rule test rule", "name:"]);
    check("name = \"Test\"\n", "", &["rule number 1", "name"]);
    check("threshold = 1\n", "", &["rule Test", "threshold"]);
    check("threshold = 1", "threshold = \"1\"", &["rule Test", "threshold"]);
    check("threshold = 1", "threshold = nan", &["rule Test", "threshold"]);
    check("threshold = 1", "threshold = 1\ntreshold = 2", &["rule Test", "treshold"]);
    check("threshold = 1", "threshold = 1\nclear = 2", &["rule Test", "clear:"]);
    check("threshold = 1", "threshold = 1\nfor = \"soon\"", &["rule Test", "for"]);
    check("threshold = 1", "threshold = 1\nlabels = { a = \"~(\" }", &["rule Test", "labels: a"]);
    check(
        "threshold = 1",
        "threshold = 1\nwhen = [{ metric = \"g\", op = \"==\", valu = 1 }]",
        &["rule Test", "when", "valu"],
    );
    check("op = \">\"", "op = \"=>\"", &["rule Test", "op", "=>"]);
    check("\"info\"", "\"fatal\"", &["rule Test", "severity", "fatal"]);
    check("\"s\"", "\"{wert}\"", &["rule Test", "summary:", "{wert}"]);
    check("\"s\"", "\"{value\"", &["rule Test", "summary:"]);
    check("\"x\"\n", "\"x\"\n[[rules]]\nname = \"A\"\n", &["rules: is not known"]);
}

#[test]
fn broken_toml_and_missing_files_are_named() {
    let error = spec::load(&[("own.toml".into(), "[[rule]\n".into())]).expect_err("broken");
    assert!(error.to_string().contains("own.toml"), "{error}");
    let missing = Path::new("/nonexistent/rules.toml");
    let error = Rules::load(Some(missing)).err().expect("missing");
    assert_eq!(error.to_string(), "read rules /nonexistent/rules.toml");
}

#[test]
fn own_file_replaces_adds_and_disables() {
    let rule = |name: &str, threshold: u32| {
        format!(
            "[[rule]]\nname = \"{name}\"\nmetric = \"m\"\nop = \">\"\nthreshold = {threshold}\n\
             severity = \"info\"\nsummary = \"s\"\nsource = \"x\"\n"
        )
    };
    let file = |name: &str, text: String| (name.to_owned(), text);
    let first = file("a.toml", rule("A", 1) + &rule("B", 2));
    let second = file("b.toml", format!("disabled = [\"B\"]\n{}{}", rule("A", 5), rule("C", 3)));
    let rules = spec::load(&[first.clone(), second]).expect("valid");
    let got: Vec<_> = rules.iter().map(|r| (&*r.name, r.threshold)).collect();
    assert_eq!(got, [("A", 5.0), ("C", 3.0)]);

    let unknown = file("b.toml", "disabled = [\"Nope\"]".into());
    let error = spec::load(&[first, unknown]).expect_err("unknown").to_string();
    assert!(error.contains("b.toml") && error.contains("Nope"), "{error}");
    let twice = file("c.toml", rule("A", 1) + &rule("A", 2));
    let error = spec::load(&[twice]).expect_err("twice").to_string();
    assert!(error.contains("rule A") && error.contains("twice"), "{error}");
}

#[test]
fn label_matchers_take_whole_values() {
    let check = |text: &str, value: &str, want: bool| {
        let keys = format!("labels = {{ dev = '{text}' }}\nop = \">\"\nthreshold = 10");
        let mut bench = Bench::new(rules(&keys), vec![series(1, "m", &[("dev", value)])]);
        assert_eq!(!bench.tick(&[11.0]).is_empty(), want, "{text} on {value}");
    };
    check("sda", "sda", true);
    check("sda", "sdab", false);
    check("~sd[a-z]", "sda", true);
    check("~sd[a-z]", "sda1", false);
    check("~a|b", "ab", false);
    check("!sda", "sdb", true);
    check("!sda", "sda", false);
    check("!~sd.*", "nvme0n1", true);
    check("!~sd.*", "sda", false);
}
