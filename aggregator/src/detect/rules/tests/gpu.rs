//! Every GPU rule: quiet on a GPU that is busy and on one that is idle, found on its fault, over
//! after it. And the Xids.

use std::collections::BTreeSet;

use sextant_proto::v1::Severity;

use super::sim::Fault::{Grow, Set};
use super::sim::{Case, Sim, drive, names, shipped};

const H100: &str = "NVIDIA H100 80GB HBM3";

fn busy() -> Sim {
    gpu(H100)
}

/// A GPU under load, in the tiers of the agent.
fn gpu(model: &str) -> Sim {
    let mut sim = Sim::new(shipped("gpu.toml"));
    sim.entity("node", "");
    sim.put(10, &[("gpu_driver_up", 1.0), ("gpu_devices", 8.0), ("gpu_devices_expected", 8.0)]);
    sim.put(10, &[("gpu_driver_up{reason=failed}", 1.0)]);
    sim.put(10, &[("gpu_driver_up{reason=version_mismatch}", 1.0)]);
    sim.entity("pci", "pci_bus_id=0000:65:00.0").put(10, &[("gpu_missing", 0.0)]);
    sim.entity("gpu", "uuid=GPU-1");
    let states = ["ok", "lost", "reset_required", "wedged", "missing", "released"];
    for state in states {
        let value = if state == "ok" { 1.0 } else { 0.0 };
        sim.put(1, &[(&format!("gpu_state{{state={state}}}"), value)]);
    }
    sim.put(
        1,
        &[
            ("gpu_utilization_ratio", 0.97),
            ("gpu_temperature_celsius", 71.0),
            ("gpu_memory_temperature_celsius", 80.0),
            ("gpu_power_watts", 680.0),
            ("gpu_clock_hertz{clock=sm}", 1.755e9),
            ("gpu_throttle_seconds_total{reason=thermal}", 12.0),
            ("gpu_throttle_seconds_total{reason=hw_power_brake}", 0.0),
            ("gpu_clocks_event_active{reason=idle}", 0.0),
            ("gpu_clocks_event_active{reason=applications_clocks}", 0.0),
            ("gpu_clocks_event_active{reason=sw_power_cap}", 0.0),
            ("gpu_clocks_event_active{reason=hw_slowdown}", 0.0),
            ("gpu_clocks_event_active{reason=sw_thermal}", 0.0),
            ("gpu_clocks_event_active{reason=hw_power_brake}", 0.0),
        ],
    );
    sim.put(
        10,
        &[
            ("gpu_performance_state", 0.0),
            ("gpu_pcie_link_generation", 5.0),
            ("gpu_pcie_link_generation_max", 5.0),
            ("gpu_pcie_link_width", 16.0),
            ("gpu_pcie_link_width_max", 16.0),
            ("gpu_pcie_replay_total", 100.0),
            ("gpu_ecc_errors_total{error=corrected,counter=volatile}", 40.0),
            ("gpu_ecc_errors_total{error=uncorrected,counter=volatile}", 0.0),
            ("gpu_ecc_errors_total{error=uncorrected,counter=aggregate}", 7.0),
            ("gpu_remapped_rows_total{cause=uncorrectable}", 2.0),
            ("gpu_row_remap_pending", 0.0),
            ("gpu_row_remap_failed", 0.0),
            ("gpu_recovery_action", 0.0),
            ("gpu_thermal_margin_celsius", 20.0),
            ("gpu_fabric_state", 3.0),
            ("gpu_fabric_status", 0.0),
            ("gpu_fabric_health{condition=degraded_bandwidth}", 0.0),
            ("gpu_fabric_health{condition=route_unhealthy}", 0.0),
            ("gpu_nvlink_up{link=3}", 1.0),
            ("gpu_mig_mode", 0.0),
            ("gpu_nvlink_errors_total{error=crc_flit}", 3.0),
            ("gpu_nvlink_errors_total{error=replay}", 1.0),
            ("sextant_gpu_call_seconds{call=power}", 0.001),
        ],
    );
    sim.put(
        60,
        &[
            (&format!("gpu_info{{gpu=3,model={model},pci_bus_id=0000:65:00.0}}"), 1.0),
            ("gpu_power_limit_watts{limit=enforced}", 700.0),
            ("gpu_power_limit_watts{limit=default}", 700.0),
            ("gpu_clock_max_hertz{clock=sm}", 1.98e9),
            ("gpu_temperature_limit_celsius{limit=slowdown}", 92.0),
            ("gpu_temperature_limit_celsius{limit=gpu_max}", 87.0),
            ("gpu_temperature_limit_celsius{limit=memory_max}", 95.0),
            ("gpu_temperature_margin_limit_celsius{limit=slowdown}", -2.0),
            ("gpu_sram_threshold_exceeded", 0.0),
            ("gpu_remap_banks{availability=none}", 0.0),
            ("gpu_remap_banks{availability=max}", 640.0),
            ("gpu_retired_pages_total{cause=single_bit}", 3.0),
            ("gpu_retired_pages_total{cause=double_bit}", 1.0),
            ("gpu_retired_pages_pending", 0.0),
            ("gpu_inforom_valid", 1.0),
            ("gpu_pcie_errors_total{error=fatal}", 0.0),
            ("gpu_nvlink_link_errors_total{link=3,error=symbol}", 9e6),
            ("gpu_nvlink_link_errors_total{link=3,error=link_recovery}", 0.0),
            ("gpu_nvlink_bit_error_ratio{link=3,ber=effective}", 0.0),
            ("gpu_nvlink_bit_error_ratio{link=3,ber=symbol}", 0.0),
            ("gpu_persistence_mode", 1.0),
            ("gpu_memory_unaccounted_bytes", 1e8),
        ],
    );
    sim
}

const CASES: &[Case] = &[
    Case { faults: &[("gpu_state{state=lost}", Set(1.0))], fires: &["GpuLost"] },
    Case { faults: &[("gpu_state{state=reset_required}", Set(1.0))], fires: &["GpuResetRequired"] },
    Case {
        faults: &[("gpu_state{state=wedged}", Set(1.0))],
        fires: &["GpuWedged", "GpuWedgedLong"],
    },
    Case { faults: &[("gpu_state{state=released}", Set(1.0))], fires: &[] },
    Case {
        faults: &[("sextant_gpu_call_seconds{call=power}", Set(12.0))],
        fires: &["GpuDriverCallSlow"],
    },
    Case {
        faults: &[("sextant_gpu_call_seconds{call=power}", Set(50.0))],
        fires: &["GpuDriverCallSlow", "GpuDriverCallStuck"],
    },
    Case { faults: &[("gpu_recovery_action", Set(1.0))], fires: &["GpuRecoveryReset"] },
    Case { faults: &[("gpu_recovery_action", Set(2.0))], fires: &["GpuRecoveryReboot"] },
    Case { faults: &[("gpu_recovery_action", Set(3.0))], fires: &["GpuRecoveryDrainPeers"] },
    Case { faults: &[("gpu_recovery_action", Set(4.0))], fires: &["GpuRecoveryDrainReset"] },
    Case { faults: &[("gpu_recovery_action", Set(5.0))], fires: &["GpuRecoveryImexRecovery"] },
    Case {
        faults: &[("gpu_ecc_errors_total{error=uncorrected,counter=volatile}", Set(1.0))],
        fires: &["GpuUncorrectableEcc"],
    },
    Case {
        faults: &[("gpu_ecc_errors_total{error=uncorrected,counter=aggregate}", Set(900.0))],
        fires: &[],
    },
    Case {
        faults: &[("gpu_ecc_errors_total{error=corrected,counter=volatile}", Grow(0.2))],
        fires: &["GpuCorrectableEccRate"],
    },
    Case {
        faults: &[("gpu_ecc_errors_total{error=corrected,counter=volatile}", Grow(0.01))],
        fires: &[],
    },
    Case { faults: &[("gpu_sram_threshold_exceeded", Set(1.0))], fires: &["GpuSramThreshold"] },
    Case { faults: &[("gpu_row_remap_failed", Set(1.0))], fires: &["GpuRowRemapFailed"] },
    Case { faults: &[("gpu_row_remap_pending", Set(1.0))], fires: &["GpuRowRemapPending"] },
    Case {
        faults: &[("gpu_remapped_rows_total{cause=uncorrectable}", Set(512.0))],
        fires: &["GpuRowsRemapped"],
    },
    Case {
        faults: &[("gpu_remap_banks{availability=none}", Set(2.0))],
        fires: &["GpuRemapBanksUsedUp"],
    },
    Case {
        faults: &[("gpu_retired_pages_total{cause=single_bit}", Set(63.0))],
        fires: &["GpuRetiredPages"],
    },
    Case {
        faults: &[("gpu_retired_pages_total{cause=double_bit}", Set(16.0))],
        fires: &["GpuRetiredPagesDoubleBit"],
    },
    Case { faults: &[("gpu_retired_pages_pending", Set(1.0))], fires: &["GpuRetiredPagesPending"] },
    Case { faults: &[("gpu_inforom_valid", Set(0.0))], fires: &["GpuInfoRomCorrupt"] },
    Case { faults: &[("gpu_temperature_celsius", Set(88.0))], fires: &["GpuTemperatureHigh"] },
    Case {
        faults: &[("gpu_temperature_celsius", Set(92.0))],
        fires: &["GpuTemperatureHigh", "GpuTemperatureCritical"],
    },
    Case {
        faults: &[("gpu_memory_temperature_celsius", Set(96.0))],
        fires: &["GpuMemoryTemperatureHigh"],
    },
    Case { faults: &[("gpu_thermal_margin_celsius", Set(-1.0))], fires: &["GpuThermalMarginGone"] },
    Case {
        faults: &[("gpu_thermal_margin_celsius", Set(-2.5))],
        fires: &["GpuThermalMarginGone", "GpuThermalMarginCriticalHopper"],
    },
    Case {
        faults: &[("gpu_throttle_seconds_total{reason=thermal}", Grow(0.01))],
        fires: &["GpuThermalThrottle"],
    },
    Case {
        faults: &[("gpu_throttle_seconds_total{reason=hw_power_brake}", Grow(0.01))],
        fires: &["GpuPowerBrake"],
    },
    Case {
        faults: &[("gpu_clocks_event_active{reason=hw_slowdown}", Set(1.0))],
        fires: &["GpuHardwareSlowdown"],
    },
    Case {
        faults: &[
            ("gpu_clock_hertz{clock=sm}", Set(1.2e9)),
            ("gpu_clocks_event_active{reason=sw_thermal}", Set(1.0)),
        ],
        fires: &["GpuSlowClock"],
    },
    // Clocks that someone wished for, or that power allows, are no fault.
    Case {
        faults: &[
            ("gpu_clock_hertz{clock=sm}", Set(1.2e9)),
            ("gpu_clocks_event_active{reason=sw_thermal}", Set(1.0)),
            ("gpu_clocks_event_active{reason=sw_power_cap}", Set(1.0)),
        ],
        fires: &[],
    },
    Case { faults: &[("gpu_clock_hertz{clock=sm}", Set(1.2e9))], fires: &[] },
    Case {
        faults: &[("gpu_power_limit_watts{limit=enforced}", Set(600.0))],
        fires: &["GpuPowerLimitLowered"],
    },
    Case { faults: &[("gpu_power_watts", Set(850.0))], fires: &["GpuPowerBeyondLimit"] },
    Case { faults: &[("gpu_power_watts", Set(2.0))], fires: &["GpuPowerImplausible"] },
    Case { faults: &[("gpu_pcie_link_width", Set(8.0))], fires: &["GpuPcieWidth"] },
    Case {
        faults: &[("gpu_pcie_link_generation", Set(3.0))],
        fires: &["GpuPcieGeneration", "GpuPcieGenerationLong"],
    },
    Case { faults: &[("gpu_pcie_replay_total", Grow(0.7))], fires: &["GpuPcieReplayGen5"] },
    Case { faults: &[("gpu_pcie_replay_total", Grow(0.4))], fires: &[] },
    Case {
        faults: &[("gpu_pcie_errors_total{error=fatal}", Grow(0.02))],
        fires: &["GpuPcieFatalErrors"],
    },
    Case { faults: &[("gpu_nvlink_up{link=3}", Set(0.0))], fires: &["GpuNvlinkMissing"] },
    Case { faults: &[("gpu_nvlink_up{link=3}", Set(0.0)), ("gpu_mig_mode", Set(1.0))], fires: &[] },
    Case {
        faults: &[("gpu_nvlink_errors_total{error=replay}", Grow(0.05))],
        fires: &["GpuNvlinkReplayRecovery"],
    },
    Case {
        faults: &[("gpu_nvlink_errors_total{error=crc_flit}", Grow(0.05))],
        fires: &["GpuNvlinkCrcErrors"],
    },
    Case {
        faults: &[("gpu_nvlink_errors_total{error=crc_flit}", Grow(150.0))],
        fires: &["GpuNvlinkCrcErrors", "GpuNvlinkCrcStorm"],
    },
    Case {
        faults: &[("gpu_nvlink_link_errors_total{link=3,error=link_recovery}", Grow(0.05))],
        fires: &["GpuNvlinkLinkErrors"],
    },
    Case {
        faults: &[("gpu_nvlink_link_errors_total{link=3,error=symbol}", Grow(1000.0))],
        fires: &[],
    },
    Case {
        faults: &[("gpu_nvlink_bit_error_ratio{link=3,ber=effective}", Set(1e-11))],
        fires: &["GpuNvlinkEffectiveBer"],
    },
    Case {
        faults: &[("gpu_nvlink_bit_error_ratio{link=3,ber=symbol}", Set(1e-15))],
        fires: &["GpuNvlinkSymbolBer"],
    },
    Case { faults: &[("gpu_fabric_state", Set(2.0))], fires: &["GpuFabricState"] },
    Case { faults: &[("gpu_fabric_state", Set(0.0))], fires: &[] },
    Case { faults: &[("gpu_fabric_status", Set(999.0))], fires: &["GpuFabricStatus"] },
    Case {
        faults: &[("gpu_fabric_health{condition=route_unhealthy}", Set(1.0))],
        fires: &["GpuFabricUnhealthy"],
    },
    Case {
        faults: &[("gpu_fabric_health{condition=degraded_bandwidth}", Set(1.0))],
        fires: &["GpuFabricDegraded"],
    },
    Case { faults: &[("gpu_persistence_mode", Set(0.0))], fires: &["GpuPersistenceOff"] },
    Case {
        faults: &[("gpu_memory_unaccounted_bytes", Set(2e9))],
        fires: &["GpuMemoryUnaccounted"],
    },
    // Idle: the clock and the PCIe link are slow by design.
    Case {
        faults: &[
            ("gpu_utilization_ratio", Set(0.0)),
            ("gpu_performance_state", Set(8.0)),
            ("gpu_clock_hertz{clock=sm}", Set(3.45e8)),
            ("gpu_clocks_event_active{reason=idle}", Set(1.0)),
            ("gpu_pcie_link_generation", Set(1.0)),
            ("gpu_power_watts", Set(70.0)),
            ("gpu_temperature_celsius", Set(31.0)),
            ("gpu_thermal_margin_celsius", Set(60.0)),
        ],
        fires: &[],
    },
];

/// Faults of the node, which has no gpu entity.
const NODE_CASES: &[Case] = &[
    Case { faults: &[("gpu_devices", Set(7.0))], fires: &["GpuCountMismatch"] },
    Case {
        faults: &[
            ("gpu_devices", Set(0.0)),
            ("gpu_driver_up", Set(f64::NAN)),
            ("gpu_driver_up{reason=failed}", Set(0.0)),
        ],
        fires: &["GpuDriverDown"],
    },
    Case { faults: &[("gpu_driver_up{reason=failed}", Set(0.0))], fires: &["GpuDriverDown"] },
    Case {
        faults: &[("gpu_driver_up{reason=version_mismatch}", Set(0.0))],
        fires: &["GpuDriverMismatch"],
    },
];

#[test]
fn every_rule_finds_its_fault_and_nothing_else() {
    let mut driven = drive(busy, CASES);
    driven.extend(drive(
        || {
            let mut sim = busy();
            sim.entity("node", "");
            sim
        },
        NODE_CASES,
    ));
    driven.extend(drive(
        || {
            let mut sim = busy();
            sim.entity("pci", "pci_bus_id=0000:65:00.0");
            sim
        },
        &[Case { faults: &[("gpu_missing", Set(1.0))], fires: &["GpuMissing"] }],
    ));
    // Rules of other products and generations.
    driven.extend(drive(
        || gpu("NVIDIA B200"),
        &[
            Case {
                faults: &[("gpu_thermal_margin_celsius", Set(-3.5))],
                fires: &["GpuThermalMarginGone", "GpuThermalMarginCriticalBlackwell"],
            },
            Case {
                faults: &[("gpu_thermal_margin_celsius", Set(-2.5))],
                fires: &["GpuThermalMarginGone"],
            },
            Case {
                faults: &[("gpu_nvlink_bit_error_ratio{link=3,ber=symbol}", Set(1e-15))],
                fires: &["GpuNvlinkSymbolBerBlackwell"],
            },
        ],
    ));
    driven.extend(drive(
        || gpu("NVIDIA L4"),
        &[
            Case {
                faults: &[("gpu_thermal_margin_celsius", Set(-2.5))],
                fires: &["GpuThermalMarginGone", "GpuThermalMarginCritical"],
            },
            Case {
                faults: &[("gpu_remapped_rows_total{cause=uncorrectable}", Set(900.0))],
                fires: &[],
            },
        ],
    ));
    driven.extend(drive(
        || gpu("NVIDIA A100 80GB PCIe"),
        &[Case { faults: &[("gpu_nvlink_up{link=3}", Set(0.0))], fires: &["GpuNvlinkDown"] }],
    ));
    for (generation, rate) in [(1, 0.05), (2, 0.1), (3, 0.15), (4, 0.3), (6, 1.2)] {
        let name: &'static str = format!("GpuPcieReplayGen{generation}").leak();
        let faults = vec![("gpu_pcie_replay_total", Grow(rate))].leak();
        let fires = vec![name].leak();
        let healthy = || {
            let mut sim = busy();
            sim.set("gpu_pcie_link_generation", Set(f64::from(generation)));
            sim.set("gpu_pcie_link_generation_max", Set(f64::from(generation)));
            sim
        };
        driven.extend(drive(healthy, &[Case { faults, fires }]));
    }
    assert_eq!(driven, names(&shipped("gpu.toml")), "a rule has no case here");
}

#[test]
fn gpu_without_row_remapping_is_not_judged_by_it() {
    let mut sim = gpu("NVIDIA GeForce RTX 4090");
    sim.set("gpu_row_remap_failed", Set(1.0));
    sim.set("gpu_row_remap_pending", Set(1.0));
    assert_eq!(sim.run(300), [""; 0]);
}

#[test]
fn gpu_that_does_not_say_its_limits_is_not_judged_by_them() {
    let mut sim = Sim::new(shipped("gpu.toml"));
    sim.entity("gpu", "uuid=GPU-1").put(1, &[("gpu_temperature_celsius", 99.0)]);
    assert_eq!(sim.run(300), [""; 0]);
}

#[test]
fn slowdown_now_and_then_is_not_a_hardware_fault() {
    let mut sim = busy();
    // A bucket is a minute of the clock.
    let mut seen = sim.run(59);
    for minute in 0..60 {
        let held = f64::from(u8::from(minute % 2 == 0));
        sim.set("gpu_clocks_event_active{reason=hw_slowdown}", Set(held));
        seen.extend(sim.run(60));
    }
    assert_eq!(seen, [""; 0], "five of ten minutes");
    for minute in 0..60 {
        let held = f64::from(u8::from(minute % 5 < 3));
        sim.set("gpu_clocks_event_active{reason=hw_slowdown}", Set(held));
        seen.extend(sim.run(60));
    }
    assert_eq!(seen, ["+GpuHardwareSlowdown"], "six of ten, and no flapping");
}

fn xids() -> Sim {
    let mut sim = Sim::new(shipped("xid.toml"));
    sim.entity("node", "").put(10, &[("m", 1.0)]);
    sim.entity("gpu", "uuid=GPU-1").put(60, &[("gpu_info{gpu=3,model=NVIDIA H100 PCIe}", 1.0)]);
    sim.run(60);
    sim
}

#[test]
fn every_xid_has_its_severity_and_ends_with_the_reset() {
    let severity = |xid: u32, want: Severity| {
        let mut sim = xids();
        let attributes = format!("xid={xid},pci_bus_id=0000:65:00.0");
        let fired = sim.happen("gpu.xid", &attributes, "what the kernel said");
        assert_eq!(fired, [format!("+GpuXid{xid}")]);
        assert_eq!(sim.found[0].severity, want, "{xid}");
        assert!(sim.found[0].summary.contains(&format!("Xid {xid} on GPU 0000:65:00.0 of n1")));
        assert!(!sim.found[0].action.is_empty());
        assert_eq!(sim.happen("gpu.counters_restarted", "", ""), [format!("-GpuXid{xid}")]);
    };
    let listed = |text: &str| {
        let one = |part: &str| match part.split_once('-') {
            Some((first, last)) => first.parse::<u32>().unwrap()..=last.parse::<u32>().unwrap(),
            None => part.parse::<u32>().unwrap()..=part.parse::<u32>().unwrap(),
        };
        text.split(' ').flat_map(one).collect::<Vec<_>>()
    };
    let info = listed(
        "8 11 25 13 31 32 37 39-41 70-72 75-77 85 43 45 60 68 69 73 80 93 126-135 137-139 152 153 \
         141 142 160 162-164",
    );
    let warning = listed(
        "38 42 44 56-58 63 66 67 78 92 94 109 121-125 144-151 154 156 159 161 165 166 168 170",
    );
    let fatal =
        listed("46 48 54 61 62 64 74 79 95 110 119 120 136 140 143 155 157 158 167 169 171-173");
    let all: BTreeSet<u32> = [&info[..], &warning, &fatal].concat().into_iter().collect();
    assert_eq!(all.len(), info.len() + warning.len() + fatal.len());
    info.into_iter().for_each(|xid| severity(xid, Severity::Info));
    warning.into_iter().for_each(|xid| severity(xid, Severity::Warning));
    fatal.into_iter().for_each(|xid| severity(xid, Severity::Critical));

    let book = shipped("xid.toml");
    let of_cases =
        book.events.iter().filter_map(|r| r.report.name.strip_prefix("GpuXid")?.parse().ok());
    assert_eq!(of_cases.collect::<BTreeSet<u32>>(), all, "the table, and no more");
}

#[test]
fn xids_that_come_again_say_so() {
    for xid in [13, 31, 32, 92, 121] {
        let mut sim = xids();
        let attributes = format!("xid={xid}");
        assert_eq!(sim.happen("gpu.xid", &attributes, ""), [format!("+GpuXid{xid}")]);
        sim.run(4000);
        let again = sim.happen("gpu.xid", &attributes, "");
        assert_eq!(again, [format!("+GpuXid{xid}"), format!("+GpuXid{xid}Repeated")]);
        let found = sim.found.last().expect("the repeat");
        assert_eq!(found.severity, Severity::Warning);
        assert!(found.summary.contains("2 times within a day"), "{}", found.summary);
    }
}

#[test]
fn fatal_xids_of_any_kind_add_up() {
    let mut sim = xids();
    let told: Vec<_> = [79, 48, 95, 119, 74]
        .iter()
        .flat_map(|xid| sim.happen("gpu.xid", &format!("xid={xid}"), ""))
        .collect();
    let want = ["+GpuXid79", "+GpuXid48", "+GpuXid95", "+GpuXid119", "+GpuXid74"];
    assert_eq!(told[..5], want);
    assert_eq!(told[5..], ["+GpuFatalXidsRepeated"]);
}

#[test]
fn what_is_not_an_xid_is_found_too() {
    let check = |kind: &str, attributes: &str, want: &str, severity: Severity| {
        let mut sim = xids();
        assert_eq!(sim.happen(kind, attributes, "text"), [format!("+{want}")], "{kind}");
        assert_eq!(sim.found[0].severity, severity, "{kind}");
        assert_eq!(sim.run(8 * 3600), [format!("-{want}")], "{kind}");
    };
    check("gpu.xid", "xid=9999", "GpuXidOther", Severity::Warning);
    check("gpu.unavailable", "", "GpuUnavailable", Severity::Critical);
    check("gpu.init_failed", "", "GpuInitFailed", Severity::Critical);
    check("gpu.driver_mismatch", "", "GpuDriverMismatchLogged", Severity::Warning);
    check("gpu.ecc_storm", "", "GpuEccStorm", Severity::Warning);
    check("gpu.page_retirement_failed", "", "GpuRetirementFailed", Severity::Critical);
    check("gpu.poison", "event=poison_nonfatal", "GpuPoisonPoisonnonfatal", Severity::Warning);
    check("gpu.poison", "event=poison_fatal", "GpuPoisonPoisonfatal", Severity::Critical);
    check("gpu.sxid", "sxid=20009,fatal=false", "NvswitchError", Severity::Warning);
    check("gpu.sxid", "sxid=20034,fatal=true", "NvswitchFatalError", Severity::Critical);
    let mut sim = xids();
    let fatal = sim.happen("gpu.xid", "xid=149,fatal=true", "");
    assert_eq!(fatal, ["+GpuXid149", "+GpuNvlinkFatal"]);
}
