//! The agent on a telco node that is made up: what reading ptp4l's and virtual functions costs,
//! and how many requests both get.
//!
//! ptp4l's, files of sysfs and the kernel's answers are the benchmark's process'; the agent
//! talks to them by real sockets and files. Time in a real kernel, driver or clock is not in the
//! figures.

mod node;
pub(crate) mod stand_in;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use sextant_agent::clock::{next_tick, now_ms};
use tokio_util::task::TaskTracker;

use self::node::Node;
use super::agent::{self, Collected, Subject};
use super::{
    Arguments, Meter, Round, SETTLE, WARM_UP_MS, WARM_UP_ROUNDS, allocations, durations, figures,
};
use crate::aggregator::{self, Aggregator};
use crate::progress;
use crate::report::{Report, Row};

const NOTES: &[&str] = &[
    "simulated: fake ptp4l's, a made-up sysfs, and a fake kernel at the end of the netlink sockets",
    "not in the figures: the kernel's and the driver's time for rtnetlink, devlink and ethtool, and ioctls of PTP hardware clocks",
    "the agent runs in this program's binary, which is larger than its own",
];

/// What is made up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) ptp: u32,
    pub(super) vfs: u32,
}

/// Starts the daemons and measures.
pub(super) async fn run(size: Size, arguments: &Arguments) -> anyhow::Result<Report> {
    let program = std::env::current_exe().context("this program's path")?;
    let (aggregator_program, _) = aggregator::program(arguments.aggregator.as_deref())?;
    let (interval, interval_ms, rounds) = arguments.rounds()?;

    let mut node = Node::start(size.ptp, size.vfs)?;
    let dir = tempfile::tempdir().context("directory for the daemons' files")?;
    let subject = Subject::Telco {
        root: node.root().to_owned(),
        kernel: node.kernel_socket(),
        ptp: size.ptp > 0,
        sriov: size.vfs > 0,
        vf_interval: arguments.vf_interval,
    };
    let aggregator = Aggregator::start(&aggregator_program, dir.path()).await?;
    let mut client = aggregator.query().await?;
    let begin_ms = now_ms();
    let endpoint = aggregator.endpoint();
    let mut agent = agent::start(&program, dir.path(), &endpoint, interval, &subject)?;
    agent::connected(&mut agent, &mut client).await?;

    // A short measurement is a trial.
    let warm_up = WARM_UP_ROUNDS.max((WARM_UP_MS / interval_ms).min(rounds));
    let bar = progress::bar("warming up", u64::try_from(warm_up + rounds)?);
    let mut round = Round { tick_ms: next_tick(now_ms(), interval_ms), interval_ms };
    for _ in 0..warm_up {
        round.pass(&bar).await;
        node.pass_traffic()?;
    }
    bar.set_message("measuring");
    let start_ms = round.between().await;
    let tasks = TaskTracker::new();
    let meter = Meter::start(&agent, &tasks)?;
    let before = node.requests();
    for _ in 0..rounds {
        round.pass(&bar).await;
        node.pass_traffic()?;
    }
    let end_ms = round.between().await;
    let used = meter.finish().await?;
    let after = node.requests();
    bar.finish_and_clear();
    tokio::time::sleep(SETTLE).await;
    let collected = agent::collected(&mut client, start_ms, end_ms).await?;
    let all = agent::collected(&mut client, begin_ms, end_ms).await?;
    agent.alive()?;
    agent.stop().await?;
    aggregator.stop().await?;
    let kernel = node.kernel_socket();
    let allocations = allocations::count(dir.path(), Some(&kernel), &[]).await?;
    check(&all, size)?;

    let millis = u64::try_from(end_ms - start_ms).context("the clock was set back")?;
    let seconds = Duration::from_millis(millis).as_secs_f64();
    let mut own = figures(&used, collected.samples, u64::try_from(rounds)?, seconds);
    durations(&collected, &mut own);
    if let Some(bytes) = collected.sent_bytes {
        own.set("sent_bytes_per_second", bytes / seconds);
        own.set("sent_bytes_per_sample", bytes / collected.samples as f64);
    }
    let per_minute = |requests: u64| requests as f64 / seconds * 60.0;
    own.count("ptp_ports", all.series("ptp_port_state"))
        .count("vfs", all.series("sriov_vf_receive_bytes_total"))
        .set("vf_interval_seconds", arguments.vf_interval.max(interval).as_secs_f64())
        .set("ptp4l_requests_per_minute", per_minute(after.ptp4l - before.ptp4l))
        .set("netlink_requests_per_minute", per_minute(after.netlink - before.netlink))
        .count("allocations_per_steady_fast_tick", allocations)
        .set("errors", errors(&all));
    let system = concat!("sextant-agent ", env!("CARGO_PKG_VERSION")).to_owned();
    Ok(Report {
        bench: "overhead",
        seconds,
        rows: vec![Row { system, figures: own, ..Row::default() }],
        goals: Vec::new(),
        notes: NOTES,
    })
}

/// Whether everything was read and nothing failed.
fn check(all: &Collected, size: Size) -> anyhow::Result<()> {
    let Size { ptp, vfs } = size;
    for (metric, expected) in [
        ("ptp_port_state", ptp),
        ("ptp_offset_seconds", ptp),
        ("sriov_vf_receive_bytes_total", vfs),
    ] {
        let found = all.series(metric);
        ensure!(found == u64::from(expected), "{metric} has {found} series instead of {expected}");
    }
    let errors = errors(all);
    ensure!(errors == 0.0, "{errors} requests and sources have failed");
    Ok(())
}

/// Requests to ptp4l and sources of collectors that failed since the start.
fn errors(all: &Collected) -> f64 {
    all.total("sextant_ptp_request_errors_total") + all.total("sextant_collector_errors_total")
}
