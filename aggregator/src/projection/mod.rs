//! Compatibility projections: what the fleet's fresh values are called by the tools that made
//! their names standard, so that existing dashboards and alert rules work unchanged.
//!
//! A projection reads the fleet and writes families under the peer's names, labels and
//! units; native series stay as they are. What is not known is not there: no sentinel, no zero.
//! Every line carries our own labels `cluster` and `node`, too.

pub mod cloud_events;
mod dcgm;
mod fleet;
mod openshift_ptp;
mod sriov_exporter;

use serde::{Deserialize, Serialize};

use crate::query::Queries;

pub(crate) use fleet::{Fleet, Sample};

/// The `[exposition]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExpositionConfig {
    /// `DCGM_FI_*` and `DCGM_EXP_*`, as dcgm-exporter has them.
    pub dcgm: bool,
    pub dcgm_names: DcgmNames,
    pub hostname_label: HostnameLabel,
    /// Namespace, pod and container on the lines of a GPU that one container has alone.
    pub pod_labels: bool,
    /// `openshift_ptp_*`, as linuxptp-daemon and cloud-event-proxy have them.
    pub openshift_ptp: bool,
    /// `sriov_vf_rx_bytes` and so on, as sriov-network-metrics-exporter has them.
    pub sriov_exporter: bool,
}

impl Default for ExpositionConfig {
    fn default() -> Self {
        Self {
            dcgm: true,
            dcgm_names: DcgmNames::default(),
            hostname_label: HostnameLabel::default(),
            pod_labels: true,
            openshift_ptp: true,
            sriov_exporter: true,
        }
    }
}

/// Which names DCGM's fields have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DcgmNames {
    /// Those of DCGM before 4.6, which dashboards read.
    #[default]
    Legacy,
    /// Those that DCGM 4.6 gave them.
    Dcgm46,
    Both,
}

/// What dcgm-exporter's label with the node's name is called: it was renamed in May 2026.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostnameLabel {
    #[default]
    Hostname,
    #[serde(rename = "hostname")]
    Lowercase,
    #[serde(rename = "both")]
    Both,
}

/// A family's type in the text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    Counter,
}

impl Kind {
    /// As the text format spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        }
    }
}

/// A family that a projection can write.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
    /// The projection's own number for it.
    pub(crate) id: usize,
}

/// Takes a family's samples one by one.
pub(crate) type Put<'a> = &'a mut dyn FnMut(&[(&str, &str)], f64);

/// Writes families of one fleet.
pub(crate) trait Projection {
    /// Those that it can write, in any order.
    fn families(&self) -> Vec<Family>;
    /// The samples of one of them.
    fn write(&self, id: usize, put: Put<'_>);
}

/// The projections that are switched on, and what they remember between scrapes.
#[derive(Debug, Default)]
pub struct Projections {
    config: ExpositionConfig,
    history: dcgm::History,
}

/// Names that `collect[]` selects a projection by.
const DCGM: &str = "dcgm";
const OPENSHIFT_PTP: &str = "openshift_ptp";
const SRIOV_EXPORTER: &str = "sriov_exporter";

impl Projections {
    /// Those that the configuration asks for.
    #[must_use]
    pub fn new(config: ExpositionConfig) -> Self {
        Self { config, history: dcgm::History::default() }
    }

    /// Whether a projection that is asked for by name reads this metric.
    pub(crate) fn reads(&self, wanted: &dyn Fn(&str) -> bool, metric: &str) -> bool {
        let c = &self.config;
        (c.dcgm && metric.starts_with("gpu_") && wanted(DCGM))
            || (c.openshift_ptp && metric.starts_with("ptp_") && wanted(OPENSHIFT_PTP))
            || (c.sriov_exporter && sriov_exporter::reads(metric) && wanted(SRIOV_EXPORTER))
    }

    /// The projections of a fleet whose names are wanted.
    pub(crate) fn of<'a>(
        &'a self,
        queries: &'a Queries,
        fleet: &'a Fleet,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Vec<Box<dyn Projection + 'a>> {
        let c = &self.config;
        let mut all: Vec<Box<dyn Projection + 'a>> = Vec::new();
        if c.dcgm && wanted(DCGM) {
            all.push(Box::new(dcgm::Dcgm::new(c, queries, &self.history, fleet)));
        }
        if c.openshift_ptp && wanted(OPENSHIFT_PTP) {
            all.push(Box::new(openshift_ptp::OpenshiftPtp::new(fleet)));
        }
        if c.sriov_exporter && wanted(SRIOV_EXPORTER) {
            all.push(Box::new(sriov_exporter::SriovExporter::new(fleet)));
        }
        all
    }
}

/// Every family of every projection under the names of a configuration: what documentation and
/// tests are compared with.
#[must_use]
pub fn families(names: DcgmNames) -> Vec<Family> {
    let mut all = dcgm::families(names);
    all.extend(openshift_ptp::families());
    all.extend(sriov_exporter::families());
    all.sort_by_key(|f| f.name);
    all
}
