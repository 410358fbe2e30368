//! What is counted of clients: calls, time, misuse.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(unsafe_code, reason = "misuse needs raw calls")]

mod common;

use common::{busy, machine};
use fake_nvml::{FUNCTIONS, Stats};

#[test]
fn calls_are_counted_by_function_and_gpu_since_the_reset() {
    let machine = machine(busy("h100-sxm", 3));
    let gpu = machine.nvml.device_by_index(2).unwrap();
    machine.library.reset_stats();
    for _ in 0..5 {
        gpu.power_usage().unwrap();
    }
    machine.nvml.device_by_index(0).unwrap().utilization_rates().unwrap();
    let stats = machine.stats();
    assert_eq!(stats.calls_of("nvmlDeviceGetPowerUsage"), 5);
    assert_eq!(stats.functions["nvmlDeviceGetPowerUsage"].gpus[&2].calls, 5);
    assert_eq!(stats.gpus[&2].calls, 5);
    assert_eq!(stats.gpus[&0].calls, 1);
    assert_eq!(stats.calls_of("nvmlDeviceGetHandleByIndex_v2"), 1);
    assert_eq!(stats.calls, 7);
    assert_eq!(stats.initialised, 1);
    assert!(stats.functions.keys().all(|name| FUNCTIONS.contains(&name.as_str())));
    machine.library.reset_stats();
    assert_eq!(machine.stats().calls, 0);
}

#[test]
fn misuse_is_counted() {
    let mut machine = machine(busy("h100-sxm", 1));
    let handle = machine.handle(0);
    let library = machine.nvml.lib();
    let (mut set, mut sample, mut power) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
    // SAFETY: handles of this library are numbers, and there are places for the answers.
    unsafe {
        assert_eq!(library.nvmlEventSetCreate(&raw mut set), 0);
        assert_eq!(library.nvmlEventSetFree(set), 0);
        assert_eq!(library.nvmlEventSetFree(set), 2);
        assert_eq!(library.nvmlGpmSampleAlloc(&raw mut sample), 0);
        assert_eq!(library.nvmlGpmSampleFree(sample), 0);
        assert_eq!(library.nvmlGpmSampleGet(handle, sample), 2);
        let wrong = std::ptr::without_provenance_mut(0x1234);
        assert_eq!(library.nvmlDeviceGetPowerUsage(wrong, &raw mut power), 2);
        assert_eq!(library.nvmlInit_v2(), 0);
        assert_eq!(library.nvmlShutdown(), 0);
        assert_eq!(library.nvmlShutdown(), 0);
        assert_eq!(library.nvmlDeviceGetPowerUsage(handle, &raw mut power), 1);
        assert_eq!(library.nvmlShutdown(), 1);
    }
    let stats = machine.stats();
    assert_eq!((stats.freed_set_use, stats.freed_sample_use), (1, 1));
    assert_eq!((stats.double_init, stats.extra_shutdown), (1, 1));
    assert_eq!((stats.use_after_shutdown, stats.stale_handles), (1, 1));
    // The session that the machine's end closes.
    // SAFETY: begins a session.
    assert_eq!(unsafe { machine.nvml.lib().nvmlInit_v2() }, 0);
    machine.calm();
}

#[test]
fn a_file_gets_the_statistics_while_clients_call() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stats.json");
    let scenario = fake_nvml::Scenario { stats_file: Some(path.clone()), ..busy("l4", 1) };
    let machine = machine(scenario);
    let read = || std::fs::read(&path).ok().and_then(|json| serde_json::from_slice(&json).ok());
    let counted = |stats: &Stats| stats.calls_of("nvmlDeviceGetPowerUsage") > 0;
    let mut last: Option<Stats> = None;
    while !last.as_ref().is_some_and(counted) {
        machine.nvml.device_by_index(0).unwrap().power_usage().unwrap();
        last = read();
    }
}

#[test]
fn init_answers_what_the_scenario_says() {
    let mut machine = machine(busy("l4", 1));
    machine.file.edit(|scenario| scenario.init = fake_nvml::Code::DRIVER_NOT_LOADED).unwrap();
    machine.library.reload().unwrap();
    // SAFETY: begins no session.
    assert_eq!(unsafe { machine.nvml.lib().nvmlInit_v2() }, 9);
    assert!(machine.nvml.device_count().is_ok(), "sessions from before go on");
}
