//! Counts an Xid once though two sources tell it: NVML's events and the kernel's log.
//!
//! The same Xid of the same GPU from *different* sources within [`WINDOW`] is one; from the same
//! source it is another one. Pairs are made one to one, oldest first. A record waits [`GRACE`]
//! for its other half, so that it can carry the log's text and NVML's instance; it is never held
//! longer than to the tick after. A half that comes later than that is recognised and dropped.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::nvrm::Xid;
use crate::collectors::pods::Process;

/// Two sources tell the same Xid within so long.
const WINDOW: Duration = Duration::from_secs(2);
/// So long a record waits for the other source.
pub(super) const GRACE: Duration = Duration::from_millis(250);
/// Halves kept of one Xid of one GPU; more in [`WINDOW`] are counted without looking for pairs.
const HALVES: usize = 1_024;

/// An Xid, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Which GPU: an index of the caller's.
    pub(super) gpu: usize,
    pub(super) xid: u32,
    /// Unix time.
    pub(super) time_ms: i64,
    pub(super) kernel: Option<Kernel>,
    pub(super) driver: Option<Driver>,
}

/// What the kernel's log says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kernel {
    pub(super) message: Xid,
    pub(super) process: Option<Box<Process>>,
}

/// What NVML says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Driver {
    pub(super) gpu_instance: Option<u32>,
    pub(super) compute_instance: Option<u32>,
}

/// What one source told, the record taken out once it is sent.
#[derive(Debug)]
struct Half {
    at: Instant,
    record: Option<Record>,
}

#[derive(Debug, Default)]
struct Halves {
    kernel: VecDeque<Half>,
    driver: VecDeque<Half>,
}

/// Xids of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    halves: FxHashMap<(usize, u32), Halves>,
}

impl Ledger {
    /// Takes what one source told at `at`. The record is given back when it is complete; when it
    /// is the other half of one that was sent, there is nothing more to do with it.
    pub(super) fn note(&mut self, at: Instant, record: Record) -> Option<Record> {
        let halves = self.halves.entry((record.gpu, record.xid)).or_default();
        let (own, other) = match record.kernel {
            Some(_) => (&mut halves.kernel, &mut halves.driver),
            None => (&mut halves.driver, &mut halves.kernel),
        };
        let near = |half: &Half| {
            let apart =
                at.saturating_duration_since(half.at) + half.at.saturating_duration_since(at);
            apart <= WINDOW
        };
        if let Some(found) = other.iter().position(near) {
            let first = other.remove(found)?.record?;
            return Some(merged(first, record));
        }
        if own.len() >= HALVES {
            return Some(record);
        }
        own.push_back(Half { at, record: Some(record) });
        None
    }

    /// Gives the records that have waited long enough, oldest first.
    pub(super) fn due(&mut self, now: Instant, out: &mut Vec<Record>) {
        if self.halves.is_empty() {
            return;
        }
        let mut due = Vec::new();
        self.halves.retain(|_, halves| {
            for halves in [&mut halves.kernel, &mut halves.driver] {
                for half in &mut *halves {
                    if now.saturating_duration_since(half.at) >= GRACE {
                        due.extend(half.record.take().map(|record| (half.at, record)));
                    }
                }
                halves.retain(|half| {
                    half.record.is_some() || now.saturating_duration_since(half.at) <= WINDOW
                });
            }
            !(halves.kernel.is_empty() && halves.driver.is_empty())
        });
        due.sort_by_key(|(at, _)| *at);
        out.extend(due.into_iter().map(|(_, record)| record));
    }
}

fn merged(mut first: Record, second: Record) -> Record {
    first.time_ms = first.time_ms.min(second.time_ms);
    first.kernel = first.kernel.or(second.kernel);
    first.driver = first.driver.or(second.driver);
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::gpu::events::nvrm::{Line, parse};

    fn kernel(xid: u32) -> Record {
        let text = format!("NVRM: Xid (PCI:0000:3b:00): {xid}, pid=7, name=python, text");
        let Some(Line::Xid(message)) = parse(&text) else { panic!("{text}") };
        let kernel = Some(Kernel { message, process: None });
        Record { gpu: 0, xid, time_ms: 1_000, kernel, driver: None }
    }

    fn driver(xid: u32) -> Record {
        let driver = Some(Driver { gpu_instance: Some(1), compute_instance: None });
        Record { gpu: 0, xid, time_ms: 1_010, kernel: None, driver }
    }

    /// Feeds what was seen (milliseconds, record), then ticks at the given times; tells how many
    /// records came in all.
    fn count(seen: &[(u64, Record)], ticks: &[u64]) -> usize {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let (mut ledger, mut out) = (Ledger::default(), Vec::new());
        let mut seen = seen.iter().peekable();
        for tick in ticks {
            while let Some((ms, record)) = seen.next_if(|(ms, _)| ms <= tick) {
                out.extend(ledger.note(at(*ms), record.clone()));
            }
            ledger.due(at(*tick), &mut out);
        }
        assert!(seen.next().is_none() && ledger.halves.is_empty());
        out.len()
    }

    #[test]
    fn pairs_are_one_and_repeats_are_two() {
        for (seen, want, what) in [
            (vec![(0, kernel(13)), (5, driver(13))], 1, "log first"),
            (vec![(0, driver(13)), (5, kernel(13))], 1, "NVML first"),
            (vec![(0, driver(13)), (5, driver(13))], 2, "NVML twice"),
            (vec![(0, kernel(13)), (5, kernel(13))], 2, "log twice"),
            (vec![(0, kernel(13)), (1, kernel(13)), (5, driver(13)), (6, driver(13))], 2, "two"),
            (vec![(0, kernel(13)), (1, driver(13)), (2, kernel(13)), (3, driver(13))], 2, "turns"),
            (vec![(0, kernel(13)), (1, kernel(13)), (2, kernel(13)), (3, driver(13))], 3, "lines"),
            (vec![(0, kernel(13)), (1, driver(31))], 2, "different"),
            (vec![(0, kernel(13)), (2_500, driver(13))], 2, "too late"),
            (vec![(0, driver(13)), (1_900, kernel(13))], 1, "late, after it was sent"),
            (vec![(0, kernel(79))], 1, "log only"),
        ] {
            assert_eq!(count(&seen, &[1_000, 2_000, 3_000, 6_000]), want, "{what}");
            assert_eq!(count(&seen, &[0, 1, 3, 10, 2_500, 6_000]), want, "{what}, fast ticks");
            assert_eq!(count(&seen, &[9_000, 9_001]), want, "{what}, one late tick");
        }
    }

    #[test]
    fn pair_carries_what_both_told() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        assert_eq!(ledger.note(now, driver(94)), None);
        let both = ledger.note(now, kernel(94)).unwrap();
        assert_eq!(both.time_ms, 1_000);
        assert_eq!(both.driver.unwrap().gpu_instance, Some(1));
        assert_eq!(both.kernel.unwrap().message.process.as_deref(), Some("python"));
    }

    #[test]
    fn record_waits_for_its_other_half_no_longer_than_a_tick() {
        let (mut ledger, now, mut out) = (Ledger::default(), Instant::now(), Vec::new());
        assert_eq!(ledger.note(now, kernel(13)), None);
        ledger.due(now, &mut out);
        assert!(out.is_empty());
        ledger.due(now + Duration::from_secs(1), &mut out);
        assert_eq!(out.len(), 1);
        assert_eq!(ledger.note(now + Duration::from_millis(1_500), driver(13)), None);
        ledger.due(now + Duration::from_secs(2), &mut out);
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn flood_is_counted_and_bounded() {
        let now = Instant::now();
        let (mut ledger, mut out) = (Ledger::default(), Vec::new());
        for _ in 0..3 * HALVES {
            out.extend(ledger.note(now, kernel(13)));
        }
        assert_eq!(ledger.halves[&(0, 13)].kernel.len(), HALVES);
        ledger.due(now + GRACE, &mut out);
        assert_eq!(out.len(), 3 * HALVES);
    }
}
