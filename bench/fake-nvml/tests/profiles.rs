//! Each kind of GPU, seen through nvml-wrapper.
#![allow(clippy::unwrap_used, reason = "tests")]

use fake_nvml::{Library, Load, Scenario, ScenarioFile, library_path};
use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use parking_lot::{Mutex, MutexGuard};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Machine {
    nvml: Nvml,
    _file: ScenarioFile,
    _dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

fn machine(scenario: Scenario) -> Machine {
    let turn = ONE_AT_A_TIME.lock();
    let dir = tempfile::tempdir().unwrap();
    let file = ScenarioFile::create(dir.path().join("scenario.toml"), scenario).unwrap();
    let path = library_path().unwrap();
    Library::open(&path).unwrap().set_scenario(&file).unwrap();
    let nvml = Nvml::builder().lib_path(path.as_os_str()).init().unwrap();
    Machine { nvml, _file: file, _dir: dir, _turn: turn }
}

fn busy(profile: &str, count: u32) -> Scenario {
    let mut scenario = Scenario::of(profile, count);
    scenario.gpus[0].set.load = Some(Load::steady(0.8));
    scenario
}

#[test]
fn an_h100_node_shows_eight_gpus_under_load() {
    let machine = machine(busy("h100-sxm", 8));
    assert_eq!(machine.nvml.device_count().unwrap(), 8);
    for index in 0..8 {
        let gpu = machine.nvml.device_by_index(index).unwrap();
        assert_eq!(gpu.name().unwrap(), "NVIDIA H100 80GB HBM3");
        assert_eq!(gpu.utilization_rates().unwrap().gpu, 80);
        assert_eq!(gpu.clock_info(Clock::SM).unwrap(), 1980);
        assert!((500_000..700_000).contains(&gpu.power_usage().unwrap()));
        assert!((50..87).contains(&gpu.temperature(TemperatureSensor::Gpu).unwrap()));
        assert_eq!(gpu.current_pcie_link_gen().unwrap(), 5);
        let memory = gpu.memory_info().unwrap();
        assert_eq!(memory.total, memory.used + memory.free + memory.reserved);
    }
}

#[test]
fn a_t4_has_no_nvlink_no_gpm_and_no_row_remapper() {
    let machine = machine(busy("t4", 1));
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert!(!gpu.gpm_support().unwrap());
    assert!(matches!(gpu.link_wrapper_for(0).is_active(), Err(NvmlError::NotSupported)));
}
