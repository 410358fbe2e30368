//! Xids and events of GPUs from the driver and from the kernel's log to the collector's batch.
//! Each test has a copy of the fake NVML, so that all run at once, and a pipe for the log, whose
//! writer waits for its reader.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_nvml::scenario::Xid;
use fake_nvml::{Act, Code, Conditions, Entry, Library, Scenario, ScenarioFile};
use rustix::fs::{CWD, Mode, mkfifoat};
use sextant_agent::collectors::gpu::{Gpu, GpuConfig};
use sextant_agent::collectors::pods::Attribution;
use sextant_agent::collectors::{Collector as _, Paths};
use sextant_agent::sample::Batch;
use sextant_proto::layout;
use sextant_proto::v1::{Event, Severity};

const DEADLINE: Duration = Duration::from_secs(60);

struct Node {
    dir: tempfile::TempDir,
    file: ScenarioFile,
    fake: Library,
    gpu: Gpu,
    batch: Batch,
    /// The last value of each series, by name and labels.
    series: BTreeMap<String, f64>,
    /// Everything told so far that begins with "gpu." and is about more than states.
    events: Vec<Event>,
}

impl Node {
    fn new(change: impl FnOnce(&mut Scenario)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name| dir.path().join(name);
        fs::copy(fake_nvml::library_path().unwrap(), at("libnvidia-ml.so.1")).unwrap();
        mkfifoat(CWD, at("kmsg"), Mode::RUSR | Mode::WUSR).unwrap();
        let mut scenario = Scenario { kmsg: Some(at("kmsg")), ..Scenario::of("h100-sxm", 3) };
        change(&mut scenario);
        let file = ScenarioFile::create(at("scenario.toml"), scenario).unwrap();
        let fake = Library::open(&at("libnvidia-ml.so.1")).unwrap();
        fake.set_scenario(&file).unwrap();
        let here = || dir.path().to_path_buf();
        let paths = Paths {
            proc: here(),
            sys: here(),
            dev: here(),
            nvml: at("libnvidia-ml.so.1"),
            ..Paths::default()
        };
        let config = GpuConfig { release_file: at("release"), ..GpuConfig::default() };
        let gpu = Gpu::new(&config, &paths, &Arc::new(Attribution::new(here())));
        let (batch, series, events) = (Batch::default(), BTreeMap::new(), Vec::new());
        let mut node = Self { dir, file, fake, gpu, batch, series, events };
        node.until(Self::waits);
        node
    }

    /// Whether all GPUs have been asked to tell their events.
    fn waits(&self) -> bool {
        let stats = self.fake.stats().unwrap();
        stats.event_sets == 1 && stats.calls_of("nvmlDeviceRegisterEvents") >= 3
    }

    fn tick(&mut self) {
        self.batch.begin();
        self.gpu.collect(0, &mut self.batch).unwrap();
        let tick = self.batch.finish("gpu", 1_000);
        let shape = layout::decode(tick.layout.0, &tick.layout.1).unwrap();
        let mut values = tick.values.iter();
        self.series.clear();
        for entity in &shape.entities {
            for series in &entity.series {
                let labels = entity.labels.iter().chain(&series.labels);
                let labels: Vec<_> = labels.map(|l| format!("{}={:?}", l.name, l.value)).collect();
                let name = &shape.metrics[usize::try_from(series.metric).unwrap()].name;
                let name = format!("{name}{{{}}}", labels.join(","));
                self.series.insert(name, *values.next().unwrap());
            }
        }
        let told = |event: &Event| event.attributes.iter().any(|label| label.name == "source");
        self.events.extend(tick.events.into_iter().filter(told));
    }

    fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + DEADLINE;
        loop {
            self.tick();
            if done(self) {
                return;
            }
            assert!(Instant::now() < end, "{:#?}\n{:#?}", self.events, self.series);
            std::thread::yield_now();
        }
    }

    fn uuids(&self) -> Vec<String> {
        let gpus = self.series.keys().filter_map(|name| name.strip_prefix("gpu_xid_last{uuid=\""));
        gpus.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    }

    /// How often each GPU had the Xid.
    fn counts(&self, xid: u32) -> Vec<f64> {
        let name = |uuid: &str| format!("gpu_xid_errors_total{{uuid={uuid:?},xid=\"{xid}\"}}");
        let count = |uuid: &String| self.series.get(&name(uuid)).copied().unwrap_or(0.0);
        self.uuids().iter().map(count).collect()
    }

    fn total(&self, xid: u32) -> f64 {
        self.counts(xid).iter().sum()
    }

    fn value(&self, name: &str) -> f64 {
        self.series.get(name).copied().unwrap_or_else(|| panic!("{name}: {:#?}", self.series))
    }

    fn happens(&mut self, entry: Entry) {
        self.file.push(entry).unwrap();
        self.fake.reload().unwrap();
    }

    fn log(&self, text: &str) {
        let mut log = File::options().append(true).open(self.dir.path().join("kmsg")).unwrap();
        log.write_all(text.as_bytes()).unwrap();
    }
}

fn xid(code: u64) -> Act {
    Act { xid: Some(Xid::Plain(code)), ..Act::default() }
}

fn attribute<'a>(event: &'a Event, name: &str) -> Option<&'a str> {
    event.attributes.iter().find(|label| label.name == name).map(|label| label.value.as_str())
}

#[test]
fn gpu_without_events_does_not_silence_the_others() {
    let mut node = Node::new(|scenario| {
        scenario.kmsg = None;
        let status = [("RegisterEvents".to_owned(), Code::NOT_SUPPORTED)].into();
        let deaf = Entry::gpu(1).set(Conditions { status, ..Conditions::default() });
        scenario.timeline.push(deaf);
    });
    node.happens(Entry::all().act(xid(31)));
    node.until(|node| node.total(31) >= 2.0);
    assert_eq!(node.counts(31).iter().filter(|count| **count == 1.0).count(), 2);
    let sources: Vec<_> = node.events.iter().map(|event| attribute(event, "source")).collect();
    assert_eq!(sources, [Some("nvml"); 2]);
}

#[test]
fn same_xid_twice_counts_two_though_both_sources_tell_it() {
    let mut node = Node::new(|_| ());
    node.happens(Entry::gpu(0).act(xid(13)));
    node.until(|node| node.events.len() == 1);
    node.happens(Entry::gpu(0).act(xid(13)));
    node.until(|node| node.events.len() == 2);
    node.happens(Entry::gpu(0).act(xid(48)));
    node.until(|node| node.total(48) == 1.0);
    assert_eq!(node.total(13), 2.0);
    let sources: Vec<_> = node.events.iter().map(|event| attribute(event, "source")).collect();
    assert_eq!(sources, [Some("both"); 3]);
    let event = node.events.last().unwrap();
    assert_eq!((event.r#type.as_str(), event.severity()), ("gpu.xid", Severity::Critical));
    assert!(node.uuids().contains(&event.entity[0].value));
    assert!(attribute(event, "text").unwrap().starts_with("An uncorrectable double bit error"));
}

#[test]
fn xids_that_only_the_log_tells_count_once() {
    let mut node = Node::new(|scenario| scenario.xids_not_in_events = vec![79, 119, 120]);
    for code in [79, 119, 120] {
        node.happens(Entry::gpu(2).act(xid(code)));
    }
    node.happens(Entry::gpu(2).act(xid(94)));
    node.until(|node| node.events.len() >= 4);
    for code in [79, 94, 119, 120] {
        assert_eq!(node.total(code), 1.0, "{code}");
    }
    let source = |event: &Event| {
        let [xid, source] =
            ["xid", "source"].map(|name| attribute(event, name).unwrap().to_owned());
        (xid, source)
    };
    let sources: BTreeMap<_, _> = node.events.iter().map(source).collect();
    let want = [("79", "kmsg"), ("94", "both"), ("119", "kmsg"), ("120", "kmsg")];
    assert_eq!(sources, want.map(|(xid, source)| (xid.to_owned(), source.to_owned())).into());
}

#[test]
fn xid_of_a_mig_instance_says_which() {
    let mut node = Node::new(|_| ());
    let instance = Xid::Instance { code: 94, gpu_instance: 2, compute_instance: 1 };
    node.happens(Entry::gpu(1).act(Act { xid: Some(instance), ..Act::default() }));
    node.until(|node| node.events.len() == 1);
    let event = &node.events[0];
    let got = ["gpu_instance", "compute_instance", "source"].map(|name| attribute(event, name));
    assert_eq!(got, [Some("2"), Some("1"), Some("both")]);
}

#[test]
fn flood_in_the_log_is_counted_and_does_not_stop_the_gpus_from_being_read() {
    const LINES: u32 = 5_000;
    let mut node = Node::new(|_| ());
    let line =
        |n| format!("3,{n},1,-;NVRM: Xid (PCI:0000:ff:00): 13, pid='<unknown>', name=a, b\n");
    let path = node.dir.path().join("kmsg");
    let writer = std::thread::spawn(move || {
        let mut log = File::options().append(true).open(path).unwrap();
        for number in 0..LINES {
            log.write_all(line(number).as_bytes()).unwrap();
        }
        log.write_all(b"3,5000,1,-;NVRM: Xid (PCI:0000:ff:00): 45, after\n").unwrap();
    });
    let count = |node: &Node, xid| {
        let name = format!("gpu_xid_errors_total{{pci_bus_id=\"0000:ff:00.0\",xid=\"{xid}\"}}");
        node.series.get(&name).copied().unwrap_or(0.0)
    };
    node.until(|node| {
        assert!(node.series.keys().any(|name| name.starts_with("gpu_power_watts{")));
        count(node, 45) == 1.0
    });
    writer.join().unwrap();
    let dropped = node.value("sextant_gpu_events_dropped_total{}");
    assert!(count(&node, 13) + dropped >= f64::from(LINES));
    assert_eq!(node.value("sextant_gpu_kmsg_dropped_total{}"), 0.0);
}

#[test]
fn messages_that_the_kernel_overwrote_are_counted() {
    let mut node = Node::new(|_| ());
    node.log("6,100,1,-;some driver: a message\n6,101,1,-;another\n SUBSYSTEM=pci\n");
    node.log("6,201,1,-;a hundred messages later minus one\n");
    node.until(|node| node.value("sextant_gpu_kmsg_dropped_total{}") == 99.0);
    assert!(node.events.is_empty());
}

#[test]
fn released_gpus_are_not_listened_to_and_their_counts_go_on() {
    let mut node = Node::new(|_| ());
    node.happens(Entry::gpu(0).act(xid(31)));
    node.until(|node| node.total(31) == 1.0);
    fs::write(node.dir.path().join("release"), "").unwrap();
    node.until(|node| {
        let stats = node.fake.stats().unwrap();
        stats.event_sets == 0 && stats.initialised == 0
    });
    node.happens(Entry::gpu(0).act(xid(79)));
    node.until(|node| node.total(79) == 1.0);
    assert_eq!(attribute(node.events.last().unwrap(), "source"), Some("kmsg"));
    node.fake.reset_stats();
    fs::remove_file(node.dir.path().join("release")).unwrap();
    node.until(Node::waits);
    node.happens(Entry::gpu(0).act(xid(31)));
    node.until(|node| node.total(31) == 2.0);
    let stats = node.fake.stats().unwrap();
    assert_eq!((stats.freed_set_use, stats.use_after_shutdown), (0, 0));
}
