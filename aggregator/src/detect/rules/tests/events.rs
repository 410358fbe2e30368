//! Rules about events: what fires, is counted, ends and survives a restart.

use sextant_proto::v1::{self, Label};

use super::node;
use super::sim::{Fault, Sim};
use crate::detect::rules::{Rules, spec};
use crate::detect::{Detector, Edge, Subject};

const CASES: &str = r#"
info = { gpu = "gpu_info" }
[[rule]]
name = "Xid"
event = "gpu.xid"
case_label = "xid"
clear_for = "1h"
source = "test"
[rule.case.13]
severity = "info"
summary = "{labels.xid} of {info.gpu}: {message}"
[rule.case.79]
also = ["48"]
severity = "critical"
summary = "off the bus"
clear_for = "2h"
[rule.case.other]
severity = "warning"
summary = "{message}"
"#;

fn sim(text: &str) -> Sim {
    let mut sim = Sim::new(spec::load(&[("own.toml".into(), text.into())]).expect("valid"));
    // Something that makes the node's time pass.
    sim.entity("node", "").put(10, &[("m", 1.0)]);
    sim.entity("gpu", "uuid=G1").put(60, &[("gpu_info{gpu=3}", 1.0)]);
    sim.run(60);
    sim
}

fn rule(keys: &str) -> Sim {
    sim(&format!(
        "info = {{ gpu = \"gpu_info\" }}\n[[rule]]\nname = \"Test\"\nevent = \"gpu.xid\"\n\
         severity = \"warning\"\nsummary = \"{{value}} of {{threshold}}\"\nsource = \"test\"\n{keys}"
    ))
}

#[test]
fn each_value_is_a_rule_of_its_own_and_the_rest_another() {
    let mut sim = sim(CASES);
    assert_eq!(sim.happen("gpu.xid", "xid=13", "bad kernel"), ["+Xid13"]);
    assert_eq!(sim.found[0].summary, "13 of 3: bad kernel");
    assert_eq!(sim.happen("gpu.xid", "xid=79", ""), ["+Xid79"]);
    assert_eq!(sim.happen("gpu.xid", "xid=48", ""), ["+Xid48"]);
    assert_eq!(sim.happen("gpu.xid", "xid=4711", "new"), ["+XidOther"]);
    assert_eq!(sim.happen("gpu.other", "xid=13", ""), [""; 0]);
    assert_eq!(sim.run(3600), [""; 0]);
    let mut quiet = sim.run(600);
    quiet.sort();
    assert_eq!(quiet, ["-Xid13", "-XidOther"]);
    assert_eq!(sim.run(3600).len(), 2, "a case has its own time");
}

#[test]
fn entities_are_told_apart_and_repeats_are_counted_on_what_is_open() {
    let mut sim = sim(CASES);
    assert_eq!(sim.happen("gpu.xid", "xid=13", ""), ["+Xid13"]);
    assert_eq!(sim.happen("gpu.xid", "xid=13", ""), ["~Xid13 2"]);
    assert_eq!(sim.happen("gpu.xid", "xid=13", ""), [""; 0], "told when it doubles");
    assert_eq!(sim.happen("gpu.xid", "xid=13", ""), ["~Xid13 4"]);
    sim.run(60);
    assert_eq!(sim.happen("gpu.xid", "xid=13", ""), ["~Xid13 5"], "or after a minute");
    sim.entity("gpu", "uuid=G2");
    assert_eq!(sim.happen("gpu.xid", "xid=13", ""), ["+Xid13"]);
    sim.run(3500);
    sim.entity("gpu", "uuid=G1");
    sim.happen("gpu.xid", "xid=13", "");
    assert_eq!(sim.run(600), ["-Xid13"], "only that of the other one is over");
    assert_eq!(sim.run(4000), ["-Xid13"]);
}

#[test]
fn repeats_within_a_time_fire() {
    let mut sim = rule("count_over = \"10m\"\nthreshold = 3\nclear_for = \"1m\"");
    assert_eq!(sim.happen("gpu.xid", "", ""), [""; 0]);
    sim.run(500);
    assert_eq!(sim.happen("gpu.xid", "", ""), [""; 0]);
    sim.run(500);
    assert_eq!(sim.happen("gpu.xid", "", ""), [""; 0], "the first is too old");
    assert_eq!(sim.happen("gpu.xid", "", ""), ["+Test"]);
    assert_eq!(sim.found[0].summary, "3 of 3");
    assert_eq!((sim.found[0].value, sim.found[0].expected, sim.found[0].score), (3.0, 2.0, 1.0));
    assert_eq!(sim.run(80), ["-Test"]);
    assert_eq!(sim.happen("gpu.xid", "", ""), [""; 0], "counted anew");
}

#[test]
fn event_that_ends_it_ends_it() {
    let mut sim = rule(
        "clear_for = \"24h\"\nclear_event = \"gpu.reset\"\nclear_labels = { result = \"ok\" }",
    );
    sim.happen("gpu.xid", "", "");
    assert_eq!(sim.happen("gpu.reset", "result=failed", ""), [""; 0]);
    assert_eq!(sim.happen("gpu.reset", "result=ok", ""), ["-Test"]);
    assert_eq!(sim.happen("gpu.reset", "result=ok", ""), [""; 0]);
    assert_eq!(sim.happen("gpu.xid", "", ""), ["+Test"]);
}

#[test]
fn labels_text_and_what_the_entity_is_are_matched() {
    let mut sim = rule(
        "clear_for = \"1h\"\nlabels = { message = \"~.*Fatal.*\", uuid = \"~G.*\" }\n\
         info = { gpu = \"3\" }",
    );
    assert_eq!(sim.happen("gpu.xid", "", "Nonfatal"), [""; 0]);
    sim.entity("gpu", "uuid=G2");
    assert_eq!(sim.happen("gpu.xid", "", "a Fatal one"), [""; 0], "not known what it is");
    sim.entity("gpu", "uuid=G1");
    assert_eq!(sim.happen("gpu.xid", "", "a Fatal one"), ["+Test"]);
}

#[test]
fn gate_holds_of_the_entity_at_the_time_of_the_event() {
    let mut sim =
        rule("clear_for = \"1h\"\nwhen = [{ metric = \"owned\", op = \"==\", value = 1 }]");
    assert_eq!(sim.happen("gpu.xid", "", ""), [""; 0], "not known");
    sim.put(10, &[("owned", 0.0)]);
    sim.run(10);
    assert_eq!(sim.happen("gpu.xid", "", ""), [""; 0]);
    sim.set("owned", Fault::Set(1.0));
    sim.run(10);
    assert_eq!(sim.happen("gpu.xid", "", ""), ["+Test"]);
}

#[test]
fn backlog_opens_and_closes_in_its_own_time() {
    let mut sim = sim(CASES);
    let start = sim.now_ms;
    // An hour and a half that arrives within one second: nobody looks at the clock meanwhile.
    assert_eq!(sim.happen("gpu.xid", "xid=13", ""), ["+Xid13"]);
    sim.now_ms += 2 * 3_600_000;
    assert_eq!(sim.happen("gpu.xid", "xid=13", ""), ["-Xid13", "+Xid13"]);
    assert_eq!(sim.found.iter().map(|f| f.time_ms).collect::<Vec<_>>(), [start, sim.now_ms]);
}

#[test]
fn silent_node_ends_nothing() {
    let mut sim = sim(CASES);
    sim.happen("gpu.xid", "xid=13", "");
    sim.entity("node", "").set("m", Fault::Set(2.0));
    let (events, now) = (sim.quiet(40_000), sim.now_ms);
    assert_eq!(events, [""; 0]);
    assert_eq!(sim.run(20), ["-Xid13"], "it speaks again at {now}");
}

fn event(uuid: &str) -> v1::Event {
    let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
    v1::Event {
        time_unix_ms: 1_000_000,
        r#type: "gpu.xid".into(),
        entity_type: "gpu".into(),
        entity: vec![label("uuid", uuid)],
        attributes: vec![label("xid", "79")],
        ..v1::Event::default()
    }
}

#[test]
fn restored_one_is_counted_on_and_ends() {
    let mut sim = sim(CASES);
    let gpu = Subject::entity("gpu", &event("G1").entity);
    let anomaly = v1::Anomaly { rule: "Xid13".into(), value: 3.0, ..v1::Anomaly::default() };
    sim.restore(&anomaly, &gpu);
    assert_eq!(sim.happen("gpu.xid", "xid=13", ""), ["~Xid13 4"]);
    assert_eq!(sim.run(3700), ["-Xid13"]);

    let mut sim = self::sim(CASES);
    sim.restore(&anomaly, &gpu);
    assert_eq!(sim.run(3590), [""; 0], "its time begins with the restart");
    assert_eq!(sim.run(20), ["-Xid13"]);

    let mut sim = self::sim(CASES);
    sim.restore(&v1::Anomaly { rule: "Xid4711".into(), ..anomaly }, &gpu);
    assert_eq!(sim.run(2), ["xXid4711"], "the rule is gone");
}

#[test]
fn flood_of_entities_is_bounded() {
    let book = spec::load(&[("own.toml".into(), CASES.into())]).expect("valid");
    let mut rules = Rules::new(book);
    let mut edges = Vec::new();
    for number in 0..5000 {
        rules.observe_event(&node(), &event(&number.to_string()), &mut edges);
    }
    assert_eq!(edges.len(), 1000);
    assert_eq!((rules.overlooked(), rules.overlooked()), (4000, 0), "counted, and told once");
    assert!(edges.iter().all(|e| matches!(e, Edge::Fire(_))));
    edges.clear();
    rules.forget(node().id);
    rules.observe_event(&node(), &event("0"), &mut edges);
    assert_eq!(edges.len(), 1, "forgotten with its node");
}

#[test]
fn own_file_replaces_a_case() {
    let own = "disabled = [\"XidOther\"]\n[[rule]]\nname = \"Xid79\"\nevent = \"gpu.xid\"\n\
               labels = { xid = \"79\" }\nclear_for = \"1m\"\nseverity = \"info\"\n\
               summary = \"mine\"\nsource = \"test\"\n";
    let files = [("a.toml".into(), CASES.into()), ("b.toml".into(), own.into())];
    let mut names: Vec<_> = {
        let book = spec::load(&files).expect("valid");
        book.events.iter().map(|r| (r.report.name.to_string(), r.clear_ms)).collect()
    };
    names.sort();
    let want = [("Xid13", 3_600_000), ("Xid48", 7_200_000), ("Xid79", 60_000)];
    assert_eq!(names, want.map(|(name, ms)| (name.to_owned(), ms)));
}

#[test]
fn wrong_event_rules_are_refused_naming_the_key() {
    let good = CASES.replace("[rule.case.13]\n", "[rule.case.13]\n#\n");
    let check = |from: &str, to: &str, want: &[&str]| {
        assert!(good.contains(from), "{from}");
        let text = good.replacen(from, to, 1);
        let error = spec::load(&[("own.toml".into(), text)]).expect_err(to).to_string();
        for part in want {
            assert!(error.contains(part), "{to}: {part} is not in {error:?}");
        }
    };
    check("clear_for = \"1h\"\n", "", &["rule Xid", "case.13", "clear_for"]);
    check("case_label = \"xid\"\n", "", &["case_label"]);
    check("#", "threshold = 2", &["case.13.count_over"]);
    check("#", "threshold = 0\ncount_over = \"1h\"", &["case.13.threshold: must be 1 to 100"]);
    check("#", "metric = \"m\"", &["case.13.metric: is not known"]);
    check("#", "also = 5", &["case.13.also"]);
    check("source = \"test\"", "source = \"test\"\nmetric = \"m\"", &["metric: is not known"]);
    check(
        "source = \"test\"",
        "source = \"test\"\nclear_labels = { a = \"b\" }",
        &["clear_labels"],
    );
}
