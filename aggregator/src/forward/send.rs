//! Requests to a service, one after the other, until each is taken or given up.
//!
//! What may work later is tried again for ever: errors of connections and of the server (5xx),
//! and 429. A request that is refused as such (400, 413) is cut in halves until the part that is
//! to blame is small; that is dropped. Everything else is a matter of the configuration: it is
//! said, and tried again slowly.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderMap, RETRY_AFTER};
use sextant_proto::chain::chain;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::encode::{self, Run, Version, halves, samples};
use super::{Protocol, Target};
use crate::clock;
use crate::http_client::{Answer, HttpClient, HttpError};

const FIRST_WAIT: Duration = Duration::from_millis(250);
const MAX_WAIT: Duration = Duration::from_secs(30);
/// The longest wait that a service may ask for.
const MAX_ASKED: Duration = Duration::from_secs(300);
/// Between tries of what only a change of configuration can mend.
const DENIED_WAIT: Duration = Duration::from_secs(60);
/// How long a request that is on its way at a stop is waited for.
const GRACE: Duration = Duration::from_secs(3);
/// How a receiver of 2.0 says what it took. One of 1.0 takes a 2.0 request for an empty one.
const WRITTEN: &str = "x-prometheus-remote-write-samples-written";
const MAX_SAID: usize = 300;

/// The aggregator stops.
#[derive(Debug)]
pub(super) struct Stopped;

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Taken { missing: u64 },
    OtherVersion,
    Refused,
    Later(Option<Duration>),
    Denied,
}

/// One connection's requests.
pub(super) struct Sender {
    pub(super) client: HttpClient,
    pub(super) target: Arc<Target>,
    pub(super) stop: CancellationToken,
}

impl Sender {
    /// Sends runs in order; on return each sample was taken or dropped.
    pub(super) async fn deliver(&self, runs: Vec<Run>) -> Result<(), Stopped> {
        let mut parts = encode::requests(runs);
        parts.reverse();
        while let Some(part) = parts.pop() {
            if self.stop.is_cancelled() {
                return Err(Stopped);
            }
            let count = samples(&part) as u64;
            match self.push(&part).await? {
                Ok(missing) => {
                    self.target.stats.sent.add(count.saturating_sub(missing));
                    self.target.stats.lose("not_written", missing.min(count));
                }
                Err(why) => match halves(&part) {
                    Some((before, after)) => parts.extend([after, before]),
                    None => {
                        self.target.refused(&why);
                        self.target.stats.lose("refused", count);
                    }
                },
            }
        }
        Ok(())
    }

    /// Sends one request until it is taken (what of it was not written) or refused (why).
    async fn push(&self, part: &[Run]) -> Result<Result<u64, String>, Stopped> {
        let (target, mut wait) = (&self.target, FIRST_WAIT);
        loop {
            let version = target.version();
            let labels = &target.config.external_labels;
            let body = encode::body(version, part, labels, &target.queries.catalog);
            let answer = tokio::select! {
                answer = self.client.post("", encode::headers(version), body) => answer,
                () = self.stopping() => return Err(Stopped),
            };
            let verdict = judge(version, target.config.protocol, samples(part) as u64, &answer);
            let why = said(&answer);
            let pause = match verdict {
                Verdict::Taken { missing } => {
                    target.taken(version);
                    return Ok(Ok(missing));
                }
                Verdict::Refused => {
                    target.stats.fail("refused");
                    return Ok(Err(why));
                }
                Verdict::OtherVersion => {
                    target.speak_one();
                    continue;
                }
                Verdict::Later(asked) => {
                    target.stats.fail(if answer.is_ok() { "busy" } else { "unreachable" });
                    let pause = asked.unwrap_or(wait).min(MAX_ASKED);
                    wait = (wait * 2).min(MAX_WAIT);
                    pause
                }
                Verdict::Denied => {
                    target.stats.fail("denied");
                    DENIED_WAIT
                }
            };
            target.failing(&why, verdict == Verdict::Denied);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => return Err(Stopped),
            }
        }
    }

    /// Tells what is known of metrics, where that is not part of requests; whether it was taken.
    pub(super) async fn metadata(&self) -> bool {
        for body in encode::metadata(&self.target.queries.catalog) {
            let sent = self.client.post("", encode::headers(Version::One), body);
            let answer = tokio::select! {
                answer = sent => answer,
                () = self.stopping() => return false,
            };
            if !answer.is_ok_and(|answer| answer.status.is_success()) {
                return false;
            }
        }
        true
    }

    /// Returns a while after the stop.
    async fn stopping(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    }
}

fn judge(
    version: Version,
    protocol: Protocol,
    count: u64,
    answer: &Result<Answer, HttpError>,
) -> Verdict {
    let answer = match answer {
        Ok(answer) => answer,
        Err(HttpError::Address { .. } | HttpError::File { .. } | HttpError::Tls(_)) => {
            return Verdict::Denied;
        }
        Err(_) => return Verdict::Later(None),
    };
    let two = version == Version::Two;
    let other = if protocol == Protocol::Auto { Verdict::OtherVersion } else { Verdict::Denied };
    let status = answer.status;
    if status.is_success() {
        let written = answer.headers.get(WRITTEN).and_then(|v| v.to_str().ok()?.parse().ok());
        return match written {
            None if two => other,
            written => Verdict::Taken { missing: count.saturating_sub(written.unwrap_or(count)) },
        };
    }
    match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE if two => other,
        StatusCode::BAD_REQUEST if two && is_about_content(&answer.body) => other,
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Verdict::Refused,
        StatusCode::TOO_MANY_REQUESTS => Verdict::Later(retry_after(&answer.headers)),
        status if status.is_server_error() => Verdict::Later(retry_after(&answer.headers)),
        _ => Verdict::Denied,
    }
}

fn is_about_content(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    ["content-type", "content type", "proto", "unmarshal"].iter().any(|word| text.contains(word))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// An answer in words.
fn said(answer: &Result<Answer, HttpError>) -> String {
    match answer {
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.body);
            let text: String = text.trim().chars().take(MAX_SAID).collect();
            format!("{}: {text}", answer.status)
        }
        Err(error) => chain(error),
    }
}

impl Target {
    fn taken(&self, version: Version) {
        self.stats.last_success_ms.store(clock::now_ms(), std::sync::atomic::Ordering::Relaxed);
        let mut state = self.state.lock();
        state.agreed = Some(version);
        if std::mem::take(&mut state.failing) {
            info!(target_name = self.config.name, "forwarding goes on");
        }
    }

    fn failing(&self, why: &str, denied: bool) {
        if std::mem::replace(&mut self.state.lock().failing, true) {
            return;
        }
        let name = &self.config.name;
        if denied {
            warn!(
                target_name = name,
                why, "forwarding is denied: check the target's configuration"
            );
        } else {
            warn!(target_name = name, why, "forwarding fails and is tried again");
        }
    }

    fn refused(&self, why: &str) {
        if !std::mem::replace(&mut self.state.lock().refused, true) {
            let name = &self.config.name;
            warn!(
                target_name = name,
                why, "samples are refused and dropped, from now on counted only"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(
        status: u16,
        headers: &[(&'static str, &'static str)],
        body: &str,
    ) -> Result<Answer, HttpError> {
        let pair = |(n, v): &(&'static str, &'static str)| {
            (hyper::header::HeaderName::from_static(n), hyper::header::HeaderValue::from_static(v))
        };
        Ok(Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: headers.iter().map(pair).collect(),
            body: body.to_owned().into(),
        })
    }

    #[test]
    fn answers_are_judged() {
        use Version::{One, Two};
        let judge = |version, protocol, answer| judge(version, protocol, 5, &answer);
        let auto = Protocol::Auto;
        assert_eq!(judge(One, auto, answer(204, &[], "")), Verdict::Taken { missing: 0 });
        let header = |count| answer(204, &[(WRITTEN, count)], "");
        assert_eq!(judge(Two, auto, header("5")), Verdict::Taken { missing: 0 });
        assert_eq!(judge(Two, auto, header("3")), Verdict::Taken { missing: 2 });
        // One that knows 1.0 only takes nothing, and says 204.
        assert_eq!(judge(Two, auto, answer(204, &[], "")), Verdict::OtherVersion);
        assert_eq!(judge(Two, Protocol::Two, answer(204, &[], "")), Verdict::Denied);
        assert_eq!(judge(Two, auto, answer(415, &[], "")), Verdict::OtherVersion);
        assert_eq!(judge(Two, auto, answer(400, &[], "bad Content-Type")), Verdict::OtherVersion);
        assert_eq!(judge(Two, auto, answer(400, &[], "out of order")), Verdict::Refused);
        assert_eq!(judge(One, auto, answer(400, &[], "bad Content-Type")), Verdict::Refused);
        assert_eq!(judge(One, auto, answer(503, &[], "")), Verdict::Later(None));
        let asked = Some(Duration::from_secs(7));
        assert_eq!(
            judge(One, auto, answer(429, &[("retry-after", "7")], "")),
            Verdict::Later(asked)
        );
        for status in [301, 401, 403, 404] {
            assert_eq!(judge(One, auto, answer(status, &[], "")), Verdict::Denied);
        }
        assert_eq!(judge(One, auto, Err(HttpError::Timeout(MAX_WAIT))), Verdict::Later(None));
    }
}
