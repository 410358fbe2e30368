//! The figures of a measurement: a row for each method, and the same as Markdown with a table for
//! each question.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::method::Level;
use super::score::{Score, Sort, Verdict, accuracy, quantile, wilson};
use super::spec::{Class, Group, Plan};
use crate::report::{Figures, Row};

/// Rules that are named in a cell.
const RULES_IN_A_CELL: usize = 5;
/// Rules of false findings that are listed.
const FALSE_RULES: usize = 40;

fn classes(score: &Score) -> Vec<Class> {
    let mut all: Vec<Class> = score.verdicts.iter().map(|v| v.class).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn ratio((hits, of): (usize, usize)) -> f64 {
    hits as f64 / of as f64
}

fn per_node_day(score: &Score, counts: &BTreeMap<Sort, usize>, sorts: &[Sort]) -> f64 {
    let sum: usize = sorts.iter().filter_map(|s| counts.get(s)).sum();
    let days: f64 = sorts.iter().filter_map(|s| score.node_days.get(s)).sum();
    sum as f64 / days
}

const ALL: [Sort; 3] = [Sort::Faults, Sort::Clean, Sort::Confusers];
const WITHOUT_FAULTS: [Sort; 2] = [Sort::Clean, Sort::Confusers];

fn in_group(group: Group) -> impl Fn(&&Verdict) -> bool {
    move |v| v.group == group
}

fn wanted(verdict: &&Verdict) -> bool {
    verdict.group != Group::Quiet
}

/// A method's figures.
pub(crate) fn row((name, score): &(String, Score), bytes: Option<f64>) -> Row {
    let mut figures = Figures::default();
    let set_share = |figures: &mut Figures, key: &str, share: (usize, usize)| {
        figures.set(key, ratio(share));
        if let Some([low, high]) = wilson(share) {
            figures.set(format!("{key}_low"), low).set(format!("{key}_high"), high);
        }
    };
    figures.count("faults", score.verdicts.len() as u64);
    figures.set("node_days", score.node_days.values().sum());
    set_share(&mut figures, "precision_paged", score.precision());
    set_share(&mut figures, "recall", score.share(wanted, |v| v.mild));
    set_share(&mut figures, "recall_paged", score.share(wanted, |v| v.page));
    set_share(&mut figures, "recall_evidence", score.share(wanted, |v| v.info));
    for (key, group) in [
        ("recall_deterministic", Group::Deterministic),
        ("recall_gray", Group::Gray),
        ("recall_straggler_3", Group::Straggler),
    ] {
        set_share(&mut figures, key, score.share(in_group(group), |v| v.mild));
    }
    for (key, group) in [("deterministic", Group::Deterministic), ("gray", Group::Gray)] {
        let delays = score.delays(in_group(group));
        for (share, text) in [(0.5, "p50"), (0.95, "p95")] {
            let delay = quantile(&delays, share).unwrap_or(f64::NAN);
            figures.set(format!("delay_{key}_{text}_s"), delay);
        }
    }
    figures.set("false_pages_per_node_day", per_node_day(score, &score.false_pages, &ALL));
    figures.set("false_mild_per_node_day", per_node_day(score, &score.false_milds, &ALL));
    let without = per_node_day(score, &score.false_pages, &WITHOUT_FAULTS);
    figures.set("false_pages_per_node_day_without_faults", without);
    let (runs, quiet) = WITHOUT_FAULTS
        .iter()
        .filter_map(|s| score.quiet_runs.get(s))
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    set_share(&mut figures, "runs_without_faults_and_pages", (quiet, runs));
    figures.set("duplicates_per_incident", duplicates(score));
    let ranks: Vec<_> = score.verdicts.iter().filter_map(|v| v.rank).collect();
    for (key, share) in ["ac_at_1", "ac_at_3", "avg_at_5"].into_iter().zip(accuracy(&ranks)) {
        figures.set(key, share);
    }
    for (index, by) in ["earliest", "strongest", "most"].into_iter().enumerate() {
        let ranks: Vec<_> =
            score.verdicts.iter().filter_map(|v| v.trivial.map(|t| t[index])).collect();
        figures.set(format!("ac_at_1_by_{by}"), accuracy(&ranks)[0]);
    }
    figures.set("ns_per_sample", score.cost.cpu_ns as f64 / score.cost.samples as f64);
    figures.set("bytes_per_series", bytes.unwrap_or(f64::NAN));
    for class in classes(score) {
        let of = |v: &&Verdict| v.class == class;
        let key = class.name();
        figures.set(format!("{key}.recall"), ratio(score.share(of, |v| v.mild)));
        figures.set(format!("{key}.recall_paged"), ratio(score.share(of, |v| v.page)));
    }
    Row { system: name.clone(), figures, ..Row::default() }
}

/// Findings of a detected fault, mild or louder: 1 is one for each.
fn duplicates(score: &Score) -> f64 {
    let found = score.verdicts.iter().filter(|v| v.mild);
    let (count, sum) = found.fold((0, 0), |(n, sum), v| (n + 1, sum + v.incidents));
    f64::from(count).recip() * sum as f64
}

/// All tables.
pub(crate) fn markdown(scores: &[(String, Score)], plan: &Plan, seeds: &str, bytes: f64) -> String {
    let mut out = String::new();
    let Plan { nodes, hours, fault_runs, clean_runs, confuser_runs, .. } = plan;
    put(
        &mut out,
        &format!(
            "Seeds: {seeds}. {nodes} nodes, {hours} h a run: {fault_runs} runs with faults, \
             {clean_runs} clean, {confuser_runs} with confusers.\n\n"
        ),
    );
    summary(&mut out, scores, bytes);
    // The product's incidents, and what they are made of.
    for (name, score) in scores.iter().take(2) {
        by_class(&mut out, name, score);
        falsely(&mut out, name, score);
    }
    out
}

fn put(out: &mut String, text: &str) {
    out.push_str(text);
}

fn line(out: &mut String, cells: &[String]) {
    writeln!(out, "| {} |", cells.join(" | ")).expect("a String takes all that is written");
}

fn header(out: &mut String, cells: &[&str]) {
    line(out, &cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>());
    line(out, &cells.iter().map(|_| "---".to_owned()).collect::<Vec<_>>());
}

fn percent(share: (usize, usize)) -> String {
    wilson(share).map_or_else(String::new, |[low, high]| {
        let [p, low, high] = [ratio(share), low, high].map(|v| v * 100.0);
        format!("{p:.1} % ({low:.0}-{high:.0})")
    })
}

fn number(value: f64) -> String {
    match value {
        v if !v.is_finite() => String::new(),
        0.0 => "0".into(),
        v if v.abs() >= 100.0 => format!("{v:.0}"),
        v if v.abs() >= 1.0 => format!("{v:.2}"),
        v => format!("{v:.4}"),
    }
}

fn summary(out: &mut String, scores: &[(String, Score)], bytes: f64) {
    let mut cells = vec!["figure".to_owned()];
    cells.extend(scores.iter().map(|(name, _)| name.clone()));
    let names: Vec<&str> = cells.iter().map(String::as_str).collect();
    header(out, &names);
    let mut each = |label: &str, of: &dyn Fn(&Score) -> String| {
        let mut cells = vec![label.to_owned()];
        cells.extend(scores.iter().map(|(_, score)| of(score)));
        line(out, &cells);
    };
    each("faults", &|s| s.verdicts.len().to_string());
    each("node-days", &|s| number(s.node_days.values().sum()));
    each("precision_paged", &|s| percent(s.precision()));
    each("recall", &|s| percent(s.share(wanted, |v| v.mild)));
    each("recall_paged", &|s| percent(s.share(wanted, |v| v.page)));
    each("recall with evidence", &|s| percent(s.share(wanted, |v| v.info)));
    each("recall_deterministic", &|s| percent(s.share(in_group(Group::Deterministic), |v| v.mild)));
    each("recall_gray", &|s| percent(s.share(in_group(Group::Gray), |v| v.mild)));
    each("recall, 3 % straggler", &|s| percent(s.share(in_group(Group::Straggler), |v| v.mild)));
    for (label, group) in [("deterministic", Group::Deterministic), ("gray", Group::Gray)] {
        for (share, text) in [(0.5, "p50"), (0.95, "p95")] {
            each(&format!("delay_{text}_s, {label}"), &|s| {
                quantile(&s.delays(in_group(group)), share).map_or_else(String::new, number)
            });
        }
    }
    each("false_pages_per_node_day", &|s| number(per_node_day(s, &s.false_pages, &ALL)));
    each("the same without faults", &|s| number(per_node_day(s, &s.false_pages, &WITHOUT_FAULTS)));
    each("false_mild_per_node_day", &|s| number(per_node_day(s, &s.false_milds, &ALL)));
    for sort in WITHOUT_FAULTS {
        each(&format!("{} runs without a page", sort.name()), &|s| {
            let (runs, quiet) = s.quiet_runs.get(&sort).copied().unwrap_or_default();
            format!("{quiet} of {runs}")
        });
    }
    each("duplicates_per_incident", &|s| number(duplicates(s)));
    let ranks = |s: &Score| s.verdicts.iter().filter_map(|v| v.rank).collect::<Vec<_>>();
    for (index, label) in ["ac_at_1", "ac_at_3", "avg_at_5"].into_iter().enumerate() {
        each(label, &|s| number(accuracy(&ranks(s))[index]));
    }
    for (index, by) in ["earliest", "strongest", "most often"].into_iter().enumerate() {
        each(&format!("ac_at_1 by the {by}"), &|s| {
            let ranks: Vec<_> =
                s.verdicts.iter().filter_map(|v| v.trivial.map(|t| t[index])).collect();
            number(accuracy(&ranks)[0])
        });
    }
    each("ns_per_sample", &|s| number(s.cost.cpu_ns as f64 / s.cost.samples as f64));
    put(out, &format!("\nbytes_per_series of {}: {bytes:.0}.\n", scores[0].0));
}

fn by_class(out: &mut String, name: &str, score: &Score) {
    put(out, &format!("\n{name}, by class:\n\n"));
    header(out, &["class", "faults", "recall", "paged", "evidence", "p50 s", "p95 s", "found by"]);
    for class in classes(score) {
        let of = |v: &&Verdict| v.class == class;
        let delays = score.delays(of);
        let delay = |share| quantile(&delays, share).map_or_else(String::new, number);
        line(
            out,
            &[
                class.name().to_owned(),
                score.share(of, |_| true).1.to_string(),
                percent(score.share(of, |v| v.mild)),
                percent(score.share(of, |v| v.page)),
                percent(score.share(of, |v| v.info)),
                delay(0.5),
                delay(0.95),
                rules(score, class),
            ],
        );
    }
}

/// The rules that found most of a class, with the share of its faults that each found.
fn rules(score: &Score, class: Class) -> String {
    let meant: Vec<&Verdict> = score.verdicts.iter().filter(|v| v.class == class).collect();
    let mut faults: BTreeMap<&(String, Level), usize> = BTreeMap::new();
    for rule in meant.iter().flat_map(|v| v.rules.keys()) {
        *faults.entry(rule).or_default() += 1;
    }
    let mut all: Vec<_> = faults.into_iter().collect();
    all.sort_by_key(|((rule, level), count)| {
        (std::cmp::Reverse(*level), std::cmp::Reverse(*count), rule.clone())
    });
    let one = |((rule, level), count): &(&(String, Level), usize)| {
        let mark = match level {
            Level::Info => " (info)",
            Level::Mild => " (mild)",
            Level::Page => "",
        };
        format!("{rule}{mark} {:.0} %", 100.0 * *count as f64 / meant.len() as f64)
    };
    let mut text: Vec<String> = all.iter().take(RULES_IN_A_CELL).map(one).collect();
    if all.len() > RULES_IN_A_CELL {
        text.push(format!("{} more", all.len() - RULES_IN_A_CELL));
    }
    text.join(", ")
}

fn falsely(out: &mut String, name: &str, score: &Score) {
    put(out, &format!("\n{name}, false findings by rule:\n\n"));
    header(out, &["runs", "level", "rule", "count"]);
    let mut all: Vec<_> =
        score.false_rules.iter().filter(|((_, _, level), _)| *level > Level::Info).collect();
    all.sort_by_key(|((sort, rule, level), count)| {
        (*sort, std::cmp::Reverse(*level), std::cmp::Reverse(**count), rule.clone())
    });
    for ((sort, rule, level), count) in all.into_iter().take(FALSE_RULES) {
        let level = if *level == Level::Page { "page" } else { "mild" };
        line(out, &[sort.name().into(), level.into(), rule.clone(), count.to_string()]);
    }
}
