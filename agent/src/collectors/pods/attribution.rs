//! What other collectors ask: who has this device, and whose is this process. Answers come from
//! a cache that the `pods` collector fills; asking never waits for the kubelet.

use std::path::PathBuf;
use std::sync::Arc;

/// A container that a device is allocated to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    pub namespace: String,
    pub pod: String,
    pub container: String,
    /// As the device plugin names it: "nvidia.com/gpu"; for a DRA claim the driver's name.
    pub resource: String,
    /// The pod's UID where it is known.
    pub uid: Option<String>,
    /// The device is given to several containers (time slicing, MPS, shared claims).
    pub shared: bool,
}

/// Whose a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// From its cgroup.
    pub pod_uid: String,
    pub container_id: String,
    /// Where a device's owner has the same pod UID, or only one pod can be meant.
    pub owner: Option<Owner>,
}

/// The cache. Canonical device ids: `GPU-<uuid>`, `MIG-<uuid>`, a PCI address
/// (`0000:3b:02.1`); others as the device plugin writes them.
#[derive(Debug)]
pub struct Attribution {
    _proc: PathBuf,
}

impl Attribution {
    /// An empty cache; processes are looked up below `proc`.
    #[must_use]
    pub fn new(proc: PathBuf) -> Self {
        Self { _proc: proc }
    }

    /// Grows whenever an answer may have changed.
    #[must_use]
    pub fn generation(&self) -> u64 {
        0
    }

    /// The containers that have the device, in a stable order.
    #[must_use]
    pub fn owners(&self, _device: &str) -> Arc<[Owner]> {
        Arc::from([])
    }

    /// Whose the process is; `None` outside of containers or when it is gone. Reads
    /// `/proc/PID/cgroup`: not for a fast tick.
    #[must_use]
    pub fn process(&self, _pid: u32) -> Option<Process> {
        None
    }

    /// Says which canonical id an id of another form means ("nvidia0", "MIG-GPU-<uuid>/1/0").
    /// Replaces what `source` said before.
    pub fn set_aliases(&self, _source: &'static str, _aliases: Vec<(String, String)>) {}
}
