//! One machine after the other: the library has one scenario in a process.
#![allow(dead_code, reason = "each test program uses a part")]

use fake_nvml::{Entry, Library, Load, Scenario, ScenarioFile, Stats, library_path};
use nvml_wrapper::Nvml;
use nvml_wrapper_sys::bindings as sys;
use parking_lot::{Mutex, MutexGuard};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A machine with a session.
pub(crate) struct Machine {
    pub(crate) nvml: Nvml,
    pub(crate) library: Library,
    pub(crate) file: ScenarioFile,
    pub(crate) dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

pub(crate) fn machine(scenario: Scenario) -> Machine {
    let turn = ONE_AT_A_TIME.lock();
    let dir = tempfile::tempdir().unwrap();
    let file = ScenarioFile::create(dir.path().join("scenario.toml"), scenario).unwrap();
    let library = Library::beside().unwrap();
    library.set_scenario(&file).unwrap();
    library.reset_stats();
    let nvml = Nvml::builder().lib_path(library_path().unwrap().as_os_str()).init().unwrap();
    Machine { nvml, library, file, dir, _turn: turn }
}

/// `count` of a profile under a steady load of 80 %.
pub(crate) fn busy(profile: &str, count: u32) -> Scenario {
    let mut scenario = Scenario::of(profile, count);
    scenario.gpus[0].set.load = Some(Load::steady(0.8));
    scenario
}

impl Machine {
    pub(crate) fn push(&mut self, entry: Entry) {
        self.file.push(entry).unwrap();
        self.library.reload().unwrap();
    }

    pub(crate) fn calm(&mut self) {
        self.file.calm().unwrap();
        self.library.reload().unwrap();
    }

    pub(crate) fn stats(&self) -> Stats {
        self.library.stats().unwrap()
    }

    /// The raw handle of a GPU.
    pub(crate) fn handle(&self, index: u32) -> sys::nvmlDevice_t {
        // SAFETY: the handle is only given back to the library.
        unsafe { self.nvml.device_by_index(index).unwrap().handle() }
    }

    /// Scenario seconds, by the reference time of a violation status.
    pub(crate) fn time(&self, index: u32) -> f64 {
        let status = self.nvml.device_by_index(index).unwrap();
        let policy = nvml_wrapper::enum_wrappers::device::PerformancePolicy::Power;
        let micros = status.violation_status(policy).unwrap().reference_time;
        u32::try_from(micros / 1000).map(f64::from).unwrap() / 1000.0
    }

    /// Waits until the scenario's clock has gone on by so much.
    pub(crate) fn pass(&self, seconds: f64) {
        let until = self.time(0) + seconds;
        while self.time(0) < until {
            std::thread::yield_now();
        }
    }

    /// Fields of a GPU with their scopes: code and value as bits.
    pub(crate) fn fields(&self, index: u32, wanted: &[(u32, u32)]) -> Vec<Result<u64, u32>> {
        let mut values: Vec<sys::nvmlFieldValue_t> = wanted
            .iter()
            .map(|(field, scope)| sys::nvmlFieldValue_t {
                fieldId: *field,
                scopeId: *scope,
                timestamp: 0,
                latencyUsec: 0,
                valueType: 0,
                nvmlReturn: 999,
                value: sys::nvmlValue_t { ullVal: 0 },
            })
            .collect();
        let count = i32::try_from(values.len()).unwrap();
        // SAFETY: as many values as are said.
        let code = unsafe {
            self.nvml.lib().nvmlDeviceGetFieldValues(self.handle(index), count, values.as_mut_ptr())
        };
        assert_eq!(code, 0);
        let read = |value: &sys::nvmlFieldValue_t| match value.nvmlReturn {
            // SAFETY: all of the union is written.
            0 => Ok(unsafe { value.value.ullVal }),
            code => Err(code),
        };
        values.iter().map(read).collect()
    }

    pub(crate) fn field(&self, index: u32, field: u32) -> Result<u64, u32> {
        self.fields(index, &[(field, 0)])[0]
    }
}
