//! The node that is read, made up: ptp4l's that follow a grandmaster, and network devices with
//! virtual functions. It lives in the benchmark's own process, so that it is not on the agent's
//! time.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fake_node::kernel::{BuiltPf, BuiltVf, FakeKernel, text};
use fake_node::netlink::attribute;
use fake_node::ptp4l::{Fake, State};
use fake_node::remote::Server;
use fake_node::tree::{STATISTICS, Tree, vf_address};

/// Of one physical function. Common cards take 64 to 128.
const VFS_OF_PF: u32 = 64;
/// The index of the first physical function's network device; 1 is the loopback.
const FIRST_INDEX: u32 = 2;
/// What is received or sent between two rounds.
const PACKETS: u64 = 12_345;
/// devlink's commands and attributes (`linux/devlink.h`).
const HEALTH_REPORTER_GET: u8 = 52;
const ESWITCH_GET: u8 = 29;

/// The running node. Its files go last.
pub(super) struct Node {
    ptp4l: Vec<Fake>,
    _server: Server,
    kernel: FakeKernel,
    pfs: Vec<(BuiltPf, Vec<File>)>,
    tree: Tree,
}

/// Requests that were made so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requests {
    pub(super) ptp4l: u64,
    pub(super) netlink: u64,
}

impl Node {
    /// Makes so many ptp4l's of one port and so many virtual functions.
    pub(super) fn start(ptp4l: u32, vfs: u32) -> anyhow::Result<Self> {
        let tree = Tree::new();
        let kernel = FakeKernel::default();
        let ptp4l =
            (0..ptp4l).map(|number| instance(tree.root(), number)).collect::<Result<_, _>>();
        let socket = socket(&tree);
        let mut node = Self {
            _server: Server::start(&socket, &kernel).context("serve the kernel's sockets")?,
            kernel,
            ptp4l: ptp4l?,
            pfs: Vec::new(),
            tree,
        };
        for first in (0..vfs).step_by(VFS_OF_PF as usize) {
            node.add_pf(first, VFS_OF_PF.min(vfs - first))?;
        }
        Ok(node)
    }

    fn add_pf(&mut self, first_vf: u32, vfs: u32) -> anyhow::Result<()> {
        let number = first_vf / VFS_OF_PF;
        let index = FIRST_INDEX + number;
        let pci = format!("0000:{:02x}:00.0", 0x10 + number);
        let name = format!("ens{number}f0");
        let dir = self.tree.pf(&pci, "ice", (&name, index), VFS_OF_PF);
        let netdev = dir.join("net").join(&name);
        for (file, text) in [
            ("vendor", "0x8086\n"),
            ("device", "0x159b\n"),
            ("current_link_speed", "16.0 GT/s PCIe\n"),
            ("max_link_speed", "16.0 GT/s PCIe\n"),
            ("current_link_width", "8\n"),
            ("max_link_width", "8\n"),
            ("power_state", "D0\n"),
            ("aer_dev_correctable", "TOTAL_ERR_COR 0\n"),
            ("aer_dev_nonfatal", "TOTAL_ERR_NONFATAL 0\n"),
            ("aer_dev_fatal", "TOTAL_ERR_FATAL 0\n"),
        ] {
            self.tree.write(&dir.join(file), text);
        }
        self.tree.write(&netdev.join("speed"), "25000\n");
        self.tree.write(&netdev.join("address"), "02:00:00:00:00:01\n");
        for vf in 0..vfs {
            self.tree.vf(&pci, vf, &vf_address(first_vf + vf), "iavf");
        }
        self.tree.write(&dir.join("sriov_numvfs"), &format!("{vfs}\n"));
        let mut devlink = self.kernel.state();
        devlink.devlink.insert((HEALTH_REPORTER_GET, pci.clone()), reporters(&pci));
        devlink.devlink.insert((ESWITCH_GET, pci.clone()), vec![eswitch(&pci)]);
        drop(devlink);
        let open = |file: &str| {
            let path = netdev.join("statistics").join(file);
            OpenOptions::new().write(true).open(&path).with_context(|| path.display().to_string())
        };
        let files = STATISTICS.into_iter().map(open).collect::<Result<_, _>>()?;
        let vfs = (0..vfs).map(BuiltVf::counting).collect();
        self.pfs.push((BuiltPf { index, name, pci, packets: 1, vfs }, files));
        self.pass_traffic()
    }

    /// Moves the counters of all functions. To be called while nobody reads them.
    pub(super) fn pass_traffic(&mut self) -> anyhow::Result<()> {
        for (pf, files) in &mut self.pfs {
            pf.packets += PACKETS;
            for file in files {
                let text = format!("{}\n", pf.packets);
                file.write_all_at(text.as_bytes(), 0).context("count a packet")?;
            }
            for vf in &mut pf.vfs {
                for count in vf.stats.iter_mut().flatten() {
                    *count += PACKETS + u64::from(vf.number);
                }
            }
            self.kernel.set(pf);
        }
        Ok(())
    }

    /// Where its files are: `sys`, `run`.
    pub(super) fn root(&self) -> &Path {
        self.tree.root()
    }

    /// Where its kernel's sockets are to be had.
    pub(super) fn kernel_socket(&self) -> PathBuf {
        socket(&self.tree)
    }

    /// What it was asked so far.
    pub(super) fn requests(&self) -> Requests {
        Requests {
            ptp4l: self.ptp4l.iter().map(|fake| fake.state().requests).sum(),
            netlink: self.kernel.state().requests,
        }
    }
}

fn socket(tree: &Tree) -> PathBuf {
    tree.root().join("kernel.socket")
}

/// A ptp4l with its configuration beside its socket, as the linuxptp operator has them.
fn instance(root: &Path, number: u32) -> anyhow::Result<Fake> {
    let dir = root.join("run/ptp");
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let fake = Fake::start(&dir.join(format!("ptp4l.{number}.socket")), State::live());
    let file = dir.join(format!("ptp4l.{number}.config"));
    let uds = format!("/var/run/ptp/ptp4l.{number}.socket");
    let text =
        format!("[global]\ndomainNumber 24\nslaveOnly 1\nuds_address {uds}\n[eth{number}]\n");
    std::fs::write(&file, text).with_context(|| file.display().to_string())?;
    Ok(fake)
}

fn handle(pci: &str) -> Vec<u8> {
    [attribute(1, &text("pci")), attribute(2, &text(pci))].concat()
}

/// Healthy ones, as `ice` has them.
fn reporters(pci: &str) -> Vec<Vec<u8>> {
    let reporter = |name: &&str| {
        let count = |kind| attribute(kind, &0u64.to_ne_bytes());
        let nest =
            [attribute(115, &text(name)), attribute(116, &[0]), count(117), count(118)].concat();
        [handle(pci), attribute(0x8000 | 114, &nest)].concat()
    };
    ["fw", "tx_hang", "mdd"].iter().map(reporter).collect()
}

/// A switch in legacy mode.
fn eswitch(pci: &str) -> Vec<u8> {
    [handle(pci), attribute(25, &0u16.to_ne_bytes())].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_spread_over_devices_and_their_counters_move() {
        let mut node = Node::start(1, VFS_OF_PF + 2).unwrap();
        let counts = |node: &Node| -> Vec<_> {
            node.pfs.iter().map(|(pf, _)| (pf.vfs.len(), pf.vfs[1].stats)).collect()
        };
        let before = counts(&node);
        assert_eq!(before.iter().map(|(vfs, _)| *vfs).collect::<Vec<_>>(), [64, 2]);
        let file = node.tree.function("0000:11:00.0").join("net/ens1f0/statistics/rx_bytes");
        let read = || std::fs::read_to_string(&file).unwrap().trim().parse::<u64>().unwrap();
        let bytes = read();
        node.pass_traffic().unwrap();
        assert_eq!(read(), bytes + PACKETS);
        assert!(counts(&node).iter().zip(&before).all(|(now, before)| now.1 > before.1));
    }
}
