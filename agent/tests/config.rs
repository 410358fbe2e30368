//! What the binary says about a configuration, and about a node, that it cannot work with.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A configuration file that works, with a spool and a health address of its own.
fn config(dir: &Path, more: &str) -> PathBuf {
    let path = dir.join("agent.toml");
    let spool = dir.join("spool");
    let text = format!(
        "node = 'test'\nspool.dir = '{}'\nhealth.listen = '127.0.0.1:0'\n\
         uplink.endpoint = 'http://127.0.0.1:9'\nuplink.drain_timeout = '0s'\n{more}\n",
        spool.display()
    );
    fs::write(&path, text).unwrap();
    path
}

#[allow(clippy::disallowed_methods, reason = "the binary is what is tested")]
fn agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sextant-agent"));
    command.args(arguments).env_remove("NODE_NAME");
    command
}

/// Runs to the end: exit code and what it said.
fn run(arguments: &[&str]) -> (i32, String) {
    let output = agent(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn run_with(path: &Path) -> (i32, String) {
    run(&["--config", path.to_str().unwrap()])
}

/// A running agent, which ends with the test.
struct Running {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl Running {
    /// Starts one and waits until it says so.
    fn start(path: &Path) -> Self {
        let mut command = agent(&["--config", path.to_str().unwrap()]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut running = Self { child, log };
        running.line_with("agent started");
        running
    }

    /// The first line of the log with this text.
    fn line_with(&mut self, text: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let read = self.log.read_line(&mut line).unwrap();
            assert!(read > 0, "the log ended without {text:?}:\n{seen}");
            if line.contains(text) {
                return line;
            }
            seen += &line;
        }
    }

    fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already, as the test wants it.
        let _killed = self.child.kill();
        self.child.wait().unwrap();
    }
}

#[test]
fn valid_configuration_is_said_to_be_valid() {
    let dir = tempfile::tempdir().unwrap();
    let path = config(dir.path(), "");
    let (code, text) = run(&["--check", "--config", path.to_str().unwrap()]);
    assert_eq!((code, text.as_str()), (0, "configuration is valid\n"));
    assert!(!dir.path().join("spool").exists(), "a check makes nothing");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml");
    assert_eq!(run(&["--check", "--config", example]).0, 0);
}

#[test]
fn bad_configuration_names_the_file_and_the_key() {
    let f = |more: &str, want: &str| {
        let dir = tempfile::tempdir().unwrap();
        let path = config(dir.path(), more);
        for arguments in [&["--config"][..], &["--check", "--config"]] {
            let (code, text) = run(&[arguments, &[path.to_str().unwrap()]].concat());
            assert_eq!(code, 2, "{text}");
            assert!(text.contains(want) && text.contains("agent.toml"), "{text:?}: {want:?}");
        }
    };
    f("colectors.host.enabled = true", "colectors");
    f("uplink.windw = 1", "windw");
    f("cluster = 7", "cluster");
    f("uplink.window_frames = 0", "uplink.window_frames");
    f("collectors.agent.interval = '0s'", "collectors.agent.interval");
    f("spool.max_age = 'soon'", "max_age");
    f("log.level = 'a=b=c'", "log.level");
    f("x =", "agent.toml");
}

#[test]
fn missing_file_is_an_error() {
    let (code, text) = run(&["--config", "/nonexistent/agent.toml"]);
    assert_eq!(code, 2);
    assert!(text.contains("/nonexistent/agent.toml"), "{text}");
}

#[test]
fn address_in_use_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let path = config(dir.path(), "");
    let text = fs::read_to_string(&path).unwrap().replace("127.0.0.1:0", &address);
    fs::write(&path, text).unwrap();
    let (code, text) = run_with(&path);
    assert_eq!(code, 1);
    assert!(text.contains(&address) && text.contains("health.listen"), "{text}");
}

#[test]
fn spool_directory_that_is_a_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("spool"), "").unwrap();
    let (code, text) = run_with(&config(dir.path(), ""));
    assert_eq!(code, 1);
    assert!(text.contains(dir.path().join("spool").to_str().unwrap()), "{text}");
}

#[test]
fn second_agent_on_a_spool_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = config(dir.path(), "");
    let _first = Running::start(&path);
    let (code, text) = run_with(&path);
    assert_eq!(code, 1);
    assert!(text.contains("in use by another agent"), "{text}");
    assert!(text.contains(dir.path().join("spool").to_str().unwrap()), "{text}");
}

#[test]
fn healthz_answers_and_sigterm_ends_the_agent_well() {
    let dir = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let path = config(dir.path(), "");
    let text = fs::read_to_string(&path).unwrap().replace("127.0.0.1:0", &address);
    fs::write(&path, text).unwrap();
    let mut agent = Running::start(&path);
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("uplink is not connected"), "{answer}");
    agent.terminate();
    agent.line_with("agent stopped");
    assert_eq!(agent.child.wait().unwrap().code(), Some(0));
}
