//! POST over HTTP/1.1, with what the services that we send to ask for: TLS against authorities
//! of a file, a client certificate, a bearer token or a password.
//!
//! One connection is kept for the next request; requests beside each other have their own. No
//! redirects are followed, answers are bounded, and one deadline covers all of a request. Tokens,
//! passwords and certificates are read when they are needed, so that rotated ones are picked up.
//!
//! A service may close a kept connection in the very moment that a request is on its way. Such a
//! request is sent once more on a new connection, so it may arrive twice.

mod files;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::rustls::{self, pki_types::ServerName};

/// A connection that waited longer is not used again: middle boxes forget it by then.
const KEEP: Duration = Duration::from_secs(30);

/// Where to send to, and who to be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// `http://` or `https://`, with a path and a query where the service wants them.
    pub url: String,
    /// PEM file of the authorities that an https:// service is checked against.
    pub ca_file: Option<PathBuf>,
    /// PEM files of a client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    pub credentials: Credentials,
}

/// What a request says of who sends it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    #[default]
    None,
    /// The file's content as bearer token.
    Bearer(PathBuf),
    /// The file's content as password.
    Basic { username: String, password_file: PathBuf },
}

/// What a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the first byte of the connection to the last one of the answer.
    pub timeout: Duration,
    pub max_answer_bytes: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be used.
    #[error("use address {url:?}: {what}")]
    Address { url: String, what: &'static str },
    /// A file that the request needs cannot be read, or holds nothing that can be used.
    #[error("use {path}: {what}")]
    File { path: PathBuf, what: String },
    /// TLS cannot be set up with these files.
    #[error("set up TLS")]
    Tls(#[source] rustls::Error),
    /// Nothing answers there, or it cannot be trusted.
    #[error("connect")]
    Connect(#[source] std::io::Error),
    /// The connection broke, or what came was not HTTP.
    #[error("exchange HTTP")]
    Exchange(#[source] hyper::Error),
    /// The answer's body broke off or is too large.
    #[error("read the answer: over {0} bytes, or it broke off")]
    Body(usize),
    /// The deadline passed.
    #[error("wait for the answer: none within {0:?}")]
    Timeout(Duration),
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Sends to one service.
pub struct HttpClient {
    target: Target,
    limits: Limits,
    host: String,
    port: u16,
    secure: bool,
    /// Without a slash at its end.
    path: String,
    /// With its question mark.
    query: String,
    kept: Mutex<Option<Open>>,
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}
type Body = Full<Bytes>;
/// What moves the bytes while somebody waits for an answer.
type Driver = Connection<TokioIo<Box<dyn Io>>, Body>;

/// A connection between requests.
struct Open {
    sender: SendRequest<Body>,
    connection: Pin<Box<Driver>>,
    since: Instant,
    ended: bool,
}

impl HttpClient {
    /// Checks address and files; connects nowhere.
    ///
    /// # Errors
    /// [`HttpError::Address`], [`HttpError::File`] and [`HttpError::Tls`].
    pub fn new(target: Target, limits: Limits) -> Result<Self, HttpError> {
        let wrong = |what| HttpError::Address { url: shown(&target.url), what };
        let uri: Uri = target.url.parse().map_err(|_| wrong("it is none"))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("it is neither http:// nor https://")),
        };
        let host = uri.host().filter(|h| !h.is_empty()).ok_or_else(|| wrong("it has no host"))?;
        if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            return Err(wrong("a name or password does not belong there"));
        }
        if secure && target.ca_file.is_none() {
            return Err(wrong("an https:// address needs a file of authorities"));
        }
        if !secure && (target.ca_file.is_some() || target.identity.is_some()) {
            return Err(wrong("certificates need an https:// address"));
        }
        let local = host == "localhost" || host.starts_with("127.") || host == "[::1]";
        if !secure && !local && target.credentials != Credentials::None {
            return Err(wrong("a token or password would travel in clear: it needs https://"));
        }
        let client = Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            secure,
            path: uri.path().trim_end_matches('/').to_owned(),
            query: uri.query().map(|q| format!("?{q}")).unwrap_or_default(),
            kept: Mutex::new(None),
            target,
            limits,
        };
        files::connector(&client.target)?;
        files::authorization(&client.target.credentials)?;
        Ok(client)
    }

    /// Sends a body to a path below the address. The answer may have any status.
    ///
    /// # Errors
    /// When none comes in time; [`HttpError::File`] when a rotated file cannot be used.
    pub async fn post(
        &self,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, HttpError> {
        let timeout = self.limits.timeout;
        let exchanged = tokio::time::timeout(timeout, self.exchange(path, headers, body)).await;
        exchanged.unwrap_or(Err(HttpError::Timeout(timeout)))
    }

    async fn exchange(
        &self,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, HttpError> {
        let request = self.request(path, headers, body)?;
        if let Some(mut open) = self.kept().await
            && let Ok(response) = open.send(request.clone()).await
        {
            return self.finish(open, response).await;
        }
        let mut open = self.connect().await?;
        let response = open.send(request).await?;
        self.finish(open, response).await
    }

    fn request(
        &self,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Request<Body>, HttpError> {
        let wrong = |what| HttpError::Address { url: self.to_string(), what };
        let path = match format!("{}{path}", self.path) {
            empty if empty.is_empty() => "/".to_owned(),
            path => path,
        };
        let usual = if self.secure { 443 } else { 80 };
        let host = match self.port {
            port if port == usual => self.host.clone(),
            port => format!("{}:{port}", self.host),
        };
        let host = HeaderValue::from_str(&host).map_err(|_| wrong("it has no host"))?;
        let mut request = Request::post(format!("{path}{}", self.query))
            .body(Full::new(body))
            .map_err(|_| wrong("it has no such path"))?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(HOST, host);
        if let Some(value) = files::authorization(&self.target.credentials)? {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// The connection of the request before, if it is still good.
    async fn kept(&self) -> Option<Open> {
        let mut open = self.kept.lock().take().filter(|open| open.since.elapsed() < KEEP)?;
        tokio::select! {
            biased;
            _ = open.connection.as_mut() => None,
            ready = open.sender.ready() => ready.ok().map(|()| open),
        }
    }

    async fn connect(&self) -> Result<Open, HttpError> {
        let host = self.host.trim_matches(['[', ']']);
        let tls = files::connector(&self.target)?;
        let tcp = TcpStream::connect((host, self.port)).await.map_err(HttpError::Connect)?;
        tcp.set_nodelay(true).map_err(HttpError::Connect)?;
        let stream: Box<dyn Io> = match tls {
            None => Box::new(tcp),
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(|_| {
                    let what = "no certificate can be for such a host";
                    HttpError::Address { url: self.to_string(), what }
                })?;
                Box::new(tls.connect(name, tcp).await.map_err(HttpError::Connect)?)
            }
        };
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(HttpError::Exchange)?;
        Ok(Open { sender, connection: Box::pin(connection), since: Instant::now(), ended: false })
    }

    /// Reads the answer's body, and keeps the connection.
    async fn finish(
        &self,
        mut open: Open,
        response: Response<Incoming>,
    ) -> Result<Answer, HttpError> {
        let (head, body) = response.into_parts();
        let max = self.limits.max_answer_bytes;
        let body = open.drive(Limited::new(body, max).collect()).await;
        let body = body.map_err(|_| HttpError::Body(max))?.to_bytes();
        if !open.ended && !open.sender.is_closed() {
            open.since = Instant::now();
            *self.kept.lock() = Some(open);
        }
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

impl Open {
    async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, HttpError> {
        let sent = self.sender.send_request(request);
        tokio::pin!(sent);
        let answer = tokio::select! {
            biased;
            answer = &mut sent => answer,
            ended = self.connection.as_mut() => {
                self.ended = true;
                match ended {
                    // What ended the connection may have brought the answer.
                    Ok(()) => sent.await,
                    Err(error) => Err(error),
                }
            }
        };
        answer.map_err(HttpError::Exchange)
    }

    /// Waits for something that the connection brings.
    async fn drive<T>(&mut self, wanted: impl Future<Output = T>) -> T {
        tokio::pin!(wanted);
        tokio::select! {
            biased;
            got = &mut wanted => got,
            _ = self.connection.as_mut() => {
                self.ended = true;
                wanted.await
            }
        }
    }
}

/// An address without what stands before an `@`, which is a password.
fn shown(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_owned(),
    }
}

impl fmt::Display for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.path)
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
