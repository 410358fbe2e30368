//! A `libnvidia-ml.so` without GPUs: tests and measurements load it in place of NVIDIA's. It is
//! never part of a release.
//!
//! What it shows is a *scenario*: GPUs of known kinds under a load, and a timeline of faults, in
//! a file that is watched (`FAKE_NVML_SCENARIO`), so that a test changes the machine while an
//! agent looks at it. Numbers come from a small model and agree with each other. What clients
//! call is counted, so that a test can hold them to a budget.
//!
//! A process has one scenario at a time: tests that need different ones are different programs,
//! or take turns with [`Library::set_scenario`].

mod call;
mod code;
mod effects;
mod events;
mod exports;
mod gpu;
mod handle;
mod kmsg;
mod library;
mod mig;
mod number;
mod physics;
mod profiles;
mod runtime;
mod samples;
pub mod scenario;
mod stats;
mod symbols;
mod world;

pub use code::Code;
pub use library::{Error, Library, ScenarioFile, library_path};
pub use profiles::profiles;
pub use scenario::{Act, Conditions, Entry, Gpus, Load, Scenario};
pub use stats::{Calls, FunctionStats, Stats};
pub use symbols::NAMES as FUNCTIONS;
