//! Entropy and open files: numbers below /proc/sys.

use std::path::PathBuf;

use super::buffer::{Buffer, malformed};
use super::metrics::system as m;
use super::parse::{number, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

pub(super) struct Kernel {
    entropy: PathBuf,
    pool: PathBuf,
    files: PathBuf,
}

impl Kernel {
    pub(super) fn new(paths: &Paths) -> Self {
        let sys = paths.proc.join("sys");
        Self {
            entropy: sys.join("kernel/random/entropy_avail"),
            pool: sys.join("kernel/random/poolsize"),
            files: sys.join("fs/file-nr"),
        }
    }
}

impl Source for Kernel {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let mut node = batch.node();
        let bits = [(&self.entropy, &m::ENTROPY_AVAILABLE), (&self.pool, &m::ENTROPY_POOL_SIZE)];
        for (file, metric) in bits {
            if let Ok(text) = buffer.file(file) {
                let bits = number(text.trim()).ok_or_else(|| malformed(file, "not a number"))?;
                node.set(metric, bits);
            }
        }
        // Allocated, free (always 0 since Linux 2.6), maximum.
        let mut columns = words(buffer.file(&self.files)?).map(number);
        let (Some(Some(allocated)), Some(Some(maximum))) = (columns.next(), columns.nth(1)) else {
            return Err(malformed(&self.files, "not three numbers"));
        };
        node.set(&m::FILES_ALLOCATED, allocated).set(&m::FILES_MAXIMUM, maximum);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, tick};
    use super::*;

    #[test]
    fn file_counts_that_are_short_are_an_error() {
        for (content, good) in
            [("1\t0\t9223372036854775807\n", true), ("1 0", false), ("", false), ("a b c", false)]
        {
            let text = Text::new("sys/fs/file-nr", content);
            assert_eq!(tick(&mut Kernel::new(&text.paths)).1.is_ok(), good, "{content:?}");
        }
    }
}
