//! What the made-up nodes say of how their things hang together: the source that incidents are
//! grouped by, as the aggregator has it in its catalog.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use sextant_aggregator::incident::{Fact, FixedTopology, TopologySource};
use sextant_aggregator::series::{LabelPair, Series};

use crate::detect::scenarios::world::World;

/// Facts of all nodes; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Facts(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    topology: FixedTopology,
    /// Layouts of each node that were looked at.
    seen: Vec<u64>,
}

impl Facts {
    /// Takes what became different.
    pub(crate) fn look(&self, world: &World) {
        let Known { topology, seen } = &mut *self.0.lock();
        seen.resize(world.nodes.len(), 0);
        for (number, node) in world.nodes.iter().enumerate() {
            if seen[number] == world.generation(number) {
                continue;
            }
            seen[number] = world.generation(number);
            topology.set(&node.key.cluster, &node.key.name, facts(world, number));
        }
    }
}

fn facts(world: &World, number: usize) -> Vec<Fact> {
    let mut entities = BTreeSet::new();
    let mut facts = Vec::new();
    for live in world.layouts_of(number) {
        for series in &live.layout.columns {
            let is_info = series.metric.ends_with("_info");
            let new = entities.insert((Arc::clone(&series.entity_type), series.entity.clone()));
            if is_info || new {
                facts.push(fact(series, is_info));
            }
        }
    }
    facts
}

fn fact(series: &Series, is_info: bool) -> Fact {
    let owned = |pairs: &[LabelPair]| -> Vec<(String, String)> {
        pairs.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()
    };
    Fact {
        entity_type: series.entity_type.to_string(),
        entity: owned(&series.entity),
        metric: if is_info { series.metric.to_string() } else { String::new() },
        labels: if is_info { owned(&series.labels) } else { Vec::new() },
    }
}

impl TopologySource for Facts {
    fn generation(&self, cluster: &str, node: &str) -> u64 {
        self.0.lock().topology.generation(cluster, node)
    }

    fn facts(&self, cluster: &str, node: &str) -> Vec<Fact> {
        self.0.lock().topology.facts(cluster, node)
    }

    fn nodes_with(&self, cluster: &str, kind: &str, name: &str) -> usize {
        self.0.lock().topology.nodes_with(cluster, kind, name)
    }
}
