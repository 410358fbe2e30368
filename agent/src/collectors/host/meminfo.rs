//! /proc/meminfo.

use super::buffer::{Buffer, Kept, malformed};
use super::lookup::Lookup;
use super::metrics::memory::MEMINFO;
use super::parse::{next, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

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

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows, tick};
    use super::*;

    #[test]
    fn meminfo_lines_are_scaled_by_their_unit_and_odd_ones_skipped() {
        let text = "MemTotal: 2 kB\nHugePages_Total: 3\nNew: 1 kB\nMemFree: x kB\nBuffers\n: 1\n";
        let text = Text::new("meminfo", text);
        let expected = ["node_memory_HugePages_Total 3", "node_memory_MemTotal_bytes 2048"];
        assert_eq!(rows(&mut Meminfo::new(&text.paths)), expected);
        text.write("meminfo", "");
        assert!(tick(&mut Meminfo::new(&text.paths)).1.is_err());
    }
}
