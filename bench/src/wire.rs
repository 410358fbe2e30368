//! `wire`: bytes and CPU time of a sample on its way from a node, in Sextant's frames and in what
//! peers send: OTLP with zstd, remote write with snappy, and the text that is scraped with gzip.
//!
//! All encode the same rounds of the same nodes, in messages of one tick and of twelve, and all
//! results are decoded again. Bytes are those of a steady stream with its framing: for gRPC 5
//! bytes and an HTTP/2 frame's 9, for HTTP/1.1 the heads. What is said once a stream (Sextant's
//! layouts) is a figure of its own. CPU time is that of the thread.

use std::time::{Duration, Instant};

use prost::Message as _;
use sextant_bench::telemetry::{Generated, Shape, Telemetry};
use sextant_proto::v1::{Frame, LayoutRecord, PushRequest, push_request};

use crate::formats::{Message, messages, otlp, post_head, remote_write, text};
use crate::material::{self, Node, Round, Series};
use crate::own_frames::{FrameDecoder, FrameEncoder, layout};
use crate::report::{Figures, Goal, Report, Row};
use crate::usage::thread_cpu_time;

/// gRPC's prefix of a message and the head of the HTTP/2 frame that it is in.
const GRPC_BYTES: usize = 5 + 9;
/// The generated nodes' interval.
const INTERVAL_MS: u32 = 10_000;
/// When they begin; any time does.
const START_MS: i64 = 1_790_000_000_000;
const BATCHES: [usize; 2] = [1, 12];

const OWN: &str = "sextant";
const OTLP: &str = "OTLP metrics, zstd-3";
const REMOTE_WRITE: &str = "remote write 1.0, snappy";
const TEXT: &str = "text exposition, gzip-6";

const NOTES: &[&str] = &[
    "bytes with framing; a node's collectors have a frame each in Sextant, one message together elsewhere",
    "generated: 500 series a node at 10 s; host: the recording, at 1 s",
    "peers' decoding is that of their protobuf and text alone, without looking series up",
];

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Generated nodes, each in a phase of its own.
    #[arg(long, default_value_t = 16)]
    nodes: u64,
    /// Rounds of each node.
    #[arg(long, default_value_t = 720)]
    rounds: usize,
    /// Few nodes and rounds.
    #[arg(long)]
    quick: bool,
}

/// One node's data.
struct Subject {
    name: String,
    shapes: Vec<Shape>,
    series: Vec<Vec<Series>>,
    rounds: Vec<Round>,
}

impl Subject {
    fn new<T: Telemetry>(mut node: Node<T>, rounds: usize) -> Self {
        Self {
            shapes: node.shapes().to_vec(),
            series: node.labels(),
            rounds: node.rounds(rounds),
            name: node.name,
        }
    }
}

/// What one way of encoding has cost.
#[derive(Default)]
struct Cost {
    samples: usize,
    messages: usize,
    bytes: usize,
    encoding: Duration,
    decoding: Duration,
}

impl Cost {
    fn figures(&self) -> Figures {
        let samples = self.samples as f64;
        let mut figures = Figures::default();
        figures
            .set("bytes_per_sample", self.bytes as f64 / samples)
            .set("bytes_per_message", self.bytes as f64 / self.messages as f64)
            .set("encode_ns_per_sample", self.encoding.as_secs_f64() * 1e9 / samples)
            .set("decode_ns_per_sample", self.decoding.as_secs_f64() * 1e9 / samples);
        figures
    }

    /// Encodes and decodes the messages of a node: `encode` gives bytes and what is around them,
    /// `decode` the samples.
    fn measure<T>(
        &mut self,
        subject: &Subject,
        ticks: usize,
        mut encode: impl FnMut(&Message<'_>) -> anyhow::Result<(T, usize)>,
        mut decode: impl FnMut(&T) -> anyhow::Result<usize>,
    ) -> anyhow::Result<()> {
        let mut encoded = Vec::with_capacity(subject.rounds.len());
        let before = thread_cpu_time();
        for rounds in messages(&subject.rounds, ticks) {
            encoded.push(encode(&Message { rounds, series: &subject.series })?);
        }
        self.encoding += thread_cpu_time() - before;
        let before = thread_cpu_time();
        let mut samples = 0;
        for (message, _) in &encoded {
            samples += decode(message)?;
        }
        self.decoding += thread_cpu_time() - before;
        let sent = messages(&subject.rounds, ticks);
        let sent: usize =
            sent.map(|rounds| Message { rounds, series: &subject.series }.samples()).sum();
        anyhow::ensure!(samples == sent, "{samples} of {sent} samples are decoded");
        self.samples += samples;
        self.messages += encoded.len();
        self.bytes += encoded.iter().map(|(_, bytes)| bytes).sum::<usize>();
        Ok(())
    }
}

/// Measures.
///
/// # Errors
/// When something does not decode to what was encoded.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let began = Instant::now();
    let (nodes, rounds) =
        if arguments.quick { (4, 120) } else { (arguments.nodes, arguments.rounds) };
    let generated: Vec<_> = (0..nodes)
        .map(|index| {
            let telemetry = Generated::new(1, index, START_MS, INTERVAL_MS);
            Subject::new(Node::new(material::node_name(index), telemetry), rounds)
        })
        .collect();
    let recording = material::host()?;
    let host = Node::new(material::node_name(0), recording.replay());
    let host = [Subject::new(host, if arguments.quick { rounds } else { usize::MAX })];
    let mut rows = Vec::new();
    for (name, subjects) in [("generated", generated.as_slice()), ("host", &host)] {
        for ticks in BATCHES {
            let case = format!("{name}, {ticks} {} a message", plural("tick", ticks));
            rows.extend(case_rows(&case, subjects, ticks)?);
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let goals = goals(&rows);
    Ok(Report { bench: "wire", seconds, rows, goals, notes: NOTES })
}

fn plural(what: &str, count: usize) -> String {
    if count == 1 { what.to_owned() } else { format!("{what}s") }
}

fn goals(rows: &[Row]) -> Vec<Goal> {
    let bytes = |case, system| Report::figure(rows, case, system, "bytes_per_sample");
    let one = "generated, 1 tick a message";
    let twelve = "generated, 12 ticks a message";
    let ratio = |case, peer| Some(bytes(case, peer)? / bytes(case, OWN)?);
    let encode = Report::figure(rows, one, OWN, "encode_ns_per_sample");
    [
        Goal::at_most(format!("bytes a sample, {one}"), 1.6, bytes(one, OWN)),
        Goal::at_most(format!("bytes a sample, {twelve}"), 1.0, bytes(twelve, OWN)),
        Goal::at_most(format!("ns a sample encoded, {one}"), 100.0, encode),
        Goal::at_least(format!("times fewer bytes than OTLP, {one}"), 5.0, ratio(one, OTLP)),
        Goal::at_least(
            format!("times fewer bytes than remote write, {one}"),
            12.0,
            ratio(one, REMOTE_WRITE),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn case_rows(case: &str, subjects: &[Subject], ticks: usize) -> anyhow::Result<Vec<Row>> {
    let mut rows = vec![own(case, subjects, ticks)?];
    let mut cost = Cost::default();
    for subject in subjects {
        let mut encoder = otlp::Encoder::new(&subject.name)?;
        let mut context = zstd::bulk::Decompressor::new()?;
        let encode = |message: &Message<'_>| {
            let bytes = encoder.encode(message)?;
            let size = bytes.len() + GRPC_BYTES;
            Ok((bytes, size))
        };
        cost.measure(subject, ticks, encode, |bytes| otlp::decode(bytes, &mut context))?;
    }
    rows.push(Row::of(case, OTLP, cost.figures()));
    let mut cost = Cost::default();
    for subject in subjects {
        let mut encoder = remote_write::Encoder::default();
        let encode = |message: &Message<'_>| {
            let bytes = encoder.encode(message)?;
            let head = post_head("/api/v1/write", &remote_write::HEADERS, bytes.len());
            let size = bytes.len() + head.len();
            Ok((bytes, size))
        };
        cost.measure(subject, ticks, encode, |bytes| remote_write::decode(bytes))?;
    }
    rows.push(Row::of(case, REMOTE_WRITE, cost.figures()));
    if ticks == 1 {
        let mut cost = Cost::default();
        for subject in subjects {
            let mut encoder = text::Encoder::default();
            let encode = |message: &Message<'_>| {
                let bytes = encoder.encode(message)?;
                let size = bytes.len() + text::heads(bytes.len());
                Ok((bytes, size))
            };
            cost.measure(subject, ticks, encode, |bytes| text::decode(bytes))?;
        }
        rows.push(Row::of(case, TEXT, cost.figures()));
    }
    Ok(rows)
}

fn own(case: &str, subjects: &[Subject], ticks: usize) -> anyhow::Result<Row> {
    let mut cost = Cost::default();
    let (mut layouts, mut series) = (0, 0);
    for subject in subjects {
        let (mut encoder, mut decoder) = (FrameEncoder::default(), FrameDecoder::default());
        let (mut times, mut values) = (Vec::new(), Vec::new());
        let mut encode = |message: &Message<'_>| {
            times.clear();
            times.extend(message.rounds.iter().map(|round| round.time_ms));
            let mut frames = Vec::with_capacity(subject.shapes.len());
            let mut size = 0;
            let parts = message.rounds.first().map_or(0, |round| round.parts.len());
            for part in 0..parts {
                values.clear();
                for round in message.rounds {
                    values.extend_from_slice(&round.parts[part].1);
                }
                let shape = &subject.shapes[message.rounds[0].parts[part].0];
                let frame = encoder.encode(shape, &times, &values);
                size += request_bytes(push_request::Message::Frame(frame.clone()));
                frames.push(frame);
            }
            Ok((frames, size))
        };
        let decode = |frames: &Vec<Frame>| {
            let mut samples = 0;
            for frame in frames {
                samples += decoder.decode(frame, &subject.shapes)?.values.len();
            }
            Ok(samples)
        };
        cost.measure(subject, ticks, &mut encode, decode)?;
        for shape in &subject.shapes {
            let (hash, layout) = layout(shape);
            let record = LayoutRecord { hash, layout };
            layouts += request_bytes(push_request::Message::Layout(record));
            series += shape.series();
        }
    }
    let mut figures = cost.figures();
    figures.set("layout_bytes_per_series", layouts as f64 / series as f64);
    Ok(Row::of(case, OWN, figures))
}

/// A stream's message with its framing.
fn request_bytes(message: push_request::Message) -> usize {
    PushRequest { message: Some(message) }.encoded_len() + GRPC_BYTES
}
