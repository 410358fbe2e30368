//! The real agent as a child, with what is measured and itself at one interval, everything else
//! off: the host, which its peer reads too, GPUs, which a library makes up, or a telco node, which
//! the benchmark makes up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use sextant_agent::config::Config;
use sextant_proto::v1::query_client::QueryClient;
use sextant_proto::v1::{ListNodesRequest, RangeRequest};
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;

use super::STAND_IN;
use crate::process::{self, Child};

const CLUSTER: &str = "bench";
const NODE: &str = "overhead";
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
/// What names the duration of a collector's last call.
const DURATION: &str = "sextant_collector_duration_seconds";
/// What counts the bytes that the agent has sent.
const SENT: &str = "sextant_uplink_sent_bytes_total";

/// What the agent reads.
#[derive(Debug)]
pub(super) enum Subject {
    Host,
    /// GPUs of a library that looks at a scenario.
    Gpus {
        library: PathBuf,
        scenario: PathBuf,
    },
    /// The clocks and network devices below a directory, with a kernel whose sockets are to be
    /// had at a path; by the stand-in for the agent.
    Telco {
        root: PathBuf,
        kernel: PathBuf,
        ptp: bool,
        sriov: bool,
        vf_interval: Duration,
    },
}

impl Subject {
    fn has(&self, collector: &str) -> bool {
        match (self, collector) {
            (_, "agent") | (Self::Host, "host") | (Self::Gpus { .. }, "gpu") => true,
            (Self::Telco { ptp, .. }, "ptp") => *ptp,
            (Self::Telco { sriov, .. }, "sriov") => *sriov,
            _ => false,
        }
    }
}

/// The daemon's program and what it calls itself ("sextant-agent 1.0.0").
///
/// # Errors
/// When it is not there.
pub(super) fn program(given: Option<&Path>) -> anyhow::Result<(PathBuf, String)> {
    let program = process::own("sextant-agent", given)?;
    let version = process::version(&program)?.trim().to_owned();
    Ok((program, version))
}

/// Starts the agent with its files below `dir`.
///
/// # Errors
/// When it cannot be started.
pub(super) fn start(
    program: &Path,
    dir: &Path,
    endpoint: &str,
    interval: Duration,
    subject: &Subject,
) -> anyhow::Result<Child> {
    let file = dir.join("agent.toml");
    let text = configuration(dir, endpoint, interval, subject)?;
    std::fs::write(&file, text).with_context(|| file.display().to_string())?;
    let arguments = ["--config".to_owned(), file.to_string_lossy().into_owned()];
    match subject {
        Subject::Host => Child::start(program, &arguments, dir),
        Subject::Gpus { scenario, .. } => {
            let environment = [("FAKE_NVML_SCENARIO", scenario.as_os_str())];
            Child::start_with(program, &arguments, &environment, dir)
        }
        Subject::Telco { kernel, .. } => {
            let kernel = ["--kernel".to_owned(), kernel.to_string_lossy().into_owned()];
            let arguments = [&[STAND_IN.to_owned()], &arguments[..], &kernel].concat();
            Child::start(program, &arguments, dir)
        }
    }
}

/// The agent's defaults, but for names, places and intervals.
fn configuration(
    dir: &Path,
    endpoint: &str,
    interval: Duration,
    subject: &Subject,
) -> anyhow::Result<String> {
    let mut config =
        Config { cluster: CLUSTER.into(), node: Some(NODE.into()), ..Config::default() };
    config.spool.dir = dir.join("spool");
    config.uplink.endpoint = endpoint.into();
    config.collectors.host.interval = interval;
    config.collectors.host.slow_interval = interval;
    config.collectors.agent.interval = interval;
    if let Subject::Gpus { library, .. } = subject {
        config.paths.nvml.clone_from(library);
        let gpu = &mut config.collectors.gpu;
        gpu.interval = interval;
        gpu.medium_interval = gpu.medium_interval.max(interval);
        gpu.slow_interval = gpu.slow_interval.max(interval);
    }
    if let Subject::Telco { root, vf_interval, .. } = subject {
        let paths = &mut config.paths;
        (paths.sys, paths.run) = (root.join("sys"), root.join("run"));
        (paths.root, paths.dev) = (root.clone(), root.join("dev"));
        let ptp = &mut config.collectors.ptp;
        ptp.interval = interval;
        // Daemons of this machine are none of the made-up node's.
        paths.proc = root.join("proc");
        // A benchmark's fakes may be late on a busy machine; that is no failure of theirs.
        ptp.request_timeout = Duration::from_secs(1);
        ptp.clocks.chrony.clear();
        ptp.clocks.gpsd.clear();
        ptp.slow_interval = ptp.slow_interval.max(interval);
        ptp.discovery_interval = ptp.discovery_interval.max(interval);
        config.collectors.sriov.interval = interval;
        config.collectors.sriov.vf_interval = (*vf_interval).max(interval);
    }
    let mut table = toml::Table::try_from(&config).context("write the configuration")?;
    let health = table.get_mut("health").and_then(toml::Value::as_table_mut);
    health.context("no [health]")?.insert("listen".into(), "127.0.0.1:0".into());
    let collectors = table.get_mut("collectors").and_then(toml::Value::as_table_mut);
    for (name, section) in collectors.context("no [collectors]")? {
        let enabled = subject.has(name);
        let section = section.as_table_mut().with_context(|| format!("collectors.{name}"))?;
        section.insert("enabled".into(), enabled.into());
    }
    Ok(table.to_string())
}

/// Waits until the aggregator knows the agent as connected.
///
/// # Errors
/// When it does not come, with what the agent has said if it has ended.
pub(super) async fn connected(
    agent: &mut Child,
    client: &mut QueryClient<Channel>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        agent.alive()?;
        let request = ListNodesRequest { cluster: CLUSTER.into() };
        let nodes = client.list_nodes(request).await?.into_inner().nodes;
        if nodes.iter().any(|node| node.name == NODE && node.connected) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "agent does not connect to the aggregator");
        sleep(LOOK).await;
    }
}

/// What the agent has collected in a while.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) samples: u64,
    /// What the agent has sent between its first and its last count.
    pub(super) sent_bytes: Option<f64>,
    /// Collectors by name, and how long their calls took on average.
    pub(super) durations: Vec<(String, Duration)>,
    /// By metric: how many series have values, and the sum of their last ones.
    metrics: BTreeMap<String, (u64, f64)>,
}

impl Collected {
    /// How many series of a metric have values.
    pub(super) fn series(&self, metric: &str) -> u64 {
        self.metrics.get(metric).map_or(0, |(series, _)| *series)
    }

    /// The sum of the last values of a metric; 0 without any.
    pub(super) fn total(&self, metric: &str) -> f64 {
        self.metrics.get(metric).map_or(0.0, |(_, total)| *total)
    }
}

/// Asks the aggregator for the samples with a time in a range, both ends included.
///
/// # Errors
/// When it does not answer.
pub(super) async fn collected(
    client: &mut QueryClient<Channel>,
    start_ms: i64,
    end_ms: i64,
) -> anyhow::Result<Collected> {
    let request = RangeRequest {
        selector: format!("{{cluster={CLUSTER:?},node={NODE:?}}}"),
        start_unix_ms: start_ms,
        end_unix_ms: end_ms,
        step_ms: 0,
        ..RangeRequest::default()
    };
    let mut answer = client.range(request).await.context("ask for samples")?.into_inner();
    let mut collected = Collected::default();
    while let Some(part) = answer.message().await? {
        collected.samples += part.values.len() as u64;
        let Some(series) = part.series else { continue };
        if let Some(last) = part.values.last() {
            let (count, total) = collected.metrics.entry(series.metric.clone()).or_default();
            (*count, *total) = (*count + 1, *total + last);
        }
        if series.metric == SENT
            && let [first, .., last] = part.values.as_slice()
        {
            collected.sent_bytes = Some(last - first);
        }
        if series.metric != DURATION {
            continue;
        }
        let collector = series.labels.into_iter().find(|label| label.name == "collector");
        let mean = part.values.iter().sum::<f64>() / part.values.len() as f64;
        if let (Some(collector), Ok(mean)) = (collector, Duration::try_from_secs_f64(mean)) {
            collected.durations.push((collector.value, mean));
        }
    }
    Ok(collected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_is_the_agents_own_with_two_collectors() {
        let interval = Duration::from_millis(1500);
        let host = Subject::Host;
        let text = configuration(Path::new("/d"), "http://127.0.0.1:7", interval, &host).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("agent.toml");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(Some(&file)).unwrap();
        config.check().unwrap();
        assert_eq!(config.uplink.endpoint, "http://127.0.0.1:7");
        assert_eq!(config.spool.dir, Path::new("/d/spool"));
        let host = config.collectors.host;
        assert!(host.enabled && host.interval == interval && host.slow_interval == interval);
        assert!(config.collectors.agent.enabled && config.collectors.agent.interval == interval);
    }

    #[test]
    fn gpus_are_read_from_the_library_as_often_as_is_said() {
        let interval = Duration::from_secs(1);
        let (library, scenario) = ("/l/libfake_nvml.so".into(), "/d/scenario.toml".into());
        let gpus = Subject::Gpus { library, scenario };
        let text = configuration(Path::new("/d"), "http://127.0.0.1:7", interval, &gpus).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("agent.toml");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(Some(&file)).unwrap();
        assert_eq!(config.paths.nvml, Path::new("/l/libfake_nvml.so"));
        let gpu = config.collectors.gpu;
        assert!(gpu.enabled && gpu.interval == interval);
        assert_eq!(gpu.medium_interval, Duration::from_secs(10));
        assert!(!config.collectors.host.enabled && config.collectors.agent.enabled);
    }

    #[test]
    fn telco_node_is_read_where_it_is_made_up() {
        let telco = Subject::Telco {
            root: "/n".into(),
            kernel: "/n/kernel.socket".into(),
            ptp: false,
            sriov: true,
            vf_interval: Duration::from_secs(15),
        };
        let interval = Duration::from_secs(1);
        let text = configuration(Path::new("/d"), "http://127.0.0.1:7", interval, &telco).unwrap();
        let config: Config = toml::from_str(&text).unwrap();
        assert_eq!(config.paths.sys, Path::new("/n/sys"));
        let sriov = config.collectors.sriov;
        assert!(sriov.enabled && sriov.interval == interval);
        assert_eq!(sriov.vf_interval, Duration::from_secs(15));
        assert!(!config.collectors.ptp.enabled && !config.collectors.gpu.enabled);
    }
}
