//! What the tests of the ptp collector share: a tick as values by name.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use sextant_agent::collectors::ptp::clocks::ClocksConfig;
use sextant_agent::collectors::ptp::{Ptp, PtpConfig};
use sextant_agent::collectors::{CollectError, Paths};
use sextant_agent::sample::Batch;
use sextant_proto::v1::Event;
use sextant_proto::{frame, layout};

/// A collector with a batch for each tier, as the runner has them.
pub(crate) struct Watch {
    pub(crate) ptp: Ptp,
    batches: [Batch; 2],
}

/// What a tick came to.
pub(crate) struct Tick {
    /// By `name{label="value",…}`, labels in their order, the entity's with them.
    pub(crate) values: BTreeMap<String, f64>,
    pub(crate) events: Vec<Event>,
}

impl Watch {
    pub(crate) fn new(config: &PtpConfig, paths: &Paths) -> Self {
        let (chrony, gpsd) = (String::new(), String::new());
        // What this machine's own clock is like is no matter of the test's.
        let clocks = ClocksConfig { phc: true, system: false, chrony, gpsd };
        let config = PtpConfig { clocks, ..config.clone() };
        Self { ptp: Ptp::new(&config, paths), batches: Default::default() }
    }

    /// One tick of a tier at a time of the test's.
    pub(crate) fn tick_at(&mut self, now: Duration, tier: usize) -> Tick {
        let batch = &mut self.batches[tier];
        batch.begin();
        if let Err(error) = self.ptp.collect_at(now, tier, batch) {
            assert!(matches!(error, CollectError::Absent(_)), "{error}");
            batch.begin();
        }
        assert!(batch.failures().is_empty(), "{:?}", batch.failures());
        let tick = batch.finish("ptp", 1000);
        let layout = layout::decode(tick.layout.0, &tick.layout.1).unwrap();
        let mut values = BTreeMap::new();
        let mut column = tick.values.iter();
        for entity in &layout.entities {
            for series in &entity.series {
                let value = *column.next().unwrap();
                let labels = entity.labels.iter().chain(&series.labels);
                let mut labels: Vec<_> =
                    labels.map(|l| format!("{}={:?}", l.name, l.value)).collect();
                labels.sort();
                let name = &layout.metrics[series.metric as usize].name;
                if !frame::is_absent(value) {
                    values.insert(format!("{name}{{{}}}", labels.join(",")), value);
                }
            }
        }
        Tick { values, events: tick.events }
    }
}

impl Tick {
    /// The value of the one series of this name whose labels hold all of these texts.
    pub(crate) fn get(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let prefix = format!("{name}{{");
        let found = self.values.iter().filter(|(key, _)| {
            key.starts_with(&prefix) && labels.iter().all(|label| key.contains(label))
        });
        let found: Vec<_> = found.collect();
        assert!(found.len() < 2, "several {name} {labels:?}: {found:?}");
        found.first().map(|(_, value)| **value)
    }

    /// The events of a type, as their attributes' "name=value name=value".
    pub(crate) fn told(&self, kind: &str) -> Vec<String> {
        let events = self.events.iter().filter(|event| event.r#type == kind);
        let text = |event: &Event| {
            let pairs = event.attributes.iter().map(|l| format!("{}={}", l.name, l.value));
            pairs.collect::<Vec<_>>().join(" ")
        };
        events.map(text).collect()
    }
}

/// A node below a directory: only `run` is there.
pub(crate) fn paths(root: &Path) -> Paths {
    Paths {
        proc: root.join("proc"),
        sys: root.join("sys"),
        run: root.join("run"),
        root: root.to_owned(),
        dev: root.join("dev"),
        nvml: root.join("nvml"),
    }
}
