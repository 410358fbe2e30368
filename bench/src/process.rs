//! Child processes: found, started with their output in a file, and ended when they are dropped,
//! however the benchmark ends.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

const POLL: Duration = Duration::from_millis(20);
/// How long a child may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// Of a child's output, what an error shows.
const TAIL_LINES: usize = 8;

/// A running child.
pub(crate) struct Child {
    name: String,
    child: std::process::Child,
    output: PathBuf,
}

impl Child {
    /// Starts a program; what it prints goes to the file `NAME.log` in `dir`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(program: &Path, arguments: &[String], dir: &Path) -> anyhow::Result<Self> {
        Self::start_with(program, arguments, &[], dir)
    }

    /// As [`Child::start`], with more in its environment.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start_with(
        program: &Path,
        arguments: &[String],
        environment: &[(&str, &OsStr)],
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let output = dir.join(format!("{name}.log"));
        let log = File::create(&output).with_context(|| output.display().to_string())?;
        let child = command(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Self { name, child, output })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `found` makes something of its output.
    ///
    /// # Errors
    /// When it ends before, or it takes too long; with the end of its output.
    pub(crate) async fn says<T>(
        &mut self,
        timeout: Duration,
        found: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            let text = self.output();
            if let Some(found) = text.lines().find_map(&found) {
                return Ok(found);
            }
            self.alive()?;
            if tokio::time::Instant::now() > deadline {
                bail!("{} is not ready after {timeout:?}: {}", self.name, self.tail());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When it does not; with the end of its output.
    pub(crate) fn alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} has ended ({status}): {}", self.name, self.tail()),
        }
    }

    /// Asks it to stop and waits for that.
    ///
    /// # Errors
    /// When it does not, or ends otherwise than well.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.alive()?;
        let id = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("process id")?;
        kill_process(id, Signal::TERM).with_context(|| format!("stop {}", self.name))?;
        let ended = tokio::time::timeout(STOP_TIMEOUT, self.ended()).await;
        let status = ended.with_context(|| format!("{} does not stop", self.name))??;
        if !status.success() {
            bail!("{} has stopped with {status}: {}", self.name, self.tail());
        }
        Ok(())
    }

    async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn output(&self) -> String {
        std::fs::read(&self.output).map_or_else(
            |error| format!("{}: {error}", self.output.display()),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    fn tail(&self) -> String {
        let output = self.output();
        let lines: Vec<_> = output.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A child that has ended already is not there to be killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A daemon of this workspace: as given, else beside this program.
///
/// # Errors
/// When there is none, saying how to build it.
pub(crate) fn own(name: &str, given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_exe().context("this program's path")?.with_file_name(name),
    };
    if !path.is_file() {
        bail!("no {} there: build it with `cargo build --release -p {name}`", path.display());
    }
    Ok(path)
}

/// A program of $PATH.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    let dirs = std::env::var_os("PATH")?;
    std::env::split_paths(&dirs).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Bytes on disk of a file.
pub(crate) fn file_bytes(metadata: &std::fs::Metadata) -> u64 {
    /// What the kernel counts blocks in, whatever the file system's are.
    const BLOCK: u64 = 512;
    metadata.blocks() * BLOCK
}

/// Bytes on disk of a directory's files: what is allocated, not what a sparse file spans.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn disk_bytes(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { disk_bytes(&entry.path())? } else { file_bytes(&metadata) };
    }
    Ok(bytes)
}

/// What a program that ends by itself says when it is run.
///
/// # Errors
/// When it cannot be started or fails; with what it has said.
pub(crate) fn output(program: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = command(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("start {}", program.display()))?;
    if !output.status.success() {
        let said = [output.stderr, output.stdout].concat();
        let said = String::from_utf8_lossy(&said);
        bail!("{} ends with {}: {}", program.display(), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a program prints when it is asked for its version.
///
/// # Errors
/// When it cannot be started or fails.
pub(crate) fn version(program: &Path) -> anyhow::Result<String> {
    let output = command(program).arg("--version").stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("start {}", program.display()))?;
    if !output.status.success() {
        bail!("{} --version ends with {}", program.display(), output.status);
    }
    // Older exporters print it to standard error.
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[expect(clippy::disallowed_methods, reason = "what is measured are other programs")]
fn command(program: &Path) -> Command {
    Command::new(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, dir: &Path) -> Child {
        Child::start(Path::new("/bin/sh"), &["-c".into(), script.into()], dir).unwrap()
    }

    #[tokio::test]
    async fn what_a_child_says_is_found_and_stopping_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut child =
            shell("trap 'exit 0' TERM; echo port 7; while :; do sleep 0.01; done", dir.path());
        let port = |line: &str| line.strip_prefix("port ").map(str::to_owned);
        assert_eq!(child.says(Duration::from_secs(30), port).await.unwrap(), "7");
        child.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_child_that_ends_early_is_reported_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = shell("echo no such thing; exit 3", dir.path());
        let error = child.says(Duration::from_secs(30), |_| None::<()>).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.contains("no such thing"), "{text}");
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let child = shell("exec sleep 1000", dir.path());
        let pid = child.pid();
        drop(child);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_daemon_that_is_not_there_is_named_with_how_to_build_it() {
        let error = own("sextant-agent", Some(Path::new("/nowhere/sextant-agent"))).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("/nowhere/") && text.contains("cargo build --release -p sextant-agent")
        );
    }
}
