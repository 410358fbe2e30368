//! The gRPC listener: ingest, queries, health and reflection, with TLS and tokens.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sextant_proto::DESCRIPTOR_SET;
use sextant_proto::v1::advice_server::AdviceServer;
use sextant_proto::v1::query_server::QueryServer;
use sextant_proto::v1::rules_server::RulesServer;
use sextant_proto::v1::telemetry_ingest_server::TelemetryIngestServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};

use crate::api::advice::{self, AdviceService};
use crate::api::grpc::QueryService;
use crate::api::rules::RulesService;
use crate::auth::{Authority, Role};
use crate::config::TlsConfig;
use crate::ingest::Ingest;

/// Largest message that a client may send: a layout, with room for what wraps it.
const MAX_MESSAGE_BYTES: usize = sextant_proto::limits::MAX_LAYOUT_BYTES + 4096;
/// A connection that answers no ping for so long is closed, and its node is free again.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Streams and requests that one connection may have open.
const MAX_STREAMS: u32 = 256;
/// HTTP/2 windows: an agent sends about a kilobyte a second, and there are thousands of them.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;

/// What is served besides reflection.
pub(super) struct Services<H> {
    pub(super) health: H,
    pub(super) ingest: Ingest,
    pub(super) query: QueryService,
    pub(super) advice: AdviceService,
    pub(super) rules: RulesService,
}

/// Makes the server; it runs until `stop`.
///
/// # Errors
/// When a certificate or key cannot be read or used.
pub(super) fn serve<H: HealthService>(
    tls: &TlsConfig,
    authority: &Authority,
    services: Services<HealthServer<H>>,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<impl Future<Output = Result<(), tonic::transport::Error>> + use<H>> {
    let Services { health, ingest, query, advice, rules } = services;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
        .build_v1()
        .context("reflection")?;
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(2 * STREAM_WINDOW_BYTES)
        .max_concurrent_streams(MAX_STREAMS);
    if let Some(tls) = tls_config(tls)? {
        server = server.tls_config(tls).context("tls.cert_file, tls.key_file")?;
    }
    let ingest = TelemetryIngestServer::new(ingest).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let advice = AdviceServer::new(advice).max_decoding_message_size(advice::MAX_REQUEST_BYTES);
    let rules = RulesServer::new(rules).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let (agents, viewers) = (authority.require(Role::Agent), authority.require(Role::Viewer));
    let router = server
        .add_service(health)
        .add_service(InterceptedService::new(reflection, viewers.clone()))
        .add_service(InterceptedService::new(ingest, agents))
        .add_service(InterceptedService::new(advice, viewers.clone()))
        .add_service(InterceptedService::new(rules, viewers.clone()))
        .add_service(QueryServer::with_interceptor(query, viewers));
    // The server's own setting does not reach sockets that it is given.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Ok(router.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()))
}

fn tls_config(config: &TlsConfig) -> Result<Option<ServerTlsConfig>> {
    let (Some(cert), Some(key)) = (&config.cert_file, &config.key_file) else { return Ok(None) };
    let read = |path: &std::path::Path| {
        std::fs::read(path).with_context(|| format!("read {}", path.display()))
    };
    let mut tls = ServerTlsConfig::new().identity(Identity::from_pem(read(cert)?, read(key)?));
    if let Some(ca) = &config.client_ca_file {
        tls = tls.client_ca_root(Certificate::from_pem(read(ca)?));
    }
    Ok(Some(tls))
}
