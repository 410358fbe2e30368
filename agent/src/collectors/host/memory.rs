//! /proc/meminfo, /proc/vmstat, /proc/loadavg and /proc/pressure: what changes every second.

use super::buffer::{Buffer, Kept, malformed};
use super::metrics::memory::{MEMINFO, VMSTAT};
use super::metrics::{Field, cpu as m};
use super::parse::{next, number, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, Metric, node_event};
use sextant_proto::v1::Severity;

/// A table of fields, looked up in the order in which the kernel writes them: the line after
/// the last one found is mostly the next.
pub(super) struct Lookup {
    fields: &'static [Field],
    at: usize,
}

impl Lookup {
    pub(super) fn new(fields: &'static [Field]) -> Self {
        Self { fields, at: 0 }
    }

    pub(super) fn find(&mut self, key: &str) -> Option<&'static Metric> {
        let (before, after) = self.fields.split_at(self.at);
        let found = after.iter().chain(before).position(|f| f.key == key)?;
        let index = (self.at + found) % self.fields.len();
        self.at = (index + 1) % self.fields.len();
        Some(&self.fields[index].metric)
    }
}

pub(super) struct Meminfo {
    file: Kept,
    lookup: Lookup,
}

impl Meminfo {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { file: Kept::new(paths.proc.join("meminfo")), lookup: Lookup::new(MEMINFO) }
    }
}

impl Source for Meminfo {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let text = self.file.read(buffer)?;
        let mut node = batch.node();
        let mut any = false;
        for line in text.lines() {
            let Some((key, rest)) = line.split_once(':') else { continue };
            let mut words = words(rest);
            let Some(value) = next(&mut words) else { continue };
            let scale = if words.next() == Some("kB") { 1024.0 } else { 1.0 };
            if let Some(metric) = self.lookup.find(key) {
                node.set(metric, value * scale);
                any = true;
            }
        }
        if any { Ok(()) } else { Err(malformed(self.file.path(), "no known line")) }
    }
}

pub(super) struct Vmstat {
    file: Kept,
    lookup: Lookup,
    oom_kills: Option<f64>,
}

impl Vmstat {
    pub(super) fn new(paths: &Paths) -> Self {
        let lookup = Lookup::new(VMSTAT);
        Self { file: Kept::new(paths.proc.join("vmstat")), lookup, oom_kills: None }
    }
}

impl Source for Vmstat {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let text = self.file.read(buffer)?;
        let mut oom_kills = None;
        let mut node = batch.node();
        for line in text.lines() {
            // All that are sent start with one of these; the other 180 lines need no lookup.
            if !line.starts_with('p') && !line.starts_with("oom") {
                continue;
            }
            let Some((key, value)) = line.split_once(' ') else { continue };
            let Some(metric) = self.lookup.find(key) else { continue };
            let Some(value) = number(value) else { continue };
            node.set(metric, value);
            if key == "oom_kill" {
                oom_kills = Some(value);
            }
        }
        if let (Some(before), Some(now)) = (self.oom_kills, oom_kills)
            && now > before
        {
            let killed = now - before;
            let plural = if killed > 1.0 { "processes" } else { "process" };
            let message = format!("out of memory: the kernel killed {killed} {plural}");
            batch.event(node_event("host.oom_kill", Severity::Warning, message));
        }
        self.oom_kills = oom_kills;
        Ok(())
    }
}

pub(super) struct Loadavg {
    file: Kept,
}

impl Loadavg {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { file: Kept::new(paths.proc.join("loadavg")) }
    }
}

impl Source for Loadavg {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let mut words = words(self.file.read(buffer)?);
        let loads = [next(&mut words), next(&mut words), next(&mut words)];
        let [Some(one), Some(five), Some(fifteen)] = loads else {
            return Err(malformed(self.file.path(), "not three numbers"));
        };
        batch.node().set(&m::LOAD1, one).set(&m::LOAD5, five).set(&m::LOAD15, fifteen);
        Ok(())
    }
}

pub(super) struct Pressure {
    files: Vec<Kept>,
    lookup: Lookup,
}

impl Pressure {
    pub(super) fn new(paths: &Paths) -> Self {
        let files = ["cpu", "io", "memory", "irq"];
        Self {
            files: files.map(|f| Kept::new(paths.proc.join("pressure").join(f))).into(),
            lookup: Lookup::new(m::PRESSURE),
        }
    }
}

impl Source for Pressure {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let mut node = batch.node();
        let mut result = Ok(());
        for (resource, file) in ["cpu", "io", "memory", "irq"].iter().zip(&mut self.files) {
            if !file.due() {
                continue;
            }
            let text = match file.read(buffer) {
                Ok(text) => text,
                // Kernels without irq pressure, without PSI, or with psi=0.
                Err(CollectError::Absent(_)) => continue,
                Err(error) => {
                    result = Err(error);
                    continue;
                }
            };
            for line in text.lines() {
                let Some((share, rest)) = line.split_once(' ') else { continue };
                let Some((_, total)) = rest.rsplit_once("total=") else { continue };
                let Some(microseconds) = number(total) else { continue };
                let key = [*resource, "/", share];
                if let Some(metric) = find_joined(&mut self.lookup, &key) {
                    node.set(metric, microseconds / 1000.0 / 1000.0);
                }
            }
        }
        result
    }
}

/// Looks up a key that is given in parts.
fn find_joined(lookup: &mut Lookup, parts: &[&str]) -> Option<&'static Metric> {
    let field = lookup
        .fields
        .iter()
        .find(|f| parts.iter().try_fold(f.key, |rest, part| rest.strip_prefix(part)) == Some(""))?;
    Some(&field.metric)
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows, tick};
    use super::*;

    #[test]
    fn lookup_finds_every_field_in_any_order() {
        let mut lookup = Lookup::new(MEMINFO);
        for field in MEMINFO.iter().chain(MEMINFO.iter().rev()) {
            assert!(std::ptr::eq(lookup.find(field.key).unwrap(), &field.metric));
            assert!(lookup.find("nothing").is_none());
        }
    }

    #[test]
    fn meminfo_lines_are_scaled_by_their_unit_and_odd_ones_skipped() {
        let text = "MemTotal: 2 kB\nHugePages_Total: 3\nNew: 1 kB\nMemFree: x kB\nBuffers\n: 1\n";
        let text = Text::new("meminfo", text);
        let expected = ["node_memory_HugePages_Total 3", "node_memory_MemTotal_bytes 2048"];
        assert_eq!(rows(&mut Meminfo::new(&text.paths)), expected);
        text.write("meminfo", "");
        assert!(tick(&mut Meminfo::new(&text.paths)).1.is_err());
    }

    #[test]
    fn oom_kill_is_an_event_when_it_grows_and_only_then() {
        let text = Text::new("vmstat", "oom_kill 3\n");
        let mut source = Vmstat::new(&text.paths);
        let mut kinds = |content: &str| {
            text.write("vmstat", content);
            tick(&mut source).2.iter().map(|e| e.message.clone()).collect::<Vec<_>>()
        };
        assert!(kinds("oom_kill 3\n").is_empty());
        assert!(kinds("oom_kill 3\npgfault x\n").is_empty());
        assert_eq!(kinds("oom_kill 5\n"), ["out of memory: the kernel killed 2 processes"]);
        assert!(kinds("oom_kill 0\n").is_empty());
        assert!(kinds("oom_kill 99999999999999999999\n").len() == 1);
        assert!(kinds("").is_empty());
        assert!(kinds("oom_kill 1\n").is_empty());
    }

    #[test]
    fn loadavg_that_is_short_is_an_error() {
        for (content, good) in [("0.1 0.2 0.3 1/2 3\n", true), ("0.1 0.2", false), ("", false)] {
            let text = Text::new("loadavg", content);
            assert_eq!(tick(&mut Loadavg::new(&text.paths)).1.is_ok(), good, "{content:?}");
        }
    }

    #[test]
    fn pressure_is_absent_without_psi_and_partial_with_odd_lines() {
        let text = Text::new("pressure/io", "some avg10=0.00 total=1500000\nfull total=\nmore\n");
        let expected = ["node_pressure_io_waiting_seconds_total 1.5"];
        assert_eq!(rows(&mut Pressure::new(&text.paths)), expected);
        let none = Text::new("other", "");
        assert!(rows(&mut Pressure::new(&none.paths)).is_empty());
    }
}
