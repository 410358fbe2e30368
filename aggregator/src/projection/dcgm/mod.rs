//! dcgm-exporter's families: `DCGM_FI_DEV_*`, `DCGM_FI_PROF_*` and `DCGM_EXP_*`, with its labels
//! and DCGM's units.
//!
//! A device's values are written once. dcgm-exporter writes them once a pod when a GPU is shared,
//! and sums over them are wrong then; here a shared GPU has no pod labels, and `gpu_pod_info`
//! says who has it. When MIG is on, what an instance has of its own (memory, profiling) carries
//! its profile and id, and the rest stays with the GPU.

mod device;
mod fields;
mod health;
mod history;
mod xid;

use rustc_hash::FxHashSet;

use self::device::{Device, devices, link_labels};
use self::fields::{Field, Source, Unit};
use self::health::Anomalies;
pub(crate) use self::history::History;
use super::fleet::{Entity, Fleet};
use super::{DcgmNames, ExpositionConfig, Family, Projection, Put, Sample};
use crate::clock;
use crate::query::Queries;

/// NVML's bits for our reasons, and what dcgm-exporter calls them.
const REASONS: [(&str, u32, &str); 9] = [
    ("idle", 0x1, "gpu_idle"),
    ("applications_clocks", 0x2, "clocks_setting"),
    ("sw_power_cap", 0x4, "power_cap"),
    ("hw_slowdown", 0x8, "hw_slowdown"),
    ("sync_boost", 0x10, "sync_boost"),
    ("sw_thermal", 0x20, "sw_thermal"),
    ("hw_thermal", 0x40, "hw_thermal"),
    ("hw_power_brake", 0x80, "hw_power_brake"),
    ("display_clocks", 0x100, "display_clocks"),
];

/// The projection of one fleet.
pub(super) struct Dcgm<'a> {
    names: DcgmNames,
    queries: &'a Queries,
    history: &'a History,
    anomalies: Anomalies,
    devices: Vec<Device<'a>>,
}

/// The families under the names of a configuration.
pub(super) fn families(names: DcgmNames) -> Vec<Family> {
    let mut taken = FxHashSet::default();
    let mut all = Vec::new();
    for (id, field) in fields::all().enumerate() {
        let own = (names != DcgmNames::Dcgm46).then_some(field.name);
        let new = (names != DcgmNames::Legacy).then(|| field.renamed.unwrap_or(field.name));
        for name in own.into_iter().chain(new).filter(|n| taken.insert(*n)) {
            all.push(Family { name, kind: field.kind, help: field.help, id });
        }
    }
    all
}

impl<'a> Dcgm<'a> {
    pub(super) fn new(
        config: &ExpositionConfig,
        queries: &'a Queries,
        history: &'a History,
        fleet: &'a Fleet,
    ) -> Self {
        let devices = fleet.nodes.iter().flat_map(|node| devices(config, node)).collect();
        let anomalies = Anomalies::new(queries.episodes.open());
        Self { names: config.dcgm_names, queries, history, anomalies, devices }
    }
}

impl Projection for Dcgm<'_> {
    fn families(&self) -> Vec<Family> {
        families(self.names)
    }

    fn write(&self, id: usize, put: Put<'_>) {
        let Some(field) = fields::all().nth(id) else { return };
        if let Source::ClockEventCount = field.source {
            return self.clock_events(put);
        }
        for device in &self.devices {
            self.device(id, field, device, put);
        }
    }
}

impl Dcgm<'_> {
    fn device(&self, id: usize, field: &Field, device: &Device<'_>, put: Put<'_>) {
        let gpu = device.entity;
        let one = match &field.source {
            Source::Mig(_, metric, unit) if device.mig => gpu.value(metric).map(|v| unit.of(v)),
            Source::Mig(..) | Source::MemoryUsedShare if device.cut => None,
            Source::MemoryUsedShare => used_share(device),
            _ if device.mig => None,
            Source::Gpu(metric, labels, unit) => gpu.with(metric, labels).map(|s| unit.of(s.value)),
            Source::Mig(metric, _, unit) => gpu.value(metric).map(|v| unit.of(v)),
            Source::Rate(metrics, labels, unit) => self.rate(id, gpu, metrics, labels, *unit),
            Source::ClockReasons => clock_reasons(gpu),
            Source::Fan => gpu.value("gpu_fan_speed_ratio").map(|v| Unit::Percent.of(v)),
            Source::FabricManager => fabric_manager(gpu),
            Source::Link(metric, labels) => {
                let says = |s: &&Sample| labels.iter().all(|(n, v)| s.label(n) == Some(v));
                for sample in gpu.samples(metric).iter().filter(says) {
                    put(&link_labels(device, sample), sample.value);
                }
                None
            }
            Source::XidLast => {
                if let Some(xid) = gpu.value("gpu_xid_last") {
                    put_xid_last(device, xid, put);
                }
                None
            }
            Source::XidTotal => {
                for sample in gpu.samples("gpu_xid_errors_total") {
                    let xid = sample.label("xid").unwrap_or_default();
                    put(&device.with(&[("xid", xid)]), sample.value);
                }
                None
            }
            Source::XidCount => {
                self.xid_counts(device, put);
                None
            }
            Source::Health => {
                for v in health::verdicts(&device.node.key, gpu, &self.anomalies) {
                    let own = [("health_watch", v.watch), ("health_error_code", v.code)];
                    put(&device.with(&own), v.value);
                }
                None
            }
            Source::P2p => {
                put_p2p(device, put);
                None
            }
            Source::ClockEventCount => None,
        };
        if let Some(value) = one {
            put(&device.with(&[]), value);
        }
    }

    fn rate(
        &self,
        id: usize,
        gpu: &Entity,
        metrics: &[&str],
        labels: fields::Labels,
        unit: Unit,
    ) -> Option<f64> {
        let mut sum = 0.0;
        let mut first = None;
        for metric in metrics {
            let sample = gpu.with(metric, labels)?;
            sum += sample.value;
            first.get_or_insert((sample.series.id, sample.tick_ms));
        }
        let (series, tick_ms) = first?;
        Some(unit.of(self.history.rate(series, id, tick_ms, sum)))
    }

    /// Xids within the window. Only those that were seen in it are looked up.
    fn xid_counts(&self, device: &Device<'_>, put: Put<'_>) {
        let gpu = device.entity;
        if gpu.value("gpu_xid_last").is_none() {
            return;
        }
        let window = history::WINDOW_MS.to_string();
        let mut any = false;
        for counter in gpu.samples("gpu_xid_errors_total") {
            let Some(xid) = counter.label("xid") else { continue };
            let seen = gpu.with("gpu_xid_last_timestamp_seconds", &[("xid", xid)]);
            let since = (counter.tick_ms - history::WINDOW_MS) as f64 / 1e3;
            if seen.is_none_or(|s| s.value < since) {
                continue;
            }
            let Some(count) = history::growth(self.queries, counter) else { continue };
            if count > 0.0 {
                any = true;
                put(&device.with(&[("window_size_in_ms", &window), ("xid", xid)]), count);
            }
        }
        if !any {
            put(&device.with(&[("window_size_in_ms", &window)]), 0.0);
        }
    }

    fn clock_events(&self, put: Put<'_>) {
        let gpus = || self.devices.iter().filter(|d| !d.mig);
        let all = gpus().flat_map(|d| d.entity.samples("gpu_clocks_event_active").iter().cloned());
        let all: Vec<Sample> = all.collect();
        let counts = self.history.clock_events(self.queries, &all, clock::now_ms());
        let window = history::WINDOW_MS.to_string();
        for device in gpus() {
            for sample in device.entity.samples("gpu_clocks_event_active") {
                let reason = sample.label("reason").unwrap_or_default();
                let event = REASONS.iter().find(|(own, ..)| *own == reason).map(|r| r.2);
                let count = counts.get(&sample.series.id).filter(|n| **n > 0);
                if let (Some(event), Some(count)) = (event, count) {
                    let own = [("clock_event", event), ("window_size_in_ms", &window)];
                    put(&device.with(&own), f64::from(*count));
                }
            }
        }
    }
}

/// `nvmlGpuP2PStatus_t` as dcgm-exporter calls it.
const P2P_STATUS: [&str; 7] = [
    "OK",
    "ChipsetNotSupported",
    "GPUNotSupported",
    "TopologyNotSupported",
    "DisabledByRegKey",
    "NotSupported",
    "Unknown",
];

/// dcgm-exporter's lines are of NVLink, and name the peer by its index.
fn put_p2p(device: &Device<'_>, put: Put<'_>) {
    for sample in device.entity.samples("gpu_p2p_status") {
        if sample.label("capability") != Some("nvlink") {
            continue;
        }
        let peer = sample.label("peer_uuid");
        let gpu = device.node.entities("gpu").find(|gpu| gpu.label("uuid") == peer);
        let Some(index) = gpu.and_then(|gpu| gpu.info("gpu_info", "gpu")) else { continue };
        let known = (0..).zip(P2P_STATUS).find(|(status, _)| f64::from(*status) == sample.value);
        let status = known.map_or("Unknown", |(_, name)| name);
        put(&device.with(&[("peer_gpu", index), ("link_status", status)]), sample.value);
    }
}

fn put_xid_last(device: &Device<'_>, xid: f64, put: Put<'_>) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an Xid is a small number, and casts saturate"
    )]
    let number = xid as u32;
    let code = number.to_string();
    put(&device.with(&[("err_code", &code), ("err_msg", xid::title(number))]), xid);
}

fn clock_reasons(gpu: &Entity) -> Option<f64> {
    let samples = gpu.samples("gpu_clocks_event_active");
    let bit = |s: &Sample| {
        let reason = s.label("reason");
        REASONS.iter().find(|(own, ..)| Some(*own) == reason).map_or(0, |r| r.1)
    };
    let mask = samples.iter().filter(|s| s.value > 0.0).fold(0, |mask, s| mask | bit(s));
    (!samples.is_empty()).then(|| f64::from(mask))
}

/// DCGM's share: used of what is not reserved.
fn used_share(device: &Device<'_>) -> Option<f64> {
    let prefix = if device.mig { "gpu_mig_memory_" } else { "gpu_memory_" };
    let value = |what| device.entity.value(&format!("{prefix}{what}_bytes"));
    let usable = value("total")? - value("reserved").unwrap_or_default();
    (usable > 0.0).then_some(value("used")? / usable)
}

/// DCGM's status: NVML's state, and 4 when it completed with an error.
fn fabric_manager(gpu: &Entity) -> Option<f64> {
    let state = gpu.value("gpu_fabric_state")?;
    let failed = state == 3.0 && gpu.value("gpu_fabric_status").is_some_and(|s| s != 0.0);
    Some(if failed { 4.0 } else { state })
}
