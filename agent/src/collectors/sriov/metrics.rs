//! What is known of SR-IOV devices: node-side names after node_exporter's, with `sriov_` before.
//!
//! Entities: `pf` with `pf` (netdev name, or the PCI address where there is none) and `pci`;
//! `vf` with `pf`, `vf` (number) and `pci`; `dpdk_port` with `process` and `port`;
//! `dpdk_process` with `process`; `devlink_reporter` with `pci` (bus and name where it is not on
//! the PCI bus), `reporter` and, for a port's, the `port`; `devlink_port` with `pci` and `port`.

metrics! {
    // A physical function. 1 s.
    PF_UP = gauge("sriov_pf_up", "", "1 if the link is up.");
    PF_CARRIER_CHANGES = counter("sriov_pf_carrier_changes_total", "1", "Changes of the carrier.");
    PF_RX_BYTES = counter("sriov_pf_receive_bytes_total", "By", "Bytes received.");
    PF_TX_BYTES = counter("sriov_pf_transmit_bytes_total", "By", "Bytes sent.");
    PF_RX_PACKETS = counter("sriov_pf_receive_packets_total", "1", "Packets received.");
    PF_TX_PACKETS = counter("sriov_pf_transmit_packets_total", "1", "Packets sent.");
    PF_RX_DROPPED = counter("sriov_pf_receive_dropped_total", "1", "Packets received and dropped.");
    PF_TX_DROPPED = counter("sriov_pf_transmit_dropped_total", "1", "Packets dropped instead of sent.");
    PF_RX_ERRORS = counter("sriov_pf_receive_errors_total", "1", "Packets received with errors.");
    PF_TX_ERRORS = counter("sriov_pf_transmit_errors_total", "1", "Packets that could not be sent.");
    // 15 s.
    PF_INFO = gauge("sriov_pf_info", "", "driver, vendor, device, mac, numa_node, phys_switch_id, phc, rdma_device, firmware; always 1.");
    PF_VFS = gauge("sriov_pf_vfs", "1", "VFs that exist.");
    PF_VFS_CONFIGURED = gauge("sriov_pf_vfs_configured", "1", "sriov_numvfs.");
    PF_VFS_MAX = gauge("sriov_pf_vfs_max", "1", "sriov_totalvfs.");
    PF_SPEED = gauge("sriov_pf_speed_bytes_per_second", "By/s", "Link speed.");
    PF_PCIE_SPEED = gauge("sriov_pf_pcie_transfers_per_second", "1/s", "PCIe link speed now, in transfers per second.");
    PF_PCIE_SPEED_MAX = gauge("sriov_pf_pcie_transfers_per_second_max", "1/s", "PCIe link speed that the device can do.");
    PF_PCIE_WIDTH = gauge("sriov_pf_pcie_width", "1", "PCIe lanes now.");
    PF_PCIE_WIDTH_MAX = gauge("sriov_pf_pcie_width_max", "1", "PCIe lanes that the device has.");
    PF_POWER_D0 = gauge("sriov_pf_power_d0", "", "1 if the device is in power state D0.");
    PF_AER = counter("sriov_pf_aer_errors_total", "1", "PCIe errors; label severity: correctable, nonfatal, fatal.");
    PF_STATS_SUPPORTED = gauge("sriov_pf_vf_stats_supported", "", "1 if the driver counts per VF, 0 if it only says zero.");
    PF_VF_READ_SECONDS = gauge("sextant_sriov_vf_read_seconds", "s", "Time that the kernel took to tell about the PF's VFs.");
    PF_VF_READ_INTERVAL = gauge("sextant_sriov_vf_read_interval_seconds", "s", "How often it is asked, longer when it is slow.");
    PF_VF_READ_MODE = gauge("sextant_sriov_vf_read_mode", "", "1 for the mode in use: full, no_stats, sysfs.");
    PF_ETHTOOL = counter("sriov_pf_ethtool_total", "1", "The driver's own counters of losses; label counter.");
    PF_ESWITCH_INFO = gauge("sriov_pf_eswitch_info", "", "mode (legacy, switchdev), inline_mode, encap_mode; always 1.");

    // A virtual function. 15 s.
    VF_INFO = gauge("sriov_vf_info", "", "mac, vlan, qos, vlan_proto, driver, iommu_group, numa_node, netdev, representor, rdma_device; always 1.");
    VF_TRUST = gauge("sriov_vf_trust", "", "1 if the VF is trusted.");
    VF_SPOOF_CHECK = gauge("sriov_vf_spoof_check", "", "1 if spoofed frames are dropped.");
    VF_LINK_STATE = gauge("sriov_vf_link_state", "1", "0 auto, 1 enable, 2 disable.");
    VF_RSS_QUERY = gauge("sriov_vf_rss_query", "", "1 if the VF may read RSS configuration.");
    VF_MIN_TX_RATE = gauge("sriov_vf_min_transmit_rate_bytes_per_second", "By/s", "Guaranteed rate; 0 for none.");
    VF_MAX_TX_RATE = gauge("sriov_vf_max_transmit_rate_bytes_per_second", "By/s", "Rate limit; 0 for none.");
    VF_MAC_SET = gauge("sriov_vf_mac_set", "", "1 if an administrator gave it a MAC address.");
    VF_DRIVER_BOUND = gauge("sriov_vf_driver_bound", "", "1 if a driver is bound.");
    VF_RX_BYTES = counter("sriov_vf_receive_bytes_total", "By", "Bytes received.");
    VF_TX_BYTES = counter("sriov_vf_transmit_bytes_total", "By", "Bytes sent.");
    VF_RX_PACKETS = counter("sriov_vf_receive_packets_total", "1", "Packets received.");
    VF_TX_PACKETS = counter("sriov_vf_transmit_packets_total", "1", "Packets sent.");
    VF_RX_DROPPED = counter("sriov_vf_receive_dropped_total", "1", "Packets received and dropped.");
    VF_TX_DROPPED = counter("sriov_vf_transmit_dropped_total", "1", "Packets dropped instead of sent.");
    VF_TX_ERRORS = counter("sriov_vf_transmit_errors_total", "1", "Packets that could not be sent, where the driver tells in sysfs.");
    VF_RX_BROADCAST = counter("sriov_vf_receive_broadcast_total", "1", "Broadcast packets received.");
    VF_RX_MULTICAST = counter("sriov_vf_receive_multicast_total", "1", "Multicast packets received.");
    VF_REPRESENTOR_UP = gauge("sriov_vf_representor_up", "", "1 if the VF's representor has its link up.");
    VF_POD_INFO = gauge("sriov_vf_pod_info", "", "The pod that the VF is allocated to: namespace, pod, container, resource; always 1.");
    VF_OWNED = gauge("sriov_vf_owned", "", "1 if a pod owns it.");
    PF_VFS_OWNED = gauge("sriov_pf_vfs_owned", "1", "VFs that pods own.");

    /// The kernel's queue for the agent was full.
    LINK_EVENT_OVERRUNS = counter("sextant_sriov_link_event_overruns_total", "1", "Times that messages about links were lost.");

    // devlink, DPDK.
    DEVLINK_PORT_INFO = gauge("sriov_devlink_port_info", "", "flavour (physical, pcipf, pcivf, pcisf), type, netdev, vf; always 1.");
    DEVLINK_PORT_ACTIVE = gauge("sriov_devlink_port_active", "", "1 if the function behind the port is active, where the driver tells.");
    REPORTER_STATE = gauge("sriov_devlink_health_state", "1", "0 healthy, 1 error.");
    REPORTER_ERRORS = counter("sriov_devlink_health_errors_total", "1", "Errors reported.");
    REPORTER_RECOVERIES = counter("sriov_devlink_health_recoveries_total", "1", "Recoveries.");
    DPDK_INFO = gauge("sriov_dpdk_port_info", "", "name (PCI address of a VF), mac, numa_node, version; always 1.");
    DPDK_UP = gauge("sriov_dpdk_link_up", "", "1 if the link is up.");
    DPDK_RX_PACKETS = counter("sriov_dpdk_receive_packets_total", "1", "Packets received.");
    DPDK_TX_PACKETS = counter("sriov_dpdk_transmit_packets_total", "1", "Packets sent.");
    DPDK_RX_BYTES = counter("sriov_dpdk_receive_bytes_total", "By", "Bytes received.");
    DPDK_TX_BYTES = counter("sriov_dpdk_transmit_bytes_total", "By", "Bytes sent.");
    DPDK_RX_MISSED = counter("sriov_dpdk_receive_missed_total", "1", "Packets lost because the application did not fetch them.");
    DPDK_RX_ERRORS = counter("sriov_dpdk_receive_errors_total", "1", "Packets received with errors.");
    DPDK_TX_ERRORS = counter("sriov_dpdk_transmit_errors_total", "1", "Packets that could not be sent.");
    DPDK_RX_NO_BUFFER = counter("sriov_dpdk_receive_no_buffer_total", "1", "Failures to get a buffer.");
    DPDK_MEMPOOL_SIZE = gauge("sriov_dpdk_mempool_size", "1", "Buffers of the pool; label mempool.");
    DPDK_MALFORMED = counter("sextant_sriov_dpdk_malformed_total", "1", "Answers of DPDK applications that could not be understood.");
    DPDK_MEMPOOL_AVAILABLE = gauge("sriov_dpdk_mempool_available", "1", "Buffers free in the pool; label mempool.");
}
