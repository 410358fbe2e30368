//! Whether NVML can be used: found, opened, opened anew when it no longer fits the driver, and
//! let go of while somebody wants the GPUs for themselves.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::control::{Control, DriverInfo, Outcome, Task};
use super::nvml::{Code, Library, OpenError};

/// A library that is not there or does not work is tried again so often.
const RETRY: Duration = Duration::from_secs(10);
/// What takes longer hangs.
pub(super) const WEDGED: Duration = Duration::from_secs(10);
/// A library that is opened and refused again at once is not opened in a circle.
const REOPEN_PAUSE: Duration = Duration::from_secs(10);

/// Why there is no NVML: the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    NoLibrary,
    NoDriver,
    VersionMismatch,
    Wedged,
    Released,
    Failed,
}

impl Reason {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NoLibrary => "no_library",
            Self::NoDriver => "no_driver",
            Self::VersionMismatch => "version_mismatch",
            Self::Wedged => "wedged",
            Self::Released => "released",
            Self::Failed => "failed",
        }
    }

    fn of(error: &OpenError) -> Self {
        match error {
            OpenError::NotLoaded(_) => Self::NoLibrary,
            OpenError::NotNvml(_) => Self::Failed,
            OpenError::Refused(Code::LIB_RM_VERSION_MISMATCH) => Self::VersionMismatch,
            OpenError::Refused(Code::DRIVER_NOT_LOADED | Code::LIBRARY_NOT_FOUND) => Self::NoDriver,
            OpenError::Refused(_) => Self::Failed,
        }
    }
}

enum Phase {
    Closed {
        retry: Duration,
    },
    Opening,
    Open(Arc<Library>),
    Closing {
        /// Alive for as long as somebody uses it.
        library: Weak<Library>,
        /// Not yet handed over to be closed.
        unsent: Option<Arc<Library>>,
        since: Duration,
    },
}

/// What the collector has to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Use the library.
    Opened,
    /// Let go of it, now.
    Leave,
    /// It has so many GPUs.
    Counted(u32),
}

/// NVML's life.
pub(super) struct Driver {
    path: PathBuf,
    control: Option<Control>,
    phase: Phase,
    reason: Option<Reason>,
    pub(super) info: DriverInfo,
    reopen: bool,
    opened: Duration,
    count: bool,
}

impl Driver {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            control: None,
            phase: Phase::Closed { retry: Duration::ZERO },
            reason: None,
            info: DriverInfo::default(),
            reopen: false,
            opened: Duration::ZERO,
            count: false,
        }
    }

    /// The library, while it can be used.
    pub(super) fn library(&self) -> Option<&Arc<Library>> {
        match &self.phase {
            Phase::Open(library) => Some(library),
            _ => None,
        }
    }

    /// Why it cannot be used; `None` while it can, and before that is known.
    pub(super) fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// Nothing holds NVML, and nothing is about to.
    pub(super) fn is_released(&self) -> bool {
        self.reason == Some(Reason::Released)
    }

    /// Asks for a new start of the library. True when nobody has yet.
    pub(super) fn reopen(&mut self) -> bool {
        !std::mem::replace(&mut self.reopen, true)
    }

    /// Asks how many GPUs there are.
    pub(super) fn count(&mut self) {
        self.count = true;
    }

    /// One step. `wanted` is false while the GPUs are to be let go. Waits for what has just been
    /// begun, not longer than `patience`.
    pub(super) fn advance(
        &mut self,
        now: Duration,
        wanted: bool,
        patience: Duration,
    ) -> Option<Change> {
        let begun = self.begin(now, wanted);
        if let Some(Change::Leave) = begun {
            return begun;
        }
        let patience = if begun.is_some() { patience } else { Duration::ZERO };
        let control = self.control.as_mut()?;
        let outcome = control.outcome(patience);
        let hangs = control.busy_for(now).is_some_and(|busy| busy > WEDGED);
        match outcome {
            Some(Outcome::Opened(told)) => return self.opened(told, now),
            Some(Outcome::Counted(Ok(count))) => {
                self.reason = None;
                return Some(Change::Counted(count));
            }
            Some(Outcome::Counted(Err(code))) => {
                self.reopen |= code.wants_reopening();
                // A library that cannot count its GPUs is none.
                self.reason = code.is_unsupported().then_some(Reason::Failed);
                tracing::debug!(%code, "GPUs cannot be counted");
            }
            Some(Outcome::Closed) => {}
            None if hangs => self.reason = Some(Reason::Wedged),
            None => {}
        }
        None
    }

    /// Begins what is due. `Opened` and `Counted` stand for what has begun.
    fn begin(&mut self, now: Duration, wanted: bool) -> Option<Change> {
        let control = match &mut self.control {
            Some(control) => control,
            none => match Control::start() {
                Ok(control) => none.insert(control),
                Err(error) => {
                    tracing::debug!(%error, "no thread to open NVML in");
                    self.reason = Some(Reason::Failed);
                    return None;
                }
            },
        };
        match &mut self.phase {
            Phase::Closed { retry } => {
                if !wanted {
                    self.reason = Some(Reason::Released);
                    *retry = now;
                    return None;
                }
                if self.reason == Some(Reason::Released) {
                    self.reason = None;
                }
                if now < *retry || control.begin(Task::Open(self.path.clone()), now).is_err() {
                    return None;
                }
                self.phase = Phase::Opening;
                Some(Change::Opened)
            }
            Phase::Opening => None,
            Phase::Open(library) => {
                let again = self.reopen && now.saturating_sub(self.opened) >= REOPEN_PAUSE;
                if !wanted || again {
                    self.reopen = false;
                    let phase = Phase::Closing {
                        library: Arc::downgrade(library),
                        unsent: Some(Arc::clone(library)),
                        since: now,
                    };
                    self.phase = phase;
                    return Some(Change::Leave);
                }
                if self.count && control.busy_for(now).is_none() {
                    self.count = false;
                    let begun = control.begin(Task::Count(Arc::clone(library)), now);
                    return begun.is_ok().then_some(Change::Counted(0));
                }
                None
            }
            Phase::Closing { library, unsent, since } => {
                if let Some(last) = unsent.take()
                    && let Err(Task::Close(back)) = control.begin(Task::Close(last), now)
                {
                    *unsent = Some(back);
                }
                let closed = library.strong_count() == 0;
                let hangs = now.saturating_sub(*since) > WEDGED;
                // One that hangs is closed by whoever hangs in it, if that ever comes back.
                if closed || hangs && wanted && unsent.is_none() {
                    self.phase = Phase::Closed { retry: now };
                    self.reason = if wanted { None } else { Some(Reason::Released) };
                } else if hangs {
                    self.reason = Some(Reason::Wedged);
                }
                None
            }
        }
    }

    fn opened(
        &mut self,
        told: Result<(Arc<Library>, DriverInfo), OpenError>,
        now: Duration,
    ) -> Option<Change> {
        match told {
            Ok((library, info)) => {
                (self.reason, self.info, self.reopen) = (None, info, false);
                self.opened = now;
                self.phase = Phase::Open(library);
                self.count = true;
                Some(Change::Opened)
            }
            Err(error) => {
                let reason = Some(Reason::of(&error));
                if self.reason != reason {
                    tracing::debug!(%error, "NVML cannot be used");
                }
                self.reason = reason;
                self.phase = Phase::Closed { retry: now + RETRY };
                None
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Shutting down can block: the last reference goes on the thread for it, or not at all.
        let library = match std::mem::replace(&mut self.phase, Phase::Opening) {
            Phase::Open(library) | Phase::Closing { unsent: Some(library), .. } => library,
            _ => return,
        };
        let refused = match &mut self.control {
            Some(control) => control.begin(Task::Close(library), Duration::ZERO).err(),
            None => Some(Task::Close(library)),
        };
        std::mem::forget(refused);
    }
}
