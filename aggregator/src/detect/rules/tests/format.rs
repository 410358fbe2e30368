//! The file format: what is refused and how it is named, files over files, and that what is
//! written about the keys is what there is.

use std::path::Path;

use super::{Bench, rules, series};
use crate::detect::rules::{Rules, spec};

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
    let got: Vec<_> = rules.rules.iter().map(|r| (&*r.report.name, r.threshold)).collect();
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

#[test]
fn keys_are_those_that_the_readme_describes() {
    let readme = include_str!("../../../../knowledge/rules/README.md");
    let mut tables: Vec<Vec<&str>> = Vec::new();
    let mut within = false;
    for line in readme.lines() {
        if line.starts_with("| --- ") {
            tables.push(Vec::new());
            within = true;
        } else if !line.starts_with('|') {
            within = false;
        } else if within {
            let key = line.split('`').nth(1).expect("a key");
            tables.last_mut().expect("a table").push(key);
        }
    }
    let keys = [
        &["disabled", "info"],
        spec::REPORT_KEYS,
        spec::SAMPLE_KEYS,
        spec::OPERAND_KEYS,
        spec::GATE_KEYS,
        spec::EVENT_KEYS,
        spec::CASE_KEYS,
    ];
    assert_eq!(tables, keys.map(<[&str]>::to_vec));
}
