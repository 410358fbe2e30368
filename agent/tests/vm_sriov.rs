//! Virtual functions of a real driver: what the agent says of them in a guest, against `ip`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod vm;

use serde_json::Value;

#[test]
fn virtual_functions_are_told_as_ip_tells_them() {
    if !vm::can_run() {
        return;
    }
    let left = vm::run("sriov", &vm::Guest { modules: true, instructions_as_clock: true });
    same_as_ip(&left);
    changes_are_followed(&left);
    devlink_is_told(&left);
}

fn same_as_ip(left: &vm::Left) {
    let (before, after) = (left.json("link.json"), left.json("link_after.json"));
    let ours = left.records("agent.json");
    let pf = [("pf", "eth0")];
    assert_eq!(ours.value("sriov_pf_vfs", &pf), Some(3.0));
    assert_eq!(ours.value("sriov_pf_vfs_configured", &pf), Some(3.0));
    assert_eq!(ours.value("sriov_pf_vfs_max", &pf), Some(7.0));
    assert_eq!(ours.value("sriov_pf_up", &pf), Some(1.0));
    assert_eq!(ours.label("sriov_pf_info", &pf, "driver"), "igb");
    assert_eq!(ours.label("sriov_pf_info", &pf, "mac"), before[0]["address"].as_str().unwrap());

    for (metric, direction, field) in [
        ("sriov_pf_receive_bytes_total", "rx", "bytes"),
        ("sriov_pf_transmit_packets_total", "tx", "packets"),
        ("sriov_pf_receive_dropped_total", "rx", "dropped"),
    ] {
        let at = |link: &Value| link[0]["stats64"][direction][field].as_f64().unwrap();
        let value = ours.value(metric, &pf).unwrap();
        assert!((at(&before)..=at(&after)).contains(&value), "{metric} {value}");
    }

    let list = before[0]["vfinfo_list"].as_array().unwrap();
    assert_eq!(list.len(), 3);
    for vf in list {
        let number = vf["vf"].to_string();
        let labels = [("pf", "eth0"), ("vf", &*number)];
        let flag = |name: &str| Some(f64::from(u8::from(vf[name].as_bool().unwrap())));
        assert_eq!(ours.value("sriov_vf_trust", &labels), flag("trust"), "{vf}");
        assert_eq!(ours.value("sriov_vf_spoof_check", &labels), flag("spoofchk"), "{vf}");
        let theirs = vf["vlan_list"][0]["vlan"].as_u64().unwrap_or(0);
        let vlan = ours.label("sriov_vf_info", &labels, "vlan");
        assert_eq!(vlan.parse().unwrap_or(0), theirs, "{vf}");
        let mac = vf["address"].as_str().unwrap();
        assert_eq!(ours.label("sriov_vf_info", &labels, "mac"), mac);
        assert_eq!(ours.value("sriov_vf_driver_bound", &labels), Some(1.0));
        assert_eq!(ours.label("sriov_vf_info", &labels, "driver"), "igbvf");
        // There is no kubelet to ask: whether a pod owns it is not known.
        assert_eq!(ours.value("sriov_vf_owned", &labels), None);
    }
    let rate = ours.value("sriov_vf_max_transmit_rate_bytes_per_second", &[("vf", "2")]);
    assert_eq!(rate, Some(500e6 / 8.0), "500 Mbit/s");
    assert_eq!(ours.label("sriov_vf_info", &[("vf", "0")], "vlan"), "100");
    assert_eq!(ours.label("sriov_vf_info", &[("vf", "0")], "qos"), "3");
    assert_eq!(ours.value("sriov_vf_mac_set", &[("vf", "0")]), Some(1.0));
}

fn changes_are_followed(left: &vm::Left) {
    let ours = left.records("changes.json");
    let seen = |metric: &str, labels: &[(&str, &str)], value: f64| {
        let found = ours.series(metric, labels).any(|r| r["value"].as_f64() == Some(value));
        assert!(found, "{metric}{labels:?} was never {value}");
    };
    let unbound = left.text("unbound.txt");
    seen("sriov_vf_driver_bound", &[("pci", unbound.trim())], 0.0);
    seen("sriov_pf_up", &[("pf", "eth0")], 0.0);
    seen("sriov_pf_up", &[("pf", "eth0")], 1.0);
    seen("sriov_pf_vfs", &[("pf", "eth0")], 3.0);
    assert_eq!(ours.value("sriov_pf_vfs", &[("pf", "eth0")]), Some(1.0));
    for kind in
        ["sriov.vf_driver_changed", "sriov.link_down", "sriov.link_up", "sriov.numvfs_changed"]
    {
        assert!(!ours.events(kind).is_empty(), "no event {kind}");
    }
    // The VF that went into the pod's namespace is told by its address all the while.
    let moved = ours.series("sriov_vf_info", &[("vf", "2")]);
    let without_netdev = |r: &&Value| r["labels"]["netdev"].as_str().unwrap_or("").is_empty();
    assert!(moved.filter(without_netdev).count() > 0, "the VF in the namespace was lost");
}

fn devlink_is_told(left: &vm::Left) {
    let (theirs, ours) = (left.json("health.json"), left.records("netdevsim.json"));
    for reporter in theirs["health"]["netdevsim/netdevsim1"].as_array().unwrap() {
        let labels = [("reporter", reporter["reporter"].as_str().unwrap())];
        let errors = ours.value("sriov_devlink_health_errors_total", &labels);
        assert_eq!(errors, reporter["error"].as_f64(), "{reporter}");
        let recoveries = ours.value("sriov_devlink_health_recoveries_total", &labels);
        assert_eq!(recoveries, reporter["recover"].as_f64(), "{reporter}");
        let healthy = reporter["state"] == "healthy";
        let state = ours.value("sriov_devlink_health_state", &labels);
        assert_eq!(state, Some(f64::from(u8::from(!healthy))));
    }
}
