//! What a rule compares: differences, signs, windows, shares and the best seen.

use std::sync::Arc;

use sextant_proto::v1;

use super::{Bench, bench, node, rules, series};
use crate::detect::rules::spec;
use crate::detect::{Detector, Edge, Subject};

fn pair(keys: &str) -> Bench {
    let labels = [("dev", "a")];
    Bench::new(rules(keys), vec![series(1, "m", &labels), series(2, "d", &labels)])
}

#[test]
fn difference_to_another_metric_is_compared() {
    let mut bench = pair("minus = \"d\"\nop = \">=\"\nthreshold = 0\nclear = -3");
    assert_eq!(bench.ticks(2, &[84.0, 85.0]), "");
    assert_eq!(bench.ticks(1, &[85.0, 85.0]), "+1");
    assert_eq!(bench.ticks(2, &[83.0, 85.0]), "");
    assert_eq!(bench.ticks(1, &[81.0, 85.0]), "-1");
    assert_eq!(bench.ticks(1, &[90.0, f64::NAN]), "", "nothing to compare with");
}

#[test]
fn sign_does_not_matter_where_the_rule_says_so() {
    let mut bench = bench("abs = true\nop = \">\"\nthreshold = 10");
    assert_eq!(bench.ticks(1, &[-9.0]), "");
    assert_eq!(bench.ticks(1, &[-11.0]), "+1");
    assert_eq!(bench.ticks(1, &[11.0]), "");
    assert_eq!(bench.ticks(1, &[3.0]), "-1");
}

#[test]
fn increase_within_a_window_counts_and_leaves_it() {
    // A tick is 10 s: five make up the window and one more leaves it.
    let mut bench =
        bench("increase_over = \"100s\"\nop = \">\"\nthreshold = 3\nclear_for = \"0s\"");
    assert_eq!(bench.ticks(3, &[1000.0]), "", "what was there before does not count");
    assert_eq!(bench.ticks(1, &[1002.0]), "");
    assert_eq!(bench.ticks(1, &[1004.0]), "+1", "four within the window");
    assert_eq!(bench.ticks(20, &[1004.0]), "-9", "the first two have left it");
    assert_eq!(bench.ticks(1, &[3.0]), "", "began anew at zero");
    assert_eq!(bench.ticks(1, &[4.0]), "+1");
}

#[test]
fn increase_over_a_long_gap_counts_by_its_part() {
    let mut bench = bench("increase_over = \"100s\"\nop = \">\"\nthreshold = 50");
    assert_eq!(bench.ticks(2, &[0.0]), "");
    bench.now += 990_000;
    assert_eq!(bench.ticks(1, &[400.0]), "", "400 in 1000 s are 40 in 100 s");
}

#[test]
fn increases_are_divided_by_increases_and_by_plain_values() {
    let ratio = "increase_over = \"100s\"\ndivide_by = \"d\"\nop = \">\"\nthreshold = 0.1";
    let mut bench = pair(&format!("{ratio}\nmin_divisor = 1000"));
    assert_eq!(bench.ticks(1, &[0.0, 0.0]), "");
    assert_eq!(bench.ticks(1, &[900.0, 999.0]), "", "too few to tell");
    assert_eq!(bench.ticks(1, &[900.0, 1000.0]), "+1");
    assert_eq!(bench.ticks(20, &[900.0, 1000.0]), "-9", "too few within the window again");

    let plain = "divide_by = { metric = \"d\", plain = true }\nop = \">\"\nthreshold = 2";
    let mut bench = pair(&format!("increase_over = \"100s\"\n{plain}"));
    assert_eq!(bench.ticks(1, &[0.0, 16.0]), "");
    assert_eq!(bench.ticks(1, &[32.0, 16.0]), "");
    assert_eq!(bench.ticks(1, &[33.0, 16.0]), "+1");
    let mut bench = pair(&format!("rate = true\n{plain}"));
    assert_eq!(bench.ticks(2, &[0.0, 16.0]), "");
    assert_eq!(bench.ticks(1, &[330.0, 16.0]), "+1", "33 a second");
}

#[test]
fn changes_within_a_window_count() {
    let mut bench = bench("changes_over = \"100s\"\nop = \">\"\nthreshold = 2");
    assert_eq!(bench.ticks(5, &[7.0]), "");
    assert_eq!(bench.ticks(1, &[6.0]), "");
    assert_eq!(bench.ticks(1, &[7.0]), "");
    assert_eq!(bench.ticks(1, &[8.0]), "+1");
    assert_eq!(bench.ticks(20, &[8.0]), "-8");
}

#[test]
fn share_of_the_time_fires_and_falls_again() {
    let share =
        "share_over = \"100s\"\nshare = 0.6\nop = \"==\"\nthreshold = 1\nclear_for = \"20s\"";
    let mut bench = bench(share);
    let mut edges = Vec::new();
    for tick in 0..20 {
        // Never more than two in a row, two of three in all.
        edges.extend(bench.tick(&[if tick % 3 == 2 { 0.0 } else { 1.0 }]));
    }
    let [Edge::Fire(finding)] = &edges[..] else { panic!("{edges:?}") };
    assert_eq!(finding.summary, "0.6 over 0.6 on a of n1");
    assert!((finding.score - 1.0).abs() < 1e-9, "{}", finding.score);
    assert_eq!(bench.ticks(20, &[0.0]), "-5", "below the share at the third");
    assert_eq!(bench.ticks(3, &[1.0]), "", "three of ten are not enough");
    let rated =
        format!("rate = true\n{}", share.replace("\"==\"", "\">\"").replace("= 1\n", "= 0\n"));
    let mut bench = super::bench(&rated);
    let fired = (0..12).flat_map(|tick| bench.tick(&[f64::from(tick)])).count();
    assert_eq!(fired, 1, "a share of rates");
}

#[test]
fn best_seen_is_the_measure_and_survives_a_restart() {
    let keys = "baseline = \"max\"\nop = \"<\"\nthreshold = 0.9";
    let mut bench = bench(keys);
    assert_eq!(bench.ticks(2, &[100.0]), "");
    assert_eq!(bench.ticks(2, &[200.0]), "");
    let edges = bench.tick(&[100.0]);
    let [Edge::Fire(finding)] = &edges[..] else { panic!("{edges:?}") };
    assert_eq!((finding.value, finding.expected, finding.score), (100.0, 180.0, 1.8));

    let mut again = super::bench(keys);
    let series = Subject::Series(Arc::clone(&again.layout.columns[0]));
    let anomaly = v1::Anomaly { rule: "Test".into(), expected: 180.0, ..v1::Anomaly::default() };
    again.rules.restore(&anomaly, &node(), &series);
    assert_eq!(again.ticks(3, &[100.0]), "", "still slower than it was");
    assert_eq!(again.ticks(1, &[200.0]), "-1");
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let check = |keys: &str, want: &str| {
        let text = format!(
            "[[rule]]\nname = \"Test\"\nmetric = \"m\"\nseverity = \"info\"\nsummary = \"s\"\n\
             source = \"x\"\nop = \">\"\nthreshold = 1\n{keys}"
        );
        let error = spec::load(&[("own.toml".into(), text)]).expect_err(keys).to_string();
        assert!(error.contains("rule Test") && error.contains(want), "{keys}: {error}");
    };
    check("rate = true\nincrease_over = \"1m\"", "rate:");
    check("increase_over = \"1s\"", "increase_over: must be 10s to 24h");
    check("changes_over = \"1m\"\ndivide_by = \"d\"", "divide_by:");
    check("rate = true\nminus = \"d\"", "minus:");
    check("min_divisor = 5", "min_divisor: needs divide_by");
    check("share_over = \"1m\"", "share: stands beside share_over");
    check("share_over = \"1m\"\nshare = 2", "share:");
    check("share_over = \"1m\"\nshare = 0.5\nincrease_over = \"1m\"", "share_over:");
    check("share_over = \"1m\"\nshare = 0.5\nclear = 0.5", "share_over:");
    check("baseline = \"max\"\nrate = true", "baseline:");
    check("baseline = \"min\"", "baseline");
    check("divide_by = { metric = \"d\", label = {} }", "label");
    check("divide_by = 7", "divide_by");
    check("info = { model = \"~(\" }", "info: model");
    check("severity_when = { severity = \"info\" }", "severity_when");
    check("case_label = \"x\"", "case_label");
}
