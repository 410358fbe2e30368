//! A thread for what is not about one GPU: opening the library, counting GPUs, closing it.
//!
//! Each of these may hang. One thing is done at a time; while it is, nothing else is asked for.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::nvml::{Code, Library, OpenError};

/// What the driver says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DriverInfo {
    /// The labels of `gpu_driver_info`.
    pub(super) labels: Vec<(&'static str, String)>,
}

/// Something to do.
pub(super) enum Task {
    Open(PathBuf),
    Count(Arc<Library>),
    /// Let go of it; the last one to do so shuts it down.
    Close(Arc<Library>),
}

/// What came of it.
pub(super) enum Outcome {
    Opened(Result<(Arc<Library>, DriverInfo), OpenError>),
    Counted(Result<u32, Code>),
    Closed,
}

/// The thread.
pub(super) struct Control {
    tasks: SyncSender<Task>,
    outcomes: Receiver<Outcome>,
    /// When what is under way began.
    since: Option<Duration>,
}

impl Control {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn start() -> io::Result<Self> {
        let (tasks, to_do) = sync_channel::<Task>(1);
        let (done, outcomes) = sync_channel(1);
        let builder = std::thread::Builder::new().name("gpu-control".into());
        // Never joined: it may be in a call that does not return.
        drop(builder.stack_size(512 << 10).spawn(move || {
            while let Ok(task) = to_do.recv() {
                if done.send(work(task)).is_err() {
                    return;
                }
            }
        })?);
        Ok(Self { tasks, outcomes, since: None })
    }

    /// For how long it has been busy; `None` when it is not.
    pub(super) fn busy_for(&self, now: Duration) -> Option<Duration> {
        self.since.map(|since| now.saturating_sub(since))
    }

    /// Begins. Gives the task back when it is busy.
    pub(super) fn begin(&mut self, task: Task, now: Duration) -> Result<(), Task> {
        if self.since.is_some() {
            return Err(task);
        }
        self.tasks.try_send(task).map_err(|refused| match refused {
            std::sync::mpsc::TrySendError::Full(task)
            | std::sync::mpsc::TrySendError::Disconnected(task) => task,
        })?;
        self.since = Some(now);
        Ok(())
    }

    /// What has come, waiting for it not longer than `patience`.
    pub(super) fn outcome(&mut self, patience: Duration) -> Option<Outcome> {
        self.since?;
        let outcome = if patience.is_zero() {
            self.outcomes.try_recv().ok()
        } else {
            self.outcomes.recv_timeout(patience).ok()
        }?;
        self.since = None;
        Some(outcome)
    }
}

fn work(task: Task) -> Outcome {
    match task {
        Task::Open(path) => Outcome::Opened(Library::open(path.as_os_str()).map(|library| {
            let known = [
                ("driver_version", Some(library.driver_version().to_owned())),
                ("nvml_version", library.nvml_version().ok()),
                ("cuda_version", library.cuda_version().ok()),
            ];
            let told = known.into_iter().filter_map(|(name, value)| Some((name, value?)));
            let labels = told.filter(|(_, value)| !value.is_empty()).collect();
            (Arc::new(library), DriverInfo { labels })
        })),
        Task::Count(library) => Outcome::Counted(library.count()),
        Task::Close(library) => {
            drop(library);
            Outcome::Closed
        }
    }
}
