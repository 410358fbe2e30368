//! GPUs and drivers that fail, go and come back while the GPU collector runs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod gpu_support;

use std::time::{Duration, Instant};

use fake_nvml::Code;
use fake_nvml::scenario::{Act, Entry, Gpu, Latency, Scenario};
use gpu_support::{MEDIUM, Node, conditions, count, in_state, node, of, pause, value, with};
use sextant_agent::collectors::CollectError;

fn gpus(count: u32) -> Scenario {
    Scenario { gpus: vec![Gpu::of("h100-sxm").count(count)], ..Scenario::default() }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Resident memory in KiB.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}

#[test]
fn driver_that_is_loaded_later_is_found() {
    let mut node = with(gpus(2), |_, paths| paths.nvml = paths.root.join("libnvidia-ml.so.1"));
    for _ in 0..3 {
        assert!(matches!(node.tick(0), Err(CollectError::Absent(_))));
        assert!(matches!(node.tick(MEDIUM), Err(CollectError::Absent(_))));
        node.advance(60.0);
    }
    assert_eq!(node.event_types(), Vec::<&str>::new(), "nobody misses a driver here");
    let at = node.dir.path().join("root/libnvidia-ml.so.1");
    std::os::unix::fs::symlink(fake_nvml::library_path().unwrap(), at).unwrap();
    node.scenario.edit(|scenario| scenario.init = Code::DRIVER_NOT_LOADED).unwrap();
    node.library.reload().unwrap();
    node.advance(60.0);
    assert!(matches!(node.tick(0), Err(CollectError::Absent(_))));
    node.scenario.edit(|scenario| scenario.init = Code::SUCCESS).unwrap();
    node.library.reload().unwrap();
    node.until_read(2);
    assert_eq!(node.event_types()[0], "gpu.driver_loaded");
}

#[test]
fn lost_gpu_is_told_as_lost_while_the_others_go_on() {
    let mut node = node(gpus(8));
    node.until_read(8);
    for (change, state) in [
        (conditions(|c| c.lost = Some(true)), "lost"),
        (conditions(|c| c.code = Some(Code::RESET_REQUIRED)), "reset_required"),
        (conditions(|c| c.code = Some(Code::GPU_NOT_FOUND)), "lost"),
    ] {
        node.happen(Entry::gpu(3).set(change));
        let lost = node.until(state, |samples| in_state(samples, state).len() == 1);
        assert_eq!(count(&lost, "gpu_temperature_celsius"), 7);
        assert_eq!(of(&lost, "gpu_temperature_celsius").count(), 7, "no series of the lost one");
        assert_eq!(value(&lost, "gpu_devices_expected", &[]), Some(8.0));
        assert_eq!(value(&lost, "gpu_devices", &[]), Some(7.0));
        let uuid = in_state(&lost, state).remove(0);
        let medium = node.medium();
        assert!(
            value(&medium, "gpu_info", &[("uuid", &uuid)]).is_some(),
            "it is known who is lost"
        );
        assert_eq!(count(&medium, "gpu_memory_used_bytes"), 7);
        let event = node.events.iter().rfind(|event| event.r#type == "gpu.state_changed").unwrap();
        assert_eq!(event.entity[0].value, uuid);

        node.calm();
        node.medium();
        node.until_read(8);
    }
}

#[test]
fn gpu_that_does_not_say_who_it_is_at_first_is_asked_again() {
    let mut scenario = gpus(2);
    scenario.gpus[0].count = 1;
    scenario.gpus.push(Gpu::of("h100-sxm"));
    let silent = conditions(|c| c.status = [("GetUUID".into(), Code::TIMEOUT)].into());
    scenario.timeline.push(Entry::gpu(1).set(silent));
    let mut node = node(scenario);
    let one = node.until_read(1);
    assert_eq!(value(&one, "gpu_devices", &[]), Some(1.0));
    node.calm();
    node.medium();
    node.until_read(2);
}

#[test]
fn gpu_that_goes_is_missing_and_comes_back() {
    let mut node = node(gpus(3));
    node.until_read(3);
    node.happen(Entry::gpu(1).set(conditions(|c| c.removed = Some(true))));
    let counted = |node: &mut Node| {
        node.advance(10.0);
        node.medium();
    };
    counted(&mut node);
    let gone = node.until("missing", |samples| {
        in_state(samples, "ok").len() == 2 && count(samples, "gpu_temperature_celsius") == 2
    });
    assert_eq!(of(&gone, "gpu_state").count(), 3 * 6);
    assert_eq!(value(&gone, "gpu_devices_expected", &[]), Some(3.0));
    node.calm();
    counted(&mut node);
    node.until_read(3);
}

#[test]
fn hanging_gpus_are_wedged_and_delay_nobody() {
    let mut node = with(gpus(4), |config, _| config.interval = Duration::from_millis(100));
    node.until_read(4);
    let hang = || conditions(|c| c.hang = vec!["*".into()]);
    for gpu in [0, 2] {
        node.happen(Entry::gpu(gpu).set(hang()));
    }
    node.until("two wedged while the others go on", |samples| {
        in_state(samples, "wedged").len() == 2 && count(samples, "gpu_temperature_celsius") == 2
    });
    assert!(node.tick(MEDIUM).is_ok());

    node.happen(Entry::all().set(hang()));
    node.until("all wedged", |samples| in_state(samples, "wedged").len() == 4);
    let (threads_before, resident_before) = (threads(), resident());
    for _ in 0..300 {
        node.advance(1.0);
        let samples = node.fast();
        assert_eq!(in_state(&samples, "wedged").len(), 4);
        node.medium();
        node.slow();
    }
    assert_eq!(threads(), threads_before);
    let grown = resident().saturating_sub(resident_before);
    assert!(grown < 4096, "{grown} KiB more");

    node.calm();
    node.until("all back", |samples| {
        in_state(samples, "ok").len() == 4 && count(samples, "gpu_temperature_celsius") == 4
    });
}

#[test]
fn library_whose_start_hangs_is_told_and_then_used() {
    let mut scenario = gpus(1);
    scenario.timeline.push(Entry::all().set(conditions(|c| c.hang = vec!["Init_v2".into()])));
    let mut node = with(scenario, |config, _| config.interval = Duration::from_millis(40));
    node.until("wedged", |samples| {
        value(samples, "gpu_driver_up", &[("reason", "wedged")]) == Some(0.0)
    });
    node.calm();
    node.until_read(1);
}

#[test]
fn driver_that_hangs_apart_from_its_gpus_is_told_while_they_go_on() {
    let mut node = with(gpus(2), |config, _| config.interval = Duration::from_millis(100));
    node.until_read(2);
    node.happen(Entry::all().set(conditions(|c| c.hang = vec!["GetCount_v2".into()])));
    node.medium();
    node.until("wedged", |samples| {
        value(samples, "gpu_driver_up", &[("reason", "wedged")]) == Some(0.0)
            && count(samples, "gpu_temperature_celsius") == 2
    });
    node.calm();
    node.until("up", |samples| value(samples, "gpu_driver_up", &[]) == Some(1.0));
}

#[test]
fn counters_that_start_again_are_told_once() {
    let mut node = node(gpus(2));
    node.until("energy", |samples| {
        let energy: Vec<_> = of(samples, "gpu_energy_joules_total").collect();
        energy.len() == 2 && energy.iter().all(|(_, joules)| *joules > 10.0)
    });
    node.happen(Entry::gpu(1).act(Act { counter_reset: true, ..Act::default() }));
    for _ in 0..5 {
        node.advance(1.0);
        assert_eq!(count(&node.fast(), "gpu_energy_joules_total"), 2);
    }
    let told = node.event_types().iter().filter(|kind| **kind == "gpu.counters_restarted").count();
    assert_eq!(told, 1);
}

#[test]
fn driver_upgraded_under_the_agent_is_used_after_a_new_start() {
    let mut node = node(gpus(2));
    node.until_read(2);
    node.advance(60.0);
    node.happen(
        Entry::all().act(Act { driver_reload: Some("580.95.05".into()), ..Act::default() }),
    );
    let is_new = |node: &mut Node| {
        let medium = node.medium();
        of(&medium, "gpu_driver_info").any(|(key, _)| key.contains("580.95.05"))
    };
    for tries in 0.. {
        node.advance(1.0);
        node.fast();
        if is_new(&mut node) {
            break;
        }
        assert!(tries < 1000, "{:?}", node.stats());
        std::thread::park_timeout(Duration::from_millis(2));
    }
    let samples = node.until_read(2);
    assert_eq!(in_state(&samples, "ok").len(), 2);
    let loaded = node.event_types().iter().filter(|kind| **kind == "gpu.driver_loaded").count();
    assert_eq!(loaded, 2);
    // 251 to 253 are other fields for this driver.
    assert_eq!(count(&samples, "gpu_throttle_seconds_total"), 18);
}

#[test]
fn gpus_are_let_go_while_the_release_file_is_there() {
    let mut node = node(gpus(2));
    node.until_read(2);
    node.medium();
    std::fs::write(node.release_file(), "").unwrap();
    let released = node.until("released", |samples| {
        value(samples, "gpu_driver_up", &[("reason", "released")]) == Some(0.0)
    });
    assert_eq!(in_state(&released, "released").len(), 2);
    assert_eq!(count(&released, "gpu_temperature_celsius"), 0);
    let stats = node.stats();
    assert_eq!((stats.initialised, stats.samples, stats.event_sets), (0, 0, 0));
    node.library.reset_stats();
    for _ in 0..30 {
        node.advance(10.0);
        node.fast();
        node.medium();
        node.slow();
    }
    assert_eq!(node.stats().calls, 0);

    // The driver was unloaded meanwhile: the GPUs that were there are missing, not forgotten.
    node.scenario.edit(|scenario| scenario.init = Code::DRIVER_NOT_LOADED).unwrap();
    node.library.reload().unwrap();
    std::fs::remove_file(node.release_file()).unwrap();
    let gone = node.until("no driver", |samples| {
        value(samples, "gpu_driver_up", &[("reason", "no_driver")]) == Some(0.0)
    });
    assert_eq!(in_state(&gone, "missing").len(), 2);
    node.scenario.edit(|scenario| scenario.init = Code::SUCCESS).unwrap();
    node.library.reload().unwrap();
    node.until_read(2);
    let stats = node.stats();
    assert_eq!(stats.use_after_shutdown + stats.extra_shutdown + stats.freed_sample_use, 0);
}

#[test]
fn listener_that_hangs_in_the_driver_delays_no_tick() {
    let mut node = with(gpus(1), |config, _| config.interval = Duration::from_millis(100));
    let listening = |node: &Node| node.stats().event_sets == 1;
    let mut quickest = Duration::MAX;
    for _ in 0..3 {
        node.until_read(1);
        while !listening(&node) {
            node.fast();
        }
        node.happen(Entry::all().set(conditions(|c| c.hang = vec!["EventSetWait_v2".into()])));
        // One wait may end as it should have, the next one does not.
        pause(Duration::from_millis(1200));
        std::fs::write(node.release_file(), "").unwrap();
        node.advance(1.0);
        let begun = Instant::now();
        node.fast();
        quickest = quickest.min(begun.elapsed());
        assert_eq!(node.stats().initialised, 1, "the listener has the library still");
        node.advance(11.0);
        node.until("wedged", |samples| {
            value(samples, "gpu_driver_up", &[("reason", "wedged")]) == Some(0.0)
        });
        node.calm();
        node.until("released", |samples| {
            value(samples, "gpu_driver_up", &[("reason", "released")]) == Some(0.0)
        });
        let stats = node.stats();
        assert_eq!((stats.initialised, stats.event_sets), (0, 0));
        std::fs::remove_file(node.release_file()).unwrap();
    }
    // None of them waits for the driver; a busy machine may delay one.
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");
}

#[test]
fn slow_calls_are_made_more_rarely() {
    let mut node = node(gpus(1));
    node.until_read(1);
    let slow = |ms| Latency { call: "GetTemperature".into(), ms, jitter_ms: 0.0 };
    let calls = |node: &mut Node, ticks: u32| {
        node.library.reset_stats();
        for _ in 0..ticks {
            node.advance(1.0);
            node.fast();
        }
        node.stats().calls_of("nvmlDeviceGetTemperature")
    };
    let is_demoted = |node: &mut Node| {
        let medium = node.medium();
        value(&medium, "sextant_gpu_call_demoted", &[("call", "temperature")])
    };
    assert_eq!(calls(&mut node, 30), 30);
    node.happen(Entry::all().set(conditions(|c| c.latency = vec![slow(8.0)])));
    calls(&mut node, 21);
    assert_eq!(calls(&mut node, 40), 4);
    assert_eq!(is_demoted(&mut node), Some(1.0));

    node.calm();
    node.happen(Entry::all().set(conditions(|c| c.latency = vec![slow(60.0)])));
    calls(&mut node, 210);
    assert!(calls(&mut node, 100) <= 1);

    // Fast again, in the end: the window has to fill at the slow pace.
    node.calm();
    calls(&mut node, 2200);
    calls(&mut node, 220);
    assert_eq!(calls(&mut node, 10), 10);
    assert_eq!(is_demoted(&mut node), Some(0.0));
}
