//! The aggregator's own binary, started and killed.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test binary uses its part"
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running aggregator binary, killed when it goes.
pub struct Daemon {
    pub child: Child,
    pub grpc: String,
}

impl Daemon {
    /// Starts it on the directory and a port of its choice on `host`; its log tells which.
    pub fn start(dir: &Path, host: &str) -> Self {
        let config = dir.join("aggregator.toml");
        let text = format!(
            "data_dir = {:?}\n[listen]\ngrpc = \"{host}:0\"\nhttp = \"{host}:0\"\n[log]\nformat = \"json\"\n",
            dir.join("data")
        );
        std::fs::write(&config, text).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the real binary is under test")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_sextant-aggregator"));
        let child = command.arg("--config").arg(&config).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the binary starts");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = log.find(|line| line.as_ref().is_ok_and(|l| l.contains("aggregator is ready")));
        let ready = ready.expect("it becomes ready").unwrap();
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        let grpc = format!("http://{}", ready["grpc"].as_str().unwrap());
        // Whoever does not read the pipe stops the writer.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, grpc }
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
