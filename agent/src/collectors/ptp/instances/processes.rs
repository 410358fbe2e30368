//! Which daemons of the node's time run, and since when.
//!
//! A look at all processes is dear on a large node: it is taken once a minute, and in between
//! only new ids and those that are known are looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::config_file::file_argument;
use crate::collectors::ptp::metrics;
use crate::sample::Batch;

/// What is looked for, by `/proc/PID/comm`.
const NAMES: [&str; 6] = ["ptp4l", "phc2sys", "ts2phc", "synce4l", "chronyd", "gpsd"];
/// A process changes its name when it becomes another program: a look at its first moment may
/// see its parent's.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// What is gone so long is not waited for any more.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// Daemons of one kind with different configurations.
const MOST_DAEMONS: usize = 64;

/// A running process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) name: &'static str,
    pub(crate) pid: u32,
    /// In clock ticks after the boot: with the id it tells processes apart.
    pub(crate) started: u64,
    pub(crate) arguments: Vec<String>,
}

/// Processes of one name and configuration, one after the other.
#[derive(Debug)]
struct Daemon {
    name: &'static str,
    config: String,
    running: bool,
    restarts: u64,
    gone_since: Duration,
}

/// The daemons.
#[derive(Debug)]
pub(crate) struct Processes {
    proc: PathBuf,
    running: Vec<Process>,
    /// Ids of everything else.
    others: FxHashSet<u32>,
    looked_at: Option<Duration>,
    daemons: Vec<Daemon>,
}

impl Processes {
    #[must_use]
    pub(crate) fn new(proc: &Path) -> Self {
        Self {
            proc: proc.to_owned(),
            running: Vec::new(),
            others: FxHashSet::default(),
            looked_at: None,
            daemons: Vec::new(),
        }
    }

    /// Those that run, in the order of their ids.
    pub(crate) fn named(&self, name: &str) -> impl Iterator<Item = &Process> {
        self.running.iter().filter(move |process| process.name == name)
    }

    /// Looks for them; at all processes if `all`.
    pub(crate) fn scan(&mut self, now: Duration, all: bool) {
        let old = self.looked_at.is_none_or(|at| now.saturating_sub(at) >= LOOK_AGAIN);
        if all || old {
            self.others.clear();
            self.looked_at = Some(now);
        }
        let mut found = Vec::new();
        let mut others = FxHashSet::default();
        for pid in ids(&self.proc) {
            let known = self.running.iter().find(|process| process.pid == pid);
            if known.is_none() && self.others.contains(&pid) {
                others.insert(pid);
                continue;
            }
            match self.look(pid) {
                Some(process) => found.push(process),
                None => {
                    others.insert(pid);
                }
            }
        }
        found.sort_unstable_by_key(|process| process.pid);
        self.others = others;
        self.follow(&found, now);
        self.running = found;
    }

    fn look(&self, pid: u32) -> Option<Process> {
        let directory = self.proc.join(pid.to_string());
        let comm = fs::read_to_string(directory.join("comm")).ok()?;
        let name = NAMES.into_iter().find(|name| *name == comm.trim_end())?;
        let started = started(&fs::read_to_string(directory.join("stat")).ok()?)?;
        let line = fs::read(directory.join("cmdline")).ok()?;
        let arguments = line.split(|byte| *byte == 0).filter(|argument| !argument.is_empty());
        let arguments = arguments.map(|argument| String::from_utf8_lossy(argument).into_owned());
        Some(Process { name, pid, started, arguments: arguments.collect() })
    }

    /// Counts starts and notices ends.
    fn follow(&mut self, found: &[Process], now: Duration) {
        for daemon in &mut self.daemons {
            let was = std::mem::replace(&mut daemon.running, false);
            if was {
                daemon.gone_since = now;
            }
        }
        let first_look: Vec<(&'static str, String)> =
            self.daemons.iter().map(|daemon| (daemon.name, daemon.config.clone())).collect();
        for process in found {
            let config = file_argument(&process.arguments).unwrap_or_default();
            let is_it = |daemon: &Daemon| daemon.name == process.name && daemon.config == config;
            let new = !self
                .running
                .iter()
                .any(|known| (known.pid, known.started) == (process.pid, process.started));
            if let Some(daemon) = self.daemons.iter_mut().find(|daemon| is_it(daemon)) {
                let known = first_look
                    .iter()
                    .any(|(name, known)| (*name, known.as_str()) == (process.name, config));
                daemon.running = true;
                daemon.restarts += u64::from(new && known);
            } else if self.daemons.len() < MOST_DAEMONS {
                self.daemons.push(Daemon {
                    name: process.name,
                    config: config.to_owned(),
                    running: true,
                    restarts: 0,
                    gone_since: now,
                });
            }
        }
        self.daemons.retain(|daemon| {
            daemon.running || now.saturating_sub(daemon.gone_since) < FORGET_AFTER
        });
    }

    /// Sets what is known of them.
    pub(crate) fn emit(&self, batch: &mut Batch) {
        if self.daemons.is_empty() {
            return;
        }
        let mut node = batch.node();
        for daemon in &self.daemons {
            let labels = [("process", daemon.name), ("config", daemon.config.as_str())];
            node.set_with(&metrics::PROCESS_UP, &labels, f64::from(u8::from(daemon.running)))
                .set_with(&metrics::PROCESS_RESTARTS, &labels, daemon.restarts as f64);
        }
    }
}

fn ids(proc: &Path) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Field 22 of `/proc/PID/stat`, counted after the name, which may hold anything.
fn started(stat: &str) -> Option<u64> {
    let (_, after) = stat.rsplit_once(')')?;
    after.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn run(proc: &Path, pid: u32, comm: &str, cmdline: &str, started: u64) {
        let directory = proc.join(pid.to_string());
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("comm"), format!("{comm}\n")).unwrap();
        fs::write(directory.join("cmdline"), cmdline.replace(' ', "\0") + "\0").unwrap();
        let stat = format!("{pid} ({comm}) x) S {} {started} 0 0\n", "1 ".repeat(18));
        fs::write(directory.join("stat"), stat).unwrap();
    }

    fn of(processes: &Processes) -> Vec<(&str, bool, u64)> {
        let daemons = processes.daemons.iter();
        daemons.map(|daemon| (daemon.config.as_str(), daemon.running, daemon.restarts)).collect()
    }

    #[test]
    fn daemons_are_found_and_their_starts_counted() {
        let proc = tempfile::tempdir().unwrap();
        let proc = proc.path();
        fs::create_dir(proc.join("self")).unwrap();
        run(proc, 1, "systemd", "init", 1);
        run(proc, 20, "ptp4l", "ptp4l -f /a -m", 100);
        run(proc, 21, "ptp4l", "ptp4l -f /b", 100);
        let mut processes = Processes::new(proc);
        processes.scan(SECOND, false);
        assert_eq!(of(&processes), [("/a", true, 0), ("/b", true, 0)]);
        assert_eq!(processes.named("ptp4l").map(|p| p.started).collect::<Vec<_>>(), [100, 100]);
        assert_eq!(processes.named("ptp4l").next().unwrap().arguments[2], "/a");
        // Another with the same id, one gone, one anew.
        run(proc, 20, "ptp4l", "ptp4l -f /a -m", 200);
        fs::remove_dir_all(proc.join("21")).unwrap();
        processes.scan(SECOND * 2, false);
        assert_eq!(of(&processes), [("/a", true, 1), ("/b", false, 0)]);
        run(proc, 30, "ptp4l", "ptp4l -f /b", 300);
        processes.scan(SECOND * 3, false);
        assert_eq!(of(&processes), [("/a", true, 1), ("/b", true, 1)]);
        fs::remove_dir_all(proc.join("30")).unwrap();
        processes.scan(SECOND * 4, false);
        processes.scan(SECOND * 4 + FORGET_AFTER, false);
        assert_eq!(of(&processes), [("/a", true, 1)]);
    }

    #[test]
    fn program_that_becomes_ptp4l_is_noticed_at_the_next_look_at_all() {
        let proc = tempfile::tempdir().unwrap();
        let proc = proc.path();
        run(proc, 5, "sh", "sh", 1);
        let mut processes = Processes::new(proc);
        processes.scan(SECOND, false);
        run(proc, 5, "ptp4l", "ptp4l", 1);
        processes.scan(SECOND * 2, false);
        assert_eq!(processes.named("ptp4l").count(), 0);
        processes.scan(SECOND * 3, true);
        assert_eq!(processes.named("ptp4l").count(), 1);
        run(proc, 6, "sh", "sh", 1);
        processes.scan(SECOND * 4, false);
        run(proc, 6, "phc2sys", "phc2sys -a", 1);
        processes.scan(SECOND * 3 + LOOK_AGAIN, false);
        assert_eq!(processes.named("phc2sys").count(), 1);
    }
}
