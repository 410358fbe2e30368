//! Two network namespaces with a link between them, a ptp4l in each, and faults on the wire:
//! what `lab.sh` makes. Needs root, linuxptp, iproute2 and nftables, and says what is missing. No
//! clock is touched: both ends run on the node's own.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

#[allow(clippy::disallowed_methods, reason = "the programs are what is tested against")]
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command
}

fn script(arguments: &[&str]) -> Output {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../agent/tests/ptp_lab/lab.sh");
    command("bash", &[&[path], arguments].concat()).output().unwrap()
}

/// A program that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let log = fs::File::create(log).unwrap();
        Self(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already, as the test wants it.
        let _killed = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// The namespaces and what runs in them, which go with the test.
pub(crate) struct Net {
    pub(crate) gm: Option<Running>,
    pub(crate) slave: Option<Running>,
    pub(crate) id: String,
    pub(crate) directory: tempfile::TempDir,
}

impl Drop for Net {
    fn drop(&mut self) {
        (self.gm, self.slave) = (None, None);
        script(&["down", &self.id]);
    }
}

impl Net {
    /// Why there is none, or the network, with nobody in it.
    pub(crate) fn new() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("not root".into());
        }
        for (program, package) in
            [("ptp4l", "linuxptp"), ("pmc", "linuxptp"), ("ip", "iproute2"), ("nft", "nftables")]
        {
            let found = command("sh", &["-c", &format!("command -v {program}")]).output().unwrap();
            if !found.status.success() {
                return Err(format!("no {program} (package {package})"));
            }
        }
        // Short: the path of a socket has 107 bytes.
        let directory = tempfile::Builder::new().prefix("sxlab").tempdir_in("/tmp").unwrap();
        let net = Self { gm: None, slave: None, id: std::process::id().to_string(), directory };
        let made = script(&["up", net.directory.path().to_str().unwrap(), &net.id]);
        if !made.status.success() {
            let error = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(format!("no network namespaces: {}", error.trim()));
        }
        Ok(net)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn ptp4l(&self, side: char, name: &str) -> Running {
        let namespace = format!("sx{side}-{}", self.id);
        let config = self.path(&format!("ptp4l.{name}.config"));
        let arguments = ["netns", "exec", &namespace, "ptp4l", "-f", &config, "-m"];
        Running::start(command("ip", &arguments), Path::new(&self.path(&format!("{name}.log"))))
    }

    pub(crate) fn start_gm(&mut self) {
        self.gm = Some(self.ptp4l('M', "gm"));
    }

    pub(crate) fn start_slave(&mut self) {
        self.slave = Some(self.ptp4l('S', "sl"));
    }

    pub(crate) fn fault(&self, arguments: &[&str]) {
        let made = script(&[&[arguments[0], &self.id], &arguments[1..]].concat());
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    pub(crate) fn pmc(&self, name: &str, request: &str) -> String {
        let socket = self.path(&format!("ptp4l.{name}.socket"));
        let arguments = ["-u", "-b", "0", "-d", "24", "-s", &socket, request];
        let output = command("pmc", &arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// In free_running the servo's state reaches the port only so, once it is UNCALIBRATED.
    pub(crate) fn make_certain(&self) {
        let text = self.pmc("sl", "SET SYNCHRONIZATION_UNCERTAIN_NP 0");
        assert!(text.contains("RESPONSE"), "{text}");
    }
}
