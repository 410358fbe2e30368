//! What a scenario file says, as types. The same types write one from a test: fill in a
//! [`Scenario`] and give it to [`ScenarioFile`](crate::ScenarioFile).
//!
//! Times are seconds of the scenario's clock (`time_scale` of the real one). Unknown keys are an
//! error, so that a misspelt fault does not pass for a healthy GPU.

mod act;
mod conditions;
mod load;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use act::{Act, DriverEvent, Ecc, NvLinkErrors, PcieErrors, Remap, Retire, Sram, Xid};
pub use conditions::{Conditions, Fabric, Latency, Mig, Pcie, Process, ProcessType};
pub use load::{Load, Shape};

use crate::code::Code;

/// A machine with GPUs and what happens to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Driver version; decides which fields exist and how they are numbered.
    pub driver: String,
    /// What `nvmlSystemGetNVMLVersion` says; "12." or "13." before the driver's by default.
    pub nvml: Option<String>,
    /// What `nvmlSystemGetCudaDriverVersion` says, as 1000 × major + 10 × minor.
    pub cuda: i32,
    /// Scenario seconds per real second.
    pub time_scale: f64,
    /// Of the noise.
    pub seed: u64,
    /// How often the file is looked at, in milliseconds of real time.
    pub poll_ms: u64,
    /// Rewritten with the statistics from time to time and at the end.
    pub stats_file: Option<PathBuf>,
    /// How often, in milliseconds of real time.
    pub stats_ms: u64,
    /// Gets a kernel log record for each Xid, as `/dev/kmsg` would show it.
    pub kmsg: Option<PathBuf>,
    /// Xids that only the kernel's log shows.
    pub xids_not_in_events: Vec<u64>,
    /// What `nvmlInit` answers.
    pub init: Code,
    /// Functions that answer `FUNCTION_NOT_FOUND`, as those of a newer driver do.
    pub omit: Vec<String>,
    /// Answers of functions, for all GPUs.
    pub status: BTreeMap<String, Code>,
    /// Answers of fields (by number), for all GPUs.
    pub fields: BTreeMap<String, Code>,
    pub gpus: Vec<Gpu>,
    pub timeline: Vec<Entry>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            driver: "570.124.06".into(),
            nvml: None,
            cuda: 12_080,
            time_scale: 1.0,
            seed: 1,
            poll_ms: 50,
            stats_file: None,
            stats_ms: 1000,
            kmsg: None,
            xids_not_in_events: Vec::new(),
            init: Code::SUCCESS,
            omit: Vec::new(),
            status: BTreeMap::new(),
            fields: BTreeMap::new(),
            gpus: Vec::new(),
            timeline: Vec::new(),
        }
    }
}

/// One GPU, or `count` alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gpu {
    /// `h100-sxm`, `a100`, `l4`, `t4`, `b200`.
    pub profile: String,
    pub count: u32,
    /// Only where `count` is 1, as the other identities.
    pub uuid: Option<String>,
    /// `00000000:18:00.0`.
    pub pci: Option<String>,
    pub serial: Option<String>,
    /// Fans, which none of the profiles has.
    pub fans: u32,
    /// PCIe byte counters start again at this value.
    pub pcie_wrap: Option<u64>,
    /// Conditions that always hold.
    pub set: Conditions,
}

impl Default for Gpu {
    fn default() -> Self {
        Self {
            profile: "h100-sxm".into(),
            count: 1,
            uuid: None,
            pci: None,
            serial: None,
            fans: 0,
            pcie_wrap: None,
            set: Conditions::default(),
        }
    }
}

impl Gpu {
    #[must_use]
    pub fn of(profile: &str) -> Self {
        Self { profile: profile.into(), ..Self::default() }
    }

    #[must_use]
    pub fn count(mut self, count: u32) -> Self {
        self.count = count;
        self
    }

    #[must_use]
    pub fn set(mut self, set: Conditions) -> Self {
        self.set = set;
        self
    }
}

/// Which GPUs an entry is about: their place in the file, counted from 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Gpus {
    One(u32),
    Some(Vec<u32>),
}

impl Gpus {
    pub(crate) fn has(&self, slot: usize) -> bool {
        let is = |wanted: &u32| usize::try_from(*wanted) == Ok(slot);
        match self {
            Self::One(one) => is(one),
            Self::Some(some) => some.iter().any(is),
        }
    }
}

/// Something that happens once (`act`), or holds for a while (`set`), or both.
///
/// An entry is started once: `at` seconds after the file with it was first read. What it sets
/// holds for `for` seconds, or until the entry is gone from the file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Entry {
    pub at: f64,
    #[serde(rename = "for")]
    pub lasts: Option<f64>,
    /// All GPUs, and calls that are about none, when absent.
    pub gpu: Option<Gpus>,
    #[serde(rename = "do")]
    pub act: Act,
    pub set: Conditions,
}

impl Entry {
    /// For all GPUs, at once.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// For one GPU, at once.
    #[must_use]
    pub fn gpu(slot: u32) -> Self {
        Self { gpu: Some(Gpus::One(slot)), ..Self::default() }
    }

    #[must_use]
    pub fn at(mut self, seconds: f64) -> Self {
        self.at = seconds;
        self
    }

    #[must_use]
    pub fn lasting(mut self, seconds: f64) -> Self {
        self.lasts = Some(seconds);
        self
    }

    #[must_use]
    pub fn act(mut self, act: Act) -> Self {
        self.act = act;
        self
    }

    #[must_use]
    pub fn set(mut self, set: Conditions) -> Self {
        self.set = set;
        self
    }
}

impl Scenario {
    /// GPUs of one profile.
    #[must_use]
    pub fn of(profile: &str, count: u32) -> Self {
        Self { gpus: vec![Gpu::of(profile).count(count)], ..Self::default() }
    }
}
