//! Connection tracking: how full its table is, and its counters over all CPUs.

use std::path::PathBuf;

use super::buffer::{Buffer, malformed};
use super::metrics::network as m;
use super::parse::{hexadecimal, number, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, Metric};

pub(super) struct Conntrack {
    count: PathBuf,
    max: PathBuf,
    stat: PathBuf,
}

/// Where the columns of /proc/net/stat/nf_conntrack are.
static CONNTRACK: [(usize, &Metric); 8] = [
    (2, &m::CONNTRACK_FOUND),
    (4, &m::CONNTRACK_INVALID),
    (5, &m::CONNTRACK_IGNORE),
    (8, &m::CONNTRACK_INSERT),
    (9, &m::CONNTRACK_INSERT_FAILED),
    (10, &m::CONNTRACK_DROP),
    (11, &m::CONNTRACK_EARLY_DROP),
    (16, &m::CONNTRACK_SEARCH_RESTART),
];

const CONNTRACK_COLUMNS: usize = 17;

impl Conntrack {
    pub(super) fn new(paths: &Paths) -> Self {
        let sys = |file: &str| paths.proc.join("sys/net/netfilter").join(file);
        Self {
            count: sys("nf_conntrack_count"),
            max: sys("nf_conntrack_max"),
            stat: paths.proc.join("net/stat/nf_conntrack"),
        }
    }
}

impl Source for Conntrack {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let mut node = batch.node();
        let files = [(&self.count, &m::CONNTRACK_ENTRIES), (&self.max, &m::CONNTRACK_LIMIT)];
        for (file, metric) in files {
            match number(buffer.file(file)?.trim()) {
                Some(value) => node.set(metric, value),
                None => return Err(malformed(file, "not a number")),
            };
        }
        let mut sums = [0.0; CONNTRACK_COLUMNS];
        for line in buffer.file(&self.stat)?.lines().skip(1) {
            for (sum, word) in sums.iter_mut().zip(words(line)) {
                *sum += hexadecimal(word).ok_or_else(|| malformed(&self.stat, "not a number"))?;
            }
        }
        for (column, metric) in CONNTRACK {
            node.set(metric, sums[column]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows, tick};
    use super::*;

    #[test]
    fn conntrack_sums_cpus_and_refuses_garbage() {
        let text = Text::new("sys/net/netfilter/nf_conntrack_count", "12\n");
        text.write("sys/net/netfilter/nf_conntrack_max", "100\n");
        let line = "00000001 ".repeat(CONNTRACK_COLUMNS);
        text.write("net/stat/nf_conntrack", format!("entries ...\n{line}\n{line}\nf\n"));
        let found = rows(&mut Conntrack::new(&text.paths));
        assert!(found.contains(&"node_nf_conntrack_stat_drop 2".to_owned()), "{found:?}");
        text.write("net/stat/nf_conntrack", "entries\nzz\n");
        assert!(tick(&mut Conntrack::new(&text.paths)).1.is_err());
        text.write("sys/net/netfilter/nf_conntrack_max", "");
        assert!(tick(&mut Conntrack::new(&text.paths)).1.is_err());
        assert!(rows(&mut Conntrack::new(&Text::new("x", "").paths)).is_empty());
    }
}
