//! OTLP metrics: the few messages of `opentelemetry.proto.metrics.v1` that gauges and sums need,
//! each message compressed with zstd at its usual level.

use anyhow::Context as _;
use prost::Message as _;
use sextant_proto::v1::MetricKind;

use super::Message;
use crate::material::{CLUSTER, Series};

const ZSTD_LEVEL: i32 = 3;
/// Of `AggregationTemporality`.
const CUMULATIVE: i32 = 2;
/// More than a message of this benchmark is.
const MAX_BYTES: usize = 64 << 20;

#[derive(Clone, PartialEq, prost::Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ScopeMetrics {
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Metric {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "5")]
    gauge: Option<Gauge>,
    #[prost(message, optional, tag = "7")]
    sum: Option<Sum>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Gauge {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<NumberDataPoint>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sum {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<NumberDataPoint>,
    #[prost(int32, tag = "2")]
    aggregation_temporality: i32,
    #[prost(bool, tag = "3")]
    is_monotonic: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NumberDataPoint {
    #[prost(fixed64, tag = "2")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    time_unix_nano: u64,
    /// One of a oneof; it is written even when it is 0.
    #[prost(double, optional, tag = "4")]
    as_double: Option<f64>,
    #[prost(message, repeated, tag = "7")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    string_value: Option<String>,
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { string_value: Some(value.into()) };
    KeyValue { key: key.into(), value: Some(value) }
}

/// Writes messages of one node; attributes and the compression's context are kept.
pub(crate) struct Encoder {
    node: String,
    request: Request,
    /// For each series its metric and its first point there.
    places: Vec<(usize, usize)>,
    made_for: (Vec<usize>, usize),
    plain: Vec<u8>,
    zstd: zstd::bulk::Compressor<'static>,
}

impl Encoder {
    /// # Errors
    /// When zstd has no memory.
    pub(crate) fn new(node: &str) -> anyhow::Result<Self> {
        Ok(Self {
            node: node.into(),
            request: Request::default(),
            places: Vec::new(),
            made_for: Default::default(),
            plain: Vec::new(),
            zstd: zstd::bulk::Compressor::new(ZSTD_LEVEL)?,
        })
    }

    /// A compressed message.
    ///
    /// # Errors
    /// When it cannot be compressed.
    pub(crate) fn encode(&mut self, message: &Message<'_>) -> anyhow::Result<Vec<u8>> {
        let first = message.rounds.first().context("no rounds")?;
        let shapes: Vec<_> = first.parts.iter().map(|(shape, _)| *shape).collect();
        let made_for = (shapes, message.rounds.len());
        if self.made_for != made_for {
            self.prepare(message);
            self.made_for = made_for;
        }
        let metrics = &mut self.request.resource_metrics[0].scope_metrics[0].metrics;
        for ((metric, first), (_, values)) in self.places.iter().zip(message.columns()) {
            let Metric { gauge, sum, .. } = &mut metrics[*metric];
            let points = match (gauge, sum) {
                (Some(gauge), _) => &mut gauge.data_points,
                (_, Some(sum)) => &mut sum.data_points,
                _ => continue,
            };
            for (point, (time_ms, value)) in points[*first..].iter_mut().zip(values) {
                point.time_unix_nano = time_ms.unsigned_abs() * 1_000_000;
                point.as_double = Some(value);
            }
        }
        self.plain.clear();
        self.request.encode(&mut self.plain)?;
        Ok(self.zstd.compress(&self.plain)?)
    }

    /// One metric for all series of its name, and a point for each series and round.
    fn prepare(&mut self, message: &Message<'_>) {
        let mut metrics: Vec<Metric> = Vec::new();
        self.places.clear();
        for (series, _) in message.columns() {
            let found = metrics.iter().position(|metric| metric.name == series.metric);
            let metric = found.unwrap_or_else(|| {
                metrics.push(new_metric(series));
                metrics.len() - 1
            });
            let Metric { gauge, sum, .. } = &mut metrics[metric];
            let points = match (gauge, sum) {
                (Some(gauge), _) => &mut gauge.data_points,
                (_, Some(sum)) => &mut sum.data_points,
                _ => continue,
            };
            self.places.push((metric, points.len()));
            let attributes: Vec<_> = series.own_labels().map(|(k, v)| attribute(k, v)).collect();
            for _ in message.rounds {
                points
                    .push(NumberDataPoint { attributes: attributes.clone(), ..Default::default() });
            }
        }
        let attributes = vec![attribute("cluster", CLUSTER), attribute("node", &self.node)];
        self.request.resource_metrics = vec![ResourceMetrics {
            resource: Some(Resource { attributes }),
            scope_metrics: vec![ScopeMetrics { metrics }],
        }];
    }
}

fn new_metric(series: &Series) -> Metric {
    let mut metric = Metric { name: series.metric.clone(), ..Metric::default() };
    match series.kind {
        MetricKind::Counter => {
            metric.sum = Some(Sum {
                aggregation_temporality: CUMULATIVE,
                is_monotonic: true,
                ..Sum::default()
            });
        }
        _ => metric.gauge = Some(Gauge::default()),
    }
    metric
}

/// What a receiver does with a message; its samples.
///
/// # Errors
/// When it is none.
pub(crate) fn decode(
    message: &[u8],
    zstd: &mut zstd::bulk::Decompressor<'_>,
) -> anyhow::Result<usize> {
    let size = zstd::zstd_safe::get_frame_content_size(message).ok().flatten();
    let size = usize::try_from(size.context("not a message")?)?.min(MAX_BYTES);
    let request = Request::decode(zstd.decompress(message, size)?.as_slice())?;
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let points = scopes.flat_map(|scope| &scope.metrics).map(|metric| {
        let gauge = metric.gauge.as_ref().map_or(0, |gauge| gauge.data_points.len());
        gauge + metric.sum.as_ref().map_or(0, |sum| sum.data_points.len())
    });
    Ok(points.sum())
}
