//! /proc/interrupts: who interrupts which CPU. A series per CPU and line, so it is off by
//! default; on large nodes the protocol's limit of samples cuts it, and that is counted.

use std::path::PathBuf;

use super::buffer::{Buffer, malformed};
use super::metrics::cpu as m;
use super::parse::{number, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

pub(super) struct Interrupts {
    path: PathBuf,
    cpus: Vec<String>,
    /// The description of a line, which is joined from words.
    devices: String,
}

impl Interrupts {
    pub(super) fn new(paths: &Paths) -> Self {
        let path = paths.proc.join("interrupts");
        Self { path, cpus: Vec::new(), devices: String::new() }
    }
}

impl Source for Interrupts {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let mut lines = buffer.file(&self.path)?.lines();
        let header = lines.next().ok_or_else(|| malformed(&self.path, "empty"))?;
        let cpus = words(header).count();
        while self.cpus.len() < cpus {
            // The series are numbered by column: node_exporter's label is not the CPU's number
            // when one is offline.
            self.cpus.push(self.cpus.len().to_string());
        }
        for line in lines {
            let Some((name, rest)) = line.split_once(':') else { continue };
            let name = name.trim_start_matches(' ');
            let mut description = words(rest).skip(cpus);
            let Some(first) = description.next() else {
                continue; // ERR and MIS have one count for all CPUs.
            };
            self.devices.clear();
            let numbered = name.parse::<i64>().is_ok();
            let mut joined = if numbered { None } else { Some(first) };
            while let Some(word) = joined.take().or_else(|| description.next()) {
                if !self.devices.is_empty() {
                    self.devices.push(' ');
                }
                self.devices.push_str(word);
            }
            let (info, devices) =
                if numbered { (first, self.devices.as_str()) } else { (self.devices.as_str(), "") };
            let labels = [("type", name), ("info", info), ("devices", devices)];
            let mut entity = batch.entity("interrupt", &labels);
            for (cpu, count) in self.cpus[..cpus].iter().zip(words(rest)) {
                if let Some(count) = number(count) {
                    entity.set_with(&m::INTERRUPTS, &[("cpu", cpu)], count);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows, tick};
    use super::*;

    #[test]
    fn lines_are_named_by_number_or_word_and_short_ones_skipped() {
        let text = "           CPU0       CPU1\n  24:     5     6  PCI-MSI 1-edge   nvme0q0, x\n\
                    NMI: 1 2   Non-maskable interrupts\nERR:     0\n junk\n 25: x\n";
        let text = Text::new("interrupts", text);
        let row = |cpu, devices: &str, info: &str, name: &str, count| {
            let labels = format!("type={name:?},info={info:?},devices={devices:?},cpu=\"{cpu}\"");
            format!("node_interrupts_total{{{labels}}} {count}")
        };
        let mut expected = [
            row(0, "1-edge nvme0q0, x", "PCI-MSI", "24", 5),
            row(1, "1-edge nvme0q0, x", "PCI-MSI", "24", 6),
            row(0, "", "Non-maskable interrupts", "NMI", 1),
            row(1, "", "Non-maskable interrupts", "NMI", 2),
        ];
        expected.sort();
        assert_eq!(rows(&mut Interrupts::new(&text.paths)), expected);
        text.write("interrupts", "");
        assert!(tick(&mut Interrupts::new(&text.paths)).1.is_err());
    }
}
