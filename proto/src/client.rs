//! A channel to an aggregator, with TLS and a bearer token when they are configured. Certificate
//! and token files are read again at every connect, so that rotated ones are picked up.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tonic::{Request, Status};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that answers no ping for so long is gone; half-open connections end here.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// How to reach an aggregator and who to be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientConfig {
    /// `http://host:port` or `https://host:port`.
    pub endpoint: String,
    /// PEM file of the authority that signed the aggregator's certificate; the system's own
    /// authorities are not used.
    pub ca_file: Option<PathBuf>,
    /// PEM files of a client certificate and its key, for mutual TLS.
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// File whose content is sent as the bearer token.
    pub token_file: Option<PathBuf>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            endpoint: "http://127.0.0.1:9317".into(),
            ca_file: None,
            cert_file: None,
            key_file: None,
            token_file: None,
        }
    }
}

/// Why no channel could be had.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The configuration cannot work.
    #[error("{0}")]
    Config(String),
    /// A certificate, key or token file cannot be read.
    #[error("read {path}")]
    File { path: PathBuf, source: std::io::Error },
    /// Nothing answers at the endpoint, or not in the way expected.
    #[error("connect to {endpoint}")]
    Transport { endpoint: String, source: tonic::transport::Error },
}

/// An authenticated channel.
pub type AuthorizedChannel = InterceptedService<Channel, Bearer>;

impl ClientConfig {
    /// Checks what can be checked without connecting.
    ///
    /// # Errors
    /// [`ConnectError::Config`] with the key and what is wrong with it.
    pub fn check(&self) -> Result<(), ConnectError> {
        let wrong = |text: String| Err(ConnectError::Config(text));
        let tls = match self.endpoint.split_once("://") {
            Some(("http", _)) => false,
            Some(("https", _)) => true,
            _ => {
                let endpoint = &self.endpoint;
                return wrong(format!("endpoint {endpoint:?} is neither http:// nor https://"));
            }
        };
        if let Err(error) = Endpoint::from_shared(self.endpoint.clone()) {
            return wrong(format!("endpoint {:?} is not an address: {error}", self.endpoint));
        }
        if !tls && (self.ca_file.is_some() || self.cert_file.is_some()) {
            return wrong("ca_file and cert_file need an https:// endpoint".into());
        }
        if tls && self.ca_file.is_none() {
            return wrong("an https:// endpoint needs ca_file".into());
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return wrong("cert_file and key_file go together".into());
        }
        if !tls && self.token_file.is_some() && !self.is_loopback() {
            return wrong("token_file needs an https:// endpoint: it would travel in clear".into());
        }
        Ok(())
    }

    fn is_loopback(&self) -> bool {
        let host = self.endpoint.trim_start_matches("http://");
        ["127.", "localhost", "[::1]"].iter().any(|own| host.starts_with(own))
    }

    /// Connects.
    ///
    /// # Errors
    /// [`ConnectError`] names the file or endpoint.
    pub async fn connect(&self) -> Result<AuthorizedChannel, ConnectError> {
        self.connect_at(None).await
    }

    /// Connects to one address of the endpoint's host; certificates and requests still name the
    /// host.
    ///
    /// # Errors
    /// As [`ClientConfig::connect`].
    pub async fn connect_at(
        &self,
        address: Option<SocketAddr>,
    ) -> Result<AuthorizedChannel, ConnectError> {
        self.check()?;
        let named = match address {
            Some(address) => format!("{} ({address})", self.endpoint),
            None => self.endpoint.clone(),
        };
        let transport = |source| ConnectError::Transport { endpoint: named.clone(), source };
        let origin: Uri = self.endpoint.parse().map_err(|_| {
            ConnectError::Config(format!("endpoint {:?} is not an address", self.endpoint))
        })?;
        let to = match (address, origin.scheme_str()) {
            (Some(address), Some(scheme)) => format!("{scheme}://{address}"),
            _ => self.endpoint.clone(),
        };
        let host = origin.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let mut endpoint = Endpoint::from_shared(to)
            .map_err(transport)?
            .origin(origin)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        if let Some(ca) = &self.ca_file {
            let ca = Certificate::from_pem(read(ca)?);
            let mut tls = ClientTlsConfig::new().ca_certificate(ca).domain_name(host);
            if let (Some(cert), Some(key)) = (&self.cert_file, &self.key_file) {
                tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
            }
            endpoint = endpoint.tls_config(tls).map_err(transport)?;
        }
        let bearer = Bearer::read(self.token_file.as_deref())?;
        let channel = endpoint.connect().await.map_err(transport)?;
        Ok(InterceptedService::new(channel, bearer))
    }
}

/// Adds `authorization: Bearer …` to each request when there is a token.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    fn read(path: Option<&Path>) -> Result<Self, ConnectError> {
        let Some(path) = path else { return Ok(Self(None)) };
        let token = String::from_utf8_lossy(&read(path)?).trim().to_owned();
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| {
            ConnectError::Config(format!("{} holds no usable token", path.display()))
        })?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConnectError> {
    std::fs::read(path).map_err(|source| ConnectError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_configurations_say_why() {
        let f = |edit: fn(&mut ClientConfig), want: &str| {
            let mut config = ClientConfig::default();
            edit(&mut config);
            let text = config.check().map_or_else(|e| e.to_string(), |()| String::new());
            assert!(
                text.contains(want) && text.is_empty() == want.is_empty(),
                "{text:?}: {want:?}"
            );
        };
        f(|_| (), "");
        f(|c| c.endpoint = "aggregator:9317".into(), "neither http:// nor https://");
        f(|c| c.endpoint = "https://a:1".into(), "needs ca_file");
        f(|c| c.ca_file = Some("ca".into()), "need an https:// endpoint");
        f(|c| c.cert_file = Some("crt".into()), "https");
        f(|c| c.token_file = Some("token".into()), "");
        f(
            |c| {
                c.endpoint = "http://10.0.0.1:9317".into();
                c.token_file = Some("token".into());
            },
            "in clear",
        );
    }
}
