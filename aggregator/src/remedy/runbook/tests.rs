//! What the loader takes and refuses, the list of built-in runbooks, and the documentation.

use std::collections::BTreeSet;
use std::path::Path;

use sextant_proto::chain::chain;

use super::builtin::BUILTIN;
use super::parse::{FRONT_KEYS, STEP_KEYS, parse};
use super::placeholder::PLACEHOLDERS;
use super::*;
use crate::detect::{DetectConfig, rule_names};
use crate::remedy::classify;

fn known() -> Known {
    let rules = rule_names(&DetectConfig::default()).expect("the built-in rules");
    Known { rules, errors: classify::names() }
}

const GOOD: &str = r#"+++
id = "disk-is-full"
title = "A disk is full"
severity = "high"
rules = ["FilesystemFull"]
xids = [79]
events = ["node.oom_kill"]
errors = ["DiskFull"]
keywords = ["disk"]
symptoms = ["writes fail"]
prevention = ["rotate logs"]
sources = ["errno(3)"]

[[check]]
do = "Look at {node}"
commands = ["df -h {mountpoint}"]

[[step]]
do = "Delete it all"
risk = "HIGH"
commands = ["rm -rf {mountpoint}"]
warning = "All of {mountpoint} is lost"
+++

What is full takes nothing more.

Second paragraph.
"#;

#[test]
fn runbook_is_read_with_all_that_it_has() {
    let book = parse("a.md", GOOD, &known(), None).expect("good");
    assert_eq!((&*book.id, &*book.title), ("disk-is-full", "A disk is full"));
    assert_eq!(book.severity, Urgency::High);
    assert_eq!(book.rules, ["FilesystemFull", "GpuXid79"]);
    assert_eq!(
        (&book.events[..], &book.errors[..]),
        (&["node.oom_kill".into()][..], &["DiskFull".into()][..])
    );
    assert_eq!((book.checks.len(), book.checks[0].risk), (1, Risk::Low));
    assert_eq!((book.steps.len(), book.steps[0].risk), (1, Risk::High));
    assert_eq!(book.steps[0].warning, "All of {mountpoint} is lost");
    assert_eq!(book.summary(), "What is full takes nothing more.");
    assert!(book.body.ends_with("Second paragraph."));
    let (short, long) = (book.to_wire(false), book.to_wire(true));
    assert!(short.body.is_empty() && short.checks.is_empty() && short.steps.is_empty());
    assert_eq!((long.checks.len(), long.steps.len(), &*long.error_classes[0]), (1, 1, "DiskFull"));
}

#[test]
fn what_is_wrong_is_refused_with_file_and_line() {
    let known = known();
    let f = |from: &str, to: &str, line: usize, want: &str| {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        let error = parse("dir/a.md", &text, &known, None).expect_err(want).to_string();
        let place = format!("runbook dir/a.md: line {line}: ");
        assert!(error.starts_with(&place) && error.contains(want), "{error}: {place}{want}");
    };
    f("+++\n", "---\n", 1, "must be +++");
    f("\n+++\n", "\n", 1, "no line +++ ends");
    f("title =", "title", 3, "");
    f("keywords =", "keyword =", 9, "unknown field `keyword`");
    f("risk = \"HIGH\"", "rsk = \"HIGH\"", 20, "unknown field `rsk`");
    f("title = \"A disk is full\"\n", "", 2, "missing field `title`");
    f("disk-is-full", "Disk is full", 2, "id: must be 1 to 64");
    f("title = \"A disk is full\"", "title = \" \"", 3, "title: a text must be one line");
    f("\"high\"", "\"urgent\"", 4, "severity: \"urgent\" is not");
    f("FilesystemFull", "NoSuchRule", 5, "there is no rule NoSuchRule");
    f("[79]", "[4711]", 6, "there is no rule GpuXid4711");
    f("node.oom_kill", "oom kill", 7, "not the type of an event");
    f("DiskFull", "DiskBroken", 8, "there is no error class DiskBroken");
    f("[\"disk\"]", "[\"disk\", \"disk\"]", 9, "stands there twice");
    f("Look at {node}", "Look at {nod}", 15, "check.do: there is no placeholder {nod}");
    f("df -h {mountpoint}", "df {mount}", 16, "check.commands: there is no placeholder {mount}");
    f("df -h", "df\\n-h", 16, "must be one line");
    f("[\"df -h", "[\"\", \"df -h", 16, "not empty");
    f("is lost", "is {lost}", 22, "step.warning: there is no placeholder {lost}");
    f("risk = \"HIGH\"\n", "", 19, "step.risk: is missing");
    f("\"HIGH\"", "\"high\"", 20, "step.risk: must be LOW, MEDIUM or HIGH");
    f("commands = [\"df", "risk = \"HIGH\"\ncommands = [\"df", 16, "LOW: a check only looks");
    f("warning = \"All of {mountpoint} is lost\"\n", "", 19, "HIGH needs a warning");
    f("What is full takes nothing more.\n\nSecond paragraph.", "", 24, "no text after");
    let much = "x".repeat(600);
    f("df -h {mountpoint}", &much, 16, "a command is over 500 bytes");
    f("writes fail", &"y".repeat(2001), 10, "over 2000 bytes");
    f("Second paragraph.", &"z".repeat(65_536), 1, "is over 65536 bytes");
    let many =
        format!("commands = [{}]", (0..11).map(|n| format!("\"c{n}\",")).collect::<String>());
    f("commands = [\"df -h {mountpoint}\"]", &many, 15, "check.commands: over 10");
    let steps = "[[check]]\ndo = \"a\"\n".repeat(40);
    f("[[check]]\n", &format!("{steps}[[check]]\n"), 2, "check: over 40");
}

#[test]
fn runbook_that_nothing_leads_to_or_that_does_nothing_is_refused() {
    let head = "+++\nid = \"a\"\ntitle = \"b\"\nseverity = \"low\"\n";
    let step = "[[step]]\ndo = \"c\"\nrisk = \"LOW\"\n";
    let f = |front: &str, want: &str| {
        let error = parse("a.md", &format!("{head}{front}+++\nd\n"), &known(), None);
        assert_eq!(error.expect_err(want).to_string(), format!("runbook a.md: line 2: {want}"));
    };
    f(step, "nothing leads to it: rules, xids, events, errors, keywords or symptoms");
    f("keywords = [\"e\"]\n", "step: there is none");
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).expect("written");
}

#[test]
fn ids_are_used_once_unless_one_replaces_another() {
    let known = known();
    let load = |files: &[(&str, String)]| {
        let dir = tempfile::tempdir().expect("a directory");
        files.iter().for_each(|(name, text)| write(dir.path(), name, text));
        Library::load(Some(dir.path()), &known).map_err(|error| chain(&error))
    };
    let of = |id: &str, replaces: bool| {
        let id = format!("id = \"{id}\"\nreplaces = {replaces}");
        GOOD.replacen("id = \"disk-is-full\"", &id, 1)
    };
    let error = load(&[("a.md", of("x", false)), ("b.md", of("x", false))]).expect_err("twice");
    assert!(error.contains("b.md: line 2: id: x stands in") && error.contains("a.md"), "{error}");
    let error = load(&[("a.md", of("kubernetes-oom-killed", false))]).expect_err("one of ours");
    assert!(error.contains("the aggregator's own, too; replaces = true"), "{error}");
    let error = load(&[("a.md", of("x", true))]).expect_err("nothing there");
    assert!(error.contains("there is no runbook x to replace"), "{error}");
    let library = load(&[("a.md", of("kubernetes-oom-killed", true)), ("b.txt", "no".into())]);
    let library = library.expect("good");
    let book = library.get("kubernetes-oom-killed").expect("there");
    assert_eq!(book.title, "A disk is full");
    assert!(book.file.as_deref().is_some_and(|f| f.ends_with("a.md")));
    assert_eq!(library.all().len(), BUILTIN.len());
}

#[test]
fn directory_that_is_too_large_or_absent_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    for n in 0..=500 {
        write(dir.path(), &format!("{n}.md"), "");
    }
    let f = |path: &Path, want: &str| {
        let error = Runbooks::load(Some(path.to_owned()), known()).expect_err(want);
        let text = chain(&error);
        assert!(text.contains(&path.display().to_string()) && text.contains(want), "{text}");
    };
    f(dir.path(), "over 500 files");
    f(&dir.path().join("none"), "No such file");
}

#[test]
fn change_in_the_directory_is_read_and_a_bad_one_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path(), "a.md", GOOD);
    let books = Runbooks::load(Some(dir.path().to_owned()), known()).expect("good");
    let title = |now: i64| books.now(now).get("disk-is-full").map(|b| b.title.clone());
    assert_eq!(title(100_000).as_deref(), Some("A disk is full"));

    write(dir.path(), "a.md", &GOOD.replace("A disk is full", "A full disk"));
    assert_eq!(title(109_999).as_deref(), Some("A disk is full"), "not looked at yet");
    assert_eq!(title(110_000).as_deref(), Some("A full disk"));

    write(dir.path(), "a.md", "nonsense");
    assert_eq!(title(120_000).as_deref(), Some("A full disk"));
    assert!(books.error().contains("a.md: line 1: must be +++"), "{}", books.error());

    std::fs::remove_file(dir.path().join("a.md")).expect("removed");
    assert_eq!(title(130_000), None);
    assert_eq!(books.error(), "");
    std::fs::remove_dir(dir.path()).expect("removed");
    assert_eq!(books.now(140_000).all().len(), BUILTIN.len());
    assert!(books.error().contains("No such file"), "{}", books.error());
    // What is there is what was read before: the complaint ends all the same.
    std::fs::create_dir(dir.path()).expect("made");
    assert_eq!(books.now(150_000).all().len(), BUILTIN.len());
    assert_eq!(books.error(), "");
}

#[test]
fn builtin_list_is_the_directory_and_all_of_it_can_be_used() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("knowledge/runbooks");
    let files = std::fs::read_dir(&directory).expect("the directory");
    let files: BTreeSet<String> = files
        .map(|file| file.expect("a file").file_name().into_string().expect("a name"))
        .filter(|name| {
            Path::new(name).extension().is_some_and(|e| e == "md") && name != "README.md"
        })
        .collect();
    let listed: BTreeSet<String> = BUILTIN.iter().map(|(name, _)| (*name).into()).collect();
    assert_eq!(listed, files, "BUILTIN in builtin.rs is not what the directory has");
    let known = known();
    for (name, text) in BUILTIN {
        let book = parse(name, text, &known, None).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(format!("{}.md", book.id), *name, "a file has its id's name");
        assert!(!book.summary().is_empty(), "{name}");
    }
    Library::load(None, &known).expect("no id twice");
}

/// `docs/runbooks.md` has a row for each key and placeholder, and an example that loads.
#[test]
fn documentation_is_of_this_format() {
    let unknown = GOOD.replacen("keywords", "nothing", 1);
    let error = parse("a.md", &unknown, &known(), None).expect_err("unknown").to_string();
    let (_, keys) = error.split_once("expected one of ").expect("the keys");
    let keys: Vec<&str> = keys.split(", ").map(|k| k.trim_matches('`')).collect();
    assert_eq!(keys, FRONT_KEYS);

    let doc = include_str!("../../../../docs/runbooks.md");
    let rows = |heading: &str| -> Vec<&str> {
        let (_, after) = doc.split_once(heading).expect(heading);
        let section = after.split("\n## ").next().unwrap_or_default();
        let cells = section.lines().filter_map(|l| l.strip_prefix("| `")?.split_once('`'));
        cells.map(|(cell, _)| cell).collect()
    };
    assert_eq!(rows("\n## Front matter"), FRONT_KEYS);
    assert_eq!(rows("\n## Checks and steps"), STEP_KEYS);
    let placeholders: Vec<String> =
        PLACEHOLDERS.iter().map(|(name, _)| format!("{{{name}}}")).collect();
    assert_eq!(rows("\n## Placeholders"), placeholders);
    let (_, example) = doc.split_once("```markdown\n").expect("an example");
    let (example, _) = example.split_once("\n```\n").expect("its end");
    parse("docs/runbooks.md", example, &known(), None).unwrap_or_else(|e| panic!("{e}"));
}
