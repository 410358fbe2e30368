//! Each CPU's backlog of packets, from /proc/net/softnet_stat: a line of hexadecimal columns per
//! CPU that is online.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::buffer::Buffer;
use super::metrics::network as m;
use super::parse::{hexadecimal, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, Metric};

pub(super) struct Softnet {
    path: PathBuf,
    cpu: String,
}

/// Where the columns are, since Linux 2.6.32, 4.17 and 5.10.
static SOFTNET: [(usize, &Metric); 7] = [
    (0, &m::SOFTNET_PROCESSED),
    (1, &m::SOFTNET_DROPPED),
    (2, &m::SOFTNET_SQUEEZED),
    (8, &m::SOFTNET_COLLISION),
    (9, &m::SOFTNET_RPS),
    (10, &m::SOFTNET_FLOW_LIMIT),
    (11, &m::SOFTNET_BACKLOG),
];

const SOFTNET_CPU: usize = 12;

impl Softnet {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { path: paths.proc.join("net/softnet_stat"), cpu: String::new() }
    }
}

impl Source for Softnet {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        for (number, line) in buffer.file(&self.path)?.lines().enumerate() {
            let mut columns = [None; SOFTNET_CPU + 1];
            for (slot, word) in columns.iter_mut().zip(words(line)) {
                *slot = hexadecimal(word);
            }
            // Before 5.10 a line does not say its CPU; they are in order.
            let cpu = columns[SOFTNET_CPU].unwrap_or(number as f64);
            self.cpu.clear();
            write!(self.cpu, "{cpu}").expect("a String takes whatever is written");
            let mut entity = batch.entity("cpu", &[("cpu", &self.cpu)]);
            for (column, metric) in &SOFTNET {
                if let Some(value) = columns[*column] {
                    entity.set(metric, value);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
    use super::*;

    #[test]
    fn softnet_line_names_its_cpu_or_is_counted() {
        let text =
            Text::new("net/softnet_stat", "0000000a 1 2\n0 0 0 0 0 0 0 0 0 0 0 0 00000007\n");
        let rows = rows(&mut Softnet::new(&text.paths));
        assert!(
            rows.contains(&"node_softnet_processed_total{cpu=\"0\"} 10".to_owned()),
            "{rows:?}"
        );
        assert!(rows.contains(&"node_softnet_backlog_len{cpu=\"7\"} 0".to_owned()), "{rows:?}");
        assert_eq!(rows.len(), 3 + 7);
    }
}
