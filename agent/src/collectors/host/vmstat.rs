//! /proc/vmstat: paging, faults and OOM kills. An OOM kill is an event.

use sextant_proto::v1::Severity;

use super::buffer::{Buffer, Kept};
use super::lookup::Lookup;
use super::metrics::memory::VMSTAT;
use super::parse::number;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, node_event};

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

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, tick};
    use super::*;

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
}
