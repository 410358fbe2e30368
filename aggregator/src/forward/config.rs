//! The `[[forward]]` sections: one service each that is sent what nodes measure.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sextant_proto::layout::is_metric_name;

use crate::http_client::{Credentials, HttpClient, HttpError, Limits, Target};
use crate::selector::{Selector, SelectorError};

/// An answer's body is read for its error text only.
const MAX_ANSWER_BYTES: usize = 64 << 10;
const INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(600);
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest name; it is part of a file's.
const MAX_NAME: usize = 64;

/// Which remote write is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// 2, and 1 where that is not understood.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "1")]
    One,
    #[serde(rename = "2")]
    Two,
}

/// One `[[forward]]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardConfig {
    /// What it is called in metrics and logs, and where its position is kept.
    pub name: String,
    /// The whole address of the service's remote write.
    pub url: String,
    #[serde(default)]
    pub protocol: Protocol,
    /// How often what is new is sent.
    #[serde(default = "interval", with = "humantime_serde")]
    pub interval: Duration,
    /// PEM file of the authorities that an https:// service is checked against.
    #[serde(default = "ca_file")]
    pub ca_file: PathBuf,
    /// PEM files of a client certificate and its key.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    #[serde(default)]
    pub bearer_token_file: Option<PathBuf>,
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Added to every series that has no such label.
    #[serde(default)]
    pub external_labels: BTreeMap<String, String>,
    /// Series that any of these selectors matches; none: all.
    #[serde(default, rename = "match")]
    pub matching: Vec<String>,
}

fn interval() -> Duration {
    Duration::from_secs(5)
}

fn ca_file() -> PathBuf {
    "/etc/ssl/certs/ca-certificates.crt".into()
}

/// Why a section cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    #[error("{key} of {name:?} {what}")]
    Value { name: String, key: &'static str, what: String },
    #[error("match of {name:?}")]
    Selector { name: String, source: SelectorError },
    #[error("url of {name:?}")]
    Client { name: String, source: HttpError },
}

impl ForwardConfig {
    /// What it wants of series.
    ///
    /// # Errors
    /// When a selector is none.
    pub fn selectors(&self) -> Result<Vec<Selector>, ForwardError> {
        let parse = |text: &String| {
            Selector::parse(text)
                .map_err(|source| ForwardError::Selector { name: self.name.clone(), source })
        };
        self.matching.iter().map(parse).collect()
    }

    /// A client of the service.
    ///
    /// # Errors
    /// When the address or a file cannot be used; nobody is contacted.
    pub fn client(&self) -> Result<HttpClient, ForwardError> {
        let wrong = |key, what: &str| {
            Err(ForwardError::Value { name: self.name.clone(), key, what: what.into() })
        };
        let identity = match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (None, None) => None,
            _ => return wrong("cert_file", "and key_file go together"),
        };
        let credentials = match (&self.bearer_token_file, &self.username, &self.password_file) {
            (None, None, None) => Credentials::None,
            (Some(file), None, None) => Credentials::Bearer(file.clone()),
            (None, Some(username), Some(file)) => {
                Credentials::Basic { username: username.clone(), password_file: file.clone() }
            }
            (Some(_), ..) => return wrong("bearer_token_file", "excludes username and password"),
            _ => return wrong("username", "and password_file go together"),
        };
        let target = Target {
            url: self.url.clone(),
            ca_file: self.url.starts_with("https://").then(|| self.ca_file.clone()),
            identity,
            credentials,
        };
        let limits = Limits { timeout: TIMEOUT, max_answer_bytes: MAX_ANSWER_BYTES };
        HttpClient::new(target, limits)
            .map_err(|source| ForwardError::Client { name: self.name.clone(), source })
    }

    fn check(&self) -> Result<(), ForwardError> {
        let wrong =
            |key, what: String| Err(ForwardError::Value { name: self.name.clone(), key, what });
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > MAX_NAME || !self.name.chars().all(plain) {
            return wrong("name", "is not 1 to 64 letters, digits, - and _".into());
        }
        if !INTERVALS.contains(&self.interval) {
            return wrong("interval", format!("{:?} is not within 100ms and 10m", self.interval));
        }
        for (name, value) in &self.external_labels {
            if !is_metric_name(name) || name.contains(':') || name.starts_with("__") {
                return wrong("external_labels", format!("has {name:?}, which no label can be"));
            }
            if value.is_empty() {
                return wrong("external_labels", format!("has {name:?} without a value"));
            }
        }
        self.selectors()?;
        self.client().map(drop)
    }
}

/// Checks all sections, and that their names differ.
///
/// # Errors
/// [`ForwardError`] names the section and the key.
pub fn check(sections: &[ForwardConfig]) -> Result<(), ForwardError> {
    for (number, section) in sections.iter().enumerate() {
        section.check()?;
        if sections[..number].iter().any(|other| other.name == section.name) {
            let what = "is that of another section too".into();
            return Err(ForwardError::Value { name: section.name.clone(), key: "name", what });
        }
    }
    Ok(())
}
