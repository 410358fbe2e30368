//! Sockets, the packet backlog of each CPU, connection tracking and neighbours: small files of
//! /proc/net.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::buffer::{Buffer, malformed};
use super::metrics::netstat::SOCKSTAT;
use super::metrics::network as m;
use super::parse::{hexadecimal, number, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, Metric};

/// /proc/net/sockstat and sockstat6: "TCP: inuse 4 orphan 0 ...".
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

/// /proc/net/softnet_stat: a line of hexadecimal columns per CPU that is online.
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

/// Connection tracking: how full its table is, and its counters over all CPUs.
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

/// /proc/net/arp: neighbours per network device.
pub(super) struct Arp {
    path: PathBuf,
    devices: Vec<(String, f64)>,
}

impl Arp {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { path: paths.proc.join("net/arp"), devices: Vec::new() }
    }
}

impl Source for Arp {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let text = buffer.file(&self.path)?;
        for device in &mut self.devices {
            device.1 = 0.0;
        }
        for line in text.lines().skip(1) {
            let Some(device) = words(line).nth(5) else { continue };
            match self.devices.iter_mut().find(|d| d.0 == device) {
                Some(known) => known.1 += 1.0,
                None => self.devices.push((device.to_owned(), 1.0)),
            }
        }
        self.devices.retain(|d| d.1 > 0.0);
        for (device, entries) in &self.devices {
            batch.entity("netdev", &[("device", device)]).set(&m::ARP_ENTRIES, *entries);
        }
        Ok(())
    }
}

/// /proc/net/udp and udp6: bytes that wait in the queues of all sockets.
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
    use super::super::test_text::{Text, rows, tick};
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

    #[test]
    fn neighbours_are_counted_per_device_and_forgotten_with_it() {
        let head =
            "IP address       HW type     Flags       HW address            Mask     Device\n";
        let line = |device| format!("10.0.0.1 0x1 0x2 02:00:00:00:00:01 * {device}\n");
        let text = Text::new("net/arp", &format!("{head}{}{}short\n", line("b"), line("b")));
        let mut source = Arp::new(&text.paths);
        assert_eq!(rows(&mut source), ["node_arp_entries{device=\"b\"} 2"]);
        text.write("net/arp", format!("{head}{}", line("a")));
        assert_eq!(rows(&mut source), ["node_arp_entries{device=\"a\"} 1"]);
    }

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
