//! The engine's thread: takes what waits, looks at the clock, passes on what the engine says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use sextant_proto::v1::{self, IncidentState};
use tracing::{info, warn};

use super::{ENDED_MEMORY_MS, IncidentError, Message, Parts, View};
use crate::clock;
use crate::hub::Notice;
use crate::incident::{AnomalyChange, ChangeKind, IncidentChange, IncidentEngine, maintenance};
use crate::storage::Change;
use crate::writer::Write;

/// How often the engine looks at the clock.
const TICK: Duration = Duration::from_millis(250);
/// What is taken between two looks at the clock.
const BATCH: usize = 4096;

pub(super) struct Runner {
    pub(super) engine: IncidentEngine,
    pub(super) view: Arc<View>,
    pub(super) lost: Arc<AtomicBool>,
    pub(super) last_window: u64,
    pub(super) parts: Parts,
}

impl Runner {
    pub(super) fn run(mut self, queue: &Receiver<Message>) {
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
        own.incidents_unassigned
            .set(usize::try_from(stats.dropped_anomalies).unwrap_or(usize::MAX));
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
                info!(
                    id = incident.id,
                    title = incident.title,
                    paged = incident.paged,
                    "incident opened"
                );
            }
            ChangeKind::Paged => own.incidents_paged.add(1),
            ChangeKind::Closed => info!(id = incident.id, "incident closed"),
            _ => {}
        }
        self.parts.hub.tell(Notice::Incident(Arc::new(incident.clone())));
    }
}
