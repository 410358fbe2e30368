//! What Kubernetes says of pods and nodes, for whoever can ask it.
//!
//! The aggregator works without: [`NotConnected`] answers that it does not know, and answers say
//! so. An implementation blocks, within a deadline of its own; it is called off the event loop.

/// How it stands with the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// Nobody asks it.
    NotConnected,
    Connected,
    /// It should answer, and does not: why.
    Unreachable(String),
}

impl Connection {
    /// In a sentence.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::NotConnected => {
                "Kubernetes is not connected: what it says of pods and nodes is not known".into()
            }
            Self::Connected => "Kubernetes is connected".into(),
            Self::Unreachable(why) => format!("Kubernetes does not answer: {why}"),
        }
    }
}

/// What a container did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerFacts {
    pub name: String,
    pub image: String,
    pub ready: bool,
    pub restarts: u32,
    /// "waiting: CrashLoopBackOff", "terminated: OOMKilled (exit code 137)".
    pub state: String,
    /// How the run before ended, in the same form; empty where there was none.
    pub last_state: String,
}

/// What there is to know of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Empty while it is not scheduled.
    pub node: String,
    pub phase: String,
    pub deployment: String,
    pub containers: Vec<ContainerFacts>,
    /// Warning events, newest first, as "reason: message".
    pub events: Vec<String>,
}

/// What there is to know of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentFacts {
    pub desired: u32,
    pub ready: u32,
    /// The names of its pods that are not well.
    pub unhealthy_pods: Vec<String>,
}

/// What there is to know of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    pub name: String,
    pub ready: bool,
    /// Conditions that should not hold and do: "MemoryPressure".
    pub pressures: Vec<String>,
}

/// Somebody who can ask Kubernetes. What is not there is `None` or empty.
pub trait ClusterFacts: Send + Sync {
    fn connection(&self, cluster: &str) -> Connection;
    fn pod(&self, cluster: &str, namespace: &str, pod: &str) -> Option<PodFacts>;
    fn deployment(&self, cluster: &str, namespace: &str, name: &str) -> Option<DeploymentFacts>;
    fn nodes(&self, cluster: &str) -> Vec<NodeFacts>;
}

/// Nobody asks Kubernetes.
#[derive(Debug, Clone, Copy, Default)]
pub struct NotConnected;

impl ClusterFacts for NotConnected {
    fn connection(&self, _: &str) -> Connection {
        Connection::NotConnected
    }
    fn pod(&self, _: &str, _: &str, _: &str) -> Option<PodFacts> {
        None
    }
    fn deployment(&self, _: &str, _: &str, _: &str) -> Option<DeploymentFacts> {
        None
    }
    fn nodes(&self, _: &str) -> Vec<NodeFacts> {
        Vec::new()
    }
}
