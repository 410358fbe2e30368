//! Fields and how the numbers hang together.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(unsafe_code, reason = "raw calls, too")]

mod common;

use common::{Machine, busy, machine};
use fake_nvml::{Conditions, Entry, Load, Scenario};
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper_sys::bindings as sys;

const UNKNOWN: u32 = 2;
const ALL: u32 = u32::MAX;

fn with_driver(driver: &str) -> Scenario {
    let mut scenario = Scenario { driver: driver.into(), ..busy("h100-sxm", 1) };
    // Each of the three times is another, so that it is seen which one a field is.
    let hold = |bits, seconds: f64| {
        let set = Conditions { throttle: Some(bits), ..Conditions::default() };
        Entry::gpu(0).lasting(seconds).set(set)
    };
    scenario.time_scale = 100.0;
    scenario.timeline = vec![hold(0x20, 1.0), hold(0x40, 2.0), hold(0x80, 3.0)];
    scenario
}

fn seconds(nanos: Result<u64, u32>) -> u64 {
    (nanos.unwrap() + 500_000_000) / 1_000_000_000
}

#[test]
fn drivers_before_580_82_number_clock_event_times_from_251() {
    for driver in ["575.57.08", "580.65.06"] {
        let machine = machine(with_driver(driver));
        machine.pass(4.0);
        let times = machine.fields(0, &[(251, 0), (252, 0), (253, 0)]);
        assert_eq!(times.map_seconds(), [1, 2, 3], "{driver}");
        assert_eq!(machine.field(0, 269), Err(3), "{driver}");
    }
}

#[test]
fn drivers_from_580_82_on_number_them_from_269() {
    let machine = machine(with_driver("580.95.05"));
    machine.pass(4.0);
    let times = machine.fields(0, &[(269, 0), (270, 0), (271, 0)]);
    assert_eq!(times.map_seconds(), [1, 2, 3]);
    assert_eq!(machine.fields(0, &[(251, 0), (253, 0)]), [Err(3), Err(3)]);
    assert_eq!(machine.field(0, 302), Err(3));
    assert_eq!(machine.field(0, 303), Err(UNKNOWN));
}

#[test]
fn a_driver_of_2024_does_not_know_them() {
    let machine = machine(with_driver("550.90.07"));
    assert_eq!(machine.fields(0, &[(230, 0), (251, 0)]), [Err(UNKNOWN), Err(UNKNOWN)]);
    assert!(machine.field(0, 197).is_ok());
}

trait Seconds {
    fn map_seconds(self) -> Vec<u64>;
}

impl Seconds for Vec<Result<u64, u32>> {
    fn map_seconds(self) -> Vec<u64> {
        self.into_iter().map(seconds).collect()
    }
}

#[test]
fn the_wrapper_reads_either_numbering() {
    for driver in ["575.57.08", "580.95.05"] {
        let machine = machine(with_driver(driver));
        machine.pass(4.0);
        let gpu = machine.nvml.device_by_index(0).unwrap();
        let id = nvml_wrapper::structs::device::FieldId(252);
        let value = gpu.field_values_for(&[id]).unwrap().remove(0).unwrap().value.unwrap();
        let nvml_wrapper::enums::device::SampleValue::U64(nanos) = value else {
            panic!("{value:?}")
        };
        assert_eq!(seconds(Ok(nanos)), 2, "{driver}");
    }
}

#[test]
fn link_bytes_are_by_link_and_in_all() {
    let machine = machine(Scenario { time_scale: 1000.0, ..busy("h100-sxm", 1) });
    machine.pass(10.0);
    let values = machine.fields(0, &[(138, 0), (138, 7), (138, ALL), (140, ALL), (138, 18)]);
    let [first, seventh, all, raw, none] = values[..] else { panic!() };
    assert_eq!(first, seventh);
    assert!(all.unwrap().abs_diff(first.unwrap() * 18) < 18, "rounding at most");
    assert!(raw > all);
    assert_eq!(none, Err(UNKNOWN));
}

fn energy(machine: &Machine) -> (f64, f64, f64) {
    let before = machine.time(0);
    let joules = f64::from(u32::try_from(machine.field(0, 83).unwrap()).unwrap()) / 1e3;
    (before, joules, machine.time(0))
}

#[test]
fn energy_is_the_integral_of_power() {
    let machine = machine(Scenario { time_scale: 200.0, ..busy("h100-sxm", 1) });
    let power = f64::from(machine.nvml.device_by_index(0).unwrap().power_usage().unwrap()) / 1e3;
    let from = energy(&machine);
    machine.pass(100.0);
    let to = energy(&machine);
    let used = to.1 - from.1;
    // The instants of the two readings are known between two others; power has 1 % of noise.
    assert!(used > power * 0.98 * (to.0 - from.2), "{used} J at {power} W");
    assert!(used < power * 1.02 * (to.2 - from.0), "{used} J at {power} W");
}

#[test]
fn heat_follows_power_with_a_lag() {
    let mut machine = machine(Scenario { time_scale: 50.0, ..Scenario::of("h100-sxm", 1) });
    let temperature = |machine: &Machine| {
        let gpu = machine.nvml.device_by_index(0).unwrap();
        gpu.temperature(TemperatureSensor::Gpu).unwrap()
    };
    let cold = temperature(&machine);
    let load = Some(Load::steady(1.0));
    machine.push(Entry::gpu(0).set(Conditions { load, ..Conditions::default() }));
    let power = machine.nvml.device_by_index(0).unwrap().power_usage();
    machine.pass(60.0);
    let warm = temperature(&machine);
    assert!(power.is_ok() && warm > cold + 20, "{cold} to {warm}");
    machine.calm();
    let still = temperature(&machine);
    assert!(still > cold, "{still} right after the load");
    machine.pass(120.0);
    assert!(temperature(&machine) <= cold + 1);
}

#[test]
fn a_power_limit_caps_power_and_clocks_and_counts_the_time() {
    let mut machine = machine(Scenario { time_scale: 100.0, ..busy("h100-sxm", 1) });
    let before = machine.field(0, 74);
    assert_eq!(before, Ok(0));
    let power_limit = Some(400.0);
    machine.push(Entry::gpu(0).set(Conditions { power_limit, ..Conditions::default() }));
    machine.pass(20.0);
    let gpu = machine.nvml.device_by_index(0).unwrap();
    assert_eq!(gpu.enforced_power_limit().unwrap(), 400_000);
    assert!((390_000..=400_000).contains(&gpu.power_usage().unwrap()));
    assert!(gpu.clock_info(Clock::SM).unwrap() < 1500);
    assert!(machine.field(0, 74).unwrap() > 19_000_000_000);
}

#[test]
fn two_runs_of_a_scenario_agree() {
    let run = || {
        let mut scenario = Scenario { time_scale: 500.0, ..Scenario::of("h100-sxm", 2) };
        scenario.gpus[0].set.load = Some(Load { noise: 0.1, ..Load::training(20.0) });
        // What happened up to an instant is kept by a load that ends there.
        scenario.timeline = vec![
            Entry::all()
                .at(60.0)
                .set(Conditions { load: Some(Load::default()), ..Conditions::default() }),
        ];
        let machine = machine(scenario);
        machine.pass(61.0);
        let bytes: Vec<_> =
            (0..2).flat_map(|gpu| machine.fields(gpu, &[(197, 0), (138, ALL)])).collect();
        let uuid = machine.nvml.device_by_index(1).unwrap().uuid().unwrap();
        (bytes, uuid)
    };
    let (first, second) = (run(), run());
    assert!(first.0.iter().all(|bytes| bytes.unwrap() > 0));
    assert_eq!(first, second);
    assert_ne!(first.0[0], first.0[2], "but GPUs differ");
}

#[test]
fn pcie_counters_can_wrap() {
    let mut scenario = Scenario { time_scale: 100.0, ..busy("h100-sxm", 1) };
    scenario.gpus[0].pcie_wrap = Some(1 << 30);
    let machine = machine(scenario);
    machine.pass(2.0);
    assert!(machine.field(0, 198).unwrap() < 1 << 30);
}

#[test]
fn structures_of_another_version_are_refused() {
    let machine = machine(Scenario { driver: "535.161.08".into(), ..busy("h100-sxm", 1) });
    let (library, handle) = (machine.nvml.lib(), machine.handle(0));
    // SAFETY: zeroes are a valid structure.
    let mut memory: sys::nvmlMemory_v2_t = unsafe { std::mem::zeroed() };
    // SAFETY: zeroes are a valid structure.
    let mut fabric: sys::nvmlGpuFabricInfo_v3_t = unsafe { std::mem::zeroed() };
    // SAFETY: places for the answers; the older version of the fabric is the smaller structure.
    unsafe {
        for (version, code) in [(40, 25), (40 | 1 << 24, 25), (40 | 2 << 24, 0)] {
            memory.version = version;
            assert_eq!(library.nvmlDeviceGetMemoryInfo_v2(handle, &raw mut memory), code);
        }
        for (version, code) in [(40 | 3 << 24, 25), (36 | 2 << 24, 0)] {
            fabric.version = version;
            assert_eq!(library.nvmlDeviceGetGpuFabricInfoV(handle, &raw mut fabric), code);
        }
    }
    assert_eq!((fabric.state, fabric.healthMask), (3, 0x1aa));
    assert_eq!(fabric.healthSummary, 0, "which the older version does not have");
}
