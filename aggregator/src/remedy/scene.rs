//! What is known around an error: the pod's devices, what is open on its node, what happened
//! there a short time ago, and the names that commands need.

use sextant_proto::v1::{self, Label};

use super::facts::{ClusterFacts, Connection, DeploymentFacts, PodFacts};
use super::runbook::placeholder::Names;
use crate::query::{Queries, QueryError};
use crate::storage::{AnomalyQuery, EventQuery};

/// How far back events count.
const RECENT_MS: i64 = 3_600_000;
/// Events and anomalies that are looked at, the newest first.
const MAX_EVENTS: usize = 200;
const MAX_ANOMALIES: usize = 500;
/// Metrics whose labels say which pod has which device.
const OWNERS: &str = "gpu_pod_info|gpu_mig_pod_info|sriov_vf_pod_info|pod_device_info";
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

/// What an error is about, as far as the one who asks knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    pub cluster: String,
    pub node: String,
    pub namespace: String,
    pub pod: String,
    pub deployment: String,
}

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

    fn describe(&self) -> String {
        let labels: Vec<String> =
            self.labels.iter().map(|l| format!("{}={}", l.name, l.value)).collect();
        format!("{} {}", self.kind, labels.join(" "))
    }
}

/// All that is known around it.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    /// With what could be found out.
    pub subject: Subject,
    pub devices: Vec<Device>,
    /// What is open on the node, the newest first.
    pub anomalies: Vec<v1::Anomaly>,
    /// What happened on the node, the newest first; nothing of information only.
    pub events: Vec<v1::StoredEvent>,
    pub names: Names,
    /// What Kubernetes says, in sentences.
    pub kubernetes: Vec<String>,
    pub connection: String,
    pub notes: Vec<String>,
}

impl Scene {
    /// Looks around. Blocks: it reads the store and may ask Kubernetes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn look(
        queries: &Queries,
        facts: &dyn ClusterFacts,
        subject: &Subject,
        of_text: &Names,
        now_ms: i64,
    ) -> Result<Self, QueryError> {
        let mut scene = Self { subject: subject.clone(), ..Self::default() };
        scene.name_subject();
        scene.names = std::mem::take(&mut scene.names).or(of_text);
        scene.take_names_from_text();
        scene.ask_kubernetes(facts);
        scene.find_devices(queries)?;
        scene.choose_node(queries);
        scene.name_subject();
        if scene.subject.node.is_empty() {
            return Ok(scene);
        }
        let (cluster, node) = (scene.subject.cluster.clone(), scene.subject.node.clone());
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        scene.anomalies = queries.anomalies(AnomalyQuery {
            cluster: given(&cluster),
            node: given(&node),
            active_only: true,
            limit: MAX_ANOMALIES,
            ..AnomalyQuery::default()
        })?;
        let mut events = queries.events(EventQuery {
            cluster: given(&cluster),
            node: given(&node),
            start_ms: now_ms.saturating_sub(RECENT_MS),
            limit: MAX_EVENTS,
            ..EventQuery::default()
        })?;
        let matters = |e: &v1::StoredEvent| {
            e.event.as_ref().is_some_and(|e| e.severity > i32::from(v1::Severity::Info))
        };
        events.retain(matters);
        scene.events = events;
        scene.name_gpu(queries)?;
        Ok(scene)
    }

    /// What a text said that the question did not.
    fn take_names_from_text(&mut self) {
        let Subject { node, namespace, pod, .. } = &mut self.subject;
        for (own, name) in [(node, "node"), (namespace, "namespace"), (pod, "pod")] {
            if own.is_empty() {
                self.names.get(name).unwrap_or_default().clone_into(own);
            }
        }
    }

    fn name_subject(&mut self) {
        let Subject { cluster, node, namespace, pod, deployment } = &self.subject;
        for (name, value) in [
            ("cluster", cluster),
            ("node", node),
            ("namespace", namespace),
            ("pod", pod),
            ("deployment", deployment),
        ] {
            self.names.offer(name, value);
        }
    }

    fn ask_kubernetes(&mut self, facts: &dyn ClusterFacts) {
        let Subject { cluster, namespace, pod, deployment, .. } = self.subject.clone();
        let connection = facts.connection(&cluster);
        self.connection = connection.describe();
        if connection != Connection::Connected || namespace.is_empty() {
            return;
        }
        if !pod.is_empty() {
            match facts.pod(&cluster, &namespace, &pod) {
                Some(found) => self.take_pod(&pod, &found),
                None => self.kubernetes.push(format!("there is no pod {pod} in {namespace}")),
            }
        }
        let deployment =
            if deployment.is_empty() { self.subject.deployment.clone() } else { deployment };
        if !deployment.is_empty() {
            let found = facts.deployment(&cluster, &namespace, &deployment);
            self.kubernetes.push(describe_deployment(&deployment, &namespace, found));
        }
    }

    fn take_pod(&mut self, name: &str, pod: &PodFacts) {
        let place = if pod.node.is_empty() { "no node".into() } else { pod.node.clone() };
        self.kubernetes.push(format!("pod {name} is {} on {place}", pod.phase));
        for c in &pod.containers {
            let before = match c.last_state.as_str() {
                "" => String::new(),
                last => format!(", before that {last}"),
            };
            self.kubernetes.push(format!(
                "container {} ({}): {}{before}; {} restarts",
                c.name, c.image, c.state, c.restarts
            ));
        }
        if let Some(c) = pod.containers.iter().find(|c| !c.ready).or(pod.containers.first()) {
            self.names.offer("container", &c.name);
            self.names.offer("image", &c.image);
        }
        self.kubernetes.extend(pod.events.iter().take(10).cloned());
        if self.subject.node.is_empty() {
            self.subject.node.clone_from(&pod.node);
        }
        if self.subject.deployment.is_empty() {
            self.subject.deployment.clone_from(&pod.deployment);
        }
    }

    /// Which devices the pod has, by what agents tell of it.
    fn find_devices(&mut self, queries: &Queries) -> Result<(), QueryError> {
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
        self.devices.retain(|d| {
            d.kind == "vf" || !d.labels.iter().any(|l| known.contains(&l.value))
        });
        Ok(())
    }

    /// The node: that of the question, or of the pod's devices.
    fn choose_node(&mut self, queries: &Queries) {
        if self.subject.node.is_empty()
            && let Some(device) = self.devices.first()
        {
            self.subject.node.clone_from(&device.node);
            self.subject.cluster.clone_from(&device.cluster);
        }
        if self.subject.node.is_empty() {
            return;
        }
        let mut nodes = queries.nodes(&self.subject.cluster);
        nodes.retain(|n| n.name == self.subject.node);
        match nodes.as_slice() {
            [node] => self.subject.cluster.clone_from(&node.cluster),
            [] => self.notes.push(format!("no agent runs on {}", self.subject.node)),
            _ => self.notes.push(format!("{} is in several clusters", self.subject.node)),
        }
        let node = self.subject.node.clone();
        self.devices.retain(|d| d.node == node);
    }

    /// The GPU's index, UUID and address, where one of them is known.
    fn name_gpu(&mut self, queries: &Queries) -> Result<(), QueryError> {
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

    /// The devices of the pod, in sentences.
    pub(super) fn describe_devices(&self) -> impl Iterator<Item = (String, &Device)> {
        self.devices.iter().map(|d| (format!("the pod has {}", d.describe()), d))
    }
}

/// The index, UUID and PCI address of the GPU of which the names have one of them.
pub(super) fn complete_gpu(
    queries: &Queries,
    node: &str,
    mut names: Names,
) -> Result<Names, QueryError> {
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

fn describe_deployment(name: &str, namespace: &str, found: Option<DeploymentFacts>) -> String {
    match found {
        None => format!("there is no deployment {name} in {namespace}"),
        Some(DeploymentFacts { desired, ready, unhealthy_pods }) => {
            let pods = match unhealthy_pods.as_slice() {
                [] => String::new(),
                pods => format!("; not well: {}", pods.join(", ")),
            };
            format!("deployment {name} has {ready} of {desired} pods ready{pods}")
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
        assert_eq!(names.fill("{node} {pf} {pci} {metric}").as_deref(), Ok("n ens1f0 0000:02:00.0 sriov_pf_up"));
        assert_eq!(names.get("device"), None);
    }
}
