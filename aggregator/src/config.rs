//! The configuration: one TOML file, every key documented in `config.example.toml`, checked
//! before anything starts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sextant_proto::chain::chain;
use sextant_proto::logging::LogConfig;

use crate::auth::AuthConfig;
use crate::detect::DetectConfig;
use crate::forward::{self, ForwardConfig};
use crate::in_flight::{self, LimitsConfig};
use crate::incident::IncidentConfig;
use crate::projection::ExpositionConfig;
use crate::remedy::wording::{Wording, WordingConfig};
use crate::remedy::{self, KnowledgeConfig};
use crate::writer::WriterConfig;

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where everything that survives a restart is.
    pub data_dir: PathBuf,
    pub listen: ListenConfig,
    pub auth: AuthConfig,
    pub tls: TlsConfig,
    pub store: WriterConfig,
    pub retention: RetentionConfig,
    pub limits: LimitsConfig,
    pub pipeline: PipelineConfig,
    pub detect: DetectConfig,
    pub incidents: IncidentConfig,
    pub exposition: ExpositionConfig,
    pub knowledge: KnowledgeConfig,
    pub wording: WordingConfig,
    pub log: LogConfig,
    pub forward: Vec<ForwardConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "/var/lib/sextant/aggregator".into(),
            listen: ListenConfig::default(),
            auth: AuthConfig::default(),
            tls: TlsConfig::default(),
            store: WriterConfig::default(),
            retention: RetentionConfig::default(),
            limits: LimitsConfig::default(),
            pipeline: PipelineConfig::default(),
            detect: DetectConfig::default(),
            incidents: IncidentConfig::default(),
            exposition: ExpositionConfig::default(),
            knowledge: KnowledgeConfig::default(),
            wording: WordingConfig::default(),
            log: LogConfig::default(),
            forward: Vec::new(),
        }
    }
}

/// The `[listen]` section. Port 0: one that is free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenConfig {
    /// Agents and gRPC clients.
    pub grpc: SocketAddr,
    /// Probes and Prometheus.
    pub http: SocketAddr,
}

impl Default for ListenConfig {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self { grpc: local(9317), http: local(9316) }
    }
}

/// The `[tls]` section, for both listeners.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM files of the server's certificate chain and key.
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// PEM file of the authority whose client certificates the gRPC listener requires; none: not
    /// asked for.
    pub client_ca_file: Option<PathBuf>,
}

/// The `[retention]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    #[serde(with = "humantime_serde")]
    pub samples: Duration,
    /// Rollups of a minute, and of an hour.
    #[serde(with = "humantime_serde")]
    pub minutes: Duration,
    #[serde(with = "humantime_serde")]
    pub hours: Duration,
    /// Events and closed anomalies.
    #[serde(with = "humantime_serde")]
    pub events: Duration,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        let days = |n: u64| Duration::from_secs(n * 86_400);
        Self { samples: days(7), minutes: days(30), hours: days(400), events: days(400) }
    }
}

/// The `[pipeline]` section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PipelineConfig {
    /// Threads that take frames in; 0: one a core.
    pub shards: usize,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("parse {path}")]
    Parse { path: PathBuf, source: toml::de::Error },
    #[error("{key} {what}")]
    Value { key: &'static str, what: String },
}

impl Config {
    /// Reads a file; none: the defaults.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the key.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let config: Self = toml::from_str(&text)
            .map_err(|source| ConfigError::Parse { path: path.to_owned(), source })?;
        config.check()?;
        Ok(config)
    }

    /// Checks the values against each other and the possible.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key, what: String| Err(ConfigError::Value { key, what });
        let interval = self.store.commit_interval;
        if interval.is_zero() || interval > Duration::from_secs(5) {
            return wrong(
                "store.commit_interval",
                format!("{interval:?} is not within 1ms and 5s"),
            );
        }
        let hour = Duration::from_secs(3_600);
        let retention = [
            ("retention.samples", self.retention.samples),
            ("retention.minutes", self.retention.minutes),
            ("retention.hours", self.retention.hours),
            ("retention.events", self.retention.events),
        ];
        for (key, kept) in retention {
            if kept < hour {
                return wrong(key, format!("{kept:?} is under an hour"));
            }
        }
        if self.retention.minutes < self.retention.samples {
            return wrong("retention.minutes", "is shorter than retention.samples".into());
        }
        if self.retention.hours < self.retention.minutes {
            return wrong("retention.hours", "is shorter than retention.minutes".into());
        }
        if self.limits.memory_bytes < in_flight::MIN_BYTES {
            let what = format!("{} is under {}", self.limits.memory_bytes, in_flight::MIN_BYTES);
            return wrong("limits.memory_bytes", what);
        }
        if self.pipeline.shards > 1024 {
            return wrong("pipeline.shards", format!("{} is over 1024", self.pipeline.shards));
        }
        if self.tls.cert_file.is_some() != self.tls.key_file.is_some() {
            return wrong("tls.cert_file", "and tls.key_file go together".into());
        }
        if self.tls.client_ca_file.is_some() && self.tls.cert_file.is_none() {
            return wrong("tls.client_ca_file", "needs tls.cert_file and tls.key_file".into());
        }
        let listeners = [("listen.grpc", self.listen.grpc), ("listen.http", self.listen.http)];
        for (key, addr) in listeners {
            if !addr.ip().is_loopback() && self.tls.cert_file.is_none() {
                let what = format!(
                    "{addr} is not a loopback address and tls.cert_file is not set: tokens would \
                     travel in clear"
                );
                return wrong(key, what);
            }
        }
        if self.listen.grpc == self.listen.http && self.listen.grpc.port() != 0 {
            return wrong("listen.http", format!("{} is listen.grpc too", self.listen.http));
        }
        self.detect
            .check()
            .map_err(|e| ConfigError::Value { key: "detect", what: e.to_string() })?;
        self.incidents.check().map_err(|what| ConfigError::Value { key: "incidents", what })?;
        remedy::load_runbooks(&self.knowledge, &self.detect)
            .map_err(|e| ConfigError::Value { key: "knowledge", what: chain(&e) })?;
        Wording::new(&self.wording)
            .map_err(|e| ConfigError::Value { key: "wording", what: chain(&e) })?;
        forward::check(&self.forward)
            .map_err(|e| ConfigError::Value { key: "forward", what: chain(&e) })?;
        let log = sextant_proto::logging::check(&self.log);
        log.map_err(|e| ConfigError::Value { key: "log", what: e.to_string() })
    }

    /// Threads that take frames in.
    #[must_use]
    pub fn shards(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        if self.pipeline.shards == 0 { cores() } else { self.pipeline.shards }
    }
}
