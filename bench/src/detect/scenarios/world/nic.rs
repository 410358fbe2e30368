//! Network adapters: physical functions, their virtual functions, and who uses them.

use super::super::rng::Rng;
use super::super::shape::Out;
use super::super::spec::Numbers;
use sextant_proto::frame::ABSENT;

/// What faults do to a virtual function now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct VfEffects {
    pub(crate) drops_per_s: f64,
    /// Share of what is received that is dropped.
    pub(crate) drop_ratio: f64,
    pub(crate) stuck: bool,
}

/// A virtual function.
#[derive(Debug)]
pub(crate) struct Vf {
    pub(crate) number: String,
    pub(crate) pci: String,
    mac: String,
    pub(crate) owned: bool,
    usual_rate: f64,
    burst: f64,
    pub(crate) effects: VfEffects,
    /// Received bytes, packets, dropped; transmitted bytes, packets, dropped.
    pub(crate) counters: [f64; 6],
}

/// A physical function.
#[derive(Debug)]
pub(crate) struct Pf {
    pub(crate) name: String,
    pub(crate) pci: String,
    pub(crate) up: bool,
    carrier_changes: f64,
    ups: f64,
    pub(crate) counters: [f64; 6],
    pub(crate) vfs: Vec<Vf>,
    /// Since the last step of the virtual functions.
    pending_s: f64,
}

impl Pf {
    pub(crate) fn new(number: usize, vfs: usize, p: &Numbers, rng: &mut Rng) -> Self {
        let mut vf = |index: usize| Vf {
            number: index.to_string(),
            pci: format!("0000:3b:{:02x}.{}", 2 + number * 8 + index / 8, index % 8),
            mac: format!("0c:42:a1:5d:{number:02x}:{index:02x}"),
            owned: rng.chance(0.75),
            usual_rate: rng.vary(p.get("vf_packets_per_s"), 0.9),
            burst: 0.0,
            effects: VfEffects::default(),
            counters: [0.0; 6],
        };
        Self {
            name: format!("ens1f{number}"),
            pci: format!("0000:3b:00.{number}"),
            up: true,
            carrier_changes: 2.0,
            ups: 1.0,
            counters: [0.0; 6],
            vfs: (0..vfs).map(&mut vf).collect(),
            pending_s: 0.0,
        }
    }

    /// The link changed.
    pub(crate) fn set_link(&mut self, up: bool) {
        if self.up != up {
            self.up = up;
            self.carrier_changes += 1.0;
            self.ups += if up { 1.0 } else { 0.0 };
        }
    }

    /// All counters start again.
    pub(crate) fn restart(&mut self) {
        self.counters = [0.0; 6];
        self.vfs.iter_mut().for_each(|vf| vf.counters = [0.0; 6]);
    }

    /// Goes on by a second.
    pub(crate) fn step(&mut self, day: f64, p: &Numbers, rng: &mut Rng) {
        self.pending_s += if self.up { 1.0 } else { 0.0 };
        let level = 1.0 + p.get("daily_share") * day;
        let usual: f64 = self.vfs.iter().filter(|v| v.owned).map(|v| v.usual_rate).sum();
        if self.up {
            let packets = (usual * level * (0.05 * rng.normal()).exp()).round();
            let bytes = (packets * p.get("packet_bytes")).round();
            for (counter, add) in self.counters.iter_mut().zip([
                bytes,
                packets,
                0.0,
                bytes * 0.8,
                packets * 0.85,
                0.0,
            ]) {
                *counter += add.round();
            }
        }
    }

    /// The counters of the virtual functions up to now: read rarely, moved then.
    pub(crate) fn step_vfs(&mut self, day: f64, p: &Numbers, rng: &mut Rng) {
        let dt = std::mem::take(&mut self.pending_s);
        let level = 1.0 + p.get("daily_share") * day;
        let mut exhausted = 0.0;
        for vf in &mut self.vfs {
            let share = if vf.owned { 1.0 } else { 0.0004 };
            vf.burst = 0.8 * vf.burst + p.get("burst_noise") * rng.normal();
            let rate = vf.usual_rate * share * level * vf.burst.exp();
            let sent = (rate * 0.85 * dt).round();
            let mut received = (rate * dt).round();
            let VfEffects { drops_per_s, drop_ratio, stuck } = vf.effects;
            let background = rng.poisson(received * p.get("background_drop_ratio"));
            let mut dropped = background + rng.poisson(drops_per_s * dt);
            if drop_ratio > 0.0 {
                let lost = (received * drop_ratio).round();
                dropped += lost;
                received -= lost;
                exhausted += lost;
            }
            if stuck {
                received = 0.0;
            }
            let size = p.get("packet_bytes");
            let moved = [received * size, received, dropped, sent * size, sent, 0.0];
            for (counter, add) in vf.counters.iter_mut().zip(moved) {
                *counter += add.round();
            }
        }
        self.counters[2] += exhausted;
    }

    fn labels(&self) -> [(&str, &str); 2] {
        [("pf", &self.name), ("pci", &self.pci)]
    }

    /// The fast tier.
    pub(crate) fn emit_fast(&self, out: &mut Out<'_>) {
        out.entity("pf", &self.labels());
        out.set("sriov_pf_up", f64::from(u8::from(self.up)));
        out.set("sriov_pf_carrier_changes_total", self.carrier_changes);
        let [received, packets, dropped, sent, sent_packets, sent_dropped] = self.counters;
        out.set("sriov_pf_receive_bytes_total", received);
        out.set("sriov_pf_transmit_bytes_total", sent);
        out.set("sriov_pf_receive_packets_total", packets);
        out.set("sriov_pf_transmit_packets_total", sent_packets);
        out.set("sriov_pf_receive_dropped_total", dropped);
        out.set("sriov_pf_transmit_dropped_total", sent_dropped);
        out.set("sriov_pf_receive_errors_total", 0.0);
        out.set("sriov_pf_transmit_errors_total", 0.0);
    }

    /// The slow tier.
    pub(crate) fn emit_slow(&self, out: &mut Out<'_>) {
        out.entity("pf", &self.labels());
        let labels =
            [("driver", "ice"), ("vendor", "0x8086"), ("device", "0x1592"), ("phc", "ptp0")];
        out.set_with("sriov_pf_info", &labels, 1.0);
        let count = self.vfs.len() as f64;
        out.set("sriov_pf_vfs", count);
        out.set("sriov_pf_vfs_configured", count);
        out.set("sriov_pf_vfs_max", 128.0);
        out.set("sriov_pf_vfs_owned", self.vfs.iter().filter(|v| v.owned).count() as f64);
        out.set("sriov_pf_speed_bytes_per_second", if self.up { 12.5e9 } else { ABSENT });
        out.set("sriov_pf_pcie_transfers_per_second", 16e9);
        out.set("sriov_pf_pcie_transfers_per_second_max", 16e9);
        out.set("sriov_pf_pcie_width", 16.0);
        out.set("sriov_pf_pcie_width_max", 16.0);
        out.set("sriov_pf_power_d0", 1.0);
        for severity in ["correctable", "nonfatal", "fatal"] {
            out.set_with("sriov_pf_aer_errors_total", &[("severity", severity)], 0.0);
        }
        for vf in &self.vfs {
            self.emit_vf(vf, out);
        }
    }

    fn emit_vf(&self, vf: &Vf, out: &mut Out<'_>) {
        let labels = [("pf", self.name.as_str()), ("vf", &vf.number), ("pci", &vf.pci)];
        out.entity("vf", &labels);
        let labels = [("mac", vf.mac.as_str()), ("driver", "iavf"), ("vlan", "0")];
        out.set_with("sriov_vf_info", &labels, 1.0);
        if vf.owned {
            let pod = format!("du-{}-{}", self.name, vf.number);
            let labels = [
                ("namespace", "ran"),
                ("pod", pod.as_str()),
                ("container", "du"),
                ("resource", "openshift.io/vf"),
            ];
            out.set_with("sriov_vf_pod_info", &labels, 1.0);
        }
        for (metric, value) in [
            ("sriov_vf_trust", 0.0),
            ("sriov_vf_spoof_check", 1.0),
            ("sriov_vf_link_state", 0.0),
            ("sriov_vf_mac_set", 1.0),
            ("sriov_vf_driver_bound", 1.0),
            ("sriov_vf_owned", f64::from(u8::from(vf.owned))),
        ] {
            out.set(metric, value);
        }
        for (metric, value) in [
            "sriov_vf_receive_bytes_total",
            "sriov_vf_receive_packets_total",
            "sriov_vf_receive_dropped_total",
            "sriov_vf_transmit_bytes_total",
            "sriov_vf_transmit_packets_total",
            "sriov_vf_transmit_dropped_total",
        ]
        .into_iter()
        .zip(vf.counters)
        {
            out.set(metric, value);
        }
    }

    /// What the host collector tells of the network device.
    pub(crate) fn emit_netdev(&self, out: &mut Out<'_>) {
        out.entity("netdev", &[("device", &self.name)]);
        let [received, packets, dropped, sent, sent_packets, sent_dropped] = self.counters;
        out.set("node_network_receive_bytes_total", received);
        out.set("node_network_receive_packets_total", packets);
        out.set("node_network_receive_drop_total", dropped);
        out.set("node_network_transmit_bytes_total", sent);
        out.set("node_network_transmit_packets_total", sent_packets);
        out.set("node_network_transmit_drop_total", sent_dropped);
        out.set("node_network_carrier", f64::from(u8::from(self.up)));
        out.set("node_network_carrier_up_changes_total", self.ups);
    }
}
