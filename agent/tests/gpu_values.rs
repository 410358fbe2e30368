//! What the GPU collector reads: values, identities, MIG devices, processes, and how many calls
//! that takes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod gpu_support;

use std::time::Duration;

use fake_nvml::Code;
use fake_nvml::scenario::{Act, Entry, Gpu, Load, Mig, Process, ProcessType, Scenario, Sram};
use gpu_support::{Samples, conditions, count, node, of, pause, value, with};

fn h100(count: u32) -> Scenario {
    let busy = conditions(|c| c.load = Some(Load::steady(0.9)));
    Scenario { gpus: vec![Gpu::of("h100-sxm").count(count).set(busy)], ..Scenario::default() }
}

fn is_between(samples: &Samples, metric: &str, low: f64, high: f64) {
    let value = value(samples, metric, &[]).unwrap_or(f64::NAN);
    assert!((low..=high).contains(&value), "{metric} is {value}: {samples:#?}");
}

#[test]
fn busy_gpu_is_told_in_base_units() {
    let mut node = node(h100(1));
    let fast = node.until_read(1);
    is_between(&fast, "gpu_power_watts", 300.0, 800.0);
    is_between(&fast, "gpu_utilization_ratio", 0.5, 1.0);
    is_between(&fast, "gpu_temperature_celsius", 35.0, 95.0);
    let sm = value(&fast, "gpu_clock_hertz", &[("clock", "sm")]).unwrap();
    assert!((5e8..3e9).contains(&sm), "{sm}");
    assert_eq!(of(&fast, "gpu_clocks_event_active").count(), 9);
    assert_eq!(count(&fast, "gpu_throttle_seconds_total"), 9);
    assert_eq!(value(&fast, "gpu_driver_up", &[]), Some(1.0));

    node.medium();
    // GPM compares two samples that are some time apart.
    pause(Duration::from_millis(120));
    let medium = node.medium();
    is_between(&medium, "gpu_memory_total_bytes", 79e9, 90e9);
    is_between(&medium, "gpu_sm_active_ratio", 0.3, 1.0);
    is_between(&medium, "gpu_pcie_link_generation", 5.0, 5.0);
    assert_eq!(count(&medium, "gpu_nvlink_up"), 18);
    let info = of(&medium, "gpu_info").next().unwrap().0;
    for label in
        ["pci_bus_id=\"0000:", "model=\"NVIDIA H100", "architecture=\"hopper\"", "gpu=\"0\""]
    {
        assert!(info.contains(label), "{label} in {info}");
    }
    assert_eq!(value(&medium, "sextant_gpu_rejected_values_total", &[]), Some(0.0));

    let slow = node.slow();
    let limit = value(&slow, "gpu_power_limit_watts", &[("limit", "enforced")]);
    assert_eq!(limit, Some(700.0));
    assert_eq!(value(&slow, "gpu_inforom_valid", &[]), Some(1.0));
    assert_eq!(of(&slow, "gpu_nvlink_info").count(), 18);
    assert_eq!(of(&slow, "gpu_fan_speed_ratio").count(), 0, "an SXM module has no fan");
}

#[test]
fn throttle_times_are_found_whatever_the_driver_numbers_them() {
    for (driver, known) in
        [("550.163.01", false), ("575.57.08", true), ("580.65.06", true), ("580.95.05", true)]
    {
        let mut scenario = Scenario { driver: driver.into(), ..h100(1) };
        scenario.gpus[0].set.throttle = Some(0x40 | 0x80);
        let mut node = node(scenario);
        let told = |samples: &Samples, reason| {
            value(samples, "gpu_throttle_seconds_total", &[("reason", reason)])
        };
        let samples = node.until("thermal", |samples| told(samples, "thermal") > Some(0.0));
        // Driver 550 does not have them by any number.
        for reason in ["hw_thermal", "hw_power_brake"] {
            assert_eq!(told(&samples, reason) > Some(0.0), known, "{driver} {reason}");
        }
        assert_eq!(told(&samples, "sw_thermal"), known.then_some(0.0), "{driver}");
    }
}

#[test]
fn what_cannot_be_is_absent_and_counted() {
    let mut scenario = h100(1);
    scenario.gpus[0].set.values = [
        ("82".into(), 255.0),
        ("temperature".into(), 300.0),
        ("utilization".into(), 4_294_967_295.0),
    ]
    .into();
    scenario.gpus[0].set.name_hex = Some("48ff313030".into());
    let mut node = node(scenario);
    let fast = node.until("read", |samples| count(samples, "gpu_power_watts") == 1);
    for metric in
        ["gpu_temperature_celsius", "gpu_memory_temperature_celsius", "gpu_utilization_ratio"]
    {
        assert_eq!(count(&fast, metric), 0, "{metric}");
    }
    let medium = node.medium();
    let rejected = value(&medium, "sextant_gpu_rejected_values_total", &[]).unwrap();
    assert!(rejected >= 3.0, "{rejected}");
    let info = of(&medium, "gpu_info").next().unwrap().0;
    assert!(info.contains("model=\"H\u{fffd}100\""), "{info}");
}

#[test]
fn fields_that_a_product_lacks_have_no_series() {
    let scenario = Scenario { gpus: vec![Gpu::of("t4")], ..Scenario::default() };
    let mut node = node(scenario);
    let fast = node.until_read(1);
    assert_eq!(of(&fast, "gpu_memory_temperature_celsius").count(), 0);
    let mut all = fast;
    for _ in 0..2 {
        all.extend(node.medium());
        all.extend(node.slow());
    }
    for metric in ["gpu_sm_active_ratio", "gpu_nvlink_up", "gpu_mig_mode", "gpu_fabric_state"] {
        assert_eq!(of(&all, metric).count(), 0, "{metric}");
    }
    assert_eq!(count(&all, "gpu_memory_used_bytes"), 1);
}

#[test]
fn mig_is_turned_on_changed_and_turned_off() {
    let mut node = node(h100(2));
    node.until_read(2);
    node.medium();
    let on = |profiles: &[&str]| {
        let mig = profiles.iter().map(|p| Mig::Profile((*p).into())).collect();
        Entry::gpu(1).set(conditions(|c| c.mig = Some(mig)))
    };
    node.happen(on(&["3g.40gb", "1g.10gb"]));
    // The devices are there with the tick after the one that saw the mode.
    node.medium();
    let medium = node.medium();
    assert_eq!(count(&medium, "gpu_mig_memory_total_bytes"), 2);
    assert_eq!(of(&medium, "gpu_mig_mode").filter(|(_, on)| *on == 1.0).count(), 1);
    let infos: Vec<_> = of(&medium, "gpu_mig_info").map(|(key, _)| key).collect();
    assert!(infos.iter().any(|key| key.contains("profile=\"3g.40gb\"")), "{infos:?}");
    pause(Duration::from_millis(120));
    assert_eq!(count(&node.medium(), "gpu_mig_sm_active_ratio"), 2);
    // NVML has no utilization of a GPU in MIG mode.
    node.advance(1.0);
    assert_eq!(count(&node.fast(), "gpu_utilization_ratio"), 1);

    node.calm();
    node.happen(on(&["1g.10gb", "1g.10gb", "1g.10gb"]));
    node.slow();
    assert_eq!(count(&node.medium(), "gpu_mig_memory_total_bytes"), 3);

    node.calm();
    node.medium();
    let medium = node.medium();
    assert_eq!(of(&medium, "gpu_mig_memory_total_bytes").count(), 0);
    node.advance(1.0);
    assert_eq!(count(&node.fast(), "gpu_utilization_ratio"), 2);
    let changes = node.event_types().into_iter().filter(|kind| *kind == "gpu.mig_changed").count();
    assert!(changes >= 3, "{changes}");
}

#[test]
fn processes_are_told_by_name_and_bounded() {
    let many = |n: u32| {
        let one =
            |pid| Process { pid, memory_mib: Some(f64::from(pid % 7 + 1)), ..Process::default() };
        (1000..1000 + n).map(one).collect::<Vec<_>>()
    };
    let mut node = node(h100(1));
    node.until_read(1);
    let proc = node.dir.path().join("proc/1000");
    std::fs::create_dir_all(&proc).unwrap();
    std::fs::write(proc.join("comm"), "trainer\n").unwrap();
    node.happen(Entry::all().set(conditions(|c| c.processes = Some(many(2)))));
    let slow = node.slow();
    assert_eq!(value(&slow, "gpu_processes", &[("type", "compute")]), Some(2.0));
    let trainer = [("pid", "1000"), ("name", "trainer"), ("type", "compute")];
    let memory = value(&slow, "gpu_process_memory_bytes", &trainer);
    assert_eq!(memory, Some(f64::from(1000 % 7 + 1) * 1_048_576.0));
    assert_eq!(count(&slow, "gpu_memory_unaccounted_bytes"), 1);

    node.calm();
    node.happen(Entry::all().set(conditions(|c| c.processes = Some(many(700)))));
    let slow = node.slow();
    assert_eq!(value(&slow, "gpu_processes", &[("type", "compute")]), Some(700.0));
    assert_eq!(count(&slow, "gpu_process_memory_bytes"), 256);
}

#[test]
fn graphics_processes_and_shares_are_read_where_they_are_wanted() {
    let mut scenario = h100(1);
    let process = |pid, kind| Process {
        pid,
        memory_mib: Some(1024.0),
        kind,
        share: 0.5,
        ..Process::default()
    };
    scenario.gpus[0].set.processes =
        Some(vec![process(10, ProcessType::Compute), process(11, ProcessType::Graphics)]);
    let mut plain = node(scenario.clone());
    plain.until_read(1);
    let slow = plain.slow();
    assert_eq!(of(&slow, "gpu_processes").count(), 2, "compute and MPS");
    assert_eq!(of(&slow, "gpu_process_utilization_ratio").count(), 0);
    drop(plain);
    let mut node = with(scenario, |config, _| {
        (config.graphics_processes, config.process_utilization) = (true, true);
    });
    node.until_read(1);
    let slow = node.slow();
    assert_eq!(value(&slow, "gpu_processes", &[("type", "graphics")]), Some(1.0));
    let share = value(&slow, "gpu_process_utilization_ratio", &[("pid", "10")]);
    assert!(share.is_some_and(|share| share > 0.0 && share <= 1.0), "{share:?}");
}

#[test]
fn fans_and_what_is_forbidden_are_told() {
    let mut scenario = h100(1);
    scenario.gpus[0].fans = 2;
    scenario.status = [("GetSramEccErrorStatus".into(), Code::NO_PERMISSION)].into();
    let mut node = node(scenario);
    node.until_read(1);
    let slow = node.slow();
    assert_eq!(count(&slow, "gpu_fan_speed_ratio"), 2);
    assert_eq!(of(&slow, "gpu_sram_ecc_errors_total").count(), 0);
    let forbidden = [("metric", "gpu_sram_ecc_errors_total"), ("reason", "no permission")];
    assert_eq!(value(&slow, "sextant_unavailable", &forbidden), Some(1.0));
}

#[test]
fn a_minute_takes_no_more_calls_than_planned() {
    let mut node = node(h100(8));
    node.until_read(8);
    let minute = |node: &mut gpu_support::Node| {
        for second in 0..60 {
            node.advance(1.0);
            node.fast();
            if second % 10 == 0 {
                node.medium();
            }
        }
        node.slow();
    };
    minute(&mut node);
    minute(&mut node);
    // Every fifth minute the GPUs are enumerated anew, and asked whom they can reach.
    let mut enumerated = 0;
    for _ in 0..5 {
        node.library.reset_stats();
        minute(&mut node);
        let stats = node.stats();
        assert_eq!(stats.gpus.len(), 8);
        let listed = by_name(&stats);
        for (gpu, calls) in &stats.gpus {
            // Each call answers at least once, so none is there for nothing.
            assert!((60..=BUDGET).contains(&calls.calls), "GPU {gpu}: {calls:?}\n{listed}");
        }
        // What is not about a GPU: comparing samples, counting GPUs and finding them.
        let system = stats.calls - stats.gpus.values().map(|gpu| gpu.calls).sum::<u64>();
        assert!(system <= 8 * 7 + 60 * 2, "{system} calls about no GPU\n{listed}");
        // On a busy machine a call may count as slow, and is made more rarely then.
        let fields = stats.calls_of("nvmlDeviceGetFieldValues");
        assert!((1..=8 * (60 + 6 + 1)).contains(&fields), "{listed}");
        let pairs = stats.calls_of("nvmlDeviceGetP2PStatus");
        assert!(pairs == 0 || pairs == 8 * 7 * 5, "{pairs}");
        enumerated += u32::from(pairs > 0);
        assert_eq!(stats.calls_of("nvmlDeviceGetPcieThroughput"), 0);
        assert_eq!(stats.calls_of("nvmlDeviceGetGraphicsRunningProcesses_v3"), 0);
        assert_eq!(stats.use_after_shutdown + stats.stale_handles, 0);
    }
    assert_eq!(enumerated, 1);
}

/// What may be asked of a GPU in a minute: 6 calls a second, 15 every ten, 30 in the minute make
/// 480; a tenth of it is kept free.
const BUDGET: u64 = (6 * 60 + 15 * 6 + 30) * 9 / 10;

/// Calls by function, the most frequent first.
fn by_name(stats: &fake_nvml::Stats) -> String {
    let mut calls: Vec<_> =
        stats.functions.iter().map(|(name, function)| (function.calls, name)).collect();
    calls.sort_unstable_by(|a, b| b.cmp(a));
    let lines = calls.iter().filter(|(calls, _)| *calls > 0);
    lines.map(|(calls, name)| format!("{calls:6} {name}\n")).collect()
}

#[test]
fn gpus_tell_whom_they_can_reach_when_they_are_enumerated() {
    let mut scenario = h100(3);
    scenario.timeline.push(Entry::gpu(2).set(conditions(|c| {
        c.nvlink_down = (0..18).collect();
    })));
    let mut node = node(scenario);
    node.until_read(3);
    let slow = node.slow();
    assert_eq!(of(&slow, "gpu_p2p_status").count(), 3 * 2 * 5);
    let info = node.medium();
    let uuid_of = |index: &str| {
        let gpu = format!("gpu=\"{index}\"");
        let found = of(&info, "gpu_info").find(|(key, _)| key.contains(&gpu)).unwrap().0.to_owned();
        found.split("uuid=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let uuids = ["0", "1", "2"].map(uuid_of);
    let status = |samples: &Samples, from: usize, to: usize, capability| {
        let pair = [("peer_uuid", &*uuids[to]), ("capability", capability)];
        let own = format!(",uuid=\"{}\"", uuids[from]);
        let all = of(samples, "gpu_p2p_status").filter(|(key, _)| {
            key.contains(&own) && pair.iter().all(|(n, v)| key.contains(&format!("{n}=\"{v}\"")))
        });
        all.map(|(_, value)| value).collect::<Vec<_>>()
    };
    assert_eq!(status(&slow, 0, 1, "nvlink"), [0.0]);
    assert_eq!(status(&slow, 0, 2, "nvlink"), [5.0]);
    assert_eq!(status(&slow, 2, 1, "read"), [0.0]);

    // It is not asked again until GPUs are enumerated, and says so all the same.
    node.calm();
    node.library.reset_stats();
    let slow = node.slow();
    assert_eq!(status(&slow, 0, 2, "nvlink"), [5.0]);
    assert_eq!(node.stats().calls_of("nvmlDeviceGetP2PStatus"), 0);
    node.advance(301.0);
    node.medium();
    node.fast();
    node.fast();
    assert_eq!(status(&node.slow(), 0, 2, "nvlink"), [0.0]);

    // A peer that is lost has no pairs, and takes nobody with it.
    node.happen(Entry::gpu(1).set(conditions(|c| c.lost = Some(true))));
    node.advance(301.0);
    node.medium();
    let fast = node.until("one lost", |samples| count(samples, "gpu_temperature_celsius") == 2);
    assert_eq!(of(&fast, "gpu_temperature_celsius").count(), 2);
    node.fast();
    let slow = node.slow();
    assert_eq!(of(&slow, "gpu_p2p_status").count(), 2 * 5);
    assert_eq!(count(&node.fast(), "gpu_temperature_celsius"), 2);
}

#[test]
fn versions_of_the_inforoms_parts_are_told_where_there_are_any() {
    let mut node = node(h100(1));
    node.until_read(1);
    let medium = node.medium();
    let info = of(&medium, "gpu_info").next().unwrap().0;
    for label in ["inforom_oem_version=\"2.1\"", "inforom_ecc_version=\"7.16\""] {
        assert!(info.contains(label), "{info}");
    }
    assert!(!info.contains("inforom_power_version"), "an H100 has none: {info}");
    // With all of them there are more labels than before; none is cut off.
    assert!(info.contains("gsp_firmware_version=") && info.contains("module_id="), "{info}");
}

#[test]
fn errors_of_the_sram_are_told_by_kind_and_as_a_place() {
    let mut node = node(h100(1));
    node.until_read(1);
    let sram = Sram { corrected: 4, parity: 2, secded: 1 };
    node.happen(Entry::gpu(0).act(Act { sram: Some(sram), ..Act::default() }));
    let slow = node.slow();
    let place = |error| {
        let labels = [("location", "sram"), ("counter", "volatile"), ("error", error)];
        value(&slow, "gpu_ecc_location_errors_total", &labels)
    };
    assert_eq!((place("corrected"), place("uncorrected")), (Some(4.0), Some(3.0)));
    let parity = [("error", "uncorrected_parity"), ("counter", "volatile")];
    assert_eq!(value(&slow, "gpu_sram_ecc_errors_total", &parity), Some(2.0));
}

#[test]
fn integer_and_double_precision_pipes_are_told() {
    let mut node = node(h100(1));
    node.until_read(1);
    node.medium();
    pause(Duration::from_millis(120));
    let medium = node.medium();
    for metric in ["gpu_integer_active_ratio", "gpu_tensor_dfma_active_ratio"] {
        assert_eq!(count(&medium, metric), 1, "{metric}");
    }
}
