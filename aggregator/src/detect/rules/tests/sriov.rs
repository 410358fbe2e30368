//! Every SR-IOV rule: quiet on devices in use and on idle ones, found on its fault, over after it.

use super::sim::Fault::{Grow, Set};
use super::sim::{Case, Sim, drive, names, shipped};

const PF: (&str, &str) = ("pf", "pf=ens1f0,pci=0000:3b:00.0");
const VF: (&str, &str) = ("vf", "pf=ens1f0,vf=3,pci=0000:3b:02.3");
const PORT: (&str, &str) = ("dpdk_port", "process=upf,port=0");
const REPORTER: (&str, &str) = ("devlink_reporter", "pci=0000:3b:00.0,reporter=fw");

/// A PF with a VF that a pod uses for DPDK; faults go to the given entity.
fn node(on: (&str, &str)) -> Sim {
    let mut sim = Sim::new(shipped("sriov.toml"));
    sim.entity(PF.0, PF.1);
    sim.put(1, &[("sriov_pf_up", 1.0), ("sriov_pf_carrier_changes_total", 2.0)]);
    sim.put(
        15,
        &[
            ("sriov_pf_info{driver=ice}", 1.0),
            ("sriov_pf_vfs", 8.0),
            ("sriov_pf_vfs_configured", 8.0),
            ("sriov_pf_vfs_owned", 1.0),
            ("sriov_pf_speed_bytes_per_second", 3.125e9),
            ("sriov_pf_pcie_transfers_per_second", 1.6e10),
            ("sriov_pf_pcie_transfers_per_second_max", 1.6e10),
            ("sriov_pf_pcie_width", 16.0),
            ("sriov_pf_pcie_width_max", 16.0),
            ("sriov_pf_power_d0", 1.0),
            ("sriov_pf_aer_errors_total{severity=correctable}", 2.0),
            ("sriov_pf_aer_errors_total{severity=nonfatal}", 0.0),
        ],
    );
    sim.entity(VF.0, VF.1).put(
        15,
        &[
            ("sriov_vf_owned", 1.0),
            ("sriov_vf_trust", 1.0),
            ("sriov_vf_spoof_check", 1.0),
            ("sriov_vf_link_state", 0.0),
            ("sriov_vf_mac_set", 1.0),
            ("sriov_vf_driver_bound", 1.0),
            ("sriov_vf_receive_packets_total", 1e6),
            ("sriov_vf_transmit_packets_total", 1e6),
            ("sriov_vf_receive_dropped_total", 10.0),
            ("sriov_vf_transmit_dropped_total", 10.0),
        ],
    );
    sim.set("sriov_vf_receive_packets_total", Grow(1e5));
    sim.set("sriov_vf_transmit_packets_total", Grow(1e5));
    sim.entity(PORT.0, PORT.1);
    sim.put(
        1,
        &[
            ("sriov_dpdk_port_info{name=0000:3b:02.3}", 1.0),
            ("sriov_dpdk_link_up", 1.0),
            ("sriov_dpdk_receive_missed_total", 5.0),
            ("sriov_dpdk_receive_no_buffer_total", 5.0),
        ],
    );
    sim.entity(REPORTER.0, REPORTER.1).put(15, &[("sriov_devlink_health_state", 0.0)]);
    sim.entity(on.0, on.1);
    sim
}

const PF_CASES: &[Case] = &[
    Case { faults: &[("sriov_pf_up", Set(0.0))], fires: &["SriovPfDown"] },
    Case { faults: &[("sriov_pf_carrier_changes_total", Grow(0.1))], fires: &["SriovPfFlapping"] },
    Case { faults: &[("sriov_pf_carrier_changes_total", Set(4.0))], fires: &[] },
    Case { faults: &[("sriov_pf_speed_bytes_per_second", Set(1.25e9))], fires: &["SriovPfSlow"] },
    Case {
        faults: &[("sriov_pf_pcie_transfers_per_second", Set(8e9))],
        fires: &["SriovPfPcieSpeed"],
    },
    Case { faults: &[("sriov_pf_pcie_width", Set(8.0))], fires: &["SriovPfPcieWidth"] },
    Case {
        faults: &[("sriov_pf_pcie_width", Set(1.0)), ("sriov_pf_power_d0", Set(0.0))],
        fires: &[],
    },
    Case { faults: &[("sriov_pf_vfs", Set(7.0))], fires: &["SriovVfCountMismatch"] },
    Case {
        faults: &[("sriov_pf_aer_errors_total{severity=correctable}", Grow(0.4))],
        fires: &["SriovPfAerCorrectable"],
    },
    Case { faults: &[("sriov_pf_aer_errors_total{severity=correctable}", Grow(0.1))], fires: &[] },
    Case {
        faults: &[("sriov_pf_aer_errors_total{severity=nonfatal}", Grow(0.01))],
        fires: &["SriovPfAerUncorrectable"],
    },
];

const VF_CASES: &[Case] = &[
    Case { faults: &[("sriov_vf_driver_bound", Set(0.0))], fires: &["SriovVfUnbound"] },
    Case { faults: &[("sriov_vf_spoof_check", Set(0.0))], fires: &["SriovVfExposed"] },
    Case { faults: &[("sriov_vf_mac_set", Set(0.0))], fires: &["SriovVfMacUnset"] },
    Case { faults: &[("sriov_vf_link_state", Set(2.0))], fires: &["SriovVfDisabled"] },
    // What no pod owns is nobody's.
    Case {
        faults: &[
            ("sriov_vf_owned", Set(0.0)),
            ("sriov_vf_driver_bound", Set(0.0)),
            ("sriov_vf_spoof_check", Set(0.0)),
            ("sriov_vf_mac_set", Set(0.0)),
            ("sriov_vf_link_state", Set(2.0)),
        ],
        fires: &[],
    },
    Case {
        faults: &[("sriov_vf_receive_dropped_total", Grow(300.0))],
        fires: &["SriovVfReceiveDrops"],
    },
    Case {
        faults: &[("sriov_vf_receive_dropped_total", Grow(3000.0))],
        fires: &["SriovVfReceiveDrops", "SriovVfReceiveDropsMany"],
    },
    Case {
        faults: &[("sriov_vf_transmit_dropped_total", Grow(300.0))],
        fires: &["SriovVfTransmitDrops"],
    },
    Case {
        faults: &[("sriov_vf_transmit_dropped_total", Grow(3000.0))],
        fires: &["SriovVfTransmitDrops", "SriovVfTransmitDropsMany"],
    },
    // Of few packets a share says nothing.
    Case {
        faults: &[
            ("sriov_vf_receive_packets_total", Grow(10.0)),
            ("sriov_vf_receive_dropped_total", Grow(5.0)),
        ],
        fires: &[],
    },
    Case { faults: &[("sriov_vf_receive_packets_total", Grow(0.0))], fires: &["SriovVfSilent"] },
    Case {
        faults: &[
            ("sriov_vf_receive_packets_total", Grow(0.0)),
            ("sriov_vf_transmit_packets_total", Grow(0.0)),
        ],
        fires: &[],
    },
];

const PORT_CASES: &[Case] = &[
    Case { faults: &[("sriov_dpdk_link_up", Set(0.0))], fires: &["SriovDpdkLinkDown"] },
    Case { faults: &[("sriov_dpdk_receive_missed_total", Grow(3.0))], fires: &["SriovDpdkMissed"] },
    Case { faults: &[("sriov_dpdk_receive_missed_total", Set(900.0))], fires: &[] },
    Case {
        faults: &[("sriov_dpdk_receive_no_buffer_total", Grow(3.0))],
        fires: &["SriovDpdkNoBuffer"],
    },
];

#[test]
fn every_rule_finds_its_fault_and_nothing_else() {
    let mut driven = drive(|| node(PF), PF_CASES);
    driven.extend(drive(|| node(VF), VF_CASES));
    driven.extend(drive(|| node(PORT), PORT_CASES));
    let faulty = Case {
        faults: &[("sriov_devlink_health_state", Set(1.0))],
        fires: &["SriovDevlinkUnhealthy"],
    };
    driven.extend(drive(|| node(REPORTER), &[faulty]));
    // Undoing it is a change, too: they have a test of their own.
    driven.extend(["SriovVfCountChanged", "SriovVfsGone"].map(String::from));
    assert_eq!(driven, names(&shipped("sriov.toml")), "a rule has no case here");
}

#[test]
fn link_that_no_pod_uses_may_be_down() {
    let mut sim = node(PF);
    sim.set("sriov_pf_vfs_owned", Set(0.0));
    sim.run(60);
    sim.set("sriov_pf_up", Set(0.0));
    assert_eq!(sim.run(300), [""; 0]);
}

#[test]
fn vfs_that_change_in_number_under_pods_are_found() {
    let run = |owned: f64, to: f64| {
        let mut sim = node(PF);
        sim.set("sriov_pf_vfs_owned", Set(owned));
        sim.run(60);
        sim.set("sriov_pf_vfs_configured", Set(to));
        sim.set("sriov_pf_vfs", Set(to));
        sim.run(900)
    };
    assert_eq!(run(1.0, 4.0), ["+SriovVfCountChanged", "-SriovVfCountChanged"]);
    assert_eq!(run(1.0, 0.0), ["+SriovVfCountChanged", "+SriovVfsGone", "-SriovVfCountChanged"]);
    assert_eq!(run(0.0, 4.0), [""; 0], "nobody had any");
}

#[test]
fn driver_that_is_taken_away_under_a_pod_is_found() {
    let mut sim = node(VF);
    sim.run(60);
    let changed =
        sim.happen("sriov.vf_driver_changed", "from=iavf,to=none", "VF 3 has driver none");
    assert_eq!(changed, ["+SriovVfDriverChanged"]);
    assert_eq!(sim.found[0].summary, "VF 3 has driver none (n1), and a pod owns it");
    assert_eq!(sim.run(700), ["-SriovVfDriverChanged"]);
    sim.set("sriov_vf_owned", Set(0.0));
    sim.run(60);
    assert_eq!(sim.happen("sriov.vf_driver_changed", "from=iavf,to=none", ""), [""; 0]);
}

#[test]
fn counters_of_a_new_life_are_not_drops() {
    let mut sim = node(VF);
    sim.run(120);
    for counter in ["receive_packets", "transmit_packets", "receive_dropped", "transmit_dropped"] {
        sim.set(&format!("sriov_vf_{counter}_total"), Set(0.0));
    }
    assert_eq!(sim.run(300), [""; 0]);
}
