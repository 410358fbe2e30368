//! The host collector against node_exporter 1.5, the version of Debian 12: the same series with
//! the same values, on the fixture and on the machine that runs the tests.

mod host_support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use host_support::{Samples, family, node, node_paths, node_syscalls, parse, samples};
use sextant_agent::collectors::Paths;
use sextant_agent::collectors::host::{Host, HostConfig};

const PROGRAM: &str = "prometheus-node-exporter";

/// node_exporter's numbers about itself, by the start of their names.
const ITS_OWN: [&str; 6] =
    ["go_", "process_", "promhttp_", "node_scrape_", "node_exporter_", "node_textfile_"];

/// What later versions of node_exporter have and 1.5 has not.
const NEWER: [&str; 9] = [
    "node_cpu_scaling_governor",
    "node_netstat_TcpExt_TCPOFOQueue",
    "node_netstat_TcpExt_TCPRcvQDrop",
    "node_os_support_end_timestamp_seconds",
    "node_pressure_irq_stalled_seconds_total",
    "node_softnet_backlog_len",
    "node_softnet_cpu_collision_total",
    "node_softnet_flow_limit_count_total",
    "node_softnet_received_rps_total",
];

/// A running node_exporter.
struct Exporter {
    child: Child,
    port: u16,
}

impl Exporter {
    #[allow(clippy::disallowed_methods, reason = "another program is what is compared with")]
    fn start(config: &HostConfig, more: &[String]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let flag = |name: &str, value: &str| format!("--{name}={value}");
        let mounts = &config.filesystem_mount_points_exclude;
        let mut child = Command::new(PROGRAM)
            .arg(flag("web.listen-address", &format!("127.0.0.1:{port}")))
            .arg(flag("collector.filesystem.mount-points-exclude", mounts))
            .arg(flag("collector.filesystem.fs-types-exclude", &config.filesystem_types_exclude))
            .arg(flag("collector.diskstats.device-exclude", &config.disk_exclude))
            .arg(flag("collector.netdev.device-exclude", &config.netdev_exclude))
            .arg("--collector.interrupts")
            .args(more)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{PROGRAM} 1.5 must be installed for this test: {e}"));
        let log = child.stderr.take().expect("piped");
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        let up = lines.by_ref().any(|line| line.contains("Listening on"));
        assert!(up, "{PROGRAM} ended before it listened");
        // Its log must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port }
    }

    fn scrape(&self) -> Samples {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        assert!(head.contains("200 OK"), "{head}");
        parse(body)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn without(samples: Samples, starts: &[&str]) -> Samples {
    samples.into_iter().filter(|(s, _)| !starts.iter().any(|start| s.starts_with(start))).collect()
}

/// Series of `a` that `b` lacks.
fn missing(a: &Samples, b: &Samples) -> Vec<String> {
    a.keys().filter(|s| !b.contains_key(*s)).cloned().collect()
}

#[test]
fn fixture_reads_the_same() {
    let config = HostConfig { interrupts: true, ..HostConfig::default() };
    let paths = node_paths();
    let path = |flag: &str, path: &Path| format!("--path.{flag}={}", path.display());
    let exporter = Exporter::start(
        &config,
        &[
            path("procfs", &paths.proc),
            path("sysfs", &paths.sys),
            path("rootfs", &paths.root),
            path("udev.data", &paths.run.join("udev/data")),
            // Netlink would be the live node's.
            "--no-collector.netdev.netlink".into(),
        ],
    );
    // The first come from system calls, of which the fixture has its own, or are only read of
    // the live node by node_exporter. The last three are named by what is in the files: ours
    // have names that are known in advance, or are left out.
    let calls = [
        "node_filesystem_",
        "node_time_seconds",
        "node_time_zone_",
        "node_timex_",
        "node_uname_",
        "node_network_receive_nohandler_total",
        "node_selinux_",
        "node_rapl_joules_total",
        "node_rapl_vm_total_x_joules_total",
        "node_hwmon_pwm_auto_",
    ];
    let theirs = without(without(exporter.scrape(), &ITS_OWN), &calls);
    // Paths are labels of energy zones; ours are those of the node.
    let prefix = node().display().to_string();
    let theirs: Samples =
        theirs.into_iter().map(|(series, v)| (series.replace(&prefix, ""), v)).collect();
    let mut host = Host::with_syscalls(&config, &paths, &node_syscalls());
    let ours = without(without(samples(&mut host), &NEWER), &calls);
    assert!(theirs.len() > 700, "{} series", theirs.len());
    assert_eq!(missing(&theirs, &ours), Vec::<String>::new(), "only node_exporter has these");
    assert_eq!(missing(&ours, &theirs), Vec::<String>::new(), "node_exporter lacks these");
    let differ: Vec<_> = theirs.iter().filter(|(series, v)| ours[*series] != **v).collect();
    let both: Vec<_> = differ.iter().map(|(s, v)| (s, v, ours[*s])).collect();
    assert!(both.is_empty(), "series, theirs, ours: {both:#?}");
}

/// How far node_exporter's reading may be outside of what two of ours around it span: gauges go
/// up and down in between. Everything else must be within.
fn slack(series: &str) -> f64 {
    let family = family(series);
    let table = [
        ("node_memory_", 1e9),
        ("node_load", 2.0),
        ("node_procs_", 100.0),
        ("node_filefd_allocated", 5000.0),
        ("node_sockstat_", 1e6),
        ("node_filesystem_avail_bytes", 4e9),
        ("node_filesystem_free_bytes", 4e9),
        ("node_filesystem_files", 1e5),
        ("node_netstat_Tcp_CurrEstab", 500.0),
        ("node_nf_conntrack_entries", 500.0),
        ("node_disk_io_now", 1000.0),
        ("node_udp_queues", 1e6),
        ("node_arp_entries", 5.0),
        ("node_timex_", 1.0),
        ("node_thermal_zone_temp", 10.0),
        ("node_hwmon_", 1e3),
        ("node_cpu_frequency_hertz", 5e9),
        ("node_cpu_scaling_frequency_hertz", 5e9),
    ];
    let steps_back = family == "node_cpu_seconds_total"
        && (series.contains("\"idle\"") || series.contains("\"iowait\""));
    if steps_back {
        return 1.0;
    }
    table.iter().find(|(start, _)| family.starts_with(start)).map_or(0.0, |(_, slack)| *slack)
}

#[test]
fn live_machine_reads_the_same() {
    let config = HostConfig { interrupts: true, ..HostConfig::default() };
    let exporter = Exporter::start(&config, &[]);
    let mut host = Host::new(&config, &Paths::default());
    let before = without(samples(&mut host), &NEWER);
    let theirs = without(exporter.scrape(), &ITS_OWN);
    let after = without(samples(&mut host), &NEWER);
    assert!(theirs.len() > 200, "{} series", theirs.len());
    assert_eq!(missing(&theirs, &before), Vec::<String>::new(), "only node_exporter has these");
    assert_eq!(missing(&before, &theirs), Vec::<String>::new(), "node_exporter lacks these");
    let mut wrong = Vec::new();
    for (series, value) in &theirs {
        let Some(after) = after.get(series) else {
            wrong.push(format!("{series} was gone after"));
            continue;
        };
        let before = before[series];
        let slack = slack(series);
        let (low, high) = (before.min(*after) - slack, before.max(*after) + slack);
        if !(low..=high).contains(value) {
            wrong.push(format!("{series}: {value} is not within {low} and {high}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
