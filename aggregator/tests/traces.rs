//! Traces leave both daemons by OTLP when an endpoint is configured, and do not hold up a stop.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use sextant_proto::logging::{self, LogConfig};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A collector that counts the exports it gets and answers with an empty gRPC message.
async fn collector(exports: Arc<AtomicUsize>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let answer = move |request: Request| {
        let exports = Arc::clone(&exports);
        async move {
            let path = request.uri().path().to_owned();
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
            if path == EXPORT && body.windows(6).any(|w| w == b"commit") {
                exports.fetch_add(1, Ordering::SeqCst);
            }
            let headers = [("content-type", "application/grpc"), ("grpc-status", "0")];
            (headers, vec![0u8; 5])
        }
    };
    let router = Router::new().fallback(answer);
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    drop(tokio::spawn(async move { axum::serve(listener, router).await }));
    endpoint
}

// The agent's runtime: one thread, which both waits for the last export and sends it.
#[tokio::test(flavor = "current_thread")]
async fn spans_are_exported_and_a_stop_ends() {
    let exports = Arc::new(AtomicUsize::new(0));
    let otlp_endpoint = Some(collector(Arc::clone(&exports)).await);
    let config = LogConfig { otlp_endpoint, ..LogConfig::default() };
    let traces = logging::start(&config, "sextant-test").unwrap();
    tracing::info_span!("commit", changes = 1).in_scope(|| {});
    traces.finish().await;
    assert_eq!(exports.load(Ordering::SeqCst), 1);
}
