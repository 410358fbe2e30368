//! `query`: how long three questions take, and what they cost the server: one series for a day,
//! the power of all GPUs for an hour a minute apart, and the ten highest of some ten thousand
//! series. Sextant answers over gRPC, the peers over HTTP in PromQL.
//!
//! All hold the same: generated nodes' GPUs, one node for a day, all for the last hour, 10 s
//! apart. Sextant's are put into its store before it starts, blocks and journal as the aggregator
//! itself leaves them. A question is asked one at a time on a connection that stays open.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use sextant_bench::telemetry::{Generated, Shape, Telemetry, Tick};
use sextant_proto::v1::query_client::QueryClient;
use sextant_proto::v1::{InstantRequest, RangeRequest};
use tonic::transport::Channel;

use crate::aggregator::{self, Aggregator};
use crate::http::Connection;
use crate::material::{self, CLUSTER, Node};
use crate::own_store::OwnStore;
use crate::peers::{Feed, Kind, Peer, Program, escaped, push};
use crate::progress;
use crate::report::{Figures, Goal, Report, Row};
use crate::usage;

const INTERVAL_MS: u32 = 10_000;
const DAY_ROUNDS: u32 = 8_640;
/// A little more than the hour that is asked for.
const HOUR_ROUNDS: u32 = 400;
const HOUR_MS: i64 = 3_600_000;
const STEP_MS: i64 = 60_000;
/// Rounds of a transaction and of a request.
const TICKS: u32 = 40;
const GPUS: u64 = 8;
/// Of each GPU's series those that are kept.
const KEPT: [&str; 5] = [
    "gpu_utilization_ratio",
    "gpu_temperature_celsius",
    "gpu_power_watts",
    "gpu_energy_joules_total",
    "gpu_memory_used_bytes",
];
/// Of which the ten highest are asked for.
const TOP_OF: &str = "gpu_utilization_ratio|gpu_temperature_celsius|gpu_power_watts";
const TOP: usize = 10;
/// The longest time that is told apart.
const MAX_MICROS: u64 = 600_000_000;
const OWN: &str = "sextant";
const NOTES: &[&str] = &[
    "sextant over gRPC, peers over HTTP with JSON; VictoriaMetrics with nocache=1",
    "top 10: sextant gives the newest value of every series and the client takes the highest; the peers compute topk",
];

/// What is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Generated nodes of 8 GPUs.
    #[arg(long, default_value_t = 500)]
    nodes: u64,
    /// How often each question is asked.
    #[arg(long, default_value_t = 100)]
    repeat: u32,
    /// The aggregator's program [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    aggregator: Option<std::path::PathBuf>,
    /// Few nodes and repetitions.
    #[arg(long)]
    quick: bool,
}

/// The GPUs of a generated node with a few of their series.
struct Gpus {
    node: Generated,
    shapes: [Shape; 1],
    row: Vec<f64>,
}

/// Whether a GPU's series is one of those that are kept.
fn is_kept(name: &str, plain: bool) -> bool {
    plain && KEPT.contains(&name)
}

impl Gpus {
    fn new(node: Generated) -> Self {
        let mut layout = node.shapes()[0].layout.clone();
        let metrics = layout.metrics.clone();
        for entity in &mut layout.entities {
            entity.series.retain(|series| {
                is_kept(&metrics[series.metric as usize].name, series.labels.is_empty())
            });
        }
        Self { node, shapes: [Shape::new(layout)], row: Vec::new() }
    }
}

impl Telemetry for Gpus {
    fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    fn ticks_per_round(&self) -> usize {
        1
    }

    fn next_tick(&mut self) -> Option<Tick<'_>> {
        self.row.clear();
        let mut time_ms = 0;
        for index in 0..self.node.ticks_per_round() {
            let tick = self.node.next_tick()?;
            if index > 0 {
                continue;
            }
            time_ms = tick.time_ms;
            let columns = tick.shape.layout.entities.iter().flat_map(|entity| &entity.series);
            for (series, value) in columns.zip(tick.values) {
                let name = &tick.shape.layout.metrics[series.metric as usize].name;
                if is_kept(name, series.labels.is_empty()) {
                    self.row.push(*value);
                }
            }
        }
        Some(Tick { shape: &self.shapes[0], index: 0, time_ms, values: &self.row })
    }
}

/// A question in both languages.
struct Question {
    case: String,
    /// Selectors that are asked for in turn.
    selectors: Vec<String>,
    start_ms: i64,
    end_ms: i64,
    /// 0 for the instant of `end_ms`.
    step_ms: i64,
    /// Of the series only the highest.
    top: bool,
}

/// What is there.
struct Data {
    nodes: u64,
    end_ms: i64,
    repeat: u32,
}

impl Data {
    fn node(&self, index: u64) -> Node<Gpus> {
        let rounds = if index == 0 { DAY_ROUNDS } else { HOUR_ROUNDS };
        let start_ms = self.end_ms - (i64::from(rounds) - 1) * i64::from(INTERVAL_MS);
        let telemetry = Gpus::new(Generated::new(1, index, start_ms, INTERVAL_MS));
        Node::new(material::node_name(index), telemetry)
    }

    fn questions(&self) -> Vec<Question> {
        let first = self.node(0);
        let uuids = first.shapes()[0].layout.entities.iter().map(|e| e.labels[0].value.clone());
        let node = &first.name;
        let one = |uuid| format!("gpu_power_watts{{node={node:?},uuid={uuid:?}}}");
        let (end_ms, hour) = (self.end_ms, self.end_ms - HOUR_MS);
        let gpus = self.nodes * GPUS;
        vec![
            Question {
                case: "1 series, 24 h, every sample".into(),
                selectors: uuids.map(one).collect(),
                start_ms: end_ms - 24 * HOUR_MS,
                end_ms,
                step_ms: i64::from(INTERVAL_MS),
                top: false,
            },
            Question {
                case: format!("power of {} nodes' {gpus} GPUs, 1 h, 1 min step", self.nodes),
                selectors: vec![format!("gpu_power_watts{{cluster={CLUSTER:?}}}")],
                start_ms: hour,
                end_ms,
                step_ms: STEP_MS,
                top: false,
            },
            Question {
                case: format!("top {TOP} of {} series", gpus * 3),
                selectors: vec![format!("{{__name__=~{TOP_OF:?}}}")],
                start_ms: end_ms,
                end_ms,
                step_ms: 0,
                top: true,
            },
        ]
    }
}

/// Measures.
///
/// # Errors
/// When a server fails, or answers with fewer series than there are.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<Report> {
    let began = Instant::now();
    let (nodes, repeat) =
        if arguments.quick { (30, 10) } else { (arguments.nodes, arguments.repeat) };
    let (program, system) = aggregator::program(arguments.aggregator.as_deref())?;
    let mut absent = Vec::new();
    let peers = Program::all(&mut absent);
    let interval_ms = i64::from(INTERVAL_MS);
    let end_ms = sextant_agent::clock::now_ms().div_euclid(STEP_MS) * STEP_MS;
    let data = Data { nodes, end_ms: end_ms.div_euclid(interval_ms) * interval_ms, repeat };
    let questions = data.questions();
    let dir = tempfile::tempdir().context("directory for the servers' data")?;
    let mut rows = own(&program, &system, &data, &questions, dir.path()).await?;
    for program in &peers {
        rows.extend(peer(program, &data, &questions, dir.path()).await?);
    }
    rows.extend(absent);
    let goals = goals(&rows, &questions);
    let seconds = began.elapsed().as_secs_f64();
    Ok(Report { bench: "query", seconds, rows, goals, notes: NOTES })
}

fn goals(rows: &[Row], questions: &[Question]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for Question { case, .. } in questions {
        for peer in Kind::ALL {
            let cpu = |system| Report::figure(rows, case, system, "cpu_ms_per_query");
            let ratio = cpu(peer.name()).zip(cpu(OWN)).map(|(its, own)| own / its);
            let what = format!("of {}'s CPU time, {case}", peer.name());
            goals.extend(Goal::at_most(what, 1.0, ratio));
        }
    }
    goals
}

async fn own(
    program: &std::path::Path,
    system: &str,
    data: &Data,
    questions: &[Question],
    dir: &std::path::Path,
) -> anyhow::Result<Vec<Row>> {
    let bar = progress::bar("filling sextant", u64::from(DAY_ROUNDS / TICKS));
    let mut store = OwnStore::create(&dir.join("aggregator"))?;
    let nodes = (0..data.nodes).map(|index| store.add(data.node(index)));
    let mut nodes = nodes.collect::<anyhow::Result<Vec<_>>>()?;
    let ticks = TICKS as usize;
    for _ in 0..(DAY_ROUNDS - HOUR_ROUNDS) / TICKS {
        store.fill(&mut nodes[..1], ticks)?;
        bar.inc(1);
    }
    for _ in 0..HOUR_ROUNDS / TICKS {
        store.fill(&mut nodes, ticks)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    drop(nodes);
    store.close();
    let aggregator = Aggregator::start(program, dir).await?;
    let mut client = aggregator.query().await?;
    let mut rows = Vec::new();
    for question in questions {
        let mut timing = Timing::start(aggregator.pid(), data.repeat)?;
        for turn in 0..data.repeat as usize {
            let selector = &question.selectors[turn % question.selectors.len()];
            let began = Instant::now();
            let answer = ask_own(&mut client, question, selector).await?;
            timing.add(began.elapsed(), answer);
        }
        rows.push(Row::of(&question.case, system, timing.figures(question)?));
    }
    aggregator.stop().await?;
    Ok(rows)
}

/// Series and points of an answer.
type Count = (u64, u64);

async fn ask_own(
    client: &mut QueryClient<Channel>,
    question: &Question,
    selector: &str,
) -> anyhow::Result<Count> {
    if question.top {
        return top_own(client, question, selector).await;
    }
    let request = RangeRequest {
        selector: selector.into(),
        start_unix_ms: question.start_ms,
        end_unix_ms: question.end_ms,
        step_ms: if question.step_ms == i64::from(INTERVAL_MS) { 0 } else { question.step_ms },
        ..RangeRequest::default()
    };
    let mut answer = client.range(request).await?.into_inner();
    let (mut series, mut points) = (std::collections::HashSet::new(), 0);
    while let Some(part) = answer.message().await? {
        points += part.values.len() as u64;
        if let Some(one) = part.series {
            let labels = one.labels.into_iter().map(|label| (label.name, label.value));
            series.insert((one.metric, labels.collect::<Vec<_>>()));
        }
    }
    Ok((series.len() as u64, points))
}

/// The highest of the newest values.
async fn top_own(
    client: &mut QueryClient<Channel>,
    question: &Question,
    selector: &str,
) -> anyhow::Result<Count> {
    let request = InstantRequest {
        selector: selector.into(),
        time_unix_ms: question.end_ms,
        limit_top: u32::try_from(TOP)?,
        ..InstantRequest::default()
    };
    let samples = client.instant(request).await?.into_inner().samples;
    Ok((samples.len() as u64, samples.len() as u64))
}

async fn peer(
    program: &Program,
    data: &Data,
    questions: &[Question],
    dir: &std::path::Path,
) -> anyhow::Result<Vec<Row>> {
    let bar = progress::bar(&program.system, 1);
    let mut peer = Peer::start(program, dir).await?;
    let mut feeds: Vec<_> = (0..data.nodes).map(|index| Feed::new(data.node(index))).collect();
    let ticks = TICKS as usize;
    let earlier = (DAY_ROUNDS - HOUR_ROUNDS) as usize;
    push(&peer, &mut feeds[..1], earlier, ticks).await?;
    push(&peer, &mut feeds, HOUR_ROUNDS as usize, ticks).await?;
    peer.settle().await?;
    bar.finish_and_clear();
    let mut connection = peer.connect().await?;
    let mut rows = Vec::new();
    for question in questions {
        let mut timing = Timing::start(peer.pid(), data.repeat)?;
        for turn in 0..data.repeat as usize {
            let selector = &question.selectors[turn % question.selectors.len()];
            let path = path(program.kind, question, selector);
            let began = Instant::now();
            let answer = ask_peer(&mut connection, &path).await?;
            timing.add(began.elapsed(), answer);
        }
        rows.push(Row::of(&question.case, &program.system, timing.figures(question)?));
    }
    peer.stop().await?;
    Ok(rows)
}

fn path(kind: Kind, question: &Question, selector: &str) -> String {
    let seconds = |ms: i64| ms as f64 / 1e3;
    let cache = if kind == Kind::VictoriaMetrics { "&nocache=1" } else { "" };
    if question.top {
        let query = escaped(&format!("topk({TOP}, {selector})"));
        return format!("/api/v1/query?query={query}&time={}{cache}", seconds(question.end_ms));
    }
    format!(
        "/api/v1/query_range?query={}&start={}&end={}&step={}{cache}",
        escaped(selector),
        seconds(question.start_ms),
        seconds(question.end_ms),
        seconds(question.step_ms),
    )
}

async fn ask_peer(connection: &mut Connection, path: &str) -> anyhow::Result<Count> {
    let answer = connection.get(path, false).await?;
    // What a client of ours does with protobuf: it finds every value.
    let value: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let result = value["data"]["result"].as_array().context("an answer without a result")?;
    let points = result.iter().map(|series| series["values"].as_array().map_or(1, Vec::len));
    Ok((result.len() as u64, points.sum::<usize>() as u64))
}

/// How long a question takes and what it costs.
struct Timing {
    pid: u32,
    before: Duration,
    repeat: u32,
    micros: Histogram<u64>,
    last: Count,
}

impl Timing {
    fn start(pid: u32, repeat: u32) -> anyhow::Result<Self> {
        let micros = Histogram::new_with_bounds(1, MAX_MICROS, 3).context("histogram")?;
        Ok(Self { pid, before: usage::cpu_time(pid)?, repeat, micros, last: (0, 0) })
    }

    fn add(&mut self, took: Duration, answer: Count) {
        self.micros.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
        self.last = answer;
    }

    fn figures(&self, question: &Question) -> anyhow::Result<Figures> {
        let cpu = (usage::cpu_time(self.pid)? - self.before).as_secs_f64();
        let (series, points) = self.last;
        anyhow::ensure!(series > 0, "{}: nothing is answered", question.case);
        let ms = |quantile| self.micros.value_at_quantile(quantile) as f64 / 1e3;
        let mut figures = Figures::default();
        figures
            .count("series", series)
            .count("points", points)
            .set("p50_ms", ms(0.5))
            .set("p99_ms", ms(0.99))
            .set("cpu_ms_per_query", cpu * 1e3 / f64::from(self.repeat));
        Ok(figures)
    }
}

#[cfg(test)]
mod tests {
    use sextant_bench::telemetry::gpu_series;

    use super::*;

    #[test]
    fn view_keeps_the_values_of_the_series_that_it_names() {
        let mut whole = Generated::new(1, 0, 1_790_000_000_000, INTERVAL_MS);
        let all = whole.next_tick().unwrap().values.to_vec();
        let mut view = Gpus::new(Generated::new(1, 0, 1_790_000_000_000, INTERVAL_MS));
        let tick = view.next_tick().unwrap();
        assert_eq!(tick.values.len(), 8 * KEPT.len());
        assert_eq!(tick.shape.series(), 8 * KEPT.len());
        // Utilization is a GPU's first series, of all and of those that are kept.
        let of = |values: &[f64], step| values.iter().copied().step_by(step).collect::<Vec<_>>();
        assert_eq!(of(tick.values, KEPT.len()), of(&all, gpu_series()));
    }
}
