//! A thread for each GPU, because any call may take any time or never come back.
//!
//! A worker belongs to an index of NVML's for as long as the process lives, so however often the
//! library is opened anew or a driver hangs, there are never more threads than GPUs. Orders are
//! bits, not a queue: a tier that is asked for twice is read once. Results wait on the board
//! until the collector writes them; nothing of NVML happens while the board is locked.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::Clock;
use super::identity::{Identity, MigIdentity};
use super::meter::Tier;
use super::nvml::{Code, Handle, Library};
use super::reader::{Context, Output, Peer, Reader};
use crate::clock::now_ms;

const STACK_BYTES: usize = 512 << 10;

/// What a worker has to do.
#[derive(Default)]
struct Orders {
    tiers: [bool; 3],
    /// Look who is at this index, with this library.
    probe: Option<Arc<Library>>,
    /// Let go of NVML.
    leave: bool,
    /// End.
    stop: bool,
}

impl Orders {
    fn any(&self) -> bool {
        self.tiers.contains(&true) || self.probe.is_some() || self.leave || self.stop
    }
}

/// A GPU that a worker has found.
pub(super) struct Found {
    pub(super) identity: Arc<Identity>,
    pub(super) device: Handle,
    pub(super) mig: Vec<Arc<MigIdentity>>,
    mig_generation: u64,
    /// Grows with every change of the above.
    pub(super) generation: u64,
}

/// What a worker has to show.
#[derive(Default)]
pub(super) struct Board {
    orders: Orders,
    /// When the job under way began, on the collector's clock.
    since: Option<Duration>,
    pub(super) found: Option<Found>,
    /// Why the GPU is of no use, or why there is none.
    pub(super) lost: Option<Code>,
    /// The library wants to be opened anew; taken by whoever does it.
    pub(super) reopen: Option<Code>,
    /// Counters started again; taken by whoever tells it.
    pub(super) restarted: bool,
    /// When the GPU last answered, Unix milliseconds.
    pub(super) answered_ms: i64,
    /// The GPUs of the node.
    peers: Option<Arc<[Peer]>>,
    outputs: [Output; 3],
    fresh: [bool; 3],
}

impl Board {
    /// What a tier came to, and whether it is new; it is not the next time.
    pub(super) fn take(&mut self, tier: Tier) -> (&Output, bool) {
        let fresh = std::mem::take(&mut self.fresh[tier as usize]);
        (&self.outputs[tier as usize], fresh)
    }

    /// How long the job under way has been running.
    pub(super) fn busy_for(&self, now: Duration) -> Option<Duration> {
        self.since.map(|since| now.saturating_sub(since))
    }
}

struct Port {
    board: Mutex<Board>,
    ordered: Condvar,
    done: Condvar,
}

/// The collector's end of a worker.
pub(super) struct Worker {
    port: Arc<Port>,
}

impl Worker {
    /// Starts the thread of an index.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(index: u32, context: &Arc<Context>, clock: &Clock) -> io::Result<Self> {
        let port = Arc::new(Port {
            board: Mutex::default(),
            ordered: Condvar::new(),
            done: Condvar::new(),
        });
        let thread = Thread {
            index,
            port: Arc::clone(&port),
            context: Arc::clone(context),
            clock: Arc::clone(clock),
            reader: None,
        };
        let builder = std::thread::Builder::new().name(format!("gpu-{index}"));
        // Never joined: it may be in a call that does not return.
        drop(builder.stack_size(STACK_BYTES).spawn(move || thread.run())?);
        Ok(Self { port })
    }

    /// The board. Locked for as long as the guard lives: be quick.
    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.port.board.lock()
    }

    /// Asks for a tier, and before it to look who is there. A worker that is busy does a slower
    /// tier afterwards, and the fast one not at all. True when it has begun.
    pub(super) fn order(&self, tier: Tier, probe: Option<&Arc<Library>>, now: Duration) -> bool {
        let mut board = self.board();
        if let Some(library) = probe {
            board.orders.probe = Some(Arc::clone(library));
        }
        if tier == Tier::Fast {
            board.fresh[tier as usize] = false;
        }
        let begins = board.since.is_none();
        board.orders.tiers[tier as usize] |= begins || tier != Tier::Fast;
        board.since.get_or_insert(now);
        self.port.ordered.notify_one();
        begins
    }

    /// Tells it which GPUs the node has; a list that was told before is none that is new.
    pub(super) fn introduce(&self, peers: &Arc<[Peer]>) {
        self.board().peers = Some(Arc::clone(peers));
    }

    /// Asks to let go of NVML.
    pub(super) fn leave(&self) {
        let mut board = self.board();
        let unread = board.orders.probe.take();
        board.orders = Orders { leave: true, ..Orders::default() };
        self.port.ordered.notify_one();
        drop(board);
        // Not the last one: whoever asks to leave has the library still.
        drop(unread);
    }

    /// Waits until the job under way is done, not longer than `until`. True when it is.
    pub(super) fn wait(&self, until: Instant) -> bool {
        let mut board = self.board();
        while board.since.is_some() {
            if self.port.done.wait_until(&mut board, until).timed_out() {
                return board.since.is_none();
            }
        }
        true
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.board().orders.stop = true;
        self.port.ordered.notify_one();
    }
}

/// The worker's own end.
struct Thread {
    index: u32,
    port: Arc<Port>,
    context: Arc<Context>,
    clock: Clock,
    reader: Option<Box<Reader>>,
}

impl Thread {
    fn run(mut self) {
        let mut outputs: [Output; 3] = Default::default();
        loop {
            let mut board = self.port.board.lock();
            while !board.orders.any() {
                self.port.ordered.wait(&mut board);
            }
            if board.orders.stop {
                return;
            }
            board.since = Some((self.clock)());
            let (leave, probe) =
                (std::mem::take(&mut board.orders.leave), board.orders.probe.take());
            let tier = if leave || probe.is_some() {
                None
            } else {
                let next = Tier::ALL.into_iter().find(|tier| board.orders.tiers[*tier as usize]);
                next.inspect(|tier| board.orders.tiers[*tier as usize] = false)
            };
            let lost = board.lost;
            drop(board);
            if leave {
                self.leave();
            } else if let Some(library) = probe {
                self.probe(&library, lost);
            } else if let Some(tier) = tier {
                self.read(tier, lost, &mut outputs[tier as usize]);
            }
            let mut board = self.port.board.lock();
            if !board.orders.any() {
                board.since = None;
                self.port.done.notify_all();
            }
        }
    }

    fn leave(&mut self) {
        self.reader = None;
        let mut board = self.port.board.lock();
        (board.found, board.lost, board.reopen) = (None, None, None);
        board.peers = None;
        board.fresh = [false; 3];
    }

    /// Looks who is there. True when somebody answers.
    fn probe(&mut self, library: &Arc<Library>, lost: Option<Code>) -> bool {
        match Reader::open(&self.context, library, self.index, self.reader.take()) {
            Ok(reader) => {
                self.publish(&reader, None);
                self.reader = Some(reader);
                true
            }
            Err((code, known)) => {
                // What was read with another library is of no use, and holds that library.
                self.reader = known.filter(|reader| Arc::ptr_eq(reader.library(), library));
                let mut board = self.port.board.lock();
                if self.reader.is_none() {
                    board.found = None;
                }
                board.lost =
                    if code.is_lost() || board.found.is_none() { Some(code) } else { lost };
                board.reopen = Some(code).filter(|code| code.wants_reopening());
                false
            }
        }
    }

    fn read(&mut self, tier: Tier, lost: Option<Code>, output: &mut Output) {
        if lost.is_some() {
            // A GPU that is lost is asked whether it is back at the medium pace.
            let library = self.reader.as_ref().map(|reader| Arc::clone(reader.library()));
            let back = match library {
                Some(library) if tier == Tier::Medium => self.probe(&library, lost),
                _ => false,
            };
            if !back {
                return;
            }
        }
        let now = (self.clock)();
        let peers = self.port.board.lock().peers.clone();
        let Some(reader) = &mut self.reader else { return };
        if let Some(peers) = peers.filter(|_| tier == Tier::Slow) {
            reader.meet_peers(&peers);
        }
        let verdict = reader.read(tier, now, output);
        if let Some(reader) = &self.reader {
            self.publish(reader, verdict.lost);
        }
        let mut board = self.port.board.lock();
        if verdict.answered {
            board.answered_ms = now_ms();
        }
        if verdict.reopen.is_some() {
            board.reopen = verdict.reopen;
        }
        board.restarted |= verdict.restarted;
        if verdict.lost.is_none() && verdict.reopen.is_none() {
            std::mem::swap(&mut board.outputs[tier as usize], output);
            board.fresh[tier as usize] = true;
        }
    }

    fn publish(&self, reader: &Reader, lost: Option<Code>) {
        let mut board = self.port.board.lock();
        board.lost = lost;
        let known = board.found.as_ref().is_some_and(|found| {
            Arc::ptr_eq(&found.identity, &reader.identity)
                && found.device == reader.device()
                && found.mig_generation == reader.mig.generation
        });
        if !known {
            let generation = board.found.as_ref().map_or(0, |found| found.generation) + 1;
            board.found = Some(Found {
                identity: Arc::clone(&reader.identity),
                device: reader.device(),
                mig: reader.mig.identities().map(Arc::clone).collect(),
                mig_generation: reader.mig.generation,
                generation,
            });
        }
    }
}
