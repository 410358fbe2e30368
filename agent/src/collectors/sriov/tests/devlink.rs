use super::super::devlink::{Devlink, Eswitch, Port, Reporter};
use super::fake::attribute;
use super::kernel::{FakeKernel, text};
use crate::netlink::Netlink;
use crate::netlink::generic::Generic;

const PCI: &str = "0000:3b:00.0";

fn devlink(kernel: &FakeKernel) -> Option<Devlink> {
    Devlink::new(Generic::new(Netlink::from_fd(kernel.generic()).unwrap())).unwrap()
}

fn handle(pci: &str) -> Vec<u8> {
    [attribute(1, &text("pci")), attribute(2, &text(pci))].concat()
}

fn reporter(pci: &str, port: Option<u32>, name: &str, state: u8, counts: [u64; 2]) -> Vec<u8> {
    let nest = [
        attribute(115, &text(name)),
        attribute(116, &[state]),
        attribute(117, &counts[0].to_ne_bytes()),
        attribute(118, &counts[1].to_ne_bytes()),
    ];
    let port = port.map(|port| attribute(3, &port.to_ne_bytes())).unwrap_or_default();
    [handle(pci), port, attribute(0x8000 | 114, &nest.concat())].concat()
}

fn set(kernel: &FakeKernel, command: u8, answers: Vec<Vec<u8>>) {
    kernel.state().devlink.insert((command, PCI.to_owned()), answers);
}

#[test]
fn kernel_without_devlink_has_none() {
    assert!(devlink(&FakeKernel::default()).is_none());
}

#[test]
fn health_ports_and_switch_are_read_and_other_devices_passed_over() {
    let kernel = FakeKernel::default();
    let health = vec![
        reporter(PCI, None, "fw", 0, [0, 0]),
        reporter(PCI, None, "fw_fatal", 1, [3, 2]),
        reporter(PCI, Some(65_535), "tx", 0, [1, 1]),
        reporter("0000:3b:00.1", None, "fw", 1, [9, 9]),
        handle(PCI),
    ];
    set(&kernel, 52, health);
    let function = attribute(0x8000 | 145, &attribute(2, &[1]));
    let number = |kind, value: u32| attribute(kind, &value.to_ne_bytes());
    let half = |kind, value: u16| attribute(kind, &value.to_ne_bytes());
    let ports = vec![
        [handle(PCI), number(3, 65_535), half(77, 0), half(4, 2), attribute(7, &text("eth0"))]
            .concat(),
        [handle(PCI), number(3, 3), half(77, 4), half(4, 2), number(128, 2), function].concat(),
    ];
    set(&kernel, 5, ports);
    let switch = [handle(PCI), half(25, 1), attribute(26, &[1]), attribute(62, &[1])].concat();
    set(&kernel, 29, vec![switch]);

    let device = devlink(&kernel).unwrap().device(PCI).unwrap();
    let fatal =
        Reporter { name: "fw_fatal".into(), failed: true, errors: 3, recoveries: 2, ..fw() };
    let tx = Reporter { name: "tx".into(), port: "65535".into(), errors: 1, recoveries: 1, ..fw() };
    assert_eq!(device.reporters, [fw(), fatal, tx]);
    let uplink = Port {
        index: "65535".into(),
        flavour: "physical",
        kind: "eth",
        netdev: "eth0".into(),
        ..Port::default()
    };
    let vf = Port {
        index: "3".into(),
        flavour: "pcivf",
        kind: "eth",
        vf: "2".into(),
        active: Some(true),
        ..Port::default()
    };
    assert_eq!(device.ports, [uplink, vf]);
    let switch = Eswitch { mode: "switchdev", inline: "link", encap: "basic" };
    assert_eq!(device.eswitch, Some(switch));
}

fn fw() -> Reporter {
    Reporter { name: "fw".into(), ..Reporter::default() }
}

#[test]
fn device_that_devlink_does_not_know_has_nothing() {
    let kernel = FakeKernel::default();
    set(&kernel, 52, vec![]);
    let mut devlink = devlink(&kernel).unwrap();
    assert_eq!(devlink.device("0000:01:00.0").unwrap(), Default::default());
    assert_eq!(devlink.firmware("0000:01:00.0").unwrap(), "");
}

#[test]
fn firmware_is_asked_for_once_until_it_is_forgotten() {
    let kernel = FakeKernel::default();
    let version = |name: &str, value: &str| {
        let nest = [attribute(103, &text(name)), attribute(104, &text(value))].concat();
        attribute(0x8000 | 101, &nest)
    };
    let info = |value: &str| {
        vec![[handle(PCI), version("fw.psid", "MT_0"), version("fw.version", value)].concat()]
    };
    set(&kernel, 51, info("22.39.2048"));
    let mut devlink = devlink(&kernel).unwrap();
    assert_eq!(devlink.firmware(PCI).unwrap(), "22.39.2048");
    set(&kernel, 51, info("22.41.1000"));
    assert_eq!(devlink.firmware(PCI).unwrap(), "22.39.2048");
    devlink.forget(PCI);
    assert_eq!(devlink.firmware(PCI).unwrap(), "22.41.1000");
}
