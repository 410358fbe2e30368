//! A receiver of remote write: decodes what comes, and answers as it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use parking_lot::Mutex;
use prost::Message as _;
use sextant_aggregator::forward::messages::{Request, WriteRequest};

/// Labels as `name=value,...`, time and value of each sample as it came.
pub type Sample = (String, i64, f64);
/// What to answer to a request with these samples; `None`: take it.
pub type Judge = Box<dyn Fn(&HeaderMap, &[Sample]) -> Option<(u16, &'static str)> + Send>;

#[derive(Default)]
struct Taken {
    samples: Vec<Sample>,
    /// Content types of all requests, taken or not.
    content: Vec<String>,
    headers: Option<HeaderMap>,
    metadata: Vec<String>,
}

#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    taken: Arc<Mutex<Taken>>,
    judge: Arc<Mutex<Judge>>,
    /// It knows 2.0.
    two: bool,
}

impl Receiver {
    pub async fn start(two: bool) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
        let judge: Judge = Box::new(|_, _| None);
        let judge = Arc::new(Mutex::new(judge));
        let receiver = Self { url, taken: Arc::default(), judge, two };
        let router = Router::new().route("/api/v1/write", post(take)).with_state(receiver.clone());
        #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    pub fn answer(
        &self,
        judge: impl Fn(&HeaderMap, &[Sample]) -> Option<(u16, &'static str)> + Send + 'static,
    ) {
        *self.judge.lock() = Box::new(judge);
    }

    pub fn samples(&self) -> Vec<Sample> {
        self.taken.lock().samples.clone()
    }

    /// Without the markers of staleness, which a slow machine may cause.
    pub fn values(&self) -> BTreeMap<String, Vec<(i64, String)>> {
        let mut all = self.series();
        all.values_mut().for_each(|points| points.retain(|p| p.1 != "stale"));
        all
    }

    pub fn count(&self) -> usize {
        self.values().values().map(Vec::len).sum()
    }

    /// By series; the marker of staleness by its bits.
    pub fn series(&self) -> BTreeMap<String, Vec<(i64, String)>> {
        let mut all: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
        for (labels, time, value) in self.samples() {
            let stale = value.to_bits() == 0x7ff0_0000_0000_0002;
            let value = if stale { "stale".to_owned() } else { value.to_string() };
            all.entry(labels).or_default().push((time, value));
        }
        all
    }

    pub fn content(&self) -> Vec<String> {
        self.taken.lock().content.clone()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let taken = self.taken.lock();
        taken.headers.as_ref()?.get(name)?.to_str().ok().map(str::to_owned)
    }

    pub fn metadata(&self) -> Vec<String> {
        self.taken.lock().metadata.clone()
    }

    /// Waits until it has so many samples, markers not counted.
    pub async fn wait(&self, samples: usize) {
        self.until(|r| r.count() >= samples).await;
    }

    pub async fn until(&self, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !done(self) {
            assert!(Instant::now() < deadline, "never, there are {}", self.count());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let of = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(of("content-encoding"), "snappy");
    let content = of("content-type");
    let plain = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    let two = content == "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let mut taken = receiver.taken.lock();
    taken.content.push(content);
    let version = of("x-prometheus-remote-write-version");
    assert_eq!(version, if two { "2.0.0" } else { "0.1.0" });
    let (mut samples, mut metadata) = (Vec::new(), Vec::new());
    if two && receiver.two {
        let request = Request::decode(&*plain).unwrap();
        assert_eq!(request.symbols[0], "");
        let text = |number: u32| &*request.symbols[number as usize];
        for series in &request.timeseries {
            let pairs = series.labels_refs.chunks_exact(2);
            let labels: Vec<_> = pairs.map(|p| format!("{}={}", text(p[0]), text(p[1]))).collect();
            metadata.push(text(series.metadata.unwrap().help_ref).to_owned());
            let labels = labels.join(",");
            samples.extend(series.samples.iter().map(|s| (labels.clone(), s.timestamp, s.value)));
        }
    } else {
        // One that knows 1.0 only finds nothing in a request of 2.0.
        let request = WriteRequest::decode(&*plain).unwrap();
        metadata.extend(request.metadata.into_iter().map(|m| m.help));
        for series in &request.timeseries {
            let labels: Vec<_> =
                series.labels.iter().map(|l| format!("{}={}", l.name, l.value)).collect();
            let labels = labels.join(",");
            samples.extend(series.samples.iter().map(|s| (labels.clone(), s.timestamp, s.value)));
        }
    }
    if let Some((status, text)) = (receiver.judge.lock())(&headers, &samples) {
        return (StatusCode::from_u16(status).unwrap(), text).into_response();
    }
    let count = samples.len().to_string();
    taken.samples.extend(samples);
    taken.metadata.extend(metadata);
    taken.headers = Some(headers);
    if two && receiver.two {
        let written = [("x-prometheus-remote-write-samples-written", count)];
        return (StatusCode::NO_CONTENT, written).into_response();
    }
    StatusCode::NO_CONTENT.into_response()
}
