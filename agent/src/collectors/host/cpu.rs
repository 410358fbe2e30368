//! /proc/stat: time of each CPU by mode, and the kernel's counters of switches, forks and
//! interrupts.
//!
//! The kernel's idle and iowait can step back by a little; a counter that steps back would look
//! like a restart, so the highest value seen is kept, as node_exporter does. A step back of
//! idle by seconds is a CPU that was taken out and put back: its counters start again.

use std::path::Path;

use super::buffer::{Buffer, Kept, malformed};
use super::metrics::cpu as m;
use super::parse::{number, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

/// Ticks a second in /proc/stat: USER_HZ, which is 100 on every architecture with Linux' ABI.
const USER_HZ: f64 = 100.0;
/// A step back of idle by so many ticks is not the kernel's imprecision.
const RESTARTED: f64 = 3.0 * USER_HZ;
const IDLE: usize = 3;
/// In the order of the kernel's columns; guest and guest_nice follow.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

pub(super) struct Cpu {
    stat: Kept,
    /// The ticks of each CPU as last sent, with its number.
    last: Vec<(String, [f64; 10])>,
}

impl Cpu {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { stat: Kept::new(paths.proc.join("stat")), last: Vec::new() }
    }
}

impl Source for Cpu {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let text = self.stat.read(buffer)?;
        set(text, &mut self.last, batch, self.stat.path())
    }
}

fn set(
    text: &str,
    last: &mut Vec<(String, [f64; 10])>,
    batch: &mut Batch,
    path: &Path,
) -> Result<(), CollectError> {
    let mut index = 0;
    let cpus = text.lines().take_while(|l| l.starts_with("cpu"));
    for rest in cpus.filter_map(|l| l.strip_prefix("cpu")) {
        // The first line is their sum.
        let Some((cpu, ticks)) = rest.split_once(' ').filter(|r| !r.0.is_empty()) else { continue };
        let Some(ticks) = columns(ticks) else { continue };
        set_cpu(batch, cpu, smooth(last, index, cpu, ticks));
        index += 1;
    }
    last.truncate(index);
    if index == 0 {
        return Err(malformed(path, "no line of a CPU"));
    }
    let mut node = batch.node();
    for line in text.lines().skip_while(|l| l.starts_with("cpu")) {
        let Some((key, rest)) = line.split_once(' ') else { continue };
        let metric = match key {
            "intr" => &m::INTERRUPTS_TOTAL,
            "ctxt" => &m::CONTEXT_SWITCHES,
            "btime" => &m::BOOT_TIME,
            "processes" => &m::FORKS,
            "procs_running" => &m::PROCS_RUNNING,
            "procs_blocked" => &m::PROCS_BLOCKED,
            _ => continue,
        };
        // The first number; /proc/stat's interrupts by line follow it by the thousand.
        if let Some(value) = rest.split(' ').next().and_then(number) {
            node.set(metric, value);
        }
    }
    Ok(())
}

/// The ten columns; kernels before 2.6.33 lack the last ones, which are then 0.
fn columns(line: &str) -> Option<[f64; 10]> {
    let mut ticks = [0.0; 10];
    let mut words = words(line);
    for (i, slot) in ticks.iter_mut().enumerate() {
        match words.next() {
            Some(word) => *slot = number(word)?,
            None if i > IDLE => break,
            None => return None,
        }
    }
    Some(ticks)
}

fn smooth<'a>(
    last: &'a mut Vec<(String, [f64; 10])>,
    index: usize,
    cpu: &str,
    ticks: [f64; 10],
) -> &'a [f64; 10] {
    if last.get(index).is_none_or(|l| l.0 != cpu) {
        // A CPU came or went: those from here on are others than they were.
        last.truncate(index);
        last.push((cpu.to_owned(), ticks));
    }
    let known = &mut last[index].1;
    if known[IDLE] - ticks[IDLE] >= RESTARTED {
        *known = ticks;
    }
    for (known, now) in known.iter_mut().zip(ticks) {
        *known = known.max(now);
    }
    known
}

fn set_cpu(batch: &mut Batch, cpu: &str, ticks: &[f64; 10]) {
    let mut entity = batch.entity("cpu", &[("cpu", cpu)]);
    for (mode, ticks) in MODES.iter().zip(ticks) {
        entity.set_with(&m::SECONDS, &[("mode", mode)], ticks / USER_HZ);
    }
    entity.set_with(&m::GUEST_SECONDS, &[("mode", "user")], ticks[8] / USER_HZ);
    entity.set_with(&m::GUEST_SECONDS, &[("mode", "nice")], ticks[9] / USER_HZ);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_text_never_panics_and_only_whole_lines_count() {
        let cases = [
            ("", 0),
            ("cpu 1 2 3 4\nintr 5 1 2\n", 0),
            ("cpu0 1 2 3 4\n", 10),
            ("cpu0 1 2 3\n", 0),
            ("cpu0 1 2 x 4\ncpu1 1 2 3 4 5 6 7 8 9 10 11\nctxt\nbtime x\nprocesses 7\n", 11),
            ("cpu0 99999999999999999999999999 2 3 4 5\n", 10),
            ("\u{0}cpu0 1\n", 0),
        ];
        for (text, expected) in cases {
            let mut last = Vec::new();
            let mut batch = Batch::default();
            batch.begin();
            let result = set(text, &mut last, &mut batch, Path::new("stat"));
            assert_eq!(batch.finish("t", 1).values.len(), expected, "{text:?}");
            assert_eq!(result.is_err(), expected == 0, "{text:?}");
        }
    }

    #[test]
    fn counters_never_step_back_until_the_cpu_was_replugged() {
        let mut last = Vec::new();
        let mut idle = |text: &str| {
            let mut batch = Batch::default();
            batch.begin();
            set(text, &mut last, &mut batch, Path::new("stat")).unwrap();
            let values = batch.finish("t", 1).values.to_vec();
            (values[0], values[3])
        };
        assert_eq!(idle("cpu0 100 0 0 1000\n"), (1.0, 10.0));
        assert_eq!(idle("cpu0 110 0 0 990\n"), (1.1, 10.0));
        assert_eq!(idle("cpu0 120 0 0 1010\n"), (1.2, 10.1));
        assert_eq!(idle("cpu0 5 0 0 20\n"), (0.05, 0.2));
        assert_eq!(idle("cpu1 1 0 0 10\n"), (0.01, 0.1));
    }
}
