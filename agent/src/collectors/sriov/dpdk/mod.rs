//! Applications that drive virtual functions themselves, by DPDK's telemetry sockets.
//!
//! Such a function has no network device and often no counters; its application has them. It is
//! asked over a socket of its own, on the node and within containers. An application that does
//! not answer costs [`client::TIMEOUT`] once and is asked more rarely after that; a tick waits
//! for all of them together no longer than [`BUDGET`].

mod client;
mod find;
mod reply;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use self::client::{Client, ClientError};
use self::find::{Finder, Found};
use self::reply::{Mempool, Port};
use super::backoff::Backoff;
use super::metrics as m;
use crate::collectors::Paths;
use crate::sample::Batch;

/// Sockets are looked for once in so many ticks.
const FIND_EVERY: u32 = 4;
/// Ports and pools of one application.
const MOST_PORTS: usize = 64;
const MOST_MEMPOOLS: usize = 64;
/// How long a tick asks applications.
const BUDGET: Duration = Duration::from_secs(2);

struct Application {
    found: Found,
    backoff: Backoff,
    /// The first failure was told.
    failed: bool,
}

/// What an application says.
#[derive(Debug, Default)]
struct Answers {
    version: String,
    ports: Vec<(u64, Port)>,
    mempools: Vec<(String, Mempool)>,
}

/// Asks applications.
pub(super) struct Dpdk {
    finder: Finder,
    interval: Duration,
    /// Ticks until sockets are looked for.
    find_in: u32,
    applications: Vec<Application>,
    malformed: u64,
}

impl Dpdk {
    /// Looks below the node's paths; ticks come once an `interval`.
    pub(super) fn new(paths: &Paths, interval: Duration) -> Self {
        Self {
            finder: Finder::new(paths),
            interval,
            find_in: 0,
            applications: Vec::new(),
            malformed: 0,
        }
    }

    /// Reads all applications.
    pub(super) fn read(&mut self, batch: &mut Batch) {
        if self.find_in == 0 {
            self.find_in = FIND_EVERY;
            self.find();
        }
        self.find_in -= 1;
        let start = Instant::now();
        let mut gone = false;
        for application in &mut self.applications {
            if start.elapsed() > BUDGET || !application.backoff.due() {
                continue;
            }
            match ask(&application.found, &mut self.malformed) {
                Ok(answers) => {
                    application.failed = false;
                    application.backoff.took(Duration::ZERO);
                    set(&application.found.process, &answers, batch);
                }
                Err(ClientError::Gone(_)) => gone = true,
                Err(error) => {
                    application.backoff.slower();
                    if matches!(error, ClientError::Malformed) {
                        self.malformed += 1;
                    }
                    if !std::mem::replace(&mut application.failed, true) {
                        let process = application.found.process.as_str();
                        tracing::warn!(process, %error, "DPDK application does not answer");
                    }
                    batch.fail("dpdk", &error);
                }
            }
        }
        if gone {
            self.find_in = 0;
        }
        if !self.applications.is_empty() {
            batch.node().set(&m::DPDK_MALFORMED, self.malformed as f64);
        }
    }

    fn find(&mut self) {
        let mut before = std::mem::take(&mut self.applications);
        for found in self.finder.find() {
            let known = before.iter().position(|a| a.found.is_same(&found));
            let application = known.map(|at| before.swap_remove(at));
            let new = || Backoff::new(self.interval);
            self.applications.push(match application {
                Some(known) => Application { found, ..known },
                None => Application { found, backoff: new(), failed: false },
            });
        }
    }
}

fn ask(found: &Found, malformed: &mut u64) -> Result<Answers, ClientError> {
    let mut client = Client::connect(&found.socket)?;
    let mut answers = Answers { version: client.version().to_owned(), ..Answers::default() };
    // A part that does not make sense leaves the others.
    let mut part = |parsed: Option<()>| *malformed += u64::from(parsed.is_none());
    let list = client.ask("/ethdev/list")?;
    let ports = reply::numbers(&list);
    part(ports.as_ref().map(|_| ()));
    for id in ports.into_iter().flatten().take(MOST_PORTS) {
        let mut port = Port::default();
        part(port.info(&client.ask(&format!("/ethdev/info,{id}"))?));
        part(port.stats(&client.ask(&format!("/ethdev/stats,{id}"))?));
        part(port.link(&client.ask(&format!("/ethdev/link_status,{id}"))?));
        answers.ports.push((id, port));
    }
    let list = client.ask("/mempool/list")?;
    for name in reply::texts(&list).into_iter().flatten().take(MOST_MEMPOOLS) {
        let pool = reply::mempool(&client.ask(&format!("/mempool/info,{name}"))?);
        part(pool.as_ref().map(|_| ()));
        answers.mempools.extend(pool.map(|pool| (name, pool)));
    }
    Ok(answers)
}

fn set(process: &str, answers: &Answers, batch: &mut Batch) {
    for (id, port) in &answers.ports {
        let id = id.to_string();
        let labels = [("process", process), ("port", id.as_str())];
        let mut entity = batch.entity("dpdk_port", &labels);
        let info = [
            ("name", port.name.as_str()),
            ("mac", port.mac.as_str()),
            ("numa_node", port.numa_node.as_str()),
            ("version", answers.version.as_str()),
        ];
        entity.set_with(&m::DPDK_INFO, &info, 1.0);
        if let Some(up) = port.up {
            entity.set(&m::DPDK_UP, f64::from(u8::from(up)));
        }
        for (metric, value) in reply::COUNTERS.iter().map(|(_, m)| m).zip(port.counters) {
            if let Some(value) = value {
                entity.set(metric, value as f64);
            }
        }
    }
    if answers.mempools.is_empty() {
        return;
    }
    let mut entity = batch.entity("dpdk_process", &[("process", process)]);
    for (name, pool) in &answers.mempools {
        let labels = [("mempool", name.as_str())];
        entity.set_with(&m::DPDK_MEMPOOL_SIZE, &labels, pool.size as f64);
        if let Some(available) = pool.available {
            entity.set_with(&m::DPDK_MEMPOOL_AVAILABLE, &labels, available as f64);
        }
    }
}
