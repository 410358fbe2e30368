//! A cluster's health: known cases, and that nothing which gets worse makes it better.

use sextant_proto::v1::{Anomaly, ClusterHealthResponse, ClusterStatus, Node, Severity};

use super::super::facts::{Connection, NodeFacts};
use super::super::health::{Known, assess};
use super::{BUILTIN, NOW_MS, anomaly};

const STALE_MS: i64 = 60_000;

fn node(name: &str) -> Node {
    Node {
        cluster: "lab".into(),
        name: name.into(),
        connected: true,
        last_seen_unix_ms: NOW_MS - 500,
        ..Node::default()
    }
}

#[derive(Clone)]
struct World {
    nodes: Vec<Node>,
    anomalies: Vec<Anomaly>,
    kubernetes: Vec<NodeFacts>,
    connection: Connection,
}

impl World {
    fn of(nodes: usize) -> Self {
        let nodes = (1..=nodes).map(|n| node(&format!("n{n}"))).collect();
        let connection = Connection::NotConnected;
        Self { nodes, anomalies: Vec::new(), kubernetes: Vec::new(), connection }
    }

    fn health(&self) -> ClusterHealthResponse {
        let known = Known {
            nodes: &self.nodes,
            anomalies: &self.anomalies,
            kubernetes: &self.kubernetes,
            connection: self.connection.clone(),
            now_ms: NOW_MS,
            stale_after_ms: STALE_MS,
        };
        assess(&known, &BUILTIN)
    }
}

#[test]
fn known_clusters_have_known_health() {
    let f = |edit: &dyn Fn(&mut World), score: f64, status: ClusterStatus, ready: u32| {
        let mut world = World::of(2);
        edit(&mut world);
        let health = world.health();
        let got = (health.score.expect("nodes"), health.cluster_status(), health.ready_nodes);
        assert_eq!(got, (score, status, ready), "{health:?}");
    };
    use ClusterStatus::{Critical, Degraded, Healthy};
    let open = |severity| anomaly("GpuXid79", severity, &[]);
    f(&|_| (), 100.0, Healthy, 2);
    f(&|w| w.anomalies.push(open(Severity::Info)), 99.0, Healthy, 2);
    f(&|w| w.anomalies.push(open(Severity::Warning)), 92.5, Healthy, 2);
    f(&|w| w.anomalies.push(open(Severity::Critical)), 75.0, Degraded, 2);
    f(&|w| w.nodes[0].connected = false, 50.0, Degraded, 1);
    f(&|w| w.nodes[0].last_seen_unix_ms = NOW_MS - STALE_MS - 1, 50.0, Degraded, 1);
    f(&|w| w.nodes.iter_mut().for_each(|n| n.connected = false), 0.0, Critical, 0);
    f(&|w| w.connection = Connection::Unreachable("timeout".into()), 50.0, Critical, 2);
    let facts = |ready, pressures: &[&str]| NodeFacts {
        name: "n2".into(),
        ready,
        pressures: pressures.iter().map(ToString::to_string).collect(),
    };
    f(&|w| w.kubernetes.push(facts(true, &[])), 100.0, Healthy, 2);
    f(&|w| w.kubernetes.push(facts(false, &[])), 50.0, Degraded, 1);
    f(&|w| w.kubernetes.push(facts(true, &["MemoryPressure"])), 75.0, Degraded, 2);
}

#[test]
fn issue_names_a_runbook_only_where_there_is_one() {
    let mut world = World::of(1);
    world.nodes[0].connected = false;
    let pressures = vec!["MemoryPressure".into()];
    world.kubernetes.push(NodeFacts { name: "n1".into(), ready: false, pressures });
    world.anomalies.push(anomaly("NoSuchRule", Severity::Critical, &[]));
    let health = world.health();
    assert_eq!(health.issues.len(), 4);
    for issue in &health.issues {
        let known = issue.runbook.is_empty() || BUILTIN.get(&issue.runbook).is_some();
        assert!(known, "{issue:?}");
    }
}

#[test]
fn without_a_node_health_is_not_known() {
    let health = World::of(0).health();
    assert_eq!((health.cluster_status(), health.score), (ClusterStatus::Unknown, None));
    assert_eq!(health.warnings, ["no node has ever reported: is an agent running?"]);
}

/// A small generator of numbers: the same at each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).expect("31 bits") % n
    }
}

fn any_anomaly(numbers: &mut Numbers, nodes: usize) -> Anomaly {
    let severities = [Severity::Info, Severity::Warning, Severity::Critical];
    let rules = ["GpuXid79", "PtpPortFaulty", "SriovPfDown", "MemoryExhausted", "CollectorDown"];
    let severity = severities[numbers.below(3)];
    let mut anomaly = anomaly(rules[numbers.below(rules.len())], severity, &[]);
    anomaly.node = format!("n{}", 1 + numbers.below(nodes));
    if numbers.below(3) == 0 {
        anomaly.detector = "surprise".into();
    }
    anomaly
}

fn worse(world: &mut World, numbers: &mut Numbers) -> &'static str {
    let count = world.nodes.len();
    match numbers.below(6) {
        0 => {
            let at = numbers.below(count);
            world.nodes[at].connected = false;
            "a node is gone"
        }
        1 => {
            let at = numbers.below(count);
            world.nodes[at].last_seen_unix_ms = 0;
            "a node is silent"
        }
        2 if !world.anomalies.is_empty() => {
            let at = numbers.below(world.anomalies.len());
            let more = (world.anomalies[at].severity + 1).min(Severity::Critical.into());
            world.anomalies[at].severity = more;
            "an anomaly is more severe"
        }
        3 => {
            let name = world.nodes[numbers.below(count)].name.clone();
            let known = world.kubernetes.iter().position(|f| f.name == name);
            let at = known.unwrap_or_else(|| {
                let ready = NodeFacts { name, ready: true, pressures: Vec::new() };
                world.kubernetes.push(ready);
                world.kubernetes.len() - 1
            });
            world.kubernetes[at].ready &= numbers.below(2) == 0;
            world.kubernetes[at].pressures.push("DiskPressure".into());
            "Kubernetes complains of a node"
        }
        4 if numbers.below(8) == 0 => {
            world.connection = Connection::Unreachable("refused".into());
            "the API server is gone"
        }
        _ => {
            let anomaly = any_anomaly(numbers, count);
            world.anomalies.push(anomaly);
            "an anomaly opens"
        }
    }
}

#[test]
fn nothing_that_gets_worse_makes_health_better() {
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let mut world = World::of(1 + numbers.below(5));
        let mut before = world.health();
        for _ in 0..25 {
            let what = worse(&mut world, &mut numbers);
            let after = world.health();
            assert!(after.score <= before.score, "{what}: {before:?} {after:?}");
            assert!(after.cluster_status >= before.cluster_status, "{what}: {before:?} {after:?}");
            assert!(after.ready_nodes <= before.ready_nodes, "{what}");
            assert!((0.0..=100.0).contains(&after.score.expect("nodes")), "{what}");
            for (a, b) in after.components.iter().zip(&before.components) {
                assert!(a.name == b.name && a.score <= b.score, "{what}: {b:?} {a:?}");
            }
            before = after;
        }
    }
}

#[test]
fn issues_are_the_worst_first_and_bounded() {
    let mut world = World::of(3);
    world.nodes[2].connected = false;
    let mut numbers = Numbers(3);
    world.anomalies = (0..700).map(|_| any_anomaly(&mut numbers, 3)).collect();
    let health = world.health();
    assert_eq!(health.issues.len(), 500);
    assert_eq!(health.warnings, ["only 500 of 701 issues are shown"]);
    assert!(health.issues.windows(2).all(|w| w[0].severity >= w[1].severity));
    assert_eq!(health.issues[0].text, "the agent of n3 is not connected");
    assert!(health.recommendations.len() <= 10);
    let counted: u32 = health.components.iter().map(|c| c.critical + c.warning + c.info).sum();
    assert_eq!(counted, 700);
}
