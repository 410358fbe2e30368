//! MIG devices, and GPM on GPUs and instances.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(unsafe_code, reason = "raw calls, too")]

mod common;

use common::{busy, machine};
use fake_nvml::scenario::{Mig, Process};
use fake_nvml::{Conditions, Entry, Load, Scenario};
use nvml_wrapper::Device;
use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper_sys::bindings as sys;

fn layout(names: &[&str]) -> Conditions {
    let mig = Some(names.iter().map(|name| Mig::Profile((*name).into())).collect());
    Conditions { mig, ..Conditions::default() }
}

fn devices<'a>(gpu: &Device<'a>) -> Vec<Device<'a>> {
    let all = (0..gpu.mig_device_count().unwrap()).map(|index| gpu.mig_device_by_index(index));
    all.filter_map(Result::ok).collect()
}

#[test]
fn a_layout_shows_as_devices_with_parents_memory_and_instance_ids() {
    let mut scenario = busy("a100", 2);
    scenario.gpus[0].set.processes = Some(vec![Process {
        pid: 7,
        memory_mib: Some(512.0),
        gpu_instance: Some(2),
        compute_instance: Some(0),
        ..Process::default()
    }]);
    scenario.timeline = vec![Entry::gpu(0).set(layout(&["3g.40gb", "2g.20gb", "1g.10gb"]))];
    let machine = machine(scenario);
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert_eq!(gpu.mig_mode().unwrap().current, 1);
    assert_eq!(machine.nvml.device_by_index(1).unwrap().mig_mode().unwrap().current, 0);
    assert_eq!(gpu.mig_device_count().unwrap(), 7);
    let found = devices(&gpu);
    assert_eq!(found.len(), 3);
    let mut seen = Vec::new();
    for device in &found {
        assert!(device.mig_is_mig_device_handle().unwrap());
        assert_eq!(device.mig_parent_device().unwrap().uuid().unwrap(), gpu.uuid().unwrap());
        let uuid = device.uuid().unwrap();
        assert!(uuid.starts_with("MIG-"));
        assert_eq!(machine.nvml.device_by_uuid(uuid.as_str()).unwrap().uuid().unwrap(), uuid);
        let (mut instance, mut attributes) = (
            0,
            sys::nvmlDeviceAttributes_t {
                multiprocessorCount: 0,
                sharedCopyEngineCount: 0,
                sharedDecoderCount: 0,
                sharedEncoderCount: 0,
                sharedJpegCount: 0,
                sharedOfaCount: 0,
                gpuInstanceSliceCount: 0,
                computeInstanceSliceCount: 0,
                memorySizeMB: 0,
            },
        );
        // SAFETY: handles of this library, places for the answers.
        unsafe {
            let (library, handle) = (machine.nvml.lib(), device.handle());
            assert_eq!(library.nvmlDeviceGetGpuInstanceId(handle, &raw mut instance), 0);
            assert_eq!(library.nvmlDeviceGetAttributes_v2(handle, &raw mut attributes), 0);
        }
        seen.push((
            device.name().unwrap(),
            instance,
            attributes.multiprocessorCount,
            attributes.memorySizeMB,
        ));
    }
    let name = |profile: &str| format!("NVIDIA A100-SXM4-80GB MIG {profile}");
    assert_eq!(
        seen,
        [
            (name("3g.40gb"), 1, 39, 40_960),
            (name("2g.20gb"), 2, 26, 20_480),
            (name("1g.10gb"), 3, 13, 10_240),
        ]
    );
    let used: Vec<u64> = found.iter().map(|d| d.memory_info().unwrap().used).collect();
    assert_eq!(used, [0, 512 << 20, 0]);
    assert_eq!(found[1].running_compute_processes().unwrap().len(), 1);
    assert!(found[0].running_compute_processes().unwrap().is_empty());
}

#[test]
fn with_mig_on_the_gpu_has_no_utilization_and_no_remapped_rows() {
    let mut machine = machine(busy("a100", 1));
    assert!(machine.nvml.device_by_index(0).unwrap().utilization_rates().is_ok());
    machine.push(Entry::gpu(0).set(layout(&["7g.80gb"])));
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert!(matches!(gpu.utilization_rates(), Err(NvmlError::NotSupported)));
    assert!(matches!(gpu.encoder_utilization(), Err(NvmlError::NotSupported)));
    assert_eq!(machine.field(0, 142), Err(3));
    assert!(gpu.power_usage().is_ok());
    machine.calm();
    assert!(machine.nvml.device_by_index(0).unwrap().utilization_rates().is_ok());
    assert_eq!(machine.field(0, 142), Ok(0));
}

#[test]
fn a_new_layout_makes_old_handles_void() {
    let mut machine = machine(busy("h100-sxm", 1));
    machine.push(Entry::gpu(0).set(layout(&["3g.40gb"])));
    let gpu = machine.nvml.device_by_index(0).unwrap();
    // SAFETY: the handle is only given back to the library.
    let old = unsafe { gpu.mig_device_by_index(0).unwrap().handle() };
    machine.calm();
    machine.push(Entry::gpu(0).set(layout(&["1g.10gb", "1g.10gb"])));
    let mut instance = 0;
    // SAFETY: a handle of this library, and a place for the answer.
    let code = unsafe { machine.nvml.lib().nvmlDeviceGetGpuInstanceId(old, &raw mut instance) };
    assert_eq!(code, 2);
    assert_eq!(machine.stats().stale_handles, 1);
    assert_eq!(devices(&machine.nvml.device_by_index(0).unwrap()).len(), 2);
}

#[test]
fn gpm_metrics_are_what_happened_between_two_samples() {
    let mut scenario = Scenario { time_scale: 100.0, ..Scenario::of("h100-sxm", 1) };
    scenario.gpus[0].set.load = Some(Load { memory: 0.5, tensor: 0.25, ..Load::steady(0.8) });
    let machine = machine(scenario);
    let gpu = machine.nvml.device_by_index(0).unwrap();
    let before = gpu.gpm_sample().unwrap();
    machine.pass(2.0);
    let after = gpu.gpm_sample().unwrap();
    let wanted = [
        GpmMetricId::GraphicsUtil,
        GpmMetricId::SmUtil,
        GpmMetricId::AnyTensorUtil,
        GpmMetricId::DramBwUtil,
        GpmMetricId::PcieRxPerSec,
        GpmMetricId::NvlinkTotalTxPerSec,
    ];
    let found =
        nvml_wrapper::gpm::gpm_metrics_get(&machine.nvml, &before, &after, &wanted).unwrap();
    let values: Vec<f64> = found.into_iter().map(|metric| metric.unwrap().value).collect();
    let near = |value: f64, wanted: f64| (value - wanted).abs() < wanted * 0.01;
    assert!(near(values[0], 80.0) && near(values[1], 72.0), "{values:?}");
    assert!(near(values[2], 20.0) && near(values[3], 40.0), "{values:?}");
    // 16 lanes of PCIe 5 at 4 %; 18 links of 25 GB/s at 24 %.
    assert!(near(values[4], 16.0 * 3.938e9 * 0.04 / 1_048_576.0), "{values:?}");
    assert!(near(values[5], 18.0 * 25e9 * 0.24 / 1_048_576.0), "{values:?}");
    drop((before, after));
    assert_eq!(machine.stats().samples, 0);
}

#[test]
fn gpm_of_an_instance_has_no_links_and_needs_the_instance() {
    let mut machine = machine(Scenario { time_scale: 100.0, ..busy("h100-sxm", 1) });
    machine.push(Entry::gpu(0).set(layout(&["3g.40gb"])));
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert!(matches!(gpu.gpm_mig_sample(5), Err(NvmlError::NotFound)));
    let before = gpu.gpm_mig_sample(1).unwrap();
    machine.pass(1.0);
    let after = gpu.gpm_mig_sample(1).unwrap();
    let wanted = [GpmMetricId::SmUtil, GpmMetricId::PcieRxPerSec];
    let found =
        nvml_wrapper::gpm::gpm_metrics_get(&machine.nvml, &before, &after, &wanted).unwrap();
    assert!(found[0].is_ok());
    assert!(matches!(found[1], Err(NvmlError::NotSupported)));
}
