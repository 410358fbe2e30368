//! A clock's 12 series and 48 of virtual functions.
//!
//! Offsets are whole nanoseconds, as ptp4l and the PTP ioctls give them. Four are doubles in full
//! precision, as the agent reads them: the path delay (nanoseconds times 2^16), the frequency
//! (parts per million times 2^16) and what chrony says (its own floating point). Class, hops and
//! port state stay as they are while the clock is locked. Of a virtual function the driver counts
//! whole bytes and packets; one in three is in no use, and nothing is dropped.

use super::columns::{Columns, Line};
use super::job::Phase;
use super::random::{Random, approach};

/// Series of the clock.
pub const PTP_SERIES: usize = INSTANCE.len() + PORT.len() + PHC.len() + NODE.len();
/// Series of the virtual functions.
pub const VF_SERIES: usize = VFS * VF.len();

const VFS: usize = 6;
/// What ptp4l and the ioctl count in.
const NANO: f64 = 1e9;
/// The fixed point of path delays and frequencies.
const SCALED: f64 = 65_536.0;
/// TAI is that much ahead of UTC.
const TAI_S: f64 = 37.0;

const INSTANCE: [Line; 6] = [
    ("ptp_offset_seconds", &[]),
    ("ptp_mean_path_delay_seconds", &[]),
    ("ptp_frequency_adjustment_ratio", &[]),
    ("ptp_sync_age_seconds", &[]),
    ("ptp_clock_class", &[]),
    ("ptp_steps_removed", &[]),
];
const PORT: [Line; 3] = [
    ("ptp_port_state", &[]),
    ("ptp_port_messages_received_total", &[("message", "sync")]),
    ("ptp_port_messages_received_total", &[("message", "announce")]),
];
const PHC: [Line; 1] = [("ptp_phc_system_offset_seconds", &[])];
const NODE: [Line; 2] = [
    ("ptp_system_offset_seconds", &[("source", "chrony")]),
    ("ptp_chrony_rms_offset_seconds", &[]),
];

const VF: [Line; 8] = [
    ("sriov_vf_receive_bytes_total", &[]),
    ("sriov_vf_transmit_bytes_total", &[]),
    ("sriov_vf_receive_packets_total", &[]),
    ("sriov_vf_transmit_packets_total", &[]),
    ("sriov_vf_receive_multicast_total", &[]),
    ("sriov_vf_receive_broadcast_total", &[]),
    ("sriov_vf_receive_dropped_total", &[]),
    ("sriov_vf_transmit_dropped_total", &[]),
];

/// A clock that follows a grandmaster.
#[derive(Debug)]
pub(super) struct Clock {
    random: Random,
    delay_ns: f64,
    frequency: f64,
    system_s: f64,
    rms_s: f64,
    received: [f64; 2],
}

impl Clock {
    pub(super) fn new(mut random: Random) -> Self {
        let delay_ns = random.between(300.0, 900.0);
        let frequency = random.between(-9e3, 9e3) * SCALED;
        let received = [(random.unit() * 1e9).floor(), (random.unit() * 5e8).floor()];
        Self { random, delay_ns, frequency, system_s: 0.0, rms_s: 2e-6, received }
    }

    pub(super) fn columns(columns: &mut Columns) {
        columns.entity("ptp_instance", &[("instance", "ptp4l")], &INSTANCE);
        let port = [("instance", "ptp4l"), ("port", "1"), ("iface", "ens1f0")];
        columns.entity("ptp_port", &port, &PORT);
        columns.entity("phc", &[("phc", "ptp0")], &PHC);
        columns.entity("node", &[], &NODE);
    }

    /// Goes on by so many seconds, and adds the values then.
    pub(super) fn step(&mut self, seconds: f64, out: &mut Vec<f64>) {
        let random = &mut self.random;
        let offset_ns = (4.0 * random.normal()).round();
        let measured = self.delay_ns + 1.5 * random.normal();
        let delay_ns = (measured * SCALED).round() / SCALED;
        self.frequency += (random.normal() * 900.0).round();
        let age_s = (random.between(0.0, 0.0625) * NANO).round() / NANO;
        // Sync 16 times a second, Announce 8 times.
        for (total, rate) in self.received.iter_mut().zip([16.0, 8.0]) {
            *total += (rate * seconds + random.between(-0.6, 0.6)).round();
        }
        let phc_ns = (TAI_S * NANO + offset_ns + 15.0 * random.normal()).round();
        self.system_s += (2e-6 * random.normal() - self.system_s) * approach(seconds, 8.0);
        self.rms_s += (self.system_s.abs() - self.rms_s) * approach(seconds, 64.0);
        out.extend([
            offset_ns / NANO,
            delay_ns / NANO,
            self.frequency / SCALED * 1e-9,
            age_s,
            6.0,
            1.0,
            9.0,
        ]);
        out.extend(self.received);
        out.extend([phc_ns / NANO, self.system_s, self.rms_s]);
    }
}

/// The virtual functions of one device.
#[derive(Debug)]
pub(super) struct Functions {
    random: Random,
    totals: [[f64; 6]; VFS],
}

impl Functions {
    pub(super) fn new(mut random: Random) -> Self {
        let mut start = |high: f64| (random.unit() * high).floor();
        let totals = std::array::from_fn(|_| {
            [start(4e13), start(3e13), start(5e10), start(4e10), start(2e6), start(9e5)]
        });
        Self { random, totals }
    }

    pub(super) fn columns(columns: &mut Columns) {
        for vf in 0..VFS {
            let (number, pci) = (vf.to_string(), format!("0000:3b:02.{vf}"));
            columns.entity("vf", &[("pf", "ens1f0"), ("vf", &number), ("pci", &pci)], &VF);
        }
    }

    /// Goes on by so many seconds in a phase, and adds the values then.
    pub(super) fn step(&mut self, seconds: f64, phase: Phase, out: &mut Vec<f64>) {
        let random = &mut self.random;
        let busy = if phase == Phase::Idle { 0.02 } else { 1.0 };
        for (index, totals) in self.totals.iter_mut().enumerate() {
            // Every third waits for a pod.
            if index % 3 < 2 {
                for direction in 0..2 {
                    let rate = busy * random.between(2e8, 4e8);
                    let packets = (rate * seconds / random.between(900.0, 1400.0)).floor();
                    totals[direction] += (rate * seconds).floor();
                    totals[direction + 2] += packets;
                }
            }
            totals[4] += f64::from(u8::from(random.happens(0.5, seconds)));
            totals[5] += f64::from(u8::from(random.happens(0.1, seconds)));
            out.extend(*totals);
            out.extend([0.0, 0.0]);
        }
    }
}
