//! Runs the collectors: a named thread for each, ticks, deadlines, and what came of them.
//!
//! A thread collects, encodes and spools one tick after the other. Whoever owns the runner calls
//! [`Runner::watch`] every second: a collector whose call does not return is reported at once,
//! and is neither waited for nor allowed to delay another; when it comes back, it goes on.

mod hold;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use prost::Message as _;
use sextant_proto::chain::chain;
use sextant_proto::frame::ChainEncoder;
use sextant_proto::limits;
use sextant_proto::v1::{Event, Label, Severity};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use self::hold::{Held, Pressure};
use super::{CollectError, Collector};
use crate::clock::{Stop, Ticks, Woke, now_ms};
use crate::sample::{Batch, clipped, node_event};
use crate::spool::Spool;
use crate::stats::{CollectorStats, Health, Stats};

/// A call that takes longer is reported as stalled; with the watch's second within ten.
pub const STALL_AFTER: Duration = Duration::from_secs(8);
/// What is not on the node is looked for so often.
const ABSENT_RETRY_MS: i64 = 60_000;
/// The source of errors that are not told by [`Batch::fail`].
const WHOLE: &str = "collect";
const STACK_BYTES: usize = 512 << 10;
/// Bytes of events in one frame: they leave room for its samples.
const MAX_EVENT_BYTES: usize = limits::MAX_FRAME_BYTES / 2;
/// What an event costs beside itself.
const EVENT_HEAD_BYTES: usize = 6;

/// The running collectors.
pub struct Runner {
    stop: Arc<Stop>,
    threads: TaskTracker,
    watched: Vec<Watched>,
    spool: Arc<Spool>,
    stall_after: Duration,
    encoder: ChainEncoder,
    pressure: Pressure,
    /// Ticks of a fast tier share frames.
    sharing: Arc<AtomicBool>,
}

struct Watched {
    stats: Arc<CollectorStats>,
    /// The call that was reported.
    stalled: Option<u64>,
}

impl Runner {
    /// Starts a thread for each collector.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        collectors: Vec<Box<dyn Collector>>,
        stats: &Stats,
        stall_after: Duration,
    ) -> io::Result<Self> {
        let mut runner = Self {
            stop: Arc::default(),
            threads: TaskTracker::new(),
            watched: Vec::new(),
            spool: Arc::clone(&stats.spool),
            stall_after,
            encoder: ChainEncoder::new(),
            pressure: Pressure::default(),
            sharing: Arc::default(),
        };
        for collector in collectors {
            let stats = stats.register(collector.name());
            let worker = Worker {
                tiers: tiers(collector.as_ref()),
                collector,
                stats: Arc::clone(&stats),
                spool: Arc::clone(&runner.spool),
                stop: Arc::clone(&runner.stop),
                encoder: ChainEncoder::new(),
                sharing: Arc::clone(&runner.sharing),
                whole_failed: false,
                _running: runner.threads.token(),
            };
            let name = format!("col-{}", stats.name);
            let thread = std::thread::Builder::new().name(name).stack_size(STACK_BYTES);
            thread.spawn(move || worker.run())?;
            runner.watched.push(Watched { stats, stalled: None });
        }
        runner.threads.close();
        Ok(runner)
    }

    /// Looks for calls that do not return, for those that did after all, and whether the uplink
    /// falls behind.
    pub fn watch(&mut self) {
        let (behind, changed) = self.pressure.update(&self.spool.stats(), now_ms());
        if changed {
            self.sharing.store(behind, Relaxed);
            tracing::info!(behind, "ticks share frames while the uplink is behind");
        }
        for watched in &mut self.watched {
            let stats = &watched.stats;
            let running = stats.running();
            let event = match (watched.stalled, running) {
                (None, Some((call, since))) if since > self.stall_after => {
                    watched.stalled = Some(call);
                    stats.set_health(Health::Down);
                    tracing::warn!(collector = stats.name, "collector is stalled");
                    let text = format!("collector {} has not returned for {since:.0?}", stats.name);
                    ("agent.collector_stalled", Severity::Warning, text)
                }
                (Some(reported), now) if now.is_none_or(|(call, _)| call != reported) => {
                    watched.stalled = None;
                    tracing::info!(collector = stats.name, "collector is back");
                    let text = format!("collector {} has returned", stats.name);
                    ("agent.collector_recovered", Severity::Info, text)
                }
                _ => continue,
            };
            stats.stalled.store(watched.stalled.is_some(), Relaxed);
            let (kind, severity, text) = event;
            let now_ms = now_ms();
            let name = Label { name: "collector".into(), value: stats.name.into() };
            let event = Event {
                time_unix_ms: now_ms,
                attributes: vec![name],
                ..node_event(kind, severity, text)
            };
            let frame = self.encoder.encode(0, &[], &[], &[event]);
            self.spool.push(None, frame, now_ms);
        }
    }

    /// Tells all to stop after the call that they are in.
    pub fn stop(&self) {
        self.stop.stop();
    }

    /// Waits for those that can stop, for so long, and names the others.
    pub async fn stopped(&self, timeout: Duration) -> Vec<&'static str> {
        if tokio::time::timeout(timeout, self.threads.wait()).await.is_ok() {
            return Vec::new();
        }
        let stuck = self.watched.iter().filter(|w| w.stats.running().is_some());
        stuck.map(|w| w.stats.name).collect()
    }
}

struct Tier {
    interval: Duration,
    ticks: Ticks,
    batch: Batch,
    held: Held,
    series: u64,
    /// Sources that failed at the last tick.
    failing: Vec<&'static str>,
}

/// What is read slowly is read once at the start, too: nobody waits a minute for what a thing is.
fn tiers(collector: &dyn Collector) -> Vec<Tier> {
    let now_ms = now_ms();
    let intervals = collector.tiers();
    let first = intervals.iter().min().copied().unwrap_or_default();
    let tier = |interval| Tier {
        interval,
        ticks: Ticks::new(interval, now_ms).starting_with(first, now_ms),
        batch: Batch::default(),
        held: Held::default(),
        series: 0,
        failing: Vec::new(),
    };
    intervals.into_iter().map(tier).collect()
}

struct Worker {
    collector: Box<dyn Collector>,
    tiers: Vec<Tier>,
    stats: Arc<CollectorStats>,
    spool: Arc<Spool>,
    stop: Arc<Stop>,
    encoder: ChainEncoder,
    sharing: Arc<AtomicBool>,
    whole_failed: bool,
    _running: TaskTrackerToken,
}

impl Worker {
    fn run(mut self) {
        self.tick_until_stopped();
        for index in 0..self.tiers.len() {
            let held = &mut self.tiers[index].held;
            send(held, &mut self.encoder, &self.spool, &self.stats, now_ms(), &[]);
        }
    }

    fn tick_until_stopped(&mut self) {
        while let Some(due_ms) = self.tiers.iter().map(|tier| tier.ticks.due_ms).min() {
            let far = self.tiers.iter().any(|tier| tier.ticks.is_far(now_ms(), ABSENT_RETRY_MS));
            match self.stop.sleep_until(if far { i64::MIN } else { due_ms }) {
                Woke::Stopped => return,
                Woke::Due if !far => {}
                Woke::Due | Woke::Stepped => {
                    self.tiers.iter_mut().for_each(|tier| tier.ticks.restart(now_ms(), 0));
                    continue;
                }
            }
            for index in 0..self.tiers.len() {
                let Some((tick_ms, missed)) = self.tiers[index].ticks.take(now_ms()) else {
                    continue;
                };
                self.stats.missed.fetch_add(missed, Relaxed);
                if !self.tick(index, tick_ms) {
                    let pause = |tier: &mut Tier| tier.ticks.restart(tick_ms, ABSENT_RETRY_MS);
                    self.tiers.iter_mut().for_each(pause);
                    break;
                }
                if self.stop.is_stopped() {
                    return;
                }
            }
        }
    }

    /// Collects and spools one tick. False when there is nothing on this node to collect.
    fn tick(&mut self, index: usize, tick_ms: i64) -> bool {
        let tier = &mut self.tiers[index];
        tier.batch.begin();
        self.stats.begin();
        let span = tracing::info_span!("collect", collector = self.stats.name, tier = index);
        let outcome = span.in_scope(|| self.collector.collect(index, &mut tier.batch));
        self.stats.end();
        let health = match &outcome {
            Ok(()) => Health::Up,
            Err(CollectError::Absent(_)) => Health::Unknown,
            Err(CollectError::Read { .. }) => Health::Down,
        };
        self.stats.set_health(health);
        let name = self.stats.name;
        match &outcome {
            Ok(()) => {
                self.stats.last_success_ms.store(tick_ms, Relaxed);
                if std::mem::take(&mut self.whole_failed) {
                    tracing::info!(collector = name, "collector reads again");
                }
            }
            Err(CollectError::Absent(what)) => {
                tracing::debug!(collector = name, what, "nothing to collect here");
            }
            Err(error) => {
                self.stats.error(WHOLE);
                if !std::mem::replace(&mut self.whole_failed, true) {
                    tracing::warn!(collector = name, error = chain(error), "collector cannot read");
                }
            }
        }
        if outcome.is_ok() {
            tell_failures(tier, &self.stats);
        }
        self.stats.overflow.fetch_add(tier.batch.overflow(), Relaxed);
        let interval_ms = u32::try_from(tier.interval.as_millis()).unwrap_or(u32::MAX);
        let tick = tier.batch.finish(name, interval_ms);
        let values = if outcome.is_ok() { tick.values } else { &[] };
        let mut room = MAX_EVENT_BYTES;
        let found = tick.events.len();
        let events = tick.events.into_iter().filter_map(|event| {
            let event = within_limits(event, tick_ms);
            let left = room.checked_sub(event.encoded_len() + EVENT_HEAD_BYTES);
            room = left.unwrap_or(room);
            left.is_some().then_some(event)
        });
        let events: Vec<_> = events.collect();
        self.stats.overflow.fetch_add((found - events.len()) as u64, Relaxed);
        tier.series = values.len() as u64;
        let layout = tick.layout;
        if !values.is_empty() && tier.held.must_go_before(layout.0, tick_ms, values.len()) {
            send(&mut tier.held, &mut self.encoder, &self.spool, &self.stats, tick_ms, &[]);
        }
        if !values.is_empty() {
            tier.held.add(layout, tick_ms, values);
        }
        let may_wait = self.sharing.load(Relaxed) && events.is_empty();
        if !may_wait || tier.held.is_due(tick_ms, i64::from(interval_ms)) {
            send(&mut tier.held, &mut self.encoder, &self.spool, &self.stats, tick_ms, &events);
        }
        self.stats.series.store(self.tiers.iter().map(|tier| tier.series).sum(), Relaxed);
        !matches!(outcome, Err(CollectError::Absent(_)))
    }
}

/// Spools the ticks that are held, with events; or either alone.
fn send(
    held: &mut Held,
    encoder: &mut ChainEncoder,
    spool: &Spool,
    stats: &CollectorStats,
    now_ms: i64,
    events: &[Event],
) {
    if held.ticks_ms.is_empty() && events.is_empty() {
        return;
    }
    let layout = held.layout.take();
    let hash = layout.as_ref().map_or(0, |(hash, _)| *hash);
    let frame = encoder.encode(hash, &held.ticks_ms, &held.values, events);
    if held.ticks_ms.len() > 1 {
        stats.shared.fetch_add(held.ticks_ms.len() as u64, Relaxed);
    }
    let time_ms = held.ticks_ms.last().copied().unwrap_or(now_ms);
    held.clear();
    if spool.push(layout, frame, time_ms).is_none() {
        encoder.forget(hash);
    }
}

/// Counts the sources that failed; logs the first failure of each and its recovery.
fn tell_failures(tier: &mut Tier, stats: &CollectorStats) {
    for (source, error) in tier.batch.failures() {
        stats.error(source);
        if !tier.failing.contains(source) {
            tracing::warn!(collector = stats.name, source, error, "source cannot be read");
            tier.failing.push(source);
        }
    }
    let now = tier.batch.failures();
    tier.failing.retain(|source| {
        let still = now.iter().any(|(failed, _)| failed == source);
        if !still {
            tracing::info!(collector = stats.name, source, "source is read again");
        }
        still
    });
}

/// The event with its time, and its text cut to what the protocol takes.
fn within_limits(mut event: Event, tick_ms: i64) -> Event {
    if event.time_unix_ms == 0 {
        event.time_unix_ms = tick_ms;
    }
    let end = clipped(&event.message, limits::MAX_MESSAGE_BYTES).len();
    event.message.truncate(end);
    for label in event.entity.iter_mut().chain(&mut event.attributes) {
        let end = clipped(&label.value, limits::MAX_LABEL_VALUE_BYTES).len();
        label.value.truncate(end);
    }
    event
}

#[cfg(test)]
mod tests;
