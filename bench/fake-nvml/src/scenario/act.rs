//! What happens once.

use serde::{Deserialize, Serialize};

/// Things that happen when an entry starts. Absent is nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Act {
    /// An Xid, by event and by kernel log.
    pub xid: Option<Xid>,
    /// Any other event.
    pub event: Option<DriverEvent>,
    /// Memory errors: counted, and told by event.
    pub ecc: Option<Ecc>,
    pub sram: Option<Sram>,
    /// Rows remapped.
    pub remap: Option<Remap>,
    /// Pages retired.
    pub retire: Option<Retire>,
    pub pcie_replays: u64,
    pub pcie_errors: PcieErrors,
    pub nvlink_errors: Vec<NvLinkErrors>,
    /// All counters since driver load go to 0.
    pub counter_reset: bool,
    /// The driver is loaded again: counters go to 0, and clients are told
    /// `LIB_RM_VERSION_MISMATCH` until they have shut down and started again, if the version is
    /// another one.
    pub driver_reload: Option<String>,
}

/// An Xid: a number, or with the MIG instance that it is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Xid {
    Plain(u64),
    Instance { code: u64, gpu_instance: u32, compute_instance: u32 },
}

/// An event by its bit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DriverEvent {
    pub bit: u64,
    pub data: u64,
    pub gpu_instance: Option<u32>,
    pub compute_instance: Option<u32>,
}

/// Errors in DRAM, or in another place by `nvmlMemoryLocation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ecc {
    pub corrected: u64,
    pub uncorrected: u64,
    /// 0 L1, 1 L2, 2 DRAM, 3 registers, 4 texture, 5 shared, 6 CBU, 7 SRAM.
    pub location: usize,
}

impl Default for Ecc {
    fn default() -> Self {
        Self { corrected: 0, uncorrected: 0, location: 2 }
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sram {
    pub corrected: u64,
    pub parity: u64,
    pub secded: u64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Remap {
    pub correctable: u32,
    pub uncorrectable: u32,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retire {
    pub single_bit: u32,
    pub double_bit: u32,
}

/// Fields 173 to 183, in their order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PcieErrors {
    pub correctable: u64,
    pub naks_received: u64,
    pub receiver: u64,
    pub bad_tlp: u64,
    pub naks_sent: u64,
    pub bad_dllp: u64,
    pub non_fatal: u64,
    pub fatal: u64,
    pub unsupported_request: u64,
    pub lcrc: u64,
    pub lane: u64,
}

impl PcieErrors {
    pub(crate) fn in_order(&self) -> [u64; 11] {
        [
            self.correctable,
            self.naks_received,
            self.receiver,
            self.bad_tlp,
            self.naks_sent,
            self.bad_dllp,
            self.non_fatal,
            self.fatal,
            self.unsupported_request,
            self.lcrc,
            self.lane,
        ]
    }
}

/// Errors of one link; those from `malformed` on are of NVLink 5.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NvLinkErrors {
    pub link: usize,
    pub crc_flit: u64,
    pub crc_data: u64,
    pub replay: u64,
    pub recovery: u64,
    pub ecc: u64,
    pub malformed: u64,
    pub overrun: u64,
    pub received: u64,
    pub received_remote: u64,
    pub local_integrity: u64,
    pub effective: u64,
    pub symbol: u64,
}
