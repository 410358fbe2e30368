//! What holds for a while: faults and settings. Several may hold at once; of two that say the
//! same thing, the one later in the file wins, and lists add up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Load;
use crate::code::Code;

/// What is so while it holds. Absent is "as otherwise".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conditions {
    pub load: Option<Load>,

    // How calls go.
    /// Handle lookup and every call answer `GPU_IS_LOST`; the GPU is still counted.
    pub lost: Option<bool>,
    /// Not there: not counted, and the places of the others close up.
    pub removed: Option<bool>,
    /// Every call answers this.
    pub code: Option<Code>,
    /// Functions that answer something else.
    pub status: BTreeMap<String, Code>,
    /// Fields (by the driver's number) that answer something else.
    pub fields: BTreeMap<String, Code>,
    /// Fields (by number) and values (by name, see the README) that are something else.
    pub values: BTreeMap<String, f64>,
    pub latency: Vec<Latency>,
    /// Functions that do not come back while this holds; `*` is all.
    pub hang: Vec<String>,

    // What it is.
    pub name: Option<String>,
    /// The name as bytes, for what no text can hold.
    pub name_hex: Option<String>,
    pub persistence: Option<bool>,
    pub ecc_mode: Option<bool>,
    pub inforom_corrupt: Option<bool>,
    /// MIG is on, with these instances.
    pub mig: Option<Vec<Mig>>,
    /// MIG is off, whatever `mig` says.
    pub mig_off: Option<bool>,
    pub processes: Option<Vec<Process>>,

    // What it does.
    /// Bits of the clocks' event reasons that are set.
    pub throttle: Option<u64>,
    /// Clocks, as a share of what they would be.
    pub clock_factor: Option<f64>,
    /// Power for the same work, as a share of the usual.
    pub power_factor: Option<f64>,
    /// Degrees more than its power explains.
    pub heat: Option<f64>,
    /// Watts.
    pub power_limit: Option<f64>,
    pub pcie: Option<Pcie>,
    /// Replays a second.
    pub pcie_replay_rate: Option<f64>,
    /// Corrected DRAM errors a second.
    pub ecc_rate: Option<f64>,
    pub remap_pending: Option<bool>,
    pub remap_failed: Option<bool>,
    /// Banks with max, high, partial, low, none spare rows.
    pub remap_banks: Option<[u32; 5]>,
    pub retired_pending: Option<bool>,
    pub sram_threshold: Option<bool>,
    pub nvlink_down: Vec<usize>,
    pub fabric: Option<Fabric>,
    /// `nvmlGpuP2PStatus_t` of all pairs that the GPU is in.
    pub p2p_status: Option<u32>,
    /// Field 230.
    pub recovery_action: Option<u32>,
    pub memory_used_mib: Option<f64>,
    /// MiB more each second.
    pub memory_leak: Option<f64>,
}

/// A function that takes its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    pub call: String,
    pub ms: f64,
    /// Up to this much more, evenly spread.
    #[serde(default)]
    pub jitter_ms: f64,
}

/// PCIe as it is instead of as load and profile have it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pcie {
    #[serde(rename = "gen")]
    pub generation: Option<u32>,
    pub width: Option<u32>,
    pub max_gen: Option<u32>,
    pub max_width: Option<u32>,
}

/// What `nvmlDeviceGetGpuFabricInfoV` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fabric {
    pub state: u8,
    pub status: Code,
    pub clique: u32,
    /// Mask of health states, two bits and more each; all "no" by default.
    pub health: u32,
    /// 1 healthy, 2 unhealthy, 3 limited capacity.
    pub summary: u8,
}

impl Default for Fabric {
    fn default() -> Self {
        // 2 ("false") in each of the four two-bit places, 1 ("none") in the last.
        Self { state: 3, status: Code::SUCCESS, clique: 1, health: 0x1aa, summary: 1 }
    }
}

/// A MIG device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Mig {
    /// `3g.40gb`; instance ids are counted.
    Profile(String),
    Full {
        profile: String,
        gpu_instance: u32,
        #[serde(default)]
        compute_instance: u32,
        #[serde(default)]
        uuid: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessType {
    #[default]
    Compute,
    Graphics,
    Mps,
}

/// A process with a context on the GPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Process {
    pub pid: u32,
    /// MiB; absent is NVML's "not available".
    pub memory_mib: Option<f64>,
    #[serde(rename = "type")]
    pub kind: ProcessType,
    pub name: String,
    pub gpu_instance: Option<u32>,
    pub compute_instance: Option<u32>,
    /// Its part of the GPU's load.
    pub share: f64,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            pid: 1,
            memory_mib: None,
            kind: ProcessType::Compute,
            name: "python3".into(),
            gpu_instance: None,
            compute_instance: None,
            share: 1.0,
        }
    }
}

macro_rules! later_wins {
    ($self:ident, $other:ident: $($field:ident)*) => {
        $(if $other.$field.is_some() { $self.$field.clone_from(&$other.$field); })*
    };
}

impl Conditions {
    /// Adds what another set says.
    pub(crate) fn add(&mut self, other: &Self) {
        later_wins!(self, other: load lost removed code name name_hex persistence ecc_mode
            inforom_corrupt mig mig_off processes clock_factor power_factor heat power_limit pcie
            pcie_replay_rate ecc_rate remap_pending remap_failed remap_banks retired_pending
            sram_threshold fabric p2p_status recovery_action memory_used_mib memory_leak);
        if let Some(bits) = other.throttle {
            self.throttle = Some(self.throttle.unwrap_or(0) | bits);
        }
        self.status.extend(other.status.iter().map(|(k, v)| (k.clone(), *v)));
        self.fields.extend(other.fields.iter().map(|(k, v)| (k.clone(), *v)));
        self.values.extend(other.values.iter().map(|(k, v)| (k.clone(), *v)));
        self.latency.extend_from_slice(&other.latency);
        self.hang.extend_from_slice(&other.hang);
        self.nvlink_down.extend_from_slice(&other.nvlink_down);
    }
}
