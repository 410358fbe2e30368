//! Which devices a pod has, by what agents tell of it.

use sextant_proto::v1::Label;

use super::Scene;
use crate::query::{Queries, QueryError};

/// Metrics whose labels say which pod has which device.
const OWNERS: &str = "gpu_pod_info|gpu_mig_pod_info|sriov_vf_pod_info|pod_device_info";

/// A device that the pod has.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    pub cluster: String,
    pub node: String,
    /// "gpu", "mig", "vf" or the resource of another one.
    pub kind: String,
    /// Its labels: uuid, pf, vf, pci.
    pub labels: Vec<Label>,
}

impl Device {
    /// Whether an anomaly or event is about it.
    #[must_use]
    pub fn is_subject_of(&self, labels: &[Label]) -> bool {
        const IDENTIFYING: [&str; 3] = ["uuid", "gpu_uuid", "pci"];
        let own = self.labels.iter().filter(|l| IDENTIFYING.contains(&&*l.name));
        let own: Vec<&str> = own.map(|l| l.value.as_str()).collect();
        labels.iter().any(|l| IDENTIFYING.contains(&&*l.name) && own.contains(&&*l.value))
    }

    pub(super) fn describe(&self) -> String {
        let labels: Vec<String> =
            self.labels.iter().map(|l| format!("{}={}", l.name, l.value)).collect();
        format!("{} {}", self.kind, labels.join(" "))
    }
}

impl Scene {
    /// Which devices the pod has, by what agents tell of it.
    pub(super) fn find_devices(&mut self, queries: &Queries) -> Result<(), QueryError> {
        // What is not plain cannot be a pod's name, and would be syntax of a selector.
        let Some(pod) = self.names.get("pod") else { return Ok(()) };
        let mut selector = format!("{{__name__=~\"{OWNERS}\",pod=\"{pod}\"");
        for (label, name) in [("namespace", "namespace"), ("cluster", "cluster")] {
            if let Some(value) = self.names.get(name) {
                selector += &format!(",{label}=\"{value}\"");
            }
        }
        selector.push('}');
        let now = queries.now(&selector)?.into_iter().map(|sample| sample.series);
        let mut series: Vec<_> = now.collect();
        if series.is_empty() {
            series = queries.series(&selector, 100)?;
            if !series.is_empty() {
                self.notes.push(format!("devices of {pod}: as last told, not of now"));
            }
        }
        for series in series {
            let kind = match &*series.metric {
                "gpu_pod_info" => "gpu",
                "gpu_mig_pod_info" => "mig",
                "sriov_vf_pod_info" => "vf",
                _ => series.label("resource").unwrap_or("device"),
            };
            const OF_POD: [&str; 5] = ["namespace", "pod", "container", "resource", "shared"];
            let labels = series.labels.iter().filter(|(n, _)| !OF_POD.contains(&&**n));
            let label = |(n, v): &crate::series::LabelPair| Label {
                name: n.to_string(),
                value: v.to_string(),
            };
            for name in ["namespace", "container"] {
                self.names.offer(name, series.label(name).unwrap_or_default());
            }
            let device = Device {
                cluster: series.node.cluster.to_string(),
                node: series.node.name.to_string(),
                kind: kind.into(),
                labels: labels.map(label).collect(),
            };
            if !self.devices.contains(&device) {
                self.devices.push(device);
            }
        }
        // A VF is told of as a VF and as a device of the kubelet.
        let known: Vec<String> = self
            .devices
            .iter()
            .filter(|d| d.kind == "vf")
            .flat_map(|d| d.labels.iter().filter(|l| l.name == "pci").map(|l| l.value.clone()))
            .collect();
        self.devices
            .retain(|d| d.kind == "vf" || !d.labels.iter().any(|l| known.contains(&l.value)));
        Ok(())
    }

    /// The devices of the pod, in sentences.
    pub(in crate::remedy) fn describe_devices(&self) -> impl Iterator<Item = (String, &Device)> {
        self.devices.iter().map(|d| (format!("the pod has {}", d.describe()), d))
    }
}
