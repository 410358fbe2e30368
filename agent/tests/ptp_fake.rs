//! The ptp collector against ptp4l's that are not: every state, and every way of misbehaving. The
//! time of the ticks is the test's; only what a ptp4l leaves unanswered is waited for.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod ptp_support;

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use fake_node::ptp4l::{FAULTY, Fake, LISTENING, MASTER, Manners, SLAVE, State, UNCALIBRATED};
use ptp_support::{Tick, Watch, paths};
use sextant_agent::collectors::ptp::PtpConfig;
use sextant_agent::sample::UNAVAILABLE;

const SECOND: Duration = Duration::from_secs(1);

/// A node with fakes, and a collector that looks at it once a second.
struct Node {
    directory: tempfile::TempDir,
    watch: Watch,
    second: u32,
}

impl Node {
    fn new() -> Self {
        Self::with("")
    }

    /// With more configuration.
    fn with(more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("run/ptp")).unwrap();
        let more = more.replace("DIR", directory.path().to_str().unwrap());
        let config: PtpConfig =
            toml::from_str(&format!("request_timeout = '100ms'\n{more}")).unwrap();
        config.check().unwrap();
        let watch = Watch::new(&config, &paths(directory.path()));
        Self { directory, watch, second: 0 }
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.directory.path().join("run/ptp").join(name)
    }

    /// A ptp4l with linuxptp-daemon's names.
    fn start(&self, number: u8, state: State) -> Fake {
        let text = format!(
            "#profile: p{number}\n[global]\ndomainNumber {}\n\
             uds_address /var/run/ptp4l.{number}.socket\n[ens{number}]\n",
            state.domain
        );
        std::fs::write(self.socket(&format!("ptp4l.{number}.config")), text).unwrap();
        Fake::start(&self.socket(&format!("ptp4l.{number}.socket")), state)
    }

    fn tick(&mut self) -> Tick {
        self.second += 1;
        self.watch.tick_at(SECOND * self.second, 0)
    }

    fn ticks(&mut self, count: u32) -> Tick {
        for _ in 1..count {
            self.tick();
        }
        self.tick()
    }

    /// The events of so many ticks: "type: attributes".
    fn events(&mut self, ticks: u32) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..ticks {
            for event in &self.tick().events {
                let labels = event.attributes.iter().map(|l| format!("{}={}", l.name, l.value));
                all.push(format!("{}: {}", event.r#type, labels.collect::<Vec<_>>().join(" ")));
            }
        }
        all
    }
}

fn state(tick: &Tick) -> Option<f64> {
    tick.get("ptp_clock_state", &[])
}

const FREERUN: Option<f64> = Some(0.0);
const LOCKED: Option<f64> = Some(1.0);
const HOLDOVER: Option<f64> = Some(2.0);

#[test]
fn slave_of_3_1_is_told() {
    let mut node = Node::new();
    let fake = node.start(0, State::slave());
    let tick = node.ticks(4);
    let f = |name: &str, labels: &[&str], want: f64| {
        let value = tick.get(name, &[&["instance=\"ptp4l.0\""], labels].concat());
        assert!(value.is_some_and(|v| (v - want).abs() < 1e-12), "{name} {labels:?}: {value:?}");
    };
    let socket = format!("socket={:?}", node.socket("ptp4l.0.socket").to_str().unwrap());
    let config = format!("config={:?}", node.socket("ptp4l.0.config").to_str().unwrap());
    let id = "clock_id=\"020000.fffe.000102\"";
    let version = ["domain=\"24\"", "profile=\"p0\"", "timestamping=\"hardware\"", "version=\"3\""];
    f("ptp_instance_info", &[&version[..], &[id, &socket, &config]].concat(), 1.0);
    f("ptp_instance_up", &[], 1.0);
    f("ptp_clock_state", &[], 1.0);
    f("ptp_offset_seconds", &[], 17e-9);
    f("ptp_offset_limit_seconds", &[], 100e-9);
    f("ptp_mean_path_delay_seconds", &[], 2.5e-6);
    f("ptp_sync_age_seconds", &[], 0.0);
    f("ptp_sync_fresh", &[], 1.0);
    f("ptp_slave_starved", &[], 0.0);
    f("ptp_steps_removed", &[], 1.0);
    f("ptp_clock_class", &[], 6.0);
    f("ptp_clock_accuracy", &[], 33.0);
    f("ptp_own_clock_class", &[], 255.0);
    let gm = "grandmaster=\"020000.fffe.000101\"";
    f("ptp_grandmaster_info", &[gm, "parent=\"020000.fffe.000101\"", "parent_port=\"1\""], 1.0);
    f("ptp_grandmaster_present", &[], 1.0);
    f("ptp_utc_offset_seconds", &[], 37.0);
    for flag in ["utc_offset_valid", "time_traceable", "frequency_traceable", "timescale_ptp"] {
        f(&format!("ptp_{flag}"), &[], 1.0);
    }
    f("ptp_servo_state", &[], 2.0);
    let port = ["port=\"1\"", "iface=\"eth1\""];
    f("ptp_port_state", &port, 9.0);
    f("ptp_port_state_changes_total", &port, 0.0);
    let info = ["delay_mechanism=\"E2E\"", "port_id=\"020000.fffe.000102-1\""];
    f("ptp_port_info", &[&port[..], &info].concat(), 1.0);
    f("ptp_port_sync_interval_seconds", &port, 0.0625);
    f("ptp_port_announce_interval_seconds", &port, 0.125);
    f("ptp_port_delay_request_interval_seconds", &port, 0.0625);
    f("ptp_port_messages_sent_total", &["message=\"delay_req\""], 77.0);
    assert_eq!(tick.get("ptp_node_clock_state", &[]), LOCKED);
    assert!(tick.get("ptp_port_messages_received_total", &["message=\"sync\""]).unwrap() > 0.0);
    assert!(tick.get("sextant_ptp_request_seconds", &[]).unwrap() > 0.0);
    let absent = ["ptp_port_service_total", "ptp_holdover_left_seconds", UNAVAILABLE.name];
    for name in absent {
        assert!(!tick.values.keys().any(|key| key.starts_with(name)), "{name}");
    }
    assert_eq!(fake.state().bad_requests, 0);
}

#[test]
fn node_state_has_no_instance() {
    let mut node = Node::new();
    let _fake = node.start(0, State::slave());
    let tick = node.ticks(4);
    let keys: Vec<_> =
        tick.values.keys().filter(|key| key.starts_with("ptp_node_clock_state")).collect();
    assert_eq!(keys, ["ptp_node_clock_state{}"]);
}

#[test]
fn later_versions_tell_more_and_the_read_only_socket_less() {
    let mut node = Node::new();
    let _rw = node.start(0, State { old: false, ..State::slave() });
    let tick = node.ticks(2);
    assert!(tick.get("ptp_instance_info", &["version=\"4\""]).is_some());
    assert_eq!(tick.get("ptp_port_service_total", &["event=\"sync_mismatch\""]), Some(9.0));
    assert!(tick.get("ptp_port_info", &["phc=\"ptp1\""]).is_some());
    assert_eq!(tick.get("ptp_port_unicast_masters", &[]), Some(2.0));

    let mut node = Node::new();
    let _ro = Fake::start(
        &node.socket("ptp4lro"),
        State { old: false, read_only: true, ..State::slave() },
    );
    let text = "[global]\ndomainNumber 24\nuds_ro_address /var/run/ptp4lro\n[ens7]\n";
    std::fs::write(node.socket("ptp4l.7.config"), text).unwrap();
    let tick = node.ticks(2);
    assert!(tick.get("ptp_port_state", &["iface=\"ens7\""]).is_some());
    let errors = tick.get("sextant_ptp_request_errors_total", &["error_reply"]);
    assert_eq!(errors, Some(0.0), "not to have something is no failure");
}

#[test]
fn first_state_is_told_once_it_is_known() {
    let mut node = Node::new();
    let _fake = node.start(0, State::slave());
    let first = node.tick();
    assert_eq!((state(&first), first.get("ptp_offset_seconds", &[])), (None, None));
    assert_eq!(first.told("ptp.instance_found").len(), 1);
    assert_eq!(
        node.events(8),
        [
            "ptp.state_changed: instance=ptp4l.0 iface=eth1 state=LOCKED previous=UNKNOWN \
             offset_ns=17 profile=p0 reason=locked",
            "ptp.sync_state_changed: state=LOCKED previous=UNKNOWN",
        ]
    );
}

#[test]
fn slave_without_syncs_is_starved_and_its_offset_is_not_told_on() {
    let mut node = Node::new();
    let fake = node.start(0, State::slave());
    assert_eq!(state(&node.ticks(4)), LOCKED);
    fake.set(|state| state.syncs = 0);
    let tick = node.tick();
    assert_eq!(state(&tick), HOLDOVER);
    assert_eq!(tick.get("ptp_slave_starved", &[]), Some(1.0));
    assert_eq!(tick.get("ptp_port_state", &[]), Some(f64::from(SLAVE)));
    assert_eq!(tick.get("ptp_sync_fresh", &[]), Some(0.0));
    assert_eq!(tick.get("ptp_sync_age_seconds", &[]), Some(1.0));
    assert_eq!(tick.get("ptp_holdover_left_seconds", &[]), Some(5.0));
    for name in ["ptp_offset_seconds", "ptp_mean_path_delay_seconds", "ptp_servo_state"] {
        assert_eq!(tick.get(name, &[]), None, "{name}");
    }
    assert!(tick.told("ptp.state_changed")[0].ends_with("profile=p0 reason=starved"));
    assert_eq!(state(&node.ticks(4)), HOLDOVER);
    let tick = node.tick();
    assert_eq!((state(&tick), tick.get("ptp_holdover_left_seconds", &[])), (FREERUN, None));
    assert_eq!(tick.get("ptp_sync_age_seconds", &[]), Some(6.0));
    assert!(tick.told("ptp.state_changed")[0].contains("reason=holdover_over"));
    fake.set(|state| state.syncs = 16);
    assert_eq!(state(&node.ticks(3)), LOCKED);
}

#[test]
fn path_delay_without_answers_to_delay_requests_is_not_told_on() {
    let mut node = Node::new();
    let fake = node.start(0, State::slave());
    assert!(node.ticks(4).get("ptp_mean_path_delay_seconds", &[]).is_some());
    fake.set(|state| state.delays = false);
    // The first may see answers that came after the last.
    let tick = node.ticks(2);
    assert_eq!(tick.get("ptp_mean_path_delay_seconds", &[]), None);
    assert_eq!((state(&tick), tick.get("ptp_offset_seconds", &[])), (LOCKED, Some(17e-9)));
}

#[test]
fn lost_grandmaster_leaves_nothing_stale() {
    let mut node = Node::new();
    let fake = node.start(0, State::slave());
    node.ticks(4);
    // As measured: state and ingress_time change, everything else stays as it was.
    fake.set(|state| {
        (state.ports[0], state.syncs, state.ingress_ns) = (LISTENING, 0, 0);
    });
    let tick = node.tick();
    assert_eq!(state(&tick), HOLDOVER);
    let names = ["offset_seconds", "clock_class", "steps_removed", "grandmaster_info"];
    for name in names.into_iter().chain(["mean_path_delay_seconds", "utc_offset_seconds"]) {
        assert_eq!(tick.get(&format!("ptp_{name}"), &[]), None, "{name}");
    }
    assert_eq!(tick.get("ptp_grandmaster_present", &[]), Some(0.0));
    assert_eq!(tick.get("ptp_slave_starved", &[]), Some(0.0));
    let want = "instance=ptp4l.0 port=1 iface=eth1 state=LISTENING previous=SLAVE";
    assert_eq!(tick.told("ptp.port_state_changed"), [want]);
    let entity: Vec<_> = tick.events[0].entity.iter().map(|l| l.value.as_str()).collect();
    assert_eq!(
        (tick.events[0].entity_type.as_str(), entity),
        ("ptp_port", vec!["ptp4l.0", "1", "eth1"])
    );
    // And comes back as another.
    fake.set(|state| {
        (state.ports[0], state.syncs, state.ingress_ns) = (SLAVE, 16, 5);
        (state.gm, state.gm_class) = (3, 7);
    });
    let tick = node.tick();
    let want = "instance=ptp4l.0 grandmaster=020000.fffe.000103 previous=020000.fffe.000101";
    assert_eq!(tick.told("ptp.grandmaster_changed"), [want]);
    let want = "instance=ptp4l.0 clock_class=7 previous=6";
    assert_eq!(tick.told("ptp.clock_class_changed"), [want]);
    let tick = node.ticks(2);
    assert_eq!((state(&tick), tick.get("ptp_clock_class", &[])), (LOCKED, Some(7.0)));
    assert_eq!(tick.get("ptp_clock_state_changes_total", &[]), Some(2.0));
    assert_eq!(tick.get("ptp_port_state_changes_total", &[]), Some(2.0));
}

#[test]
fn states_of_ports_and_offsets_make_the_clocks_state() {
    let f = |change: fn(&mut State), want: Option<f64>| {
        let mut node = Node::new();
        let fake = node.start(0, State::slave());
        node.ticks(4);
        fake.set(change);
        assert_eq!(state(&node.ticks(3)), want);
    };
    f(|state| state.ports[0] = FAULTY, HOLDOVER);
    f(|state| state.ports[0] = UNCALIBRATED, HOLDOVER);
    f(|state| state.offset_ns = 101, FREERUN);
    f(|state| state.offset_ns = -100, LOCKED);
    f(|state| state.gm_class = 248, LOCKED);
    // A clock that can also be master, and has become it: it is expected to follow.
    f(
        |state| {
            (state.ports[0], state.gm_present, state.gm) = (MASTER, false, 2);
            (state.gm_class, state.slave_only) = (248, false);
        },
        HOLDOVER,
    );
}

#[test]
fn software_time_stamps_have_wider_limits() {
    let mut node = Node::new();
    let _fake = node.start(0, State { software: true, offset_ns: 9_000, ..State::slave() });
    let tick = node.ticks(4);
    assert_eq!(state(&tick), LOCKED);
    assert_eq!(tick.get("ptp_offset_limit_seconds", &[]), Some(1e-5));
    assert!(tick.get("ptp_instance_info", &["timestamping=\"software\""]).is_some());
}

#[test]
fn profile_says_what_is_allowed() {
    let mut node =
        Node::with("[profiles.p0]\nbudget = 'G.8271.1'\nholdover = '2s'\nclock_classes = [6, 7]");
    let fake = node.start(0, State { offset_ns: -1_000, ..State::slave() });
    assert_eq!(state(&node.ticks(4)), LOCKED);
    fake.set(|state| state.gm_class = 248);
    let tick = node.tick();
    assert_eq!(state(&tick), HOLDOVER);
    assert!(tick.told("ptp.state_changed")[0].ends_with("reason=clock_class"));
    assert_eq!(state(&node.ticks(2)), FREERUN);
}

#[test]
fn grandmaster_and_boundary_clock() {
    let gm = State {
        ports: vec![MASTER],
        gm_present: false,
        gm: 2,
        slave_only: false,
        ingress_ns: 0,
        syncs: 0,
        ..State::slave()
    };
    let mut node = Node::new();
    let fake = node.start(0, gm);
    let tick = node.ticks(2);
    assert_eq!(state(&tick), LOCKED);
    for name in ["ptp_sync_fresh", "ptp_sync_age_seconds", "ptp_offset_seconds"] {
        assert_eq!(tick.get(name, &[]), None, "{name}");
    }
    assert_eq!(tick.get("ptp_own_clock_class", &[]), Some(6.0));
    fake.set(|state| state.gm_class = 7);
    let tick = node.tick();
    assert_eq!((state(&tick), tick.get("ptp_holdover_left_seconds", &[])), (HOLDOVER, None));
    assert_eq!(state(&node.ticks(30)), HOLDOVER);
    fake.set(|state| state.gm_class = 140);
    assert_eq!(state(&node.tick()), FREERUN);
    drop(fake);

    let mut node = Node::new();
    let fake = node.start(0, State { ports: vec![MASTER, SLAVE, MASTER], ..State::slave() });
    let tick = node.ticks(4);
    assert_eq!(state(&tick), LOCKED);
    let told = node.tick().values.keys().filter(|k| k.starts_with("ptp_port_state{")).count();
    assert_eq!(told, 3);
    fake.set(|state| (state.ports[1], state.ingress_ns, state.syncs) = (FAULTY, 0, 0));
    let tick = node.tick();
    assert!(
        tick.told("ptp.state_changed")[0].contains("iface=eth2 state=HOLDOVER"),
        "{:?}",
        tick.events
    );
}

#[test]
fn ports_are_asked_one_by_one_and_nothing_is_but_asked() {
    let mut node = Node::new();
    let fake = node.start(0, State { ports: vec![SLAVE; 40], ..State::slave() });
    let tick = node.ticks(3);
    let told = tick.values.keys().filter(|key| key.starts_with("ptp_port_state{")).count();
    assert_eq!(told, 40);
    let state = fake.state();
    assert_eq!(state.bad_requests, 0);
    let of_ports = [0x0001, 0x2004, 0xc002, 0xc004, 0xc005, 0xc007, 0xc008, 0xc009];
    for (id, port) in &state.asked {
        assert_eq!(*port != 0xffff, of_ports.contains(id), "{id:#x} of port {port}");
    }
    assert!(!state.asked.iter().any(|(id, _)| *id == 0xc003), "no subscription");
    let unknown = state.asked.iter().filter(|(id, _)| *id == 0xc007).count();
    assert_eq!(unknown, 1, "what it does not have is not asked for again");
}

#[test]
fn stray_answers_are_counted_and_passed_over() {
    let f = |manners: Manners, error: &str| {
        let mut node = Node::new();
        let _fake = node.start(0, State { manners, ..State::slave() });
        let tick = node.ticks(4);
        assert_eq!(state(&tick), LOCKED, "{manners:?}");
        let counted = tick.get("sextant_ptp_request_errors_total", &[error]).unwrap();
        assert!(counted > 10.0, "{manners:?}: {counted}");
    };
    f(Manners::OutOfOrder, "out_of_order");
    f(Manners::Twice, "out_of_order");
    f(Manners::OtherDomain, "other_domain");
}

#[test]
fn lying_lengths_make_an_instance_malformed_and_no_values() {
    for manners in [Manners::LongMessage, Manners::LongTlv, Manners::ShortData] {
        let mut node = Node::new();
        let fake = node.start(0, State::slave());
        node.ticks(4);
        fake.set(|state| state.manners = manners);
        let tick = node.tick();
        assert_eq!(tick.get("ptp_instance_up", &["reason=\"malformed\""]), Some(0.0));
        assert_eq!(tick.get("sextant_ptp_request_errors_total", &["malformed"]), Some(1.0));
        assert_eq!(tick.get("ptp_offset_seconds", &[]), None);
        assert_eq!((state(&tick), tick.told("ptp.instance_lost").len()), (LOCKED, 0));
        let tick = node.ticks(2);
        assert_eq!((state(&tick), tick.told("ptp.instance_lost").len()), (HOLDOVER, 1));
        fake.set(|state| state.manners = Manners::Good);
        let tick = node.tick();
        assert_eq!(tick.get("ptp_instance_up", &[]), Some(1.0), "{manners:?}");
    }
}

#[test]
fn stalled_ptp4l_is_left_alone_and_delays_no_other() {
    let mut node = Node::new();
    let wedged = node.start(0, State::slave());
    let _other = node.start(1, State::slave());
    node.ticks(4);
    wedged.set(|state| state.manners = Manners::Silent);
    let asked = wedged.state().asked.len();
    let tick = node.ticks(3);
    assert_eq!(wedged.state().asked.len() - asked, 3, "one request a poll");
    assert_eq!(tick.get("ptp_instance_up", &["ptp4l.0", "no_answer"]), Some(0.0));
    assert_eq!(tick.told("ptp.instance_lost"), ["instance=ptp4l.0 reason=no_answer"]);
    assert_eq!(tick.get("ptp_clock_state", &["ptp4l.0"]), HOLDOVER);
    assert_eq!(tick.get("ptp_clock_state", &["ptp4l.1"]), LOCKED);
    assert_eq!(tick.get("ptp_node_clock_state", &[]), HOLDOVER);
    assert_eq!(tick.get("sextant_ptp_request_errors_total", &["ptp4l.0", "timeout"]), Some(3.0));
    // Its domain is looked for, which ends; then it is asked every few seconds.
    node.ticks(10);
    let asked = wedged.state().asked.len();
    let tick = node.ticks(10);
    assert!(wedged.state().asked.len() - asked <= 3);
    assert_eq!(tick.get("ptp_clock_state", &["ptp4l.0"]), FREERUN);
    wedged.set(|state| state.manners = Manners::Good);
    let tick = node.ticks(9);
    assert_eq!(tick.get("ptp_clock_state", &["ptp4l.0"]), LOCKED);
    assert_eq!(wedged.state().bad_requests, 0);
}

#[test]
fn domain_is_found_out_and_a_wrong_one_is_called_so() {
    let mut node = Node::new();
    let _fake = Fake::start(&node.socket("ptp4l"), State { domain: 63, ..State::slave() });
    let first = node.tick();
    assert_eq!((first.get("ptp_instance_up", &[]), state(&first)), (Some(0.0), None));
    let tick = node.ticks(9);
    assert!(tick.get("ptp_instance_info", &["domain=\"63\""]).is_some());
    assert_eq!(state(&tick), LOCKED);
    assert_eq!(tick.get("sextant_ptp_request_errors_total", &["timeout"]), Some(0.0));

    let mut node = Node::with("[[instances]]\nsocket = '/run/ptp/x.socket'\ndomain = 5");
    let fake = Fake::start(&node.socket("x.socket"), State { domain: 24, ..State::slave() });
    let tick = node.ticks(12);
    assert_eq!(tick.get("ptp_instance_up", &["wrong_domain"]), Some(0.0));
    fake.set(|state| state.domain = 5);
    let tick = node.ticks(8);
    assert_eq!(tick.get("ptp_instance_up", &[]), Some(1.0));

    // The configuration file was changed and ptp4l not started anew.
    let mut node = Node::new();
    let fake = node.start(0, State::slave());
    fake.set(|state| state.domain = 0);
    assert_eq!(node.ticks(6).get("ptp_instance_up", &[]), Some(1.0));
}

#[test]
fn killed_ptp4l_is_dead_and_a_removed_socket_absent() {
    let mut node = Node::new();
    let fake = node.start(0, State::slave());
    node.ticks(4);
    let state_before = fake.kill();
    let tick = node.tick();
    assert_eq!(tick.get("ptp_instance_up", &["reason=\"dead\""]), Some(0.0));
    assert_eq!(tick.told("ptp.instance_lost"), ["instance=ptp4l.0 reason=dead"]);
    assert_eq!(state(&tick), HOLDOVER);
    let stale = ["ptp_port_", "ptp_offset_seconds", "ptp_clock_class", "ptp_own_clock_class"];
    let is_stale = |key: &&String| stale.iter().any(|name| key.starts_with(name));
    assert_eq!(tick.values.keys().find(is_stale), None);
    assert_eq!(tick.get("ptp_sync_age_seconds", &[]), Some(1.0));
    assert!(tick.told("ptp.state_changed")[0].ends_with("reason=dead"));
    std::fs::remove_file(node.socket("ptp4l.0.socket")).unwrap();
    let tick = node.tick();
    assert_eq!(tick.get("ptp_instance_up", &["reason=\"absent\""]), Some(0.0));
    assert!(tick.told("ptp.instance_lost").is_empty(), "told once");
    // Anew, before holdover is over.
    let fake = Fake::start(&node.socket("ptp4l.0.socket"), State { old: false, ..state_before });
    let tick = node.tick();
    assert_eq!((state(&tick), tick.told("ptp.instance_found").len()), (HOLDOVER, 1));
    assert!(tick.get("ptp_instance_info", &["version=\"4\""]).is_some(), "read anew");
    assert_eq!(state(&node.ticks(3)), LOCKED);
    drop(fake);
    assert_eq!(state(&node.tick()), HOLDOVER);
    assert_eq!(state(&node.ticks(5)), FREERUN);
    // Not there any more, and after a while not told of.
    std::fs::remove_file(node.socket("ptp4l.0.config")).unwrap();
    node.second += 10;
    assert_eq!(state(&node.tick()), FREERUN);
    node.second += 620;
    assert_eq!(state(&node.tick()), None);
}

#[test]
fn instances_come_and_go_without_the_others_noticing() {
    let mut node = Node::new();
    let _first = node.start(0, State::slave());
    node.ticks(4);
    let second = node.start(1, State { domain: 44, ..State::slave() });
    let tick = node.ticks(15);
    assert_eq!(tick.get("ptp_clock_state", &["ptp4l.1"]), LOCKED);
    assert!(tick.get("ptp_instance_info", &["ptp4l.1", "domain=\"44\"", "p1"]).is_some());
    second.kill();
    let tick = node.tick();
    assert_eq!(tick.get("ptp_instance_up", &["ptp4l.1", "dead"]), Some(0.0));
    assert_eq!(tick.get("ptp_instance_up", &["ptp4l.0"]), Some(1.0));
    assert_eq!(tick.get("ptp_clock_state", &["ptp4l.0"]), LOCKED);
}

#[test]
fn close_look_is_taken_only_while_something_changes() {
    let mut node = Node::new();
    let fake = node.start(0, State::slave());
    let quarter = SECOND / 4;
    node.ticks(20);
    let now = SECOND * node.second;
    let asked = fake.state().asked.len();
    let tick = node.watch.tick_at(now + quarter, 1);
    assert!(tick.events.is_empty() && tick.values.is_empty());
    assert_eq!(fake.state().asked.len(), asked, "settled");
    fake.set(|state| (state.ports[0], state.syncs, state.ingress_ns) = (LISTENING, 0, 0));
    assert_eq!(state(&node.tick()), HOLDOVER);
    fake.set(|state| (state.ports[0], state.syncs, state.ingress_ns) = (SLAVE, 16, 5));
    let now = SECOND * node.second;
    assert!(node.watch.tick_at(now + quarter / 4, 1).events.is_empty(), "just asked");
    let tick = node.watch.tick_at(now + quarter, 1);
    assert_eq!(tick.told("ptp.port_state_changed").len(), 1);
    node.watch.tick_at(now + quarter * 2, 1);
    let tick = node.watch.tick_at(now + quarter * 3, 1);
    assert!(tick.told("ptp.state_changed")[0].contains("state=LOCKED previous=HOLDOVER"));
    assert_eq!(tick.told("ptp.sync_state_changed"), ["state=LOCKED previous=HOLDOVER"]);
    assert!(tick.values.is_empty(), "series are the first tier's");
}

#[test]
fn reply_sockets_with_a_file_leave_none_behind() {
    let mut node = Node::with("reply_dir = 'DIR'");
    let _fake = node.start(0, State::slave());
    assert_eq!(state(&node.ticks(4)), LOCKED);
    let files = |node: &Node| {
        let entries = std::fs::read_dir(node.directory.path()).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("sextant.")).count()
    };
    assert_eq!(files(&node), 1);
    node.watch = Node::new().watch;
    assert_eq!(files(&node), 0);
}

#[test]
fn datagrams_of_somebody_else_are_not_answers() {
    // Whoever finds our abstract address out may send to it: only ptp4l is listened to.
    let mut node = Node::with("reply_dir = 'DIR'");
    let fake = node.start(0, State::slave());
    node.ticks(4);
    let entries = std::fs::read_dir(node.directory.path()).unwrap().flatten();
    let ours = entries.map(|entry| entry.path()).find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("sextant."))
    });
    let stranger = UnixDatagram::bind(node.socket("stranger")).unwrap();
    for _ in 0..5 {
        stranger.send_to(&[0; 60], ours.as_ref().unwrap()).unwrap();
    }
    let tick = node.tick();
    assert_eq!(tick.get("sextant_ptp_request_errors_total", &["out_of_order"]), Some(5.0));
    assert_eq!(state(&tick), LOCKED);
    assert_eq!(fake.state().bad_requests, 0);
}
