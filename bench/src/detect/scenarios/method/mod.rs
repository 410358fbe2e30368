//! What looks at the samples and says what is wrong: the product, and what it is compared with.

pub(crate) mod product;
pub(crate) mod static_rules;
pub(crate) mod statistics;
mod topology;

use super::fault::Component;
use super::shape::Batch;
use super::world::World;

/// How loud a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Evidence: nobody is told.
    Info,
    /// An incident that waits for working hours.
    Mild,
    /// Somebody is called.
    Page,
}

/// Something that was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// When it was said.
    pub(crate) begin_ms: i64,
    /// `None`: still open at the end.
    pub(crate) end_ms: Option<i64>,
    pub(crate) component: Component,
    pub(crate) level: Level,
    pub(crate) rule: String,
    pub(crate) score: f64,
    /// Probable causes, best first; none where nothing ranks them.
    pub(crate) causes: Vec<Component>,
}

/// What it cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) cpu_ns: u64,
    pub(crate) samples: u64,
}

/// Something that looks at the samples.
pub(crate) trait Method {
    /// Looks at a second.
    fn take(&mut self, now_s: i64, batch: &Batch, world: &World);

    /// What it found and at what cost, by the name of the column in the tables.
    fn finish(self: Box<Self>) -> Vec<(String, Vec<Found>, Cost)>;
}

/// Processor time of this thread, nanoseconds.
pub(crate) fn thread_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}
