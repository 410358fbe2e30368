//! What clients did: calls and time per function and GPU, and misuse. Read as JSON by
//! `fake_nvml_stats`, and as this type by [`Library::stats`](crate::Library::stats).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::symbols::{self, Symbol};

/// GPUs that are told apart; the last place is for calls about none.
pub(crate) const PLACES: usize = 33;

#[derive(Debug)]
struct Cell {
    calls: AtomicU64,
    nanos: AtomicU64,
}

static CELLS: [[Cell; PLACES]; symbols::COUNT] =
    [const { [const { Cell { calls: AtomicU64::new(0), nanos: AtomicU64::new(0) } }; PLACES] };
        symbols::COUNT];
static LONGEST: [AtomicU64; symbols::COUNT] = [const { AtomicU64::new(0) }; symbols::COUNT];

/// What a client should not do.
#[derive(Debug, Clone, Copy)]
#[repr(usize)]
pub(crate) enum Misuse {
    DoubleInit,
    ExtraShutdown,
    UseAfterShutdown,
    FreedSet,
    FreedSample,
    StaleHandle,
    EventsDropped,
}

static MISUSE: [AtomicU64; 7] = [const { AtomicU64::new(0) }; 7];

pub(crate) fn count(misuse: Misuse) {
    MISUSE[misuse as usize].fetch_add(1, Relaxed);
}

pub(crate) fn record(symbol: Symbol, slot: Option<usize>, took: Duration) {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    let cell = &CELLS[symbol as usize][slot.unwrap_or(PLACES - 1).min(PLACES - 1)];
    cell.calls.fetch_add(1, Relaxed);
    cell.nanos.fetch_add(nanos, Relaxed);
    LONGEST[symbol as usize].fetch_max(nanos, Relaxed);
}

pub(crate) fn reset() {
    for cell in CELLS.iter().flatten() {
        cell.calls.store(0, Relaxed);
        cell.nanos.store(0, Relaxed);
    }
    LONGEST.iter().chain(&MISUSE).for_each(|number| number.store(0, Relaxed));
}

/// Calls and their time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Calls {
    pub calls: u64,
    pub nanos: u64,
}

/// Calls of one function.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FunctionStats {
    pub calls: u64,
    pub nanos: u64,
    pub longest_nanos: u64,
    /// By the GPU's place in the scenario.
    pub gpus: BTreeMap<u32, Calls>,
}

/// Everything since the last reset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    pub functions: BTreeMap<String, FunctionStats>,
    /// Calls about each GPU.
    pub gpus: BTreeMap<u32, Calls>,
    pub calls: u64,
    pub nanos: u64,
    /// How long the library has been in use when these numbers were read.
    pub seconds: f64,
    /// `nvmlInit` while initialised.
    pub double_init: u64,
    /// `nvmlShutdown` while not.
    pub extra_shutdown: u64,
    /// Calls after `nvmlShutdown`.
    pub use_after_shutdown: u64,
    pub freed_set_use: u64,
    pub freed_sample_use: u64,
    /// Handles of a scenario, or of a MIG layout, that is no more.
    pub stale_handles: u64,
    /// Events that a full event set lost.
    pub events_dropped: u64,
    /// Clients that have initialised and not shut down.
    pub initialised: u64,
    /// Event sets and GPM samples that are not freed.
    pub event_sets: u64,
    pub samples: u64,
    /// What is wrong with the scenario file; the last good one stays in force.
    pub scenario_error: Option<String>,
}

impl Stats {
    /// Calls of a function, by its full name.
    #[must_use]
    pub fn calls_of(&self, function: &str) -> u64 {
        self.functions.get(function).map_or(0, |stats| stats.calls)
    }
}

/// The numbers as they are; what the caller knows better is left at 0.
pub(crate) fn read() -> Stats {
    let misuse = |kind: Misuse| MISUSE[kind as usize].load(Relaxed);
    let mut stats = Stats {
        double_init: misuse(Misuse::DoubleInit),
        extra_shutdown: misuse(Misuse::ExtraShutdown),
        use_after_shutdown: misuse(Misuse::UseAfterShutdown),
        freed_set_use: misuse(Misuse::FreedSet),
        freed_sample_use: misuse(Misuse::FreedSample),
        stale_handles: misuse(Misuse::StaleHandle),
        events_dropped: misuse(Misuse::EventsDropped),
        ..Stats::default()
    };
    for ((name, cells), longest) in symbols::NAMES.iter().zip(&CELLS).zip(&LONGEST) {
        let mut function =
            FunctionStats { longest_nanos: longest.load(Relaxed), ..FunctionStats::default() };
        for (place, cell) in (0u32..).zip(cells) {
            let (calls, nanos) = (cell.calls.load(Relaxed), cell.nanos.load(Relaxed));
            if calls == 0 {
                continue;
            }
            function.calls += calls;
            function.nanos += nanos;
            if place + 1 < crate::number::count(PLACES) {
                function.gpus.insert(place, Calls { calls, nanos });
                let gpu = stats.gpus.entry(place).or_default();
                gpu.calls += calls;
                gpu.nanos += nanos;
            }
        }
        if function.calls > 0 {
            stats.calls += function.calls;
            stats.nanos += function.nanos;
            stats.functions.insert((*name).to_owned(), function);
        }
    }
    stats
}
