//! Which PTP hardware clocks there are and what they can do, from `/sys/class/ptp`.
//!
//! sysfs shows all clocks of the machine whatever the network namespace; the devices in
//! `device/net` only those that are in this one.

use std::path::{Path, PathBuf};

use super::super::sysfs;

/// More clocks than any machine has hardware for; virtual ones come to hundreds if somebody
/// asks for them.
const MOST: usize = 64;
/// More pins than any clock has.
const MOST_PINS: usize = 64;

/// A programmable pin.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pin {
    pub(super) name: String,
    /// 0 none, 1 external timestamp, 2 periodic output, 3 PHY sync.
    pub(super) function: f64,
    pub(super) channel: String,
}

/// A clock as sysfs describes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Description {
    /// "ptp0".
    pub(super) name: String,
    pub(super) index: i32,
    /// Major and minor number: changes when the clock goes and another takes its name.
    pub(super) dev: String,
    pub(super) clock_name: String,
    /// Names of the devices that it stamps for, with commas between.
    pub(super) netdevs: String,
    pub(super) driver: String,
    pub(super) pci: String,
    /// Parts per billion.
    pub(super) max_adjustment: Option<f64>,
    pub(super) alarms: Option<f64>,
    pub(super) external_timestamps: Option<f64>,
    pub(super) periodic_outputs: Option<f64>,
    pub(super) programmable_pins: Option<f64>,
    pub(super) pps: Option<f64>,
    pub(super) vclocks: Option<f64>,
    pub(super) pins: Vec<Pin>,
}

/// The clocks in `class`, in the order of their numbers.
pub(super) fn scan(class: &Path) -> Vec<Description> {
    let names = sysfs::names(class).into_iter();
    let mut found: Vec<(i32, String)> = names
        .filter_map(|name| Some((name.strip_prefix("ptp")?.parse().ok()?, name)))
        .filter(|(index, _)| *index >= 0)
        .collect();
    found.sort_unstable();
    found.truncate(MOST);
    found
        .into_iter()
        .filter_map(|(index, name)| describe(&class.join(&name), index, name))
        .collect()
}

/// `None` for a clock that went meanwhile.
fn describe(dir: &Path, index: i32, name: String) -> Option<Description> {
    let device = dir.join("device");
    let number = |file| sysfs::number(dir, file);
    Some(Description {
        name,
        index,
        dev: sysfs::text(dir, "dev").unwrap_or_default(),
        clock_name: sysfs::text(dir, "clock_name")?,
        netdevs: sysfs::names(&device.join("net")).join(","),
        driver: sysfs::link(&device, "driver").unwrap_or_default(),
        pci: pci_address(&device).unwrap_or_default(),
        max_adjustment: number("max_adjustment"),
        alarms: number("n_alarms"),
        external_timestamps: number("n_external_timestamps"),
        periodic_outputs: number("n_periodic_outputs"),
        programmable_pins: number("n_programmable_pins"),
        pps: number("pps_available"),
        vclocks: number("n_vclocks"),
        pins: pins(&dir.join("pins")),
    })
}

/// The address of the PCI device that the clock belongs to, which may be a few devices up.
fn pci_address(device: &Path) -> Option<String> {
    let device: PathBuf = device.canonicalize().ok()?;
    let name = |dir: &Path| dir.file_name()?.to_str().map(str::to_owned);
    device.ancestors().filter_map(name).find(|name| is_pci_address(name))
}

/// `0000:01:00.0`; the domain may have more digits.
fn is_pci_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '.']).collect();
    let [domain, bus, slot, function] = parts[..] else { return false };
    let hex =
        |part: &str, digits| part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit());
    hex(domain, domain.len().max(4)) && hex(bus, 2) && hex(slot, 2) && hex(function, 1)
}

/// Each file of `dir` is a pin and holds its function and channel.
fn pins(dir: &Path) -> Vec<Pin> {
    let pin = |name: String| {
        let text = sysfs::text(dir, &name)?;
        let mut words = text.split_ascii_whitespace();
        let function = f64::from(words.next()?.parse::<u32>().ok()?);
        let channel = words.next()?.parse::<u32>().ok()?.to_string();
        Some(Pin { name, function, channel })
    };
    sysfs::names(dir).into_iter().take(MOST_PINS).filter_map(pin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_are_told_from_other_names() {
        let f = |text: &str, want: bool| assert_eq!(is_pci_address(text), want, "{text}");
        f("0000:01:00.0", true);
        f("10000:e1:00.f", true);
        f("pci0000:00", false);
        f("000:01:00.0", false);
        f("0000:01:00", false);
        f("0000:01:00.g", false);
    }
}
