//! The product: its own detectors, anomalies and incidents, driven as a shard drives them, in
//! virtual time. The anomalies are scored, too: what grouping and ranking add is the difference.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use sextant_aggregator::detect::{DetectConfig, Detector, Edge, NodeStatus, Tick, enabled};
use sextant_aggregator::episode::Episodes;
use sextant_aggregator::incident::{
    AnomalyChange, ChangeKind, IncidentChange, IncidentConfig, IncidentEngine,
};
use sextant_proto::v1::{Anomaly, Incident, Severity, StoredEvent};

use super::topology::Facts;
use super::{Cost, Found, Level, Method, thread_ns};
use crate::detect::scenarios::fault::Component;
use crate::detect::scenarios::shape::Batch;
use crate::detect::scenarios::world::World;

/// Detectors, the anomalies made of what they say, and the incidents made of those.
pub(crate) struct Product {
    detectors: Vec<Box<dyn Detector>>,
    episodes: Episodes,
    engine: IncidentEngine,
    facts: Facts,
    nodes: Vec<NodeStatus>,
    edges: Vec<(&'static str, Edge)>,
    scratch: Vec<Edge>,
    last_event: u64,
    anomalies: Sightings,
    incidents: Sightings,
    detecting: Cost,
    grouping_ns: u64,
}

/// What was found, and where what is open stands.
#[derive(Default)]
struct Sightings {
    open: FxHashMap<u64, usize>,
    found: Vec<Found>,
}

impl Product {
    /// As the product is by default.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub(crate) fn new(config: &DetectConfig, world: &World) -> anyhow::Result<Self> {
        let fastest_ms = 1000;
        let status = |node: &crate::detect::scenarios::world::Node| NodeStatus {
            node: Arc::clone(&node.key),
            last_seen_ms: 0,
            interval_ms: fastest_ms,
        };
        let facts = Facts::default();
        Ok(Self {
            detectors: enabled(config)?,
            episodes: Episodes::new(0, Arc::default()),
            engine: IncidentEngine::new(IncidentConfig::default(), facts.clone()),
            facts,
            nodes: world.nodes.iter().map(status).collect(),
            edges: Vec::new(),
            scratch: Vec::new(),
            last_event: 0,
            anomalies: Sightings::default(),
            incidents: Sightings::default(),
            detecting: Cost::default(),
            grouping_ns: 0,
        })
    }

    fn detect(&mut self, now_s: i64, batch: &Batch) {
        let Self { detectors, nodes, edges, scratch, .. } = self;
        for (node, event) in &batch.events {
            nodes[*node].last_seen_ms = now_s * 1000;
            for detector in detectors.iter_mut() {
                detector.observe_event(&nodes[*node].node, event, scratch);
                let name = detector.name();
                edges.extend(scratch.drain(..).map(|edge| (name, edge)));
            }
        }
        for told in &batch.ticks {
            nodes[told.node].last_seen_ms = now_s * 1000;
            let (layout, values) = (&told.live.layout, batch.row(told));
            let tick = Tick { layout, time_ms: told.time_ms, values };
            for detector in detectors.iter_mut() {
                detector.observe(&tick, scratch);
                let name = detector.name();
                edges.extend(scratch.drain(..).map(|edge| (name, edge)));
            }
        }
        for detector in detectors.iter_mut() {
            detector.elapse(now_s * 1000, nodes, scratch);
            let name = detector.name();
            edges.extend(scratch.drain(..).map(|edge| (name, edge)));
        }
    }

    /// What became of the anomalies, and events, go to the engine.
    fn group(&mut self, now_s: i64, batch: &Batch, world: &World) -> Vec<IncidentChange> {
        for (node, event) in &batch.events {
            self.last_event += 1;
            let key = &world.nodes[*node].key;
            self.engine.event(&StoredEvent {
                id: self.last_event,
                cluster: key.cluster.to_string(),
                node: key.name.to_string(),
                event: Some(event.clone()),
            });
        }
        for (detector, edge) in self.edges.drain(..) {
            let opens = matches!(edge, Edge::Fire(_));
            let Some((node, anomaly)) = self.episodes.take(detector, edge) else { continue };
            let change = match (opens, anomaly.closed_unix_ms) {
                (true, _) => AnomalyChange::Opened,
                (false, 0) => AnomalyChange::Updated,
                (false, _) => AnomalyChange::Closed,
            };
            self.engine.anomaly(&anomaly, change);
            match change {
                AnomalyChange::Opened => {
                    let found = of_anomaly(node.0 as usize, &anomaly, now_s, world);
                    self.anomalies.open(anomaly.id, found);
                }
                AnomalyChange::Closed => self.anomalies.close(anomaly.id, now_s),
                AnomalyChange::Updated => {}
            }
        }
        self.engine.elapse(now_s * 1000)
    }

    fn tell(&mut self, now_s: i64, changes: &[IncidentChange], world: &World) {
        for IncidentChange { kind, incident, .. } in changes {
            match kind {
                ChangeKind::Opened => {
                    let found = of_incident(incident, now_s, world);
                    self.incidents.open(incident.id, found);
                }
                ChangeKind::Closed | ChangeKind::Merged => self.incidents.close(incident.id, now_s),
                ChangeKind::Reopened => self.incidents.reopen(incident.id),
                _ => {}
            }
            if let Some(known) = self.incidents.get(incident.id) {
                let now = of_incident(incident, now_s, world);
                // What was said once is said: it only gets louder.
                known.level = known.level.max(now.level);
                known.causes = now.causes;
                known.component = now.component;
            }
        }
    }
}

impl Sightings {
    fn open(&mut self, id: u64, found: Found) {
        self.open.insert(id, self.found.len());
        self.found.push(found);
    }

    fn close(&mut self, id: u64, now_s: i64) {
        if let Some(found) = self.get(id) {
            found.end_ms = Some(now_s * 1000);
        }
    }

    fn reopen(&mut self, id: u64) {
        if let Some(found) = self.get(id) {
            found.end_ms = None;
        }
    }

    fn get(&mut self, id: u64) -> Option<&mut Found> {
        self.open.get(&id).and_then(|index| self.found.get_mut(*index))
    }
}

fn level(severity: Severity) -> Level {
    match severity {
        Severity::Critical => Level::Page,
        Severity::Warning => Level::Mild,
        _ => Level::Info,
    }
}

fn of_anomaly(node: usize, anomaly: &Anomaly, now_s: i64, world: &World) -> Found {
    let rule = match anomaly.metric.as_str() {
        metric if anomaly.detector != "rules" && !metric.is_empty() => {
            format!("{}({metric})", anomaly.rule)
        }
        _ => anomaly.rule.clone(),
    };
    let label = |name: &str| {
        let mut all = anomaly.entity.iter().chain(&anomaly.labels);
        all.find(|l| l.name == name).map(|l| l.value.clone())
    };
    let (kind, metric) = (&anomaly.entity_type, &anomaly.metric);
    Found {
        begin_ms: now_s * 1000,
        end_ms: None,
        component: world.nodes[node].component(node, kind, metric, label),
        level: level(anomaly.severity()),
        rule,
        score: anomaly.score,
        causes: Vec::new(),
    }
}

fn of_incident(incident: &Incident, now_s: i64, world: &World) -> Found {
    let named = |wire: &Option<sextant_proto::v1::Component>| {
        wire.as_ref().map_or(Component::Other, |wire| world.named(wire))
    };
    let quiet = level(incident.severity()).min(Level::Mild);
    let class = incident.causes.first().map_or("undetermined", |cause| cause.class.as_str());
    Found {
        begin_ms: now_s * 1000,
        end_ms: None,
        component: named(&incident.component),
        level: if incident.paged { Level::Page } else { quiet },
        rule: class.to_owned(),
        score: incident.confidence,
        causes: incident.causes.iter().map(|cause| named(&cause.component)).collect(),
    }
}

impl Method for Product {
    fn take(&mut self, now_s: i64, batch: &Batch, world: &World) {
        self.facts.look(world);
        let before = thread_ns();
        self.detect(now_s, batch);
        let detected = thread_ns();
        self.detecting.cpu_ns += detected - before;
        self.detecting.samples += batch.values.len() as u64;
        let changes = self.group(now_s, batch, world);
        self.grouping_ns += thread_ns() - detected;
        self.tell(now_s, &changes, world);
    }

    fn finish(self: Box<Self>) -> Vec<(String, Vec<Found>, Cost)> {
        let Self { anomalies, incidents, detecting, grouping_ns, .. } = *self;
        let whole = Cost { cpu_ns: detecting.cpu_ns + grouping_ns, ..detecting };
        vec![
            ("sextant".into(), incidents.found, whole),
            ("its anomalies".into(), anomalies.found, detecting),
        ]
    }
}
