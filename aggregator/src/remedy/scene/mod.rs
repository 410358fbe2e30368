//! What is known around an error: the pod's devices, what is open on its node, what happened
//! there a short time ago, and the names that commands need.

mod devices;
mod names;

use sextant_proto::v1;

pub use self::devices::Device;
use super::facts::{ClusterFacts, Connection, DeploymentFacts, PodFacts};
use super::runbook::placeholder::Names;
use crate::query::{Queries, QueryError};
use crate::storage::{AnomalyQuery, EventQuery};

/// How far back events count.
const RECENT_MS: i64 = 3_600_000;
/// Events and anomalies that are looked at, the newest first.
const MAX_EVENTS: usize = 200;
const MAX_ANOMALIES: usize = 500;
/// What an error is about, as far as the one who asks knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    pub cluster: String,
    pub node: String,
    pub namespace: String,
    pub pod: String,
    pub deployment: String,
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
