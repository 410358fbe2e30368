//! For tests of the host collector: what it produces as Prometheus text.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use sextant_agent::collectors::host::{Host, Space, Syscalls, Timex, Uname};
use sextant_agent::collectors::{CollectError, Collector, Paths};
use sextant_agent::sample::Batch;
use sextant_proto::layout;
use sextant_proto::v1::Label;

/// Samples by series: `name{label="value",...}`, labels by name.
pub(crate) type Samples = BTreeMap<String, f64>;

/// The fixture: a node with two sockets.
pub(crate) fn node() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/node")
}

/// The fixture's roots.
pub(crate) fn node_paths() -> Paths {
    let at = |dir: &str| node().join(dir);
    Paths { proc: at("proc"), sys: at("sys"), run: at("run"), root: at("root"), ..Paths::default() }
}

/// The system calls of the fixture's node.
pub(crate) fn node_syscalls() -> Syscalls {
    let root = node_paths().root;
    Syscalls {
        adjtimex: || {
            Ok(Timex {
                state: 0,
                offset: -1_234_567,
                freq: 1_310_720,
                maxerror: 98_123,
                esterror: 412,
                status: 0x2001,
                constant: 6,
                tick: 10_000,
                ppsfreq: 65_536,
                jitter: 871,
                shift: 4,
                stabil: 32_768,
                jitcnt: 3,
                calcnt: 12,
                errcnt: 1,
                stbcnt: 2,
                tai: 37,
            })
        },
        uname: || Uname {
            domainname: "(none)".into(),
            machine: "x86_64".into(),
            nodename: "edge-17".into(),
            release: "6.18.4-generic".into(),
            sysname: "Linux".into(),
            version: "#1 SMP PREEMPT_DYNAMIC".into(),
        },
        statvfs: Arc::new(move |path| {
            let point = path.strip_prefix(&root).map_err(io::Error::other)?;
            if point.starts_with("mnt/models") {
                return Err(io::ErrorKind::StaleNetworkFileHandle.into());
            }
            let size = 1e9 * (1 + point.as_os_str().len()) as f64;
            let (free, avail) = (size / 2.0, size / 4.0);
            let readonly = point.starts_with("boot");
            Ok(Space { size, free, avail, files: 65_536.0, files_free: 60_000.0, readonly })
        }),
        time: || 1_790_000_000.25,
        zone: || ("CEST".into(), 7200.0),
        page_size: 4096.0,
    }
}

/// One read of every tier. A source that fails fails the test.
pub(crate) fn samples(host: &mut Host) -> Samples {
    let mut out = Samples::new();
    for tier in 0..host.tiers().len() {
        let mut batch = Batch::default();
        batch.begin();
        match host.collect(tier, &mut batch) {
            Ok(()) => {}
            Err(CollectError::Absent(_)) => assert!(batch.is_empty()),
            Err(error) => panic!("tier {tier}: {error}"),
        }
        assert_eq!(batch.failures(), [], "tier {tier}");
        assert_eq!(batch.overflow(), 0);
        let tick = batch.finish("host", 1000);
        let layout = layout::decode(tick.layout.0, &tick.layout.1).expect("a valid layout");
        let mut values = tick.values.iter();
        for entity in &layout.entities {
            for series in &entity.series {
                let name = &layout.metrics[series.metric as usize].name;
                let key = key(name, entity.labels.iter().chain(&series.labels));
                let value = *values.next().expect("a value per series");
                if !value.is_nan() {
                    assert_eq!(out.insert(key.clone(), value), None, "{key} is there twice");
                }
            }
        }
    }
    out
}

fn key<'a>(name: &str, labels: impl Iterator<Item = &'a Label>) -> String {
    let escape = |v: &str| v.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let mut labels: Vec<_> =
        labels.map(|l| format!("{}=\"{}\"", l.name, escape(&l.value))).collect();
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

/// Parses Prometheus text.
pub(crate) fn parse(text: &str) -> Samples {
    let lines = text.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        Some((series.to_owned(), value.parse().ok()?))
    };
    lines.map(|l| sample(l).unwrap_or_else(|| panic!("not a sample: {l}"))).collect()
}
