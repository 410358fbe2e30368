//! One conversation with a DPDK telemetry socket: a greeting, then a packet for each command.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};
use serde::Deserialize;
use serde_json::Value;

/// How long the application may take to accept, and for each answer.
pub(super) const TIMEOUT: Duration = Duration::from_millis(500);
/// The greeting's bound where it tells none.
const DEFAULT_OUTPUT: usize = 16 << 10;
/// Larger answers than this are not taken, whatever the greeting says.
const MOST_OUTPUT: usize = 1 << 20;
const GREETING_BYTES: usize = 1024;
/// A command is at most so long, DPDK's `MAX_CMD_LEN` and its parameter.
const MOST_COMMAND: usize = 200;

/// Why an application gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nobody listens any more.
    #[error("connect to a DPDK application: {0}")]
    Gone(Errno),
    #[error("DPDK application does not answer: {0}")]
    Io(#[from] Errno),
    #[error("DPDK application's answer is malformed or too long")]
    Malformed,
}

#[derive(Deserialize)]
struct Greeting {
    version: String,
    #[serde(default)]
    max_output_len: Option<usize>,
}

/// A conversation.
pub(super) struct Client {
    socket: OwnedFd,
    version: String,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects to a socket of the file system that is already open as a path, so that no name
    /// is looked up again, nor has to fit into an address.
    pub(super) fn connect(path: &OwnedFd) -> Result<Self, ClientError> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(TIMEOUT))?;
        sockopt::set_socket_timeout(&socket, Timeout::Send, Some(TIMEOUT))?;
        let address = format!("/proc/self/fd/{}", path.as_fd().as_raw_fd());
        match connect(&socket, &SocketAddrUnix::new(address)?) {
            Ok(()) => {}
            Err(e @ (Errno::CONNREFUSED | Errno::NOENT)) => return Err(ClientError::Gone(e)),
            Err(e) => return Err(e.into()),
        }
        let mut client = Self { socket, version: String::new(), buffer: vec![0; GREETING_BYTES] };
        let greeting: Greeting =
            serde_json::from_slice(client.receive()?).map_err(|_| ClientError::Malformed)?;
        let length = greeting.max_output_len.unwrap_or(DEFAULT_OUTPUT);
        client.buffer.resize(length.clamp(GREETING_BYTES, MOST_OUTPUT), 0);
        client.version = greeting.version;
        Ok(client)
    }

    /// What the application says that it is: "DPDK 24.11.1".
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Sends a command and takes what is under its name in the answer; null for a command or a
    /// parameter that the application does not know.
    pub(super) fn ask(&mut self, command: &str) -> Result<Value, ClientError> {
        if command.len() > MOST_COMMAND {
            return Ok(Value::Null);
        }
        send(&self.socket, command.as_bytes(), SendFlags::NOSIGNAL)?;
        let answer: Value =
            serde_json::from_slice(self.receive()?).map_err(|_| ClientError::Malformed)?;
        let name = command.split(',').next().unwrap_or(command);
        match answer {
            Value::Object(mut answer) => answer.remove(name).ok_or(ClientError::Malformed),
            _ => Err(ClientError::Malformed),
        }
    }

    fn receive(&mut self) -> Result<&[u8], ClientError> {
        let (_, length) = recv(&self.socket, &mut self.buffer[..], RecvFlags::TRUNC)?;
        if length == 0 {
            return Err(ClientError::Io(Errno::CONNRESET));
        }
        self.buffer.get(..length).ok_or(ClientError::Malformed)
    }
}
