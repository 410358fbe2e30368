//! A PTP domain: a grandmaster, boundary clocks, and on each node a ptp4l that follows one of
//! them, a hardware clock, and phc2sys.

use super::super::rng::Rng;
use super::super::shape::{Out, event};
use super::super::spec::Numbers;
use sextant_proto::frame::ABSENT;
use sextant_proto::v1::Event;

pub(crate) const INSTANCE: &str = "ptp4l.0";
const FAULTY: f64 = 2.0;
const LISTENING: f64 = 4.0;
const UNCALIBRATED: f64 = 8.0;
const SLAVE: f64 = 9.0;
/// Sync, Follow_Up, Delay_Req and Delay_Resp come 16 times a second, Announce 8 times (G.8275.1).
const SYNCS: f64 = 16.0;
const ANNOUNCES: f64 = 8.0;
const LOCKED: f64 = 1.0;
const HOLDOVER: f64 = 2.0;
const FREERUN: f64 = 0.0;
/// The agent's holdover of an instance.
const HOLDOVER_S: i64 = 5;

/// What the domain announces.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Domain {
    pub(crate) class: f64,
    pub(crate) accuracy: f64,
    pub(crate) traceable: bool,
    /// Which of the two grandmasters it is.
    pub(crate) grandmaster: usize,
    pub(crate) steps: f64,
    /// Frequency error of the grandmaster, ppb.
    pub(crate) drift_ppb: f64,
}

impl Default for Domain {
    fn default() -> Self {
        Self {
            class: 6.0,
            accuracy: 33.0,
            traceable: true,
            grandmaster: 0,
            steps: 2.0,
            drift_ppb: 0.0,
        }
    }
}

const GRANDMASTERS: [&str; 2] = ["0c42a1.fffe.5d1002", "0c42a1.fffe.5d2002"];

/// What faults do to one node's path now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effects {
    pub(crate) delay_ns: f64,
    /// Delay variation, as a multiple of the usual.
    pub(crate) jitter: f64,
    pub(crate) unlock: bool,
}

impl Default for Effects {
    fn default() -> Self {
        Self { delay_ns: 0.0, jitter: 1.0, unlock: false }
    }
}

/// One node's clocks.
#[derive(Debug)]
pub(crate) struct Clocks {
    pub(crate) boundary: usize,
    pub(crate) effects: Effects,
    iface: String,
    pub(crate) pci: String,
    noise: f64,
    offset_ns: f64,
    /// Of a switch of the grandmaster; it decays.
    pub(crate) transient_ns: f64,
    pub(crate) settle_s: f64,
    base_delay_ns: f64,
    delay_ns: f64,
    base_ppb: f64,
    walk_ppb: f64,
    system_ns: f64,
    pub(crate) port_state: f64,
    port_changes: f64,
    pub(crate) clock_state: f64,
    state_changes: f64,
    lost_s: i64,
    up_s: i64,
    received: [f64; 4],
    sent: f64,
    steps: f64,
    told: Domain,
}

impl Clocks {
    pub(crate) fn new(boundary: usize, iface: &str, pci: &str, p: &Numbers, rng: &mut Rng) -> Self {
        Self {
            boundary,
            effects: Effects::default(),
            iface: iface.to_owned(),
            pci: pci.to_owned(),
            noise: 0.0,
            offset_ns: 0.0,
            transient_ns: 0.0,
            settle_s: 6.0,
            base_delay_ns: rng.vary(p.get("path_delay_ns"), 0.4),
            delay_ns: p.get("path_delay_ns"),
            base_ppb: p.get("frequency_ppb") * 80.0 * rng.normal(),
            walk_ppb: 0.0,
            system_ns: 0.0,
            port_state: SLAVE,
            port_changes: 1.0,
            clock_state: LOCKED,
            state_changes: 1.0,
            lost_s: 0,
            up_s: 0,
            received: [0.0; 4],
            sent: 0.0,
            steps: 0.0,
            told: Domain::default(),
        }
    }

    /// ptp4l starts again.
    pub(crate) fn restart(&mut self, now_s: i64) {
        (self.received, self.sent, self.port_changes, self.state_changes) =
            ([0.0; 4], 0.0, 0.0, 0.0);
        (self.lost_s, self.up_s) = (now_s, now_s);
        (self.port_state, self.clock_state) = (LISTENING, FREERUN);
        self.steps = 0.0;
    }

    /// Whether a Sync is used.
    pub(crate) fn follows(&self) -> bool {
        self.port_state == SLAVE
    }

    /// Goes on by a second; what became different is told as events.
    pub(crate) fn step(
        &mut self,
        (now_s, day, link): (i64, f64, bool),
        domain: &Domain,
        p: &Numbers,
        rng: &mut Rng,
        events: &mut Vec<Event>,
    ) {
        self.walk_port(now_s, link, events);
        let Effects { delay_ns, jitter, .. } = self.effects;
        self.noise = 0.3 * self.noise + rng.normal();
        self.transient_ns *= (-1.0 / self.settle_s.max(1.0)).exp();
        let sd = p.get("offset_sd_ns") * jitter.powf(0.8);
        self.offset_ns = (sd * self.noise + self.transient_ns).round();
        let variation = p.get("path_delay_sd_ns") * jitter;
        // Queueing only ever adds: the mean moves with the variation.
        let queue = variation * (rng.exponential(1.0) - 1.0) + 0.6 * (variation - 2.0).max(0.0);
        let daily = p.get("daily_delay_ns") * day;
        self.delay_ns = (self.base_delay_ns + delay_ns + daily + queue).max(50.0);
        self.walk_ppb = 0.9999 * self.walk_ppb + p.get("frequency_walk_ppb") * rng.normal();
        self.system_ns = 0.5 * self.system_ns + p.get("system_clock_sd_ns") * 0.8 * rng.normal();
        if self.port_state == SLAVE || self.port_state == UNCALIBRATED {
            let [sync, follow_up, delay_resp, announce] = &mut self.received;
            for counter in [sync, follow_up, delay_resp] {
                *counter += SYNCS;
            }
            *announce += ANNOUNCES;
            self.sent += SYNCS;
            self.announce(domain, events);
        }
        self.judge(now_s, events);
    }

    fn walk_port(&mut self, now_s: i64, link: bool, events: &mut Vec<Event>) {
        let next = if !link {
            (self.lost_s, self.up_s) = (now_s, now_s);
            FAULTY
        } else if now_s - self.up_s < 3 {
            LISTENING
        } else if now_s - self.up_s < 6 || self.effects.unlock {
            UNCALIBRATED
        } else {
            SLAVE
        };
        if next == self.port_state {
            return;
        }
        let name = |state: f64| match state {
            FAULTY => "FAULTY",
            LISTENING => "LISTENING",
            UNCALIBRATED => "UNCALIBRATED",
            _ => "SLAVE",
        };
        let (new, old) = (name(next), name(self.port_state));
        let message = format!("port 1 ({}) of {INSTANCE} is {new}, was {old}", self.iface);
        let entity = [("instance", INSTANCE), ("port", "1"), ("iface", self.iface.as_str())];
        let attributes = [
            ("instance", INSTANCE),
            ("port", "1"),
            ("iface", self.iface.as_str()),
            ("state", new),
            ("previous", old),
        ];
        events.push(event("ptp.port_state_changed", ("ptp_port", &entity), message, &attributes));
        (self.port_state, self.port_changes) = (next, self.port_changes + 1.0);
        if next == SLAVE {
            self.transient_ns = 40.0;
        } else if self.clock_state == LOCKED {
            self.lost_s = now_s;
        }
    }

    fn announce(&mut self, domain: &Domain, events: &mut Vec<Event>) {
        if self.told == *domain {
            return;
        }
        let subject = ("ptp_instance", &[("instance", INSTANCE)][..]);
        if self.told.grandmaster != domain.grandmaster {
            let [new, old] = [domain, &self.told].map(|d| GRANDMASTERS[d.grandmaster]);
            let message = format!("grandmaster of {INSTANCE} is {new}, was {old}");
            let attributes = [("instance", INSTANCE), ("grandmaster", new), ("previous", old)];
            events.push(event("ptp.grandmaster_changed", subject, message, &attributes));
        }
        if self.told.class != domain.class {
            let [new, old] = [domain, &self.told].map(|d| format!("{:.0}", d.class));
            let message = format!("clock class of {INSTANCE} is {new}, was {old}");
            let attributes = [("instance", INSTANCE), ("clock_class", &new), ("previous", &old)];
            events.push(event("ptp.clock_class_changed", subject, message, &attributes));
        }
        self.told = domain.clone();
    }

    fn judge(&mut self, now_s: i64, events: &mut Vec<Event>) {
        let next = if self.follows() {
            LOCKED
        } else if self.clock_state != FREERUN && now_s - self.lost_s <= HOLDOVER_S {
            HOLDOVER
        } else {
            FREERUN
        };
        if next == self.clock_state {
            return;
        }
        let name = |state: f64| match state {
            LOCKED => "LOCKED",
            HOLDOVER => "HOLDOVER",
            _ => "FREERUN",
        };
        let (new, old) = (name(next), name(self.clock_state));
        let attributes = [
            ("instance", INSTANCE),
            ("iface", self.iface.as_str()),
            ("state", new),
            ("previous", old),
        ];
        let subject = ("ptp_instance", &[("instance", INSTANCE)][..]);
        let message = format!("{INSTANCE} is {new}, was {old}");
        events.push(event("ptp.state_changed", subject, message, &attributes));
        let attributes = [("state", new), ("previous", old)];
        let message = format!("the node's clocks are {new}, were {old}");
        events.push(event("ptp.sync_state_changed", ("node", &[]), message, &attributes));
        (self.clock_state, self.state_changes) = (next, self.state_changes + 1.0);
    }

    /// Which series there are.
    pub(crate) fn key(&self) -> u64 {
        u64::from(self.follows()) + 2 * u64::from(self.told.grandmaster == 0)
    }

    /// What the agent tells.
    pub(crate) fn emit(&self, out: &mut Out<'_>) {
        let follows = self.follows();
        let when = |on: bool, value: f64| if on { value } else { ABSENT };
        let flag = |on: bool| f64::from(u8::from(on));
        out.entity("ptp_instance", &[("instance", INSTANCE)]);
        out.set("ptp_instance_up", 1.0);
        let labels = [
            ("domain", "24"),
            ("profile", "G.8275.1"),
            ("config", "/var/run/ptp4l.0.config"),
            ("timestamping", "hardware"),
        ];
        out.set_with("ptp_instance_info", &labels, 1.0);
        out.set("ptp_clock_state", self.clock_state);
        out.set("ptp_clock_state_changes_total", self.state_changes);
        out.set("ptp_offset_limit_seconds", 100e-9);
        out.set("ptp_offset_seconds", when(follows, self.offset_ns / 1e9));
        out.set("ptp_mean_path_delay_seconds", when(follows, self.delay_ns.round() / 1e9));
        let ppb = self.base_ppb + self.walk_ppb + self.told.drift_ppb;
        out.set("ptp_frequency_adjustment_ratio", (ppb * 1000.0).round() / 1000.0 * 1e-9);
        out.set("ptp_sync_fresh", flag(follows));
        out.set("ptp_slave_starved", 0.0);
        let servo = if follows { 2.0 } else { 0.0 };
        out.set("ptp_servo_state", when(follows || self.port_state == UNCALIBRATED, servo));
        let domain = &self.told;
        out.set("ptp_steps_removed", when(follows, domain.steps));
        out.set("ptp_clock_class", when(follows, domain.class));
        out.set("ptp_clock_accuracy", when(follows, domain.accuracy));
        out.set("ptp_own_clock_class", 255.0);
        out.set("ptp_grandmaster_present", flag(follows));
        out.set("ptp_utc_offset_seconds", when(follows, 37.0));
        out.set("ptp_utc_offset_valid", when(follows, 1.0));
        out.set("ptp_time_traceable", when(follows, flag(domain.traceable)));
        out.set("ptp_frequency_traceable", when(follows, flag(domain.traceable)));
        out.set("ptp_timescale_ptp", when(follows, 1.0));
        if follows {
            let grandmaster = GRANDMASTERS[domain.grandmaster];
            let labels = [
                ("grandmaster", grandmaster),
                ("parent", ["0c42a1.fffe.bc0001", "0c42a1.fffe.bc0002"][self.boundary % 2]),
                ("parent_port", "4"),
            ];
            out.set_with("ptp_grandmaster_info", &labels, 1.0);
        }
        self.emit_port(out);
        self.emit_clock(ppb, out);
    }

    fn emit_port(&self, out: &mut Out<'_>) {
        let entity = [("instance", INSTANCE), ("port", "1"), ("iface", self.iface.as_str())];
        out.entity("ptp_port", &entity);
        out.set("ptp_port_state", self.port_state);
        out.set("ptp_port_state_changes_total", self.port_changes);
        let labels = [("delay_mechanism", "E2E"), ("timestamping", "hardware"), ("phc", "ptp0")];
        out.set_with("ptp_port_info", &labels, 1.0);
        for (message, count) in
            ["sync", "follow_up", "delay_resp", "announce"].into_iter().zip(self.received)
        {
            let labels = [("message", message)];
            out.set_with("ptp_port_messages_received_total", &labels, count);
        }
        out.set_with("ptp_port_messages_sent_total", &[("message", "delay_req")], self.sent);
        for event in ["announce_timeout", "sync_timeout", "delay_timeout"] {
            out.set_with("ptp_port_service_total", &[("event", event)], 0.0);
        }
    }

    fn emit_clock(&self, ppb: f64, out: &mut Out<'_>) {
        out.entity("phc", &[("phc", "ptp0")]);
        let labels = [
            ("clock_name", "ice-3b-00"),
            ("netdevs", self.iface.as_str()),
            ("driver", "ice"),
            ("pci", &self.pci),
        ];
        out.set_with("ptp_phc_info", &labels, 1.0);
        out.set("ptp_phc_max_adjustment_ratio", 0.1);
        out.set("ptp_phc_system_offset_seconds", 37.0 + self.system_ns / 1e9);
        out.set("ptp_phc_utc_error_seconds", self.system_ns / 1e9);
        out.set("ptp_phc_frequency_adjustment_ratio", (ppb * 1000.0).round() / 1000.0 * 1e-9);
        out.set("ptp_phc_steps_total", self.steps);
        out.node();
        out.set_with("ptp_system_offset_seconds", &[("source", "phc2sys")], self.system_ns / 1e9);
        out.set("ptp_system_synchronized", 1.0);
        out.set("ptp_node_clock_state", self.clock_state);
        out.set("ptp_os_clock_state", self.clock_state);
        for process in ["ptp4l", "phc2sys"] {
            let labels = [("process", process), ("config", "/var/run/ptp4l.0.config")];
            out.set_with("ptp_process_up", &labels, 1.0);
            out.set_with("ptp_process_restarts_total", &labels, 0.0);
        }
    }
}
