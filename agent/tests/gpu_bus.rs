//! GPUs that the PCI bus shows and NVML does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod gpu_support;

use std::path::Path;

use fake_nvml::Code;
use fake_nvml::scenario::{Entry, Gpu, Scenario};
use gpu_support::{MEDIUM, Node, conditions, count, in_state, node, of, value, with};

/// A GPU below `sys`, and the driver that has it.
fn plug(sys: &Path, bus_id: &str, driver: Option<&str>) {
    let path = sys.join("bus/pci/devices").join(bus_id);
    std::fs::create_dir_all(&path).unwrap();
    for (name, text) in [("vendor", "0x10de\n"), ("class", "0x030200\n"), ("device", "0x2330\n")] {
        std::fs::write(path.join(name), text).unwrap();
    }
    if let Some(driver) = driver {
        std::os::unix::fs::symlink(format!("../../drivers/{driver}"), path.join("driver")).unwrap();
    }
}

fn h100() -> Scenario {
    let gpu = Gpu { pci: Some("00000000:18:00.0".into()), ..Gpu::of("h100-sxm") };
    Scenario { gpus: vec![gpu], ..Scenario::default() }
}

fn sys(node: &Node) -> std::path::PathBuf {
    node.dir.path().join("sys")
}

#[test]
fn gpu_without_a_driver_is_told_with_the_reason() {
    let mut node = with(h100(), |_, paths| {
        paths.nvml = paths.root.join("libnvidia-ml.so.1");
        plug(&paths.sys, "0000:18:00.0", None);
    });
    let samples = node.fast();
    assert_eq!(value(&samples, "gpu_driver_up", &[("reason", "no_library")]), Some(0.0));
    assert_eq!(value(&samples, "gpu_devices_expected", &[]), Some(1.0));
    assert_eq!(value(&samples, "gpu_devices", &[]), Some(0.0));
    let medium = node.medium();
    assert_eq!(value(&medium, "gpu_missing", &[("pci_bus_id", "0000:18:00.0")]), Some(1.0));
    assert_eq!(node.event_types(), ["gpu.driver_unavailable"]);

    let at = node.dir.path().join("root/libnvidia-ml.so.1");
    std::os::unix::fs::symlink(fake_nvml::library_path().unwrap(), at).unwrap();
    let found = node.until_read(1);
    assert_eq!(value(&found, "gpu_devices_expected", &[]), Some(1.0));
    assert_eq!(of(&node.medium(), "gpu_missing").count(), 0);
}

#[test]
fn driver_that_is_not_loaded_or_does_not_fit_is_told_so() {
    for (code, reason) in [
        (Code::DRIVER_NOT_LOADED, "no_driver"),
        (Code::LIB_RM_VERSION_MISMATCH, "version_mismatch"),
        (Code::UNKNOWN, "failed"),
    ] {
        let scenario = Scenario { init: code, ..h100() };
        let mut node = with(scenario, |_, paths| plug(&paths.sys, "0000:18:00.0", Some("nvidia")));
        let samples = node.fast();
        assert_eq!(value(&samples, "gpu_driver_up", &[("reason", reason)]), Some(0.0));
        node.advance(5.0);
        node.fast();
        assert_eq!(node.stats().calls_of("nvmlInit_v2"), 1, "not tried in every tick");
    }
}

#[test]
fn gpu_that_nvml_never_saw_is_missing_and_others_are_not_bothered_for_it() {
    let mut node = node(h100());
    let sys = sys(&node);
    plug(&sys, "0000:18:00.0", Some("nvidia"));
    plug(&sys, "0000:3b:00.0", Some("nvidia"));
    plug(&sys, "0000:5d:00.0", Some("vfio-pci"));
    let samples = node.until_read(1);
    assert_eq!(value(&samples, "gpu_devices_expected", &[]), Some(2.0));
    let medium = node.medium();
    assert_eq!(count(&medium, "gpu_missing"), 1);
    assert_eq!(value(&medium, "gpu_missing", &[("pci_bus_id", "0000:3b:00.0")]), Some(1.0));

    // The library is opened anew once, in case that it was started before the GPU was there.
    node.library.reset_stats();
    for _ in 0..20 {
        node.advance(60.0);
        node.fast();
        node.tick(MEDIUM).unwrap();
        node.slow();
    }
    assert_eq!(node.stats().calls_of("nvmlInit_v2"), 1);
    let samples = node.until_read(1);
    assert_eq!(in_state(&samples, "ok").len(), 1);
    assert!(!node.event_types().contains(&"gpu.state_changed"), "{:?}", node.event_types());
}

#[test]
fn gpus_that_may_not_be_opened_are_missing_with_the_reason() {
    let mut scenario = h100();
    scenario.gpus.push(Gpu { pci: Some("00000000:3b:00.0".into()), ..Gpu::of("h100-sxm") });
    let mut node = node(scenario);
    for bus_id in ["0000:18:00.0", "0000:3b:00.0"] {
        plug(&sys(&node), bus_id, Some("nvidia"));
    }
    let refuses = |code| {
        let status = [("GetUUID".to_owned(), code)].into();
        Entry::gpu(1).set(conditions(|c| c.status = status))
    };
    node.happen(refuses(Code::NO_PERMISSION));
    node.until_read(1);
    let info = [("metric", "gpu_info"), ("reason", "no permission")];
    let of_gpu = [("pci_bus_id", "0000:3b:00.0"), info[0], info[1]];
    for _ in 0..3 {
        let medium = node.medium();
        assert_eq!(value(&medium, "gpu_missing", &[of_gpu[0]]), Some(1.0));
        assert_eq!(value(&medium, "sextant_unavailable", &of_gpu), Some(1.0));
        let on_node = "sextant_unavailable{metric=\"gpu_info\",reason=\"no permission\"}";
        assert_eq!(medium.get(on_node), Some(&1.0), "{medium:#?}");
        node.advance(10.0);
        node.fast();
    }
    let refused: Vec<_> = node.events.iter().filter(|e| e.r#type == "gpu.refused").collect();
    let [event] = refused[..] else { panic!("{refused:?}") };
    let attributes = event.attributes.iter().map(|l| (&*l.name, &*l.value));
    assert_eq!(attributes.collect::<Vec<_>>(), [("gpu", "1"), ("code", "no_permission")]);

    // A GPU on the bus that NVML does not count: which of the two is refused is not known.
    plug(&sys(&node), "0000:5d:00.0", Some("nvidia"));
    node.slow();
    let medium = node.medium();
    assert_eq!(count(&medium, "gpu_missing"), 2);
    assert_eq!(count(&medium, "sextant_unavailable"), 1);

    node.calm();
    node.medium();
    node.until_read(2);
    assert_eq!(count(&node.medium(), "sextant_unavailable"), 0);
}

#[test]
fn gpu_plugged_in_later_is_found() {
    let mut node = node(h100());
    plug(&sys(&node), "0000:18:00.0", Some("nvidia"));
    node.until_read(1);
    node.slow();
    plug(&sys(&node), "0000:3b:00.0", Some("nvidia"));
    let second = Gpu { pci: Some("00000000:3b:00.0".into()), ..Gpu::of("h100-sxm") };
    node.scenario.edit(|scenario| scenario.gpus.push(second)).unwrap();
    node.library.reload().unwrap();
    node.advance(60.0);
    node.slow();
    node.medium();
    node.until_read(2);
    let appeared = node.event_types().iter().filter(|kind| **kind == "gpu.appeared").count();
    assert_eq!(appeared, 2);
}
