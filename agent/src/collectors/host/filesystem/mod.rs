//! Space and inodes of mounted file systems.
//!
//! statvfs(2) on a dead NFS server or a failing disk may not come back for hours, and must not
//! take the collector with it. So each call is given [`PATIENCE`]; a mount that takes longer has
//! no values in this tick, and is not asked again before its call has returned. One that takes
//! longer than the configured timeout is stuck: `node_filesystem_device_error` is 1 and there
//! is an event. An answer that comes late counts for the next tick.

mod mounts;
#[cfg(test)]
mod tests;
mod workers;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sextant_proto::v1::{Label, Severity};

use self::mounts::Mount;
use self::workers::Workers;
use super::buffer::{Buffer, malformed};
use super::filter::Filter;
use super::metrics::storage as m;
use super::syscalls::{Space, Stat};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, EntityValues, node_event};

/// How long the collector waits for one file system. A stuck one costs this once.
const PATIENCE: Duration = Duration::from_millis(100);

/// How a mount's call is.
enum Call {
    /// Not asked.
    Idle,
    /// Asked, without an answer so far.
    Waiting { since: Instant, stuck: bool },
    /// Answered, after the tick in which it was asked.
    Late(io::Result<Space>),
}

struct State {
    id: u64,
    mount: Mount,
    call: Call,
}

pub(super) struct Filesystem {
    /// The node's mounts, or, where those may not be read, the agent's own.
    files: [PathBuf; 2],
    root: PathBuf,
    mount_points: Filter,
    types: Filter,
    timeout: Duration,
    workers: Workers,
    /// The text that `states` were made from: it mostly stays the same.
    text: String,
    states: Vec<State>,
    next_id: u64,
}

impl Filesystem {
    pub(super) fn new(
        paths: &Paths,
        (mount_points, types): (Filter, Filter),
        timeout: Duration,
        stat: &Stat,
    ) -> Self {
        Self {
            files: ["1/mounts", "self/mounts"].map(|f| paths.proc.join(f)),
            root: paths.root.clone(),
            mount_points,
            types,
            timeout,
            workers: Workers::new(stat),
            text: String::new(),
            states: Vec::new(),
            next_id: 0,
        }
    }

    /// Brings `states` in line with what is mounted now.
    fn list(&mut self, buffer: &mut Buffer) -> Result<(), CollectError> {
        let own = buffer.file(&self.files[0]).is_err();
        let text = buffer.file(&self.files[usize::from(own)])?;
        if text.is_empty() {
            return Err(malformed(&self.files[usize::from(own)], "empty"));
        }
        if text == self.text {
            return Ok(());
        }
        text.clone_into(&mut self.text);
        let mut old = std::mem::take(&mut self.states);
        let mounts = mounts::parse(text, &self.root, &mut self.mount_points, &mut self.types);
        for mount in mounts {
            let known = old.iter().position(|s| s.mount == mount);
            self.states.push(match known {
                Some(index) => old.swap_remove(index),
                None => {
                    self.next_id += 1;
                    State { id: self.next_id, mount, call: Call::Idle }
                }
            });
        }
        Ok(())
    }

    /// Notes an answer; that of a mount that is gone is nobody's.
    fn arrived(&mut self, (id, result): workers::Answer, batch: &mut Batch) {
        let Some(state) = self.states.iter_mut().find(|s| s.id == id) else { return };
        if let Call::Waiting { stuck: true, .. } = state.call {
            event(batch, &state.mount, "host.mount_recovered", Severity::Info, "answers again");
        }
        state.call = Call::Late(result);
    }

    /// Asks for mount `index` and waits a little; `None` if there is no thread to ask with.
    fn ask(&mut self, index: usize, batch: &mut Batch) -> Option<()> {
        let state = &mut self.states[index];
        let (id, since) = (state.id, Instant::now());
        self.workers.ask(id, state.mount.path.clone()).then_some(())?;
        state.call = Call::Waiting { since, stuck: false };
        while matches!(self.states[index].call, Call::Waiting { .. }) {
            match self.workers.answer(since + PATIENCE) {
                Some(answer) => self.arrived(answer, batch),
                None => break,
            }
        }
        Some(())
    }
}

impl Source for Filesystem {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        self.list(buffer)?;
        while let Some(answer) = self.workers.answer(Instant::now()) {
            self.arrived(answer, batch);
        }
        let mut unasked = false;
        for index in 0..self.states.len() {
            if matches!(self.states[index].call, Call::Idle) {
                unasked |= self.ask(index, batch).is_none();
            }
            let state = &mut self.states[index];
            match std::mem::replace(&mut state.call, Call::Idle) {
                Call::Idle => {}
                Call::Late(result) => {
                    set(&mut entity(batch, &state.mount), &state.mount, Some(result))
                }
                Call::Waiting { since, stuck } => {
                    let now_stuck = stuck || since.elapsed() >= self.timeout;
                    if now_stuck && !stuck {
                        let what = "does not answer";
                        event(batch, &state.mount, "host.mount_stuck", Severity::Warning, what);
                    }
                    if now_stuck {
                        let failed = Err(io::ErrorKind::TimedOut.into());
                        set(&mut entity(batch, &state.mount), &state.mount, Some(failed));
                    } else {
                        set(&mut entity(batch, &state.mount), &state.mount, None);
                    }
                    state.call = Call::Waiting { since, stuck: now_stuck };
                }
            }
        }
        if unasked {
            let source = io::Error::other("too many calls do not come back");
            return Err(CollectError::Read { what: "file systems".into(), source });
        }
        Ok(())
    }
}

fn entity<'a>(batch: &'a mut Batch, mount: &Mount) -> EntityValues<'a> {
    let labels = [
        ("device", mount.device.as_str()),
        ("mountpoint", &mount.mount_point),
        ("fstype", &mount.fs_type),
    ];
    batch.entity("filesystem", &labels)
}

/// Sets what a mount answered: numbers, an error, or nothing yet.
fn set(entity: &mut EntityValues<'_>, mount: &Mount, result: Option<io::Result<Space>>) {
    let failed = result.as_ref().map(|r| f64::from(u8::from(r.is_err())));
    let space = result.and_then(Result::ok);
    entity.set_opt(&m::FS_ERROR, failed);
    entity.set_opt(&m::FS_SIZE, space.map(|s| s.size));
    entity.set_opt(&m::FS_FREE, space.map(|s| s.free));
    entity.set_opt(&m::FS_AVAIL, space.map(|s| s.avail));
    entity.set_opt(&m::FS_FILES, space.map(|s| s.files));
    entity.set_opt(&m::FS_FILES_FREE, space.map(|s| s.files_free));
    let readonly = space.map(|s| f64::from(u8::from(s.readonly || mount.readonly)));
    entity.set_opt(&m::FS_READONLY, readonly);
}

fn event(batch: &mut Batch, mount: &Mount, kind: &str, severity: Severity, what: &str) {
    let message = format!("{} ({} on {}) {what}", mount.mount_point, mount.fs_type, mount.device);
    let mut event = node_event(kind, severity, message);
    event.entity_type = "filesystem".into();
    let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
    event.entity = vec![
        label("device", &mount.device),
        label("mountpoint", &mount.mount_point),
        label("fstype", &mount.fs_type),
    ];
    batch.event(event);
}
