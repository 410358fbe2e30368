//! `/healthz` for the kubelet, on a thread of its own: it answers while the main loop does not.
//!
//! Healthy means that a restart would not help: the main loop runs. An aggregator that is away
//! and a stalled collector are told, and are no reason to restart.

use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::spool::Mode;
use crate::stats::Stats;

/// A main loop that was not seen for so long hangs.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(30);

/// The `[health]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthConfig {
    /// Address of `/healthz`; port 0 takes a free one.
    pub listen: SocketAddr,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9318)) }
    }
}

/// Why `/healthz` cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address} for health.listen")]
pub struct HealthError {
    address: SocketAddr,
    source: io::Error,
}

/// A bound address.
#[derive(Debug)]
pub struct Health {
    listener: TcpListener,
}

impl Health {
    /// Binds the address, so that one in use is an error at the start.
    ///
    /// # Errors
    /// [`HealthError`] names the address.
    pub fn bind(config: &HealthConfig) -> Result<Self, HealthError> {
        let address = config.listen;
        let listener = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        listener.map(|listener| Self { listener }).map_err(|source| HealthError { address, source })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves on a thread until it is cancelled.
    ///
    /// # Errors
    /// When the system gives no thread or no runtime.
    pub fn serve(self, stats: Arc<Stats>, cancel: CancellationToken) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let listener = {
            let _within = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener)?
        };
        let app = Router::new().route("/healthz", get(move || async move { answer(&stats) }));
        let thread = std::thread::Builder::new().name("health".into()).stack_size(256 << 10);
        thread.spawn(move || {
            let serving =
                axum::serve(listener, app).with_graceful_shutdown(cancel.cancelled_owned());
            if let Err(error) = runtime.block_on(async { serving.await }) {
                tracing::error!(%error, "health is not served any more");
            }
        })?;
        Ok(())
    }
}

fn answer(stats: &Stats) -> (StatusCode, String) {
    report(stats, stats.heartbeat.age())
}

fn report(stats: &Stats, since: Duration) -> (StatusCode, String) {
    let healthy = since < HEARTBEAT_LIMIT;
    let mut text = String::from(if healthy { "ok\n" } else { "unhealthy\n" });
    let mut line = |line: std::fmt::Arguments<'_>| {
        writeln!(text, "{line}").expect("a String takes any text");
    };
    if !healthy {
        line(format_args!("main loop has not run for {} s", since.as_secs()));
    }
    for collector in stats.collectors() {
        if collector.stalled.load(Relaxed) {
            let name = collector.name;
            let since = collector.running().map_or(0, |(_, since)| since.as_secs());
            line(format_args!("collector {name} is stalled for {since} s"));
        }
    }
    if !stats.uplink.connected.load(Relaxed) {
        line(format_args!("uplink is not connected"));
    }
    let spool = stats.spool.stats();
    if spool.mode == Mode::Memory {
        line(format_args!("spool is in memory, its directory cannot be written"));
    }
    line(format_args!("spool holds {} frames in {} bytes", spool.frames, spool.bytes));
    (if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Spool;

    #[test]
    fn only_a_main_loop_that_hangs_is_unhealthy() {
        let stats = Stats::new(Arc::new(Spool::memory(1 << 20).unwrap()));
        let host = stats.register("host");
        let (status, text) = report(&stats, Duration::from_secs(29));
        assert_eq!(status, StatusCode::OK);
        assert!(text.starts_with("ok\n") && text.contains("uplink is not connected"), "{text}");
        host.begin();
        host.stalled.store(true, Relaxed);
        stats.uplink.connected.store(true, Relaxed);
        let (status, text) = report(&stats, Duration::from_secs(31));
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        for line in ["main loop has not run for 31 s", "collector host is stalled", "0 frames"] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains("uplink"), "{text}");
    }
}
