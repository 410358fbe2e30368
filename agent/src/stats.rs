//! The agent's own numbers: atomics that its parts write and the `agent` collector reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use crate::spool::Spool;
use crate::uplink::UplinkStats;

/// All of them.
pub struct Stats {
    collectors: RwLock<Vec<Arc<CollectorStats>>>,
    pub spool: Arc<Spool>,
    pub uplink: Arc<UplinkStats>,
    pub heartbeat: Heartbeat,
}

impl Stats {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(spool: Arc<Spool>) -> Self {
        Self {
            collectors: RwLock::default(),
            spool,
            uplink: Arc::default(),
            heartbeat: Heartbeat::default(),
        }
    }

    /// Adds a collector.
    pub fn register(&self, name: &'static str) -> Arc<CollectorStats> {
        let stats = Arc::new(CollectorStats::new(name));
        self.collectors.write().push(Arc::clone(&stats));
        stats
    }

    /// The collectors, in the order they were added.
    #[must_use]
    pub fn collectors(&self) -> Vec<Arc<CollectorStats>> {
        self.collectors.read().clone()
    }
}

/// What a collector's last call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// It was not called yet, or what it reads is not on this node.
    Unknown = 0,
    Up = 1,
    /// Nothing could be read, or the call does not return.
    Down = 2,
}

/// One collector's numbers.
#[derive(Debug)]
pub struct CollectorStats {
    pub name: &'static str,
    health: AtomicU8,
    /// Unix time of the last tick that was read; 0 for never.
    pub last_success_ms: AtomicI64,
    pub duration_us: AtomicU64,
    pub ticks: AtomicU64,
    pub missed: AtomicU64,
    /// Columns of all tiers together.
    pub series: AtomicU64,
    /// Series and events over the protocol's limits.
    pub overflow: AtomicU64,
    /// Ticks that shared a frame with others, because the uplink was behind.
    pub shared: AtomicU64,
    pub stalled: AtomicBool,
    /// When the running call began, on the clock of `base`; 0 when none runs.
    running: AtomicU64,
    base: Instant,
    errors: Mutex<Vec<(&'static str, u64)>>,
}

impl CollectorStats {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            health: AtomicU8::default(),
            last_success_ms: AtomicI64::default(),
            duration_us: AtomicU64::default(),
            ticks: AtomicU64::default(),
            missed: AtomicU64::default(),
            series: AtomicU64::default(),
            overflow: AtomicU64::default(),
            shared: AtomicU64::default(),
            stalled: AtomicBool::default(),
            running: AtomicU64::default(),
            base: Instant::now(),
            errors: Mutex::default(),
        }
    }

    pub(crate) fn set_health(&self, health: Health) {
        self.health.store(health as u8, Relaxed);
    }

    /// What its last call came to.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.health.load(Relaxed) {
            1 => Health::Up,
            2 => Health::Down,
            _ => Health::Unknown,
        }
    }

    /// A call begins.
    pub(crate) fn begin(&self) {
        self.running.store(millis(self.base.elapsed()).max(1), Relaxed);
        self.ticks.fetch_add(1, Relaxed);
    }

    /// A call has returned.
    pub(crate) fn end(&self) {
        let began = self.running.swap(0, Relaxed);
        let took = self.base.elapsed().saturating_sub(Duration::from_millis(began));
        self.duration_us.store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The running call, by when it began, and how long it has been running.
    #[must_use]
    pub fn running(&self) -> Option<(u64, Duration)> {
        let began = Some(self.running.load(Relaxed)).filter(|began| *began > 0)?;
        Some((began, self.base.elapsed().saturating_sub(Duration::from_millis(began))))
    }

    /// Counts a failure of a source.
    pub(crate) fn error(&self, source: &'static str) {
        let mut errors = self.errors.lock();
        match errors.iter_mut().find(|(known, _)| *known == source) {
            Some((_, count)) => *count += 1,
            None => errors.push((source, 1)),
        }
    }

    /// Failures by source.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, u64)> {
        self.errors.lock().clone()
    }
}

/// Tells that the main loop runs.
#[derive(Debug)]
pub struct Heartbeat {
    base: Instant,
    at: AtomicU64,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { base: Instant::now(), at: AtomicU64::default() }
    }
}

impl Heartbeat {
    /// It runs now.
    pub fn beat(&self) {
        self.at.store(millis(self.base.elapsed()), Relaxed);
    }

    /// How long ago it last ran.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.base.elapsed().saturating_sub(Duration::from_millis(self.at.load(Relaxed)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
