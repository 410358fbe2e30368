//! A node's things and how they hang together, made of its facts.
//!
//! Edges are of two kinds: *part of* (a VF of its PF, a MIG instance of its GPU) makes the
//! lineage, and *linked* (NVLink, a PF and the clock on its card) the neighbourhood. The node is
//! no edge: everything would be two steps from everything.

mod connect;

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use sextant_proto::v1::Label;

use super::facts::{Fact, racks};
use super::{Component, Names, Number, Place, Tenant};

/// Steps within which components are near.
const MAX_STEPS: usize = 3;
/// Components of one node; facts beyond are left out.
const MAX_VERTICES: usize = 20_000;

type NodeName = (Arc<str>, Arc<str>);

#[derive(Debug)]
struct Vertex {
    component: Arc<Component>,
    number: Number,
    parent: Option<usize>,
    children: Vec<usize>,
    links: Vec<usize>,
    domains: FxHashSet<Number>,
    workloads: FxHashSet<Number>,
    place: Option<Arc<Place>>,
}

/// The graph of a node.
#[derive(Debug)]
pub(super) struct Graph {
    vertices: Vec<Vertex>,
    by_number: FxHashMap<Number, usize>,
    /// Other names: a PCI address of a GPU or VF, a network device of a PF.
    aliases: FxHashMap<(&'static str, String), usize>,
    node: Number,
    cluster: Number,
    racks: Vec<Number>,
    domains: FxHashSet<Number>,
    pub(super) tenants: Vec<Tenant>,
    /// What is shared with other nodes, held so that its numbers stay.
    held: Arc<Vec<Arc<Component>>>,
    /// Whether some vertex knows its place.
    placed: bool,
}

impl Graph {
    pub(super) fn new(names: &mut Names, key: &NodeName, facts: &[Fact]) -> Self {
        let (cluster, of_cluster) = names.number(component("cluster", key, false, &key.0));
        let (node, of_node) = names.number(component("node", key, true, ""));
        let mut graph = Self {
            vertices: Vec::new(),
            by_number: FxHashMap::default(),
            aliases: FxHashMap::default(),
            node,
            cluster,
            racks: Vec::new(),
            domains: FxHashSet::default(),
            tenants: Vec::new(),
            held: Arc::new(vec![of_cluster, Arc::clone(&of_node)]),
            placed: false,
        };
        graph.insert(of_node, node);
        for fact in facts {
            let labels: Vec<Label> = fact.entity.iter().map(wire).collect();
            graph.vertex(names, key, &fact.entity_type, &labels);
            for rack in racks(fact) {
                let rack = graph.shared(names, component("rack", key, false, &rack));
                graph.racks.push(rack);
            }
        }
        for fact in facts {
            graph.connect(names, key, fact);
        }
        for fact in facts {
            graph.name_owner(names, key, fact);
        }
        graph.spread_domains();
        graph.racks.sort_unstable();
        graph.racks.dedup();
        graph.tenants.sort();
        graph.tenants.dedup();
        graph
    }

    /// Where an entity is; one that no fact named is added.
    pub(super) fn place(
        &mut self,
        names: &mut Names,
        key: &NodeName,
        entity_type: &str,
        labels: &[Label],
    ) -> Arc<Place> {
        let at = self.vertex(names, key, entity_type, labels);
        self.place_at(key, at)
    }

    pub(super) fn place_named(
        &mut self,
        names: &mut Names,
        key: &NodeName,
        kind: &str,
        name: &str,
    ) -> Arc<Place> {
        let at = self.named(names, key, kind, name);
        self.place_at(key, at)
    }

    fn place_at(&mut self, key: &NodeName, at: usize) -> Arc<Place> {
        if let Some(place) = &self.vertices[at].place {
            return Arc::clone(place);
        }
        let vertex = &self.vertices[at];
        let is_hub = vertex.number == self.node;
        let mut above = Vec::new();
        let mut parent = vertex.parent;
        while let Some(p) = parent.filter(|_| above.len() < 8) {
            above.push(Arc::clone(&self.vertices[p].component));
            parent = self.vertices[p].parent;
        }
        let mut domains: Vec<Number> =
            if is_hub { &self.domains } else { &vertex.domains }.iter().copied().collect();
        domains.sort_unstable();
        let mut workloads: Vec<Number> = vertex.workloads.iter().copied().collect();
        workloads.sort_unstable();
        let (component, number) = (Arc::clone(&vertex.component), vertex.number);
        if !is_hub {
            above.push(Arc::clone(&self.vertices[0].component));
        }
        let place = Arc::new(Place {
            component,
            number,
            cluster: self.cluster,
            node: if key.1.is_empty() { 0 } else { self.node },
            is_hub,
            lineage: self.lineage(at),
            near: self.near(at),
            domains,
            workloads,
            racks: self.racks.clone(),
            above,
            _held: Arc::clone(&self.held),
        });
        self.placed = true;
        self.vertices[at].place = Some(Arc::clone(&place));
        place
    }

    /// How many components of a kind are below another; all of the node when that is the node.
    pub(super) fn count_below(&self, parent: &Component, kind: &str) -> usize {
        let of_kind = self.vertices.iter().filter(|v| *v.component.kind == *kind);
        if &*parent.kind == "node" {
            return of_kind.count();
        }
        of_kind.filter(|v| v.parent.is_some_and(|p| *self.vertices[p].component == *parent)).count()
    }

    fn insert(&mut self, component: Arc<Component>, number: Number) -> usize {
        let at = self.vertices.len();
        self.vertices.push(Vertex {
            component,
            number,
            parent: None,
            children: Vec::new(),
            links: Vec::new(),
            domains: FxHashSet::default(),
            workloads: FxHashSet::default(),
            place: None,
        });
        self.by_number.insert(number, at);
        at
    }

    /// The vertex of an entity, under the one name that it has here.
    fn vertex(
        &mut self,
        names: &mut Names,
        key: &NodeName,
        entity_type: &str,
        labels: &[Label],
    ) -> usize {
        let label = |name: &str| labels.iter().find(|l| l.name == name).map(|l| l.value.as_str());
        let alias =
            |kind, value: Option<&str>| self.aliases.get(&(kind, value?.to_owned())).copied();
        let known = match entity_type {
            "pci" => alias("pci", label("pci_bus_id")),
            "netdev" => alias("netdev", label("device")),
            "devlink_port" | "devlink_reporter" => alias("pci", label("pci")),
            _ => None,
        };
        if let Some(at) = known {
            return at;
        }
        let (kind, name) = identity(entity_type, labels);
        let at = self.named(names, key, &kind, &name);
        match (&*kind, label("pci"), label("pf")) {
            ("vf", pci, Some(pf)) => {
                let parent = self.named(names, key, "pf", pf);
                self.part_of(at, parent);
                self.alias("pci", pci, at);
            }
            ("pf", pci, Some(pf)) => {
                self.alias("pci", pci, at);
                self.alias("netdev", Some(pf), at);
                if let Some((card, _)) = pci.and_then(|p| p.rsplit_once('.')) {
                    let nic = self.named(names, key, "nic", card);
                    self.part_of(at, nic);
                }
            }
            ("ptp_port", ..) => {
                if let Some(instance) = label("instance") {
                    let instance = self.named(names, key, "ptp_instance", instance);
                    self.part_of(at, instance);
                }
                if let Some(iface) = label("iface") {
                    let netdev = self.netdev(names, key, iface);
                    self.link(at, netdev);
                }
            }
            _ => {}
        }
        at
    }

    fn named(&mut self, names: &mut Names, key: &NodeName, kind: &str, name: &str) -> usize {
        if kind == "node" || self.vertices.len() >= MAX_VERTICES {
            return 0;
        }
        let (number, component) = names.number(component(kind, key, true, name));
        match self.by_number.get(&number) {
            Some(at) => *at,
            None => self.insert(component, number),
        }
    }

    fn netdev(&mut self, names: &mut Names, key: &NodeName, device: &str) -> usize {
        match self.aliases.get(&("netdev", device.to_owned())) {
            Some(at) => *at,
            None => self.named(names, key, "netdev", device),
        }
    }

    fn alias(&mut self, kind: &'static str, name: Option<&str>, at: usize) {
        if let Some(name) = name.filter(|n| !n.is_empty()) {
            self.aliases.insert((kind, name.to_owned()), at);
        }
    }

    fn part_of(&mut self, part: usize, whole: usize) {
        if part != whole && self.vertices[part].parent.is_none() && !self.is_below(whole, part) {
            self.vertices[part].parent = Some(whole);
            self.vertices[whole].children.push(part);
            self.forget_places();
        }
    }

    fn is_below(&self, mut at: usize, above: usize) -> bool {
        while let Some(parent) = self.vertices[at].parent {
            if parent == above {
                return true;
            }
            at = parent;
        }
        false
    }

    fn link(&mut self, a: usize, b: usize) {
        if a != b && a != 0 && b != 0 && !self.vertices[a].links.contains(&b) {
            self.vertices[a].links.push(b);
            self.vertices[b].links.push(a);
            self.forget_places();
        }
    }

    /// What was said of places before is no longer all.
    fn forget_places(&mut self) {
        if !std::mem::take(&mut self.placed) {
            return;
        }
        for vertex in &mut self.vertices {
            vertex.place = None;
        }
    }

    fn lineage(&self, at: usize) -> Vec<Number> {
        let mut found = vec![self.vertices[at].number];
        let mut parent = self.vertices[at].parent;
        while let Some(p) = parent {
            found.push(self.vertices[p].number);
            parent = self.vertices[p].parent;
        }
        let mut below = self.vertices[at].children.clone();
        while let Some(child) = below.pop() {
            found.push(self.vertices[child].number);
            below.extend(&self.vertices[child].children);
        }
        found.sort_unstable();
        found
    }

    fn near(&self, at: usize) -> Vec<Number> {
        let mut found = FxHashSet::default();
        let mut queue = VecDeque::from([(at, 0)]);
        found.insert(at);
        while let Some((at, steps)) = queue.pop_front() {
            if steps == MAX_STEPS || self.vertices[at].number == self.node {
                continue;
            }
            let vertex = &self.vertices[at];
            let next = vertex.links.iter().chain(&vertex.children).chain(&vertex.parent);
            for &next in next {
                if found.insert(next) {
                    queue.push_back((next, steps + 1));
                }
            }
        }
        let mut found: Vec<_> = found.into_iter().map(|at| self.vertices[at].number).collect();
        found.sort_unstable();
        found
    }
}

fn component(kind: &str, (cluster, node): &NodeName, on_node: bool, name: &str) -> Component {
    Component {
        kind: kind.into(),
        cluster: Arc::clone(cluster),
        node: if on_node { Arc::clone(node) } else { "".into() },
        name: name.into(),
    }
}

fn wire((name, value): &(String, String)) -> Label {
    Label { name: name.clone(), value: value.clone() }
}

/// The kind and name of an entity's component.
fn identity(entity_type: &str, labels: &[Label]) -> (String, String) {
    let label = |name: &str| labels.iter().find(|l| l.name == name).map(|l| l.value.as_str());
    let whole = || labels.iter().map(|l| l.value.as_str()).collect::<Vec<_>>().join("/");
    let kind = if labels.is_empty() { "node" } else { entity_type };
    let name = match kind {
        "gpu" | "mig" => label("uuid").map(str::to_owned),
        "pci" => label("pci_bus_id").map(str::to_owned),
        "pf" => label("pf").map(str::to_owned),
        "vf" => label("pci").map(str::to_owned),
        "phc" => label("phc").map(str::to_owned),
        "ptp_instance" => label("instance").map(str::to_owned),
        "ptp_port" => label("instance")
            .map(|i| format!("{i}/{}", label("iface").or(label("port")).unwrap_or_default())),
        "filesystem" => label("mountpoint").map(str::to_owned),
        "container" => None,
        _ => None,
    };
    (kind.to_owned(), name.unwrap_or_else(whole))
}
