//! Requests: which samples go into one, and its bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use prost::Message as _;
use rustc_hash::FxHashMap;
use sextant_proto::v1::MetricKind;

use super::messages::{
    COUNTER, GAUGE, Label, Metadata2, MetricMetadata, Request, Sample, TimeSeries, TimeSeries2,
    WriteRequest,
};
use crate::catalog::Catalog;
use crate::series::Series;

/// Samples of a request: what Prometheus' own sender takes, times five.
pub(super) const MAX_SAMPLES: usize = 10_000;
/// A refused part that is no larger is given up.
const SMALL: usize = 8;
const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");

/// Samples of a series, by time.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) series: Arc<Series>,
    pub(super) points: Vec<(i64, f64)>,
}

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

pub(super) fn samples(runs: &[Run]) -> usize {
    runs.iter().map(|run| run.points.len()).sum()
}

/// Cuts runs into requests. A series goes on in the next request only when it alone is more
/// than one takes.
pub(super) fn requests(runs: Vec<Run>) -> Vec<Vec<Run>> {
    let mut all = Vec::new();
    let (mut open, mut size) = (Vec::new(), 0);
    for run in runs {
        for points in run.points.chunks(MAX_SAMPLES) {
            if size + points.len() > MAX_SAMPLES {
                all.push(std::mem::take(&mut open));
                size = 0;
            }
            size += points.len();
            open.push(Run { series: Arc::clone(&run.series), points: points.to_vec() });
        }
    }
    all.push(open);
    all.retain(|request| !request.is_empty());
    all
}

/// Two halves of what was refused: by time, the earlier one first; of one instant by series.
/// `None` when it is small already.
pub(super) fn halves(runs: &[Run]) -> Option<(Vec<Run>, Vec<Run>)> {
    if samples(runs) <= SMALL {
        return None;
    }
    let times = || runs.iter().flat_map(|run| run.points.iter().map(|point| point.0));
    let (first, last) = (times().min()?, times().max()?);
    if first == last {
        let (before, after) = runs.split_at(runs.len() / 2);
        return Some((before.to_vec(), after.to_vec()));
    }
    let middle = first + (last - first) / 2;
    let part = |wanted: &dyn Fn(i64) -> bool| {
        let cut = runs.iter().map(|run| Run {
            series: Arc::clone(&run.series),
            points: run.points.iter().copied().filter(|point| wanted(point.0)).collect(),
        });
        cut.filter(|run| !run.points.is_empty()).collect()
    };
    Some((part(&|time| time <= middle), part(&|time| time > middle)))
}

/// What a request says of itself.
pub(super) fn headers(version: Version) -> HeaderMap {
    let (content, number) = match version {
        Version::One => ("application/x-protobuf", "0.1.0"),
        Version::Two => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
    };
    HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static(content)),
        (CONTENT_ENCODING, HeaderValue::from_static("snappy")),
        (USER_AGENT, HeaderValue::from_static(concat!("sextant/", env!("CARGO_PKG_VERSION")))),
        (VERSION, HeaderValue::from_static(number)),
    ])
}

/// A request's bytes.
pub(super) fn body(
    version: Version,
    runs: &[Run],
    external: &BTreeMap<String, String>,
    catalog: &Catalog,
) -> Bytes {
    match version {
        Version::One => compress(&one(runs, external).encode_to_vec()),
        Version::Two => compress(&two(runs, external, catalog).encode_to_vec()),
    }
}

/// What is known of metrics, for 1.0, in parts of a bounded size.
pub(super) fn metadata(catalog: &Catalog) -> Vec<Bytes> {
    let known = catalog.metric_names().into_iter().filter_map(|name| catalog.descriptor(&name));
    let all: Vec<MetricMetadata> = known
        .map(|m| MetricMetadata {
            r#type: kind(sextant_proto::layout::kind(m.kind)),
            metric_family_name: m.name,
            help: m.help,
            unit: m.unit,
        })
        .collect();
    let part = |part: &[MetricMetadata]| {
        let request = WriteRequest { metadata: part.to_vec(), ..WriteRequest::default() };
        compress(&request.encode_to_vec())
    };
    all.chunks(500).map(part).collect()
}

fn one(runs: &[Run], external: &BTreeMap<String, String>) -> WriteRequest {
    let label = |(name, value): (&str, &str)| Label { name: name.into(), value: value.into() };
    let series = |run: &Run| TimeSeries {
        labels: labels(&run.series, external).into_iter().map(label).collect(),
        samples: points(run),
    };
    WriteRequest { timeseries: runs.iter().map(series).collect(), ..WriteRequest::default() }
}

fn two(runs: &[Run], external: &BTreeMap<String, String>, catalog: &Catalog) -> Request {
    let mut symbols = Symbols::default();
    symbols.number("");
    let mut told: FxHashMap<Arc<str>, (u32, u32)> = FxHashMap::default();
    let mut timeseries = Vec::with_capacity(runs.len());
    for run in runs {
        let labels = labels(&run.series, external);
        let labels_refs =
            labels.iter().flat_map(|(n, v)| [*n, *v]).map(|text| symbols.number(text)).collect();
        let metric = &run.series.metric;
        let (help_ref, unit_ref) = *told.entry(Arc::clone(metric)).or_insert_with(|| {
            let known = catalog.descriptor(metric).unwrap_or_default();
            (symbols.number(&known.help), symbols.number(&known.unit))
        });
        let metadata = Metadata2 { r#type: kind(run.series.kind), help_ref, unit_ref };
        timeseries.push(TimeSeries2 {
            labels_refs,
            samples: points(run),
            metadata: Some(metadata),
        });
    }
    Request { symbols: symbols.all, timeseries }
}

/// The table of strings of a request.
#[derive(Default)]
struct Symbols {
    all: Vec<String>,
    numbers: FxHashMap<String, u32>,
}

impl Symbols {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.all.len()).expect("a request has bounded samples");
        self.all.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}

/// All labels of a series, sorted; one without a value is none to Prometheus.
fn labels<'a>(
    series: &'a Series,
    external: &'a BTreeMap<String, String>,
) -> Vec<(&'a str, &'a str)> {
    let own = [
        ("__name__", &*series.metric),
        ("cluster", &*series.node.cluster),
        ("node", &*series.node.name),
    ];
    let mut all: Vec<(&str, &str)> = own.into_iter().collect();
    all.extend(series.labels.iter().map(|(n, v)| (&**n, &**v)));
    all.retain(|(_, value)| !value.is_empty());
    let more = external.iter().filter(|(name, _)| !all.iter().any(|(n, _)| n == name));
    let more: Vec<_> = more.map(|(n, v)| (&**n, &**v)).collect();
    all.extend(more);
    all.sort_unstable();
    all
}

fn points(run: &Run) -> Vec<Sample> {
    run.points.iter().map(|&(timestamp, value)| Sample { value, timestamp }).collect()
}

fn kind(kind: MetricKind) -> i32 {
    match kind {
        MetricKind::Counter => COUNTER,
        MetricKind::Gauge => GAUGE,
        MetricKind::Unspecified => 0,
    }
}

pub(crate) fn compress(plain: &[u8]) -> Bytes {
    let compressed = snap::raw::Encoder::new().compress_vec(plain);
    compressed.expect("a bounded request is far below snappy's 4 GiB").into()
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
