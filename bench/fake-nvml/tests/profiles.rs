//! Each kind of GPU, seen through nvml-wrapper: it has what the product has, and nothing else.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(unsafe_code, reason = "raw calls, too")]

mod common;

use common::{Machine, busy, machine};
use fake_nvml::{Scenario, profiles};
use nvml_wrapper::enum_wrappers::device::{
    Clock, MemoryError, PcieUtilCounter, TemperatureSensor, TemperatureThreshold,
};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper_sys::bindings as sys;

const NOT_SUPPORTED: u32 = 3;

fn margin(machine: &Machine) -> Result<i32, u32> {
    let mut margin = sys::nvmlMarginTemperature_t { version: 8 | 1 << 24, marginTemperature: 0 };
    // SAFETY: a structure of the version that it says.
    let code = unsafe {
        machine.nvml.lib().nvmlDeviceGetMarginTemperature(machine.handle(0), &raw mut margin)
    };
    if code == 0 { Ok(margin.marginTemperature) } else { Err(code) }
}

#[test]
fn an_h100_node_shows_eight_gpus_under_load() {
    let machine = machine(busy("h100-sxm", 8));
    assert_eq!(machine.nvml.device_count().unwrap(), 8);
    let mut uuids = std::collections::HashSet::new();
    for index in 0..8 {
        let gpu = machine.nvml.device_by_index(index).unwrap();
        assert_eq!(gpu.name().unwrap(), "NVIDIA H100 80GB HBM3");
        assert_eq!(gpu.index().unwrap(), index);
        assert_eq!(gpu.utilization_rates().unwrap().gpu, 80);
        assert_eq!(gpu.clock_info(Clock::SM).unwrap(), 1980);
        assert!((500_000..700_000).contains(&gpu.power_usage().unwrap()));
        assert!((50..87).contains(&gpu.temperature(TemperatureSensor::Gpu).unwrap()));
        assert_eq!(gpu.current_pcie_link_gen().unwrap(), 5);
        let memory = gpu.memory_info().unwrap();
        assert_eq!(memory.total, memory.used + memory.free + memory.reserved);
        let uuid = gpu.uuid().unwrap();
        assert_eq!(machine.nvml.device_by_uuid(uuid.as_str()).unwrap().index().unwrap(), index);
        let bus = gpu.pci_info().unwrap().bus_id;
        assert_eq!(machine.nvml.device_by_pci_bus_id(bus).unwrap().uuid().unwrap(), uuid);
        uuids.insert(uuid);
    }
    assert_eq!(uuids.len(), 8);
}

#[test]
fn an_h100_has_eighteen_links_margins_and_gpm() {
    let machine = machine(busy("h100-sxm", 1));
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert!(gpu.gpm_support().unwrap());
    assert_eq!(machine.field(0, 91), Ok(18));
    assert!(gpu.link_wrapper_for(17).is_active().unwrap());
    assert!(margin(&machine).unwrap() > 0);
    assert_eq!(machine.field(0, 194).map(|v| v.cast_signed()), Ok(-2));
    // Hopper has limits as margins only.
    let threshold = gpu.temperature_threshold(TemperatureThreshold::Slowdown);
    assert!(matches!(threshold, Err(NvmlError::NotSupported)));
    for field in [82, 83, 142, 145, 185, 186, 197, 198, 230, 253] {
        assert!(machine.field(0, field).is_ok(), "{field}");
    }
    // Pages are retired before Ampere, NVLink 5 is Blackwell's.
    assert_eq!(machine.field(0, 29), Err(NOT_SUPPORTED));
    assert_eq!(machine.field(0, 206), Err(NOT_SUPPORTED));
    assert!(matches!(gpu.num_fans(), Err(NvmlError::NotSupported)));
}

#[test]
fn an_a100_has_thresholds_and_links_but_no_margin_and_no_gpm() {
    let machine = machine(busy("a100", 1));
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert!(!gpu.gpm_support().unwrap());
    assert_eq!(margin(&machine), Err(NOT_SUPPORTED));
    assert_eq!(gpu.temperature_threshold(TemperatureThreshold::Slowdown).unwrap(), 89);
    assert_eq!(gpu.temperature_threshold(TemperatureThreshold::MemoryMax).unwrap(), 95);
    assert_eq!(machine.field(0, 91), Ok(12));
    assert!(matches!(gpu.link_wrapper_for(12).is_active(), Err(NvmlError::InvalidArg)));
    // GA100 does not average power.
    assert_eq!(machine.field(0, 185), Err(NOT_SUPPORTED));
    assert!(machine.field(0, 186).is_ok());
    assert_eq!(gpu.mig_mode().unwrap().current, 0);
}

#[test]
fn an_l4_has_no_links_and_slows_its_memory_when_idle() {
    let machine = machine(Scenario::of("l4", 1));
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert_eq!(machine.field(0, 91), Err(NOT_SUPPORTED));
    assert_eq!(machine.field(0, 138), Err(NOT_SUPPORTED));
    assert_eq!(machine.field(0, 82), Err(NOT_SUPPORTED));
    assert!(margin(&machine).is_ok());
    assert_eq!(gpu.clock_info(Clock::Memory).unwrap(), 405);
    assert_eq!(
        gpu.performance_state().unwrap(),
        nvml_wrapper::enum_wrappers::device::PerformanceState::Eight
    );
    assert_eq!(gpu.current_pcie_link_gen().unwrap(), 1);
    assert_eq!(gpu.max_pcie_link_gen().unwrap(), 4);
}

#[test]
fn a_t4_has_no_nvlink_no_gpm_and_no_row_remapper() {
    let machine = machine(busy("t4", 1));
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert!(!gpu.gpm_support().unwrap());
    assert!(matches!(gpu.link_wrapper_for(0).is_active(), Err(NvmlError::NotSupported)));
    for field in [91, 142, 144, 173, 186, 197, 251] {
        assert_eq!(machine.field(0, field), Err(NOT_SUPPORTED), "{field}");
    }
    assert_eq!(machine.field(0, 29), Ok(0));
    assert!(!gpu.are_pages_pending_retired().unwrap());
    let errors = gpu.total_ecc_errors(
        MemoryError::Corrected,
        nvml_wrapper::enum_wrappers::device::EccCounter::Volatile,
    );
    assert_eq!(errors.unwrap(), 0);
}

#[test]
fn a_b200_counts_its_links_in_the_way_of_nvlink_5() {
    let machine = machine(busy("b200", 1));
    assert_eq!(machine.field(0, 38), Err(NOT_SUPPORTED));
    assert_eq!(machine.field(0, 206), Ok(0));
    assert_eq!(machine.field(0, 222), Ok(15 << 8 | 255));
    assert_eq!(machine.field(0, 166), Ok(7));
    assert!(machine.field(0, 202).is_ok());
}

#[test]
fn every_profile_answers_every_field_with_a_value_or_a_code() {
    for profile in profiles() {
        let machine = machine(busy(profile, 1));
        let all: Vec<(u32, u32)> = (0..320).map(|field| (field, 0)).collect();
        let answers = machine.fields(0, &all);
        let values = answers.iter().filter(|answer| answer.is_ok()).count();
        assert!(values > 20, "{profile} has {values}");
        assert!(answers.iter().all(|a| matches!(a, Ok(_) | Err(2 | NOT_SUPPORTED))));
        assert_eq!(answers[0], Err(2));
        assert_eq!(answers[274], Err(2), "this driver does not know field 274");
    }
}

#[test]
fn the_system_says_its_versions() {
    let machine = machine(Scenario { driver: "580.95.05".into(), ..Scenario::of("l4", 1) });
    assert_eq!(machine.nvml.sys_driver_version().unwrap(), "580.95.05");
    assert_eq!(machine.nvml.sys_nvml_version().unwrap(), "13.580.95.05");
    assert_eq!(machine.nvml.sys_cuda_driver_version().unwrap(), 12_080);
}

#[test]
fn pcie_throughput_works_and_is_counted() {
    let machine = machine(busy("h100-sxm", 1));
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert!(gpu.pcie_throughput(PcieUtilCounter::Receive).unwrap() > 0);
    let stats = machine.stats();
    let trap = &stats.functions["nvmlDeviceGetPcieThroughput"];
    assert_eq!(trap.calls, 1);
    assert!(trap.nanos >= 20_000_000, "it blocks as the real one does");
}
