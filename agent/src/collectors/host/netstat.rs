//! Protocol counters: /proc/net/netstat, /proc/net/snmp and /proc/net/snmp6.
//!
//! The first two are pairs of lines, names above values, hundreds of them. Which columns are
//! sent is worked out once for a line of names and remembered as long as that line is the same.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::lookup::Lookup;
use super::metrics::netstat::{NETSTAT, SNMP6};
use super::parse::{number, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, Metric};

/// What is sent of a pair of lines.
#[derive(Default)]
struct Plan {
    names: String,
    columns: Vec<(usize, &'static Metric)>,
}

impl Plan {
    fn learn(&mut self, names: &str) {
        if self.names == names {
            return;
        }
        names.clone_into(&mut self.names);
        self.columns.clear();
        let Some((protocol, columns)) = names.split_once(':') else { return };
        for (index, name) in words(columns).enumerate() {
            let key = |f: &&super::metrics::Field| f.key.split_once(':') == Some((protocol, name));
            if let Some(field) = NETSTAT.iter().find(key) {
                self.columns.push((index, &field.metric));
            }
        }
    }
}

pub(super) struct Netstat {
    files: [PathBuf; 2],
    plans: Vec<Plan>,
}

impl Netstat {
    pub(super) fn new(paths: &Paths) -> Self {
        let files = ["net/netstat", "net/snmp"].map(|f| paths.proc.join(f));
        Self { files, plans: Vec::new() }
    }
}

impl Source for Netstat {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let mut node = batch.node();
        let mut pairs = 0;
        for file in &self.files {
            let mut lines = buffer.file(file)?.lines();
            while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
                if self.plans.len() == pairs {
                    self.plans.push(Plan::default());
                }
                let plan = &mut self.plans[pairs];
                pairs += 1;
                plan.learn(names);
                let Some((_, values)) = values.split_once(':') else { continue };
                let mut values = words(values).enumerate();
                for (column, metric) in &plan.columns {
                    let value = values.find(|(i, _)| i == column).and_then(|(_, v)| number(v));
                    if let Some(value) = value {
                        node.set(metric, value);
                    }
                }
            }
        }
        self.plans.truncate(pairs);
        Ok(())
    }
}

/// IPv6's counters, a name and a value per line.
pub(super) struct Snmp6 {
    path: PathBuf,
    lookup: Lookup,
}

impl Snmp6 {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { path: paths.proc.join("net/snmp6"), lookup: Lookup::new(SNMP6) }
    }
}

impl Source for Snmp6 {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let mut node = batch.node();
        for line in buffer.file(&self.path)?.lines() {
            let mut words = words(line);
            let (Some(name), Some(value)) = (words.next(), words.next()) else { continue };
            if let (Some(metric), Some(value)) = (self.lookup.find(name), number(value)) {
                node.set(metric, value);
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
    fn columns_are_found_by_name_wherever_a_kernel_puts_them() {
        let text = Text::new("net/netstat", "TcpExt: A ListenDrops\nTcpExt: 1 2\n");
        text.write("net/snmp", "Tcp: RtoMin CurrEstab\nTcp: 200 -1\nIp: Forwarding\nIp: 1\n");
        let mut source = Netstat::new(&text.paths);
        let expected = [
            "node_netstat_Ip_Forwarding 1",
            "node_netstat_TcpExt_ListenDrops 2",
            "node_netstat_Tcp_CurrEstab -1",
        ];
        assert_eq!(rows(&mut source), expected);
        text.write("net/netstat", "TcpExt: ListenDrops A\nTcpExt: 3 4\n");
        assert!(rows(&mut source).contains(&"node_netstat_TcpExt_ListenDrops 3".to_owned()));
    }

    #[test]
    fn odd_text_gives_what_can_be_read() {
        let cases = [
            ("", 0),
            ("TcpExt: ListenDrops\n", 0),
            ("TcpExt: ListenDrops\nTcpExt:\n", 0),
            ("TcpExt: ListenDrops ListenOverflows\nTcpExt: x 1\n", 1),
            ("no colon\nnone\nTcpExt: ListenDrops\nTcpExt: 18446744073709551615\n", 1),
        ];
        for (content, samples) in cases {
            let text = Text::new("net/netstat", content);
            text.write("net/snmp", "");
            assert_eq!(rows(&mut Netstat::new(&text.paths)).len(), samples, "{content:?}");
        }
    }

    #[test]
    fn snmp6_is_absent_without_ipv6_and_skips_what_is_odd() {
        let text = Text::new("net/snmp6", "Ip6InOctets \t 7\nIp6OutOctets\nIcmp6InMsgs x\n\n");
        assert_eq!(rows(&mut Snmp6::new(&text.paths)), ["node_netstat_Ip6_InOctets 7"]);
        assert!(rows(&mut Snmp6::new(&Text::new("x", "").paths)).is_empty());
    }
}
