//! The agent's configuration: one TOML file, each section a struct of the module that it is for.
//!
//! Every key has a default, a key that does not exist is an error, and what parses is checked
//! before anything starts. `config.example.toml` shows all of them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sextant_proto::limits;
use sextant_proto::logging::{self, LogConfig};

use crate::collectors::{CollectorsConfig, Paths};
use crate::health::HealthConfig;
use crate::spool::SpoolConfig;
use crate::uplink::UplinkConfig;

/// Where Kubernetes' downward API puts the node's name.
const NODE_VARIABLE: &str = "NODE_NAME";

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The cluster's name, the same on all its nodes.
    pub cluster: String,
    /// The node's name; by default `$NODE_NAME`, else the host's name.
    pub node: Option<String>,
    pub paths: Paths,
    pub log: LogConfig,
    pub collectors: CollectorsConfig,
    pub spool: SpoolConfig,
    pub uplink: UplinkConfig,
    pub health: HealthConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster: "default".into(),
            node: None,
            paths: Paths::default(),
            log: LogConfig::default(),
            collectors: CollectorsConfig::default(),
            spool: SpoolConfig::default(),
            uplink: UplinkConfig::default(),
            health: HealthConfig::default(),
        }
    }
}

/// Why a configuration is unusable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    /// Not TOML, a key that does not exist, or a value of another type.
    #[error("{path}: {source}")]
    Parse { path: PathBuf, source: Box<toml::de::Error> },
    /// The key and what is wrong with its value.
    #[error("{0}")]
    Value(String),
}

impl Config {
    /// Reads a file; without one, everything is at its default. Does not [`Config::check`].
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the key.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_name("cluster", &self.cluster)?;
        self.node_name()?;
        logging::check(&self.log).map_err(|error| ConfigError::Value(error.to_string()))?;
        self.collectors.check().map_err(ConfigError::Value)?;
        self.spool.check().map_err(ConfigError::Value)?;
        self.uplink.check().map_err(ConfigError::Value)
    }

    /// The node's name: as configured, else `$NODE_NAME`, else the host's in lower case.
    ///
    /// # Errors
    /// [`ConfigError::Value`] when there is none, or it is not a DNS name.
    pub fn node_name(&self) -> Result<String, ConfigError> {
        let from_environment = || std::env::var(NODE_VARIABLE).ok().filter(|name| !name.is_empty());
        let from_host = || sysinfo::System::host_name().ok().map(|name| name.to_ascii_lowercase());
        let (key, name) = match &self.node {
            Some(name) => ("node", name.clone()),
            None => match from_environment() {
                Some(name) => ("environment variable NODE_NAME", name),
                None => ("host name (set node)", from_host().unwrap_or_default()),
            },
        };
        check_name(key, &name)?;
        Ok(name)
    }
}

/// Checks that a name is an RFC 1123 subdomain, as Kubernetes' names of nodes are.
fn check_name(key: &str, name: &str) -> Result<(), ConfigError> {
    let is_label = |label: &str| {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        label.starts_with(word)
            && label.ends_with(word)
            && label.chars().all(|c| word(c) || c == '-')
    };
    if name.len() <= limits::MAX_NODE_NAME_BYTES && name.split('.').all(is_label) {
        return Ok(());
    }
    let max = limits::MAX_NODE_NAME_BYTES;
    Err(ConfigError::Value(format!(
        "{key} {name:?} is not a name of lower-case letters, digits, '-' and '.' of at most {max}"
    )))
}

#[cfg(test)]
mod tests;
