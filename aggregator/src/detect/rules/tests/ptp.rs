//! Every PTP rule: quiet on a clock that follows and on one of a lab, found on its fault, over
//! after it.

use sextant_proto::v1::Severity;

use super::sim::Fault::{Grow, Set};
use super::sim::{Case, Sim, drive, names, shipped};

/// Where the faults of a table are put.
#[derive(Clone, Copy)]
enum On {
    Instance,
    Port,
    Phc,
    Node,
    Dpll,
    Gnss,
}

fn hardware(on: On) -> Sim {
    node("hardware", on)
}

/// A node that follows a grandmaster.
fn node(timestamping: &str, on: On) -> Sim {
    let mut sim = Sim::new(shipped("ptp.toml"));
    sim.entity("node", "").put(
        1,
        &[
            ("ptp_node_clock_state", 1.0),
            ("ptp_os_clock_state", 1.0),
            ("ptp_system_synchronized", 1.0),
            ("ptp_process_up{process=ptp4l,config=ptp4l.0.config}", 1.0),
            ("ptp_process_up{process=phc2sys,config=phc2sys.0.config}", 1.0),
            ("ptp_process_up{process=chronyd,config=}", 1.0),
            ("ptp_process_restarts_total{process=ptp4l,config=ptp4l.0.config}", 0.0),
        ],
    );
    sim.entity("dpll", "dpll=1").put(
        1,
        &[
            ("ptp_dpll_info{type=eec,module=ice}", 1.0),
            ("ptp_dpll_lock_status", 3.0),
            ("ptp_dpll_lock_status_error", 0.0),
        ],
    );
    sim.entity("gnss", "device=gnss0");
    sim.put(1, &[("ptp_gnss_fix", 3.0), ("ptp_gnss_satellites_used", 14.0)]);
    sim.entity("phc", "phc=ptp0").put(
        1,
        &[
            ("ptp_phc_frequency_adjustment_ratio", -9e-6),
            ("ptp_phc_max_adjustment_ratio", 5e-5),
            ("ptp_phc_utc_error_seconds", 4e-8),
            ("ptp_phc_steps_total", 2.0),
        ],
    );
    sim.entity("ptp_port", "instance=ptp4l.0,port=1,iface=eth0").put(
        1,
        &[
            (&format!("ptp_port_info{{timestamping={timestamping}}}"), 1.0),
            ("ptp_port_state", 9.0),
            ("ptp_port_state_changes_total", 4.0),
            ("ptp_port_messages_received_total{message=delay_resp}", 100.0),
            ("ptp_port_messages_sent_total{message=delay_req}", 100.0),
            ("ptp_port_service_total{event=sync_timeout}", 3.0),
        ],
    );
    for counter in ["received_total{message=delay_resp}", "sent_total{message=delay_req}"] {
        sim.set(&format!("ptp_port_messages_{counter}"), Grow(1.0));
    }
    sim.entity("ptp_instance", "instance=ptp4l.0").put(
        1,
        &[
            (&format!("ptp_instance_info{{timestamping={timestamping}}}"), 1.0),
            ("ptp_instance_up{reason=dead}", 1.0),
            ("ptp_clock_state", 1.0),
            ("ptp_offset_seconds", -1.2e-8),
            ("ptp_sync_fresh", 1.0),
            ("ptp_slave_starved", 0.0),
            ("ptp_steps_removed", 2.0),
            ("ptp_clock_class", 6.0),
            ("ptp_clock_accuracy", 33.0),
            ("ptp_grandmaster_present", 1.0),
            ("ptp_utc_offset_seconds", 37.0),
            ("ptp_utc_offset_valid", 1.0),
            ("ptp_time_traceable", 1.0),
            ("ptp_timescale_ptp", 1.0),
            ("ptp_servo_state", 2.0),
        ],
    );
    match on {
        On::Instance => {}
        On::Port => drop(sim.entity("ptp_port", "instance=ptp4l.0,port=1,iface=eth0")),
        On::Phc => drop(sim.entity("phc", "phc=ptp0")),
        On::Node => drop(sim.entity("node", "")),
        On::Dpll => drop(sim.entity("dpll", "dpll=1")),
        On::Gnss => drop(sim.entity("gnss", "device=gnss0")),
    }
    sim
}

const INSTANCE: &[Case] = &[
    Case { faults: &[("ptp_instance_up{reason=dead}", Set(0.0))], fires: &["PtpUnreachable"] },
    Case { faults: &[("ptp_slave_starved", Set(1.0))], fires: &["PtpSlaveStarved"] },
    Case { faults: &[("ptp_offset_seconds", Set(-2e-7))], fires: &["PtpOffsetHigh"] },
    Case {
        faults: &[("ptp_offset_seconds", Set(1.2e-6))],
        fires: &["PtpOffsetHigh", "PtpOffsetCritical"],
    },
    Case {
        faults: &[("ptp_offset_seconds", Set(-1.6e-6))],
        fires: &["PtpOffsetHigh", "PtpOffsetCritical", "PtpAirBudgetGone"],
    },
    // No fresh offset is no offset.
    Case { faults: &[("ptp_offset_seconds", Set(f64::NAN))], fires: &[] },
    Case { faults: &[("ptp_servo_state", Set(1.0))], fires: &["PtpServoJump"] },
    Case { faults: &[("ptp_clock_class", Set(7.0))], fires: &["PtpClockClass7"] },
    Case { faults: &[("ptp_clock_class", Set(13.0))], fires: &[] },
    Case { faults: &[("ptp_clock_class", Set(14.0))], fires: &["PtpClockClass14"] },
    Case { faults: &[("ptp_clock_class", Set(52.0))], fires: &["PtpClockClass52"] },
    Case { faults: &[("ptp_clock_class", Set(58.0))], fires: &["PtpClockClass58"] },
    Case { faults: &[("ptp_clock_class", Set(135.0))], fires: &["PtpClockClass135"] },
    Case { faults: &[("ptp_clock_class", Set(140.0))], fires: &["PtpClockClass140"] },
    Case { faults: &[("ptp_clock_class", Set(150.0))], fires: &["PtpClockClass150"] },
    Case { faults: &[("ptp_clock_class", Set(160.0))], fires: &["PtpClockClass160"] },
    Case { faults: &[("ptp_clock_class", Set(165.0))], fires: &["PtpClockClass165"] },
    Case { faults: &[("ptp_clock_class", Set(187.0))], fires: &["PtpClockClass187"] },
    Case { faults: &[("ptp_clock_class", Set(193.0))], fires: &["PtpClockClass193"] },
    Case { faults: &[("ptp_clock_class", Set(248.0))], fires: &["PtpClockClass248"] },
    Case {
        faults: &[("ptp_clock_class", Set(248.0)), ("ptp_grandmaster_present", Set(0.0))],
        fires: &["PtpOwnClockIdle"],
    },
    Case { faults: &[("ptp_clock_class", Set(255.0))], fires: &[] },
    Case { faults: &[("ptp_clock_accuracy", Set(254.0))], fires: &["PtpAccuracyInconsistent"] },
    Case { faults: &[("ptp_time_traceable", Set(0.0))], fires: &["PtpTraceabilityInconsistent"] },
    Case { faults: &[("ptp_utc_offset_valid", Set(0.0))], fires: &["PtpUtcInvalid"] },
    Case { faults: &[("ptp_utc_offset_seconds", Set(36.0))], fires: &["PtpUtcOffsetWrong"] },
    Case {
        faults: &[
            ("ptp_utc_offset_seconds", Set(0.0)),
            ("ptp_utc_offset_valid", Set(0.0)),
            ("ptp_timescale_ptp", Set(0.0)),
        ],
        fires: &[],
    },
    Case { faults: &[("ptp_clock_state", Set(2.0))], fires: &["PtpHoldover"] },
    Case { faults: &[("ptp_clock_state", Set(0.0))], fires: &["PtpFreerun"] },
];

const PORT: &[Case] = &[
    Case {
        faults: &[("ptp_port_messages_received_total{message=delay_resp}", Grow(0.0))],
        fires: &["PtpDelayFrozen"],
    },
    Case {
        faults: &[
            ("ptp_port_messages_received_total{message=delay_resp}", Grow(0.0)),
            ("ptp_port_messages_sent_total{message=delay_req}", Grow(0.0)),
        ],
        fires: &[],
    },
    Case { faults: &[("ptp_port_state_changes_total", Grow(0.1))], fires: &["PtpPortFlapping"] },
    Case { faults: &[("ptp_port_state_changes_total", Grow(0.02))], fires: &[] },
    // Another port follows: nothing is lost.
    Case { faults: &[("ptp_port_state", Set(7.0))], fires: &[] },
    Case { faults: &[("ptp_port_state", Set(2.0))], fires: &["PtpPortFaulty"] },
    Case { faults: &[("ptp_port_state", Set(4.0))], fires: &["PtpPortListening"] },
    Case { faults: &[("ptp_port_state", Set(8.0))], fires: &["PtpPortUncalibrated"] },
    Case {
        faults: &[("ptp_port_service_total{event=sync_timeout}", Grow(1.0))],
        fires: &["PtpTimeoutsMismatches"],
    },
    Case { faults: &[("ptp_port_service_total{event=sync_timeout}", Grow(0.0))], fires: &[] },
];

const PHC: &[Case] = &[
    Case { faults: &[("ptp_phc_steps_total", Grow(0.01))], fires: &["PtpPhcStep"] },
    Case {
        faults: &[("ptp_phc_frequency_adjustment_ratio", Set(-4.9e-5))],
        fires: &["PtpServoSaturated"],
    },
    Case { faults: &[("ptp_phc_utc_error_seconds", Set(-2e-6))], fires: &["PtpSystemClockOff"] },
    Case {
        faults: &[("ptp_phc_utc_error_seconds", Set(1.0))],
        fires: &["PtpSystemClockOff", "PtpSystemClockFarOff"],
    },
];

const NODE: &[Case] = &[
    Case { faults: &[("ptp_node_clock_state", Set(2.0))], fires: &["PtpNodeHoldover"] },
    Case { faults: &[("ptp_node_clock_state", Set(0.0))], fires: &["PtpNodeFreerun"] },
    Case { faults: &[("ptp_os_clock_state", Set(0.0))], fires: &["PtpOsClockFreerun"] },
    Case { faults: &[("ptp_system_synchronized", Set(0.0))], fires: &["PtpKernelUnsynchronised"] },
    Case {
        faults: &[("ptp_process_up{process=ptp4l,config=ptp4l.0.config}", Set(0.0))],
        fires: &["PtpProcessDown"],
    },
    Case {
        faults: &[("ptp_process_up{process=chronyd,config=}", Set(0.0))],
        fires: &["PtpHelperDown"],
    },
    Case {
        faults: &[("ptp_process_restarts_total{process=ptp4l,config=ptp4l.0.config}", Set(1.0))],
        fires: &["PtpProcessRestarted"],
    },
    Case {
        faults: &[("ptp_process_restarts_total{process=ptp4l,config=ptp4l.0.config}", Grow(0.01))],
        fires: &["PtpProcessRestarted", "PtpProcessRestarting"],
    },
];

const DPLL: &[Case] = &[
    Case { faults: &[("ptp_dpll_lock_status", Set(2.0))], fires: &["PtpDpllHoldoverLost"] },
    Case { faults: &[("ptp_dpll_lock_status", Set(4.0))], fires: &["PtpDpllHoldover"] },
    Case { faults: &[("ptp_dpll_lock_status", Set(1.0))], fires: &["PtpDpllUnlocked"] },
    Case { faults: &[("ptp_dpll_lock_status_error", Set(2.0))], fires: &["PtpDpllMediaDown"] },
    Case {
        faults: &[("ptp_dpll_lock_status_error", Set(3.0))],
        fires: &["PtpDpllFrequencyOffset"],
    },
];

const GNSS: &[Case] = &[
    Case { faults: &[("ptp_gnss_fix", Set(0.0))], fires: &["PtpGnssNoFix"] },
    Case { faults: &[("ptp_gnss_satellites_used", Set(2.0))], fires: &["PtpGnssFewSatellites"] },
];

#[test]
fn every_rule_finds_its_fault_and_nothing_else() {
    let mut driven = std::collections::BTreeSet::new();
    for (on, cases) in [
        (On::Instance, INSTANCE),
        (On::Port, PORT),
        (On::Phc, PHC),
        (On::Node, NODE),
        (On::Dpll, DPLL),
        (On::Gnss, GNSS),
    ] {
        driven.extend(drive(|| hardware(on), cases));
    }
    let software =
        [Case { faults: &[("ptp_offset_seconds", Set(2e-5))], fires: &["PtpOffsetHighSoftware"] }];
    driven.extend(drive(|| node("software", On::Instance), &software));
    // These three take more than one entity, and have tests of their own.
    driven.extend(["PtpPortNotSlave", "PtpStepsRemovedChanged"].map(String::from));
    assert_eq!(driven, names(&shipped("ptp.toml")), "a rule has no case here");
}

#[test]
fn port_that_stops_following_is_found_when_no_other_follows() {
    let mut sim = hardware(On::Instance);
    assert_eq!(sim.run(60), [""; 0]);
    sim.set("ptp_sync_fresh", Set(0.0));
    sim.entity("ptp_port", "instance=ptp4l.0,port=1,iface=eth0");
    sim.set("ptp_port_state", Set(6.0));
    assert_eq!(sim.run(30), ["+PtpPortNotSlave"]);
    assert!(sim.found[0].summary.contains("port eth0 of PTP instance ptp4l.0 of n1 left SLAVE"));
    sim.set("ptp_port_state", Set(9.0));
    assert_eq!(sim.run(30), ["-PtpPortNotSlave"]);

    let mut master = hardware(On::Port);
    master.set("ptp_port_state", Set(6.0));
    master.entity("ptp_instance", "instance=ptp4l.0").set("ptp_sync_fresh", Set(0.0));
    assert_eq!(master.run(300), [""; 0], "one that never followed");
}

#[test]
fn change_of_the_way_or_the_grandmaster_is_told() {
    let mut sim = hardware(On::Instance);
    sim.run(60);
    sim.set("ptp_steps_removed", Set(3.0));
    assert_eq!(sim.run(300), ["+PtpStepsRemovedChanged", "-PtpStepsRemovedChanged"]);
    assert_eq!(sim.happen("ptp.grandmaster_changed", "", "it is B"), ["+PtpGrandmasterChanged"]);
    assert_eq!(sim.found[1].summary, "it is B (n1)");
    assert_eq!(sim.run(400), ["-PtpGrandmasterChanged"]);
}

#[test]
fn grandmasters_that_take_turns_are_more_than_a_change() {
    let mut sim = hardware(On::Instance);
    sim.run(60);
    let mut begun = || {
        let edges = sim.happen("ptp.grandmaster_changed", "", "it is another");
        edges.into_iter().filter(|edge| edge.starts_with('+')).collect::<Vec<_>>()
    };
    assert_eq!(begun(), ["+PtpGrandmasterChanged"]);
    assert!(begun().is_empty());
    assert_eq!(begun(), ["+PtpGrandmasterFlapping"]);
    assert_eq!(sim.run(900), ["-PtpGrandmasterChanged", "-PtpGrandmasterFlapping"]);
}

#[test]
fn software_time_stamps_are_never_more_than_a_warning() {
    let faults = [
        ("ptp_instance_up{reason=dead}", 0.0),
        ("ptp_slave_starved", 1.0),
        ("ptp_offset_seconds", 5.0),
        ("ptp_clock_state", 0.0),
        ("ptp_clock_class", 165.0),
    ];
    for (timestamping, worst) in [("software", Severity::Warning), ("hardware", Severity::Critical)]
    {
        for (what, value) in faults {
            let mut sim = node(timestamping, On::Instance);
            sim.run(60);
            sim.set(what, Set(value));
            sim.run(60);
            let severity = sim.found.iter().map(|f| f.severity).max();
            assert_eq!(severity, Some(worst), "{what} with {timestamping} time stamps");
        }
    }
    let mut lab = node("software", On::Instance);
    lab.set("ptp_offset_seconds", Set(5e-6));
    assert_eq!(lab.run(600), [""; 0], "what software can do");
}

#[test]
fn node_that_has_no_reference_yet_and_one_that_steers_nothing_are_quiet() {
    let mut idle = Sim::new(shipped("ptp.toml"));
    idle.entity("phc", "phc=ptp0");
    idle.put(1, &[("ptp_phc_utc_error_seconds", -37.0), ("ptp_phc_max_adjustment_ratio", 1e-4)]);
    idle.entity("dpll", "dpll=1").put(1, &[("ptp_dpll_lock_status", 1.0)]);
    idle.entity("gnss", "device=gnss0").put(1, &[("ptp_gnss_fix", 0.0)]);
    idle.entity("node", "");
    idle.put(1, &[("ptp_node_clock_state", 0.0), ("ptp_os_clock_state", 0.0)]);
    assert_eq!(idle.run(900), [""; 0]);
}
