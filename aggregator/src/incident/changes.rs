//! What somebody changed on nodes, seen by what their info series say: another driver, firmware
//! or kernel, other pods. Each change is an event; the agents send none for these.
//!
//! What was there at the first look is taken as it is, so a restart tells of nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sextant_proto::v1::{Event, Label, Severity};

use crate::catalog::Catalog;
use crate::nodes::Nodes;
use crate::series::{NodeId, NodeKey, Series};

/// A layout that nothing came for in so long says nothing of now.
const FRESH_MS: i64 = 120_000;
/// Names that a message lists.
const MAX_NAMED: usize = 5;

/// An info series' label, and the event that its change is.
const WATCHED: [(&str, &str, &str); 7] = [
    ("gpu_driver_info", "driver_version", "change.driver"),
    ("gpu_info", "vbios_version", "change.firmware"),
    ("sriov_pf_info", "firmware", "change.firmware"),
    ("node_infiniband_info", "firmware_version", "change.firmware"),
    ("node_nvme_info", "firmware_revision", "change.firmware"),
    ("node_dmi_info", "bios_version", "change.firmware"),
    ("node_uname_info", "release", "change.kernel"),
];
/// Series that name a pod and what it has.
const PODS: [&str; 4] =
    ["gpu_pod_info", "gpu_mig_pod_info", "sriov_vf_pod_info", "pod_device_info"];
const PODS_CHANGED: &str = "change.pods";

/// What a node's info series said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// By event, entity and label.
    values: BTreeMap<(&'static str, String, &'static str), String>,
    pods: BTreeSet<String>,
}

/// Remembers what nodes said, to tell what changed.
#[derive(Debug, Default)]
pub struct ChangeWatch {
    nodes: FxHashMap<NodeId, Said>,
}

impl ChangeWatch {
    /// What changed since the last look.
    pub fn look(
        &mut self,
        catalog: &Catalog,
        nodes: &Nodes,
        now_ms: i64,
    ) -> Vec<(Arc<NodeKey>, Event)> {
        let mut events = Vec::new();
        for node in nodes.all() {
            let mut said = Said::default();
            for live in catalog.layouts_of(node.key.id) {
                if live.head.lock().arrived_ms() > now_ms - FRESH_MS {
                    live.layout.columns.iter().for_each(|series| said.hear(series));
                }
            }
            if said == Said::default() {
                continue;
            }
            if let Some(before) = self.nodes.get(&node.key.id) {
                let changes = said.since(before).into_iter();
                events.extend(
                    changes.map(|(kind, text)| (Arc::clone(&node.key), event(kind, text, now_ms))),
                );
            }
            let known = self.nodes.entry(node.key.id).or_default();
            // What is not said just now is not forgotten.
            known.values.extend(said.values);
            known.pods = said.pods;
        }
        events
    }
}

impl Said {
    fn hear(&mut self, series: &Series) {
        if PODS.contains(&&*series.metric) {
            if let (Some(namespace), Some(pod)) = (series.label("namespace"), series.label("pod")) {
                self.pods.insert(format!("{namespace}/{pod}"));
            }
            return;
        }
        for (metric, label, kind) in WATCHED.iter().filter(|(m, ..)| **m == *series.metric) {
            let _ = metric;
            let entity: Vec<&str> = series.entity.iter().map(|(_, v)| &**v).collect();
            if let Some(value) = series.label(label).filter(|v| !v.is_empty()) {
                let key = (*kind, format!("{} {}", series.entity_type, entity.join("/")), *label);
                self.values.insert(key, value.to_owned());
            }
        }
    }

    fn since(&self, before: &Self) -> Vec<(&'static str, String)> {
        let mut found: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for (key @ (kind, entity, label), value) in &self.values {
            if let Some(old) = before.values.get(key).filter(|old| *old != value) {
                let text = format!("{label} of {} was {old}, is {value}", entity.trim_end());
                found.entry(kind).or_default().push(text);
            }
        }
        if !before.pods.is_empty() || !before.values.is_empty() {
            let named = |list: Vec<&String>, what: &str| {
                let names: Vec<&str> = list.iter().take(MAX_NAMED).map(|n| n.as_str()).collect();
                let more = list.len().saturating_sub(MAX_NAMED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                (!names.is_empty()).then(|| format!("{} {what}{more}", names.join(", ")))
            };
            let came = named(self.pods.difference(&before.pods).collect(), "came");
            let went = named(before.pods.difference(&self.pods).collect(), "went");
            let texts: Vec<String> = came.into_iter().chain(went).collect();
            if !texts.is_empty() {
                found.insert(PODS_CHANGED, texts);
            }
        }
        let text = |(kind, mut texts): (&'static str, Vec<String>)| {
            let more = texts.len().saturating_sub(MAX_NAMED);
            texts.truncate(MAX_NAMED);
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            (kind, texts.join("; ") + &more)
        };
        found.into_iter().map(text).collect()
    }
}

fn event(kind: &str, message: String, time_unix_ms: i64) -> Event {
    Event {
        time_unix_ms,
        r#type: kind.into(),
        severity: Severity::Info.into(),
        entity_type: "node".into(),
        attributes: vec![Label { name: "source".into(), value: "info series".into() }],
        message,
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{LabelPair, SeriesId};

    fn series(metric: &str, entity: &[(&str, &str)], labels: &[(&str, &str)]) -> Series {
        let pairs = |l: &[(&str, &str)]| -> Vec<LabelPair> {
            l.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect()
        };
        let node = Arc::new(NodeKey { id: NodeId(0), cluster: "c".into(), name: "n".into() });
        Series {
            id: SeriesId(0),
            node,
            metric: metric.into(),
            kind: sextant_proto::v1::MetricKind::Gauge,
            entity_type: if entity.is_empty() { "node" } else { "gpu" }.into(),
            entity: pairs(entity),
            labels: pairs(&[entity, labels].concat()),
        }
    }

    fn said(list: &[Series]) -> Said {
        let mut said = Said::default();
        list.iter().for_each(|s| said.hear(s));
        said
    }

    #[test]
    fn another_driver_firmware_or_pod_is_a_change() {
        let driver = |v| series("gpu_driver_info", &[], &[("driver_version", v)]);
        let bios = |v| series("gpu_info", &[("uuid", "GPU-1")], &[("vbios_version", v)]);
        let pod =
            |p| series("gpu_pod_info", &[("uuid", "GPU-1")], &[("namespace", "ml"), ("pod", p)]);
        let before = said(&[driver("550"), bios("96"), pod("a")]);
        assert_eq!(said(&[driver("550"), bios("96"), pod("a")]).since(&before), []);
        let after = said(&[driver("560"), bios("97"), pod("b")]).since(&before);
        let text = |n: usize| (after[n].0, &*after[n].1);
        assert_eq!(text(0), ("change.driver", "driver_version of node was 550, is 560"));
        assert_eq!(text(1), ("change.firmware", "vbios_version of gpu GPU-1 was 96, is 97"));
        assert_eq!(text(2), ("change.pods", "ml/b came; ml/a went"));
        // What is new was not changed.
        assert_eq!(said(&[driver("560")]).since(&said(&[bios("96")])), []);
    }
}
