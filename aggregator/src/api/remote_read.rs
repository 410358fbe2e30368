//! Prometheus' remote read: POST /api/v1/read, a `ReadRequest` in snappy's block format, answered
//! with raw samples. A reader that prefers streamed chunks takes samples too, or is refused.
//!
//! An answer is made in memory, so its samples and the answers at once are bounded; over a bound
//! nothing is left out, the request fails and says so.

use std::fmt::Write as _;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prost::Message as _;
use sextant_proto::chain::chain;
use tokio::sync::Semaphore;

use super::http::Http;
use crate::forward::compress;
use crate::forward::messages::{Label, Sample, TimeSeries};
use crate::query::{Aggregation, Points, Queries, QueryError, RangeQuery};
use crate::series::Series;

/// Samples of one answer: about 80 MB.
const MAX_SAMPLES: usize = 5_000_000;
/// As many samples as the labels of a series count for.
const LABELS: usize = 20;
/// Questions of one request.
const MAX_QUERIES: usize = 100;
/// A request's bytes, as they are before snappy.
const MAX_REQUEST_BYTES: usize = 1 << 20;
/// Answers that are made at once.
static ANSWERS: Semaphore = Semaphore::const_new(4);
/// The only type of answer that is given.
const SAMPLES: i32 = 0;

#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadRequest {
    #[prost(message, repeated, tag = "1")]
    pub queries: Vec<Query>,
    /// 0 samples, 1 streamed chunks; none: samples.
    #[prost(int32, repeated, tag = "2")]
    pub accepted_response_types: Vec<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Query {
    #[prost(int64, tag = "1")]
    pub start_timestamp_ms: i64,
    #[prost(int64, tag = "2")]
    pub end_timestamp_ms: i64,
    #[prost(message, repeated, tag = "3")]
    pub matchers: Vec<LabelMatcher>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LabelMatcher {
    /// 0 =, 1 !=, 2 =~, 3 !~
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadResponse {
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<QueryResult>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryResult {
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// Why there is no answer: a status and what to do.
type Refusal = (StatusCode, String);

pub(super) async fn read(State(http): State<Http>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(_permit) = ANSWERS.try_acquire() else {
        let text = "too many remote reads at once: try again\n";
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], text).into_response();
    };
    let request = match decode(&headers, &body) {
        Ok(request) => request,
        Err(refusal) => return refuse(refusal),
    };
    let answer = tokio::task::spawn_blocking(move || answer(&http.queries, &request));
    match answer.await {
        Ok(Ok(body)) => {
            let headers = [
                (header::CONTENT_TYPE, "application/x-protobuf"),
                (header::CONTENT_ENCODING, "snappy"),
            ];
            (headers, body).into_response()
        }
        Ok(Err(refusal)) => refuse(refusal),
        Err(error) => refuse((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

fn refuse((status, text): Refusal) -> Response {
    (status, text + "\n").into_response()
}

fn bad(text: impl Into<String>) -> Refusal {
    (StatusCode::BAD_REQUEST, text.into())
}

fn decode(headers: &HeaderMap, body: &[u8]) -> Result<ReadRequest, Refusal> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|v| v.as_bytes());
    if encoding.is_some_and(|encoding| encoding != b"snappy") {
        let text = "a remote read is compressed with snappy's block format";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text.into()));
    }
    let not_snappy = |e| bad(format!("the body is not snappy's block format: {e}"));
    if snap::raw::decompress_len(body).map_err(not_snappy)? > MAX_REQUEST_BYTES {
        return Err(bad(format!("the request has over {MAX_REQUEST_BYTES} bytes")));
    }
    let plain = snap::raw::Decoder::new().decompress_vec(body).map_err(not_snappy)?;
    let request = ReadRequest::decode(&*plain)
        .map_err(|e| bad(format!("the body is no prometheus.ReadRequest: {e}")))?;
    let types = &request.accepted_response_types;
    if !types.is_empty() && !types.contains(&SAMPLES) {
        return Err(bad("streamed chunks are not served: accept SAMPLES too"));
    }
    if request.queries.len() > MAX_QUERIES {
        return Err(bad(format!("the request has over {MAX_QUERIES} queries")));
    }
    Ok(request)
}

fn answer(queries: &Queries, request: &ReadRequest) -> Result<Bytes, Refusal> {
    let mut left = MAX_SAMPLES;
    let results: Result<Vec<_>, _> =
        request.queries.iter().map(|query| result(queries, query, &mut left)).collect();
    let plain = ReadResponse { results: results? }.encode_to_vec();
    Ok(compress(&plain))
}

fn result(queries: &Queries, query: &Query, left: &mut usize) -> Result<QueryResult, Refusal> {
    let selector = selector(&query.matchers)?;
    let range = RangeQuery {
        selector: &selector,
        start_ms: query.start_timestamp_ms,
        end_ms: query.end_timestamp_ms,
        step_ms: 0,
        aggregation: Aggregation::Last,
    };
    let (mut timeseries, mut over) = (Vec::new(), false);
    let done = queries.range_by(&range, &mut |points| {
        let cost = points.times_ms.len() + LABELS;
        over = cost > *left;
        *left = left.saturating_sub(cost);
        if !over {
            timeseries.push(series(&points));
        }
        !over
    });
    done.map_err(|error| match error {
        QueryError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, chain(&error)),
        _ => bad(chain(&error)),
    })?;
    if over {
        let text = format!(
            "the answer has over {MAX_SAMPLES} samples, {LABELS} counted for a series itself: ask for fewer series or a shorter range"
        );
        return Err(bad(text));
    }
    timeseries.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(QueryResult { timeseries })
}

/// The matchers as a selector's text.
fn selector(matchers: &[LabelMatcher]) -> Result<String, Refusal> {
    let mut text = String::from("{");
    for matcher in matchers {
        let operator = match matcher.r#type {
            0 => "=",
            1 => "!=",
            2 => "=~",
            3 => "!~",
            other => return Err(bad(format!("a matcher has the type {other}, which is none"))),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let begins = matcher.name.starts_with(|c: char| !c.is_ascii_digit());
        if !begins || !matcher.name.chars().all(is_name) {
            return Err(bad(format!("{:?} is no label's name", matcher.name)));
        }
        let value = matcher.value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(text, "{}{operator}\"{value}\",", matcher.name).expect("a String takes all");
    }
    text.push('}');
    Ok(text)
}

fn series(points: &Points) -> TimeSeries {
    let samples = points.times_ms.iter().zip(&points.values);
    TimeSeries {
        labels: labels(&points.series),
        samples: samples.map(|(&timestamp, &value)| Sample { value, timestamp }).collect(),
    }
}

fn labels(series: &Series) -> Vec<Label> {
    let own = [
        ("__name__", &series.metric),
        ("cluster", &series.node.cluster),
        ("node", &series.node.name),
    ];
    let more = series.labels.iter().map(|(name, value)| (&**name, value));
    let all = own.into_iter().chain(more).filter(|(_, value)| !value.is_empty());
    let mut labels: Vec<Label> =
        all.map(|(name, value)| Label { name: name.into(), value: value.to_string() }).collect();
    labels.sort();
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::Selector;

    fn matcher(kind: i32, name: &str, value: &str) -> LabelMatcher {
        LabelMatcher { r#type: kind, name: name.into(), value: value.into() }
    }

    #[test]
    fn matchers_become_a_selector_whatever_their_values() {
        let odd = "a\"b\\c\nd";
        let all = [
            matcher(0, "a", odd),
            matcher(1, "b", "x"),
            matcher(2, "c", "\\d+"),
            matcher(3, "d", ".+"),
        ];
        let parsed = Selector::parse(&selector(&all).expect("matchers")).expect("a selector");
        let [a, b, c, d] = parsed.matchers() else { panic!("{parsed:?}") };
        assert!(a.matches(odd) && !a.matches("a"));
        assert!(b.matches("y") && !b.matches("x"));
        assert!(c.matches("12") && !c.matches("x1"));
        assert!(d.matches("") && !d.matches("x"));
        assert!(selector(&[matcher(7, "a", "")]).is_err());
        assert!(selector(&[matcher(0, "a=\"\",b", "")]).is_err());
    }

    #[test]
    fn what_is_no_request_is_refused_with_a_reason() {
        let packed = |request: &ReadRequest| compress(&request.encode_to_vec());
        let refused = |body: &[u8], want: &str| {
            let (status, text) = decode(&HeaderMap::new(), body).expect_err(want);
            assert!(status == StatusCode::BAD_REQUEST && text.contains(want), "{text}");
        };
        refused(b"\xff", "snappy");
        let chunks = ReadRequest { accepted_response_types: vec![1], ..Default::default() };
        refused(&packed(&chunks), "accept SAMPLES");
        let both = ReadRequest { accepted_response_types: vec![1, 0], ..Default::default() };
        assert_eq!(decode(&HeaderMap::new(), &packed(&both)), Ok(both));
        refused(
            &packed(&ReadRequest { queries: vec![Query::default(); 101], ..Default::default() }),
            "100 queries",
        );
        refused(&compress(&vec![0; MAX_REQUEST_BYTES + 1]), "bytes");
    }
}
