//! What the host collector asks the kernel for directly, in one place: these calls always
//! answer for the live node, whatever `paths` say, so tests put values here instead.

use std::io;
use std::path::Path;
use std::sync::Arc;

/// The clock as adjtimex(2) describes it, in the kernel's units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timex {
    /// What the call returned: 5 (TIME_ERROR) means not synchronized.
    pub state: i32,
    pub offset: i64,
    pub freq: i64,
    pub maxerror: i64,
    pub esterror: i64,
    pub status: i32,
    pub constant: i64,
    pub tick: i64,
    pub ppsfreq: i64,
    pub jitter: i64,
    pub shift: i32,
    pub stabil: i64,
    pub jitcnt: i64,
    pub calcnt: i64,
    pub errcnt: i64,
    pub stbcnt: i64,
    pub tai: i32,
}

/// A file system's numbers, in bytes and inodes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Space {
    pub size: f64,
    pub free: f64,
    pub avail: f64,
    pub files: f64,
    pub files_free: f64,
    pub readonly: bool,
}

/// The kernel's and machine's names, in the order of `node_uname_info`'s labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uname {
    pub domainname: String,
    pub machine: String,
    pub nodename: String,
    pub release: String,
    pub sysname: String,
    pub version: String,
}

/// Asks a file system for its numbers; may block for ever.
pub type Stat = Arc<dyn Fn(&Path) -> io::Result<Space> + Send + Sync>;

/// The calls. [`Syscalls::live`] is the node; a test replaces what must not change.
#[derive(Clone)]
pub struct Syscalls {
    pub adjtimex: fn() -> io::Result<Timex>,
    pub uname: fn() -> Uname,
    pub statvfs: Stat,
    /// Seconds since 1970.
    pub time: fn() -> f64,
    /// The name of the local time zone and its offset in seconds east of UTC.
    pub zone: fn() -> (String, f64),
    /// Bytes of a page.
    pub page_size: f64,
}

impl Syscalls {
    /// The node's own.
    #[must_use]
    pub fn live() -> Self {
        Self {
            adjtimex: super::libc_calls::adjtimex,
            uname,
            statvfs: Arc::new(statvfs),
            time,
            zone: super::libc_calls::zone,
            page_size: rustix::param::page_size() as f64,
        }
    }
}

fn statvfs(path: &Path) -> io::Result<Space> {
    let stat = rustix::fs::statvfs(path)?;
    let block = stat.f_bsize as f64;
    Ok(Space {
        size: stat.f_blocks as f64 * block,
        free: stat.f_bfree as f64 * block,
        avail: stat.f_bavail as f64 * block,
        files: stat.f_files as f64,
        files_free: stat.f_ffree as f64,
        readonly: stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

fn uname() -> Uname {
    let uname = rustix::system::uname();
    let text = |s: &std::ffi::CStr| s.to_string_lossy().into_owned();
    Uname {
        domainname: text(uname.domainname()),
        machine: text(uname.machine()),
        nodename: text(uname.nodename()),
        release: text(uname.release()),
        sysname: text(uname.sysname()),
        version: text(uname.version()),
    }
}

fn time() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_calls_answer() {
        let live = Syscalls::live();
        assert!((live.adjtimex)().is_ok_and(|t| t.tick > 0));
        assert!((live.uname)().sysname == "Linux");
        assert!((live.statvfs)(Path::new("/")).is_ok_and(|s| s.size >= s.free && s.size > 0.0));
        assert!((live.statvfs)(Path::new("/nowhere")).is_err());
        assert!((live.time)() > 1.7e9);
        assert!((live.zone)().1.abs() <= 14.0 * 3600.0 && !(live.zone)().0.is_empty());
        assert!(live.page_size >= 4096.0);
    }
}
