//! From ptp4l to a subscriber: what happens to a clock arrives as events over the agent, the
//! uplink and the aggregator, in the order that the faults have, and as O-RAN cloud events.
//!
//! `PTP_RUNS=20` repeats it. It prints how long after ptp4l's own log line for a change of state
//! the event about it was at the subscriber; how long that takes is for people to judge.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "the agent and the network are what is tested")]
#![expect(clippy::print_stdout, reason = "how long things took, and why it cannot run")]

#[path = "../../agent/tests/ptp_lab/net.rs"]
mod net;
mod support;

use std::path::Path;
use std::time::Duration;

use net::Net;
use sextant_agent::app::App;
use sextant_agent::config::Config;
use sextant_proto::v1::{SubscribeRequest, SubscribeResponse, subscribe_response};
use support::Running;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Many times what anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

struct Subscriber {
    stream: tonic::Streaming<SubscribeResponse>,
    /// When an event about the slave's port arrived, CLOCK_MONOTONIC, and its state.
    ports: Vec<(f64, String)>,
}

impl Subscriber {
    async fn message(&mut self, what: &str) -> subscribe_response::Message {
        let next = timeout(PATIENCE, self.stream.message()).await;
        let next = next.unwrap_or_else(|_| panic!("{what}: nothing for {PATIENCE:?}"));
        next.unwrap().expect("the stream goes on").message.unwrap()
    }

    /// Reads until the slave's clock is in the state; the states on the way.
    async fn until(&mut self, what: &str, state: &str) -> Vec<String> {
        let mut path = Vec::new();
        loop {
            let subscribe_response::Message::Event(event) = self.message(what).await else {
                continue;
            };
            let event = event.event.unwrap();
            let of = |name: &str| {
                let label = event.attributes.iter().find(|label| label.name == name);
                label.map(|label| label.value.clone()).unwrap_or_default()
            };
            if of("instance") != "ptp4l.sl" {
                continue;
            }
            match &*event.r#type {
                "ptp.port_state_changed" => self.ports.push((monotonic(), of("state"))),
                "ptp.state_changed" => {
                    path.push(of("state"));
                    if of("state") == state {
                        return path;
                    }
                }
                _ => {}
            }
        }
    }

    /// Reads until a cloud event of the type; its data.
    async fn cloud_event(&mut self, kind: &str) -> serde_json::Value {
        loop {
            if let subscribe_response::Message::CloudEvent(event) = self.message(kind).await
                && event.r#type == kind
            {
                return serde_json::from_str(&event.data).unwrap();
            }
        }
    }
}

fn monotonic() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Changes of the port's state by ptp4l's log: when, and to what.
fn log(net: &Net) -> Vec<(f64, String)> {
    let text = std::fs::read_to_string(net.path("sl.log")).unwrap();
    let changes = text.lines().filter_map(|line| {
        // ptp4l[1234.567]: port 1: LISTENING to UNCALIBRATED on RS_SLAVE
        let time = line.split(['[', ']']).nth(1)?.parse().ok()?;
        let (_, change) = line.split_once("]: port 1")?;
        let state = change.split_once(" to ")?.1.split(' ').next()?;
        Some((time, state.to_owned()))
    });
    changes.collect()
}

async fn subscribe(running: &Running, cloud_events: bool) -> Subscriber {
    let request = SubscribeRequest { events: true, cloud_events, ..SubscribeRequest::default() };
    let stream = running.query().await.subscribe(request).await.unwrap().into_inner();
    Subscriber { stream, ports: Vec::new() }
}

fn agent(net: &Net, dir: &Path, endpoint: &str) -> Config {
    let text = format!(
        "node = 'cnf-1'\nhealth.listen = '127.0.0.1:0'\nspool.dir = '{spool}'\n\
         uplink.endpoint = '{endpoint}'\npaths.proc = '{none}'\n\
         collectors.host.enabled = false\ncollectors.gpu.enabled = false\n\
         collectors.sriov.enabled = false\ncollectors.pods.enabled = false\n\
         [collectors.ptp]\nreply_dir = '{lab}'\nconfig_files = ['{lab}/ptp4l.*.config']\n\
         sockets = []\ndiscovery_interval = '1s'\n[collectors.ptp.profiles.lab]\nholdover = '3s'\n",
        spool = dir.join("spool").display(),
        none = dir.join("no-proc").display(),
        lab = net.directory.path().display(),
    );
    toml::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_a_clock_reach_a_subscriber_in_their_order() {
    let mut net = match Net::new() {
        Ok(net) => net,
        Err(reason) => {
            println!("skipped: the ptp lab cannot run: {reason}");
            return;
        }
    };
    let runs = std::env::var("PTP_RUNS").ok().map_or(1, |runs| runs.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(support::config(&dir.path().join("data"))).await;
    let mut events = subscribe(&running, false).await;
    let mut cloud = subscribe(&running, true).await;
    let app = App::build(agent(&net, dir.path(), &running.grpc)).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let agent = tokio::spawn(app.run(async { drop(stopped.await) }));

    net.start_gm();
    net.start_slave();
    while !log(&net).iter().any(|(_, state)| state == "UNCALIBRATED") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    net.make_certain();
    events.until("locked", "LOCKED").await;
    for run in 0..runs {
        faults(&mut net, &mut events).await;
        let worst = delays(&net, &mut events);
        println!("run {run}: at the latest {worst:.3} s after ptp4l's log line");
    }
    let data = cloud.cloud_event("event.sync.ptp-status.ptp-state-change").await;
    let value = &data["values"][0];
    assert_eq!(value["value_type"], "enumeration", "{data}");
    assert!(
        ["LOCKED", "FREERUN", "HOLDOVER"].contains(&value["value"].as_str().unwrap()),
        "{data}"
    );
    drop(stop);
    agent.await.unwrap().unwrap();
    running.stop().await;
}

/// Each fault and its end, with the states that a subscriber is told.
async fn faults(net: &mut Net, events: &mut Subscriber) {
    net.gm = None;
    let lost = events.until("grandmaster lost", "FREERUN").await;
    assert_eq!(lost, ["HOLDOVER", "FREERUN"], "without a grandmaster");
    net.start_gm();
    assert_eq!(events.until("grandmaster back", "LOCKED").await, ["LOCKED"]);

    net.fault(&["lose", "0x0"]);
    assert_eq!(events.until("Sync lost", "FREERUN").await, ["HOLDOVER", "FREERUN"], "starved");
    net.fault(&["clear"]);
    assert_eq!(events.until("Sync back", "LOCKED").await, ["LOCKED"]);

    net.fault(&["shift", "0x186a00000", "0xfffffffe79600000"]);
    assert_eq!(events.until("100 us off", "FREERUN").await, ["FREERUN"], "out of range");
    net.fault(&["clear"]);
    assert_eq!(events.until("in range", "LOCKED").await, ["LOCKED"]);

    net.fault(&["link", "down"]);
    assert_eq!(events.until("link down", "HOLDOVER").await, ["HOLDOVER"]);
    net.fault(&["link", "up"]);
    let back = events.until("link up", "LOCKED").await;
    assert!(back == ["LOCKED"] || back == ["FREERUN", "LOCKED"], "{back:?}");
}

/// The longest time between ptp4l's change to a state and the event about it. A state that
/// ptp4l left again before it was asked has no event.
fn delays(net: &Net, events: &mut Subscriber) -> f64 {
    let changes = log(net);
    let mut worst = 0.0_f64;
    for (arrived, state) in events.ports.drain(..) {
        let change = changes.iter().rev().find(|(at, to)| *at <= arrived && *to == state);
        let (at, _) = change.unwrap_or_else(|| panic!("ptp4l never became {state}: {changes:?}"));
        worst = worst.max(arrived - at);
    }
    assert!(worst > 0.0, "no event about the port");
    worst
}
