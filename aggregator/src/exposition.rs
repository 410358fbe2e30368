//! The fleet's latest values as Prometheus text, family by family, in pieces: a scrape of a
//! large fleet is never one string in memory.
//!
//! Families come sorted by name, native ones with HELP and TYPE as the agents told them, between
//! them those of the projections. A series that is stale is not there, and neither is what a
//! projection would make of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use sextant_proto::frame::is_absent;
use sextant_proto::v1::{MetricKind, Severity};

use crate::catalog::Live;
use crate::clock;
use crate::projection::{self, DcgmNames, Fleet, Projection, Projections, Sample};
use crate::query::Queries;
use crate::selector::Selector;
use crate::series::{NodeId, NodeKey, Series};
use crate::text_format::{escape, put, sample};

/// Two layouts of a collector with the same interval are two tiers, both alive, when they are no
/// more than so many intervals apart.
const TIERS_APART: i64 = 2;
/// A piece is handed on when it is larger than this.
const PIECE_BYTES: usize = 64 << 10;

/// Which series are wanted; empty lists: all. Both lists: what both want.
#[derive(Debug, Default)]
pub struct Filter {
    /// Any of these selectors.
    pub selectors: Vec<Selector>,
    /// Any of these collectors and projections.
    pub collectors: Vec<String>,
}

/// The newest row of a layout.
struct Row {
    live: Arc<Live>,
    tick_ms: i64,
    values: Vec<f64>,
}

/// Text on its way out.
struct Out<'a> {
    text: String,
    piece: &'a mut dyn FnMut(String) -> bool,
    /// The reader has gone.
    ended: bool,
}

impl Out<'_> {
    /// Hands on what there is, once it is enough.
    fn flush_full(&mut self) {
        if self.text.len() >= PIECE_BYTES && !self.ended {
            let full = std::mem::replace(&mut self.text, room());
            self.ended = !(self.piece)(full);
        }
    }
}

fn room() -> String {
    String::with_capacity(PIECE_BYTES + (16 << 10))
}

/// Where a family's lines come from.
enum Source {
    Native(Family),
    /// A projection's number, and its family.
    Projected(usize, projection::Family),
}

/// Writes the exposition; `piece` takes each part and says whether to go on.
pub fn write(
    queries: &Queries,
    projections: &Projections,
    filter: &Filter,
    mut piece: impl FnMut(String) -> bool,
) {
    let mut out = Out { text: room(), piece: &mut piece, ended: false };
    if filter.selectors.is_empty() && filter.collectors.is_empty() {
        own_families(queries, &mut out.text);
    }
    let rows = fresh_rows(queries);
    let any = filter.wants_projections();
    let named = |name: &str| any && filter.names(name);
    let reads = |series: &Series| projections.reads(&named, &series.metric);
    let fleet = Fleet::new(samples(current(&rows), reads));
    let projected = projections.of(queries, &fleet, &named);
    let mut families: BTreeMap<Arc<str>, Source> = BTreeMap::new();
    for (number, projection) in projected.iter().enumerate() {
        for family in projection.families() {
            if filter.may_want(family.name) {
                families.insert(family.name.into(), Source::Projected(number, family));
            }
        }
    }
    // A native series is never hidden by one that only has its name.
    for (name, family) in native(queries, filter, &rows) {
        families.insert(name, Source::Native(family));
    }
    for (name, source) in &families {
        match source {
            Source::Native(series) => {
                header(queries, name, series, &mut out.text);
                for (series, value) in series {
                    line(&mut out.text, name, &series.node, &series.labels, *value);
                    out.flush_full();
                }
            }
            Source::Projected(number, family) => {
                project(&*projected[*number], family, filter, &mut out);
            }
        }
        out.flush_full();
        if out.ended {
            return;
        }
    }
    let rest = out.text;
    piece(rest);
}

type Family = Vec<(Arc<Series>, f64)>;

/// Writes a projection's family, if it has any line that is wanted.
fn project(
    projection: &dyn Projection,
    family: &projection::Family,
    filter: &Filter,
    out: &mut Out<'_>,
) {
    let name = family.name;
    let mut begun = false;
    projection.write(family.id, &mut |labels, value| {
        if out.ended || !filter.wants(name, labels) {
            return;
        }
        if !std::mem::replace(&mut begun, true) {
            let (help, kind) = (family.help, family.kind.as_str());
            put(&mut out.text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        }
        sample(&mut out.text, name, labels.iter().copied(), value);
        out.flush_full();
    });
}

impl Filter {
    /// Whether a collector or a projection is wanted.
    fn names(&self, name: &str) -> bool {
        self.collectors.is_empty() || self.collectors.iter().any(|c| c == name)
    }

    /// Whether any projection may have a line that is wanted.
    fn wants_projections(&self) -> bool {
        let mut all = projection::families(DcgmNames::Both).into_iter();
        self.selectors.is_empty() || all.any(|f| self.may_want(f.name))
    }

    /// Whether a family of this name may have a line that is wanted.
    fn may_want(&self, name: &str) -> bool {
        let named = |s: &Selector| {
            s.matchers().iter().filter(|m| m.name() == "__name__").all(|m| m.matches(name))
        };
        self.selectors.is_empty() || self.selectors.iter().any(named)
    }

    /// Whether a line that is not a stored series' is wanted.
    fn wants(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let value = |of: &str| match of {
            "__name__" => name,
            of => labels.iter().find(|(n, _)| *n == of).map_or("", |(_, v)| v),
        };
        let all = |s: &Selector| s.matchers().iter().all(|m| m.matches(value(m.name())));
        self.selectors.is_empty() || self.selectors.iter().any(all)
    }
}

/// The newest row of every layout that is fresh. Of a node, the newest first: a layout that just
/// changed is fresh in both shapes, and the newer one speaks for a series.
fn fresh_rows(queries: &Queries) -> Vec<Row> {
    let now = clock::now_ms();
    let mut rows: Vec<Row> = Vec::new();
    for live in queries.catalog.layouts() {
        if queries.is_fresh(&live, now) {
            let latest = live.head.lock().latest().map(|(tick, row)| (tick, row.to_vec()));
            if let Some((tick_ms, values)) = latest {
                rows.push(Row { live, tick_ms, values });
            }
        }
    }
    rows.sort_by_key(|row| (row.live.layout.node.id, std::cmp::Reverse(row.tick_ms)));
    rows
}

/// Those of fresh rows whose layout did not give way to another. One that did is fresh for some
/// intervals more; to a projection, which joins values with what identifies their entity, its
/// owners and states would be there beside the new ones.
fn current(rows: &[Row]) -> impl Iterator<Item = &Row> {
    let mut newest: FxHashMap<(NodeId, &str, u32), i64> = FxHashMap::default();
    rows.iter().filter(move |row| {
        let layout = &row.live.layout;
        let tier = (layout.node.id, layout.collector.as_str(), layout.interval_ms);
        let newest = *newest.entry(tier).or_insert(row.tick_ms);
        newest.saturating_sub(row.tick_ms) <= TIERS_APART * i64::from(layout.interval_ms)
    })
}

/// The values of the series that are wanted, each once.
fn samples<'r>(
    rows: impl Iterator<Item = &'r Row>,
    wanted: impl Fn(&Series) -> bool,
) -> impl Iterator<Item = Sample> {
    let mut seen = FxHashSet::default();
    let all = rows.flat_map(|row| {
        let columns = row.live.layout.columns.iter().zip(&row.values);
        columns.map(|(series, value)| (series, row.tick_ms, *value))
    });
    let once = all.filter(move |(series, _, value)| {
        wanted(series) && seen.insert(series.id) && !is_absent(*value)
    });
    once.map(|(series, tick_ms, value)| Sample { series: Arc::clone(series), tick_ms, value })
}

/// The fresh native series that a filter wants, by metric name.
fn native(queries: &Queries, filter: &Filter, rows: &[Row]) -> BTreeMap<Arc<str>, Family> {
    let wanted_ids = (!filter.selectors.is_empty()).then(|| {
        let sets = filter.selectors.iter().map(|s| queries.catalog.select_ids(s));
        sets.fold(roaring::RoaringBitmap::new(), |all, ids| all | ids)
    });
    let asked = |s: &Series| wanted_ids.as_ref().is_none_or(|ids| ids.contains(s.id.0));
    let collected = rows.iter().filter(|row| filter.names(&row.live.layout.collector));
    let mut families: FxHashMap<Arc<str>, Family> = FxHashMap::default();
    for Sample { series, value, .. } in samples(collected, asked) {
        families.entry(Arc::clone(&series.metric)).or_default().push((series, value));
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
