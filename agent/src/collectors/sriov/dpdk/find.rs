//! Telemetry sockets on the node and in its containers.
//!
//! A container's files are reached through a process of it, `/proc/PID/root`. Names there are
//! the container's to choose, so they are looked up with that directory as root: a link that
//! leads elsewhere stays inside, and one in place of a socket is not followed. Processes that
//! share a mount namespace are looked at once.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashSet;
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};

use crate::collectors::Paths;

const SOCKET: &str = "dpdk_telemetry.v2";
/// Where applications put it: as root, and else without `XDG_RUNTIME_DIR`.
const IN_CONTAINER: [&str; 3] = ["run/dpdk", "var/run/dpdk", "tmp/dpdk"];
/// Mount namespaces looked into: more containers than a node has.
const MOST_NAMESPACES: usize = 1024;
/// Processes looked at.
const MOST_PROCESSES: usize = 1 << 16;
/// Applications in one directory.
const MOST_PREFIXES: usize = 64;
/// Applications in all.
const MOST_SOCKETS: usize = 64;

/// A socket.
pub(super) struct Found {
    /// The application's name ("rte"), and the process for one in a container.
    pub(super) process: String,
    /// The socket, open as a path.
    pub(super) socket: OwnedFd,
    identity: (u64, u64),
}

impl Found {
    /// Whether the other is the same socket.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity && self.process == other.process
    }
}

/// Looks for sockets.
pub(super) struct Finder {
    run: PathBuf,
    proc: PathBuf,
}

impl Finder {
    /// Looks below these paths.
    pub(super) fn new(paths: &Paths) -> Self {
        Self { run: paths.run.clone(), proc: paths.proc.clone() }
    }

    /// All sockets there are, each once.
    pub(super) fn find(&self) -> Vec<Found> {
        let mut found = Vec::new();
        if let Some(run) = directory(&self.run) {
            below(&run, "dpdk", None, &mut found);
        }
        let mut namespaces = FxHashSet::default();
        // The agent's own, which is the node's where it does not run in a container.
        namespaces.extend(std::fs::read_link("/proc/self/ns/mnt"));
        for pid in processes(&self.proc) {
            if found.len() >= MOST_SOCKETS || namespaces.len() >= MOST_NAMESPACES {
                break;
            }
            let process = self.proc.join(pid.to_string());
            let Ok(namespace) = std::fs::read_link(process.join("ns/mnt")) else { continue };
            if !namespaces.insert(namespace) {
                continue;
            }
            let Some(root) = directory(&process.join("root")) else { continue };
            for path in IN_CONTAINER {
                below(&root, path, Some(pid), &mut found);
            }
        }
        found
    }
}

/// Processes by number, so that a container's first stands for it.
fn processes(proc: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut pids: Vec<u32> = pids.take(MOST_PROCESSES).collect();
    pids.sort_unstable();
    pids
}

fn directory(path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).ok()
}

fn below(root: &OwnedFd, path: &str, pid: Option<u32>, found: &mut Vec<Found>) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let Ok(dir) = openat2(root, path, flags, Mode::empty(), inside) else { return };
    let Ok(entries) = Dir::read_from(&dir) else { return };
    let mut prefixes: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned))
        .filter(|name| !name.starts_with('.'))
        .take(MOST_PREFIXES)
        .collect();
    prefixes.sort_unstable();
    for prefix in prefixes {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let plain = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let name = format!("{prefix}/{SOCKET}");
        let Ok(socket) = openat2(&dir, name, flags, Mode::empty(), plain) else { continue };
        let Ok(stat) = fstat(&socket) else { continue };
        let identity = (stat.st_dev, stat.st_ino);
        let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
        let known = found.iter().any(|known: &Found| known.identity == identity);
        if is_socket && !known && found.len() < MOST_SOCKETS {
            let process = pid.map_or_else(|| prefix.clone(), |pid| format!("{prefix}/{pid}"));
            found.push(Found { process, socket, identity });
        }
    }
}
