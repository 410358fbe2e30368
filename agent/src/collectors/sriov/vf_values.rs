//! What is told of a virtual function every 15 s.
//!
//! Its counters come from one source that does not change from tick to tick: its representor
//! where there is a switch in the NIC, else the driver's files in sysfs, else netlink if the
//! driver is known to count. What netlink told at an earlier tick keeps its columns but has no
//! sample.

use std::fmt::Write as _;
use std::path::Path;

use super::inventory::{Pf, Vf};
use super::metrics as m;
use super::sysfs::Reader;
use super::vf_info::VfInfo;
use super::vf_reader::VfReader;
use crate::collectors::pods::{Attribution, Owner};
use crate::sample::{Batch, EntityValues, Metric};

/// Rates are in Mbit/s.
const BYTES_PER_MEGABIT: f64 = 125_000.0;

/// The driver's own files per virtual function (out-of-tree drivers of Intel and NVIDIA).
static SYSFS: [(&str, &Metric); 9] = [
    ("rx_bytes", &m::VF_RX_BYTES),
    ("tx_bytes", &m::VF_TX_BYTES),
    ("rx_packets", &m::VF_RX_PACKETS),
    ("tx_packets", &m::VF_TX_PACKETS),
    ("rx_dropped", &m::VF_RX_DROPPED),
    ("tx_dropped", &m::VF_TX_DROPPED),
    ("tx_errors", &m::VF_TX_ERRORS),
    ("rx_broadcast", &m::VF_RX_BROADCAST),
    ("rx_multicast", &m::VF_RX_MULTICAST),
];

/// A representor's files: what it receives, the virtual function sent.
static REPRESENTOR: [(&str, &Metric); 6] = [
    ("tx_bytes", &m::VF_RX_BYTES),
    ("rx_bytes", &m::VF_TX_BYTES),
    ("tx_packets", &m::VF_RX_PACKETS),
    ("rx_packets", &m::VF_TX_PACKETS),
    ("tx_dropped", &m::VF_RX_DROPPED),
    ("rx_dropped", &m::VF_TX_DROPPED),
];

/// Whether the driver has files of its own with virtual functions' counters.
pub(super) fn in_sysfs(pf: &Pf) -> bool {
    pf.vfs.first().is_some_and(|vf| stats_path(pf, vf).exists())
}

fn stats_path(pf: &Pf, vf: &Vf) -> std::path::PathBuf {
    pf.dir.join("sriov").join(&vf.label).join("stats")
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// Who has each virtual function, where anybody knows: an answer that never came is not "no
/// one".
pub(super) fn owners(pf: &Pf, pods: &Attribution) -> Option<Vec<std::sync::Arc<[Owner]>>> {
    (pods.generation() > 0).then(|| pf.vfs.iter().map(|vf| pods.owners(&vf.pci)).collect())
}

/// Sets all virtual functions of `pf`. `owners` are in the order of the functions.
pub(super) fn set(
    pf: &Pf,
    told: &VfReader,
    from_sysfs: bool,
    owners: Option<&[std::sync::Arc<[Owner]>]>,
    batch: &mut Batch,
    reader: &mut Reader,
) {
    let mut mac = String::new();
    for (index, vf) in pf.vfs.iter().enumerate() {
        let labels =
            [("pf", pf.name.as_str()), ("vf", vf.label.as_str()), ("pci", vf.pci.as_str())];
        let mut entity = batch.entity("vf", &labels);
        let info = told.vf(vf.number);
        set_info(vf, info, &mut mac, &mut entity);
        entity.set(&m::VF_DRIVER_BOUND, flag(!vf.driver.is_empty()));
        if let Some(info) = info {
            set_configuration(info, told.is_fresh(), &mut entity);
        }
        if let Some(representor) = &vf.representor {
            let state = reader.text(&representor.dir, "operstate");
            entity.set_opt(&m::VF_REPRESENTOR_UP, state.map(|state| flag(state == "up")));
            let dir = representor.dir.join("statistics");
            for (file, metric) in &REPRESENTOR {
                entity.set_opt(metric, reader.number::<u64>(&dir, file).map(|v| v as f64));
            }
        } else if from_sysfs {
            set_from_sysfs(&stats_path(pf, vf), &mut entity, reader);
        } else if told.counts() == Some(true)
            && let Some(info) = info
        {
            set_counters(info, told.is_fresh(), &mut entity);
        }
        if let Some(owners) = owners.and_then(|owners| owners.get(index)) {
            entity.set(&m::VF_OWNED, flag(!owners.is_empty()));
            for owner in owners.iter() {
                let labels = [
                    ("namespace", owner.namespace.as_str()),
                    ("pod", &owner.pod),
                    ("container", &owner.container),
                    ("resource", &owner.resource),
                ];
                entity.set_with(&m::VF_POD_INFO, &labels, 1.0);
            }
        }
    }
}

fn set_info(vf: &Vf, info: Option<&VfInfo>, mac: &mut String, entity: &mut EntityValues<'_>) {
    mac.clear();
    for byte in info.and_then(|info| info.mac.as_deref()).unwrap_or_default() {
        let colon = if mac.is_empty() { "" } else { ":" };
        write!(mac, "{colon}{byte:02x}").expect("writing to a string cannot fail");
    }
    let number = |value: Option<u32>| value.map(|value| value.to_string()).unwrap_or_default();
    let vlan = number(info.and_then(|info| info.vlan));
    let qos = number(info.and_then(|info| info.qos));
    let protocol = match info.and_then(|info| info.vlan_protocol) {
        Some(0x8100) => "802.1Q".to_owned(),
        Some(0x88a8) => "802.1ad".to_owned(),
        Some(other) => format!("{other:#06x}"),
        None => String::new(),
    };
    let name = |netdev: &Option<super::netdev::Netdev>| {
        netdev.as_ref().map(|netdev| netdev.name.clone()).unwrap_or_default()
    };
    let (netdev, representor) = (name(&vf.netdev), name(&vf.representor));
    let labels = [
        ("mac", mac.as_str()),
        ("vlan", &vlan),
        ("qos", &qos),
        ("vlan_proto", &protocol),
        ("driver", &vf.driver),
        ("iommu_group", &vf.iommu_group),
        ("numa_node", &vf.numa_node),
        ("netdev", &netdev),
        ("representor", &representor),
        ("rdma_device", &vf.rdma_device),
    ];
    entity.set_with(&m::VF_INFO, &labels, 1.0);
}

fn set_configuration(info: &VfInfo, fresh: bool, entity: &mut EntityValues<'_>) {
    let mut set = |metric, value: Option<f64>| {
        if let Some(value) = value {
            entity.set_opt(metric, fresh.then_some(value));
        }
    };
    set(&m::VF_TRUST, info.trust.map(flag));
    set(&m::VF_SPOOF_CHECK, info.spoof_check.map(flag));
    set(&m::VF_LINK_STATE, info.link_state.map(f64::from));
    set(&m::VF_RSS_QUERY, info.rss_query.map(flag));
    let rate = |rate: Option<u32>| rate.map(|rate| f64::from(rate) * BYTES_PER_MEGABIT);
    set(&m::VF_MIN_TX_RATE, rate(info.min_rate));
    set(&m::VF_MAX_TX_RATE, rate(info.max_rate));
    let is_set = info.mac.as_deref().map(|mac| mac.iter().any(|byte| *byte != 0));
    set(&m::VF_MAC_SET, is_set.map(flag));
}

fn set_counters(info: &VfInfo, fresh: bool, entity: &mut EntityValues<'_>) {
    let Some(stats) = &info.stats else { return };
    let values = [
        (&m::VF_RX_BYTES, Some(stats.rx_bytes)),
        (&m::VF_TX_BYTES, Some(stats.tx_bytes)),
        (&m::VF_RX_PACKETS, Some(stats.rx_packets)),
        (&m::VF_TX_PACKETS, Some(stats.tx_packets)),
        (&m::VF_RX_DROPPED, stats.rx_dropped),
        (&m::VF_TX_DROPPED, stats.tx_dropped),
        (&m::VF_RX_BROADCAST, Some(stats.rx_broadcast)),
        (&m::VF_RX_MULTICAST, Some(stats.rx_multicast)),
    ];
    for (metric, value) in values {
        if let Some(value) = value {
            entity.set_opt(metric, fresh.then_some(value as f64));
        }
    }
}

/// Intel's drivers have a directory with a file each, NVIDIA's one file with "name : value".
fn set_from_sysfs(stats: &Path, entity: &mut EntityValues<'_>, reader: &mut Reader) {
    if stats.is_dir() {
        for (file, metric) in &SYSFS {
            if let Some(value) = reader.number::<u64>(stats, file) {
                entity.set(metric, value as f64);
            }
        }
        return;
    }
    let (Some(dir), Some(name)) = (stats.parent(), stats.file_name().and_then(|n| n.to_str()))
    else {
        return;
    };
    let Some(text) = reader.text(dir, name) else { return };
    let value = |key: &str| {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let found = lines.into_iter().find(|(name, _)| name.trim() == key)?.1;
        found.trim().parse::<u64>().ok()
    };
    for (key, metric) in &SYSFS {
        if let Some(value) = value(key) {
            entity.set(metric, value as f64);
        }
    }
}
