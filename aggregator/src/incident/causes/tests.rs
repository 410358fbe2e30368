//! The table against what there is: rules, events, and itself.

use std::path::Path;

use super::*;
use crate::detect::{Rules, Stale};

fn builtin() -> Causes {
    Causes::builtin().expect("the table that is shipped is right")
}

#[test]
fn every_rule_is_of_a_class_of_its_own_family() {
    let causes = builtin();
    let rules = Rules::load(None).expect("rules that are shipped");
    let names: Vec<String> = rules.names().map(str::to_owned).collect();
    for rule in names.iter().map(String::as_str).chain([Stale::RULE]) {
        assert!(causes.names_rule(rule), "no class has {rule}");
    }
    let all: Vec<&str> = names.iter().map(String::as_str).chain([Stale::RULE]).collect();
    for name in causes.rules.exact.keys() {
        assert!(all.contains(&&**name), "there is no rule {name}");
    }
    for (prefix, class) in &causes.rules.prefixes {
        let class = &causes.class(*class).name;
        assert!(all.iter().any(|n| n.starts_with(&**prefix)), "{class}: no rule {prefix}*");
    }
    let f = |rule: &str, class: &str| {
        let anomaly = v1::Anomaly { rule: rule.into(), ..v1::Anomaly::default() };
        assert_eq!(causes.class(causes.of_anomaly(&anomaly)).name, class);
    };
    f("GpuXid79", "gpu.off_bus");
    f("GpuXid92Repeated", "gpu.ecc_corrected");
    f("GpuXid13", "gpu.application");
    f("GpuXid63", "gpu.remap");
    f("PtpPortNotSlave", "ptp.port_state");
}

#[test]
fn every_event_is_one_that_somebody_sends() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    for part in ["../agent/src", "src/ingest.rs", "src/incident"] {
        read(&root.join(part), &mut text);
    }
    for kind in builtin().events.exact.keys() {
        assert!(text.contains(&format!("\"{kind}\"")), "nobody sends {kind}");
    }
    assert!(builtin().events.prefixes.is_empty());
}

/// Sources, tests left out.
fn read(path: &Path, text: &mut String) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a directory of the sources") {
            let path = entry.expect("listed").path();
            if !path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("tests")) {
                read(&path, text);
            }
        }
    } else if path.extension().is_some_and(|e| e == "rs") {
        text.push_str(&std::fs::read_to_string(path).expect("a source"));
    }
}

#[test]
fn metrics_without_a_class_are_of_their_family() {
    let causes = builtin();
    let f = |metric: &str, kind: &str, class: &str| {
        let anomaly = v1::Anomaly {
            rule: "unusually_high".into(),
            metric: metric.into(),
            entity_type: kind.into(),
            ..v1::Anomaly::default()
        };
        assert_eq!(causes.class(causes.of_anomaly(&anomaly)).name, class, "{metric}");
    };
    f("gpu_power_watts", "gpu", "gpu.power");
    f("gpu_encoder_sessions", "gpu", "gpu.other");
    f("node_network_receive_bytes_total", "netdev", "network.other");
    f("site_specific", "vf", "sriov.other");
    f("site_specific", "node", "other.other");
}

#[test]
fn what_everything_may_cause_is_not_caused_by_it() {
    let causes = builtin();
    let id = |name: &str| causes.by_name(name).expect(name);
    let causes_it = |a: &str, b: &str| causes.between(id(a), id(b)).next().is_some();
    assert!(causes_it("node.gone", "gpu.lost") && causes_it("node.gone", "sriov.pf_link"));
    // A link may be why the node is gone; it is not the other way round.
    assert!(causes_it("network.link", "node.gone") && !causes_it("node.gone", "network.link"));
    assert!(!causes_it("node.gone", "change.reboot") && !causes_it("node.gone", "power.rack"));
}

#[test]
fn wrong_tables_are_refused_with_the_entry() {
    let class = |name: &str, more: &str| {
        format!("[[class]]\nname = \"{name}\"\ntitle = \"t\"\nprior = 0.0\n{more}\n")
    };
    let edge = |cause: &str, effect: &str, more: &str| {
        format!(
            "[[edge]]\ncause = \"{cause}\"\neffects = [\"{effect}\"]\nvia = \"node\"\nlag = [\"0s\", \"1m\"]\nweight = 0.5\nsource = \"s\"\n{more}\n"
        )
    };
    let two = class("a.one", "rules = [\"A\"]") + &class("a.two", "rules = [\"B\"]");
    assert!(Causes::parse(&(two.clone() + &edge("a.one", "a.two", ""))).is_ok());
    let f = |text: String, want: &str| {
        let error = Causes::parse(&text).expect_err(want).to_string();
        assert!(error.contains(want), "{error}");
    };
    f(
        two.clone() + &edge("a.one", "a.two", "") + &edge("a.two", "a.one", ""),
        "in a circle: a.one, a.two",
    );
    f(two.clone() + &edge("a.three", "a.two", ""), "its cause is no class");
    f(two.clone() + &edge("a.one", "a.three", ""), "\"a.three\" is no class");
    f(two.clone() + &edge("a.one", "b.*", ""), "no class begins with \"b.\"");
    f(
        two.clone() + &edge("a.one", "a.two", "").replace("\"node\"", "\"moon\""),
        "no relation \"moon\"",
    );
    f(two.clone() + &edge("a.one", "a.two", "").replace("0.5", "1.5"), "weight must be");
    f(
        two.clone() + &edge("a.one", "a.two", "").replace("\"0s\"", "\"5m\""),
        "ends before it begins",
    );
    f(two.clone() + &edge("a.one", "a.two", "").replace("\"0s\"", "\"soon\""), "is not a time");
    f(two.clone() + &class("a.two", "rules = [\"C\"]"), "is there twice");
    f(two + &class("a.three", "rules = [\"B\"]"), "\"B\" is of another class");
    f(class("a.one", ""), "needs rules, events or metrics");
    f(class("a.one", "on = \"node\""), "on and least go together");
    f(class("one", "rules = [\"A\"]"), "is not FAMILY.NAME");
    f(class("a.one", "colour = 1"), "unknown field");
}
