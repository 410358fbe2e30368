//! Facts from the catalog: the entities of a node's layouts of the last hour, and its info
//! series.

use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet, FxHasher};

use super::facts::{Fact, RACK_LABELS, TopologySource};
use crate::catalog::{Catalog, Live};
use crate::clock;
use crate::nodes::Nodes;
use crate::selector::Selector;
use crate::series::{LabelPair, NodeId, Series};

/// Layouts that nothing came for in this time say nothing: after a fault the grandmaster of
/// before must still be known, and a VF of yesterday need not be.
const MEMORY_MS: i64 = 3_600_000;
/// Metrics that say how things hang together.
const INFO: [&str; 15] = [
    "gpu_info",
    "gpu_mig_info",
    "gpu_nvlink_info",
    "gpu_pod_info",
    "gpu_mig_pod_info",
    "pod_device_info",
    "sriov_pf_info",
    "sriov_vf_info",
    "sriov_vf_pod_info",
    "sriov_dpdk_port_info",
    "ptp_instance_info",
    "ptp_grandmaster_info",
    "ptp_port_info",
    "ptp_phc_info",
    "ptp_dpll_pin_info",
];
/// Series that one question about what nodes share looks at.
const MAX_SHARED: usize = 50_000;

/// The catalog as a source of facts.
pub struct CatalogTopology {
    catalog: Arc<Catalog>,
    nodes: Arc<Nodes>,
}

impl CatalogTopology {
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, nodes: Arc<Nodes>) -> Self {
        Self { catalog, nodes }
    }

    fn layouts(&self, cluster: &str, node: &str) -> Vec<Arc<Live>> {
        let Some(id) = self.nodes.find(cluster, node) else { return Vec::new() };
        let all = self.catalog.layouts_of(id);
        let since = clock::now_ms() - MEMORY_MS;
        let fresh: Vec<bool> = all.iter().map(|l| l.head.lock().arrived_ms() > since).collect();
        // After a start nothing may have come of a collector yet: its newest is what there is.
        let mut speaks = FxHashSet::default();
        for (live, _) in all.iter().zip(&fresh).filter(|(_, fresh)| **fresh) {
            speaks.insert(live.layout.collector.as_str());
        }
        let mut keep = fresh.clone();
        for (at, live) in all.iter().enumerate().rev() {
            keep[at] |= speaks.insert(live.layout.collector.as_str());
        }
        let kept = all.iter().zip(&keep).filter(|(_, keep)| **keep);
        kept.map(|(live, _)| Arc::clone(live)).collect()
    }
}

impl TopologySource for CatalogTopology {
    fn generation(&self, cluster: &str, node: &str) -> u64 {
        let mut hasher = FxHasher::default();
        let layouts = self.layouts(cluster, node);
        // This hasher makes nothing of a zero: without the length, one layout that is the first
        // of all would be as none.
        layouts.len().hash(&mut hasher);
        for live in layouts {
            live.layout.id.0.hash(&mut hasher);
        }
        hasher.finish()
    }

    fn facts(&self, cluster: &str, node: &str) -> Vec<Fact> {
        let mut facts = Vec::new();
        let mut entities = FxHashSet::default();
        for live in self.layouts(cluster, node) {
            for series in &live.layout.columns {
                let is_info = INFO.contains(&&*series.metric) || says_rack(series);
                let new = entities.insert((Arc::clone(&series.entity_type), series.entity.clone()));
                if is_info || new {
                    facts.push(fact(series, is_info));
                }
            }
        }
        facts
    }

    fn nodes_with(&self, cluster: &str, kind: &str, name: &str) -> usize {
        let label = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let cluster = label(cluster);
        let selector = match kind {
            "cluster" => {
                return self.nodes.all().iter().filter(|n| *n.key.cluster == *cluster).count();
            }
            "grandmaster" => {
                format!(
                    "ptp_grandmaster_info{{cluster=\"{cluster}\",grandmaster=\"{}\"}}",
                    label(name)
                )
            }
            "rack" => {
                let (key, value) = name.split_once(' ').unwrap_or(("rack", name));
                format!("{{cluster=\"{cluster}\",{key}=\"{}\"}}", label(value))
            }
            _ => return 0,
        };
        let Ok(selector) = Selector::parse(&selector) else { return 0 };
        let (series, _) = self.catalog.select(&selector, MAX_SHARED);
        let nodes: FxHashMap<NodeId, ()> = series.iter().map(|s| (s.node.id, ())).collect();
        nodes.len()
    }
}

fn says_rack(series: &Series) -> bool {
    &*series.entity_type == "node" && RACK_LABELS.iter().any(|l| series.label(l).is_some())
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
