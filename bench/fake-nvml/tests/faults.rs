//! Each fault that a scenario can make, set and taken away while clients look.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(unsafe_code, reason = "raw calls, too")]

mod common;

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use common::{busy, machine};
use fake_nvml::scenario::{Ecc, Latency, NvLinkErrors, Pcie, Process, Remap, Sram};
use fake_nvml::{Act, Code, Conditions, Entry, Gpus, Load, Scenario, library_path};
use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper_sys::bindings as sys;

/// Longer than anything takes that is not stuck.
const STUCK: Duration = Duration::from_secs(20);

#[test]
fn a_lost_gpu_is_counted_but_answers_nothing_until_the_entry_is_gone() {
    let mut machine = machine(busy("h100-sxm", 8));
    let handle = machine.nvml.device_by_index(3).unwrap().uuid().unwrap();
    let lost = Conditions { lost: Some(true), ..Conditions::default() };
    machine.push(Entry::gpu(3).set(lost));
    assert_eq!(machine.nvml.device_count().unwrap(), 8);
    assert!(matches!(machine.nvml.device_by_index(3), Err(NvmlError::GpuLost)));
    assert!(matches!(machine.nvml.device_by_uuid(handle.as_str()), Err(NvmlError::GpuLost)));
    assert!(machine.nvml.device_by_index(4).unwrap().power_usage().is_ok());
    machine.calm();
    assert!(machine.nvml.device_by_index(3).unwrap().power_usage().is_ok());
}

#[test]
fn a_removed_gpu_is_not_counted_and_the_others_move_up() {
    let mut machine = machine(busy("h100-sxm", 4));
    let third = machine.nvml.device_by_index(2).unwrap().uuid().unwrap();
    let gone = machine.nvml.device_by_index(1).unwrap().uuid().unwrap();
    let old = machine.handle(1);
    let removed = Conditions { removed: Some(true), ..Conditions::default() };
    machine.push(Entry::gpu(1).set(removed));
    assert_eq!(machine.nvml.device_count().unwrap(), 3);
    assert_eq!(machine.nvml.device_by_index(1).unwrap().uuid().unwrap(), third);
    assert!(matches!(machine.nvml.device_by_uuid(gone.as_str()), Err(NvmlError::NotFound)));
    let mut power = 0;
    // SAFETY: a handle of this library, and a place for the answer.
    let code = unsafe { machine.nvml.lib().nvmlDeviceGetPowerUsage(old, &raw mut power) };
    assert_eq!(code, 15);
    machine.calm();
    assert_eq!(machine.nvml.device_by_index(1).unwrap().uuid().unwrap(), gone);
}

#[test]
fn a_gpu_that_is_added_to_the_file_appears_and_the_others_keep_their_counters() {
    let mut machine = machine(Scenario { time_scale: 100.0, ..busy("h100-sxm", 2) });
    machine.pass(5.0);
    let before = machine.field(0, 83).unwrap();
    assert!(before > 0);
    machine.file.edit(|scenario| scenario.gpus[0].count = 3).unwrap();
    machine.library.reload().unwrap();
    assert_eq!(machine.nvml.device_count().unwrap(), 3);
    assert!(machine.field(0, 83).unwrap() >= before);
}

#[test]
fn a_code_for_everything_and_codes_for_single_functions() {
    let mut machine = machine(busy("h100-sxm", 2));
    let code = Conditions { code: Some(Code::RESET_REQUIRED), ..Conditions::default() };
    machine.push(Entry::gpu(0).set(code));
    let handle = machine.nvml.device_by_index(1).unwrap();
    assert!(matches!(machine.nvml.device_by_index(0), Err(NvmlError::ResetRequired)));
    assert!(handle.power_usage().is_ok());
    machine.calm();
    let status = BTreeMap::from([("GetPowerUsage".to_owned(), Code::NO_PERMISSION)]);
    let fields = BTreeMap::from([("230".to_owned(), Code::NOT_SUPPORTED)]);
    machine.push(Entry::gpu(0).set(Conditions { status, fields, ..Conditions::default() }));
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert!(matches!(gpu.power_usage(), Err(NvmlError::NoPermission)));
    assert!(gpu.utilization_rates().is_ok());
    assert_eq!(machine.field(0, 230), Err(3));
    assert_eq!(machine.field(1, 230), Ok(0));
}

#[test]
fn a_hang_ends_when_the_scenario_says_so_and_other_gpus_go_on() {
    let mut machine = machine(busy("h100-sxm", 2));
    let hang = Conditions { hang: vec!["GetPowerUsage".into()], ..Conditions::default() };
    machine.push(Entry::gpu(0).set(hang));
    let (sender, receiver) = mpsc::channel();
    let stuck = std::thread::spawn(move || {
        let path = library_path().unwrap();
        let nvml = Nvml::builder().lib_path(path.as_os_str()).init().unwrap();
        let gpu = nvml.device_by_index(0).unwrap();
        sender.send(None).unwrap();
        sender.send(Some(gpu.power_usage().unwrap())).unwrap();
    });
    assert_eq!(receiver.recv_timeout(STUCK).unwrap(), None);
    assert!(machine.nvml.device_by_index(1).unwrap().power_usage().is_ok());
    assert!(machine.nvml.device_by_index(0).unwrap().utilization_rates().is_ok());
    assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err(), "it does not come back");
    machine.calm();
    assert!(receiver.recv_timeout(STUCK).unwrap().unwrap() > 0);
    stuck.join().unwrap();
}

#[test]
fn a_slow_call_takes_its_time_and_the_statistics_say_so() {
    let mut machine = machine(busy("h100-sxm", 2));
    let latency = vec![Latency { call: "GetFieldValues".into(), ms: 30.0, jitter_ms: 0.0 }];
    machine.push(Entry::gpu(0).set(Conditions { latency, ..Conditions::default() }));
    machine.library.reset_stats();
    assert!(machine.field(0, 83).is_ok());
    assert!(machine.field(1, 83).is_ok());
    let stats = machine.stats();
    let calls = &stats.functions["nvmlDeviceGetFieldValues"].gpus;
    assert!(calls[&0].nanos >= 30_000_000);
    assert!(calls[&1].nanos < calls[&0].nanos);
}

#[test]
fn ecc_errors_count_for_now_and_for_life_until_counters_are_reset() {
    let mut machine = machine(busy("a100", 1));
    let ecc = Some(Ecc { corrected: 5, uncorrected: 1, location: 2 });
    let sram = Some(Sram { corrected: 2, parity: 1, secded: 0 });
    machine.push(Entry::gpu(0).act(Act { ecc, sram, ..Act::default() }));
    let gpu = machine.nvml.device_by_index(0).unwrap();
    let total = |error, counter| gpu.total_ecc_errors(error, counter).unwrap();
    assert_eq!(total(MemoryError::Corrected, EccCounter::Volatile), 7);
    assert_eq!(total(MemoryError::Uncorrected, EccCounter::Aggregate), 2);
    let all = machine.fields(0, &[(3, 0), (4, 0), (5, 0), (6, 0), (11, 0), (12, 0)]);
    assert_eq!(all, [Ok(7), Ok(2), Ok(7), Ok(2), Ok(5), Ok(1)]);
    machine.push(Entry::gpu(0).act(Act { counter_reset: true, ..Act::default() }));
    let all = machine.fields(0, &[(3, 0), (4, 0), (5, 0), (6, 0)]);
    assert_eq!(all, [Ok(0), Ok(0), Ok(7), Ok(2)], "an act is not repeated by an edit");
}

#[test]
fn rows_are_remapped_pending_and_failed() {
    let mut machine = machine(busy("h100-sxm", 1));
    let remap = Some(Remap { correctable: 1, uncorrectable: 2 });
    let pending = Conditions {
        remap_pending: Some(true),
        remap_failed: Some(true),
        remap_banks: Some([600, 30, 8, 1, 1]),
        sram_threshold: Some(true),
        recovery_action: Some(2),
        ..Conditions::default()
    };
    machine.push(Entry::gpu(0).act(Act { remap, ..Act::default() }).set(pending));
    let rows = machine.fields(0, &[(142, 0), (143, 0), (144, 0), (145, 0), (230, 0)]);
    assert_eq!(rows, [Ok(1), Ok(2), Ok(1), Ok(1), Ok(2)]);
    let mut banks =
        sys::nvmlRowRemapperHistogramValues_t { max: 0, high: 0, partial: 0, low: 0, none: 0 };
    // SAFETY: zeroes are a valid structure.
    let mut sram: sys::nvmlEccSramErrorStatus_t = unsafe { std::mem::zeroed() };
    let (handle, library) = (machine.handle(0), machine.nvml.lib());
    // SAFETY: places for the answers.
    unsafe {
        assert_eq!(library.nvmlDeviceGetRowRemapperHistogram(handle, &raw mut banks), 0);
        assert_eq!(library.nvmlDeviceGetSramEccErrorStatus(handle, &raw mut sram), 25);
        sram.version = 104 | 1 << 24;
        assert_eq!(library.nvmlDeviceGetSramEccErrorStatus(handle, &raw mut sram), 0);
    }
    assert_eq!((banks.max, banks.none), (600, 1));
    assert_eq!(sram.bThresholdExceeded, 1);
    machine.calm();
    let rows = machine.fields(0, &[(142, 0), (144, 0), (145, 0), (230, 0)]);
    assert_eq!(rows, [Ok(1), Ok(0), Ok(0), Ok(0)], "rows stay remapped, conditions end");
}

#[test]
fn pcie_falls_back_and_counts_errors() {
    let mut machine = machine(busy("h100-sxm", 1));
    let narrow = Pcie { generation: Some(3), width: Some(8), ..Pcie::default() };
    let act = Act {
        pcie_replays: 9,
        pcie_errors: fake_nvml::scenario::PcieErrors { bad_tlp: 4, ..Default::default() },
        ..Act::default()
    };
    let entry = Entry::gpu(0).act(act);
    machine.push(entry.set(Conditions { pcie: Some(narrow), ..Conditions::default() }));
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert_eq!(gpu.current_pcie_link_gen().unwrap(), 3);
    assert_eq!(gpu.current_pcie_link_width().unwrap(), 8);
    assert_eq!(gpu.max_pcie_link_width().unwrap(), 16);
    assert_eq!(gpu.pcie_replay_counter().unwrap(), 9);
    assert_eq!(machine.fields(0, &[(94, 0), (176, 0), (180, 0)]), [Ok(9), Ok(4), Ok(0)]);
}

#[test]
fn throttling_lowers_clocks_and_counts_the_time_for_as_long_as_it_lasts() {
    let mut machine = machine(Scenario { time_scale: 50.0, ..busy("h100-sxm", 1) });
    assert_eq!(machine.fields(0, &[(75, 0), (252, 0), (253, 0)]), [Ok(0), Ok(0), Ok(0)]);
    let hot = Conditions { throttle: Some(0x40), ..Conditions::default() };
    machine.push(Entry::gpu(0).lasting(10.0).set(hot));
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert_eq!(gpu.clock_info(Clock::SM).unwrap(), 990);
    let mut reasons = 0;
    // SAFETY: a place for the answer.
    let code = unsafe {
        let handle = machine.handle(0);
        machine.nvml.lib().nvmlDeviceGetCurrentClocksEventReasons(handle, &raw mut reasons)
    };
    assert_eq!((code, reasons), (0, 0x40));
    machine.pass(15.0);
    assert_eq!(gpu.clock_info(Clock::SM).unwrap(), 1980);
    let held = machine.fields(0, &[(75, 0), (252, 0), (253, 0)]);
    let ten = |value: Result<u64, u32>| (9_990_000_000..10_010_000_000).contains(&value.unwrap());
    assert!(ten(held[0]) && ten(held[1]), "{held:?}");
    assert_eq!(held[2], Ok(0));
}

#[test]
fn links_go_down_and_count_errors() {
    let mut machine = machine(Scenario { time_scale: 100.0, ..busy("h100-sxm", 1) });
    let errors = NvLinkErrors { link: 4, crc_flit: 3, replay: 2, ..NvLinkErrors::default() };
    let down = Conditions { nvlink_down: vec![4, 17], ..Conditions::default() };
    machine
        .push(Entry::gpu(0).act(Act { nvlink_errors: vec![errors], ..Act::default() }).set(down));
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert!(!gpu.link_wrapper_for(4).is_active().unwrap());
    assert!(gpu.link_wrapper_for(5).is_active().unwrap());
    assert_eq!(machine.fields(0, &[(36, 0), (38, 0), (52, 0)]), [Ok(3), Ok(3), Ok(2)]);
    assert_eq!(machine.fields(0, &[(161, 4), (163, 4), (165, 4)]), [Ok(2), Ok(3), Ok(0)]);
    let still = machine.fields(0, &[(138, 4), (138, 5)]);
    machine.pass(5.0);
    let later = machine.fields(0, &[(138, 4), (138, 5)]);
    assert_eq!(still[0], later[0], "nothing goes over a link that is down");
    assert!(still[1] < later[1]);
}

#[test]
fn a_driver_of_another_version_refuses_old_sessions() {
    let mut machine = machine(Scenario { time_scale: 100.0, ..busy("h100-sxm", 1) });
    machine.pass(20.0);
    let reload = |version: &str| Act { driver_reload: Some(version.into()), ..Act::default() };
    let before = machine.time(0);
    machine.push(Entry::all().act(reload("570.124.06")));
    let millijoules = u32::try_from(machine.field(0, 83).unwrap()).map(f64::from).unwrap();
    let most = (machine.time(0) - before) * 700e3;
    assert!(millijoules <= most, "counters start again");
    machine.push(Entry::all().act(reload("580.95.05")));
    assert!(matches!(machine.nvml.device_count(), Err(NvmlError::LibRmVersionMismatch)));
    let path = library_path().unwrap();
    let open = || Nvml::builder().lib_path(path.as_os_str()).init().unwrap();
    assert!(matches!(open().device_count(), Err(NvmlError::LibRmVersionMismatch)));
    let old = std::mem::replace(&mut machine.nvml, open());
    drop(old);
    assert!(machine.nvml.device_count().is_err(), "a session was always open");
    // SAFETY: ends the one session that is open.
    unsafe { machine.nvml.lib().nvmlShutdown() };
    machine.nvml = {
        std::mem::forget(std::mem::replace(&mut machine.nvml, open()));
        open()
    };
    assert_eq!(machine.nvml.sys_driver_version().unwrap(), "580.95.05");
}

#[test]
fn functions_of_newer_drivers_are_not_found() {
    let scenario = Scenario {
        omit: vec!["GetCurrentClocksEventReasons".into(), "nvmlDeviceGetMemoryInfo_v2".into()],
        ..busy("h100-sxm", 1)
    };
    let machine = machine(scenario);
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert!(matches!(gpu.memory_info(), Err(NvmlError::FunctionNotFound)));
    assert!(gpu.current_throttle_reasons().is_ok());
    let mut old = sys::nvmlMemory_t { total: 0, free: 0, used: 0 };
    // SAFETY: a place for the answer.
    let code =
        unsafe { machine.nvml.lib().nvmlDeviceGetMemoryInfo(machine.handle(0), &raw mut old) };
    assert_eq!(code, 0);
    assert_eq!(old.total, old.free + old.used);
}

#[test]
fn values_can_be_what_no_gpu_has() {
    let mut machine = machine(busy("h100-sxm", 1));
    let values = BTreeMap::from([
        ("82".to_owned(), 255.0),
        ("29".to_owned(), 7.0),
        ("temperature".to_owned(), 65_535.0),
        ("power_mw".to_owned(), f64::from(u32::MAX)),
    ]);
    let name_hex = Some("4e56ff00ff".to_owned());
    let set = Conditions { values, name_hex, ..Conditions::default() };
    machine.push(Entry::gpu(0).set(set));
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert_eq!(machine.fields(0, &[(82, 0), (29, 0)]), [Ok(255), Ok(7)]);
    assert_eq!(gpu.temperature(TemperatureSensor::Gpu).unwrap(), 65_535);
    assert_eq!(gpu.power_usage().unwrap(), u32::MAX);
    assert!(matches!(gpu.name(), Err(NvmlError::Utf8Error(_))));
}

#[test]
fn processes_come_and_go_with_memory_that_may_be_unknown() {
    let mut machine = machine(busy("h100-sxm", 1));
    let mine = |pid, memory_mib| Process { pid, memory_mib, share: 0.5, ..Process::default() };
    let processes = Some(vec![mine(101, Some(1024.0)), mine(102, None)]);
    machine.push(Entry::gpu(0).set(Conditions { processes, ..Conditions::default() }));
    let gpu = machine.nvml.device_by_index(0).unwrap();
    let list = gpu.running_compute_processes().unwrap();
    let memory: Vec<_> = list.iter().map(|p| p.used_gpu_memory.clone()).collect();
    use nvml_wrapper::enums::device::UsedGpuMemory::{Unavailable, Used};
    assert!(matches!(memory[..], [Used(1_073_741_824), Unavailable]));
    assert_eq!(gpu.memory_info().unwrap().used, 1 << 30);
    assert!(gpu.running_graphics_processes().unwrap().is_empty());
    assert_eq!(machine.nvml.sys_process_name(101, 64).unwrap(), "python3");
    let samples = gpu.process_utilization_stats(0).unwrap();
    assert_eq!(samples.iter().map(|s| s.sm_util).collect::<Vec<_>>(), [40, 40]);
    let again = gpu.process_utilization_stats(samples[0].timestamp + 60_000_000);
    assert!(matches!(again, Err(NvmlError::NotFound)));
    machine.calm();
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert!(gpu.running_compute_processes().unwrap().is_empty());
}

#[test]
fn a_timeline_goes_by_the_scenarios_clock() {
    let mut scenario = Scenario { time_scale: 100.0, ..Scenario::of("h100-sxm", 2) };
    let load = |share| Conditions { load: Some(Load::steady(share)), ..Conditions::default() };
    scenario.timeline = vec![
        Entry { gpu: Some(Gpus::Some(vec![0, 1])), ..Entry::all().at(10.0).set(load(0.4)) },
        Entry::gpu(1).at(20.0).lasting(10.0).set(load(0.9)),
    ];
    let machine = machine(scenario);
    let load =
        |gpu: u32| machine.nvml.device_by_index(gpu).unwrap().utilization_rates().unwrap().gpu;
    while machine.time(0) < 11.0 {
        std::thread::yield_now();
    }
    while machine.time(0) < 35.0 {
        let (before, seen, after) = (machine.time(0), load(1), machine.time(0));
        if (10.2..19.8).contains(&before) && after < 19.8 {
            assert_eq!(seen, 40);
        }
        if (20.2..29.8).contains(&before) && after < 29.8 {
            assert_eq!(seen, 90);
        }
    }
    assert_eq!((load(0), load(1)), (40, 40));
}

#[test]
fn a_mistake_leaves_the_last_scenario_and_is_told() {
    let mut machine = machine(busy("h100-sxm", 1));
    std::fs::write(machine.file.path(), "drivver = \"1\"\n").unwrap();
    assert!(machine.library.reload().is_err());
    assert!(machine.stats().scenario_error.unwrap().contains("drivver"));
    assert_eq!(machine.nvml.device_count().unwrap(), 1);
    machine.file.edit(|scenario| scenario.omit = vec!["GetPowerUsgae".into()]).unwrap();
    assert!(machine.library.reload().is_err());
    machine.file.edit(|scenario| scenario.omit.clear()).unwrap();
    machine.library.reload().unwrap();
    assert_eq!(machine.stats().scenario_error, None);
}
