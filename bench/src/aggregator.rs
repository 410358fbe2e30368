//! A real aggregator as a child: free ports of the loopback, its data in a directory that goes
//! with the benchmark.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use sextant_proto::v1::query_client::QueryClient;
use tonic::transport::Channel;

use crate::http::Connection;
use crate::process::{self, Child};

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// A running aggregator.
pub(crate) struct Aggregator {
    child: Child,
    data: PathBuf,
    grpc: SocketAddr,
    http: SocketAddr,
}

impl Aggregator {
    /// Starts the program with its defaults, below `dir`, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready; with what it has said.
    pub(crate) async fn start(program: &Path, dir: &Path) -> anyhow::Result<Self> {
        let data = dir.join("aggregator");
        let text = |text: &str| toml::Value::String(text.into());
        let mut config = toml::Table::new();
        config.insert("data_dir".into(), text(&data.to_string_lossy()));
        let ports = [("grpc", "127.0.0.1:0"), ("http", "127.0.0.1:0")];
        config.insert("listen".into(), section(&ports).into());
        config.insert("log".into(), section(&[("level", "info"), ("format", "json")]).into());
        let file = dir.join("aggregator.toml");
        std::fs::write(&file, config.to_string()).with_context(|| file.display().to_string())?;
        let arguments = ["--config".to_owned(), file.to_string_lossy().into_owned()];
        let mut child = Child::start(program, &arguments, dir)?;
        let (grpc, http) = child.says(READY_TIMEOUT, addresses).await?;
        Ok(Self { child, data, grpc, http })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Where agents connect.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// A client that asks it.
    ///
    /// # Errors
    /// When it cannot be connected to.
    pub(crate) async fn query(&self) -> anyhow::Result<QueryClient<Channel>> {
        let channel = Channel::from_shared(self.endpoint())?.connect().await;
        Ok(QueryClient::new(channel.context("connect to the aggregator")?))
    }

    /// A connection to its HTTP listener.
    ///
    /// # Errors
    /// When it cannot be connected to.
    pub(crate) async fn http(&self) -> anyhow::Result<Connection> {
        Connection::open(self.http).await
    }

    /// One of its own counters.
    ///
    /// # Errors
    /// When it does not have it.
    pub(crate) async fn counter(&self, name: &str) -> anyhow::Result<f64> {
        let answer = Connection::open(self.http).await?.get("/metrics/self", false).await?;
        let text = String::from_utf8(answer.body)?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.with_context(|| format!("aggregator has no {name}"))?.parse().context("its value")
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When it does not; with what it has said.
    pub(crate) fn alive(&mut self) -> anyhow::Result<()> {
        self.child.alive()
    }

    /// Stops it; the bytes that it leaves on disk.
    ///
    /// # Errors
    /// When it does not stop well.
    pub(crate) async fn stop(self) -> anyhow::Result<u64> {
        self.child.stop().await?;
        bytes_below(&self.data)
    }
}

/// A section whose values are texts.
fn section(pairs: &[(&str, &str)]) -> toml::Table {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), toml::Value::from(*value))).collect()
}

/// The addresses in the line that says that it is ready.
fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let address = |key: &str| line.get(key)?.as_str()?.parse().ok();
    Some((address("grpc")?, address("http")?))
}

fn bytes_below(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// The daemon's program and what it calls itself ("sextant-aggregator 1.0.0").
///
/// # Errors
/// When it is not there.
pub(crate) fn program(given: Option<&Path>) -> anyhow::Result<(PathBuf, String)> {
    let program = process::own("sextant-aggregator", given)?;
    let version = process::version(&program)?.trim().to_owned();
    Ok((program, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_line_that_has_both() {
        let ready = r#"{"level":"INFO","message":"x","grpc":"127.0.0.1:7","http":"127.0.0.1:8"}"#;
        let (grpc, http) = addresses(ready).unwrap();
        assert_eq!((grpc.port(), http.port()), (7, 8));
        for other in ["", "text", r#"{"grpc":"127.0.0.1:7"}"#] {
            assert_eq!(addresses(other), None);
        }
    }

    #[test]
    fn files_in_folders_count() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/b"), [0; 7]).unwrap();
        std::fs::write(dir.path().join("c"), [0; 5]).unwrap();
        assert_eq!(bytes_below(dir.path()).unwrap(), 12);
    }
}
