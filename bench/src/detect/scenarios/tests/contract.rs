//! What is emitted is what an agent would send: entities, labels and values of labels.

use std::collections::{BTreeMap, BTreeSet};

use crate::detect::scenarios::contract::Contract;
use crate::detect::scenarios::run::{Task, world};
use crate::detect::scenarios::score::Sort;
use crate::detect::scenarios::shape::Batch;
use crate::detect::scenarios::spec::{Plan, Spec};

/// Types of entities and the labels that identify them: those of the collectors.
const ENTITIES: [(&str, &[&str]); 14] = [
    ("node", &[]),
    ("gpu", &["uuid"]),
    ("pf", &["pf", "pci"]),
    ("vf", &["pf", "vf", "pci"]),
    ("ptp_instance", &["instance"]),
    ("ptp_port", &["instance", "port", "iface"]),
    ("phc", &["phc"]),
    ("cpu", &["cpu"]),
    ("disk", &["device"]),
    ("filesystem", &["device", "mountpoint", "fstype"]),
    ("netdev", &["device"]),
    ("hwmon", &["chip"]),
    ("edac", &["controller"]),
    ("collector", &["collector"]),
];

/// Texts that the agent's own tests hold its host and SR-IOV collectors to.
const GOLDEN: [&str; 2] = [
    include_str!("../../../../../agent/testdata/node.golden"),
    include_str!("../../../../../agent/testdata/sriov/golden"),
];

/// Label names and values by metric, as the golden texts have them.
fn golden() -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let mut all: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for line in GOLDEN.iter().flat_map(|text| text.lines()).filter(|l| !l.starts_with('#')) {
        let (name, labels) = match line.split_once('{') {
            Some((name, rest)) => (name, rest.rsplit_once('}').expect("it is closed").0),
            None => (line.split(' ').next().expect("a name"), ""),
        };
        let metric = all.entry(name.to_owned()).or_default();
        for part in labels.split("\",").filter(|p| !p.is_empty()) {
            let (label, value) = part.split_once("=\"").expect("a label");
            let value = value.trim_end_matches('"').to_owned();
            metric.entry(label.to_owned()).or_default().insert(value);
        }
    }
    all
}

#[test]
fn every_series_is_one_that_the_agent_documents() {
    let spec = Spec::load().expect("the files are right");
    let plan = Plan { nodes: 2, hours: 3.0, warm_up_hours: 0.2, ..spec.runs.quick };
    let task = Task { sort: Sort::Faults, seed: 5, baselines: false };
    let (mut world, span) = world(&spec, &plan, task).expect("a world");
    let mut batch = Batch::default();
    for now_s in span.begin_s..span.end_s {
        world.step(now_s, &mut batch);
    }
    let (contract, golden) = (Contract::load().expect("the agent's metrics"), golden());
    let mut ordinary = 0;
    for live in world.layouts_of(0) {
        for series in &live.layout.columns {
            let (metric, help) = (&*series.metric, &contract.metric(&series.metric).help);
            let known = ENTITIES.iter().find(|(kind, _)| *kind == &*series.entity_type);
            let (_, names) = known.unwrap_or_else(|| panic!("{metric}: {}", series.entity_type));
            let own: Vec<&str> = series.entity.iter().map(|(n, _)| &**n).collect();
            assert_eq!(own, *names, "{metric} of {}", series.entity_type);
            let told = golden.get(metric);
            for (name, value) in series.labels.iter().filter(|l| !series.entity.contains(l)) {
                let shown = told.and_then(|labels| labels.get(&**name));
                assert!(shown.is_some() || help.contains(&**name), "{metric}: label {name}");
                // Those that tell what something is are as the node has it.
                let free = metric.ends_with("_info") || matches!(&**name, "config" | "sensor");
                let number = value.parse::<f64>().is_ok();
                let fits =
                    shown.is_some_and(|v| v.contains(&**value)) || contract.documents(name, value);
                assert!(free || number || fits, "{metric}: {name}=\"{value}\"");
            }
            if series.labels.len() == series.entity.len() || told.is_some() {
                ordinary += 1;
            }
        }
    }
    assert!(ordinary >= 120, "{ordinary}");
}
