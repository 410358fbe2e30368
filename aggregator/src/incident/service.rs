//! The engine in the aggregator: a thread of its own behind a bounded queue.
//!
//! Shards hand over what they settled and never wait: what does not fit is counted, and the
//! engine then compares itself with the open episodes. What the engine says goes to the store,
//! to subscribers, and into the view that questions are answered from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use sextant_proto::v1::{self, IncidentState};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{AnomalyChange, IncidentChange, IncidentConfig, IncidentEngine, TopologySource};
use super::{ChangeKind, maintenance};
use crate::clock;
use crate::episode::Episodes;
use crate::hub::{Hub, Notice};
use crate::stats::Stats;
use crate::storage::{Change, IncidentInventory};
use crate::writer::{Write, WriterHandle};

/// What waits for the engine. Full: it is counted, and the engine compares itself with the
/// episodes when it has caught up.
const QUEUE: usize = 16_384;
/// How often the engine looks at the clock.
const TICK: Duration = Duration::from_millis(250);
/// What is taken between two looks at the clock.
const BATCH: usize = 4096;
/// Windows that ended stay listed for so long.
const ENDED_MEMORY_MS: i64 = 30 * 86_400_000;

/// Why something cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IncidentError {
    #[error("{0}")]
    Invalid(String),
    #[error("no {what} {id}")]
    NotFound { what: &'static str, id: u64 },
    #[error("incidents are switched off or stopping")]
    Off,
    #[error("the incident engine is busy: try again")]
    Busy,
}

enum Message {
    Anomaly(Arc<v1::Anomaly>),
    Event(Arc<v1::StoredEvent>),
    Acknowledge { id: u64, by: String, note: String, reply: oneshot::Sender<Result<v1::Incident, IncidentError>> },
    Maintain { window: v1::Maintenance, reply: oneshot::Sender<Result<v1::Maintenance, IncidentError>> },
    EndMaintenance { id: u64, by: String, reply: oneshot::Sender<Result<v1::Maintenance, IncidentError>> },
    Stop,
}

/// The way to the engine for those who must not wait.
#[derive(Debug, Clone)]
pub struct IncidentFeed {
    /// None where incidents are switched off.
    queue: Option<SyncSender<Message>>,
    lost: Arc<AtomicBool>,
    stats: Arc<Stats>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl IncidentFeed {
    /// Tells of a change of an anomaly.
    pub fn anomaly(&self, anomaly: &Arc<v1::Anomaly>) {
        self.offer(|| Message::Anomaly(Arc::clone(anomaly)));
    }

    /// Tells of an event.
    pub fn event(&self, event: &Arc<v1::StoredEvent>) {
        self.offer(|| Message::Event(Arc::clone(event)));
    }

    fn offer(&self, message: impl FnOnce() -> Message) {
        let Some(queue) = &self.queue else { return };
        if queue.try_send(message()).is_err() {
            self.stats.incident_drops.add(1);
            self.lost.store(true, Ordering::Release);
        }
    }

    /// Lets the thread end when it has done what it was handed.
    pub fn stop(&self) {
        if let Some(queue) = &self.queue {
            // An error says that it has ended.
            drop(queue.send(Message::Stop));
        }
    }
}

/// What is open and what was decided, for questions and commands.
#[derive(Debug, Clone)]
pub struct IncidentHandle {
    feed: IncidentFeed,
    view: Arc<View>,
}

#[derive(Debug, Default)]
struct View {
    /// Open incidents, by id.
    open: RwLock<BTreeMap<u64, v1::Incident>>,
    maintenance: RwLock<BTreeMap<u64, v1::Maintenance>>,
}

impl IncidentHandle {
    /// The open incidents, newest first.
    #[must_use]
    pub fn open(&self) -> Vec<v1::Incident> {
        let mut all: Vec<_> = self.view.open.read().values().cloned().collect();
        all.sort_by_key(|i| std::cmp::Reverse((i.opened_unix_ms, i.id)));
        all
    }

    /// One that is open.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<v1::Incident> {
        self.view.open.read().get(&id).cloned()
    }

    /// Maintenance windows, newest first; those that ended in the last 30 days with `all`.
    #[must_use]
    pub fn maintenance(&self, all: bool, now_ms: i64) -> Vec<v1::Maintenance> {
        let windows = self.view.maintenance.read();
        let wanted = |w: &&v1::Maintenance| all || maintenance::end_ms(w) > now_ms;
        windows.values().rev().filter(wanted).cloned().collect()
    }

    /// Somebody looks after an open incident.
    ///
    /// # Errors
    /// [`IncidentError`]: it is not open, or the engine is gone or busy.
    pub async fn acknowledge(
        &self,
        id: u64,
        by: String,
        note: String,
    ) -> Result<v1::Incident, IncidentError> {
        const MAX_NOTE: usize = 4096;
        if note.len() > MAX_NOTE {
            return Err(IncidentError::Invalid(format!("the note is longer than {MAX_NOTE} bytes")));
        }
        self.ask(|reply| Message::Acknowledge { id, by, note, reply }).await
    }

    /// Adds a maintenance window; its id and creation time are given here.
    ///
    /// # Errors
    /// [`IncidentError`]: it is wrong, or the engine is gone or busy.
    pub async fn maintain(&self, window: v1::Maintenance) -> Result<v1::Maintenance, IncidentError> {
        maintenance::check(&window).map_err(IncidentError::Invalid)?;
        self.ask(|reply| Message::Maintain { window, reply }).await
    }

    /// Ends a window before its time.
    ///
    /// # Errors
    /// [`IncidentError`]: there is none, it is over, or the engine is gone or busy.
    pub async fn end_maintenance(
        &self,
        id: u64,
        by: String,
    ) -> Result<v1::Maintenance, IncidentError> {
        self.ask(|reply| Message::EndMaintenance { id, by, reply }).await
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<T, IncidentError>>) -> Message,
    ) -> Result<T, IncidentError> {
        use std::sync::mpsc::TrySendError;
        let queue = self.feed.queue.as_ref().ok_or(IncidentError::Off)?;
        let (reply, answer) = oneshot::channel();
        match queue.try_send(message(reply)) {
            Ok(()) => answer.await.map_err(|_| IncidentError::Off)?,
            Err(TrySendError::Full(_)) => Err(IncidentError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(IncidentError::Off),
        }
    }
}

/// The thread before it runs.
pub struct IncidentService {
    queue: Receiver<Message>,
    handle: IncidentHandle,
    enabled: bool,
}

impl IncidentService {
    /// The two ends: what the pipeline feeds, and what will read it.
    #[must_use]
    pub fn new(config: &IncidentConfig, stats: &Arc<Stats>) -> (IncidentFeed, Self) {
        let (sender, queue) = sync_channel(QUEUE);
        let feed = IncidentFeed {
            queue: config.enabled.then_some(sender),
            lost: Arc::default(),
            stats: Arc::clone(stats),
        };
        let handle = IncidentHandle { feed: feed.clone(), view: Arc::default() };
        (feed, Self { queue, handle, enabled: config.enabled })
    }

    /// For questions and commands.
    #[must_use]
    pub fn handle(&self) -> IncidentHandle {
        self.handle.clone()
    }

    /// Starts the thread with what was stored; none where incidents are switched off.
    ///
    /// # Panics
    /// When no thread can be started.
    pub fn start(
        self,
        config: &IncidentConfig,
        inventory: &IncidentInventory,
        topology: impl TopologySource + 'static,
        parts: Parts,
    ) -> Option<JoinHandle<()>> {
        let view = &self.handle.view;
        let windows = inventory.maintenance.iter().map(|w| (w.id, w.clone()));
        view.maintenance.write().extend(windows);
        view.open.write().extend(inventory.open.iter().map(|i| (i.id, i.clone())));
        if !self.enabled {
            return None;
        }
        let mut engine = IncidentEngine::new(config.clone(), topology);
        let now = clock::now_ms();
        let running: Vec<v1::Maintenance> = inventory
            .maintenance
            .iter()
            .filter(|w| maintenance::end_ms(w) > now)
            .cloned()
            .collect();
        let open = parts.episodes.open();
        engine.restore(&inventory.open, &open, &running, inventory.last_incident_id, now);
        let runner = Runner {
            engine,
            view: Arc::clone(view),
            lost: Arc::clone(&self.handle.feed.lost),
            last_window: inventory.last_maintenance_id,
            parts,
        };
        let queue = self.queue;
        let thread = std::thread::Builder::new().name("incidents".into());
        Some(thread.spawn(move || runner.run(&queue)).expect("a thread at start"))
    }
}

/// What the thread works with.
pub struct Parts {
    pub episodes: Arc<Episodes>,
    pub hub: Hub,
    pub stats: Arc<Stats>,
    pub writer: WriterHandle,
}

struct Runner {
    engine: IncidentEngine,
    view: Arc<View>,
    lost: Arc<AtomicBool>,
    last_window: u64,
    parts: Parts,
}

impl Runner {
    fn run(mut self, queue: &Receiver<Message>) {
        let mut looked = Instant::now();
        loop {
            let mut stop = false;
            match queue.recv_timeout(TICK) {
                Ok(message) => stop = self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => stop = true,
            }
            let mut drained = false;
            for _ in 0..BATCH {
                match queue.try_recv() {
                    Ok(message) => stop |= self.take(message),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => {
                        drained = true;
                        break;
                    }
                }
            }
            if drained && self.lost.swap(false, Ordering::AcqRel) {
                warn!("the incident engine was overrun, it compares itself with what is open");
                self.engine.resync(&self.parts.episodes.open());
            }
            if stop || looked.elapsed() >= TICK {
                looked = Instant::now();
                self.elapse();
            }
            if stop {
                return;
            }
        }
    }

    /// Whether it is to stop.
    fn take(&mut self, message: Message) -> bool {
        match message {
            Message::Anomaly(anomaly) => {
                let closed = anomaly.closed_unix_ms != 0;
                let change = if closed { AnomalyChange::Closed } else { AnomalyChange::Opened };
                self.engine.anomaly(&anomaly, change);
            }
            Message::Event(event) => self.engine.event(&event),
            Message::Acknowledge { id, by, note, reply } => {
                self.elapse();
                let done = self.engine.acknowledge(id, &by, &note);
                let done = done.ok_or(IncidentError::NotFound { what: "open incident", id });
                self.elapse();
                // Whoever asked may have gone.
                drop(reply.send(done));
            }
            Message::Maintain { mut window, reply } => {
                self.last_window += 1;
                window.id = self.last_window;
                window.created_unix_ms = clock::now_ms();
                let done = self.put(window);
                drop(reply.send(done));
            }
            Message::EndMaintenance { id, by, reply } => drop(reply.send(self.end(id, by))),
            Message::Stop => return true,
        }
        false
    }

    fn end(&mut self, id: u64, by: String) -> Result<v1::Maintenance, IncidentError> {
        let known = self.view.maintenance.read().get(&id).cloned();
        let now = clock::now_ms();
        let running = known.filter(|w| maintenance::end_ms(w) > now);
        let mut window =
            running.ok_or(IncidentError::NotFound { what: "running maintenance", id })?;
        window.ended_unix_ms = now.max(1);
        window.ended_by = by;
        self.put(window)
    }

    fn put(&mut self, window: v1::Maintenance) -> Result<v1::Maintenance, IncidentError> {
        let now = clock::now_ms();
        let mut windows = self.view.maintenance.write();
        windows.retain(|_, w| maintenance::end_ms(w) > now - ENDED_MEMORY_MS);
        if windows.len() >= maintenance::MAX_WINDOWS && !windows.contains_key(&window.id) {
            let text = format!("there are {} maintenance windows already", windows.len());
            return Err(IncidentError::Invalid(text));
        }
        windows.insert(window.id, window.clone());
        drop(windows);
        self.engine.maintain(window.clone());
        let changes = vec![Change::Maintenance(window.clone())];
        self.parts.writer.send(Write::Changes { changes, spool: None });
        self.elapse();
        Ok(window)
    }

    fn elapse(&mut self) {
        let changes = self.engine.elapse(clock::now_ms());
        let stats = self.engine.stats();
        let own = &self.parts.stats;
        own.incidents_open.set(stats.open);
        own.incidents_unassigned.set(usize::try_from(stats.dropped_anomalies).unwrap_or(usize::MAX));
        if changes.is_empty() {
            return;
        }
        let mut stored = Vec::with_capacity(changes.len());
        for change in changes {
            self.tell(&change);
            let IncidentChange { kind, time_ms, text, by, incident } = change;
            let kind = kind.name().to_owned();
            let entry = v1::IncidentEntry { time_unix_ms: time_ms, kind, by, text };
            stored.push(Change::Incident { incident: Box::new(incident), entry });
        }
        self.parts.writer.send(Write::Changes { changes: stored, spool: None });
    }

    fn tell(&self, change: &IncidentChange) {
        let incident = &change.incident;
        let mut open = self.view.open.write();
        if incident.state() == IncidentState::Open {
            open.insert(incident.id, incident.clone());
        } else {
            open.remove(&incident.id);
        }
        drop(open);
        let own = &self.parts.stats;
        match change.kind {
            ChangeKind::Opened => {
                own.incidents_opened.add(1);
                info!(id = incident.id, title = incident.title, paged = incident.paged, "incident opened");
            }
            ChangeKind::Paged => own.incidents_paged.add(1),
            ChangeKind::Closed => info!(id = incident.id, "incident closed"),
            _ => {}
        }
        self.parts.hub.tell(Notice::Incident(Arc::new(incident.clone())));
    }
}
