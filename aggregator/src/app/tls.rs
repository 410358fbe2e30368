//! TLS for the HTTP listener, by the same certificate as the gRPC listener's.
//!
//! Handshakes run beside each other, at most [`HANDSHAKES`] of them and each against a deadline,
//! so that a client which does not finish its own holds up nobody. Beyond, connections wait in
//! the kernel's backlog.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// Handshakes at a time.
const HANDSHAKES: usize = 256;
/// A client that has not finished its handshake by then is cut.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after the system gave no connection (no file descriptors left).
const RETRY: Duration = Duration::from_secs(1);

type Accepted = (TlsStream<TcpStream>, SocketAddr);

/// Accepts TLS connections.
pub(super) struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<Accepted>>,
}

impl TlsListener {
    /// Reads certificate chain and key.
    ///
    /// # Errors
    /// Names the file that cannot be read or used.
    pub(super) fn new(tcp: TcpListener, cert: &Path, key: &Path) -> Result<Self> {
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
        let chain = chain.map_err(|e| anyhow!("read certificates of {}: {e}", cert.display()))?;
        let secret = PrivateKeyDer::from_pem_file(key);
        let secret = secret.map_err(|e| anyhow!("read the key of {}: {e}", key.display()))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .context("choose TLS versions")?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .with_context(|| format!("use {} with {}", cert.display(), key.display()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { tcp, acceptor, handshakes: JoinSet::new() })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Accepted {
        loop {
            let room = self.handshakes.len() < HANDSHAKES;
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(accepted)) = done {
                        return accepted;
                    }
                }
                connection = self.tcp.accept(), if room => match connection {
                    Ok((stream, addr)) => {
                        let handshake = self.acceptor.accept(stream);
                        self.handshakes.spawn(async move {
                            let done = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await;
                            done.ok()?.ok().map(|stream| (stream, addr))
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "HTTP listener gives no connection");
                        tokio::time::sleep(RETRY).await;
                    }
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}
