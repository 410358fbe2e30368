//! What is known of a node's things: entities, and what the info series say of them.

use std::collections::BTreeMap;

/// An entity of a node, and one info series of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fact {
    pub entity_type: String,
    pub entity: Vec<(String, String)>,
    /// The info series' metric; empty where there is none.
    pub metric: String,
    /// Its labels, those of the entity included.
    pub labels: Vec<(String, String)>,
}

impl Fact {
    /// A fact of borrowed parts; `labels` need not repeat those of the entity.
    #[must_use]
    pub fn new(
        entity_type: &str,
        entity: &[(&str, &str)],
        metric: &str,
        labels: &[(&str, &str)],
    ) -> Self {
        let owned = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
        Self {
            entity_type: entity_type.into(),
            entity: entity.iter().map(owned).collect(),
            metric: metric.into(),
            labels: entity.iter().chain(labels).map(owned).collect(),
        }
    }

    /// A label that is not empty.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        let of = |labels: &'_ [(String, String)]| labels.iter().position(|(n, _)| n == name);
        let found = of(&self.labels).map(|at| &self.labels[at].1);
        let found = found.or_else(|| of(&self.entity).map(|at| &self.entity[at].1));
        found.map(String::as_str).filter(|text| !text.is_empty())
    }
}

/// Where facts come from. Asked from one thread; answers must not wait for anything.
pub trait TopologySource: Send {
    /// Another number whenever [`TopologySource::facts`] would say something else; 0 only while
    /// there are none.
    fn generation(&self, cluster: &str, node: &str) -> u64;

    /// What is known of a node; nothing of one that is not known.
    fn facts(&self, cluster: &str, node: &str) -> Vec<Fact>;

    /// How many nodes of the cluster share something: `kind` is "grandmaster", "rack",
    /// "workload" or "cluster".
    fn nodes_with(&self, cluster: &str, kind: &str, name: &str) -> usize;
}

/// Facts that are given once, for tests and measurements.
#[derive(Debug, Clone, Default)]
pub struct FixedTopology {
    nodes: BTreeMap<(String, String), Vec<Fact>>,
    changes: u64,
}

impl FixedTopology {
    /// Replaces what is known of a node.
    pub fn set(&mut self, cluster: &str, node: &str, facts: Vec<Fact>) {
        self.nodes.insert((cluster.into(), node.into()), facts);
        self.changes += 1;
    }
}

impl TopologySource for FixedTopology {
    fn generation(&self, _: &str, _: &str) -> u64 {
        self.changes
    }

    fn facts(&self, cluster: &str, node: &str) -> Vec<Fact> {
        self.nodes.get(&(cluster.to_owned(), node.to_owned())).cloned().unwrap_or_default()
    }

    fn nodes_with(&self, cluster: &str, kind: &str, name: &str) -> usize {
        let shares = |facts: &Vec<Fact>| facts.iter().any(|fact| shares(fact, kind, name));
        let of = self.nodes.iter().filter(|((c, _), _)| c == cluster);
        of.filter(|(_, facts)| kind == "cluster" || shares(facts)).count()
    }
}

/// Whether a fact names something that nodes share.
pub(super) fn shares(fact: &Fact, kind: &str, name: &str) -> bool {
    match kind {
        "grandmaster" => {
            fact.metric == "ptp_grandmaster_info" && fact.label("grandmaster") == Some(name)
        }
        "rack" => racks(fact).any(|rack| rack == name),
        "workload" => workload(fact).is_some_and(|own| own == name),
        _ => false,
    }
}

/// Labels by which a node says what it shares power and air with.
pub(super) const RACK_LABELS: [&str; 3] = ["rack", "pdu", "topology_kubernetes_io_rack"];

pub(super) fn racks(fact: &Fact) -> impl Iterator<Item = String> {
    let of_node = fact.entity_type == "node";
    let labels = RACK_LABELS.iter().filter(move |_| of_node);
    labels.filter_map(|label| Some(format!("{label} {}", fact.label(label)?)))
}

/// The workload of a fact that says to whom a device belongs: its namespace and the pod's name
/// without what makes it one of several.
pub(super) fn workload(fact: &Fact) -> Option<String> {
    let (namespace, pod) = (fact.label("namespace")?, fact.label("pod")?);
    Some(format!("{namespace}/{}", base_name(pod)))
}

/// A pod's name without ordinals and the letters that Kubernetes adds: "train-7" and
/// "train-0-x8zkq" are "train".
fn base_name(pod: &str) -> &str {
    let made = |part: &str| {
        let digits = part.bytes().all(|b| b.is_ascii_digit());
        // The alphabet of generated names has no vowels: k8s.io/apimachinery util/rand.
        let generated = (part.len() == 5 || (8..=10).contains(&part.len()))
            && part.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b));
        !part.is_empty() && (digits || generated)
    };
    let mut name = pod;
    while let Some((rest, last)) = name.rsplit_once('-') {
        if rest.is_empty() || !made(last) {
            break;
        }
        name = rest;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_of_one_workload_have_one_name() {
        let f = |pod: &str, want: &str| assert_eq!(base_name(pod), want);
        f("train-7", "train");
        f("train-0-x8zkq", "train");
        f("web-7d4b9c6f5-x8zkq", "web");
        f("du-worker", "du-worker");
        f("sleep", "sleep");
        f("5", "5");
    }
}
