//! A small fleet to have faults in: nodes with eight GPUs, two PFs with VFs, a PTP port on the
//! first, and what happened there.

use sextant_proto::v1::{self, Event, IncidentState, Label, Severity, StoredEvent};

use crate::incident::{
    AnomalyChange, ChangeKind, Fact, FixedTopology, IncidentChange, IncidentConfig, IncidentEngine,
};

pub(super) const START: i64 = 1_700_000_000_000;

/// The engine and what it said.
pub(super) struct World {
    pub(super) engine: IncidentEngine,
    pub(super) said: Vec<IncidentChange>,
    pub(super) now: i64,
    last_id: u64,
    open: Vec<v1::Anomaly>,
}

/// The facts of a node: GPUs with pods of one job, PFs `ens1f0` and `ens1f1` of one card with
/// four VFs each, PTP behind grandmaster `gm`.
pub(super) fn facts(node: &str, rack: &str, gm: &str, pod: &str) -> Vec<Fact> {
    let mut facts = Vec::new();
    if !rack.is_empty() {
        facts.push(Fact::new("node", &[], "node_rack_info", &[("rack", rack)]));
    }
    for n in 0..8 {
        let uuid = gpu(node, n);
        let entity = [("uuid", uuid.as_str())];
        let bus = format!("0000:{n:02x}:00.0");
        facts.push(Fact::new("gpu", &entity, "gpu_info", &[("pci_bus_id", &bus)]));
        let link =
            [("link", "0"), ("remote_pci_bus_id", "0000:f0:00.0"), ("remote_type", "switch")];
        facts.push(Fact::new("gpu", &entity, "gpu_nvlink_info", &link));
        if !pod.is_empty() {
            let owner = [("namespace", "ml"), ("pod", pod), ("container", "main")];
            facts.push(Fact::new("gpu", &entity, "gpu_pod_info", &owner));
        }
    }
    for (f, pf) in ["ens1f0", "ens1f1"].into_iter().enumerate() {
        let pci = format!("0000:3b:00.{f}");
        let phc = if f == 0 { "ptp0" } else { "ptp1" };
        let entity = [("pf", pf), ("pci", pci.as_str())];
        facts.push(Fact::new("pf", &entity, "sriov_pf_info", &[("phc", phc)]));
        facts.push(Fact::new("phc", &[("phc", phc)], "ptp_phc_info", &[("netdevs", pf)]));
        for n in 0..4 {
            let (vf, pci) = (n.to_string(), format!("0000:3b:{f}{n}.0"));
            let entity = [("pf", pf), ("vf", vf.as_str()), ("pci", pci.as_str())];
            facts.push(Fact::new("vf", &entity, "sriov_vf_info", &[]));
            let owner = [("namespace", "ran"), ("pod", "du-0"), ("container", "du")];
            facts.push(Fact::new("vf", &entity, "sriov_vf_pod_info", &owner));
        }
    }
    let instance = [("instance", "ptp4l.0")];
    let id = format!("{node}-clock");
    facts.push(Fact::new(
        "ptp_instance",
        &instance,
        "ptp_instance_info",
        &[("domain", "24"), ("clock_id", &id)],
    ));
    if !gm.is_empty() {
        facts.push(Fact::new(
            "ptp_instance",
            &instance,
            "ptp_grandmaster_info",
            &[("grandmaster", gm)],
        ));
    }
    let port = [("instance", "ptp4l.0"), ("port", "1"), ("iface", "ens1f0")];
    facts.push(Fact::new("ptp_port", &port, "ptp_port_info", &[("phc", "ptp0")]));
    facts
}

pub(super) fn gpu(node: &str, n: usize) -> String {
    format!("GPU-{node}-{n}")
}

/// Entities as the collectors name them.
pub(super) fn on_gpu(node: &str, n: usize) -> (&'static str, Vec<Label>) {
    ("gpu", labels(&[("uuid", &gpu(node, n))]))
}

pub(super) fn on_pf(f: usize) -> (&'static str, Vec<Label>) {
    let pf = ["ens1f0", "ens1f1"][f];
    ("pf", labels(&[("pf", pf), ("pci", &format!("0000:3b:00.{f}"))]))
}

pub(super) fn on_vf(f: usize, n: usize) -> (&'static str, Vec<Label>) {
    let pf = ["ens1f0", "ens1f1"][f];
    let vf = n.to_string();
    ("vf", labels(&[("pf", pf), ("vf", &vf), ("pci", &format!("0000:3b:{f}{n}.0"))]))
}

pub(super) fn on_port() -> (&'static str, Vec<Label>) {
    ("ptp_port", labels(&[("instance", "ptp4l.0"), ("port", "1"), ("iface", "ens1f0")]))
}

pub(super) fn on_ptp() -> (&'static str, Vec<Label>) {
    ("ptp_instance", labels(&[("instance", "ptp4l.0")]))
}

pub(super) fn on_node() -> (&'static str, Vec<Label>) {
    ("node", Vec::new())
}

pub(super) fn on_filesystem(mount: &str) -> (&'static str, Vec<Label>) {
    ("filesystem", labels(&[("device", "/dev/sda1"), ("mountpoint", mount), ("fstype", "ext4")]))
}

pub(super) fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    pairs.iter().map(|(n, v)| Label { name: (*n).into(), value: (*v).into() }).collect()
}

impl World {
    /// `nodes` nodes `n0`, `n1`, ... behind grandmaster `gm`, in racks of ten.
    pub(super) fn new(nodes: usize) -> Self {
        Self::with(nodes, IncidentConfig::default())
    }

    pub(super) fn with(nodes: usize, config: IncidentConfig) -> Self {
        Self::on(fleet(nodes), config)
    }

    pub(super) fn on(topology: FixedTopology, config: IncidentConfig) -> Self {
        let mut engine = IncidentEngine::new(config, topology);
        assert!(engine.elapse(START).is_empty());
        Self { engine, said: Vec::new(), now: START, last_id: 0, open: Vec::new() }
    }

    /// A rule fires; the anomaly's id.
    pub(super) fn rule(
        &mut self,
        node: &str,
        (kind, entity): (&str, Vec<Label>),
        rule: &str,
        severity: Severity,
    ) -> u64 {
        let detector = if rule == "node_stale" { "stale" } else { "rules" };
        self.open_one(node, (kind, entity), detector, rule, "", severity)
    }

    /// A detector without rules fires.
    pub(super) fn unusual(
        &mut self,
        node: &str,
        (kind, entity): (&str, Vec<Label>),
        detector: &str,
        metric: &str,
    ) -> u64 {
        let severity = if detector == "peers" { Severity::Warning } else { Severity::Info };
        self.open_one(node, (kind, entity), detector, "unusually_high", metric, severity)
    }

    fn open_one(
        &mut self,
        node: &str,
        (kind, entity): (&str, Vec<Label>),
        detector: &str,
        rule: &str,
        metric: &str,
        severity: Severity,
    ) -> u64 {
        self.last_id += 1;
        let anomaly = v1::Anomaly {
            id: self.last_id,
            cluster: "c".into(),
            node: node.into(),
            detector: detector.into(),
            rule: rule.into(),
            metric: metric.into(),
            severity: severity.into(),
            entity_type: kind.into(),
            entity,
            opened_unix_ms: self.now,
            score: 1.0,
            summary: format!("{rule} on {kind} of {node}"),
            action: format!("see to {rule}"),
            ..v1::Anomaly::default()
        };
        self.engine.anomaly(&anomaly, AnomalyChange::Opened);
        self.open.push(anomaly);
        self.last_id
    }

    pub(super) fn close(&mut self, id: u64) {
        let at = self.open.iter().position(|a| a.id == id).expect("open");
        let mut anomaly = self.open.remove(at);
        anomaly.closed_unix_ms = self.now;
        self.engine.anomaly(&anomaly, AnomalyChange::Closed);
    }

    pub(super) fn close_all(&mut self) {
        let ids: Vec<u64> = self.open.iter().map(|a| a.id).collect();
        ids.into_iter().for_each(|id| self.close(id));
    }

    pub(super) fn open_anomalies(&self) -> Vec<v1::Anomaly> {
        self.open.clone()
    }

    pub(super) fn event(&mut self, node: &str, (kind, entity): (&str, Vec<Label>), event: &str) {
        self.last_id += 1;
        let event = Event {
            time_unix_ms: self.now,
            r#type: event.into(),
            severity: Severity::Info.into(),
            entity_type: kind.into(),
            entity,
            message: format!("{event} on {node}"),
            ..Event::default()
        };
        let (cluster, node) = ("c".into(), node.into());
        self.engine.event(&StoredEvent { id: self.last_id, cluster, node, event: Some(event) });
    }

    /// Lets seconds pass, one by one.
    pub(super) fn pass(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.now += 1000;
            self.said.extend(self.engine.elapse(self.now));
        }
    }

    /// The last word on each incident, by id.
    pub(super) fn incidents(&self) -> Vec<v1::Incident> {
        let mut last = std::collections::BTreeMap::new();
        for change in &self.said {
            last.insert(change.incident.id, change.incident.clone());
        }
        last.into_values().collect()
    }

    /// Those that are not part of others.
    pub(super) fn told(&self) -> Vec<v1::Incident> {
        let mut all = self.incidents();
        all.retain(|i| i.state() != IncidentState::Merged);
        all
    }

    /// The only incident there is.
    pub(super) fn one(&self) -> v1::Incident {
        let mut all = self.told();
        let titles: Vec<_> = all.iter().map(|i| (i.id, i.title.clone())).collect();
        assert_eq!(all.len(), 1, "{titles:#?}");
        all.remove(0)
    }

    pub(super) fn count(&self, kind: ChangeKind) -> usize {
        self.said.iter().filter(|c| c.kind == kind).count()
    }
}

pub(super) fn fleet(nodes: usize) -> FixedTopology {
    let mut topology = FixedTopology::default();
    for n in 0..nodes {
        let node = format!("n{n}");
        let rack = format!("r{}", n / 10);
        topology.set("c", &node, facts(&node, &rack, "gm", &format!("train-{n}")));
    }
    topology
}

/// The class and component of the first cause.
pub(super) fn first(incident: &v1::Incident) -> (String, String) {
    let cause = incident.causes.first().expect("a cause");
    let c = cause.component.clone().expect("a component");
    (cause.class.clone(), crate::incident::describe(&c.kind, &c.node, &c.name))
}
