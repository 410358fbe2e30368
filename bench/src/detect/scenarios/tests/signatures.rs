//! Each class of fault shows what it is known for, and nothing else.

use super::scene::When::{Before, During, From};
use super::scene::{Scene, scene};
use crate::detect::scenarios::spec::Class;

fn deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()
}

fn each_gpu(scene: &Scene, f: impl Fn(usize, &[(&str, &str)])) {
    for (index, uuid) in scene.gpus().iter().enumerate() {
        f(index, &[("uuid", uuid)]);
    }
}

#[test]
fn gpu_that_fell_off_the_bus_ends_its_series_and_is_lost() {
    let scene = scene(Class::Xid79, 0.9);
    each_gpu(&scene, |index, gpu| {
        assert!(!scene.values(0, "gpu_power_watts", gpu, Before).is_empty());
        let told = scene.values(0, "gpu_power_watts", gpu, During).len();
        assert_eq!(told == 0, index == 2, "GPU {index}");
        let lost = [gpu, &[("state", "lost")]].concat();
        let lost = scene.mean(0, "gpu_state", &lost, During);
        assert_eq!(lost, f64::from(u8::from(index == 2)));
        // Its job is over: the others of the gang, which is of six, idle.
        assert!(
            index == 2 || index > 5 || scene.mean(0, "gpu_utilization_ratio", gpu, From(60)) < 0.3
        );
    });
    assert_eq!(scene.told("gpu.xid", "79"), [0]);
    assert_eq!(scene.mean(0, "gpu_devices", &[], During), 7.0);
    assert_eq!(scene.fault.observable_ms, Some(scene.fault.begin_s * 1000));
}

#[test]
fn bus_errors_come_before_the_loss_in_a_share_of_the_cases() {
    let scene = scene(Class::Xid79, 0.1);
    let lost = scene.told("gpu.xid", "79")[0];
    assert!((40..150).contains(&lost), "{lost}");
}

#[test]
fn memory_errors_count_and_ask_for_what_their_xid_asks_for() {
    for (class, xid, action) in
        [(Class::Xid48, "48", 1.0), (Class::Xid94, "94", 4.0), (Class::Xid95, "95", 1.0)]
    {
        let scene = scene(class, 0.5);
        let uuid = &scene.gpus()[2];
        let gpu = ("uuid", uuid.as_str());
        assert_eq!(scene.told("gpu.xid", xid), [0]);
        let errors = [gpu, ("error", "uncorrected"), ("counter", "volatile")];
        assert_eq!(scene.mean(0, "gpu_ecc_errors_total", &errors, Before), 0.0);
        assert_eq!(scene.mean(0, "gpu_ecc_errors_total", &errors, During), 1.0);
        assert_eq!(scene.mean(0, "gpu_row_remap_pending", &[gpu], During), 1.0);
        assert_eq!(scene.mean(0, "gpu_recovery_action", &[gpu], During), action);
        // The job is restarted minutes later.
        let work = scene.values(0, "gpu_utilization_ratio", &[gpu], From(60));
        assert!(work.iter().take(15).all(|busy| *busy == 0.0), "{work:?}");
    }
}

#[test]
fn pending_remap_changes_nothing_of_the_work_and_a_failed_one_is_told() {
    let pending = scene(Class::Xid63, 0.5);
    let gpu = pending.gpus()[2].clone();
    let gpu = [("uuid", gpu.as_str())];
    assert_eq!(pending.mean(0, "gpu_row_remap_pending", &gpu, During), 1.0);
    let work = |when| pending.mean(0, "gpu_power_watts", &gpu, when);
    assert!((work(During) / work(Before) - 1.0).abs() < 0.1);
    assert_eq!(pending.told("gpu.xid", "63"), [0]);
    let failed = scene(Class::Xid64, 0.5);
    assert_eq!(failed.mean(0, "gpu_row_remap_failed", &gpu, During), 1.0);
}

#[test]
fn hot_gpu_settles_at_its_slowdown_temperature_by_lowering_its_clock() {
    let scene = scene(Class::ThermalThrottle, 0.5);
    let uuid = &scene.gpus()[2];
    let gpu = ("uuid", uuid.as_str());
    let hottest = scene.values(0, "gpu_temperature_celsius", &[gpu], From(300));
    assert!(hottest.iter().all(|t| (82.0..94.0).contains(t)), "{hottest:?}");
    let clock = |when| scene.mean(0, "gpu_clock_hertz", &[gpu, ("clock", "sm")], when);
    assert!(clock(From(400)) < 0.99 * clock(Before));
    assert!(scene.growth(0, "gpu_throttle_seconds_total", &[gpu, ("reason", "sw_thermal")]) > 60.0);
}

#[test]
fn power_brake_halves_all_clocks_of_the_node_at_once() {
    let scene = scene(Class::PowerBrake, 0.5);
    each_gpu(&scene, |_, gpu| {
        let brake = [gpu, &[("reason", "hw_power_brake")]].concat();
        assert_eq!(scene.mean(0, "gpu_clocks_event_active", &brake, Before), 0.0);
    });
    let uuid = &scene.gpus()[0];
    let gpu = ("uuid", uuid.as_str());
    let brake = [gpu, ("reason", "hw_power_brake")];
    assert_eq!(scene.mean(0, "gpu_clocks_event_active", &brake, During), 1.0);
    let clock = |when| scene.mean(0, "gpu_clock_hertz", &[gpu, ("clock", "sm")], when);
    assert!(clock(During) < 0.75 * clock(Before));
    let power = |when| scene.mean(0, "gpu_power_watts", &[gpu], when);
    assert!(power(During) < 0.6 * power(Before));
}

#[test]
fn power_cap_lowers_the_enforced_limit_only_there() {
    let scene = scene(Class::PowerCap, 0.5);
    for (index, uuid) in scene.gpus().iter().enumerate() {
        let limit = [("uuid", uuid.as_str()), ("limit", "enforced")];
        let lowered = scene.mean(0, "gpu_power_limit_watts", &limit, From(90)) < 600.0;
        assert_eq!(lowered, index == 2);
    }
}

#[test]
fn memory_corrects_more_and_more_errors_in_a_storm() {
    let scene = scene(Class::EccStorm, 0.5);
    let uuid = &scene.gpus()[2];
    let labels = [("uuid", uuid.as_str()), ("error", "corrected"), ("counter", "volatile")];
    let counts = scene.values(0, "gpu_ecc_errors_total", &labels, From(0));
    let (first, second) = counts.split_at(counts.len() / 2);
    let grown = |part: &[f64]| part.last().unwrap_or(&0.0) - part.first().unwrap_or(&0.0);
    assert!(grown(first) > 5.0 && grown(second) > 1.5 * grown(first));
}

#[test]
fn bad_link_counts_at_both_ends_and_slows_the_gang() {
    let scene = scene(Class::NvlinkDegrade, 0.9);
    let bad: Vec<bool> = scene
        .gpus()
        .iter()
        .map(|uuid| {
            let labels = [("uuid", uuid.as_str()), ("error", "crc_flit")];
            scene.growth(0, "gpu_nvlink_errors_total", &labels) > 0.0
        })
        .collect();
    assert_eq!(bad, [false, false, true, true, false, false, false, false]);
    let uuid = &scene.gpus()[0];
    let traffic =
        |when| scene.mean(0, "gpu_nvlink_transmit_bytes_per_second", &[("uuid", uuid)], when);
    assert!(traffic(During) < 0.97 * traffic(Before));
}

#[test]
fn pcie_link_loses_lanes_or_generations() {
    let narrow = scene(Class::PcieWidth, 0.5);
    let uuid = &narrow.gpus()[2];
    assert_eq!(narrow.mean(0, "gpu_pcie_link_width", &[("uuid", uuid)], Before), 16.0);
    assert_eq!(narrow.mean(0, "gpu_pcie_link_width", &[("uuid", uuid)], During), 8.0);
    let slow = scene(Class::PcieGeneration, 0.5);
    assert_eq!(slow.mean(0, "gpu_pcie_link_generation", &[("uuid", uuid)], During), 3.0);
}

#[test]
fn straggler_makes_the_others_wait_and_flags_nothing() {
    for (class, clock_draw) in [(Class::Straggler20, 0.1), (Class::Straggler10, 0.9)] {
        let scene = scene(class, clock_draw);
        let uuids = scene.gpus();
        let activity = |gpu: usize, when| {
            scene.mean(0, "gpu_tensor_active_ratio", &[("uuid", &uuids[gpu])], when)
        };
        assert!(activity(0, During) < 0.96 * activity(0, Before), "{class:?}");
        assert_eq!(
            scene.mean(0, "gpu_clocks_event_active", &[("uuid", &uuids[2])], During),
            0.0,
            "no reason is flagged"
        );
        let labels = [("uuid", uuids[2].as_str()), ("clock", "sm")];
        let clock = |when| scene.mean(0, "gpu_clock_hertz", &labels, when);
        assert_eq!(clock(During) < 0.95 * clock(Before), clock_draw < 0.5);
    }
}

#[test]
fn lost_grandmaster_reference_shows_on_every_node_as_class_7_and_then_worse() {
    let scene = scene(Class::GmLoss, 0.5);
    for node in 0..3 {
        let classes = scene.values(node, "ptp_clock_class", &[], From(0));
        assert!(classes.contains(&7.0) && classes.last().is_some_and(|c| *c > 50.0));
        assert!(scene.values(node, "ptp_clock_class", &[], Before).iter().all(|c| *c == 6.0));
    }
    assert!(scene.told("ptp.clock_class_changed", "7").len() >= 3);
}

#[test]
fn grandmasters_take_turns_with_a_transient_of_the_offset() {
    let scene = scene(Class::BmcaFlap, 0.5);
    assert!(scene.told("ptp.grandmaster_changed", "").len() > 9);
    let worst = |when| {
        let offsets = scene.values(1, "ptp_offset_seconds", &[], when);
        offsets.iter().fold(0.0_f64, |worst, o| worst.max(o.abs()))
    };
    assert!(worst(From(0)) > 100e-9 && worst(Before) < 80e-9);
}

#[test]
fn asymmetry_moves_the_path_delay_and_not_the_offset() {
    let scene = scene(Class::AsymmetryStep, 0.5);
    let delay = |node, when| scene.mean(node, "ptp_mean_path_delay_seconds", &[], when);
    assert!(delay(1, During) > delay(1, Before) + 100e-9);
    assert!(
        (delay(0, During) - delay(0, Before)).abs() < 20e-9,
        "the other clock's path is as it was"
    );
    assert!(scene.mean(1, "ptp_offset_seconds", &[], During).abs() < 10e-9);
}

#[test]
fn jitter_spreads_path_delay_and_offset() {
    let scene = scene(Class::DelayJitter, 0.9);
    for metric in ["ptp_mean_path_delay_seconds", "ptp_offset_seconds"] {
        let spread = |when| deviation(&scene.values(1, metric, &[], when));
        assert!(spread(During) > 2.0 * spread(Before), "{metric}");
    }
}

#[test]
fn dropping_function_drops_alone_and_an_exhausted_port_on_all() {
    let vf = |number: &'static str| [("pf", "ens1f1"), ("vf", number)];
    let storm = scene(Class::VfDropStorm, 0.5);
    assert!(storm.growth(0, "sriov_vf_receive_dropped_total", &vf("3")) > 10_000.0);
    assert!(storm.growth(0, "sriov_vf_receive_dropped_total", &vf("4")) < 100.0);
    let exhausted = scene(Class::PfQueueExhaustion, 0.5);
    for number in ["0", "9", "15"] {
        let labels = [("pf", "ens1f0"), ("vf", number)];
        assert!(exhausted.growth(0, "sriov_vf_receive_dropped_total", &labels) > 10.0);
    }
}

#[test]
fn stuck_function_sends_and_receives_nothing() {
    let scene = scene(Class::VfStuck, 0.5);
    let vf = [("pf", "ens1f1"), ("vf", "3")];
    let received = scene.values(0, "sriov_vf_receive_packets_total", &vf, From(60));
    assert!(received.windows(2).all(|w| w[0] == w[1]));
    assert!(scene.growth(0, "sriov_vf_transmit_packets_total", &vf) > 1000.0);
    assert!(scene.growth(0, "sriov_pf_receive_packets_total", &[("pf", "ens1f1")]) > 1e6);
}

#[test]
fn flapping_link_takes_its_clock_with_it_and_comes_back() {
    let scene = scene(Class::LinkFlap, 0.5);
    let pf = [("pf", "ens1f0")];
    assert!(scene.growth(0, "sriov_pf_carrier_changes_total", &pf) > 20.0);
    assert!(scene.told("sriov.link_down", "ens1f0").len() > 10);
    let states = scene.values(0, "ptp_port_state", &[], From(0));
    assert!(states.contains(&2.0), "FAULTY");
    assert!(scene.values(1, "ptp_port_state", &[], From(0)).iter().all(|s| *s == 9.0));
}

#[test]
fn leak_takes_all_memory_until_a_kill_gives_it_back() {
    let scene = scene(Class::HostOom, 0.5);
    let available = scene.values(0, "node_memory_MemAvailable_bytes", &[], From(0));
    let least = available.iter().copied().fold(f64::MAX, f64::min);
    assert!(least < 0.06 * 1.08e12, "{least}");
    assert!(available.last().is_some_and(|last| *last > 0.3 * 1.08e12));
    assert_eq!(scene.growth(0, "node_vmstat_oom_kill", &[]), 1.0);
    assert_eq!(scene.told("host.oom_kill", "").len(), 1);
}

#[test]
fn stolen_time_is_counted_on_every_processor() {
    let scene = scene(Class::Steal, 0.5);
    for cpu in ["0", "5"] {
        let labels = [("cpu", cpu), ("mode", "steal")];
        assert!(scene.growth(0, "node_cpu_seconds_total", &labels) > 0.04 * 850.0);
    }
}
