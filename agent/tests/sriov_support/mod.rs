//! For tests of the SR-IOV collector: its fixture, a kernel that answers, and what the collector
//! produces as Prometheus text.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use sextant_agent::collectors::pods::Attribution;
use sextant_agent::collectors::sriov::ethtool::{Ethtool, NAME_BYTES};
use sextant_agent::collectors::sriov::{Kernel, Sriov, SriovConfig};
use sextant_agent::collectors::{CollectError, Collector, Paths};
use sextant_agent::netlink::Netlink;
use sextant_agent::netlink::generic::Generic;
use sextant_agent::netlink::route::{LinkEvents, Route};
use sextant_agent::sample::Batch;
use sextant_proto::layout;
use sextant_proto::v1::{Event, Label};

#[path = "../../src/netlink/fake.rs"]
pub(crate) mod fake;
#[path = "../../src/collectors/sriov/tests/kernel.rs"]
pub(crate) mod kernel;
#[path = "../../src/collectors/sriov/tests/tree.rs"]
pub(crate) mod tree;

use self::kernel::FakeKernel;

/// Samples by series: `name{label="value",...}`, labels by name.
pub(crate) type Samples = BTreeMap<String, f64>;

/// What a tick came to.
#[derive(Debug, Default)]
pub(crate) struct Tick {
    pub(crate) samples: Samples,
    pub(crate) events: Vec<Event>,
    pub(crate) failures: Vec<String>,
    pub(crate) absent: bool,
}

impl Tick {
    /// The events' types, each with its entity and attributes: "sriov.link_down pf=eth0 ...".
    pub(crate) fn told(&self) -> Vec<String> {
        let text = |labels: &[Label]| -> String {
            labels.iter().map(|label| format!(" {}={}", label.name, label.value)).collect()
        };
        let event = |e: &Event| format!("{}{}{}", e.r#type, text(&e.entity), text(&e.attributes));
        self.events.iter().map(event).collect()
    }

    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        self.samples.get(series).copied()
    }
}

/// The captured node.
pub(crate) fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/sriov")
}

/// Paths of a node whose sysfs is below `root`, and nothing else.
pub(crate) fn paths(root: &Path) -> Paths {
    let at = |dir: &str| root.join(dir);
    Paths { sys: at("sys"), proc: at("proc"), run: at("run"), ..Paths::default() }
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// ethtool of a driver with four counters, the third one of which is no loss.
const ETHTOOL: Ethtool = Ethtool {
    count: |_| Ok(4),
    names: |_, _| {
        let names = ["rx_crc_errors", "rx_out_of_buffer", "rx_packets", "rx_missed_errors"];
        Ok(names.iter().flat_map(|name| format!("{name:\0<NAME_BYTES$}").into_bytes()).collect())
    },
    values: |_, _| Ok(vec![1, 2, 3, 4]),
    firmware: |_| Ok("3.25, 0x800005cc".into()),
};

/// The collector below `root`, asking `kernel`. Calls take no time.
pub(crate) fn sriov(root: &Path, kernel: &FakeKernel) -> Sriov {
    let [route, events, generic] = [kernel.clone(), kernel.clone(), kernel.clone()];
    let kernel = Kernel {
        route: Arc::new(move || Netlink::from_fd(route.route()).map(Route::new)),
        events: Arc::new(move || Netlink::from_fd(events.events()).map(LinkEvents::new)),
        generic: Arc::new(move || Netlink::from_fd(generic.generic()).map(Generic::new)),
        ethtool: ETHTOOL,
        clock: || *START,
    };
    let paths = paths(root);
    let pods = Arc::new(Attribution::new(paths.proc.clone()));
    Sriov::with_kernel(&SriovConfig::default(), &paths, &pods, kernel)
}

/// One read of a tier.
pub(crate) fn tick(collector: &mut dyn Collector, tier: usize) -> Tick {
    let mut batch = Batch::default();
    batch.begin();
    let outcome = collector.collect(tier, &mut batch);
    let absent = match outcome {
        Ok(()) => false,
        Err(CollectError::Absent(_)) => true,
        Err(error) => panic!("tier {tier}: {error}"),
    };
    let failures = batch.failures().iter().map(|(source, e)| format!("{source}: {e}")).collect();
    assert_eq!(batch.overflow(), 0);
    let tick = batch.finish("sriov", 1000);
    let layout = layout::decode(tick.layout.0, &tick.layout.1).expect("a valid layout");
    let mut values = tick.values.iter();
    let mut samples = Samples::new();
    for entity in &layout.entities {
        for series in &entity.series {
            let name = &layout.metrics[series.metric as usize].name;
            let key = key(name, entity.labels.iter().chain(&series.labels));
            let value = *values.next().expect("a value per series");
            if !value.is_nan() {
                assert_eq!(samples.insert(key.clone(), value), None, "{key} is there twice");
            }
        }
    }
    Tick { samples, events: tick.events, failures, absent }
}

fn key<'a>(name: &str, labels: impl Iterator<Item = &'a Label>) -> String {
    let mut labels: Vec<_> = labels.map(|l| format!("{}=\"{}\"", l.name, l.value)).collect();
    if labels.is_empty() {
        return name.to_owned();
    }
    labels.sort();
    format!("{name}{{{}}}", labels.join(","))
}

/// The metric that a series is of.
pub(crate) fn family(series: &str) -> &str {
    series.split('{').next().expect("split gives at least one")
}
