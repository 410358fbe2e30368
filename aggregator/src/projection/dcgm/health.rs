//! `DCGM_EXP_GPU_HEALTH_STATUS`: DCGM's health watches out of what the GPU says of itself and of
//! the open anomalies of our rules on it.
//!
//! A watch is 0 (pass), 10 (warning) or 20 (failure), with DCGM's code for the worst thing that
//! was found. DCGM's watches PMU, MCU and SM have no source in NVML and are left out.

use rustc_hash::FxHashMap;
use sextant_proto::v1::{Anomaly, Severity};

use super::super::fleet::Entity;
use crate::series::NodeKey;

const WARNING: f64 = 10.0;
const FAILURE: f64 = 20.0;
/// DCGM's limits: rows remapped for uncorrectable errors that are a warning, pages retired that
/// are a failure.
const REMAPPED_ROWS: f64 = 512.0;
const RETIRED_PAGES: f64 = 63.0;

/// An area of health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    Pcie,
    NvLink,
    Mem,
    Inforom,
    Thermal,
    Power,
    Driver,
}

/// DCGM's names; the driver's is the last.
const WATCHES: [(Watch, &str); 7] = [
    (Watch::Pcie, "PCIE"),
    (Watch::NvLink, "NVLINK"),
    (Watch::Mem, "MEM"),
    (Watch::Inforom, "INFOROM"),
    (Watch::Thermal, "THERMAL"),
    (Watch::Power, "POWER"),
    (Watch::Driver, "DRIVER"),
];

/// What a watch says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    pub(super) watch: &'static str,
    pub(super) code: &'static str,
    pub(super) value: f64,
}

/// The open anomalies of rules about GPUs, by cluster, node and UUID.
#[derive(Debug, Default)]
pub(super) struct Anomalies(FxHashMap<(String, String, String), Vec<(String, f64)>>);

impl Anomalies {
    /// Those of them that are about a GPU.
    pub(super) fn new(open: Vec<Anomaly>) -> Self {
        let mut by_gpu: FxHashMap<_, Vec<_>> = FxHashMap::default();
        for a in open.into_iter().filter(|a| a.detector == "rules" && a.entity_type == "gpu") {
            let value = match Severity::try_from(a.severity) {
                Ok(Severity::Critical) => FAILURE,
                Ok(Severity::Warning) => WARNING,
                _ => continue,
            };
            let Some(uuid) = a.entity.into_iter().find(|l| l.name == "uuid") else { continue };
            by_gpu.entry((a.cluster, a.node, uuid.value)).or_default().push((a.metric, value));
        }
        Self(by_gpu)
    }

    fn of(&self, node: &NodeKey, uuid: &str) -> &[(String, f64)] {
        let key = (node.cluster.to_string(), node.name.to_string(), uuid.to_owned());
        self.0.get(&key).map_or(&[], Vec::as_slice)
    }
}

/// The verdicts on a GPU. Of one that does not answer only the driver's is known; there is none
/// on one that was given away, or whose state is not known yet.
pub(super) fn verdicts(node: &NodeKey, gpu: &Entity, anomalies: &Anomalies) -> Vec<Verdict> {
    let states = gpu.samples("gpu_state");
    let state = states.iter().find(|s| s.value > 0.0).and_then(|s| s.label("state"));
    let watches = match state {
        Some("ok" | "reset_required") => &WATCHES[..],
        Some("lost" | "missing" | "wedged") => &WATCHES[WATCHES.len() - 1..],
        _ => return Vec::new(),
    };
    let mut found = own(gpu);
    let uuid = gpu.label("uuid").unwrap_or_default();
    found.extend(anomalies.of(node, uuid).iter().filter_map(|(metric, value)| {
        let (watch, code) = watched(metric)?;
        Some((watch, *value, code))
    }));
    let verdict = |(watch, name): &(Watch, &'static str)| {
        let mut worst = (0.0, "DCGM_FR_OK");
        for (_, value, code) in found.iter().filter(|(w, ..)| w == watch) {
            if *value > worst.0 {
                worst = (*value, code);
            }
        }
        Verdict { watch: name, code: worst.1, value: worst.0 }
    };
    watches.iter().map(verdict).collect()
}

type Finding = (Watch, f64, &'static str);

/// What the GPU says of itself.
fn own(gpu: &Entity) -> Vec<Finding> {
    let is = |metric: &str, labels: &[(&str, &str)], limit: f64| {
        gpu.with(metric, labels).is_some_and(|s| s.value >= limit)
    };
    let state = |state: &str| is("gpu_state", &[("state", state)], 1.0);
    let held = |reason: &str| is("gpu_clocks_event_active", &[("reason", reason)], 1.0);
    let volatile = [("error", "uncorrected"), ("counter", "volatile")];
    let retired: f64 = gpu.samples("gpu_retired_pages_total").iter().map(|s| s.value).sum();
    let links = gpu.samples("gpu_nvlink_up");
    let (up, down) = (links.iter().any(|s| s.value > 0.0), links.iter().any(|s| s.value == 0.0));
    let mig = is("gpu_mig_mode", &[], 1.0);
    let recovery = gpu.value("gpu_recovery_action").unwrap_or_default();
    let checks: [(bool, Finding); 17] = [
        (state("lost"), (Watch::Driver, FAILURE, "DCGM_FR_FALLEN_OFF_BUS")),
        (state("missing"), (Watch::Driver, FAILURE, "DCGM_FR_FALLEN_OFF_BUS")),
        (state("wedged"), (Watch::Driver, FAILURE, "DCGM_FR_NVML_API")),
        (state("reset_required"), (Watch::Driver, FAILURE, "DCGM_FR_GPU_RECOVERY_RESET")),
        (recovery == 1.0, (Watch::Driver, FAILURE, "DCGM_FR_GPU_RECOVERY_RESET")),
        (recovery == 2.0, (Watch::Driver, FAILURE, "DCGM_FR_GPU_RECOVERY_REBOOT")),
        (recovery == 3.0, (Watch::Driver, WARNING, "DCGM_FR_GPU_RECOVERY_DRAIN_P2P")),
        (recovery == 4.0, (Watch::Driver, FAILURE, "DCGM_FR_GPU_RECOVERY_DRAIN_RESET")),
        (
            is("gpu_ecc_errors_total", &volatile, 1.0),
            (Watch::Mem, FAILURE, "DCGM_FR_VOLATILE_DBE_DETECTED"),
        ),
        (is("gpu_row_remap_failed", &[], 1.0), (Watch::Mem, FAILURE, "DCGM_FR_ROW_REMAP_FAILURE")),
        (retired >= RETIRED_PAGES, (Watch::Mem, FAILURE, "DCGM_FR_RETIRED_PAGES_LIMIT")),
        (is("gpu_row_remap_pending", &[], 1.0), (Watch::Mem, WARNING, "DCGM_FR_PENDING_ROW_REMAP")),
        (
            is("gpu_remapped_rows_total", &[("cause", "uncorrectable")], REMAPPED_ROWS),
            (Watch::Mem, WARNING, "DCGM_FR_UNCORRECTABLE_ROW_REMAP"),
        ),
        (
            is("gpu_retired_pages_pending", &[], 1.0),
            (Watch::Mem, WARNING, "DCGM_FR_PENDING_PAGE_RETIREMENTS"),
        ),
        (
            gpu.value("gpu_inforom_valid") == Some(0.0),
            (Watch::Inforom, WARNING, "DCGM_FR_CORRUPT_INFOROM"),
        ),
        // A GPU without a bridge has all links down, one with MIG may have: that is no failure.
        (up && down && !mig, (Watch::NvLink, FAILURE, "DCGM_FR_NVLINK_DOWN")),
        (held("hw_thermal"), (Watch::Thermal, WARNING, "DCGM_FR_CLOCK_THROTTLE_THERMAL")),
    ];
    let brake = (Watch::Power, WARNING, "DCGM_FR_CLOCK_THROTTLE_POWER");
    let brake = held("hw_power_brake").then_some(brake);
    checks.into_iter().filter(|(is, _)| *is).map(|(_, f)| f).chain(brake).collect()
}

/// The watch and the code that an anomaly of a metric belongs to.
fn watched(metric: &str) -> Option<(Watch, &'static str)> {
    const BY_PREFIX: [(&str, Watch, &str); 17] = [
        ("gpu_pcie_replay", Watch::Pcie, "DCGM_FR_PCI_REPLAY_RATE"),
        ("gpu_pcie_link_width", Watch::Pcie, "DCGM_FR_PCIE_WIDTH"),
        ("gpu_pcie_link_generation", Watch::Pcie, "DCGM_FR_PCIE_GENERATION"),
        ("gpu_pcie_", Watch::Pcie, "DCGM_FR_UNKNOWN"),
        ("gpu_nvlink_up", Watch::NvLink, "DCGM_FR_NVLINK_DOWN"),
        ("gpu_nvlink_", Watch::NvLink, "DCGM_FR_NVLINK_ERROR_THRESHOLD"),
        ("gpu_fabric_", Watch::NvLink, "DCGM_FR_UNKNOWN"),
        ("gpu_ecc_", Watch::Mem, "DCGM_FR_SBE_VIOLATION"),
        ("gpu_sram_", Watch::Mem, "DCGM_FR_DBE_VIOLATION"),
        ("gpu_row_remap_", Watch::Mem, "DCGM_FR_ROW_REMAP_FAILURE"),
        ("gpu_remap", Watch::Mem, "DCGM_FR_UNCORRECTABLE_ROW_REMAP"),
        ("gpu_retired_pages", Watch::Mem, "DCGM_FR_RETIRED_PAGES_LIMIT"),
        ("gpu_inforom_", Watch::Inforom, "DCGM_FR_CORRUPT_INFOROM"),
        ("gpu_power_", Watch::Power, "DCGM_FR_UNKNOWN"),
        ("gpu_xid_", Watch::Driver, "DCGM_FR_XID_ERROR"),
        ("gpu_recovery_action", Watch::Driver, "DCGM_FR_UNKNOWN"),
        ("gpu_state", Watch::Driver, "DCGM_FR_UNKNOWN"),
    ];
    if metric.contains("temperature") || metric == "gpu_thermal_margin_celsius" {
        return Some((Watch::Thermal, "DCGM_FR_TEMP_VIOLATION"));
    }
    let found = BY_PREFIX.iter().find(|(prefix, ..)| metric.starts_with(prefix));
    found.map(|(_, watch, code)| (*watch, *code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::fleet::{Fleet, test_sample};
    use sextant_proto::v1::Label;

    /// What the watches say of a GPU: those that do not pass.
    fn found(values: &[(&str, (&str, &str), f64)], open: Vec<Anomaly>) -> Vec<(String, f64)> {
        let sample = |(id, (metric, label, value)): (u32, &(&str, (&str, &str), f64))| {
            test_sample(id, "gpu", &[("uuid", "GPU-1")], metric, &[*label], 1_000, *value)
        };
        let fleet = Fleet::new((0..).zip(values).map(sample));
        let node = &fleet.nodes[0];
        let gpu = node.entities("gpu").next().expect("there");
        let all = verdicts(&node.key, gpu, &Anomalies::new(open));
        let bad = all.iter().filter(|v| v.value > 0.0);
        let mut text: Vec<_> = bad.map(|v| (format!("{} {}", v.watch, v.code), v.value)).collect();
        text.insert(0, ("watches".into(), all.len() as f64));
        text
    }

    fn anomaly(uuid: &str, detector: &str, metric: &str, severity: Severity) -> Anomaly {
        Anomaly {
            cluster: "c".into(),
            node: "n".into(),
            detector: detector.into(),
            severity: severity.into(),
            entity_type: "gpu".into(),
            entity: vec![Label { name: "uuid".into(), value: uuid.into() }],
            metric: metric.into(),
            ..Anomaly::default()
        }
    }

    fn want(all: &[(&str, f64)]) -> Vec<(String, f64)> {
        all.iter().map(|(t, v)| ((*t).to_owned(), *v)).collect()
    }

    const OK: (&str, (&str, &str), f64) = ("gpu_state", ("state", "ok"), 1.0);

    #[test]
    fn gpu_says_what_is_wrong_with_itself() {
        let f = |values: &[_], all: &[_]| assert_eq!(found(values, vec![]), want(all));
        f(&[OK], &[("watches", 7.0)]);
        f(
            &[
                OK,
                ("gpu_row_remap_pending", ("", ""), 1.0),
                ("gpu_row_remap_failed", ("", ""), 1.0),
            ],
            &[("watches", 7.0), ("MEM DCGM_FR_ROW_REMAP_FAILURE", 20.0)],
        );
        f(
            &[OK, ("gpu_recovery_action", ("", ""), 3.0)],
            &[("watches", 7.0), ("DRIVER DCGM_FR_GPU_RECOVERY_DRAIN_P2P", 10.0)],
        );
        f(
            &[("gpu_state", ("state", "lost"), 1.0)],
            &[("watches", 1.0), ("DRIVER DCGM_FR_FALLEN_OFF_BUS", 20.0)],
        );
        f(&[("gpu_state", ("state", "released"), 1.0)], &[("watches", 0.0)]);
        f(&[("gpu_power_watts", ("", ""), 1.0)], &[("watches", 0.0)]);
    }

    #[test]
    fn links_that_are_all_down_are_no_bridge_and_one_is_a_failure() {
        let (up, down) =
            (("gpu_nvlink_up", ("link", "0"), 1.0), ("gpu_nvlink_up", ("link", "1"), 0.0));
        assert_eq!(found(&[OK, down], vec![]), want(&[("watches", 7.0)]));
        let failed = [("watches", 7.0), ("NVLINK DCGM_FR_NVLINK_DOWN", 20.0)];
        assert_eq!(found(&[OK, up, down], vec![]), want(&failed));
        let mig = ("gpu_mig_mode", ("", ""), 1.0);
        assert_eq!(found(&[OK, up, down, mig], vec![]), want(&[("watches", 7.0)]));
    }

    #[test]
    fn open_anomalies_of_rules_on_the_gpu_count() {
        let open = vec![
            anomaly("GPU-1", "rules", "gpu_pcie_replay_total", Severity::Warning),
            anomaly("GPU-1", "rules", "gpu_pcie_link_width", Severity::Critical),
            anomaly("GPU-1", "rules", "gpu_xid_errors_total", Severity::Info),
            anomaly("GPU-1", "surprise", "gpu_power_watts", Severity::Critical),
            anomaly("GPU-2", "rules", "gpu_temperature_celsius", Severity::Critical),
        ];
        let all = [("watches", 7.0), ("PCIE DCGM_FR_PCIE_WIDTH", 20.0)];
        assert_eq!(found(&[OK], open), want(&all));
    }
}
