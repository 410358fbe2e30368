//! The agent for a node whose kernel is made up: the agent's own library and configuration, in a
//! process of its own, with netlink sockets that lead to the benchmark. A subcommand that the
//! benchmark starts itself.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use fake_node::kernel::Family;
use fake_node::remote;
use sextant_agent::app::App;
use sextant_agent::collectors::Collector;
use sextant_agent::collectors::pods::Attribution;
use sextant_agent::collectors::sriov::ethtool::{Ethtool, NAME_BYTES};
use sextant_agent::collectors::sriov::{Kernel, Sriov};
use sextant_agent::config::Config;
use sextant_agent::netlink::generic::Generic;
use sextant_agent::netlink::route::{LinkEvents, Route};
use sextant_agent::netlink::{Netlink, NetlinkError};
use tokio::signal::unix::{SignalKind, signal};

/// As many as a driver has with some ten queues.
const COUNTERS: usize = 300;
/// The driver's own counters: two of losses among many that are not.
const ETHTOOL: Ethtool = Ethtool {
    count: |_| Ok(COUNTERS),
    names: |_, count| {
        let name = |number| match number {
            0 => "rx_dropped.nic".to_owned(),
            1 => "rx_crc_errors.nic".to_owned(),
            _ => format!("rx_queue_{number}_packets"),
        };
        Ok((0..count).flat_map(|n| format!("{:\0<NAME_BYTES$}", name(n)).into_bytes()).collect())
    },
    values: |_, count| Ok(vec![0; count]),
    firmware: |_| Ok("4.50 0x8001d8b5 1.3597.0".into()),
};

/// What the benchmark says.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The agent's.
    #[arg(long)]
    config: PathBuf,
    /// Where the kernel's sockets are to be had.
    #[arg(long)]
    kernel: PathBuf,
}

/// Runs until SIGTERM, as the agent does.
///
/// # Errors
/// As the agent's.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    sextant_agent::malloc::share_one_arena();
    let mut config = Config::load(Some(&arguments.config))?;
    let collectors = collectors(&mut config, &arguments.kernel);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let traces = sextant_proto::logging::start(&config.log, "sextant-agent")?;
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let app = App::build_with(config, collectors)?;
        let outcome = Box::pin(app.run(async move {
            terminate.recv().await;
        }));
        let outcome = outcome.await;
        traces.finish().await;
        outcome.map(|_| ())
    })
}

/// The collectors that the configuration's own cannot stand for: those that talk to the kernel.
pub(crate) fn collectors(config: &mut Config, kernel: &std::path::Path) -> Vec<Box<dyn Collector>> {
    let sriov = config.collectors.sriov.clone();
    config.collectors.sriov.enabled = false;
    if !sriov.enabled {
        return Vec::new();
    }
    let pods = Arc::new(Attribution::new(config.paths.proc.clone()));
    let kernel = self::kernel(kernel);
    vec![Box::new(Sriov::with_kernel(&sriov, &config.paths, &pods, kernel))]
}

fn kernel(path: &std::path::Path) -> Kernel {
    let path = Arc::new(path.to_owned());
    let open = move |family| {
        let fd =
            remote::open(&path, family).map_err(|error: io::Error| NetlinkError::Open(error))?;
        Netlink::from_fd(fd)
    };
    let [route, events, generic] = [open.clone(), open.clone(), open];
    Kernel {
        route: Arc::new(move || route(Family::Route).map(Route::new)),
        events: Arc::new(move || events(Family::Events).map(LinkEvents::new)),
        generic: Arc::new(move || generic(Family::Generic).map(Generic::new)),
        ethtool: ETHTOOL,
        clock: Instant::now,
    }
}
