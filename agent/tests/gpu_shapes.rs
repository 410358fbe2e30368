//! The fake NVML against machines with GPUs: what `bench/gpu-check` recorded there, the fake has
//! with the same driver, too, and nothing beyond it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "what is not recorded is told, and fails nothing")]

mod gpu_support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use fake_nvml::scenario::{Gpu, Load, Scenario};
use gpu_support::{Samples, conditions, node, pause};
use serde::Deserialize;

/// What was recorded of a machine.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
struct Shape {
    models: Vec<String>,
    drivers: Vec<String>,
    gpus: u32,
    metrics: BTreeMap<String, Metric>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
struct Metric {
    labels: BTreeSet<String>,
    /// By the labels that are not an identity; the values' range is for people.
    series: BTreeMap<String, serde_json::Value>,
}

/// Labels that say which one it is, as in `check.py`.
const IDENTITY: [&str; 11] = [
    "uuid",
    "gpu_uuid",
    "pci_bus_id",
    "serial",
    "pid",
    "name",
    "remote_pci_bus_id",
    "peer_uuid",
    "pod",
    "namespace",
    "container",
];

/// What is there when something happens or somebody works, whatever the product.
const HAPPENS: [&str; 17] = [
    "gpu_driver_up",
    "gpu_events_total",
    "gpu_memory_unaccounted_bytes",
    "gpu_missing",
    "gpu_mig_pod_info",
    "gpu_pod_info",
    "gpu_process_memory_bytes",
    "gpu_process_utilization_ratio",
    "gpu_xid_errors_total",
    "gpu_xid_last",
    "gpu_xid_last_timestamp_seconds",
    "sextant_gpu_call_demoted",
    "sextant_gpu_call_errors_total",
    "sextant_gpu_call_seconds",
    "sextant_gpu_events_dropped_total",
    "sextant_gpu_kmsg_dropped_total",
    "sextant_unavailable",
];

/// Labels that the machine decides, not the GPU.
const OF_THE_MACHINE: [(&str, &str); 1] = [("gpu_info", "numa_node")];

/// A key of [`Samples`] as metric and labels.
fn parse(key: &str) -> (&str, Vec<(&str, &str)>) {
    let Some((metric, labels)) = key.split_once('{') else { return (key, Vec::new()) };
    let labels = labels.strip_suffix("\"}").unwrap().split("\",");
    (metric, labels.map(|label| label.split_once("=\"").unwrap()).collect())
}

/// The shape of samples, as `check.py` makes it.
fn shape(samples: &Samples) -> Shape {
    let mut shape = Shape::default();
    let (mut models, mut drivers) = (BTreeSet::new(), BTreeSet::new());
    for key in samples.keys() {
        let (metric, labels) = parse(key);
        let told = |name| labels.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        if metric == "gpu_info" {
            models.extend(told("model"));
            shape.gpus += 1;
        }
        if metric == "gpu_driver_info" {
            drivers.extend(told("driver_version"));
        }
        let entry = shape.metrics.entry(metric.to_owned()).or_default();
        let names = labels.iter().map(|(name, _)| (*name).to_owned());
        entry.labels.extend(names.filter(|name| name != "uuid"));
        let is_kept = |(name, _): &&(&str, &str)| !IDENTITY.contains(name);
        let mut kept: Vec<_> = labels.iter().filter(is_kept).collect();
        kept.sort();
        if metric.ends_with("_info") {
            kept.clear();
        }
        let kept: Vec<_> = kept.into_iter().map(|(n, v)| format!("{n}={v}")).collect();
        entry.series.insert(kept.join(","), serde_json::Value::Null);
    }
    (shape.models, shape.drivers) = (models.into_iter().collect(), drivers.into_iter().collect());
    shape
}

/// What one of them has and the other one lacks.
fn differences(recorded: &Shape, fake: &Shape) -> Vec<String> {
    let metrics: BTreeSet<_> = recorded.metrics.keys().chain(fake.metrics.keys()).collect();
    let mut told = Vec::new();
    for metric in metrics.into_iter().filter(|metric| !HAPPENS.contains(&metric.as_str())) {
        let (recorded, fake) = match (recorded.metrics.get(metric), fake.metrics.get(metric)) {
            (Some(_), None) => {
                told.push(format!("{metric} is missing"));
                continue;
            }
            (None, Some(_)) => {
                told.push(format!("{metric} is extra"));
                continue;
            }
            (recorded, fake) => (recorded.unwrap(), fake.unwrap()),
        };
        let counts = |label: &&String| !OF_THE_MACHINE.contains(&(metric, label));
        let (ours, theirs) = (fake.labels.iter(), recorded.labels.iter());
        let (ours, theirs): (BTreeSet<_>, BTreeSet<_>) =
            (ours.filter(counts).collect(), theirs.filter(counts).collect());
        told.extend(theirs.difference(&ours).map(|l| format!("{metric}: label {l} is missing")));
        told.extend(ours.difference(&theirs).map(|l| format!("{metric}: label {l} is extra")));
        let name = |name: &String| format!("{metric}{{{name}}}");
        let (ours, theirs) = (&fake.series, &recorded.series);
        let missing = theirs.keys().filter(|series| !ours.contains_key(*series));
        told.extend(missing.map(|series| format!("{} is missing", name(series))));
        let extra = ours.keys().filter(|series| !theirs.contains_key(*series));
        told.extend(extra.map(|series| format!("{} is extra", name(series))));
    }
    told
}

/// What the agent reads of a profile's GPUs.
fn of_profile(profile: &str, gpus: u32, driver: Option<&str>) -> Shape {
    let busy = conditions(|c| c.load = Some(Load::steady(0.5)));
    let mut scenario =
        Scenario { gpus: vec![Gpu::of(profile).count(gpus).set(busy)], ..Scenario::default() };
    if let Some(driver) = driver {
        scenario.driver = driver.into();
    }
    let mut node = node(scenario);
    let mut all = node.until_read(usize::try_from(gpus).unwrap());
    all.extend(node.medium());
    all.extend(node.slow());
    // GPM compares two samples that are some time apart.
    pause(Duration::from_millis(120));
    node.advance(10.0);
    all.extend(node.fast());
    all.extend(node.medium());
    all.extend(node.slow());
    shape(&all)
}

fn recorded() -> Vec<(String, Shape)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/gpu-check/shapes");
    let Ok(files) = std::fs::read_dir(path) else { return Vec::new() };
    let paths = files.map(|file| file.unwrap().path());
    let shapes = paths.filter(|path| path.extension().is_some_and(|kind| kind == "json"));
    let read = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let shape = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        (name, shape)
    };
    let mut all: Vec<_> = shapes.map(read).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn fake_gpus_have_what_was_recorded_of_real_ones_and_no_more() {
    let recorded = recorded();
    let models: Vec<_> = fake_nvml::profiles()
        .into_iter()
        .map(|profile| {
            let [model] = &of_profile(profile, 1, None).models[..] else { panic!("{profile}") };
            (profile, model.clone())
        })
        .collect();
    let mut wrong = Vec::new();
    for (file, shape) in &recorded {
        let ([model], [driver]) = (&shape.models[..], &shape.drivers[..]) else {
            panic!("{file}: GPUs of one model and one driver are wanted");
        };
        match models.iter().find(|(_, name)| name == model) {
            Some((profile, _)) => {
                let fake = of_profile(profile, shape.gpus, Some(driver));
                let differ = differences(shape, &fake);
                wrong.extend(differ.into_iter().map(|what| format!("{file}, {profile}: {what}")));
            }
            None => println!("{file}: the fake has no {model}"),
        }
    }
    let is_recorded = |model: &String| recorded.iter().any(|(_, s)| s.models.contains(model));
    for (profile, model) in models.iter().filter(|(_, model)| !is_recorded(model)) {
        println!("{profile}: no shape of a {model} is recorded");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A shape of two metrics, as a file has it.
fn made() -> Shape {
    let text = r#"{"models": ["M"], "drivers": ["570.1"], "gpus": 1, "metrics": {
        "gpu_info": {"labels": ["gpu", "model"], "series": {"": {"min": 1, "max": 1, "whole": true}}},
        "gpu_nvlink_up": {"labels": ["link"], "series": {
            "link=0": {"min": 1, "max": 1, "whole": true},
            "link=1": {"min": 0, "max": 1, "whole": true}}}}}"#;
    serde_json::from_str(text).unwrap()
}

fn read(links: &[&str], more: &[&str]) -> Shape {
    let mut samples = Samples::new();
    let info = "gpu_info{gpu=\"0\",model=\"M\",numa_node=\"1\",uuid=\"GPU-1\"}";
    samples.insert(info.to_owned(), 1.0);
    for link in links {
        samples.insert(format!("gpu_nvlink_up{{link=\"{link}\",uuid=\"GPU-1\"}}"), 1.0);
    }
    samples.extend(more.iter().map(|key| ((*key).to_owned(), 1.0)));
    shape(&samples)
}

#[test]
fn comparison_tells_what_is_missing_and_what_is_extra() {
    let fits = read(&["0", "1"], &["gpu_xid_errors_total{uuid=\"GPU-1\",xid=\"13\"}"]);
    assert_eq!(fits.models, ["M"]);
    assert_eq!(differences(&made(), &fits), Vec::<String>::new());
    assert_eq!(differences(&made(), &read(&[], &[])), ["gpu_nvlink_up is missing"]);
    assert_eq!(
        differences(&made(), &read(&["0", "2"], &[])),
        ["gpu_nvlink_up{link=1} is missing", "gpu_nvlink_up{link=2} is extra"]
    );
    let extra = read(&["0", "1"], &["gpu_power_watts{uuid=\"GPU-1\"}"]);
    assert_eq!(differences(&made(), &extra), ["gpu_power_watts is extra"]);
    let labels = read(&["0", "1"], &["gpu_nvlink_up{lane=\"0\",link=\"1\",uuid=\"GPU-1\"}"]);
    assert_eq!(
        differences(&made(), &labels),
        ["gpu_nvlink_up: label lane is extra", "gpu_nvlink_up{lane=0,link=1} is extra"]
    );
}

#[test]
fn profiles_differ_from_each_other_where_their_products_do() {
    let (h100, t4) = (of_profile("h100-sxm", 2, None), of_profile("t4", 2, None));
    assert_eq!(differences(&h100, &of_profile("h100-sxm", 2, None)), Vec::<String>::new());
    let told = differences(&h100, &t4);
    for lacks in ["gpu_sm_active_ratio is missing", "gpu_retired_pages_total is extra"] {
        assert!(told.iter().any(|line| line == lacks), "{lacks}: {told:#?}");
    }
}
