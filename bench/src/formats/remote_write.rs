//! Prometheus remote write 1.0: protobuf, compressed with snappy.

use prost::Message as _;

use super::Message;

pub(crate) const HEADERS: [(&str, &str); 4] = [
    ("Content-Encoding", "snappy"),
    ("Content-Type", "application/x-protobuf"),
    ("User-Agent", "sextant-bench"),
    ("X-Prometheus-Remote-Write-Version", "0.1.0"),
];

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Label {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Sample {
    #[prost(double, tag = "1")]
    pub(crate) value: f64,
    #[prost(int64, tag = "2")]
    pub(crate) timestamp: i64,
}

/// Writes requests of one node; series and buffers are kept.
pub(crate) struct Encoder {
    request: WriteRequest,
    /// Whose labels the request has.
    shapes: Vec<usize>,
    plain: Vec<u8>,
    snappy: snap::raw::Encoder,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            request: WriteRequest::default(),
            shapes: Vec::new(),
            plain: Vec::new(),
            snappy: snap::raw::Encoder::new(),
        }
    }
}

impl Encoder {
    /// A request's body.
    ///
    /// # Errors
    /// When it is too large for snappy.
    pub(crate) fn encode(&mut self, message: &Message<'_>) -> anyhow::Result<Vec<u8>> {
        let first = message.rounds.first();
        let shapes = first.into_iter().flat_map(|r| r.parts.iter().map(|(shape, _)| *shape));
        if self.request.timeseries.is_empty() || !shapes.clone().eq(self.shapes.iter().copied()) {
            self.shapes = shapes.collect();
            let labels = |series: &crate::material::Series| {
                let label = |(name, value): &(String, String)| Label {
                    name: name.clone(),
                    value: value.clone(),
                };
                series.labels.iter().map(label).collect()
            };
            let series = message.columns().map(|(series, _)| series);
            let timeseries = series.map(|s| TimeSeries { labels: labels(s), samples: vec![] });
            self.request.timeseries = timeseries.collect();
        }
        for (target, (_, values)) in self.request.timeseries.iter_mut().zip(message.columns()) {
            target.samples.clear();
            target.samples.extend(values.map(|(timestamp, value)| Sample { value, timestamp }));
        }
        self.plain.clear();
        self.request.encode(&mut self.plain)?;
        Ok(self.snappy.compress_vec(&self.plain)?)
    }
}

/// What a receiver does with a body; its samples.
///
/// # Errors
/// When it is none.
pub(crate) fn decode(body: &[u8]) -> anyhow::Result<usize> {
    let plain = snap::raw::Decoder::new().decompress_vec(body)?;
    let request = WriteRequest::decode(plain.as_slice())?;
    Ok(request.timeseries.iter().map(|series| series.samples.len()).sum())
}
