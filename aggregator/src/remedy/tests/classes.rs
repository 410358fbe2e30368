//! What kind of error a text is of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::super::classify::{MAX_TEXT_BYTES, classes, names, read};
use super::KNOWN;
use super::texts::{HARMLESS, TEXTS};

#[test]
fn text_is_of_its_class() {
    let mut wrong = String::new();
    for (class, texts) in TEXTS {
        for text in *texts {
            let found = read(text).found;
            let found: Vec<&str> = found.iter().map(|f| &*f.class.name).collect();
            if found.first() != Some(class) {
                writeln!(wrong, "{class}: {found:?}: {text}").expect("a string");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_class_has_two_texts_and_is_whole() {
    let given: BTreeMap<&str, usize> = TEXTS.iter().map(|(c, texts)| (*c, texts.len())).collect();
    let rules = &KNOWN.rules;
    assert_eq!(names().len(), classes().len(), "a name is used twice");
    for class in classes() {
        let name = &class.name;
        assert!(given.get(&**name).is_some_and(|n| *n >= 2), "{name} has under two texts");
        assert!((0.0..1.0).contains(&class.confidence) && class.rank <= 100, "{name}");
        for text in [&class.cause, &class.explanation, &class.source] {
            assert!(!text.trim().is_empty(), "{name}");
        }
        for beginning in &class.related {
            let some = rules.iter().any(|rule| rule.starts_with(beginning.as_str()));
            assert!(some, "{name}: no rule begins with {beginning}");
        }
    }
    let all: BTreeSet<String> = given.keys().map(ToString::to_string).collect();
    assert_eq!(all, names());
}

#[test]
fn harmless_text_is_no_trouble() {
    for text in HARMLESS {
        let reading = read(text);
        let found: Vec<&str> = reading.found.iter().map(|f| &*f.class.name).collect();
        assert!(found.is_empty() && !reading.trouble, "{text}: {found:?}");
    }
}

#[test]
fn trouble_of_no_known_class_is_still_trouble() {
    for text in [
        "the frobnicator is broken",
        "job 4711 failed",
        "panic: runtime error: index out of range",
        "everything is slow since Monday",
        "3 errors, 0 warnings",
    ] {
        let reading = read(text);
        assert!(reading.trouble && reading.found.is_empty(), "{text}: {:?}", reading.found);
    }
}

#[test]
fn denied_error_does_not_count() {
    for text in ["no OOMKilled containers", "checked: 0 Evicted", "without CrashLoopBackOff"] {
        let found = read(text).found;
        assert!(found.is_empty(), "{text}: {found:?}");
    }
}

#[test]
fn cause_comes_before_what_follows_from_it() {
    let text = "web-1 0/1 CrashLoopBackOff 3\nLast State: Terminated\n Reason: OOMKilled\n Exit Code: 137\nReadiness probe failed: connection refused";
    let found = read(text).found;
    let found: Vec<&str> = found.iter().map(|f| &*f.class.name).collect();
    assert_eq!(found, ["OOMKilled", "ReadinessProbeFailure", "CrashLoopBackOff"]);
}

#[test]
fn names_are_taken_from_the_text() {
    let f = |text: &str, placeholder: &str, want: &str| {
        assert_eq!(read(text).names.get(placeholder), Some(want), "{text}");
    };
    f("NVRM: Xid (PCI:0000:3b:00): 79, pid=1", "pci", "0000:3b:00");
    f("NVRM: Xid (PCI:0000:3b:00): 109, pid=1", "xid", "109");
    f("Back-off restarting failed container web in pod web-1_shop(1)", "pod", "web-1");
    f("Back-off restarting failed container web in pod web-1_shop(1)", "namespace", "shop");
    f("Back-off restarting failed container web in pod web-1_shop(1)", "container", "web");
    f("port 1 (ens1f0): SLAVE to FAULTY on FAULT_DETECTED", "interface", "ens1f0");
    f("Memory cgroup out of memory: Killed process 123 (java)", "process", "java");
    f("I/O error, dev sdc, sector 1", "device", "sdc");
    f("Failed to pull image \"r.example/a/b:1\"", "image", "r.example/a/b:1");
    let hostile = read("Failed to pull image \"a;$(reboot)\"");
    assert_eq!(hostile.names.get("image"), None);
}

#[test]
fn shown_line_has_no_secret_and_is_short() {
    let text = format!("connection refused: postgres://me:hunter2@db {}", "x".repeat(1000));
    let line = &read(&text).found[0].line;
    assert!(line.contains("[secret]") && !line.contains("hunter2"), "{line}");
    assert!(line.chars().count() <= 301 && line.ends_with('…'), "{line}");
}

#[test]
fn colours_and_line_ends_of_terminals_do_not_hide_an_error() {
    let reading = read("\u{1b}[31mOOM\u{1b}[0mKilled\r\nok\u{7}");
    assert_eq!(reading.found[0].class.name, "OOMKilled");
    assert_eq!(reading.text, "OOMKilled\nok");
}

#[test]
fn largest_text_is_read_at_its_ends_only() {
    let middle = "all is well and nothing of it matters to anybody at all\n";
    let half = middle.repeat(MAX_TEXT_BYTES / 2 / middle.len() - 2);
    let text = format!("OOMKilled\n{half}no such host\n{half}x509: certificate has expired");
    let reading = read(&text);
    let found: Vec<&str> = reading.found.iter().map(|f| &*f.class.name).collect();
    assert_eq!(found, ["OOMKilled", "CertificateError"]);
    assert_eq!(reading.skipped + reading.text.len(), text.len() + 1, "and a line break");
    assert!(reading.text.len() < 70_000);
    // One line of ten megabytes, in letters of three bytes.
    let line = "語".repeat(MAX_TEXT_BYTES / 3);
    let reading = read(&line);
    assert!(reading.found.is_empty() && reading.skipped > 0 && !reading.text.contains('\u{fffd}'));
}
