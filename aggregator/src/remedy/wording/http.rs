//! One POST over HTTP/1.1: a connection for each, no redirects, a bounded answer. Questions are
//! asked by people, seconds apart: a pool would save nothing.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("address {0:?} is not http://HOST or https://HOST")]
    Address(String),
    #[error("authorities: {0}")]
    Authorities(String),
    #[error("connect")]
    Connect(#[source] std::io::Error),
    #[error("exchange HTTP")]
    Exchange(#[source] hyper::Error),
    #[error("the answer has status {0}")]
    Status(StatusCode),
    #[error("the answer is over {MAX_ANSWER_BYTES} bytes, or broke off")]
    Body,
    #[error("the answer is not text")]
    Text,
    #[error("no answer in time")]
    Timeout,
}

/// Where to send to.
#[derive(Clone)]
pub struct Endpoint {
    host: String,
    port: u16,
    /// Without a slash at its end.
    path: String,
    secure: bool,
    tls: Option<TlsConnector>,
}

impl Endpoint {
    /// Reads a base address.
    pub fn parse(url: &str) -> Result<Self, HttpError> {
        let wrong = || HttpError::Address(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let host = uri.host().filter(|h| !h.is_empty()).ok_or_else(wrong)?;
        let has_user = uri.authority().is_some_and(|a| a.as_str().contains('@'));
        if has_user || uri.query().is_some() {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            path: uri.path().trim_end_matches('/').to_owned(),
            secure,
            tls: None,
        })
    }

    /// Whether it is https:// and trusts nobody yet.
    pub fn needs_authorities(&self) -> bool {
        self.secure && self.tls.is_none()
    }

    /// Trusts the authorities of a PEM file.
    pub fn trust(&mut self, pem: &[u8]) -> Result<(), HttpError> {
        let mut roots = RootCertStore::empty();
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = certificates.map_err(|e| HttpError::Authorities(e.to_string()))?;
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(HttpError::Authorities("there is none in the file".into()));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| HttpError::Authorities(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        self.tls = Some(TlsConnector::from(Arc::new(config)));
        Ok(())
    }

    /// Sends JSON and reads the answer.
    pub async fn post(
        &self,
        path: &str,
        key: Option<&str>,
        body: String,
    ) -> Result<String, HttpError> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let tcp = TcpStream::connect((host, self.port)).await.map_err(HttpError::Connect)?;
        let mut request = Request::post(format!("{}{path}", self.path))
            .header(HOST, format!("{}:{}", self.host, self.port))
            .header(CONTENT_TYPE, "application/json");
        if let Some(key) = key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| HttpError::Address(e.to_string()))?;
        match &self.tls {
            None if self.secure => Err(HttpError::Authorities("none are set".into())),
            None => exchange(tcp, request).await,
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|_| HttpError::Address(self.host.clone()))?;
                let tls = tls.connect(name, tcp).await.map_err(HttpError::Connect)?;
                exchange(tls, request).await
            }
        }
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<String, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(HttpError::Exchange)?;
    let asked = async {
        let answer = sender.send_request(request).await.map_err(HttpError::Exchange)?;
        if answer.status() != StatusCode::OK {
            return Err(HttpError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|_| HttpError::Body)?.to_bytes();
        String::from_utf8(body.to_vec()).map_err(|_| HttpError::Text)
    };
    tokio::pin!(asked);
    tokio::select! {
        biased;
        answer = &mut asked => answer,
        // The connection may end as soon as the answer is there, which is read yet.
        ended = connection => match ended {
            Ok(()) => asked.await,
            Err(error) => Err(HttpError::Exchange(error)),
        },
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.path)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
