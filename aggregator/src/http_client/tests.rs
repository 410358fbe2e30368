//! The client against servers of the test's own.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sextant_proto::chain::chain;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto::ring};
use tokio_util::task::TaskTracker;

use super::*;

const LIMITS: Limits = Limits { timeout: Duration::from_secs(20), max_answer_bytes: 1000 };

fn client(url: &str, credentials: Credentials) -> HttpClient {
    let target = Target { url: url.into(), credentials, ..Target::default() };
    HttpClient::new(target, LIMITS).expect("can be used")
}

fn headers(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        hyper::header::HeaderName::from_static(name),
        HeaderValue::from_static(value),
    )])
}

/// Answers with what it was asked: target, headers, body. Status 429 below `/busy`.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let answer = |request: Request| async move {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
        let header = |name| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("-");
        let said = format!(
            "{} {} host={} auth={} x={} {}",
            head.method,
            head.uri,
            header("host").split(':').next().unwrap_or_default(),
            header("authorization"),
            header("x-scope-orgid"),
            String::from_utf8_lossy(&body),
        );
        let busy = head.uri.path().ends_with("/busy");
        let status = if busy { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::OK };
        (status, [("retry-after", "7")], said).into_response()
    };
    let service = Router::new().fallback(answer);
    TaskTracker::new().spawn(async move { axum::serve(listener, service).await });
    format!("http://{address}")
}

#[tokio::test]
async fn request_arrives_as_it_was_meant_and_the_answer_comes_back() {
    let url = echo().await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("secret");
    std::fs::write(&file, "s3cret\n").expect("written");
    let said = |answer: Answer| String::from_utf8_lossy(&answer.body).into_owned();

    let bearer = client(&format!("{url}/v1/?a=b"), Credentials::Bearer(file.clone()));
    let answer = bearer.post("/push", headers("x-scope-orgid", "lab"), Bytes::from("body")).await;
    let answer = answer.expect("answered");
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["retry-after"], "7");
    assert_eq!(said(answer), "POST /v1/push?a=b host=127.0.0.1 auth=Bearer s3cret x=lab body");

    std::fs::write(&file, "rotated").expect("written");
    let answer = bearer.post("", HeaderMap::new(), Bytes::new()).await.expect("answered");
    assert_eq!(said(answer), "POST /v1?a=b host=127.0.0.1 auth=Bearer rotated x=- ");

    let basic = Credentials::Basic { username: "me".into(), password_file: file };
    let answer = client(&url, basic).post("/busy", HeaderMap::new(), Bytes::new()).await;
    let answer = answer.expect("answered");
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(said(answer), "POST /busy host=127.0.0.1 auth=Basic bWU6cm90YXRlZA== x=- ");
}

/// Answers `requests` requests on each of `connections` connections with a raw text, then closes
/// it; says at its end how many requests came.
async fn raw(connections: usize, requests: usize, answer: &'static [u8]) -> (String, TaskTracker) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let tasks = TaskTracker::new();
    tasks.spawn(async move {
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            for _ in 0..requests {
                let mut got = Vec::new();
                while !got.ends_with(b"\r\n\r\n") {
                    got.push(stream.read_u8().await.expect("a request"));
                }
                stream.write_all(answer).await.expect("written");
            }
            stream.shutdown().await.expect("closed");
        }
    });
    tasks.close();
    (format!("http://{address}"), tasks)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

#[tokio::test]
async fn connection_is_used_again_and_replaced_when_it_was_closed() {
    let (url, tasks) = raw(2, 2, OK).await;
    let client = client(&url, Credentials::None);
    for _ in 0..4 {
        let answer = client.post("/", HeaderMap::new(), Bytes::new()).await.expect("answered");
        assert_eq!(answer.body, "hi");
    }
    // Each connection has answered its two.
    tasks.wait().await;
}

#[tokio::test]
async fn answer_that_is_too_large_or_breaks_off_is_refused() {
    let f = async |answer: &'static [u8], want: &str| {
        let (url, _tasks) = raw(1, 1, answer).await;
        let error = client(&url, Credentials::None).post("/", HeaderMap::new(), Bytes::new()).await;
        let text = chain(&error.expect_err("no answer"));
        assert!(text.contains(want), "{text}");
    };
    const LARGE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n";
    let large: &'static [u8] = [LARGE, &[b'a'; 1001]].concat().leak();
    f(large, "read the answer: over 1000 bytes, or it broke off").await;
    f(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhi", "it broke off").await;
    f(b"no HTTP at all\r\n\r\n", "exchange HTTP").await;
    f(b"", "exchange HTTP").await;
}

#[tokio::test]
async fn body_without_a_length_ends_with_the_connection() {
    let (url, _tasks) = raw(1, 1, b"HTTP/1.1 200 OK\r\n\r\nall of it").await;
    let client = client(&url, Credentials::None);
    let answer = client.post("/", HeaderMap::new(), Bytes::new()).await.expect("answered");
    assert_eq!(answer.body, "all of it");
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let limits = Limits { timeout: Duration::from_millis(50), ..LIMITS };
    let client = HttpClient::new(Target { url, ..Target::default() }, limits).expect("fine");
    let error = client.post("/", HeaderMap::new(), Bytes::new()).await.expect_err("silent");
    assert!(matches!(error, HttpError::Timeout(_)), "{error}");
}

#[test]
fn what_cannot_work_is_refused_before_any_connection() {
    let dir = tempfile::tempdir().expect("a directory");
    let empty = dir.path().join("empty");
    std::fs::write(&empty, " \n").expect("written");
    let f = |url: &str, edit: &dyn Fn(&mut Target), want: &str| {
        let mut target = Target { url: url.into(), ..Target::default() };
        edit(&mut target);
        let error = HttpClient::new(target, LIMITS).expect_err(want);
        let text = chain(&error);
        assert!(text.contains(want), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    };
    let bearer = |target: &mut Target| target.credentials = Credentials::Bearer(empty.clone());
    let ca = |target: &mut Target| target.ca_file = Some(empty.clone());
    f("ftp://a", &|_| (), "neither http:// nor https://");
    f("a b", &|_| (), "it is none");
    f("http://me:hunter2@a", &|_| (), "a name or password does not belong there");
    f("https://a", &|_| (), "needs a file of authorities");
    f("http://a", &ca, "need an https:// address");
    f("http://10.0.0.1", &bearer, "in clear");
    f("http://127.0.0.1", &bearer, "empty: it is empty");
    f("http://[::1]:1", &bearer, "it is empty");
    f("https://a", &ca, "no authority");
    f("https://a", &|t| t.ca_file = Some("/nowhere".into()), "/nowhere");
}

/// A server's TLS by a new authority, which must have signed the client's certificate, too.
struct Tls {
    acceptor: TlsAcceptor,
    target: Target,
}

fn tls(dir: &Path) -> Tls {
    let mut params = CertificateParams::new(vec![]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = || KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key()).expect("an authority");
    let issue = |name: &str| {
        let (key, subjects) = (key(), vec!["localhost".to_owned()]);
        let params = CertificateParams::new(subjects).expect("parameters");
        let pem = params.signed_by(&key, &authority).expect("signed").pem();
        let files = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        std::fs::write(&files.0, pem).expect("written");
        std::fs::write(&files.1, key.serialize_pem()).expect("written");
        files
    };
    let (server, identity, ca_file) = (issue("server"), issue("client"), dir.join("ca.crt"));
    std::fs::write(&ca_file, authority.pem()).expect("written");
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).expect("an authority");
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&server.0).expect("a certificate")],
            PrivateKeyDer::from_pem_file(&server.1).expect("a key"),
        )
        .expect("a server");
    let target = Target { ca_file: Some(ca_file), identity: Some(identity), ..Target::default() };
    Tls { acceptor: TlsAcceptor::from(Arc::new(config)), target }
}

#[tokio::test]
async fn tls_checks_both_sides() {
    let (dir, other) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let Tls { acceptor, target } = tls(dir.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    TaskTracker::new().spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut got = Vec::new();
            while !got.ends_with(b"\r\n\r\n")
                && stream.read_buf(&mut got).await.is_ok_and(|n| n > 0)
            {}
            if stream.write_all(OK).await.is_ok() {
                stream.shutdown().await.expect("closed");
            }
        }
    });
    let post = async |target: Target, host: &str| {
        let target = Target { url: format!("https://{host}:{port}"), ..target };
        let client = HttpClient::new(target, LIMITS).expect("can be used");
        client.post("/", HeaderMap::new(), Bytes::new()).await
    };
    let answer = post(target.clone(), "localhost").await.expect("answered");
    assert_eq!(answer.body, "hi");
    post(target.clone(), "127.0.0.1").await.expect_err("the certificate is for another name");
    let nobody = Target { identity: None, ..target.clone() };
    post(nobody, "localhost").await.expect_err("the server wants a certificate");
    let stranger = Target { ca_file: tls(other.path()).target.ca_file, ..target };
    post(stranger, "localhost").await.expect_err("another authority");
}
