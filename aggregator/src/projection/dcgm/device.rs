//! What a line of DCGM's is about: a GPU, or a GPU instance when MIG is on, and the labels that
//! dcgm-exporter gives it.

use super::super::fleet::{Entity, NodeView};
use super::super::{ExpositionConfig, HostnameLabel, Sample};

type Pairs = Vec<(&'static str, String)>;

/// A GPU or a MIG device, with the labels of its lines.
pub(super) struct Device<'a> {
    pub(super) node: &'a NodeView,
    pub(super) entity: &'a Entity,
    pub(super) mig: bool,
    /// A GPU whose instances have the lines that an instance can have: with its own, sums would
    /// count twice.
    pub(super) cut: bool,
    labels: Pairs,
}

impl Device<'_> {
    /// The labels of a line: the device's and some more.
    pub(super) fn with<'s>(&'s self, more: &[(&'s str, &'s str)]) -> Vec<(&'s str, &'s str)> {
        let own = self.labels.iter().map(|(n, v)| (*n, v.as_str()));
        own.chain(more.iter().copied()).collect()
    }

    fn get(&self, label: &str) -> &str {
        self.labels.iter().find(|(n, _)| *n == label).map_or("", |(_, v)| v)
    }
}

/// The GPUs and the GPU instances of a node whose identity is known.
pub(super) fn devices<'a>(config: &ExpositionConfig, node: &'a NodeView) -> Vec<Device<'a>> {
    let driver = node.samples("gpu_driver_info").next();
    let driver = driver.and_then(|s| s.label("driver_version")).filter(|v| !v.is_empty());
    let tail = |labels: &mut Pairs, owners: &[Sample]| {
        let host = node.key.name.to_string();
        if config.hostname_label != HostnameLabel::Lowercase {
            labels.push(("Hostname", host.clone()));
        }
        if config.hostname_label != HostnameLabel::Hostname {
            labels.push(("hostname", host));
        }
        if let Some(version) = driver {
            labels.push(("DCGM_FI_DRIVER_VERSION", version.into()));
        }
        if config.pod_labels {
            labels.extend(pod_labels(owners));
        }
    };
    let mut all = Vec::new();
    let instances = instances(node);
    for entity in node.entities("gpu") {
        let Some(mut labels) = identity(node, entity) else { continue };
        tail(&mut labels, entity.samples("gpu_pod_info"));
        let uuid = entity.label("uuid");
        let cut = instances.iter().any(|(mig, _)| mig.info("gpu_mig_info", "gpu_uuid") == uuid);
        all.push(Device { node, entity, mig: false, cut, labels });
    }
    for (entity, owners) in instances {
        let info = |label| entity.info("gpu_mig_info", label);
        let uuid = info("gpu_uuid");
        let gpu = node.entities("gpu").find(|g| g.label("uuid") == uuid);
        let Some(mut labels) = gpu.and_then(|gpu| identity(node, gpu)) else { continue };
        labels.push(("GPU_I_PROFILE", info("profile").unwrap_or_default().into()));
        labels.push(("GPU_I_ID", info("gpu_instance").unwrap_or_default().into()));
        tail(&mut labels, &owners);
        all.push(Device { node, entity, mig: true, cut: false, labels });
    }
    all
}

/// The first compute instance of each GPU instance, which is what DCGM knows and what memory and
/// profiling are of, and the owners of all of them.
fn instances(node: &NodeView) -> Vec<(&Entity, Vec<Sample>)> {
    let mut all: Vec<(&Entity, [String; 3])> = Vec::new();
    for entity in node.entities("mig") {
        let info = |label| entity.info("gpu_mig_info", label).unwrap_or_default().to_owned();
        let key = [info("gpu_uuid"), info("gpu_instance"), info("compute_instance")];
        if !key[0].is_empty() && !key[1].is_empty() {
            all.push((entity, key));
        }
    }
    all.sort_by(|a, b| a.1.cmp(&b.1));
    let mut grouped: Vec<(&Entity, [String; 3], Vec<Sample>)> = Vec::new();
    for (entity, key) in all {
        let owners = entity.samples("gpu_mig_pod_info");
        match grouped.last_mut().filter(|(_, first, _)| first[..2] == key[..2]) {
            Some((_, _, all)) => all.extend_from_slice(owners),
            None => grouped.push((entity, key, owners.to_vec())),
        }
    }
    grouped.into_iter().map(|(entity, _, owners)| (entity, owners)).collect()
}

/// The labels that every line of a GPU begins with; `None` before its index is known.
fn identity(node: &NodeView, gpu: &Entity) -> Option<Pairs> {
    let info = |label| gpu.info("gpu_info", label);
    let index = info("gpu")?;
    let text = |t: Option<&str>| t.unwrap_or_default().to_owned();
    Some(vec![
        ("cluster", node.key.cluster.to_string()),
        ("node", node.key.name.to_string()),
        ("gpu", index.to_owned()),
        ("UUID", text(gpu.label("uuid"))),
        ("pci_bus_id", info("pci_bus_id").map(bus_id).unwrap_or_default()),
        // dcgm-exporter numbers it by the index, not by the minor number of /dev/nvidiaN.
        ("device", format!("nvidia{index}")),
        ("modelName", text(info("model"))),
    ])
}

/// A PCI address as NVML writes it: eight digits of domain, in capitals.
fn bus_id(address: &str) -> String {
    let (domain, rest) = address.split_once(':').unwrap_or(("", address));
    format!("{domain:0>8}:{rest}").to_ascii_uppercase()
}

/// Whose the device is, when one container has it alone.
fn pod_labels(owners: &[Sample]) -> Pairs {
    let [owner] = owners else { return Vec::new() };
    if owner.label("shared") == Some("true") {
        return Vec::new();
    }
    let named = ["container", "namespace", "pod"].map(|name| (name, owner.label(name)));
    let given = named.into_iter().filter_map(|(n, v)| Some((n, v?.to_owned())));
    given.collect()
}

/// The labels that dcgm-exporter's lines of a link have.
pub(super) fn link_labels<'s>(
    device: &'s Device<'_>,
    sample: &'s Sample,
) -> Vec<(&'s str, &'s str)> {
    let own = |name: &'static str, label: &str| (name, device.get(label));
    let mut labels = vec![
        own("cluster", "cluster"),
        own("node", "node"),
        ("nvlink", sample.label("link").unwrap_or_default()),
        own("gpu", "gpu"),
        own("gpu_uuid", "UUID"),
        own("pci_bus_id", "pci_bus_id"),
        own("device", "device"),
        own("model_name", "modelName"),
        own("hostname", "node"),
    ];
    let rest = ["DCGM_FI_DRIVER_VERSION", "container", "namespace", "pod"].map(|n| own(n, n));
    labels.extend(rest.into_iter().filter(|(_, v)| !v.is_empty()));
    labels
}
