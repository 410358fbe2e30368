//! TLS on both listeners, client certificates, and a real agent that comes in by them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sextant_aggregator::config::Config;
use sextant_proto::client::ClientConfig;
use sextant_proto::v1::ListNodesRequest;
use sextant_proto::v1::query_client::QueryClient;
use support::{Agent, Running, hello};

/// Certificates of one authority, as files.
struct Certificates {
    ca: PathBuf,
    server: (PathBuf, PathBuf),
    client: (PathBuf, PathBuf),
}

fn certificates(dir: &Path) -> Certificates {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "Test Authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let ca = dir.join("ca.crt");
    std::fs::write(&ca, authority.pem()).unwrap();
    let issue = |name: &str, subjects: &[&str]| {
        let key = KeyPair::generate().unwrap();
        let subjects: Vec<String> = subjects.iter().map(|s| (*s).to_owned()).collect();
        let certificate = CertificateParams::new(subjects).unwrap().signed_by(&key, &authority);
        let paths = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        std::fs::write(&paths.0, certificate.unwrap().pem()).unwrap();
        std::fs::write(&paths.1, key.serialize_pem()).unwrap();
        paths
    };
    Certificates {
        ca,
        server: issue("server", &["localhost", "127.0.0.1"]),
        client: issue("n1", &["n1"]),
    }
}

const AGENT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const VIEWER: &str = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";

/// An aggregator on an address that is not loopback's alone, with tokens and TLS.
fn config(dir: &Path, certificates: &Certificates) -> Config {
    let tokens = dir.join("tokens.toml");
    let entry = |name, token, role| {
        format!("[[token]]\nname = \"{name}\"\ntoken = \"{token}\"\nrole = \"{role}\"\n")
    };
    let text = entry("agents", AGENT, "agent") + &entry("people", VIEWER, "viewer");
    std::fs::write(&tokens, text).unwrap();
    std::fs::write(dir.join("agent.token"), AGENT).unwrap();
    std::fs::write(dir.join("viewer.token"), VIEWER).unwrap();
    let mut config = support::config(&dir.join("data"));
    config.listen.grpc = "0.0.0.0:0".parse().unwrap();
    config.listen.http = "0.0.0.0:0".parse().unwrap();
    config.auth.tokens_file = Some(tokens);
    config.tls.cert_file = Some(certificates.server.0.clone());
    config.tls.key_file = Some(certificates.server.1.clone());
    config
}

fn port(endpoint: &str) -> &str {
    endpoint.rsplit_once(':').unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_and_viewers_come_in_by_tls_and_tokens_alone() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = certificates(dir.path());
    let running = Running::start(config(dir.path(), &certificates)).await;
    let endpoint = format!("https://localhost:{}", port(&running.grpc));
    let client = |token: Option<&str>| ClientConfig {
        endpoint: endpoint.clone(),
        ca_file: Some(certificates.ca.clone()),
        token_file: token.map(|t| dir.path().join(t)),
        ..ClientConfig::default()
    };

    let mut agent = sextant_agent::config::Config { node: Some("n1".into()), ..Default::default() };
    agent.spool.dir = dir.path().join("spool");
    agent.health.listen.set_port(0);
    agent.uplink.endpoint.clone_from(&endpoint);
    agent.uplink.ca_file = Some(certificates.ca.clone());
    agent.uplink.token_file = Some(dir.path().join("agent.token"));
    let agent = sextant_agent::app::App::build(agent).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
    let agent = tokio::spawn(agent.run(async move { drop(stopped.await) }));
    let channel = client(Some("viewer.token")).connect().await.unwrap();
    let mut viewer = QueryClient::new(channel);
    let mut connected = false;
    for _ in 0..200 {
        let nodes =
            viewer.list_nodes(ListNodesRequest::default()).await.unwrap().into_inner().nodes;
        connected = nodes.iter().any(|n| n.name == "n1" && n.connected && n.series > 0);
        if connected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(connected, "the agent's data never came");
    stop.send(()).unwrap();
    agent.await.unwrap().unwrap();

    let none = QueryClient::new(client(None).connect().await.unwrap())
        .list_nodes(ListNodesRequest::default())
        .await;
    assert_eq!(none.unwrap_err().code(), tonic::Code::Unauthenticated);
    let other = Agent::open(client(Some("viewer.token")), hello("n2", "s")).await;
    assert_eq!(other.err().unwrap().code(), tonic::Code::PermissionDenied);
    assert!(Agent::connect(&running.grpc, hello("n2", "s")).await.is_err(), "in clear");

    // The same certificate on HTTP, checked by a client that is not ours.
    let curl = |token: &str, scheme: &str, path: &str| {
        #[expect(clippy::disallowed_methods, reason = "a real client is part of the test")]
        let mut command = Command::new("curl");
        let url = format!("{scheme}://localhost:{}{path}", port(&running.http));
        command.args(["-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"]);
        command.arg(&certificates.ca).args(["-H", &format!("Authorization: Bearer {token}"), &url]);
        let output = command.output().expect("curl is installed: run .ci/deps");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(curl(VIEWER, "https", "/metrics"), "200");
    assert_eq!(curl(AGENT, "https", "/metrics"), "403");
    assert_eq!(curl("x", "https", "/metrics"), "401");
    assert_eq!(curl("x", "https", "/ready"), "200");
    assert_eq!(curl(VIEWER, "http", "/metrics"), "000");
    drop(viewer);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_are_required_where_an_authority_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = certificates(dir.path());
    let mut config = config(dir.path(), &certificates);
    config.tls.client_ca_file = Some(certificates.ca.clone());
    let running = Running::start(config).await;
    let mut client = ClientConfig {
        endpoint: format!("https://localhost:{}", port(&running.grpc)),
        ca_file: Some(certificates.ca.clone()),
        token_file: Some(dir.path().join("agent.token")),
        ..ClientConfig::default()
    };
    assert!(Agent::open(client.clone(), hello("n1", "s")).await.is_err(), "without a certificate");
    client.cert_file = Some(certificates.client.0);
    client.key_file = Some(certificates.client.1);
    let agent = Agent::open(client, hello("n1", "s")).await;
    assert!(agent.is_ok(), "{:?}", agent.err());
    drop(agent);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = certificates(dir.path());
    let mut config = config(dir.path(), &certificates);
    let bad = dir.path().join("bad.key");
    std::fs::write(&bad, "no key").unwrap();
    config.tls.key_file = Some(bad);
    let app = sextant_aggregator::app::App::build(config).await.unwrap();
    let error = app.run(std::future::pending()).await.unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("bad.key") || text.contains("tls.key_file"), "{text}");
}
