//! Links of the live kernel, in a network namespace of the test's own: what netlink tells is
//! what `ip` says, and a link that goes down is heard.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod sriov_support;

use std::process::Command;
use std::time::{Duration, Instant};

use sextant_agent::collectors::pods::Attribution;
use sextant_agent::collectors::sriov::ethtool::Ethtool;
use sextant_agent::collectors::sriov::{Kernel, Sriov, SriovConfig, vf_info};
use sextant_agent::netlink::route::{Mask, Route};
use sriov_support::tree::Tree;
use sriov_support::{paths, tick};

const PCI: &str = "0000:3b:00.0";

/// Runs `test` in a thread with a network namespace of its own that has a pair of veth, up.
/// False where the process may not make one.
fn with_veth(test: impl FnOnce() + Send) -> bool {
    std::thread::scope(|scope| {
        let run = || {
            #[expect(unsafe_code, reason = "only libc has it")]
            // SAFETY: takes a number; this thread alone moves to another namespace.
            let moved = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            if moved < 0 {
                println!("skipped: no network namespace: {}", std::io::Error::last_os_error());
                return false;
            }
            ip("link add va type veth peer name vb");
            ip("link set va up");
            ip("link set vb up");
            test();
            true
        };
        scope.spawn(run).join().unwrap()
    })
}

#[allow(clippy::disallowed_methods, reason = "what ip says is what is compared with")]
fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn links_are_told_as_ip_tells_them() {
    let compare = || {
        let listed: serde_json::Value = serde_json::from_str(&ip("-j -s link show")).unwrap();
        let mut route = Route::open().unwrap();
        let links = listed.as_array().unwrap();
        assert!(links.len() >= 3, "{listed}");
        for expected in links {
            let index = u32::try_from(expected["ifindex"].as_u64().unwrap()).unwrap();
            for mask in [Mask::NONE, Mask::VF, Mask::VF_WITHOUT_STATS] {
                let mut told = None;
                let mut each = |link: sextant_agent::netlink::route::Link<'_>| {
                    assert_eq!((link.header.index, link.deleted), (index, false));
                    told = Some(vf_info::parse(link.attributes));
                };
                route.link(index, mask, &mut each).unwrap();
                let told = told.unwrap();
                assert_eq!(told.name, expected["ifname"].as_str().unwrap());
                let packets = |way: &str| expected["stats64"][way]["packets"].as_u64().unwrap();
                assert!(told.packets >= packets("rx") + packets("tx"), "{told:?}, {expected}");
                assert!(!told.damaged && told.vfs.is_empty());
            }
        }
    };
    // Without a namespace there are still the machine's own.
    if !with_veth(compare) {
        let mut name = String::new();
        let mut route = Route::open().unwrap();
        route.link(1, Mask::VF, &mut |link| name = vf_info::parse(link.attributes).name).unwrap();
        assert_eq!(name, "lo");
    }
}

#[test]
fn link_that_goes_down_and_up_is_heard() {
    with_veth(|| {
        let listed: serde_json::Value = serde_json::from_str(&ip("-j link show va")).unwrap();
        let index = u32::try_from(listed[0]["ifindex"].as_u64().unwrap()).unwrap();
        // What sysfs says of it is made up; what is heard of it is the kernel's.
        let tree = Tree::new();
        tree.pf(PCI, "veth", ("va", index), 4);
        let paths = paths(tree.root());
        let pods = std::sync::Arc::new(Attribution::new(paths.proc.clone()));
        let config = SriovConfig::default();
        let mut sriov = Sriov::with_kernel(&config, &paths, &pods, Kernel::live());
        tick(&mut sriov, 0);
        let told = [("down", "up", "sriov.link_down"), ("up", "down", "sriov.link_up")];
        for (change, before, told) in told {
            tree.write(&tree.function(PCI).join("net/va/operstate"), before);
            tick(&mut sriov, 0);
            ip(&format!("link set vb {change}"));
            let deadline = Instant::now() + Duration::from_secs(30);
            let expected = format!("{told} pf=va pci={PCI}");
            // The kernel tells of a change of state with up to a second's delay.
            while !tick(&mut sriov, 0).told().contains(&expected) {
                assert!(Instant::now() < deadline, "nothing was heard of {change}");
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
    });
}

#[test]
fn drivers_own_counters_are_told_by_ioctl() {
    with_veth(|| {
        let live = Ethtool::live();
        let count = (live.count)("va").unwrap();
        let names = (live.names)("va", count).unwrap();
        let values = (live.values)("va", count).unwrap();
        assert!(count > 0 && names.len() == count * 32 && values.len() == count);
        let first = names[..32].split(|byte| *byte == 0).next().unwrap();
        assert_eq!(std::str::from_utf8(first), Ok("peer_ifindex"));
        let peer: serde_json::Value = serde_json::from_str(&ip("-j link show vb")).unwrap();
        assert_eq!(Some(values[0]), peer[0]["ifindex"].as_u64());
        assert!((live.firmware)("va").is_ok());
    });
}
