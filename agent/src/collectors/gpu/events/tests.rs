use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use std::time::Duration;

use sextant_proto::layout;
use sextant_proto::v1::{Event, Severity};

use super::queue::What;
use super::told::{AGAIN, RECORDS_PER_TICK};
use super::*;
use crate::clock::now_ms;

const UUID: &str = "GPU-9a613ad4-057b-4fb1-8572-ae2d3c112a92";
const DEADLINE: Duration = Duration::from_secs(30);

/// A node with a log that is a plain file.
struct Node {
    dir: tempfile::TempDir,
    events: Events,
    batch: Batch,
    now: Instant,
}

/// What one tick told: series as `name{label="value"}` with values, and records.
struct Tick {
    series: Vec<(String, f64)>,
    events: Vec<Event>,
    layout: u64,
}

impl Tick {
    fn value(&self, name: &str) -> Option<f64> {
        self.series.iter().find(|series| series.0 == name).map(|series| series.1)
    }

    fn kinds(&self) -> Vec<&str> {
        self.events.iter().map(|event| event.r#type.as_str()).collect()
    }
}

fn attribute<'a>(event: &'a Event, name: &str) -> Option<&'a str> {
    event.attributes.iter().find(|label| label.name == name).map(|label| label.value.as_str())
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        File::create(dir.path().join("kmsg")).unwrap();
        let path = dir.path().to_path_buf();
        let paths = Paths { dev: path.clone(), sys: path.clone(), ..Paths::default() };
        let events = Events::new(&paths, &Arc::new(Attribution::new(path)));
        Self { dir, events, batch: Batch::default(), now: Instant::now() }
    }

    fn gpu() -> Gpu {
        Gpu { uuid: UUID.into(), address: PciAddress::parse("0000:3b:00.0") }
    }

    fn knows_gpu(mut self) -> Self {
        self.events.told.gpus.of(&Self::gpu());
        self
    }

    /// What the thread that reads the log does with a line.
    fn log(&self, text: &str) {
        let line = nvrm::parse(text).unwrap();
        let what = What::Kernel { line, process: None };
        self.events.queue.push(Seen { at: self.now, time_ms: now_ms(), what });
    }

    /// What the thread that listens to NVML does with an event.
    fn driver(&self, kind: u64, data: u64) {
        let what = What::Driver {
            gpu: Self::gpu(),
            kind,
            data,
            gpu_instance: Some(3),
            compute_instance: None,
        };
        self.events.queue.push(Seen { at: self.now, time_ms: now_ms(), what });
    }

    /// A tick a second after the last one.
    fn tick(&mut self) -> Tick {
        self.now += Duration::from_secs(1);
        self.tick_now()
    }

    fn tick_now(&mut self) -> Tick {
        self.batch.begin();
        self.events.collect_at(&mut self.batch, self.now);
        let tick = self.batch.finish("gpu", 1_000);
        let shape = layout::decode(tick.layout.0, &tick.layout.1).unwrap();
        let names = shape.entities.iter().flat_map(|entity| {
            entity.series.iter().map(|series| {
                let labels: Vec<_> =
                    series.labels.iter().map(|l| format!("{}={:?}", l.name, l.value)).collect();
                let name = &shape.metrics[series.metric as usize].name;
                format!("{}:{name}{{{}}}", entity.r#type, labels.join(","))
            })
        });
        let series = names.zip(tick.values.iter().copied()).collect();
        Tick { series, events: tick.events, layout: tick.layout.0 }
    }
}

const XID_79: &str =
    "NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, name=python, GPU has fallen off the bus.";

#[test]
fn xid_of_both_sources_counts_once_and_says_what_both_know() {
    let mut node = Node::new().knows_gpu();
    assert_eq!(node.tick().value("gpu:gpu_xid_last{}"), Some(0.0));
    node.driver(kinds::XID, 94);
    node.log("NVRM: Xid (PCI:0000:3b:00): 94, pid=7, name=python, Contained: SM (0x1). RST: No, D-RST: No");
    let tick = node.tick();
    assert_eq!(tick.value("gpu:gpu_xid_errors_total{xid=\"94\"}"), Some(1.0));
    assert_eq!(tick.value("gpu:gpu_xid_last{}"), Some(94.0));
    assert!(tick.value("gpu:gpu_xid_last_timestamp_seconds{xid=\"94\"}").unwrap() > 1e9);
    assert_eq!(tick.kinds(), ["gpu.xid"]);
    let event = &tick.events[0];
    assert_eq!((event.entity_type.as_str(), event.entity[0].value.as_str()), ("gpu", UUID));
    assert_eq!(event.severity(), Severity::Warning);
    for (name, want) in [
        ("xid", Some("94")),
        ("pci_bus_id", Some("0000:3b:00.0")),
        ("source", Some("both")),
        ("pid", Some("7")),
        ("process", Some("python")),
        ("gpu_instance", Some("3")),
        ("compute_instance", None),
        ("location", Some("SM")),
        ("text", Some("Contained: SM (0x1). RST: No, D-RST: No")),
    ] {
        assert_eq!(attribute(event, name), want, "{name}");
    }
    assert!(node.tick().events.is_empty());
}

#[test]
fn same_xid_twice_from_one_source_counts_twice() {
    let mut node = Node::new().knows_gpu();
    node.driver(kinds::XID, 31);
    node.driver(kinds::XID, 31);
    let tick = node.tick();
    assert_eq!(tick.value("gpu:gpu_xid_errors_total{xid=\"31\"}"), Some(2.0));
    assert_eq!(tick.events.len(), 2);
    assert_eq!(attribute(&tick.events[0], "source"), Some("nvml"));
    node.log("NVRM: Xid (PCI:0000:3b:00): 31, pid=7, name=a, late");
    assert!(node.tick().events.is_empty());
    node.now += Duration::from_secs(10);
    node.log("NVRM: Xid (PCI:0000:3b:00): 31, pid=7, name=a, another");
    assert_eq!(node.tick().value("gpu:gpu_xid_errors_total{xid=\"31\"}"), Some(3.0));
}

#[test]
fn xid_that_only_the_log_tells_counts_and_asks_for_a_look_at_the_gpu() {
    let mut node = Node::new().knows_gpu();
    node.log(XID_79);
    node.log("NVRM: GPU 0000:3b:00.0: GPU has fallen off the bus.");
    node.log("NVRM: Xid (PCI:0000:3b:00): 154, GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)");
    for xid in [119, 120] {
        node.log(&format!("NVRM: Xid (PCI:0000:3b:00): {xid}, pid=1, name=a, GSP"));
    }
    let tick = node.tick();
    assert_eq!(tick.kinds(), ["gpu.xid"; 4]);
    for xid in [79, 119, 120, 154] {
        let name = format!("gpu:gpu_xid_errors_total{{xid=\"{xid}\"}}");
        assert_eq!(tick.value(&name), Some(1.0), "{xid}");
    }
    assert!(tick.events.iter().all(|event| event.severity() == Severity::Critical));
    let at = || "0000:3b:00.0".to_owned();
    assert_eq!(node.events.hints(), [Hint::Lost(at()), Hint::RecoveryAction(at())]);
    assert_eq!(node.events.hints(), []);
}

#[test]
fn gpu_that_falls_off_without_an_xid_is_told_once() {
    let mut node = Node::new();
    let text = "NVRM: GPU 0000:5e:00.0: GPU has fallen off the bus.";
    node.log(text);
    assert!(node.tick_now().events.is_empty());
    node.log(text);
    let tick = node.tick();
    assert_eq!(tick.kinds(), ["gpu.unavailable"]);
    assert_eq!(tick.events[0].entity_type, "pci");
    assert_eq!(tick.value("pci:gpu_events_total{event=\"unavailable\"}"), Some(1.0));
    assert_eq!(node.events.hints(), [Hint::Lost("0000:5e:00.0".into())]);
    node.log(text);
    assert!(node.tick().events.is_empty());
}

#[test]
fn gpu_is_named_by_its_uuid_once_the_log_says_it() {
    let mut node = Node::new();
    node.log(XID_79);
    let tick = node.tick();
    assert_eq!(tick.events[0].entity_type, "pci");
    assert_eq!(tick.value("pci:gpu_xid_errors_total{xid=\"79\"}"), Some(1.0));
    node.log(&format!("NVRM: GPU at PCI:0000:3b:00: {UUID}"));
    assert_eq!(node.tick().value("gpu:gpu_xid_errors_total{xid=\"79\"}"), Some(1.0));
}

#[test]
fn other_events_of_the_driver_are_counted_and_frequent_ones_are_rarely_told() {
    let mut node = Node::new().knows_gpu();
    let what = What::Listening { gpu: Node::gpu(), kinds: 0x8 | 0x2 | kinds::CLOCK };
    node.events.queue.push(Seen { at: node.now, time_ms: 0, what });
    let tick = node.tick();
    assert_eq!(tick.value("gpu:gpu_events_total{event=\"clock\"}"), Some(0.0));
    assert_eq!(tick.value("gpu:gpu_events_total{event=\"double_bit_ecc\"}"), Some(0.0));
    assert_eq!(tick.value("gpu:gpu_events_total{event=\"ecc_storm\"}"), None);
    for kind in
        [kinds::CLOCK, kinds::CLOCK, 0x2, 0x2, 0x200, 0x2000, kinds::RECOVERY_ACTION, 0x4_0000]
    {
        node.driver(kind, 0);
    }
    let tick = node.tick();
    assert_eq!(
        tick.kinds(),
        [
            "gpu.clock_changed",
            "gpu.ecc_double_bit",
            "gpu.ecc_double_bit",
            "gpu.ecc_storm",
            "gpu.poison",
            "gpu.recovery_action",
            "gpu.unknown_event"
        ]
    );
    assert_eq!(tick.value("gpu:gpu_events_total{event=\"clock\"}"), Some(2.0));
    assert_eq!(tick.value("gpu:gpu_events_total{event=\"unknown\"}"), Some(1.0));
    assert_eq!(attribute(&tick.events[6], "kind"), Some("0x40000"));
    assert_eq!(node.events.hints(), [Hint::RecoveryAction("0000:3b:00.0".into())]);
}

#[test]
fn what_concerns_the_node_is_told_once_a_minute() {
    let mut node = Node::new();
    for _ in 0..3 {
        node.log("NVRM: API mismatch: the client has the version 1.2, but this kernel module has the version 3.4.");
        node.log("NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x24:0x72:1447)");
        node.log("NVRM: RmInitAdapter failed! (0x24:0x72:1447)");
        node.log("nvidia-nvswitch0: SXid (PCI:0000:59:00.0): 23001, Fatal, Link 12 Always Fatal");
    }
    let tick = node.tick();
    let count = |kind| tick.kinds().into_iter().filter(|k| *k == kind).count();
    assert_eq!(count("gpu.driver_mismatch"), 1);
    assert_eq!(count("gpu.init_failed"), 2);
    assert_eq!(count("gpu.sxid"), 3);
    assert_eq!(node.events.hints(), [Hint::Reenumerate]);
    node.now += AGAIN;
    node.log("NVRM: API mismatch: the client has the version 1.2, but this kernel module has the version 3.4.");
    assert_eq!(node.tick().kinds(), ["gpu.driver_mismatch"]);
}

#[test]
fn flood_is_counted_whole_and_told_in_part() {
    let mut node = Node::new().knows_gpu();
    for _ in 0..1_000 {
        node.driver(kinds::XID, 13);
        node.driver(0x2, 0);
    }
    let tick = node.tick();
    assert_eq!(tick.value("gpu:gpu_xid_errors_total{xid=\"13\"}"), Some(1_000.0));
    assert_eq!(tick.value("gpu:gpu_events_total{event=\"double_bit_ecc\"}"), Some(1_000.0));
    assert_eq!(tick.events.len(), RECORDS_PER_TICK);
    let dropped = tick.value("node:sextant_gpu_events_dropped_total{}").unwrap();
    assert_eq!(dropped, 2_000.0 - 128.0);
}

#[test]
fn steady_tick_keeps_its_shape() {
    let mut node = Node::new().knows_gpu();
    node.driver(kinds::XID, 13);
    let first = node.tick().layout;
    for _ in 0..5 {
        assert_eq!(node.tick().layout, first);
    }
    node.driver(kinds::XID, 13);
    assert_eq!(node.tick().layout, first);
}

fn until(node: &mut Node, done: impl Fn(&Tick) -> bool) -> Tick {
    let end = Instant::now() + DEADLINE;
    loop {
        node.now = Instant::now();
        let tick = node.tick_now();
        if done(&tick) {
            return tick;
        }
        assert!(Instant::now() < end, "{:?}", tick.series);
        std::thread::yield_now();
    }
}

fn append(dir: &Path, text: &str) {
    let mut log = File::options().append(true).open(dir.join("kmsg")).unwrap();
    log.write_all(text.as_bytes()).unwrap();
}

#[test]
fn log_is_read_once_there_is_a_gpu() {
    let mut node = Node::new();
    assert!(node.events.pci_gpus().is_empty());
    assert_eq!(node.tick().value("node:sextant_gpu_kmsg_dropped_total{}"), None);
    let device = node.dir.path().join("bus/pci/devices/0000:3b:00.0");
    fs::create_dir_all(&device).unwrap();
    for (name, text) in [("vendor", "0x10de"), ("class", "0x030200"), ("device", "0x2330")] {
        fs::write(device.join(name), text).unwrap();
    }
    append(node.dir.path(), &format!("3,1,1,-;{XID_79}\n"));
    assert_eq!(node.events.pci_gpus().len(), 1);
    // What is written before the log is open does not count, and opening takes a moment.
    let (mut sequence, mut events) = (10, Vec::new());
    let end = Instant::now() + DEADLINE;
    let tick = loop {
        append(node.dir.path(), &format!("3,{sequence},1,-;{}\n", XID_79.replace("79", "48")));
        sequence += 3;
        node.now = Instant::now();
        let mut tick = node.tick_now();
        events.append(&mut tick.events);
        let lost = tick.value("node:sextant_gpu_kmsg_dropped_total{}");
        if lost.is_some_and(|lost| lost > 0.0) && !events.is_empty() {
            break tick;
        }
        assert!(Instant::now() < end);
        std::thread::yield_now();
    };
    assert_eq!(attribute(&events[0], "xid"), Some("48"));
    assert_eq!(tick.value("pci:gpu_xid_errors_total{xid=\"79\"}"), None);
}

#[test]
fn log_that_is_not_there_is_reported() {
    let mut node = Node::new();
    fs::remove_file(node.dir.path().join("kmsg")).unwrap();
    node.events.listen_to_log();
    let name =
        "node:sextant_unavailable{metric=\"sextant_gpu_kmsg_dropped_total\",reason=\"not_found\"}";
    until(&mut node, |tick| tick.value(name) == Some(1.0));
}
