//! The ptp collector beside real ptp4l's: a grandmaster and a slave in two network namespaces,
//! with faults on the wire between them. Needs root, linuxptp, iproute2 and nftables, and says so
//! where it cannot run. No clock is touched: both ends run on the node's own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stderr, reason = "how long things took, and why it cannot run")]

#[path = "ptp_lab/net.rs"]
mod net;
mod ptp_support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::ops::{Deref, DerefMut};
use std::process::Stdio;
use std::time::{Duration, Instant};

use net::{Net, Running, command};
use ptp_support::{Tick, Watch};
use sextant_agent::clock::{Stop, now_ms};
use sextant_agent::collectors::Paths;
use sextant_agent::collectors::ptp::PtpConfig;

/// Many times what anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

const FREERUN: Option<f64> = Some(0.0);
const LOCKED: Option<f64> = Some(1.0);
const HOLDOVER: Option<f64> = Some(2.0);
const FAULTY: Option<f64> = Some(2.0);
const LISTENING: Option<f64> = Some(4.0);
const MASTER: Option<f64> = Some(6.0);
const UNCALIBRATED: Option<f64> = Some(8.0);
const SLAVE: Option<f64> = Some(9.0);

fn pause(time: Duration) {
    Stop::default().sleep_until(now_ms() + i64::try_from(time.as_millis()).unwrap());
}

fn signal(running: &Running, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process(pid, signal).unwrap();
}

struct Lab {
    net: Net,
    watch: Watch,
    start: Instant,
    /// Events since they were last asked for: type and attributes.
    events: Vec<String>,
}

impl Deref for Lab {
    type Target = Net;

    fn deref(&self) -> &Net {
        &self.net
    }
}

impl DerefMut for Lab {
    fn deref_mut(&mut self) -> &mut Net {
        &mut self.net
    }
}

impl Lab {
    /// Why there is none, or the lab.
    fn new() -> Result<Self, String> {
        let net = Net::new()?;
        let path = net.directory.path().to_str().unwrap();
        let config: PtpConfig = toml::from_str(&format!(
            "reply_dir = '{path}'\nconfig_files = ['{path}/ptp4l.*.config']\nsockets = []\n\
             discovery_interval = '1s'\nrequest_timeout = '1s'\n[profiles.lab]\nholdover = '2s'"
        ))
        .unwrap();
        config.check().unwrap();
        // Other ptp4l's of this machine are none of ours.
        let paths = Paths { proc: net.directory.path().join("no-proc"), ..Paths::default() };
        let watch = Watch::new(&config, &paths);
        Ok(Self { net, watch, start: Instant::now(), events: Vec::new() })
    }

    /// In free_running the servo's state reaches the port only so.
    fn certain(&mut self) {
        self.await_that("UNCALIBRATED", |tick| sl(tick, "ptp_port_state") == UNCALIBRATED);
        self.make_certain();
    }

    fn tick(&mut self) -> Tick {
        let tick = self.watch.tick_at(self.start.elapsed(), 0);
        for event in &tick.events {
            let labels = event.attributes.iter().map(|l| format!("{}={}", l.name, l.value));
            self.events.push(format!("{} {}", event.r#type, labels.collect::<Vec<_>>().join(" ")));
        }
        tick
    }

    /// Ticks until it is so.
    fn await_that(&mut self, what: &str, is_so: impl Fn(&Tick) -> bool) -> Tick {
        let start = Instant::now();
        loop {
            let tick = self.tick();
            if is_so(&tick) {
                eprintln!(
                    "{:6.2} s: {what} after {:.0?}",
                    self.start.elapsed().as_secs_f64(),
                    start.elapsed()
                );
                return tick;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{what}: not within {PATIENCE:?}: {:#?}\n{:#?}",
                tick.values,
                self.events
            );
            pause(PAUSE);
        }
    }

    /// Waits for a state of the slave's clock and what else must be so then.
    fn await_state(&mut self, what: &str, state: Option<f64>) -> Tick {
        self.await_that(what, |tick| sl(tick, "ptp_clock_state") == state)
    }

    /// Whether all of these were told since this was last asked, in this order.
    fn told(&mut self, wanted: &[&str]) {
        let events = std::mem::take(&mut self.events);
        let mut left = events.iter();
        for want in wanted {
            let found = left.any(|event| want.split(' ').all(|part| event.contains(part)));
            assert!(found, "{want} in {events:#?}");
        }
    }

    /// The median of the offsets of so many fresh samples, in nanoseconds.
    fn median_offset(&mut self, samples: usize) -> f64 {
        let mut offsets = Vec::new();
        while offsets.len() < samples {
            offsets.extend(sl(&self.tick(), "ptp_offset_seconds").map(|offset| offset * 1e9));
            pause(PAUSE);
        }
        offsets.sort_by(f64::total_cmp);
        offsets[samples / 2]
    }
}

/// A value of the slave's.
fn sl(tick: &Tick, name: &str) -> Option<f64> {
    tick.get(name, &["instance=\"ptp4l.sl\""])
}

fn gm(tick: &Tick, name: &str) -> Option<f64> {
    tick.get(name, &["instance=\"ptp4l.gm\""])
}

/// A field of pmc's output.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let words = |line: &'a str| line.trim().split_once(char::is_whitespace);
    let found = text.lines().filter_map(words).find(|(key, _)| *key == name);
    found.unwrap_or_else(|| panic!("no {name} in {text}")).1.trim()
}

fn number(text: &str, name: &str) -> f64 {
    field(text, name).parse().unwrap()
}

#[test]
fn collector_beside_real_ptp4l() {
    let mut lab = match Lab::new() {
        Ok(lab) => lab,
        Err(reason) => {
            eprintln!("SKIPPED: the ptp lab cannot run: {reason}");
            return;
        }
    };
    let lab = &mut lab;
    locks(lab);
    agrees_with_pmc(lab);
    follows_the_offset(lab);
    notices_each_loss(lab);
    follows_the_clock_class(lab);
    follows_the_link(lab);
    goes_through_holdover_without_a_grandmaster(lab);
    notices_restarts(lab);
    tells_domains_apart(lab);
    stopped_agent_does_not_stop_ptp(lab);
}

fn locks(lab: &mut Lab) {
    lab.start_gm();
    lab.start_slave();
    lab.certain();
    let tick = lab.await_state("locked", LOCKED);
    assert_eq!(sl(&tick, "ptp_port_state"), SLAVE);
    // The grandmaster's class says that it is locked itself.
    let tick = lab.await_that("grandmaster", |tick| gm(tick, "ptp_clock_state") == LOCKED);
    assert_eq!(gm(&tick, "ptp_port_state"), MASTER);
    assert_eq!(tick.get("ptp_node_clock_state", &[]), LOCKED);
    lab.told(&[
        "ptp.instance_found instance=ptp4l.sl",
        "ptp.port_state_changed instance=ptp4l.sl iface=vS state=SLAVE previous=UNCALIBRATED",
        "ptp.state_changed instance=ptp4l.sl state=LOCKED profile=lab reason=locked",
    ]);
}

/// What pmc tells between two ticks of ours.
struct Compared {
    before: Tick,
    after: Tick,
    port: String,
    parent: String,
    default: String,
    current: String,
    stats: String,
}

impl Compared {
    fn read(lab: &mut Lab) -> Self {
        let delay = |tick: &Tick| sl(tick, "ptp_mean_path_delay_seconds").is_some();
        loop {
            let before = lab.await_that("a path delay", delay);
            let [port, parent, default, current, stats] = [
                "PORT_DATA_SET",
                "PARENT_DATA_SET",
                "DEFAULT_DATA_SET",
                "CURRENT_DATA_SET",
                "PORT_STATS_NP",
            ]
            .map(|set| lab.pmc("sl", &format!("GET {set}")));
            let after = lab.tick();
            // A machine that is too busy for PTP may have lost the master in between.
            let changes = |tick: &Tick| sl(tick, "ptp_port_state_changes_total");
            if delay(&after) && changes(&before) == changes(&after) {
                return Self { before, after, port, parent, default, current, stats };
            }
        }
    }
}

fn agrees_with_pmc(lab: &mut Lab) {
    let Compared { before, after, port, parent, default, current, stats } = Compared::read(lab);
    assert_eq!(field(&port, "portState"), "SLAVE");
    for (name, log) in [
        ("ptp_port_sync_interval_seconds", "logSyncInterval"),
        ("ptp_port_announce_interval_seconds", "logAnnounceInterval"),
        ("ptp_port_delay_request_interval_seconds", "logMinDelayReqInterval"),
    ] {
        assert_eq!(sl(&after, name), Some(number(&port, log).exp2()), "{name}");
    }
    let class = sl(&after, "ptp_clock_class");
    assert_eq!(class, Some(number(&parent, "gm.ClockClass")));
    assert_eq!(sl(&after, "ptp_clock_accuracy"), Some(0x21.into()));
    assert_eq!(sl(&after, "ptp_own_clock_class"), Some(number(&default, "clockClass")));
    assert_eq!(sl(&after, "ptp_steps_removed"), Some(number(&current, "stepsRemoved")));
    let info = [
        format!("grandmaster=\"{}\"", field(&parent, "grandmasterIdentity")),
        format!("clock_id=\"{}\"", field(&default, "clockIdentity")),
        format!("port_id=\"{}\"", field(&port, "portIdentity")),
    ];
    let names = ["ptp_grandmaster_info", "ptp_instance_info", "ptp_port_info"];
    for (name, label) in names.iter().zip(&info) {
        assert_eq!(after.get(name, &["ptp4l.sl", label]), Some(1.0), "{name} {label}");
    }
    for (name, sent, message) in [
        ("rx_Sync", false, "sync"),
        ("rx_Announce", false, "announce"),
        ("rx_Follow_Up", false, "follow_up"),
        ("rx_Delay_Resp", false, "delay_resp"),
        ("tx_Delay_Req", true, "delay_req"),
    ] {
        let metric = match sent {
            true => "ptp_port_messages_sent_total",
            false => "ptp_port_messages_received_total",
        };
        let of = |tick: &Tick| {
            tick.get(metric, &["ptp4l.sl", &format!("message=\"{message}\"")]).unwrap()
        };
        let value = number(&stats, name);
        assert!(of(&before) <= value && value <= of(&after) && value > 0.0, "{name}");
    }
    let delay = sl(&after, "ptp_mean_path_delay_seconds").unwrap() * 1e9;
    assert!((delay - number(&current, "meanPathDelay")).abs() < 20_000.0, "{delay}");
}

fn follows_the_offset(lab: &mut Lab) {
    let base = lab.median_offset(5);
    assert!(base.abs() < 10_000.0, "{base} ns");
    // A correction of 100 us in Follow_Up, and its negative in Delay_Resp.
    lab.fault(&["shift", "0x186a00000", "0xfffffffe79600000"]);
    lab.await_state("out of range", FREERUN);
    let shifted = lab.median_offset(9);
    let of_pmc = number(&lab.pmc("sl", "GET TIME_STATUS_NP"), "master_offset");
    for offset in [shifted - base, of_pmc - base] {
        assert!((offset + 100_000.0).abs() < 10_000.0, "{shifted} ns, pmc {of_pmc} ns");
    }
    lab.told(&["ptp.state_changed ptp4l.sl state=FREERUN previous=LOCKED reason=offset"]);
    lab.fault(&["clear"]);
    lab.await_state("in range", LOCKED);
}

fn notices_each_loss(lab: &mut Lab) {
    for (message, kind) in [("Sync", "0x0"), ("Follow_Up", "0x8")] {
        lab.fault(&["lose", kind]);
        let tick = lab.await_state(&format!("{message} lost"), HOLDOVER);
        assert_eq!(sl(&tick, "ptp_slave_starved"), Some(1.0));
        assert_eq!(sl(&tick, "ptp_port_state"), SLAVE, "it stays SLAVE all the same");
        assert_eq!(sl(&tick, "ptp_offset_seconds"), None);
        assert_eq!(sl(&tick, "ptp_sync_fresh"), Some(0.0));
        assert!(sl(&tick, "ptp_sync_age_seconds").unwrap() >= 1.0);
        lab.told(&["ptp.state_changed ptp4l.sl state=HOLDOVER reason=starved"]);
        lab.fault(&["clear"]);
        lab.await_state(&format!("{message} back"), LOCKED);
    }
    lab.fault(&["lose", "0x9"]);
    let delay = |tick: &Tick| sl(tick, "ptp_mean_path_delay_seconds");
    let tick = lab.await_that("Delay_Resp lost", |tick| delay(tick).is_none());
    assert_eq!(sl(&tick, "ptp_clock_state"), LOCKED);
    assert!(sl(&tick, "ptp_offset_seconds").is_some());
    lab.fault(&["clear"]);
    lab.await_that("Delay_Resp back", |tick| delay(tick).is_some());
    lab.fault(&["lose", "0xb"]);
    let tick = lab.await_state("Announce lost", HOLDOVER);
    assert_eq!((sl(&tick, "ptp_port_state"), sl(&tick, "ptp_clock_class")), (LISTENING, None));
    lab.fault(&["clear"]);
    lab.await_state("Announce back", LOCKED);
}

fn follows_the_clock_class(lab: &mut Lab) {
    let set = |lab: &Lab, class: u8| {
        let request = format!(
            // The timescale stays: both ends have the node's clock, and so no leap seconds between.
            "SET GRANDMASTER_SETTINGS_NP clockClass {class} clockAccuracy 0x21 \
             offsetScaledLogVariance 0xffff currentUtcOffset 37 leap61 0 leap59 0 \
             currentUtcOffsetValid 0 ptpTimescale 0 timeTraceable 0 frequencyTraceable 0 \
             timeSource 0xa0"
        );
        let text = lab.pmc("gm", &request);
        assert!(text.contains("RESPONSE"), "{text}");
    };
    set(lab, 7);
    let tick = lab.await_that("class 7", |tick| sl(tick, "ptp_clock_class") == Some(7.0));
    assert_eq!(sl(&tick, "ptp_clock_state"), LOCKED);
    lab.await_that("grandmaster's holdover", |tick| gm(tick, "ptp_clock_state") == HOLDOVER);
    lab.told(&["ptp.clock_class_changed ptp4l.sl clock_class=7 previous=6"]);
    set(lab, 6);
    lab.await_that("class 6", |tick| {
        sl(tick, "ptp_clock_class") == Some(6.0) && gm(tick, "ptp_clock_state") == LOCKED
    });
}

fn follows_the_link(lab: &mut Lab) {
    lab.fault(&["link", "down"]);
    let tick = lab.await_state("link down", HOLDOVER);
    assert_eq!(sl(&tick, "ptp_port_state"), FAULTY);
    lab.told(&[
        "ptp.port_state_changed ptp4l.sl iface=vS state=FAULTY previous=SLAVE",
        "ptp.state_changed ptp4l.sl state=HOLDOVER reason=FAULTY",
    ]);
    lab.fault(&["link", "up"]);
    lab.await_state("link up", LOCKED);
}

fn goes_through_holdover_without_a_grandmaster(lab: &mut Lab) {
    lab.gm = None;
    let tick = lab.await_state("grandmaster killed", HOLDOVER);
    assert!(sl(&tick, "ptp_holdover_left_seconds").is_some_and(|left| left <= 2.0));
    assert_eq!(tick.get("ptp_instance_up", &["ptp4l.gm", "dead"]), Some(0.0));
    let tick = lab.await_state("holdover is over", FREERUN);
    assert_eq!((sl(&tick, "ptp_port_state"), sl(&tick, "ptp_clock_class")), (LISTENING, None));
    assert_eq!(sl(&tick, "ptp_offset_seconds"), None);
    lab.start_gm();
    lab.await_state("grandmaster is back", LOCKED);
    lab.told(&[
        "ptp.instance_lost instance=ptp4l.gm reason=dead",
        "ptp.state_changed ptp4l.sl state=HOLDOVER previous=LOCKED reason=LISTENING",
        "ptp.state_changed ptp4l.sl state=FREERUN previous=HOLDOVER reason=holdover_over",
        "ptp.state_changed ptp4l.sl state=LOCKED previous=FREERUN",
    ]);
}

fn notices_restarts(lab: &mut Lab) {
    let config = lab.path("ptp4l.sl.config");
    let socket = lab.path("ptp4l.sl.socket");
    let text = format!("discovery_interval = '100ms'\n[[instances]]\nsocket = '{socket}'");
    let mut watch = Watch::new(&toml::from_str(&text).unwrap(), &Paths::default());
    let process = ["process=\"ptp4l\"", &format!("config={config:?}")];
    let mut of_process =
        |second: u64, name: &str| watch.tick_at(Duration::from_secs(second), 0).get(name, &process);
    assert_eq!(of_process(0, "ptp_process_up"), Some(1.0));
    lab.slave = None;
    assert_eq!(of_process(10, "ptp_process_up"), Some(0.0));
    let tick = lab.await_state("slave killed", HOLDOVER);
    assert_eq!(tick.get("ptp_instance_up", &["ptp4l.sl", "dead"]), Some(0.0));
    lab.start_slave();
    lab.certain();
    lab.await_state("slave is back", LOCKED);
    assert_eq!(of_process(20, "ptp_process_up"), Some(1.0));
    assert_eq!(of_process(30, "ptp_process_restarts_total"), Some(1.0));
    lab.told(&["ptp.instance_lost instance=ptp4l.sl", "ptp.instance_found instance=ptp4l.sl"]);
}

fn tells_domains_apart(lab: &mut Lab) {
    let other = lab.ptp4l('S', "other");
    let is_there = |tick: &Tick| {
        tick.get("ptp_instance_info", &["ptp4l.other", "domain=\"44\""]) == Some(1.0)
            && tick.get("ptp_port_state", &["ptp4l.other"]) == MASTER
    };
    let tick = lab.await_that("a second domain", is_there);
    assert_eq!(sl(&tick, "ptp_clock_state"), LOCKED);
    // A grandmaster that nobody has made one: it has no reference.
    assert_eq!(tick.get("ptp_clock_state", &["ptp4l.other"]), FREERUN);
    assert_eq!(tick.get("ptp_node_clock_state", &[]), FREERUN);
    assert!(tick.get("ptp_instance_info", &["ptp4l.sl", "domain=\"24\""]).is_some());
    drop(other);
}

fn stopped_agent_does_not_stop_ptp(lab: &mut Lab) {
    let path = lab.path("agent.toml");
    let text = format!(
        "node = 'test'\nspool.dir = '{}'\nhealth.listen = '127.0.0.1:0'\n\
         uplink.endpoint = 'http://127.0.0.1:9'\nuplink.drain_timeout = '0s'\n\
         [collectors]\nhost.enabled = false\ngpu.enabled = false\nsriov.enabled = false\n\
         pods.enabled = false\n[[collectors.ptp.instances]]\nsocket = '{}'\n\
         [collectors.ptp]\ninterval = '10ms'\nfast_interval = '10ms'\n",
        lab.path("spool"),
        lab.path("ptp4l.sl.socket"),
    );
    // Tables may not be told twice: the section goes before its instances.
    let (before, rest) = text.split_once("[[").unwrap();
    let (instance, section) = rest.split_once("[collectors.ptp]").unwrap();
    fs::write(&path, format!("{before}[collectors.ptp]{section}[[{instance}")).unwrap();
    let namespace = format!("sxS-{}", lab.net.id);
    let agent = env!("CARGO_BIN_EXE_sextant-agent");
    let arguments = ["netns", "exec", &namespace, agent, "--config", &path];
    let mut command = command("ip", &arguments);
    command.env_remove("NODE_NAME").stderr(Stdio::piped());
    let mut agent = Running(command.spawn().unwrap());
    // From the namespace of ptp4l the answers come to an address without a file.
    let lines = BufReader::new(agent.0.stderr.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|line| line.contains("ptp4l answers")), "the agent's log has ended");
    let requests = |lab: &mut Lab| {
        let tick = lab.tick();
        assert_eq!(sl(&tick, "ptp_port_state"), SLAVE);
        tick.get("ptp_port_messages_received_total", &["ptp4l.gm", "\"delay_req\""]).unwrap()
    };
    // At a hundred polls a second, some of these catch it between a request and its answer.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        signal(&agent, rustix::process::Signal::STOP);
        pause(Duration::from_millis(3));
        signal(&agent, rustix::process::Signal::CONT);
        pause(Duration::from_millis(7));
    }
    signal(&agent, rustix::process::Signal::STOP);
    let mut last = requests(lab);
    for second in 1..=5 {
        pause(Duration::from_secs(1));
        let now = requests(lab);
        assert!(now - last > 4.0, "{} delay requests in second {second}", now - last);
        last = now;
    }
    signal(&agent, rustix::process::Signal::CONT);
    let tick = lab.tick();
    assert_eq!(sl(&tick, "ptp_clock_state"), LOCKED);
    eprintln!("{:6.2} s: the agent was stopped", lab.start.elapsed().as_secs_f64());
}
