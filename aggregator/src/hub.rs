//! What happens, to whoever listens: events, anomalies and samples as they are taken in.
//!
//! Bounded: a subscriber that is slower than [`BACKLOG`] messages loses the oldest and is told
//! how many; nobody else notices.

use std::sync::Arc;

use sextant_proto::v1::{Anomaly, Incident, StoredEvent};
use tokio::sync::broadcast;

use crate::catalog::Live;

/// Messages that a slow subscriber may be behind.
const BACKLOG: usize = 4096;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Notice {
    Event(Arc<StoredEvent>),
    Anomaly(Arc<Anomaly>),
    Incident(Arc<Incident>),
    Samples(Arc<Samples>),
}

/// Ticks of a layout.
#[derive(Debug)]
pub struct Samples {
    pub live: Arc<Live>,
    pub ticks_ms: Vec<i64>,
    pub values: Vec<f64>,
}

/// Where notices go.
#[derive(Debug, Clone)]
pub struct Hub {
    sender: broadcast::Sender<Notice>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(BACKLOG) }
    }
}

impl Hub {
    /// Tells everyone who listens.
    pub fn tell(&self, notice: Notice) {
        // An error says that nobody listens.
        drop(self.sender.send(notice));
    }

    /// Whether anyone does.
    #[must_use]
    pub fn has_listeners(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Listens from now on.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Notice> {
        self.sender.subscribe()
    }
}
