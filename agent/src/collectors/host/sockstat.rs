//! Sockets by protocol, from /proc/net/sockstat and sockstat6: "TCP: inuse 4 orphan 0 ...".

use std::path::PathBuf;

use super::buffer::Buffer;
use super::metrics::netstat::SOCKSTAT;
use super::parse::{number, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, Metric};

pub(super) struct Sockstat {
    files: [PathBuf; 2],
    page_size: f64,
}

impl Sockstat {
    pub(super) fn new(paths: &Paths, page_size: f64) -> Self {
        let files = ["net/sockstat", "net/sockstat6"].map(|f| paths.proc.join(f));
        Self { files, page_size }
    }
}

fn sockstat(protocol: &str, word: &str) -> Option<&'static Metric> {
    let key = |key: &str| key.split_once(':') == Some((protocol, word));
    SOCKSTAT.iter().find(|f| key(f.key)).map(|f| &f.metric)
}

impl Source for Sockstat {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let mut node = batch.node();
        for file in &self.files {
            let text = match buffer.file(file) {
                Ok(text) => text,
                Err(CollectError::Absent(_)) => continue,
                Err(error) => return Err(error),
            };
            for line in text.lines() {
                let Some((protocol, rest)) = line.split_once(':') else { continue };
                let mut words = words(rest);
                while let (Some(word), Some(value)) = (words.next(), words.next()) {
                    let Some(value) = number(value) else { continue };
                    if let Some(metric) = sockstat(protocol, word) {
                        node.set(metric, value);
                    }
                    if word == "mem"
                        && let Some(metric) = sockstat(protocol, "mem_bytes")
                    {
                        node.set(metric, value * self.page_size);
                    }
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
    fn sockstat_pairs_are_read_as_far_as_they_go() {
        let text = Text::new("net/sockstat", "sockets: used 7\nTCP: inuse 1 mem 2 new 3 tw\n\nx\n");
        text.write("net/sockstat6", "TCP6: inuse x\nFRAG6: inuse 0 memory 5\n");
        let expected = [
            "node_sockstat_FRAG6_inuse 0",
            "node_sockstat_FRAG6_memory 5",
            "node_sockstat_TCP_inuse 1",
            "node_sockstat_TCP_mem 2",
            "node_sockstat_TCP_mem_bytes 8192",
            "node_sockstat_sockets_used 7",
        ];
        assert_eq!(rows(&mut Sockstat::new(&text.paths, 4096.0)), expected);
    }
}
