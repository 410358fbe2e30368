//! sriov-network-metrics-exporter's families: `sriov_vf_{rx,tx}_*` with its labels `pf`, `vf`,
//! `pciAddr` and `numa_node`, `sriov_kubepoddevice` and `sriov_kubepodcpu`.
//!
//! The NUMA node is the PF's, as there. `sriov_kubepodcpu` names namespace, pod and container
//! instead of `uid` and `container_id`: the kubelet's answer has those, not these.
//! `sriov_cpu_info` is not here: no series says which node a CPU is on.

use rustc_hash::FxHashSet;

use super::Kind::Counter;
use super::fleet::{Entity, Fleet, NodeView};
use super::{Family, Projection, Put, Sample};

/// Their counters, and ours.
const COUNTERS: &[(&str, &str, &str)] = &[
    ("sriov_vf_rx_bytes", "sriov_vf_receive_bytes_total", "Bytes received."),
    ("sriov_vf_tx_bytes", "sriov_vf_transmit_bytes_total", "Bytes sent."),
    ("sriov_vf_rx_packets", "sriov_vf_receive_packets_total", "Packets received."),
    ("sriov_vf_tx_packets", "sriov_vf_transmit_packets_total", "Packets sent."),
    ("sriov_vf_rx_dropped", "sriov_vf_receive_dropped_total", "Packets received and dropped."),
    ("sriov_vf_tx_dropped", "sriov_vf_transmit_dropped_total", "Packets dropped, not sent."),
    ("sriov_vf_rx_broadcast", "sriov_vf_receive_broadcast_total", "Broadcast packets received."),
    ("sriov_vf_rx_multicast", "sriov_vf_receive_multicast_total", "Multicast packets received."),
    ("sriov_vf_tx_errors", "sriov_vf_transmit_errors_total", "Packets that could not be sent."),
];
const POD_DEVICE: (&str, &str) =
    ("sriov_kubepoddevice", "A PCI device that a container has; always 1.");
const POD_CPU: (&str, &str) = ("sriov_kubepodcpu", "A CPU that a container has alone; always 1.");

/// CPUs that one list may name: more is not a list of a machine's CPUs.
const MAX_CPUS: usize = 4096;

/// The projection of one fleet.
pub(super) struct SriovExporter<'a> {
    fleet: &'a Fleet,
}

/// Whether a metric is read here.
pub(super) fn reads(metric: &str) -> bool {
    metric.starts_with("sriov_vf_")
        || ["sriov_pf_info", "pod_device_info", "pod_cpu_info"].contains(&metric)
}

/// The families.
pub(super) fn families() -> Vec<Family> {
    let counters = COUNTERS.iter().map(|(name, _, help)| (*name, *help));
    let all = counters.chain([POD_DEVICE, POD_CPU]).enumerate();
    all.map(|(id, (name, help))| Family { name, kind: Counter, help, id }).collect()
}

impl<'a> SriovExporter<'a> {
    pub(super) fn new(fleet: &'a Fleet) -> Self {
        Self { fleet }
    }
}

impl Projection for SriovExporter<'_> {
    fn families(&self) -> Vec<Family> {
        families()
    }

    fn write(&self, id: usize, put: Put<'_>) {
        for node in &self.fleet.nodes {
            let own = [("cluster", &*node.key.cluster), ("node", &*node.key.name)];
            let mut line = |labels: &[(&str, &str)], value| {
                let all: Vec<(&str, &str)> = own.iter().chain(labels).copied().collect();
                put(&all, value);
            };
            match COUNTERS.get(id) {
                Some((_, metric, _)) => vf_counter(node, metric, &mut line),
                None if id == COUNTERS.len() => pod_devices(node, &mut line),
                None => pod_cpus(node, &mut line),
            }
        }
    }
}

fn vf_counter(node: &NodeView, metric: &str, put: Put<'_>) {
    for vf in node.entities("vf") {
        let Some(value) = vf.value(metric) else { continue };
        let label = |name| vf.label(name).unwrap_or_default();
        let labels = [
            ("pf", label("pf")),
            ("vf", label("vf")),
            ("pciAddr", label("pci")),
            ("numa_node", numa_node(node, vf)),
        ];
        put(&labels, value);
    }
}

/// The NUMA node of the VF's PF; empty when the machine has none.
fn numa_node<'a>(node: &'a NodeView, vf: &'a Entity) -> &'a str {
    let pf = node.entities("pf").find(|pf| pf.label("pf") == vf.label("pf"));
    let of_pf = pf.and_then(|pf| pf.info("sriov_pf_info", "numa_node"));
    let found = of_pf.or_else(|| vf.info("sriov_vf_info", "numa_node"));
    found.filter(|n| *n != "-1").unwrap_or_default()
}

fn pod_devices(node: &NodeView, put: Put<'_>) {
    let mut seen = FxHashSet::default();
    let vfs = node.samples("sriov_vf_pod_info").map(|s| (s.label("pci"), s));
    let others = node.samples("pod_device_info").map(|s| (s.label("device"), s));
    for (device, sample) in vfs.chain(others) {
        let Some(device) = device.filter(|d| is_pci_address(d)) else { continue };
        let label = |name| sample.label(name).unwrap_or_default();
        let labels = [
            ("pciAddr", device),
            ("dev_type", label("resource")),
            ("pod", label("pod")),
            ("namespace", label("namespace")),
            ("container", label("container")),
        ];
        if seen.insert(labels) {
            put(&labels, 1.0);
        }
    }
}

fn pod_cpus(node: &NodeView, put: Put<'_>) {
    let mut seen = FxHashSet::default();
    for sample in node.samples("pod_cpu_info") {
        let label = |name| sample.label(name).unwrap_or_default();
        // Which of several nodes a CPU is on is not told.
        let numa = Some(label("numa_nodes")).filter(|n| n.parse::<u32>().is_ok());
        for cpu in cpus(label("cpus")) {
            let cpu = cpu.to_string();
            if seen.insert((cpu.clone(), owner(sample))) {
                let labels = [
                    ("cpu_id", cpu.as_str()),
                    ("numa_node", numa.unwrap_or_default()),
                    ("namespace", label("namespace")),
                    ("pod", label("pod")),
                    ("container", label("container")),
                ];
                put(&labels, 1.0);
            }
        }
    }
}

fn owner(sample: &Sample) -> [Option<&str>; 3] {
    ["namespace", "pod", "container"].map(|name| sample.label(name))
}

/// The CPUs of a list as the kernel writes it: "0-3,8".
fn cpus(list: &str) -> Vec<u32> {
    let mut all = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.trim().parse(), last.trim().parse::<u32>()) {
            all.extend((first..=last).take(MAX_CPUS - all.len().min(MAX_CPUS)));
        }
    }
    all
}

/// `0000:3b:02.1`.
fn is_pci_address(text: &str) -> bool {
    let hex = |t: &str, least: usize| t.len() >= least && t.bytes().all(|b| b.is_ascii_hexdigit());
    let Some((rest, function)) = text.rsplit_once('.') else { return false };
    let mut parts = rest.split(':');
    let parts = (parts.next(), parts.next(), parts.next(), parts.next());
    let (Some(domain), Some(bus), Some(device), None) = parts else { return false };
    hex(domain, 4)
        && hex(bus, 2)
        && hex(device, 2)
        && (bus.len(), device.len(), function.len()) == (2, 2, 1)
        && matches!(function.as_bytes()[0], b'0'..=b'7')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_the_kernels() {
        let f = |list, want: &[u32]| assert_eq!(cpus(list), want, "{list}");
        f("0-3,8", &[0, 1, 2, 3, 8]);
        f("5", &[5]);
        f("", &[]);
        f("a-b,7-6,2", &[2]);
        assert_eq!(cpus("0-4294967295,0-9").len(), MAX_CPUS);
    }

    #[test]
    fn only_pci_addresses_are_pci_devices() {
        let f = |text, want| assert_eq!(is_pci_address(text), want, "{text}");
        f("0000:3b:02.1", true);
        f("10000:e1:00.0", true);
        f("0000:3b:02.8", false);
        f("0000:3b:02", false);
        f("GPU-0000:3b:02.1", false);
        f("0000:3b:022.1", false);
        f("0000:3b:02.é", false);
        f("0000:00:3b:02.1", false);
    }
}
