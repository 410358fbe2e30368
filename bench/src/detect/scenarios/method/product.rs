//! The product: its own detectors and episodes, driven as a shard drives them, in virtual time.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use sextant_aggregator::detect::{DetectConfig, Detector, Edge, NodeStatus, Tick, enabled};
use sextant_aggregator::episode::Episodes;
use sextant_proto::v1::{Anomaly, Severity};

use super::{Cost, Found, Level, Method, thread_ns};
use crate::detect::scenarios::fault::Component;
use crate::detect::scenarios::shape::Batch;
use crate::detect::scenarios::world::World;

/// Detectors and the anomalies made of what they say.
pub(crate) struct Product {
    detectors: Vec<Box<dyn Detector>>,
    episodes: Episodes,
    nodes: Vec<NodeStatus>,
    edges: Vec<(&'static str, Edge)>,
    scratch: Vec<Edge>,
    open: FxHashMap<u64, usize>,
    found: Vec<Found>,
    cost: Cost,
}

impl Product {
    /// As the configuration asks for.
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
        Ok(Self {
            detectors: enabled(config)?,
            episodes: Episodes::new(0, Arc::default()),
            nodes: world.nodes.iter().map(status).collect(),
            edges: Vec::new(),
            scratch: Vec::new(),
            open: FxHashMap::default(),
            found: Vec::new(),
            cost: Cost::default(),
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

    fn settle(&mut self, now_s: i64, world: &World) {
        for (detector, edge) in self.edges.drain(..) {
            let Some((node, anomaly)) = self.episodes.take(detector, edge) else { continue };
            if let Some(index) = self.open.get(&anomaly.id) {
                if anomaly.closed_unix_ms > 0 {
                    self.found[*index].end_ms = Some(now_s * 1000);
                    self.open.remove(&anomaly.id);
                }
                continue;
            }
            self.open.insert(anomaly.id, self.found.len());
            self.found.push(found(node.0 as usize, &anomaly, now_s, world));
        }
    }
}

fn found(node: usize, anomaly: &Anomaly, now_s: i64, world: &World) -> Found {
    let rule = match anomaly.metric.as_str() {
        metric if anomaly.detector != "rules" && !metric.is_empty() => {
            format!("{}({metric})", anomaly.rule)
        }
        _ => anomaly.rule.clone(),
    };
    Found {
        begin_ms: now_s * 1000,
        end_ms: None,
        component: component(node, anomaly, world),
        level: match anomaly.severity() {
            Severity::Critical => Level::Page,
            Severity::Warning => Level::Mild,
            _ => Level::Info,
        },
        rule,
        score: anomaly.score,
        causes: Vec::new(),
    }
}

/// What an anomaly is about.
pub(crate) fn component(number: usize, anomaly: &Anomaly, world: &World) -> Component {
    let label = |name: &str| {
        let all = anomaly.entity.iter().chain(&anomaly.labels);
        all.clone().find(|l| l.name == name).map(|l| l.value.clone())
    };
    world.nodes[number].component(number, &anomaly.entity_type, &anomaly.metric, label)
}

impl Method for Product {
    fn name(&self) -> String {
        "sextant".into()
    }

    fn take(&mut self, now_s: i64, batch: &Batch, world: &World) {
        let before = thread_ns();
        self.detect(now_s, batch);
        self.cost.cpu_ns += thread_ns() - before;
        self.cost.samples += batch.values.len() as u64;
        self.settle(now_s, world);
    }

    fn finish(self: Box<Self>) -> (Vec<Found>, Cost) {
        (self.found, self.cost)
    }
}
