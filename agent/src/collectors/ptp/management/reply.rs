//! The socket that answers come to.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Where the socket is bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ReplyTo {
    /// An address of this network namespace that the kernel chooses: no file.
    #[default]
    Abstract,
    /// A file in this directory, which ptp4l sees under the same path.
    Directory(PathBuf),
}

/// A bound socket; its file, where it has one, goes with it.
#[derive(Debug)]
pub(super) struct Bound {
    socket: UnixDatagram,
    patience: Duration,
    file: Option<PathBuf>,
}

impl Bound {
    /// A socket that the ptp4l at `server` can answer to.
    pub(super) fn new(reply_to: &ReplyTo, server: &Path) -> io::Result<Self> {
        let (socket, file) = match reply_to {
            // An empty name makes the kernel choose an abstract one (unix(7), "autobind").
            ReplyTo::Abstract => (UnixDatagram::bind("")?, None),
            ReplyTo::Directory(directory) => {
                let path = directory.join(file_name());
                let socket = match UnixDatagram::bind(&path) {
                    // Left by a process that had our id.
                    Err(error) if error.kind() == ErrorKind::AddrInUse => {
                        fs::remove_file(&path)?;
                        UnixDatagram::bind(&path)?
                    }
                    bound => bound?,
                };
                (socket, Some(path))
            }
        };
        let bound = Self { socket, patience: Duration::ZERO, file };
        bound.give_to_owner_of(server)?;
        Ok(bound)
    }

    /// A ptp4l that has dropped root can answer only to a socket of its own user.
    fn give_to_owner_of(&self, server: &Path) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let Ok(server) = fs::metadata(server) else { return Ok(()) };
        let own = fs::metadata(file)?;
        if (own.uid(), own.gid()) == (server.uid(), server.gid()) {
            return Ok(());
        }
        chown(file, Some(server.uid()), Some(server.gid()))
    }

    /// How long to wait, for room in ptp4l's queue and for its answer.
    pub(super) fn patience(&mut self, patience: Duration) -> io::Result<()> {
        if self.patience != patience {
            self.socket.set_write_timeout(Some(patience))?;
            self.socket.set_read_timeout(Some(patience))?;
            self.patience = patience;
        }
        Ok(())
    }

    pub(super) fn send_to(&self, message: &[u8], path: &Path) -> io::Result<usize> {
        self.socket.send_to(message, path)
    }

    pub(super) fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buffer)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Some(file) = &self.file
            && let Err(error) = fs::remove_file(file)
        {
            tracing::debug!(path = %file.display(), %error, "socket's file cannot be removed");
        }
    }
}

fn file_name() -> String {
    static SOCKETS: AtomicU32 = AtomicU32::new(0);
    let number = SOCKETS.fetch_add(1, Ordering::Relaxed);
    format!("sextant.{}.{number}", std::process::id())
}
