//! Network devices of PCI functions: the one that is the function's own, and those that stand
//! for virtual functions in the switch of the NIC (representors).
//!
//! In switchdev mode the physical function's `net` directory holds its own device, whose
//! `phys_port_name` is "p0" or nothing, and those of its virtual functions, "pf0vf3". Drivers
//! that keep representors elsewhere are found by the switch that they share.

use std::path::{Path, PathBuf};

use super::inventory::Pf;
use super::sysfs::{self, Reader};

/// A network device in this network namespace.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Netdev {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) dir: PathBuf,
}

fn open(dir: PathBuf, name: String, reader: &mut Reader) -> Option<Netdev> {
    let dir = dir.join(&name);
    let index = reader.number(&dir, "ifindex")?;
    Some(Netdev { name, index, dir })
}

fn all(function: &Path, reader: &mut Reader) -> Vec<Netdev> {
    let dir = function.join("net");
    let names = sysfs::names(&dir).into_iter();
    names.filter_map(|name| open(dir.clone(), name, reader)).collect()
}

/// The first network device of a function.
pub(super) fn first(function: &Path, reader: &mut Reader) -> Option<Netdev> {
    let dir = function.join("net");
    sysfs::names(&dir).into_iter().find_map(|name| open(dir.clone(), name, reader))
}

/// Whether it is still there.
pub(super) fn is_there(netdev: &Netdev, reader: &mut Reader) -> bool {
    reader.number(&netdev.dir, "ifindex") == Some(netdev.index)
}

/// The network device that is the function's own.
pub(super) fn uplink(function: &Path, reader: &mut Reader) -> Option<Netdev> {
    let mut devices = all(function, reader);
    if devices.len() > 1 {
        devices.retain(|netdev| {
            let name = reader.text(&netdev.dir, "phys_port_name");
            name.is_none_or(|name| name.starts_with('p') && !name.starts_with("pf"))
        });
    }
    devices.into_iter().next()
}

/// The numbers in "pf0vf3" or "c0pf0vf3". Controllers other than the first are other hosts'.
fn representor_of(port: &str) -> Option<(u32, u32)> {
    let port = port.strip_prefix("c0").unwrap_or(port);
    let (pf, vf) = port.strip_prefix("pf")?.split_once("vf")?;
    Some((pf.parse().ok()?, vf.parse().ok()?))
}

/// Gives virtual functions their representors. Only where there is a switch and one without:
/// asking for `phys_port_name` takes the lock of all networking.
pub(super) fn find_representors(sys: &Path, pfs: &mut [Pf], reader: &mut Reader) {
    let mut elsewhere = None;
    let wants = |pf: &Pf| pf.vfs.iter().any(|vf| vf.representor.is_none());
    for pf in pfs.iter_mut().filter(|pf| !pf.phys_switch_id.is_empty() && wants(pf)) {
        let mut candidates = all(&pf.dir, reader);
        if candidates.len() <= 1 {
            candidates.clone_from(elsewhere.get_or_insert_with(|| hardware(sys, reader)));
        }
        // The function's number in its address is the number that ports have.
        let function = pf.pci.rsplit('.').next().and_then(|digit| digit.parse::<u32>().ok());
        for netdev in candidates {
            let port = reader.text(&netdev.dir, "phys_port_name").and_then(representor_of);
            let Some((of, number)) = port else { continue };
            let own = netdev.dir.starts_with(&pf.dir);
            if own || (Some(of) == function && same_switch(&netdev, pf, reader)) {
                let vf = pf.vfs.iter_mut().find(|vf| vf.number == number);
                if let Some(vf) = vf.filter(|vf| vf.representor.is_none()) {
                    vf.representor = Some(netdev);
                }
            }
        }
    }
}

fn same_switch(netdev: &Netdev, pf: &Pf, reader: &mut Reader) -> bool {
    reader.text(&netdev.dir, "phys_switch_id") == Some(&*pf.phys_switch_id)
}

/// Network devices that are not the kernel's own (veth, bridges), of which there may be many.
fn hardware(sys: &Path, reader: &mut Reader) -> Vec<Netdev> {
    let dir = sys.join("class/net");
    let is_virtual = |name: &String| {
        let target = std::fs::read_link(dir.join(name)).unwrap_or_default();
        target.components().any(|part| part.as_os_str() == "virtual")
    };
    let names = sysfs::names(&dir).into_iter().filter(|name| !is_virtual(name));
    names.filter_map(|name| open(dir.clone(), name, reader)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_names_of_virtual_functions_are_understood() {
        let cases = [
            ("pf0vf3", Some((0, 3))),
            ("c0pf1vf12", Some((1, 12))),
            ("c1pf0vf0", None),
            ("pf0sf1", None),
            ("pf0", None),
            ("p0", None),
            ("pfvf", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(representor_of(name), expected, "{name}");
        }
    }
}
