//! A synthetic node: GPUs, clocks, virtual functions and pods, as the agent's collectors would
//! tell of them.

use sextant_aggregator::config::Config;

use super::{Agent, Running, Shape, hello, now_ms};

pub const HBM: f64 = 85_899_345_920.0;

/// Four GPUs: one that a container has alone, one that two share, one cut into MIG devices, and
/// one that is lost.
pub fn gpus(seconds: f64, now_s: f64) -> Shape {
    let mut shape = Shape::new("gpu", 1000);
    shape.entity("node", &[]).set(
        "gpu_driver_info",
        &[("driver_version", "580.95.05"), ("nvml_version", "13.0"), ("cuda_version", "13.0")],
        1.0,
    );
    for index in 0..4 {
        gpu(&mut shape, index, seconds, now_s);
    }
    for (uuid, instance, compute, pod, profile) in [
        ("MIG-a", "1", "0", Some("train-0"), "1g.10gb"),
        ("MIG-b", "2", "0", Some("infer-0"), "2g.20gb"),
        ("MIG-c", "2", "1", Some("infer-1"), "2g.20gb"),
        ("MIG-d", "3", "0", None, "1g.10gb"),
    ] {
        shape.entity("mig", &[("uuid", uuid)]);
        let info = [
            ("gpu", "2"),
            ("gpu_uuid", "GPU-2"),
            ("gpu_instance", instance),
            ("compute_instance", compute),
            ("profile", profile),
        ];
        shape.set("gpu_mig_info", &info, 1.0);
        shape.set("gpu_mig_memory_total_bytes", &[], HBM / 8.0);
        shape.set("gpu_mig_memory_used_bytes", &[], HBM / 16.0);
        shape.set("gpu_mig_memory_free_bytes", &[], HBM / 16.0);
        shape.set("gpu_mig_graphics_engine_active_ratio", &[], 0.5);
        shape.set("gpu_mig_tensor_active_ratio", &[], 0.25);
        if let Some(pod) = pod {
            shape.set("gpu_mig_pod_info", &owner(pod, "false"), 1.0);
        }
    }
    shape
}

pub fn owner<'a>(pod: &'a str, shared: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("namespace", "ml"),
        ("pod", pod),
        ("container", "main"),
        ("resource", "nvidia.com/gpu"),
        ("shared", shared),
    ]
}

pub fn gpu(shape: &mut Shape, index: usize, seconds: f64, now_s: f64) {
    let (uuid, text) = (format!("GPU-{index}"), index.to_string());
    let bus = format!("0000:{}b:00.0", index + 1);
    shape.entity("gpu", &[("uuid", &uuid)]);
    let info = [("gpu", &*text), ("pci_bus_id", &*bus), ("model", "NVIDIA H100 80GB HBM3")];
    shape.set("gpu_info", &info, 1.0);
    let lost = index == 3;
    for state in ["ok", "lost", "reset_required", "wedged", "missing", "released"] {
        let is = if lost { state == "lost" } else { state == "ok" };
        shape.set("gpu_state", &[("state", state)], f64::from(u8::from(is)));
    }
    if lost {
        return;
    }
    if index == 0 {
        shape.set("gpu_pod_info", &owner("train-0", "false"), 1.0);
    }
    if index == 1 {
        shape.set("gpu_pod_info", &owner("notebook-0", "true"), 1.0);
        shape.set("gpu_pod_info", &owner("notebook-1", "true"), 1.0);
    }
    let mig = index == 2;
    shape.set("gpu_mig_mode", &[], f64::from(u8::from(mig)));
    for (metric, value) in [
        ("gpu_temperature_celsius", 41.0),
        ("gpu_memory_temperature_celsius", 48.0),
        ("gpu_power_watts", 71.25),
        ("gpu_energy_joules_total", 1_234_567.891 + seconds),
        ("gpu_pcie_replay_total", 3.0),
        ("gpu_memory_total_bytes", HBM),
        ("gpu_memory_used_bytes", 1_000_000_000.0),
        ("gpu_memory_free_bytes", HBM - 1_500_000_000.0),
        ("gpu_memory_reserved_bytes", 500_000_000.0),
        ("gpu_performance_state", 0.0),
        ("gpu_row_remap_failed", 0.0),
        ("gpu_row_remap_pending", 0.0),
        ("gpu_recovery_action", 0.0),
        ("gpu_fabric_state", 3.0),
        ("gpu_fabric_status", 0.0),
        ("gpu_nvlink_transmit_bytes_total", 10_240_000.0 * seconds),
        ("gpu_nvlink_receive_bytes_total", 10_240_000.0 * seconds),
        ("gpu_pcie_transmit_bytes_total", 2_000_000.0 * seconds),
        ("gpu_xid_last", if index == 1 { 79.0 } else { 0.0 }),
    ] {
        shape.set(metric, &[], value);
    }
    if !mig {
        shape.set("gpu_utilization_ratio", &[], 0.57);
        shape.set("gpu_encoder_utilization_ratio", &[], 0.0);
        shape.set("gpu_graphics_engine_active_ratio", &[], 0.55);
        shape.set("gpu_tensor_active_ratio", &[], 0.125);
        shape.set("gpu_pcie_transmit_bytes_per_second", &[], 123_456.0);
    }
    for (clock, hertz) in [("sm", 1.98e9), ("memory", 2.619e9)] {
        shape.set("gpu_clock_hertz", &[("clock", clock)], hertz);
    }
    for reason in ["idle", "sw_power_cap", "hw_thermal"] {
        let is = matches!((reason, index), ("idle", 0) | ("hw_thermal", 1));
        shape.set("gpu_clocks_event_active", &[("reason", reason)], f64::from(u8::from(is)));
    }
    for (peer, capability, status) in [
        ((index + 1) % 3, "nvlink", 0.0),
        ((index + 2) % 3, "nvlink", 3.0),
        ((index + 1) % 3, "read", 0.0),
    ] {
        let peer = format!("GPU-{peer}");
        let pair = [("peer_uuid", &*peer), ("capability", capability)];
        shape.set("gpu_p2p_status", &pair, status);
    }
    shape.set("gpu_throttle_seconds_total", &[("reason", "power")], 1.234_567);
    for cause in ["correctable", "uncorrectable"] {
        shape.set("gpu_remapped_rows_total", &[("cause", cause)], 0.0);
    }
    let dbe = [("error", "uncorrected"), ("counter", "volatile")];
    shape.set("gpu_ecc_errors_total", &dbe, if index == 1 { 1.0 } else { 0.0 });
    let place = [("error", "corrected"), ("counter", "aggregate"), ("location", "dram")];
    shape.set("gpu_ecc_location_errors_total", &place, 7.0);
    let malformed = [("link", "5"), ("error", "malformed_packet")];
    shape.set("gpu_nvlink_link_errors_total", &malformed, 2.0);
    if index == 1 {
        for (xid, count, ago) in [("79", 2.0, 10.0), ("13", 5.0, 900.0)] {
            shape.set("gpu_xid_errors_total", &[("xid", xid)], count);
            shape.set("gpu_xid_last_timestamp_seconds", &[("xid", xid)], now_s - ago);
        }
    }
}

/// A slave that is locked, and one whose Syncs stopped; the system clock, a DPLL and a GNSS
/// receiver.
pub fn clocks() -> Shape {
    let mut shape = Shape::new("ptp", 1000);
    let info = |config| {
        [("config", config), ("profile", "grandmaster"), ("domain", "24"), ("version", "4.2")]
    };
    shape.entity("ptp_instance", &[("instance", "ptp4l.0.config")]);
    shape.set("ptp_instance_info", &info("/var/run/ptp/ptp4l.0.config"), 1.0);
    for (metric, value) in [
        ("ptp_clock_state", 1.0),
        ("ptp_offset_seconds", -12e-9),
        ("ptp_mean_path_delay_seconds", 374e-9),
        ("ptp_frequency_adjustment_ratio", -3.964e-6),
        ("ptp_offset_limit_seconds", 1e-7),
        ("ptp_clock_class", 6.0),
    ] {
        shape.set(metric, &[], value);
    }
    shape.entity("ptp_instance", &[("instance", "ptp4l.1.config")]);
    shape.set("ptp_instance_info", &info("/var/run/ptp/ptp4l.1.config"), 1.0);
    shape.set("ptp_clock_state", &[], 2.0).set("ptp_clock_class", &[], 135.0);
    shape.set("ptp_offset_seconds", &[], sextant_proto::frame::ABSENT);
    for (instance, port, iface, state) in [
        ("ptp4l.0.config", "1", "ens2f0", 9.0),
        ("ptp4l.0.config", "2", "ens2f1", 6.0),
        ("ptp4l.1.config", "1", "ens4f0.100", 4.0),
        ("ptp4l.1.config", "2", "ens4f1", 2.0),
    ] {
        shape.entity("ptp_port", &[("instance", instance), ("port", port), ("iface", iface)]);
        shape.set("ptp_port_state", &[], state);
    }
    shape.entity("dpll", &[("dpll", "1")]);
    shape.set("ptp_dpll_info", &[("module", "ice"), ("type", "pps")], 1.0);
    shape.set("ptp_dpll_lock_status", &[], 3.0);
    shape.entity("gnss", &[("device", "/dev/gnss0")]).set("ptp_gnss_fix", &[], 3.0);
    shape.entity("node", &[]).set("ptp_os_clock_state", &[], 1.0);
    shape.set("ptp_system_offset_seconds", &[("source", "phc2sys")], 8e-9);
    shape.set("ptp_system_frequency_adjustment_ratio", &[], -7.7331e-5);
    let process = |process, config| [("process", process), ("config", config)];
    shape.set("ptp_process_up", &process("ptp4l", "/var/run/ptp/ptp4l.0.config"), 1.0);
    shape.set("ptp_process_up", &process("phc2sys", ""), 0.0);
    shape.set("ptp_process_restarts_total", &process("ptp4l", "ptp4l.0.config"), 2.0);
    shape
}

/// A PF with two VFs, one of which a pod has.
pub fn vfs() -> Shape {
    let mut shape = Shape::new("sriov", 15_000);
    shape.entity("pf", &[("pf", "ens785f2"), ("pci", "0000:02:00.0")]);
    shape.set("sriov_pf_info", &[("driver", "ice"), ("numa_node", "1")], 1.0);
    for vf in ["0", "1"] {
        let pci = format!("0000:02:0a.{vf}");
        shape.entity("vf", &[("pf", "ens785f2"), ("vf", vf), ("pci", &pci)]);
        shape.set("sriov_vf_receive_bytes_total", &[], 1e12 + 7.0);
        shape.set("sriov_vf_transmit_dropped_total", &[], 0.0);
        shape.set("sriov_vf_receive_multicast_total", &[], 12.0);
    }
    shape.set("sriov_vf_pod_info", &owner("upf-0", "false")[..4], 1.0);
    shape
}

pub fn pods() -> Shape {
    let mut shape = Shape::new("pods", 10_000);
    shape.entity("node", &[]);
    let device = |device| {
        [
            ("namespace", "ran"),
            ("pod", "du-0"),
            ("container", "l1"),
            ("resource", "intel.com/acc100"),
            ("device", device),
        ]
    };
    shape.set("pod_device_info", &device("0000:8b:00.0"), 1.0);
    shape.set("pod_device_info", &device("fpga-7"), 1.0);
    let cpus = [
        ("namespace", "ran"),
        ("pod", "du-0"),
        ("container", "l1"),
        ("cpus", "4-6,9"),
        ("numa_nodes", "0"),
    ];
    shape.set("pod_cpu_info", &cpus, 1.0);
    shape
}

pub async fn send(agent: &mut Agent, seq: u64, tick: i64, shape: &Shape) {
    let (layout, values) = shape.finish();
    agent.layout(&layout).await;
    agent.frame(seq, layout.hash, tick, &values).await;
    assert!(agent.acked(seq).await.is_empty(), "frame {seq} was refused");
}

/// An aggregator that was just told of the whole fleet.
pub async fn running(config: Config) -> (Running, Agent) {
    let running = Running::start(config).await;
    let mut agent = Agent::connect(&running.grpc, hello("worker-1", "s")).await.unwrap();
    let now = now_ms();
    let shapes = [gpus(1.0, now as f64 / 1e3), clocks(), vfs(), pods()];
    for (seq, shape) in (1..).zip(&shapes) {
        send(&mut agent, seq, now, shape).await;
    }
    (running, agent)
}
