//! For tests of the GPU collector: a node whose NVML is the fake one, ticks at a time that the
//! test sets, and what they produce as series.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fake_nvml::scenario::{Conditions, Entry, Scenario};
use fake_nvml::{Library, ScenarioFile, Stats};
use parking_lot::{Mutex, MutexGuard};
use sextant_agent::collectors::gpu::{Gpu, GpuConfig};
use sextant_agent::collectors::pods::Attribution;
use sextant_agent::collectors::{CollectError, Collector, Paths};
use sextant_agent::sample::Batch;
use sextant_proto::layout;
use sextant_proto::v1::Event;

pub(crate) const FAST: usize = 0;
pub(crate) const MEDIUM: usize = 1;
pub(crate) const SLOW: usize = 2;

/// One process has one scenario: tests of a program take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Samples by series: `name{label="value",...}`, labels by name; absent samples are NaN.
pub(crate) type Samples = BTreeMap<String, f64>;

/// A node and its collector.
pub(crate) struct Node {
    pub(crate) gpu: Gpu,
    _settled: Settled,
    pub(crate) scenario: ScenarioFile,
    pub(crate) library: Library,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) config: GpuConfig,
    pub(crate) events: Vec<Event>,
    /// Seconds of the collector's clock, in thousandths.
    clock: Arc<AtomicU64>,
    batches: [Batch; 3],
    _turn: MutexGuard<'static, ()>,
}

/// Dropped after the collector: waits until its threads have let go of the library. A shutdown
/// that comes late would end the next test's session.
struct Settled;

impl Drop for Settled {
    fn drop(&mut self) {
        let Ok(library) = Library::beside() else { return };
        let patience = Instant::now() + Duration::from_secs(10);
        while library.stats().is_ok_and(|stats| stats.initialised > 0) && Instant::now() < patience
        {
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

/// A node with these GPUs.
pub(crate) fn node(scenario: Scenario) -> Node {
    with(scenario, |_, _| {})
}

/// A node with these GPUs and changes to configuration and paths.
pub(crate) fn with(scenario: Scenario, change: impl FnOnce(&mut GpuConfig, &mut Paths)) -> Node {
    let turn = TURN.lock();
    let dir = tempfile::tempdir().unwrap();
    let scenario = ScenarioFile::create(dir.path().join("scenario.toml"), scenario).unwrap();
    let library = Library::beside().unwrap();
    library.set_scenario(&scenario).unwrap();
    library.reset_stats();
    let at = |name: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    let mut paths = Paths {
        proc: at("proc"),
        sys: at("sys"),
        run: at("run"),
        root: at("root"),
        dev: at("dev"),
        nvml: fake_nvml::library_path().unwrap(),
    };
    let mut config = GpuConfig {
        release_file: at("run").join("release"),
        // Nothing here waits for an interval to pass. A tick waits for the GPUs' threads for a
        // part of it, and does not lose patience with a busy machine.
        interval: Duration::from_secs(60),
        ..GpuConfig::default()
    };
    change(&mut config, &mut paths);
    let clock = Arc::new(AtomicU64::new(0));
    let time = Arc::clone(&clock);
    let attribution = Arc::new(Attribution::new(paths.proc.clone()));
    let now = Arc::new(move || Duration::from_millis(time.load(Ordering::Relaxed)));
    let gpu = Gpu::with_clock(&config, &paths, &attribution, now);
    Node {
        gpu,
        _settled: Settled,
        scenario,
        library,
        dir,
        config,
        events: Vec::new(),
        clock,
        batches: Default::default(),
        _turn: turn,
    }
}

impl Node {
    /// Lets the collector's clock go on.
    pub(crate) fn advance(&self, seconds: f64) {
        let thousandths = Duration::from_secs_f64(seconds).as_millis();
        self.clock.fetch_add(u64::try_from(thousandths).unwrap(), Ordering::Relaxed);
    }

    /// One tick of a tier.
    pub(crate) fn tick(&mut self, tier: usize) -> Result<Samples, CollectError> {
        let batch = &mut self.batches[tier];
        batch.begin();
        let outcome = self.gpu.collect(tier, batch);
        assert_eq!(batch.overflow(), 0);
        let tick = batch.finish("gpu", 1000);
        self.events.extend(tick.events);
        outcome?;
        let layout = layout::decode(tick.layout.0, &tick.layout.1).expect("a valid layout");
        let mut values = tick.values.iter();
        let mut out = Samples::new();
        for entity in &layout.entities {
            for series in &entity.series {
                let name = &layout.metrics[series.metric as usize].name;
                let labels = entity.labels.iter().chain(&series.labels);
                let mut labels: Vec<_> =
                    labels.map(|l| format!("{}=\"{}\"", l.name, l.value)).collect();
                labels.sort();
                let key = match labels.is_empty() {
                    true => name.clone(),
                    false => format!("{name}{{{}}}", labels.join(",")),
                };
                let value = *values.next().expect("a value per series");
                assert_eq!(out.insert(key.clone(), value), None, "{key} is there twice");
            }
        }
        Ok(out)
    }

    pub(crate) fn fast(&mut self) -> Samples {
        self.tick(FAST).unwrap()
    }

    pub(crate) fn medium(&mut self) -> Samples {
        self.tick(MEDIUM).unwrap()
    }

    pub(crate) fn slow(&mut self) -> Samples {
        self.tick(SLOW).unwrap()
    }

    /// Fast ticks, a second of the collector's clock apart, until one is as wanted.
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&Samples) -> bool) -> Samples {
        let patience = Instant::now() + Duration::from_secs(20);
        loop {
            self.advance(1.0);
            match self.tick(FAST) {
                Ok(samples) if wanted(&samples) => return samples,
                told => assert!(Instant::now() < patience, "never {what}: {told:#?}"),
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Fast ticks until so many GPUs have values.
    pub(crate) fn until_read(&mut self, gpus: usize) -> Samples {
        self.until(&format!("{gpus} GPUs read"), |samples| {
            count(samples, "gpu_temperature_celsius") == gpus
        })
    }

    /// Adds to what happens, and makes it so now.
    pub(crate) fn happen(&mut self, entry: Entry) {
        self.scenario.push(entry).unwrap();
        self.library.reload().unwrap();
    }

    /// Takes back what was set.
    pub(crate) fn calm(&mut self) {
        self.scenario.calm().unwrap();
        self.library.reload().unwrap();
    }

    pub(crate) fn stats(&self) -> Stats {
        self.library.stats().unwrap()
    }

    pub(crate) fn release_file(&self) -> PathBuf {
        self.config.release_file.clone()
    }

    /// Types of the events so far.
    pub(crate) fn event_types(&self) -> Vec<&str> {
        self.events.iter().map(|event| event.r#type.as_str()).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // What hangs must not hang in the next test.
        if self.scenario.calm().is_ok() {
            drop(self.library.reload());
        }
    }
}

/// Waits in earnest, for what is measured between two instants.
pub(crate) fn pause(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// Conditions of which one is changed.
pub(crate) fn conditions(change: impl FnOnce(&mut Conditions)) -> Conditions {
    let mut conditions = Conditions::default();
    change(&mut conditions);
    conditions
}

/// Samples of a metric that are there.
pub(crate) fn count(samples: &Samples, metric: &str) -> usize {
    of(samples, metric).filter(|(_, value)| !value.is_nan()).count()
}

/// Series of a metric.
pub(crate) fn of<'a>(
    samples: &'a Samples,
    metric: &'a str,
) -> impl Iterator<Item = (&'a str, f64)> {
    let is_of = move |key: &str| key.split('{').next() == Some(metric);
    samples.iter().filter(move |(key, _)| is_of(key)).map(|(key, value)| (key.as_str(), *value))
}

/// The one value of a metric whose series has all of these labels.
pub(crate) fn value(samples: &Samples, metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let has = |key: &str| labels.iter().all(|(n, v)| key.contains(&format!("{n}=\"{v}\"")));
    let mut found = of(samples, metric).filter(|(key, _)| has(key));
    let first = found.next().map(|(_, value)| value);
    assert!(found.next().is_none(), "more than one {metric} {labels:?}");
    first
}

/// GPUs that are in a state, by UUID.
pub(crate) fn in_state(samples: &Samples, state: &str) -> Vec<String> {
    let is =
        |(key, value): &(&str, f64)| *value == 1.0 && key.contains(&format!("state=\"{state}\""));
    let uuid = |key: &str| {
        let uuid = key.split("uuid=\"").nth(1).and_then(|rest| rest.split('"').next());
        uuid.unwrap().to_owned()
    };
    of(samples, "gpu_state").filter(is).map(|(key, _)| uuid(key)).collect()
}
