//! What other collectors ask: who has this device, and whose is this process. Answers come from
//! a view that the `pods` collector renews; asking never waits for the kubelet.
//!
//! The view is made anew whenever devices, names or aliases change, and swapped whole. Locks are
//! held to swap and to copy a pointer, never while something is read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::allocation::Allocated;
use super::cgroup::{self, Place};
use super::device::{Device, Form};
use super::logs::Names;
use super::view::View;

/// Aliases of one source: GPUs have at most eight instances and a handful of names for each.
const MOST_ALIASES: usize = 4096;

/// A container that a device is allocated to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    pub namespace: String,
    pub pod: String,
    /// Empty where a process only tells its pod.
    pub container: String,
    /// As the device plugin names it: "nvidia.com/gpu"; for a DRA claim the driver's name. Empty
    /// for a process whose container has no device.
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
    /// From its cgroup; empty for a process of the pod in no container's cgroup.
    pub container_id: String,
    /// The container by its name, where the node's log directories or a device's owner tell it.
    pub owner: Option<Owner>,
}

/// The cache. Canonical device ids: `GPU-<uuid>`, `MIG-<uuid>`, a PCI address
/// (`0000:3b:02.1`); others as the device plugin writes them.
#[derive(Debug)]
pub struct Attribution {
    proc: PathBuf,
    generation: AtomicU64,
    view: RwLock<Arc<View>>,
    sources: Mutex<Sources>,
    nobody: Arc<[Owner]>,
}

/// What the view is made of.
#[derive(Debug, Default)]
struct Sources {
    devices: Vec<Allocated>,
    names: Arc<Names>,
    aliases: BTreeMap<&'static str, Vec<(String, String)>>,
}

impl Attribution {
    /// An empty cache; processes are looked up below `proc`.
    #[must_use]
    pub fn new(proc: PathBuf) -> Self {
        Self {
            proc,
            generation: AtomicU64::new(0),
            view: RwLock::default(),
            sources: Mutex::default(),
            nobody: Arc::from([]),
        }
    }

    /// A cache of these devices, by the ids that a device plugin would give; processes are those
    /// of this system.
    #[must_use]
    pub fn with_owners(owners: Vec<(String, Owner)>) -> Self {
        let attribution = Self::new("/proc".into());
        let allocated = |(id, owner): (String, Owner)| {
            let device =
                Device::plugin(&id).unwrap_or(Device { id, form: Form::Plain, shared: false });
            let shared = owner.shared || device.shared;
            Allocated { device, owner: Owner { shared, ..owner } }
        };
        attribution.set_devices(owners.into_iter().map(allocated).collect());
        attribution
    }

    /// Grows whenever an answer may have changed.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The containers that have the device, in a stable order: by its canonical id or an alias.
    #[must_use]
    pub fn owners(&self, device: &str) -> Arc<[Owner]> {
        self.view().owners(device).unwrap_or_else(|| Arc::clone(&self.nobody))
    }

    /// Whose the process is; `None` outside of pods or when it is gone. Reads
    /// `/proc/PID/cgroup`: not for a fast tick.
    #[must_use]
    pub fn process(&self, pid: u32) -> Option<Process> {
        let place = self.place(pid)?;
        let owner = self.view().of_place(&place);
        Some(Process { pod_uid: place.pod_uid, container_id: place.container_id, owner })
    }

    /// The container of a process that uses the device: as [`Self::process`] says, or, where the
    /// pod's name is not known, the only container that has the device. `None` for a process
    /// outside of pods. Reads `/proc/PID/cgroup`: not for a fast tick.
    #[must_use]
    pub fn owner_of(&self, pid: u32, device: &str) -> Option<Owner> {
        let place = self.place(pid)?;
        self.view().of_place_with(&place, device)
    }

    /// Says which canonical id an id of another form means: `nvidia0`, `MIG-GPU-<uuid>/1/0`.
    /// Replaces what `source` said before. What is beyond 4096 aliases is left out.
    pub fn set_aliases(&self, source: &'static str, mut aliases: Vec<(String, String)>) {
        aliases.truncate(MOST_ALIASES);
        let mut sources = self.sources.lock();
        if sources.aliases.get(source) != Some(&aliases) {
            sources.aliases.insert(source, aliases);
            self.renew(&sources);
        }
    }

    /// Replaces the devices.
    pub(super) fn set_devices(&self, devices: Vec<Allocated>) {
        let mut sources = self.sources.lock();
        if sources.devices != devices {
            sources.devices = devices;
            self.renew(&sources);
        }
    }

    /// Replaces the names.
    pub(super) fn set_names(&self, names: Arc<Names>) {
        let mut sources = self.sources.lock();
        if !Arc::ptr_eq(&sources.names, &names) && sources.names != names {
            sources.names = names;
            self.renew(&sources);
        }
    }

    /// What is known now.
    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read())
    }

    fn renew(&self, sources: &Sources) {
        let aliases = sources.aliases.values().flatten();
        let view = View::new(&sources.devices, &sources.names, aliases);
        if *self.view.read().as_ref() != view {
            *self.view.write() = Arc::new(view);
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    fn place(&self, pid: u32) -> Option<Place> {
        // A process that has just ended is as good as one outside of pods.
        cgroup::place(&self.proc, pid).ok().flatten()
    }
}
