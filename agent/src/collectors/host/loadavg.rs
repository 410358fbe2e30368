//! /proc/loadavg.

use super::buffer::{Buffer, Kept, malformed};
use super::metrics::cpu as m;
use super::parse::{next, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

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

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, tick};
    use super::*;

    #[test]
    fn loadavg_that_is_short_is_an_error() {
        for (content, good) in [("0.1 0.2 0.3 1/2 3\n", true), ("0.1 0.2", false), ("", false)] {
            let text = Text::new("loadavg", content);
            assert_eq!(tick(&mut Loadavg::new(&text.paths)).1.is_ok(), good, "{content:?}");
        }
    }
}
