//! The engine in the aggregator: a thread of its own behind a bounded queue.
//!
//! Shards hand over what they settled and never wait: what does not fit is counted, and the
//! engine then compares itself with the open episodes. What the engine says goes to the store,
//! to subscribers, and into the view that questions are answered from.

mod runner;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::RwLock;
use sextant_proto::v1;
use tokio::sync::oneshot;

use self::runner::Runner;
use super::{IncidentConfig, IncidentEngine, TopologySource, maintenance};
use crate::clock;
use crate::episode::Episodes;
use crate::hub::Hub;
use crate::stats::Stats;
use crate::storage::IncidentInventory;
use crate::writer::WriterHandle;

/// What waits for the engine. Full: it is counted, and the engine compares itself with the
/// episodes when it has caught up.
const QUEUE: usize = 16_384;
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
    Acknowledge {
        id: u64,
        by: String,
        note: String,
        reply: oneshot::Sender<Result<v1::Incident, IncidentError>>,
    },
    Maintain {
        window: v1::Maintenance,
        reply: oneshot::Sender<Result<v1::Maintenance, IncidentError>>,
    },
    EndMaintenance {
        id: u64,
        by: String,
        reply: oneshot::Sender<Result<v1::Maintenance, IncidentError>>,
    },
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
            return Err(IncidentError::Invalid(format!(
                "the note is longer than {MAX_NOTE} bytes"
            )));
        }
        self.ask(|reply| Message::Acknowledge { id, by, note, reply }).await
    }

    /// Adds a maintenance window; its id and creation time are given here.
    ///
    /// # Errors
    /// [`IncidentError`]: it is wrong, or the engine is gone or busy.
    pub async fn maintain(
        &self,
        window: v1::Maintenance,
    ) -> Result<v1::Maintenance, IncidentError> {
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
        let since = clock::now_ms() - ENDED_MEMORY_MS;
        let windows = inventory.maintenance.iter().filter(|w| maintenance::end_ms(w) > since);
        view.maintenance.write().extend(windows.map(|w| (w.id, w.clone())));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_queue_is_counted_and_waits_for_nobody() {
        let stats = Arc::new(Stats::default());
        let (feed, service) = IncidentService::new(&IncidentConfig::default(), &stats);
        let anomaly = Arc::new(v1::Anomaly::default());
        for _ in 0..QUEUE + 3 {
            feed.anomaly(&anomaly);
        }
        assert_eq!(stats.incident_drops.get(), 3);
        assert!(feed.lost.load(Ordering::Acquire));
        drop(service);
    }

    #[test]
    fn switched_off_takes_nothing_and_says_so() {
        let config = IncidentConfig { enabled: false, ..IncidentConfig::default() };
        let stats = Arc::new(Stats::default());
        let (feed, service) = IncidentService::new(&config, &stats);
        feed.anomaly(&Arc::new(v1::Anomaly::default()));
        assert_eq!(stats.incident_drops.get(), 0);
        let handle = service.handle();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let said = runtime.block_on(handle.acknowledge(1, String::new(), String::new()));
        assert_eq!(said, Err(IncidentError::Off));
        assert!(handle.open().is_empty());
    }
}
