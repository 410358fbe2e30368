//! What the agent tells of a node's GPUs, tier by tier.

use super::super::shape::Out;
use super::gpu::{
    CLOCK_MAX, Gpu, LINKS, MEMORY_CLOCK, MEMORY_TOTAL, POWER_LIMIT, REASONS, SLOWDOWN, THROTTLES,
};

const STATES: [&str; 6] = ["ok", "lost", "reset_required", "wedged", "missing", "released"];
const MODEL: &str = "NVIDIA H100 80GB HBM3";

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

/// Which series there are: another number when others come or go.
pub(crate) fn key(gpus: &[Gpu], released: bool) -> u64 {
    let mut key = u64::from(released);
    for gpu in gpus {
        key = key.wrapping_mul(3).wrapping_add(u64::from(gpu.lost));
        for xid in gpu.xids.keys() {
            key = key.wrapping_mul(1009).wrapping_add(u64::from(*xid) + 7);
        }
        key = key.wrapping_mul(31).wrapping_add(1);
    }
    key
}

pub(crate) fn fast(gpus: &[Gpu], released: bool, out: &mut Out<'_>) {
    out.node();
    if released {
        out.set_with("gpu_driver_up", &[("reason", "released")], 0.0);
    } else {
        out.set("gpu_driver_up", 1.0);
    }
    let is_well = |gpu: &&Gpu| !gpu.lost && !released;
    out.set("gpu_devices_expected", gpus.len() as f64);
    out.set("gpu_devices", gpus.iter().filter(is_well).count() as f64);
    for gpu in gpus {
        out.entity("gpu", &[("uuid", &gpu.uuid)]);
        let state = match (released, gpu.lost) {
            (true, _) => "released",
            (false, true) => "lost",
            (false, false) => "ok",
        };
        for known in STATES {
            out.set_with("gpu_state", &[("state", known)], flag(known == state));
        }
        for (xid, (count, last)) in &gpu.xids {
            let number = xid.to_string();
            out.set_with("gpu_xid_errors_total", &[("xid", &number)], *count);
            out.set_with("gpu_xid_last_timestamp_seconds", &[("xid", &number)], *last);
        }
        out.set("gpu_xid_last", gpu.last_xid);
        if gpu.lost || released {
            continue;
        }
        out.set("gpu_memory_temperature_celsius", gpu.shown_temperature + 6.0);
        out.set("gpu_energy_joules_total", gpu.counters.energy.round());
        out.set("gpu_power_watts", (gpu.shown_power * 1e3).round() / 1e3);
        out.set("gpu_power_instant_watts", ((gpu.shown_power * 1.01) * 1e3).round() / 1e3);
        for (reason, held) in THROTTLES.iter().zip(gpu.counters.throttle) {
            out.set_with("gpu_throttle_seconds_total", &[("reason", reason)], held);
        }
        out.set("gpu_utilization_ratio", (gpu.load.busy * 100.0).round() / 100.0);
        out.set("gpu_memory_copy_utilization_ratio", (gpu.shown[3] * 100.0).round() / 100.0);
        out.set("gpu_temperature_celsius", gpu.shown_temperature);
        out.set_with("gpu_clock_hertz", &[("clock", "sm")], gpu.clock);
        for (reason, active) in REASONS.iter().zip(gpu.reasons) {
            out.set_with("gpu_clocks_event_active", &[("reason", reason)], flag(active));
        }
    }
}

pub(crate) fn medium(gpus: &[Gpu], released: bool, now_s: i64, out: &mut Out<'_>) {
    out.node();
    let labels = [
        ("driver_version", "570.124.06"),
        ("nvml_version", "12.570.124.06"),
        ("cuda_version", "12.8"),
    ];
    out.set_with("gpu_driver_info", &labels, 1.0);
    for (index, gpu) in gpus.iter().enumerate() {
        out.entity("gpu", &[("uuid", &gpu.uuid)]);
        let number = index.to_string();
        let labels = [
            ("gpu", number.as_str()),
            ("pci_bus_id", &gpu.pci),
            ("model", MODEL),
            ("serial", &gpu.serial),
            ("brand", "NVIDIA"),
            ("architecture", "Hopper"),
        ];
        out.set_with("gpu_info", &labels, 1.0);
        let labels = [
            ("namespace", gpu.pod.0),
            ("pod", &gpu.pod.1),
            ("container", "main"),
            ("resource", "nvidia.com/gpu"),
            ("shared", "false"),
        ];
        out.set_with("gpu_pod_info", &labels, 1.0);
        if gpu.lost || released {
            continue;
        }
        let counters = &gpu.counters;
        out.set("sextant_gpu_last_success_timestamp_seconds", now_s as f64);
        for (error, count) in
            [("corrected", counters.corrected), ("uncorrected", counters.uncorrected)]
        {
            let labels = [("error", error), ("counter", "volatile")];
            out.set_with("gpu_ecc_errors_total", &labels, count);
        }
        out.set("gpu_pcie_replay_total", counters.replay);
        out.set("gpu_pcie_replay_rollover_total", 0.0);
        out.set("gpu_pcie_transmit_bytes_total", counters.pcie_transmit.round());
        out.set("gpu_pcie_receive_bytes_total", counters.pcie_receive.round());
        out.set("gpu_recovery_action", gpu.recovery_action);
        out.set_with("gpu_remapped_rows_total", &[("cause", "correctable")], gpu.remapped[0]);
        out.set_with("gpu_remapped_rows_total", &[("cause", "uncorrectable")], gpu.remapped[1]);
        out.set("gpu_row_remap_pending", flag(gpu.remap_pending));
        out.set("gpu_row_remap_failed", flag(gpu.remap_failed));
        links(gpu, out);
        medium_rest(gpu, out);
    }
}

fn links(gpu: &Gpu, out: &mut Out<'_>) {
    let counters = &gpu.counters;
    out.set("gpu_nvlink_links", LINKS as f64);
    out.set("gpu_nvlink_transmit_bytes_total", counters.link_transmit.round());
    out.set("gpu_nvlink_receive_bytes_total", counters.link_receive.round());
    let sum = |kind: usize| counters.link_errors.iter().map(|link| link[kind]).sum::<f64>();
    for (kind, error) in ["crc_flit", "replay", "recovery"].into_iter().enumerate() {
        out.set_with("gpu_nvlink_errors_total", &[("error", error)], sum(kind));
    }
    for link in LINK_NAMES {
        out.set_with("gpu_nvlink_up", &[("link", link)], 1.0);
    }
}

fn medium_rest(gpu: &Gpu, out: &mut Out<'_>) {
    let used = (gpu.load.memory_share * MEMORY_TOTAL / 2_097_152.0).round() * 2_097_152.0;
    out.set("gpu_memory_total_bytes", MEMORY_TOTAL);
    out.set("gpu_memory_used_bytes", used);
    out.set("gpu_memory_free_bytes", MEMORY_TOTAL - used);
    out.set_with("gpu_clock_hertz", &[("clock", "memory")], MEMORY_CLOCK);
    let idle = gpu.load.busy < 0.01;
    out.set("gpu_performance_state", if idle { 8.0 } else { 0.0 });
    out.set("gpu_pcie_link_generation", gpu.generation());
    out.set("gpu_pcie_link_width", gpu.effects.width);
    out.set("gpu_thermal_margin_celsius", SLOWDOWN - gpu.shown_temperature);
    out.set("gpu_fabric_state", 3.0);
    out.set("gpu_fabric_status", 0.0);
    for condition in
        ["degraded_bandwidth", "route_recovery", "route_unhealthy", "access_timeout_recovery"]
    {
        out.set_with("gpu_fabric_health", &[("condition", condition)], 0.0);
    }
    out.set("gpu_graphics_engine_active_ratio", gpu.load.busy);
    out.set("gpu_sm_active_ratio", gpu.shown[0]);
    out.set("gpu_sm_occupancy_ratio", gpu.shown[1] * 0.6);
    out.set("gpu_tensor_active_ratio", gpu.shown[2]);
    out.set("gpu_dram_active_ratio", gpu.shown[3]);
    out.set("gpu_fp16_active_ratio", gpu.shown[1] * 0.1);
    out.set("gpu_pcie_transmit_bytes_per_second", gpu.load.pcie);
    out.set("gpu_pcie_receive_bytes_per_second", gpu.load.pcie * 1.3);
    out.set("gpu_nvlink_transmit_bytes_per_second", gpu.load.links);
    out.set("gpu_nvlink_receive_bytes_per_second", gpu.load.links);
}

const LINK_NAMES: [&str; LINKS] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
    "17",
];

pub(crate) fn slow(gpus: &[Gpu], released: bool, out: &mut Out<'_>) {
    for gpu in gpus {
        out.entity("gpu", &[("uuid", &gpu.uuid)]);
        if gpu.lost || released {
            continue;
        }
        out.set("gpu_ecc_mode", 1.0);
        for (error, count) in ["corrected", "uncorrected"].into_iter().zip(gpu.aggregate) {
            let labels = [("error", error), ("counter", "aggregate")];
            out.set_with("gpu_ecc_errors_total", &labels, count);
        }
        for error in ["correctable", "receiver", "bad_tlp", "non_fatal", "fatal"] {
            let count = if error == "correctable" { gpu.counters.pcie_correctable } else { 0.0 };
            out.set_with("gpu_pcie_errors_total", &[("error", error)], count);
        }
        let enforced = POWER_LIMIT * gpu.effects.power_limit;
        for (limit, watts) in [
            ("min", 200.0),
            ("max", POWER_LIMIT),
            ("default", POWER_LIMIT),
            ("requested", enforced.round()),
            ("enforced", enforced.round()),
        ] {
            out.set_with("gpu_power_limit_watts", &[("limit", limit)], watts);
        }
        for (link, errors) in LINK_NAMES.iter().zip(&gpu.counters.link_errors) {
            for (error, count) in ["crc_flit", "replay", "recovery"].into_iter().zip(errors) {
                let labels = [("link", *link), ("error", error)];
                out.set_with("gpu_nvlink_link_errors_total", &labels, *count);
            }
        }
        for (clock, hertz) in [("sm", CLOCK_MAX), ("memory", MEMORY_CLOCK), ("graphics", CLOCK_MAX)]
        {
            out.set_with("gpu_clock_max_hertz", &[("clock", clock)], hertz);
        }
        out.set("gpu_pcie_link_generation_max", 5.0);
        out.set("gpu_pcie_link_width_max", 16.0);
        for (limit, celsius) in
            [("shutdown", 92.0), ("slowdown", SLOWDOWN), ("memory_max", 95.0), ("gpu_max", 85.0)]
        {
            out.set_with("gpu_temperature_limit_celsius", &[("limit", limit)], celsius);
        }
        out.set("gpu_persistence_mode", 1.0);
        out.set("gpu_inforom_valid", 1.0);
        out.set("gpu_sram_threshold_exceeded", 0.0);
    }
}
