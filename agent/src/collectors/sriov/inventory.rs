//! What there is: physical functions and their virtual functions, from sysfs.
//!
//! A physical function is a PCI network device with `sriov_totalvfs` above zero. A virtual
//! function is known by its number and PCI address; its network device is seen only while it is
//! in this network namespace, and not at all under vfio-pci. `sriov_numvfs` is read only when
//! the links to virtual functions changed and have come to rest: the kernel makes a reader wait
//! while they are being made, which takes tens of seconds for many of them.

use std::path::{Path, PathBuf};

use super::netdev::{self, Netdev};
use super::sysfs::{self, Reader};

/// PCI base class of network controllers: Ethernet, InfiniBand (0x0207) and others.
const NETWORK: &str = "0x02";

/// A physical function.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Pf {
    /// The network device's name, or the PCI address where there is none.
    pub(super) name: String,
    pub(super) pci: String,
    pub(super) dir: PathBuf,
    pub(super) netdev: Option<Netdev>,
    pub(super) driver: String,
    pub(super) vendor: String,
    pub(super) device: String,
    pub(super) mac: String,
    pub(super) numa_node: String,
    pub(super) phys_switch_id: String,
    pub(super) phc: String,
    pub(super) rdma_device: String,
    pub(super) max_vfs: u32,
    /// `sriov_numvfs`; `None` while virtual functions are being made or removed.
    pub(super) configured_vfs: Option<u32>,
    pub(super) vfs: Vec<Vf>,
}

/// A virtual function.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Vf {
    pub(super) number: u32,
    /// The number as a label.
    pub(super) label: String,
    pub(super) pci: String,
    pub(super) dir: PathBuf,
    /// Empty if none is bound.
    pub(super) driver: String,
    pub(super) iommu_group: String,
    pub(super) numa_node: String,
    /// `None` in another network namespace, under vfio-pci, or without a driver.
    pub(super) netdev: Option<Netdev>,
    pub(super) representor: Option<Netdev>,
    pub(super) rdma_device: String,
}

/// All physical functions, in the order of their addresses. `before` is what the last scan
/// found.
pub(super) fn scan(sys: &Path, before: &[Pf], reader: &mut Reader) -> Vec<Pf> {
    let devices = sys.join("bus/pci/devices");
    let mut found: Vec<Pf> = sysfs::names(&devices)
        .into_iter()
        .filter_map(|pci| {
            let known = before.iter().find(|pf| pf.pci == pci);
            pf(&devices, pci, known, reader)
        })
        .collect();
    netdev::find_representors(sys, &mut found, reader);
    found
}

fn pf(devices: &Path, pci: String, known: Option<&Pf>, reader: &mut Reader) -> Option<Pf> {
    let dir = devices.join(&pci);
    let max_vfs = reader.number(&dir, "sriov_totalvfs").filter(|max| *max > 0)?;
    if !reader.text(&dir, "class")?.starts_with(NETWORK) {
        return None;
    }
    let mut vfs: Vec<Vf> = sysfs::names(&dir)
        .iter()
        .filter_map(|name| {
            let number = name.strip_prefix("virtfn")?.parse().ok()?;
            Some(vf(devices, number, sysfs::link(&dir, name)?, reader))
        })
        .collect();
    vfs.sort_unstable_by_key(|vf| vf.number);
    let known_netdev = known.and_then(|known| known.netdev.clone());
    let netdev = known_netdev
        .filter(|netdev| netdev::is_there(netdev, reader))
        .or_else(|| netdev::uplink(&dir, reader));
    for vf in &mut vfs {
        let same = |before: &&Vf| (before.number, &before.pci) == (vf.number, &vf.pci);
        let before = known.and_then(|known| known.vfs.iter().find(same));
        let representor = before.and_then(|before| before.representor.clone());
        vf.representor = representor.filter(|netdev| netdev::is_there(netdev, reader));
    }
    let of_netdev = |reader: &mut Reader, attribute| match &netdev {
        Some(netdev) => reader.label(&netdev.dir, attribute),
        None => String::new(),
    };
    Some(Pf {
        name: netdev.as_ref().map_or_else(|| pci.clone(), |netdev| netdev.name.clone()),
        driver: sysfs::link(&dir, "driver").unwrap_or_default(),
        vendor: reader.label(&dir, "vendor"),
        device: reader.label(&dir, "device"),
        mac: of_netdev(reader, "address"),
        numa_node: numa_node(&dir, reader),
        phys_switch_id: of_netdev(reader, "phys_switch_id"),
        phc: sysfs::first(&dir.join("ptp")),
        rdma_device: sysfs::first(&dir.join("infiniband")),
        max_vfs,
        configured_vfs: configured_vfs(&dir, vfs.len(), known, reader),
        vfs,
        netdev,
        pci,
        dir,
    })
}

fn configured_vfs(
    dir: &Path,
    exist: usize,
    known: Option<&Pf>,
    reader: &mut Reader,
) -> Option<u32> {
    let exist = u32::try_from(exist).ok()?;
    match known {
        Some(known) if known.configured_vfs == Some(exist) => Some(exist),
        Some(known) if u32::try_from(known.vfs.len()) != Ok(exist) => None,
        _ => reader.number(dir, "sriov_numvfs"),
    }
}

fn vf(devices: &Path, number: u32, pci: String, reader: &mut Reader) -> Vf {
    let dir = devices.join(&pci);
    Vf {
        number,
        label: number.to_string(),
        driver: sysfs::link(&dir, "driver").unwrap_or_default(),
        iommu_group: sysfs::link(&dir, "iommu_group").unwrap_or_default(),
        numa_node: numa_node(&dir, reader),
        netdev: netdev::first(&dir, reader),
        representor: None,
        rdma_device: sysfs::first(&dir.join("infiniband")),
        pci,
        dir,
    }
}

/// Empty where the kernel says -1: the machine has no such nodes, or does not know.
fn numa_node(dir: &Path, reader: &mut Reader) -> String {
    let node = reader.text(dir, "numa_node").filter(|node| *node != "-1");
    node.unwrap_or_default().to_owned()
}
