use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept, bind,
    listen, recv, send, shutdown, socket_with,
};
use tempfile::TempDir;

use super::find::Finder;
use super::*;

const GREETING: &str = r#"{"version":"DPDK 22.11.4","pid":7,"max_output_len":16384}"#;

/// An application: answers on a thread until it is dropped.
struct Application {
    listener: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Application {
    fn start(path: &Path, greeting: &'static str, answer: fn(&str) -> String) -> Self {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let flags = SocketFlags::CLOEXEC;
        let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
        let listener = listener.unwrap();
        // The path of a temporary directory may be longer than an address.
        let dir = fs::File::open(path.parent().unwrap()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let short = format!("/proc/self/fd/{}/{name}", dir.as_raw_fd());
        bind(&listener, &SocketAddrUnix::new(short).unwrap()).unwrap();
        listen(&listener, 4).unwrap();
        let end = listener.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            while let Ok(client) = accept(&end) {
                let limit = Some(Duration::from_secs(10));
                set_socket_timeout(&client, Timeout::Recv, limit).unwrap();
                if send(&client, greeting.as_bytes(), SendFlags::NOSIGNAL).is_err() {
                    continue;
                }
                let mut buffer = [0; 1024];
                while let Ok((_, length)) = recv(&client, &mut buffer[..], RecvFlags::empty()) {
                    let command = std::str::from_utf8(&buffer[..length]).unwrap();
                    let answer = answer(command);
                    if length == 0 || send(&client, answer.as_bytes(), SendFlags::NOSIGNAL).is_err()
                    {
                        break;
                    }
                }
            }
        });
        Self { listener, thread: Some(thread) }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // Makes the thread's accept return.
        let _stopped = shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _joined = thread.join();
        }
    }
}

/// What testpmd with two ports answers; the second has no link and an older form of statistics.
fn testpmd(command: &str) -> String {
    match command {
        "/ethdev/list" => r#"{"/ethdev/list":[0,1]}"#,
        "/ethdev/info,0" => {
            r#"{"/ethdev/info":{"name":"0000:3b:02.1","mac_addr":"02:00:00:AA:BB:01","mtu":1500,"numa_node":1}}"#
        }
        "/ethdev/info,1" => r#"{"/ethdev/info":{"name":"net_null0","numa_node":-1}}"#,
        "/ethdev/stats,0" => {
            r#"{"/ethdev/stats":{"ipackets":10,"opackets":20,"ibytes":1000,"obytes":2000,"imissed":3,"ierrors":4,"oerrors":5,"rx_nombuf":6,"q_ipackets":[10]}}"#
        }
        "/ethdev/stats,1" => r#"{"/ethdev/stats":{"ipackets":1}}"#,
        "/ethdev/link_status,0" => r#"{"/ethdev/link_status":{"status":"UP","speed":25000}}"#,
        "/ethdev/link_status,1" => r#"{"/ethdev/link_status":{"status":"DOWN"}}"#,
        "/mempool/list" => r#"{"/mempool/list":["mb_pool_0"]}"#,
        "/mempool/info,mb_pool_0" => {
            r#"{"/mempool/info":{"name":"mb_pool_0","size":171456,"total_cache_count":250,"common_pool_count":171000}}"#
        }
        other => return format!(r#"{{"{}":null}}"#, other.split(',').next().unwrap()),
    }
    .to_owned()
}

/// A node: directories for its paths.
struct Node {
    dir: TempDir,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["run", "proc"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    fn paths(&self) -> Paths {
        let at = |name| self.dir.path().join(name);
        Paths { run: at("run"), proc: at("proc"), ..Paths::default() }
    }

    fn socket(&self, prefix: &str) -> PathBuf {
        self.dir.path().join("run/dpdk").join(prefix).join("dpdk_telemetry.v2")
    }

    /// The root directory of a process in a mount namespace.
    fn process(&self, pid: u32, namespace: &str) -> PathBuf {
        let dir = self.dir.path().join("proc").join(pid.to_string());
        fs::create_dir_all(dir.join("ns")).unwrap();
        fs::create_dir_all(dir.join("root")).unwrap();
        symlink(format!("mnt:[{namespace}]"), dir.join("ns/mnt")).unwrap();
        dir.join("root")
    }

    fn found(&self) -> Vec<String> {
        Finder::new(&self.paths()).find().into_iter().map(|found| found.process).collect()
    }
}

fn rows(dpdk: &mut Dpdk) -> (Vec<String>, Vec<String>) {
    let mut batch = Batch::default();
    batch.begin();
    dpdk.read(&mut batch);
    let failures = batch.failures().iter().map(|(_, error)| error.clone()).collect();
    let tick = batch.finish("sriov", 15_000);
    let layout = sextant_proto::layout::decode(tick.layout.0, &tick.layout.1).unwrap();
    let mut values = tick.values.iter();
    let mut rows = Vec::new();
    for entity in &layout.entities {
        for series in &entity.series {
            let name = &layout.metrics[series.metric as usize].name;
            let labels = entity.labels.iter().chain(&series.labels);
            let labels: Vec<_> = labels.map(|l| format!("{}={}", l.name, l.value)).collect();
            rows.push(format!("{name}{{{}}} {}", labels.join(","), values.next().unwrap()));
        }
    }
    (rows, failures)
}

fn dpdk(node: &Node) -> Dpdk {
    Dpdk::new(&node.paths(), Duration::from_secs(15))
}

#[test]
fn ports_links_and_pools_of_an_application_are_read() {
    let node = Node::new();
    let _application = Application::start(&node.socket("rte"), GREETING, testpmd);
    let (rows, failures) = rows(&mut dpdk(&node));
    assert_eq!(failures, Vec::<String>::new());
    let port = "process=rte,port=0";
    let expected = [
        format!("sriov_dpdk_port_info{{{port},name=0000:3b:02.1,mac=02:00:00:aa:bb:01,numa_node=1,version=DPDK 22.11.4}} 1"),
        format!("sriov_dpdk_link_up{{{port}}} 1"),
        format!("sriov_dpdk_receive_packets_total{{{port}}} 10"),
        format!("sriov_dpdk_transmit_packets_total{{{port}}} 20"),
        format!("sriov_dpdk_receive_bytes_total{{{port}}} 1000"),
        format!("sriov_dpdk_transmit_bytes_total{{{port}}} 2000"),
        format!("sriov_dpdk_receive_missed_total{{{port}}} 3"),
        format!("sriov_dpdk_receive_errors_total{{{port}}} 4"),
        format!("sriov_dpdk_transmit_errors_total{{{port}}} 5"),
        format!("sriov_dpdk_receive_no_buffer_total{{{port}}} 6"),
        "sriov_dpdk_port_info{process=rte,port=1,name=net_null0,mac=,numa_node=,version=DPDK 22.11.4} 1".into(),
        "sriov_dpdk_link_up{process=rte,port=1} 0".into(),
        "sriov_dpdk_receive_packets_total{process=rte,port=1} 1".into(),
        "sriov_dpdk_mempool_size{process=rte,mempool=mb_pool_0} 171456".into(),
        "sriov_dpdk_mempool_available{process=rte,mempool=mb_pool_0} 171250".into(),
        "sextant_sriov_dpdk_malformed_total{} 0".into(),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn application_without_pools_or_ports_has_no_series() {
    let node = Node::new();
    let none = |command: &str| format!(r#"{{"{}":null}}"#, command.split(',').next().unwrap());
    let _application = Application::start(&node.socket("rte"), GREETING, none);
    let (rows, failures) = rows(&mut dpdk(&node));
    // A list that is no list counts; pools are not in every version.
    assert_eq!((rows, failures.len()), (vec!["sextant_sriov_dpdk_malformed_total{} 1".into()], 0));
}

#[test]
fn answers_that_make_no_sense_are_counted() {
    let f = |greeting, answer: fn(&str) -> String, want: &str| {
        let node = Node::new();
        let _application = Application::start(&node.socket("rte"), greeting, answer);
        let (rows, failures) = rows(&mut dpdk(&node));
        assert_eq!(rows, ["sextant_sriov_dpdk_malformed_total{} 1"], "{want}");
        assert!(failures.len() == 1 && failures[0].contains(want), "{failures:?}: {want}");
    };
    f("hello", testpmd, "malformed");
    f(GREETING, |_| "{".into(), "malformed");
    f(GREETING, |_| "[]".into(), "malformed");
    f(GREETING, |_| r#"{"/other":[]}"#.into(), "malformed");
    let long = |_: &str| format!(r#"{{"/ethdev/list":[{}0]}}"#, "0,".repeat(2000));
    f(r#"{"version":"DPDK","max_output_len":2000}"#, long, "too long");
}

#[test]
fn silent_application_is_asked_more_rarely_and_the_others_are_read() {
    let node = Node::new();
    let path = node.socket("aaa");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _talks = Application::start(&node.socket("zzz"), GREETING, testpmd);
    // Listens and never accepts.
    let flags = SocketFlags::CLOEXEC;
    let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    let dir = fs::File::open(path.parent().unwrap()).unwrap();
    let short = format!("/proc/self/fd/{}/dpdk_telemetry.v2", dir.as_raw_fd());
    bind(&listener, &SocketAddrUnix::new(short).unwrap()).unwrap();
    listen(&listener, 4).unwrap();

    let mut dpdk = dpdk(&node);
    let told: Vec<(bool, usize)> = (0..3)
        .map(|_| rows(&mut dpdk))
        .map(|(rows, failures)| (rows.iter().any(|row| row.contains("zzz")), failures.len()))
        .collect();
    assert_eq!(told, [(true, 1), (true, 0), (true, 1)]);
}

#[test]
fn application_that_ended_is_quiet_and_its_successor_is_found_at_the_next_tick() {
    let node = Node::new();
    let mut dpdk = dpdk(&node);
    assert!(rows(&mut dpdk).0.is_empty());
    let first = Application::start(&node.socket("rte"), GREETING, testpmd);
    let mut ticks = (0..8).map(|_| rows(&mut dpdk));
    let found = ticks.position(|(rows, _)| !rows.is_empty());
    assert_eq!(found, Some(3), "looked for every fourth tick");
    drop(first);
    assert_eq!(rows(&mut dpdk).1, Vec::<String>::new());
    fs::remove_file(node.socket("rte")).unwrap();
    let _second = Application::start(&node.socket("rte"), GREETING, testpmd);
    assert!(rows(&mut dpdk).0.len() > 10);
}

#[test]
fn containers_are_looked_into_once_each_and_sockets_told_once() {
    let node = Node::new();
    let _host = Application::start(&node.socket("host"), GREETING, testpmd);
    // The node's own root leads to the same socket.
    let root = node.process(1, "1");
    symlink(node.dir.path().join("run"), root.join("run")).unwrap();
    let first = node.process(20, "20");
    let _first =
        Application::start(&first.join("run/dpdk/rte/dpdk_telemetry.v2"), GREETING, testpmd);
    // Another process of the same container, which shows the same files.
    let again = node.process(21, "20");
    symlink(first.join("run"), again.join("run")).unwrap();
    let old = node.process(30, "30");
    let _old =
        Application::start(&old.join("var/run/dpdk/rte/dpdk_telemetry.v2"), GREETING, testpmd);
    assert_eq!(node.found(), ["host", "rte/20", "rte/30"]);
}

#[test]
fn links_of_a_container_stay_inside_it() {
    let node = Node::new();
    let _host = Application::start(&node.socket("host"), GREETING, testpmd);
    let outside = node.dir.path().join("run/dpdk");
    // /var/run -> /run is the container's own /run.
    let root = node.process(20, "20");
    let _own = Application::start(&root.join("run/dpdk/rte/dpdk_telemetry.v2"), GREETING, testpmd);
    fs::create_dir(root.join("var")).unwrap();
    symlink("/run", root.join("var/run")).unwrap();
    // These lead out of it, or to what is no socket.
    let evil = node.process(30, "30");
    fs::create_dir_all(evil.join("run/dpdk/file")).unwrap();
    fs::write(evil.join("run/dpdk/file/dpdk_telemetry.v2"), "").unwrap();
    fs::create_dir_all(evil.join("run/dpdk/link")).unwrap();
    let target = outside.join("host/dpdk_telemetry.v2");
    symlink(target, evil.join("run/dpdk/link/dpdk_telemetry.v2")).unwrap();
    symlink(outside.join("host"), evil.join("run/dpdk/dir")).unwrap();
    symlink(&outside, evil.join("tmp")).unwrap();
    assert_eq!(node.found(), ["host", "rte/20"]);
}
