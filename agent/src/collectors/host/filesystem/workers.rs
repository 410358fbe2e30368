//! Threads that ask file systems for their numbers, because the call may never come back.
//!
//! One thread serves all mounts as long as they answer. A call that does not come back takes
//! its thread with it and another one is started, up to [`MAX_THREADS`]. A thread that comes
//! back when another already serves ends.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use crate::collectors::host::syscalls::{Space, Stat};

/// Threads at a time, those that are stuck included. With all of them stuck, no file system is
/// asked until one comes back.
pub(super) const MAX_THREADS: usize = 8;

/// A call: what it is about, and where.
type Call = (u64, PathBuf);
/// What came back of it.
pub(super) type Answer = (u64, io::Result<Space>);

/// The threads and what is under way.
pub(super) struct Workers {
    stat: Stat,
    idle: Option<Sender<Call>>,
    /// Calls under way and the way to their threads.
    busy: Vec<(u64, Sender<Call>)>,
    answers: Receiver<Answer>,
    answer_to: Sender<Answer>,
}

impl Workers {
    pub(super) fn new(stat: &Stat) -> Self {
        let (answer_to, answers) = channel();
        Self { stat: stat.clone(), idle: None, busy: Vec::new(), answers, answer_to }
    }

    /// Asks; `false` if there is no thread left to do it. `id` must not be under way.
    pub(super) fn ask(&mut self, id: u64, path: PathBuf) -> bool {
        let idle = self.idle.take();
        let thread = match idle {
            None if self.busy.len() >= MAX_THREADS => None,
            None => self.start().ok(),
            idle => idle,
        };
        let Some(thread) = thread else { return false };
        // A thread of ours ends only after its sender is gone.
        let sent = thread.send((id, path)).is_ok();
        if sent {
            self.busy.push((id, thread));
        }
        sent
    }

    /// The next answer, if one comes before `deadline`; one that has come already in any case.
    pub(super) fn answer(&mut self, deadline: Instant) -> Option<Answer> {
        let patience = deadline.saturating_duration_since(Instant::now());
        let answer = match self.answers.try_recv() {
            Ok(answer) => answer,
            Err(_) if patience.is_zero() => return None,
            Err(_) => self.answers.recv_timeout(patience).ok()?,
        };
        if let Some(at) = self.busy.iter().position(|(id, _)| *id == answer.0) {
            let (_, thread) = self.busy.swap_remove(at);
            self.idle.get_or_insert(thread);
        }
        Some(answer)
    }

    fn start(&self) -> io::Result<Sender<Call>> {
        let (sender, calls) = channel::<Call>();
        let (stat, answer_to) = (self.stat.clone(), self.answer_to.clone());
        let serve = move || {
            while let Ok((id, path)) = calls.recv() {
                if answer_to.send((id, stat(&path))).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("host-statvfs".into())
            .stack_size(128 << 10)
            .spawn(serve)?;
        Ok(sender)
    }
}
