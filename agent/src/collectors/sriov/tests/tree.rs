//! A sysfs tree for tests, in a directory of its own: PCI functions with the two farms of links
//! that the kernel makes.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Names of the files with a network device's counters.
pub(crate) const STATISTICS: [&str; 8] = [
    "rx_bytes",
    "tx_bytes",
    "rx_packets",
    "tx_packets",
    "rx_dropped",
    "tx_dropped",
    "rx_errors",
    "tx_errors",
];

/// The tree.
pub(crate) struct Tree {
    dir: TempDir,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn sys(&self) -> PathBuf {
        self.dir.path().join("sys")
    }

    /// Where a function's attributes are.
    pub(crate) fn function(&self, pci: &str) -> PathBuf {
        self.sys().join("devices/pci0000:00").join(pci)
    }

    pub(crate) fn write(&self, path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A PCI function of a class.
    pub(crate) fn pci(&self, pci: &str, class: &str) -> PathBuf {
        let dir = self.function(pci);
        self.write(&dir.join("class"), &format!("{class}\n"));
        self.write(&dir.join("numa_node"), "0\n");
        let devices = self.sys().join("bus/pci/devices");
        fs::create_dir_all(&devices).unwrap();
        symlink(format!("../../../devices/pci0000:00/{pci}"), devices.join(pci)).unwrap();
        dir
    }

    /// A physical function with a network device and room for virtual functions.
    pub(crate) fn pf(&self, pci: &str, driver: &str, netdev: (&str, u32), max: u32) -> PathBuf {
        let dir = self.pci(pci, "0x020000");
        self.write(&dir.join("sriov_totalvfs"), &format!("{max}\n"));
        self.write(&dir.join("sriov_numvfs"), "0\n");
        self.bind(pci, driver);
        self.netdev(pci, netdev);
        dir
    }

    /// A network device of a function, up, with counters of its index.
    pub(crate) fn netdev(&self, pci: &str, (name, index): (&str, u32)) -> PathBuf {
        let dir = self.function(pci).join("net").join(name);
        self.write(&dir.join("ifindex"), &format!("{index}\n"));
        self.write(&dir.join("operstate"), "up\n");
        self.write(&dir.join("carrier_changes"), "1\n");
        for file in STATISTICS {
            self.write(&dir.join("statistics").join(file), &format!("{index}\n"));
        }
        dir
    }

    /// Virtual functions 0 to `count`, bound to `driver`.
    pub(crate) fn vfs(&self, pf: &str, count: u32, driver: &str) {
        for number in 0..count {
            self.vf(pf, number, &vf_address(number), driver);
        }
        self.write(&self.function(pf).join("sriov_numvfs"), &format!("{count}\n"));
    }

    /// A virtual function.
    pub(crate) fn vf(&self, pf: &str, number: u32, pci: &str, driver: &str) -> PathBuf {
        let dir = self.pci(pci, "0x020000");
        symlink(format!("../{pf}"), dir.join("physfn")).unwrap();
        symlink(format!("../{pci}"), self.function(pf).join(format!("virtfn{number}"))).unwrap();
        self.bind(pci, driver);
        dir
    }

    /// Takes virtual functions away, all of them, as the kernel does.
    pub(crate) fn remove_vfs(&self, pf: &str, count: u32) {
        for number in 0..count {
            let pci = vf_address(number);
            fs::remove_file(self.function(pf).join(format!("virtfn{number}"))).unwrap();
            self.remove(&pci);
        }
        self.write(&self.function(pf).join("sriov_numvfs"), "0\n");
    }

    /// Takes a function away.
    pub(crate) fn remove(&self, pci: &str) {
        fs::remove_file(self.sys().join("bus/pci/devices").join(pci)).unwrap();
        fs::remove_dir_all(self.function(pci)).unwrap();
    }

    /// Binds a function to a driver, or to none.
    pub(crate) fn bind(&self, pci: &str, driver: &str) {
        let link = self.function(pci).join("driver");
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link).unwrap();
        }
        if !driver.is_empty() {
            symlink(format!("../../../bus/pci/drivers/{driver}"), link).unwrap();
        }
    }
}

/// The PCI address of a virtual function of the test's.
pub(crate) fn vf_address(number: u32) -> String {
    format!("0000:{:02x}:{:02x}.{}", 0x80 + number / 256, number % 256 / 8, number % 8)
}
