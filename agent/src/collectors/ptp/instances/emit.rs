//! What is known of an instance, as series. What ptp4l still tells of a master that is lost is
//! not told on.

use std::time::Duration;

use super::instance::Instance;
use super::labels::PortLabels;
use super::readings::{P2P, Port};
use crate::collectors::ptp::clocks::Clocks;
use crate::collectors::ptp::management::{PortServiceStats, PortState, TimeProperties};
use crate::collectors::ptp::metrics;
use crate::collectors::ptp::state::State;
use crate::sample::Batch;

/// Message types that are told, with their number.
const MESSAGES: [(&str, usize); 10] = [
    ("sync", 0),
    ("delay_req", 1),
    ("pdelay_req", 2),
    ("pdelay_resp", 3),
    ("follow_up", 8),
    ("delay_resp", 9),
    ("pdelay_resp_follow_up", 10),
    ("announce", 11),
    ("signaling", 12),
    ("management", 13),
];

/// Sets the series of an instance and its ports.
pub(crate) fn instance(instance: &mut Instance, batch: &mut Batch, now: Duration, clocks: &Clocks) {
    reachability(instance, batch);
    clock(instance, batch, now, clocks);
    master(instance, batch);
    if instance.down.is_some() {
        return;
    }
    let name = instance.target.name.as_str();
    for ((port, labels), history) in
        instance.readings.ports.iter().zip(&instance.labels.ports).zip(&instance.ports)
    {
        self::port(name, port, labels, history.changes, batch);
    }
}

fn reachability(instance: &mut Instance, batch: &mut Batch) {
    let longest = instance.client.take_longest();
    let counts = instance.client.counts();
    let mut entity = batch.entity("ptp_instance", &[("instance", &instance.target.name)]);
    match instance.down {
        None => entity.set(&metrics::UP, 1.0),
        Some(down) => entity.set_with(&metrics::UP, &[("reason", down.name())], 0.0),
    };
    let labels = &instance.labels;
    entity.set_with(
        &metrics::INSTANCE_INFO,
        &[
            ("domain", &labels.domain),
            ("profile", &labels.profile),
            ("clock_id", &labels.clock_id),
            ("config", &labels.config),
            ("socket", &labels.socket),
            ("timestamping", labels.timestamping),
            ("version", labels.version),
        ],
        1.0,
    );
    entity.set(&metrics::REQUEST_SECONDS, longest.as_secs_f64());
    for (error, count) in [
        ("timeout", counts.timeout),
        ("refused", counts.refused),
        ("malformed", counts.malformed),
        ("out_of_order", counts.out_of_order),
        ("other_domain", counts.other_domain),
        ("error_reply", counts.error_reply),
    ] {
        entity.set_with(&metrics::REQUEST_ERRORS, &[("error", error)], count as f64);
    }
}

fn clock(instance: &Instance, batch: &mut Batch, now: Duration, clocks: &Clocks) {
    let up = instance.down.is_none();
    let readings = &instance.readings;
    let follows = instance.grandmaster_class().is_none();
    let status = readings.status.filter(|_| instance.is_offset_current(now));
    let current = readings.current.filter(|_| instance.is_delay_current(now));
    let fresh = instance.freshness.is_fresh(now);
    let servo = readings.following().and_then(|port| match port.state()? {
        PortState::SLAVE if fresh => Some(2.0),
        PortState::UNCALIBRATED => Some(0.0),
        _ => None,
    });
    let frequency = instance.phc().and_then(|phc| clocks.phc(phc)?.frequency_ppb);
    let machine = &instance.machine;
    batch
        .entity("ptp_instance", &[("instance", &instance.target.name)])
        .set_opt(&metrics::CLOCK_STATE, machine.state().map(State::number))
        .set_opt(&metrics::HOLDOVER_LEFT, machine.holdover_left(now).map(|d| d.as_secs_f64()))
        .set(&metrics::STATE_CHANGES, machine.changes() as f64)
        .set(&metrics::OFFSET_LIMIT, machine.limits().offset_ns / 1e9)
        .set_opt(&metrics::OFFSET, status.map(|status| status.offset_ns as f64 / 1e9))
        .set_opt(&metrics::PATH_DELAY, current.map(|current| current.path_delay_ns / 1e9))
        .set_opt(&metrics::FREQUENCY, frequency.filter(|_| up && follows).map(|ppb| ppb * 1e-9))
        .set_opt(
            &metrics::SYNC_AGE,
            instance.freshness.age(now).filter(|_| follows).map(|age| age.as_secs_f64()),
        )
        .set_opt(&metrics::FRESH, (up && follows).then(|| flag(fresh)))
        .set_opt(&metrics::STARVED, up.then(|| flag(follows && instance.is_starved(now))))
        .set_opt(&metrics::SERVO_STATE, servo.filter(|_| up));
}

fn master(instance: &Instance, batch: &mut Batch) {
    let up = instance.down.is_none();
    let readings = &instance.readings;
    let parent = readings.parent.filter(|_| instance.is_parent_current());
    let status = readings.status.filter(|_| parent.is_some());
    let steps = readings.current.filter(|_| parent.is_some()).map(|c| c.steps_removed);
    // A grandmaster's own class is told at every poll, as that of its parent.
    let own = match instance.grandmaster_class() {
        None => readings.default.map(|default| default.clock_class),
        class => class,
    };
    let mut entity = batch.entity("ptp_instance", &[("instance", &instance.target.name)]);
    entity
        .set_opt(&metrics::STEPS_REMOVED, steps.map(f64::from))
        .set_opt(&metrics::CLOCK_CLASS, parent.map(|parent| parent.grandmaster_class.into()))
        .set_opt(&metrics::CLOCK_ACCURACY, parent.map(|parent| parent.grandmaster_accuracy.into()))
        .set_opt(&metrics::OWN_CLOCK_CLASS, own.filter(|_| up).map(f64::from))
        .set_opt(
            &metrics::GRANDMASTER_PRESENT,
            up.then(|| flag(status.is_some_and(|status| status.gm_present))),
        )
        .set_opt(&metrics::RATE_RATIO, status.map(|status| status.rate_offset));
    let time = readings.time.filter(|_| parent.is_some());
    let told = |of: fn(&TimeProperties) -> bool| time.as_ref().map(|time| flag(of(time)));
    entity
        .set_opt(&metrics::UTC_OFFSET, time.map(|time| time.utc_offset.into()))
        .set_opt(&metrics::UTC_OFFSET_VALID, told(|time| time.utc_offset_valid))
        .set_opt(&metrics::TIME_TRACEABLE, told(|time| time.time_traceable))
        .set_opt(&metrics::FREQUENCY_TRACEABLE, told(|time| time.frequency_traceable))
        .set_opt(&metrics::TIMESCALE_PTP, told(|time| time.ptp_timescale));
    if parent.is_some() {
        let labels = &instance.labels;
        entity.set_with(
            &metrics::GRANDMASTER_INFO,
            &[
                ("grandmaster", &labels.grandmaster),
                ("parent", &labels.parent),
                ("parent_port", &labels.parent_port),
            ],
            1.0,
        );
    }
}

fn port(instance: &str, port: &Port, labels: &PortLabels, changes: u64, batch: &mut Batch) {
    let entity = [("instance", instance), ("port", &*labels.number), ("iface", &*labels.iface)];
    let mut entity = batch.entity("ptp_port", &entity);
    let data = port.data;
    entity
        .set_opt(&metrics::PORT_STATE, data.map(|data| data.state.0.into()))
        .set(&metrics::PORT_STATE_CHANGES, changes as f64)
        .set_with(
            &metrics::PORT_INFO,
            &[
                ("delay_mechanism", labels.delay_mechanism),
                ("timestamping", labels.timestamping),
                ("phc", &labels.phc_name),
                ("port_id", &labels.port_id),
            ],
            1.0,
        )
        .set_opt(&metrics::PORT_SYNC_INTERVAL, data.and_then(|data| seconds(data.log_sync)))
        .set_opt(&metrics::PORT_ANNOUNCE_INTERVAL, data.and_then(|d| seconds(d.log_announce)))
        .set_opt(&metrics::PORT_DELAY_INTERVAL, data.and_then(|d| seconds(d.log_delay_request)));
    if let Some(data) = data.filter(|data| data.delay_mechanism == P2P) {
        let capable = port.as_capable.map(flag);
        entity
            .set(&metrics::PORT_PEER_DELAY, data.peer_delay_ns / 1e9)
            .set_opt(&metrics::PORT_AS_CAPABLE, capable);
    }
    if let Some(stats) = &port.stats {
        for (name, index) in MESSAGES {
            let labels = [("message", name)];
            entity
                .set_with(&metrics::PORT_MESSAGES_RX, &labels, stats.received[index] as f64)
                .set_with(&metrics::PORT_MESSAGES_TX, &labels, stats.sent[index] as f64);
        }
    }
    if let Some(service) = &port.service {
        for (name, count) in PortServiceStats::NAMES.iter().zip(service.counts) {
            entity.set_with(&metrics::PORT_SERVICE, &[("event", name)], count as f64);
        }
    }
    if let Some(masters) = port.unicast_masters.filter(|masters| *masters > 0) {
        entity.set(&metrics::PORT_UNICAST_MASTERS, masters.into());
    }
}

/// An interval of a logarithm; none where it is not told (0x7f).
fn seconds(log: i8) -> Option<f64> {
    (-20..=20).contains(&log).then(|| f64::from(log).exp2())
}

pub(super) fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}
