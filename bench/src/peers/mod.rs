//! The peers: Prometheus and VictoriaMetrics as they are installed, on the loopback, with their
//! data in a directory that goes with the benchmark.
//!
//! They run with their defaults, but for what a comparison needs: any age of samples is kept,
//! remote write is taken in, answers are not held back. One that is not installed is named as
//! absent; nothing stands in for it.

mod feed;
mod openmetrics;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep};

pub(crate) use self::feed::{Feed, push};
pub(crate) use self::openmetrics::import;
use crate::http::Connection;
use crate::process::{self, Child};
use crate::report::Row;

const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long merging what was written may take.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);
const PROMETHEUS_CONFIG: &str = "global: {}\n";
/// What a Prometheus block spans.
const BLOCK: Duration = Duration::from_secs(2 * 3600);

/// Which peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Prometheus,
    VictoriaMetrics,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Prometheus, Self::VictoriaMetrics];

    /// What its rows begin with.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::VictoriaMetrics => "victoria-metrics",
        }
    }

    /// What it is started with.
    fn arguments(self, address: SocketAddr, dir: &Path, data: &Path) -> Vec<String> {
        let data = data.display();
        match self {
            Self::Prometheus => vec![
                format!("--config.file={}", dir.join("prometheus.yml").display()),
                format!("--storage.tsdb.path={data}"),
                format!("--web.listen-address={address}"),
                "--web.enable-remote-write-receiver".into(),
                "--storage.tsdb.retention.time=100y".into(),
                "--log.level=warn".into(),
            ],
            Self::VictoriaMetrics => vec![
                format!("-storageDataPath={data}"),
                format!("-httpListenAddr={address}"),
                "-retentionPeriod=100y".into(),
                "-search.latencyOffset=0s".into(),
                "-http.connTimeout=1h".into(),
                "-search.maxUniqueTimeseries=10000000".into(),
                "-loggerLevel=WARN".into(),
            ],
        }
    }
}

/// An installed peer.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) kind: Kind,
    path: PathBuf,
    /// Name and version.
    pub(crate) system: String,
}

impl Program {
    /// The one in $PATH, or the row that says that there is none.
    pub(crate) fn find(kind: Kind) -> Result<Self, Row> {
        let name = kind.name();
        let missing = || Row::absent(name, format!("not installed: `apt-get install {name}`"));
        let path = process::in_path(name).ok_or_else(missing)?;
        let version = version(kind, &path).unwrap_or_else(|| "of unknown version".into());
        Ok(Self { kind, path, system: format!("{name} {version}") })
    }

    /// All peers that are installed; the others get their rows.
    pub(crate) fn all(rows: &mut Vec<Row>) -> Vec<Self> {
        let found = Kind::ALL.into_iter().map(Self::find);
        found.filter_map(|found| found.map_err(|row| rows.push(row)).ok()).collect()
    }
}

fn version(kind: Kind, path: &Path) -> Option<String> {
    let number = |text: &str, before: &str| -> Option<String> {
        let (_, after) = text.split_once(before)?;
        let end = after.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(after.len());
        Some(after[..end].trim_end_matches('.').to_owned()).filter(|number| !number.is_empty())
    };
    let said = match kind {
        Kind::Prometheus => number(&process::output(path, &["--version"]).ok()?, "version "),
        Kind::VictoriaMetrics => number(&process::output(path, &["-version"]).ok()?, "-tags-v"),
    };
    // Debian's builds of VictoriaMetrics do not know theirs; the package does.
    said.or_else(|| {
        let dpkg = process::in_path("dpkg-query")?;
        let package = process::output(&dpkg, &["-W", "-f", "v${Version}", kind.name()]).ok()?;
        number(&package, "v")
    })
}

/// A running peer.
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    child: Child,
    address: SocketAddr,
    data: PathBuf,
}

impl Peer {
    /// Starts a peer with its data below `dir` and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready; with what it has said.
    pub(crate) async fn start(program: &Program, dir: &Path) -> anyhow::Result<Self> {
        let kind = program.kind;
        let dir = dir.join(kind.name());
        std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let config = dir.join("prometheus.yml");
        std::fs::write(&config, PROMETHEUS_CONFIG).with_context(|| config.display().to_string())?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let data = dir.join("data");
        let child = Child::start(&program.path, &kind.arguments(address, &dir, &data), &dir)?;
        let mut peer = Self { kind, child, address, data };
        let ready = if kind == Kind::Prometheus { "/-/ready" } else { "/health" };
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            peer.child.alive()?;
            let answer = match peer.connect().await {
                Ok(mut connection) => connection.get(ready, false).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(_) => return Ok(peer),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => sleep(LOOK).await,
            }
        }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// A new connection.
    ///
    /// # Errors
    /// When it does not listen.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(self.address).await
    }

    /// One of its own metrics: the sum of all series of a name.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let answer = self.connect().await?.get("/metrics", false).await?;
        let text = String::from_utf8(answer.body)?;
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let rest = rest.starts_with([' ', '{']).then_some(rest)?;
            rest.rsplit(' ').next()?.parse::<f64>().ok()
        });
        Ok(values.sum())
    }

    /// Makes what was written ready to be measured: VictoriaMetrics merges its parts; Prometheus
    /// writes its head when it is long enough, which is waited for.
    ///
    /// # Errors
    /// When it takes too long.
    pub(crate) async fn settle(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        let mut connection = self.connect().await?;
        if self.kind == Kind::VictoriaMetrics {
            connection.get("/internal/force_flush", false).await?;
            connection.get("/internal/force_merge", false).await?;
        }
        loop {
            self.child.alive()?;
            let busy = match self.kind {
                Kind::VictoriaMetrics => self.metric("vm_active_force_merges").await? > 0.0,
                Kind::Prometheus => self.is_head_long().await?,
            };
            if !busy {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} is not done with what it has after {SETTLE_TIMEOUT:?}", self.kind.name());
            }
            sleep(LOOK).await;
        }
    }

    /// Whether the head still has a block that is complete: it is written out when the head is
    /// one and a half blocks long.
    async fn is_head_long(&self) -> anyhow::Result<bool> {
        let min = self.metric("prometheus_tsdb_head_min_time").await?;
        let max = self.metric("prometheus_tsdb_head_max_time").await?;
        Ok(max - min > BLOCK.as_secs_f64() * 1.5e3)
    }

    /// The bytes on disk and the samples that they hold. Of Prometheus those of finished blocks
    /// alone: its write-ahead log is for what is not finished.
    ///
    /// # Errors
    /// When the data cannot be read.
    pub(crate) fn stored(&self, sent: u64) -> anyhow::Result<(u64, u64)> {
        if self.kind == Kind::VictoriaMetrics {
            return Ok((process::disk_bytes(&self.data)?, sent));
        }
        openmetrics::blocks(&self.data)
    }

    /// Stops it.
    ///
    /// # Errors
    /// When it does not stop well.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.child.stop().await
    }
}

/// A query string's value: what is not plain is escaped.
pub(crate) fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let byte = |byte: u8| match byte {
        byte if plain(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        assert_eq!(escaped("a{b=\"c d\"}[1m]"), "a%7Bb%3D%22c%20d%22%7D%5B1m%5D");
    }
}
