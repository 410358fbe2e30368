//! HTTP: health, readiness and the Prometheus exposition. Everything but health and readiness
//! needs a viewer's token unless the listener is loopback without tokens.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use super::remote_read;
use crate::auth::{Authority, Role};
use crate::exposition::{self, Filter};
use crate::health::Health;
use crate::process;
use crate::projection::Projections;
use crate::query::Queries;
use crate::selector::Selector;
use crate::stats::Sizes;

/// The text format's content type.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Pieces of an exposition that wait for a slow reader; the writing waits with them.
const PIECES: usize = 4;

/// What the handlers need.
#[derive(Clone)]
pub struct Http {
    pub queries: Queries,
    pub health: Arc<Health>,
    pub authority: Authority,
    pub projections: Arc<Projections>,
}

/// All routes.
pub fn router(http: Http) -> Router {
    let guarded = Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/metrics/self", get(own_metrics))
        .route("/api/v1/read", post(remote_read::read))
        .route_layer(middleware::from_fn_with_state(http.clone(), authorize))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest));
    let open = Router::new().route("/health", get(health)).route("/ready", get(ready));
    guarded.merge(open).with_state(http)
}

async fn authorize(State(http): State<Http>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    match http.authority.identify(given) {
        Some(principal) if principal.may(Role::Viewer) => next.run(request).await,
        Some(_) => (StatusCode::FORBIDDEN, "this token may not read\n").into_response(),
        None => {
            let ask = [(header::WWW_AUTHENTICATE, "Bearer")];
            (StatusCode::UNAUTHORIZED, ask, "no valid bearer token\n").into_response()
        }
    }
}

/// It runs: whether it works is [`ready`]'s question.
async fn health() -> &'static str {
    "ok\n"
}

async fn ready(State(http): State<Http>) -> Response {
    let reasons = http.health.reasons();
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response()
}

async fn index() -> &'static str {
    "Sextant aggregator\n\n\
     /metrics        latest values of all nodes (?match[]=SELECTOR, ?collect[]=NAME)\n\
     /metrics/self   the aggregator's own numbers\n\
     /api/v1/read    Prometheus' remote read\n\
     /health /ready  for probes\n\n\
     sextant-aggregator nodes | top | query 'SELECTOR' --last 10m | events -f\n"
}

async fn metrics(
    State(http): State<Http>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Response {
    let mut filter = Filter::default();
    for (name, value) in parameters {
        match name.as_str() {
            "match[]" => match Selector::parse(&value) {
                Ok(selector) => filter.selectors.push(selector),
                Err(error) => {
                    return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response();
                }
            },
            "collect[]" => filter.collectors.push(value),
            _ => {
                let text =
                    format!("parameter {name:?} is unknown: there are match[] and collect[]\n");
                return (StatusCode::BAD_REQUEST, text).into_response();
            }
        }
    }
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::convert::Infallible>>(PIECES);
    tokio::task::spawn_blocking(move || {
        exposition::write(&http.queries, &http.projections, &filter, |piece| {
            sender.blocking_send(Ok(piece.into())).is_ok()
        });
    });
    let body = Body::from_stream(ReceiverStream::new(receiver));
    ([(header::CONTENT_TYPE, TEXT)], body).into_response()
}

async fn own_metrics(State(http): State<Http>) -> Response {
    let text = tokio::task::spawn_blocking(move || {
        let queries = &http.queries;
        let usage = process::usage();
        let sizes = Sizes {
            series: queries.catalog.series_count(),
            store: queries.store.size().ok(),
            resident_bytes: usage.resident_bytes,
            cpu_seconds: usage.cpu_seconds,
        };
        queries.stats.render(&sizes)
    });
    match text.await {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
