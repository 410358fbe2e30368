//! /proc/pressure: time in which tasks waited for CPU, I/O or memory, or for interrupts to end.

use super::buffer::{Buffer, Kept};
use super::metrics::cpu as m;
use super::parse::number;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, Metric};

pub(super) struct Pressure {
    files: Vec<Kept>,
}

impl Pressure {
    pub(super) fn new(paths: &Paths) -> Self {
        let files = ["cpu", "io", "memory", "irq"];
        Self { files: files.map(|f| Kept::new(paths.proc.join("pressure").join(f))).into() }
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
                if let Some(metric) = find(&key) {
                    node.set(metric, microseconds / 1000.0 / 1000.0);
                }
            }
        }
        result
    }
}

/// Looks up a key that is given in parts.
fn find(parts: &[&str]) -> Option<&'static Metric> {
    let is =
        |key| parts.iter().try_fold(key, |rest: &str, part| rest.strip_prefix(part)) == Some("");
    m::PRESSURE.iter().find(|f| is(f.key)).map(|f| &f.metric)
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
    use super::*;

    #[test]
    fn pressure_is_absent_without_psi_and_partial_with_odd_lines() {
        let text = Text::new("pressure/io", "some avg10=0.00 total=1500000\nfull total=\nmore\n");
        let expected = ["node_pressure_io_waiting_seconds_total 1.5"];
        assert_eq!(rows(&mut Pressure::new(&text.paths)), expected);
        let none = Text::new("other", "");
        assert!(rows(&mut Pressure::new(&none.paths)).is_empty());
    }
}
