//! A node that does not exist. **This is simulation**: 500 series with Sextant's own metrics and
//! labels, in one layout for each collector that a GPU node with a PTP clock and SR-IOV has, all
//! at one interval (a real agent reads some of them more rarely).
//!
//! What matters to a codec, a store or a detector is kept: which part of the series is constant
//! (about a third, mostly error counters), which are whole numbers, which have a few decimals,
//! which use all bits of a double (four of 500), and that values follow what the node does. Units
//! and steps are those of the source that a real collector reads. Time goes on in steps of the
//! interval; the same seed, node and interval give the same values.

mod columns;
mod gpu;
mod host;
mod job;
mod random;
mod telco;

pub use self::gpu::gpu_series;
pub use self::host::HOST_SERIES;
pub use self::telco::{PTP_SERIES, VF_SERIES};

use self::columns::Columns;
use self::gpu::Gpu;
use self::host::Host;
use self::job::Job;
use self::random::Random;
use self::telco::{Clock, Functions};
use super::{Shape, Telemetry, Tick};

const GPUS: u64 = 8;
/// Series of one node.
pub const SERIES: usize = 8 * gpu_series() + HOST_SERIES + PTP_SERIES + VF_SERIES;

/// One node's ticks, without an end.
#[derive(Debug)]
pub struct Generated {
    shapes: Vec<Shape>,
    job: Job,
    gpus: Vec<Gpu>,
    host: Host,
    clock: Clock,
    functions: Functions,
    interval_ms: u32,
    time_ms: i64,
    /// Which shape is next.
    next: usize,
    phase: job::Phase,
    values: Vec<f64>,
}

impl Generated {
    /// A node whose first tick is at `start_ms`.
    ///
    /// # Panics
    /// When `interval_ms` is 0.
    #[must_use]
    pub fn new(seed: u64, node: u64, start_ms: i64, interval_ms: u32) -> Self {
        assert!(interval_ms > 0, "a node ticks");
        let seed = Random::new(seed, node).next();
        let gpus: Vec<_> = (0..GPUS).map(|gpu| Gpu::new(Random::new(seed, 100 + gpu))).collect();
        let shape = |collector: &str, fill: &dyn Fn(&mut Columns)| {
            let mut columns = Columns::new(collector, interval_ms);
            fill(&mut columns);
            Shape::new(columns.finish())
        };
        let shapes = vec![
            shape("gpu", &|columns| gpus.iter().for_each(|gpu| gpu.columns(columns))),
            shape("host", &Host::columns),
            shape("ptp", &Clock::columns),
            shape("sriov", &Functions::columns),
        ];
        let mut node = Self {
            shapes,
            job: Job::new(Random::new(seed, 0)),
            gpus,
            host: Host::new(Random::new(seed, 1)),
            clock: Clock::new(Random::new(seed, 2)),
            functions: Functions::new(Random::new(seed, 3)),
            interval_ms,
            time_ms: start_ms,
            next: 0,
            phase: job::Phase::Idle,
            values: Vec::new(),
        };
        node.settle();
        node
    }

    /// Lets temperatures and levels come to what the first phase makes of them, so that a
    /// recording does not begin with a start that nodes rarely see.
    fn settle(&mut self) {
        const WARM_UP_S: f64 = 10.0;
        self.phase = self.job.step(0.0);
        for _ in 0..60 {
            self.values.clear();
            self.gpus.iter_mut().for_each(|g| g.step(WARM_UP_S, self.phase, &mut self.values));
            self.host.step(WARM_UP_S, self.phase, &mut self.values);
            self.clock.step(WARM_UP_S, &mut self.values);
            self.functions.step(WARM_UP_S, self.phase, &mut self.values);
        }
    }
}

impl Telemetry for Generated {
    fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    fn ticks_per_round(&self) -> usize {
        self.shapes.len()
    }

    fn next_tick(&mut self) -> Option<Tick<'_>> {
        let seconds = f64::from(self.interval_ms) / 1e3;
        let (index, time_ms) = (self.next, self.time_ms);
        if index == 0 {
            self.phase = self.job.step(seconds);
        }
        let (phase, values) = (self.phase, &mut self.values);
        values.clear();
        match index {
            0 => self.gpus.iter_mut().for_each(|gpu| gpu.step(seconds, phase, values)),
            1 => self.host.step(seconds, phase, values),
            2 => self.clock.step(seconds, values),
            _ => self.functions.step(seconds, phase, values),
        }
        self.next = (index + 1) % self.shapes.len();
        if self.next == 0 {
            self.time_ms += i64::from(self.interval_ms);
        }
        Some(Tick { shape: &self.shapes[index], index, time_ms, values: &self.values })
    }
}

#[cfg(test)]
mod tests;
