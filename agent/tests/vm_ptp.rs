//! The clocks against phc_ctl, ethtool and sysfs, in a guest with two emulated NICs and their
//! real PTP clocks. Skipped, with the reason, where the guest cannot run.
//!
//! The guest's clock counts instructions, so that what it reads does not depend on how busy this
//! machine is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod vm;

use std::collections::BTreeMap;

use vm::{Guest, Records};

/// What the job said, by all words of a line but the last.
fn facts(console: &str) -> BTreeMap<String, String> {
    let lines = console.lines().filter_map(|line| line.strip_prefix("LAB "));
    let facts = lines.filter_map(|line| line.trim_end().rsplit_once(' '));
    facts.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn clocks_of_emulated_nics_are_as_phc_ctl_and_ethtool_say() {
    if !vm::can_run() {
        return;
    }
    let left = vm::run("ptp", &Guest { instructions_as_clock: true, ..Guest::default() });
    let console = &left.console;
    let facts = facts(console);
    let fact = |name: &str| facts.get(name).unwrap_or_else(|| panic!("{name}: {console}"));

    let once = left.records("once.json");
    let files = [
        ("max_adjustment", "ptp_phc_max_adjustment_ratio", 1e9),
        ("n_programmable_pins", "ptp_phc_pins", 1.0),
        ("n_alarms", "ptp_phc_alarms", 1.0),
        ("pps_available", "ptp_phc_pps_available", 1.0),
        ("n_vclocks", "ptp_phc_vclocks", 1.0),
    ];
    for (clock, device) in [("ptp0", "eth0"), ("ptp1", "eth1")] {
        for (file, metric, unit) in files {
            let want: f64 = fact(&format!("sysfs {clock} {file}")).parse().unwrap();
            assert_eq!(once.one(metric, &[("phc", clock)]) * unit, want, "{clock} {file}");
        }
        let name = fact(&format!("sysfs {clock} clock_name"));
        let info = [("phc", clock), ("clock_name", name), ("netdevs", device), ("driver", "igb")];
        once.one("ptp_phc_info", &info);

        assert_eq!(fact(&format!("clock {device}")), clock);
        let stamps = "hardware-receive hardware-transmit software-receive software-transmit";
        assert_eq!(stamps_of(console, device), stamps);
        let stamping =
            [("device", device), ("hardware", "both"), ("software", "both"), ("phc", clock)];
        once.one("ptp_netdev_timestamping_info", &stamping);
    }

    // phc_ctl says by how much the system is ahead.
    let frequency: f64 = fact("freq").parse().unwrap();
    assert_eq!(once.one("ptp_phc_frequency_adjustment_ratio", &[("phc", "ptp0")]) * 1e9, frequency);
    assert_eq!(frequency, 5_000.0);
    let compared = ["cmp before", "cmp after"].map(|name| -fact(name).parse::<f64>().unwrap());
    let offset = once.one("ptp_phc_system_offset_seconds", &[("phc", "ptp0")]) * 1e9;
    let (low, high) = (compared[0].min(compared[1]), compared[0].max(compared[1]));
    assert!((low - 2_000.0..=high + 2_000.0).contains(&offset), "{offset} {compared:?}");
    let extended = [("phc", "ptp0"), ("method", "extended")];
    let uncertainty = once.one("ptp_phc_system_offset_uncertainty_seconds", &extended);
    assert!((1e-9..2.5e-6).contains(&uncertainty), "{uncertainty}");
    let text = left.text("once.txt");
    assert!(!text.contains("# ptp: "), "sources failed: {text}");

    jumping_and_leaving_clocks(&left.records("long.json"));
    assert_eq!(fact("left"), "ptp0");
}

/// ptp0 was set forward by 50 us, and the NIC of ptp1 taken away.
fn jumping_and_leaving_clocks(long: &Records) {
    let jumps = long.values("ptp_phc_steps_total", &[("phc", "ptp0")]);
    assert_eq!((jumps.first(), jumps.last()), (Some(&0.0), Some(&1.0)), "{jumps:?}");
    let offsets = long.values("ptp_phc_system_offset_seconds", &[("phc", "ptp0")]);
    let largest = offsets.windows(2).map(|w| w[1] - w[0]).fold(0.0, f64::max);
    assert!((50e-6..60e-6).contains(&largest), "{offsets:?}");

    let gone = long.values("ptp_phc_info", &[("phc", "ptp1")]).len();
    let all = long.values("ptp_phc_info", &[("phc", "ptp0")]).len();
    assert!(all >= 24 && (10..all - 6).contains(&gone), "{gone} of {all} ticks");
    let stamping = long.values("ptp_netdev_timestamping_info", &[("device", "eth1")]).len();
    assert!((10..all - 6).contains(&stamping), "{stamping} of {all} ticks");
    let jumps = long.values("ptp_phc_steps_total", &[("phc", "ptp1")]);
    assert!(jumps.iter().all(|jumps| *jumps == 0.0), "{jumps:?}");
}

/// The words after the name of a device in the line about its stamps.
fn stamps_of(console: &str, device: &str) -> String {
    let start = format!("LAB stamps {device} ");
    let line = console.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("{start}: {console}")).trim_end().to_owned()
}
