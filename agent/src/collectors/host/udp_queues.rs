//! Bytes that wait in the queues of all UDP sockets, from /proc/net/udp and udp6.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::metrics::network as m;
use super::parse::{hexadecimal, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

pub(super) struct UdpQueues {
    files: [(PathBuf, &'static str); 2],
}

impl UdpQueues {
    pub(super) fn new(paths: &Paths) -> Self {
        Self {
            files: [("net/udp", "v4"), ("net/udp6", "v6")].map(|(f, ip)| (paths.proc.join(f), ip)),
        }
    }
}

impl Source for UdpQueues {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let mut node = batch.node();
        for (file, ip) in &self.files {
            let text = match buffer.file(file) {
                Ok(text) => text,
                Err(CollectError::Absent(_)) => continue,
                Err(error) => return Err(error),
            };
            let (mut sent, mut received) = (0.0, 0.0);
            for line in text.lines().skip(1) {
                let Some((tx, rx)) = words(line).nth(4).and_then(|w| w.split_once(':')) else {
                    continue;
                };
                sent += hexadecimal(tx).unwrap_or(0.0);
                received += hexadecimal(rx).unwrap_or(0.0);
            }
            node.set_with(&m::UDP_QUEUES, &[("queue", "tx"), ("ip", ip)], sent);
            node.set_with(&m::UDP_QUEUES, &[("queue", "rx"), ("ip", ip)], received);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
    use super::*;

    #[test]
    fn udp_queues_are_added_up() {
        let line = "  1: 00000000:0044 00000000:0000 07 00000001:0000000A 00:0 0 0\n";
        let text = Text::new("net/udp", &format!("head\n{line}{line}  2: odd\n"));
        let expected = [
            "node_udp_queues{queue=\"rx\",ip=\"v4\"} 20",
            "node_udp_queues{queue=\"tx\",ip=\"v4\"} 2",
        ];
        assert_eq!(rows(&mut UdpQueues::new(&text.paths)), expected);
    }
}
