//! A real aggregator in this process, and an agent spoken by hand.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part of this")]

pub mod fleet;
pub mod receiver;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use sextant_aggregator::app::App;
use sextant_aggregator::config::Config;
use sextant_aggregator::query::Queries;
use sextant_aggregator::storage::Store;
use sextant_proto::client::ClientConfig;
use sextant_proto::frame::ChainEncoder;
use sextant_proto::layout;
use sextant_proto::v1::query_client::QueryClient;
use sextant_proto::v1::telemetry_ingest_client::TelemetryIngestClient;
use sextant_proto::v1::{
    Event, Frame, Hello, Label, Layout, LayoutEntity, LayoutMetric, LayoutRecord, LayoutSeries,
    MetricDescriptor, PushRequest, PushResponse, RangeRequest, push_request, push_response,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// An aggregator that runs until it is stopped.
pub struct Running {
    pub grpc: String,
    pub http: String,
    pub queries: Queries,
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

/// The defaults on free ports, with the data in `dir`.
pub fn config(dir: &Path) -> Config {
    let mut config = Config { data_dir: dir.to_owned(), ..Config::default() };
    config.listen.grpc.set_port(0);
    config.listen.http.set_port(0);
    config.pipeline.shards = 2;
    config.store.commit_interval = Duration::from_millis(5);
    config
}

impl Running {
    pub async fn start(config: Config) -> Self {
        Self::run(App::build(config).await.expect("aggregator starts"))
    }

    pub async fn start_on(config: Config, store: Arc<dyn Store>) -> Self {
        Self::run(App::build_on(config, move || Ok(store)).await.expect("aggregator starts"))
    }

    fn run(app: App) -> Self {
        let (grpc, http) =
            (format!("http://{}", app.grpc_addr), format!("http://{}", app.http_addr));
        let (queries, (stop, stopped)) = (app.queries(), oneshot::channel::<()>());
        #[expect(clippy::disallowed_methods, reason = "the test waits for it in stop")]
        let task = tokio::spawn(app.run(async move { drop(stopped.await) }));
        Self { grpc, http, queries, stop, task }
    }

    pub async fn stop(self) {
        drop(self.queries);
        assert!(self.stop.send(()).is_ok(), "it still runs");
        self.task.await.expect("no panic").expect("clean stop");
    }

    pub async fn channel(&self) -> Channel {
        channel(&self.grpc).await.expect("connects")
    }

    pub async fn query(&self) -> QueryClient<Channel> {
        QueryClient::new(self.channel().await)
    }
}

async fn channel(endpoint: &str) -> Result<Channel, Status> {
    let channel = Channel::from_shared(endpoint.to_owned()).expect("address").connect().await;
    channel.map_err(|e| Status::unavailable(e.to_string()))
}

/// An agent's stream.
pub struct Agent {
    pub hello_ack: u64,
    requests: mpsc::Sender<PushRequest>,
    responses: Streaming<PushResponse>,
    encoder: ChainEncoder,
}

pub fn hello(node: &str, spool: &str) -> Hello {
    Hello {
        cluster: "test".into(),
        node: node.into(),
        spool_id: spool.into(),
        boot_id: "boot".into(),
        agent_version: "0".into(),
        metrics: vec![MetricDescriptor {
            name: "test_value".into(),
            kind: 1,
            unit: String::new(),
            help: "A value\nof a \\ test.".into(),
        }],
        time_unix_ms: now_ms(),
        ..Hello::default()
    }
}

pub fn now_ms() -> i64 {
    sextant_aggregator::clock::now_ms()
}

/// A layout with `series` series of test_value, and its record.
pub fn test_layout(series: usize) -> LayoutRecord {
    let one = |i: usize| LayoutSeries {
        metric: 0,
        labels: vec![Label { name: "i".into(), value: i.to_string() }],
    };
    record(&Layout {
        collector: "test".into(),
        interval_ms: 1000,
        metrics: vec![LayoutMetric { name: "test_value".into(), kind: 1 }],
        entities: vec![LayoutEntity {
            r#type: "node".into(),
            labels: vec![],
            series: (0..series).map(one).collect(),
        }],
    })
}

pub fn record(layout: &Layout) -> LayoutRecord {
    let bytes = Bytes::from(layout.encode_to_vec());
    LayoutRecord { hash: layout::hash(&bytes), layout: bytes }
}

impl Agent {
    pub async fn connect(endpoint: &str, hello: Hello) -> Result<Self, Status> {
        Self::open(ClientConfig { endpoint: endpoint.into(), ..ClientConfig::default() }, hello)
            .await
    }

    pub async fn connect_as(endpoint: &str, hello: Hello, token: &Path) -> Result<Self, Status> {
        let token_file = Some(token.to_owned());
        let client =
            ClientConfig { endpoint: endpoint.into(), token_file, ..ClientConfig::default() };
        Self::open(client, hello).await
    }

    pub async fn open(client: ClientConfig, hello: Hello) -> Result<Self, Status> {
        let channel = client.connect().await.map_err(|e| Status::unavailable(e.to_string()))?;
        let (requests, stream) = mpsc::channel(1024);
        let first = PushRequest { message: Some(push_request::Message::Hello(hello)) };
        requests.send(first).await.expect("open");
        let mut client = TelemetryIngestClient::new(channel);
        let mut responses = client.push(ReceiverStream::new(stream)).await?.into_inner();
        match responses.message().await?.and_then(|r| r.message) {
            Some(push_response::Message::Hello(ack)) => {
                let hello_ack = ack.committed_seq;
                Ok(Self { hello_ack, requests, responses, encoder: ChainEncoder::new() })
            }
            other => panic!("no hello but {other:?}"),
        }
    }

    pub async fn layout(&self, record: &LayoutRecord) {
        self.send(push_request::Message::Layout(record.clone())).await;
    }

    pub async fn frame(&mut self, seq: u64, layout: u64, tick: i64, values: &[f64]) {
        let frame = self.encoder.encode(layout, &[tick], values, &[]);
        self.raw(Frame { seq, ..frame }).await;
    }

    pub async fn events(&mut self, seq: u64, events: Vec<Event>) {
        let frame = self.encoder.encode(0, &[], &[], &events);
        self.raw(Frame { seq, ..frame }).await;
    }

    pub async fn raw(&self, frame: Frame) {
        self.send(push_request::Message::Frame(frame)).await;
    }

    async fn send(&self, message: push_request::Message) {
        self.requests.send(PushRequest { message: Some(message) }).await.expect("stream is open");
    }

    pub async fn next(&mut self) -> Result<Option<push_response::Message>, Status> {
        Ok(self.responses.message().await?.and_then(|r| r.message))
    }

    /// Waits until `seq` is acknowledged; what was refused before it.
    pub async fn acked(&mut self, seq: u64) -> Vec<(u64, String)> {
        let mut refused = Vec::new();
        loop {
            match self.next().await.expect("stream is open").expect("stream is open") {
                push_response::Message::Ack(ack) if ack.committed_seq >= seq => return refused,
                push_response::Message::Refused(r) => refused.push((r.seq, r.detail)),
                _ => {}
            }
        }
    }
}

/// Every sample of a selector: (labels, time, value), by series and time.
pub async fn all(
    client: &mut QueryClient<Channel>,
    selector: &str,
) -> Vec<(String, Vec<(i64, f64)>)> {
    let request = RangeRequest {
        selector: selector.into(),
        start_unix_ms: 0,
        end_unix_ms: i64::MAX / 2,
        step_ms: 0,
        ..RangeRequest::default()
    };
    let mut stream = client.range(request).await.expect("range").into_inner();
    let mut found: std::collections::BTreeMap<String, Vec<(i64, f64)>> = Default::default();
    while let Some(part) = stream.message().await.expect("range") {
        let series = part.series.expect("series");
        let labels: Vec<_> =
            series.labels.iter().map(|l| format!("{}={}", l.name, l.value)).collect();
        let points = part.times_unix_ms.into_iter().zip(part.values);
        found.entry(format!("{} {}", series.metric, labels.join(" "))).or_default().extend(points);
    }
    found.into_iter().collect()
}

/// GET by hand: status line, headers and body.
pub async fn get(base: &str, path: &str, token: Option<&str>) -> (u16, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let addr = base.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(addr).await.expect("connects");
    let token = token.map(|t| format!("Authorization: Bearer {t}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n{token}\r\n");
    stream.write_all(request.as_bytes()).await.expect("an answer");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    (head.split(' ').nth(1).expect("an answer").parse().expect("an answer"), body.to_owned())
}

/// A process that is killed when this goes.
pub struct Kill(pub std::process::Child);

impl Drop for Kill {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A layout and one row of values, written as a collector writes them. Metrics and their kinds
/// are those that the agent has.
pub struct Shape {
    layout: Layout,
    kinds: std::collections::HashMap<String, i32>,
    values: Vec<f64>,
}

impl Shape {
    pub fn new(collector: &str, interval_ms: u32) -> Self {
        let metrics = agent_metrics().into_iter().map(|m| (m.name, m.kind));
        let layout = Layout { collector: collector.into(), interval_ms, ..Layout::default() };
        Self { layout, kinds: metrics.collect(), values: Vec::new() }
    }

    pub fn entity(&mut self, kind: &str, labels: &[(&str, &str)]) -> &mut Self {
        let entity = LayoutEntity { r#type: kind.into(), labels: wire(labels), series: vec![] };
        self.layout.entities.push(entity);
        self
    }

    pub fn set(&mut self, metric: &str, labels: &[(&str, &str)], value: f64) -> &mut Self {
        let kind = *self.kinds.get(metric).unwrap_or_else(|| panic!("the agent has no {metric}"));
        let known = self.layout.metrics.iter().position(|m| m.name == metric);
        let number = known.unwrap_or_else(|| {
            self.layout.metrics.push(LayoutMetric { name: metric.into(), kind });
            self.layout.metrics.len() - 1
        });
        let series = LayoutSeries { metric: number.try_into().unwrap(), labels: wire(labels) };
        self.layout.entities.last_mut().expect("an entity first").series.push(series);
        self.values.push(value);
        self
    }

    /// The layout's record and the row.
    pub fn finish(&self) -> (LayoutRecord, Vec<f64>) {
        (record(&self.layout), self.values.clone())
    }
}

/// Every metric that the agent can produce.
pub fn agent_metrics() -> Vec<MetricDescriptor> {
    sextant_agent::app::metrics(&sextant_agent::config::Config::default()).expect("defaults")
}

fn wire(labels: &[(&str, &str)]) -> Vec<Label> {
    labels.iter().map(|(n, v)| Label { name: (*n).into(), value: (*v).into() }).collect()
}
