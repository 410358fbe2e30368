//! Prometheus' text format as an exporter answers a scrape, compressed with gzip at its usual
//! level. One answer has one round: the format knows no second.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::{Message, parse, truncated};

/// What exporters use: zlib's default.
const GZIP_LEVEL: u32 = 6;

/// The head of a scrape's request and of its answer.
pub(crate) fn heads(length: usize) -> usize {
    let request = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9100\r\nUser-Agent: Prometheus/2.42.0\r\n\
         Accept: text/plain;version=0.0.4\r\nAccept-Encoding: gzip\r\n\
         X-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n";
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\
         Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: {length}\r\n\r\n"
    );
    request.len() + answer.len()
}

/// Writes answers; the text's buffer is kept.
#[derive(Default)]
pub(crate) struct Encoder {
    text: String,
    /// The columns of the shapes, those of a metric together.
    order: Vec<usize>,
    made_for: Vec<usize>,
}

impl Encoder {
    /// A body of a message's first round. The node's own labels alone: it is the one who scrapes
    /// that adds the others.
    ///
    /// # Errors
    /// When it cannot be compressed.
    pub(crate) fn encode(&mut self, message: &Message<'_>) -> anyhow::Result<Vec<u8>> {
        let columns: Vec<_> =
            message.columns().map(|(series, mut values)| (series, values.next())).collect();
        let shapes = message.rounds.first().into_iter().flat_map(|round| &round.parts);
        if self.order.is_empty() || !shapes.clone().map(|(s, _)| s).eq(&self.made_for) {
            self.made_for = shapes.map(|(shape, _)| *shape).collect();
            self.order = (0..columns.len()).collect();
            self.order.sort_by_key(|column| &columns[*column].0.metric);
        }
        let text = &mut self.text;
        text.clear();
        let mut last = "";
        for (series, value) in self.order.iter().map(|column| columns[*column]) {
            if series.metric != last {
                let kind = series.kind.as_str_name().trim_start_matches("METRIC_KIND_");
                writeln!(text, "# TYPE {} {}", series.metric, kind.to_ascii_lowercase())?;
                last = &series.metric;
            }
            text.push_str(&series.metric);
            let mut separator = '{';
            for (name, value) in series.own_labels() {
                write!(text, "{separator}{name}={value:?}")?;
                separator = ',';
            }
            text.push_str(if separator == ',' { "} " } else { " " });
            if let Some((_, value)) = value {
                writeln!(text, "{value}")?;
            }
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL));
        gzip.write_all(text.as_bytes())?;
        Ok(gzip.finish()?)
    }
}

/// What the one who scrapes does with a body: finds each line's series and value; its samples.
///
/// # Errors
/// When it is none.
pub(crate) fn decode(body: &[u8]) -> anyhow::Result<usize> {
    let mut text = String::new();
    GzDecoder::new(body).read_to_string(&mut text)?;
    let mut samples = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').ok_or_else(truncated)?;
        if series.is_empty() || parse(value)?.is_nan() {
            continue;
        }
        samples += 1;
    }
    Ok(samples)
}
