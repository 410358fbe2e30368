//! What is connected with what: the things that can be wrong, and how two of them are related.
//!
//! A node's graph is made of what its agent says (`facts`): VF → PF → NIC, PF → PHC → PTP port,
//! MIG → GPU ↔ NVLink, pod → device; what nodes share (a grandmaster, a workload, a rack) has an
//! identity of its own that their graphs name. A graph is made when something of its node is
//! seen, again when the node's layouts change, and the least used are forgotten: memory is
//! bounded by [`MAX_NODES`].

mod catalog;
mod facts;
mod graph;
mod relation;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustc_hash::FxHashMap;
use sextant_proto::v1::{self, Label};

pub use catalog::CatalogTopology;
pub use facts::{Fact, FixedTopology, TopologySource};
pub use relation::Relation;

use self::graph::Graph;

/// Nodes whose graphs are kept.
const MAX_NODES: usize = 4096;
/// A node's facts are asked for again at most so often.
const REFRESH_MS: i64 = 10_000;
/// Components that are numbered; those that nothing holds are forgotten beyond it.
const MAX_NAMES: usize = 1_000_000;

/// A thing that something can be wrong with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Component {
    pub kind: Arc<str>,
    pub cluster: Arc<str>,
    /// Empty where it belongs to no single node.
    pub node: Arc<str>,
    /// What tells it from its siblings; empty for a node.
    pub name: Arc<str>,
}

impl Component {
    /// The wire's form of it.
    #[must_use]
    pub fn to_wire(&self) -> v1::Component {
        v1::Component {
            kind: self.kind.to_string(),
            cluster: self.cluster.to_string(),
            node: self.node.to_string(),
            name: self.name.to_string(),
        }
    }

    /// For people: "gpu GPU-1 of node-7".
    #[must_use]
    pub fn describe(&self) -> String {
        describe(&self.kind, &self.node, &self.name)
    }
}

/// A component in words.
#[must_use]
pub fn describe(kind: &str, node: &str, name: &str) -> String {
    match (kind, node, name) {
        ("node", node, _) => node.to_owned(),
        (kind, "", name) => format!("{kind} {name}"),
        (kind, node, "") => format!("{kind} of {node}"),
        (kind, node, name) => format!("{kind} {name} of {node}"),
    }
}

/// A component's number.
pub(super) type Number = u32;

/// Where something is, with all that says how it is related to something elsewhere.
#[derive(Debug)]
pub struct Place {
    pub component: Arc<Component>,
    pub(super) number: Number,
    pub(super) cluster: Number,
    /// The node; itself for a node. 0 for what belongs to none.
    pub(super) node: Number,
    /// Many unrelated things meet here: the node, a rack, a cluster.
    pub(super) is_hub: bool,
    /// What it is part of and what is part of it, itself included; sorted.
    pub(super) lineage: Vec<Number>,
    /// Up to three steps away without passing through a hub, itself included; sorted.
    pub(super) near: Vec<Number>,
    /// Grandmasters that its clock follows or followed, and clocks that may be one; sorted.
    pub(super) domains: Vec<Number>,
    pub(super) workloads: Vec<Number>,
    pub(super) racks: Vec<Number>,
    /// What it is a part of, nearest first, the node included: for causes that lie there.
    pub(super) above: Vec<Arc<Component>>,
    /// Keeps the numbers of what it shares.
    _held: Arc<Vec<Arc<Component>>>,
}

impl Place {
    /// How two places are related.
    #[must_use]
    pub fn relation(&self, other: &Self) -> Relation {
        let mut relation = Relation::NONE;
        let mut add = |holds: bool, what: Relation| {
            if holds {
                relation = relation | what;
            }
        };
        add(self.number == other.number, Relation::SAME);
        add(self.cluster == other.cluster, Relation::CLUSTER);
        add(meet(&self.domains, &other.domains), Relation::DOMAIN);
        add(meet(&self.workloads, &other.workloads), Relation::WORKLOAD);
        add(meet(&self.racks, &other.racks), Relation::RACK);
        if self.node == other.node && self.node != 0 {
            add(true, Relation::NODE);
            // Either may be of a time when less was known.
            let in_one = |of_self: &[Number], of_other: &[Number]| {
                of_self.binary_search(&other.number).is_ok()
                    || of_other.binary_search(&self.number).is_ok()
            };
            add(in_one(&self.lineage, &other.lineage), Relation::LINEAGE);
            add(in_one(&self.near, &other.near), Relation::DEVICE);
        }
        relation
    }
}

/// Whether two sorted lists have something in common.
fn meet(a: &[Number], b: &[Number]) -> bool {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        match x.cmp(y) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => drop(a.next()),
            std::cmp::Ordering::Greater => drop(b.next()),
        }
    }
    false
}

/// A container that has a device of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tenant {
    pub namespace: String,
    pub pod: String,
    pub container: String,
    pub(super) device: Number,
    /// For people: "gpu GPU-1".
    pub device_name: String,
}

/// The graphs of the nodes that something was seen of.
pub struct Topology {
    source: Box<dyn TopologySource>,
    names: Names,
    nodes: FxHashMap<(Arc<str>, Arc<str>), Known>,
    now_ms: i64,
}

struct Known {
    graph: Graph,
    generation: u64,
    asked_ms: i64,
    used_ms: i64,
}

impl Topology {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(source: Box<dyn TopologySource>) -> Self {
        Self { source, names: Names::default(), nodes: FxHashMap::default(), now_ms: i64::MIN / 2 }
    }

    /// It is later now.
    pub fn elapse(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// Where an entity of a node is.
    pub fn place(
        &mut self,
        cluster: &str,
        node: &str,
        entity_type: &str,
        labels: &[Label],
    ) -> Arc<Place> {
        let key = self.refresh(cluster, node);
        let graph = &mut self.nodes.get_mut(&key).expect("just made").graph;
        graph.place(&mut self.names, &key, entity_type, labels)
    }

    /// Where a component is, that is known by its kind and name.
    pub fn place_of(&mut self, cluster: &str, node: &str, kind: &str, name: &str) -> Arc<Place> {
        let key = self.refresh(cluster, node);
        let graph = &mut self.nodes.get_mut(&key).expect("just made").graph;
        graph.place_named(&mut self.names, &key, kind, name)
    }

    /// The containers that have devices of a node.
    pub fn tenants(&mut self, cluster: &str, node: &str) -> Vec<Tenant> {
        let key = self.refresh(cluster, node);
        self.nodes.get(&key).map(|k| k.graph.tenants.clone()).unwrap_or_default()
    }

    /// How many components of a kind there are below another, as far as they are known:
    /// GPUs of a node, VFs of a PF, nodes of a rack or behind a grandmaster.
    pub fn count_below(&mut self, parent: &Component, kind: &str) -> usize {
        if parent.node.is_empty() {
            return self.source.nodes_with(&parent.cluster, &parent.kind, &parent.name);
        }
        let key = self.refresh(&parent.cluster, &parent.node);
        self.nodes.get(&key).map_or(0, |k| k.graph.count_below(parent, kind))
    }

    /// A component by its number, as long as anything holds it.
    pub(super) fn component(&self, number: Number) -> Option<(Number, Arc<Component>)> {
        self.names.components.get(&number).map(|c| (number, Arc::clone(c)))
    }

    /// A component by its parts.
    pub(super) fn intern(&mut self, component: Component) -> (Number, Arc<Component>) {
        self.names.number(component)
    }

    /// Makes the graph of a node, unless it is as fresh as the source says it must be.
    fn refresh(&mut self, cluster: &str, node: &str) -> (Arc<str>, Arc<str>) {
        let now = self.now_ms;
        let key: (Arc<str>, Arc<str>) = (cluster.into(), node.into());
        // A node that has just said hello has no layouts for a moment: it is asked about again.
        let fresh = self
            .nodes
            .get(&key)
            .is_some_and(|k| k.generation != 0 && now - k.asked_ms < REFRESH_MS);
        if !fresh {
            let generation = self.source.generation(cluster, node);
            match self.nodes.get_mut(&key) {
                Some(known) if known.generation == generation => known.asked_ms = now,
                _ => {
                    self.make_room();
                    let facts = self.source.facts(cluster, node);
                    let graph = Graph::new(&mut self.names, &key, &facts);
                    let known = Known { graph, generation, asked_ms: now, used_ms: now };
                    self.nodes.insert(key.clone(), known);
                }
            }
        }
        if let Some(known) = self.nodes.get_mut(&key) {
            known.used_ms = now;
        }
        key
    }

    fn make_room(&mut self) {
        if self.nodes.len() < MAX_NODES {
            return;
        }
        // A quarter at once, so that a fleet that passes through does not sort each time.
        let mut ages: Vec<_> = self.nodes.iter().map(|(key, k)| (k.used_ms, key.clone())).collect();
        ages.sort();
        for (_, key) in ages.into_iter().take(MAX_NODES / 4) {
            self.nodes.remove(&key);
        }
        self.names.forget_unused();
    }
}

/// Numbers for components: the same for the same as long as anything holds it.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: FxHashMap<Arc<Component>, Number>,
    components: FxHashMap<Number, Arc<Component>>,
    last: Number,
}

impl Names {
    pub(super) fn number(&mut self, component: Component) -> (Number, Arc<Component>) {
        if let Some((known, number)) = self.numbers.get_key_value(&component) {
            return (*number, Arc::clone(known));
        }
        if self.numbers.len() >= MAX_NAMES {
            self.forget_unused();
        }
        self.last += 1;
        let component = Arc::new(component);
        self.numbers.insert(Arc::clone(&component), self.last);
        self.components.insert(self.last, Arc::clone(&component));
        (self.last, component)
    }

    fn forget_unused(&mut self) {
        // The two maps here hold one each.
        self.numbers.retain(|component, _| Arc::strong_count(component) > 2);
        let numbers = &self.numbers;
        self.components.retain(|_, component| numbers.contains_key(component));
    }
}
