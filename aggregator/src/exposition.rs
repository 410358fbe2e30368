//! The fleet's latest values as Prometheus text, family by family, in pieces: a scrape of a
//! large fleet is never one string in memory.
//!
//! Families come sorted by name, each with its HELP and TYPE as the agents told them. A series
//! that is stale is not there.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use sextant_proto::frame::is_absent;
use sextant_proto::v1::{MetricKind, Severity};

use crate::catalog::Live;
use crate::clock;
use crate::query::Queries;
use crate::selector::Selector;
use crate::series::{NodeKey, Series};
use crate::text_format::{escape, put, sample};

/// A piece is handed on when it is larger than this.
const PIECE_BYTES: usize = 64 << 10;

/// Which series are wanted; empty lists: all.
#[derive(Debug, Default)]
pub struct Filter {
    /// Any of these selectors.
    pub selectors: Vec<Selector>,
    /// Any of these collectors.
    pub collectors: Vec<String>,
}

/// The newest row of a layout.
struct Row {
    live: Arc<Live>,
    tick_ms: i64,
    values: Vec<f64>,
}

/// Writes the exposition; `piece` takes each part and says whether to go on.
pub fn write(queries: &Queries, filter: &Filter, mut piece: impl FnMut(String) -> bool) {
    let mut out = String::with_capacity(PIECE_BYTES + (16 << 10));
    if filter.selectors.is_empty() && filter.collectors.is_empty() {
        own_families(queries, &mut out);
    }
    for (name, series) in &families(queries, filter) {
        header(queries, name, series, &mut out);
        for (series, value) in series {
            line(&mut out, name, &series.node, &series.labels, *value);
        }
        if out.len() >= PIECE_BYTES {
            let full = std::mem::replace(&mut out, String::with_capacity(PIECE_BYTES + (16 << 10)));
            if !piece(full) {
                return;
            }
        }
    }
    piece(out);
}

type Family = Vec<(Arc<Series>, f64)>;

/// The fresh series with their values, by metric name.
fn families(queries: &Queries, filter: &Filter) -> std::collections::BTreeMap<Arc<str>, Family> {
    let now = clock::now_ms();
    let wanted_ids = (!filter.selectors.is_empty()).then(|| {
        let sets = filter.selectors.iter().map(|s| queries.catalog.select_ids(s));
        sets.fold(roaring::RoaringBitmap::new(), |all, ids| all | ids)
    });
    let mut rows: Vec<Row> = Vec::new();
    for live in queries.catalog.layouts() {
        let collector = &live.layout.collector;
        if !filter.collectors.is_empty() && !filter.collectors.contains(collector) {
            continue;
        }
        if queries.is_fresh(&live, now) {
            let latest = live.head.lock().latest().map(|(tick, row)| (tick, row.to_vec()));
            if let Some((tick_ms, values)) = latest {
                rows.push(Row { live, tick_ms, values });
            }
        }
    }
    // A layout that just changed is fresh in both shapes: the newer one speaks for a series.
    rows.sort_by_key(|row| (row.live.layout.node.id, std::cmp::Reverse(row.tick_ms)));
    let mut families: FxHashMap<Arc<str>, Family> = FxHashMap::default();
    let mut seen = FxHashSet::default();
    for row in &rows {
        for (series, value) in row.live.layout.columns.iter().zip(&row.values) {
            let asked = wanted_ids.as_ref().is_none_or(|ids| ids.contains(series.id.0));
            if asked && seen.insert(series.id) && !is_absent(*value) {
                let family = families.entry(Arc::clone(&series.metric)).or_default();
                family.push((Arc::clone(series), *value));
            }
        }
    }
    families.into_iter().collect()
}

fn header(queries: &Queries, name: &str, series: &Family, out: &mut String) {
    let descriptor = queries.catalog.descriptor(name);
    if let Some(help) = descriptor.map(|d| d.help).filter(|h| !h.is_empty()) {
        put(out, format_args!("# HELP {name} "));
        escape(out, &help, false);
        out.push('\n');
    }
    let counter = series.first().is_some_and(|(s, _)| s.kind == MetricKind::Counter);
    // Counters of the kernel's own names (node_vmstat_pgfault) have no suffix; node_exporter
    // shows them untyped, and so do we: a counter without _total is none to Prometheus' linter.
    let kind = match (counter, name.ends_with("_total")) {
        (true, true) => "counter",
        (true, false) => "untyped",
        (false, _) => "gauge",
    };
    put(out, format_args!("# TYPE {name} {kind}\n"));
}

/// What the aggregator itself knows of nodes and anomalies.
fn own_families(queries: &Queries, out: &mut String) {
    let anomalies = queries.episodes.open();
    let name = "sextant_anomaly_active";
    put(
        out,
        format_args!(
            "# HELP {name} An anomaly that is open; gone when it closes.\n# TYPE {name} gauge\n"
        ),
    );
    for a in &anomalies {
        let severity = Severity::try_from(a.severity).unwrap_or_default();
        let severity = severity.as_str_name().trim_start_matches("SEVERITY_").to_ascii_lowercase();
        let own = [
            ("cluster", &*a.cluster),
            ("node", &*a.node),
            ("detector", &*a.detector),
            ("rule", &*a.rule),
            ("severity", &*severity),
            ("entity_type", &*a.entity_type),
            ("metric", &*a.metric),
        ];
        let taken: Vec<&str> = own.iter().map(|(n, _)| *n).collect();
        let others = a.labels.iter().map(|l| (&*l.name, &*l.value));
        let others = others.filter(|(n, _)| !taken.contains(n));
        sample(out, name, own.into_iter().chain(others), 1.0);
    }
    let nodes = queries.nodes("");
    let mut family = |name: &str, help: &str, value: &dyn Fn(&sextant_proto::v1::Node) -> f64| {
        put(out, format_args!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
        for node in &nodes {
            let labels = [("cluster", &*node.cluster), ("node", &*node.name)];
            sample(out, name, labels.into_iter(), value(node));
        }
    };
    family(
        "sextant_node_clock_skew_seconds",
        "The node's clock minus the aggregator's, when the agent connected.",
        &|n| n.clock_skew_ms as f64 / 1e3,
    );
    family("sextant_node_connected", "Whether an agent speaks for the node.", &|n| {
        f64::from(u8::from(n.connected))
    });
    family(
        "sextant_node_last_seen_timestamp_seconds",
        "When the last frame of the node arrived.",
        &|n| n.last_seen_unix_ms as f64 / 1e3,
    );
    family("sextant_node_series", "Series of the node that have a value now.", &|n| {
        f64::from(n.series)
    });
}

fn line(
    out: &mut String,
    name: &str,
    node: &NodeKey,
    labels: &[crate::series::LabelPair],
    value: f64,
) {
    let own = [("cluster", &*node.cluster), ("node", &*node.name)];
    let labels = labels.iter().map(|(n, v)| (&**n, &**v));
    sample(out, name, own.into_iter().chain(labels), value);
}
