//! The names that commands need, of labels and of what is known of a GPU.

use sextant_proto::v1::{self, Label};

use super::Scene;
use crate::query::{Queries, QueryError};
use crate::remedy::runbook::placeholder::Names;

/// Labels of our metrics and events, and the placeholders that they fill.
const LABELS: [(&str, &str); 24] = [
    ("uuid", "gpu_uuid"),
    ("gpu_uuid", "gpu_uuid"),
    ("gpu", "gpu_index"),
    ("pci_bus_id", "pci"),
    ("pci", "pci"),
    ("pf", "pf"),
    ("vf", "vf"),
    ("iface", "interface"),
    ("device", "device"),
    ("device", "interface"),
    ("device", "array"),
    ("master", "interface"),
    ("instance", "instance"),
    ("phc", "phc"),
    ("dpll", "dpll"),
    ("mountpoint", "mountpoint"),
    ("link", "link"),
    ("port", "port"),
    ("process", "process"),
    ("config", "config"),
    ("collector", "collector"),
    ("xid", "xid"),
    ("namespace", "namespace"),
    ("pod", "pod"),
];

impl Scene {
    /// The GPU's index, UUID and address, where one of them is known.
    pub(super) fn name_gpu(&mut self, queries: &Queries) -> Result<(), QueryError> {
        let Some(node) = self.names.get("node").map(ToOwned::to_owned) else { return Ok(()) };
        if let Some(gpu) = self.devices.iter().find(|d| d.kind == "gpu" || d.kind == "mig").cloned()
        {
            offer_labels(&mut self.names, &gpu.labels);
        }
        if let Some(vf) = self.devices.iter().find(|d| d.kind == "vf").cloned() {
            offer_labels(&mut self.names, &vf.labels);
        }
        self.names = complete_gpu(queries, &node, std::mem::take(&mut self.names))?;
        Ok(())
    }

    /// The names that an anomaly adds.
    #[must_use]
    pub fn names_of(anomaly: &v1::Anomaly) -> Names {
        let mut names = Names::default();
        names.offer("cluster", &anomaly.cluster);
        names.offer("node", &anomaly.node);
        names.offer("metric", &anomaly.metric);
        offer_labels(&mut names, &anomaly.labels);
        offer_labels(&mut names, &anomaly.entity);
        names
    }
}

/// The index, UUID and PCI address of the GPU of which the names have one of them.
fn complete_gpu(queries: &Queries, node: &str, mut names: Names) -> Result<Names, QueryError> {
    let known = ["gpu_uuid", "gpu_index", "pci"].map(|n| names.get(n).map(ToOwned::to_owned));
    if known.iter().all(Option::is_some) || known.iter().all(Option::is_none) {
        return Ok(names);
    }
    let [uuid, index, pci] = known;
    for series in queries.series(&format!("gpu_info{{node=\"{node}\"}}"), 1000)? {
        let label = |name| series.label(name).unwrap_or_default();
        let same = match (&uuid, &pci, &index) {
            (Some(uuid), _, _) => uuid == label("uuid"),
            (None, Some(pci), _) => bus(pci) == bus(label("pci_bus_id")),
            (None, None, Some(index)) => index == label("gpu"),
            (None, None, None) => false,
        };
        if same {
            for (name, label_name) in
                [("gpu_uuid", "uuid"), ("gpu_index", "gpu"), ("pci", "pci_bus_id")]
            {
                names.offer(name, label(label_name));
            }
        }
    }
    Ok(names)
}

/// A PCI address as all write it: "0000:3b:00" (kernel), "00000000:3B:00.0" (NVML) are the same.
fn bus(address: &str) -> String {
    let address = address.to_ascii_lowercase();
    let address = address.strip_suffix(".0").unwrap_or(&address);
    match address.split_once(':') {
        Some((domain, rest)) if rest.contains(':') => {
            format!("{}:{rest}", domain.trim_start_matches('0'))
        }
        _ => format!(":{address}"),
    }
}

fn offer_labels(names: &mut Names, labels: &[Label]) {
    for label in labels {
        for (_, placeholder) in LABELS.iter().filter(|(name, _)| *name == label.name) {
            names.offer(placeholder, &label.value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_of_kernel_and_driver_are_the_same() {
        assert_eq!(bus("0000:3b:00"), bus("00000000:3B:00.0"));
        assert_eq!(bus("3b:00.0"), bus("0000:3B:00.0"));
        assert_ne!(bus("0001:3b:00"), bus("0000:3b:00"));
    }

    #[test]
    fn anomaly_names_what_it_is_about() {
        let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
        let anomaly = v1::Anomaly {
            node: "n".into(),
            metric: "sriov_pf_up".into(),
            labels: vec![label("pf", "ens1f0"), label("pci", "0000:02:00.0")],
            entity: vec![label("device", "a b")],
            ..v1::Anomaly::default()
        };
        let names = Scene::names_of(&anomaly);
        assert_eq!(
            names.fill("{node} {pf} {pci} {metric}").as_deref(),
            Ok("n ens1f0 0000:02:00.0 sriov_pf_up")
        );
        assert_eq!(names.get("device"), None);
    }
}
