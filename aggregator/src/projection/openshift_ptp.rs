//! `openshift_ptp_*`, as linuxptp-daemon and cloud-event-proxy have them: nanoseconds, their
//! numbering of port roles, and the card's alias (`ens2fx`) as `iface` of what is about a clock.
//!
//! Offsets and delays are there only while they are fresh; the peers keep the last one, or say
//! 999999. Not here, since nothing on the node tells it without reading logs: `nmea_status`,
//! `ha_profile_status`, `synce_*` and the threshold `HoldOverTimeout`.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Kind::{Counter, Gauge};
use super::fleet::{Entity, Fleet, NodeView};
use super::{Family, Kind, Projection, Put};

/// What the peers call the system clock.
const REALTIME: &str = "CLOCK_REALTIME";

const TABLE: &[(&str, Kind, &str)] = &[
    ("openshift_ptp_offset_ns", Gauge, "Offset from the source in ns, while it is fresh."),
    ("openshift_ptp_max_offset_ns", Gauge, "As openshift_ptp_offset_ns: no summary is kept."),
    ("openshift_ptp_frequency_adjustment_ns", Gauge, "Frequency adjustment in ppb."),
    ("openshift_ptp_delay_ns", Gauge, "Mean path delay in ns, while it is fresh."),
    ("openshift_ptp_clock_state", Gauge, "0 = FREERUN, 1 = LOCKED, 2 = HOLDOVER."),
    ("openshift_ptp_clock_class", Gauge, "clockClass of the grandmaster (IEEE 1588)."),
    (
        "openshift_ptp_interface_role",
        Gauge,
        "0 = PASSIVE, 1 = SLAVE, 2 = MASTER, 3 = FAULTY, 4 = UNKNOWN, 5 = LISTENING.",
    ),
    ("openshift_ptp_process_status", Gauge, "0 = DOWN, 1 = UP."),
    ("openshift_ptp_process_restart_count", Counter, "Starts of the process."),
    ("openshift_ptp_threshold", Gauge, "What the profile allows in ns."),
    ("openshift_ptp_gnss_status", Gauge, "GNSS fix: 0 none, 2 2D, 3 3D."),
    (
        "openshift_ptp_frequency_status",
        Gauge,
        "DPLL of frequency: 1 free run, 2 locked, 3 locked with holdover acquired, 4 holdover.",
    ),
    ("openshift_ptp_phase_status", Gauge, "DPLL of phase, as openshift_ptp_frequency_status."),
    ("openshift_ptp_pps_status", Gauge, "1 while the DPLL of phase has its source."),
];

/// A line's labels and value.
type Line = (Vec<(&'static str, String)>, f64);

/// The projection of one fleet: its lines, by family.
pub(super) struct OpenshiftPtp {
    lines: FxHashMap<&'static str, Vec<Line>>,
}

/// The families.
pub(super) fn families() -> Vec<Family> {
    let family = |(id, (name, kind, help)): (usize, &(&'static str, Kind, &'static str))| Family {
        name,
        kind: *kind,
        help,
        id,
    };
    TABLE.iter().enumerate().map(family).collect()
}

/// A card's alias: its port's name with the last character before a VLAN masked. All ports of a
/// card share its clock.
pub(super) fn alias(iface: &str) -> String {
    let (name, vlan) = iface.split_at(iface.find('.').unwrap_or(iface.len()));
    match name.char_indices().next_back() {
        Some((last, _)) => format!("{}x{vlan}", &name[..last]),
        None => iface.to_owned(),
    }
}

impl OpenshiftPtp {
    pub(super) fn new(fleet: &Fleet) -> Self {
        let mut all = Self { lines: FxHashMap::default() };
        for node in &fleet.nodes {
            let mut lines = Lines { all: &mut all, node, seen: FxHashSet::default() };
            let cards = cards(node);
            lines.instances(&cards);
            lines.system_clock();
            lines.ports();
            lines.processes();
            lines.devices(&cards);
        }
        all
    }
}

impl Projection for OpenshiftPtp {
    fn families(&self) -> Vec<Family> {
        families()
    }

    fn write(&self, id: usize, put: Put<'_>) {
        for (labels, value) in TABLE.get(id).and_then(|t| self.lines.get(t.0)).into_iter().flatten()
        {
            let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (*n, v.as_str())).collect();
            put(&labels, *value);
        }
    }
}

/// The name of the card that each instance follows. Two instances on ports of one card would be
/// one series under its alias: theirs are the ports' own names.
fn cards(node: &NodeView) -> FxHashMap<&str, String> {
    let mut ports: FxHashMap<&str, (u8, &str)> = FxHashMap::default();
    for port in node.entities("ptp_port") {
        let (Some(instance), Some(iface)) = (port.label("instance"), port.label("iface")) else {
            continue;
        };
        // The slave port; then one that could become it.
        let rank = match port.value("ptp_port_state") {
            Some(9.0) => 0,
            Some(8.0) => 1,
            Some(1.0 | 2.0 | 4.0 | 5.0) => 2,
            _ => 3,
        };
        let best = ports.entry(instance).or_insert((rank, iface));
        if rank < best.0 {
            *best = (rank, iface);
        }
    }
    let mut shared: FxHashMap<String, usize> = FxHashMap::default();
    for (_, iface) in ports.values() {
        *shared.entry(alias(iface)).or_default() += 1;
    }
    let name = |iface: &str| {
        let alias = alias(iface);
        if shared[&alias] > 1 { iface.to_owned() } else { alias }
    };
    ports.into_iter().map(|(instance, (_, iface))| (instance, name(iface))).collect()
}

struct Lines<'a> {
    all: &'a mut OpenshiftPtp,
    node: &'a NodeView,
    seen: FxHashSet<(&'static str, String)>,
}

impl Lines<'_> {
    /// Adds a line; a second one with the same labels has nothing to say.
    fn add(&mut self, family: &'static str, own: &[(&'static str, &str)], value: Option<f64>) {
        let Some(value) = value else { return };
        let key = (&self.node.key.cluster, &self.node.key.name);
        let mut labels = vec![("cluster", key.0.to_string()), ("node", key.1.to_string())];
        labels.extend(own.iter().map(|(n, v)| (*n, (*v).to_owned())));
        let text = labels[2..].iter().map(|(n, v)| format!("{n}={v}\n")).collect();
        if self.seen.insert((family, text)) {
            self.all.lines.entry(family).or_default().push((labels, value));
        }
    }

    fn instances(&mut self, cards: &FxHashMap<&str, String>) {
        let node = self.node;
        for entity in node.entities("ptp_instance") {
            let Some(instance) = entity.label("instance") else { continue };
            let config = entity.info("ptp_instance_info", "config");
            let config = file_name(config.unwrap_or(instance));
            let class = entity.value("ptp_clock_class");
            let own = [("process", "ptp4l"), ("config", config)];
            self.add("openshift_ptp_clock_class", &own, class);
            if let Some(profile) = entity.info("ptp_instance_info", "profile") {
                let limit = ns(entity, "ptp_offset_limit_seconds");
                let f = |which| [("threshold", which), ("profile", profile)];
                self.add("openshift_ptp_threshold", &f("MaxOffsetThreshold"), limit);
                self.add("openshift_ptp_threshold", &f("MinOffsetThreshold"), limit.map(|l| -l));
            }
            let Some(card) = cards.get(instance) else { continue };
            let own = [("from", "master"), ("process", "ptp4l"), ("iface", card.as_str())];
            let offset = ns(entity, "ptp_offset_seconds");
            self.add("openshift_ptp_offset_ns", &own, offset);
            self.add("openshift_ptp_max_offset_ns", &own, offset);
            self.add("openshift_ptp_delay_ns", &own, ns(entity, "ptp_mean_path_delay_seconds"));
            let frequency = ns(entity, "ptp_frequency_adjustment_ratio");
            self.add("openshift_ptp_frequency_adjustment_ns", &own, frequency);
            self.add("openshift_ptp_clock_state", &own[1..], entity.value("ptp_clock_state"));
        }
    }

    fn system_clock(&mut self) {
        let node = self.node;
        let own = [("from", "phc"), ("process", "phc2sys"), ("iface", REALTIME)];
        let mut offsets = node.samples("ptp_system_offset_seconds");
        if let Some(offset) = offsets.find(|s| s.label("source") == Some("phc2sys")) {
            let offset = Some(to_ns(offset.value));
            self.add("openshift_ptp_offset_ns", &own, offset);
            self.add("openshift_ptp_max_offset_ns", &own, offset);
            let frequency = node.value("ptp_system_frequency_adjustment_ratio").map(to_ns);
            self.add("openshift_ptp_frequency_adjustment_ns", &own, frequency);
        }
        self.add("openshift_ptp_clock_state", &own[1..], node.value("ptp_os_clock_state"));
    }

    fn ports(&mut self) {
        let node = self.node;
        for port in node.entities("ptp_port") {
            let Some(iface) = port.label("iface") else { continue };
            let role = port.value("ptp_port_state").map(|state| match state {
                7.0 => 0.0,
                9.0 => 1.0,
                6.0 => 2.0,
                2.0 => 3.0,
                4.0 => 5.0,
                _ => 4.0,
            });
            self.add(
                "openshift_ptp_interface_role",
                &[("process", "ptp4l"), ("iface", iface)],
                role,
            );
        }
    }

    fn processes(&mut self) {
        let node = self.node;
        for (metric, family, first) in [
            ("ptp_process_up", "openshift_ptp_process_status", 0.0),
            // Theirs counts the first start, too.
            ("ptp_process_restarts_total", "openshift_ptp_process_restart_count", 1.0),
        ] {
            for sample in node.samples(metric) {
                let process = sample.label("process").unwrap_or_default();
                let config = file_name(sample.label("config").unwrap_or_default());
                let own = [("process", process), ("config", config)];
                self.add(family, &own, Some(sample.value + first));
            }
        }
    }

    /// DPLLs and GNSS receivers. Nothing says which card one is on: with clocks on one card
    /// only, it is that card; otherwise the device's own name stands for it.
    fn devices(&mut self, cards: &FxHashMap<&str, String>) {
        let node = self.node;
        let names: FxHashSet<&str> = cards.values().map(String::as_str).collect();
        let card = (names.len() == 1).then(|| names.into_iter().next()).flatten();
        for dpll in node.entities("dpll") {
            let lock = dpll.value("ptp_dpll_lock_status");
            let id = dpll.label("dpll").unwrap_or_default();
            let module = dpll.info("ptp_dpll_info", "module").unwrap_or("dpll");
            let name = format!("{module}-{id}");
            let own = [("from", "dpll"), ("process", "dpll"), ("iface", card.unwrap_or(&name))];
            match dpll.info("ptp_dpll_info", "type") {
                Some("eec") => self.add("openshift_ptp_frequency_status", &own, lock),
                Some("pps") => {
                    self.add("openshift_ptp_phase_status", &own, lock);
                    let source = lock.map(|l| f64::from(u8::from(l == 2.0 || l == 3.0)));
                    self.add("openshift_ptp_pps_status", &own, source);
                }
                _ => {}
            }
        }
        for gnss in node.entities("gnss") {
            let device = file_name(gnss.label("device").unwrap_or_default());
            let own = [("from", "gnss"), ("process", "gnss"), ("iface", card.unwrap_or(device))];
            self.add("openshift_ptp_gnss_status", &own, gnss.value("ptp_gnss_fix"));
            self.add("openshift_ptp_offset_ns", &own, ns(gnss, "ptp_gnss_time_offset_seconds"));
        }
    }
}

fn ns(entity: &Entity, metric: &str) -> Option<f64> {
    entity.value(metric).map(to_ns)
}

/// Seconds in nanoseconds, to the picosecond: what multiplying adds beyond that is noise.
fn to_ns(seconds: f64) -> f64 {
    (seconds * 1e12).round() / 1e3
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alias_masks_the_port_of_a_card() {
        let f = |iface, want| assert_eq!(alias(iface), want);
        f("ens2f0", "ens2fx");
        f("ens1f1.100", "ens1fx.100");
        f("eth0", "ethx");
        f("", "");
        f("é", "x");
    }

    #[test]
    fn nanoseconds_are_without_noise() {
        let f = |seconds: f64, want: f64| assert!(to_ns(seconds).total_cmp(&want).is_eq());
        f(12e-9, 12.0);
        f(-4.25e-9, -4.25);
        f(1e-7, 100.0);
        f(37.0, 37e9);
    }
}
