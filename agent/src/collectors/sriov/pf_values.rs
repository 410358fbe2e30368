//! What is told of a physical function every 15 s.

use std::path::Path;
use std::time::Duration;

use super::devlink;
use super::inventory::Pf;
use super::metrics as m;
use super::sysfs::Reader;
use super::vf_reader::VfReader;
use crate::sample::{Batch, EntityValues};

/// `speed` is in Mbit/s.
const BYTES_PER_MEGABIT: f64 = 125_000.0;
const TRANSFERS_PER_GIGA: f64 = 1e9;

/// Totals of the PCIe errors by severity, the last line of a file each.
const AER: [(&str, &str, &str); 3] = [
    ("correctable", "aer_dev_correctable", "TOTAL_ERR_COR "),
    ("nonfatal", "aer_dev_nonfatal", "TOTAL_ERR_NONFATAL "),
    ("fatal", "aer_dev_fatal", "TOTAL_ERR_FATAL "),
];

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// Transfers a second of "8.0 GT/s PCIe"; `None` for "Unknown".
fn transfers(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once(' ')?;
    let giga: f64 = number.parse().ok()?;
    (unit.starts_with("GT/s") && giga > 0.0).then_some(giga * TRANSFERS_PER_GIGA)
}

/// The number on the line that starts with `total`.
fn total(text: &str, total: &str) -> Option<f64> {
    let rest = text.lines().rev().find_map(|line| line.strip_prefix(total))?;
    rest.trim().parse::<u64>().ok().map(|value| value as f64)
}

/// What is known of a function beside what sysfs says.
pub(super) struct Known<'a> {
    pub(super) vfs: &'a VfReader,
    /// The driver has files with virtual functions' counters.
    pub(super) from_sysfs: bool,
    pub(super) firmware: &'a str,
    /// Virtual functions that pods own.
    pub(super) owned: Option<usize>,
    pub(super) eswitch: Option<&'a devlink::Eswitch>,
}

/// Sets what is known of the function but its driver's counters.
pub(super) fn set(pf: &Pf, known: &Known<'_>, entity: &mut EntityValues<'_>, reader: &mut Reader) {
    let Known { vfs, from_sysfs, firmware, owned, eswitch } = *known;
    let info = [
        ("driver", pf.driver.as_str()),
        ("vendor", &pf.vendor),
        ("device", &pf.device),
        ("mac", &pf.mac),
        ("numa_node", &pf.numa_node),
        ("phys_switch_id", &pf.phys_switch_id),
        ("phc", &pf.phc),
        ("rdma_device", &pf.rdma_device),
        ("firmware", firmware),
    ];
    entity.set_with(&m::PF_INFO, &info, 1.0);
    entity.set(&m::PF_VFS, pf.vfs.len() as f64);
    entity.set_opt(&m::PF_VFS_CONFIGURED, pf.configured_vfs.map(f64::from));
    entity.set(&m::PF_VFS_MAX, f64::from(pf.max_vfs));
    if let Some(owned) = owned {
        entity.set(&m::PF_VFS_OWNED, owned as f64);
    }
    if let Some(netdev) = &pf.netdev
        && let Some(speed) = reader.number::<u32>(&netdev.dir, "speed").filter(|s| *s != u32::MAX)
    {
        entity.set(&m::PF_SPEED, f64::from(speed) * BYTES_PER_MEGABIT);
    }
    pcie(&pf.dir, entity, reader);
    if let Some(eswitch) = eswitch {
        let labels = [
            ("mode", eswitch.mode),
            ("inline_mode", eswitch.inline),
            ("encap_mode", eswitch.encap),
        ];
        entity.set_with(&m::PF_ESWITCH_INFO, &labels, 1.0);
    }
    if pf.vfs.is_empty() {
        return;
    }
    let counts = if from_sysfs { Some(true) } else { vfs.counts() };
    if let Some(counts) = counts {
        entity.set(&m::PF_STATS_SUPPORTED, flag(counts));
    }
    let seconds = |time: Duration| time.as_secs_f64();
    entity.set_opt(&m::PF_VF_READ_SECONDS, vfs.took().map(seconds));
    entity.set(&m::PF_VF_READ_INTERVAL, seconds(vfs.interval()));
    entity.set_with(&m::PF_VF_READ_MODE, &[("mode", vfs.mode().name())], 1.0);
}

fn pcie(dir: &Path, entity: &mut EntityValues<'_>, reader: &mut Reader) {
    let speeds =
        [(&m::PF_PCIE_SPEED, "current_link_speed"), (&m::PF_PCIE_SPEED_MAX, "max_link_speed")];
    for (metric, file) in speeds {
        if let Some(speed) = reader.text(dir, file).and_then(transfers) {
            entity.set(metric, speed);
        }
    }
    let widths =
        [(&m::PF_PCIE_WIDTH, "current_link_width"), (&m::PF_PCIE_WIDTH_MAX, "max_link_width")];
    for (metric, file) in widths {
        // 0 is what the kernel says of a device without a link, 255 of one that is gone.
        if let Some(width) = reader.number::<u8>(dir, file).filter(|w| (1..=32).contains(w)) {
            entity.set(metric, f64::from(width));
        }
    }
    match reader.text(dir, "power_state") {
        None | Some("unknown" | "error") => {}
        Some(state) => {
            entity.set(&m::PF_POWER_D0, flag(state == "D0"));
        }
    }
    for (severity, file, line) in AER {
        if let Some(errors) = reader.text(dir, file).and_then(|text| total(text, line)) {
            entity.set_with(&m::PF_AER, &[("severity", severity)], errors);
        }
    }
}

/// Sets what devlink says of the device's ports and reporters.
pub(super) fn set_devlink(pci: &str, told: &devlink::Reading, batch: &mut Batch) {
    let device = told.device();
    let now = |value: f64| told.is_fresh().then_some(value);
    for reporter in &device.reporters {
        let labels = [("pci", pci), ("reporter", reporter.name.as_str()), ("port", &reporter.port)];
        // The device's own have no port.
        let labels = if reporter.port.is_empty() { &labels[..2] } else { &labels };
        let mut entity = batch.entity("devlink_reporter", labels);
        entity.set_opt(&m::REPORTER_STATE, now(flag(reporter.failed)));
        entity.set_opt(&m::REPORTER_ERRORS, now(reporter.errors as f64));
        entity.set_opt(&m::REPORTER_RECOVERIES, now(reporter.recoveries as f64));
    }
    for port in &device.ports {
        let labels = [("pci", pci), ("port", port.index.as_str())];
        let mut entity = batch.entity("devlink_port", &labels);
        let info = [
            ("flavour", port.flavour),
            ("type", port.kind),
            ("netdev", &port.netdev),
            ("vf", &port.vf),
        ];
        entity.set_with(&m::DEVLINK_PORT_INFO, &info, 1.0);
        if let Some(active) = port.active {
            entity.set_opt(&m::DEVLINK_PORT_ACTIVE, now(flag(active)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_and_totals_are_read_or_refused() {
        let cases = [
            ("2.5 GT/s PCIe", Some(2.5e9)),
            ("16.0 GT/s PCIe", Some(16e9)),
            ("8 GT/s", Some(8e9)),
            ("Unknown", None),
            ("Unknown speed", None),
            ("0 GT/s", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(transfers(text), expected, "{text}");
        }
        let text = "RxErr 1\nTOTAL_ERR_COR 42\n";
        assert_eq!(total(text, "TOTAL_ERR_COR "), Some(42.0));
        assert_eq!(total(text, "TOTAL_ERR_FATAL "), None);
        assert_eq!(total("TOTAL_ERR_COR x", "TOTAL_ERR_COR "), None);
    }
}
