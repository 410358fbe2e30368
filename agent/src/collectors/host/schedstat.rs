//! /proc/schedstat: how long tasks ran and waited on each CPU.

use super::buffer::Buffer;
use super::metrics::cpu as m;
use super::parse::{next, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

pub(super) struct Schedstat {
    path: std::path::PathBuf,
}

impl Schedstat {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { path: paths.proc.join("schedstat") }
    }
}

impl Source for Schedstat {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        for line in buffer.file(&self.path)?.lines() {
            let Some((cpu, rest)) = line.strip_prefix("cpu").and_then(|l| l.split_once(' ')) else {
                continue;
            };
            // Six counters of the scheduler precede the times.
            let mut words = words(rest).skip(6);
            let (Some(running), Some(waiting), Some(slices)) =
                (next(&mut words), next(&mut words), next(&mut words))
            else {
                continue;
            };
            let mut entity = batch.entity("cpu", &[("cpu", cpu)]);
            entity.set(&m::SCHED_RUNNING, running / 1e9);
            entity.set(&m::SCHED_WAITING, waiting / 1e9);
            entity.set(&m::SCHED_TIMESLICES, slices);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
    use super::*;

    #[test]
    fn schedstat_takes_the_times_and_skips_what_is_short() {
        let text = "version 15\ncpu0 0 0 0 0 0 0 2500000000 500000000 9\ndomain0 3 1\ncpu1 0 0\n";
        let text = Text::new("schedstat", text);
        assert_eq!(
            rows(&mut Schedstat::new(&text.paths)),
            [
                "node_schedstat_running_seconds_total{cpu=\"0\"} 2.5",
                "node_schedstat_timeslices_total{cpu=\"0\"} 9",
                "node_schedstat_waiting_seconds_total{cpu=\"0\"} 0.5",
            ]
        );
    }
}
