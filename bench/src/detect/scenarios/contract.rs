//! The agent's metrics, by name: what the generator emits is held against them, so that it can
//! emit nothing that no agent would.

use std::collections::BTreeMap;

use anyhow::Context as _;
use sextant_proto::v1::MetricDescriptor;

/// What the agent can send.
#[derive(Debug)]
pub(crate) struct Contract(BTreeMap<String, MetricDescriptor>);

impl Contract {
    /// That of the agent which this program was built with.
    ///
    /// # Errors
    /// When the agent's default configuration is not usable.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let config = sextant_agent::config::Config::default();
        let metrics = sextant_agent::app::metrics(&config).context("the agent's metrics")?;
        Ok(Self(metrics.into_iter().map(|m| (m.name.clone(), m)).collect()))
    }

    /// Whether the agent says of any metric that its label has the value.
    #[cfg(test)]
    pub(crate) fn documents(&self, label: &str, value: &str) -> bool {
        self.0.values().any(|m| m.help.contains(label) && m.help.contains(value))
    }

    /// What the agent says of a metric.
    ///
    /// # Panics
    /// When it has none of that name: the generator is wrong.
    pub(crate) fn metric(&self, name: &str) -> &MetricDescriptor {
        self.0.get(name).unwrap_or_else(|| panic!("the agent has a metric {name}"))
    }
}
