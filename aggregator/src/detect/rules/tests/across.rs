//! What rules read beside the series that they watch: gates with labels, other tiers and
//! collectors, and what an entity is.

use super::sim::{Fault, Sim};
use crate::detect::rules::spec;
use crate::detect::slots;
use sextant_proto::v1::Severity;

fn sim(keys: &str) -> Sim {
    let text = format!(
        "info = {{ gpu = \"gpu_info\" }}\n[[rule]]\nname = \"Test\"\nmetric = \"m\"\nop = \">\"\n\
         threshold = 10\nseverity = \"critical\"\nsource = \"test\"\n\
         summary = \"GPU {{info.gpu}} ({{labels.uuid}}) at {{value}}\"\n{keys}"
    );
    let mut sim = Sim::new(spec::load(&[("own.toml".into(), text)]).expect("valid"));
    sim.entity("gpu", "uuid=G1");
    sim
}

#[test]
fn gate_is_read_from_another_tier_while_it_is_fresh() {
    let mut sim = sim("when = [{ metric = \"g\", op = \"==\", value = 1 }]");
    sim.put(1, &[("m", 11.0)]);
    assert_eq!(sim.run(20), [""; 0], "nobody has said what the gate is");
    sim.put(10, &[("g", 0.0)]);
    assert_eq!(sim.run(20), [""; 0]);
    sim.set("g", Fault::Set(1.0));
    assert_eq!(sim.run(20), ["+Test"]);
    sim.set("g", Fault::Set(f64::NAN));
    assert_eq!(sim.run(25), [""; 0], "what was said last holds for three intervals");
    assert_eq!(sim.run(200), ["xTest"], "then nothing is known, and what is open ends");
    sim.set("g", Fault::Set(1.0));
    assert_eq!(sim.run(20), ["+Test"]);
    sim.set("g", Fault::Set(0.0));
    assert_eq!(sim.run(20), ["-Test"]);
}

#[test]
fn gate_of_another_entity_is_not_taken() {
    let mut sim = sim("when = [{ metric = \"g\", op = \"==\", value = 1 }]");
    sim.put(1, &[("m", 11.0)]).entity("gpu", "uuid=G2").put(10, &[("g", 1.0)]);
    assert_eq!(sim.run(60), [""; 0]);
    sim.entity("gpu", "uuid=G1").put(10, &[("g", 1.0)]);
    assert_eq!(sim.run(20), ["+Test"]);
}

#[test]
fn own_labels_are_matched_and_any_of_several_is_enough_for_a_gate() {
    let mut sim =
        sim("labels = { clock = \"sm\" }\ndivide_by = \"max\"\nwhen = [{ metric = \"why\", \
         labels = { reason = \"~hot|brake\" }, op = \"==\", value = 1 }]");
    sim.put(1, &[("m{clock=sm}", 33.0), ("m{clock=memory}", 99.0), ("why{reason=hot}", 0.0)]);
    sim.put(1, &[("why{reason=brake}", 0.0), ("why{reason=idle}", 1.0)]);
    sim.put(60, &[("max{clock=memory}", 1.0), ("max{clock=sm}", 3.0)]);
    assert_eq!(sim.run(120), [""; 0]);
    sim.set("why{reason=brake}", Fault::Set(1.0));
    assert_eq!(sim.run(5), ["+Test"]);
    assert!((sim.found[0].value - 11.0).abs() < 1e-9, "{}", sim.found[0].value);
}

#[test]
fn gate_may_be_a_quotient() {
    let gate = "when = [{ metric = \"g\", divide_by = \"of\", op = \"<\", value = 0.5 }]";
    let mut sim = sim(gate);
    sim.put(1, &[("m", 11.0), ("g", 6.0)]).put(10, &[("of", 10.0)]);
    assert_eq!(sim.run(30), [""; 0]);
    sim.set("of", Fault::Set(20.0));
    assert_eq!(sim.run(30), ["+Test"]);
}

#[test]
fn optional_gate_holds_where_it_is_not_known() {
    let mut sim = sim("when = [{ metric = \"g\", op = \"==\", value = 0, optional = true }]");
    sim.put(1, &[("m", 11.0)]);
    assert_eq!(sim.run(3), ["+Test"]);
    sim.put(1, &[("g", 1.0)]);
    assert_eq!(sim.run(3), ["-Test"]);
}

#[test]
fn what_an_entity_is_part_of_can_be_a_gate() {
    let mut sim = sim("when = [{ metric = \"g\", op = \"==\", value = 1 }]");
    sim.put(1, &[("m", 11.0)]).entity("node", "").put(10, &[("g", 1.0)]);
    assert_eq!(sim.run(20), ["+Test"]);
}

#[test]
fn info_decides_who_is_watched_and_fills_the_text() {
    let mut sim = sim("info = { model = \"~.*H100.*\" }");
    sim.put(1, &[("m", 11.0)]);
    assert_eq!(sim.run(30), [""; 0], "nobody has said what it is");
    sim.put(60, &[("gpu_info{gpu=3,model=NVIDIA H100 PCIe}", 1.0)]);
    assert_eq!(sim.run(61), ["+Test"]);
    assert_eq!(sim.found[0].summary, "GPU 3 (G1) at 11");

    let mut other = super::across::sim("info = { model = \"~.*H100.*\" }");
    other.put(1, &[("m", 11.0)]).put(60, &[("gpu_info{model=NVIDIA L4}", 1.0)]);
    assert_eq!(other.run(200), [""; 0]);
    other.set("gpu_info{model=NVIDIA L4}", Fault::Set(f64::NAN));
    other.put(60, &[("gpu_info{model=NVIDIA H100}", 1.0)]);
    assert_eq!(other.run(200), ["+Test"], "it was replaced");
}

#[test]
fn severity_follows_what_the_entity_is() {
    let keys = "severity_when = { info = { stamps = \"software\" }, severity = \"warning\" }";
    for (info, want) in [
        ("gpu_info{stamps=software}", Severity::Warning),
        ("gpu_info{stamps=hardware}", Severity::Critical),
        ("other", Severity::Critical),
    ] {
        let mut sim = sim(keys);
        sim.put(1, &[("m", 0.0), (info, 1.0)]);
        sim.run(2);
        sim.set("m", Fault::Set(11.0));
        assert_eq!(sim.run(2), ["+Test"]);
        assert_eq!(sim.found[0].severity, want, "{info}");
    }
}

#[test]
fn gates_survive_layouts_that_come_and_go() {
    let mut sim = sim("when = [{ metric = \"g\", op = \"==\", value = 1 }]");
    sim.put(1, &[("m", 0.0)]).put(10, &[("g", 1.0)]);
    for layout in 0..3 * slots::MAX_PLANS {
        sim.put(10, &[(&format!("process{{pid={layout}}}"), 1.0)]);
        assert_eq!(sim.run(10), [""; 0]);
    }
    sim.set("m", Fault::Set(11.0));
    assert_eq!(sim.run(2), ["+Test"]);
}
