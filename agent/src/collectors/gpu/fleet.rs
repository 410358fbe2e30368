//! The GPUs that are known: which worker reads each, and how it is.
//!
//! A GPU is known by its UUID, because indexes change; it is never forgotten while its slot is
//! not taken by another one, so that a lost GPU is reported and not merely absent.

use std::sync::Arc;
use std::time::Duration;

use super::driver::WEDGED;
use super::identity::{Identity, MigIdentity};
use super::nvml::{Code, Handle};
use super::worker::Worker;

/// How a GPU is: the label `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ok,
    Lost,
    ResetRequired,
    Wedged,
    Missing,
    Released,
}

impl State {
    pub(super) const ALL: [Self; 6] =
        [Self::Ok, Self::Lost, Self::ResetRequired, Self::Wedged, Self::Missing, Self::Released];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Lost => "lost",
            Self::ResetRequired => "reset_required",
            Self::Wedged => "wedged",
            Self::Missing => "missing",
            Self::Released => "released",
        }
    }

    /// Nothing is wrong with it.
    pub(super) fn is_well(self) -> bool {
        matches!(self, Self::Ok | Self::Released)
    }
}

/// A GPU that was seen.
pub(super) struct Known {
    pub(super) identity: Arc<Identity>,
    pub(super) mig: Vec<Arc<MigIdentity>>,
    pub(super) state: State,
    /// The worker that reads it, or read it last.
    pub(super) worker: usize,
    /// The worker still has it.
    attached: bool,
    device: Option<Handle>,
    pub(super) answered_ms: i64,
}

/// Something that happened to a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Happening {
    /// Seen for the first time.
    Appeared,
    State {
        from: State,
        to: State,
    },
    /// Energy or throttle time started again.
    Restarted,
    /// MIG devices came or went; so many there are.
    MigChanged(usize),
}

/// All GPUs.
#[derive(Default)]
pub(super) struct Fleet {
    pub(super) gpus: Vec<Known>,
    pub(super) workers: Vec<Worker>,
    /// What was last seen of each worker's finds.
    seen: Vec<u64>,
    /// Grows when GPUs or MIG devices come or go.
    pub(super) generation: u64,
}

impl Fleet {
    /// Looks at the workers' boards, and calls `tell` with what happened to which GPU.
    /// `released` says that nobody holds NVML.
    pub(super) fn refresh(
        &mut self,
        now: Duration,
        released: bool,
        mut tell: impl FnMut(&Identity, Happening),
    ) {
        self.seen.resize(self.workers.len(), 0);
        for index in 0..self.workers.len() {
            self.look(index, &mut tell);
        }
        for at in 0..self.gpus.len() {
            let to = self.state(at, now, released);
            let gpu = &mut self.gpus[at];
            let from = std::mem::replace(&mut gpu.state, to);
            if from != to {
                tell(&gpu.identity, Happening::State { from, to });
            }
        }
    }

    /// Takes over what a worker has found.
    fn look(&mut self, index: usize, tell: &mut impl FnMut(&Identity, Happening)) {
        let Self { gpus, workers, seen, generation } = self;
        let mut board = workers[index].board();
        let restarted = std::mem::take(&mut board.restarted);
        let Some(found) = &board.found else {
            if std::mem::take(&mut seen[index]) != 0 {
                gpus.iter_mut().filter(|gpu| gpu.worker == index).for_each(|gpu| {
                    (gpu.attached, gpu.device) = (false, None);
                });
            }
            return;
        };
        let at = gpus.iter().position(|gpu| gpu.identity.uuid == found.identity.uuid);
        if seen[index] == found.generation
            && let Some(at) = at
        {
            let gpu = &mut gpus[at];
            gpu.answered_ms = board.answered_ms;
            if restarted {
                tell(&gpu.identity, Happening::Restarted);
            }
            return;
        }
        seen[index] = found.generation;
        *generation += 1;
        // Whom the worker had before is somewhere else, or gone.
        gpus.iter_mut().filter(|gpu| gpu.worker == index).for_each(|gpu| gpu.attached = false);
        let known = Known {
            identity: Arc::clone(&found.identity),
            mig: found.mig.clone(),
            state: State::Ok,
            worker: index,
            attached: true,
            device: Some(found.device),
            answered_ms: board.answered_ms,
        };
        if let Some(at) = at {
            let before = std::mem::replace(&mut gpus[at].mig, found.mig.clone());
            let uuids = |mig: &[Arc<MigIdentity>]| -> Vec<_> {
                mig.iter().map(|mig| Arc::clone(&mig.uuid)).collect()
            };
            if uuids(&before) != uuids(&found.mig) {
                tell(&found.identity, Happening::MigChanged(found.mig.len()));
            }
            let state = gpus[at].state;
            gpus[at] = Known { state, ..known };
            if restarted {
                tell(&found.identity, Happening::Restarted);
            }
            return;
        }
        // Another card in the slot: the old one is not missing, it was replaced.
        let slot = &found.identity.pci;
        gpus.retain(|gpu| gpu.attached || gpu.identity.pci != *slot);
        tell(&found.identity, Happening::Appeared);
        gpus.push(known);
        gpus.sort_by(|a, b| a.identity.pci.cmp(&b.identity.pci));
    }

    fn state(&self, at: usize, now: Duration, released: bool) -> State {
        let gpu = &self.gpus[at];
        let Some(worker) = self.workers.get(gpu.worker) else {
            return if released { State::Released } else { State::Missing };
        };
        let board = worker.board();
        if board.busy_for(now).is_some_and(|busy| busy > WEDGED) {
            return State::Wedged;
        }
        match board.lost {
            _ if released => State::Released,
            Some(Code::RESET_REQUIRED) => State::ResetRequired,
            Some(code) if code.is_lost() => State::Lost,
            _ if gpu.attached => State::Ok,
            // Between two libraries nothing is known: as it was.
            None if gpu.state == State::Ok && board.found.is_none() => State::Ok,
            _ if matches!(gpu.state, State::Lost | State::ResetRequired) => gpu.state,
            _ => State::Missing,
        }
    }

    /// GPUs that answer.
    pub(super) fn well(&self) -> usize {
        self.gpus.iter().filter(|gpu| gpu.state == State::Ok).count()
    }

    /// The GPUs that events can be listened to of.
    pub(super) fn handles(&self) -> impl Iterator<Item = (&Known, Handle)> {
        let attached = self.gpus.iter().filter(|gpu| gpu.attached);
        attached.filter_map(|gpu| Some((gpu, gpu.device?)))
    }

    /// The ids that device plugins may use, and the UUIDs that they mean.
    pub(super) fn aliases(&self) -> Vec<(String, String)> {
        let mut aliases = Vec::new();
        for gpu in &self.gpus {
            let of_gpu =
                gpu.identity.aliases.iter().map(|a| (a.clone(), gpu.identity.uuid.to_string()));
            aliases.extend(of_gpu);
            for mig in &gpu.mig {
                aliases.extend(mig.aliases.iter().map(|a| (a.clone(), mig.uuid.to_string())));
            }
        }
        aliases
    }
}
