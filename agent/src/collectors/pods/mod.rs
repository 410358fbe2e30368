//! Which pod has which device: the kubelet's PodResources, and processes by their cgroup.
//!
//! PodResources names devices, pods and containers; UIDs and container ids, which cgroups have,
//! come from the names of the kubelet's log directories. Nothing asks the API server, so labels
//! and annotations of pods are not known, and neither is the name that a VF has inside its pod,
//! which Multus keeps in the annotation `k8s.v1.cni.cncf.io/network-status`.
//!
//! When the kubelet does not answer, what it last said stays, and its age says so.

mod allocation;
mod attribution;
mod cgroup;
mod cpus;
mod device;
mod kubelet;
mod logs;
pub mod metrics;
mod view;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sextant_proto::chain::chain;

use self::allocation::{Allocation, Cpus};
pub use self::attribution::{Attribution, Owner, Process};
use self::cpus::NumaNodes;
use self::kubelet::{Kubelet, KubeletError};
use self::logs::Logs;
use super::{CollectError, Collector, Paths};
use crate::sample::{Batch, Metric};

/// How long the kubelet may take: below the 8 s after which a collector counts as stalled.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The `[collectors.pods]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PodsConfig {
    pub enabled: bool,
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// The kubelet's PodResources socket, below `paths.root`.
    pub socket: PathBuf,
}

impl Default for PodsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(10),
            socket: "/var/lib/kubelet/pod-resources/kubelet.sock".into(),
        }
    }
}

/// Keeps the attribution of devices fresh.
pub struct Pods {
    config: PodsConfig,
    sys: PathBuf,
    attribution: Arc<Attribution>,
    kubelet: Kubelet,
    logs: Logs,
    /// When the kubelet last answered.
    answered: Option<Instant>,
    by_resource: BTreeMap<String, u32>,
    cpus: Vec<Cpus>,
    told: Told,
    malformed: u64,
    dropped: u64,
}

/// What is told of containers, made when it changes.
#[derive(Default)]
struct Told {
    generation: Option<u64>,
    /// By namespace, pod and container.
    containers: BTreeMap<[String; 3], Container>,
}

#[derive(Default)]
struct Container {
    /// Resource and device.
    devices: Vec<[String; 2]>,
    /// CPUs and their NUMA nodes.
    cpus: Option<[String; 2]>,
}

impl Pods {
    /// A collector that fills `attribution`.
    #[must_use]
    pub fn new(config: &PodsConfig, paths: &Paths, attribution: &Arc<Attribution>) -> Self {
        let socket = config.socket.strip_prefix("/").unwrap_or(&config.socket);
        Self {
            config: config.clone(),
            sys: paths.sys.clone(),
            attribution: Arc::clone(attribution),
            kubelet: Kubelet::new(paths.root.join(socket), TIMEOUT),
            logs: Logs::new(&paths.root),
            answered: None,
            by_resource: BTreeMap::new(),
            cpus: Vec::new(),
            told: Told::default(),
            malformed: 0,
            dropped: 0,
        }
    }

    /// Changes how long the kubelet may take, 5 s otherwise.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.kubelet.set_timeout(timeout);
        self
    }

    fn read_names(&mut self, batch: &mut Batch) {
        let (names, dropped, outcome) = self.logs.refresh();
        self.dropped += dropped;
        self.attribution.set_names(names);
        if let Err((path, error)) = outcome {
            batch.fail("pod_logs", &format_args!("read {}: {error}", path.display()));
        }
    }

    fn take(&mut self, allocation: Allocation) {
        let Allocation { devices, cpus, by_resource, malformed, dropped } = allocation;
        self.malformed += malformed;
        self.dropped += dropped;
        self.by_resource = by_resource;
        if self.cpus != cpus {
            self.cpus = cpus;
            self.told.generation = None;
        }
        self.attribution.set_devices(devices);
        self.answered = Some(Instant::now());
    }

    fn tell(&mut self, up: bool, batch: &mut Batch) {
        let mut node = batch.node();
        node.set(&metrics::UP, f64::from(u8::from(up)));
        if let Some(answered) = self.answered {
            let age = if up { 0.0 } else { answered.elapsed().as_secs_f64() };
            node.set(&metrics::AGE, age);
        }
        for (resource, devices) in &self.by_resource {
            node.set_with(&metrics::DEVICES, &[("resource", resource)], f64::from(*devices));
        }
        node.set(&metrics::MALFORMED, self.malformed as f64);
        node.set(&metrics::DROPPED, self.dropped as f64);
        let generation = self.attribution.generation();
        if self.told.generation != Some(generation) {
            self.told = Told::of(&self.attribution, &self.cpus, &self.sys);
            self.told.generation = Some(generation);
        }
        for ([namespace, pod, container], of) in &self.told.containers {
            let labels = [("namespace", namespace), ("pod", pod), ("container", container)];
            let mut values = batch.entity("container", &labels.map(|(n, v)| (n, v.as_str())));
            for [resource, device] in &of.devices {
                let labels = [("resource", resource.as_str()), ("device", device.as_str())];
                values.set_with(&metrics::DEVICE_INFO, &labels, 1.0);
            }
            if let Some([cpus, nodes]) = &of.cpus {
                let labels = [("cpus", cpus.as_str()), ("numa_nodes", nodes.as_str())];
                values.set_with(&metrics::CPU_INFO, &labels, 1.0);
            }
        }
    }
}

impl Told {
    fn of(attribution: &Attribution, cpu_sets: &[Cpus], sys: &Path) -> Self {
        let mut containers: BTreeMap<[String; 3], Container> = BTreeMap::new();
        for (device, owner) in attribution.view().others() {
            let key = [&owner.namespace, &owner.pod, &owner.container].map(String::clone);
            let devices = &mut containers.entry(key).or_default().devices;
            devices.push([owner.resource.clone(), device.to_owned()]);
        }
        if !cpu_sets.is_empty() {
            let nodes = NumaNodes::read(sys);
            for Cpus { namespace, pod, container, cpus } in cpu_sets {
                let key = [namespace, pod, container].map(String::clone);
                let told = [cpus::list(cpus), nodes.of(cpus)];
                containers.entry(key).or_default().cpus = Some(told);
            }
        }
        Self { generation: None, containers }
    }
}

impl Collector for Pods {
    fn name(&self) -> &'static str {
        "pods"
    }

    fn metrics(&self) -> &'static [&'static Metric] {
        metrics::ALL
    }

    fn tiers(&self) -> Vec<Duration> {
        vec![self.config.interval]
    }

    fn collect(&mut self, _tier: usize, batch: &mut Batch) -> Result<(), CollectError> {
        self.read_names(batch);
        let socket = self.kubelet.socket();
        // A kubelet that has answered is away, not absent.
        if self.answered.is_none() && matches!(socket.try_exists(), Ok(false)) {
            return Err(CollectError::Absent(socket.display().to_string()));
        }
        let up = match self.kubelet.list() {
            Ok(answer) => {
                self.take(Allocation::of(answer));
                true
            }
            Err(error) => {
                if matches!(error, KubeletError::Answer(_)) {
                    self.malformed += 1;
                }
                batch.fail("podresources", &chain(&error));
                false
            }
        };
        self.tell(up, batch);
        Ok(())
    }
}
