//! An aggregator of a fault: killed, stopped and started again on the same address and data.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::{self, Child};

const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// An aggregator, running or not.
pub(super) struct Daemon {
    program: PathBuf,
    dir: PathBuf,
    pub(super) data: PathBuf,
    pub(super) grpc: SocketAddr,
    /// Goes before the program: what runs it elsewhere.
    pub(super) prefix: Vec<String>,
    /// Sections of its configuration beside those that every one has.
    pub(super) config: toml::Table,
    child: Option<Child>,
}

impl Daemon {
    /// One that does not run, with everything below `dir`, on a free port of the address.
    ///
    /// # Errors
    /// When the directory cannot be made or the address is not here.
    pub(super) fn new(program: &Path, dir: PathBuf, host: Ipv4Addr) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let port = TcpListener::bind((host, 0)).context("a free port")?.local_addr()?.port();
        let grpc = SocketAddr::new(IpAddr::V4(host), port);
        let data = dir.join("data");
        let (prefix, config) = (Vec::new(), toml::Table::new());
        Ok(Self { program: program.into(), dir, data, grpc, prefix, config, child: None })
    }

    /// Where agents connect.
    pub(super) fn endpoint(&self) -> String {
        let scheme = if self.config.contains_key("tls") { "https" } else { "http" };
        format!("{scheme}://{}", self.grpc)
    }

    /// Starts it; returns when it is ready.
    ///
    /// # Errors
    /// When it does not become ready; with what it has said.
    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        let mut child = self.spawn()?;
        child
            .says(READY_TIMEOUT, |line| line.contains("aggregator is ready").then_some(()))
            .await?;
        self.child = Some(child);
        Ok(())
    }

    /// Starts it and waits until it has refused to run; what it has said.
    ///
    /// # Errors
    /// When it becomes ready.
    pub(super) async fn refuses(&mut self) -> anyhow::Result<String> {
        let mut child = self.spawn()?;
        let ready = |line: &str| line.contains("aggregator is ready").then_some(());
        match child.says(READY_TIMEOUT, ready).await {
            Ok(()) => anyhow::bail!("the aggregator runs on data that it should refuse"),
            Err(error) => Ok(error.to_string()),
        }
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let mut config = self.config.clone();
        config.insert("data_dir".into(), text(&self.data.to_string_lossy()));
        let mut section = |name: &str, pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), text(value)));
            config.insert(name.into(), toml::Value::Table(pairs.collect()));
        };
        section("listen", &[("grpc", &self.grpc.to_string()), ("http", "127.0.0.1:0")]);
        section("log", &[("level", "info"), ("format", "json")]);
        let file = self.dir.join("aggregator.toml");
        std::fs::write(&file, config.to_string()).with_context(|| file.display().to_string())?;
        let mut words = self.prefix.clone();
        words.push(self.program.to_string_lossy().into_owned());
        words.extend(["--config".into(), file.to_string_lossy().into_owned()]);
        Child::start(Path::new(&words.remove(0)), &words, &self.dir)
    }

    /// Ends it without a warning.
    pub(super) fn kill(&mut self) {
        self.child = None;
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it does not run.
    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self::signal(self.child.as_ref().context("the aggregator does not run")?, signal)
    }

    /// Its process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::pid)
    }

    /// Whether it still runs, where it should.
    ///
    /// # Errors
    /// When it has ended by itself; with what it has said.
    pub(super) fn alive(&mut self) -> anyhow::Result<()> {
        self.child.as_mut().map_or(Ok(()), Child::alive)
    }

    /// Asks it to stop, where it runs.
    ///
    /// # Errors
    /// When it does not stop well.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        match self.child.take() {
            Some(child) => child.stop().await,
            None => Ok(()),
        }
    }

    /// Runs one of its commands on its data.
    ///
    /// # Errors
    /// When it fails; with what it has said.
    pub(super) fn command(&self, command: &str, more: &[&str]) -> anyhow::Result<String> {
        let data = self.data.to_string_lossy();
        let mut arguments = vec![command, "--data-dir", data.as_ref()];
        arguments.extend(more);
        process::output(&self.program, &arguments)
    }

    /// Checks all that it has on disk.
    ///
    /// # Errors
    /// When anything is not as it was written.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let said = self.command("check", &[])?;
        ensure!(said.contains("no fault found"), "check: {said}");
        Ok(())
    }
}

fn text(text: &str) -> toml::Value {
    toml::Value::String(text.into())
}

/// Sends a child a signal.
///
/// # Errors
/// When it has ended.
pub(super) fn signal(child: &Child, signal: Signal) -> anyhow::Result<()> {
    let id = i32::try_from(child.pid()).ok().and_then(Pid::from_raw).context("process id")?;
    kill_process(id, signal).context("signal a process")
}
