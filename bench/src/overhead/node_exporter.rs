//! The peer: Debian's node_exporter with its defaults, scraped as Prometheus scrapes it.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep};

use crate::http::Connection;
use crate::process::{self, Child};

/// What Debian calls it, and what everyone else does.
const NAMES: [&str; 2] = ["prometheus-node-exporter", "node_exporter"];
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// A running exporter and a connection to it that stays open.
pub(super) struct NodeExporter {
    pub(super) child: Child,
    connection: Connection,
}

/// The program and what it is ("node_exporter 1.5.0").
///
/// # Errors
/// When it is not there, saying what to install.
pub(super) fn program(given: Option<&Path>) -> anyhow::Result<(PathBuf, String)> {
    let program = match given {
        Some(path) => path.to_owned(),
        None => std::env::var_os("PATH").and_then(|path| find(&path)).context(
            "node_exporter is not installed: `apt-get install prometheus-node-exporter`, or name it with --node-exporter",
        )?,
    };
    let text = process::version(&program)?;
    let version =
        version(&text).with_context(|| format!("{} is no node_exporter", program.display()))?;
    Ok((program, format!("node_exporter {version}")))
}

fn find(path: &std::ffi::OsStr) -> Option<PathBuf> {
    let dirs: Vec<_> = std::env::split_paths(path).collect();
    let files = NAMES.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
    files.into_iter().find(|file| file.is_file())
}

/// "node_exporter, version 1.5.0 (branch: ...": the number.
fn version(text: &str) -> Option<&str> {
    text.strip_prefix("node_exporter, version ")?.split_whitespace().next()
}

impl NodeExporter {
    /// Starts it on a free port of the loopback and waits until it answers.
    ///
    /// # Errors
    /// When it does not; with what it has said if it has ended.
    pub(super) async fn start(program: &Path, dir: &Path) -> anyhow::Result<Self> {
        let address = free_address()?;
        let arguments = [format!("--web.listen-address={address}")];
        let mut child = Child::start(program, &arguments, dir)?;
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            child.alive()?;
            match Connection::open(address).await {
                Ok(connection) => return Ok(Self { child, connection }),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => sleep(LOOK).await,
            }
        }
    }

    /// Scrapes as Prometheus does; the compressed bytes.
    ///
    /// # Errors
    /// Any answer but a compressed page.
    pub(super) async fn scrape(&mut self) -> anyhow::Result<u64> {
        let answer = self.connection.get("/metrics", true).await?;
        if !answer.gzip {
            bail!("node_exporter does not compress");
        }
        Ok(answer.body.len() as u64)
    }

    /// Scrapes without compression; how many samples there are.
    ///
    /// # Errors
    /// Any answer but a page of text.
    pub(super) async fn samples(&mut self) -> anyhow::Result<u64> {
        let answer = self.connection.get("/metrics", false).await?;
        Ok(samples(&String::from_utf8(answer.body).context("page is no text")?))
    }
}

fn samples(text: &str) -> u64 {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count() as u64
}

/// An address that nothing listens on; somebody else can take it before the exporter does, and
/// then the exporter says so.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_the_lines_that_are_no_comments() {
        assert_eq!(samples("# HELP a b\n# TYPE a gauge\na 1\n\na{b=\"#\"} 2\n"), 2);
    }

    #[test]
    fn version_is_the_number_in_the_first_line() {
        let text = "node_exporter, version 1.5.0 (branch: debian/sid, revision: 1.5.0-1)\n  go\n";
        assert_eq!(version(text), Some("1.5.0"));
        assert_eq!(version("prometheus, version 2.42.0"), None);
    }

    #[test]
    fn debians_name_is_found_first() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(find(dir.path().as_os_str()), None);
        for name in NAMES.iter().rev() {
            std::fs::write(dir.path().join(name), "").unwrap();
            assert_eq!(find(dir.path().as_os_str()), Some(dir.path().join(name)));
        }
    }
}
